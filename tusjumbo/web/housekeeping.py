"""Housekeeping: what nobody asks for, done while an application lives or after requests.

A lifespan brings recovery at the start, a sweep every now and then, and an orderly end. Where
nobody runs one, a small part of the sweep follows a request now and then, after the answer to it.
"""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio

from tusjumbo.composition import House
from tusjumbo.engine.sweep import Swept
from tusjumbo.ports import Clock
from tusjumbo.web.bodies import Scope, closing_of

_log = logging.getLogger("tusjumbo")

_BATCH = 20
"""How many uploads are swept after a request, where there is no lifespan."""


class Housekeeping:
    def __init__(self, house: House, clock: Clock) -> None:
        self._house = house
        self._every = house.settings.sweep_every
        self._clock = clock
        self._lifespans = 0
        self._swept_at = -math.inf

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Sweep at the start and every `sweep_every`; give everything back at the end."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._keep_sweeping)
            self._lifespans += 1
            try:
                yield
            finally:
                self._lifespans -= 1
                tasks.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            await self._house.aclose()

    async def follow(self, scope: Scope) -> None:
        """What a request leaves to be done after its answer."""
        concatenation = self._house.uploads.concatenation
        if concatenation.has_work:
            closing = closing_of(scope)
            await _quietly(lambda: concatenation.go_on(closing))
        if not self._lifespans:
            await self._sweep_in_passing()

    async def _keep_sweeping(self) -> None:
        if not self._every:
            return
        await _quietly(self._house.sweep.strays)
        while True:
            await _quietly(self._sweep_all)
            await anyio.sleep(self._every)

    async def _sweep_all(self) -> None:
        while _moved(await self._house.sweep.due()):
            pass

    async def _sweep_in_passing(self) -> None:
        """A little of what `lifespan` would do, when it is time."""
        now = self._clock()
        if not self._every or now - self._swept_at < self._every:
            return
        if self._swept_at == -math.inf:
            _log.warning(
                "Nobody runs TusJumbo's lifespan: expired uploads are only looked for after"
                " requests. Use tusjumbo.mount(app, path), or pass lifespan=tusjumbo.lifespan."
            )
        self._swept_at = now
        await _quietly(lambda: self._house.sweep.due(_BATCH))


async def _quietly(work: Callable[[], Awaitable[object]]) -> None:
    """Do what nobody waits for. It is tried again later, so a failure only needs to be known."""
    try:
        await work()
    except Exception:
        _log.exception("Sweeping failed; it will be tried again.")


def _moved(swept: Swept) -> int:
    return swept.finished + swept.abandoned + swept.purged
