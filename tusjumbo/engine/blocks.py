"""Blocks: the memory that bodies pass through, shared by all uploads of a process.

A block is borrowed only while bytes are waiting to be written; an idle upload holds none. The
number of blocks in use is bounded, so a thousand uploads that all wake up at once wait for each
other instead of for the allocator. Nobody waits for a client while holding a block, so every
block comes back.
"""

from __future__ import annotations

import mmap

import anyio
from anyio.lowlevel import RunVar


class Block:
    """`size` bytes of room, of which the first `filled` hold data."""

    __slots__ = ("_memory", "filled")

    def __init__(self, size: int) -> None:
        # Pages of a mapping cost nothing until they are used; a bytearray is zeroed at once, and
        # slow uploads, which fill kilobytes of a block, would make a whole pool resident.
        self._memory = memoryview(mmap.mmap(-1, size, access=mmap.ACCESS_COPY))
        self.filled = 0

    @property
    def memory(self) -> memoryview:
        """All of it, data or not."""
        return self._memory

    @property
    def is_full(self) -> bool:
        return self.filled == len(self._memory)

    @property
    def data(self) -> memoryview:
        return self._memory[: self.filled]

    def room(self, at_most: int) -> memoryview:
        """Where the next bytes go: `at_most` bytes, or less if the block has less room."""
        return self._memory[self.filled : self.filled + at_most]


class Blocks:
    def __init__(self, size: int, limit: int) -> None:
        """Blocks of `size` bytes, of which an event loop may use `limit` at a time."""
        self._size = size
        self._limit = limit
        self._free: list[Block] = []
        self._permits: RunVar[anyio.Semaphore] = RunVar(f"tusjumbo blocks {id(self):x}")

    async def take(self) -> Block:
        """An empty block; waits while all are in use."""
        try:
            permits = self._permits.get()
        except LookupError:
            permits = anyio.Semaphore(self._limit)
            self._permits.set(permits)
        await permits.acquire()
        return self._free.pop() if self._free else Block(self._size)

    def give(self, block: Block) -> None:
        """Take a block back; its data may be overwritten from now on."""
        block.filled = 0
        if len(self._free) < self._limit:
            self._free.append(block)
        self._permits.get().release()
