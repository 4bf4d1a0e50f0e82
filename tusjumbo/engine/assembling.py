"""Assembling: SEALED -> ASSEMBLING, where the application has a say in what becomes of a file.

First the hooks are asked that may refuse it, then the assembler makes something of it; what it all
came to is made durable and recorded as the receipt to be. Until then nothing has a name that
anybody else knows, and everything may be repeated: the assembler is called at least once.

It has a lock of its own beside the upload's. Nobody changes the bytes of a sealed upload, so it may
take its time while others ask how far the upload is, or remove it.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from functools import partial

import anyio

from tusjumbo.application import Arrival, Assembled, Assembler, Origin
from tusjumbo.engine.inspection import Screening
from tusjumbo.engine.means import Means
from tusjumbo.errors import AssemblyFailed, TusJumboError, UploadNotFound, UploadRejected
from tusjumbo.sessions import ids, rules
from tusjumbo.sessions.session import Answer, Phase, Receipt, UploadSession

_log = logging.getLogger("tusjumbo")


@dataclass
class Assembling:
    means: Means
    screening: Screening
    assembler: Assembler | None

    @property
    def is_needed(self) -> bool:
        """Whether anybody has a say."""
        return self.means.limits.assembles

    async def __call__(
        self, session: UploadSession, origin: Origin, patience: float
    ) -> UploadSession:
        """The session with the receipt to be, if it is sealed; as it is now in any other phase.

        Waits `patience` seconds for whoever is at it. A cancelled caller leaves it sealed, to be
        tried again.

        :raises UploadRejected: the application does not want it; it is over
        :raises UploadNotFound: it has gone meanwhile
        :raises UploadLocked: somebody else is at it, and took too long
        :raises AssemblyFailed: it stays sealed, and will be tried again
        """
        async with self.means.locker.hold(ids.of_finishing(session.id), patience):
            session = await self.means.catalog.load(session.id)
            if session.phase is Phase.SEALED:
                session = await self._attempt(session, origin)
        return session

    async def _attempt(self, session: UploadSession, origin: Origin) -> UploadSession:
        try:
            return await self._assemble(session, origin)
        except UploadRejected as refusal:
            await self.screening.end(session, refusal, origin)
            raise
        except UploadNotFound:
            raise
        except Exception as error:
            await self._postpone(session, error)
            raise AssemblyFailed(session.id) from error

    async def _assemble(self, session: UploadSession, origin: Origin) -> UploadSession:
        arrival = await self.means.store.arrival(session, origin)
        assembled = await self._asked(arrival)
        if self.assembler is not None:
            if assembled.path is not None:
                wanted = replace(session, destination=assembled.path)
                safe = await self.means.store.arrival(wanted, origin)
                arrival = replace(arrival, name=safe.name)
            made = await self.assembler(arrival) or Assembled()
            assembled = replace(
                made, path=made.path or assembled.path, answer=_merged(assembled, made)
            )
        is_here = assembled.elsewhere is None
        receipt = Receipt(assembled.elsewhere or assembled.path or "", assembled.answer, is_here)
        change = partial(rules.assembled, receipt=receipt, now=self.means.clock())
        with anyio.CancelScope(shield=True):
            await self.means.store.keep(session, assembled)
            return await self.means.catalog.update(session.id, change)
        raise AssertionError("a scope that is shielded is not left otherwise")

    async def _asked(self, arrival: Arrival) -> Assembled:
        hooks = self.means.hooks
        if hooks is None or not hooks.wants_finishing:
            return Assembled()
        said = await hooks.finishing(arrival)
        return Assembled(path=said.path, answer=said.answer)

    async def _postpone(self, session: UploadSession, error: Exception) -> None:
        change = partial(rules.postponed, now=self.means.clock())
        with anyio.CancelScope(shield=True):
            try:
                session = await self.means.catalog.update(session.id, change)
            except TusJumboError:
                _log.exception("It could not be recorded when to finish %s again.", session.id)
        _log.error(
            "Upload %s is complete, but finishing it failed (attempt %d): %r",
            *(session.id, session.attempts, error),
            exc_info=error,
        )


def _merged(asked: Assembled, made: Assembled) -> Answer | None:
    """The assembler's answer, with what the hooks say where it says nothing."""
    if asked.answer is None or made.answer is None:
        return made.answer or asked.answer
    return Answer(
        made.answer.status or asked.answer.status,
        {**asked.answer.headers, **made.answer.headers},
        made.answer.body or asked.answer.body,
    )
