"""Receiving: one body into one session, as decided, while its lock (or a lane of it) is held.

What the pump commits becomes the session's state: bytes first, catalog second. What ended the body
is an exception, unless it was the end; an `Interrupted` one says that what had arrived is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

import anyio

from tusjumbo.engine.blocks import Blocks
from tusjumbo.engine.checks import Check
from tusjumbo.engine.finish import Finish
from tusjumbo.engine.inspection import HeadWriter, Screening
from tusjumbo.engine.means import Means
from tusjumbo.engine.overlay import Overlay
from tusjumbo.engine.pump import Arrived, Pace, Pump
from tusjumbo.errors import (
    BodyTimeout,
    ChunkSizeWrong,
    ClientDisconnected,
    HandedOver,
    MediaTypeRefused,
    ServerClosing,
    StaleCommit,
    TusJumboError,
)
from tusjumbo.notice import Notice
from tusjumbo.ports import Source, Writer
from tusjumbo.sessions import commands, rules
from tusjumbo.sessions.commands import Content
from tusjumbo.sessions.events import BytesReceived, Ending
from tusjumbo.sessions.session import ChunkDigest, Kind, Phase, UploadSession

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
    asked: Notice
    """Given when somebody else wants the upload."""
    chunk: int | None = None
    """The number of the chunk that it is, if it is one."""


@dataclass
class Receive:
    means: Means
    finish: Finish
    screening: Screening
    pace: Pace
    blocks: Blocks
    part_is_full: Callable[[str], None]
    """Told of partial uploads, by id."""

    async def __call__(self, delivery: Delivery) -> UploadSession:
        """Take the body. Returns the session as committed at the end of a whole body.

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
            return body.session
        try:
            ending = await self._pump(body, source)
        except MediaTypeRefused as refusal:
            if delivery.chunk is None:  # others are in their lanes
                await self.screening.end(body.session, refusal)
            raise
        if ending is Ending.CUT:
            # All bytes may be in although the body's end was not: then it is finished.
            await self.finish(body.session)
        if ending is not Ending.END:
            raise self._reason(ending, delivery)
        return body.session

    async def _pump(self, body: _Body, source: Source) -> Ending:
        start = body.stop
        began = anyio.current_time()
        ending = Ending.FAILED
        try:
            ending = await body.pump(source)
        except StaleCommit:
            ending = Ending.LOST
            raise
        except MediaTypeRefused:
            ending = Ending.REFUSED
            raise
        finally:
            seconds = anyio.current_time() - began
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
        self.stop = delivery.take.start
        records = None if delivery.chunk is None else CHUNKS_BY
        self.check = Check(self.session.id, delivery.content.digest, records=records)
        self._receive = receive
        self._delivery = delivery
        self._known = delivery.session.ranges
        self._head = receive.screening.head(self.session, delivery.take.length)
        self._sync = _nothing_written

    async def pump(self, source: Source) -> Ending:
        receive, delivery = self._receive, self._delivery
        stops = [(delivery.asked, Ending.ASKED)]
        if source.closing is not None:
            stops.append((source.closing, Ending.CLOSING))
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
                stops=stops,
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
        """Bytes first, catalog second: a range is recorded when it is as durable as it will be."""
        if self.session.phase is not Phase.OPEN:
            return
        part = self._part(stop, arrived)
        seals = rules.seals(self.session, part.finish) and self.session.is_full
        if part.start == part.stop and part.length == self.session.length and not seals:
            return
        if self._head is not None:
            await self._head.judge()
        if part.start < part.stop:
            await self._sync()
        receive = self._receive
        now = receive.means.clock()
        self.session = await receive.means.catalog.update(
            self.session.id,
            partial(rules.committed, part=part, now=now, limits=receive.means.limits),
            digests=self._digests(now),
        )
        self.stop = stop
        if self.session.kind is Kind.PARTIAL and self.session.is_full:
            receive.part_is_full(self.session.id)

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
