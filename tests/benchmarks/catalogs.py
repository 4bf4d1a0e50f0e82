"""What the catalog costs: `python -m tests.benchmarks.catalogs [DIRECTORY] [SESSIONS]`.

Changes: one at a time, as the engine sees them, with the way to a thread and back; plain, with the
digest of a chunk, and one that ends the upload. Then every question, while all of the sessions are
open, and once all of them are done: no answer may cost what is recorded, but for the count of the
open ones, which reads an index. A recorded session is a row like those of real clients.
"""

from __future__ import annotations

import itertools
import sqlite3
import sys
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import anyio

from tests.benchmarks.locks import report, times
from tusjumbo.catalogs.commits import Change
from tusjumbo.catalogs.sqlite import SqliteCatalog, _create, _update
from tusjumbo.sessions.quotas import Quota
from tusjumbo.sessions.session import ChunkDigest, Phase, UploadSession
from tusjumbo.settings import Durability

SESSIONS = 100_000
CHANGES = 2000
QUESTIONS = 50
MIB = 1 << 20
WEEK = 1_700_000_000.0
"""When the first session began. They come evenly through a week, and take a minute each."""


def session(number: int, of: int) -> UploadSession:
    began = WEEK + number * 604_800 / of
    return UploadSession(
        id=f"jumbo_{number * 7919 % of:032}",
        created_at=began,
        updated_at=began + 60,
        length=1000 * MIB + number,
        chunk_size=MIB,
        metadata={"filename": b"hello.txt", "filetype": b"text/plain"},
        echo={"upload-metadata": "filename aGVsbG8udHh0,filetype dGV4dC9wbGFpbg=="},
        expires_at=began + 604_800,
    )


def longer(before: UploadSession) -> UploadSession:
    stop = before.ranges.stop + MIB
    return replace(
        before,
        ranges=before.ranges.add(before.ranges.stop, stop),
        updated_at=before.updated_at + 1,
        rate=float(stop),
    )


def ended(before: UploadSession) -> UploadSession:
    return replace(before, phase=Phase.DONE)


def fill(sessions: int, connection: sqlite3.Connection) -> None:
    for number in range(sessions):
        _create(session(number, sessions), None, Quota(), connection)


def end_all(sessions: int, connection: sqlite3.Connection) -> None:
    for number in range(sessions):
        _update(session(number, sessions).id, ended, (), None, Quota(), connection)


async def changes(catalog: SqliteCatalog, sessions: int) -> None:
    numbers = itertools.count()

    def upload_id() -> str:
        return session(next(numbers) * 31 % sessions, sessions).id

    def with_digest() -> Awaitable[object]:
        digest = ChunkDigest(next(numbers), bytes(32), WEEK)
        return catalog.update(upload_id(), longer, digests=[digest])

    for name, work in (
        ("update", lambda: catalog.update(upload_id(), longer)),
        ("update with a digest", with_digest),
        ("update that ends the upload", lambda: catalog.update(upload_id(), ended)),
    ):
        report(name, await times(partial(_done, work), CHANGES))


async def questions(catalog: SqliteCatalog, state: str) -> None:
    for name, work in (
        ("statistics", lambda: catalog.statistics(WEEK + 6 * 86_400, WEEK)),
        ("due, 100", lambda: catalog.due(WEEK + 2 * 604_800, 100)),
        ("listing, 100", lambda: catalog.listing(limit=100)),
        ("listing of the open ones, 100", lambda: catalog.listing(phase=Phase.OPEN)),
    ):
        report(f"{name}; {state}", await times(partial(_done, work), QUESTIONS))


async def _done(work: Callable[[], Awaitable[object]]) -> None:
    await work()


async def measure(directory: Path, sessions: int, durability: Durability) -> None:
    catalog = SqliteCatalog(directory / durability.value, durability)
    catalog._writer.carry_out([Change(partial(fill, sessions))])
    await questions(catalog, "all open")
    await changes(catalog, sessions)
    catalog._writer.carry_out([Change(partial(end_all, sessions))])
    await questions(catalog, "all done")
    await catalog.aclose()


def main(parent: str | None, sessions: int) -> None:
    print(f"{'µs':44} {'median':>9} {'p95':>9} {'worst':>9}")
    for durability in Durability:
        with tempfile.TemporaryDirectory(dir=parent) as directory:
            print(f"durability={durability.value}, {sessions} sessions in {directory}")
            anyio.run(measure, Path(directory), sessions, durability)


if __name__ == "__main__":
    main(
        sys.argv[1] if len(sys.argv) > 1 else None,
        int(sys.argv[2]) if len(sys.argv) > 2 else SESSIONS,
    )
