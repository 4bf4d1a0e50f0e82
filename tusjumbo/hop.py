"""Hop: the one way from the event loop to a worker thread.

Each kind of blocking work (disk, catalog) has a Hop of its own with its own number of tokens, so
that slow disks cannot take the threads that answer HEAD, and neither can take those of the
application that we are mounted in. Limiters belong to an event loop; a Hop may be shared by many.

A cancelled caller waits for its thread: work that has begun is never left behind unseen. anyio sees
to that for its own cancel scopes, but `asyncio.Task.cancel` (uvicorn's last resort at shutdown,
`asyncio.timeout`, `asyncio.wait_for`) goes through every shield, so here it is waited for by hand.

A thread costs more to get to than most of the work that is done there. So several steps may go
together as an errand: in its thread, hops are plain calls.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Generic, ParamSpec, TypeVar

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
        if _here.is_errand:
            return work(*args, **kwargs)
        try:
            limiter = self._limiter.get()
        except LookupError:
            limiter = anyio.CapacityLimiter(self._tokens)
            self._limiter.set(limiter)
        running = _Running(partial(work, *args, **kwargs))
        try:
            return await run_sync(running, limiter=limiter)
        except anyio.get_cancelled_exc_class():
            await running.is_over()
            raise

    async def errand(self, steps: Callable[[], Coroutine[object, None, T]]) -> T:
        """Carry out `steps` in one thread, and with one token. They may wait for hops only.

        What its thread has begun is carried out to its end, even if the caller is cancelled.
        """
        return await self(_carried_out, steps)


class _Here(threading.local):
    is_errand = False
    """Whether this thread carries out an errand."""


_here = _Here()


def _carried_out(steps: Callable[[], Coroutine[object, None, T]]) -> T:
    before, _here.is_errand = _here.is_errand, True
    errand = steps()
    try:
        errand.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    finally:
        _here.is_errand = before
        errand.close()
    raise RuntimeError("an errand waits for nothing but hops")


def aside(work: Callable[[], object], name: str) -> None:
    """Do `work` for somebody who does not wait for it: at once, or in a thread called `name` if a
    loop runs here.

    For the remains of objects: the garbage collector comes by anywhere.
    """
    if _is_in_a_loop():
        threading.Thread(target=work, name=name).start()
    else:
        work()


def _is_in_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        trio = sys.modules.get("trio")
        return trio is not None and bool(trio.lowlevel.in_trio_run())
    return True


class _Running(Generic[T]):
    """Work that is about to begin in a thread, unless its caller leaves first."""

    __slots__ = ("_turn", "_work", "over")

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._turn = threading.Lock()
        self.over = False

    def __call__(self) -> T:
        if not self._turn.acquire(blocking=False):
            raise RuntimeError("its caller has left")
        try:
            return self._work()
        finally:
            self.over = True

    async def is_over(self) -> None:
        """Return when the work has ended; if it has not begun, it never will."""
        if self._turn.acquire(blocking=False):
            return
        while not self.over:
            try:
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(0.001)
            except anyio.get_cancelled_exc_class():
                continue  # cancelled again; the caller raises the first cancellation
