"""Harness: what the benches share. Building, peers from Debian, servers as processes and their memory, turns, results.

A bench is a script beside this file; `bench/all` runs them one after another. In short:

    import harness

    def main():
        harness.install("nginx")
        harness.build("pigeonloft-server")
        with harness.work_folder() as folder, harness.Pigeonloft(folder) as ours:
            sides = harness.turns(7, ours=lambda: ours.upload(file)[0], peer=lambda: peer.save(file))
            harness.result("upload of …", harness.ratio(sides["ours"], sides["peer"]), must="≤ 2.0", aim="≤ 1.3")

Times are seconds, memory is MiB. Only the standard library is used; Linux is needed (/proc).
"""
import base64
import contextlib
import http.client
import json
import multiprocessing
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
"""The repository."""

NAME = os.path.basename(sys.argv[0])
"""The bench that runs."""

PAGE = os.sysconf("SC_PAGE_SIZE")
TICKS = os.sysconf("SC_CLK_TCK")


def note(text):
    """Says what is going on. What was measured goes to `result` as well."""
    print(text, flush=True)


def build(*packages):
    """Builds crates in release mode."""
    which = [word for package in packages for word in ("-p", package)]
    subprocess.run(["cargo", "build", "--quiet", "--release", "--locked", *which], cwd=ROOT, check=True)


def program(name="pigeonloft"):
    """A program that `build` has built."""
    return os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")), "release", name)


def install(command, package=None):
    """Installs a Debian package (as root or through sudo) unless its command is there."""
    if shutil.which(command):
        return
    package = package or command
    note(f"installing {package} with apt-get")
    as_root = [] if os.getuid() == 0 else ["sudo"]
    subprocess.run([*as_root, "apt-get", "update", "-q"], check=True)
    subprocess.run([*as_root, "apt-get", "install", "-y", "-q", "--no-install-recommends", package], check=True)


@contextlib.contextmanager
def work_folder():
    """A folder of this bench, empty, and gone at the end: bench/work/NAME."""
    folder = os.path.join(ROOT, "bench", "work", NAME)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


# Turns and figures


def settle():
    """Waits until nothing is left to write to disk: else our fsync would also pay for what a peer left unsynced."""
    os.sync()


def timed(work, *arguments):
    """How long a call takes, and what it returns."""
    begun = time.monotonic()
    result = work(*arguments)
    return time.monotonic() - begun, result


def turns(runs, **sides):
    """Measures sides turn by turn, so that a machine whose speed drifts is the same to all of them.

    Each side is called without arguments and returns its figure. Answers the figures of each by its name, `runs` of
    them: the first round warms up and does not count. Every turn begins with nothing left to write.
    """
    figures = {name: [] for name in sides}
    for run in range(runs + 1):
        for name, measure in sides.items():
            settle()
            figure = measure()
            if run:
                figures[name].append(figure)
    return figures


def spread(values, digits=3):
    """min, median, max of figures, as text."""
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"min {low:.{digits}f}  median {middle:.{digits}f}  max {high:.{digits}f}"


def ratio(ours, theirs):
    """The ratio of two sides: median of the ratios run by run, its range, and the medians of both."""
    ratios = [a / b for a, b in zip(ours, theirs)]
    return (f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f}): "
            f"{statistics.median(ours):.3g} to {statistics.median(theirs):.3g}")


def result(work, measured, must, aim=""):
    """One row of the table that `bench/all` prints in the end. Nothing passes or fails: who reads it judges."""
    note(f"| {work} | {measured} | {must} | {aim} |")


# Programs


def count(number):
    """A number, short."""
    if number >= 1e6:
        return f"{number / 1e6:.2f} M"
    return f"{number / 1e3:.0f} k" if number >= 1e4 else f"{number:.0f}"


def aside(work, *arguments):
    """Calls a function in a process of its own: what it holds would count as the peak of every program run after it."""
    process = multiprocessing.get_context("fork").Process(target=work, args=arguments)
    process.start()
    process.join()
    if process.exitcode:
        sys.exit(f"{work.__name__} failed with {process.exitcode}")


def run(*words):
    """Runs a program to its end. Answers seconds, what it used of processor (seconds) and memory (MiB), and what it said."""
    settle()
    begun = time.monotonic()
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        said = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(words)} failed with {process.returncode}")
    used = (usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)
    return time.monotonic() - begun, used, said


def create(data):
    """A data folder with an app. Answers its AccessId."""
    words = [program(), "app", "create", "--data-dir", data, "--platform", "android", "--name", "bench", "--json"]
    return json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)["access_id"]


# Servers


def free_port():
    """A TCP port nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_for(port, seconds=30):
    """Waits until something listens on this port."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.02)
    sys.exit(f"nothing listens on port {port}")


class Server:
    """A process that serves on `port`; a subclass sets `process` and `port` in `__enter__`."""

    process = None
    port = None

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def pid(self):
        """The process that has the memory and does the work."""
        return self.process.pid

    def kill(self):
        """SIGKILL, and waits until it is gone."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def memory(self):
        """Resident memory now, MiB."""
        with open(f"/proc/{self.pid()}/statm") as statm:
            return int(statm.read().split()[1]) * PAGE / 2**20

    def peak(self):
        """The most resident memory there was, MiB, since the start or the last `reset_peak`."""
        with open(f"/proc/{self.pid()}/status") as status:
            line = next(line for line in status if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024

    def reset_peak(self):
        """Lets `peak` count from now on."""
        with open(f"/proc/{self.pid()}/clear_refs", "w") as clear:
            clear.write("5")

    def cpu(self):
        """Processor time used so far by all its threads, in user and system mode, seconds."""
        with open(f"/proc/{self.pid()}/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS


class Pigeonloft(Server):
    """`pigeonloft serve` on ports of its own, with one app. `with Pigeonloft(folder) as ours: …`

    `settings` are configuration keys that are not to have their defaults, such as `{"push.batch_rows": 500}`. The data
    folder is kept when the server ends: another one over the same `folder` and `name` goes on with it and its app.
    """

    def __init__(self, folder, name="data", settings=None, log=None):
        """`log`: the file its log goes to, else it is thrown away."""
        self.data = os.path.join(folder, name)
        self.settings = {f"PIGEONLOFT_{key.upper().replace('.', '__')}": str(value)
                         for key, value in (settings or {}).items()}
        self.log = log
        self.app = None
        self._open = None

    def __enter__(self):
        self._open = threading.local()
        if self.app is None:
            self.app = self.command("app", "create", "--platform", "android", "--name", "bench", "--json")
        self.port, self.mqtt_port = free_port(), free_port()
        with open(self.log or os.devnull, "ab") as log:
            self.process = subprocess.Popen(
                [program(), "serve", "--data-dir", self.data, "--listen", f"127.0.0.1:{self.port}",
                 "--mqtt-listen", f"127.0.0.1:{self.mqtt_port}"],
                env={**os.environ, **self.settings}, stdout=subprocess.DEVNULL, stderr=log)
        wait_for(self.port)
        wait_for(self.mqtt_port)
        return self

    @property
    def access_id(self):
        """The app's AccessId."""
        return self.app["access_id"]

    @property
    def user(self):
        """`AccessId:SecretKey`, as curl takes it."""
        return f"{self.app['access_id']}:{self.app['secret_key']}"

    def command(self, *arguments):
        """Runs a command of the program over this data folder that answers JSON."""
        words = [program(), *arguments[:2], "--data-dir", self.data, *arguments[2:]]
        done = subprocess.run(words, check=True, capture_output=True, text=True)
        return json.loads(done.stdout)

    def url(self, path):
        """Of a path of the API."""
        return f"http://127.0.0.1:{self.port}{path}"

    def call(self, path, body=None):
        """A call of the API with Basic auth; POST where there is a body, a dict. Answers what was answered."""
        return json.loads(self.text(path, body, {
            "Authorization": "Basic " + base64.b64encode(self.user.encode()).decode()}))

    def register(self):
        """Registers a device of the app. Answers its token."""
        headers = {"AccessId": str(self.access_id), "AccessKey": self.app["access_key"]}
        return json.loads(self.text("/v1/devices", {}, headers))["token"]

    def text(self, path, body=None, headers=()):
        """A request; POST where there is a body, a dict. Answers the answer's body. Connections stay open, one for each
        thread that asks."""
        if getattr(self._open, "connection", None) is None:
            self._open.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        request = ("GET" if body is None else "POST", path, None if body is None else json.dumps(body),
                   {"Content-Type": "application/json", **dict(headers)})
        try:
            self._open.connection.request(*request)
            answer = self._open.connection.getresponse()
        except http.client.RemoteDisconnected:
            # Closed for its silence; closed, it opens again by itself.
            self._open.connection.close()
            self._open.connection.request(*request)
            answer = self._open.connection.getresponse()
        text = answer.read().decode()
        if answer.status >= 300:
            sys.exit(f"{path} was answered {answer.status}: {text}")
        return text

    def upload(self, file, timeout=600):
        """Uploads a file with curl. Answers the seconds it took, and the uploadId; ends the bench if it is refused."""
        took, answer = curl("-u", self.user, "-F", f"file=@{file}", "-H", "Expect:", "-m", str(timeout),
                            self.url("/v3/push/package/upload"))
        answer = json.loads(answer)
        if answer["retCode"] != 0 or answer["uploadId"] <= 0:
            sys.exit(f"the upload was refused: {answer}")
        return took, answer["uploadId"]


def curl(*arguments):
    """Runs curl. Answers the seconds it took, and the answer's body; fails as curl does."""
    took, done = timed(lambda: subprocess.run(
        ["curl", "-sS", "--fail", *arguments], check=True, capture_output=True, text=True))
    return took, done.stdout
