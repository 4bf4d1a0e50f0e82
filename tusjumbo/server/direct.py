"""Direct: the rest of one body, read from the socket straight into the buffers of who wants it.

While a `DirectBody` lives, the transport reads nothing and the parser sees nothing: the kernel's
bytes are copied once, to where they are written from, by whichever thread writes them. Only as many
are read as the body has left, so what follows it on the connection stays where it is.

It owns a duplicate of the socket, because event loops let nobody else wait for one of theirs. The
duplicate must not be closed under a thread that reads from it: its number could be another file's
by then. So both need the mutex, and who cannot close leaves that to the reader.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
import threading

BRISK = 64 << 10
"""Bytes that have come without a pause, from which on a client counts as fast."""
SLOW = 0.5
"""Seconds of silence, from which on it counts as slow."""
MOMENT = 1
"""Milliseconds in which more is to come from a fast one."""


class DirectBody:
    __slots__ = (
        "_brisk",
        "_closing",
        "_has_more",
        "_loop",
        "_mutex",
        "_news",
        "_ready",
        "_socket",
        "is_cut",
        "is_slow",
        "left",
    )

    def __init__(
        self, loop: asyncio.AbstractEventLoop, wire: socket.socket, left: int, came: int
    ) -> None:
        """Read the next `left` bytes from a stream, of which `came` have come without a pause.

        :raises OSError: no more files can be opened
        """
        self._loop = loop
        file = os.dup(wire.fileno())
        self._socket = socket.socket(wire.family, socket.SOCK_STREAM, wire.proto, file)
        self._socket.setblocking(False)  # which it is; but Python does not know
        self._mutex = threading.Lock()
        self._closing = False
        self._ready: asyncio.Future[None] | None = None
        self._news = select.poll()
        self._news.register(self._socket, select.POLLIN)
        self._brisk = came
        """Bytes that have come since the client was last waited for."""
        self._has_more = False
        """Whether there was no room for all that there was, most likely."""
        self.left = left
        """Bytes of the body that have not been read."""
        self.is_cut = False
        """Whether the client has gone before the end."""
        self.is_slow = False
        """Whether it takes its time, so that a file of its own is too much for it."""

    @property
    def is_awaited(self) -> bool:
        """Whether somebody waits for the client."""
        return self._ready is not None

    @property
    def is_over(self) -> bool:
        return not self.left or self.is_cut or self._closing

    async def wait(self) -> None:
        """Return when there is something to read, or a good chance; also if it should be that
        nothing more comes, or not soon, or when this is closed. A cancelled call has taken nothing.
        """
        has_more, self._has_more = self._has_more, False
        if has_more or self.is_over:
            return
        self._brisk = 0
        file = self._socket.fileno()
        self._ready = ready = self._loop.create_future()
        self._loop.add_reader(file, self._wake)
        rest = self._loop.call_later(SLOW, self._give_up)
        try:
            await ready
        finally:
            self._ready = None
            rest.cancel()
            if not self._closing:
                self._loop.remove_reader(file)

    def _give_up(self) -> None:
        self.is_slow = True
        self._wake()

    def _wake(self) -> None:
        if self._ready is not None and not self._ready.done():
            self._ready.set_result(None)

    def readinto(self, buffer: memoryview) -> int:
        """Move bytes that wait into `buffer` and return how many. Never blocks."""
        with self._mutex:
            count = 0 if self.is_over or not buffer else self._receive(buffer[: self.left])
        if self._closing:
            self._close()
        return count

    def draw(self, buffer: memoryview) -> int:
        """The same for a thread, which waits a moment for a client that is sending fast.

        To go to sleep and be woken for every few packets would cost more than receiving them.
        """
        count = self.readinto(buffer)
        if not count and self._brisk >= BRISK and not self.is_over:
            with self._mutex:
                self._news.poll(MOMENT)
            count = self.readinto(buffer)
        self._brisk += count
        self._has_more = count == len(buffer)
        return count

    def _receive(self, buffer: memoryview) -> int:
        try:
            count = self._socket.recv_into(buffer)
        except BlockingIOError:
            return 0
        except OSError:
            count = 0
        self.left -= count
        self.is_cut = not count
        return count

    def close(self) -> bool:
        """Read no more. False if a thread is just reading. To be called by the event loop."""
        if self._ready is not None:
            self._loop.remove_reader(self._socket.fileno())
            self._wake()
        self._closing = True
        return self._close()

    def _close(self) -> bool:
        if not self._mutex.acquire(blocking=False):
            return False  # who reads comes here afterwards
        try:
            self._socket.close()
        finally:
            self._mutex.release()
        return True
