from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from tests.catalogs import raw
from tusjumbo.catalogs import outbox, rows
from tusjumbo.catalogs.outbox import SqliteOutbox
from tusjumbo.catalogs.sqlite import SqliteCatalog
from tusjumbo.settings import Durability
from tusjumbo.testing.catalogs import NEW
from tusjumbo.testing.outboxes import OutboxContract


class TestSqliteOutbox(OutboxContract):
    @pytest.fixture
    def outbox(self, catalog: SqliteCatalog) -> SqliteOutbox:
        return catalog.outbox


# --- a hundred thousand entries ------------------------------------------------------------------

TOLD, WAITING = 100_000, 10_000
RECEIVERS = json.dumps(["r0", "r1", "r2", "r3"])


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An outbox in which most has been told, and whose receivers have fallen behind."""
    path = tmp_path_factory.mktemp("crowded") / "catalog.sqlite3"
    session = rows.written(NEW)
    entries = (
        (f"k{n}", "post-finish", f"u{n % 30_000}", f"r{n % 4}", session, '["","","",{}]', float(n))
        for n in range(TOLD + WAITING)
    )
    query = """INSERT INTO outbox (key, hook, upload_id, receiver, session, origin, created_at,
        due_at, attempts, told_at, problem) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, ?, '')"""
    with raw.connected(path) as connection:
        connection.execute("BEGIN")
        for number, entry in enumerate(entries):
            times = (None, float(number)) if number < TOLD else (float(number), None)
            connection.execute(query, (*entry, *times))
        connection.execute("COMMIT")
    return path


IN_ORDER, OF_UPLOAD = outbox._IN_ORDER, outbox._OF_UPLOAD
IS_FIRST = "USING INDEX outbox_waiting (upload_id=? AND receiver=? AND number<?)"


@pytest.mark.parametrize(
    ("query", "parameters", "expected"),
    [
        (
            outbox._NEXT,
            (RECEIVERS,),
            ["outbox USING INDEX outbox_due (receiver=? AND due_at>?)", f"older {IS_FIRST}"],
        ),
        (
            outbox._CLAIM,
            ("r1", 1e9, 50),
            ["outbox USING INDEX outbox_due (receiver=? AND due_at<?)", f"older {IS_FIRST}"],
        ),
        (
            outbox._REPLACE,
            ("u7", "r1"),
            ["outbox USING INDEX outbox_waiting (upload_id=? AND receiver=?)"],
        ),
        (outbox._FORGET, (10.0,), ["outbox USING INDEX outbox_over (<expr><?)"]),
        (
            outbox._LISTING + IN_ORDER,
            (0, 50),
            ["outbox USING INTEGER PRIMARY KEY (rowid>?)"],
        ),
        (
            outbox._LISTING + OF_UPLOAD + IN_ORDER,
            (0, "u7", 50),
            ["outbox USING INDEX outbox_by_upload (upload_id=? AND number>?)"],
        ),
        (
            outbox._LISTING + outbox._WAITING + IN_ORDER,
            (0, 50),
            ["outbox USING INDEX outbox_in_order (number>?)"],
        ),
    ],
    ids=["next", "claim", "replace", "forget", "listing", "of an upload", "waiting"],
)
def test_every_query_goes_by_an_index(
    crowded: Path, query: str, parameters: tuple[str | float, ...], expected: list[str]
) -> None:
    with raw.connected(crowded) as connection:
        plan = connection.execute("EXPLAIN QUERY PLAN " + query, parameters).fetchall()
    steps = [row[-1] for row in plan]
    assert [step for step in steps if "B-TREE" in step or "SCAN" in step] == []
    tables = ("SEARCH outbox", "SEARCH older")
    assert [step for step in steps if step.startswith(tables)] == [f"SEARCH {e}" for e in expected]


async def test_a_look_costs_what_is_found(crowded: Path) -> None:
    """Counted in hundreds of steps of SQLite's virtual machine."""
    catalog = SqliteCatalog(crowded, Durability.OS)
    await catalog.listing(limit=1)
    ticks = itertools.count()
    with catalog._reader.connection() as connection:
        connection.set_progress_handler(lambda: next(ticks) < 0, 100)
    assert await catalog.outbox.next_due(json.loads(RECEIVERS)) == float(TOLD)
    assert len(await catalog.outbox.news(waiting=True, limit=20)) == 20
    assert len(await catalog.outbox.news(upload_id="u7", limit=20)) == 4
    assert await catalog.outbox.claim(["r1", "r2"], 1.0, 2.0, 9) == []
    assert next(ticks) < 30
    await catalog.aclose()
