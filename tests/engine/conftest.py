from __future__ import annotations

import pytest

from tests.engine.fakes import Script


@pytest.fixture(autouse=True, params=[False, True], ids=["copied", "drawn"])
def way_of_bodies(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bodies that only the event loop may read, and such as a thread may read: all the same."""
    monkeypatch.setattr(Script, "is_direct", request.param)
