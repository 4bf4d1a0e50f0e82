"""Tables: the rows of a CSV file, or of an upload that may still be arriving.

The parser pulls, and waits where there is nothing (`tusjumbo.processing.tables`). So it runs in a
thread: the caller's own where there is no loop, so that callbacks find their thread's connections
and contexts; else one of the loop's. Either way it asks the loop for all that is asynchronous.

Of an upload that is followed only the bytes from the first on that are committed exist, wherever
they are kept by then: read in order, each once. The catalog is the only one who is asked, so it is
the same in which process they arrive.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeVar, Unpack

import anyio
from anyio import from_thread

from tusjumbo.composition import House
from tusjumbo.digests import Data
from tusjumbo.errors import (
    ConfigurationError,
    MalformedRequest,
    StorageFailed,
    StorageLost,
    TusJumboError,
    UploadIsPartial,
    UploadLocked,
    UploadNotFound,
    UploadUnfinished,
)
from tusjumbo.hop import Stay, ask
from tusjumbo.processing import pieces, tables
from tusjumbo.processing.layouts import LayoutOptions, layout
from tusjumbo.processing.listeners import Call, told
from tusjumbo.processing.tables import BadRow, Row
from tusjumbo.sessions import ids
from tusjumbo.sessions.commands import Fetch
from tusjumbo.sessions.outcomes import Fetched
from tusjumbo.sessions.session import Kind, Phase, UploadSession

P = ParamSpec("P")
T = TypeVar("T")

TableSource = str | os.PathLike[str]
Callback = Callable[[list[Row], int], object]

CHUNK_SIZE = 1000
"""Rows in one call, unless told otherwise."""

_NO_PATH = "What could be an upload's id is one: give such a file as a Path."

_threads = Stay(256)
"""For as many tables at once in one loop; one more waits for a thread."""


class TableOptions(LayoutOptions, total=False):
    """How a table is to be read, and what else. Without a word: as RFC 4180 says, in UTF-8."""

    on_error: Callable[[BadRow], object] | None
    """Takes each bad row, with its line. None: the first one ends it."""
    follow: bool
    """Whether to wait for what is still to come of an upload."""


class UploadEnded(TusJumboError, RuntimeError):
    """An upload was followed that never became a file: cancelled, expired or refused.

    `received` of its bytes had come from the first on. Meets no client, and so has no status code.
    """

    def __init__(self, upload_id: str, received: int) -> None:
        self.upload_id = upload_id
        self.received = received
        super().__init__(
            f"The upload was cancelled or has expired: {received} bytes came, and no more will."
        )


async def stream_csv(
    house: House,
    source: TableSource,
    callback: Callback,
    chunk_size: int = CHUNK_SIZE,
    **options: Unpack[TableOptions],
) -> int:
    """As `stream`, from a coroutine. What is called is called in a thread of its own, and if it
    returns an awaitable (as a coroutine function does), that is awaited in this loop."""

    check = from_thread.check_cancelled

    def work() -> int:
        return stream(house, ask, source, callback, chunk_size, options, check)

    return await _threads.alert(work)


def stream(
    house: House,
    call: Call,
    source: TableSource,
    callback: Callback,
    chunk_size: int,
    options: TableOptions,
    check: Callable[[], object] = lambda: None,
) -> int:
    """Call `callback(rows, row_count)` for each `chunk_size` rows, in this thread, and return how
    many rows there were. `check` is called often, and may end it by what it raises.

    A `str` that could be an id is one; give the file of such a name as a `Path`.

    :raises ValueError: no such upload, not a finished one, a bad row that nobody takes
        (`TableUnreadable`), or an option that cannot work
    :raises RuntimeError: an upload that is followed will not become a file (`UploadEnded`), or its
        bytes cannot be read
    :raises OSError: a path that cannot be read
    :raises Exception: whatever `callback` and `on_error` raise, as it is
    """
    on_error = options.get("on_error")
    return tables.stream(
        _checked(_pieces(house, call, source, options.get("follow", False)), check),
        told(call, callback),
        chunk_size,
        layout=layout(options),
        on_error=None if on_error is None else told(call, on_error),
    )


# --- where the bytes come from -------------------------------------------------------------------


def _checked(source: Iterator[bytes], check: Callable[[], object]) -> Iterator[bytes]:
    for piece in source:
        check()
        yield piece


def _pieces(house: House, call: Call, source: TableSource, follow: bool) -> Iterator[bytes]:
    if not isinstance(source, str | os.PathLike):
        raise MalformedRequest("path_or_upload_id", repr(source), "a path or an upload's id")
    if not (isinstance(source, str) and ids.is_valid(source)):
        if follow:
            raise ConfigurationError("only an upload can be followed, by its id", setting="follow")
        yield from pieces.of_file(source)
        return
    if follow:
        followed = _Followed(house, source)
        if not call(followed.look)[1]:
            yield from pieces.following(
                lambda start, limit: call(partial(followed.read, start, limit)),
                lambda: call(followed.look),
                lambda seconds: call(partial(anyio.sleep, seconds)),
            )
            return
    path = call(partial(_finished, house, source))
    try:
        yield from pieces.of_file(path)
    except FileNotFoundError:
        raise StorageLost(source) from None
    except OSError as error:
        raise StorageFailed from error


async def _finished(house: House, upload_id: str) -> Path:
    """
    :raises UploadNotFound: :raises UploadIsPartial:
    :raises UploadUnfinished: not all of it is here
    """
    try:
        outcome = await house.uploads.execute(Fetch(upload_id))
    except UploadUnfinished as error:
        advice = "Read it while it arrives with follow=True."
        raise UploadUnfinished(upload_id, error.offset, error.length, advice) from None
    except UploadNotFound as error:
        error.add_note(_NO_PATH)
        raise
    if not isinstance(outcome, Fetched):
        raise TypeError(f"Fetch became {outcome!r}")
    return outcome.path


class _Followed:
    """An upload as it was when last looked at."""

    def __init__(self, house: House, upload_id: str) -> None:
        self._house = house
        self._id = upload_id
        self._session: UploadSession | None = None

    async def look(self) -> tuple[int, bool]:
        """How many bytes from the first on are there, and whether it is finished.

        :raises UploadNotFound: there is no such upload, at the first look
        :raises UploadEnded: there was
        :raises UploadIsPartial: it will never be a file
        """
        before = self._session
        try:
            session = await self._house.uploads.load(self._id)
            if session.phase is Phase.SEALED:
                session = await self._seen_through(session)
        except UploadNotFound as error:
            if before is None:
                error.add_note(_NO_PATH)
                raise
            raise UploadEnded(self._id, before.offset) from None
        if session.kind is Kind.PARTIAL:
            raise UploadIsPartial(self._id)
        self._session = session
        return session.offset, session.phase is Phase.DONE

    async def _seen_through(self, session: UploadSession) -> UploadSession:
        """All bytes are here: it is being finished, or was left so by a crash."""
        try:
            outcome = await self._house.uploads.execute(Fetch(self._id))
        except UploadLocked:
            return session
        return outcome.session if isinstance(outcome, Fetched) else session

    async def read(self, start: int, limit: int) -> bytes:
        """`limit` of the bytes that were there, from `start` on.

        :raises StorageLost: they are not any more
        :raises UploadEnded: nor will be
        """
        while True:
            session = self._session
            if session is None:
                raise RuntimeError("to be looked at first")
            gathered = _Gathered()
            try:
                await self._house.store.examine(session, start, start + limit, gathered)
                return gathered.digest()
            except StorageLost:
                # It may have become a file, elsewhere, since we looked. That happens once.
                await self.look()
                if self._session is None or self._session.phase is session.phase:
                    raise


class _Gathered:
    """Takes bytes as a hasher does; the digest is all of them."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def update(self, data: Data, /) -> None:
        self._parts.append(bytes(data))

    def digest(self) -> bytes:
        return b"".join(self._parts)
