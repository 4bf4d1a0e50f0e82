"""Chores: uploads that are finished for nobody who waits, now or when it is their time again.

What a request leaves is remembered here with what the request was, for speed and for the hooks; the
catalog remembers it too. So what this process forgets when it dies, and what failed and is to be
tried again, is found there, by any process. Those that somebody else is at are left alone.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
from anyio.lowlevel import EventLoopToken, current_token

from tusjumbo.application import NOBODY, Origin
from tusjumbo.engine.finish import Finish
from tusjumbo.engine.means import Means
from tusjumbo.errors import (
    AssemblyFailed,
    MediaTypeRefused,
    StaleCommit,
    UploadLocked,
    UploadNotFound,
    UploadRejected,
)
from tusjumbo.sessions.session import Phase, UploadSession

_log = logging.getLogger("tusjumbo")

AT_ONCE = 4
"""Uploads that are finished side by side."""
LOOK_EVERY = 2.0
"""Seconds after which others are looked for: whose process died, or whose time has come again."""
_MOST = 1000
"""Uploads that are looked for at once."""


@dataclass
class Chores:
    means: Means
    finish: Finish
    _left: dict[str, Origin] = field(default_factory=dict)
    _bell: tuple[EventLoopToken, anyio.Event] | None = None

    def leave(self, session: UploadSession, origin: Origin) -> None:
        """An upload that is all in is to be finished. Never blocks."""
        self._left.setdefault(session.id, origin)
        # Another loop's requests are found by looking: an event may only be set in its own.
        if self._bell is not None and self._bell[0] is current_token():
            self._bell[1].set()

    @property
    def has_work(self) -> bool:
        """Whether a request has left something."""
        return bool(self._left)

    async def go_on(self) -> None:
        """Do what requests have left."""
        while self._left:
            left, self._left = self._left, {}
            await self._finish_all(left)

    async def look(self) -> None:
        """Finish whatever the catalog says is due."""
        found = await self.means.catalog.due(
            self.means.clock(), _MOST, (Phase.SEALED, Phase.ASSEMBLING)
        )
        await self._finish_all({it.id: self._left.pop(it.id, NOBODY) for it in found})

    async def run(self) -> None:
        """Do both for ever."""
        while True:
            bell = anyio.Event()
            self._bell = current_token(), bell
            try:
                await self.go_on()
                await self.look()
            except Exception:
                _log.exception("Looking for uploads to finish failed; it will be tried again.")
            with anyio.move_on_after(0 if self._left else LOOK_EVERY):
                await bell.wait()

    async def _finish_all(self, uploads: dict[str, Origin]) -> None:
        places = anyio.Semaphore(AT_ONCE)
        async with anyio.create_task_group() as tasks:
            for upload_id, origin in uploads.items():
                await places.acquire()
                tasks.start_soon(self._finish, upload_id, origin, places)

    async def _finish(self, upload_id: str, origin: Origin, places: anyio.Semaphore) -> None:
        async with _given_back(places):
            try:
                await self.finish.alone(upload_id, origin)
            except (UploadLocked, UploadNotFound, StaleCommit):
                return  # somebody else has it, or it has gone
            except (MediaTypeRefused, UploadRejected, AssemblyFailed):
                return  # that was told, and logged, by who refused it
            except Exception:
                _log.exception("Upload %s could not be finished; it will be tried.", upload_id)


@asynccontextmanager
async def _given_back(places: anyio.Semaphore) -> AsyncIterator[None]:
    try:
        yield
    finally:
        places.release()
