"""What carrying out a command came to, in no protocol's words. Refusals are exceptions instead."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tusjumbo.sessions.session import UploadSession


@dataclass(frozen=True, slots=True)
class Created:
    session: UploadSession


@dataclass(frozen=True, slots=True)
class Appended:
    session: UploadSession


@dataclass(frozen=True, slots=True)
class Inspected:
    session: UploadSession


@dataclass(frozen=True, slots=True)
class Terminated:
    id: str


@dataclass(frozen=True, slots=True)
class Fetched:
    session: UploadSession
    path: Path
    """The finished file. Read-only, and whole."""


Outcome = Created | Appended | Inspected | Terminated | Fetched
