"""A deadline fires once, at its last time, and hardly ever touches the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from tusjumbo.server.deadline import Deadline


class Timer:
    def __init__(self, loop: Loop, at: float, callback: Callable[[], None]) -> None:
        self.at, self.callback, self._loop = at, callback, loop

    def cancel(self) -> None:
        self._loop.timers.remove(self)


class Loop:
    """An event loop with nothing but time."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[Timer] = []
        self.made = 0

    def time(self) -> float:
        return self.now

    def call_at(self, at: float, callback: Callable[[], None]) -> Timer:
        self.made += 1
        self.timers.append(Timer(self, at, callback))
        return self.timers[-1]

    def run_until(self, end: float) -> None:
        while due := [timer for timer in self.timers if timer.at <= end]:
            timer = min(due, key=lambda one: one.at)
            self.timers.remove(timer)
            self.now = timer.at
            timer.callback()
        self.now = end


class Stage:
    def __init__(self) -> None:
        self.loop = Loop()
        self.fired: list[float] = []
        self.deadline = Deadline(
            cast(asyncio.AbstractEventLoop, self.loop), lambda: self.fired.append(self.loop.now)
        )


def do(stage: Stage, steps: str) -> None:
    """`=5` sets it to 5, `x` clears, `!` ends it, `>3` lets time pass until 3."""
    for step in steps.split():
        value: Any = float(step[1:] or 0)
        match step[0]:
            case "=":
                stage.deadline.set(value)
            case "x":
                stage.deadline.clear()
            case "!":
                stage.deadline.end()
            case ">":
                stage.loop.run_until(value)


@pytest.mark.parametrize(
    ("steps", "fired"),
    [
        ("=5 >4", []),
        ("=5 >9", [5]),
        ("=5 >9 >20", [5]),
        ("=5 =7 >9", [7]),
        ("=5 =3 >9", [3]),
        ("=5 >4 =8 >7", []),
        ("=5 >4 =8 >9", [8]),
        ("=5 x >9", []),
        ("=5 x =7 >9", [7]),
        ("=5 x =3 >9", [3]),
        ("=5 ! >9", []),
        ("=5 ! =7 >9", []),
        ("=5 >9 =12 >20", [5, 12]),
        ("=5 x >9 =12 >20", [12]),
        ("! x >9", []),
    ],
)
def test_when_it_fires(steps: str, fired: list[float]) -> None:
    stage = Stage()
    do(stage, steps)
    assert stage.fired == fired


def test_a_thousand_requests_cost_two_timers() -> None:
    stage = Stage()
    for request in range(1000):
        do(stage, f"={request / 100 + 5} x >{(request + 1) / 100}")
    assert stage.loop.made <= 3
    assert len(stage.loop.timers) <= 1


def test_its_end_leaves_nothing_in_the_loop() -> None:
    stage = Stage()
    do(stage, "=5 =3 =8 !")
    assert stage.loop.timers == []


def test_a_timer_that_comes_a_tick_early_is_in_time() -> None:
    """Of uvloop, whose clock has milliseconds."""
    stage = Stage()
    do(stage, "=5")
    timer = stage.loop.timers.pop()
    stage.loop.now = 4.9995
    timer.callback()
    assert stage.fired == [4.9995]
