from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator

import anyio
import pytest

from tusjumbo.hop import Hop, aside

DEADLINE = 20.0


async def test_work_is_done_in_another_thread_with_its_arguments() -> None:
    def work(number: int, *, word: str) -> tuple[int, str, int]:
        return number, word, threading.get_ident()

    number, word, thread = await Hop(1)(work, 1, word="a")
    assert (number, word) == (1, "a")
    assert thread != threading.get_ident()


async def test_what_work_raises_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        await Hop(1)(lambda: 1 // 0)


class Rooms:
    """Work that says how many are at it at once, and goes on when told."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.inside = 0
        self.most = 0
        self._mutex = threading.Lock()

    def work(self) -> None:
        with self._mutex:
            self.inside += 1
            self.most = max(self.most, self.inside)
        assert self.go_on.wait(DEADLINE)
        with self._mutex:
            self.inside -= 1


async def until_inside(rooms: Rooms, count: int) -> None:
    with anyio.fail_after(DEADLINE):
        while rooms.inside < count:
            await anyio.sleep(0.001)


async def test_no_more_than_its_tokens_work_at_once() -> None:
    hop, rooms = Hop(3), Rooms()
    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(hop, rooms.work)
        await until_inside(rooms, 3)
        rooms.go_on.set()
    assert rooms.most == 3


async def test_one_hop_does_not_take_the_threads_of_another() -> None:
    slow, quick, rooms = Hop(1), Hop(1), Rooms()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(slow, rooms.work)
        tasks.start_soon(slow, rooms.work)
        await until_inside(rooms, 1)
        with anyio.fail_after(DEADLINE):
            assert await quick(lambda: "done") == "done"
        rooms.go_on.set()


async def test_a_cancelled_caller_waits_for_work_that_has_begun() -> None:
    hop, rooms = Hop(1), Rooms()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hop, rooms.work)
        await until_inside(rooms, 1)
        tasks.cancel_scope.cancel()
        threading.Timer(0.02, rooms.go_on.set).start()
    assert rooms.inside == 0


async def test_a_cancelled_caller_does_not_begin() -> None:
    hop, rooms = Hop(1), Rooms()
    begun: list[str] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hop, rooms.work)
        await until_inside(rooms, 1)
        with anyio.move_on_after(0.01) as scope:
            await hop(begun.append, "begun")
        rooms.go_on.set()
    assert scope.cancelled_caught
    assert begun == []


@pytest.mark.parametrize("backends", [("asyncio", "asyncio"), ("trio", "asyncio", "trio")], ids=str)
def test_a_hop_works_in_one_event_loop_after_another(backends: tuple[str, ...]) -> None:
    hop = Hop(1)

    async def twice() -> int:
        return await hop(lambda: 1) + await hop(lambda: 1)

    for backend in backends:
        assert anyio.run(twice, backend=backend) == 2


def test_each_event_loop_has_its_own_tokens() -> None:
    hop, rooms = Hop(1), Rooms()

    async def work() -> None:
        await hop(rooms.work)

    async def other_loop() -> None:
        await until_inside(rooms, 1)
        await hop(rooms.go_on.set)

    first = threading.Thread(target=anyio.run, args=(work,))
    first.start()
    anyio.run(other_loop)
    first.join()
    assert rooms.inside == 0


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("times", [1, 2, 3])
async def test_a_task_that_asyncio_cancels_waits_too(times: int) -> None:
    """`Task.cancel` goes through shields, and may be repeated."""
    hop, rooms = Hop(1), Rooms()
    task = asyncio.create_task(hop(rooms.work))
    await until_inside(rooms, 1)
    for _ in range(times):
        task.cancel()
        for _ in range(10):
            await asyncio.sleep(0)
        assert not task.done()
    rooms.go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert rooms.inside == 0


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_task_that_asyncio_cancels_at_any_moment_leaves_nothing_behind() -> None:
    hop = Hop(1)
    begun: list[int] = []
    ended: list[int] = []

    def work() -> None:
        begun.append(1)
        threading.Event().wait(0.0005)
        ended.append(1)

    for patience in range(40):
        task = asyncio.create_task(hop(work))
        for _ in range(patience):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert len(begun) == len(ended)
    count = len(begun)
    await hop(int)
    assert len(begun) == len(ended) == count


async def test_what_is_left_aside_keeps_no_loop_waiting() -> None:
    done: list[int] = []
    over = threading.Event()

    def work() -> None:
        done.append(threading.get_ident())
        over.set()

    aside(work, "aside")
    with anyio.fail_after(DEADLINE):
        await Hop(1)(over.wait)
    assert done != [threading.get_ident()]


def test_without_a_loop_nothing_is_left_aside() -> None:
    done: list[int] = []
    aside(lambda: done.append(threading.get_ident()), "aside")
    assert done == [threading.get_ident()]


async def test_an_errand_is_one_hop() -> None:
    one, other = Hop(1), Hop(1)
    threads: list[int] = []

    async def step(hop: Hop) -> int:
        await hop(lambda: threads.append(threading.get_ident()))
        return len(threads)

    async def steps() -> int:
        assert await step(one) == 1
        assert await other.errand(lambda: step(other)) == 2
        return await step(one)

    assert await one.errand(steps) == 3
    assert len(set(threads)) == 1
    assert threads[0] != threading.get_ident()
    await step(one)  # that thread, or another, hops again
    assert await one(threading.get_ident) != threading.get_ident()


async def test_what_an_errand_raises_is_raised() -> None:
    hop = Hop(1)

    async def fail() -> None:
        await hop(lambda: 1 // 0)

    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            await hop.errand(fail)


async def test_an_errand_that_waits_for_something_else_is_a_mistake() -> None:
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
        await Hop(1).errand(wait)
    assert ended == [True]
    assert await Hop(1)(lambda: 1) == 1


async def test_an_errand_is_not_left_behind_by_a_cancelled_caller() -> None:
    hop, rooms = Hop(1), Rooms()
    done: list[int] = []

    async def steps() -> None:
        await hop(rooms.work)
        await hop(done.append, 1)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hop.errand, steps)
        await until_inside(rooms, 1)
        tasks.cancel_scope.cancel()
        rooms.go_on.set()
    assert done == [1]
