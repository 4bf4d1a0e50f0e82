"""Copying: bytes from one file to another, inside the kernel.

copy_file_range(2) shares the blocks where the file system can ("reflinks" on XFS, btrfs, bcachefs),
lets a server copy on NFS and SMB, and is otherwise a copy from cache to cache that no byte leaves
the kernel for. Where there is no such call, or not for these two files, a small buffer of ours does
the same. Blocking: for a thread. Knows no uploads.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress

_BUFFER = 1024 * 1024
"""Bytes in memory where the kernel cannot copy by itself."""

_UNABLE = {
    errno.ENOSYS,  # a kernel before 4.5, or a sandbox that knows no better
    errno.EPERM,  # a sandbox
    errno.EXDEV,  # "The files referred to by fd_in and fd_out are not on the same filesystem"
    errno.EOPNOTSUPP,
    errno.EINVAL,  # file systems that cannot be read or written that way
}

CopyFileRange = Callable[[int, int, int, int, int], int]


def copy(source: int, start: int, stop: int, target: int, at: int) -> None:
    """Put bytes `[start, stop)` of the file `source` at offset `at` of the file `target`.

    :raises OSError: some may have been copied; EIO if `source` ends before `stop`
    """
    within: CopyFileRange | None = getattr(os, "copy_file_range", None)
    while start < stop:
        copied = 0
        if within is not None:
            try:
                copied = within(source, target, stop - start, start, at)
            except OSError as error:
                if error.errno not in _UNABLE:
                    raise
                within = None
        if within is None:
            copied = _copy_through(source, start, min(stop, start + _BUFFER), target, at)
        if not copied:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        start += copied
        at += copied


def _copy_through(source: int, start: int, stop: int, target: int, at: int) -> int:
    """As much of it as one read and one write do."""
    return os.pwrite(target, os.pread(source, stop - start, start), at)


def begin_writing(file: int, at: int, count: int) -> None:
    """Have the disk begin with these bytes while the next ones are copied (10 to 30 % faster).

    posix_fadvise(2): "attempts to free cached pages", for which Linux begins to write dirty ones,
    without waiting for them. It is advice: what comes of it does not matter.
    """
    if hasattr(os, "posix_fadvise"):
        with suppress(OSError):
            os.posix_fadvise(file, at, count, os.POSIX_FADV_DONTNEED)
