"""Memory stays what it is, however long a table, a line or a quote is.

Each measurement is a process of its own. VmHWM is the kernel's own record of its peak; it is taken
when a small table was read, and again at the end.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest

from tests.harness.process import memory
from tusjumbo.processing.tables import BadRow, Row, stream

MIB = 1024 * 1024
SIZE = 48 * MIB


def million_rows() -> Iterator[bytes]:
    yield b"id,name,text\n"
    for n in range(1_000_000):
        yield b'%d,name %d,"some ""text""\nhere"\n' % (n, n)


def long_line() -> Iterator[bytes]:
    yield b"a,b\n1,2\n"
    yield from [b"x" * MIB] * (SIZE // MIB)


def open_quote() -> Iterator[bytes]:
    """Each line opens a quote if none is open, and closes and opens one if one is."""
    yield b"a,b\n"
    yield from [b'1","2\n' * (MIB // 6)] * (SIZE // MIB)


def commas() -> Iterator[bytes]:
    yield b"a,b\n1,2\n"
    yield from [b"," * MIB] * (SIZE // MIB)


def long_rows() -> Iterator[bytes]:
    yield b"a,b\n1,2\n"
    yield from [b"1," + b"x" * 100_000 + b"\n"] * (SIZE // 100_000)


# What is read, and what of: rows at least, bad rows at least, and how far the peak may rise.
TABLES = {
    "million_rows": (million_rows, 1_000_000, 0, 8 * MIB),
    "long_line": (long_line, 1, 1, 12 * MIB),
    "open_quote": (open_quote, 0, SIZE // 2 // MIB, 48 * MIB),
    "commas": (commas, 1, 1, 32 * MIB),
    "long_rows": (long_rows, 400, 0, 48 * MIB),
}


@pytest.mark.parametrize("name", TABLES)
def test_memory(name: str) -> None:
    _, least_rows, least_bad, most = TABLES[name]
    command = [sys.executable, "-m", "tests.processing.test_memory", name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True)
    rows, bad, grown = map(int, done.stdout.split())
    print(f"{name}: {rows} rows, {bad} bad rows, {grown / MIB:.1f} MiB")
    assert rows >= least_rows
    assert bad >= least_bad
    assert grown < most


def _measure(name: str) -> None:
    this = psutil.Process()
    bad = 0

    def on_error(row: BadRow) -> None:
        nonlocal bad
        bad += 1

    def callback(rows: list[Row], count: int) -> None:
        assert rows

    stream([b"a,b\n1,2\n3\n" * 100], callback, on_error=on_error)
    idle, bad = memory(this)["VmHWM"], 0
    rows = stream(TABLES[name][0](), callback, on_error=on_error)
    print(rows, bad, memory(this)["VmHWM"] - idle)


if __name__ == "__main__":
    _measure(sys.argv[1])
