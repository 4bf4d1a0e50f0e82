from __future__ import annotations

from pathlib import Path

from tests.assemblers.arrivals import arrived
from tusjumbo.application import Assembled
from tusjumbo.assemblers.moving import MoveTo


async def test_moving(tmp_path: Path) -> None:
    arrival = arrived(tmp_path)
    assert await MoveTo("{owner}/{date}/{filename}")(arrival) == Assembled(
        path="alice/2023-11-14/film.mp4"
    )
    assert list(arrival.workspace.iterdir()) == []
