"""Plain stand-ins for the ports: dictionaries and bytearrays, no cleverness, faults on request."""

from __future__ import annotations

from collections.abc import (
    AsyncIterator,
    Callable,
    Collection,
    Coroutine,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import anyio
from anyio.lowlevel import checkpoint

from tusjumbo.application import (
    Arrival,
    Assembled,
    Hook,
    HookAnswer,
    HookCall,
    News,
    Origin,
    Tell,
)
from tusjumbo.digests import Hasher
from tusjumbo.errors import (
    ClientDisconnected,
    StorageLost,
    UploadLocked,
    UploadNotFound,
)
from tusjumbo.notice import Notice
from tusjumbo.ports import Lease, Reading, Writer
from tusjumbo.sessions.commands import Digest
from tusjumbo.sessions.events import Event
from tusjumbo.sessions.session import ChunkDigest, Phase, Receipt, UploadSession
from tusjumbo.sessions.statistics import Statistics

T = TypeVar("T")


class DictCatalog:
    def __init__(self) -> None:
        self.sessions: dict[str, UploadSession] = {}
        self.recorded: dict[str, dict[int, ChunkDigest]] = {}
        self.faults: list[Exception | None] = []
        self.commits: list[int] = []
        self.news: list[News] = []

    def _tell(
        self, tell: Tell | None, before: UploadSession | None, after: UploadSession | None
    ) -> None:
        if tell is not None:
            self.news += tell(before, after)

    async def post(self, news: Sequence[News]) -> None:
        await checkpoint()
        self.news += news

    async def _work(self) -> None:
        await checkpoint()
        if self.faults and (fault := self.faults.pop(0)) is not None:
            raise fault

    async def create(self, session: UploadSession, *, tell: Tell | None = None) -> None:
        await self._work()
        if session.id in self.sessions:
            raise ValueError(session.id)
        self._tell(tell, None, session)
        self.sessions[session.id] = session

    async def load(self, upload_id: str) -> UploadSession:
        await checkpoint()
        try:
            return self.sessions[upload_id]
        except KeyError:
            raise UploadNotFound(upload_id) from None

    async def update(
        self,
        upload_id: str,
        change: Callable[[UploadSession], UploadSession],
        *,
        digests: Sequence[ChunkDigest] = (),
        tell: Tell | None = None,
    ) -> UploadSession:
        await self._work()
        await checkpoint()
        if upload_id not in self.sessions:
            raise UploadNotFound(upload_id)
        before = self.sessions[upload_id]
        self.sessions[upload_id] = after = change(before)
        self._tell(tell, before, after)
        self.recorded.setdefault(upload_id, {}).update({it.number: it for it in digests})
        self.commits.append(after.offset)
        return after

    async def digests(
        self, upload_id: str, start: int = 0, stop: int | None = None
    ) -> Mapping[int, ChunkDigest]:
        await checkpoint()
        found = self.recorded.get(upload_id, {})
        return {n: found[n] for n in sorted(found) if n >= start and (stop is None or n < stop)}

    async def statistics(self, today: float, week: float) -> Statistics:
        raise AssertionError("the engine has no use for figures")

    async def delete(self, upload_id: str, *, tell: Tell | None = None) -> bool:
        await self._work()
        self.recorded.pop(upload_id, None)
        before = self.sessions.pop(upload_id, None)
        if before is not None:
            self._tell(tell, before, None)
        return before is not None

    async def gather(self, upload_ids: Collection[str]) -> Mapping[str, UploadSession]:
        await checkpoint()
        return {id_: self.sessions[id_] for id_ in upload_ids if id_ in self.sessions}

    async def awaiting(self, part_id: str) -> Sequence[UploadSession]:
        await checkpoint()
        return [s for s in self.sessions.values() if s.is_pending and part_id in s.parts]

    async def due(
        self, now: float, limit: int, phases: Collection[Phase] = ()
    ) -> Sequence[UploadSession]:
        await checkpoint()
        due = [s for s in self.sessions.values() if s.due_at is not None and s.due_at <= now]
        due = [s for s in due if not phases or s.phase in phases]
        return sorted(due, key=lambda s: s.due_at or 0.0)[:limit]

    async def listing(
        self, *, phase: Phase | None = None, after: str = "", limit: int = 100
    ) -> Sequence[UploadSession]:
        await checkpoint()
        found = [s for s in self.sessions.values() if s.id > after and phase in (None, s.phase)]
        return sorted(found, key=lambda s: s.id)[:limit]

    async def aclose(self) -> None:
        await checkpoint()


class BytesStore:
    """`files` are unfinished, `completed` and `abandoned` what they say. `durable` lags behind."""

    def __init__(self) -> None:
        self.files: dict[str, bytearray] = {}
        self.durable: dict[str, bytes] = {}
        self.completed: dict[str, bytes] = {}
        self.abandoned: dict[str, bytes] = {}
        self.faults: list[Exception | None] = []
        self.writes: list[int] = []
        self.copies: list[tuple[str, int, int]] = []
        self.reads: list[tuple[int, int]] = []
        self.before_write: Callable[[], object] = lambda: None
        self.old: list[str] = []
        self.kept: dict[str, Assembled] = {}

    def fault(self) -> None:
        if self.faults and (fault := self.faults.pop(0)) is not None:
            raise fault

    @asynccontextmanager
    async def writing(self, session: UploadSession) -> AsyncIterator[Writer]:
        await checkpoint()
        data = self.files.setdefault(session.id, bytearray())
        if len(data) < session.ranges.stop:
            raise StorageLost(session.id)
        yield BytesWriter(self, session.id, data)

    async def arrival(self, session: UploadSession, origin: Origin) -> Arrival:
        await checkpoint()
        self.fault()
        self.kept.pop(session.id, None)
        path = Path("sessions") / session.id
        name = session.destination or session.filename or session.id
        return Arrival(session, origin, path, name, path.with_suffix(".work"))

    async def keep(self, session: UploadSession, assembled: Assembled) -> None:
        await checkpoint()
        self.fault()
        self.kept[session.id] = assembled

    async def publish(self, session: UploadSession) -> Receipt:
        await checkpoint()
        self.fault()
        assert session.is_arrived
        data = bytes(self.files.get(session.id, b""))
        assert len(data) >= (session.length or 0)
        self.completed[session.id] = data[: session.length]
        receipt = session.receipt or Receipt("")
        assert receipt.is_here
        return replace(
            receipt, path=f"completed/{receipt.path or session.destination or session.id}"
        )

    async def settle(self, session: UploadSession) -> None:
        await checkpoint()
        self.files.pop(session.id, None)

    async def abandon(self, session: UploadSession) -> None:
        await checkpoint()
        self.fault()
        if session.id in self.files:
            self.abandoned[session.id] = bytes(self.files.pop(session.id))

    async def recover(self, session: UploadSession) -> None:
        await checkpoint()
        self.fault()
        if session.id in self.abandoned:
            self.files[session.id] = bytearray(self.abandoned.pop(session.id))
        if len(self.files.get(session.id, b"")) < session.ranges.stop:
            raise StorageLost(session.id)

    async def examine(self, session: UploadSession, start: int, stop: int, hasher: Hasher) -> None:
        await checkpoint()
        self.fault()
        self.reads.append((start, stop))
        for place in (self.files, self.completed, self.abandoned):
            if len(content := bytes(place.get(session.id, b""))) >= stop:
                return hasher.update(content[start:stop])
        raise StorageLost(session.id)

    async def remove(self, session: UploadSession) -> None:
        await checkpoint()
        for place in (self.files, self.completed, self.abandoned):
            place.pop(session.id, None)

    async def locate(self, session: UploadSession) -> Path:
        await checkpoint()
        return Path("completed") / session.id

    async def strays(self, before: float) -> Sequence[str]:
        await checkpoint()
        return self.old


@dataclass
class BytesWriter:
    store: BytesStore
    upload_id: str
    file: bytearray

    async def write(self, at: int, data: memoryview, hasher: Hasher | None) -> None:
        self.store.before_write()
        await checkpoint()
        self.store.fault()
        # What nobody wrote must not be taken for zeros that somebody did.
        self.file.extend(b"?" * (at - len(self.file)))
        if hasher is not None:
            hasher.update(data)
        self.file[at : at + len(data)] = data
        self.store.writes.append(len(data))

    async def draw(
        self,
        at: int,
        read: Reading,
        memory: memoryview,
        limit: int,
        put: Callable[[int], None],
        hasher: Hasher | None,
    ) -> None:
        stop = at + limit
        while count := read(memory[: stop - at]):
            await self.write(at, memory[:count], hasher)
            put(count)
            at += count

    async def read_back(self, start: int, stop: int, hasher: Hasher) -> None:
        await checkpoint()
        self.store.fault()
        self.store.reads.append((start, stop))
        assert stop <= len(self.file)
        hasher.update(self.file[start:stop])

    async def copy(self, part: UploadSession, start: int, stop: int, at: int) -> None:
        self.store.before_write()
        await checkpoint()
        self.store.fault()
        source = self.store.files.get(part.id, b"")
        if len(source) < stop:
            raise StorageLost(part.id)
        assert at <= len(self.file), "a hole"
        self.file[at : at + stop - start] = source[start:stop]
        self.store.copies.append((part.id, start, stop))

    async def sync(self) -> None:
        await checkpoint()
        self.store.durable[self.upload_id] = bytes(self.file)


class OneHolder:
    """A locker of one process that asks the holder and polls."""

    def __init__(self) -> None:
        self.held: dict[tuple[str, int | None], Lease] = {}

    @asynccontextmanager
    async def hold(
        self, upload_id: str, patience: float, *, lane: int | None = None
    ) -> AsyncIterator[Lease]:
        with anyio.move_on_after(patience):
            while others := self._in_the_way(upload_id, lane):
                for other in others:
                    other.asked.give()
                await anyio.sleep(0.001)
        async with self.attempt(upload_id, lane) as lease:
            yield lease

    @asynccontextmanager
    async def attempt(self, upload_id: str, lane: int | None = None) -> AsyncIterator[Lease]:
        if self._in_the_way(upload_id, lane):
            raise UploadLocked(upload_id, 0.0)
        self.held[upload_id, lane] = lease = Lease(upload_id, Notice())
        try:
            yield lease
        finally:
            del self.held[upload_id, lane]

    @asynccontextmanager
    async def find(
        self,
        upload_id: str,
        patience: float,
        look: Callable[[Lease], Coroutine[object, Any, T]],
        *,
        lane: int | None = None,
    ) -> AsyncIterator[tuple[Lease, T]]:
        async with self.hold(upload_id, patience, lane=lane) as lease:
            yield lease, await look(lease)

    async def glance(
        self, upload_id: str, look: Callable[[], Coroutine[object, Any, T]]
    ) -> T | None:
        return None if self._in_the_way(upload_id, None) else await look()

    def _in_the_way(self, upload_id: str, lane: int | None) -> list[Lease]:
        return [
            lease
            for (held, other), lease in self.held.items()
            if held == upload_id and (lane is None or other is None or lane == other)
        ]

    async def aclose(self) -> None:
        await checkpoint()


@dataclass
class Script:
    """A body that arrives as written: bytes, a number of seconds of silence, or an exception.

    A silence of `inf` lasts until somebody cancels the wait. At the end of the list is the end of
    the body.
    """

    steps: Iterable[bytes | float | Exception]
    closing: Notice | None = None
    told: Digest | Exception | None = None
    is_here: bool = False
    reads: int = 0
    sent: bytearray = field(default_factory=bytearray)
    is_direct: ClassVar[bool] = False
    """Whether its bytes can be drawn: `conftest` runs every test with both."""

    def __post_init__(self) -> None:
        self._steps = iter(self.steps)
        self._piece = b""

    async def wait(self) -> bool:
        await checkpoint()
        self.reads += 1
        while not self._piece:
            match next(self._steps, None):
                case None:
                    return False
                case bytes() as piece:
                    self._piece = piece
                    self.sent += piece
                case Exception() as error:
                    raise error
                case seconds:
                    await anyio.sleep(seconds)
        return True

    def readinto(self, buffer: memoryview) -> int:
        count = min(len(buffer), len(self._piece))
        buffer[:count] = self._piece[:count]
        self._piece = self._piece[count:]
        return count

    @property
    def direct(self) -> Reading | None:
        return self.readinto if self.is_direct else None

    def promised(self) -> Digest:
        if isinstance(self.told, Exception):
            raise self.told
        assert self.told is not None
        assert next(self._steps, None) is None, "asked before the end"
        return self.told


CUT = ClientDisconnected()
FOREVER = float("inf")


@dataclass
class Journal:
    events: list[Event] = field(default_factory=list)

    def __call__(self, event: Event) -> None:
        self.events.append(event)


def aged(session: UploadSession, seconds: float) -> UploadSession:
    """The session as if it had been made `seconds` earlier."""
    expires_at = None if session.expires_at is None else session.expires_at - seconds
    return replace(
        session,
        created_at=session.created_at - seconds,
        updated_at=session.updated_at - seconds,
        expires_at=expires_at,
    )


@dataclass
class ScriptedHooks:
    """Who says what it was told to say, remembers what it was asked, and tells in plain words."""

    on_create: HookAnswer | Exception = field(default_factory=HookAnswer)
    on_finish: HookAnswer | Exception | None = None
    on_terminate: HookAnswer | Exception = field(default_factory=HookAnswer)
    asked: list[tuple[Hook, UploadSession, Origin]] = field(default_factory=list)
    rung: int = 0

    async def creating(self, session: UploadSession, origin: Origin) -> HookAnswer:
        return await self._say(Hook.PRE_CREATE, session, origin, self.on_create)

    async def terminating(self, session: UploadSession, origin: Origin) -> HookAnswer:
        return await self._say(Hook.PRE_TERMINATE, session, origin, self.on_terminate)

    async def finishing(self, arrival: Arrival) -> HookAnswer:
        assert self.on_finish is not None
        return await self._say(Hook.PRE_FINISH, arrival.session, arrival.origin, self.on_finish)

    @property
    def wants_finishing(self) -> bool:
        return self.on_finish is not None

    async def _say(
        self, hook: Hook, session: UploadSession, origin: Origin, said: HookAnswer | Exception
    ) -> HookAnswer:
        await checkpoint()
        self.asked.append((hook, session, origin))
        if isinstance(said, Exception):
            raise said
        return said

    def telling(self, origin: Origin) -> Tell:
        def tell(before: UploadSession | None, after: UploadSession | None) -> Sequence[News]:
            of = after or before
            assert of is not None
            if before is None:
                return [_news(Hook.POST_CREATE, of, origin)]
            if after is None:
                return [_news(Hook.POST_TERMINATE, of, origin)]
            of_phase = {Phase.DONE: Hook.POST_FINISH, Phase.ABANDONED: Hook.EXPIRED}
            is_other = before.phase is not after.phase and after.phase in of_phase
            return [_news(of_phase[after.phase], of, origin)] if is_other else []

        return tell

    def interrupted(self, session: UploadSession, origin: Origin) -> Sequence[News]:
        return [_news(Hook.INTERRUPTED, session, origin)]

    def rang(self) -> None:
        self.rung += 1


def _news(hook: Hook, session: UploadSession, origin: Origin) -> News:
    return News(call=HookCall(hook, session, origin), receiver="r", created_at=0.0, due_at=0.0)
