from __future__ import annotations

import gc
import itertools
import sqlite3
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.catalogs import raw
from tests.catalogs.conftest import until
from tusjumbo.catalogs import rows, sqlite
from tusjumbo.catalogs.sqlite import SqliteCatalog
from tusjumbo.errors import UploadNotFound
from tusjumbo.sessions.quotas import Usage, held
from tusjumbo.sessions.ranges import RangeSet
from tusjumbo.sessions.rules import MAX_LENGTH
from tusjumbo.sessions.session import Answer, ChunkDigest, Kind, Phase, Receipt, UploadSession
from tusjumbo.settings import Durability
from tusjumbo.testing.catalogs import NEW, PATIENT, CatalogContract, longer


class TestSqliteCatalog(CatalogContract):
    @pytest.fixture(autouse=True)
    def _where(self, path: Path) -> None:
        self.path = path

    def plant(self, session: UploadSession) -> None:
        raw.plant(self.path, [session])

    def recorded(self, upload_id: str) -> UploadSession | None:
        return raw.recorded(self.path, upload_id)

    @pytest.fixture
    async def rival(self, path: Path, durability: Durability) -> AsyncIterator[SqliteCatalog]:
        rival = SqliteCatalog(path, durability)
        yield rival
        await rival.aclose()


# --- histories -----------------------------------------------------------------------------------

times = st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(exclude_categories=["Cs"]))
range_sets = st.lists(st.integers(0, MAX_LENGTH), unique=True, max_size=8).map(
    lambda edges: RangeSet(tuple(zip(sorted(edges)[0::2], sorted(edges)[1::2], strict=False)))
)
answers = st.builds(
    Answer,
    status=st.none() | st.integers(100, 599),
    headers=st.dictionaries(texts, texts),
    body=st.binary(),
)

IDS = ("a", "b", "B", "jumbo_0")


def sessions(upload_id: str) -> st.SearchStrategy[UploadSession]:
    return st.builds(
        UploadSession,
        id=st.just(upload_id),
        created_at=times,
        updated_at=times,
        length=st.none() | st.integers(0, MAX_LENGTH),
        ranges=range_sets,
        phase=st.sampled_from(Phase),
        metadata=st.dictionaries(texts, st.binary()),
        echo=st.dictionaries(texts, texts),
        chunk_size=st.integers(1, MAX_LENGTH),
        expires_at=st.none() | times,
        receipt=st.none()
        | st.builds(Receipt, path=texts, answer=st.none() | answers, is_here=st.booleans()),
        kind=st.sampled_from(Kind),
        parts=st.lists(st.sampled_from(IDS)).map(tuple),
        rate=st.none() | st.floats(0, allow_nan=False),
        owner=st.sampled_from([None, "o", "p"]),
        destination=st.none() | texts,
        attempts=st.integers(0, 9),
        retry_at=st.none() | times,
    )


digests = st.builds(
    ChunkDigest,
    number=st.integers(0, 5) | st.integers(0, MAX_LENGTH - 1),
    sha256=st.binary(min_size=32, max_size=32),
    recorded_at=times,
)
steps = st.sampled_from(IDS).flatmap(
    lambda upload_id: st.tuples(
        st.sampled_from(["create", "update", "refuse", "delete", "close"]),
        sessions(upload_id),
        st.lists(digests, max_size=3),
    )
)


def impossible(session: UploadSession) -> UploadSession:
    raise ZeroDivisionError


async def follow(
    catalog: SqliteCatalog,
    model: dict[str, UploadSession],
    chunks: dict[str, dict[int, ChunkDigest]],
    step: tuple[str, UploadSession, list[ChunkDigest]],
) -> None:
    """Do the same to the catalog and to the model, and expect the same of both."""
    deed, session, digests = step
    match deed:
        case "create" if session.id in model:
            with pytest.raises(ValueError, match="already"):
                await catalog.create(session)
        case "create":
            await catalog.create(session)
            model[session.id] = session
        case "delete":
            assert await catalog.delete(session.id) is (model.pop(session.id, None) is not None)
            chunks.pop(session.id, None)
        case "update" if session.id in model:
            session = replace(session, owner=model[session.id].owner)
            after = await catalog.update(session.id, lambda _: session, digests=digests)
            assert after == session
            model[session.id] = session
            chunks.setdefault(session.id, {}).update({it.number: it for it in digests})
        case "update" | "refuse" if session.id not in model:
            with pytest.raises(UploadNotFound):
                await catalog.update(session.id, lambda _: session, digests=digests)
        case "refuse":
            with pytest.raises(ZeroDivisionError):
                await catalog.update(session.id, impossible, digests=digests)
        case "close":
            await catalog.aclose()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@given(history=st.lists(steps, max_size=12), now=times)
@settings(max_examples=60, deadline=None)
async def test_any_history_comes_to_what_a_dictionary_comes_to(
    history: list[tuple[str, UploadSession, list[ChunkDigest]]], now: float
) -> None:
    model: dict[str, UploadSession] = {}
    chunks: dict[str, dict[int, ChunkDigest]] = {}
    with tempfile.TemporaryDirectory() as directory:
        catalog = SqliteCatalog(Path(directory) / "catalog.sqlite3", Durability.OS)
        for step in history:
            await follow(catalog, model, chunks, step)
            assert await catalog.listing() == sorted(model.values(), key=lambda s: s.id)
        for session in model.values():
            assert await catalog.load(session.id) == session
        for phase in Phase:
            found = {session.id for session in await catalog.listing(phase=phase)}
            assert found == {s.id for s in model.values() if s.phase is phase}
        due = [s for s in model.values() if s.due_at is not None and s.due_at <= now]
        assert await catalog.gather(IDS) == model
        for upload_id in IDS:
            expected = sorted(chunks.get(upload_id, {}).items())
            assert list((await catalog.digests(upload_id)).items()) == expected
        opened = [s for s in model.values() if s.phase is Phase.OPEN]
        figures = await catalog.statistics(now, now)
        assert figures.active == len(opened)
        assert figures.active_bytes == pytest.approx(sum(s.length or 0 for s in opened))
        for owner in ("o", "p"):
            theirs = [s for s in model.values() if s.owner == owner]
            expected_usage = Usage(
                sum(map(held, theirs)), sum(s.phase is Phase.OPEN for s in theirs)
            )
            assert await catalog.usage(owner) == expected_usage
        for part in IDS:
            pending = [s for s in model.values() if s.is_pending and part in s.parts]
            assert await catalog.awaiting(part) == sorted(pending, key=lambda s: s.id)
        assert await catalog.due(now, 10) == sorted(due, key=lambda s: (s.due_at, s.id))
        await catalog.aclose()


# --- readers, writers and commits ----------------------------------------------------------------


@contextmanager
def writing(path: Path) -> Iterator[sqlite3.Connection]:
    """Another process's transaction, so to speak: while it lasts, nobody else can commit."""
    with raw.connected(path) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield connection
        connection.execute("ROLLBACK")


async def test_a_slow_commit_delays_no_reader(catalog: SqliteCatalog, path: Path) -> None:
    raw.plant(path, [replace(NEW, expires_at=1.0)])
    updated: list[UploadSession] = []

    async def update() -> None:
        updated.append(await catalog.update("a", longer))

    async with anyio.create_task_group() as tasks:
        with writing(path):
            for _ in range(40):  # more than there are threads
                tasks.start_soon(update)
            await until(catalog._writer.lock.locked)
            with anyio.fail_after(PATIENT):
                assert (await catalog.load("a")).offset == 0
                assert len(await catalog.listing()) == 1
                assert len(await catalog.due(1.0, 1)) == 1
            assert updated == []
    assert sorted(session.offset for session in updated) == list(range(1, 41))


async def test_changes_that_wait_share_a_transaction(catalog: SqliteCatalog, path: Path) -> None:
    await catalog.create(NEW)
    await catalog.create(replace(NEW, id="b"))
    statements: list[str] = []
    with catalog._writer.connection() as connection:
        connection.set_trace_callback(statements.append)
    refused: list[BaseException] = []

    async def refuse() -> None:
        with pytest.raises(ZeroDivisionError) as caught:
            await catalog.update("b", lambda _: 1 // 0)  # type: ignore[arg-type, return-value]
        refused.append(caught.value)

    async with anyio.create_task_group() as tasks:
        with writing(path):
            tasks.start_soon(catalog.update, "a", longer)
            await until(lambda: "BEGIN IMMEDIATE" in statements)
            tasks.start_soon(catalog.update, "a", longer)
            tasks.start_soon(catalog.update, "b", longer)
            tasks.start_soon(refuse)
            tasks.start_soon(catalog.create, replace(NEW, id="c"))
            tasks.start_soon(catalog.delete, "missing")
            await until(lambda: len(catalog._writer._waiting) == 5)
    assert statements.count("COMMIT") == 2
    assert [(s.id, s.offset) for s in await catalog.listing()] == [("a", 2), ("b", 1), ("c", 0)]
    assert len(refused) == 1


async def test_what_was_just_recorded_is_at_hand(catalog: SqliteCatalog) -> None:
    new = replace(NEW, id="at hand", created_at=3.5)
    await catalog.create(new)
    assert await catalog.load("at hand") is new
    after = await catalog.update("at hand", longer)
    assert await catalog.load("at hand") is after
    for number in range(2 * rows._KEPT):
        await catalog.create(replace(NEW, id=f"b{number}"))
    assert len(rows._kept) == rows._KEPT
    assert await catalog.load("at hand") == after


async def test_durability_is_what_sqlite_is_told(catalog: SqliteCatalog) -> None:
    await catalog.create(NEW)
    with catalog._writer.connection() as connection:
        (synchronous,) = connection.execute("PRAGMA synchronous").fetchone()
        (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    expected = {Durability.COMMIT: 2, Durability.OS: 1}  # FULL and NORMAL
    assert synchronous == expected[catalog._writer._durability]
    assert mode == "wal"


async def test_the_log_stays_small_while_everybody_reads(path: Path) -> None:
    catalog = SqliteCatalog(path, Durability.OS)
    log = path.with_name(path.name + "-wal")
    sizes: list[int] = []
    await catalog.create(NEW)

    async def read() -> None:
        while len(sizes) < 1500:
            assert len(await catalog.listing()) == 1

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read)
        tasks.start_soon(read)
        for number in range(1500):  # 40 MB, were they all to stay
            echo = {"size": f"{number:05}" * 4000}
            await catalog.update("a", partial(replace, echo=echo))
            sizes.append(log.stat().st_size)
    await catalog.aclose()
    assert max(sizes) < 16 * 1024 * 1024
    assert not log.exists()


# --- opening and closing -------------------------------------------------------------------------


async def test_nothing_is_opened_before_it_is_used(catalog: SqliteCatalog, path: Path) -> None:
    assert list(path.parent.iterdir()) == []
    await catalog.aclose()
    assert list(path.parent.iterdir()) == []


async def test_directories_are_made(path: Path, durability: Durability) -> None:
    catalog = SqliteCatalog(path.parent / "there" / "is" / "none" / path.name, durability)
    assert await catalog.listing() == []
    await catalog.create(NEW)
    assert await catalog.load("a") == NEW
    await catalog.aclose()


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
def test_a_catalog_that_nobody_closed_closes_itself(path: Path, anyio_backend: str) -> None:
    async def use(catalog: SqliteCatalog) -> None:
        await catalog.create(NEW)
        await catalog.load("a")

    catalog = SqliteCatalog(path, Durability.OS)
    anyio.run(use, catalog, backend=anyio_backend)
    assert len(list(path.parent.iterdir())) == 3  # with the log and its index
    del catalog
    deadline = time.monotonic() + PATIENT  # threads remember their last call until they end
    while len(list(path.parent.iterdir())) > 1 and time.monotonic() < deadline:
        gc.collect()
    assert list(path.parent.iterdir()) == [path]
    assert raw.recorded(path, "a") == NEW


# --- a hundred thousand sessions -----------------------------------------------------------------

MANY = 100_000


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalog in which nearly every session is done and a few are anything else, or due."""
    path = tmp_path_factory.mktemp("crowded") / "catalog.sqlite3"
    phases = [Phase.OPEN, Phase.SEALED, Phase.ABANDONED]
    raw.plant(
        path,
        (
            replace(
                NEW,
                id=f"jumbo_{number:032}",
                phase=phases[number // 10_000 % 3] if number % 10_000 == 77 else Phase.DONE,
                updated_at=float(number),
                expires_at=float(number),
                metadata={"filename": b"some name.txt"},
            )
            for number in range(MANY)
        ),
    )
    return path


@pytest.mark.parametrize(
    ("query", "parameters", "index"),
    [
        (sqlite._LOAD, ("a",), "sqlite_autoindex_sessions_1 (id=?)"),
        (sqlite._LISTING, ("a", 10), "sqlite_autoindex_sessions_1 (id>?)"),
        (sqlite._LISTING_OF_PHASE, ("open", "", 9), "sessions_by_phase (phase=? AND id>?)"),
        (sqlite._DUE, (1e9, 10), "sessions_due (due_at<?)"),
    ],
    ids=["load", "listing", "listing of a phase", "due"],
)
def test_every_query_goes_by_an_index(
    crowded: Path, query: str, parameters: tuple[str | float, ...], index: str
) -> None:
    with raw.connected(crowded) as connection:
        plan = connection.execute("EXPLAIN QUERY PLAN " + query, parameters).fetchall()
    assert [row[-1] for row in plan] == [f"SEARCH sessions USING INDEX {index}"]


async def test_a_page_costs_what_is_on_it(crowded: Path) -> None:
    """Counted in steps of SQLite's virtual machine: a page of 50 takes some 20 for each row."""
    catalog = SqliteCatalog(crowded, Durability.OS)
    await catalog.listing(limit=1)
    ticks = itertools.count()
    with catalog._reader.connection() as connection:
        connection.set_progress_handler(lambda: next(ticks) < 0, 100)
    middle = f"jumbo_{MANY // 2:032}"
    assert len(await catalog.listing(after=middle, limit=50)) == 50
    assert len(await catalog.listing(phase=Phase.DONE, after=middle, limit=50)) == 50
    assert len(await catalog.listing(phase=Phase.OPEN, limit=50)) == 4
    assert len(await catalog.listing(phase=Phase.SEALED, limit=50)) == 3
    assert [s.updated_at for s in await catalog.due(20_077.0, 50)] == [77.0, 10_077.0, 20_077.0]
    assert (await catalog.load(middle)).id == middle
    assert next(ticks) < 60
    await catalog.aclose()


def test_records_go_by_an_index_and_touch_no_session(crowded: Path) -> None:
    chunks = "SEARCH chunks USING PRIMARY KEY (upload_id=? AND number>? AND number<?)"
    tallies = "SEARCH tallies USING INTEGER PRIMARY KEY (rowid>?)"
    with raw.connected(crowded) as connection:
        digests = connection.execute("EXPLAIN QUERY PLAN " + sqlite._DIGESTS, ("a", 0, 9))
        assert [row[-1] for row in digests] == [chunks]
        figures = connection.execute("EXPLAIN QUERY PLAN " + sqlite._STATISTICS, (0.0, 0.0))
        reads = [row[-1] for row in figures if row[-1].startswith("SEARCH")]
    assert reads == [
        "SEARCH sessions USING COVERING INDEX sessions_sizes (phase=?)",
        tallies,
        tallies,
    ]


async def test_figures_do_not_cost_what_is_finished(crowded: Path) -> None:
    catalog = SqliteCatalog(crowded, Durability.OS)
    await catalog.listing(limit=1)
    ticks = itertools.count()
    with catalog._reader.connection() as connection:
        connection.set_progress_handler(lambda: next(ticks) < 0, 100)
    figures = await catalog.statistics(0.0, 0.0)
    assert (figures.active, figures.started_this_week) == (4, MANY)
    assert next(ticks) < 60
    await catalog.aclose()
