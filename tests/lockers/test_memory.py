from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

import anyio
import anyio.abc
import pytest
from anyio import to_thread
from anyio.lowlevel import checkpoint
from hypothesis import given as given_examples
from hypothesis import strategies as st

from tusjumbo.errors import UploadLocked
from tusjumbo.lockers.memory import MemoryLocker
from tusjumbo.ports import Lease
from tusjumbo.testing.lanes import LaneContract
from tusjumbo.testing.lockers import PATIENT, is_free, wait_in_line


class TestMemoryLocker(LaneContract):
    @pytest.fixture
    def locker(self) -> MemoryLocker:
        return MemoryLocker()


async def test_waiters_come_in_order() -> None:
    locker = MemoryLocker()
    came: list[int] = []

    async def come(number: int, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        task_status.started()
        async with locker.hold("a", PATIENT):
            await checkpoint()
            came.append(number)

    async with anyio.create_task_group() as tasks, locker.hold("a", PATIENT):
        for number in range(10):
            await tasks.start(come, number)
    assert came == list(range(10))


async def test_a_holder_in_the_same_loop_is_asked_at_once() -> None:
    locker = MemoryLocker()
    asked: list[str] = []
    async with anyio.create_task_group() as tasks, locker.hold("a", PATIENT) as lease:
        lease.asked.listen(lambda: asked.append("at once"))
        await tasks.start(wait_in_line, locker, "a")
        assert asked == ["at once"]


async def test_a_waiter_cancelled_as_it_gets_the_lock_passes_it_on() -> None:
    locker = MemoryLocker()
    came: list[str] = []

    async def come(
        name: str, scope: anyio.CancelScope, *, task_status: anyio.abc.TaskStatus[None]
    ) -> None:
        task_status.started()
        with scope:
            async with locker.hold("a", PATIENT):
                await checkpoint()
                came.append(name)

    unlucky = anyio.CancelScope()
    async with anyio.create_task_group() as tasks:
        async with locker.hold("a", PATIENT):
            await tasks.start(come, "unlucky", unlucky)
            await tasks.start(come, "next", anyio.CancelScope())
        unlucky.cancel()
    assert came == ["next"]
    assert await is_free(locker, "a")


async def test_a_waiter_late_by_a_moment_passes_the_lock_on() -> None:
    """The lock comes after the patience ended, and before the waiter could run."""
    locker = MemoryLocker()
    outcomes: list[str] = []

    async def come(patience: float, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        task_status.started()
        try:
            async with locker.hold("a", patience):
                outcomes.append("held")
        except UploadLocked:
            outcomes.append("locked")

    async with anyio.create_task_group() as tasks, locker.hold("a", PATIENT):
        await tasks.start(come, 0.0)
        await tasks.start(come, PATIENT)
    assert len(outcomes) == 2
    assert "held" in outcomes
    assert await is_free(locker, "a")


async def test_idle_uploads_take_no_memory() -> None:
    locker = MemoryLocker()
    for number in range(100):
        async with locker.hold(str(number), PATIENT), locker.attempt(f"-{number}"):
            for take in (locker.hold(str(number), 0.0), locker.attempt(str(number))):
                with pytest.raises(UploadLocked):
                    await take.__aenter__()
    assert locker._queues == {}


@pytest.mark.parametrize("dead", [1, 3])
def test_waiters_whose_loop_is_over_are_passed_by(dead: int) -> None:
    """A loop that was closed without cancelling its tasks leaves their places in the queue."""
    locker = MemoryLocker()
    came: list[str] = []

    async def come() -> None:
        async with locker.hold("a", PATIENT):
            came.append("dead")

    async def scene() -> None:
        async with anyio.create_task_group() as tasks, locker.hold("a", PATIENT):
            for _ in range(dead):
                graveyard.append(await to_thread.run_sync(_abandon, come()))
            await tasks.start(wait_in_line, locker, "a")
            assert len(locker._queues["a"].waiters) == dead + 1
        assert await is_free(locker, "a")

    graveyard: list[object] = []
    anyio.run(scene)
    assert came == []


@pytest.mark.parametrize("comer", [None, 1])
@pytest.mark.parametrize("dead", [(None,), (1,), (1, 2, 3)])
def test_holders_whose_loop_is_over_are_passed_by(
    dead: tuple[int | None, ...], comer: int | None
) -> None:
    locker = MemoryLocker()

    async def stay(lane: int | None) -> None:
        async with locker.hold("a", PATIENT, lane=lane):
            await anyio.sleep_forever()

    async def come(lane: int | None) -> None:
        async with locker.hold("a", PATIENT, lane=lane) as lease:
            assert not lease.asked.given

    corpses = [_abandon(stay(lane)) for lane in dead]
    assert len(locker._queues["a"].holders) == len(dead)
    anyio.run(come, comer)
    anyio.run(come, None)
    assert locker._queues == {}
    del corpses


def test_lanes_pass_by_a_waiter_whose_loop_is_over() -> None:
    locker = MemoryLocker()

    async def scene() -> None:
        async with anyio.create_task_group() as tasks, locker.hold("a", PATIENT, lane=1):
            graveyard.append(await to_thread.run_sync(_abandon, wait_in_line(locker, "a")))
            tasks.start_soon(wait_in_line, locker, "a", 1)
            tasks.start_soon(wait_in_line, locker, "a", 2)
            await checkpoint()
            assert len(locker._queues["a"].waiters) == 3
        assert await is_free(locker, "a")

    graveyard: list[object] = []
    anyio.run(scene)


def _abandon(work: Coroutine[None, None, None]) -> object:
    loop = asyncio.new_event_loop()
    task = loop.create_task(work)
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    return task


@pytest.mark.parametrize("lane", [None, 5])
def test_threads_exclude_each_other(lane: int | None) -> None:
    """Many event loops in many threads, cancelled at random."""
    locker = MemoryLocker()
    counts = {"inside": 0, "most": 0, "came": 0}

    async def come(dice: random.Random) -> None:
        for _ in range(30):
            with anyio.move_on_after(dice.choice((0.0, 0.001, PATIENT))):
                async with locker.hold("a", PATIENT, lane=lane):
                    counts["inside"] += 1
                    counts["most"] = max(counts["most"], counts["inside"])
                    try:
                        await checkpoint()
                    finally:
                        counts["inside"] -= 1
                    counts["came"] += 1

    async def loop(seed: int) -> None:
        async with anyio.create_task_group() as tasks:
            for number in range(3):
                tasks.start_soon(come, random.Random(10 * seed + number))

    with ThreadPoolExecutor(6) as threads:
        runs = [
            threads.submit(partial(anyio.run, loop, seed, backend=("asyncio", "trio")[seed % 2]))
            for seed in range(6)
        ]
    for run in runs:
        run.result()
    assert counts["most"] == 1
    assert counts["came"] > 100
    assert locker._queues == {}


LANES = st.sampled_from([None, None, 0, 1, 2])
STEPS = st.lists(st.tuples(st.booleans(), LANES, st.integers(0, 20)), max_size=40)


@dataclass(eq=False)
class Visitor:
    lane: int | None
    leaving: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    lease: Lease | None = None
    asked: bool = False

    async def visit(self, locker: MemoryLocker) -> None:
        with self.leaving:
            async with locker.hold("a", PATIENT, lane=self.lane) as lease:
                self.lease = lease
                await anyio.sleep_forever()

    def keeps_out(self, other: Visitor) -> bool:
        return self.lane is None or other.lane is None or self.lane == other.lane


@given_examples(STEPS)
def test_a_place_holds_if_none_before_it_is_in_its_way(
    steps: list[tuple[bool, int | None, int]],
) -> None:
    """The definition, computed anew from the order of arrival after each arrival and departure."""
    locker = MemoryLocker()
    line: list[Visitor] = []

    async def scene() -> None:
        async with anyio.create_task_group() as tasks:
            for arrives, lane, number in steps:
                if arrives or not line:
                    line.append(Visitor(lane))
                    tasks.start_soon(line[-1].visit, locker)
                else:
                    line.pop(number % len(line)).leaving.cancel()
                for _ in range(4):
                    await checkpoint()
                look()
            tasks.cancel_scope.cancel()

    def look() -> None:
        for place, visitor in enumerate(line):
            holds = not any(other.keeps_out(visitor) for other in line[:place])
            assert (visitor.lease is not None) == holds
            if visitor.lease is not None:
                visitor.asked |= any(visitor.keeps_out(other) for other in line[place + 1 :])
                assert visitor.lease.asked.given == visitor.asked

    anyio.run(scene)
    assert locker._queues == {}


async def test_lanes_of_idle_uploads_take_no_memory() -> None:
    locker = MemoryLocker()
    async with locker.hold("a", PATIENT, lane=1), locker.hold("a", PATIENT, lane=2):
        for lane in (1, 2, None):
            with pytest.raises(UploadLocked):
                await locker.hold("a", 0.0, lane=lane).__aenter__()
        assert locker._queues["a"].waiters == {}
    assert locker._queues == {}
