"""One local store in a directory of its own, with either durability."""

from __future__ import annotations

from pathlib import Path

import pytest

from tusjumbo.settings import Durability
from tusjumbo.stores.local import LocalStore


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "uploads"


@pytest.fixture(params=Durability, ids=lambda durability: durability.value)
def durability(request: pytest.FixtureRequest) -> Durability:
    found: Durability = request.param
    return found


@pytest.fixture
def store(root: Path, durability: Durability) -> LocalStore:
    return LocalStore(root, durability)
