"""Means: what every part of the engine works with, the same for all of one installation."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from tusjumbo.application import Hooks, Origin, Outbox, Tell
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
    hooks: Hooks | None = None
    """Who is asked and told besides; None if nobody is."""
    outbox: Outbox | None = None
    """What the catalog keeps for them; None likewise."""

    async def together(self, steps: Callable[[], Coroutine[object, Any, T]]) -> T:
        """Carry out `steps`, which await catalog, store and locker only: in one hop if possible."""
        return await (steps() if self.errands is None else self.errands(steps))

    def telling(self, origin: Origin) -> Tell | None:
        """What to give to the catalog with a change that `origin` has made; None: nothing."""
        return None if self.hooks is None else self.hooks.telling(origin)

    def told(self) -> None:
        """There may be something in the outbox. For the event loop's thread; never blocks."""
        if self.hooks is not None:
            self.hooks.rang()
