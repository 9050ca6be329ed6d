"""What a user would write: an upload with FastAPI, its rows checked and kept once in a `set`. Answers how many there are.

Nothing is stored: the set is forgotten, as the peer is to be no slower than it must.
"""
import io
import zipfile

from fastapi import FastAPI, UploadFile
from fastapi.responses import PlainTextResponse

app = FastAPI()


@app.post("/upload")
def upload(file: UploadFile):
    if file.filename.endswith(".zip"):
        with zipfile.ZipFile(file.file) as archive:
            with archive.open(archive.namelist()[0]) as text:
                return check(io.BufferedReader(text, 1 << 20))
    return check(file.file)


def check(lines):
    rows, bad = set(), []
    for number, line in enumerate(lines, 1):
        try:
            row = line.decode("utf-8").strip()
        except UnicodeDecodeError:
            bad.append(number)
            continue
        if not row:
            continue
        if len(row) == 36:
            rows.add(row)
        else:
            bad.append(number)
    if bad:
        return PlainTextResponse(f"{len(bad)} bad rows: {bad[:10]}", 400)
    return PlainTextResponse(str(len(rows)))
