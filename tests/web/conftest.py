from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.web.browsing import Browser, Clock
from tusjumbo.web.asgi import TusJumbo

Serve = Callable[..., TusJumbo]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def upload_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
async def serve(upload_dir: Path, clock: Clock) -> AsyncIterator[Serve]:
    """Makes servers in the test's directory, and closes them at the end."""
    async with AsyncExitStack() as stack:

        def make(**options: Any) -> TusJumbo:
            quick = {"durability": "os", "sweep_every": 0, "body_timeout": 10}
            tus = TusJumbo(**{"upload_dir": upload_dir, "clock": clock, **quick, **options})
            stack.push_async_callback(tus.house.aclose)
            return tus

        yield make


@pytest.fixture
def browser(serve: Serve) -> Browser:
    return Browser(serve())
