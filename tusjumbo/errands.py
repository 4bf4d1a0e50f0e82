"""Errands: several steps that go to a thread together, and several requests that go in convoy.

A thread costs more to get to than most of the work that is done there, and a transaction more than
what is recorded in it. In an errand hops are plain calls, so its steps may await what hops and
nothing else; and where they come to something that can be done for many at once (`meet`), those of
a convoy wait for each other.

An `Errands` sends each errand by itself, in threads of its own: they wait for the disk side by
side. A `Convoy` has one thread, which takes along whoever waits: that is less work, and none of
them waits for anything but the others. What has begun is carried out to its end, whoever leaves.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Generic, TypeVar

import anyio

from tusjumbo.hop import Hop, here

T = TypeVar("T")
Item = TypeVar("Item")


class Errands:
    def __init__(self, threads: int) -> None:
        self._hop = Hop(threads)

    async def __call__(self, steps: Callable[[], Coroutine[object, Any, T]]) -> T:
        """Carry out `steps` in a thread; return what they return, or raise what they raise."""
        if here.is_errand:
            return await steps()
        errand = _Errand(steps)
        await self._hop(_carry_out, [errand])
        return errand.outcome()


class Convoy(Errands):
    def __init__(self) -> None:
        super().__init__(1)
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._waiting: deque[_Errand[Any]] = deque()

    async def __call__(self, steps: Callable[[], Coroutine[object, Any, T]]) -> T:
        if here.is_errand:
            return await steps()
        if self._process != os.getpid():
            self._begin()  # forked: those who wait there are the parent's
        errand = _Errand(steps)
        self._waiting.append(errand)
        try:
            await self._hop(self._take_along, errand)
        except BaseException:
            if not errand.begins():
                await errand.ended()
            raise
        return errand.outcome()

    def _take_along(self, errand: _Errand[Any]) -> None:
        if errand.is_over:
            return
        waiting = [self._waiting.popleft() for _ in range(len(self._waiting))]
        _carry_out([each for each in waiting if each.begins()])


async def meet(work: Callable[[Sequence[Item]], object], item: Item, hop: Hop) -> None:
    """Have `work` done for `item` and those of all others that have come this far, at once.

    Where nobody else can come, that is one hop.
    """
    if here.is_errand:
        await _Meeting(work, item)
    else:
        await hop(work, [item])


def shielded() -> AbstractContextManager[object]:
    """Keeps anyio from cancelling what is inside. In an errand nothing is cancelled anyway."""
    return nullcontext() if here.is_errand else anyio.CancelScope(shield=True)


class _Meeting(Generic[Item]):
    """What an errand waits for."""

    __slots__ = ("item", "work")

    def __init__(self, work: Callable[[Sequence[Item]], object], item: Item) -> None:
        self.work = work
        self.item = item

    def __await__(self) -> Generator[_Meeting[Item], None, None]:
        yield self


class _Errand(Generic[T]):
    """Steps on their way."""

    __slots__ = ("_error", "_failure", "_result", "_steps", "_turn", "_way", "is_over")

    def __init__(self, steps: Callable[[], Coroutine[object, Any, T]]) -> None:
        self._steps = steps
        self._way: Coroutine[object, Any, T] | None = None
        self._turn = threading.Lock()
        self._result: T
        self._error: BaseException | None = None
        self._failure: BaseException | None = None
        self.is_over = False

    def begins(self) -> bool:
        """True once: for whoever is to carry it out, or sees to it that nobody does."""
        return self._turn.acquire(blocking=False)

    def go_on(self) -> _Meeting[Any] | None:
        """Go to the next meeting, or to the end."""
        try:
            if self._way is None:
                self._way = self._steps()
            failure, self._failure = self._failure, None
            met = self._way.send(None) if failure is None else self._way.throw(failure)
            if isinstance(met, _Meeting):
                return met
            self._way.close()
            self._error = RuntimeError("an errand waits for nothing but hops")
        except StopIteration as end:
            self._result = end.value
        except BaseException as error:
            self._error = error
        self.is_over = True
        return None

    def fail(self, failure: BaseException) -> None:
        """What was to be done for it has failed."""
        self._failure = failure

    def outcome(self) -> T:
        if self._error is not None:
            raise self._error
        return self._result

    async def ended(self) -> None:
        """Return when it is over, however often that is cancelled."""
        while not self.is_over:
            try:
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(0.001)
            except anyio.get_cancelled_exc_class():
                continue


def _carry_out(errands: Iterable[_Errand[Any]]) -> None:
    before, here.is_errand = here.is_errand, True
    try:
        going = list(errands)
        while going:
            meetings: dict[Callable[[Sequence[Any]], object], list[tuple[_Errand[Any], Any]]] = {}
            for errand in going:
                met = errand.go_on()
                if met is not None:
                    meetings.setdefault(met.work, []).append((errand, met.item))
            going = []
            for work, those in meetings.items():
                going += (errand for errand, _ in those)
                try:
                    work([item for _, item in those])
                except BaseException as failure:
                    for errand, _ in those:
                        errand.fail(failure)
    finally:
        here.is_errand = before
