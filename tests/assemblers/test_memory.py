"""Memory stays what it is, however long a file is.

Each measurement is a process of its own: first a small file, then a large one, and by how much the
kernel's record of its peak (VmHWM) has risen in between.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import anyio
import psutil
import pytest

from tests.assemblers.arrivals import arrived
from tests.assemblers.conftest import S3
from tests.harness.process import memory
from tusjumbo.assemblers.by_words import assembler

MIB = 1024 * 1024
SIZE = 128 * MIB
LIMIT = 48 * MIB


@pytest.mark.parametrize("word", ["zstd", "sha256", "push:s3://incoming/{id}"])
def test_memory(word: str, s3: S3) -> None:
    environment = {
        **os.environ,
        "AWS_ENDPOINT_URL": s3.options["endpoint_url"],
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
    }
    command = [sys.executable, "-m", __name__, word]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < LIMIT


def measure(word: str) -> int:
    assemble = assembler(word)
    peaks: list[int] = []
    for size in (9 * MIB, SIZE):
        with tempfile.TemporaryDirectory() as directory:
            arrival = arrived(Path(directory))
            os.truncate(arrival.path, size)
            anyio.run(assemble, arrival)
        peaks.append(memory(psutil.Process())["VmHWM"])
    return peaks[1] - peaks[0]


if __name__ == "__main__":
    print(measure(sys.argv[1]))
