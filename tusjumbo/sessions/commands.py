"""What a request wants, in no protocol's words.

`Keep`, `Finish` and the digest hold most of the difference between the protocols: tus keeps the
prefix of a cut body and finishes when the upload is full; a checksum makes a request all or
nothing; a draft request may say that it is the last one.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from tusjumbo.sessions.session import Kind


class Action(enum.Enum):
    """What kind of thing is asked, before the details are read: enough for access control."""

    DESCRIBE = "describe"
    CREATE = "create"
    INSPECT = "inspect"
    APPEND = "append"
    TERMINATE = "terminate"
    FETCH = "fetch"
    JOIN = "join"
    """Use an upload's bytes for another one. Asked for each part, besides CREATE for the whole."""
    SURVEY = "survey"
    """Figures about all uploads."""


class Keep(enum.Enum):
    """What becomes of the bytes of a body that stopped early."""

    PREFIX = "whatever arrived"
    ALL_OR_NOTHING = "only the whole body"


class Finish(enum.Enum):
    """When the session is finished."""

    WHEN_FULL = "when every byte of the known length is in"
    WITH_THIS = "with the end of this body, which then is the upload's length"
    NEVER = "not by this request"


@dataclass(frozen=True, slots=True)
class Digest:
    """What the body must hash to. `algorithm` is a name in `tusjumbo.digests`."""

    algorithm: str
    value: bytes


class Promised(enum.Enum):
    """A digest that is not known yet, nor its algorithm."""

    AFTER_BODY = "the body's source tells it at the end"


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """A body that follows the head. `announced` is its size in bytes; None if it is not known."""

    announced: int | None
    keep: Keep = Keep.PREFIX
    finish: Finish = Finish.WHEN_FULL
    digest: Digest | Promised | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Create:
    """A new session of `length` bytes (None: declared later), perhaps with its first bytes."""

    length: int | None
    metadata: Mapping[str, bytes]
    echo: Mapping[str, str]
    content: Content | None = None
    kind: Kind = Kind.WHOLE
    chunk_size: int | None = None
    """In bytes; None for the server's own."""
    owner: str | None = None
    """Who asks, if that is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Join:
    """A new session made of the bytes of partial uploads, as they are or as soon as they are in."""

    parts: tuple[str, ...]
    """Their ids, in order; one may be there several times."""
    metadata: Mapping[str, bytes]
    echo: Mapping[str, str]
    owner: str | None = None
    """Who asks, if that is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Append:
    """Bytes for the session's offset, which the client believes is `at`.

    `declares` is a length that the client states with this request; None if it states none.
    """

    id: str
    at: int
    content: Content
    declares: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Put:
    """A chunk: bytes for their own place, in any order and beside others.

    They count as a whole or not at all, so `content.keep` is ALL_OR_NOTHING. What is committed of
    them already is compared instead of written.
    """

    id: str
    number: int
    """Counted from 0."""
    content: Content


@dataclass(frozen=True, slots=True)
class Status:
    """How far is it? Disturbs nobody. An abandoned upload is told of, too."""

    id: str


@dataclass(frozen=True, slots=True)
class Verify:
    """What do the stored bytes of a chunk hash to?"""

    id: str
    number: int


@dataclass(frozen=True, slots=True)
class Recover:
    """Continue an abandoned upload after all."""

    id: str


@dataclass(frozen=True, slots=True)
class Inspect:
    """How far is it? Asks a running request to make room: who asks has lost its connection."""

    id: str


@dataclass(frozen=True, slots=True)
class Terminate:
    """Forget the session and free its bytes, finished or not."""

    id: str


@dataclass(frozen=True, slots=True)
class Fetch:
    """The finished file."""

    id: str


Command = Create | Join | Append | Put | Inspect | Status | Verify | Recover | Terminate | Fetch
