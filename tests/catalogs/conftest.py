"""One catalog in a directory of its own, with either durability."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import anyio
import pytest

from tusjumbo.catalogs.sqlite import SqliteCatalog
from tusjumbo.settings import Durability
from tusjumbo.testing.catalogs import PATIENT


@pytest.fixture(params=Durability, ids=lambda durability: durability.value)
def durability(request: pytest.FixtureRequest) -> Durability:
    found: Durability = request.param
    return found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "catalog.sqlite3"


@pytest.fixture
async def catalog(path: Path, durability: Durability) -> AsyncIterator[SqliteCatalog]:
    catalog = SqliteCatalog(path, durability)
    yield catalog
    await catalog.aclose()


async def until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(PATIENT):
        while not condition():
            await anyio.sleep(0.001)
