"""Bodies that come from a caller in Python: bytes, a binary file, or an iterator of bytes.

Each is a `Source` (see `tusjumbo.ports`). A file is read in a thread of its own, so that one that
waits for a slow client keeps nobody else waiting; if somebody else wants the chunk meanwhile, that
thread is left behind, and ends when the file does.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol, TypeAlias, cast

import anyio
from anyio.lowlevel import checkpoint
from anyio.to_thread import run_sync

from tusjumbo.digests import Data
from tusjumbo.errors import MalformedRequest
from tusjumbo.notice import Notice
from tusjumbo.ports import Source
from tusjumbo.sessions.commands import Digest

_PIECE = 1024 * 1024
_NOTHING = memoryview(b"")


class Readable(Protocol):
    """A binary file, as far as we use it."""

    def read(self, size: int, /) -> bytes: ...


ChunkData: TypeAlias = Data | Readable | AsyncIterator[bytes]


class _Pieces:
    """What arrives in pieces, one of which waits here."""

    closing: Notice | None = None
    direct = None
    is_here = False

    def __init__(self) -> None:
        self._piece = _NOTHING

    async def wait(self) -> bool:
        if not self._piece:
            self._piece = await self._next()
        return bool(self._piece)

    async def _next(self) -> memoryview:
        """The next piece; an empty one at the end."""
        await checkpoint()
        return _NOTHING

    def readinto(self, buffer: memoryview) -> int:
        count = min(len(buffer), len(self._piece))
        buffer[:count] = self._piece[:count]
        self._piece = self._piece[count:] or _NOTHING
        return count

    def promised(self) -> Digest:
        raise ValueError("a caller in Python tells a digest before the bytes")


class _Bytes(_Pieces):
    def __init__(self, data: memoryview) -> None:
        super().__init__()
        self._piece = data


class _File(_Pieces):
    def __init__(self, file: Readable) -> None:
        super().__init__()
        self._file = file
        self._thread = anyio.CapacityLimiter(1)

    async def _next(self) -> memoryview:
        read = self._file.read
        piece = await run_sync(read, _PIECE, limiter=self._thread, abandon_on_cancel=True)
        return _view(piece, "a file that is opened in binary mode")


class _Iterated(_Pieces):
    def __init__(self, pieces: AsyncIterator[bytes]) -> None:
        super().__init__()
        self._pieces = pieces

    async def _next(self) -> memoryview:
        async for piece in self._pieces:
            if view := _view(piece, "an iterator of bytes"):
                return view
        return _NOTHING


def source_of(data: ChunkData) -> tuple[Source, int | None]:
    """Where the bytes come from, and how many they are if that is known.

    :raises MalformedRequest: it is nothing that bytes could come from
    """
    if hasattr(data, "read"):
        return _File(cast(Readable, data)), None
    if hasattr(data, "__anext__"):
        return _Iterated(cast(AsyncIterator[bytes], data)), None
    view = _view(data, "bytes, a binary file, or an asynchronous iterator of bytes")
    return _Bytes(view), len(view)


def _view(data: object, expected: str) -> memoryview:
    try:
        return memoryview(cast(Data, data)).cast("B")
    except TypeError:
        raise MalformedRequest("chunk_data", type(data).__name__, expected) from None
