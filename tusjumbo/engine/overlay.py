"""Overlay: a session's writer, under which committed bytes are out of reach.

Chunks come in any order and more than once, and an upload may be continued through another
protocol: so a body may bring bytes that are in already. They are not written again but compared,
piece by piece as they arrive: the same bytes are no work for the disk, and other bytes are refused
before anything of the body is committed. Committed bytes never change.
"""

from __future__ import annotations

from collections.abc import Iterator

from tusjumbo.digests import Data, Hasher
from tusjumbo.errors import ChunkConflict
from tusjumbo.ports import Store, Writer
from tusjumbo.sessions.session import UploadSession


class Overlay:
    """See `tusjumbo.ports.Writer`. What `session` has committed must not grow where this writes."""

    draw = None

    def __init__(self, writer: Writer | None, store: Store, session: UploadSession) -> None:
        """`writer` may be None where everything is in."""
        self._writer = writer
        self._store = store
        self._session = session

    async def write(self, at: int, data: memoryview, hasher: Hasher | None) -> None:
        """See the port.

        :raises ChunkConflict: other bytes are committed there
        """
        for start, stop, is_missing in self._runs(at, at + len(data)):
            piece = data[start - at : stop - at]
            if is_missing:
                await self._there().write(start, piece, hasher)
            else:
                compared = _Compared(piece, hasher)
                await self._store.examine(self._session, start, stop, compared)
                if compared.differs:
                    raise ChunkConflict(self._session.id, start, stop)

    async def copy(self, part: UploadSession, start: int, stop: int, at: int) -> None:
        await self._there().copy(part, start, stop, at)

    async def read_back(self, start: int, stop: int, hasher: Hasher) -> None:
        if self._writer is None:
            await self._store.examine(self._session, start, stop, hasher)
        else:
            await self._writer.read_back(start, stop, hasher)

    async def sync(self) -> None:
        if self._writer is not None:
            await self._writer.sync()

    def _runs(self, start: int, stop: int) -> Iterator[tuple[int, int, bool]]:
        """`[start, stop)` in pieces that are missing, or not."""
        for gap_start, gap_stop in self._session.ranges.missing(start, stop):
            if start < gap_start:
                yield start, gap_start, False
            yield gap_start, gap_stop, True
            start = gap_stop
        if start < stop:
            yield start, stop, False

    def _there(self) -> Writer:
        if self._writer is None:
            raise RuntimeError("new bytes for an upload that has them all")
        return self._writer


class _Compared:
    """What bytes are fed to that should be `expected`. They go on to `hasher` in any case."""

    def __init__(self, expected: memoryview, hasher: Hasher | None) -> None:
        self.differs = False
        self._expected = expected
        self._hasher = hasher

    def update(self, data: Data, /) -> None:
        self.differs |= self._expected[: len(data)] != data
        self._expected = self._expected[len(data) :]
        if self._hasher is not None:
            self._hasher.update(data)

    def digest(self) -> bytes:
        return b""
