"""Audience: devices in a data folder and packages that name them, for the benches that push. Made by arithmetic: the same
at every run.

Device number n of `count` has the n-th token in their order and the account `NUMBER + p(n)`, p being a permutation. Devices
are imported in the order of their tokens, so ids rise with the tokens; in the order of accounts, that is of a package of
accounts, they are in no order at all: as it is where devices registered over years.
"""
import csv
import os
import shutil
import subprocess

import harness

NUMBER = 13_800_000_000
"""The first account: they look like telephone numbers."""


def token(n, count):
    """The token of device number n."""
    return f"{n * (2**144 // count):036x}"


def template(folder, count):
    """A data folder of `count` devices. Answers a server over it that is not started; `copy` makes others of it."""
    ours = harness.Pigeonloft(folder, "template")
    with ours:  # makes the app
        pass
    file = os.path.join(folder, "devices.csv")
    with open(file, "w", newline="", buffering=1 << 20) as out:
        rows = csv.writer(out)
        rows.writerow(["token", "account", "account_type"])
        # A prime that does not divide the count: each account comes once, and neighbours are far from each other.
        rows.writerows((token(n, count), NUMBER + n * 2_654_435_761 % count, 0) for n in range(count))
    took, _ = harness.timed(lambda: subprocess.run(
        [harness.program(), "device", "import", file, "--app", str(ours.access_id), "--data-dir", ours.data],
        check=True, stdout=subprocess.DEVNULL))
    harness.note(f"{count:,} devices imported in {took:.0f} s")
    os.remove(file)
    return ours


def copy(template, folder, settings=None, log=None):
    """A server, not started, over a copy of a data folder. A copy there was before goes."""
    ours = harness.Pigeonloft(folder, "copy", settings, log)
    shutil.rmtree(ours.data, ignore_errors=True)
    shutil.copytree(template.data, ours.data)
    ours.app = template.app
    return ours


def package(folder, count, rows, kind):
    """A file that names `rows` of `count` devices, evenly, by `kind`: "account" or "token"."""
    file = os.path.join(folder, f"{kind}-{rows}.txt")
    if not os.path.exists(file):
        with open(file, "w", buffering=1 << 20) as out:
            for row in range(rows):
                n = row * count // rows
                out.write(f"{NUMBER + n if kind == 'account' else token(n, count)}\n")
    return file


def push(ours, upload_id, kind):
    """Pushes to a package. Answers the push_id."""
    answer = ours.call("/v3/push/app", {
        "audience_type": f"package_{kind}_push", "upload_id": upload_id, "platform": "android",
        "message_type": "notify", "message": {"title": "news", "content": "something has happened"}})
    if answer["ret_code"] != 0:
        raise SystemExit(f"the push was refused: {answer}")
    return answer["push_id"]
