"""Placing: chunks, each into its own place, in any order and side by side.

A chunk holds its lane of the upload's lock and not the whole: chunks do not touch each other, and
what they have in common, the session, is changed by the catalog alone. The one that makes it full
finishes it, and for that it waits for the whole lock: who is still in a lane brings what is known
already, for every byte is in.

The logger `jumbo` tells the story of every chunk at the level DEBUG.
"""

from __future__ import annotations

import hmac
import logging
from contextlib import suppress
from dataclasses import dataclass, replace

from tusjumbo.application import Origin
from tusjumbo.digests import ALGORITHMS
from tusjumbo.engine.abandoning import GiveUp
from tusjumbo.engine.checks import STEP
from tusjumbo.engine.finish import Finishing
from tusjumbo.engine.inspection import Screening
from tusjumbo.engine.loading import Load
from tusjumbo.engine.means import Means
from tusjumbo.engine.receiving import CHUNKS_BY, Delivery, Receive
from tusjumbo.errors import (
    ChunkConflict,
    MediaTypeRefused,
    NoSuchChunk,
    StorageLost,
    TusJumboError,
    UploadLocked,
    UploadNotFound,
)
from tusjumbo.ports import Source
from tusjumbo.sessions import rules
from tusjumbo.sessions.commands import Digest, Put, Verify
from tusjumbo.sessions.outcomes import Stored, Verified
from tusjumbo.sessions.session import Phase, UploadChunk, UploadSession

_log = logging.getLogger("jumbo")

MAX_NUMBER = 2**62
"""No upload has so many chunks, whatever their size."""


@dataclass
class Placing:
    means: Means
    load: Load
    receive: Receive
    finish: Finishing
    screening: Screening
    give_up: GiveUp

    async def put(self, command: Put, source: Source | None, origin: Origin) -> Stored:
        """Take a chunk, or see that it is there.

        :raises Refusal: it cannot be; nothing of it is committed
        :raises Interrupted: it stopped early; nothing of it is committed
        :raises SystemFailure: likewise
        """
        try:
            session = await self._received(command, source, origin)
            if session.is_arrived:
                session = await self._finished(session, origin)
        except TusJumboError as error:
            _log.debug("%s: chunk %d: %s", command.id, command.number, error)
            raise
        _log.debug(
            "%s: chunk %d is in: %d of %s chunks; the upload is %s",
            *(session.id, command.number, session.chunks_received),
            *(session.chunks_expected, session.status),
        )
        return Stored(session, await self._chunk(session, command.number))

    async def _received(self, command: Put, source: Source | None, origin: Origin) -> UploadSession:
        try:
            return await self._put(command, source, origin)
        except MediaTypeRefused as refusal:
            await self._end(command.id, refusal, origin)
            raise

    async def _end(self, upload_id: str, refusal: MediaTypeRefused, origin: Origin) -> None:
        """End a refused upload, once nobody is in any lane of it.

        Who does not leave, or ended it first, is not in the way: without the chunk that was refused
        it cannot be finished, and then expires.
        """
        with suppress(UploadLocked, UploadNotFound):
            async with self.means.locker.hold(upload_id, self.means.patience):
                session = await self.load(upload_id)
                if session.phase is Phase.OPEN:
                    await self.screening.end(session, refusal, origin)

    async def _put(self, command: Put, source: Source | None, origin: Origin) -> UploadSession:
        upload_id, number = command.id, command.number
        if not 0 <= number < MAX_NUMBER:
            raise NoSuchChunk(upload_id, number, None)
        locker, patience = self.means.locker, self.means.patience
        find = locker.find(upload_id, patience, self.load.held, lane=number)
        async with find as (lease, session):
            take = rules.placed(session, command, self.means.limits)
            _log.debug("%s: chunk %d: bytes %d to %d", upload_id, number, take.start, take.ceiling)
            if await self._is_known(session, take, command):
                _log.debug("%s: chunk %d is here already, and the same", upload_id, number)
                return session
            delivery = Delivery(session, take, command.content, source, lease, origin, number)
            try:
                return await self.receive(delivery)
            except StorageLost:
                if session.phase is Phase.OPEN:
                    await self.give_up(session.id)
                raise

    async def _is_known(self, session: UploadSession, take: rules.Take, command: Put) -> bool:
        """Whether the chunk is in, and its digest tells that nothing needs to be read.

        :raises ChunkConflict: its digest tells that it is another one
        """
        if not session.ranges.covers(take.start, take.ceiling):
            return False
        chunk = await self._chunk(session, command.number)
        digest = command.content.digest
        if chunk.hash is None or not isinstance(digest, Digest) or digest.algorithm != CHUNKS_BY:
            return False
        if not hmac.compare_digest(bytes.fromhex(chunk.hash), digest.value):
            raise ChunkConflict(session.id, take.start, take.ceiling)
        return True

    async def _finished(self, session: UploadSession, origin: Origin) -> UploadSession:
        _log.debug("%s: every byte is in", session.id)
        async with self.means.locker.hold(session.id, self.means.patience):
            return await self.finish(await self.load(session.id), origin)

    async def verify(self, command: Verify) -> Verified:
        """Hash the bytes of a chunk as they are now. Disturbs nobody.

        :raises NoSuchChunk: :raises UploadNotFound: :raises SystemFailure: as reading does
        """
        session = await self.load(command.id)
        chunk = await self._chunk(session, command.number)
        if not chunk.is_complete:
            return Verified(session, chunk, None)
        try:
            sha256 = await self._hash(session, chunk)
        except StorageLost:
            # It may just have been finished, and then its bytes are somewhere else now.
            now = await self.load(command.id)
            if now.phase is session.phase:
                raise
            sha256 = await self._hash(now, chunk)
        return Verified(session, chunk, sha256)

    async def _hash(self, session: UploadSession, chunk: UploadChunk) -> bytes:
        hasher = ALGORITHMS[CHUNKS_BY].new()
        for start in range(chunk.start, chunk.stop, STEP):
            await self.means.store.examine(session, start, min(start + STEP, chunk.stop), hasher)
        return hasher.digest()

    async def _chunk(self, session: UploadSession, number: int) -> UploadChunk:
        """The chunk, with what was recorded of it.

        :raises NoSuchChunk: there is none of that number
        """
        try:
            chunk = session.chunk(number)
        except IndexError:
            raise NoSuchChunk(session.id, number, session.chunks_expected) from None
        found = await self.means.catalog.digests(session.id, number, number + 1)
        if digest := found.get(number):
            return replace(chunk, hash=digest.sha256.hex(), created_at=digest.recorded_at)
        return chunk
