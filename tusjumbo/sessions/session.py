"""UploadSession: everything that is known about one upload.

The committed ranges are the only account of what has arrived. Offset, progress, chunk counts and
status are derived from them, whichever protocol brought the bytes; nothing is counted twice.
Sessions are values: a change makes a new one (`tusjumbo.sessions.rules`), and the catalog decides
which is current.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from tusjumbo.sessions.ranges import RangeSet

CHUNK_SIZE = 5 * 1024 * 1024
"""The size of a Jumbo chunk in bytes, unless the session says otherwise."""


class Phase(enum.Enum):
    """OPEN -> SEALED -> DONE, each arrow one transaction; OPEN -> ABANDONED when it expires.

    SEALED -> ASSEMBLING -> DONE where an assembler has its part in it: what that came to is
    recorded before the file gets its name. A session that a crash left SEALED or ASSEMBLING is
    finished by whoever meets it next, one that it left STOPPED is removed.
    """

    OPEN = "open"
    SEALED = "sealed"
    """Every byte is in."""
    ASSEMBLING = "assembling"
    """The assembler has said what is to become of it."""
    DONE = "done"
    ABANDONED = "abandoned"
    STOPPED = "stopped"
    """The application does not want it any more."""


_STATUS = {
    Phase.OPEN: "uploading",
    Phase.SEALED: "assembling",
    Phase.ASSEMBLING: "assembling",
    Phase.DONE: "completed",
    Phase.ABANDONED: "abandoned",
    Phase.STOPPED: "stopped",
}


class Kind(enum.Enum):
    """What an upload is to others. Decided at creation and never changed."""

    WHOLE = "whole"
    """A file of its own."""
    PARTIAL = "partial"
    """A part of files to come. It is never finished: when full it stays OPEN, to be joined."""
    FINAL = "final"
    """The parts of others, joined. OPEN while they are awaited and copied: pending."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the client is told, beside or instead of what the protocol says by itself."""

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What finishing produced. A repeated last request is answered from it."""

    path: str
    """Where the store put the finished file, in the store's own words (relative to its root).
    ASSEMBLING: where it is wanted; empty if nobody cares."""
    answer: Answer | None = None
    is_here: bool = True
    """Whether the store has the file. If not, `path` is where an assembler has put it."""


@dataclass(frozen=True, slots=True)
class UploadChunk:
    """One `chunk_size` piece of a session: bytes `[start, stop)` of the upload."""

    upload_id: str
    chunk_number: int
    start: int
    stop: int
    received: int
    """How many of its bytes are committed."""
    hash: str | None = None
    """Its SHA-256 in hexadecimal, where it came as a chunk and somebody has looked that up."""
    created_at: float | None = None
    """When that was recorded."""

    @property
    def is_complete(self) -> bool:
        return self.received == self.stop - self.start


@dataclass(frozen=True, slots=True)
class ChunkDigest:
    """What a chunk's bytes were when they arrived."""

    number: int
    sha256: bytes
    recorded_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadSession:
    """One upload. Times are seconds since the epoch, sizes are bytes."""

    id: str
    created_at: float
    updated_at: float
    length: int | None = None
    """The size of the whole upload; None while it is deferred."""
    ranges: RangeSet = field(default_factory=RangeSet)
    phase: Phase = Phase.OPEN
    metadata: Mapping[str, bytes] = field(default_factory=dict)
    """The client's pairs, decoded. Hostile input: never a path, never a header as it is."""
    echo: Mapping[str, str] = field(default_factory=dict)
    """Protocol fields that a protocol must return exactly as they came, by lower-case name. Those
    whose names end in `-metadata` spell `metadata`, and go when that changes."""
    chunk_size: int = CHUNK_SIZE
    expires_at: float | None = None
    """OPEN: when it becomes abandoned. ABANDONED: when its bytes are removed."""
    receipt: Receipt | None = None
    kind: Kind = Kind.WHOLE
    parts: tuple[str, ...] = ()
    """FINAL: the ids of what it is made of, in order; one may be there several times."""
    owner: str | None = None
    """Who created it, if anybody asked; nobody else may touch it then."""
    destination: str | None = None
    """Where the file is wanted, if the application said so at the creation."""
    attempts: int = 0
    """How often finishing has failed."""
    retry_at: float | None = None
    """When it is tried again after that."""
    rate: float | None = None
    """How fast its bytes came of late, in bytes per second; None if too few have come to say."""

    @property
    def offset(self) -> int:
        """The end of the first run of committed bytes from 0."""
        return self.ranges.prefix

    @property
    def is_full(self) -> bool:
        """Whether the length is known and every byte is committed."""
        return self.ranges.fill(self.length)

    @property
    def is_pending(self) -> bool:
        """Whether it is put together from others, and not all of it is here."""
        return self.kind is Kind.FINAL and self.phase is Phase.OPEN

    @property
    def is_arrived(self) -> bool:
        """Whether every byte is in, and the file is not finished yet."""
        return self.phase is Phase.SEALED or self.phase is Phase.ASSEMBLING

    @property
    def final_answer(self) -> Answer | None:
        """What the application says to the last request, the same whenever that is repeated."""
        is_done = self.phase is Phase.DONE and self.receipt is not None
        return self.receipt.answer if is_done and self.receipt else None

    @property
    def filename(self) -> str:
        """What the client calls the file; empty if it does not say. Not safe as a path."""
        for key in ("filename", "name"):
            if value := self.metadata.get(key):
                return value.decode("utf-8", "replace")
        return ""

    @property
    def media_type(self) -> str:
        """What the client says the file is (`filetype` or `type`); empty if it does not say."""
        for key in ("filetype", "type"):
            if value := self.metadata.get(key):
                return value.decode("utf-8", "replace")
        return ""

    @property
    def total_size(self) -> int | None:
        """The seed's name for `length`."""
        return self.length

    @property
    def started_at(self) -> int:
        """The seed's name for `created_at`, in whole seconds."""
        return int(self.created_at)

    @property
    def status(self) -> str:
        """The phase in the words of the Jumbo API."""
        return _STATUS[self.phase]

    @property
    def end(self) -> int:
        """Where the upload ends, as far as that is known: at its length, or what is in."""
        return self.ranges.stop if self.length is None else self.length

    @property
    def chunks_expected(self) -> int | None:
        """How many chunks the whole upload has; None while its length is deferred."""
        return None if self.length is None else -(-self.length // self.chunk_size)

    @property
    def chunks_received(self) -> int:
        """How many chunks are complete."""
        return sum(map(len, self.chunk_runs()))

    def chunk_runs(self) -> Iterator[range]:
        """The numbers of the chunks that are complete, in runs and in order.

        Made from the runs of bytes: a hostile length has 10^12 chunks.
        """
        size, end = self.chunk_size, self.end
        beyond = -(-end // size)
        for start, stop in self.ranges.runs:
            first, last = -(-start // size), beyond if stop == end else stop // size
            if first < last:
                yield range(first, last)

    def chunks(self) -> Iterator[UploadChunk]:
        """The chunks up to the end of the upload (as far as it is known), in order."""
        return (self.chunk(number) for number in range(-(-self.end // self.chunk_size)))

    def chunk(self, number: int) -> UploadChunk:
        """One of them.

        :raises IndexError: the upload, as far as it is known, has no such chunk
        """
        start = number * self.chunk_size
        stop = min(start + self.chunk_size, self.end)
        if not 0 <= start < stop:
            raise IndexError(number)
        missing = sum(b - a for a, b in self.ranges.missing(start, stop))
        return UploadChunk(self.id, number, start, stop, stop - start - missing)

    @property
    def progress(self) -> float | None:
        """Per cent of the bytes that are committed; None while the length is deferred."""
        if self.length is None:
            return None
        return 100.0 * self.ranges.total / self.length if self.length else 100.0

    @property
    def due_at(self) -> float | None:
        """When the sweep has something to do here; None if it never has."""
        if self.is_arrived:
            return self.updated_at if self.retry_at is None else self.retry_at
        if self.is_pending or self.phase is Phase.STOPPED:
            return self.updated_at
        return None if self.phase is Phase.DONE else self.expires_at
