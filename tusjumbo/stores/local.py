"""LocalStore: the bytes of uploads as files below one directory.

`sessions/<id>` while an upload is open, `completed/<name>` when it is finished, `abandoned/<id>`
when it expired. Every byte is written once, where it stays: finishing and setting aside give the
same file another name. Only joining copies, inside the kernel (`tusjumbo.stores.copying`).

The store believes the session it is given: bytes outside its ranges do not exist. So writing never
truncates and never appends, what an earlier request left behind is overwritten by the next one, and
what lies beyond the end is cut before the file is published. No name is ever taken from another
file. With `durability=commit` data is on the disk before its name is, and both before a method
returns.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import ParamSpec, TypeVar

import anyio

from tusjumbo import directories
from tusjumbo.digests import Hasher
from tusjumbo.errors import StorageFailed, StorageFull, StorageLost
from tusjumbo.hop import Hop
from tusjumbo.ports import Writer
from tusjumbo.sessions import ids
from tusjumbo.sessions.session import Phase, Receipt, UploadSession
from tusjumbo.settings import Durability
from tusjumbo.stores import copying, names

P = ParamSpec("P")
T = TypeVar("T")

_THREADS = 8
_COPIERS = 2
"""Threads that join uploads: enough for one disk, and bodies never wait for them."""

_READ = 256 * 1024
"""Bytes at a time when a file is read back: they stay in the processor's cache."""

_WRITE_BEHIND = 8 * 1024 * 1024
"""Bytes of a piece, from which on the disk is told at once to begin with it."""

_FULL = {errno.ENOSPC, errno.EDQUOT}

_NO_HARD_LINKS = {
    errno.EPERM,  # link(2): "The filesystem does not support the creation of hard links."
    errno.EOPNOTSUPP,
    errno.ENOTSUP,
    errno.ENOSYS,
    errno.EXDEV,
    errno.EMLINK,
}


class LocalStore:
    """See `tusjumbo.ports.Store`."""

    def __init__(self, root: Path, durability: Durability) -> None:
        """A store in the directory `root`, made when it is first needed."""
        self._root = root
        self._sessions = root / "sessions"
        self._completed = root / "completed"
        self._abandoned = root / "abandoned"
        self._durability = durability
        self._hop = Hop(_THREADS)
        self._copying = Hop(_COPIERS)

    @asynccontextmanager
    async def writing(self, session: UploadSession) -> AsyncIterator[Writer]:
        path = self._sessions / session.id
        writer = LocalWriter(path, session, self._durability, self._hop, self._copying)
        try:
            await writer.check()
            yield writer
        finally:
            with anyio.CancelScope(shield=True):
                await writer.aclose()

    async def publish(self, session: UploadSession) -> Receipt:
        return await self._hop(_told, self._publish, session)

    async def settle(self, session: UploadSession) -> None:
        await self._hop(_told, _unlink, self._sessions / session.id)

    async def abandon(self, session: UploadSession) -> None:
        await self._hop(_told, self._abandon, session.id)

    async def remove(self, session: UploadSession) -> None:
        await self._hop(_told, self._remove, session)

    async def locate(self, session: UploadSession) -> Path:
        return await self._hop(_told, self._locate, session)

    async def strays(self, before: float) -> Sequence[str]:
        return await self._hop(_told, self._strays, before)

    # --- in a thread ---

    def _publish(self, session: UploadSession) -> Receipt:
        source = self._sessions / session.id
        name = None
        if not os.path.lexists(source):
            name = self._renamed(session)
            if name is None and session.length:
                raise StorageLost(session.id)
        if name is None:
            self._trim(source, session)
            directories.make(self._completed, self._durability)
            name = self._linked(source) or self._name(source, session)
        directories.sync(self._completed, self._durability)
        return Receipt(f"{self._completed.name}/{name}")

    def _trim(self, source: Path, session: UploadSession) -> None:
        """Make the file exactly as long as the upload, and durable. An empty one may be new."""
        length = session.length or 0
        file = _open(source, os.O_WRONLY if length else os.O_WRONLY | os.O_CREAT, self._durability)
        try:
            size = os.fstat(file).st_size
            if size < length:
                raise StorageLost(session.id)
            if size > length:
                os.ftruncate(file, length)
            if self._durability is Durability.COMMIT:
                os.fsync(file)
        finally:
            os.close(file)

    def _name(self, source: Path, session: UploadSession) -> str:
        """Give the file a name in `completed` that nothing else has."""
        wanted = names.sanitised(session.filename, session.id)
        for name in names.alternatives(wanted, session.id):
            try:
                os.link(source, self._completed / name)
            except FileExistsError:
                continue
            except OSError as error:
                if error.errno not in _NO_HARD_LINKS:
                    raise
                break
            return name
        name = names.unique(wanted, session.id)
        # rename(2) replaces what it finds. Only this upload uses this name, and its lock is held.
        if os.path.lexists(self._completed / name):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)
        os.rename(source, self._completed / name)
        return name

    def _linked(self, source: Path) -> str | None:
        """The name that a publishing which was cut short has given to the file, if any."""
        known = os.lstat(source)
        if known.st_nlink == 1:
            return None
        for entry, found in _files(self._completed):
            if os.path.samestat(known, found):
                return entry.name
        return None

    def _renamed(self, session: UploadSession) -> str | None:
        """Likewise, where there are no hard links: then the file has left `sessions`."""
        name = names.unique(names.sanitised(session.filename, session.id), session.id)
        return name if _is_file(self._completed / name, session.length) else None

    def _abandon(self, upload_id: str) -> None:
        source = self._sessions / upload_id
        target = self._abandoned / upload_id
        if os.path.lexists(source):
            directories.make(self._abandoned, self._durability)
            os.rename(source, target)
        elif not os.path.lexists(target):
            return
        # Also when it was there already: a crash may have come before this.
        directories.sync(self._abandoned, self._durability)
        directories.sync(self._sessions, self._durability)

    def _remove(self, session: UploadSession) -> None:
        if finished := self._finished(session):
            _unlink(finished)
            with suppress(FileNotFoundError):
                directories.sync(self._completed, self._durability)
        for directory in (self._sessions, self._abandoned):
            if _unlink(directory / session.id):
                directories.sync(directory, self._durability)

    def _finished(self, session: UploadSession) -> Path | None:
        """Where the finished file is, also if it got its name and a crash kept the receipt."""
        if session.receipt is not None:
            return self._completed / PurePosixPath(session.receipt.path).name
        if session.phase is not Phase.SEALED:
            return None
        try:
            name = self._linked(self._sessions / session.id)
        except FileNotFoundError:
            name = self._renamed(session)
        return None if name is None else self._completed / name

    def _locate(self, session: UploadSession) -> Path:
        path = self._finished(session)
        if session.receipt is None or path is None or not _is_file(path, session.length):
            raise StorageLost(session.id)
        return path

    def _strays(self, before: float) -> list[str]:
        return [
            entry.name
            for entry, found in _files(self._sessions)
            if found.st_mtime < before and ids.is_valid(entry.name)
        ]


class LocalWriter:
    """See `tusjumbo.ports.Writer`. The file is opened, and if need be made, by the first write."""

    def __init__(
        self,
        path: Path,
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
        # Whoever commits the first range has made sure that the file is listed. Until then it may
        # have been made by a request that committed nothing.
        self._listed = bool(session.ranges.runs)

    async def check(self) -> None:
        """:raises StorageLost: committed bytes are not there"""
        if self._session.ranges.runs:
            await self._hop(_told, self._opened)

    async def write(self, at: int, data: memoryview, hasher: Hasher | None) -> None:
        await self._hop(_told, self._write, at, data, hasher)

    async def copy(self, part: UploadSession, start: int, stop: int, at: int) -> None:
        await self._copying(_told, self._copy, self._path.with_name(part.id), start, stop, at)

    async def read_back(self, start: int, stop: int, hasher: Hasher) -> None:
        await self._hop(_told, self._read_back, start, stop, hasher)

    async def sync(self) -> None:
        if self._durability is Durability.COMMIT and self._file is not None:
            await self._hop(_told, self._sync)
        elif self._closed:
            raise StorageFailed

    async def aclose(self) -> None:
        """Give back the file."""
        if self._file is not None:
            await self._hop(self._close)

    # --- in a thread ---

    def _opened(self) -> int:
        if self._closed:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        if self._file is None:
            stop = self._session.ranges.stop
            try:
                self._file = _open(
                    self._path, os.O_WRONLY if stop else os.O_WRONLY | os.O_CREAT, self._durability
                )
            except FileNotFoundError:
                raise StorageLost(self._session.id) from None
            if os.fstat(self._file).st_size < stop:
                raise StorageLost(self._session.id)
        return self._file

    def _write(self, at: int, data: memoryview, hasher: Hasher | None) -> None:
        file = self._opened()
        if hasher is not None:
            hasher.update(data)
        with self._cutting(file, at, at + len(data)):
            _write_all(file, data, at)

    def _copy(self, source: Path, start: int, stop: int, at: int) -> None:
        file = self._opened()
        try:
            part = os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            raise StorageLost(source.name) from None
        try:
            if os.fstat(part).st_size < stop:
                raise StorageLost(source.name)
            with self._cutting(file, at, at + stop - start):
                copying.copy(part, start, stop, file, at)
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
        file = _open(self._path, os.O_RDONLY, self._durability)
        try:
            buffer = memoryview(bytearray(min(_READ, stop - start)))
            while start < stop:
                count = os.preadv(file, [buffer[: stop - start]], start)
                if not count:
                    raise OSError(errno.EIO, os.strerror(errno.EIO))
                hasher.update(buffer[:count])
                start += count
        finally:
            os.close(file)

    def _sync(self) -> None:
        try:
            _sync_data(self._opened())
            if not self._listed:
                directories.sync(self._path.parent, self._durability)
                self._listed = True
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


def _told(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What `work` returns; its errors in the words of the port."""
    try:
        return work(*args, **kwargs)
    except OSError as error:
        raise (StorageFull() if error.errno in _FULL else StorageFailed()) from error


def _open(path: Path, flags: int, durability: Durability) -> int:
    """The file's number; with O_CREAT also its directory is made."""
    flags |= os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        return os.open(path, flags, 0o666)
    except FileNotFoundError:
        if not flags & os.O_CREAT:
            raise
    directories.make(path.parent, durability)
    return os.open(path, flags, 0o666)


def _write_all(file: int, data: memoryview, at: int) -> None:
    while data:
        written = os.pwrite(file, data, at)
        if not written:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        data = data[written:]
        at += written


def _sync_data(file: int) -> None:
    if hasattr(os, "fdatasync"):
        os.fdatasync(file)
    else:
        os.fsync(file)


def _unlink(path: Path) -> bool:
    """Remove the file. False if there is none."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    return True


def _is_file(path: Path, length: int | None) -> bool:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_size == length


def _files(directory: Path) -> Iterator[tuple[os.DirEntry[str], os.stat_result]]:
    """The regular files in a directory, which may be missing, as they are now."""
    try:
        entries = os.scandir(directory)
    except FileNotFoundError:
        return
    with entries:
        for entry in entries:
            try:
                found = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            if stat.S_ISREG(found.st_mode):
                yield entry, found
