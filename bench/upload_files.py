"""Upload files: what the upload bench uploads. Every file is the same at every run: the seeds are fixed."""
import os
import random
import zipfile

import harness

LIMIT = 104_857_600
"""The largest file a package may come in."""

TOKEN = 36
CHUNK = 100_000
"""Rows made at a time."""

PHONE_CHARS = 13


def tokens(folder, rows, name="tokens.txt", seed=1):
    """Tokens of 36 hexadecimal characters in random order, 1 % of them repeated, as `.txt`."""
    path = os.path.join(folder, name)
    with open(path, "wb") as out:
        for chunk in _token_chunks(rows, seed):
            out.write(chunk)
    return _made(path, rows)


def token_zip(folder, rows, name="tokens.zip", seed=2):
    """The same as one `.txt` in a `.zip`, deflated as zip programs do."""
    path = os.path.join(folder, name)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        with archive.open("tokens.txt", "w", force_zip64=True) as out:
            for chunk in _token_chunks(rows, seed):
                out.write(chunk)
    return _made(path, rows)


def phones(folder, rows, seed=3):
    """Accounts like phone numbers, `86` and 11 digits, in random order, 1 % repeated, the same rows as `.csv` and as
    `.txt`. Answers the two paths."""
    csv, txt = os.path.join(folder, "phones.csv"), os.path.join(folder, "phones.txt")
    numbers = random.Random(seed)
    kept = [f"86138{n:08}" for n in range(1000)]
    with open(csv, "w") as a, open(txt, "w") as b:
        for first in range(0, rows, CHUNK):
            count = min(CHUNK, rows - first)
            drawn = [f"861{n:010}" for n in numbers.choices(range(3_000_000_000, 10_000_000_000), k=count)]
            for repeat in range(0, count, 100):
                drawn[repeat] = numbers.choice(kept)
            text = "\n".join(drawn) + "\n"
            a.write(text)
            b.write(text)
    return _made(csv, rows), _made(txt, rows)


def expanding_zip(folder, expanded=2 * 2**30, seed=4):
    """A `.zip` of nearly 100 MB whose one `.txt` has 2 GiB of rows, all distinct: accounts of 60 digits that count up,
    which shrink to a twentieth, in blocks of random order, with 1 % random tokens between them."""
    path = os.path.join(folder, "expanding.zip")
    digits = 60
    numbers = random.Random(seed)
    drawn = CHUNK // 100
    block_bytes = (CHUNK - drawn) * (digits + 1) + drawn * (TOKEN + 1)
    blocks = list(range(-(-expanded // block_bytes)))
    numbers.shuffle(blocks)
    endings = [f"{n:05}" for n in range(CHUNK - drawn)]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        with archive.open("accounts.txt", "w", force_zip64=True) as out:
            for block in blocks:
                begin = f"{block:0{digits - 5}}"
                out.write((begin + f"\n{begin}".join(endings) + "\n").encode())
                out.write(_lines(numbers, drawn))
    return _made(path, len(blocks) * CHUNK)


def _token_chunks(rows, seed):
    numbers = random.Random(seed)
    kept = []
    for first in range(0, rows, CHUNK):
        count = min(CHUNK, rows - first)
        lines = _lines(numbers, count).splitlines(keepends=True)
        for repeat in range(0, count if kept else 0, 100):
            lines[repeat] = numbers.choice(kept)
        kept = lines[1:1000] if not kept else kept
        yield b"".join(lines)


def _lines(numbers, count):
    digits = numbers.randbytes(count * TOKEN // 2).hex()
    return "".join([digits[at:at + TOKEN] + "\n" for at in range(0, len(digits), TOKEN)]).encode()


def _made(path, rows):
    harness.note(f"file: {os.path.basename(path)}, {rows:,} rows, {os.path.getsize(path):,} bytes")
    return path
