"""Hop: the one way from the event loop to a worker thread.

Each kind of blocking work (disk, catalog) has a Hop of its own with its own number of tokens, so
that slow disks cannot take the threads that answer HEAD, and neither can take those of the
application that we are mounted in. Limiters belong to an event loop; a Hop may be shared by many.
A cancelled caller waits for its thread: work that has begun is never left behind unseen.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import ParamSpec, TypeVar

import anyio
from anyio.lowlevel import RunVar
from anyio.to_thread import run_sync

P = ParamSpec("P")
T = TypeVar("T")


class Hop:
    def __init__(self, tokens: int) -> None:
        self._tokens = tokens
        self._limiter: RunVar[anyio.CapacityLimiter] = RunVar(f"tusjumbo hop {id(self):x}")

    async def __call__(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` in a thread and return what it returns, or raise what it raises."""
        try:
            limiter = self._limiter.get()
        except LookupError:
            limiter = anyio.CapacityLimiter(self._tokens)
            self._limiter.set(limiter)
        return await run_sync(partial(work, *args, **kwargs), limiter=limiter)
