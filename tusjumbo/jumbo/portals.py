"""Portal: an event loop in a thread of its own, for programs that have none.

It begins with the first call and ends with `close`, or with the object or the program. A forked
child has no threads of its parent's: there the next call begins another one, and nothing may wait
for the old one, not even while its remains are collected. (So it is not anyio's own context manager
that keeps the thread: as a generator that is left in the middle, it would wait for ever.)
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from functools import partial
from typing import TypeVar

import anyio
from anyio.from_thread import BlockingPortal

from tusjumbo.hop import aside

T = TypeVar("T")


class Portal:
    def __init__(
        self, living: Callable[[], Awaitable[None]], closing: Callable[[], Awaitable[None]]
    ) -> None:
        """`living` goes on in the loop as long as that does; then `closing` is awaited there."""
        self._living = living
        self._closing = closing
        self._mutex = threading.Lock()
        self._portal: BlockingPortal | None = None
        self._end: Callable[[], object] | None = None
        _portals.add(self)

    def call(self, work: Callable[[], Awaitable[T]]) -> T:
        """What `work` comes to in the loop; whoever is interrupted meanwhile cancels it.

        :raises RuntimeError: called by what runs in the loop itself
        """
        future = self.start(work)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def start(self, work: Callable[[], Awaitable[T]]) -> Future[T]:
        """Have `work` done in the loop, and do not wait for it."""
        return self._opened().start_task_soon(work)

    def close(self) -> None:
        """End the loop, if there is one, and its thread. The next call begins another one."""
        with self._mutex:
            end, self._end = self._end, None
            self._portal = None
        if end is not None:
            end()

    def forget(self) -> None:
        """In a forked child: there is no loop, whoever was about to begin or end it."""
        self._mutex = threading.Lock()
        self._portal = None
        self._end = None

    def _opened(self) -> BlockingPortal:
        with self._mutex:
            if self._portal is None:
                portal, thread = _begun()
                life = portal.start_task_soon(self._living)
                here = os.getpid()
                self._end = weakref.finalize(self, _end, here, portal, thread, life, self._closing)
                self._portal = portal
            return self._portal


def _begun() -> tuple[BlockingPortal, threading.Thread]:
    """The way into a loop that runs, and its thread."""
    began: Future[BlockingPortal] = Future()

    async def live() -> None:
        async with BlockingPortal() as portal:
            began.set_result(portal)
            await portal.sleep_until_stopped()

    def run() -> None:
        try:
            anyio.run(live, backend="asyncio")
        except BaseException as error:
            if began.done():
                raise
            began.set_exception(error)

    thread = threading.Thread(target=run, name="tusjumbo", daemon=True)
    thread.start()
    return began.result(), thread


def _end(
    process: int,
    portal: BlockingPortal,
    thread: threading.Thread,
    life: Future[None],
    closing: Callable[[], Awaitable[None]],
) -> None:
    if process != os.getpid():
        return
    # The garbage collector may come by in the very thread that is to end.
    aside(partial(_wait_for_the_end, portal, thread, life, closing), "tusjumbo end")


def _wait_for_the_end(
    portal: BlockingPortal,
    thread: threading.Thread,
    life: Future[None],
    closing: Callable[[], Awaitable[None]],
) -> None:
    try:
        life.cancel()
        portal.call(closing)
    finally:
        portal.call(portal.stop)
        thread.join()


_portals: weakref.WeakSet[Portal] = weakref.WeakSet()


def _after_fork() -> None:
    for portal in _portals:
        portal.forget()


os.register_at_fork(after_in_child=_after_fork)
