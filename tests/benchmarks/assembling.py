"""How long it takes until a file is whole: `python -m tests.benchmarks.assembling [DIRECTORY]`.

The last chunk of a Jumbo upload goes to its place, and the file is renamed: the same time whatever
the size. Parts are joined inside the kernel: in no time where the file system shares blocks (XFS,
btrfs), and otherwise no slower than a plain copy. Medians of a few, of a small and a large file,
with `durability=os`, so that no disk is waited for. Nothing is asserted.
"""

from __future__ import annotations

import http.client
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

from tests.benchmarks.servers import started
from tests.benchmarks.tools import CACHE
from tests.benchmarks.workloads import GIB, MIB
from tusjumbo import Jumbo

SIZES = (64 * MIB, GIB)
PARTS = 8
TIMES = 3

_BODY = {"Content-Type": "application/offset+octet-stream"}


def last_chunk(room: Path, size: int, chunk: int) -> float:
    """Seconds that the last of all chunks takes; the others have come."""
    jumbo = Jumbo(upload_path=room / "jumbo", chunk_size=chunk, durability="os")
    try:
        upload = jumbo.start_upload("a.bin", size)
        last = upload["total_chunks"] - 1
        for number in range(last):
            jumbo.upload_chunk(upload["upload_id"], number, bytes(chunk))
        began = time.perf_counter()
        stored = jumbo.upload_chunk(upload["upload_id"], last, bytes(size - last * chunk))
        took = time.perf_counter() - began
        Path(stored["path"]).unlink()
        return took
    finally:
        jumbo.close()


def joining(room: Path, size: int) -> float:
    """Seconds from asking for the parts to be joined to the answer."""
    server = started("tusjumbo-os", CACHE)[0]
    with server.running(room, None) as up:
        parts = urlsplit(up.url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
        body = bytes(size // PARTS)
        fields = {**_BODY, "Upload-Concat": "partial", "Upload-Length": str(len(body))}
        places = [_created(connection, parts.path, fields, body) for _ in range(PARTS)]
        began = time.perf_counter()
        _created(connection, parts.path, {"Upload-Concat": f"final;{' '.join(places)}"})
        took = time.perf_counter() - began
        connection.close()
        return took


def _created(
    connection: http.client.HTTPConnection, path: str, fields: dict[str, str], body: bytes = b""
) -> str:
    connection.request("POST", path, body, {"Tus-Resumable": "1.0.0", **fields})
    answer = connection.getresponse()
    answer.read()
    if answer.status != 201:
        raise SystemExit(f"POST was answered {answer.status}")
    return answer.getheader("Location") or ""


def copying(room: Path, size: int) -> float:
    """Seconds that a plain copy takes."""
    first = room / "first"
    first.write_bytes(bytes(size))
    began = time.perf_counter()
    shutil.copyfile(first, room / "second")
    return time.perf_counter() - began


def main(parent: str | None, sizes: Sequence[int] = SIZES) -> None:
    rows = {
        "the last chunk of 5 MiB": lambda room, size: last_chunk(room, size, min(5 * MIB, size)),
        f"joining {PARTS} parts": joining,
        "a plain copy": copying,
    }
    print(f"{'ms':24}" + "".join(f"{size / MIB:>10g} MiB" for size in sizes))
    for name, measure in rows.items():
        found = []
        for size in sizes:
            with tempfile.TemporaryDirectory(dir=parent) as directory:
                room = Path(directory)
                found.append(median(measure(room, size) for _ in range(TIMES)) * 1e3)
        print(f"{name:24}" + "".join(f"{value:>14.1f}" for value in found), flush=True)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
