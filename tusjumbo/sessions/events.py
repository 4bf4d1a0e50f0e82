"""What happened to an upload, for whoever watches. Told after the fact; nobody can object."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from tusjumbo.sessions.session import UploadSession


class Ending(enum.Enum):
    """Why the bytes of a body stopped coming."""

    END = "the client sent everything"
    CUT = "the connection went away"
    IDLE = "the bytes came too slowly"
    ASKED = "another request wants the upload"
    LOST = "the session changed under the writer"
    OVER = "more bytes than allowed"
    SHORT = "fewer bytes than a chunk has"
    CLOSING = "the server is stopping"
    REFUSED = "the file is of a type that is not taken"
    FAILED = "the bytes could not be stored, or were not the announced ones"


@dataclass(frozen=True, slots=True)
class UploadCreated:
    session: UploadSession


@dataclass(frozen=True, slots=True)
class BytesReceived:
    """One body is over; `start` to `stop` is what was committed of it."""

    session: UploadSession
    start: int
    stop: int
    seconds: float
    ending: Ending


@dataclass(frozen=True, slots=True)
class UploadFinished:
    session: UploadSession


@dataclass(frozen=True, slots=True)
class UploadTerminated:
    session: UploadSession


@dataclass(frozen=True, slots=True)
class UploadRefused:
    """Its content, or what its client says of that, is of a type that is not taken; it is gone."""

    session: UploadSession
    reason: str
    """In a sentence for people."""


@dataclass(frozen=True, slots=True)
class UploadAbandoned:
    """It expired unfinished; its bytes are kept aside until `session.expires_at`."""

    session: UploadSession


@dataclass(frozen=True, slots=True)
class UploadRecovered:
    """An abandoned upload can be continued again."""

    session: UploadSession


@dataclass(frozen=True, slots=True)
class UploadPurged:
    """The bytes of an abandoned upload were removed."""

    session: UploadSession


@dataclass(frozen=True, slots=True)
class PartRemoved:
    """A partial upload was removed because it has been joined."""

    session: UploadSession


Event = (
    UploadCreated
    | BytesReceived
    | UploadFinished
    | UploadTerminated
    | UploadRefused
    | UploadAbandoned
    | UploadRecovered
    | UploadPurged
    | PartRemoved
)
