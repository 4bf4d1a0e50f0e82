"""The way into an event loop from another thread, for those who cannot wait there.

Not `anyio.from_thread.run_sync`: that waits for its answer, and for ever if the loop has stopped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol, cast

from anyio.lowlevel import EventLoopToken


class _TrioToken(Protocol):
    def run_sync_soon(self, call: Callable[[], object]) -> None: ...


def post(loop: EventLoopToken, call: Callable[[], object]) -> bool:
    """Have `call` made in `loop`, soon. Never blocks. False if the loop is over."""
    native = loop.native_token
    try:
        if isinstance(native, asyncio.AbstractEventLoop):
            native.call_soon_threadsafe(call)
        else:
            cast(_TrioToken, native).run_sync_soon(call)
    except RuntimeError:  # what a closed asyncio loop raises; trio.RunFinishedError is one as well
        return False
    return True
