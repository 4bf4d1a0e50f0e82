"""Means: what every part of the engine works with, the same for all of one installation."""

from __future__ import annotations

from dataclasses import dataclass

from tusjumbo.engine.observers import Observers
from tusjumbo.ports import Catalog, Clock, Locker, Store
from tusjumbo.sessions.rules import Limits


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
