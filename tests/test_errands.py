"""Errands and convoys: what goes together, and what becomes of it when somebody leaves or fails."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Generator, Sequence

import anyio
import pytest

from tusjumbo.errands import Convoy, Errands, meet, shielded
from tusjumbo.hop import Hop

DEADLINE = 20.0

BOTH = pytest.mark.parametrize("make", [lambda: Errands(3), Convoy], ids=["errands", "convoy"])
Make = Callable[[], Errands]


class Meeting:
    """Something that can be done for several at once."""

    def __init__(self) -> None:
        self.hop = Hop(1)
        self.met: list[list[int]] = []
        self.error: Exception | None = None

    async def __call__(self, item: int) -> int:
        await meet(self.work, item, self.hop)
        return item

    def work(self, items: Sequence[int]) -> None:
        self.met.append(sorted(items))
        if self.error is not None:
            raise self.error


class Gate:
    """Work that waits until it is told to go on."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.go_on = threading.Event()

    def __call__(self) -> None:
        self.begun.set()
        assert self.go_on.wait(DEADLINE)

    async def until_begun(self) -> None:
        with anyio.fail_after(DEADLINE):
            while not self.begun.is_set():
                await anyio.sleep(0.001)


@BOTH
async def test_an_errand_goes_to_one_thread(make: Make) -> None:
    errands, hop = make(), Hop(1)
    threads: list[int] = []

    async def step() -> int:
        with shielded():
            await hop(lambda: threads.append(threading.get_ident()))
        return len(threads)

    async def steps() -> int:
        assert await step() == 1
        assert await errands(step) == 2  # goes along
        return await step()

    assert await errands(steps) == 3
    assert len(set(threads)) == 1
    assert threads[0] != threading.get_ident()
    assert await hop(threading.get_ident) != threading.get_ident()


@BOTH
async def test_what_an_errand_raises_is_raised(make: Make) -> None:
    errands, hop = make(), Hop(1)

    async def fail() -> None:
        await hop(lambda: 1 // 0)

    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            await errands(fail)


@BOTH
async def test_an_errand_that_waits_for_something_else_is_a_mistake(make: Make) -> None:
    ended: list[bool] = []

    class Forever:
        def __await__(self) -> Generator[None, None, None]:
            yield

    async def wait() -> None:
        try:
            await Forever()
        finally:
            ended.append(True)

    with pytest.raises(RuntimeError, match="nothing but hops"):
        await make()(wait)
    assert ended == [True]


@BOTH
async def test_an_errand_alone_meets_itself(make: Make) -> None:
    errands, meeting = make(), Meeting()

    async def steps() -> int:
        return await meeting(1) + await meeting(2)

    assert await errands(steps) == 3
    assert await meeting(4) == 4
    assert meeting.met == [[1], [2], [4]]


async def in_convoy(errands: Errands, *all_steps: Callable[[], object]) -> list[object]:
    """Have them wait for the one thread together. Returns what they return or raise."""
    gate, hop = Gate(), Hop(1)
    outcomes: dict[int, object] = {}

    async def hold_up() -> None:
        await hop(gate)

    async def go(number: int, steps: Callable[[], object]) -> None:
        try:
            outcomes[number] = await errands(steps)  # type: ignore[arg-type]
        except (ArithmeticError, LookupError) as error:
            outcomes[number] = type(error)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(errands, hold_up)
        await gate.until_begun()
        for number, steps in enumerate(all_steps):
            tasks.start_soon(go, number, steps)
        await anyio.wait_all_tasks_blocked()
        gate.go_on.set()
    return [outcomes[number] for number in range(len(all_steps))]


async def test_a_convoy_meets_where_its_errands_do() -> None:
    one, other = Meeting(), Meeting()

    async def both(item: int) -> int:
        return await one(item) + await other(10 * item)

    async def only() -> int:
        return await other(5)

    found = await in_convoy(Convoy(), lambda: both(1), lambda: both(2), only, lambda: both(3))
    assert found == [11, 22, 5, 33]
    assert one.met == [[1, 2, 3]]
    assert other.met == [[5], [10, 20, 30]]


async def test_errands_by_themselves_meet_nobody() -> None:
    meeting = Meeting()
    assert await in_convoy(Errands(1), *(lambda n=n: meeting(n) for n in (1, 2))) == [1, 2]
    assert sorted(meeting.met) == [[1], [2]]


async def test_who_fails_does_not_hold_up_the_others() -> None:
    meeting = Meeting()

    async def fail() -> None:
        raise ZeroDivisionError

    async def fail_later() -> None:
        await meeting(3)
        raise LookupError

    found = await in_convoy(Convoy(), fail, lambda: meeting(1), fail_later, lambda: meeting(2))
    assert found == [ZeroDivisionError, 1, LookupError, 2]
    assert meeting.met == [[1, 2, 3]]


async def test_all_hear_of_a_meeting_that_failed_and_may_go_on() -> None:
    meeting = Meeting()
    meeting.error = ZeroDivisionError()

    async def go_on() -> int:
        try:
            await meeting(1)
        except ZeroDivisionError:
            meeting.error = None
        return await meeting(2)

    assert await in_convoy(Convoy(), go_on, lambda: meeting(3)) == [2, ZeroDivisionError]
    assert meeting.met == [[1, 3], [2]]


@BOTH
async def test_an_errand_is_not_left_behind_by_a_cancelled_caller(make: Make) -> None:
    errands, hop, gate = make(), Hop(1), Gate()
    done: list[int] = []

    async def steps() -> None:
        await hop(gate)
        await hop(done.append, 1)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(errands, steps)
        await gate.until_begun()
        tasks.cancel_scope.cancel()
        gate.go_on.set()
    assert done == [1]


async def test_who_leaves_before_the_convoy_does_not_go_with_it() -> None:
    errands, hop, gate = Convoy(), Hop(1), Gate()
    done: list[int] = []

    async def steps(number: int) -> None:
        await hop(done.append, number)

    async def hold_up() -> None:
        await hop(gate)

    async def go(number: int, scope: anyio.CancelScope) -> None:
        with scope:
            await errands(lambda: steps(number))

    scopes = [anyio.CancelScope() for _ in range(3)]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(errands, hold_up)
        await gate.until_begun()
        for number, scope in enumerate(scopes):
            tasks.start_soon(go, number, scope)
        await anyio.wait_all_tasks_blocked()
        scopes[0].cancel()
        await anyio.wait_all_tasks_blocked()
        gate.go_on.set()
    assert sorted(done) == [1, 2]


def test_who_leaves_while_others_carry_it_along_waits_for_its_end() -> None:
    """Task.cancel() of asyncio knows no shields."""

    async def scene() -> None:
        errands, hop = Convoy(), Hop(1)
        first, second = Gate(), Gate()
        story: list[str] = []

        async def hold_up(gate: Gate) -> None:
            await hop(gate)

        async def steps() -> None:
            await hop(second)
            story.append("done")

        async def nothing() -> None:
            story.append("nothing")

        holder = asyncio.create_task(errands(lambda: hold_up(first)))
        await first.until_begun()
        # The one in front has its thread next, and takes along the one behind it.
        front, behind = (asyncio.create_task(errands(each)) for each in (nothing, steps))
        await asyncio.sleep(0.01)
        first.go_on.set()
        await second.until_begun()
        behind.cancel()
        await asyncio.sleep(0.01)
        assert not behind.done()
        second.go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await behind
        assert story == ["nothing", "done"]
        await asyncio.gather(holder, front)

    asyncio.run(scene())
