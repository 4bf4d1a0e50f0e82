"""What the engine needs from the world: signatures, promises and the errors they may raise.

No behaviour. Each port has a contract suite in `tusjumbo.testing`; an implementation is one when
it passes. Methods are async unless they say that they never block. Ids are valid
(`tusjumbo.sessions.ids.is_valid`), sizes and offsets are bytes, times are seconds since the epoch.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypeVar

from tusjumbo.application import Arrival, Assembled, Origin, Tell
from tusjumbo.digests import Hasher
from tusjumbo.notice import Notice
from tusjumbo.sessions.commands import Digest
from tusjumbo.sessions.events import Event
from tusjumbo.sessions.session import ChunkDigest, Phase, Receipt, UploadSession
from tusjumbo.sessions.statistics import Statistics

T = TypeVar("T")


class Clock(Protocol):
    def __call__(self) -> float:
        """Seconds since the epoch. Never blocks."""
        ...


class Catalog(Protocol):
    """Where sessions are recorded: the only truth about what is received.

    Safe from many tasks, and from many processes if it says so. Whatever a method has returned
    survives the process; with `durability=commit` also a power failure. Every method may raise
    `CatalogFailed`, and those that write also `StorageFull`; then nothing has changed.
    """

    async def create(self, session: UploadSession, *, tell: Tell | None = None) -> None:
        """Record a new session, and what `tell` makes of it for the outbox.

        :raises ValueError: its id is taken
        :raises QuotaExceeded: :raises TooManyUploads: its owner has no room for it
        """
        ...

    async def load(self, upload_id: str) -> UploadSession:
        """The session as last recorded.

        :raises UploadNotFound: there is none
        """
        ...

    async def update(
        self,
        upload_id: str,
        change: Callable[[UploadSession], UploadSession],
        *,
        digests: Sequence[ChunkDigest] = (),
        tell: Tell | None = None,
    ) -> UploadSession:
        """Replace the session by `change(session)` in one transaction, and return the new one.

        `change` is a pure rule (`tusjumbo.sessions.rules`); what it raises, this raises, and
        nothing is recorded. No other change comes between its reading and its writing. `digests`
        are recorded with it, in place of older ones of the same chunks, and what `tell` makes of
        the change goes into the outbox.

        :raises UploadNotFound: there is no such session
        :raises QuotaExceeded: its owner has no room for what it grew by
        """
        ...

    async def digests(
        self, upload_id: str, start: int = 0, stop: int | None = None
    ) -> Mapping[int, ChunkDigest]:
        """What is recorded of the chunks with numbers in `[start, stop)`, by number, in order.

        Nothing for a session that is not there: they go with it.
        """
        ...

    async def statistics(self, today: float, week: float) -> Statistics:
        """Figures about all uploads. `today` and `week` are when these began.

        Quick, however many sessions there are; exact but for the quarter of an hour in which
        `today` and `week` are. Uploads that are gone by now count as well.
        """
        ...

    async def delete(self, upload_id: str, *, tell: Tell | None = None) -> bool:
        """Forget the session, and put what `tell` makes of that into the outbox.

        False if there was none; then nothing is told.
        """
        ...

    async def gather(self, upload_ids: Collection[str]) -> Mapping[str, UploadSession]:
        """Those of the sessions that there are, by id. One question, however many they are."""
        ...

    async def awaiting(self, part_id: str) -> Sequence[UploadSession]:
        """The sessions, in id order, that are pending (`is_pending`) and have this part."""
        ...

    async def due(
        self, now: float, limit: int, phases: Collection[Phase] = ()
    ) -> Sequence[UploadSession]:
        """At most `limit` sessions whose `due_at` is not after `now`, longest due first; only those
        in one of `phases`, if there are any."""
        ...

    async def listing(
        self, *, phase: Phase | None = None, after: str = "", limit: int = 100
    ) -> Sequence[UploadSession]:
        """At most `limit` sessions (of `phase`, if given) with ids after `after`, in id order."""
        ...

    async def aclose(self) -> None:
        """Give back what is open. The next call opens it again."""
        ...


Reading: TypeAlias = Callable[[memoryview], int]
"""Moves what waits into a buffer and returns how many bytes, 0 if nothing does. For threads: it may
wait a moment."""


class Draw(Protocol):
    async def __call__(
        self,
        at: int,
        read: Reading,
        memory: memoryview,
        limit: int,
        put: Callable[[int], None],
        hasher: Hasher | None,
    ) -> None:
        """Put what `read` has, at most `limit` bytes, at offset `at`, by way of `memory`, and feed
        it to `hasher`.

        In one hop to a thread, where `read` is called until it returns 0, and `put` with how many
        bytes were put, whenever some were: so it is known how many there are if it fails.

        :raises StorageFull: :raises StorageFailed: what was read and not put is lost
        """
        ...


class Writer(Protocol):
    """An open session's bytes. Two writers never have the same ones: the lock sees to that."""

    async def write(self, at: int, data: memoryview, hasher: Hasher | None) -> None:
        """Put all of `data` at offset `at`, and feed it to `hasher`, in one hop to a thread.

        :raises StorageFull: no space; some of `data` may have been written
        :raises StorageFailed: an input/output error; likewise
        """
        ...

    @property
    def draw(self) -> Draw | None:
        """None while what is to be written has to be seen here first."""
        ...

    async def copy(self, part: UploadSession, start: int, stop: int, at: int) -> None:
        """Put bytes `[start, stop)` of `part`, an open session, at offset `at`, in one hop.

        Inside the system if that can do it, sharing the blocks on disk if it can do that.

        :raises StorageLost: `part` does not have them
        :raises StorageFull: :raises StorageFailed: some may have been written
        """
        ...

    async def read_back(self, start: int, stop: int, hasher: Hasher) -> None:
        """Feed bytes `[start, stop)`, which were written by this writer, to `hasher`, in one hop.

        :raises StorageFailed: they are not there any more, or an input/output error
        """
        ...

    async def sync(self) -> None:
        """Return once everything written so far survives a power failure.

        :raises StorageFull: :raises StorageFailed: it may not; the writer is not to be used again
        """
        ...


class Store(Protocol):
    """Where bytes go. Every method is idempotent and may raise `StorageFull`/`StorageFailed`."""

    def writing(self, session: UploadSession) -> AbstractAsyncContextManager[Writer]:
        """Open an unfinished session's bytes for writing; they need not exist yet.

        :raises StorageLost: committed bytes of `session` are not there
        """
        ...

    async def arrival(self, session: UploadSession, origin: Origin) -> Arrival:
        """A full session's bytes for an assembler, cut to their length, and an empty workspace.

        :raises StorageLost: the bytes are not there
        """
        ...

    async def keep(self, session: UploadSession, assembled: Assembled) -> None:
        """Make sure that what `publish` needs of an assembler's work survives a power failure."""
        ...

    async def publish(self, session: UploadSession) -> Receipt:
        """Give a full session's bytes their final name, durably, without copying them.

        Or what was kept of its assembler's work, with what was to be beside it, under the name that
        the session's receipt or else its destination asks for. A repeated call, also after a crash
        in the middle of the first, comes to the same.

        :raises StorageLost: the bytes are not there
        """
        ...

    async def settle(self, session: UploadSession) -> None:
        """Drop what finishing left behind, once the receipt is recorded: if that says that the
        file is not here, its bytes as well."""
        ...

    async def abandon(self, session: UploadSession) -> None:
        """Put the bytes of an expired session aside, where an operator can find them."""
        ...

    async def recover(self, session: UploadSession) -> None:
        """Put the bytes that `abandon` has put aside back, to be continued.

        :raises StorageLost: the committed bytes are not there
        """
        ...

    async def examine(self, session: UploadSession, start: int, stop: int, hasher: Hasher) -> None:
        """Feed committed bytes `[start, stop)` to `hasher`, in one hop, wherever they are now.

        :raises StorageLost: they are not there
        """
        ...

    async def remove(self, session: UploadSession) -> None:
        """Free whatever the session holds: unfinished, finished or abandoned."""
        ...

    async def locate(self, session: UploadSession) -> Path:
        """The finished file of a session that has a receipt.

        :raises StorageLost: it is not there
        """
        ...

    async def strays(self, before: float) -> Sequence[str]:
        """Ids whose unfinished bytes were last touched before `before`: candidates, not orphans."""
        ...


async def _stay() -> None:
    """What leaving early comes to where there is nothing to gain by it."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to change one upload, until its context ends.

    `asked` is given when somebody else wants the upload: the holder should commit what it has and
    leave. It belongs to the holder's event loop.
    """

    upload_id: str
    asked: Notice
    leave: Callable[[], Coroutine[object, Any, None]] = _stay
    """Give the right up before the context ends, which then needs no hop for that."""


class Locker(Protocol):
    """Who may change an upload now, in as many processes as the locker says.

    One holder of the whole, or one of each lane: the chunks of an upload do not touch each other.

    A lock ends with its context or its process, whichever comes first; there is no time to live.

    A `look` awaits catalogs, stores and lockers of the same installation and nothing else: where
    these only hop to threads, it goes along in the hop of the locker.
    """

    def hold(
        self, upload_id: str, patience: float, *, lane: int | None = None
    ) -> AbstractAsyncContextManager[Lease]:
        """Ask who is in the way to leave and take its place, waiting `patience` seconds at most.

        `lane` is the number of a chunk; None is for the whole upload. Two holders are in each
        other's way unless both have lanes, and different ones.

        :raises UploadLocked: somebody did not leave in time
        """
        ...

    def find(
        self,
        upload_id: str,
        patience: float,
        look: Callable[[Lease], Coroutine[object, Any, T]],
        *,
        lane: int | None = None,
    ) -> AbstractAsyncContextManager[tuple[Lease, T]]:
        """`hold`, and what `look` returns once it is held. What it raises, this raises."""
        ...

    async def glance(
        self, upload_id: str, look: Callable[[], Coroutine[object, Any, T]]
    ) -> T | None:
        """What `look` returns, if nobody has any of the upload or waits for it; None otherwise.

        Whoever had it before has left when `look` is called, but newcomers may have come. Never
        waits and never asks anybody.
        """
        ...

    def attempt(self, upload_id: str) -> AbstractAsyncContextManager[Lease]:
        """Take the whole upload if nobody has any of it. Never waits and never asks anybody.

        :raises UploadLocked: somebody has it
        """
        ...

    async def aclose(self) -> None:
        """Give back what is open. The next call opens it again."""
        ...


class Verdict(enum.Enum):
    """What the first bytes of a file say of its type, if they do not rule it out."""

    ACCEPTED = "accepted"
    NEEDS_MORE = "needs more"
    """The bytes seen are too few to know."""


class Inspection(Protocol):
    """Which types of files are taken. What it has decided once, no further bytes change."""

    @property
    def head(self) -> int:
        """How many bytes from the start it wants to see, and always can decide by. Never blocks."""
        ...

    def claim(self, session: UploadSession) -> None:
        """Return if the file may be what the client says that it is. Never blocks.

        :raises MediaTypeRefused: no content could make this acceptable
        """
        ...

    async def judge(self, session: UploadSession, head: bytes, *, is_whole: bool) -> Verdict:
        """Whether a file that begins with `head` is taken; if it `is_whole`, these are all bytes.

        :raises MediaTypeRefused: it is not, and never will be
        """
        ...


class Source(Protocol):
    """A body on its way in."""

    async def wait(self) -> bool:
        """Return True when bytes are waiting, False at the end of the body. Takes nothing.

        A cancelled `wait` loses no bytes.

        :raises ClientDisconnected: the connection went away, and everything before has been read
        """
        ...

    @property
    def is_here(self) -> bool:
        """Whether all of the body has come, so that `wait` waits for nobody. False if unknown."""
        ...

    def readinto(self, buffer: memoryview) -> int:
        """Move waiting bytes into `buffer` and return how many. Never blocks; 0 if none wait."""
        ...

    @property
    def direct(self) -> Reading | None:
        """`readinto` for a worker thread, as long as nobody calls anything else here meanwhile.

        None if that is not possible, or not for what waits now.
        """
        ...

    def promised(self) -> Digest:
        """The digest that a request promised for after its body (`Promised`). Never blocks.

        To be asked once `wait` has returned False.

        :raises Refusal: it did not come, or is not one that we know
        """
        ...

    @property
    def closing(self) -> Notice | None:
        """Given when the server is stopping; None where the server does not say."""
        ...


class Observer(Protocol):
    def __call__(self, event: Event) -> None:
        """Take note. Called in the event loop: must not block, and must not raise."""
        ...
