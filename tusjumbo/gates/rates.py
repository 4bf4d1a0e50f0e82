"""Rates: how many requests each client may send.

A bucket of `burst` requests for each client, by its address, filled again by `per_second`. It is
asked first, so that who is refused costs nothing else. Clients whose address is not known share a
bucket. Buckets are this process's own: several workers let as many times as much through.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from tusjumbo.application import Admission, Gate, Identity
from tusjumbo.errors import ConfigurationError, TooManyRequests
from tusjumbo.ports import Clock

_MOST = 100_000
"""Buckets. When there are more, those that are full go, and else the oldest."""


@dataclass(slots=True)
class _Bucket:
    left: float
    at: float


class Rates:
    """See `tusjumbo.application.Gate`: another one, or none, behind this."""

    def __init__(
        self,
        gate: Gate | None,
        *,
        per_second: float,
        burst: float,
        clock: Clock = time.monotonic,
    ) -> None:
        """:raises ConfigurationError: nobody could ever send a request"""
        if per_second <= 0 or burst < 1:
            raise ConfigurationError("has to be at least 1", setting="rate_burst")
        self._gate = gate
        self._per_second = per_second
        self._burst = burst
        self._clock = clock
        self._buckets: dict[str, _Bucket] = {}

    async def admit(self, admission: Admission) -> Identity | None:
        self._take(admission.client)
        return None if self._gate is None else await self._gate.admit(admission)

    def _take(self, client: str) -> None:
        now = self._clock()
        bucket = self._buckets.get(client)
        if bucket is None:
            self._make_room(now)
            bucket = self._buckets[client] = _Bucket(self._burst, now)
        gained = max(0.0, now - bucket.at) * self._per_second
        bucket.left, bucket.at = min(self._burst, bucket.left + gained), now
        if bucket.left < 1:
            raise TooManyRequests((1 - bucket.left) / self._per_second)
        bucket.left -= 1

    def _make_room(self, now: float) -> None:
        if len(self._buckets) < _MOST:
            return
        full_after = self._burst / self._per_second
        self._buckets = {
            client: bucket
            for client, bucket in self._buckets.items()
            if now - bucket.at < full_after
        }
        while len(self._buckets) >= _MOST:
            del self._buckets[next(iter(self._buckets))]
