"""What a measurement comes to: values, without anything that measures or judges.

Seconds and bytes everywhere. A measurement in which any answer was wrong has errors in place of
figures, so that no figure comes from them.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.benchmarks.workloads import GIB


class Lacking(enum.Enum):
    """Why there is nothing to measure."""

    CREATION_WITH_UPLOAD = "does not offer creation-with-upload"
    CHECKSUM = "does not offer checksum with this algorithm"
    SLOW_SYNC = "is not started here, so its disk cannot be made slow"


@dataclass(frozen=True)
class Load:
    """What the load generator reports, in seconds and bytes."""

    seconds: float
    bytes: int
    requests: int
    cpu_seconds: float = 0.0
    """Its own CPU time."""
    queued_seconds: float = 0.0
    """How long it was ready to run while others had its core."""
    p50: float = 0.0
    p99: float = 0.0
    longest: float = 0.0
    errors: tuple[str, ...] = ()

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> Load:
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


@dataclass(frozen=True)
class Latency:
    """Of requests at a fixed rate, in seconds."""

    requests: int
    p50: float
    p99: float
    longest: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Latency | None:
        """None if there was no request at all."""
        if not seconds:
            return None
        ordered, last = sorted(seconds), len(seconds) - 1
        p50, p99 = (ordered[round(part * last)] for part in (0.5, 0.99))
        return cls(len(ordered), p50, p99, ordered[-1])


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Figures that count. Seconds and bytes; None: could not be seen."""

    load: Load
    server_cpu: float | None
    idle: int | None = None
    """Resident memory before the first request."""
    peak: int | None = None
    quiet: Latency | None = None
    """Of the probe before the load, where there is one."""
    probe: Latency | None = None
    """Of the probe during the load."""

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
