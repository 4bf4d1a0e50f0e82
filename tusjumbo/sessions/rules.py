"""The decision: a session and a command become "take these bytes", a new session, or a refusal.

Everything here is a function from values to values. The engine decides with these before the first
byte of a body is read, and the catalog applies the ones that return a session inside a transaction:
so the same rules that admit a request also refuse a writer that has become stale, and no offset
moves but through `committed`.

Refusals come in the order of specs/tus-1.0.md AMB-34: 404, then 400 (length), 409, 413.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from tusjumbo.errors import (
    BodyTooLong,
    ChunkSizeWrong,
    LengthConflict,
    NoSuchChunk,
    NotAbandoned,
    OffsetMismatch,
    StaleCommit,
    UploadIsFinal,
    UploadNotFound,
    UploadStopped,
    UploadTooLarge,
)
from tusjumbo.sessions.commands import Append, Create, Finish, Put
from tusjumbo.sessions.ranges import RangeSet
from tusjumbo.sessions.session import (
    CHUNK_SIZE,
    Kind,
    Phase,
    Receipt,
    UploadSession,
)

MAX_LENGTH = 2**63 - 1
"""No upload is larger, limit or not: file offsets end here."""


GONE = (Phase.ABANDONED, Phase.STOPPED)
"""Phases in which there is no such upload any more, whoever asks for it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What every upload is held to. Sizes in bytes, times in seconds; None lifts a limit."""

    max_size: int | None = None
    expire_after: float | None = None
    """An unfinished upload expires this long after its last committed byte."""
    keep_abandoned: float = 0.0
    """How long the bytes of an expired upload are kept aside."""
    chunk_size: int = CHUNK_SIZE
    """Of new uploads, whoever sends them: any of them may be continued in chunks."""
    assembles: bool = False
    """Whether somebody has a say in what becomes of a file that is all in."""

    @property
    def ceiling(self) -> int:
        return MAX_LENGTH if self.max_size is None else self.max_size

    def expiry(self, now: float) -> float | None:
        return None if self.expire_after is None else now + self.expire_after

    def finishing(self, now: float) -> float | None:
        """When a session that is sealed now is finished by others than those who do it at once.

        It also says that somebody has a say, to those who know of nobody.
        """
        return now + HEAD_START if self.assembles else None


HEAD_START = 5.0
"""Seconds."""


@dataclass(frozen=True, slots=True)
class Take:
    """A yes: bytes are taken from `start` on, and refused from `ceiling` on.

    `length` is the upload's length as soon as the first of them is committed.
    """

    start: int
    ceiling: int
    length: int | None
    floor: int = 0
    """A body that ends before this is refused: the end of a chunk."""


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes `[start, stop)` are stored: what a commit records, and what it implies."""

    start: int
    stop: int
    length: int | None
    finish: Finish
    known: RangeSet = field(default_factory=RangeSet)
    """What was committed when the writer looked, and was left alone by it."""


def opened(command: Create, upload_id: str, now: float, limits: Limits) -> UploadSession:
    """The session that `command` creates; a whole upload of zero bytes is complete at once.

    :raises UploadTooLarge: its length, or the body announced with it, exceeds the limit
    :raises BodyTooLong: the body announced with it exceeds its length
    """
    session = UploadSession(
        id=upload_id,
        created_at=now,
        updated_at=now,
        length=command.length,
        metadata=command.metadata,
        echo=command.echo,
        expires_at=limits.expiry(now),
        kind=command.kind,
        chunk_size=limits.chunk_size if command.chunk_size is None else command.chunk_size,
        owner=command.owner,
    )
    if session.is_full and seals(session, Finish.WHEN_FULL):
        session = replace(session, phase=Phase.SEALED, retry_at=limits.finishing(now))
    if command.length is not None and command.length > limits.ceiling:
        raise UploadTooLarge(limits.ceiling)
    if command.content is not None:
        decide(session, Append(id=upload_id, at=0, content=command.content), limits)
    return session


def altered(
    session: UploadSession,
    *,
    upload_id: str | None = None,
    metadata: Mapping[str, bytes] | None = None,
    destination: str | None = None,
) -> UploadSession:
    """A new session as the application wants it: with what is given in place of what it has."""
    if metadata is not None and metadata != session.metadata:
        echo = {name: text for name, text in session.echo.items() if not name.endswith("-metadata")}
        session = replace(session, metadata=metadata, echo=echo)
    return replace(
        session,
        id=upload_id or session.id,
        destination=destination or session.destination,
    )


def decide(session: UploadSession, command: Append, limits: Limits) -> Take:
    """Whether the body of `command` may be read, and where its bytes go.

    A complete session takes an empty body (its client may not know yet, AMB-02) and nothing else;
    one that is made of others takes not even that (CONC-14).

    :raises UploadNotFound: the session is abandoned, or stopped
    :raises UploadIsFinal: it is made of others
    :raises LengthConflict: the declared length contradicts the known one or the bytes that are in
    :raises OffsetMismatch: the session continues elsewhere
    :raises UploadTooLarge: the upload would exceed the server's limit
    :raises BodyTooLong: the upload would exceed its own length
    """
    if session.phase in GONE:
        raise UploadNotFound(session.id)
    if session.kind is Kind.FINAL:
        raise UploadIsFinal(session.id)
    length = _length_after(session, command)
    if command.at != session.offset:
        raise OffsetMismatch(session.id, command.at, session.offset)
    # tus: "once set the length MUST NOT be changed" says nothing of repeating it (AMB-04).
    if length is not None and session.length is None and length > limits.ceiling:
        raise UploadTooLarge(limits.ceiling)
    ceiling = limits.ceiling if length is None else length
    announced = command.content.announced
    if announced is not None and command.at + announced > ceiling:
        raise too_long(session.id, length, limits)
    return Take(command.at, ceiling, length)


def placed(session: UploadSession, command: Put, limits: Limits) -> Take:
    """Whether the chunk may be read, and where it goes. One that is in already may come again.

    While the length is deferred only whole chunks are known to be chunks.

    :raises UploadNotFound: the session is abandoned, or stopped
    :raises UploadIsFinal: it is made of others
    :raises NoSuchChunk: it ends before this chunk
    :raises ChunkSizeWrong: the announced body is not as long as the chunk
    :raises UploadTooLarge: the upload would exceed the server's limit
    """
    if session.phase in GONE:
        raise UploadNotFound(session.id)
    if session.kind is Kind.FINAL:
        raise UploadIsFinal(session.id)
    end = MAX_LENGTH if session.length is None else session.length
    start = command.number * session.chunk_size
    if not 0 <= start < end:
        raise NoSuchChunk(session.id, command.number, session.chunks_expected)
    stop = min(start + session.chunk_size, end)
    announced = command.content.announced
    if announced not in (None, stop - start):
        raise ChunkSizeWrong(session.id, command.number, stop - start, announced)
    if stop > limits.ceiling:
        raise UploadTooLarge(limits.ceiling)
    return Take(start, stop, session.length, floor=stop)


def too_long(upload_id: str, length: int | None, limits: Limits) -> BodyTooLong | UploadTooLarge:
    """What to say of bytes past the ceiling."""
    return UploadTooLarge(limits.ceiling) if length is None else BodyTooLong(upload_id, length)


def _length_after(session: UploadSession, command: Append) -> int | None:
    declared = command.declares
    if command.content.finish is Finish.WITH_THIS and command.content.announced is not None:
        ends_at = command.at + command.content.announced
        if declared not in (None, ends_at):
            raise LengthConflict(session.id, ends_at, declared, session.ranges.total)
        declared = ends_at
    if declared is None:
        return session.length
    if session.length not in (None, declared) or declared < session.ranges.stop:
        raise LengthConflict(session.id, declared, session.length, session.ranges.total)
    return declared


def committed(session: UploadSession, part: Part, now: float, limits: Limits) -> UploadSession:
    """The session with `part` recorded, sealed if that made it full and `part.finish` allows.

    The compare-and-set of the catalog: it refuses bytes that are committed without the writer's
    knowing, and a session that is no longer open, so that a writer which lost its lock unnoticed
    cannot move the offset.

    What is in already may be said again, also while another writer makes the session full.

    :raises StaleCommit: the session is not the one the writer decided on
    :raises UploadStopped: nobody wants its bytes any more
    """
    if session.phase is Phase.STOPPED:
        raise UploadStopped(session.id)
    is_known = part.start < part.stop and part.known.covers(part.start, part.stop)
    if is_known and part.length in (None, session.length):
        return session
    length = part.length if session.length is None else session.length
    if (
        session.phase is not Phase.OPEN
        or any(session.ranges.overlaps(*gap) for gap in part.known.missing(part.start, part.stop))
        or part.length not in (None, length)
        or (length is not None and part.stop > length)
    ):
        raise StaleCommit(session.id)
    ranges = session.ranges.add(part.start, part.stop)
    is_sealed = ranges.fill(length) and seals(session, part.finish)
    return replace(
        session,
        phase=Phase.SEALED if is_sealed else Phase.OPEN,
        length=length,
        ranges=ranges,
        updated_at=now,
        expires_at=limits.expiry(now),
        retry_at=limits.finishing(now) if is_sealed else None,
        rate=_rate(session, ranges.total - session.ranges.total, now - session.updated_at),
    )


RECENT = 10.0
"""Seconds over which the rate of an upload is averaged: older ones count less and less."""

PAUSE = 300.0
"""Seconds without a commit after which nothing is known of the rate any more."""


def _rate(session: UploadSession, gained: int, seconds: float) -> float | None:
    """The rate after `gained` bytes that came within `seconds`: an average that forgets."""
    if not gained:
        return session.rate
    if seconds > PAUSE:
        return None
    if session.rate is None:
        return gained / max(seconds, 0.001)
    # Commits of chunks that came side by side follow each other at once: their weight goes to 0
    # with the time between them, and what they add to gained / RECENT.
    weight = -math.expm1(-max(seconds, 1e-9) / RECENT)
    return session.rate * (1 - weight) + gained * weight / max(seconds, 1e-9)


def seals(session: UploadSession, finish: Finish) -> bool:
    """Whether being full ends the session.

    tus: "The Server SHOULD NOT process these partial uploads until they are concatenated to form a
    final upload." Nothing that is done with a finished file is ever done with a part.
    """
    return finish is not Finish.NEVER and session.kind is not Kind.PARTIAL


def assembled(session: UploadSession, receipt: Receipt, now: float) -> UploadSession:
    """The sealed session with what its assembler says; one that has more already stays as it is.

    :raises StaleCommit: not all of it is in, or nobody wants it any more
    """
    if session.phase in (Phase.ASSEMBLING, Phase.DONE):
        return session
    if session.phase is not Phase.SEALED:
        raise StaleCommit(session.id)
    return replace(session, phase=Phase.ASSEMBLING, receipt=receipt, updated_at=now, retry_at=None)


LONGEST_WAIT = 3600.0
"""Seconds between two attempts to finish, at most."""


def postponed(session: UploadSession, now: float) -> UploadSession:
    """The session that could not be finished, to be tried again after twice the last wait.

    :raises StaleCommit: it is finished, or gone, meanwhile
    """
    if not session.is_arrived:
        raise StaleCommit(session.id)
    wait = min(2.0 ** min(session.attempts, 12), LONGEST_WAIT)
    return replace(session, attempts=session.attempts + 1, retry_at=now + wait)


def done(session: UploadSession, receipt: Receipt, now: float) -> UploadSession:
    """The session that is in with its receipt; one that is done already stays as it is.

    :raises StaleCommit: not all of it is in, or nobody wants it any more
    """
    if session.phase is Phase.DONE:
        return session
    if not session.is_arrived:
        raise StaleCommit(session.id)
    return replace(
        session,
        phase=Phase.DONE,
        receipt=receipt,
        updated_at=now,
        expires_at=None,
        retry_at=None,
    )


def stopped(session: UploadSession, now: float) -> UploadSession:
    """The session that nobody wants any more, to be removed by whoever gets its lock.

    :raises StaleCommit: it is finished, or was over before
    """
    if session.phase is not Phase.OPEN:
        raise StaleCommit(session.id)
    return replace(session, phase=Phase.STOPPED, updated_at=now, expires_at=None)


def has_expired(session: UploadSession, now: float) -> bool:
    """Whether an unfinished session is past its time; finished ones never are."""
    unfinished = session.phase in (Phase.OPEN, Phase.ABANDONED)
    return unfinished and session.expires_at is not None and session.expires_at <= now


def abandoned(session: UploadSession, now: float, limits: Limits) -> UploadSession:
    """The expired session, set aside until its bytes may go.

    :raises StaleCommit: it is not open, or not expired (somebody continued it)
    """
    if not has_expired(session, now):
        raise StaleCommit(session.id)
    return given_up(session, now, limits)


def given_up(session: UploadSession, now: float, limits: Limits) -> UploadSession:
    """The session that cannot be continued, set aside although its time has not come.

    :raises StaleCommit: it is not open
    """
    if session.phase is not Phase.OPEN:
        raise StaleCommit(session.id)
    return replace(
        session, phase=Phase.ABANDONED, updated_at=now, expires_at=now + limits.keep_abandoned
    )


def recovered(session: UploadSession, now: float, limits: Limits) -> UploadSession:
    """The session whose time was over, open once more, whether or not it was set aside already.

    What is joined from others is begun anew: its bytes are copies of theirs.

    :raises NotAbandoned: it is something else
    """
    if session.phase is not Phase.ABANDONED and not has_expired(session, now):
        raise NotAbandoned(session.id, session.status)
    return replace(
        session,
        phase=Phase.OPEN,
        ranges=RangeSet() if session.kind is Kind.FINAL else session.ranges,
        updated_at=now,
        expires_at=limits.expiry(now),
        rate=None,
    )
