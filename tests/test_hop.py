from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
import traceback
import weakref
from collections.abc import Generator
from contextlib import suppress
from typing import Any

import anyio
import anyio.from_thread
import pytest

from tusjumbo.hop import Hop, Stay, aside

DEADLINE = 20.0

in_either = pytest.mark.parametrize("kind", [Hop, Stay])


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


@in_either
async def test_no_more_than_its_tokens_work_at_once(kind: type[Hop | Stay]) -> None:
    hop, rooms = kind(3), Rooms()
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


@in_either
async def test_a_cancelled_caller_waits_for_work_that_has_begun(kind: type[Hop | Stay]) -> None:
    hop, rooms = kind(1), Rooms()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hop, rooms.work)
        await until_inside(rooms, 1)
        tasks.cancel_scope.cancel()
        threading.Timer(0.02, rooms.go_on.set).start()
    assert rooms.inside == 0


@in_either
async def test_a_cancelled_caller_does_not_begin(kind: type[Hop | Stay]) -> None:
    hop, rooms = kind(1), Rooms()
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


@in_either
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("times", [1, 2, 3])
async def test_a_task_that_asyncio_cancels_waits_too(kind: type[Hop | Stay], times: int) -> None:
    """`Task.cancel` goes through shields, and may be repeated."""
    hop, rooms = kind(1), Rooms()
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


@in_either
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_task_that_asyncio_cancels_at_any_moment_leaves_nothing_behind(
    kind: type[Hop | Stay],
) -> None:
    hop = kind(1)
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


# --- who is cancelled, and when ------------------------------------------------------------------


async def test_who_is_cancelled_already_does_not_begin() -> None:
    begun: list[int] = []
    with anyio.CancelScope() as scope:
        scope.cancel()
        await Hop(1)(begun.append, 1)
    assert scope.cancelled_caught
    assert begun == []


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_task_that_asyncio_has_cancelled_already_does_not_begin() -> None:
    begun: list[int] = []

    async def work() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await Hop(1)(begun.append, 1)

    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(work())
    assert begun == []


@in_either
async def test_what_a_cancelled_scope_has_begun_is_not_lost(kind: type[Hop | Stay]) -> None:
    """Or nobody would close a file that was just opened."""
    hop, rooms = kind(1), Rooms()

    def work() -> str:
        rooms.work()
        return "opened"

    opened: list[str] = []

    async def call() -> None:
        opened.append(await hop(work))
        await anyio.lowlevel.checkpoint()
        opened.append("not cancelled")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(call)
        await until_inside(rooms, 1)
        tasks.cancel_scope.cancel()
        rooms.go_on.set()
    assert opened == ["opened"]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("first", ["scope", "task"])
async def test_asyncio_has_the_last_word(first: str) -> None:
    """A task that is cancelled goes on beyond no scope that is cancelled as well."""
    hop, rooms = Hop(1), Rooms()
    scope = anyio.CancelScope()
    beyond: list[int] = []

    async def call() -> None:
        with scope:
            await hop(rooms.work)
        beyond.append(1)

    task = asyncio.create_task(call())
    await until_inside(rooms, 1)
    for cancel in (scope.cancel, task.cancel) if first == "scope" else (task.cancel, scope.cancel):
        cancel()
        for _ in range(10):
            await asyncio.sleep(0)
        assert not task.done()
    rooms.go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert beyond == []
    assert rooms.inside == 0


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_timeout_of_asyncio_waits_too() -> None:
    hop, rooms = Hop(1), Rooms()
    threading.Timer(0.05, rooms.go_on.set).start()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await hop(rooms.work)
    assert rooms.inside == 0
    assert await hop(lambda: "goes on") == "goes on"


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_coroutine_that_is_closed_does_not_begin() -> None:
    hop, rooms = Hop(1), Rooms()
    begun: list[int] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hop, rooms.work)
        await until_inside(rooms, 1)
        waiting = hop(begun.append, 1)
        waiting.send(None)  # its checkpoint
        waiting.send(None)
        waiting.close()
        rooms.go_on.set()
    await hop(int)
    assert begun == []


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_waiting_for_a_thread_when_cancelled_takes_no_time_of_the_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """anyio asks a task that is cancelled again and again, unless that is shielded."""
    hop, rooms = Hop(1), Rooms()
    loop = asyncio.get_running_loop()
    call_soon = loop.call_soon
    turns = 0

    def counting(*args: Any, **named: Any) -> object:
        nonlocal turns
        turns += 1
        return call_soon(*args, **named)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hop, rooms.work)
        await until_inside(rooms, 1)
        tasks.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            await anyio.sleep(0.01)
            monkeypatch.setattr(loop, "call_soon", counting)
            await anyio.sleep(0.05)
            assert turns < 10
        rooms.go_on.set()


# --- what is kept, and how long ------------------------------------------------------------------


class Thing:
    """Something that is to go when nobody has it any more."""


async def until_gone(thing: weakref.ref[Thing]) -> None:
    """Loops and threads may have it for a moment yet."""
    with anyio.fail_after(DEADLINE):
        while thing() is not None:
            await anyio.sleep(0.001)


@pytest.fixture
def no_collector() -> Generator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_nothing_of_what_is_done_is_kept() -> None:
    hop = Hop(1)

    async def call() -> weakref.ref[Thing]:
        return weakref.ref(await hop(lambda thing: thing, Thing()))

    for _ in range(50):
        assert (await call())() is None


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_an_error_has_its_story_and_keeps_nothing() -> None:
    hop = Hop(1)
    stories: list[list[str]] = []
    contexts: list[BaseException | None] = []

    def fail(thing: Thing) -> None:
        raise LookupError(thing)

    async def call() -> weakref.ref[Thing]:
        thing = Thing()
        try:
            await hop(fail, thing)
        except LookupError as error:
            stories.append([it.name for it in traceback.extract_tb(error.__traceback__)])
            contexts.append(error.__context__)
        return weakref.ref(thing)

    for _ in range(50):
        assert (await call())() is None
    assert {(story[0], story[-1]) for story in stories} == {("call", "fail")}
    assert set(contexts) == {None}


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_an_error_that_nobody_waits_for_any_more_keeps_nothing() -> None:
    hop, rooms = Hop(1), Rooms()
    kept: list[weakref.ref[Thing]] = []

    def fail() -> None:
        thing = Thing()
        kept.append(weakref.ref(thing))
        rooms.work()
        raise LookupError(thing)

    async def call() -> None:
        with suppress(asyncio.CancelledError):
            await hop(fail)

    task = asyncio.create_task(call())
    await until_inside(rooms, 1)
    task.cancel()
    rooms.go_on.set()
    await task
    del task
    await until_gone(kept[0])


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_what_never_begins_is_not_kept() -> None:
    hop, rooms = Hop(1), Rooms()

    async def leave() -> weakref.ref[Thing]:
        thing = Thing()
        with anyio.move_on_after(0.01):
            await hop(id, thing)
        return weakref.ref(thing)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hop, rooms.work)
        await until_inside(rooms, 1)
        await until_gone(await leave())
        rooms.go_on.set()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("raised", [StopIteration(3), SystemExit(3), KeyboardInterrupt()], ids=repr)
async def test_nothing_that_work_raises_ends_a_thread(raised: BaseException) -> None:
    hop = Hop(1)

    def fail() -> None:
        raise raised

    # As from any coroutine: "coroutine raised StopIteration".
    expected = RuntimeError if isinstance(raised, StopIteration) else type(raised)
    with pytest.raises(expected):
        await hop(fail)
    assert await hop(lambda: "goes on") == "goes on"


async def test_work_may_have_an_event_loop_of_its_own() -> None:
    hop = Hop(2)

    async def inner() -> int:
        return await hop(lambda: 3)

    assert await hop(anyio.run, inner) == 3


async def test_who_stays_may_ask_its_loop() -> None:
    stay = Stay(1)
    here = threading.get_ident()
    assert await stay(anyio.from_thread.run_sync, threading.get_ident) == here


# --- processes -----------------------------------------------------------------------------------


FORKING = """
import anyio, os, sys, threading
from tusjumbo.hop import Hop

hop = Hop(1)
begun, go_on = threading.Event(), threading.Event()

def work():
    begun.set()
    assert go_on.wait(20)

async def use():
    return [await hop(int) for _ in range(3)]

async def fork():
    await use()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hop, work)  # has the only token
        tasks.start_soon(hop, int)
        while not begun.is_set():
            await anyio.sleep(0.001)
        child = os.fork()
        if not child:
            life = threading.Thread(target=lambda: print(anyio.run(use), flush=True))
            life.start()
            life.join()
            os._exit(7)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        go_on.set()
    print(await use(), flush=True)

anyio.run(fork)
child = os.fork()
if child:
    os.waitpid(child, 0)
print(anyio.run(use), flush=True)
"""

LEAVING = """
import asyncio, atexit, threading
from tusjumbo.hop import Hop

hop = Hop(2)
begun = threading.Event()

def work():
    begun.set()
    threading.Event().wait()  # for ever

async def leave():
    global task
    task = asyncio.create_task(hop(work))
    while not begun.is_set():
        await asyncio.sleep(0.001)
    return await hop(lambda: "left")

atexit.register(lambda: print(asyncio.run(hop(lambda: "at exit")), flush=True))
loop = asyncio.new_event_loop()
print(loop.run_until_complete(leave()), flush=True)
"""


def printed(program: str) -> list[str]:
    done = subprocess.run(
        # Python 3.12 and later warn of forks beside threads, which is what this is about.
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", program],
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0
    return done.stdout.splitlines()


@pytest.mark.wire
def test_a_forked_child_has_threads_of_its_own() -> None:
    assert printed(FORKING) == ["[0, 0, 0]", "7", *["[0, 0, 0]"] * 3]


@pytest.mark.wire
def test_no_thread_holds_up_the_end_of_the_program() -> None:
    assert printed(LEAVING) == ["left", "at exit"]


# --- the rest ------------------------------------------------------------------------------------


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
