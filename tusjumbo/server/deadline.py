"""Deadline: one timer that is moved at every request, so moving it must cost next to nothing.

The loop's timer is set once and left alone as long as it fires early enough; when it fires too
early, it is set again for the rest of the time. A keep-alive connection under load thus touches the
loop's heap every few seconds, not twice per request. It fires once, and never before its time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

# uvloop's clock ticks in milliseconds: a timer may fire this much before its time.
TICK = 0.001


def _nothing() -> None:
    """What happens when a deadline passes that nobody waits for."""


class Deadline:
    __slots__ = ("_at", "_expired", "_loop", "_timer", "_timer_at")

    def __init__(self, loop: asyncio.AbstractEventLoop, expired: Callable[[], None]) -> None:
        self._loop = loop
        self._expired = expired
        self._at: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0

    def set(self, at: float) -> None:
        """Call `expired` at `at`, in the loop's time, and not when it was to be called before."""
        self._at = at
        if self._timer is None or self._timer_at > at:
            self._start(at)

    def clear(self) -> None:
        self._at = None

    def end(self) -> None:
        """Clear for good: nothing is left in the loop, and nobody is kept."""
        self._at = None
        self._expired = _nothing
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _start(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = at
        self._timer = self._loop.call_at(at, self._fire)

    def _fire(self) -> None:
        self._timer = None
        if self._at is None:
            return
        if self._loop.time() + TICK < self._at:
            self._start(self._at)
        else:
            self._at = None
            self._expired()
