"""Growth: what things cost, by how many uploads there are; each function returns a table.

Catalogs are filled in one transaction with rows like those of real clients (`catalogs.session`),
directories with empty files: what is looked at is the lookup, not the bytes.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import anyio
import psutil

from tests.benchmarks.catalogs import WEEK, end_all, ended, fill, longer, session
from tests.benchmarks.measure import Bench
from tests.benchmarks.servers import Running
from tests.benchmarks.tools import BenchmarkError, compiled
from tests.benchmarks.workloads import WORKLOADS
from tests.harness.process import Server
from tusjumbo.catalogs.commits import Change
from tusjumbo.catalogs.sqlite import SqliteCatalog
from tusjumbo.cli import inspecting
from tusjumbo.composition import CATALOG, House, compose
from tusjumbo.jumbo.asynchronous import AsyncJumbo
from tusjumbo.sessions.session import Phase, UploadSession
from tusjumbo.settings import Durability, UploadSettings

AS_USUAL = {"TUSJUMBO_DIRECT_FROM": "64KiB"}
"""Servers of tests read bodies in unusual ways."""
_TIMES = 300
_DUE = 1000
_LATER = WEEK + 2 * 604_800
Work = Callable[[], Awaitable[object]]


@dataclass(frozen=True)
class Cost:
    wall: float
    cpu: float

    def __str__(self) -> str:
        return f"{self.wall * 1e6:,.0f} / {self.cpu * 1e6:,.0f}"


async def cost(work: Work, times: int = _TIMES, per: int = 1) -> Cost:
    """Seconds of one time: the median of the wall's, the mean of the processor's."""
    took = []
    before = time.process_time()
    for _ in range(times):
        began = time.perf_counter()
        await work()
        took.append(time.perf_counter() - began)
    return Cost(median(took) / per, (time.process_time() - before) / times / per)


def tabled(corner: str, sizes: Sequence[int], rows: dict[str, list[Any]]) -> str:
    heads = [corner, *(f"{size:,}" for size in sizes)]
    lines = [heads, ["---", *["---:"] * len(sizes)], *([name, *row] for name, row in rows.items())]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + "\n"


def filled(path: Path, size: int, *, done: bool) -> None:
    """A catalog of so many sessions."""
    catalog = SqliteCatalog(path, Durability.OS)
    catalog._writer.carry_out([Change(partial(fill, size))])
    if done:
        catalog._writer.carry_out([Change(partial(end_all, size))])
    anyio.run(catalog.aclose)


# --- the catalog ---------------------------------------------------------------------------------


def curve_of_catalogs(room: Path, sizes: Sequence[int]) -> str:
    rows: dict[str, list[Cost]] = {}
    for size in sizes:
        settings = UploadSettings(upload_dir=room / str(size), durability=Durability.OS)
        settings.upload_dir.mkdir()
        filled(settings.upload_dir / CATALOG, size, done=False)
        for name, each in anyio.run(_uses, settings, size):
            rows.setdefault(name, []).append(each)
        rows.setdefault("CLI: list, per session", []).append(_listed(settings, size))
    return tabled("µs, wall / CPU; sessions:", sizes, rows)


async def _uses(settings: UploadSettings, size: int) -> list[tuple[str, Cost]]:
    now = WEEK
    house = compose(settings, clock=lambda: now)
    catalog = house.catalog
    numbers = itertools.count()

    def upload_id() -> str:
        return session(next(numbers) * 31 % size, size).id

    def fresh() -> UploadSession:
        number = next(numbers)
        return replace(session(0, size), id=f"jumbo_new{number:029}", expires_at=None)

    plain: list[tuple[str, Work]] = [
        ("create", lambda: catalog.create(fresh())),
        ("load", lambda: catalog.load(upload_id())),
        ("update", lambda: catalog.update(upload_id(), longer)),
        ("listing, 100", lambda: catalog.listing(limit=100)),
        ("listing of the open, 100", lambda: catalog.listing(phase=Phase.OPEN, limit=100)),
        ("due, nothing", lambda: catalog.due(WEEK, 1000)),
        ("sweep, nothing due", house.sweep.due),
        ("statistics, all open", lambda: house.uploads.survey()),
    ]
    found = [(name, await cost(work)) for name, work in plain]
    found.append(await _active(settings, size))
    now = _LATER  # all have expired
    count = min(size, _DUE)
    swept = await cost(lambda: house.sweep.due(count), 1, count)
    found.append(("sweep of 1,000 due, per upload", swept))
    found.append(("finish", await _finishes(house, size, min(_TIMES, size))))
    await house.aclose()
    return found


async def _active(settings: UploadSettings, size: int) -> tuple[str, Cost]:
    jumbo = AsyncJumbo(settings=settings)

    async def all_of_them() -> None:
        async for _ in jumbo.active_uploads():
            pass

    each = await cost(all_of_them, 1, size)
    await jumbo.aclose()
    return "active_uploads, per session", each


async def _finishes(house: House, size: int, times: int) -> Cost:
    numbers = iter(range(times))
    return await cost(
        lambda: house.catalog.update(session(next(numbers) * 31 % size, size).id, ended), times
    )


def _listed(settings: UploadSettings, size: int) -> Cost:
    """The command's work with its output thrown away."""
    before, began = time.process_time(), time.perf_counter()
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
        inspecting.list_uploads(settings, None, as_json=False)
    return Cost((time.perf_counter() - began) / size, (time.process_time() - before) / size)


# --- uploads -------------------------------------------------------------------------------------


def curve_of_uploads(room: Path, sizes: Sequence[int], seconds: float, cache: Path) -> str:
    """Requests/s and CPU of the server beside finished uploads, in its directory and catalog."""
    rows: dict[str, list[str]] = {}
    bench = Bench(compiled("load", cache), compiled("slowsync", cache), room, settle=False)
    for size in sizes:
        directory = room / str(size)
        (directory / "completed").mkdir(parents=True)
        for number in range(size):
            (directory / "completed" / f"hello-{number:08}.txt").touch()
        filled(directory / CATALOG, size, done=True)
        options = ("--durability=os", "--log-level=error")
        with Server(directory, *options, environment=AS_USUAL) as server:
            for name, text in _loads(bench, server, seconds):
                rows.setdefault(name, []).append(text)
    return tabled("requests/s, µs of CPU each; finished before:", sizes, rows)


def _loads(bench: Bench, server: Server, seconds: float) -> list[tuple[str, str]]:
    found = []
    up = Running(f"http://127.0.0.1:{server.endpoint.port}/files/", None, None, owned=True)
    process: psutil.Process = server.main
    for row in WORKLOADS:
        if row.name in ("W4a", "W4b", "W5"):
            bench._load(up, replace(row, seconds=0.3))
            used = process.cpu_times()
            told = bench._load(up, replace(row, seconds=seconds))
            now = process.cpu_times()
            if told["errors"]:
                raise BenchmarkError(f"{row.name}: {told['samples']}")
            spent = now.user + now.system - used.user - used.system
            rate = told["requests"] / told["seconds"]
            found.append((row.title, f"{rate:,.0f}, {spent / told['requests'] * 1e6:.0f}"))
    return found
