"""The catalog when the disk is full, SQLite fails, or the file is not what it should be."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.catalogs import raw
from tests.catalogs.conftest import until
from tusjumbo.application import Hook, HookCall, News
from tusjumbo.catalogs import database
from tusjumbo.catalogs.sqlite import SqliteCatalog
from tusjumbo.errors import CatalogFailed, ConfigurationError, StorageFull
from tusjumbo.sessions.quotas import Quota, Usage
from tusjumbo.sessions.ranges import RangeSet
from tusjumbo.sessions.session import ChunkDigest, Kind, Phase, Receipt, UploadSession
from tusjumbo.sessions.statistics import Statistics
from tusjumbo.settings import Durability
from tusjumbo.testing.catalogs import NEW, longer

Call = Callable[[], Awaitable[object]]


class Faults:
    """Every connection that is opened meanwhile obeys these."""

    def __init__(self) -> None:
        self.pragma = ""
        self.failing: dict[str, int] = {}
        """What a statement begins with -> SQLite's error code."""
        self.hits = 0

    def connect(self, *args: Any, **kwargs: Any) -> sqlite3.Connection:
        connection = _connect(*args, **kwargs, factory=self._factory())
        if self.pragma:
            connection.execute(self.pragma)
        return connection

    def _factory(self) -> type[sqlite3.Connection]:
        faults = self

        class FailingConnection(sqlite3.Connection):
            def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
                for beginning, code in faults.failing.items():
                    if sql.startswith(beginning):
                        faults.hits += 1
                        error = sqlite3.OperationalError(f"error {code} injected")
                        error.sqlite_errorcode = code
                        raise error
                return super().execute(sql, *args)

        return FailingConnection


_connect = sqlite3.connect


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> Faults:
    faults = Faults()
    monkeypatch.setattr(sqlite3, "connect", faults.connect)
    return faults


def is_free(path: Path) -> bool:
    """Whether nobody has left a transaction open."""
    with raw.connected(path) as connection:
        connection.execute("PRAGMA busy_timeout = 0")
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
    return True


# --- no space ------------------------------------------------------------------------------------


async def test_a_full_disk_is_said_and_survived(
    catalog: SqliteCatalog, path: Path, faults: Faults
) -> None:
    faults.pragma = "PRAGMA max_page_count = 56"
    big = replace(NEW, metadata={"filename": b"x" * 9000})
    created: list[str] = []
    refused: list[StorageFull] = []

    async def create(name: str) -> None:
        try:
            await catalog.create(replace(big, id=name))
        except StorageFull as error:
            refused.append(error)
        else:
            created.append(name)

    while len(refused) < 10:
        async with anyio.create_task_group() as tasks:
            for number in range(3):
                tasks.start_soon(create, f"{len(created) + len(refused) + number:05}")
    assert created
    assert len({id(error) for error in refused}) == len(refused)
    assert all(isinstance(error.__cause__, sqlite3.Error) for error in refused)
    assert is_free(path)
    assert [session.id for session in await catalog.listing()] == sorted(created)

    assert (await catalog.update(created[0], longer)).offset == 1
    await catalog.delete(created[1])
    await catalog.create(replace(NEW, id="small"))
    faults.pragma = ""
    await catalog.aclose()
    await catalog.create(big)
    assert await catalog.load("a") == big


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (sqlite3.SQLITE_FULL, StorageFull),
        (sqlite3.SQLITE_IOERR_SHMSIZE, StorageFull),
        (sqlite3.SQLITE_IOERR_WRITE, CatalogFailed),
        (sqlite3.SQLITE_IOERR_FSYNC, CatalogFailed),
        (sqlite3.SQLITE_CORRUPT, CatalogFailed),
        (sqlite3.SQLITE_READONLY, CatalogFailed),
    ],
    ids=["full", "no room for the index", "write", "fsync", "corrupt", "read-only"],
)
@pytest.mark.parametrize("statement", ["COMMIT", "UPDATE", "BEGIN"])
async def test_a_failed_transaction_leaves_nothing(
    catalog: SqliteCatalog,
    path: Path,
    faults: Faults,
    statement: str,
    code: int,
    expected: type[Exception],
) -> None:
    raw.plant(path, [NEW])
    faults.failing[statement] = code
    for _ in range(2):
        with pytest.raises(expected) as caught:
            await catalog.update("a", longer)
        assert isinstance(caught.value.__cause__, sqlite3.OperationalError)
        assert await catalog.load("a") == NEW
        assert is_free(path)
        assert raw.recorded(path, "a") == NEW
    faults.failing.clear()
    assert (await catalog.update("a", longer)).offset == 1
    assert raw.recorded(path, "a") == longer(NEW)


async def test_everybody_hears_of_a_failed_shared_commit(
    catalog: SqliteCatalog, path: Path, faults: Faults
) -> None:
    raw.plant(path, [NEW])
    faults.failing["COMMIT"] = sqlite3.SQLITE_IOERR_FSYNC
    failures: list[CatalogFailed] = []

    async def fail() -> None:
        with pytest.raises(CatalogFailed) as caught:
            await catalog.update("a", longer)
        failures.append(caught.value)

    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(fail)
    assert len({id(failure) for failure in failures}) == 20
    faults.failing.clear()
    assert await catalog.load("a") == NEW
    assert (await catalog.update("a", longer)).offset == 1


@pytest.mark.parametrize(
    "digest",
    [
        ChunkDigest(2**63, bytes(32), 1.0),
        ChunkDigest(1, bytes(32), float("nan")),
        ChunkDigest(1, "\ud800", 1.0),  # type: ignore[arg-type]
    ],
    ids=["number", "time", "bytes"],
)
async def test_no_half_of_a_change_is_recorded(
    catalog: SqliteCatalog, path: Path, digest: ChunkDigest
) -> None:
    """It goes wrong in its last statement, and others are in the same transaction."""
    raw.plant(path, [NEW, replace(NEW, id="b")])
    raised: list[type[Exception] | None] = []

    async def update(upload_id: str, *digests: ChunkDigest) -> None:
        try:
            await catalog.update(upload_id, longer, digests=digests)
        except Exception as error:
            raised.append(type(error))
        else:
            raised.append(None)

    with raw.connected(path) as other:
        async with anyio.create_task_group() as tasks:
            other.execute("BEGIN IMMEDIATE")
            tasks.start_soon(catalog.update, "b", longer)
            await until(lambda: catalog._writer.lock.locked() and not catalog._writer._waiting)
            tasks.start_soon(update, "a", ChunkDigest(0, bytes(32), 1.0), digest)
            tasks.start_soon(update, "b")
            await until(lambda: len(catalog._writer._waiting) == 2)
            other.execute("ROLLBACK")
    assert raised == [CatalogFailed, CatalogFailed]
    assert is_free(path)
    assert [(s.id, s.offset) for s in await catalog.listing()] == [("a", 0), ("b", 1)]
    assert await catalog.digests("a") == {}
    assert (await catalog.update("a", longer)).offset == 1


def told(before: UploadSession | None, after: UploadSession | None) -> Sequence[News]:
    session = after or before
    assert session is not None
    call = HookCall(Hook.POST_FINISH, session, key="k")
    return [News(call=call, receiver="r", created_at=1.0, due_at=1.0)]


@pytest.mark.parametrize("statement", ["INSERT INTO outbox", "COMMIT"])
@pytest.mark.parametrize("deed", ["create", "update", "delete"])
async def test_neither_a_change_nor_its_news_without_the_other(
    catalog: SqliteCatalog, path: Path, faults: Faults, deed: str, statement: str
) -> None:
    theirs = replace(NEW, owner="o", length=5)
    raw.plant(path, [theirs])
    calls: dict[str, Call] = {
        "create": lambda: catalog.create(replace(theirs, id="b"), tell=told),
        "update": lambda: catalog.update("a", partial(replace, length=9), tell=told),
        "delete": lambda: catalog.delete("a", tell=told),
    }
    faults.failing[statement] = sqlite3.SQLITE_FULL
    with pytest.raises(StorageFull):
        await calls[deed]()
    faults.failing.clear()
    assert is_free(path)
    assert await catalog.listing() == [theirs]
    assert await catalog.usage("o") == Usage(5, 1)
    assert await catalog.outbox.news() == []
    await calls[deed]()
    assert await catalog.listing() != [theirs]
    assert await catalog.usage("o") != Usage(5, 1)
    assert len(await catalog.outbox.news()) == 1


async def test_news_that_cannot_be_written_fail_their_own_change(
    catalog: SqliteCatalog, path: Path
) -> None:
    def unwritable(before: UploadSession | None, after: UploadSession | None) -> Sequence[News]:
        return [replace(news, receiver="/hooks\udcff") for news in told(before, after)]

    async def fail() -> None:
        with pytest.raises(UnicodeEncodeError):
            await catalog.update("a", longer, tell=unwritable)

    raw.plant(path, [NEW])
    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(fail)
            tasks.start_soon(catalog.update, "a", longer)
    assert (await catalog.load("a")).offset == 5
    assert await catalog.outbox.news() == []


@pytest.mark.parametrize("statement", ["REPLACE INTO chunks", "COMMIT"])
async def test_a_digest_that_cannot_be_recorded_takes_its_change_along(
    catalog: SqliteCatalog, path: Path, faults: Faults, statement: str
) -> None:
    raw.plant(path, [NEW])
    faults.failing[statement] = sqlite3.SQLITE_FULL
    digest = ChunkDigest(0, bytes(32), 1.0)
    with pytest.raises(StorageFull):
        await catalog.update("a", longer, digests=[digest])
    faults.failing.clear()
    assert raw.recorded(path, "a") == NEW
    assert await catalog.digests("a") == {}
    await catalog.update("a", longer, digests=[digest])
    assert await catalog.digests("a") == {0: digest}


async def test_a_failed_read_is_said_and_survived(
    catalog: SqliteCatalog, path: Path, faults: Faults
) -> None:
    raw.plant(path, [NEW])
    faults.failing["SELECT"] = sqlite3.SQLITE_IOERR_READ
    calls: list[Call] = [lambda: catalog.load("a"), catalog.listing, lambda: catalog.due(1.0, 1)]
    for call in calls:
        with pytest.raises(CatalogFailed) as caught:
            await call()
        assert isinstance(caught.value.__cause__, sqlite3.OperationalError)
    with pytest.raises(CatalogFailed):
        await catalog.update("a", longer)
    faults.failing.clear()
    assert await catalog.load("a") == NEW


async def test_somebody_who_keeps_the_database_busy(
    catalog: SqliteCatalog, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "PATIENCE", 0.05)
    raw.plant(path, [NEW])
    with raw.connected(path) as other:
        other.execute("BEGIN IMMEDIATE")
        calls: list[Call] = [lambda: catalog.update("a", longer), lambda: catalog.delete("a")]
        for call in calls:
            with pytest.raises(CatalogFailed) as caught:
                await call()
            assert "locked" in str(caught.value.__cause__)
        assert await catalog.load("a") == NEW
    assert (await catalog.update("a", longer)).offset == 1


async def test_opening_waits_for_others_who_open(
    catalog: SqliteCatalog, path: Path, faults: Faults
) -> None:
    """Only one connection can turn a new database's log on, and SQLite does not wait for it."""
    faults.failing["PRAGMA journal_mode"] = sqlite3.SQLITE_BUSY
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(catalog.create, NEW)
        await until(lambda: faults.hits > 2)
        faults.failing.clear()
    assert raw.recorded(path, "a") == NEW


# --- a file that is not as it should be ----------------------------------------------------------


async def test_a_file_that_is_no_database(catalog: SqliteCatalog, path: Path) -> None:
    await catalog.create(NEW)
    await catalog.aclose()
    good = path.read_bytes()
    path.write_bytes(b"no database at all " * 1000)
    calls: list[Call] = [lambda: catalog.load("a"), lambda: catalog.update("a", longer)]
    for call in calls:
        with pytest.raises(CatalogFailed) as caught:
            await call()
        assert isinstance(caught.value.__cause__, sqlite3.DatabaseError)
    path.write_bytes(good)
    assert await catalog.load("a") == NEW
    assert (await catalog.update("a", longer)).offset == 1


async def test_a_damaged_page(catalog: SqliteCatalog, path: Path) -> None:
    await catalog.create(NEW)
    await catalog.aclose()
    good = path.read_bytes()
    path.write_bytes(good[:4096] + b"\xff" * (len(good) - 4096))
    with pytest.raises(CatalogFailed):
        await catalog.load("a")
    with pytest.raises(CatalogFailed):
        await catalog.update("a", longer)
    path.write_bytes(good)
    assert (await catalog.update("a", longer)).offset == 1


@pytest.mark.parametrize(
    "damage",
    [
        "ranges = '5-3'",
        "ranges = '0-5,'",
        "phase = 'unheard of'",
        "metadata = 'no json'",
        "metadata = '[]'",
        'metadata = \'{"filename": "no base64!"}\'',
        "metadata = '{\"filename\": 7}'",
        "echo = '{'",
        "echo = '7'",
    ],
)
async def test_a_row_that_nobody_can_read(catalog: SqliteCatalog, path: Path, damage: str) -> None:
    raw.plant(path, [NEW, replace(NEW, id="b")])
    with raw.connected(path) as connection:
        connection.execute(f"UPDATE sessions SET {damage} WHERE id = 'a'")
    with pytest.raises(CatalogFailed) as caught:
        await catalog.load("a")
    assert isinstance(caught.value.__cause__, (ValueError, TypeError, AttributeError))
    with pytest.raises(CatalogFailed):
        await catalog.update("a", longer)
    assert (await catalog.update("b", longer)).offset == 1
    assert await catalog.delete("a") is True


async def test_a_directory_that_cannot_be_made(path: Path) -> None:
    path.write_text("in the way")
    catalog = SqliteCatalog(path / "catalog.sqlite3", Durability.COMMIT)
    calls: list[Call] = [lambda: catalog.load("a"), lambda: catalog.create(NEW)]
    for call in calls:
        with pytest.raises(CatalogFailed) as caught:
            await call()
        assert isinstance(caught.value.__cause__, (OSError, sqlite3.Error))
    path.unlink()
    await catalog.create(NEW)
    await catalog.aclose()


async def test_a_database_that_cannot_be_shared() -> None:
    catalog = SqliteCatalog(Path(":memory:"), Durability.OS)
    with pytest.raises(ConfigurationError, match=r"^upload_dir: .*\bshare\b.*$"):
        await catalog.listing()


# --- versions ------------------------------------------------------------------------------------


def schema(path: Path) -> tuple[int, set[tuple[str, ...]]]:
    with raw.connected(path) as connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        rows = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master").fetchall()
    return version, {tuple(" ".join(str(part).split()) for part in row) for row in rows}


async def test_every_version_is_what_it_always_was(catalog: SqliteCatalog, path: Path) -> None:
    await catalog.listing()
    raw.plant(path.with_name("by hand"), [])
    assert schema(path) == schema(path.with_name("by hand"))


@pytest.mark.parametrize("version", [len(database.STEPS) + 1, 1 << 30, -1])
async def test_a_newer_version_is_left_alone(
    catalog: SqliteCatalog, path: Path, version: int
) -> None:
    raw.plant(path, [NEW])
    with raw.connected(path) as connection:
        connection.execute(f"PRAGMA user_version = {version}")
        calls: list[Call] = [
            lambda: catalog.load("a"),
            lambda: catalog.update("a", longer),
            catalog.listing,
        ]
        for call in calls:
            with pytest.raises(ConfigurationError, match=rf"^upload_dir: .*{version}.*$"):
                await call()
        assert connection.execute("PRAGMA user_version").fetchone() == (version,)
        connection.execute(f"PRAGMA user_version = {len(database.STEPS)}")
    assert await catalog.load("a") == NEW


async def test_an_older_version_is_brought_up_to_date(
    catalog: SqliteCatalog, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = len(database.STEPS)
    raw.plant(path, [NEW])
    steps = [*database.STEPS, ["ALTER TABLE sessions ADD COLUMN colour TEXT"], ["no SQL"]]
    monkeypatch.setattr(database, "STEPS", steps)
    calls: list[Call] = [lambda: catalog.load("a"), lambda: catalog.update("a", longer)]
    for call in calls:
        with pytest.raises(CatalogFailed):
            await call()
    assert is_free(path)
    assert schema(path)[0] == before
    assert "colour" not in str(schema(path))

    steps[-1] = ["UPDATE sessions SET colour = 'grey'"]
    assert await catalog.load("a") == NEW
    assert schema(path)[0] == before + 2
    with raw.connected(path) as connection:
        assert connection.execute("SELECT id, colour FROM sessions").fetchall() == [("a", "grey")]


async def test_uploads_of_version_1_are_whole(catalog: SqliteCatalog, path: Path) -> None:
    """Half uploaded with 0.1, and continued with a program that knows of parts."""
    half = replace(NEW, length=10, ranges=RangeSet(((0, 5),)), expires_at=7.5)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(raw.VERSION_1)
        columns = "'a', 1.0, 1.0, 10, '0-5', 'open', '{}', '{}'"
        connection.execute(f"INSERT INTO sessions VALUES ({columns}, {5 << 20}, 7.5, NULL, 7.5)")
        connection.commit()
    assert await catalog.load("a") == half
    assert await catalog.update("a", longer) == longer(half)
    await catalog.create(replace(NEW, id="b", kind=Kind.FINAL, parts=("a",)))
    assert [session.id for session in await catalog.awaiting("a")] == ["b"]
    figures = await catalog.statistics(0.0, 0.0)
    assert (figures.active, figures.active_bytes, figures.started_today) == (2, 10, 2)
    assert schema(path)[0] == len(database.STEPS)


async def test_uploads_of_version_2_are_counted(catalog: SqliteCatalog, path: Path) -> None:
    """Begun, finished, given up and joined with a program that kept no figures."""
    columns = "id, created_at, updated_at, length, phase, kind, parts, due_at"
    rows = [
        ("open", 100.0, 950.0, 2**63 - 1, "open", "whole", "[]", None),
        ("open too", 100.0, 950.0, 2**63 - 1, "open", "whole", "[]", 7.5),
        ("deferred", 900.0, 950.0, None, "open", "whole", "[]", None),
        ("part", 900.0, 950.0, 10, "open", "partial", "[]", None),
        ("pending", 900.0, 950.0, None, "open", "final", '["part"]', 950.0),
        ("given up", 100.0, 950.0, 10, "abandoned", "whole", "[]", 9.5),
        ("done", 850.0, 950.0, 300, "done", "whole", "[]", None),
        ("done too", 899.0, 1799.0, 50, "done", "final", '["part"]', None),
        ("late", 1800.0, 1801.5, 4, "done", "whole", "[]", None),
    ]
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(raw.VERSION_1 + raw.VERSION_2)
        connection.executemany(
            f"INSERT INTO sessions ({columns}, ranges, metadata, echo, chunk_size)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, '', '{}', '{}', 5)",
            rows,
        )
        connection.commit()
    assert [session.id for session in await catalog.listing()] == sorted(row[0] for row in rows)
    assert [session.id for session in await catalog.awaiting("part")] == ["pending"]
    assert [session.id for session in await catalog.due(10.0, 10)] == ["open too", "given up"]
    assert {session.rate for session in await catalog.listing()} == {None}
    assert await catalog.statistics(today=900.0, week=0.0) == Statistics(
        active=5,
        active_bytes=2**64,
        started_today=3,
        started_this_week=8,
        finished_today=3,
        finished_this_week=3,
        bytes_this_week=354,
        seconds_this_week=100.0 + 900.0 + 1.5,
    )
    # And from here on as if it had always been so.
    digest = ChunkDigest(0, bytes(32), 1.0)
    await catalog.update("open", longer, digests=[digest])
    assert await catalog.digests("open") == {0: digest}
    await catalog.update("deferred", lambda s: replace(s, phase=Phase.DONE, length=6))
    await catalog.delete("done")
    await catalog.create(replace(NEW, id="new", created_at=1800.0))
    figures = await catalog.statistics(today=1800.0, week=900.0)
    assert (figures.started_today, figures.started_this_week) == (2, 4)
    assert (figures.finished_today, figures.finished_this_week) == (1, 4)
    assert figures.bytes_this_week == 360
    assert schema(path)[0] == len(database.STEPS)


async def test_uploads_of_version_3_are_nobodys(path: Path, durability: Durability) -> None:
    """From before there were owners: `held` is 0 there, until they change."""
    columns = "id, created_at, updated_at, length, ranges, phase, receipt_path, due_at"
    rows = [
        ("open", 1.0, 1.0, 10, "0-5", "open", None, None),
        ("deferred", 1.0, 1.0, None, "0-7", "open", None, None),
        ("sealed", 1.0, 1.0, 3, "0-3", "sealed", None, 1.0),
        ("done", 1.0, 1.0, 3, "0-3", "done", "completed/a", None),
    ]
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(raw.VERSION_1 + raw.VERSION_2 + raw.VERSION_3)
        connection.executemany(
            f"INSERT INTO sessions ({columns}, metadata, echo, chunk_size)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, '{}', '{}', 5)",
            rows,
        )
        connection.execute("INSERT INTO chunks VALUES ('open', 0, x'00', 1.0)")
        connection.commit()
    catalog = SqliteCatalog(path, durability, quota=Quota(max_bytes=1, max_uploads=1))
    found = {session.id: session for session in await catalog.listing()}
    assert sorted(found) == sorted(row[0] for row in rows)
    for session in found.values():
        assert (session.owner, session.destination) == (None, None)
        assert (session.attempts, session.retry_at) == (0, None)
    assert found["done"].receipt == Receipt("completed/a")
    assert list(await catalog.digests("open")) == [0]

    def owners() -> list[tuple[str, int, int]]:
        with raw.connected(path) as connection:
            return connection.execute("SELECT * FROM owners").fetchall()

    assert owners() == []
    assert (await catalog.update("open", longer)).offset == 6
    await catalog.update("deferred", partial(replace, length=99))
    await catalog.update("sealed", partial(replace, phase=Phase.DONE))
    await catalog.update("done", partial(replace, phase=Phase.OPEN))
    await catalog.create(replace(NEW, length=2))
    assert await catalog.delete("open") is True
    assert owners() == []
    await catalog.create(replace(NEW, id="theirs", owner="o", length=1), tell=told)
    assert owners() == [("o", 1, 1)]
    assert len(await catalog.outbox.news()) == 1
    assert schema(path)[0] == len(database.STEPS)
    await catalog.aclose()
