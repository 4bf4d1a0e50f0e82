"""Quotas: how much each owner may have here, and what a session counts for.

Pure. The catalog keeps what each owner holds and asks here inside the transaction that changes it,
so that no number of requests side by side can have more. A change that makes nothing grow is always
allowed, also to who has too much by now.
"""

from __future__ import annotations

from dataclasses import dataclass

from tusjumbo.errors import QuotaExceeded, TooManyUploads
from tusjumbo.sessions.session import Phase, UploadSession

LARGEST = 2**48
"""Nothing counts for more, or a few hostile lengths could not be added up."""


@dataclass(frozen=True, slots=True)
class Quota:
    """For each owner; None lifts a limit."""

    max_bytes: int | None = None
    max_uploads: int | None = None
    """Unfinished ones."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What an owner has."""

    bytes: int = 0
    uploads: int = 0
    """Unfinished ones."""


def held(session: UploadSession | None) -> int:
    """How many bytes a session counts for: all that it is to have, unless it is over."""
    if session is None:
        return 0
    if session.receipt is not None and not session.receipt.is_here and session.phase is Phase.DONE:
        return 0
    is_over = session.phase in (Phase.ABANDONED, Phase.STOPPED)
    size = session.ranges.total if session.length is None or is_over else session.length
    return min(size, LARGEST)


def check(before: UploadSession | None, after: UploadSession, usage: Usage, quota: Quota) -> None:
    """Return if the owner of a session may have it changed so (None: made), having `usage`.

    :raises TooManyUploads: :raises QuotaExceeded: there is no room
    """
    opens = after.phase is Phase.OPEN and (before is None or before.phase is not Phase.OPEN)
    if opens and quota.max_uploads is not None and usage.uploads >= quota.max_uploads:
        raise TooManyUploads(quota.max_uploads)
    growth = held(after) - held(before)
    if growth > 0 and quota.max_bytes is not None and usage.bytes + growth > quota.max_bytes:
        raise QuotaExceeded(quota.max_bytes, usage.bytes)
