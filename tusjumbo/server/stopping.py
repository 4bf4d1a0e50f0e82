"""Stopping: uvicorn's server, which can start, and our way to end.

To stop is to take no new connections, to give the closing notice (so that running uploads commit
what they have and answer), to close connections on which nothing happens, and to wait: at most
`shutdown_timeout`, then requests are cancelled and get a moment for what they must not leave half
done. All of that is success, and the exit code 0. A second signal cuts the waiting short.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from socket import socket
from types import FrameType

import uvicorn
from uvicorn.config import STARTUP_FAILURE

from tusjumbo.server.limits import UploadConfig

FORCED = 1
"""Exit code after a second signal."""

GRACE = 5.0
"""Seconds that cancelled requests, and then the app's lifespan, may take to finish."""

TICK = 0.05

_logger = logging.getLogger("tusjumbo")


class UploadServer(uvicorn.Server):
    def __init__(self, config: UploadConfig, on_started: Callable[[], None] = lambda: None) -> None:
        super().__init__(config)
        self.limits = config.limits
        self._on_started = on_started

    def work(self, sockets: list[socket]) -> int:
        """Serve until a signal comes; the exit code."""
        if not self.config.loaded:
            self.config.load()  # not in the event loop: a factory may block
        try:
            self.run(sockets)
        except SystemExit as failure:  # the app's lifespan failed
            return failure.code if isinstance(failure.code, int) else STARTUP_FAILURE
        return FORCED if self.force_exit else 0

    async def startup(self, sockets: list[socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_started()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        # uvicorn keeps the signal and dies of it at the end; being told to stop is no accident.
        self.force_exit = self.should_exit
        self.should_exit = True

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        for listener in [*self.servers, *(sockets or ())]:
            listener.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()  # which also tells its requests
        await self._until_quiet(self.limits.shutdown_timeout or math.inf)
        await self._cancel()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        if not self.force_exit:
            await self._end_lifespan()

    async def _until_quiet(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        state = self.server_state
        # Connections tell nobody that they are gone, and a signal handler cannot set an event.
        while (state.connections or state.tasks) and loop.time() < end and not self.force_exit:  # noqa: ASYNC110
            await asyncio.sleep(TICK)

    async def _cancel(self) -> None:
        tasks = list(self.server_state.tasks)
        if not tasks:
            return
        _logger.warning("Time is up: cancelling requests (%d).", len(tasks))
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=GRACE)

    async def _end_lifespan(self) -> None:
        try:
            async with asyncio.timeout(GRACE):
                await self.lifespan.shutdown()
        except TimeoutError:
            _logger.warning("The app did not finish its shutdown in %g s.", GRACE)
