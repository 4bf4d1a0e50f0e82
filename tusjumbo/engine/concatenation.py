"""Concatenation: makes final uploads of partial ones, at once or as soon as the parts are in.

A final upload is recorded first, and only then are its parts looked at: so a last part that comes
in meanwhile finds it. It advances piece by piece, each copied by the store while the part is
locked, and what is copied is committed now and then like the bytes of a body: it can stop anywhere
and be continued by anybody, after a crash too.

Whoever finds a final upload's lock taken leaves, and nothing is forgotten: the one who has the lock
looks at the parts again after letting it go. For that to be enough, nobody takes that lock without
either advancing the upload or ending it.

What a request leaves to be done after its answer is remembered here (`go_on`). That memory is only
for speed: what a process forgets when it dies is found by the sweep.
"""

from __future__ import annotations

import logging
import math
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

import anyio

from tusjumbo.application import NOBODY
from tusjumbo.engine.abandoning import GiveUp
from tusjumbo.engine.consent import Consent
from tusjumbo.engine.finish import Finishing
from tusjumbo.engine.inspection import Screening
from tusjumbo.engine.means import Means
from tusjumbo.errors import (
    MediaTypeRefused,
    PartUnusable,
    ServerClosing,
    StaleCommit,
    StorageLost,
    SystemFailure,
    UploadLocked,
    UploadNotFound,
    UploadTooLarge,
)
from tusjumbo.notice import Notice
from tusjumbo.ports import Writer
from tusjumbo.sessions import commands, ids, joining, rules
from tusjumbo.sessions.events import PartRemoved, UploadCreated
from tusjumbo.sessions.joining import Piece
from tusjumbo.sessions.session import Phase, UploadSession

_log = logging.getLogger("tusjumbo")

PATIENCE = 5.0
"""Seconds that the creating request copies before it answers with the upload pending. Clients and
proxies give up after 10 to 60 s without an answer, and most joins take less than one."""

PIECE = 64 * 1024 * 1024
"""Bytes that are copied under one hold of a part's lock, before anybody who asks is heard."""

CHECKPOINT = 256 * 1024 * 1024
"""Bytes after which progress is committed: what a killed process costs."""


@dataclass
class Concatenation:
    means: Means
    finish: Finishing
    screening: Screening
    give_up: GiveUp
    removes_parts: bool = False
    """Whether partial uploads go when they have been joined."""

    def __post_init__(self) -> None:
        self._changed: set[str] = set()
        """Parts that have become full or gone."""
        self._unfinished: set[str] = set()
        """Final uploads that can advance."""
        self._joined: list[UploadSession] = []
        """Finished ones whose parts may go."""

    # --- for requests ---

    async def record(
        self, command: commands.Join, closing: Notice | None, consent: Consent
    ) -> UploadSession:
        """The new final upload, pending.

        :raises PartUnusable: :raises UploadTooLarge: as `joining.joined` says; nothing is recorded
        :raises MediaTypeRefused: it is to be a file that is not taken; likewise
        :raises UploadRejected: the application does not want it; likewise
        :raises ServerClosing: nothing is begun any more
        """
        upload_id = ids.of_final(ids.from_entropy(secrets.token_bytes(ids.ENTROPY)))
        found = await self.means.catalog.gather(command.parts)
        session = joining.joined(command, upload_id, found, self.means.clock(), self.means.limits)
        self.screening.claim(session)
        if _is_given(closing):
            raise ServerClosing
        session = await consent.ask(session)
        self.screening.claim(session)
        await consent.record(session)
        self.means.observers.tell(UploadCreated(session))
        return session

    async def measured(self, session: UploadSession) -> UploadSession:
        """A pending upload with the length that its parts have, as far as that is known now.

        :raises UploadNotFound: it will never be finished
        """
        found = await self.means.catalog.gather(session.parts)
        try:
            parts = joining.parts_of(session, found, self.means.clock(), self.means.limits)
        except (PartUnusable, UploadTooLarge):
            # It may have been finished, and its parts removed, since it was loaded.
            session = await self.means.catalog.load(session.id)
            if session.is_pending or session.phase is Phase.ABANDONED:
                raise UploadNotFound(session.id) from None
            return session
        return replace(session, length=joining.length_of(parts))

    def part_changed(self, part_id: str) -> None:
        """Remember to look for uploads that were waiting for this. Never blocks."""
        self._changed.add(part_id)

    # --- for everybody ---

    async def advance(
        self, upload_id: str, *, closing: Notice | None = None, patience: float = math.inf
    ) -> UploadSession:
        """Bring a final upload as far as it gets, and return it: finished, or still pending.

        Stops between pieces after `patience` seconds, when the server is closing, or when somebody
        asks for the upload.

        :raises PartUnusable: :raises UploadTooLarge: it can never be finished, and was given up
        :raises MediaTypeRefused: it is a file that is not taken, and over
        :raises UploadNotFound: it is gone
        :raises SystemFailure: it stays pending, and will be tried again
        """
        deadline = anyio.current_time() + patience
        while True:
            try:
                async with self.means.locker.attempt(upload_id) as lease:
                    session = await self._advance(upload_id, _Stop(lease.asked, closing, deadline))
            except UploadLocked:
                return await self.means.catalog.load(upload_id)
            if not session.is_pending:
                return session
            if lease.asked.given:
                return session  # who asked is about to end it
            if not await self._can_advance(session):
                return session
            if anyio.current_time() >= deadline or _is_given(closing):
                self._unfinished.add(upload_id)
                return session

    @property
    def has_work(self) -> bool:
        """Whether there is something to go on with."""
        return bool(self._changed or self._unfinished or self._joined)

    async def go_on(self, closing: Notice | None = None) -> None:
        """Do what requests have left to be done. Failures are logged, and left to the sweep."""
        while self._changed and not _is_given(closing):
            part_id = self._changed.pop()
            with _left_to_the_sweep(part_id):
                self._unfinished |= {
                    final.id for final in await self.means.catalog.awaiting(part_id)
                }
        while self._unfinished and not _is_given(closing):
            upload_id = self._unfinished.pop()
            with _left_to_the_sweep(upload_id):
                try:
                    await self.advance(upload_id, closing=closing)
                except anyio.get_cancelled_exc_class():
                    self._unfinished.add(upload_id)
                    raise
        while self._joined and not _is_given(closing):
            for part_id in dict.fromkeys(self._joined.pop().parts):
                with _left_to_the_sweep(part_id):
                    await self._remove(part_id)

    # --- one step ---

    async def _advance(self, upload_id: str, stop: _Stop) -> UploadSession:
        """With its lock held: copy what can be copied, and finish what is full."""
        session = await self.means.catalog.load(upload_id)
        if not session.is_pending:
            return await self._finished(session)
        if rules.has_expired(session, self.means.clock()):
            return session
        try:
            parts = await self._parts_of(session)
            if joining.is_ready(parts):
                session = await self._copy(session, parts, stop)
        except (PartUnusable, UploadTooLarge, StorageLost):
            await self.give_up(upload_id)
            # Not kept aside: whatever is there of it, its parts have as well.
            await self.means.store.remove(session)
            raise
        return await self._finished(session)

    async def _can_advance(self, session: UploadSession) -> bool:
        """Whether there is something to do for a pending upload, if only to give it up."""
        if rules.has_expired(session, self.means.clock()):
            return False
        try:
            return joining.is_ready(await self._parts_of(session))
        except (PartUnusable, UploadTooLarge):
            return True

    async def _parts_of(self, session: UploadSession) -> Sequence[UploadSession]:
        found = await self.means.catalog.gather(session.parts)
        return joining.parts_of(session, found, self.means.clock(), self.means.limits)

    async def _copy(
        self, session: UploadSession, parts: Sequence[UploadSession], stop: _Stop
    ) -> UploadSession:
        length = joining.length_of(parts)
        stored = session.offset
        async with self.means.store.writing(session) as writer:
            for piece in joining.pieces(session.offset, parts, PIECE):
                if stop.is_given:
                    break
                await self._copy_piece(writer, piece)
                stored = piece.at + piece.stop - piece.start
                if stored - session.offset >= CHECKPOINT:
                    session = await self._commit(session, writer, stored, length)
            if stored > session.offset or length == 0:
                session = await self._commit(session, writer, stored, length)
        return session

    async def _copy_piece(self, writer: Writer, piece: Piece) -> None:
        part_id = piece.part.id
        async with self.means.locker.hold(part_id, self.means.patience):
            found = await self.means.catalog.gather([part_id])
            joining.usable(part_id, found, self.means.clock())
            try:
                await writer.copy(piece.part, piece.start, piece.stop, piece.at)
            except StorageLost as error:
                if error.upload_id != part_id:
                    raise
                await self.give_up(part_id)
                raise PartUnusable(part_id, "its bytes are lost") from error

    async def _commit(
        self, session: UploadSession, writer: Writer, stored: int, length: int | None
    ) -> UploadSession:
        """Bytes first, catalog second, as for bodies.

        :raises PartUnusable: a part has gone meanwhile, copied or not: HEAD has said 404 since
        """
        await writer.sync()
        await self._parts_of(session)
        part = rules.Part(session.offset, stored, length, commands.Finish.WHEN_FULL)
        change = partial(
            rules.committed, part=part, now=self.means.clock(), limits=self.means.limits
        )
        return await self.means.catalog.update(session.id, change)

    async def _finished(self, session: UploadSession) -> UploadSession:
        if session.is_arrived:
            session = await self.finish(session)
            if self.removes_parts:
                self._joined.append(session)
        return session

    async def _remove(self, part_id: str) -> None:
        """Free a joined part, unless another upload still waits for it."""
        async with self.means.locker.attempt(part_id):
            part = await self.means.catalog.load(part_id)
            if await self.means.catalog.awaiting(part_id):
                return
            with anyio.CancelScope(shield=True):
                await self.means.store.remove(part)
                await self.means.catalog.delete(part_id, tell=self.means.telling(NOBODY))
        self.means.observers.tell(PartRemoved(part))


@dataclass(frozen=True, slots=True)
class _Stop:
    """Why to stop after this piece."""

    asked: Notice
    closing: Notice | None
    deadline: float

    @property
    def is_given(self) -> bool:
        is_late = anyio.current_time() >= self.deadline
        return is_late or self.asked.given or _is_given(self.closing)


def _is_given(notice: Notice | None) -> bool:
    return notice is not None and notice.given


@contextmanager
def _left_to_the_sweep(upload_id: str) -> Iterator[None]:
    """What nobody waits for may fail, and need not concern anybody if it is over already."""
    try:
        yield
    except (UploadNotFound, UploadLocked, StaleCommit):
        return
    except (PartUnusable, UploadTooLarge, MediaTypeRefused):
        return
    except SystemFailure:
        _log.exception("Joining could not go on with upload %s; the sweep will try.", upload_id)
