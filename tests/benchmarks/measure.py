"""One measurement: one workload against one server, once.

Strategy: start the server fresh, note its memory, warm it up, settle the machine, reset the peaks,
run the load generator, read the counters. Nothing is judged or averaged here. A measurement in
which any answer was wrong has errors in place of figures.

Memory is warmed, because on virtual machines whose free pages go back to the host the first touch
of a page costs more than everything else here: 2 GiB into /dev/shm took 0.73 to 0.85 s warmed and
0.7 to 2.4 s otherwise (dd, 2 cores, 2026-11-22). On disk, what was left dirty before is synced.
"""

from __future__ import annotations

import json
import mmap
import os
import subprocess
import time
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.benchmarks.checksums import argument
from tests.benchmarks.figures import Lacking, Latency, Load, Measured, Measurement
from tests.benchmarks.servers import LIMIT, Running, Server
from tests.benchmarks.tools import BenchmarkError
from tests.benchmarks.workloads import (
    MIB,
    PROBE,
    SLOW_SYNC_MS,
    Disk,
    Measure,
    Mode,
    Workload,
)

_MADV_POPULATE_WRITE = 23
_WARM_SECONDS = 8.0


@dataclass(frozen=True)
class Bench:
    """Where and how to measure."""

    generator: Path
    slow_sync: Path
    """The library that makes fsync slow."""
    room: Path
    server_cpus: Collection[int] | None = None
    """Cores for the servers; this process and the generator are on others then."""
    limit: float = 120.0
    """Seconds that a phase of the load generator may take."""
    quiet: float = 1.0
    """Seconds that a probe has the server for itself."""
    sync_ms: int = SLOW_SYNC_MS
    settle: bool = True
    """Warm memory and sync disks first: for figures, not for tests of this room."""

    def measure(self, server: Server, workload: Workload, run: int) -> Measurement:
        """Never takes longer than a few times `limit`, whatever the server does."""
        try:
            front = self._in_front(workload)
            with server.running(self.room, self.server_cpus, front) as up:
                result = self._measure(server, up, workload)
        except BenchmarkError as error:
            result = (str(error),)
        return Measurement(server.name, workload.name, run, result)

    def _in_front(self, workload: Workload) -> list[str]:
        """Words in front of the command that starts a server."""
        if workload.disk is Disk.AS_IS:
            return []
        return ["env", f"LD_PRELOAD={self.slow_sync}", f"SLOWSYNC_MS={self.sync_ms}"]

    def _measure(
        self, server: Server, up: Running, workload: Workload
    ) -> Measured | Lacking | tuple[str, ...]:
        if lacking := _lacking(up, workload):
            return lacking
        seen = up.processes
        idle = seen.resident() if seen else None
        if warm := workload.warm_up():
            self._load(up, warm)
        if self.settle:
            self._settle(server, workload)
        peaks = seen.reset_peak() if seen else False
        before = seen.cpu_seconds() if seen else 0.0
        quiet = during = None
        if workload.measure is Measure.LATENCY:
            load, quiet, during = self._probed(up, workload)
        else:
            load = Load.read(self._load(up, workload))
        if load.errors:
            return load.errors
        return Measured(
            load=load,
            server_cpu=seen.cpu_seconds() - before if seen else None,
            idle=idle,
            peak=seen.peak() if seen and peaks else None,
            quiet=quiet,
            probe=during,
        )

    def _probed(
        self, up: Running, workload: Workload
    ) -> tuple[Load, Latency | None, Latency | None]:
        """The load, and the probe before it and during it."""
        words = PROBE.arguments(8 * self.limit, delete=not up.owned)
        with subprocess.Popen(
            [str(self.generator), up.url, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as probe:
            try:
                assert probe.stderr is not None
                if probe.stderr.readline() != "paced\n":
                    raise BenchmarkError(f"the probe does not begin: {probe.communicate()[0]}")
                time.sleep(self.quiet)
                loaded = time.monotonic()  # the load generator's clock, too
                told = self._load(up, workload)
                probe.terminate()
                paced = json.loads(probe.communicate(timeout=self.limit)[0])
            finally:
                probe.kill()
        load = Load.read(told)
        load = replace(load, errors=(*load.errors, *Load.read(paced).errors))
        began, ended = told["began"], told["began"] + told["seconds"]
        quiet = [took for at, took in paced["paced"] if at + took < loaded]
        during = [took for at, took in paced["paced"] if began < at + took and at < ended]
        return load, Latency.of(quiet), Latency.of(during)

    def _settle(self, server: Server, workload: Workload) -> None:
        if not self.room.is_relative_to("/dev/shm"):
            os.sync()
        if server.name != LIMIT:  # which stores nothing
            warm_memory(workload.memory * 5 // 4)

    def _load(self, up: Running, workload: Workload) -> dict[str, Any]:
        """What the load generator says; see load.c."""
        words = workload.arguments(self.limit, delete=not up.owned)
        words += argument(self.generator, workload)
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
        told: dict[str, Any] = json.loads(done.stdout)
        return told


def _lacking(up: Running, workload: Workload) -> Lacking | None:
    offers = up.extensions
    if workload.disk is Disk.SLOW_SYNC and not up.owned:
        return Lacking.SLOW_SYNC
    if offers is None:
        return None
    if workload.mode is Mode.WHOLE and "creation-with-upload" not in offers:
        return Lacking.CREATION_WITH_UPLOAD
    if workload.checksum and not {"checksum", workload.checksum} <= offers:
        return Lacking.CHECKSUM
    return None


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
