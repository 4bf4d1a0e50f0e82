"""Assemblers that are cancelled while they read."""

from __future__ import annotations

import asyncio
import enum
import threading
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
import sniffio

from tusjumbo.application import Arrival, Assembler
from tusjumbo.assemblers import reading


class Cut(enum.Enum):
    SCOPE = "by a cancel scope"
    TASK = "by the task, where that is asyncio's"


async def cut_reading(
    cut: Cut, assembler: Assembler, arrival: Arrival, patch: pytest.MonkeyPatch, module: str
) -> int:
    """Call it, and cancel it when it has read a piece. Returns how many it was given."""
    begun, go_on = threading.Event(), threading.Event()
    given = 0

    def slow(path: Path, size: int = 64 * 1024) -> Iterator[bytes]:
        nonlocal given
        for piece in reading.pieces(path, size):
            given += 1
            yield piece
            if given == 2:
                begun.set()
                assert go_on.wait(30)

    patch.setattr(f"tusjumbo.assemblers.{module}.pieces", slow)

    async def started() -> None:
        with anyio.fail_after(30):
            while not begun.is_set():
                await anyio.sleep(0.001)

    async def call() -> None:
        await assembler(arrival)
        pytest.fail("it was not cancelled")

    if cut is Cut.TASK and sniffio.current_async_library() == "asyncio":
        task = asyncio.ensure_future(call())
        await started()
        task.cancel()
        await asyncio.sleep(0)
        await anyio.to_thread.run_sync(go_on.set)
        with pytest.raises(asyncio.CancelledError):
            await task
    else:
        async with anyio.create_task_group() as group:
            group.start_soon(call)
            await started()
            group.cancel_scope.cancel()
            go_on.set()
    return given
