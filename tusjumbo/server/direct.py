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
import socket
import threading


class DirectBody:
    __slots__ = (
        "_closing",
        "_loop",
        "_mutex",
        "_ready",
        "_socket",
        "is_cut",
        "left",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, file: int, left: int) -> None:
        """Read the next `left` bytes from the socket with the number `file`, a stream.

        :raises OSError: no more files can be opened
        """
        self._loop = loop
        self._socket = socket.socket(fileno=os.dup(file))
        self._mutex = threading.Lock()
        self._closing = False
        self._ready: asyncio.Future[None] | None = None
        self.left = left
        """Bytes of the body that have not been read."""
        self.is_cut = False
        """Whether the client has gone before the end."""

    @property
    def is_awaited(self) -> bool:
        """Whether somebody waits for the client."""
        return self._ready is not None

    @property
    def is_over(self) -> bool:
        return not self.left or self.is_cut or self._closing

    async def wait(self) -> None:
        """Return when there is something to read, also if it should be that nothing more comes, or
        when this is closed. A cancelled call has taken nothing.
        """
        if self.is_over:
            return
        file = self._socket.fileno()
        self._ready = ready = self._loop.create_future()
        self._loop.add_reader(file, self._wake)
        try:
            await ready
        finally:
            self._ready = None
            if not self._closing:
                self._loop.remove_reader(file)

    def _wake(self) -> None:
        if self._ready is not None and not self._ready.done():
            self._ready.set_result(None)

    def readinto(self, buffer: memoryview) -> int:
        """Move bytes that wait into `buffer` and return how many. Never blocks. In any thread."""
        with self._mutex:
            count = 0 if self.is_over or not buffer else self._read(buffer[: self.left])
        if self._closing:
            self._close()
        return count

    def _read(self, buffer: memoryview) -> int:
        try:
            count = self._socket.recv_into(buffer, 0, socket.MSG_DONTWAIT)
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
