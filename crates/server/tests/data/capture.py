"""Records what upload clients put on the wire, byte for byte, into captured/*.http.

A TCP sink takes one request, answers 100-continue when asked, answers as an upload would, and writes down what came.
Run it again when a client changes: `python3 capture.py [OLD_PYTHON2 OLD_PYTHON3]`. The two optional interpreters (2.7
and 3.6 were used) bring pip 19 and older, whose urllib3 names files in another way. Credentials here are made up.
"""

import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import zipfile

HERE = os.path.dirname(os.path.abspath(__file__))
CLIENTS = os.path.join(HERE, "../../../../examples/clients")
ANSWER = b'{"retCode":0,"errMsg":"","uploadId":1}'
ACCESS_ID, SECRET_KEY = "1500001048", "not-a-real-key"


def whole(raw):
    """Whether `raw` holds a complete request."""
    head, found, body = raw.partition(b"\r\n\r\n")
    if not found:
        return False
    length = re.search(rb"(?im)^content-length: *(\d+)", head)
    if length:
        return len(body) >= int(length.group(1))
    return body.endswith(b"0\r\n\r\n") if b"chunked" in head.lower() else True


def record(name, run):
    """Calls `run(url)` against a sink and keeps what the sink received as captured/NAME.http."""
    sink = socket.create_server(("127.0.0.1", 0))
    received = bytearray()

    def serve():
        peer, _ = sink.accept()
        continued = False
        with peer:
            while not whole(bytes(received)):
                piece = peer.recv(65536)
                if not piece:
                    break
                received.extend(piece)
                if not continued and b"100-continue" in received and b"\r\n\r\n" in received:
                    continued = True
                    peer.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
                         b"Content-Length: %d\r\n\r\n%s" % (len(ANSWER), ANSWER))

    thread = threading.Thread(target=serve)
    thread.start()
    port = sink.getsockname()[1]
    run("http://127.0.0.1:%d/v3/push/package/upload" % port)
    thread.join()
    sink.close()
    # The port changes with every run and says nothing.
    kept = bytes(received).replace(b"127.0.0.1:%d" % port, b"127.0.0.1:8080", 1)
    with open(os.path.join(HERE, "captured", name + ".http"), "wb") as out:
        out.write(kept)
    print(name, len(kept))


def main():
    folder = tempfile.mkdtemp(dir="/tmp", prefix="loft-")
    os.chdir(folder)
    rows = "user-1\nuser-2\n信鸽-3\n"
    with open("accounts.txt", "w", encoding="utf-8") as out:
        out.write(rows)
    with open("ascii.txt", "w") as out:
        out.write("user-1\nuser-2\n")
    with open("账号.txt", "w", encoding="utf-8") as out:
        out.write(rows)
    with open('say "hi".txt', "w", encoding="utf-8") as out:
        out.write(rows)
    entry = zipfile.ZipInfo("accounts.txt", (2021, 12, 27, 17, 54, 34))
    with zipfile.ZipFile("accounts.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(entry, rows)

    def program(*command, file="accounts.txt", more=()):
        return lambda url: subprocess.run([*command, url, ACCESS_ID, SECRET_KEY, file, *more], check=True,
                                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def sample(file_name, **rest):
        return program(os.path.join(CLIENTS, file_name), **rest)

    def python(file_name, interpreter=sys.executable, **rest):
        return program(interpreter, os.path.join(CLIENTS, file_name), **rest)

    def curl(*options):
        return lambda url: subprocess.run(["curl", "-sS", "-X", "POST", url, "-u", ACCESS_ID + ":" + SECRET_KEY,
                                           *options], check=True, stdout=subprocess.DEVNULL)

    full_path = os.path.join(folder, "accounts.txt")
    record("curl-2019", sample("curl-2019.sh"))
    record("curl-2019-zip", sample("curl-2019.sh", file="accounts.zip"))
    record("curl-token", sample("curl-token.sh"))
    record("python-2019", python("python-2019.py", file="ascii.txt", more=["File name"]))
    record("python-2019-utf8", python("python-2019.py", more=["账号.txt"]))
    record("python-2021", python("python-2021.py", file=full_path))
    record("python-2021-non-ascii", python("python-2021.py", file=os.path.join(folder, "账号.txt")))
    record("python-2021-quotes", python("python-2021.py", file='say "hi".txt'))
    record("python-token", python("python-token.py"))
    record("python-token-non-ascii", python("python-token.py", file="账号.txt"))
    record("curl-chunked", curl("-H", "Transfer-Encoding: chunked", "-F", "file=@accounts.txt"))
    record("curl-expect-100", curl("-H", "Expect: 100-continue", "-F", "file=@accounts.txt"))
    record("curl-part-labelled-form-data", curl("-F", "file=@accounts.txt;type=multipart/form-data"))
    record("curl-extra-fields", curl("-F", "fileName=/tmp/accounts.txt", "-F", "remark=信鸽", "-F",
                                     "file=@accounts.zip", "-F", "after=1"))
    record("curl-quotes", curl("-F", 'file=@"say \\"hi\\".txt"'))
    record("curl-quotes-backslash", curl("--form-escape", "-F", 'file=@"say \\"hi\\".txt"'))
    record("curl-windows-path", curl("-F", "file=@accounts.txt;filename=C:\\data\\new\\accounts.txt"))
    record("curl-windows-path-backslash",
           curl("--form-escape", "-F", "file=@accounts.txt;filename=C:\\data\\new\\accounts.txt"))
    record("curl-gbk-name", curl("-F", b"file=@accounts.txt;filename=" + "账号.txt".encode("gbk")))
    record("curl-empty-file", curl("-F", "file=@/dev/null;filename=empty.txt"))
    if len(sys.argv) > 2:
        # Old pip imports its own requests in a circle; entering through pip._internal breaks the circle.
        entered = "import pip._internal, sys; sys.argv = sys.argv[1:]; exec(compile(open(sys.argv[0]%s).read(), 'x', 'exec'))"
        record("python27-2019-zip", lambda url: subprocess.run(
            [sys.argv[1], "-c", "import pip._internal, sys; from pip._vendor import requests; "
             "sys.modules['requests'] = requests; sys.argv = sys.argv[1:]; execfile(sys.argv[0])",
             os.path.join(CLIENTS, "python-2019.py"), url, ACCESS_ID, SECRET_KEY, "accounts.zip"], check=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        record("python36-2021-non-ascii",
               program(sys.argv[2], "-c", entered % ", encoding='utf-8'", os.path.join(CLIENTS, "python-2021.py"),
                       file=os.path.join(folder, "账号.txt")))
    else:
        print("without old interpreters: python27-2019-zip and python36-2021-non-ascii stay as they are")


main()
