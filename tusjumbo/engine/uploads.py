"""Uploads: carries out one command. Lock, load, decide, and only then touch the body.

Every effect on an upload happens while its lock is held and after the rules said yes; the catalog
applies the same rules again at each commit. A request that is stopped early is an `Interrupted`
error: what had arrived is committed by then.
"""

from __future__ import annotations

import logging
import secrets
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial

import anyio

from tusjumbo.engine.abandoning import GiveUp
from tusjumbo.engine.blocks import Blocks
from tusjumbo.engine.checks import Check
from tusjumbo.engine.concatenation import PATIENCE, Concatenation
from tusjumbo.engine.finish import Finish
from tusjumbo.engine.observers import Observers
from tusjumbo.engine.pump import Arrived, Pace, Pump
from tusjumbo.errors import (
    BodyTimeout,
    ClientDisconnected,
    HandedOver,
    Refusal,
    ServerClosing,
    StaleCommit,
    StorageLost,
    SystemFailure,
    UploadIsFinal,
    UploadIsPartial,
    UploadNotFound,
    UploadUnfinished,
)
from tusjumbo.notice import Notice
from tusjumbo.ports import Catalog, Clock, Locker, Source, Store
from tusjumbo.sessions import commands, ids, outcomes, rules
from tusjumbo.sessions.commands import Append, Content, Create, Fetch, Inspect, Join, Terminate
from tusjumbo.sessions.events import (
    BytesReceived,
    Ending,
    UploadCreated,
    UploadTerminated,
)
from tusjumbo.sessions.session import Kind, Phase, UploadSession

_log = logging.getLogger("tusjumbo")

BLOCK_SIZE = 1024 * 1024
BLOCKS = 24
"""At most this many MiB of bodies are in memory at a time, however many uploads there are."""


@dataclass
class Uploads:
    catalog: Catalog
    store: Store
    locker: Locker
    limits: rules.Limits = field(default_factory=rules.Limits)
    pace: Pace = field(default_factory=Pace)
    patience: float = 20.0
    """How long a request waits for another one to leave the same upload, in seconds."""
    remove_parts: bool = False
    """Whether partial uploads go when they have been joined."""
    clock: Clock = time.time
    observers: Observers = field(default_factory=Observers)
    blocks: Blocks = field(default_factory=lambda: Blocks(BLOCK_SIZE, BLOCKS))

    def __post_init__(self) -> None:
        self.finish = Finish(self.catalog, self.store, self.clock, self.observers)
        self._give_up = GiveUp(self.catalog, self.clock, self.limits, self.observers)
        self.concatenation = Concatenation(
            self.catalog,
            self.store,
            self.locker,
            self.finish,
            self._give_up,
            self.limits,
            self.clock,
            self.observers,
            self.patience,
            self.remove_parts,
        )

    async def execute(
        self, command: commands.Command, source: Source | None = None
    ) -> outcomes.Outcome:
        """Carry out `command`, whose body, if it has one, comes from `source`.

        :raises Refusal: it cannot be; nothing was stored, and `source` was not touched (except
            where only the body itself could show it: too long, or a wrong digest)
        :raises Interrupted: it stopped early, with what arrived committed
        :raises SystemFailure: the offset is where it was, or exact for what was committed before
        """
        match command:
            case Create():
                return await self._create(command, source)
            case Join():
                return await self._join(command, source)
            case Append():
                return await self._append(command, source)
            case Inspect():
                return await self._inspect(command)
            case Terminate():
                return await self._terminate(command)
            case Fetch():
                return await self._fetch(command)

    async def _create(self, command: Create, source: Source | None) -> outcomes.Created:
        upload_id = ids.from_entropy(secrets.token_bytes(ids.ENTROPY))
        session = rules.opened(command, upload_id, self.clock(), self.limits)
        if source is not None and source.closing is not None and source.closing.given:
            raise ServerClosing
        await self.catalog.create(session)
        self.observers.tell(UploadCreated(session))
        if command.content is None and session.phase is Phase.OPEN:
            return outcomes.Created(session)
        async with self.locker.hold(upload_id, self.patience) as lease:
            try:
                if command.content is not None:
                    append = Append(id=upload_id, at=0, content=command.content)
                    take = rules.decide(session, append, self.limits)
                    session = await self._receive(
                        session, take, command.content, source, lease.asked
                    )
                session = await self.finish(session)
            except (Refusal, SystemFailure):
                # The client will not learn the address, so nobody could ever continue it.
                await self._discard(session)
                raise
        return outcomes.Created(session)

    async def _join(self, command: Join, source: Source | None) -> outcomes.Created:
        closing = None if source is None else source.closing
        session = await self.concatenation.record(command, closing)
        try:
            return outcomes.Created(
                await self.concatenation.advance(session.id, closing=closing, patience=PATIENCE)
            )
        except (Refusal, SystemFailure):
            await self._discard(session)
            raise

    async def _append(self, command: Append, source: Source | None) -> outcomes.Appended:
        if ids.is_final(command.id):
            # It takes no bytes, so nobody is asked to leave it.
            await self._load(command.id)
            raise UploadIsFinal(command.id)
        # Nothing is waited for before the lock. A client that has lost its connection comes back
        # with HEAD; if that overtook the request with the bytes, they would be taken after it, and
        # the offset that it told would be wrong (LOCK-03).
        async with self.locker.hold(command.id, self.patience) as lease:
            session = await self._load(command.id)
            try:
                take = rules.decide(session, command, self.limits)
                session = await self._receive(session, take, command.content, source, lease.asked)
            except StorageLost:
                await self._give_up(session.id)
                raise
            except Refusal as refusal:
                if session.phase is Phase.OPEN and self.limits.expire_after is not None:
                    refusal.expires_at = session.expires_at
                raise
            return outcomes.Appended(await self.finish(session))

    async def _inspect(self, command: Inspect) -> outcomes.Inspected:
        session = await self._load(command.id)
        if session.is_pending:
            return outcomes.Inspected(await self.concatenation.measured(session))
        if session.phase is Phase.DONE or (session.kind is Kind.PARTIAL and session.is_full):
            return outcomes.Inspected(session)
        async with self.locker.hold(command.id, self.patience):
            session = await self._load(command.id)
            try:
                session = await self.finish(session)
            except SystemFailure:
                # Every byte is safe, so the client must not hear a 5xx: tus-js-client would
                # upload all of it again (specs/clients.md 1.6). The sweep will try once more.
                _log.exception("Upload %s is complete but could not be finished.", session.id)
        return outcomes.Inspected(session)

    async def _terminate(self, command: Terminate) -> outcomes.Terminated:
        async with self.locker.hold(command.id, self.patience):
            session = await self._load(command.id)
            with anyio.CancelScope(shield=True):
                await self.store.remove(session)
                await self.catalog.delete(session.id)
        self.observers.tell(UploadTerminated(session))
        if session.kind is Kind.PARTIAL:
            self.concatenation.part_changed(session.id)
        return outcomes.Terminated(session.id)

    async def _fetch(self, command: Fetch) -> outcomes.Fetched:
        session = await self._load(command.id)
        if session.phase is Phase.SEALED:
            async with self.locker.hold(command.id, self.patience):
                session = await self.finish(await self._load(command.id))
        if session.kind is Kind.PARTIAL:
            raise UploadIsPartial(session.id)
        if session.phase is not Phase.DONE:
            raise UploadUnfinished(session.id, session.offset, session.length)
        return outcomes.Fetched(session, await self.store.locate(session))

    async def _load(self, upload_id: str) -> UploadSession:
        """The session, unless it is past its time: the sweep need not have come by yet."""
        session = await self.catalog.load(upload_id)
        if session.phase is Phase.ABANDONED or rules.has_expired(session, self.clock()):
            raise UploadNotFound(upload_id)
        return session

    async def _receive(
        self,
        session: UploadSession,
        take: rules.Take,
        content: Content,
        source: Source | None,
        asked: Notice,
    ) -> UploadSession:
        """Take the body as decided. Returns the session as committed at the end of a whole body."""
        received = _Receiving(self, session, take, content)
        if source is None or content.announced == 0:
            await Check(session.id, content.digest).verify(source, None, take.start, take.start)
            await received.commit(take.start, Arrived.WHOLE)
            return received.session
        began = anyio.current_time()
        ending = Ending.FAILED
        try:
            ending = await received.pump(source, asked)
        except StaleCommit:
            ending = Ending.LOST
            raise
        finally:
            seconds = anyio.current_time() - began
            self.observers.tell(
                BytesReceived(received.session, take.start, received.stop, seconds, ending)
            )
        match ending:
            case Ending.END:
                return received.session
            case Ending.OVER:
                raise rules.too_long(session.id, take.length, self.limits)
            case Ending.IDLE:
                raise BodyTimeout(self.pace.idle or 0.0)
            case Ending.CLOSING:
                raise ServerClosing
            case Ending.CUT:
                # All bytes may be in although the body's end was not: then it is finished.
                await self.finish(received.session)
                raise ClientDisconnected
            case _:
                raise HandedOver(session.id)

    async def _discard(self, session: UploadSession) -> None:
        try:
            await self.store.remove(session)
            await self.catalog.delete(session.id)
        except SystemFailure:
            _log.exception("Upload %s was refused and could not be removed.", session.id)


class _Receiving:
    """One body on its way into one session: what the pump commits becomes the session's state."""

    def __init__(
        self, uploads: Uploads, session: UploadSession, take: rules.Take, content: Content
    ) -> None:
        self.session = session
        self.stop = take.start
        self._uploads = uploads
        self._take = take
        self._content = content
        self._sync = _nothing_written

    async def pump(self, source: Source, asked: Notice) -> Ending:
        stops = [(asked, Ending.ASKED)]
        if source.closing is not None:
            stops.append((source.closing, Ending.CLOSING))
        async with AsyncExitStack() as stack:
            writer = None
            if self._take.start < self._take.ceiling and self.session.phase is Phase.OPEN:
                writing = self._uploads.store.writing(self.session)
                writer = await stack.enter_async_context(writing)
                self._sync = writer.sync
            return await Pump(
                source,
                writer,
                upload_id=self.session.id,
                take=self._take,
                content=self._content,
                commit=self.commit,
                blocks=self._uploads.blocks,
                pace=self._uploads.pace,
                stops=stops,
            ).run()

    async def commit(self, stop: int, arrived: Arrived) -> None:
        """Bytes first, catalog second: a range is recorded when it is as durable as it will be."""
        if self.session.phase is not Phase.OPEN:
            return
        part = self._part(stop, arrived)
        seals = rules.seals(self.session, part.finish) and self.session.is_full
        if part.start == part.stop and part.length == self.session.length and not seals:
            return
        if part.start < part.stop:
            await self._sync()
        uploads = self._uploads
        self.session = await uploads.catalog.update(
            self.session.id,
            partial(rules.committed, part=part, now=uploads.clock(), limits=uploads.limits),
        )
        self.stop = stop
        if self.session.kind is Kind.PARTIAL and self.session.is_full:
            uploads.concatenation.part_changed(self.session.id)

    def _part(self, stop: int, arrived: Arrived) -> rules.Part:
        finish = self._content.finish
        ends_here = finish is commands.Finish.WITH_THIS and arrived is Arrived.WHOLE
        length = stop if ends_here else self._take.length
        return rules.Part(self.stop, stop, length, finish)


async def _nothing_written() -> None:
    """What there is to sync before a writer is open."""
