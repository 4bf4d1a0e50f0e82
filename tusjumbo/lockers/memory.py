"""MemoryLocker: uploads are locked among the tasks of one process, in any of its event loops.

An upload in use has a queue; the first in it is the holder, and nobody else is. Leaving the queue
is one act, whether one held, waited, was cancelled or came too late, and passes the lock on if it
was held: so the lock is never free while somebody waits, newcomers cannot overtake, and a waiter
that is cancelled at the moment it gets the lock does not keep it. An idle upload has no queue.
A place whose event loop was closed under it is passed by when somebody meets it.

Queues are changed under a mutex that is held for a few instructions and never across an await.
Notices are given in the loop they belong to: at once if that is ours, else by way of `loops.post`.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
from anyio.lowlevel import EventLoopToken, checkpoint, current_token

from tusjumbo.errors import UploadLocked
from tusjumbo.lockers.loops import post
from tusjumbo.notice import Notice
from tusjumbo.ports import Lease


@dataclass(eq=False, slots=True)
class _Place:
    """One task's place in a queue. `turn` is given when it becomes the holder after waiting."""

    lease: Lease
    loop: EventLoopToken
    turn: Notice = field(default_factory=Notice)


class MemoryLocker:
    def __init__(self) -> None:
        self._queues: dict[str, deque[_Place]] = {}
        self._mutex = threading.Lock()

    @asynccontextmanager
    async def hold(self, upload_id: str, patience: float) -> AsyncIterator[Lease]:
        place = _place(upload_id)
        with self._mutex:
            queue = self._queues.setdefault(upload_id, deque())
            queue.append(place)
            holder = queue[0]
        try:
            if holder is not place:
                if not _tell(holder, holder.lease.asked.give, place.loop):
                    self._leave(holder, place.loop)
                await _turn(place, patience)
            yield place.lease
        finally:
            self._leave(place, place.loop)

    @asynccontextmanager
    async def attempt(self, upload_id: str) -> AsyncIterator[Lease]:
        place = _place(upload_id)
        with self._mutex:
            if upload_id in self._queues:
                raise UploadLocked(upload_id, 0.0)
            self._queues[upload_id] = deque([place])
        try:
            yield place.lease
        finally:
            self._leave(place, place.loop)

    def _leave(self, place: _Place, here: EventLoopToken) -> None:
        upload_id = place.lease.upload_id
        with self._mutex:
            queue = self._queues.get(upload_id)
            if queue is None or place not in queue:
                return  # its loop was over, and it was passed by
            queue.remove(place)
            if not queue:
                del self._queues[upload_id]
                return
            first = queue[0]  # it may have been before: then it hears nothing new
            wanted = len(queue) > 1
        if wanted:
            _tell(first, first.lease.asked.give, here)
        if not _tell(first, first.turn.give, here):
            self._leave(first, here)

    async def aclose(self) -> None:
        """There is nothing to give back."""
        await checkpoint()


def _place(upload_id: str) -> _Place:
    return _Place(Lease(upload_id, Notice()), current_token())


def _tell(place: _Place, call: Callable[[], None], here: EventLoopToken) -> bool:
    """Make `call` in the loop of `place`. False if that loop is over."""
    if place.loop == here:
        call()
        return True
    return post(place.loop, call)


async def _turn(place: _Place, patience: float) -> None:
    began = anyio.current_time()
    arrived = anyio.Event()
    place.turn.listen(arrived.set)
    with anyio.move_on_after(patience):
        await arrived.wait()
    if not place.turn.given:
        raise UploadLocked(place.lease.upload_id, anyio.current_time() - began)
