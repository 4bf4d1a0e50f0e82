"""The workloads W1 to W8 of PERFORMANCE.md as values: what the load generator is told to do.

One table, in the order in which they run. A workload knows neither servers nor results.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from tests.benchmarks.tools import BenchmarkError

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


class Mode(enum.Enum):
    """What each connection does; the words are those of load.c."""

    STREAM = "stream"
    UPLOAD = "upload"
    WHOLE = "whole"
    HEAD = "head"
    SLOW = "slow"
    PACED = "paced"
    """Besides another workload: what `Measure.LATENCY` is measured by."""


class Disk(enum.Enum):
    AS_IS = "as it is"
    SLOW_SYNC = "fsync takes longer"
    """By `SLOW_SYNC_MS`."""


SLOW_SYNC_MS = 200


class Measure(enum.Enum):
    """Which figure a workload is about."""

    THROUGHPUT = "GiB/s"
    REQUESTS = "requests/s"
    MEMORY = "MiB"
    LATENCY = "ms"
    """Of HEAD requests that come at a fixed rate, on connections and of uploads of their own."""


@dataclass(frozen=True)
class Workload:
    name: str
    title: str
    mode: Mode
    measure: Measure
    connections: int
    size: int
    """Bytes of one upload."""
    chunk: int
    """Most bytes of one PATCH."""
    seconds: float
    """How long a repeating or slow workload goes on; 0 for streams, which end with their bytes."""
    memory: int
    """About how many bytes of page cache it fills, for `measure.warm_memory`."""
    checksum: str = ""
    """hashlib's name of the algorithm that each PATCH carries a digest of; empty: none."""
    disk: Disk = Disk.AS_IS

    def scaled(self, scale: float) -> Workload:
        """Smaller: fewer bytes where bytes are the work, less time where time is."""
        if self.mode is Mode.STREAM:
            size = max(64 * KIB, int(self.size * scale))
            return replace(self, size=size, memory=int(self.memory * scale))
        if self.mode is Mode.SLOW:
            size = max(64 * KIB, int(self.size * scale))
            seconds = max(0.3, self.seconds * scale)
            return replace(self, size=size, seconds=seconds, memory=int(self.memory * scale))
        seconds = max(0.1, self.seconds * scale)
        return replace(self, seconds=seconds, memory=int(self.memory * scale))

    def warm_up(self) -> Workload | None:
        """The same, too short to measure; None where the first use belongs to the figure."""
        if self.measure is Measure.MEMORY:
            return None
        if self.mode is Mode.STREAM:
            return replace(self, size=min(self.size, 2 * MIB))
        return replace(self, seconds=self.seconds / 8)

    def arguments(self, limit: float, *, delete: bool) -> list[str]:
        """What load.c takes behind the URL. `limit`: seconds for each of its phases.

        A checksum comes behind that: see `checksums.argument`.
        """
        numbers = (self.connections, self.size, self.chunk, self.seconds, limit)
        return [self.mode.value, *map(str, numbers), "delete" if delete else "keep"]


_T, _R, _M, _L = Measure.THROUGHPUT, Measure.REQUESTS, Measure.MEMORY, Measure.LATENCY

WORKLOADS: Sequence[Workload] = (
    Workload("W1", "one upload in one PATCH", Mode.STREAM, _T, 1, 2 * GIB, 2 * GIB, 0, 2 * GIB),
    Workload(
        "W2",
        "one upload in PATCHes of 5 MiB on one connection",
        Mode.STREAM,
        _T,
        1,
        2 * GIB,
        5 * MIB,
        0,
        2 * GIB,
    ),
    Workload(
        "W3", "8 uploads at once, one PATCH each", Mode.STREAM, _T, 8, 256 * MIB, GIB, 0, 2 * GIB
    ),
    Workload(
        "W4a",
        "POST and PATCH of 4 KiB on 32 connections",
        Mode.UPLOAD,
        _R,
        32,
        4 * KIB,
        4 * KIB,
        4,
        512 * MIB,
    ),
    Workload(
        "W4b",
        "creation-with-upload of 4 KiB on 32 connections",
        Mode.WHOLE,
        _R,
        32,
        4 * KIB,
        4 * KIB,
        4,
        512 * MIB,
    ),
    Workload(
        "W5", "HEAD on 32 connections, of an upload each", Mode.HEAD, _R, 32, 4 * KIB, 4 * KIB, 4, 0
    ),
    Workload(
        "W6a", "memory: one upload in one PATCH", Mode.STREAM, _M, 1, 2 * GIB, 2 * GIB, 0, 2 * GIB
    ),
    Workload(
        "W6b",
        "memory: 500 slow uploads of 2 MiB open at once",
        Mode.SLOW,
        _M,
        500,
        2 * MIB,
        2 * MIB,
        8,
        GIB,
    ),
    Workload(
        "W7a",
        "W2 with Upload-Checksum: sha1",
        Mode.STREAM,
        _T,
        1,
        2 * GIB,
        5 * MIB,
        0,
        2 * GIB,
        checksum="sha1",
    ),
    Workload(
        "W7b",
        "W2 with Upload-Checksum: sha256",
        Mode.STREAM,
        _T,
        1,
        2 * GIB,
        5 * MIB,
        0,
        2 * GIB,
        checksum="sha256",
    ),
    Workload(
        "W8a",
        "HEAD during 8 uploads at once, one PATCH each",
        Mode.STREAM,
        _L,
        8,
        512 * MIB,
        GIB,
        0,
        4 * GIB,
    ),
    Workload(
        "W8b",
        "HEAD during 8 uploads in PATCHes of 1 MiB, while fsync takes 200 ms",
        Mode.STREAM,
        _L,
        8,
        8 * MIB,
        MIB,
        0,
        64 * MIB,
        disk=Disk.SLOW_SYNC,
    ),
)

PROBE = Workload(
    "probe", "HEAD, 200 times a second", Mode.PACED, _L, 20, 4 * KIB, 10, float("inf"), 0
)
"""Of this one the chunk is the rate on each connection: so low that an answer may take 100 ms and
does not delay the next request. It goes on until it is ended."""


def chosen(names: Collection[str], scale: float) -> list[Workload]:
    """Those named, scaled, in the table's order; `W4` and `W6` mean both of theirs, none: all.

    :raises BenchmarkError: a name that no workload has
    """
    known = {row.name for row in WORKLOADS} | {row.name.rstrip("ab") for row in WORKLOADS}
    unknown = sorted(set(names) - known)
    if unknown:
        rows = ", ".join(row.name for row in WORKLOADS)
        raise BenchmarkError(f"no workload {', '.join(unknown)}; there are {rows}")
    return [
        row.scaled(scale)
        for row in WORKLOADS
        if not names or row.name in names or row.name.rstrip("ab") in names
    ]
