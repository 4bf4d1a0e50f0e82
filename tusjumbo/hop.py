"""Hop: the one way from the event loop to a worker thread.

Each kind of blocking work (disk, catalog) has a Hop of its own with its own number of tokens, so
that slow disks cannot take the threads that answer HEAD, and neither can take those of the
application that we are mounted in. Tokens belong to an event loop; a Hop may be shared by many.

A cancelled caller waits for its thread: work that has begun is never left behind unseen, and work
that has not never begins. If it was a cancel scope of anyio's, the caller has what the work came to
and is cancelled at its next checkpoint; `asyncio.Task.cancel` (uvicorn's last resort at shutdown,
`asyncio.timeout`, `asyncio.wait_for`) goes through every shield, so it is held up by hand.

The way there and back is our own in asyncio (`tusjumbo.threads`), and anyio's elsewhere and for
threads that ask their loop for something (`Stay`).

Several steps may go to a thread together (`tusjumbo.errands`): there, hops are plain calls.
"""

from __future__ import annotations

import asyncio
import math
import sys
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Generic, ParamSpec, TypeVar

import anyio
from anyio import from_thread
from anyio.lowlevel import RunVar
from anyio.to_thread import run_sync

from tusjumbo.threads import Call, Desks

P = ParamSpec("P")
T = TypeVar("T")


class Hop:
    """Threads for one kind of work. It may be shared by event loops, and is safe to fork.

    Work sees none of its caller's context variables, and nothing of `anyio.from_thread`.
    """

    def __init__(self, tokens: int) -> None:
        """`tokens`: how many threads may be at work at once, for each event loop."""
        self._desks = Desks(tokens)
        self._elsewhere = Stay(tokens)

    async def __call__(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` in a thread and return what it returns, or raise what it raises."""
        if here.is_errand:
            return work(*args, **kwargs)
        loop = _running_loop()
        if loop is None:
            return await self._elsewhere(work, *args, **kwargs)
        await asyncio.sleep(0)  # a checkpoint: who is cancelled by now does not begin
        call = Call(loop, partial(work, *args, **kwargs))
        self._desks.of(loop).put(call)
        try:
            await call.future
        except BaseException as cancellation:
            if call.withdraw() or not isinstance(cancellation, asyncio.CancelledError):
                raise
            is_by_scope = anyio.current_effective_deadline() == -math.inf
            is_by_task = await _end_of(call)
            if not is_by_scope:
                raise
            if is_by_task:
                raise asyncio.CancelledError from cancellation
        return call.result()


class Stay:
    """Threads for work that asks its loop for something meanwhile, by `anyio.from_thread`.

    Called like a Hop.
    """

    def __init__(self, tokens: int) -> None:
        self._tokens = tokens
        self._limiter: RunVar[anyio.CapacityLimiter] = RunVar(f"tusjumbo stay {id(self):x}")

    async def __call__(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
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

    async def alert(self, work: Callable[[], T]) -> T:
        """As a call. `anyio.from_thread.check_cancelled` in `work` hears of every cancellation.

        A thread hears only of cancel scopes, and `asyncio.Task.cancel` is none to a task: it is to
        the children of that task.
        """
        results: list[T] = []
        failures: list[BaseException] = []

        async def child() -> None:
            try:
                results.append(await self(work))
            except anyio.get_cancelled_exc_class():
                raise
            except BaseException as failure:
                failures.append(failure)

        async with anyio.create_task_group() as group:
            group.start_soon(child)
        if failures:
            raise failures.pop()
        return results.pop()


def ask(work: Callable[[], Awaitable[T]], /) -> T:
    """Have the loop of this thread, which is one of `Stay`'s, await something, and wait for it."""

    async def run() -> T:
        return await work()

    from_thread.check_cancelled()
    return from_thread.run(run)


class _Here(threading.local):
    is_errand = False
    """Whether this thread carries out an errand: hops are plain calls then."""


here = _Here()


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
    trio = sys.modules.get("trio")
    in_trio = trio is not None and bool(trio.lowlevel.in_trio_run())
    return in_trio or _running_loop() is not None


def _running_loop() -> asyncio.AbstractEventLoop | None:
    """asyncio's, if it is that."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


async def _end_of(call: Call[Any]) -> bool:
    """Wait for it, whoever is cancelled. True if the task has been, and not just a scope."""
    is_cancelled = False
    with anyio.CancelScope(shield=True):
        while not call.is_over:
            call.future = call.loop.create_future()
            try:
                await call.future
            except asyncio.CancelledError:
                is_cancelled = True
    return is_cancelled


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
