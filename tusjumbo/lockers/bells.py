"""Bell: where other processes ask for uploads that this one holds.

A FIFO and a thread that reads it: neither the length of the path nor a network namespace matters,
as they would to a socket. Every process has its bell in one directory, and whoever wants an upload
or a lane of it writes that into all the others: so lock files need not say who holds what. The
thread gives the notices of the leases that are in the way, in their own event loops, and never
waits for those.

A ring may be lost (the bell is full, the holder has not yet entered its lease): askers ring again
as long as they wait. It may come late: then no such lease is here, and nothing happens.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import threading
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from anyio.lowlevel import EventLoopToken

from tusjumbo.lockers import flocks
from tusjumbo.lockers.lanes import in_the_way
from tusjumbo.lockers.loops import post
from tusjumbo.ports import Lease

SUFFIX = ".bell"
_CAPACITY = 65536
"""Linux' size of a FIFO in bytes: one read takes whole rings, because writing one is atomic."""
_RING = re.compile(r"(?P<upload_id>[\w-]{1,128})(?: (?P<lane>[0-9]{1,19}))?", re.ASCII)


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """A lease that can be asked for, and the event loop in which its notice is to be given."""

    lease: Lease
    lane: int | None
    loop: EventLoopToken


class Bell:
    """Opened by making one.

    :raises OSError: the FIFO cannot be made
    """

    def __init__(self, directory: Path) -> None:
        self.name = secrets.token_hex(16) + SUFFIX
        self._entries: dict[str, set[Entry]] = {}
        """What this process holds, by upload id."""
        self._mutex = threading.Lock()
        self.directory = directory
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

    def enter(self, entry: Entry) -> None:
        """Have the lease asked for when the bell rings for it, until `leave`."""
        with self._mutex:
            self._entries.setdefault(entry.lease.upload_id, set()).add(entry)

    def leave(self, entry: Entry) -> None:
        """Repeating it does nothing."""
        with self._mutex:
            entries = self._entries.get(entry.lease.upload_id, set())
            entries.discard(entry)
            if not entries:
                self._entries.pop(entry.lease.upload_id, None)

    def close(self) -> None:
        """End the thread, soon, and remove the FIFO. Once only; does nothing in a forked child."""
        if self._process != os.getpid():
            return
        self._closing = True
        with suppress(BlockingIOError):  # so full that the thread is awake anyway
            os.write(self._writer, b"\n")
        flocks.close_file(self._writer)
        with suppress(OSError):
            os.unlink(self.directory / self.name)

    def join(self) -> None:
        """Wait for the end of the thread, after `close`."""
        self._thread.join()

    def _listen(self) -> None:
        while not self._closing:
            rings = os.read(self._reader, _CAPACITY).decode("ascii", "replace")
            for ring in set(rings.split("\n")):  # several may ask for the same
                if read := _RING.fullmatch(ring):
                    lane = read["lane"]
                    self._ask(read["upload_id"], None if lane is None else int(lane))
        flocks.close_file(self._reader)

    def _ask(self, upload_id: str, lane: int | None) -> None:
        with self._mutex:
            entries = list(self._entries.get(upload_id, ()))
        for entry in entries:
            if in_the_way(lane, (entry.lane,)) and not entry.lease.asked.given:
                post(entry.loop, entry.lease.asked.give)


def ring_others(directory: Path, own: str, upload_id: str, lane: int | None) -> None:
    """Ask all processes but that whose bell is `own` for an upload or a lane of it. Never blocks.

    :raises OSError: the directory cannot be read
    """
    for name in os.listdir(directory):
        if name != own and name.endswith(SUFFIX):
            ring(directory / name, upload_id if lane is None else f"{upload_id} {lane}")


def ring(bell: Path, text: str) -> bool:
    """Write a line into a bell. False if its process has ended, or is ending. Never blocks."""
    try:
        file = os.open(bell, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        return error.errno not in (errno.ENXIO, errno.ENOENT)
    try:
        os.write(file, f"{text}\n".encode("ascii"))
    except BlockingIOError:
        return True  # so many rings wait to be read that ours will be repeated in time
    except BrokenPipeError:
        return False
    finally:
        os.close(file)
    return True
