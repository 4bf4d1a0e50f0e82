"""Sweep: what time does to uploads, and what a crash left undone.

Expired unfinished uploads are set aside, later removed; sealed ones are finished; those that wait
for their parts are looked at, in case nobody else did; finished ones are never touched. Each
session is handled while holding its lock, taken only if it is free (nobody is ever asked to leave
for housekeeping), and looked at again once it is held. Any number of processes may sweep at once.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from tusjumbo.application import NOBODY
from tusjumbo.engine.concatenation import Concatenation
from tusjumbo.engine.finish import Finish
from tusjumbo.engine.means import Means
from tusjumbo.errors import (
    MediaTypeRefused,
    PartUnusable,
    StaleCommit,
    SystemFailure,
    UploadLocked,
    UploadNotFound,
    UploadRejected,
    UploadTooLarge,
)
from tusjumbo.sessions import joining, rules
from tusjumbo.sessions.events import UploadAbandoned, UploadPurged, UploadTerminated
from tusjumbo.sessions.session import Kind, Phase, UploadSession

_log = logging.getLogger("tusjumbo")

STRAY_AGE = 3600.0
"""Bytes without a session are removed when nobody has touched them for this many seconds."""


FEW = 20
"""How many uploads are swept in passing."""

_PAGE = 500
"""Sessions asked for at a time."""


@dataclass
class Swept:
    """How many uploads were …"""

    finished: int = 0
    refused: int = 0
    """… complete, and of a type that is not taken."""
    abandoned: int = 0
    purged: int = 0
    tidied: int = 0
    """… without a session, or finished with something left behind."""
    failed: int = 0
    left: int = 0
    """… complete, and for a server that knows what is to be done with them."""


@dataclass
class Sweep:
    means: Means
    finish: Finish
    concatenation: Concatenation
    has_every_say: bool = True
    """Whether there is nobody else who might have a say in what becomes of a file."""
    _passed_at: float = field(default=-math.inf, init=False)

    async def due(self, limit: int = 1000) -> Swept:
        """Handle at most `limit` sessions whose time has come."""
        swept = Swept()
        for session in await self.means.catalog.due(self.means.clock(), limit):
            try:
                if session.is_pending and not rules.has_expired(session, self.means.clock()):
                    await self._join(session, swept)
                    continue
                if session.is_arrived:
                    await self._finish(session, swept)
                    continue
                async with self.means.locker.attempt(session.id):
                    await self._handle(session.id, swept)
            except (MediaTypeRefused, UploadRejected):
                swept.refused += 1
            except (UploadLocked, UploadNotFound, StaleCommit):
                continue  # somebody else has it, and the next sweep will look again
            except SystemFailure:
                swept.failed += 1
                _log.exception("Upload %s could not be swept.", session.id)
        await self.concatenation.go_on()
        self.means.told()
        return swept

    async def in_passing(self, every: float) -> None:
        """A little of it, if `every` seconds are over (0: never): for who has no time of their own.

        Nobody waits for it and it is tried again, so what fails only needs to be known.
        """
        now = self.means.clock()
        if not every or now - self._passed_at < every:
            return
        self._passed_at = now
        try:
            await self.due(FEW)
        except Exception:
            _log.exception("Sweeping failed; it will be tried again.")

    async def _join(self, session: UploadSession, swept: Swept) -> None:
        """Its lock is the concatenation's business."""
        try:
            session = await self.concatenation.advance(session.id)
        except (PartUnusable, UploadTooLarge):
            swept.abandoned += 1
            return
        if session.is_pending:
            # Those that wait for others must not stand in the way of those that are due.
            await self.means.catalog.update(
                session.id, partial(joining.looked_at, now=self.means.clock())
            )
        else:
            swept.finished += 1

    async def _finish(self, session: UploadSession, swept: Swept) -> None:
        is_for_others = session.retry_at is not None and not self.means.limits.assembles
        if session.phase is Phase.SEALED and is_for_others and not self.has_every_say:
            swept.left += 1
            return
        await self.finish.alone(session.id, NOBODY)
        swept.finished += 1

    async def _handle(self, upload_id: str, swept: Swept) -> None:
        found = await self.means.together(partial(self._look, upload_id))
        if isinstance(found, UploadAbandoned):
            self.means.observers.tell(found)
            swept.abandoned += 1
        elif found is not None:
            # By itself: to free what a large file had takes its time.
            is_stopped = found.phase is Phase.STOPPED
            tell = self.means.telling(NOBODY) if is_stopped else None  # else it has expired before
            await self.means.store.remove(found)
            await self.means.catalog.delete(found.id, tell=tell)
            self.means.observers.tell(
                UploadTerminated(found) if is_stopped else UploadPurged(found)
            )
            swept.purged += 1

    async def _look(self, upload_id: str) -> UploadSession | UploadAbandoned | None:
        """Set aside what has expired. A session that is returned is to be removed."""
        session, now = await self.means.catalog.load(upload_id), self.means.clock()
        if session.phase is Phase.STOPPED:
            return session
        if not rules.has_expired(session, now):
            return None
        if session.phase is not Phase.OPEN:
            return session
        if await self._is_awaited(session):
            change = partial(joining.spared, now=now, limits=self.means.limits)
            await self.means.catalog.update(session.id, change)
            return None
        await self.means.store.abandon(session)
        change, tell = (
            partial(rules.abandoned, now=now, limits=self.means.limits),
            self.means.telling,
        )
        return UploadAbandoned(
            await self.means.catalog.update(session.id, change, tell=tell(NOBODY))
        )

    async def _is_awaited(self, session: UploadSession) -> bool:
        """Whether it is all there, and a final upload waits for others still."""
        is_part = session.kind is Kind.PARTIAL and session.is_full
        return is_part and bool(await self.means.catalog.awaiting(session.id))

    async def strays(self) -> Swept:
        """Remove bytes that no session accounts for, and leftovers of finished ones.

        Asks for the session of every old file: for start-up and for operators, not for every hour.
        """
        swept = Swept()
        candidates = sorted(await self.means.store.strays(self.means.clock() - STRAY_AGE))
        for first in range(0, len(candidates), _PAGE):
            page = candidates[first : first + _PAGE]
            found = await self.means.catalog.gather(page)
            opened = {session.id for session in found.values() if session.phase is Phase.OPEN}
            await self._tidy_all([each for each in page if each not in opened], swept)
        return swept

    async def _tidy_all(self, upload_ids: Sequence[str], swept: Swept) -> None:
        for upload_id in upload_ids:
            try:
                async with self.means.locker.attempt(upload_id):
                    swept.tidied += await self._tidy(upload_id)
            except UploadLocked:
                continue
            except SystemFailure:
                swept.failed += 1
                _log.exception("What is left of upload %s could not be removed.", upload_id)

    async def _tidy(self, upload_id: str) -> bool:
        try:
            session = await self.means.catalog.load(upload_id)
        except UploadNotFound:
            unknown = UploadSession(id=upload_id, created_at=0.0, updated_at=0.0)
            await self.means.store.remove(unknown)
            return True
        if session.phase is Phase.DONE:
            await self.means.store.settle(session)
        elif session.phase is Phase.ABANDONED:
            await self.means.store.abandon(session)
        return session.phase in (Phase.DONE, Phase.ABANDONED)
