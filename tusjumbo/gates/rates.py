"""Rates: how many requests each client may send.

A bucket of `burst` requests for each client, by its address, filled again by `per_second`. It is
asked first, so that who is refused costs nothing else. Clients whose address is not known share a
bucket, and so does an IPv6 network of 64 bits, which is the least that anybody has. A request that
joins uploads is one request, however many parts the gate is asked about. Buckets are this
process's own: several workers let as many times as much through.

Invariant: they stand in the order of their last use, so that the first is missed least.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from ipaddress import IPv6Address

from tusjumbo.application import Admission, Gate, Identity
from tusjumbo.errors import ConfigurationError, TooManyRequests
from tusjumbo.ports import Clock
from tusjumbo.sessions.commands import Action

_MOST = 100_000
"""Buckets. When there are more, the one goes that was used longest ago."""


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
        if not (per_second > 0 and burst >= 1):
            raise ConfigurationError("has to be at least 1", setting="rate_burst")
        self._gate = gate
        self._per_second = per_second
        self._burst = burst
        self._clock = clock
        self._mutex = threading.Lock()  # event loops of several threads may share this
        self._buckets: dict[str, _Bucket] = {}

    async def admit(self, admission: Admission) -> Identity | None:
        if admission.action is not Action.JOIN:
            with self._mutex:
                self._take(_network(admission.client))
        return None if self._gate is None else await self._gate.admit(admission)

    def _take(self, client: str) -> None:
        now = self._clock()
        bucket = self._buckets.pop(client, None) or _Bucket(self._burst, now)
        self._buckets[client] = bucket
        if len(self._buckets) > _MOST:
            del self._buckets[next(iter(self._buckets))]
        gained = max(0.0, now - bucket.at) * self._per_second
        bucket.left, bucket.at = min(self._burst, bucket.left + gained), now
        if bucket.left < 1:
            raise TooManyRequests((1 - bucket.left) / self._per_second)
        bucket.left -= 1


def _network(client: str) -> str:
    """Whose bucket a client's address is."""
    if ":" not in client:
        return client
    try:
        return IPv6Address(client).packed[:8].hex()
    except ValueError:
        return client
