"""LocalStore: the bytes of uploads as files below one directory.

`sessions/<id>` while an upload is open, `completed/<place>` when it is finished, `abandoned/<id>`
when it expired. Every byte is written once, where it stays: finishing and setting aside give the
same file another name (`tusjumbo.stores.publishing`). Only joining copies, inside the kernel
(`tusjumbo.stores.copying`), and what an assembler makes comes beside (`.workspaces`).

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
from dataclasses import replace
from pathlib import Path

from tusjumbo import directories
from tusjumbo.application import Arrival, Assembled, Origin
from tusjumbo.digests import Hasher
from tusjumbo.errands import shielded
from tusjumbo.errors import StorageLost, UploadElsewhere
from tusjumbo.hop import Hop
from tusjumbo.ports import Writer
from tusjumbo.sessions import ids
from tusjumbo.sessions.session import Phase, Receipt, UploadSession
from tusjumbo.settings import Durability
from tusjumbo.stores import files, names, workspaces
from tusjumbo.stores.publishing import Completed, Goods
from tusjumbo.stores.workspaces import NOTHING, Made, Workspaces
from tusjumbo.stores.writing import LocalWriter

_MOST_THREADS = 8
_FEWEST_THREADS = 2
"""As many as there are processors: what moves bodies is busy, not waiting, and if more of them were
ready to run than can, those that answer everybody else would stand in line."""
_COPIERS = 2
"""Threads that join uploads: enough for one disk, and bodies never wait for them."""


class LocalStore:
    """See `tusjumbo.ports.Store`."""

    def __init__(self, root: Path, durability: Durability) -> None:
        """A store in the directory `root`, made when it is first needed."""
        self._root = root
        self._sessions = root / "sessions"
        self._abandoned = root / "abandoned"
        self._completed = Completed(root / "completed", durability)
        self._workspaces = Workspaces(root, durability)
        self._durability = durability
        self._hop = Hop(_threads())
        self._copying = Hop(_COPIERS)
        # Joined as text, which is much quicker, and comes several times with each upload.
        self._prefix = f"{self._sessions}/"

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

    async def arrival(self, session: UploadSession, origin: Origin) -> Arrival:
        return await self._hop(files.told, self._arrival, session, origin)

    async def keep(self, session: UploadSession, assembled: Assembled) -> None:
        # It may be much that is to reach the disk.
        await self._copying(files.told, self._workspaces.keep, session.id, assembled)

    async def publish(self, session: UploadSession) -> Receipt:
        return await self._hop(files.told, self._publish, session)

    async def settle(self, session: UploadSession) -> None:
        await self._hop(files.told, self._settle, session.id)

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

    # --- in a thread ---

    def _arrival(self, session: UploadSession, origin: Origin) -> Arrival:
        """The file is the upload's own and could be written to: an assembler only reads it."""
        goods = self._goods(session, NOTHING)
        # Nobody asked an assembler when a crash cut the publishing short.
        self._completed.withdraw(goods)
        self._make_ready(goods, files.found(goods.content), session)
        workspace = self._workspaces.begin(session.id)
        return Arrival(session, origin, Path(goods.content), "/".join(goods.wanted), workspace)

    def _publish(self, session: UploadSession) -> Receipt:
        receipt = session.receipt
        if receipt is not None and not receipt.is_here:
            raise ValueError(f"the file of {session.id} is not here: {receipt.path}")
        made = NOTHING
        if session.phase is Phase.ASSEMBLING:
            made = self._workspaces.settle(session.id)
        goods = self._goods(session, made)
        content = files.found(goods.content)
        place = self._completed.find(goods, content)
        if place is None:
            self._make_ready(goods, content, session)
        path = self._completed.path_to(self._completed.put(goods, place))
        return Receipt(path) if receipt is None else replace(receipt, path=path)

    def _goods(self, session: UploadSession, made: Made) -> Goods:
        wanted = session.receipt.path if session.receipt else ""
        is_made = made.size is not None
        return Goods(
            session.id,
            names.place(wanted or session.destination or "", session.filename, session.id),
            self._workspaces.content(session.id) if is_made else self._at(session.id),
            made.size if is_made else session.length,
            {suffix: self._workspaces.beside(session.id, suffix) for suffix in made.beside},
        )

    def _make_ready(
        self, goods: Goods, content: os.stat_result | None, session: UploadSession
    ) -> None:
        """Make the file exactly as long as it is to be, and durable.

        :raises StorageLost: it is not there
        """
        if content is not None and _is_whole(content, goods.size):
            return
        if goods.content != self._at(session.id) or (content is None and session.length):
            raise StorageLost(session.id)
        self._trim(goods.content, session)

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

    def _settle(self, upload_id: str) -> None:
        files.unlink(self._at(upload_id))
        self._workspaces.clear(upload_id)

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
        if session.phase is Phase.DONE:
            try:
                path = self._locate(session)
            except UploadElsewhere as elsewhere:
                raise StorageLost(session.id) from elsewhere
            if self._made_size(session.id) is not None:
                raise StorageLost(session.id)  # these are others
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        for each in (self._at(session.id), self._aside_at(session.id)):
            with suppress(FileNotFoundError):
                return files.opened(each, os.O_RDONLY, self._durability)
        place = None
        if _may_have_a_name(session) and (made := self._kept(session)).size is None:
            place = self._completed.find(self._goods(session, made), None)
        if place is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), session.id)
        return files.opened(self._completed.at(place), os.O_RDONLY, self._durability)

    def _remove(self, session: UploadSession) -> None:
        if session.phase is Phase.DONE:
            self._remove_finished(session)
        elif _may_have_a_name(session):
            self._completed.withdraw(self._goods(session, self._kept(session)))
        self._workspaces.clear(session.id)
        for directory in (self._sessions, self._abandoned):
            if files.unlink(str(directory / session.id)):
                directories.sync(directory, self._durability)
        self._workspaces.forget(session.id)

    def _kept(self, session: UploadSession) -> Made:
        """What was made of an upload that is not finished, if that is recorded."""
        return NOTHING if session.receipt is None else self._workspaces.kept(session.id)

    def _remove_finished(self, session: UploadSession) -> None:
        if place := self._place(session):
            made = self._workspaces.made(session.id)
            self._completed.remove(place, made.beside if made else ())

    def _place(self, session: UploadSession) -> str | None:
        """Where a finished file is, below `completed`; None if it is none of ours."""
        if session.receipt is None or not session.receipt.is_here:
            return None
        return self._completed.place_in(session.receipt.path)

    def _locate(self, session: UploadSession) -> Path:
        if session.receipt is not None and not session.receipt.is_here:
            raise UploadElsewhere(session.id)
        place = self._place(session)
        if place is None or session.phase is not Phase.DONE:
            raise StorageLost(session.id)
        # An operator may have moved it to another disk, with a link in its place.
        path = self._completed.at(place)
        size = files.size_of(path)
        if size is None or (size != session.length and size != self._made_size(session.id)):
            raise StorageLost(session.id)
        return Path(path)

    def _made_size(self, upload_id: str) -> int | None:
        """How long the file is that an assembler has put in the place of the upload's bytes."""
        made = self._workspaces.made(upload_id)
        return made.size if made else None

    def _strays(self, before: float) -> list[str]:
        found = {
            upload_id
            for entry, there in files.entries(self._sessions)
            if there.st_mtime < before and (upload_id := _upload_of(entry.name, there.st_mode))
        }
        return sorted(found)


def _upload_of(name: str, mode: int) -> str | None:
    """The id of the upload whose bytes, or whose workspace, are called that."""
    if stat.S_ISDIR(mode):
        return workspaces.owner(name)
    return name if stat.S_ISREG(mode) and ids.is_valid(name) else None


def _may_have_a_name(session: UploadSession) -> bool:
    """Whether publishing may have begun, and nobody have recorded that."""
    return session.is_arrived and (session.receipt is None or session.receipt.is_here)


def _threads() -> int:
    if hasattr(os, "sched_getaffinity"):
        processors = len(os.sched_getaffinity(0))
    else:
        processors = os.cpu_count() or 1
    return max(_FEWEST_THREADS, min(processors, _MOST_THREADS))


def _is_whole(found: os.stat_result, size: int | None) -> bool:
    return stat.S_ISREG(found.st_mode) and found.st_size == size


def _holds(path: str, session: UploadSession) -> bool:
    """Whether the file is there, and long enough for what is committed."""
    found = files.found(path)
    if found is None or not stat.S_ISREG(found.st_mode):
        return False
    return found.st_size >= session.ranges.stop
