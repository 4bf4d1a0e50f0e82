"""Finishing: SEALED -> DONE, at least once, by whoever meets a sealed session and holds its lock.

A file that is not taken ends here (`tusjumbo.engine.inspection`). The bytes of any other get their
final name first, then the receipt is recorded, then what is left over goes. Each step may be
repeated after a crash and comes to the same, so nothing is lost or made twice.
"""

from __future__ import annotations

import logging
from functools import partial

import anyio

from tusjumbo.engine.inspection import Screening
from tusjumbo.engine.means import Means
from tusjumbo.errors import SystemFailure
from tusjumbo.sessions.events import UploadFinished
from tusjumbo.sessions.rules import done
from tusjumbo.sessions.session import Phase, UploadSession

_log = logging.getLogger("tusjumbo")


class Finish:
    def __init__(self, means: Means, screening: Screening) -> None:
        self._means = means
        self._screening = screening

    async def __call__(self, session: UploadSession) -> UploadSession:
        """The session as it is when finished; one that is not sealed comes back unchanged.

        The caller holds its lock. A cancelled caller still sees it through: it is a rename.

        :raises MediaTypeRefused: it is not one that is taken, and is over
        :raises SystemFailure: it stays sealed, and will be tried again
        """
        if session.phase is not Phase.SEALED:
            return session
        with anyio.CancelScope(shield=True):
            await self._screening.passed(session)
            finished = await self._means.together(partial(self.carry_out, session))
        self._means.observers.tell(UploadFinished(finished))
        return finished

    def is_due(self, session: UploadSession) -> bool:
        """Whether the session may be finished at once, without a look at what is in the file."""
        return session.phase is Phase.SEALED and self._screening.inspection is None

    async def carry_out(self, session: UploadSession) -> UploadSession:
        """Finish a sealed session that is accepted. To be carried to its end, and then told of.

        :raises SystemFailure: as above
        """
        receipt = await self._means.store.publish(session)
        finished = await self._means.catalog.update(
            session.id, partial(done, receipt=receipt, now=self._means.clock())
        )
        try:
            await self._means.store.settle(finished)
        except SystemFailure:
            # The receipt is recorded: the upload is finished, and the sweep tidies up.
            _log.exception("Something is left over of the finished upload %s.", session.id)
        return finished
