"""stream_csv needs the memory of a batch, for 200 MB as for 15: of a path, and of a following.

Each measurement is a process of its own. VmHWM is the kernel's own record of its peak; it is taken
when a small table was read, and again at the end.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from tests.harness.process import memory
from tusjumbo import Jumbo
from tusjumbo.processing.tables import Row

MIB = 1024 * 1024
CHUNK = 5 * MIB
ROW = b'%d,"name ""%d""",' + b"x" * 2000 + b",some text here\n"
NAMES = b"id,name,text,more\n"
ROWS = 200_000_000 // len(ROW)

# What is read of, and how far the peak may rise: a few blocks of the upload are in memory as well.
SOURCES = {"path": 8 * MIB, "follow": 32 * MIB}


@pytest.mark.parametrize("source", SOURCES)
def test_memory(source: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.jumbo.test_tables_memory", source, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    rows, grown = map(int, done.stdout.split())
    print(f"{source}: {rows} rows, {grown / MIB:.1f} MiB")
    assert rows == ROWS
    assert grown < SOURCES[source]


def chunks(rows: int) -> Iterator[bytes]:
    waiting = bytearray(NAMES)
    for n in range(rows):
        waiting += ROW % (n, n)
        if len(waiting) >= CHUNK:
            yield bytes(waiting[:CHUNK])
            del waiting[:CHUNK]
    yield bytes(waiting)


def read(source: str, directory: Path, rows: int) -> int:
    def callback(rows: list[Row], row_count: int) -> None:
        assert rows[-1]["more"] == "some text here"

    with Jumbo(directory, chunk_size=CHUNK, durability="os") as jumbo:
        if source == "path":
            with (directory / "t.csv").open("wb") as file:
                file.writelines(chunks(rows))
            return jumbo.stream_csv(directory / "t.csv", callback)
        upload_id = jumbo.start_upload("t.csv", sum(map(len, chunks(rows))))["upload_id"]
        with ThreadPoolExecutor(1) as executor:
            found = executor.submit(jumbo.stream_csv, upload_id, callback, follow=True)
            for number, chunk in enumerate(chunks(rows)):
                jumbo.upload_chunk(upload_id, number, chunk)
            return found.result()


def _measure(source: str, directory: Path) -> None:
    this = psutil.Process()
    few = 3 * CHUNK // len(ROW)
    assert read(source, directory, few) == few
    idle = memory(this)["VmHWM"]
    rows = read(source, directory, ROWS)
    print(rows, memory(this)["VmHWM"] - idle)


if __name__ == "__main__":
    _measure(sys.argv[1], Path(sys.argv[2]))
