from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import anyio
import pytest

from tusjumbo import threads
from tusjumbo.hop import Hop
from tusjumbo.threads import Call, Desk, Desks

DEADLINE = 20.0

pytestmark = pytest.mark.parametrize("anyio_backend", ["asyncio"])
"""Elsewhere threads are anyio's."""


async def until(is_so: Callable[[], bool]) -> None:
    with anyio.fail_after(DEADLINE):
        while not is_so():
            await anyio.sleep(0.001)


def is_gone(loop: weakref.ref[asyncio.AbstractEventLoop]) -> bool:
    gc.collect()
    return loop() is None


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> list[threads._Thread]:
    """Those of this test alone."""
    idle: list[threads._Thread] = []
    monkeypatch.setattr(threads, "_idle", idle)
    return idle


class Still:
    """A thread that comes when the test says so."""

    started: list[Still]

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.sent = 0

    def start(self) -> None:
        self.started.append(self)

    def send(self, desk: Desk) -> None:
        self.desk = desk
        self.sent += 1

    def come(self) -> None:
        self.desk.work_off(self)  # type: ignore[arg-type]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, idle: object) -> list[Still]:
    Still.started = []
    monkeypatch.setattr(threads, "_Thread", Still)
    return Still.started


def calls(count: int) -> tuple[list[Call[None]], list[int]]:
    loop, done = asyncio.get_running_loop(), list[int]()
    return [Call(loop, partial(done.append, number)) for number in range(count)], done


async def turn() -> None:
    """Of the loop."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)


def desk(tokens: int) -> Desk:
    return Desks(tokens).of(asyncio.get_running_loop())


async def test_of_much_work_one_thread_is_told(
    started: list[Still], monkeypatch: pytest.MonkeyPatch
) -> None:
    at, (put, done) = desk(4), calls(10)
    loop = asyncio.get_running_loop()
    call_soon, soon = loop.call_soon, list[object]()

    def noting(call: Callable[..., object], *args: Any, **named: Any) -> object:
        soon.append(call)
        return call_soon(call, *args, **named)

    monkeypatch.setattr(loop, "call_soon", noting)
    for call in put:
        at.put(call)
    assert len(soon) == 1
    assert len(started) == 0
    await turn()
    assert len(started) == 1
    started[0].come()
    assert done == list(range(10))
    assert len(started) == 2  # there was more than it took
    started[1].come()
    assert done == list(range(10))
    assert list[object](threads._idle) == started


async def test_work_that_comes_when_nobody_is_on_the_way_has_somebody_sent(
    started: list[Still],
) -> None:
    at, (put, done) = desk(2), calls(2)

    def meanwhile() -> None:
        at.put(put[0])
        at._tell_of_all()
        assert len(started) == 2

    first = Call(asyncio.get_running_loop(), meanwhile)
    at.put(first)
    await turn()
    started[0].come()
    assert done == [0]
    started[1].come()
    at.put(put[1])
    await turn()
    assert [it.sent for it in started] == [0, 1]
    started[1].come()
    assert done == [0, 1]


async def test_no_more_are_sent_than_there_are_tokens(started: list[Still]) -> None:
    at, (put, done) = desk(1), calls(3)

    def meanwhile() -> None:
        for call in put:
            at.put(call)

    first = Call(asyncio.get_running_loop(), meanwhile)
    at.put(first)
    await turn()
    started[0].come()
    await turn()
    assert done == [0, 1, 2]
    assert (len(started), started[0].sent) == (1, 0)


async def test_work_that_comes_just_before_a_thread_leaves_is_not_left(
    started: list[Still], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between its look at what waits and its token's return."""
    at, (put, done) = desk(1), calls(1)
    first, late = Call(asyncio.get_running_loop(), lambda: None), put[0]

    class Tokens(list[None]):
        def append(self, token: None, /) -> None:
            if put:
                at.put(put.pop())
            super().append(token)

    monkeypatch.setattr(at, "_tokens", Tokens([None]))
    at.put(first)
    await turn()
    started[0].come()
    assert done == [0]
    assert late.withdraw() is False


async def test_of_much_that_is_done_the_loop_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    hop, go_on, over = Hop(1), threading.Event(), threading.Event()
    rung = 0
    call_soon_threadsafe = loop.call_soon_threadsafe

    def ring(*args: object) -> object:
        nonlocal rung
        rung += 1
        return call_soon_threadsafe(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "call_soon_threadsafe", ring)
    begun = threading.Event()

    def first() -> None:
        begun.set()
        assert go_on.wait(DEADLINE)

    async with asyncio.TaskGroup() as group:
        group.create_task(hop(first))
        await until(begun.is_set)
        others = [group.create_task(hop(int)) for _ in range(30)]
        group.create_task(hop(over.set))
        for _ in range(5):
            await asyncio.sleep(0)
        rung = 0
        go_on.set()
        assert over.wait(DEADLINE)  # while this loop does nothing else
        assert rung == 1
    assert [task.result() for task in others] == [0] * 30
    assert rung <= 2


@pytest.mark.usefixtures("idle")
async def test_one_thread_does_for_who_does_one_thing_after_another() -> None:
    one, other = Hop(4), Hop(4)
    assert len({await hop(threading.get_ident) for hop in (one, other) * 50}) == 1


async def test_threads_that_are_not_needed_end_but_the_last(
    idle: list[threads._Thread], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "_PATIENCE", 0.005)
    hop, together = Hop(5), threading.Barrier(5)

    def work() -> threading.Thread:
        together.wait(DEADLINE)
        return threading.current_thread()

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(hop(work)) for _ in range(5)]
    found = {task.result() for task in tasks}
    assert len(found) == 5
    await until(lambda: sum(thread.is_alive() for thread in found) == 1)
    for _ in range(20):
        await anyio.sleep(0.005)
        assert await hop(threading.current_thread) in found
    assert [thread for thread in found if thread.is_alive()] == idle
    monkeypatch.setattr(threads, "_PATIENCE", 5.0)


@pytest.mark.usefixtures("idle")
async def test_a_thread_that_is_sent_when_it_was_about_to_end_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever takes it out of those that are idle takes it before it is sent."""
    monkeypatch.setattr(threads, "_PATIENCE", 0.001)
    at = desk(1)
    thread = threads._Thread(at)
    assert thread._is_sent()
    waiting = asyncio.create_task(asyncio.to_thread(thread._is_sent))
    await asyncio.sleep(0.02)
    thread.send(at)
    assert await waiting


@pytest.mark.usefixtures("idle")
async def test_where_no_thread_can_be_started_nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    hop = Hop(1)
    begun: list[int] = []

    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    for _ in range(2):
        with monkeypatch.context() as patch:
            patch.setattr(threads._Thread, "start", start)
            with pytest.raises(RuntimeError, match="start new thread"):
                await hop(begun.append, 1)
        assert await hop(lambda: "done") == "done"
        threads._idle.clear()
    assert begun == []


@pytest.mark.usefixtures("idle")
async def test_where_no_other_thread_can_be_started_one_does_it_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hop = Hop(4)
    assert await hop(int) == 0

    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threads._Thread, "start", start)
    results = await asyncio.gather(*(hop(int) for _ in range(10)), return_exceptions=True)
    assert results == [0] * 10


async def test_whoever_is_gone_keeps_no_thread_busy(started: list[Still]) -> None:
    at, (put, done) = desk(1), calls(3)
    for call in put:
        at.put(call)
    await turn()
    del put[1], call
    started[0].come()
    assert done == [0, 2]
    assert threads._idle == list[object](started)


# --- loops ---------------------------------------------------------------------------------------


def test_a_loop_that_is_closed_meanwhile_is_no_trouble(anyio_backend: str) -> None:
    hop = Hop(1)
    begun, go_on, over = threading.Event(), threading.Event(), threading.Event()
    begun_late: list[int] = []

    def work() -> None:
        begun.set()
        assert go_on.wait(DEADLINE)
        over.set()

    async def leave() -> None:
        tasks.append(asyncio.create_task(hop(work)))
        await until(begun.is_set)
        tasks.append(asyncio.create_task(hop(begun_late.append, 1)))
        await asyncio.sleep(0.001)

    tasks: list[asyncio.Task[None]] = []
    loop = asyncio.new_event_loop()
    loop.run_until_complete(leave())
    loop.close()
    seen = weakref.ref(loop)
    for task in tasks:
        task.get_coro().close()
        task._log_destroy_pending = False  # type: ignore[attr-defined]
    del task, loop, tasks[:]
    go_on.set()
    assert over.wait(DEADLINE)

    async def again() -> int:
        await until(partial(is_gone, seen))
        return await hop(lambda: 3)

    assert asyncio.run(again()) == 3
    assert begun_late == []


def test_a_loop_that_is_closed_before_it_looks_is_not_kept(anyio_backend: str) -> None:
    hop = Hop(1)
    begun, go_on, rung = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        assert go_on.wait(DEADLINE)

    def ring(*args: object) -> None:
        rung.set()

    async def leave() -> None:
        await until(begun.is_set)
        here = asyncio.get_running_loop()
        here.call_soon_threadsafe = ring  # type: ignore[method-assign, assignment]
        here.stop()
        go_on.set()
        assert rung.wait(DEADLINE)

    loop = asyncio.new_event_loop()
    tasks = [loop.create_task(hop(work)), loop.create_task(leave())]
    loop.run_forever()
    loop.close()
    seen = weakref.ref(loop)
    tasks[0].get_coro().close()
    tasks[0]._log_destroy_pending = False  # type: ignore[attr-defined]
    del loop, tasks

    async def gone() -> int:
        await until(partial(is_gone, seen))
        return await hop(lambda: 3)

    assert asyncio.run(gone()) == 3


def test_loops_are_not_kept(anyio_backend: str) -> None:
    hop = Hop(1)

    async def use() -> weakref.ref[asyncio.AbstractEventLoop]:
        await hop(int)
        return weakref.ref(asyncio.get_running_loop())

    seen = asyncio.run(use())

    async def gone() -> None:
        await until(partial(is_gone, seen))

    asyncio.run(gone())


def test_many_loops_share_a_hop(anyio_backend: str) -> None:
    hop = Hop(2)
    sums: list[int] = []

    async def add(number: int) -> int:
        return await hop(lambda: number)

    async def use() -> None:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(add(number)) for number in range(100)]
        sums.append(sum(task.result() for task in tasks))

    def live() -> None:
        for _ in range(3):
            asyncio.run(use())

    lives = [threading.Thread(target=live) for _ in range(6)]
    for life in lives:
        life.start()
    for life in lives:
        life.join(DEADLINE)
    assert sums == [sum(range(100))] * 18
