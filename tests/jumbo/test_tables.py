"""stream_csv: from paths and uploads, in the right thread, and while the bytes still arrive."""

from __future__ import annotations

import asyncio
import csv
import io
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextvars import ContextVar
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.harness.process import Server
from tests.harness.tus import Tus
from tests.harness.wire import DEADLINE, poll
from tusjumbo import AsyncJumbo, ConfigurationError, Jumbo
from tusjumbo.errors import (
    MalformedRequest,
    StorageFailed,
    StorageLost,
    UploadIsPartial,
    UploadNotFound,
    UploadUnfinished,
)
from tusjumbo.jumbo.bodies import source_of
from tusjumbo.jumbo.tables import CHUNK_SIZE, UploadEnded, _Followed
from tusjumbo.processing import pieces
from tusjumbo.processing.dialects import Dialect
from tusjumbo.processing.tables import BadRow, Fault, Row, TableUnreadable
from tusjumbo.sessions.commands import Append, Content, Create, Finish
from tusjumbo.sessions.outcomes import Created
from tusjumbo.sessions.session import Kind, Phase, Receipt, UploadSession

SIZE = 100
"""Of a chunk, in bytes."""

UNKNOWN = "jumbo_" + "0" * 32


def table(rows: int) -> bytes:
    """Every fifth row has a line end in a field."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["n", "text"])
    writer.writerows([n, f"two\nlines {n}" if n % 5 == 0 else f"text {n}"] for n in range(rows))
    return text.getvalue().encode()


def expected(content: bytes) -> list[Row]:
    return list(csv.DictReader(io.StringIO(content.decode(), newline="")))


def rows_in(content: bytes) -> int:
    """How many rows are complete, if the last one is not."""
    return len(expected(content)) - 1


@dataclass
class Told:
    """A callback that keeps what it is told."""

    rows: list[Row] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    threads: set[int] = field(default_factory=set)

    def __call__(self, rows: list[Row], row_count: int) -> None:
        self.rows += rows
        self.counts.append(row_count)
        self.threads.add(threading.get_ident())


@pytest.fixture
def jumbo(tmp_path: Path) -> Iterator[Jumbo]:
    with Jumbo(tmp_path / "data", chunk_size=SIZE) as it:
        yield it


def following(jumbo: Jumbo, *arguments: Any) -> Future[int]:
    """A call that waits for what is still to come, in a thread that keeps nobody waiting."""
    future: Future[int] = Future()

    def follow() -> None:
        try:
            future.set_result(jumbo.stream_csv(*arguments, follow=True))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=follow, daemon=True).start()
    return future


def put(jumbo: Jumbo, upload_id: str, content: bytes, *numbers: int) -> None:
    for number in numbers:
        jumbo.upload_chunk(upload_id, number, content[number * SIZE : (number + 1) * SIZE])


def uploaded(jumbo: Jumbo, content: bytes) -> str:
    upload_id: str = jumbo.start_upload("t.csv", len(content))["upload_id"]
    put(jumbo, upload_id, content, *range(-(-len(content) // SIZE)))
    return upload_id


# --- from a path ---------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [str, Path])
def test_the_seeds_example(jumbo: Jumbo, tmp_path: Path, form: Callable[[Path], Any]) -> None:
    content = table(2500)
    (tmp_path / "large_file.csv").write_bytes(content)
    told = Told()
    assert jumbo.stream_csv(form(tmp_path / "large_file.csv"), told, 1000) == 2500
    assert told.counts == [1000, 2000, 2500]
    assert told.rows == expected(content)


def test_a_thousand_rows_unless_told_otherwise(jumbo: Jumbo, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(table(CHUNK_SIZE + 1))
    told = Told()
    jumbo.stream_csv(tmp_path / "t.csv", told)
    assert told.counts == [1000, 1001]


@pytest.mark.parametrize(
    ("content", "options"),
    [
        ("n;ü\n1;ä\n".encode("latin-1"), {"encoding": "latin-1", "delimiter": ";"}),
        ("n,ü\n1,ä\n".encode("utf-16"), {}),
        ("\ufeffn,ü\r\n1,ä\r\n".encode(), {}),
        ("1,ä\n".encode(), {"names": ["n", "ü"]}),
        ("n\tü\n1\tä\n".encode(), {"dialect": "excel-tab"}),
        ("n\tü\n1\tä\n".encode(), {"dialect": csv.excel_tab}),
        ("n|ü\n1|'ä'\n".encode(), {"dialect": Dialect("|", "'")}),
        ("n|ü\n1|'ä'\n".encode(), {"dialect": Dialect(";", "'"), "delimiter": "|"}),
        ("n|ü\n1|ä\n".encode(), {"delimiter": None}),
        ("n,ü\n1,ä\n".encode(), {"delimiter": None, "dialect": None, "encoding": None}),
        ("n,ü\n1,ä\n11111,ä\n".encode(), {"longest_row": 6, "on_error": lambda bad: None}),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)
def test_how_a_table_is_written(
    jumbo: Jumbo, tmp_path: Path, content: bytes, options: dict[str, Any]
) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    told = Told()
    assert jumbo.stream_csv(tmp_path / "t.csv", told, **options) == 1
    assert told.rows == [{"n": "1", "ü": "ä"}]


@pytest.mark.parametrize(
    ("setting", "chunk_size", "options"),
    [
        ("chunk_size", 0, {}),
        ("encoding", 1, {"encoding": "base64"}),
        ("delimiter", 1, {"delimiter": "::"}),
        ("dialect", 1, {"dialect": "word"}),
        ("names", 1, {"names": ["a", "a"]}),
        ("longest_row", 1, {"longest_row": 0}),
        ("follow", 1, {"follow": True}),
    ],
)
def test_options_that_cannot_work(
    jumbo: Jumbo, tmp_path: Path, setting: str, chunk_size: int, options: dict[str, Any]
) -> None:
    (tmp_path / "t.csv").write_bytes(b"a,b\n")
    with pytest.raises(ValueError, match=f"^{setting}: ") as caught:
        jumbo.stream_csv(tmp_path / "t.csv", Told(), chunk_size, **options)
    assert isinstance(caught.value, ConfigurationError)


def test_bad_rows_are_told_with_their_line(jumbo: Jumbo, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b'a,b\n1,"2\n2"\n3\n4,5\n6,7,8\n')
    told, bad = Told(), list[BadRow]()
    assert jumbo.stream_csv(tmp_path / "t.csv", told, on_error=bad.append) == 2
    assert [(it.line, it.fault, it.raw) for it in bad] == [
        (4, Fault.TOO_FEW, "3\n"),
        (6, Fault.TOO_MANY, "6,7,8\n"),
    ]
    told = Told()
    with pytest.raises(ValueError, match=r"^Line 4: 1 field for 2 columns\.") as caught:
        jumbo.stream_csv(tmp_path / "t.csv", told)
    assert isinstance(caught.value, TableUnreadable)
    assert told.rows == [{"a": "1", "b": "2\n2"}]


def test_a_path_that_cannot_be_read(jumbo: Jumbo, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        jumbo.stream_csv(tmp_path / "none.csv", Told())
    with pytest.raises(IsADirectoryError):
        jumbo.stream_csv(str(tmp_path), Told())


@pytest.mark.parametrize("source", [None, 7, b"t.csv", io.BytesIO(b"a\n1\n")])
def test_what_is_no_source(jumbo: Jumbo, source: Any) -> None:
    with pytest.raises(MalformedRequest, match=r"^path_or_upload_id: "):
        jumbo.stream_csv(source, Told())


# --- from a finished upload ----------------------------------------------------------------------


def test_an_upload(jumbo: Jumbo) -> None:
    content = table(30)
    upload_id = uploaded(jumbo, content)
    for follow in (False, True):
        told = Told()
        assert jumbo.stream_csv(upload_id, told, 10, follow=follow) == 30
        assert told.counts == [10, 20, 30]
        assert told.rows == expected(content)


def test_what_could_be_an_id_is_one(
    jumbo: Jumbo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("users").write_bytes(table(3))
    for follow in (False, True):
        with pytest.raises(UploadNotFound) as caught:
            jumbo.stream_csv("users", Told(), follow=follow)
        assert caught.value.__notes__ == [
            "What could be an upload's id is one: give such a file as a Path."
        ]
    assert jumbo.stream_csv(Path("users"), Told()) == 3
    assert jumbo.stream_csv("./users", Told()) == 3


def test_an_unfinished_upload_is_not_read(jumbo: Jumbo) -> None:
    upload_id = jumbo.start_upload("t.csv", 300)["upload_id"]
    put(jumbo, upload_id, table(30), 0)
    told = Told()
    with pytest.raises(UploadUnfinished) as caught:
        jumbo.stream_csv(upload_id, told)
    assert str(caught.value) == (
        "This upload is not finished: 100 of 300 bytes are here."
        " Read it while it arrives with follow=True."
    )
    assert told.counts == []


@pytest.mark.parametrize("follow", [False, True])
def test_no_upload(jumbo: Jumbo, follow: bool) -> None:
    with pytest.raises(UploadNotFound):
        jumbo.stream_csv(UNKNOWN, Told(), follow=follow)


@pytest.mark.parametrize("follow", [False, True])
async def test_a_part_is_no_file(tmp_path: Path, follow: bool) -> None:
    async with AsyncJumbo(tmp_path) as jumbo:
        command = Create(length=10, metadata={}, echo={}, kind=Kind.PARTIAL)
        outcome = await jumbo.house.uploads.execute(command)
        assert isinstance(outcome, Created)
        with pytest.raises(UploadIsPartial):
            await jumbo.stream_csv(outcome.session.id, Told(), follow=follow)


def test_a_finished_file_that_was_taken_away(jumbo: Jumbo, tmp_path: Path) -> None:
    upload_id = uploaded(jumbo, table(3))
    (tmp_path / "data" / "completed" / "t.csv").unlink()
    with pytest.raises(StorageLost):
        jumbo.stream_csv(upload_id, Told())


@pytest.mark.parametrize(("name", "kind"), [("gone", StorageLost), (".", StorageFailed)])
def test_a_finished_file_that_cannot_be_read(
    jumbo: Jumbo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, kind: type[Exception]
) -> None:
    """What was true when it was located need not be when it is opened."""
    upload_id = uploaded(jumbo, table(3))

    async def locate(session: UploadSession) -> Path:
        return tmp_path / name

    monkeypatch.setattr(jumbo.twin.house.store, "locate", locate)
    with pytest.raises(kind):
        jumbo.stream_csv(upload_id, Told())


# --- who is called where -------------------------------------------------------------------------


def test_callbacks_run_in_the_callers_thread(jumbo: Jumbo) -> None:
    """Its connections and contexts are there."""
    upload_id = uploaded(jumbo, table(30) + b"bad\n")
    variable: ContextVar[str] = ContextVar("variable", default="unset")
    variable.set("here")
    found: set[tuple[int, str]] = set()

    def note(*told: object) -> None:
        found.add((threading.get_ident(), variable.get()))

    database = sqlite3.connect(":memory:")
    database.execute("CREATE TABLE rows (n, text)")

    def insert(rows: list[Row], row_count: int) -> None:
        note()
        database.executemany("INSERT INTO rows VALUES (:n, :text)", rows)

    jumbo.stream_csv(upload_id, insert, 10, on_error=note)
    jumbo.stream_csv(upload_id, note, 10, on_error=note, follow=True)
    assert found == {(threading.get_ident(), "here")}
    assert database.execute("SELECT count(*) FROM rows").fetchone() == (30,)
    database.close()


def test_a_callback_may_call_jumbo(jumbo: Jumbo) -> None:
    upload_id = uploaded(jumbo, table(30))
    found: list[Any] = []
    jumbo.stream_csv(upload_id, lambda rows, count: found.append(jumbo.get_status(upload_id)))
    assert [it["status"] for it in found] == ["completed"]


async def test_blocking_callbacks_do_not_block_the_loop(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(table(30) + b"bad\n")
    answered = threading.Semaphore(0)
    threads: set[int] = set()
    asked = 0

    def ask(*told: object) -> None:
        nonlocal asked
        asked += 1
        threads.add(threading.get_ident())
        assert answered.acquire(timeout=DEADLINE)

    async def answer() -> None:
        for turn in range(4):
            with anyio.fail_after(DEADLINE):
                while asked <= turn:
                    await anyio.sleep(0.001)
            answered.release()

    async with AsyncJumbo(tmp_path) as jumbo, anyio.create_task_group() as tasks:
        tasks.start_soon(answer)
        assert await jumbo.stream_csv(tmp_path / "t.csv", ask, 10, on_error=ask) == 30
    assert len(threads) == 1
    assert threading.get_ident() not in threads


async def test_callbacks_may_be_coroutine_functions(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(table(30) + b"bad\n")
    told, bad = Told(), list[BadRow]()

    class Callback:
        async def __call__(self, rows: list[Row], row_count: int) -> None:
            told(rows, row_count)
            await anyio.sleep(0)

    async def on_error(row: BadRow) -> None:
        await anyio.sleep(0)
        assert told.counts == [12, 24]
        bad.append(row)

    async with AsyncJumbo(tmp_path) as jumbo:
        count = await jumbo.stream_csv(tmp_path / "t.csv", Callback(), 12, on_error=on_error)
    assert count == 30
    assert told.counts == [12, 24, 30]
    assert told.threads == {threading.get_ident()}
    assert len(bad) == 1


def test_a_coroutine_function_is_not_lost_without_a_loop(jumbo: Jumbo, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(table(30))
    told = Told()

    async def callback(rows: list[Row], row_count: int) -> None:
        told(rows, row_count)

    assert jumbo.stream_csv(tmp_path / "t.csv", callback) == 30
    assert len(told.rows) == 30


class Stop(BaseException):
    pass


def _raises(*told: object) -> None:
    raise Stop(7)


async def _raises_later(*told: object) -> None:
    await anyio.sleep(0)
    raise Stop(7)


@pytest.mark.parametrize("raises", [_raises, _raises_later], ids=["function", "coroutine"])
@pytest.mark.parametrize("of", ["callback", "on_error"])
async def test_what_is_raised_comes_out_as_it_is(
    tmp_path: Path, raises: Callable[..., Any], of: str
) -> None:
    (tmp_path / "t.csv").write_bytes(b"a,b\n1,2\nbad\n3,4\n")
    options: Any = {"on_error": raises if of == "on_error" else None}
    callback = raises if of == "callback" else Told()
    async with AsyncJumbo(tmp_path) as jumbo:
        with pytest.raises(Stop, match=r"^7$"):
            await jumbo.stream_csv(tmp_path / "t.csv", callback, 1, **options)


def test_what_is_raised_comes_out_of_the_twin(jumbo: Jumbo, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"a,b\n1,2\n")
    with pytest.raises(Stop, match=r"^7$"):
        jumbo.stream_csv(tmp_path / "t.csv", _raises)


# --- cancelled -----------------------------------------------------------------------------------


async def _begun(jumbo: AsyncJumbo, content: bytes, stop: int) -> str:
    """An upload with the first `stop` chunks of `content`."""
    upload_id: str = (await jumbo.start_upload("t.csv", len(content)))["upload_id"]
    for at in range(stop):
        await jumbo.upload_chunk(upload_id, at, content[at * SIZE : (at + 1) * SIZE])
    return upload_id


async def test_a_scope_ends_a_following(tmp_path: Path) -> None:
    content = table(30)
    async with AsyncJumbo(tmp_path, chunk_size=SIZE) as jumbo:
        upload_id = await _begun(jumbo, content, 2)
        with anyio.fail_after(DEADLINE), anyio.CancelScope() as scope:
            await jumbo.stream_csv(
                upload_id,
                lambda rows, count: anyio.from_thread.run_sync(scope.cancel),
                follow=True,
            )
        assert scope.cancelled_caught


async def test_a_scope_ends_a_following_that_waits(tmp_path: Path) -> None:
    told = Told()
    async with AsyncJumbo(tmp_path, chunk_size=SIZE) as jumbo:
        upload_id = await _begun(jumbo, table(30), 2)

        async def follow() -> None:
            await jumbo.stream_csv(upload_id, told, follow=True)

        with anyio.fail_after(DEADLINE):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(follow)
                while not told.rows:
                    await anyio.sleep(0.001)
                tasks.cancel_scope.cancel()


async def test_a_scope_ends_a_long_table(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(table(500_000))
    told = Told()
    async with AsyncJumbo(tmp_path) as jumbo, anyio.create_task_group() as tasks:

        def callback(rows: list[Row], count: int) -> None:
            told.counts.append(count)
            if len(told.counts) == 1:
                anyio.from_thread.run_sync(tasks.cancel_scope.cancel)

        tasks.start_soon(jumbo.stream_csv, tmp_path / "t.csv", callback)
    assert 0 < told.counts[-1] < 100_000


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_cancelled_asyncio_task_ends_its_thread(tmp_path: Path) -> None:
    """No scope was cancelled, so the thread must hear of it in another way."""
    began = asyncio.Event()

    async def callback(rows: list[Row], count: int) -> None:
        began.set()

    async with AsyncJumbo(tmp_path, chunk_size=SIZE) as jumbo:
        upload_id = await _begun(jumbo, table(30), 2)
        task = asyncio.create_task(jumbo.stream_csv(upload_id, callback, follow=True))
        async with asyncio.timeout(DEADLINE):
            await began.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task


# --- an upload that is still arriving ------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look more often than is good for a catalog."""
    monkeypatch.setattr(pieces, "SHORTEST_WAIT", 0.001)
    monkeypatch.setattr(pieces, "LONGEST_WAIT", 0.01)


def awaited(told: Told, rows: int) -> list[Row]:
    poll(lambda: len(told.rows) >= rows, DEADLINE, f"{len(told.rows)} of {rows} rows came")
    return told.rows


@pytest.mark.usefixtures("quick")
def test_rows_come_with_the_bytes_before_them(jumbo: Jumbo) -> None:
    content = table(60)
    numbers = range(-(-len(content) // SIZE))
    upload_id = jumbo.start_upload("t.csv", len(content))["upload_id"]
    told = Told()
    count = following(jumbo, upload_id, told, 1)
    put(jumbo, upload_id, content, 3, 1)
    put(jumbo, upload_id, content, 0)
    awaited(told, rows_in(content[: 2 * SIZE]))
    assert len(told.rows) <= rows_in(content[: 2 * SIZE]) + 1
    put(jumbo, upload_id, content, 2)  # what is there jumps over chunk 3
    awaited(told, rows_in(content[: 4 * SIZE]))
    assert len(told.rows) <= rows_in(content[: 4 * SIZE]) + 1
    assert not count.done()
    put(jumbo, upload_id, content, *numbers[4:])
    assert count.result(DEADLINE) == 60
    assert told.rows == expected(content)
    assert told.counts == list(range(1, 61))


CELLS = st.text(st.sampled_from('ab ,"\n\rß€🐘'), max_size=8)


@st.composite
def tables_in_chunks(draw: st.DrawFn) -> tuple[bytes, int, list[int]]:
    """A table, the size of its chunks, and the order in which they come."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_ALL)
    writer.writerow(["ä", "b"])
    writer.writerows(draw(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=30)))
    content = text.getvalue().encode()
    size = draw(st.integers(1 + len(content) // 12, len(content)))
    return content, size, draw(st.permutations(range(-(-len(content) // size))))


@pytest.mark.usefixtures("quick")
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    tables_in_chunks(), st.integers(0, 12), st.integers(1, 7), st.sampled_from([0.0, 0.0, 0.005])
)
def test_following_reads_what_dictreader_reads_of_the_whole(
    tmp_path_factory: pytest.TempPathFactory,
    sample: tuple[bytes, int, list[int]],
    begin: int,
    chunk_size: int,
    pause: float,
) -> None:
    content, size, order = sample
    with Jumbo(tmp_path_factory.mktemp("data"), chunk_size=size) as jumbo:
        upload_id = jumbo.start_upload("t.csv", len(content))["upload_id"]
        told = Told()
        count: Future[int] | None = None
        for turn, number in enumerate([*order, None]):
            if turn == min(begin, len(order)):
                count = following(jumbo, upload_id, told, chunk_size)
            if number is not None:
                chunk = content[number * size : (number + 1) * size]
                jumbo.upload_chunk(upload_id, number, chunk)
                time.sleep(pause)
        assert count is not None
        assert told.rows == expected(content)[: count.result(DEADLINE)]
        assert told.rows == expected(content)


@pytest.mark.usefixtures("quick")
def test_a_length_that_is_not_known_yet(jumbo: Jumbo) -> None:
    content = table(20)

    async def begun() -> str:
        create = Create(length=None, metadata={}, echo={})
        outcome = await jumbo.twin.house.uploads.execute(create)
        assert isinstance(outcome, Created)
        return outcome.session.id

    async def appended(at: int, stop: int, finish: Finish) -> None:
        source, size = source_of(content[at:stop])
        command = Append(id=upload_id, at=at, content=Content(announced=size, finish=finish))
        await jumbo.twin.house.uploads.execute(command, source)

    upload_id = jumbo.in_loop(begun).result(DEADLINE)
    told = Told()
    count = following(jumbo, upload_id, told)
    jumbo.in_loop(lambda: appended(0, 100, Finish.WHEN_FULL)).result(DEADLINE)
    awaited(told, 3)
    jumbo.in_loop(lambda: appended(100, len(content), Finish.WITH_THIS)).result(DEADLINE)
    assert count.result(DEADLINE) == 20
    assert told.rows == expected(content)


# --- that ends in another way --------------------------------------------------------------------


@pytest.mark.usefixtures("quick")
def test_a_cancelled_upload_ends_it(jumbo: Jumbo) -> None:
    content = table(60)
    upload_id = jumbo.start_upload("t.csv", len(content))["upload_id"]
    put(jumbo, upload_id, content, 0, 1, 4)
    told = Told()
    count = following(jumbo, upload_id, told)
    came = len(awaited(told, 10))
    jumbo.cancel_upload(upload_id)
    error = count.exception(DEADLINE)
    assert isinstance(error, UploadEnded)
    assert isinstance(error, RuntimeError)
    assert (error.upload_id, error.received) == (upload_id, 200)
    assert "cancelled or has expired: 200 bytes came" in str(error)
    assert told.rows == expected(content)[:came]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("is_swept", [False, True])
def test_an_expired_upload_ends_it(tmp_path: Path, is_swept: bool) -> None:
    """Also where nobody sweeps."""
    now = time.time()
    with Jumbo(tmp_path, chunk_size=SIZE, expire_after="1h", clock=lambda: now) as jumbo:
        upload_id = jumbo.start_upload("t.csv", 1000)["upload_id"]
        put(jumbo, upload_id, table(60), 0)
        told = Told()
        count = following(jumbo, upload_id, told)
        awaited(told, 1)
        now += 3601
        if is_swept:
            jumbo.start_upload("another", 1)
        assert isinstance(count.exception(DEADLINE), UploadEnded)


@pytest.mark.usefixtures("quick")
def test_bytes_that_are_lost_end_it(jumbo: Jumbo, tmp_path: Path) -> None:
    upload_id = jumbo.start_upload("t.csv", 1000)["upload_id"]
    put(jumbo, upload_id, table(60), 0)
    (tmp_path / "data" / "sessions" / upload_id).unlink()
    with pytest.raises(StorageLost):
        jumbo.stream_csv(upload_id, Told(), follow=True)


@pytest.mark.usefixtures("quick")
def test_a_bad_row_ends_it_at_once(jumbo: Jumbo) -> None:
    upload_id = jumbo.start_upload("t.csv", 1000)["upload_id"]
    put(jumbo, upload_id, b"a,b\n1,2\n3\n".ljust(SIZE, b"x"), 0)
    told = Told()
    with pytest.raises(TableUnreadable, match=r"^Line 3: "):
        jumbo.stream_csv(upload_id, told, follow=True)
    assert len(told.rows) == 1


# --- that moves meanwhile ------------------------------------------------------------------------


async def test_the_file_moves_between_look_and_read(tmp_path: Path) -> None:
    content = table(5)[:200].ljust(200, b"x")
    async with AsyncJumbo(tmp_path, chunk_size=SIZE) as jumbo:
        upload_id = await _begun(jumbo, content, 1)
        followed = _Followed(jumbo.house, upload_id)
        assert await followed.look() == (100, False)
        await jumbo.upload_chunk(upload_id, 1, content[SIZE:])
        assert not (tmp_path / "sessions" / upload_id).exists()
        assert await followed.read(0, 60) == content[:60]
        assert await followed.read(60, 40) == content[60:100]
        assert await followed.look() == (200, True)
        assert await followed.read(100, 100) == content[100:]


async def test_the_upload_ends_between_look_and_read(tmp_path: Path) -> None:
    async with AsyncJumbo(tmp_path, chunk_size=SIZE) as jumbo:
        upload_id = await _begun(jumbo, table(60), 1)
        followed = _Followed(jumbo.house, upload_id)
        await followed.look()
        await jumbo.cancel_upload(upload_id)
        with pytest.raises(UploadEnded):
            await followed.read(0, 100)


async def _sealed(jumbo: AsyncJumbo, content: bytes, patch: pytest.MonkeyPatch) -> str:
    """An upload whose finishing was cut short."""

    async def publish(session: UploadSession) -> Receipt:
        raise StorageFailed

    with patch.context() as failing:
        failing.setattr(jumbo.house.store, "publish", publish)
        with pytest.raises(StorageFailed):
            await _begun(jumbo, content, -(-len(content) // SIZE))
    [session] = await jumbo.house.catalog.listing()
    assert session.phase is Phase.SEALED
    return session.id


async def test_what_a_crash_left_behind_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = table(30)
    async with AsyncJumbo(tmp_path, chunk_size=SIZE) as jumbo:
        upload_id = await _sealed(jumbo, content, monkeypatch)
        told = Told()
        with anyio.fail_after(DEADLINE):
            assert await jumbo.stream_csv(upload_id, told, follow=True) == 30
        assert told.rows == expected(content)
        assert (await jumbo.get_status(upload_id))["status"] == "completed"


@pytest.mark.usefixtures("quick")
async def test_who_finishes_it_may_take_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All rows are handed over meanwhile; the call returns when it is a file."""
    content = table(30)
    async with AsyncJumbo(tmp_path, chunk_size=SIZE, lock_timeout=0.01) as jumbo:
        upload_id = await _sealed(jumbo, content, monkeypatch)
        told, counts = Told(), list[int]()

        async def follow() -> None:
            counts.append(await jumbo.stream_csv(upload_id, told, follow=True))

        with anyio.fail_after(DEADLINE):
            async with anyio.create_task_group() as tasks, jumbo.house.locker.hold(upload_id, 0):
                tasks.start_soon(follow)
                while len(told.rows) < 30:
                    await anyio.sleep(0.001)
                assert counts == []
        assert counts == [30]


# --- a server of its own -------------------------------------------------------------------------


@pytest.mark.wire
def test_an_upload_that_a_server_receives_slowly(tmp_path: Path) -> None:
    """In another process, over tus, within one long request and a second one after a cut."""
    content = table(3000)
    stops = [0, *sorted(random.Random(5).sample(range(1, len(content)), 12)), len(content)]
    told = Told()
    with Server(tmp_path / "data") as server, Jumbo(tmp_path / "data") as jumbo:
        tus = Tus(server.endpoint)
        path = tus.create(len(content), {"filename": "t.csv"})
        count = following(jumbo, path.rpartition("/")[2], told, 100)
        with tus.begin_patch(path, 0, len(content)) as wire:
            for start, stop in pairwise(stops[:4]):
                wire.send(content[start:stop])
                awaited(told, rows_in(content[:stop]))
            assert told.rows == expected(content)[: len(told.rows)]
        assert not count.done()
        at = tus.offset(path)
        with tus.begin_patch(path, at, len(content) - at) as wire:
            for start, stop in pairwise([at, *(stop for stop in stops if stop > at)]):
                wire.send(content[start:stop])
                time.sleep(0.02)
            assert wire.read().status == 204
        assert count.result(DEADLINE) == 3000
    assert told.rows == expected(content)


@pytest.mark.wire
def test_an_upload_that_a_server_is_told_to_forget(tmp_path: Path) -> None:
    with Server(tmp_path / "data") as server, Jumbo(tmp_path / "data") as jumbo:
        tus = Tus(server.endpoint)
        path = tus.create(10_000, body=table(60))
        told = Told()
        count = following(jumbo, path.rpartition("/")[2], told)
        awaited(told, 60)
        tus.delete(path).expect(204)
        assert isinstance(count.exception(DEADLINE), UploadEnded)
