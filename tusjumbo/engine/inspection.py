"""Inspection: when an upload's type is looked at, and what becomes of one that is refused.

Three times. Before anything is stored: what the client says. As soon as the first bytes are there,
before they are written; where a body counts as a whole or not at all, before it is committed, since
bytes that are not the announced ones say nothing of the file. And before the file gets its final
name: this is the one that counts, since chunks come in any order. Partial uploads are parts of
files to come; only what they are joined to is looked at.

A refused upload is over: no further byte would change it, so its bytes go, and it is not found any
more. Which types are taken is known to `tusjumbo.ports.Inspection`; without one nothing is done.

Invariant: while there is an inspection, no file gets its final name that it has not accepted.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import anyio

from tusjumbo.application import Origin
from tusjumbo.digests import Data, Hasher
from tusjumbo.engine.means import Means
from tusjumbo.errors import MediaTypeRefused, Refusal, SystemFailure
from tusjumbo.ports import Draw, Inspection, Store, Verdict, Writer
from tusjumbo.sessions.commands import Keep
from tusjumbo.sessions.events import UploadRefused
from tusjumbo.sessions.session import Kind, Phase, UploadSession

_log = logging.getLogger("tusjumbo")


@dataclass(frozen=True, slots=True)
class Screening:
    """What the engine asks about types."""

    inspection: Inspection | None
    means: Means

    def claim(self, session: UploadSession) -> None:
        """Return if a new upload may be what its client says. Never blocks.

        :raises MediaTypeRefused: it may not
        """
        if self.inspection is not None and session.kind is not Kind.PARTIAL:
            self.inspection.claim(session)

    def head(self, session: UploadSession, length: int | None) -> Head | None:
        """The first bytes, for a body to add to; None if nobody needs to look at them.

        `length`: of the upload, as far as it is known by now.
        """
        is_looked_at = session.kind is not Kind.PARTIAL and session.phase is Phase.OPEN
        if self.inspection is None or not is_looked_at or session.offset >= self.inspection.head:
            return None
        return Head(self.inspection, self.means.store, session, length)

    async def passed(self, session: UploadSession, origin: Origin) -> None:
        """Return if a full upload, whose lock is held, may become a file.

        :raises MediaTypeRefused: it may not; it is over
        :raises SystemFailure: as reading does
        """
        if self.inspection is None:
            return
        stop = min(session.end, self.inspection.head)
        head = _Collected()
        if stop:  # an empty upload has nothing anywhere
            await self.means.store.examine(session, 0, stop, head)
        try:
            await self.inspection.judge(session, bytes(head.data), is_whole=stop == session.end)
        except MediaTypeRefused as refusal:
            await self.end(session, refusal, origin)
            raise

    async def end(self, session: UploadSession, refusal: Refusal, origin: Origin) -> None:
        """Remove a refused upload, whose lock is held.

        What cannot be forgotten now expires, or is refused once more when somebody looks at it.
        """
        with anyio.CancelScope(shield=True):
            try:
                # In this order: bytes without a session are strays, which the sweep removes; a
                # session without bytes could not be refused again.
                tell = self.means.telling(origin)
                await self.means.catalog.delete(session.id, tell=tell)
                await self.means.store.remove(session)
            except SystemFailure:
                _log.exception("Upload %s was refused and could not be removed.", session.id)
        self.means.observers.tell(UploadRefused(session, str(refusal)))


class Head:
    """The first bytes of an upload, as a body brings them, and what is thought of them.

    Only what continues the bytes from 0 on is of interest; what was committed before is read back
    when that comes. Chunks that others commit meanwhile it does not see.
    """

    def __init__(
        self,
        inspection: Inspection,
        store: Store,
        session: UploadSession,
        length: int | None,
    ) -> None:
        self._inspection = inspection
        self._store = store
        self._session = session
        self._length = length
        self._stop = session.offset
        self._bytes = bytearray()
        self._judged = 0
        self._verdict = Verdict.NEEDS_MORE

    async def see(self, at: int, data: memoryview) -> None:
        """Take note of `data`, which goes to `at`.

        :raises SystemFailure: as reading back does
        """
        stop = min(at + len(data), self._inspection.head)
        if not at <= self._stop < stop or self._verdict is Verdict.ACCEPTED:
            return
        if len(self._bytes) < self._stop:
            committed = _Collected()
            await self._store.examine(self._session, 0, self._stop, committed)
            self._bytes += committed.data
        self._bytes += data[self._stop - at : stop - at]
        self._stop = stop

    @property
    def is_seen(self) -> bool:
        """Whether what is to come is of no interest any more."""
        return self._verdict is Verdict.ACCEPTED

    @property
    def is_ripe(self) -> bool:
        """Whether there is enough more than the last time: to look at every byte would be dear."""
        enough = min(2 * self._judged, self._inspection.head)
        return len(self._bytes) >= enough or self._is_whole

    @property
    def _is_whole(self) -> bool:
        return len(self._bytes) == self._length

    async def judge(self) -> None:
        """Return unless what has come so far shows that the upload is none that is taken.

        :raises MediaTypeRefused: it does
        """
        if len(self._bytes) == self._judged:
            return
        self._judged = len(self._bytes)
        self._verdict = await self._inspection.judge(
            self._session, bytes(self._bytes), is_whole=self._is_whole
        )


class HeadWriter:
    """See `tusjumbo.ports.Writer`: one that shows what it writes to a `Head` first."""

    def __init__(self, writer: Writer, head: Head, keep: Keep) -> None:
        """`keep`: what becomes of the body. One that may turn out to be wrong is not judged yet."""
        self._writer = writer
        self._head = head
        self._keep = keep

    async def write(self, at: int, data: memoryview, hasher: Hasher | None) -> None:
        """See the port.

        :raises MediaTypeRefused: the upload is none that is taken; `data` was not written
        """
        await self._head.see(at, data)
        if self._keep is Keep.PREFIX and self._head.is_ripe:
            await self._head.judge()
        await self._writer.write(at, data, hasher)

    @property
    def draw(self) -> Draw | None:
        return self._writer.draw if self._head.is_seen else None

    async def copy(self, part: UploadSession, start: int, stop: int, at: int) -> None:
        await self._writer.copy(part, start, stop, at)

    async def read_back(self, start: int, stop: int, hasher: Hasher) -> None:
        await self._writer.read_back(start, stop, hasher)

    async def sync(self) -> None:
        await self._writer.sync()


class _Collected:
    """What keeps the bytes that it is fed, where a hasher is asked for."""

    def __init__(self) -> None:
        self.data = bytearray()

    def update(self, data: Data, /) -> None:
        self.data += data

    def digest(self) -> bytes:
        return bytes(self.data)
