"""AsyncJumbo: the seed's API for asynchronous programs.

Every method is a command to the same engine that answers tus and HTTP, on the same directory, and
what comes of it is said by `tusjumbo.protocols.jumbo`. So nothing is decided here, any upload may
be continued in another way or by another process, and there is nothing to lose but open files.

What the caller did wrong is a ValueError, and what the system could not do a RuntimeError: all
errors of this package are one or the other (`tusjumbo.errors`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

from tusjumbo.composition import House, compose
from tusjumbo.errors import MalformedRequest, UploadNotFound
from tusjumbo.jumbo import tables
from tusjumbo.jumbo.bodies import ChunkData, source_of
from tusjumbo.jumbo.tables import Callback, TableOptions, TableSource
from tusjumbo.ports import Clock, Observer
from tusjumbo.protocols import jumbo
from tusjumbo.protocols.jumbo import Answer
from tusjumbo.sessions import ids
from tusjumbo.sessions.commands import (
    Command,
    Content,
    Keep,
    Put,
    Recover,
    Status,
    Terminate,
    Verify,
)
from tusjumbo.sessions.outcomes import Created, Inspected, Outcome, Stored, Verified
from tusjumbo.sessions.session import Phase, UploadSession
from tusjumbo.settings import UploadSettings, upload_settings
from tusjumbo.wiring import AssemblerLike, HookLike

_log = logging.getLogger("jumbo")

T = TypeVar("T", bound=Outcome)

MAX_FILE_SIZE = 5 * 1024**3
"""Bytes that a file may have unless the caller says otherwise: the seed's 5 GiB."""

_PAGE = 500


class AsyncJumbo:
    def __init__(
        self,
        upload_path: str | Path | None = None,
        max_file_size: int | str = MAX_FILE_SIZE,
        chunk_size: int | str | None = None,
        *,
        settings: UploadSettings | None = None,
        observers: Iterable[Observer] = (),
        hooks: Iterable[HookLike] = (),
        assemble: Iterable[AssemblerLike] = (),
        clock: Clock = time.time,
        **options: Any,
    ) -> None:
        """Uploads in the directory `upload_path` (default: `./data`); sizes in bytes, or as "5GiB".

        `options` are any other fields of `UploadSettings`, as `expire_after="3d"`; or give
        `settings` instead of all of these. `observers` are told what happened; `hooks` are asked
        and told, and `assemble` is what is done with a file that has arrived: see `TusJumbo`.

        :raises ConfigurationError: (a ValueError) an option that does not exist, or cannot work
        """
        if upload_path is not None:
            options["upload_dir"] = upload_path
        if chunk_size is not None:
            options["chunk_size"] = chunk_size
        if settings is None or max_file_size != MAX_FILE_SIZE:
            options["max_size"] = max_file_size
        self.settings = upload_settings(settings, options)
        self.house: House = compose(
            self.settings, observers=observers, hooks=hooks, assemble=assemble, clock=clock
        )
        self._root = self.settings.upload_dir.absolute()
        self._clock = clock

    async def start_upload(
        self,
        filename: str,
        total_size: int,
        metadata: Mapping[str, Any] | None = None,
        *,
        owner: str | None = None,
    ) -> Answer:
        """Begin an upload: `{"upload_id", "chunk_size", "total_chunks"}`.

        One of no bytes is completed at once, and says so (`status`, `path`). `owner` is whose it is
        for those who come by HTTP, and whose quota it counts for.

        :raises ValueError: the file is too large, or an argument is not what it should be
        """
        command = replace(jumbo.creation(filename, total_size, metadata), owner=owner)
        session = (await self._execute(command, Created)).session
        _log.debug("%s: %d bytes in chunks of %d", session.id, total_size, session.chunk_size)
        await self.follow()
        return jumbo.started(session, self._path(session))

    async def upload_chunk(
        self,
        upload_id: str,
        chunk_number: int,
        chunk_data: ChunkData,
        expected_hash: str | None = None,
    ) -> Answer:
        """Store chunk `chunk_number` (from 0): `{"status": "uploading", "progress": 45.2}`, or
        `{"status": "completed", "path", "size", "duration"}` with the last one that was missing.

        Chunks may come in any order, side by side, and again. `chunk_data` is bytes, a binary file
        that is read to its end, or an asynchronous iterator of bytes; `expected_hash` is its
        SHA-256 in hexadecimal.

        :raises ValueError: there is no such upload or chunk, it has another size or hash, or other
            bytes are stored there already; nothing of it was kept
        :raises RuntimeError: it could not be stored; nothing of it was kept
        """
        digest = None if expected_hash is None else jumbo.sha256_of(expected_hash)
        source, size = source_of(chunk_data)
        content = Content(announced=size, keep=Keep.ALL_OR_NOTHING, digest=digest)
        number = _number(chunk_number)
        command = Put(id=_known(upload_id), number=number, content=content)
        outcome = await self.house.uploads.execute(command, source)
        stored = _expected(outcome, Stored)
        await self.follow()
        return jumbo.received(stored, self._path(stored.session))

    async def resume_upload(self, upload_id: str) -> Answer:
        """What is there and what is not: `{"chunks_received": […], "chunks_needed": […], …}`.

        :raises ValueError: there is no such upload, or it is abandoned (see `recover_upload`)
        """
        session = (await self._execute(Status(_known(upload_id)), Inspected)).session
        if jumbo.status(session, self._clock())["status"] == "abandoned":
            raise UploadNotFound(upload_id)
        return jumbo.resumed(session)

    async def get_status(self, upload_id: str) -> Answer:
        """`{"status", "progress", "size_uploaded", "time_remaining", …}`.

        For an upload that is not there (any more): `{"status": "not_found"}`.
        """
        try:
            session = (await self._execute(Status(_known(upload_id)), Inspected)).session
        except UploadNotFound:
            return {"status": "not_found"}
        return jumbo.status(session, self._clock(), self._path(session))

    async def cancel_upload(self, upload_id: str) -> bool:
        """Forget the upload and free its bytes, finished or not. True.

        :raises ValueError: there is no such upload
        """
        await self.house.uploads.execute(Terminate(_known(upload_id)))
        _log.debug("%s: cancelled", upload_id)
        return True

    async def verify_chunk(
        self, upload_id: str, chunk_number: int, expected_hash: str | None = None
    ) -> Answer:
        """Read the stored bytes of a chunk and compare their SHA-256 with `expected_hash` and with
        what was recorded when they arrived: `{"valid": True, "hash"}`, or
        `{"valid": False, "error", "actual"}`.

        :raises ValueError: there is no such upload or chunk
        """
        expected = None if expected_hash is None else jumbo.sha256_of(expected_hash)
        command = Verify(_known(upload_id), _number(chunk_number))
        return jumbo.verified(await self._execute(command, Verified), expected)

    async def recover_upload(self, upload_id: str) -> Answer:
        """Bring an abandoned upload back, to be continued. Returns its status.

        :raises ValueError: there is no such upload, or it is not abandoned
        """
        session = (await self._execute(Recover(_known(upload_id)), Inspected)).session
        return jumbo.status(session, self._clock(), self._path(session))

    async def stream_csv(
        self,
        path_or_upload_id: TableSource,
        callback: Callback,
        chunk_size: int = tables.CHUNK_SIZE,
        **options: Unpack[TableOptions],
    ) -> int:
        """Call `callback(rows, row_count)` for each `chunk_size` rows of a CSV file, and return how
        many rows there were. A row is a dict by the names in the first one.

        `row_count` is how many rows there were so far, with these. Memory does not grow with the
        file. A `str` that could be an upload's id is one; give a file of such a name as a `Path`.
        With `follow=True` the upload may still be arriving: rows come as soon as all bytes before
        them are in, from whichever process, and the call returns when it is finished. The other
        options are described in `tusjumbo.jumbo.tables.TableOptions`.

        `callback` and `on_error` may block: `Jumbo` calls them in the thread that called it, and
        `AsyncJumbo` in one of its own, never in the event loop. Coroutine functions run in the
        loop. What they raise ends the call and is raised as it is.

        :raises ValueError: there is no such upload, it is not finished, there is a bad row and no
            `on_error`, or an option cannot work
        :raises RuntimeError: its bytes cannot be read, or an upload that was followed was cancelled
            or has expired
        :raises OSError: the path cannot be read
        """
        return await tables.stream_csv(
            self.house, path_or_upload_id, callback, chunk_size, **options
        )

    async def get_statistics(self) -> Answer:
        """`{"active_uploads", "total_active_size", "average_speed", "uploads_today", …}`.

        Days and weeks begin at midnight, local time; speeds are bytes per second.
        """
        return jumbo.statistics(await self.house.uploads.survey())

    async def active_uploads(self) -> AsyncIterator[UploadSession]:
        """The uploads that are open, as they are when they are come to: `async for`."""
        after = ""
        while page := await self.house.catalog.listing(phase=Phase.OPEN, after=after, limit=_PAGE):
            for session in page:
                yield session
            after = page[-1].id

    async def aclose(self) -> None:
        """Give back what is open. Everything opens again when it is used again."""
        await self.house.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    # --- within ---

    async def _execute(self, command: Command, kind: type[T]) -> T:
        return _expected(await self.house.uploads.execute(command), kind)

    def _path(self, session: UploadSession) -> str | None:
        """Where the finished file is, here or elsewhere; None if it is not finished."""
        receipt = session.receipt if session.phase is Phase.DONE else None
        if receipt is None:
            return None
        return str(self._root / receipt.path) if receipt.is_here else receipt.path

    async def follow(self) -> None:
        """What a call leaves to be done: joins that it made possible, and a little sweeping."""
        if self.house.has_work:
            await self.house.follow()
        await self.house.sweep.in_passing(self.settings.sweep_every)


def _expected(outcome: Outcome, kind: type[T]) -> T:
    if not isinstance(outcome, kind):
        raise TypeError(f"{kind.__name__} became {outcome!r}")
    return outcome


def _known(upload_id: object) -> str:
    """An id that could be one: anything else leads to no upload, and to no path."""
    if not isinstance(upload_id, str) or not ids.is_valid(upload_id):
        raise UploadNotFound(str(upload_id)[:80])
    return upload_id


def _number(chunk_number: object) -> int:
    if isinstance(chunk_number, bool) or not isinstance(chunk_number, int):
        raise MalformedRequest("chunk_number", repr(chunk_number), "a whole number, from 0")
    return chunk_number
