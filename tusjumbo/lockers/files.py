"""FileLocker: uploads are locked among all processes of one host that share a directory.

Tasks of one process first settle it among themselves (MemoryLocker: instant, in order); those that
come out of that contend for parts of two files (`flocks`). `<id>.lock` is the lock: a lane is a
part of it. `<id>.turn` is held, part by part, by those who wait for the lock: whoever finds that
file first takes its own part of it, and does not try the lock until it has; or a busy process would
always be quicker than one that polls. So a waiter for a lane makes newcomers of that lane wait, and
no others. A waiter for the whole first closes the door: from then on newcomers of any lane wait
until it has had the lock, while it waits itself for those who waited before. The kernel frees
everything when a process dies, so there is no time to live, and nothing to clean before somebody
else goes on.

Whoever waits polls and, with each poll, rings the bells of the other processes (`locks/bells`): so
nothing depends on any single ring. An uncontended hold costs two hops to a thread, one to take and
one to release, and others may go along with these. Who only glances takes nothing: it looks whether
the two files are there, and that of who waits first, because a waiter has the lock before it lets
go of its turn.

Only Linux locks parts of files. Elsewhere each hold is for the whole as far as other processes are
concerned: these wait for lanes that are not in their way, but do not ask for them.
"""

from __future__ import annotations

import errno
import os
import threading
import time
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import anyio
from anyio.lowlevel import current_token

from tusjumbo.errands import Errands
from tusjumbo.errors import ConfigurationError, StorageFailed, StorageFull, UploadLocked
from tusjumbo.hop import Hop, aside
from tusjumbo.lockers import bells
from tusjumbo.lockers.bells import Bell, Entry
from tusjumbo.lockers.flocks import DOOR, WHOLE, FileLock, part, remove_unwanted
from tusjumbo.lockers.memory import MemoryLocker
from tusjumbo.ports import Lease

T = TypeVar("T")

_THREADS = 4
_FIRST_POLL = 0.001
_SLOWEST_POLL = 0.02
"""Seconds between two polls: doubled from the first to the slowest."""
_POLLERS = 16
"""More waiters than that poll less often: a process polls 800 times in a second at most."""
_LOCK, _TURN = ".lock", ".turn"
_BELLS = "bells"
_YOUNG = 60.0
"""A bell without a reader may be one that is just being opened, if it is younger than this."""


class FileLocker:
    """Locks uploads by files in `directory`, which is made on first use. Safe to fork.

    Its methods raise `StorageFull` or `StorageFailed` where a lock file cannot be made, and
    `ConfigurationError` where there is no flock or no FIFO at all: on Windows, and in directories
    of file systems without them. Lanes may be as large as 2**62.
    """

    def __init__(self, directory: Path, errands: Errands | None = None) -> None:
        """`errands`: how those go to a thread who have more to do there than to lock."""
        self._directory = directory
        self._hop = Hop(_THREADS)
        self._glances = Errands(_THREADS)
        self._errands = errands or self._glances
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._tasks = MemoryLocker()
        self._files: weakref.WeakValueDictionary[str, FileLock] = weakref.WeakValueDictionary()
        """Those that claims have to do with, by path."""
        self._finding = threading.Lock()
        self._waiting: set[_Claim] = set()
        self._opening = threading.Lock()
        self._bell: Bell | None = None
        self._closing: weakref.finalize[[Callable[[], None], str], FileLocker] | None = None

    @asynccontextmanager
    async def hold(
        self, upload_id: str, patience: float, *, lane: int | None = None
    ) -> AsyncIterator[Lease]:
        async with self.find(upload_id, patience, _nothing, lane=lane) as (lease, _):
            yield lease

    @asynccontextmanager
    async def find(
        self,
        upload_id: str,
        patience: float,
        look: Callable[[Lease], Coroutine[object, Any, T]],
        *,
        lane: int | None = None,
    ) -> AsyncIterator[tuple[Lease, T]]:
        tasks = self._tasks_of_this_process()
        began = time.monotonic()
        async with (
            tasks.hold(upload_id, patience, lane=lane) as place,
            self._claiming(place, lane) as claim,
        ):
            lease = Lease(upload_id, place.asked, partial(self._hop, claim.release))
            found: list[T] = []

            async def steps() -> bool:
                if not claim.take_or_ask():
                    return False
                found.append(await look(lease))
                return True

            if not await self._together(self._errands, steps):
                with anyio.move_on_after(began + patience - time.monotonic()):
                    await self._queue(claim)
                if not claim.held:
                    raise UploadLocked(upload_id, time.monotonic() - began)
                found.append(await look(lease))
            yield lease, found[0]

    async def glance(
        self, upload_id: str, look: Callable[[], Coroutine[object, Any, T]]
    ) -> T | None:
        if self._tasks_of_this_process().is_wanted(upload_id):
            return None

        async def steps() -> T | None:
            return None if self._is_wanted(upload_id) else await look()

        return await self._together(self._glances, steps)

    def _is_wanted(self, upload_id: str) -> bool:
        """Whether some process has any of it or waits for it. In a worker thread."""
        path = self._path(upload_id)
        return os.access(path + _TURN, os.F_OK) or os.access(path + _LOCK, os.F_OK)

    @asynccontextmanager
    async def attempt(self, upload_id: str) -> AsyncIterator[Lease]:
        tasks = self._tasks_of_this_process()
        async with tasks.attempt(upload_id) as lease, self._claiming(lease, None) as claim:
            if not await self._run(claim.take):
                raise UploadLocked(upload_id, 0.0)
            yield lease

    async def aclose(self) -> None:
        """Remove the bell and end its thread: what is still held can no longer be asked for."""
        self._tasks_of_this_process()
        await self._run(self._close)

    def _tasks_of_this_process(self) -> MemoryLocker:
        if self._process != os.getpid():
            self._begin()  # forked: what the parent holds is not ours, and its bell rings there
        return self._tasks

    @asynccontextmanager
    async def _claiming(self, lease: Lease, lane: int | None) -> AsyncIterator[_Claim]:
        entry = Entry(lease, lane, current_token())
        claim = _Claim(self._path(lease.upload_id), self._file, self._open, entry)
        try:
            yield claim
        finally:
            try:
                if not claim.is_over:
                    with anyio.CancelScope(shield=True):
                        await self._hop(claim.release)
            except BaseException:
                # asyncio's own Task.cancel() knows no shields, and may come before the thread has
                # begun; the lock must not outlive its holder even so.
                threading.Thread(target=claim.release).start()
                raise

    async def _queue(self, claim: _Claim) -> None:
        pause = _FIRST_POLL
        self._waiting.add(claim)
        try:
            while not await self._run(claim.queue):
                await anyio.sleep(pause)
                slowest = _SLOWEST_POLL * max(1.0, len(self._waiting) / _POLLERS)
                pause = min(2 * pause, slowest)
        finally:
            self._waiting.discard(claim)

    def _path(self, upload_id: str) -> str:
        """What the names of an upload's files begin with."""
        return f"{self._directory}/{upload_id}"

    def _file(self, path: str) -> FileLock:
        with self._finding:
            file = self._files.get(path)
            if file is None:
                file = self._files[path] = FileLock(path)
            return file

    async def _run(self, work: Callable[[], bool]) -> bool:
        try:
            return await self._hop(work)
        except OSError as error:
            raise _failure(error) from error

    async def _together(
        self, errands: Errands, steps: Callable[[], Coroutine[object, Any, T]]
    ) -> T:
        try:
            return await errands(steps)
        except OSError as error:
            raise _failure(error) from error

    def _open(self) -> Bell:
        """The bell of this process. In a worker thread."""
        with self._opening:
            if self._bell is None:
                if not hasattr(os, "mkfifo"):
                    raise ConfigurationError(_UNSUPPORTED)
                directory = self._directory / _BELLS
                directory.mkdir(parents=True, exist_ok=True)
                _tidy(self._directory)
                self._bell = Bell(directory)
                self._closing = weakref.finalize(self, aside, self._bell.close, "tusjumbo end")
            return self._bell

    def _close(self) -> bool:
        with self._opening:
            bell, self._bell = self._bell, None
            closing, self._closing = self._closing, None
        if bell is not None and closing is not None:
            closing()
            bell.join()
        return bell is not None


async def _nothing(_: Lease) -> None:
    """What there is to see for who only wants to hold."""


class _Claim:
    """What one task does among processes for one upload. All methods are for worker threads.

    A mutex, because a task that asyncio has cancelled may release while its thread still tries.
    """

    def __init__(
        self, path: str, file: Callable[[str], FileLock], bell: Callable[[], Bell], entry: Entry
    ) -> None:
        """`path`: what the names of its files begin with. `file`: that of a path, for all tasks."""
        self._path = path
        self._file = file
        self._lock = file(path + _LOCK)
        self._turn: FileLock | None = None
        """Made when somebody waits, which is seldom."""
        self._open = bell
        self._entry = entry
        self._mutex = threading.Lock()
        self._process = os.getpid()
        self._bell: Bell | None = None
        self._released = False
        self.is_over = False
        """Whether everything is let go of."""

    @property
    def held(self) -> bool:
        return self._lock.holds(self)

    def take(self) -> bool:
        """Lock the upload, unless somebody in the way has it or waits for it."""
        with self._mutex:
            return self._take()

    def take_or_ask(self) -> bool:
        """Lock the upload, or ask those in the way to leave."""
        with self._mutex:
            return self._take() or (not self._released and self._ask())

    def queue(self) -> bool:
        """Be one who waits; if so, lock the upload, or ask those in the way to leave."""
        with self._mutex:
            if not self._released and self._take_turn() and self._take():
                return True
            return self._turn is not None and self._turn.holds(self) and self._ask()

    def release(self) -> None:
        """Let go of everything. Repeating it does nothing, and so does a fork of the holder."""
        if self._process != os.getpid():
            return
        with self._mutex:
            self._released = True
            if self._bell is not None:
                self._bell.leave(self._entry)
            self._lock.unlock(self)
            self._leave_turn()
            self.is_over = True

    def _take(self) -> bool:
        if self._released:
            return False
        bell = self._open()
        # A turn that nobody holds was left by a process that died waiting.
        if os.access(self._path + _TURN, os.F_OK) and not self._take_turn():
            return False
        if not self._lock.lock(self, part(self._entry.lane)):
            return False
        self._bell = bell
        bell.enter(self._entry)
        self._leave_turn()
        return True

    def _take_turn(self) -> bool:
        if self._turn is None:
            self._turn = self._file(self._path + _TURN)
        if self._entry.lane is None:
            return self._turn.lock(self, DOOR) and self._turn.lock(self, WHOLE)
        return self._turn.lock(self, part(self._entry.lane), behind=DOOR)

    def _leave_turn(self) -> None:
        if self._turn is not None:
            self._turn.unlock(self)

    def _ask(self) -> bool:
        bell, upload_id, lane = self._open(), self._entry.lease.upload_id, self._entry.lane
        # Who cannot be asked holds none the less, and is waited for.
        with suppress(OSError):
            bells.ring_others(bell.directory, bell.name, upload_id, lane)
        return False


def _tidy(directory: Path) -> None:
    """Remove what killed processes left behind."""
    with os.scandir(directory) as entries:
        for entry in entries:
            path = Path(entry.path)
            if path.suffix in (_LOCK, _TURN):
                with suppress(OSError):
                    remove_unwanted(path)
    with os.scandir(directory / _BELLS) as entries:
        for entry in entries:
            with suppress(OSError):
                age = time.time() - entry.stat().st_mtime
                if age > _YOUNG and not bells.ring(Path(entry.path), ""):
                    os.unlink(entry.path)


_UNSUPPORTED = (
    "upload_dir: locks for many processes need flock and FIFOs, which are missing here; "
    "use a local directory of a Unix system, or one worker process"
)


def _failure(error: OSError) -> StorageFull | StorageFailed | ConfigurationError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFull()
    # mknod(2) says EPERM for "the filesystem does not support the type of node requested".
    if error.errno in (errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP):
        return ConfigurationError(_UNSUPPORTED)
    return StorageFailed()
