"""Every broken server is found out, by the row that names the rule.

All of them are one server process in a thread: the first part of the path says which of them is
meant, and each is a wrapper around the same tusjumbo (or one with other settings). The row is run
against the broken server and against the whole one, where it must pass: a row that finds something
everywhere proves nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from conformance.generic import ROWS as GENERAL
from conformance.model import Level, Result, Strictness, Verdict
from conformance.options import Options
from conformance.registry import cases
from conformance.run import look, run
from tests.conformance import (
    broken_around,
    broken_bodies,
    broken_core,
    broken_creation,
    broken_extensions,
    broken_further,
    broken_joins,
)
from tests.conformance.broken import App, Broken, Receive, Send
from tests.server.serving import served
from tusjumbo import TusJumbo
from tusjumbo.server.limits import Limits

BROKEN: tuple[Broken, ...] = (
    *broken_core.BROKEN,
    *broken_creation.BROKEN,
    *broken_extensions.BROKEN,
    *broken_joins.BROKEN,
    *broken_bodies.BROKEN,
    *broken_around.BROKEN,
    *broken_further.BROKEN,
)

USUAL = {"body_timeout": "2s", "lock_timeout": "5s", "max_size": "1GiB", "durability": "os"}
OPTIONS = Options(timeout=3, stall=4)


class Site:
    """`/broken-N/files/` is the broken server of that number, `/whole-N/files/` what is inside."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._tusjumbos: dict[str, TusJumbo] = {}
        self._apps: dict[str, App] = {}

    def path(self, broken: Broken, *, whole: bool = False) -> str:
        """Where it is; made when first asked for."""
        name = f"{'whole' if whole else 'broken'}-{BROKEN.index(broken)}"
        if name not in self._apps:
            inside = broken.inside(self._tusjumbo(broken))
            self._apps[name] = inside if whole else broken.wrap(inside)
        return f"{name}/files/"

    def _tusjumbo(self, broken: Broken) -> TusJumbo:
        options: dict[str, Any] = {**USUAL, **broken.options}
        key = repr(sorted(options.items()))
        if key not in self._tusjumbos:
            place = self._directory / str(len(self._tusjumbos))
            self._tusjumbos[key] = TusJumbo(upload_dir=place, sweep_every=0, **options)
        return self._tusjumbos[key]

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        _, name, _ = scope["path"].split("/", 2)
        root = f"/{name}/files"
        await self._apps[name]({**scope, "root_path": root}, receive, send)


class Bench:
    def __init__(self, site: Site, url: str) -> None:
        self._site = site
        self._url = url
        self._found: dict[object, Result] = {}

    def broken(self, broken: Broken) -> Result:
        """What the row says of the broken server."""
        return self._run(self._site.path(broken), broken)

    def whole(self, broken: Broken) -> Result:
        """What it says of the one inside; asked once for all that are alike."""
        alike = (broken.row, repr(broken.options), broken.inside, broken.shown_by, broken.expiry)
        if alike not in self._found:
            self._found[alike] = self._run(self._site.path(broken, whole=True), broken)
        return self._found[alike]

    def _run(self, path: str, broken: Broken) -> Result:
        options = replace(OPTIONS, expiry=broken.expiry)
        report = run(
            look(self._url + path, options),
            cases(broken.shown_by or [broken.row]),
            options,
            Strictness(),
            wanted=lambda row: row == broken.row,
        )
        return next(result for result in report.results if result.row.id == broken.row)


@pytest.fixture(scope="module", name="bench")
def _bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    site = Site(tmp_path_factory.mktemp("broken"))
    with served(site, Limits(body_timeout=60), loop="asyncio") as server:
        yield Bench(site, server.endpoint.url)


ROWS = {case.row.id for case in cases()} | {row.id for row in GENERAL}


BELOW_HTTP = frozenset({"CWU-05", "PATCH-21", "PATCH-23"})
"""Rows that no ASGI app can break; see `test_fronts`."""


def test_every_row_has_a_breaker() -> None:
    broken = {each.row for each in BROKEN}
    assert ROWS - broken == BELOW_HTTP
    assert broken - ROWS == set()


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.name)
def test_the_row_finds_it(bench: Bench, broken: Broken) -> None:
    result = bench.broken(broken)
    verdict = result.verdict(Strictness())
    caught = {Verdict.FAIL, Verdict.WARN}
    if result.row.level is Level.MAY:
        caught.add(Verdict.INFO)
    assert verdict in caught, (verdict, result.skipped, result.blocked, result.exchanges)
    assert result.findings

    unbroken = bench.whole(broken)
    assert unbroken.verdict(Strictness()) is Verdict.PASS, unbroken
