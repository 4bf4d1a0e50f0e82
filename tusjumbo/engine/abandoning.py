"""Abandoning before its time, and the way back.

GiveUp: OPEN -> ABANDONED when an upload can never be finished. A HEAD must not promise bytes that
are lost, or never come: then clients would wait for ever.

Recovery: ABANDONED -> OPEN because somebody asks for it. Bytes first, catalog second: a crash
between the two leaves an abandoned session, which can be recovered again, and whose bytes the sweep
finds wherever they are. Until its bytes are removed an upload is never too late to come back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from tusjumbo.application import NOBODY
from tusjumbo.engine.means import Means
from tusjumbo.sessions import joining, rules
from tusjumbo.sessions.events import UploadAbandoned, UploadRecovered
from tusjumbo.sessions.session import Kind, UploadSession


class GiveUp:
    def __init__(self, means: Means) -> None:
        self._means = means

    async def __call__(self, upload_id: str) -> UploadSession:
        """The session as it is when given up. The caller holds its lock.

        :raises StaleCommit: it is not open
        """
        change = partial(rules.given_up, now=self._means.clock(), limits=self._means.limits)
        tell = self._means.telling(NOBODY)
        session = await self._means.catalog.update(upload_id, change, tell=tell)
        self._means.observers.tell(UploadAbandoned(session))
        return session


@dataclass
class Recovery:
    means: Means
    part_changed: Callable[[str], None]

    async def __call__(self, upload_id: str) -> UploadSession:
        """The session, open once more and with its bytes in place.

        :raises UploadNotFound: :raises NotAbandoned: :raises UploadLocked: nothing has changed
        :raises PartUnusable: :raises UploadTooLarge: it is made of others, and cannot be any more
        :raises StorageLost: its bytes are gone; it stays abandoned
        """
        async with self.means.locker.hold(upload_id, self.means.patience):
            session = await self.means.catalog.load(upload_id)
            change = partial(rules.recovered, now=self.means.clock(), limits=self.means.limits)
            change(session)  # refuses what is not to be touched
            if session.kind is Kind.FINAL:
                await self._check_parts(session)
                await self.means.store.remove(session)
            else:
                await self.means.store.recover(session)
            session = await self.means.catalog.update(upload_id, change)
        self.means.observers.tell(UploadRecovered(session))
        for part_id in session.parts[:1]:
            self.part_changed(part_id)  # it may be all there
        return session

    async def _check_parts(self, session: UploadSession) -> None:
        found = await self.means.catalog.gather(session.parts)
        joining.parts_of(session, found, self.means.clock(), self.means.limits)
