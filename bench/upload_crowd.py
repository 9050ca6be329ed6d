"""Upload crowd: many uploads at once, and how long small calls take meanwhile."""
import os
import subprocess
import threading
import time

import harness

SMALL = ("healthz", "statistics", "push")


def one(folder, file):
    """The peak memory of one upload above idle, MiB, its seconds, and small calls without any upload."""
    with harness.Pigeonloft(folder, "one") as ours:
        calls = Calls(ours, seconds=5)
        calls.start()
        calls.join()
        idle = ours.memory()
        ours.reset_peak()
        took, _ = ours.upload(file)
        return ours.peak() - idle, took, calls.times


def many(folder, file, count):
    """`count` uploads at once: peak memory above idle, seconds until each is answered, times of small calls."""
    with harness.Pigeonloft(folder, "many") as ours:
        # An app has half of the turns at most, so the crowd is of two.
        other = ours.command("app", "create", "--platform", "android", "--name", "other", "--json")
        users = [ours.user, f"{other['access_id']}:{other['secret_key']}"]
        calls = Calls(ours)
        idle = ours.memory()
        ours.reset_peak()
        calls.start()
        begun = time.monotonic()
        uploads = [Upload(ours, users[n % 2], file) for n in range(count)]
        for upload in uploads:
            upload.start()
        for upload in uploads:
            upload.join()
        took = time.monotonic() - begun
        calls.stop()
        refused = [upload.answer for upload in uploads if '"retCode":0' not in upload.answer]
        if refused:
            raise SystemExit(f"{len(refused)} of {count} uploads were refused: {refused[0]}")
        return ours.peak() - idle, took, calls.times


class Upload(threading.Thread):
    """One upload by curl; `answer` is what it said in the end."""

    def __init__(self, server, user, file):
        super().__init__(daemon=True)
        self.arguments = ["-u", user, "-F", f"file=@{file}", "-H", "Expect:", server.url("/v3/push/package/upload")]
        self.answer = ""

    def run(self):
        done = subprocess.run(["curl", "-sS", *self.arguments], capture_output=True, text=True)
        self.answer = done.stdout or done.stderr


class Calls(threading.Thread):
    """Small calls, one after another: health, the statistics of a push, a push to one device (durable when answered).

    `times` are seconds, by the kind of call. Each kind has a connection that stays open, as a server's client has.
    """

    def __init__(self, server, seconds=None):
        super().__init__(daemon=True)
        self.times = {kind: [] for kind in SMALL}
        self.server = server
        self.until = time.monotonic() + seconds if seconds else None
        self.ended = threading.Event()
        self.device = server.register()
        self.push = self.push_one()

    def push_one(self):
        answer = self.server.call("/v3/push/app", {
            "audience_type": "token", "token_list": [self.device], "message_type": "notify",
            "message": {"title": "small", "content": "call"}})
        if answer["ret_code"] != 0:
            raise SystemExit(f"a push was refused: {answer}")
        return answer["push_id"]

    def run(self):
        # Its own wait for the processor is not the server's: it goes before the uploading clients, where it may.
        try:
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), -15)
        except PermissionError:
            harness.note("small calls are measured without priority: not root")
        while not self.ended.is_set() and (self.until is None or time.monotonic() < self.until):
            self.take("healthz", lambda: self.server.text("/healthz"))
            self.take("statistics", lambda: self.server.call(
                "/v3/statistics/get_push_task_stat_channel", {"pushId": self.push}))
            self.take("push", self.push_one)
            time.sleep(0.002)

    def take(self, kind, call):
        took, _ = harness.timed(call)
        self.times[kind].append(took)

    def stop(self):
        self.ended.set()
        self.join()
