"""Pump: moves one body from its source to its place, and says why it stopped.

Two sides, two blocks: `_fill` reads into one block while `_drain` writes the other, so receiving
and writing overlap and memory stays constant. The writing side takes whatever is there as soon as
it is free: pieces grow when the disk is slow and stay small when the client is.

Where the source can be read by a thread, the thread that writes does both (`draw`): the bytes cost
the event loop nothing then. `_fill` only waits for them.

The invariant: `_drain` always gets to the end. It is shielded from cancellation, so whatever the
reason for stopping (the enum `Ending`), the bytes that were read are written and committed. Only
`commit` moves the offset; long bodies are committed at checkpoints, so that even a killed process
costs no more than the last checkpoint's worth of transfer. A body that is kept whole or not at all
is only made durable there, and committed at its end.

The pump knows no session and no protocol. What it may take, and what a commit means, it is told.
"""

from __future__ import annotations

import contextlib
import enum
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import partial

import anyio

from tusjumbo.engine.blocks import Block, Blocks
from tusjumbo.engine.checks import Check
from tusjumbo.errors import ClientDisconnected, SystemFailure
from tusjumbo.notice import Notice
from tusjumbo.ports import Draw, Reading, Source, Writer
from tusjumbo.sessions.commands import Content, Keep
from tusjumbo.sessions.events import Ending
from tusjumbo.sessions.rules import Take


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a body must come, and how often it is committed."""

    idle: float | None = 60.0
    """Seconds without a byte after which the client is given up."""
    min_rate: int = 0
    """Bytes per second that must come on average over `idle` seconds of waiting."""
    checkpoint_bytes: int = 64 * 1024 * 1024
    checkpoint_seconds: float = 1.0


ARRIVED = 1024 * 1024
"""At most so many bytes are still taken from a client whose request has been asked to leave."""


DRAWN = 8 * 1024 * 1024
"""At most so many bytes are drawn in one hop: then it is somebody else's turn."""


QUIET = 2.0
"""Seconds without a byte after which a checked body that is asked to leave does so."""


class Arrived(enum.Enum):
    """What a commit knows of the body: that it is all there, or that it may go on."""

    PREFIX = enum.auto()
    WHOLE = enum.auto()


Commit = Callable[[int, Arrived], Awaitable[None]]
"""Record that everything up to an offset is stored."""


class Pump:
    def __init__(
        self,
        source: Source,
        writer: Writer | None,
        *,
        check: Check,
        take: Take,
        content: Content,
        commit: Commit,
        blocks: Blocks,
        pace: Pace,
        stops: Iterable[tuple[Notice, Ending]] = (),
    ) -> None:
        """`writer` may be None where nothing may be written, because `take` ends at its start."""
        self._source = source
        self._writer = writer
        self._take = take
        self._content = content
        self._commit = commit
        self._blocks = blocks
        self._pace = pace
        self._stops = tuple(stops)

        self._check = check
        self._received = take.start
        self._written = take.start
        self._checkpoint_reached = take.start
        self._checkpoint_at = 0.0
        self._clock = 0.0  # of the loop, ahead of time.monotonic
        self._drawing: Callable[[], Awaitable[None]] | None = None
        self._drawn = anyio.Event()
        self._filling: Block | None = None
        self._filled = anyio.Event()
        self._emptied = anyio.Event()
        self._reading = anyio.CancelScope()
        self._patience = anyio.CancelScope()
        self._is_asked = False
        self._ending: Ending | None = None
        self._failure: Exception | None = None
        self._over = False

    async def run(self) -> Ending:
        """Move the body. When this returns, everything that is to be kept is committed.

        :raises DigestMismatch: the body is whole and wrong; nothing of it was committed
        :raises StaleCommit: :raises SystemFailure: as writing and committing do
        """
        self._checkpoint_at = anyio.current_time()
        self._clock = self._checkpoint_at - time.monotonic()
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._drain)
                try:
                    await self._fill()
                finally:
                    self._over = True
                    self._filled.set()
        finally:
            if self._filling is not None:
                self._blocks.give(self._filling)
        if self._failure is not None:
            raise self._failure
        return self._ending or Ending.CUT

    # --- the reading side ---

    async def _fill(self) -> None:
        silences = [notice.listen(partial(self._leave, ending)) for notice, ending in self._stops]
        try:
            with self._reading:
                self._ending = await self._read()
            if self._keeps_arrived():
                with anyio.CancelScope() as self._reading:
                    self._ending = await self._read_arrived()
        except ClientDisconnected:
            self._ending = Ending.CUT
        except Exception as error:
            self._failure = error
        finally:
            for silence in silences:
                silence()

    def _leave(self, ending: Ending) -> None:
        if self._ending is not None:
            return
        if ending is Ending.ASKED and self._content.keep is Keep.ALL_OR_NOTHING:
            # To leave is to lose everything: with every look at its progress, such an upload would
            # begin anew. Who asks has lost its connection, or this is not its client: then this
            # one is still sending, and who asks can ask again.
            self._is_asked = True
            # Not `anyio.current_time`, which only a task may ask: this may be a call of the loop.
            deadline = time.monotonic() + self._clock + QUIET
            self._patience.deadline = min(self._patience.deadline, deadline)
        else:
            self._ending = ending
            self._reading.cancel()

    def _keeps_arrived(self) -> bool:
        # A closing server does not begin a body: a client that waits for "100 Continue" gets none.
        begun = self._received > self._take.start
        asked = self._ending is Ending.ASKED or (self._ending is Ending.CLOSING and begun)
        return asked and self._failure is None

    async def _read(self) -> Ending:
        waited = 0.0
        arrived = 0
        while True:
            began = anyio.current_time()
            with anyio.move_on_after(
                QUIET if self._is_asked else self._pace.idle
            ) as self._patience:
                more = await self._source.wait()
            if self._patience.cancelled_caught:
                return Ending.ASKED if self._is_asked else Ending.IDLE
            if not more:
                return self._end()
            if self._received == self._take.ceiling:
                return Ending.OVER
            waited += anyio.current_time() - began
            if self._pace.idle is not None and waited >= self._pace.idle:
                if arrived < self._pace.min_rate * waited:
                    return Ending.IDLE
                waited, arrived = 0.0, 0
            arrived += await self._take_in()

    async def _read_arrived(self) -> Ending | None:
        """Asked to leave: whatever has arrived is kept, and nothing is waited for.

        It may even be the end. There is a limit, or a client that pours would never leave.
        """
        stop = self._received + ARRIVED
        while self._received < stop:
            with anyio.move_on_after(0) as patience:
                more = await self._source.wait()
            if patience.cancelled_caught:
                break
            if not more:
                return self._end()
            if self._received == self._take.ceiling:
                return Ending.OVER
            await self._take_in()
        return self._ending

    def _end(self) -> Ending:
        return Ending.END if self._received >= self._take.floor else Ending.SHORT

    async def _take_in(self) -> int:
        read, draw = self._source.direct, None if self._writer is None else self._writer.draw
        if read is not None and draw is not None:
            return await self._have_drawn(partial(self._draw, draw, read))
        block = await self._block_with_room()
        count = self._source.readinto(block.room(self._take.ceiling - self._received))
        block.filled += count
        self._received += count
        self._filled.set()
        return count

    async def _have_drawn(self, drawing: Callable[[], Awaitable[None]]) -> int:
        if self._failure is not None:
            await anyio.sleep_forever()  # nobody is there to do it; this task is being cancelled
        before = self._received
        self._drawing, self._drawn = drawing, anyio.Event()
        self._filled.set()
        # Nobody may look at the source while a thread reads from it.
        with anyio.CancelScope(shield=True):
            await self._drawn.wait()
        return self._received - before

    async def _block_with_room(self) -> Block:
        while self._filling is not None and self._filling.is_full:
            self._emptied = anyio.Event()
            await self._emptied.wait()
        if self._filling is None:
            self._filling = await self._blocks.take()
        return self._filling

    # --- the writing side ---

    async def _drain(self) -> None:
        """Write and commit until the end of what was read. Errors are left for `run` to raise."""
        try:
            with anyio.CancelScope(shield=True):
                while not await self._write_next():
                    pass
                await self._commit_last()
        except Exception as error:
            self._failure = error
            self._reading.cancel()
        finally:
            self._drawn.set()

    async def _write_next(self) -> bool:
        """Write what has been read, if anything, and commit if it is time. True at the end."""
        block = self._filling
        if block is not None and block.filled:
            self._filling = None
            self._emptied.set()
            try:
                await self._write(block)
            finally:
                self._blocks.give(block)
        elif self._drawing is not None:
            drawing, self._drawing = self._drawing, None
            await drawing()
            self._drawn.set()
        elif self._over:
            return True
        else:
            self._filled = anyio.Event()
            with anyio.move_on_after(self._until_checkpoint()):
                await self._filled.wait()
        if self._until_checkpoint() == 0.0:
            await self._checkpoint()
        return False

    async def _write(self, block: Block) -> None:
        async with self._writing() as writer:
            await writer.write(self._written, block.data, self._check.hasher)
        self._written += block.filled

    async def _draw(self, draw: Draw, read: Reading) -> None:
        block = await self._blocks.take()
        limit = min(DRAWN, self._take.ceiling - self._received)
        try:
            async with self._writing():
                await draw(self._received, read, block.memory, limit, self._put, self._check.hasher)
        finally:
            self._blocks.give(block)

    def _put(self, count: int) -> None:
        """So much was drawn and written, by a thread for which everybody here waits."""
        self._received += count
        self._written = self._received

    @contextlib.asynccontextmanager
    async def _writing(self) -> AsyncIterator[Writer]:
        if self._writer is None:
            raise RuntimeError("bytes for an upload that takes none")
        try:
            yield self._writer
        except SystemFailure:
            # The disk may be full: the bytes before these are good, and perhaps the last for now.
            if self._content.keep is Keep.PREFIX:
                with contextlib.suppress(SystemFailure):
                    await self._commit(self._checkpoint_stop, Arrived.PREFIX)
            raise

    @property
    def _checkpoint_stop(self) -> int:
        # A body of unknown size may turn out to be too long, and then must not have completed the
        # upload (AMB-03): the last byte waits for the body's end.
        if self._content.announced is None:
            return min(self._written, self._take.ceiling - 1)
        return self._written

    def _until_checkpoint(self) -> float | None:
        """Seconds until the next checkpoint is due; None if nothing has come since the last."""
        pending = self._checkpoint_stop - self._checkpoint_reached
        if pending <= 0:
            return None
        if pending >= self._pace.checkpoint_bytes:
            return 0.0
        due = self._checkpoint_at + self._pace.checkpoint_seconds
        return max(0.0, due - anyio.current_time())

    async def _checkpoint(self) -> None:
        stop = self._checkpoint_stop
        if self._content.keep is Keep.PREFIX:
            await self._commit(stop, Arrived.PREFIX)
        elif self._writer is not None:
            # Nothing to record yet; but else all of it would have to get to the disk at the end,
            # while the client waits for an answer.
            await self._writer.sync()
        self._checkpoint_reached = stop
        self._checkpoint_at = anyio.current_time()

    async def _commit_last(self) -> None:
        if self._ending is Ending.OVER:
            return
        if self._ending is Ending.END:
            await self._check.verify(self._source, self._writer, self._take.start, self._written)
            await self._commit(self._written, Arrived.WHOLE)
        elif self._content.keep is Keep.PREFIX:
            await self._commit(self._written, Arrived.PREFIX)
