"""Joining: which uploads make a final one, whether they can yet, and which bytes come next.

Pure, like the rules. A final upload is recorded with the ids of its parts and nothing of theirs, so
whatever is said of it (its length, whether it is ready or can never be) is derived from the parts
as they are at that moment, here and nowhere else.

Refusals of the request come in the order: the parts one by one, then 413.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from tusjumbo.errors import PartUnusable, StaleCommit, UploadTooLarge
from tusjumbo.sessions.commands import Join
from tusjumbo.sessions.rules import GONE, Limits, has_expired
from tusjumbo.sessions.session import Kind, Phase, UploadSession

Found = Mapping[str, UploadSession]
"""Sessions by id, as the catalog has them. What is not there is gone."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes `[start, stop)` of `part`, which belong at offset `at` of the final upload."""

    part: UploadSession
    start: int
    stop: int
    at: int


def joined(
    command: Join, upload_id: str, found: Found, now: float, limits: Limits
) -> UploadSession:
    """The session that `command` creates, pending until its parts are in and copied.

    :raises PartUnusable: one of them is gone or is not partial
    :raises UploadTooLarge: together they exceed the limit, as far as their lengths are known
    """
    for part_id in command.parts:
        part = found.get(part_id)
        if part is not None and has_expired(part, now):
            raise PartUnusable(part_id, _GONE)
    session = UploadSession(
        id=upload_id,
        created_at=now,
        updated_at=now,
        metadata=command.metadata,
        echo=command.echo,
        expires_at=limits.expiry(now),
        kind=Kind.FINAL,
        parts=command.parts,
        owner=command.owner,
    )
    parts_of(session, found, now, limits)
    return session


_GONE = "there is no such upload (any more)"


def parts_of(
    session: UploadSession, found: Found, now: float, limits: Limits
) -> Sequence[UploadSession]:
    """The parts of a final session in order.

    A full part is not gone when its time has come, but when somebody has set it aside: the client
    that was told that its parts are joined may have waited for long (EXP-10).

    :raises PartUnusable: one of them is gone or is not partial: this will never be finished
    :raises UploadTooLarge: likewise, as one has turned out to be longer than it may
    """
    parts = [usable(part_id, found, now) for part_id in session.parts]
    # AMB-30: "applies to the final".
    if sum(part.length or 0 for part in parts) > limits.ceiling:
        raise UploadTooLarge(limits.ceiling)
    return parts


def usable(part_id: str, found: Found, now: float) -> UploadSession:
    """One of them.

    :raises PartUnusable: it is gone or is not partial
    """
    part = found.get(part_id)
    if part is None or part.phase in GONE:
        raise PartUnusable(part_id, _GONE)
    if part.kind is not Kind.PARTIAL:
        raise PartUnusable(part_id, "it is not a partial upload")
    if has_expired(part, now) and not part.is_full:
        raise PartUnusable(part_id, _GONE)
    return part


def length_of(parts: Sequence[UploadSession]) -> int | None:
    """The length of what `parts` make; None while one of theirs is deferred (UNFIN-06)."""
    lengths = [part.length for part in parts if part.length is not None]
    return sum(lengths) if len(lengths) == len(parts) else None


def is_ready(parts: Sequence[UploadSession]) -> bool:
    """Whether every byte is there to be copied."""
    return all(part.is_full for part in parts)


def pieces(offset: int, parts: Sequence[UploadSession], size: int) -> Iterator[Piece]:
    """What is to be copied from `offset` on, in order, at most `size` bytes at a time."""
    begins_at = 0
    for part in parts:
        length = part.length or 0
        start = max(0, offset - begins_at)
        while start < length:
            stop = min(start + size, length)
            yield Piece(part, start, stop, begins_at + start)
            start = stop
        begins_at += length


def looked_at(session: UploadSession, now: float) -> UploadSession:
    """The pending session, of which nothing was to be done: it is the others' turn now.

    :raises StaleCommit: it is not pending (any more)
    """
    if not session.is_pending:
        raise StaleCommit(session.id)
    return replace(session, updated_at=now)


def spared(session: UploadSession, now: float, limits: Limits) -> UploadSession:
    """The full part, whose time has come while a final upload still waits for others.

    :raises StaleCommit: it is not a full part
    """
    if session.kind is not Kind.PARTIAL or session.phase is not Phase.OPEN or not session.is_full:
        raise StaleCommit(session.id)
    return replace(session, expires_at=limits.expiry(now))
