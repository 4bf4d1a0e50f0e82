"""Finishing: SEALED -> DONE, at least once, by whoever meets a sealed session and holds its lock.

A file that is not taken ends here (`tusjumbo.engine.inspection`). Then the application has its say,
if it wants one (`tusjumbo.engine.assembling`), the bytes get their final name, the receipt is
recorded, and what is left over goes. Each step may be repeated after a crash and comes to the same,
so nothing is lost or made twice.

Who asks for it either waits (`Finish`), or leaves it to the chores (`Later`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Protocol

import anyio

from tusjumbo.application import NOBODY, Origin
from tusjumbo.engine.assembling import Assembling
from tusjumbo.engine.inspection import Screening
from tusjumbo.engine.means import Means
from tusjumbo.errors import SystemFailure
from tusjumbo.sessions.events import UploadFinished
from tusjumbo.sessions.rules import done
from tusjumbo.sessions.session import Phase, UploadSession

_log = logging.getLogger("tusjumbo")


class Finishing(Protocol):
    """What a request does with an upload that may be complete."""

    async def __call__(self, session: UploadSession, origin: Origin = NOBODY) -> UploadSession:
        """The session as it is when finished, or left to be; any other comes back unchanged.

        The caller holds its lock.

        :raises MediaTypeRefused: :raises UploadRejected: it is not one that is taken, and is over
        :raises SystemFailure: it stays as it is, and will be tried again
        """
        ...

    def is_due(self, session: UploadSession) -> bool:
        """Whether `carry_out` may be called at once, without asking anybody."""
        ...

    async def carry_out(self, session: UploadSession, origin: Origin) -> UploadSession:
        """Finish a session that is accepted. To be carried to its end, and then told of.

        :raises SystemFailure: as above
        """
        ...


class Finish:
    """See `Finishing`: at once."""

    def __init__(self, means: Means, screening: Screening, assembling: Assembling) -> None:
        self._means = means
        self._screening = screening
        self._assembling = assembling

    async def __call__(self, session: UploadSession, origin: Origin = NOBODY) -> UploadSession:
        if not session.is_arrived:
            return session
        session = await self._prepared(session, origin, self._means.patience)
        if not session.is_arrived:
            return session
        # A cancelled caller still sees it through: it is a rename.
        with anyio.CancelScope(shield=True):
            finished = await self._means.together(partial(self.carry_out, session, origin))
        self._means.observers.tell(UploadFinished(finished))
        return finished

    async def alone(self, upload_id: str, origin: Origin) -> UploadSession:
        """Finish an upload for nobody who waits: its lock is only taken when it gets its name.

        Never waits for anybody, and otherwise as a call.

        :raises UploadNotFound: it has gone
        :raises UploadLocked: somebody else is at it
        """
        means = self._means
        session = await means.catalog.load(upload_id)
        if session.is_arrived and self._assembling.is_needed:
            session = await self._prepared(session, origin, 0.0)
        async with means.locker.attempt(upload_id):
            return await self(await means.catalog.load(upload_id), origin)

    async def _prepared(
        self, session: UploadSession, origin: Origin, patience: float
    ) -> UploadSession:
        if session.phase is not Phase.SEALED:
            return session
        with anyio.CancelScope(shield=True):
            await self._screening.passed(session, origin)
        if not self._assembling.is_needed:
            return session
        return await self._assembling(session, origin, patience)

    def is_due(self, session: UploadSession) -> bool:
        asks = self._screening.inspection is not None or self._assembling.is_needed
        return session.phase is Phase.SEALED and not asks

    async def carry_out(self, session: UploadSession, origin: Origin) -> UploadSession:
        means, receipt = self._means, session.receipt
        if receipt is None or receipt.is_here:
            receipt = await means.store.publish(session)
        finished = await means.catalog.update(
            session.id,
            partial(done, receipt=receipt, now=means.clock()),
            tell=means.telling(origin),
        )
        try:
            await means.store.settle(finished)
        except SystemFailure:
            # The receipt is recorded: the upload is finished, and the sweep tidies up.
            _log.exception("Something is left over of the finished upload %s.", session.id)
        return finished


class Later:
    """See `Finishing`: not now. `leave` is told of each upload and what its last request was."""

    def __init__(self, leave: Callable[[UploadSession, Origin], None]) -> None:
        self._leave = leave

    async def __call__(self, session: UploadSession, origin: Origin = NOBODY) -> UploadSession:
        if session.is_arrived:
            self._leave(session, origin)
        return session

    def is_due(self, session: UploadSession) -> bool:
        del session
        return False

    async def carry_out(self, session: UploadSession, origin: Origin) -> UploadSession:
        return await self(session, origin)
