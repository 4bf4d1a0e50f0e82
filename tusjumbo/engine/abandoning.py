"""Giving up: OPEN -> ABANDONED before its time, when an upload can never be finished.

A HEAD must not promise bytes that are lost, or never come: then clients would wait for ever.
"""

from __future__ import annotations

from functools import partial

from tusjumbo.engine.observers import Observers
from tusjumbo.ports import Catalog, Clock
from tusjumbo.sessions import rules
from tusjumbo.sessions.events import UploadAbandoned
from tusjumbo.sessions.session import UploadSession


class GiveUp:
    def __init__(
        self, catalog: Catalog, clock: Clock, limits: rules.Limits, observers: Observers
    ) -> None:
        self._catalog = catalog
        self._clock = clock
        self._limits = limits
        self._observers = observers

    async def __call__(self, upload_id: str) -> UploadSession:
        """The session as it is when given up. The caller holds its lock.

        :raises StaleCommit: it is not open
        """
        change = partial(rules.given_up, now=self._clock(), limits=self._limits)
        session = await self._catalog.update(upload_id, change)
        self._observers.tell(UploadAbandoned(session))
        return session
