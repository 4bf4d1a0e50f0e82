"""Files: the calls that the local store is made of, each doing all of what it was asked.

Blocking: for threads. A short write is continued, a missing file is an answer where it may be
missing, and no file is opened through a link that somebody else has put there. Knows no uploads,
and raises `OSError` only; `told` says it in the words of the ports.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import ParamSpec, TypeVar

from tusjumbo import directories
from tusjumbo.digests import Hasher
from tusjumbo.errors import StorageFailed, StorageFull
from tusjumbo.settings import Durability

P = ParamSpec("P")
T = TypeVar("T")

_READ = 256 * 1024
"""Bytes at a time when a file is read back: they stay in the processor's cache."""

_FULL = {errno.ENOSPC, errno.EDQUOT}

_NOT_EMPTY = {errno.ENOTEMPTY, errno.EEXIST}  # rmdir(2) may say either


def told(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What `work` returns; its errors in the words of the port."""
    try:
        return work(*args, **kwargs)
    except OSError as error:
        raise (StorageFull() if error.errno in _FULL else StorageFailed()) from error


def opened(path: str, flags: int, durability: Durability) -> int:
    """The file's number; with O_CREAT also its directory is made."""
    flags |= os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        return os.open(path, flags, 0o666)
    except FileNotFoundError:
        if not flags & os.O_CREAT:
            raise
    directories.make(Path(path).parent, durability)
    return os.open(path, flags, 0o666)


def content(path: str) -> bytes | None:
    """All that is in a small file; None if there is none, or it is no plain file."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO):
            return None
        raise
    with open(file, "rb") as opened:
        return opened.read() if stat.S_ISREG(os.fstat(file).st_mode) else None


def write_all(file: int, data: memoryview, at: int) -> None:
    while data:
        written = os.pwrite(file, data, at)
        if not written:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        data = data[written:]
        at += written


def feed(file: int, start: int, stop: int, hasher: Hasher) -> None:
    """Read bytes `[start, stop)` into `hasher`.

    :raises OSError: EIO if the file is shorter
    """
    buffer = memoryview(bytearray(min(_READ, stop - start)))
    while start < stop:
        count = os.preadv(file, [buffer[: stop - start]], start)
        if not count:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        hasher.update(buffer[:count])
        start += count


def sync_data(file: int) -> None:
    if hasattr(os, "fdatasync"):
        os.fdatasync(file)
    else:
        os.fsync(file)


def unlink(path: str) -> bool:
    """Remove the file. False if there is none."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    return True


def remove_tree(path: str) -> bool:
    """Remove the directory and all that is in it, links not followed. False if there is none."""
    try:
        os.rmdir(path)
    except FileNotFoundError:
        return False
    except NotADirectoryError:
        os.unlink(path)
    except OSError as error:
        if error.errno not in _NOT_EMPTY:
            raise
        shutil.rmtree(path)
    return True


def found(path: str) -> os.stat_result | None:
    """What is there, links not followed; None if nothing is."""
    try:
        return os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def is_same(known: os.stat_result, path: str) -> bool:
    """Whether that is one more name of the file `known`."""
    other = found(path)
    return other is not None and os.path.samestat(known, other)


def is_directory(path: str) -> bool:
    """Whether it is one itself, and not a link to one."""
    there = found(path)
    return there is not None and stat.S_ISDIR(there.st_mode)


def size_of(path: str) -> int | None:
    """How long the file is, also at the end of links; None if there is none."""
    try:
        there = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return there.st_size if stat.S_ISREG(there.st_mode) else None


def entries(directory: Path) -> Iterator[tuple[os.DirEntry[str], os.stat_result]]:
    """What is in a directory, which may be missing, as it is now."""
    try:
        listed = os.scandir(directory)
    except FileNotFoundError:
        return
    with listed:
        for entry in listed:
            with suppress(FileNotFoundError):
                yield entry, entry.stat(follow_symlinks=False)
