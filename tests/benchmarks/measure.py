"""One measurement: one workload against one server, once.

Strategy: start the server fresh, note its memory, warm it up, settle the machine, reset the peaks,
run the load generator, read the counters. Nothing is judged or averaged here. A measurement in
which any answer was wrong has errors in place of figures.

Memory is warmed, because on virtual machines whose free pages go back to the host the first touch
of a page costs more than everything else here: 2 GiB into /dev/shm took 0.73 to 0.85 s warmed and
0.7 to 2.4 s otherwise (dd, 2 cores, 2026-11-22). On disk, what was left dirty before is synced.
"""

from __future__ import annotations

import enum
import json
import mmap
import os
import subprocess
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.servers import LIMIT, Running, Server
from tests.benchmarks.tools import BenchmarkError
from tests.benchmarks.workloads import GIB, MIB, Mode, Workload

_MADV_POPULATE_WRITE = 23
_WARM_SECONDS = 8.0


class Lacking(enum.Enum):
    """Why there is nothing to measure."""

    CREATION_WITH_UPLOAD = "does not offer creation-with-upload"


@dataclass(frozen=True)
class Load:
    """What the load generator reports, in seconds and bytes."""

    seconds: float
    bytes: int
    requests: int
    cpu_seconds: float
    """Its own CPU time."""
    queued_seconds: float
    """How long it was ready to run while others had its core."""
    p50: float
    p99: float
    longest: float
    errors: tuple[str, ...]

    @classmethod
    def read(cls, report: str) -> Load:
        told = json.loads(report)
        errors = list(told["samples"])
        if told["errors"] > len(errors):
            errors.append(f"{told['errors'] - len(errors)} more")
        return cls(
            seconds=told["seconds"],
            bytes=told["bytes"],
            requests=told["requests"],
            cpu_seconds=told["cpu_seconds"],
            queued_seconds=told["queued_seconds"],
            p50=told["latency"]["p50"],
            p99=told["latency"]["p99"],
            longest=told["latency"]["max"],
            errors=tuple(errors),
        )

    @property
    def bytes_per_second(self) -> float:
        return self.bytes / self.seconds

    @property
    def requests_per_second(self) -> float:
        return self.requests / self.seconds

    @property
    def busy(self) -> float:
        """The part of one core that generating took; near 1 the generator was the limit."""
        return self.cpu_seconds / self.seconds

    @property
    def queued(self) -> float:
        """The part of the time in which the generator stood in the queue for its core."""
        return self.queued_seconds / self.seconds


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Figures that count. Seconds and bytes; None: could not be seen."""

    load: Load
    server_cpu: float | None
    idle: int | None
    """Resident memory before the first request."""
    peak: int | None

    @property
    def cpu_per_gib(self) -> float | None:
        if self.server_cpu is None or self.load.bytes == 0:
            return None
        return self.server_cpu / self.load.bytes * GIB

    @property
    def cpu_per_request(self) -> float | None:
        if self.server_cpu is None or self.load.requests == 0:
            return None
        return self.server_cpu / self.load.requests

    @property
    def growth(self) -> int | None:
        return None if self.peak is None or self.idle is None else self.peak - self.idle


@dataclass(frozen=True)
class Measurement:
    server: str
    workload: str
    run: int
    result: Measured | Lacking | tuple[str, ...]
    """Figures, or why there is nothing to measure, or what went wrong."""


@dataclass(frozen=True)
class Bench:
    """Where and how to measure."""

    generator: Path
    room: Path
    server_cpus: Collection[int] | None = None
    """Cores for the servers; this process and the generator are on others then."""
    limit: float = 120.0
    """Seconds that a phase of the load generator may take."""
    settle: bool = True
    """Warm memory and sync disks first: for figures, not for tests of this room."""

    def measure(self, server: Server, workload: Workload, run: int) -> Measurement:
        """Never takes longer than a few times `limit`, whatever the server does."""
        try:
            with server.running(self.room, self.server_cpus) as up:
                result = self._measure(server, up, workload)
        except BenchmarkError as error:
            result = (str(error),)
        return Measurement(server.name, workload.name, run, result)

    def _measure(
        self, server: Server, up: Running, workload: Workload
    ) -> Measured | Lacking | tuple[str, ...]:
        if _lacks(up, workload):
            return Lacking.CREATION_WITH_UPLOAD
        seen = up.processes
        idle = seen.resident() if seen else None
        if warm := workload.warm_up():
            self._load(up, warm)
        if self.settle:
            self._settle(server, workload)
        peaks = seen.reset_peak() if seen else False
        before = seen.cpu_seconds() if seen else 0.0
        load = self._load(up, workload)
        if load.errors:
            return load.errors
        return Measured(
            load=load,
            server_cpu=seen.cpu_seconds() - before if seen else None,
            idle=idle,
            peak=seen.peak() if seen and peaks else None,
        )

    def _settle(self, server: Server, workload: Workload) -> None:
        if not self.room.is_relative_to("/dev/shm"):
            os.sync()
        if server.name != LIMIT:  # which stores nothing
            warm_memory(workload.memory * 5 // 4)

    def _load(self, up: Running, workload: Workload) -> Load:
        words = workload.arguments(self.limit, delete=not up.owned)
        try:
            done = subprocess.run(
                [str(self.generator), up.url, *words],
                capture_output=True,
                text=True,
                timeout=4 * self.limit,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise BenchmarkError(f"the load generator does not end at {workload.name}") from error
        if done.returncode:
            raise BenchmarkError(f"the load generator failed: {done.stderr.strip()}")
        return Load.read(done.stdout)


def _lacks(up: Running, workload: Workload) -> bool:
    offers = up.extensions
    return (
        workload.mode is Mode.WHOLE and offers is not None and "creation-with-upload" not in offers
    )


def warm_memory(size: int) -> None:
    """Have `size` bytes of free memory that the host has already given us, if that is to be had."""
    available = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    held: list[mmap.mmap] = []
    deadline = time.monotonic() + _WARM_SECONDS
    try:
        for _ in range(min(size, available // 2) // (64 * MIB)):
            piece = mmap.mmap(-1, 64 * MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            held.append(piece)
            piece.madvise(_MADV_POPULATE_WRITE)
            if time.monotonic() > deadline:
                break
    except OSError:  # kernels before 5.14, or no memory: colder, and still right
        pass
    finally:
        for piece in held:
            piece.close()
