from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.hooks.fakes import Listener, MemoryOutbox, Time
from tests.hooks.receivers import session
from tusjumbo.application import Hook, HookAnswer, HookCall, News, Outbox, Receiver
from tusjumbo.errors import HookFailed
from tusjumbo.hooks import courier as module
from tusjumbo.hooks.asking import Asking
from tusjumbo.hooks.courier import DEAD_AFTER, LONGEST_PAUSE, LONGEST_REST, Courier
from tusjumbo.sessions.session import UploadSession

DAY = 86400.0


def news(
    upload_id: str = "a", hook: Hook = Hook.POST_CREATE, receiver: str = "app", key: str = "k"
) -> News:
    call = HookCall(hook, session(id=upload_id), key=key)
    return News(call=call, receiver=receiver, created_at=1000.0, due_at=1000.0)


def down(call: HookCall) -> HookAnswer:
    raise HookFailed(call.hook.value, "it is down")


def broken(call: HookCall) -> HookAnswer:
    raise RuntimeError("a bug")


@dataclass
class World:
    receivers: Sequence[Receiver]
    outbox: MemoryOutbox = field(default_factory=MemoryOutbox)
    clock: Time = field(default_factory=Time)
    stopped: list[str] = field(default_factory=list)
    chance: float = 0.0

    def __post_init__(self) -> None:
        self.asking = Asking(self.receivers, clock=self.clock)
        self.courier = self.make()

    def make(self, **arguments: Any) -> Courier:
        usual: dict[str, Any] = {
            "stop_upload": self.stop,
            "locate": self.locate,
            "chance": lambda: self.chance,
            "retry_for": 3 * DAY,
            "lease": 60.0,
            "keep": 7 * DAY,
        }
        receivers = self.receivers
        usual |= {"outbox": self.outbox, "asking": self.asking}
        return Courier(receivers=receivers, clock=self.clock, **(usual | arguments))

    async def stop(self, upload_id: str) -> None:
        self.stopped.append(upload_id)

    async def locate(self, found: UploadSession) -> Path | None:
        return Path("/completed", found.id)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.courier.run)
            try:
                yield
            finally:
                tasks.cancel_scope.cancel()

    def waiting(self) -> list[News]:
        return [each for each in self.outbox.rows.values() if each.due_at is not None]

    def row(self, number: int) -> News:
        return self.outbox.rows[number]


async def until(condition: Callable[[], object]) -> None:
    with anyio.fail_after(20):
        while not condition():
            await anyio.sleep(0.001)


def heard(listener: Listener) -> list[tuple[str, Hook]]:
    return [(call.session.id, call.hook) for call in listener.calls]


@pytest.fixture(autouse=True)
def no_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks by himself within a test, so what is told has been rung for."""
    monkeypatch.setattr(module, "LOOK", 1000.0)


# --- one at a time --------------------------------------------------------------------------------


async def test_what_is_told_is_settled() -> None:
    app = Listener()
    world = World([app])
    await world.outbox.post([news()])
    assert await world.courier.deliver(10) == 1
    [call] = app.calls
    assert (call.hook, call.session.id, call.key) == (Hook.POST_CREATE, "a", "k")
    assert call.path == Path("/completed/a")
    assert (world.row(1).told_at, world.row(1).due_at, world.row(1).attempts) == (1000.0, None, 1)
    assert await world.courier.deliver(10) == 0


async def test_an_upload_is_told_of_in_order() -> None:
    app = Listener()
    world = World([app])
    hooks = [Hook.POST_CREATE, Hook.POST_RECEIVE, Hook.POST_FINISH, Hook.POST_TERMINATE]
    await world.outbox.post([news(hook=hook) for hook in hooks])
    assert await world.courier.deliver(10) == 4
    assert [call.hook for call in app.calls] == hooks


async def test_no_more_than_asked_for() -> None:
    app, other = Listener(), Listener("other")
    world = World([app, other])
    await world.outbox.post([news(f"u{i}", receiver=r) for i in range(9) for r in ("app", "other")])
    assert await world.courier.deliver(4) == 4
    assert (len(app.calls), len(other.calls)) == (2, 2)


async def test_only_its_receivers_and_only_news() -> None:
    app, asks = Listener(), Listener("asks", {Hook.PRE_CREATE})
    world = World([app, asks])
    await world.outbox.post([news(receiver="gone"), news(receiver="asks"), news()])
    assert await world.courier.deliver(10) == 1
    assert (len(app.calls), asks.calls) == (1, [])


@pytest.mark.parametrize(
    ("answer", "problem"), [(down, "it is down"), (broken, "RuntimeError: a bug")]
)
async def test_what_failed_is_told_again_later(
    answer: Callable[[HookCall], HookAnswer], problem: str
) -> None:
    app = Listener(answer=answer)
    world = World([app])
    await world.outbox.post([news(), news(hook=Hook.POST_FINISH)])
    assert await world.courier.deliver(10) == 1
    row = world.row(1)
    assert (row.told_at, row.due_at, row.attempts, row.problem) == (None, 1001.0, 1, problem)
    app.answer = lambda _: HookAnswer()
    assert await world.courier.deliver(10) == 0
    world.clock.now = 1001.0
    assert await world.courier.deliver(10) == 2
    assert [call.hook for call in app.calls] == [
        Hook.POST_CREATE,
        Hook.POST_CREATE,
        Hook.POST_FINISH,
    ]
    assert {call.key for call in app.calls} == {"k"}


@pytest.mark.parametrize("chance", [0.0, 0.75])
async def test_pauses_double_up_to_an_hour(chance: float) -> None:
    world = World([Listener(answer=down)], chance=chance)
    await world.outbox.post([news()])
    pauses = []
    for _ in range(16):
        await world.courier.deliver(1)
        pauses.append(((world.row(1).due_at or 0.0) - world.clock.now) / (1 - chance))
        world.clock.now = world.row(1).due_at or 0.0
    assert pauses[:12] == [2.0**n for n in range(12)]
    assert pauses[12:] == [LONGEST_PAUSE] * 4


async def test_any_number_of_attempts_can_be_counted() -> None:
    world = World([Listener(answer=down)])
    await world.outbox.post([news()])
    row = world.row(1)
    object.__setattr__(row, "attempts", 100_000)
    await world.courier.deliver(1)
    assert world.row(1).due_at == 1000.0 + LONGEST_PAUSE


async def test_it_is_given_up_in_the_end(caplog: pytest.LogCaptureFixture) -> None:
    app = Listener(answer=down)
    world = World([app])
    await world.outbox.post([news(), news(hook=Hook.POST_FINISH)])
    world.clock.now = 1000.0 + 3 * DAY - 1
    await world.courier.deliver(1)
    assert not [each for each in caplog.records if each.levelno >= logging.ERROR]
    world.clock.now += 1
    await world.courier.deliver(1)
    assert (world.row(1).due_at, world.row(1).told_at) == (None, None)
    [record] = [each for each in caplog.records if each.levelno >= logging.ERROR]
    for word in ("post-create", "of a ", "app", "it is down", "tusjumbo replay 1"):
        assert word in record.getMessage()
    app.answer = lambda _: HookAnswer()
    await world.courier.deliver(1)
    await world.outbox.replay([1], world.clock.now)
    await world.courier.deliver(1)
    assert [call.hook for call in app.calls[-2:]] == [Hook.POST_FINISH, Hook.POST_CREATE]


@pytest.mark.parametrize("hook", [hook for hook in Hook if not hook.asks])
async def test_post_receive_may_stop_the_upload(hook: Hook) -> None:
    world = World([Listener(answer=lambda _: HookAnswer(stop=True))])
    await world.outbox.post([news(hook=hook)])
    await world.courier.deliver(1)
    assert world.stopped == (["a"] if hook is Hook.POST_RECEIVE else [])
    assert world.row(1).told_at is not None


async def test_stopping_comes_before_settling() -> None:
    world = World([Listener(answer=lambda _: HookAnswer(stop=True))])

    async def stop(upload_id: str) -> None:
        assert world.row(1).told_at is None
        world.stopped.append(upload_id)
        if len(world.stopped) == 1:
            raise RuntimeError("locked")

    world.courier = world.make(stop_upload=stop)
    await world.outbox.post([news(hook=Hook.POST_RECEIVE)])
    await world.courier.deliver(1)
    assert (world.row(1).told_at, world.row(1).problem) == (None, "RuntimeError: locked")
    world.clock.now += 1
    await world.courier.deliver(1)
    assert world.stopped == ["a", "a"]
    assert world.row(1).told_at == world.clock.now


async def test_old_news_are_forgotten_now_and_then() -> None:
    app = Listener()
    world = World([app])
    await world.outbox.post([news()])
    await world.courier.deliver(1)
    await world.courier.deliver(1)
    assert world.outbox.asked.count("forget") == 1
    world.clock.now += 7 * DAY
    await world.courier.deliver(1)
    assert world.outbox.rows
    world.clock.now += DAY
    await world.courier.deliver(1)
    assert not world.outbox.rows


async def test_what_was_given_up_can_be_seen_for_a_day() -> None:
    world = World([Listener(answer=down)])
    world.courier = world.make(retry_for=10 * DAY, keep=DAY)
    await world.outbox.post([news()])
    world.clock.now += 10 * DAY
    await world.courier.deliver(1)
    assert not world.waiting()
    assert world.outbox.rows
    world.clock.now += DAY + 1
    await world.courier.deliver(1)
    assert not world.outbox.rows


async def test_an_outbox_that_fails_loses_nothing() -> None:
    app = Listener()
    world = World([app])
    await world.outbox.post([news()])
    world.outbox.is_broken = True
    assert await world.courier.deliver(1) == 0

    def breaking(call: HookCall) -> HookAnswer:
        world.outbox.is_broken = True
        return HookAnswer()

    world.outbox.is_broken, app.answer = False, breaking
    assert await world.courier.deliver(1) == 1
    assert world.row(1).told_at is None
    world.outbox.is_broken, app.answer = False, lambda _: HookAnswer()
    world.clock.now += 60.0
    assert await world.courier.deliver(1) == 1
    assert world.row(1).told_at is not None


# --- others are not in the way --------------------------------------------------------------------


async def test_a_dead_receiver_starves_nobody() -> None:
    dead, app = Listener("dead", answer=down), Listener()
    world = World([dead, app])
    await world.outbox.post([news(f"u{i}", receiver="dead") for i in range(2000)])
    await world.outbox.post([news(f"u{i}") for i in range(50)])
    while len(app.calls) < 50:
        assert await world.courier.deliver(100)
    assert len(dead.calls) <= 16
    assert sum(each.attempts for each in world.outbox.rows.values()) <= 66


async def test_a_dead_receiver_is_tried_with_one_at_a_time() -> None:
    dead = Listener(answer=down)
    world = World([dead])
    await world.outbox.post([news(f"u{i}") for i in range(100)])
    await world.courier.deliver(DEAD_AFTER)
    rests = []
    for _ in range(10):
        before = len(dead.calls)
        assert await world.courier.deliver(100) == 0
        start = world.clock.now
        while len(dead.calls) == before:
            world.clock.now += 0.5
            await world.courier.deliver(100)
        assert len(dead.calls) == before + 1
        rests.append(world.clock.now - start)
    # Each of the first five failed by itself, and each made the rest longer than the one before.
    assert rests[-1] == LONGEST_REST
    assert rests == sorted(rests)
    dead.answer = lambda _: HookAnswer()
    world.clock.now += LONGEST_REST
    assert await world.courier.deliver(100) == 100
    # What was is forgiven.
    dead.answer = down
    await world.outbox.post([news(f"v{i}") for i in range(DEAD_AFTER)])
    assert await world.courier.deliver(100) == DEAD_AFTER
    world.clock.now += 1.0
    assert await world.courier.deliver(100) == 1


async def test_what_is_given_up_does_not_wait_for_its_turn() -> None:
    dead = Listener(answer=down)
    world = World([dead])
    await world.outbox.post([news(f"u{i}") for i in range(100)])
    world.clock.now += 3 * DAY
    assert await world.courier.deliver(100) == 100
    assert not world.waiting()


async def test_one_upload_that_fails_keeps_no_other_waiting() -> None:
    def answer(call: HookCall) -> HookAnswer:
        return down(call) if call.session.id == "bad" else HookAnswer()

    app = Listener(answer=answer)
    world = World([app])
    await world.outbox.post([news("bad")])
    for number in range(20):
        await world.outbox.post([news(f"u{number}")])
        await world.courier.deliver(10)
        world.clock.now = world.row(1).due_at or 0.0
        assert world.row(number + 2).told_at is not None


async def test_one_that_hangs_takes_one_place() -> None:
    hung = list[str]()

    class Hanging(Listener):
        async def __call__(self, call: HookCall) -> HookAnswer:
            if call.session.id == "slow":
                hung.append(call.key)
                await anyio.sleep_forever()
            return await super().__call__(call)

    app = Hanging()
    world = World([app])
    await world.outbox.post([news("slow")])
    async with world.running():
        await until(lambda: hung)
        for number in range(40):
            await world.outbox.post([news(f"u{number}")])
            world.asking.rang()
        await until(lambda: len(app.calls) == 40)
        # Its claim has ended meanwhile: nobody else tells it, and neither do we twice.
        world.clock.now += 61.0
        await world.outbox.post([news("last")])
        world.asking.rang()
        await until(lambda: len(app.calls) == 41)
        assert world.row(1).attempts == 2
        assert hung == ["k"]


async def test_a_receiver_is_told_side_by_side() -> None:
    busy, most = 0, 0
    go_on = anyio.Event()

    class Slow(Listener):
        async def __call__(self, call: HookCall) -> HookAnswer:
            nonlocal busy, most
            busy += 1
            most = max(most, busy)
            await go_on.wait()
            busy -= 1
            return await super().__call__(call)

    app = Slow()
    world = World([app])
    world.courier = world.make(concurrency=3)
    await world.outbox.post([news(f"u{i}") for i in range(20)])
    async with world.running():
        await until(lambda: busy == 3)
        await anyio.wait_all_tasks_blocked()
        go_on.set()
        await until(lambda: len(app.calls) == 20)
    assert most == 3


# --- all the time ---------------------------------------------------------------------------------


async def test_ringing_wakes_it() -> None:
    app = Listener()
    world = World([app])
    async with world.running():
        await anyio.wait_all_tasks_blocked()
        for number in range(3):
            await world.outbox.post([news(f"u{number}")])
            world.asking.rang()
            await until(lambda: len(app.calls) == number + 1)  # noqa: B023


async def test_ringing_is_heard_by_who_does_not_listen_yet() -> None:
    app = Listener()
    world = World([app])

    class Late(MemoryOutbox):
        async def next_due(self, receivers: Collection[str]) -> float | None:
            due = await super().next_due(receivers)
            if not self.rows:
                await self.post([news()])
                world.asking.rang()
            return due

    world.outbox = Late()
    world.courier = world.make()
    async with world.running():
        await until(lambda: app.calls)


@pytest.mark.parametrize("outcome", [lambda _: HookAnswer(), down])
async def test_what_came_of_it_is_recorded_by_who_is_stopped(
    outcome: Callable[[HookCall], HookAnswer],
) -> None:
    with anyio.CancelScope() as scope:

        def answer(call: HookCall) -> HookAnswer:
            scope.cancel()
            return outcome(call)

        world = World([Listener(answer=answer)])
        await world.outbox.post([news()])
        await world.courier.run()
    row = world.row(1)
    is_told = row.told_at is not None
    assert (is_told, row.problem) == ((False, "it is down") if outcome is down else (True, ""))


async def test_what_follows_needs_no_ringing() -> None:
    app = Listener()
    world = World([app])
    hooks = [Hook.POST_CREATE, Hook.POST_RECEIVE, Hook.POST_FINISH]
    await world.outbox.post([news(hook=hook) for hook in hooks])
    async with world.running():
        await until(lambda: not world.waiting())
    assert [call.hook for call in app.calls] == hooks


async def test_it_wakes_when_something_is_due() -> None:
    app = Listener(answer=down)
    world = World([app], chance=0.99)
    real = Time()
    start = anyio.current_time

    class Running(Time):
        def __call__(self) -> float:
            return 1000.0 + start()

    world.clock = Running(real.now)
    world.courier = world.make(retry_for=1e12)
    await world.outbox.post([news()])
    async with world.running():
        await until(lambda: len(app.calls) == 3)


async def test_it_looks_by_itself_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK", 0.01)
    app = Listener()
    world = World([app])
    async with world.running():
        await anyio.wait_all_tasks_blocked()
        await world.outbox.post([news()])  # by another process
        await until(lambda: app.calls)


async def test_it_looks_again_after_the_outbox_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK", 0.01)
    app = Listener()
    world = World([app])
    await world.outbox.post([news()])
    world.outbox.is_broken = True
    async with world.running():
        await until(lambda: world.outbox.asked.count("claim") > 1)
        world.outbox.is_broken = False
        await until(lambda: world.row(1).told_at)


async def test_who_has_nobody_to_tell_does_nothing() -> None:
    world = World([Listener(hooks={Hook.PRE_CREATE})])
    await world.outbox.post([news()])
    async with world.running():
        await anyio.wait_all_tasks_blocked()
        world.asking.rang()
        await anyio.wait_all_tasks_blocked()
    assert await world.courier.deliver(10) == 0
    assert world.outbox.asked == ["post"]


async def test_an_idle_courier_does_not_ask_again() -> None:
    world = World([Listener()])
    async with world.running():
        await until(lambda: "next_due" in world.outbox.asked)
        await anyio.wait_all_tasks_blocked()
        assert world.outbox.asked.count("claim") == 1


async def test_who_is_stopped_gives_back_what_it_has() -> None:
    begun = anyio.Event()

    class Hanging(Listener):
        async def __call__(self, call: HookCall) -> HookAnswer:
            self.calls.append(call)
            begun.set()
            await anyio.sleep_forever()
            return HookAnswer()

    hanging = Hanging()
    world = World([hanging])
    await world.outbox.post([news()])
    async with world.running():
        await begun.wait()
        assert world.row(1).due_at == 1060.0
    assert (world.row(1).due_at, world.row(1).told_at) == (1000.0, None)
    app = Listener()
    world.receivers = [app]
    await world.make().deliver(1)
    assert [call.key for call in app.calls] == [call.key for call in hanging.calls] == ["k"]


async def test_it_runs_again_after_it_was_stopped() -> None:
    app = Listener()
    world = World([app])
    for number in range(3):
        async with world.running():
            await anyio.wait_all_tasks_blocked()
            await world.outbox.post([news(f"u{number}")])
            world.asking.rang()
            await until(lambda: len(app.calls) == number + 1)  # noqa: B023


def test_it_belongs_to_no_event_loop() -> None:
    app = Listener()
    world = World([app])
    for number, backend in enumerate(("asyncio", "trio", "asyncio")):

        async def work(number: int = number) -> None:
            async with world.running():
                await anyio.wait_all_tasks_blocked()
                await world.outbox.post([news(f"u{number}")])
                world.asking.rang()
                await until(lambda: len(app.calls) == number + 1)

        world.asking.rang()  # outside of any
        anyio.run(work, backend=backend)


async def test_two_couriers_tell_nothing_twice() -> None:
    app = Listener()
    world = World([app])
    other = world.make()
    await world.outbox.post(
        [news(f"u{i}", hook) for i in range(20) for hook in (Hook.POST_CREATE, Hook.POST_FINISH)]
    )
    async with world.running(), anyio.create_task_group() as tasks:
        tasks.start_soon(other.run)
        await until(lambda: not world.waiting())
        tasks.cancel_scope.cancel()
    assert len(app.calls) == 40


# --- whatever happens -----------------------------------------------------------------------------

EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("post"), st.sampled_from("abc")),
        st.tuples(st.just("deliver"), st.integers(1, 8)),
        st.tuples(st.just("wait"), st.floats(0.1, 4000.0)),
        st.tuples(st.just("die"), st.integers(1, 3)),
    ),
    max_size=40,
)


class Life:
    """Two couriers that die, receivers that fail, and time that goes by."""

    def __init__(self, luck: Any, outbox: Outbox) -> None:
        self.luck = luck
        self.outbox = outbox
        self.mood = 0.4
        self.taken: dict[str, list[str]] = {"one": [], "two": []}
        self.posted: list[tuple[str, str, str]] = []
        receivers = [Listener(name, answer=self.answer_of(name)) for name in self.taken]
        self.world = World(receivers, chance=luck.random())
        make = partial(self.world.make, outbox=outbox, retry_for=1e9)
        self.couriers = [make(), make(concurrency=1)]

    def answer_of(self, name: str) -> Callable[[HookCall], HookAnswer]:
        def answer(call: HookCall) -> HookAnswer:
            if self.luck.random() < self.mood:
                raise self.luck.choice([HookFailed("x", "no"), ValueError("no")])
            self.taken[name].append(call.key)
            return HookAnswer()

        return answer

    async def post(self, upload_id: str) -> None:
        number = len(self.posted)
        entries = [news(upload_id, receiver=r, key=f"{r}-{number}") for r in self.taken]
        self.posted += [(upload_id, each.receiver, each.call.key) for each in entries]
        await self.outbox.post(entries)

    async def wait(self, seconds: float) -> None:
        self.world.clock.now += seconds

    async def deliver(self, limit: int) -> None:
        await self.luck.choice(self.couriers).deliver(limit)

    async def die(self, limit: int) -> None:
        """Before it was told, or between telling and settling."""
        now, name = self.world.clock.now, self.luck.choice(["one", "two"])
        for claimed in await self.outbox.claim([name], now, now + 60.0, limit):
            if self.luck.random() < 0.5:
                self.taken[name].append(claimed.call.key)

    async def end(self) -> None:
        self.mood = 0.0
        while await self.outbox.news(waiting=True, limit=1):
            self.world.clock.now += 4000.0
            await self.couriers[0].deliver(1000)

    async def live(self, events: Any) -> None:
        for what, value in events:
            await getattr(self, what)(value)
        await self.end()
        for upload_id in "abc":
            for name, keys in self.taken.items():
                wanted = [key for u, r, key in self.posted if (u, r) == (upload_id, name)]
                assert [key for key in dict.fromkeys(keys) if key in wanted] == wanted


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@given(events=EVENTS, luck=st.randoms(use_true_random=False))
def test_everything_is_told_and_first_in_order(backend: str, events: Any, luck: Any) -> None:
    async def live() -> None:
        await Life(luck, MemoryOutbox()).live(events)

    anyio.run(live, backend=backend)
