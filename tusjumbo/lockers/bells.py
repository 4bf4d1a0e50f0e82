"""Bell: where other processes ask for uploads that this one holds.

A FIFO in the lock directory and a thread that reads it: neither the length of the path nor a
network namespace matters, as they would to a socket. Whoever wants an upload reads the bell's name
in its lock file and writes the upload's id into the bell. The thread gives the lease's notice in
the lease's own event loop, and never waits for that loop.

A ring may be lost (the bell is full, the holder has not yet written its name): askers ring again
as long as they wait. It may come late: then no lease of that id is here, and nothing happens.
"""

from __future__ import annotations

import errno
import os
import secrets
import threading
from contextlib import suppress
from pathlib import Path

from anyio.lowlevel import EventLoopToken

from tusjumbo.lockers import flocks
from tusjumbo.lockers.loops import post
from tusjumbo.ports import Lease

SUFFIX = ".bell"
_CAPACITY = 65536
"""Linux' size of a FIFO in bytes: one read takes whole rings, because writing one is atomic."""


class Bell:
    """Opened by making one. All names have the same length.

    :raises OSError: the FIFO cannot be made
    """

    def __init__(self, directory: Path) -> None:
        self.name = secrets.token_hex(16) + SUFFIX
        self.leases: dict[str, tuple[Lease, EventLoopToken]] = {}
        """What this process holds, by upload id: changed by whoever holds the upload's lock."""
        self._directory = directory
        self._process = os.getpid()
        self._closing = False
        os.mkfifo(directory / self.name, 0o600)
        # Open for writing too, or reading would end whenever the last asker closes it.
        self._file = os.open(directory / self.name, os.O_RDWR | os.O_CLOEXEC)
        flocks.inherited.add(self._file)
        self._thread = threading.Thread(target=self._listen, name="tusjumbo bell", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread, soon, and remove the FIFO. Does nothing in a forked child."""
        if self._process != os.getpid():
            return
        self._closing = True
        ring(self._directory, self.name, "")
        with suppress(OSError):
            os.unlink(self._directory / self.name)

    def join(self) -> None:
        """Wait for the end of the thread, after `close`."""
        self._thread.join()

    def _listen(self) -> None:
        while not self._closing:
            for upload_id in os.read(self._file, _CAPACITY).decode("ascii", "replace").split("\n"):
                lease, loop = self.leases.get(upload_id, (None, None))
                if lease is not None and loop is not None and not lease.asked.given:
                    post(loop, lease.asked.give)
        flocks.inherited.discard(self._file)
        os.close(self._file)


def ring(directory: Path, name: str, upload_id: str) -> bool:
    """Ask the process whose bell is `name` for an upload. False if it has ended, or is ending.

    Never blocks.
    """
    try:
        file = os.open(directory / name, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        return error.errno not in (errno.ENXIO, errno.ENOENT)
    try:
        os.write(file, f"{upload_id}\n".encode("ascii"))
    except BlockingIOError:
        return True  # so many rings wait to be read that ours will be repeated in time
    except BrokenPipeError:
        return False
    finally:
        os.close(file)
    return True
