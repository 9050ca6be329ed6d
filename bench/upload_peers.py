"""Upload peers: what an upload is measured against. nginx, which only saves, and what a user would write instead of a
push server's upload: FastAPI with a `set`, Node with a `Set`. Each installs itself."""
import os
import shutil
import subprocess
import sys

import harness

HERE = os.path.dirname(os.path.abspath(__file__))

KEPT = os.path.join(harness.ROOT, "target", "bench-peers")
"""Where what pip and npm install is kept between runs."""

PYTHON = ["fastapi==0.121.3", "uvicorn[standard]==0.38.0", "python-multipart==0.0.20"]
NODE = ["busboy@1.6.0", "yauzl@3.2.0"]


class Nginx(harness.Server):
    """Accepts a body and saves it (dav PUT), unchecked and not synced."""

    def __init__(self, folder):
        harness.install("nginx")
        self.folder = os.path.join(folder, "nginx")

    def __enter__(self):
        self.port = harness.free_port()
        root = self.folder
        os.makedirs(os.path.join(root, "saved"))
        config = os.path.join(root, "nginx.conf")
        with open(config, "w") as out:
            out.write(f"""
daemon off; worker_processes 1; pid {root}/pid; error_log {root}/error.log;
{"user root;" if os.getuid() == 0 else ""}
events {{}}
http {{
    access_log off; client_body_temp_path {root}/body; client_max_body_size 0; client_body_buffer_size 1m;
    server {{ listen 127.0.0.1:{self.port}; root {root}/saved; location / {{ dav_methods PUT; }} }}
}}
""")
        self.process = subprocess.Popen(["nginx", "-c", config, "-p", root, "-e", f"{root}/error.log"])
        harness.wait_for(self.port)
        return self

    def upload(self, file):
        """The seconds a PUT of the file takes."""
        return harness.curl("-T", file, f"http://127.0.0.1:{self.port}/saved")[0]

    def pid(self):
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children") as children:
            return int(children.read().split()[0])


class Naive(harness.Server):
    """A server that takes the same form, checks the same of each row, and counts the distinct ones in memory."""

    def command(self):
        """The command that serves on `self.port`."""
        raise NotImplementedError

    def __enter__(self):
        self.port = harness.free_port()
        self.process = subprocess.Popen(self.command(), cwd=HERE, stdout=subprocess.DEVNULL)
        harness.wait_for(self.port)
        return self

    def upload(self, file):
        """The seconds an upload takes, and the distinct rows it found."""
        took, answer = harness.curl("-F", f"file=@{file}", "-H", "Expect:", f"http://127.0.0.1:{self.port}/upload")
        return took, int(answer)


class FastApi(Naive):
    """upload_peer_fastapi.py, under uvicorn with uvloop and httptools."""

    def command(self):
        venv = os.path.join(KEPT, "python")
        if not os.path.exists(os.path.join(venv, "bin", "uvicorn")):
            harness.note(f"installing {' '.join(PYTHON)}")
            shutil.rmtree(venv, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", venv], check=True)
            subprocess.run([os.path.join(venv, "bin", "pip"), "install", "-q", *PYTHON], check=True)
        return [os.path.join(venv, "bin", "uvicorn"), "upload_peer_fastapi:app", "--port", str(self.port),
                "--log-level", "warning", "--no-access-log"]


class Node(Naive):
    """upload_peer_node.js."""

    def command(self):
        harness.install("node", "nodejs")
        modules = os.path.join(KEPT, "node")
        if not os.path.exists(os.path.join(modules, "node_modules", "yauzl")):
            harness.install("npm")
            harness.note(f"installing {' '.join(NODE)}")
            os.makedirs(modules, exist_ok=True)
            subprocess.run(["npm", "install", "--silent", "--no-fund", "--no-audit", "--prefix", modules, *NODE],
                           check=True)
        # The limit of Node's own heap is below what the Set takes for a 100 MB zip.
        return ["node", "--max-old-space-size=8192", "upload_peer_node.js", str(self.port),
                os.path.join(modules, "node_modules")]
