"""The courier with the real outbox."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from tests.hooks.fakes import Listener
from tests.hooks.test_courier import Life, World, down, news
from tusjumbo.catalogs.sqlite import SqliteCatalog
from tusjumbo.settings import Durability


@pytest.mark.parametrize("seed", range(6))
async def test_nothing_is_lost_and_order_is_kept(seed: int, tmp_path: Path) -> None:
    luck = random.Random(seed)
    kinds: list[Callable[[], tuple[str, float | str]]] = [
        lambda: ("post", luck.choice("abc")),
        lambda: ("deliver", luck.randint(1, 8)),
        lambda: ("wait", luck.uniform(0.1, 4000)),
        lambda: ("die", luck.randint(1, 3)),
    ]
    events = [luck.choice(kinds)() for _ in range(60)]
    catalog = SqliteCatalog(tmp_path / "c", Durability.OS)
    await Life(luck, catalog.outbox).live(events)
    await catalog.aclose()


async def test_a_receiver_that_is_dead_does_not_keep_news_from_another(tmp_path: Path) -> None:
    catalog = SqliteCatalog(tmp_path / "c", Durability.OS)
    app, dead = Listener(), Listener("dead", answer=down)
    world = World([app, dead])
    world.courier = world.make(outbox=catalog.outbox)
    await catalog.outbox.post([news(f"u{i}", receiver="dead") for i in range(2000)])
    await catalog.outbox.post([news(f"u{i}") for i in range(100)])
    async with world.running():
        with anyio.fail_after(60):
            while len(app.calls) < 100:
                await anyio.sleep(0.01)
    assert len(dead.calls) < 100
    await catalog.aclose()
