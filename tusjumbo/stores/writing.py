"""LocalWriter: an open session's bytes, on their way into its file.

Never truncates and never appends: what lies beyond the ranges does not exist, and is overwritten.
The one exception is a full disk, where bytes that nobody will record make room for those that are.

The file is given back with each sync: the next byte may be long in coming, and a process may have
fewer files open than there are uploads that wait. Who comes back must find what was written.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tusjumbo import directories
from tusjumbo.digests import Hasher
from tusjumbo.errors import StorageFailed, StorageLost
from tusjumbo.hop import Hop
from tusjumbo.ports import Reading
from tusjumbo.sessions.session import UploadSession
from tusjumbo.settings import Durability
from tusjumbo.stores import copying, files

_WRITE_BEHIND = 8 * 1024 * 1024
"""Bytes of a piece, from which on the disk is told at once to begin with it."""


class LocalWriter:
    """See `tusjumbo.ports.Writer`. Writing opens the file, and the first write makes it."""

    def __init__(
        self,
        path: str,
        session: UploadSession,
        durability: Durability,
        hop: Hop,
        copying: Hop,
    ) -> None:
        self._path = path
        self._session = session
        self._durability = durability
        self._hop = hop
        self._copying = copying
        self._file: int | None = None
        self._closed = False
        self._stop = session.ranges.stop
        """At least so long is the file."""
        # Whoever commits the first range has made sure that the file is listed. Until then it may
        # have been made by a request that committed nothing.
        self._listed = bool(session.ranges.runs)

    async def check(self) -> None:
        """:raises StorageLost: committed bytes are not there"""
        if self._session.ranges.runs:
            await self._hop(files.told, self._opened)

    async def write(self, at: int, data: memoryview, hasher: Hasher | None) -> None:
        await self._hop(files.told, self._write, at, data, hasher)

    async def draw(
        self,
        at: int,
        read: Reading,
        memory: memoryview,
        limit: int,
        put: Callable[[int], None],
        hasher: Hasher | None,
    ) -> None:
        await self._hop(files.told, self._draw, at, read, memory, limit, put, hasher)

    async def copy(self, part: UploadSession, start: int, stop: int, at: int) -> None:
        await self._copying(files.told, self._copy, self._beside(part.id), start, stop, at)

    async def read_back(self, start: int, stop: int, hasher: Hasher) -> None:
        await self._hop(files.told, self._read_back, start, stop, hasher)

    async def sync(self) -> None:
        if self._file is not None:
            await self._hop(files.told, self._sync)
        elif self._closed:
            raise StorageFailed

    async def aclose(self) -> None:
        """Give back the file."""
        if self._file is not None:
            await self._hop(self._close)

    def _beside(self, upload_id: str) -> str:
        return os.path.join(os.path.dirname(self._path), upload_id)

    # --- in a thread ---

    def _opened(self) -> int:
        if self._closed:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        if self._file is None:
            flags = os.O_WRONLY if self._stop else os.O_WRONLY | os.O_CREAT
            try:
                self._file = files.opened(self._path, flags, self._durability)
            except FileNotFoundError:
                raise StorageLost(self._session.id) from None
            if os.fstat(self._file).st_size < self._stop:
                raise StorageLost(self._session.id)
        return self._file

    def _write(self, at: int, data: memoryview, hasher: Hasher | None) -> None:
        file = self._opened()
        if hasher is not None:
            hasher.update(data)
        with self._cutting(file, at, at + len(data)):
            files.write_all(file, data, at)
        self._stop = max(self._stop, at + len(data))

    def _draw(
        self,
        at: int,
        read: Reading,
        memory: memoryview,
        limit: int,
        put: Callable[[int], None],
        hasher: Hasher | None,
    ) -> None:
        stop = at + limit
        while room := min(len(memory), stop - at):
            count = _filled(memory[:room], read)
            if count:
                self._write(at, memory[:count], hasher)
                put(count)
                at += count
            if count < room:
                return

    def _copy(self, source: str, start: int, stop: int, at: int) -> None:
        file = self._opened()
        try:
            part = os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            raise StorageLost(os.path.basename(source)) from None
        try:
            if os.fstat(part).st_size < stop:
                raise StorageLost(os.path.basename(source))
            with self._cutting(file, at, at + stop - start):
                copying.copy(part, start, stop, file, at)
            self._stop = max(self._stop, at + stop - start)
            if self._durability is Durability.COMMIT and stop - start >= _WRITE_BEHIND:
                copying.begin_writing(file, at, stop - start)
        finally:
            os.close(part)

    @contextmanager
    def _cutting(self, file: int, start: int, stop: int) -> Iterator[None]:
        """If `[start, stop)` cannot be written whole, give back what was taken for it."""
        try:
            yield
        except OSError:
            # On a full disk these bytes, which will not be recorded, take the room that the
            # catalog needs to record the ones before them. What lies beyond them is not ours.
            if start >= self._session.ranges.stop:
                with suppress(OSError):
                    if os.fstat(file).st_size <= stop:
                        os.ftruncate(file, start)
            raise

    def _read_back(self, start: int, stop: int, hasher: Hasher) -> None:
        # Whoever took the file took bytes that were never committed. If it was more than these, the
        # next writer finds out.
        file = files.opened(self._path, os.O_RDONLY, self._durability)
        try:
            files.feed(file, start, stop, hasher)
        finally:
            os.close(file)

    def _sync(self) -> None:
        try:
            file = self._opened()
            if self._durability is Durability.COMMIT:
                files.sync_data(file)
                if not self._listed:
                    directories.sync(Path(self._path).parent, self._durability)
                    self._listed = True
            self._file = None
            os.close(file)
        except OSError:
            # fsync(2): after an error the pages may be marked clean, and the next call would
            # return 0 for bytes that are lost. So there is no next call.
            self._close()
            raise

    def _close(self) -> None:
        self._closed = True
        if self._file is not None:
            file, self._file = self._file, None
            # What may fail here, on a network file system, is writing what was not synced.
            with suppress(OSError):
                os.close(file)


def _filled(memory: memoryview, read: Reading) -> int:
    """How much `read` had for `memory`."""
    size = 0
    while size < len(memory) and (count := read(memory[size:])):
        size += count
    return size
