"""FileLocker: uploads are locked among all processes of one host that share a directory.

Tasks of one process first settle it among themselves (MemoryLocker: instant, in order); the one
that comes out of that contends for two files. `<id>.lock` is the lock. `<id>.turn` is held by the
process that waits for it: whoever finds that file does not try the lock, or a busy process would
always be quicker than the one that polls. The kernel frees both when a process dies, so there is no
time to live, and nothing to clean before somebody else goes on.

Whoever waits polls the lock and, with each poll, rings the holder's bell: so nothing depends on any
single ring. An uncontended hold costs two hops to a thread, one to take and one to release.
"""

from __future__ import annotations

import errno
import os
import threading
import time
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
from anyio.lowlevel import EventLoopToken, current_token

from tusjumbo.errors import ConfigurationError, StorageFailed, StorageFull, UploadLocked
from tusjumbo.hop import Hop
from tusjumbo.lockers import bells
from tusjumbo.lockers.bells import Bell
from tusjumbo.lockers.flocks import FileLock
from tusjumbo.lockers.memory import MemoryLocker
from tusjumbo.ports import Lease

_THREADS = 4
_FIRST_POLL = 0.001
_SLOWEST_POLL = 0.02
"""Seconds between two polls: doubled from the first to the slowest."""
_LOCK, _TURN = ".lock", ".turn"
_YOUNG = 60.0
"""A bell without a reader may be one that is just being opened, if it is younger than this."""


class FileLocker:
    """Locks uploads by files in `directory`, which is made on first use. Safe to fork.

    Its methods raise `StorageFull` or `StorageFailed` where a lock file cannot be made, and
    `ConfigurationError` where there is no flock or no FIFO at all: on Windows, and in directories
    of file systems without them.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._hop = Hop(_THREADS)
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._tasks = MemoryLocker()
        self._opening = threading.Lock()
        self._bell: Bell | None = None
        self._closing: weakref.finalize[[], FileLocker] | None = None

    @asynccontextmanager
    async def hold(self, upload_id: str, patience: float) -> AsyncIterator[Lease]:
        tasks = self._tasks_of_this_process()
        began = anyio.current_time()
        async with tasks.hold(upload_id, patience) as lease, self._claiming(lease) as claim:
            if not await self._run(claim.take_or_ask):
                with anyio.move_on_after(began + patience - anyio.current_time()):
                    await self._queue(claim)
                if not claim.held:
                    raise UploadLocked(upload_id, anyio.current_time() - began)
            yield lease

    @asynccontextmanager
    async def attempt(self, upload_id: str) -> AsyncIterator[Lease]:
        tasks = self._tasks_of_this_process()
        async with tasks.attempt(upload_id) as lease, self._claiming(lease) as claim:
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
    async def _claiming(self, lease: Lease) -> AsyncIterator[_Claim]:
        claim = _Claim(self._directory, self._open, lease, current_token())
        try:
            yield claim
        finally:
            try:
                with anyio.CancelScope(shield=True):
                    await self._hop(claim.release)
            except BaseException:
                # asyncio's own Task.cancel() knows no shields, and may come before the thread has
                # begun; the lock must not outlive its holder even so.
                threading.Thread(target=claim.release).start()
                raise

    async def _queue(self, claim: _Claim) -> None:
        pause = _FIRST_POLL
        while not await self._run(claim.queue):
            await anyio.sleep(pause)
            pause = min(2 * pause, _SLOWEST_POLL)

    async def _run(self, work: Callable[[], bool]) -> bool:
        try:
            return await self._hop(work)
        except OSError as error:
            raise _failure(error) from error

    def _open(self) -> Bell:
        """The bell of this process. In a worker thread."""
        with self._opening:
            if self._bell is None:
                if not hasattr(os, "mkfifo"):
                    raise ConfigurationError(_UNSUPPORTED)
                self._directory.mkdir(parents=True, exist_ok=True)
                _tidy(self._directory)
                self._bell = Bell(self._directory)
                self._closing = weakref.finalize(self, self._bell.close)
            return self._bell

    def _close(self) -> bool:
        with self._opening:
            bell, self._bell = self._bell, None
            closing, self._closing = self._closing, None
        if bell is not None and closing is not None:
            closing()
            bell.join()
        return bell is not None


class _Claim:
    """What one task does among processes for one upload. All methods are for worker threads.

    A mutex, because a task that asyncio has cancelled may release while its thread still tries.
    """

    def __init__(
        self, directory: Path, bell: Callable[[], Bell], lease: Lease, loop: EventLoopToken
    ) -> None:
        self._directory = directory
        self._open = bell
        self._lease = lease
        self._loop = loop
        self._lock = FileLock(directory / f"{lease.upload_id}{_LOCK}")
        self._turn = FileLock(directory / f"{lease.upload_id}{_TURN}")
        self._mutex = threading.Lock()
        self._process = os.getpid()
        self._bell: Bell | None = None
        self._released = False

    @property
    def held(self) -> bool:
        return self._lock.held

    def take(self) -> bool:
        """Lock the upload, unless somebody has it or waits for it."""
        with self._mutex:
            return self._take()

    def take_or_ask(self) -> bool:
        """Lock the upload, or ask its holder to leave."""
        with self._mutex:
            return self._take() or self._ask()

    def queue(self) -> bool:
        """Be the one who waits; if so, lock the upload, or ask its holder to leave."""
        with self._mutex:
            return not self._released and self._turn.lock() and (self._take() or self._ask())

    def release(self) -> None:
        """Let go of everything. Repeating it does nothing, and so does a fork of the holder."""
        if self._process != os.getpid():
            return
        with self._mutex:
            self._released = True
            if self._bell is not None:
                self._bell.leases.pop(self._lease.upload_id, None)
            self._lock.unlock()
            self._turn.unlock()

    def _take(self) -> bool:
        if self._released:
            return False
        bell = self._open()
        # A turn that nobody holds was left by a process that died waiting.
        if os.path.exists(self._turn.path) and not self._turn.lock():
            return False
        if not self._lock.lock():
            return False
        self._bell = bell
        bell.leases[self._lease.upload_id] = (self._lease, self._loop)
        # A holder without a bell cannot be asked, but it holds: a full disk must not keep anybody
        # from looking at uploads and removing some.
        with suppress(OSError):
            self._lock.write(bell.name)
        self._turn.unlock()
        return True

    def _ask(self) -> bool:
        if name := self._lock.read():
            bells.ring(self._directory, name, self._lease.upload_id)
        return False


def _tidy(directory: Path) -> None:
    """Remove what killed processes left behind."""
    with os.scandir(directory) as entries:
        for entry in entries:
            path = Path(entry.path)
            with suppress(OSError):
                if path.suffix in (_LOCK, _TURN):
                    left = FileLock(path)
                    left.lock()
                    left.unlock()
                elif path.suffix == bells.SUFFIX:
                    age = time.time() - entry.stat().st_mtime
                    if age > _YOUNG and not bells.ring(directory, path.name, ""):
                        path.unlink()


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
