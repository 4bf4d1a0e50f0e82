"""FileLock: a file that one process at a time has locked, and that exists only while it is wanted.

`flock` belongs to the open file, so the kernel frees it when the process ends, however that ends.
The file is unlinked by its holder while it is still locked. Whoever locks a file therefore looks
whether its path still leads to it, and tries again if not: two processes never hold two files of
one name. A file that a killed process left behind is taken over as it is.

Everything here blocks, for microseconds on a healthy disk, and belongs in worker threads.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

with suppress(ImportError):  # Windows has none; FileLocker says so
    import fcntl

_inherited: set[int] = set()
"""Open files that a forked child must close, or a lock would outlive the parent that held it."""


def open_file(path: Path, flags: int) -> int:
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


class FileLock:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.held = False
        self._file: int | None = None

    def lock(self) -> bool:
        """Lock the file, creating it if it is not there. False if somebody else has it locked.

        :raises OSError: it cannot be opened or locked
        """
        while not self.held:
            if self._file is None:
                self._file = open_file(self.path, os.O_RDWR | os.O_CREAT)
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            self.held = self._is_at_its_path(self._file)
            if not self.held:
                self._close()
        return True

    def unlock(self) -> None:
        """Let go of the file, and remove it if it is locked here. Repeating it does nothing."""
        if self._file is None:
            return
        # What cannot be removed (a read-only or vanished directory) is left for the next holder.
        with suppress(OSError):
            if self.held and self._is_at_its_path(self._file):
                os.unlink(self.path)
        self.held = False
        # Closing would not do if a process is just being forked: it has a copy for a moment.
        with suppress(OSError):
            fcntl.flock(self._file, fcntl.LOCK_UN)
        self._close()

    def write(self, text: str) -> None:
        """Replace what the file says, while it is held. All texts must be of the same length.

        :raises OSError: it cannot be written
        """
        if self._file is not None:
            os.pwrite(self._file, text.encode("ascii"), 0)

    def read(self) -> str:
        """What the holder has written; empty if nothing, or if the file was not opened here."""
        if self._file is None:
            return ""
        return os.pread(self._file, 256, 0).decode("ascii", "replace")

    def _is_at_its_path(self, file: int) -> bool:
        try:
            return os.path.samestat(os.stat(self.path), os.fstat(file))
        except FileNotFoundError:
            return False

    def _close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            close_file(file)
