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
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import islice
from pathlib import Path, PurePosixPath

from tusjumbo import directories
from tusjumbo.digests import Hasher
from tusjumbo.errands import shielded
from tusjumbo.errors import StorageLost
from tusjumbo.hop import Hop
from tusjumbo.ports import Writer
from tusjumbo.sessions import ids
from tusjumbo.sessions.session import Phase, Receipt, UploadSession
from tusjumbo.settings import Durability
from tusjumbo.stores import files, names
from tusjumbo.stores.writing import LocalWriter

_MOST_THREADS = 8
_FEWEST_THREADS = 2
"""As many as there are processors: what moves bodies is busy, not waiting, and if more of them were
ready to run than can, those that answer everybody else would stand in line."""
_LIKELY = 3
"""Names of a finished file that nearly all have one of, however many are called the same."""
_COPIERS = 2
"""Threads that join uploads: enough for one disk, and bodies never wait for them."""

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
        self._hop = Hop(_threads())
        self._copying = Hop(_COPIERS)
        self._was_made = False
        # Joined as text, which is much quicker, and comes several times with each upload.
        self._prefix, self._name_prefix = f"{self._sessions}/", f"{self._completed}/"

    @asynccontextmanager
    async def writing(self, session: UploadSession) -> AsyncIterator[Writer]:
        path = self._at(session.id)
        writer = LocalWriter(path, session, self._durability, self._hop, self._copying)
        try:
            await writer.check()
            yield writer
        finally:
            with shielded():
                await writer.aclose()

    async def publish(self, session: UploadSession) -> Receipt:
        return await self._hop(files.told, self._publish, session)

    async def settle(self, session: UploadSession) -> None:
        await self._hop(files.told, files.unlink, self._at(session.id))

    async def abandon(self, session: UploadSession) -> None:
        await self._hop(files.told, self._abandon, session.id)

    async def recover(self, session: UploadSession) -> None:
        await self._hop(files.told, self._recover, session)

    async def examine(self, session: UploadSession, start: int, stop: int, hasher: Hasher) -> None:
        await self._hop(files.told, self._examine, session, start, stop, hasher)

    async def remove(self, session: UploadSession) -> None:
        await self._hop(files.told, self._remove, session)

    async def locate(self, session: UploadSession) -> Path:
        return await self._hop(files.told, self._locate, session)

    async def strays(self, before: float) -> Sequence[str]:
        return await self._hop(files.told, self._strays, before)

    def _at(self, upload_id: str) -> str:
        return self._prefix + upload_id

    def _aside_at(self, upload_id: str) -> str:
        return f"{self._abandoned}/{upload_id}"

    def _named(self, name: str) -> str:
        return self._name_prefix + name

    # --- in a thread ---

    def _publish(self, session: UploadSession) -> Receipt:
        source = self._at(session.id)
        found = _found(source)
        name = None
        if found is None:
            name = self._renamed(session)
            if name is None and session.length:
                raise StorageLost(session.id)
        if name is None:
            if found is None or not _is_whole(found, session):
                self._trim(source, session)
            if not self._was_made:
                self._make_completed()
            name = self._linked(session, found) or self._name(source, session)
        directories.sync(self._completed, self._durability)
        return Receipt(f"{self._completed.name}/{name}")

    def _make_completed(self) -> None:
        directories.make(self._completed, self._durability)
        self._was_made = True

    def _trim(self, source: str, session: UploadSession) -> None:
        """Make the file exactly as long as the upload, and durable. An empty one may be new.

        One that is as long as that is durable: what is committed is.
        """
        length = session.length or 0
        file = files.opened(
            source, os.O_WRONLY if length else os.O_WRONLY | os.O_CREAT, self._durability
        )
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

    def _name(self, source: str, session: UploadSession) -> str:
        """Give the file a name in `completed` that nothing else has."""
        wanted = names.sanitised(session.filename, session.id)
        for name in names.alternatives(wanted, session.id):
            try:
                self._link(source, self._named(name))
            except FileExistsError:
                continue
            except OSError as error:
                if error.errno not in _NO_HARD_LINKS:
                    raise
                break
            return name
        name = names.unique(wanted, session.id)
        # rename(2) replaces what it finds. Only this upload uses this name, and its lock is held.
        if os.path.lexists(self._named(name)):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)
        os.rename(source, self._named(name))
        return name

    def _link(self, source: str, target: str) -> None:
        try:
            os.link(source, target)
        except FileNotFoundError:  # somebody has removed the directory
            self._make_completed()
            os.link(source, target)

    def _linked(self, session: UploadSession, found: os.stat_result | None = None) -> str | None:
        """The name that a publishing which was cut short has given to the file, if any."""
        known = found or os.lstat(self._at(session.id))
        if known.st_nlink == 1:
            return None
        # One of these, unless others took them all.
        wanted = names.sanitised(session.filename, session.id)
        for name in islice(names.alternatives(wanted, session.id), _LIKELY):
            with suppress(FileNotFoundError):
                if os.path.samestat(known, os.lstat(self._named(name))):
                    return name
        for entry, found in files.regular(self._completed):
            if os.path.samestat(known, found):
                return entry.name
        return None

    def _renamed(self, session: UploadSession) -> str | None:
        """Likewise, where there are no hard links: then the file has left `sessions`."""
        name = names.unique(names.sanitised(session.filename, session.id), session.id)
        return name if files.is_file(self._named(name), session.length) else None

    def _abandon(self, upload_id: str) -> None:
        source = self._at(upload_id)
        target = self._aside_at(upload_id)
        if os.path.lexists(source):
            directories.make(self._abandoned, self._durability)
            os.rename(source, target)
        elif not os.path.lexists(target):
            return
        # Also when it was there already: a crash may have come before this.
        directories.sync(self._abandoned, self._durability)
        directories.sync(self._sessions, self._durability)

    def _recover(self, session: UploadSession) -> None:
        source = self._aside_at(session.id)
        target = self._at(session.id)
        # What is long enough is what was put back before a crash. Anything shorter is nobody's.
        if not _holds(target, session):
            if not _holds(source, session):
                if session.ranges.stop:
                    raise StorageLost(session.id)
                return
            directories.make(self._sessions, self._durability)
            os.rename(source, target)
        # Also when it was there already: the crash may have come before this.
        directories.sync(self._sessions, self._durability)
        with suppress(FileNotFoundError):
            directories.sync(self._abandoned, self._durability)

    def _examine(self, session: UploadSession, start: int, stop: int, hasher: Hasher) -> None:
        try:
            file = self._found(session)
        except FileNotFoundError:
            raise StorageLost(session.id) from None
        try:
            if os.fstat(file).st_size < stop:
                raise StorageLost(session.id)
            files.feed(file, start, stop, hasher)
        finally:
            os.close(file)

    def _found(self, session: UploadSession) -> int:
        """The number of the file that has the bytes now.

        :raises FileNotFoundError: nowhere
        """
        if session.receipt is not None:
            # An operator may have moved it to another disk, with a link in its place.
            return os.open(self._locate(session), os.O_RDONLY | os.O_CLOEXEC)
        for path in (self._at(session.id), self._aside_at(session.id)):
            with suppress(FileNotFoundError):
                return files.opened(path, os.O_RDONLY, self._durability)
        finished = self._finished(session)
        if finished is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), session.id)
        return files.opened(finished, os.O_RDONLY, self._durability)

    def _remove(self, session: UploadSession) -> None:
        if finished := self._finished(session):
            files.unlink(finished)
            with suppress(FileNotFoundError):
                directories.sync(self._completed, self._durability)
        for directory in (self._sessions, self._abandoned):
            if files.unlink(str(directory / session.id)):
                directories.sync(directory, self._durability)

    def _finished(self, session: UploadSession) -> str | None:
        """Where the finished file is, also if it got its name and a crash kept the receipt."""
        if session.receipt is not None:
            return self._named(PurePosixPath(session.receipt.path).name)
        if session.phase is not Phase.SEALED:
            return None
        try:
            name = self._linked(session)
        except FileNotFoundError:
            name = self._renamed(session)
        return None if name is None else self._named(name)

    def _locate(self, session: UploadSession) -> Path:
        path = self._finished(session)
        if session.receipt is None or path is None or not files.is_file(path, session.length):
            raise StorageLost(session.id)
        return Path(path)

    def _strays(self, before: float) -> list[str]:
        return [
            entry.name
            for entry, found in files.regular(self._sessions)
            if found.st_mtime < before and ids.is_valid(entry.name)
        ]


def _threads() -> int:
    if hasattr(os, "sched_getaffinity"):
        processors = len(os.sched_getaffinity(0))
    else:
        processors = os.cpu_count() or 1
    return max(_FEWEST_THREADS, min(processors, _MOST_THREADS))


def _found(path: str) -> os.stat_result | None:
    """What is there, links not followed; None if nothing is."""
    try:
        return os.lstat(path)
    except FileNotFoundError:
        return None


def _is_whole(found: os.stat_result, session: UploadSession) -> bool:
    return stat.S_ISREG(found.st_mode) and found.st_size == session.length


def _holds(path: str, session: UploadSession) -> bool:
    """Whether the file is there, and long enough for what is committed."""
    found = _found(path)
    if found is None or not stat.S_ISREG(found.st_mode):
        return False
    return found.st_size >= session.ranges.stop
