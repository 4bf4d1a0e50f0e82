"""Uploads: carries out one command. Lock, load, decide, and only then touch the body.

Every effect on an upload happens while its lock is held and after the rules said yes; the catalog
applies the same rules again at each commit. A request that is stopped early is an `Interrupted`
error: what had arrived is committed by then.
"""

from __future__ import annotations

import enum
import logging
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial

import anyio

from tusjumbo.application import NOBODY, Assembler, HookAnswer, Hooks, Origin, Outbox
from tusjumbo.engine.abandoning import GiveUp, Recovery
from tusjumbo.engine.assembling import Assembling
from tusjumbo.engine.blocks import Blocks
from tusjumbo.engine.chores import Chores
from tusjumbo.engine.concatenation import PATIENCE, Concatenation
from tusjumbo.engine.consent import Consent
from tusjumbo.engine.finish import Finish, Finishing, Later
from tusjumbo.engine.inspection import Screening
from tusjumbo.engine.loading import Load
from tusjumbo.engine.means import Means
from tusjumbo.engine.observers import Observers
from tusjumbo.engine.placing import Placing
from tusjumbo.engine.pump import Pace
from tusjumbo.engine.receiving import Delivery, Receive
from tusjumbo.engine.small import Peeked, may_be_small
from tusjumbo.errands import Errands
from tusjumbo.errors import (
    AssemblyFailed,
    BodyTimeout,
    MediaTypeRefused,
    Refusal,
    ServerClosing,
    StaleCommit,
    StorageLost,
    SystemFailure,
    UploadIsFinal,
    UploadIsPartial,
    UploadLocked,
    UploadNotFound,
    UploadRejected,
    UploadStopped,
    UploadUnfinished,
)
from tusjumbo.ports import Catalog, Clock, Inspection, Locker, Source, Store
from tusjumbo.sessions import commands, ids, outcomes, rules
from tusjumbo.sessions.commands import (
    Append,
    Content,
    Create,
    Fetch,
    Inspect,
    Join,
    Put,
    Recover,
    Status,
    Terminate,
    Verify,
)
from tusjumbo.sessions.events import Ending, UploadCreated, UploadTerminated
from tusjumbo.sessions.session import Kind, Phase, UploadSession
from tusjumbo.sessions.statistics import Statistics

_log = logging.getLogger("tusjumbo")


class Leaves(enum.Enum):
    """What of finishing a request leaves to be done after its answer."""

    NOTHING = "inline"
    WHAT_ASKS = "background"
    """Whatever hooks and assemblers have a say in."""


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
    inspection: Inspection | None = None
    """Which types of files are taken; None: all."""
    clock: Clock = time.time
    observers: Observers = field(default_factory=Observers)
    errands: Errands | None = None
    """Where steps go together, if catalog, store and locker wait for nothing but hops."""
    hooks: Hooks | None = None
    outbox: Outbox | None = None
    """What the catalog keeps for the hooks."""
    assembler: Assembler | None = None
    """What is done with a file that has arrived."""
    leaves: Leaves = Leaves.NOTHING
    blocks: Blocks = field(default_factory=lambda: Blocks(BLOCK_SIZE, BLOCKS))

    def __post_init__(self) -> None:
        has_a_say = self.assembler is not None or (
            self.hooks is not None and self.hooks.wants_finishing
        )
        self.limits = replace(self.limits, assembles=has_a_say)
        self.means = means = Means(
            self.catalog,
            self.store,
            self.locker,
            self.limits,
            self.patience,
            self.clock,
            self.observers,
            self.errands,
            self.hooks,
            self.outbox,
        )
        self._screening = screening = Screening(self.inspection, means)
        self._give_up = give_up = GiveUp(means)
        self.load = load = Load(means)
        assembling = Assembling(means, screening, self.assembler)
        self.finish_now = Finish(means, screening, assembling)
        self.chores = Chores(means, self.finish_now)
        self.is_finishing_inline = self.leaves is Leaves.NOTHING or not has_a_say
        finish: Finishing = self.finish_now
        if not self.is_finishing_inline:
            finish = Later(self.chores.leave)
        self.finish = finish
        self.concatenation = Concatenation(means, finish, screening, give_up, self.remove_parts)
        part_changed = self.concatenation.part_changed
        self._receive = Receive(means, finish, screening, self.pace, self.blocks, part_changed)
        self._placing = Placing(means, load, self._receive, finish, screening, give_up)
        self._recovery = Recovery(means, part_changed)

    async def execute(
        self, command: commands.Command, source: Source | None = None, origin: Origin = NOBODY
    ) -> outcomes.Outcome:
        """Carry out `command`, whose body, if it has one, comes from `source`.

        `origin` is what hooks are told of the request.

        :raises Refusal: it cannot be; nothing was stored, and `source` was not touched (except
            where only the body itself could show it: too long, or a wrong digest)
        :raises Interrupted: it stopped early, with what arrived committed
        :raises SystemFailure: the offset is where it was, or exact for what was committed before
        """
        try:
            return await self._carried_out(command, source, origin)
        finally:
            self.means.told()

    async def _carried_out(
        self, command: commands.Command, source: Source | None, origin: Origin
    ) -> outcomes.Outcome:
        match command:
            case Create():
                return await self._create(command, source, origin)
            case Join():
                return await self._join(command, source, origin)
            case Append():
                return await self._append(command, source, origin)
            case Put():
                return await self._placing.put(command, source, origin)
            case Inspect():
                return await self._inspect(command, origin)
            case Status():
                return await self._status(command)
            case Verify():
                return await self._placing.verify(command)
            case Recover():
                return outcomes.Inspected(await self._recovery(command.id))
            case Terminate():
                return await self._terminate(command, origin)
            case Fetch():
                return await self._fetch(command, origin)

    async def _create(
        self, command: Create, source: Source | None, origin: Origin
    ) -> outcomes.Created:
        upload_id = ids.from_entropy(secrets.token_bytes(ids.ENTROPY))
        session = rules.opened(command, upload_id, self.clock(), self.limits)
        self._screening.claim(session)
        if source is not None and source.closing is not None and source.closing.given:
            raise ServerClosing
        consent = Consent(self.means, origin)
        if self.hooks is not None:
            session = await consent.ask(session)
            self._screening.claim(session)
        if command.content is not None and source is not None:
            peeked = Peeked(source)
            # Bytes come before the record there, and must not meet those of another upload.
            if not consent.names and await self._is_all_here(peeked, session, command.content):
                session = await self._create_whole(session, command.content, peeked, origin)
                return outcomes.Created(session, consent.answer)
            source = peeked
        await self.means.together(partial(consent.record, session))
        self.observers.tell(UploadCreated(session))
        if command.content is not None or session.phase is not Phase.OPEN:
            session = await self._begin(session, command.content, source, origin)
        return outcomes.Created(session, consent.answer)

    async def _begin(
        self,
        session: UploadSession,
        content: Content | None,
        source: Source | None,
        origin: Origin,
    ) -> UploadSession:
        """Take the first bytes of a session that was just recorded, and finish it if it is full."""
        async with self.locker.hold(session.id, self.patience) as lease:
            try:
                if content is not None:
                    append = Append(id=session.id, at=0, content=content)
                    take = rules.decide(session, append, self.limits)
                    session = await self._receive(
                        Delivery(session, take, content, source, lease, origin)
                    )
                return await self.finish(session, origin)
            except AssemblyFailed:
                # Every byte is in, and it is tried again; a client that were told of a failure
                # would send all of it once more.
                return await self.catalog.load(session.id)
            except (Refusal, SystemFailure):
                # The client will not learn the address, so nobody could ever continue it.
                await self._discard(session, origin)
                raise

    async def _is_all_here(self, source: Peeked, session: UploadSession, content: Content) -> bool:
        """Whether the body of a new session can be put in its place at once.

        :raises BodyTimeout: nothing of it comes
        """
        if not may_be_small(content) or self._screening.head(session, session.length) is not None:
            return False
        stops = () if source.closing is None else (source.closing,)
        ending = await source.look(content.announced or 0, self.pace.idle, stops)
        if ending is Ending.IDLE:
            raise BodyTimeout(self.pace.idle or 0.0)
        return ending is Ending.END

    async def _create_whole(
        self, session: UploadSession, content: Content, source: Peeked, origin: Origin
    ) -> UploadSession:
        append = Append(id=session.id, at=0, content=content)
        take = rules.decide(session, append, self.limits)
        try:
            return await self._receive.create(session, take, content, source, origin)
        except AssemblyFailed:
            return await self.catalog.load(session.id)
        except (Refusal, SystemFailure):
            await self._discard(session, origin)
            raise

    async def _join(self, command: Join, source: Source | None, origin: Origin) -> outcomes.Created:
        closing = None if source is None else source.closing
        consent = Consent(self.means, origin)
        session = await self.concatenation.record(command, closing, consent)
        try:
            session = await self.concatenation.advance(
                session.id, closing=closing, patience=PATIENCE
            )
        except AssemblyFailed:
            session = await self.catalog.load(session.id)
        except (Refusal, SystemFailure):
            await self._discard(session, origin)
            raise
        return outcomes.Created(session, consent.answer)

    async def _append(
        self, command: Append, source: Source | None, origin: Origin
    ) -> outcomes.Appended:
        if ids.is_final(command.id):
            # It takes no bytes, so nobody is asked to leave it.
            await self.load(command.id)
            raise UploadIsFinal(command.id)
        # Nothing is waited for before the lock. A client that has lost its connection comes back
        # with HEAD; if that overtook the request with the bytes, they would be taken after it, and
        # the offset that it told would be wrong (LOCK-03).
        find = self.locker.find(command.id, self.patience, self.load.held)
        async with find as (lease, session):
            try:
                take = rules.decide(session, command, self.limits)
                session = await self._receive(
                    Delivery(session, take, command.content, source, lease, origin)
                )
            except StorageLost:
                await self._give_up(session.id)
                raise
            except (MediaTypeRefused, UploadStopped):
                raise  # it does not expire, it is gone
            except Refusal as refusal:
                if session.phase is Phase.OPEN and self.limits.expire_after is not None:
                    refusal.expires_at = session.expires_at
                raise
            return outcomes.Appended(await self.finish(session, origin))

    async def _inspect(self, command: Inspect, origin: Origin) -> outcomes.Inspected:
        # Nobody needs to hold the lock to look, if nobody does: who had it has committed.
        session = await self.locker.glance(command.id, partial(self.load, command.id))
        if session is not None and session.phase is Phase.OPEN and not session.is_pending:
            return outcomes.Inspected(session)
        if session is None:
            session = await self.load(command.id)
        if session.is_pending:
            return outcomes.Inspected(await self.concatenation.measured(session))
        if session.phase is Phase.DONE or (session.kind is Kind.PARTIAL and session.is_full):
            return outcomes.Inspected(session)
        if session.is_arrived and not self._is_for_now(session):
            return outcomes.Inspected(session)
        find = self.locker.find(command.id, self.patience, self.load.held)
        async with find as (_, session):
            try:
                session = await self._seen_through(session, origin)
            except SystemFailure:
                # Every byte is safe, so the client must not hear a 5xx: tus-js-client would
                # upload all of it again (specs/clients.md 1.6). The sweep will try once more.
                _log.exception("Upload %s is complete but could not be finished.", session.id)
        return outcomes.Inspected(session)

    async def survey(self) -> Statistics:
        """Figures about all uploads. Days and weeks (from Monday) begin at midnight, local time.

        :raises CatalogFailed: they cannot be read
        """
        now = datetime.fromtimestamp(self.clock())
        today = now.replace(hour=0, minute=0, second=0, microsecond=0)
        monday = today - timedelta(days=today.weekday())
        return await self.catalog.statistics(today.timestamp(), monday.timestamp())

    async def _status(self, command: Status) -> outcomes.Inspected:
        session = await self.catalog.load(command.id)
        if session.is_pending:
            session = await self.concatenation.measured(session)
        return outcomes.Inspected(session)

    async def _terminate(self, command: Terminate, origin: Origin) -> outcomes.Terminated:
        said = HookAnswer()
        if self.hooks is not None:
            said = await self.hooks.terminating(await self.load(command.id), origin)
        async with self.locker.hold(command.id, self.patience):
            await self._remove(await self.load(command.id), origin)
        return outcomes.Terminated(command.id, said.answer)

    async def stop(self, upload_id: str) -> None:
        """End an unfinished upload that the application does not want. Any other stays.

        Whoever is sending to it is told so, in whichever process.

        :raises SystemFailure: the sweep will see it through, if anybody was told
        """
        with suppress(UploadNotFound, UploadLocked, StaleCommit):
            change = partial(rules.stopped, now=self.clock())
            session = await self.catalog.update(upload_id, change)
            async with self.locker.hold(upload_id, self.patience):
                await self._remove(session, NOBODY)
        self.means.told()

    async def _remove(self, session: UploadSession, origin: Origin) -> None:
        with anyio.CancelScope(shield=True):
            await self.store.remove(session)
            await self.catalog.delete(session.id, tell=self.means.telling(origin))
        self.observers.tell(UploadTerminated(session))
        if session.kind is Kind.PARTIAL:
            self.concatenation.part_changed(session.id)

    async def _fetch(self, command: Fetch, origin: Origin) -> outcomes.Fetched:
        session = await self.load(command.id)
        if session.is_arrived and self._is_for_now(session):
            async with self.locker.hold(command.id, self.patience):
                session = await self._seen_through(await self.load(command.id), origin)
        if session.kind is Kind.PARTIAL:
            raise UploadIsPartial(session.id)
        if session.phase is not Phase.DONE:
            advice = "It is being processed; ask again later." if session.is_arrived else ""
            raise UploadUnfinished(session.id, session.offset, session.length, advice)
        return outcomes.Fetched(session, await self.store.locate(session))

    def _is_for_now(self, session: UploadSession) -> bool:
        """Whether somebody who only looks may finish it: what has failed has its own time."""
        is_at_rest = session.attempts > 0 and (session.retry_at or 0.0) > self.clock()
        return self.is_finishing_inline and not is_at_rest

    async def _seen_through(self, session: UploadSession, origin: Origin) -> UploadSession:
        """Finish for somebody who only looks.

        :raises UploadNotFound: it was refused
        """
        try:
            return await self.finish(session, origin)
        except (MediaTypeRefused, UploadRejected) as refusal:
            raise UploadNotFound(session.id) from refusal

    async def _discard(self, session: UploadSession, origin: Origin) -> None:
        try:
            await self.store.remove(session)
            await self.catalog.delete(session.id, tell=self.means.telling(origin))
        except SystemFailure:
            _log.exception("Upload %s was refused and could not be removed.", session.id)
