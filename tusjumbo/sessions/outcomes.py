"""What carrying out a command came to, in no protocol's words. Refusals are exceptions instead."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tusjumbo.sessions.session import Answer, UploadChunk, UploadSession


@dataclass(frozen=True, slots=True)
class Created:
    session: UploadSession
    answer: Answer | None = None
    """What the client is told besides, by the application."""


@dataclass(frozen=True, slots=True)
class Appended:
    session: UploadSession


@dataclass(frozen=True, slots=True)
class Inspected:
    session: UploadSession


@dataclass(frozen=True, slots=True)
class Terminated:
    id: str
    answer: Answer | None = None
    """Likewise."""


@dataclass(frozen=True, slots=True)
class Fetched:
    session: UploadSession
    path: Path
    """The finished file. Read-only, and whole."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A chunk is in, now or since an earlier request."""

    session: UploadSession
    chunk: UploadChunk


@dataclass(frozen=True, slots=True)
class Verified:
    session: UploadSession
    chunk: UploadChunk
    """With the SHA-256 that was recorded when it arrived, if it arrived as a chunk."""
    sha256: bytes | None
    """Of the bytes that are there now; None if not all of them are."""


Outcome = Created | Appended | Stored | Inspected | Verified | Terminated | Fetched
