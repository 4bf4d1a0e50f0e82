"""Receiving: one body into one session, as decided, while its lock (or a lane of it) is held.

What the pump commits becomes the session's state: bytes first, catalog second. What ended the body
is an exception, unless it was the end; an `Interrupted` one says that what had arrived is kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from functools import partial

import anyio

from tusjumbo.application import NOBODY, Origin
from tusjumbo.engine.blocks import Blocks
from tusjumbo.engine.checks import Check
from tusjumbo.engine.finish import Finishing
from tusjumbo.engine.inspection import HeadWriter, Screening
from tusjumbo.engine.means import Means
from tusjumbo.engine.overlay import Overlay
from tusjumbo.engine.pump import Arrived, Pace, Pump
from tusjumbo.engine.small import Peeked, may_be_small
from tusjumbo.errors import (
    BodyTimeout,
    ChunkSizeWrong,
    ClientDisconnected,
    HandedOver,
    MediaTypeRefused,
    ServerClosing,
    StaleCommit,
    SystemFailure,
    TusJumboError,
)
from tusjumbo.notice import Notice
from tusjumbo.ports import Lease, Source, Writer
from tusjumbo.sessions import commands, rules
from tusjumbo.sessions.commands import Content
from tusjumbo.sessions.events import BytesReceived, Ending, UploadCreated, UploadFinished
from tusjumbo.sessions.session import ChunkDigest, Kind, Phase, UploadSession

_BROKEN = (Ending.CUT, Ending.IDLE)
"""Endings by the fault of a client or its line. Others are taken over, or told to come again."""

CHUNKS_BY = "sha256"
"""The algorithm by which every chunk is recorded."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A body that may be read: whose it is, where it goes, and how it is to be treated."""

    session: UploadSession
    """As it is now, under the lock."""
    take: rules.Take
    content: Content
    source: Source | None
    lease: Lease
    """Of the upload, or of a lane of it."""
    origin: Origin = NOBODY
    """The request that it comes with."""
    chunk: int | None = None
    """The number of the chunk that it is, if it is one."""
    is_recorded: bool = True
    """Whether the catalog knows of the session."""

    @property
    def stops(self) -> list[tuple[Notice, Ending]]:
        """What may be said while the body comes, and how it ends then."""
        stops = [(self.lease.asked, Ending.ASKED)]
        if self.source is not None and self.source.closing is not None:
            stops.append((self.source.closing, Ending.CLOSING))
        return stops


@dataclass
class Receive:
    means: Means
    finish: Finishing
    screening: Screening
    pace: Pace
    blocks: Blocks
    part_is_full: Callable[[str], None]
    """Told of partial uploads, by id."""

    async def __call__(self, delivery: Delivery) -> UploadSession:
        """Take the body. Returns the session as committed at the end of a whole body.

        It may be finished by then, and the lease be over.

        :raises Refusal: the body was not what it should be
        :raises MediaTypeRefused: nor what is taken; the upload is over, but for a chunk's, whose
            caller is to end it
        :raises Interrupted: it stopped early
        :raises SystemFailure: as storing and recording do
        """
        body = _Body(self, delivery)
        start, source = delivery.take.start, delivery.source
        if source is None or delivery.content.announced == 0:
            await body.check.verify(source, None, start, start)
            await body.commit(start, Arrived.WHOLE)
            return self._told(body)
        try:
            ending = await self._take(body, source)
        except MediaTypeRefused as refusal:
            if delivery.chunk is None:  # others are in their lanes
                await self.screening.end(body.session, refusal, delivery.origin)
            raise
        if ending is Ending.CUT:
            # All bytes may be in although the body's end was not: then it is finished.
            await self.finish(body.session, delivery.origin)
        if ending in _BROKEN and body.session.phase is Phase.OPEN:
            await self._tell_of_interruption(body.session, delivery.origin)
        if ending is not Ending.END:
            raise self._reason(ending, delivery)
        return self._told(body)

    async def create(
        self,
        session: UploadSession,
        take: rules.Take,
        content: Content,
        source: Peeked,
        origin: Origin,
    ) -> UploadSession:
        """Make a new session together with its whole body, which was seen, and finish it if due.

        Nobody knows of the session before it has its bytes; but then anybody may, so it is locked.

        :raises SystemFailure: :raises DigestMismatch: there may be something left of it
        """

        async def steps(lease: Lease) -> _Body:
            delivery = Delivery(session, take, content, source, lease, origin, is_recorded=False)
            body = _Body(self, delivery)
            await body.put(source.seen)
            return body

        began = time.monotonic()
        find = self.means.locker.find(session.id, self.means.patience, steps)
        async with find as (_, body):
            seconds = time.monotonic() - began
            self.means.observers.tell(UploadCreated(session))
            self.means.observers.tell(
                BytesReceived(body.session, take.start, body.stop, seconds, Ending.END)
            )
            body.tell_of_parts()
            return await self.finish(self._told(body), origin)

    def _told(self, body: _Body) -> UploadSession:
        """The session, of which everybody has heard if it is finished."""
        if body.finished is None:
            return body.session
        self.means.observers.tell(UploadFinished(body.finished))
        return body.finished

    async def _tell_of_interruption(self, session: UploadSession, origin: Origin) -> None:
        hooks = self.means.hooks
        news = () if hooks is None else hooks.interrupted(session, origin)
        if news and self.means.outbox is not None:
            with anyio.CancelScope(shield=True):
                await self.means.outbox.post(news)

    async def _take(self, body: _Body, source: Source) -> Ending:
        start = body.stop
        began = time.monotonic()
        ending = Ending.FAILED
        try:
            ending = await body.take(source)
        except StaleCommit:
            ending = Ending.LOST
            raise
        except MediaTypeRefused:
            ending = Ending.REFUSED
            raise
        finally:
            seconds = time.monotonic() - began
            self.means.observers.tell(
                BytesReceived(body.session, start, body.stop, seconds, ending)
            )
        return ending

    def _reason(self, ending: Ending, delivery: Delivery) -> TusJumboError:
        """Why a body that ended otherwise than by its end was not taken, or not all of it."""
        upload_id, take, chunk = delivery.session.id, delivery.take, delivery.chunk
        match ending:
            case Ending.OVER | Ending.SHORT if chunk is not None:
                came = "more" if ending is Ending.OVER else "fewer"
                return ChunkSizeWrong(upload_id, chunk, take.ceiling - take.start, came)
            case Ending.OVER:
                return rules.too_long(upload_id, take.length, self.means.limits)
            case Ending.IDLE:
                return BodyTimeout(self.pace.idle or 0.0)
            case Ending.CLOSING:
                return ServerClosing()
            case Ending.CUT:
                return ClientDisconnected()
            case _:
                return HandedOver(upload_id)


class _Body:
    """One body on its way into one session."""

    def __init__(self, receive: Receive, delivery: Delivery) -> None:
        self.session = delivery.session
        """As it was committed."""
        self.finished: UploadSession | None = None
        """The session, if that has been finished as well."""
        self.stop = delivery.take.start
        records = None if delivery.chunk is None else CHUNKS_BY
        self.check = Check(self.session.id, delivery.content.digest, records=records)
        self._receive = receive
        self._delivery = delivery
        self._known = delivery.session.ranges
        self._head = receive.screening.head(self.session, delivery.take.length)
        self._sync = _nothing_written

    async def take(self, source: Source) -> Ending:
        content = self._delivery.content
        if not may_be_small(content) or self._head is not None:
            return await self._pump(source)
        peeked = Peeked(source)
        stops = [notice for notice, _ in self._delivery.stops]
        ending = await peeked.look(content.announced or 0, self._receive.pace.idle, stops)
        if ending is Ending.END:
            with anyio.CancelScope(shield=True):
                await self._receive.means.together(partial(self.put, peeked.seen))
            self.tell_of_parts()
        return await self._pump(peeked) if ending is None else ending

    async def put(self, data: memoryview) -> None:
        """Store and record the whole body, and do what is to be done at its end."""
        start, stop = self.stop, self.stop + len(data)
        async with AsyncExitStack() as stack:
            writer = await self._writer(stack)
            if writer is not None:
                await writer.write(start, data, self.check.hasher)
            await self.check.verify(self._delivery.source, writer, start, stop)
            part = self._due(stop, Arrived.WHOLE)
            if part is not None:
                await self._record(part)
        await self._conclude()

    async def _pump(self, source: Source) -> Ending:
        receive, delivery = self._receive, self._delivery
        async with AsyncExitStack() as stack:
            return await Pump(
                source,
                await self._writer(stack),
                check=self.check,
                take=delivery.take,
                content=delivery.content,
                commit=self.commit,
                blocks=receive.blocks,
                pace=receive.pace,
                stops=delivery.stops,
            ).run()

    async def _writer(self, stack: AsyncExitStack) -> Writer | None:
        """Where the bytes go; None if none may come."""
        start, ceiling = self._delivery.take.start, self._delivery.take.ceiling
        store = self._receive.means.store
        writer: Writer | None = None
        if self.session.phase is Phase.OPEN and not self._known.covers(start, ceiling):
            writer = await stack.enter_async_context(store.writing(self.session))
            self._sync = writer.sync
        if self._known.overlaps(start, ceiling):
            writer = Overlay(writer, store, self.session)
        if writer is not None and self._head is not None:
            writer = HeadWriter(writer, self._head, self._delivery.content.keep)
        return writer

    async def commit(self, stop: int, arrived: Arrived) -> None:
        part = self._due(stop, arrived)
        if part is not None and self._head is not None:
            await self._head.judge()

        async def steps() -> None:
            if part is not None:
                await self._record(part)
            if arrived is Arrived.WHOLE:
                await self._conclude()

        if part is not None or arrived is Arrived.WHOLE:
            await self._receive.means.together(steps)
        self._receive.means.told()
        self.tell_of_parts()

    def tell_of_parts(self) -> None:
        if self.session.kind is Kind.PARTIAL and self.session.is_full:
            self._receive.part_is_full(self.session.id)

    def _due(self, stop: int, arrived: Arrived) -> rules.Part | None:
        """What is to be recorded, if anything."""
        if self.session.phase is not Phase.OPEN:
            return None
        part = self._part(stop, arrived)
        seals = rules.seals(self.session, part.finish) and self.session.is_full
        if part.start == part.stop and part.length == self.session.length and not seals:
            return None
        return part

    async def _record(self, part: rules.Part) -> None:
        """Bytes first, catalog second: a range is recorded when it is as durable as it will be."""
        if part.start < part.stop:
            await self._sync()
        means = self._receive.means
        now, tell = means.clock(), means.telling(self._delivery.origin)
        change = partial(rules.committed, part=part, now=now, limits=means.limits)
        if self._delivery.is_recorded:
            self.session = await means.catalog.update(
                self.session.id, change, digests=self._digests(now), tell=tell
            )
        else:
            session = change(self.session)
            await means.catalog.create(session, tell=tell)
            self.session = session
        self.stop = part.stop

    async def _conclude(self) -> None:
        """At the end of a whole body: finish the upload if it is due, and end the lease.

        What cannot be finished is not, and keeps its lease: the caller will try once more.
        """
        delivery, finish = self._delivery, self._receive.finish
        if delivery.chunk is None and finish.is_due(self.session):
            with suppress(SystemFailure):
                self.finished = await finish.carry_out(self.session, delivery.origin)
        if delivery.chunk is not None or not (self.finished or self.session).is_arrived:
            await delivery.lease.leave()

    def _part(self, stop: int, arrived: Arrived) -> rules.Part:
        finish = self._delivery.content.finish
        ends_here = finish is commands.Finish.WITH_THIS and arrived is Arrived.WHOLE
        length = stop if ends_here else self._delivery.take.length
        return rules.Part(self.stop, stop, length, finish, self._known)

    def _digests(self, now: float) -> list[ChunkDigest]:
        chunk, sha256 = self._delivery.chunk, self.check.recorded()
        return [] if chunk is None or sha256 is None else [ChunkDigest(chunk, sha256, now)]


async def _nothing_written() -> None:
    """What there is to sync before a writer is open."""
