"""Listeners: functions of the application that are called from a thread, async or not."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from functools import partial
from typing import ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Call(Protocol):
    """What runs something in the event loop, for a thread that waits for it."""

    def __call__(self, work: Callable[[], Awaitable[T]], /) -> T: ...


def told(call: Call, listener: Callable[P, object]) -> Callable[P, None]:
    """The listener, whatever kind of function it is."""

    def tell(*args: P.args, **kwargs: P.kwargs) -> None:
        answer = listener(*args, **kwargs)
        if inspect.isawaitable(answer):
            call(partial(_awaited, answer))

    return tell


async def _awaited(answer: Awaitable[object]) -> None:
    await answer
