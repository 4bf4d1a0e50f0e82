"""Means: what every part of the engine works with, the same for all of one installation."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from tusjumbo.engine.observers import Observers
from tusjumbo.errands import Errands
from tusjumbo.ports import Catalog, Clock, Locker, Store
from tusjumbo.sessions.rules import Limits

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Means:
    catalog: Catalog
    store: Store
    locker: Locker
    limits: Limits
    patience: float
    """How long to wait for whoever has an upload, in seconds."""
    clock: Clock
    observers: Observers
    errands: Errands | None = None
    """How steps go to a thread together; None if catalog, store or locker wait for more than hops.
    """

    async def together(self, steps: Callable[[], Coroutine[object, Any, T]]) -> T:
        """Carry out `steps`, which await catalog, store and locker only: in one hop if possible."""
        return await (steps() if self.errands is None else self.errands(steps))
