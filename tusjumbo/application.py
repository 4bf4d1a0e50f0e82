"""What the engine asks of, and tells, the application around it: signatures and values.

Two ways. Some is asked while a request waits, and the answer counts: hooks whose names begin with
`pre-`, and assemblers. All else is told afterwards, and goes through the outbox: it is recorded in
the transaction that made it true, so that neither can be without the other, and delivered at least
once, each upload's in order, by whoever is alive.

No behaviour. Ids are valid (`tusjumbo.sessions.ids.is_valid`), sizes are bytes, times are seconds
since the epoch.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeAlias

from tusjumbo.sessions.commands import Action
from tusjumbo.sessions.session import Answer, UploadSession


class Hook(enum.Enum):
    """When the application is asked or told. The first seven are tusd's."""

    PRE_CREATE = "pre-create"
    """A new upload is wanted; nothing of it is stored. May refuse it, and change id, metadata and
    place."""
    POST_CREATE = "post-create"
    POST_RECEIVE = "post-receive"
    """More bytes are committed. May stop the upload. Only the latest one is kept for later."""
    PRE_FINISH = "pre-finish"
    """All bytes are in, and the file has no name yet. May refuse it, and say where it goes."""
    POST_FINISH = "post-finish"
    PRE_TERMINATE = "pre-terminate"
    """A client wants the upload removed. May refuse that."""
    POST_TERMINATE = "post-terminate"
    """It is gone, because a client wanted that or because it was refused."""
    INTERRUPTED = "interrupted"
    """A body broke off. What had arrived of it is committed."""
    EXPIRED = "expired"
    """Nobody continued it; its bytes are set aside until `session.expires_at`."""

    @property
    def asks(self) -> bool:
        """Whether a request waits for the answer."""
        return self.value.startswith("pre-")


@dataclass(frozen=True, slots=True)
class Origin:
    """The request that something comes from. All empty where it comes from none: time, Python."""

    method: str = ""
    uri: str = ""
    """Path and query, as the client sent them."""
    client: str = ""
    """The client's address as far as trusted proxies tell it."""
    headers: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """By name, written Like-This; each line is an item."""


NOBODY = Origin()


@dataclass(frozen=True, slots=True)
class HookCall:
    """A question, or a piece of news."""

    hook: Hook
    session: UploadSession
    """As it is to be (pre-create), as it is (other questions), or as it was then (news)."""
    origin: Origin = NOBODY
    path: Path | None = None
    """Where its bytes are, if they are in a file of this machine."""
    key: str = ""
    """Of a piece of news: the same each time that it is told, and no other one's."""


@dataclass(frozen=True, slots=True)
class HookAnswer:
    """What a hook says. Everything is optional, and what does not apply to the hook is ignored."""

    answer: Answer | None = None
    reject: bool = False
    """pre-create, pre-finish, pre-terminate: it is not to be. `answer` may say why."""
    upload_id: str | None = None
    """pre-create: the id of the upload, which must be free and fit for a path."""
    metadata: Mapping[str, bytes] | None = None
    """pre-create: in place of the client's."""
    path: str | None = None
    """pre-create, pre-finish: where the file goes, below `completed`, if nothing is there."""
    stop: bool = False
    """post-receive: end the upload and remove it."""


class Receiver(Protocol):
    """Somebody who wants to know: a function, a program or an address."""

    @property
    def name(self) -> str:
        """Its own, and the same after a restart: news that wait for it are recorded with it."""
        ...

    @property
    def hooks(self) -> Collection[Hook]:
        """What it wants to be asked and told."""
        ...

    async def __call__(self, call: HookCall) -> HookAnswer:
        """Ask or tell it. Ends within its own time-out.

        :raises HookFailed: it could not, or did not understand
        """
        ...


@dataclass(frozen=True, slots=True)
class Arrival:
    """An upload whose bytes are all in, on its way to its place. Its lock is held."""

    session: UploadSession
    origin: Origin
    path: Path
    """The file: the upload's bytes, or what the assembler before this one made of them. Only to be
    read; it has no name yet that anybody else knows."""
    name: str
    """Where it goes, below `completed`, unless an assembler says otherwise; safe for any file
    system."""
    workspace: Path
    """An empty directory for what is made of them. It goes when the upload is finished."""


FINAL_NAME = b"\0name\0"
"""Stands in a file that is put beside another one for the name that this gets in the end."""


@dataclass(frozen=True, slots=True)
class Assembled:
    """What an assembler made of an upload. Everything is optional."""

    path: str | None = None
    """Where the file goes, below `completed`: made safe, and made different if it is taken."""
    content: Path | None = None
    """A file in the workspace that takes the place of the upload's bytes."""
    beside: Mapping[str, bytes] = field(default_factory=dict)
    """Small files to be put beside it, by what is added to its name: `{".sha256": b"…"}`. They may
    have `FINAL_NAME` in them."""
    elsewhere: str | None = None
    """Where the bytes have been put (an address, a path): nothing is kept here then."""
    answer: Answer | None = None
    """What the client is told, now and whenever it repeats its last request."""


class Assembler(Protocol):
    """What is done when an upload has arrived, at least once for each id.

    It may be cut short anywhere and is then called again with an empty workspace; so what it does
    elsewhere must come to the same when it is done twice. The receipt is recorded once.
    """

    async def __call__(self, arrival: Arrival) -> Assembled | None:
        """:raises UploadRejected: it is not taken; it is over, and its bytes go

        Any other exception means that it is tried again later.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """An entry of the outbox: something that happened, for one receiver."""

    call: HookCall
    receiver: str
    """Its `Receiver.name`."""
    created_at: float
    due_at: float | None
    """When it is to be told (again); None when it has been, or will not be."""
    attempts: int = 0
    told_at: float | None = None
    """When the receiver has taken it; None if it has not."""
    problem: str = ""
    """Why the last attempt failed."""
    number: int = 0
    """Its place in the outbox, given by the catalog."""


Tell: TypeAlias = Callable[[UploadSession | None, UploadSession | None], Sequence[News]]
"""What is to be told of a change from one session to another; None where there is none. Pure."""


class Outbox(Protocol):
    """What is to be told, as a catalog keeps it. Every method may raise `CatalogFailed`.

    News come into it by `Catalog.create`, `update` and `delete`, in one transaction with what they
    tell of, or by `post`. Of each upload and receiver only the oldest untold one is ever claimed;
    one that was given up (`due_at` None, not told) stands in nobody's way.
    """

    async def post(self, news: Sequence[News]) -> None:
        """Add them."""
        ...

    async def claim(
        self, receivers: Collection[str], now: float, until: float, limit: int
    ) -> Sequence[News]:
        """At most `limit` of theirs that are due, longest due first, and nobody else's meanwhile.

        Each is due again at `until`, which is after whoever claimed it has settled or postponed it
        or is dead; `attempts` counts this one.
        """
        ...

    async def settle(self, news: News, now: float) -> None:
        """It has been told."""
        ...

    async def postpone(self, news: News, due_at: float | None, problem: str) -> None:
        """It has not; None: it will not be."""
        ...

    async def next_due(self, receivers: Collection[str]) -> float | None:
        """When the next one may be claimed; None if none waits."""
        ...

    async def news(
        self,
        *,
        upload_id: str | None = None,
        waiting: bool = False,
        after: int = 0,
        limit: int = 100,
    ) -> Sequence[News]:
        """At most `limit`, in order, with numbers after `after`; if `waiting`, without those that
        were told or given up."""
        ...

    async def replay(self, numbers: Collection[int], now: float) -> int:
        """Make them due now, told or not, and say how many there are."""
        ...

    async def forget_told(self, before: float) -> int:
        """Drop those that were told, or given up, before then, and say how many."""
        ...


class Hooks(Protocol):
    """Whom the engine asks, and what it leaves for the outbox."""

    async def creating(self, session: UploadSession, origin: Origin) -> HookAnswer:
        """Ask everybody about a new upload; each sees what the ones before have changed.

        :raises UploadRejected: :raises HookFailed:
        """
        ...

    async def terminating(self, session: UploadSession, origin: Origin) -> HookAnswer:
        """:raises TerminationRejected: :raises HookFailed:"""
        ...

    async def finishing(self, arrival: Arrival) -> HookAnswer:
        """:raises UploadRejected: :raises HookFailed:"""
        ...

    @property
    def wants_finishing(self) -> bool:
        """Whether anybody is asked about finishing."""
        ...

    def telling(self, origin: Origin) -> Tell | None:
        """What to give to the catalog with a change; None if nobody listens."""
        ...

    def interrupted(self, session: UploadSession, origin: Origin) -> Sequence[News]:
        """What is to be told of a body that broke off."""
        ...

    def rang(self) -> None:
        """There may be news. Never blocks; for the event loop's thread."""
        ...


@dataclass(frozen=True, slots=True)
class Admission:
    """Who wants what: all that is known before the details of a request are read."""

    action: Action
    upload_id: str | None
    headers: Mapping[str, str]
    """By lower-case name; repeated lines are joined with a comma."""
    client: str
    """The client's address as far as trusted proxies tell it; empty if unknown."""
    query: str = ""
    """What follows the `?` of the address, as it was sent."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks, as a gate knows it."""

    owner: str | None = None
    """What is created is theirs, and what is another one's is not found; None: nobody's."""
    is_operator: bool = False
    """Whether every upload may be touched, whoever owns it."""
    query: Callable[[str], str] | None = None
    """Makes of an upload's id what its address needs after the `?` to be let in again."""


class Gate(Protocol):
    """Who may do what. Asked on every request but OPTIONS, before anything is read or locked."""

    async def admit(self, admission: Admission) -> Identity | None:
        """Return to let the request in: who asks, or None if that is of no interest.

        :raises Unauthorized: nobody known
        :raises Forbidden: not this one
        :raises TooManyRequests: not now
        """
        ...
