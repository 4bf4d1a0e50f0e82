"""Digests for workloads with `Upload-Checksum`, and how fast the hash alone is on one core.

The load generator sends the same bytes in every PATCH, so two digests are enough: of a whole chunk,
and of the last, shorter one. The hash alone is measured as if it were a server, in every run of
such a workload, on the servers' core if they have one: as many bytes, in the same pieces.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

from tests.benchmarks.figures import Load, Measured, Measurement
from tests.benchmarks.tools import BenchmarkError
from tests.benchmarks.workloads import Workload

HASH = "hash-alone"
"""Its name in place of a server's."""

# Started with the algorithm, the size of all, the size of a piece, and the cores to stay on.
_PROGRAM = """\
import hashlib
import json
import os
import sys
import time
name, size, chunk, *cpus = sys.argv[1], *map(int, sys.argv[2:])
if cpus:
    os.sched_setaffinity(0, cpus)
piece = memoryview(bytes(range(256)) * (chunk // 256 + 1))
hashlib.new(name, piece).digest()
left, began, cpu = size, time.perf_counter(), time.process_time()
while left:
    some = min(left, chunk)
    hashlib.new(name, piece[:some]).digest()
    left -= some
print(json.dumps([time.perf_counter() - began, time.process_time() - cpu]))
"""


def argument(generator: Path, workload: Workload) -> list[str]:
    """What tells the load generator which digests to send; nothing if the workload has none."""
    if not workload.checksum:
        return []
    chunk = min(workload.chunk, workload.size)
    sizes = (chunk, workload.size % workload.chunk)
    return [
        ",".join([workload.checksum, *(_digest(generator, workload.checksum, n) for n in sizes)])
    ]


@functools.cache
def _digest(generator: Path, algorithm: str, size: int) -> str:
    pattern = _pattern(generator)
    whole, rest = divmod(size, len(pattern))
    digest = hashlib.new(algorithm, pattern * whole + pattern[:rest]).digest()
    return base64.b64encode(digest).decode()


@functools.cache
def _pattern(generator: Path) -> bytes:
    return subprocess.run([generator, "pattern"], stdout=subprocess.PIPE, check=True).stdout


def measured_alone(workload: Workload, run: int, cpus: Collection[int] | None) -> Measurement:
    """The workload's hash over as many bytes as it has, without any server."""
    numbers = map(str, (workload.size, workload.chunk, *(cpus or ())))
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, workload.checksum, *numbers],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BenchmarkError(f"{HASH} ended with exit code {done.returncode}")
    seconds, cpu = json.loads(done.stdout)
    pieces = -(-workload.size // workload.chunk)
    load = Load(seconds=seconds, bytes=workload.size, requests=pieces)
    return Measurement(HASH, workload.name, run, Measured(load=load, server_cpu=cpu))
