"""Observers: who is told what happened. One that fails is logged and harms nobody."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from tusjumbo.ports import Observer
from tusjumbo.sessions.events import Event

_log = logging.getLogger("tusjumbo")


class Observers:
    def __init__(self, observers: Iterable[Observer] = ()) -> None:
        self._observers = tuple(observers)

    def tell(self, event: Event) -> None:
        for observer in self._observers:
            try:
                observer(event)
            except Exception:
                _log.exception("An observer failed on %s.", type(event).__name__)
