"""Housekeeping: what nobody asks for, done while an application lives or after requests.

A lifespan brings recovery at the start, a sweep every now and then, and an orderly end. Where
nobody runs one, a small part of the sweep follows a request now and then, after the answer to it.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio

from tusjumbo.composition import House
from tusjumbo.engine.sweep import Swept
from tusjumbo.web.bodies import Scope, closing_of

_log = logging.getLogger("tusjumbo")


class Housekeeping:
    def __init__(self, house: House) -> None:
        self._house = house
        self._every = house.settings.sweep_every
        self._lifespans = 0
        self._is_warned = False

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Sweep at the start and every `sweep_every`; give everything back at the end."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._keep_sweeping)
            tasks.start_soon(self._house.live)
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
        if self._house.has_work:
            closing = closing_of(scope)
            await _quietly(lambda: self._house.follow(closing))
        if not self._lifespans:
            self._warn()
            await self._house.sweep.in_passing(self._every)

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

    def _warn(self) -> None:
        if not self._is_warned and self._every:
            self._is_warned = True
            _log.warning(
                "Nobody runs TusJumbo's lifespan: expired uploads are only looked for after"
                " requests. Use tusjumbo.mount(app, path), or pass lifespan=tusjumbo.lifespan."
            )


async def _quietly(work: Callable[[], Awaitable[object]]) -> None:
    """Do what nobody waits for. It is tried again later, so a failure only needs to be known."""
    try:
        await work()
    except Exception:
        _log.exception("Sweeping failed; it will be tried again.")


def _moved(swept: Swept) -> int:
    return swept.finished + swept.abandoned + swept.purged
