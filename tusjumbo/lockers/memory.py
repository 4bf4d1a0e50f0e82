"""MemoryLocker: uploads are locked among the tasks of one process, in any of its event loops.

An upload in use has a queue. A place in it holds if it is in the way of none before it, and only
then: so lanes are held side by side, nobody is overtaken by somebody who is in its way, and a
waiter for the whole, behind which all newcomers wait, gets its turn. Leaving the queue is one act,
whether one held, waited, was cancelled or came too late, and passes the lock on to whoever it was
kept from: the lock is never free while somebody waits for it, and a waiter that is cancelled at the
moment it gets the lock does not keep it. An idle upload has no queue. A holder is asked once
somebody in whose way it is waits. A place whose event loop was closed under it is passed by when
somebody meets it.

Queues are changed under a mutex that is held for a few instructions and never across an await.
Notices are given in the loop they belong to: at once if that is ours, else by way of `loops.post`.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import anyio
from anyio.lowlevel import EventLoopToken, checkpoint, current_token

from tusjumbo.errors import UploadLocked
from tusjumbo.lockers.lanes import in_the_way
from tusjumbo.lockers.loops import post
from tusjumbo.notice import Notice
from tusjumbo.ports import Lease

T = TypeVar("T")


@dataclass(eq=False, slots=True)
class _Place:
    """One task's place in a queue. `turn` is given when it becomes a holder after waiting."""

    lease: Lease
    lane: int | None
    loop: EventLoopToken
    turn: Notice = field(default_factory=Notice)


class _Queue:
    """Who holds an upload, by lane, and who waits, in order of arrival. No effects but these."""

    __slots__ = ("holders", "waiters")

    def __init__(self) -> None:
        self.holders: dict[int | None, _Place] = {}
        self.waiters: dict[_Place, int | None] = {}

    def join(self, place: _Place) -> list[_Place] | None:
        """None if the place holds at once, else the holders that are in its way."""
        lane = place.lane
        if not in_the_way(lane, self.holders) and not in_the_way(lane, self.waiters.values()):
            self.holders[lane] = place
            return None
        self.waiters[place] = lane
        if lane is None:
            return list(self.holders.values())
        return [self.holders[each] for each in (lane, None) if each in self.holders]

    def leave(self, place: _Place) -> list[_Place]:
        """Forget the place. Returns those that hold from now on."""
        if self.holders.get(place.lane) is place:
            del self.holders[place.lane]
        elif place in self.waiters:
            del self.waiters[place]
        else:
            return []  # its loop was over, and it was passed by
        admitted: list[_Place] = []
        for waiter, lane in self.waiters.items():
            if not in_the_way(lane, self.holders):
                self.holders[lane] = waiter
                admitted.append(waiter)
            elif lane is None:
                break  # everybody behind it waits for it; a lane keeps out whom its holder does
        for waiter in admitted:
            del self.waiters[waiter]
        return admitted

    def wanted(self, place: _Place) -> bool:
        """Whether somebody waits in whose way the place is."""
        return in_the_way(place.lane, self.waiters.values())


class MemoryLocker:
    def __init__(self) -> None:
        self._queues: dict[str, _Queue] = {}
        self._mutex = threading.Lock()

    @asynccontextmanager
    async def hold(
        self, upload_id: str, patience: float, *, lane: int | None = None
    ) -> AsyncIterator[Lease]:
        place = _place(upload_id, lane)
        with self._mutex:
            holders = self._queues.setdefault(upload_id, _Queue()).join(place)
        try:
            if holders is not None:
                for holder in holders:
                    if not _tell(holder, holder.lease.asked.give, place.loop):
                        self._leave(holder, place.loop)
                await _turn(place, patience)
            yield place.lease
        finally:
            self._leave(place, place.loop)

    @asynccontextmanager
    async def find(
        self,
        upload_id: str,
        patience: float,
        look: Callable[[Lease], Coroutine[object, Any, T]],
        *,
        lane: int | None = None,
    ) -> AsyncIterator[tuple[Lease, T]]:
        async with self.hold(upload_id, patience, lane=lane) as lease:
            yield lease, await look(lease)

    async def glance(
        self, upload_id: str, look: Callable[[], Coroutine[object, Any, T]]
    ) -> T | None:
        return None if self.is_wanted(upload_id) else await look()

    def is_wanted(self, upload_id: str) -> bool:
        """Whether somebody holds any of it or waits for it. Never blocks."""
        return upload_id in self._queues

    @asynccontextmanager
    async def attempt(self, upload_id: str) -> AsyncIterator[Lease]:
        place = _place(upload_id, None)
        with self._mutex:
            if upload_id in self._queues:
                raise UploadLocked(upload_id, 0.0)
            self._queues[upload_id] = queue = _Queue()
            queue.join(place)
        try:
            yield place.lease
        finally:
            self._leave(place, place.loop)

    def _leave(self, place: _Place, here: EventLoopToken) -> None:
        upload_id = place.lease.upload_id
        leaving = [place]
        while leaving:
            with self._mutex:
                queue = self._queues.get(upload_id)
                if queue is None:
                    return
                admitted = queue.leave(leaving.pop())
                wanted = [holder for holder in admitted if queue.wanted(holder)]
                if not queue.holders:
                    del self._queues[upload_id]
            for holder in wanted:
                _tell(holder, holder.lease.asked.give, here)
            leaving += [holder for holder in admitted if not _tell(holder, holder.turn.give, here)]

    async def aclose(self) -> None:
        """There is nothing to give back."""
        await checkpoint()


def _place(upload_id: str, lane: int | None) -> _Place:
    return _Place(Lease(upload_id, Notice()), lane, current_token())


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
