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
from contextlib import ExitStack, suppress
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
        path = directory / self.name
        with ExitStack() as undo:
            os.mkfifo(path, 0o600)
            undo.callback(os.unlink, path)
            # Opening a FIFO waits for the other side, unless told not to; and without a writer of
            # our own, reading would not wait between two askers.
            self._reader = flocks.open_file(path, os.O_RDONLY | os.O_NONBLOCK)
            undo.callback(flocks.close_file, self._reader)
            self._writer = flocks.open_file(path, os.O_WRONLY | os.O_NONBLOCK)
            undo.callback(flocks.close_file, self._writer)
            os.set_blocking(self._reader, True)
            self._thread = threading.Thread(target=self._listen, name="tusjumbo bell", daemon=True)
            self._thread.start()
            undo.pop_all()

    def close(self) -> None:
        """End the thread, soon, and remove the FIFO. Once only; does nothing in a forked child."""
        if self._process != os.getpid():
            return
        self._closing = True
        with suppress(BlockingIOError):  # so full that the thread is awake anyway
            os.write(self._writer, b"\n")
        flocks.close_file(self._writer)
        with suppress(OSError):
            os.unlink(self._directory / self.name)

    def join(self) -> None:
        """Wait for the end of the thread, after `close`."""
        self._thread.join()

    def _listen(self) -> None:
        while not self._closing:
            rings = os.read(self._reader, _CAPACITY).decode("ascii", "replace")
            for upload_id in rings.split("\n"):
                if held := self.leases.get(upload_id):
                    self._ask(*held)
        flocks.close_file(self._reader)

    def _ask(self, lease: Lease, loop: EventLoopToken) -> None:
        if not lease.asked.given:
            post(loop, lease.asked.give)


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
