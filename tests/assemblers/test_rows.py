from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from anyio.lowlevel import checkpoint

from tests.assemblers.arrivals import arrived
from tests.assemblers.cancelling import Cut, cut_reading
from tusjumbo.application import Assembled
from tusjumbo.assemblers.rows import Rows
from tusjumbo.errors import ConfigurationError, UploadRejected
from tusjumbo.processing.tables import BadRow, Row

TABLE = b"id,name\n1,Ada\n2,Grace\n3,Mary\n"


async def test_rows(tmp_path: Path) -> None:
    calls: list[tuple[list[Row], int]] = []
    threads: set[threading.Thread] = set()

    def callback(rows: list[Row], row_count: int) -> None:
        threads.add(threading.current_thread())
        calls.append((rows, row_count))

    made = await Rows(callback, chunk_size=2)(arrived(tmp_path, TABLE))
    assert calls == [
        ([{"id": "1", "name": "Ada"}, {"id": "2", "name": "Grace"}], 2),
        ([{"id": "3", "name": "Mary"}], 3),
    ]
    assert threading.current_thread() not in threads
    answer = made.answer
    assert answer is not None
    assert made == Assembled(answer=answer)
    assert json.loads(answer.body) == {"rows": 3}
    assert answer.headers == {"Content-Type": "application/json"}
    assert answer.status is None


async def test_an_async_callback(tmp_path: Path) -> None:
    seen: list[int] = []

    async def callback(rows: list[Row], row_count: int) -> None:
        await checkpoint()
        seen.append(row_count)

    await Rows(callback, chunk_size=1)(arrived(tmp_path, TABLE))
    assert seen == [1, 2, 3]


async def test_options(tmp_path: Path) -> None:
    rows: list[Row] = []
    bad: list[BadRow] = []
    take = Rows(
        lambda more, _: rows.extend(more),
        delimiter=";",
        encoding="latin-1",
        names=["id", "name"],
        on_error=bad.append,
    )
    made = await take(arrived(tmp_path, "1;Zoë\n2\n".encode("latin-1")))
    assert rows == [{"id": "1", "name": "Zoë"}]
    assert [row.line for row in bad] == [2]
    assert made.answer is not None
    assert json.loads(made.answer.body) == {"rows": 1}


async def test_no_table(tmp_path: Path) -> None:
    with pytest.raises(UploadRejected, match=r"Line 2: 1 field for 2 columns"):
        await Rows(lambda *_: None)(arrived(tmp_path, b"a,b\n1\n"))


async def test_a_callback_that_fails(tmp_path: Path) -> None:
    """It is tried again: the file is not to blame."""

    def callback(rows: list[Row], row_count: int) -> None:
        raise LookupError("the database is away")

    with pytest.raises(LookupError, match="away"):
        await Rows(callback)(arrived(tmp_path, TABLE))


@pytest.mark.parametrize(
    ("options", "setting"),
    [
        ({"chunk_size": 0}, "chunk_size"),
        ({"encoding": "klingon"}, "encoding"),
        ({"delimiter": "--"}, "delimiter"),
        ({"longest_row": 0}, "longest_row"),
    ],
)
def test_options_that_cannot_work(options: dict[str, Any], setting: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Rows(lambda *_: None, **options)
    assert caught.value.setting == setting


def test_nothing_to_call() -> None:
    with pytest.raises(ConfigurationError, match="cannot be called"):
        Rows("app:rows")  # type: ignore[arg-type]


@pytest.mark.parametrize("cut", Cut)
async def test_cancelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: Cut) -> None:
    seen: list[int] = []
    take = Rows(lambda _, count: seen.append(count), chunk_size=1)
    arrival = arrived(tmp_path, b"n\n" + b"1\n" * 500_000)
    assert await cut_reading(cut, take, arrival, monkeypatch, "rows") == 2
    assert 0 < len(seen) <= 64 * 1024
