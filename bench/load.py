"""Load: what the benches of the own channel share: the programs of pigeonloft-bench, devices of ours, mosquitto."""
import datetime
import json
import os
import random
import subprocess
import sys
import time

import harness

SEED = 1


class Program:
    """A program of pigeonloft-bench: answers a line of JSON to each line."""

    def __init__(self, *arguments):
        words = [harness.program("pigeonloft-bench"), *map(str, arguments)]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.ready = self.read()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(60)

    def tell(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit("a load program ended")
        return json.loads(line)


class Crowd:
    """Devices registered with our server, in the same order at every run, and a package of their tokens."""

    def __init__(self, folder, server, count):
        self.folder, self.server, self.count = folder, server, count
        self.registered = os.path.join(folder, f"registered-{os.path.basename(server.data)}.csv")
        listed, package = os.path.join(folder, "devices.csv"), os.path.join(folder, "package.txt")
        numbers = random.Random(SEED)
        tokens = [f"{numbers.getrandbits(144):036x}" for _ in range(count)]
        for path, header in ((listed, "token\n"), (package, "")):
            with open(path, "w") as file:
                file.write(header + "".join(f"{token}\n" for token in tokens))
        subprocess.run([harness.program(), "device", "import", listed, "--data-dir", server.data, "--app",
                        str(server.access_id), "--out", self.registered], check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
        _, self.upload_id = server.upload(package)

    def part(self, count):
        """The file of the first so many devices with their passwords."""
        path = self.registered + ".part"
        with open(self.registered) as whole, open(path, "w") as file:
            file.writelines(line for place, line in enumerate(whole) if place <= count)
        return path

    def push(self, at=None):
        """Pushes to the package, at a second of the clock or at once; waits for the app's turn. Answers the moment of the
        call and the push_id."""
        body = {"audience_type": "package_token_push", "upload_id": self.upload_id, "message_type": "notify",
                "message": {"title": "a title", "content": "a content of some forty characters, as usual"}}
        if at:
            east = datetime.timezone(datetime.timedelta(hours=8))
            body["send_time"] = datetime.datetime.fromtimestamp(at, east).strftime("%Y-%m-%d %H:%M:%S")
        while True:
            begun = time.monotonic()
            answer = self.server.call("/v3/push/app", body)
            if answer["ret_code"] == 0:
                return begun, answer["push_id"]
            if answer["ret_code"] != 1_008_028:
                sys.exit(f"the push was refused: {answer}")
            time.sleep(0.05)


class Mosquitto(harness.Server):
    """mosquitto for QoS 1 at its best: nothing kept on disk, nothing logged, no bounds in the way."""

    def __init__(self, folder):
        self.folder = folder

    def __enter__(self):
        self.port = harness.free_port()
        config = os.path.join(self.folder, "mosquitto.conf")
        with open(config, "w") as file:
            file.write(f"""
listener {self.port} 127.0.0.1
allow_anonymous true
persistence false
max_inflight_messages 0
max_queued_messages 0
set_tcp_nodelay true
sys_interval 0
log_type none
{"user root" if os.getuid() == 0 else ""}
""")
        self.process = subprocess.Popen(["mosquitto", "-c", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        harness.wait_for(self.port)
        return self
