"""FileLock: a file of which each process has locked a part, and which exists while it is wanted.

Linux locks ranges of bytes for an open file (F_OFD_SETLK): a lane is a byte, the whole upload is
all of them. Elsewhere there is `flock`, and whoever locks a part keeps other processes from all of
it. Both belong to the open file, so the kernel frees them when the process ends, however that ends.
A process opens a file once, however many of its tasks lock parts of it.

The last one to leave unlinks the file while it keeps everybody out. Whoever locks a file therefore
looks whether its path still leads to it, and tries again if not: two processes never hold parts of
two files of one name. A file that a killed process left behind is taken over as it is.

Everything here blocks, for microseconds on a healthy disk, and belongs in worker threads.
"""

from __future__ import annotations

import os
import struct
import sys
import threading
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple, Protocol

with suppress(ImportError):  # Windows has none; FileLocker says so
    import fcntl

_inherited: set[int] = set()
"""Open files that a forked child must close, or a lock would outlive the parent that held it."""


def open_file(path: Path | str, flags: int) -> int:
    """`os.open`, but for this process alone: neither exec nor fork passes it on."""
    file = os.open(path, flags | os.O_CLOEXEC, 0o600)
    _inherited.add(file)
    return file


def close_file(file: int) -> None:
    # In this order: a child forked in between has one file too many, not one of somebody else's.
    _inherited.discard(file)
    os.close(file)


def _close_inherited() -> None:
    for file in _inherited:
        with suppress(OSError):
            os.close(file)
    _inherited.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_inherited)


class Part(NamedTuple):
    """The bytes `[start, stop)` of a lock file. They are locked, never read or written."""

    start: int
    stop: int

    def overlaps(self, other: Part) -> bool:
        return self.start < other.stop and other.start < self.stop

    def covers(self, other: Part) -> bool:
        return self.start <= other.start and other.stop <= self.stop


_END = 1 << 63
"""One more than the largest off_t."""
WHOLE = Part(0, _END)
DOOR = Part(0, 1)
"""A byte of the whole that is no lane."""
_SWEEP = Part(0, _END - 1)
"""All of it, recognisable as the part of somebody who only removes the file."""


def part(lane: int | None) -> Part:
    """The part that is a lane, from 0 to 2**62; WHOLE for None."""
    return WHOLE if lane is None else Part(lane + 1, lane + 2)


class Locking(Protocol):
    """How the kernel locks parts of an open file."""

    def lock(self, file: int, part: Part) -> bool:
        """False if somebody else has some of it. Never waits for a holder."""
        ...

    def unlock(self, file: int, part: Part) -> None: ...

    def meets(self, file: int, part: Part) -> Part | None:
        """What somebody else has of a part; None also where the kernel does not tell."""
        ...


class Ranges:
    _FLOCK = struct.Struct("hhqqi0q")
    """struct flock of Linux: type, whence, start, length (0: to the end), pid (0)."""
    _GETLK, _SETLK = 36, 37
    """F_OFD_GETLK and F_OFD_SETLK of Linux. Pythons built with old headers have no such names."""
    _TRIES, _PAUSE = 200, 0.0001
    """A sweep takes microseconds; the process in it may have been stopped, however."""

    def lock(self, file: int, part: Part) -> bool:
        for _ in range(self._TRIES):
            try:
                self._call(file, self._SETLK, fcntl.F_WRLCK, part)
            except BlockingIOError:
                met = self.meets(file, part)
                if met == _SWEEP:
                    time.sleep(self._PAUSE)
                elif met is not None:
                    return False
            else:
                return True
        return False

    def unlock(self, file: int, part: Part) -> None:
        self._call(file, self._SETLK, fcntl.F_UNLCK, part)

    def meets(self, file: int, part: Part) -> Part | None:
        answer = self._call(file, self._GETLK, fcntl.F_WRLCK, part)
        kind, _, start, length, _ = self._FLOCK.unpack(answer)
        if kind == fcntl.F_UNLCK:
            return None
        return Part(start, start + length if length else _END)

    def _call(self, file: int, command: int, kind: int, part: Part) -> bytes:
        length = 0 if part.stop == _END else part.stop - part.start
        return fcntl.fcntl(
            file, command, self._FLOCK.pack(kind, os.SEEK_SET, part.start, length, 0)
        )


class Flock:
    def lock(self, file: int, part: Part) -> bool:  # noqa: ARG002 - all of it, in any case
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def unlock(self, file: int, part: Part) -> None:
        if part == _SWEEP:  # which ends every use of a file; what comes before is a part of it
            fcntl.flock(file, fcntl.LOCK_UN)

    def meets(self, file: int, part: Part) -> Part | None:  # noqa: ARG002 - nobody tells
        return None


@cache
def locking() -> Locking:
    """What this system has; the same for all its processes, which would not meet otherwise."""
    # macOS knows F_OFD_SETLK too, but with another struct flock; and some sandboxes say that they
    # are Linux and do not know it.
    if sys.platform != "linux":
        return Flock()
    ends = os.pipe()
    try:
        Ranges().meets(ends[0], WHOLE)
    except OSError:
        return Flock()
    finally:
        for end in ends:
            os.close(end)
    return Ranges()


class FileLock:
    """One for all tasks of a process that lock parts of a file; two are like two processes."""

    def __init__(self, path: Path | str) -> None:
        self._path = str(path)
        self._holders: dict[object, Part] = {}
        self._file: int | None = None
        """Open while there are holders."""
        self._mutex = threading.Lock()
        self._kernel = locking()

    @property
    def path(self) -> Path:
        return Path(self._path)

    def holds(self, holder: object) -> bool:
        return holder in self._holders

    def lock(self, holder: object, part: Part, *, behind: Part | None = None) -> bool:
        """Lock a part for `holder`, in place of a smaller one that it has. Creates the file.

        False if somebody else has locked some of it, or, where the kernel tells, of `behind`.

        :raises OSError: the file cannot be opened or locked
        """
        with self._mutex:
            mine = self._holders.get(holder)
            if mine is not None and mine.covers(part):
                return True
            # The kernel takes all tasks of a process for one. They seldom meet here: only if one
            # is asyncio's victim, whose thread is about to release what it had.
            if any(their.overlaps(part) for who, their in self._holders.items() if who != holder):
                return False
            while True:
                file = self._file
                if file is None:
                    file = open_file(self._path, os.O_RDWR | os.O_CREAT)
                try:
                    if behind is not None and self._kernel.meets(file, behind) is not None:
                        return False
                    if not self._kernel.lock(file, part):
                        return False
                    if _is_at_its_path(file, self._path):
                        self._file = file
                        self._holders[holder] = part
                        return True
                    # Unlinked by whoever left; or by hand, and then the other holders go first.
                    self._holders.pop(holder, None)
                    if self._holders:
                        self._kernel.unlock(file, part)
                        return False
                    self._file = None
                finally:
                    if self._file is None:
                        close_file(file)

    def unlock(self, holder: object) -> None:
        """Let go of what `holder` has, and remove the file if nobody has any of it.

        Repeating it does nothing.
        """
        with self._mutex:
            part = self._holders.pop(holder, None)
            if part is None or self._file is None:
                return
            with suppress(OSError):
                self._kernel.unlock(self._file, part)
            if not self._holders:
                file, self._file = self._file, None
                _sweep(self._kernel, file, self._path)


def remove_unwanted(path: Path) -> None:
    """Remove a lock file that a killed process left behind.

    :raises OSError: it cannot be opened
    """
    _sweep(locking(), open_file(path, os.O_RDWR), path)


def _sweep(kernel: Locking, file: int, path: Path | str) -> None:
    """Close a lock file, and remove it if nobody has any of it.

    Of two who leave at once the second to come here finds nobody: both have unlocked before.
    """
    try:
        # What cannot be removed (a read-only or vanished directory) is left for the next holder.
        with suppress(OSError):
            if kernel.lock(file, _SWEEP):
                if _is_at_its_path(file, path):
                    os.unlink(path)
                # Closing would not do: a process that is just being forked has a copy.
                kernel.unlock(file, _SWEEP)
    finally:
        close_file(file)


def _is_at_its_path(file: int, path: Path | str) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(file))
    except FileNotFoundError:
        return False
