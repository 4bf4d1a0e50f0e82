"""Courier: brings what is in the outbox to the receivers, at least once, whatever dies meanwhile.

Each receiver has a line of its own: its news are claimed for it alone, by as many as it may be told
side by side, so that one that is slow or dead takes nothing from the others. Of an upload only the
oldest untold news can be claimed, so a line keeps the order by itself. What failed is told again
with growing pauses; a receiver that fails for several uploads in a row is then asked with one at a
time until it takes one.

A claim ends by itself, so whoever dies with one loses nothing; who is only stopped gives it back.
A key never changes, and what was told twice had the same one. Nothing is kept here that the outbox
does not know, but for how the receivers did of late.
"""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import anyio
from anyio.abc import TaskGroup
from anyio.lowlevel import EventLoopToken, current_token

from tusjumbo.application import Hook, HookAnswer, News, Outbox, Receiver
from tusjumbo.errors import HookFailed, SystemFailure
from tusjumbo.ports import Clock
from tusjumbo.sessions.session import UploadSession

FIRST_PAUSE = 1.0
"""Seconds after the first failure, at most; twice that after the second, and so on."""
LONGEST_PAUSE = 3600.0
LONGEST_REST = 60.0
"""Seconds for which a receiver that fails is left alone, at most."""
DEAD_AFTER = 5
"""Uploads for which it has failed in a row, until it is taken for dead."""
LOOK = 5.0
"""Seconds after which to look by oneself: other processes leave news as well, and may die."""
TIDY_EVERY = 3600.0
_TO_BE_SEEN = 86400.0
_DOUBLINGS = 32
"""More of them change nothing, and there may have been any number of attempts."""
_BREATH = 0.05
"""Seconds between two looks at least, unless somebody rings."""
_RELEASE = 2.0
"""Seconds that giving claims back may hold up a shutdown."""

_log = logging.getLogger("tusjumbo")


class Rings(Protocol):
    def listen(self, listener: Callable[[], None]) -> None:
        """Have it called whenever there may be news."""
        ...


@dataclass(eq=False, slots=True)
class _Line:
    """A receiver, and how it does."""

    receiver: Receiver
    bell: _Bell = field(default_factory=lambda: _Bell())
    in_hand: set[int] = field(default_factory=set)
    """The numbers of the news that it is being told."""
    failed: set[str] = field(default_factory=set)
    """Uploads for which it has failed since it took anything."""
    rests: int = 0
    rests_until: float = -math.inf

    def free(self, now: float, concurrency: int) -> int:
        """How many more it may be told now."""
        if now < self.rests_until:
            return 0
        at_once = 1 if len(self.failed) >= DEAD_AFTER else concurrency
        return max(0, at_once - len(self.in_hand))


class Courier:
    def __init__(
        self,
        outbox: Outbox,
        receivers: Sequence[Receiver],
        clock: Clock,
        *,
        stop_upload: Callable[[str], Awaitable[None]],
        locate: Callable[[UploadSession], Awaitable[Path | None]],
        asking: Rings | None = None,
        retry_for: float = 3 * 86400.0,
        lease: float = 65.0,
        concurrency: int = 16,
        keep: float = 7 * 86400.0,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """`asking` rings when there are news. Times are seconds.

        `lease`: after which a claim ends; longer than any receiver takes. `retry_for`: after which
        news that fail again are given up. `concurrency`: how many a receiver is told side by side.
        `keep`: how long news that were told or given up can be looked at. `chance`: in [0, 1).
        """
        self._outbox = outbox
        self._lines = {
            receiver.name: _Line(receiver)
            for receiver in receivers
            if any(not hook.asks for hook in receiver.hooks)
        }
        self._clock = clock
        self._stop_upload = stop_upload
        self._locate = locate
        self._retry_for = retry_for
        self._lease = lease
        self._concurrency = concurrency
        # What was given up is as old as `retry_for` then, and has to be seen for a while.
        self._keep = max(keep, retry_for + _TO_BE_SEEN)
        self._chance = chance
        self._tidied_at = -math.inf
        if asking is not None:
            asking.listen(self._ring)

    # --- how long ---------------------------------------------------------------------------------

    async def deliver(self, limit: int) -> int:
        """Tell what is due, and what follows from that, and return how many were tried.

        No more than `limit`, shared among the receivers. For where nobody runs `run`.
        """
        if not self._lines:
            return 0
        share = -(-limit // len(self._lines))
        tried: list[int] = []

        async def serve(line: _Line) -> None:
            tried.append(await self._deliver(line, share))

        async with anyio.create_task_group() as tasks:
            for line in self._lines.values():
                tasks.start_soon(serve, line)
        await self._tidy()
        return sum(tried)

    async def run(self) -> None:
        """Tell what there is, and what there will be, until cancelled."""
        if not self._lines:
            await anyio.sleep_forever()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._keep_tidy)
            for line in self._lines.values():
                tasks.start_soon(self._serve, line)

    async def _deliver(self, line: _Line, limit: int) -> int:
        tried = 0
        while tried < limit:
            try:
                claimed = await self._claim(line, limit - tried)
            except SystemFailure:
                _log.exception("The outbox could not be read; it will be tried again.")
                break
            if not claimed:
                break
            tried += len(claimed)
            async with anyio.create_task_group() as tasks:
                for news in claimed:
                    tasks.start_soon(self._bring, line, news)
        return tried

    async def _serve(self, line: _Line) -> None:
        async with anyio.create_task_group() as tasks:
            while True:
                heard = line.bell.count
                try:
                    pause = await self._hand_out(line, tasks)
                except SystemFailure:
                    _log.exception("The outbox could not be read; it will be tried again.")
                    pause = LOOK
                await line.bell.wait(heard, pause)

    async def _hand_out(self, line: _Line, tasks: TaskGroup) -> float:
        """Have told what may be told now. Returns the seconds after which to look again."""
        for news in await self._claim(line, self._concurrency):
            tasks.start_soon(self._bring, line, news)
        now = self._clock()
        if now < line.rests_until:
            return min(LOOK, line.rests_until - now)
        if not line.free(now, self._concurrency):
            return LOOK
        due = await self._outbox.next_due([line.receiver.name])
        return LOOK if due is None else min(LOOK, max(_BREATH, due - self._clock()))

    async def _claim(self, line: _Line, limit: int) -> Sequence[News]:
        now = self._clock()
        free = min(limit, line.free(now, self._concurrency))
        if free <= 0:
            return ()
        claimed = await self._outbox.claim([line.receiver.name], now, now + self._lease, free)
        # A receiver may take longer than it should: what it is being told is not told it again.
        fresh = [news for news in claimed if news.number not in line.in_hand]
        line.in_hand.update(news.number for news in fresh)
        return fresh

    def _ring(self) -> None:
        for line in self._lines.values():
            line.bell.ring()

    # --- one piece of news ------------------------------------------------------------------------

    async def _bring(self, line: _Line, news: News) -> None:
        """Tell it, and record what came of that."""
        try:
            try:
                problem = await self._tell(line, news)
            except anyio.get_cancelled_exc_class():
                await self._release(news)
                raise
            with anyio.CancelScope(shield=True):
                if problem:
                    await self._has_failed(line, news, problem)
                else:
                    line.failed.clear()
                    line.rests, line.rests_until = 0, -math.inf
                    await self._outbox.settle(news, self._clock())
        except SystemFailure:
            _log.exception("News %d could not be recorded as told or not.", news.number)
        finally:
            line.in_hand.discard(news.number)
            line.bell.ring()

    async def _tell(self, line: _Line, news: News) -> str:
        """What went wrong; empty if nothing did."""
        call = news.call
        try:
            path = await self._locate(call.session)
            said: object = await line.receiver(replace(call, path=path))
            if call.hook is Hook.POST_RECEIVE and isinstance(said, HookAnswer) and said.stop:
                # Before it is settled: who dies here is told again to stop it.
                await self._stop_upload(call.session.id)
        except HookFailed as failure:
            return failure.problem or "it failed"
        except Exception as error:
            _log.exception("%s: telling %s failed", call.hook.value, line.receiver.name)
            return f"{type(error).__name__}: {error}"
        return ""

    async def _has_failed(self, line: _Line, news: News, problem: str) -> None:
        now, call = self._clock(), news.call
        is_given_up = now >= news.created_at + self._retry_for
        if len(line.failed) < DEAD_AFTER:
            line.failed.add(call.session.id)
        if len(line.failed) >= DEAD_AFTER and not is_given_up:
            line.rests += 1
            line.rests_until = now + self._pause(line.rests, LONGEST_REST)
        about = (call.hook.value, call.session.id, line.receiver.name)
        if is_given_up:
            _log.error(
                "%s of %s is given up: %s has not taken it in %d attempts (%s)."
                " To tell it again: tusjumbo replay %d",
                *(*about, news.attempts, problem, news.number),
            )
            await self._outbox.postpone(news, None, problem)
            return
        pause = self._pause(news.attempts, LONGEST_PAUSE)
        _log.warning(
            "%s of %s: %s has not taken it (attempt %d): %s; again in %.0f s",
            *(*about, news.attempts, problem, pause),
        )
        await self._outbox.postpone(news, now + pause, problem)

    def _pause(self, failures: int, longest: float) -> float:
        """Anything up to twice the time before, so that what failed together comes apart."""
        doublings = min(max(0, failures - 1), _DOUBLINGS)
        return (1.0 - self._chance()) * min(longest, FIRST_PAUSE * 2.0**doublings)

    async def _release(self, news: News) -> None:
        """Let whoever comes next have it, without waiting for the claim to end."""
        with anyio.move_on_after(_RELEASE, shield=True):
            try:
                await self._outbox.postpone(news, self._clock(), news.problem)
            except SystemFailure:
                _log.exception("News %d stay claimed for a while.", news.number)

    # --- what has been told -----------------------------------------------------------------------

    async def _keep_tidy(self) -> None:
        while True:
            await self._tidy()
            await anyio.sleep(TIDY_EVERY)

    async def _tidy(self) -> None:
        """Forget what was told, or given up, long ago; now and then."""
        now = self._clock()
        if now - self._tidied_at < TIDY_EVERY:
            return
        self._tidied_at = now
        try:
            await self._outbox.forget_told(now - self._keep)
        except SystemFailure:
            _log.exception("Old news could not be forgotten; it will be tried again.")


class _Bell:
    """Wakes who waits in the same event loop. Ringing elsewhere is heard at the next look."""

    __slots__ = ("_waiting", "count")

    def __init__(self) -> None:
        self._waiting: dict[anyio.Event, EventLoopToken] = {}
        self.count = 0
        """How often it has rung."""

    def ring(self) -> None:
        self.count += 1
        if not self._waiting:
            return
        try:
            here = current_token()
        except anyio.NoEventLoopError:
            return
        for event, loop in list(self._waiting.items()):
            if loop == here:
                event.set()

    async def wait(self, heard: int, seconds: float) -> None:
        """Until it has rung more than `heard` times, or for `seconds`."""
        await anyio.lowlevel.checkpoint()
        if self.count != heard:
            return
        event = anyio.Event()
        self._waiting[event] = current_token()
        try:
            with anyio.move_on_after(seconds):
                await event.wait()
        finally:
            self._waiting.pop(event, None)
