"""Small bodies: those that are all here when somebody looks. They need no pump.

A few kilobytes come with the head of their request. Then nothing is to be overlapped or committed
on the way, and the whole rest of the request can be one errand (`tusjumbo.hop`). Any other body is
the pump's, from its first byte on: what was seen of it is there once more.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack

import anyio

from tusjumbo.notice import Notice
from tusjumbo.ports import Reading, Source
from tusjumbo.sessions.commands import Content, Digest, Promised
from tusjumbo.sessions.events import Ending

_NOTHING = memoryview(b"")

LARGEST = 64 * 1024
"""Bytes of a small body."""


def may_be_small(content: Content) -> bool:
    """Whether it is worth while to look."""
    size = content.announced
    return size is not None and 0 < size <= LARGEST and content.digest is not Promised.AFTER_BODY


class Peeked:
    """See `tusjumbo.ports.Source`: one that may be looked at before it is read."""

    def __init__(self, source: Source) -> None:
        self.seen = _NOTHING
        """What `look` has seen, and nobody has read since."""
        self._source = source
        self._error: Exception | None = None
        self.closing = source.closing

    async def look(self, size: int, idle: float | None, stops: Iterable[Notice]) -> Ending | None:
        """Wait for the first bytes of a body of `size` bytes.

        END if the whole body is here, and seen. IDLE if nothing came in `idle` seconds. None if
        somebody should read it who knows what to do in any other case.
        """
        if any(notice.given for notice in stops):
            return None
        if self._source.is_here:
            return await self._look(size)
        with anyio.CancelScope() as patience, ExitStack() as silences:
            for notice in stops:
                silences.callback(notice.listen(patience.cancel))
            if idle is not None:
                patience.deadline = anyio.current_time() + idle
            return await self._look(size)
        given = any(notice.given for notice in stops)
        return None if given or self.seen else Ending.IDLE

    async def _look(self, size: int) -> Ending | None:
        try:
            return await self._see(size)
        except Exception as error:
            self._error = error
            return None

    async def _see(self, size: int) -> Ending | None:
        if not await self._source.wait():
            return None
        memory = memoryview(bytearray(size))
        count = self._source.readinto(memory)
        # A slow client keeps what is seen of it waiting, but not the room for the rest.
        self.seen = memory if count == size else memoryview(bytes(memory[:count]))
        if len(self.seen) == size and not await self._source.wait():
            return Ending.END
        return None

    async def wait(self) -> bool:
        if self.seen:
            return True
        if self._error is not None:
            raise self._error
        return await self._source.wait()

    def readinto(self, buffer: memoryview) -> int:
        if not self.seen:
            return self._source.readinto(buffer)
        count = min(len(buffer), len(self.seen))
        buffer[:count] = self.seen[:count]
        self.seen = self.seen[count:] or _NOTHING
        return count

    @property
    def is_here(self) -> bool:
        return self._source.is_here

    @property
    def direct(self) -> Reading | None:
        return None if self.seen else self._source.direct

    def promised(self) -> Digest:
        return self._source.promised()
