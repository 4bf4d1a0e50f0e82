"""Directories that survive what the files in them survive.

A new file or name is as durable as the directory that lists it, and that as its own parent. Only
this module and the code that renames or links need to think of it.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

from tusjumbo.settings import Durability


def make(path: Path, durability: Durability) -> None:
    """Make the directory and those above it, unless they are there.

    :raises OSError:
    """
    try:
        try:
            os.mkdir(path)
        except FileNotFoundError:
            make(path.parent, durability)
            os.mkdir(path)
    except FileExistsError:
        return
    try:
        sync(path.parent, durability)
    except OSError:
        # Whoever finds it there believes that it is listed.
        with suppress(OSError):
            os.rmdir(path)
        raise


def sync(path: Path, durability: Durability) -> None:
    """Return once the names in the directory are as durable as `durability` says.

    :raises OSError: `FileNotFoundError` if there is no such directory
    """
    if durability is Durability.OS:
        return
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    except OSError as error:
        # fsync(2): "EROFS, EINVAL: fd is bound to a special file which does not support
        # synchronization", as directories are on some network file systems.
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(directory)
