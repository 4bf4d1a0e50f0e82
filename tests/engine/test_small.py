"""Small bodies: what is seen at a look, and what a request costs and leaves behind."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import to_thread

from tests.engine.fakes import CUT, FOREVER, Journal, Script
from tusjumbo.catalogs.commits import Commits
from tusjumbo.composition import House, compose
from tusjumbo.engine.small import LARGEST, Peeked, may_be_small
from tusjumbo.errors import (
    BodyTimeout,
    ClientDisconnected,
    DigestMismatch,
    StorageFailed,
    StorageLost,
    SystemFailure,
    UploadNotFound,
)
from tusjumbo.hop import Hop, here
from tusjumbo.notice import Notice
from tusjumbo.sessions.commands import (
    Append,
    Command,
    Content,
    Create,
    Digest,
    Inspect,
    Promised,
    Put,
)
from tusjumbo.sessions.events import BytesReceived, Ending, UploadCreated, UploadFinished
from tusjumbo.sessions.session import Kind, Phase, UploadSession
from tusjumbo.settings import Durability, UploadSettings
from tusjumbo.stores.local import LocalStore

DATA = b"0123456789"
SMALL = Content(announced=len(DATA))


# --- looking ---


async def rest(source: Peeked) -> bytes:
    found, buffer = bytearray(), memoryview(bytearray(4))
    while await source.wait():
        found += buffer[: source.readinto(buffer)]
    return bytes(found)


@pytest.mark.parametrize(
    ("steps", "ending", "seen"),
    [
        ([DATA], Ending.END, DATA),
        ([DATA[:4], DATA[4:]], None, DATA[:4]),
        ([DATA, b"more"], None, DATA),
        ([DATA[:4]], None, DATA[:4]),
        ([], None, b""),
        ([FOREVER], Ending.IDLE, b""),
    ],
    ids=["whole", "in pieces", "too long", "too short", "nothing", "silence"],
)
@pytest.mark.parametrize("is_here", [False, True])
async def test_what_a_look_sees(
    steps: list[bytes | float | Exception], ending: Ending | None, seen: bytes, *, is_here: bool
) -> None:
    source = Peeked(Script(steps, is_here=is_here and FOREVER not in steps))
    assert await source.look(len(DATA), 0.05, ()) is ending
    assert bytes(source.seen) == seen
    if FOREVER not in steps:
        assert await rest(source) == b"".join(step for step in steps if isinstance(step, bytes))


@pytest.mark.parametrize("is_here", [False, True])
async def test_an_error_at_a_look_is_met_again(*, is_here: bool) -> None:
    source = Peeked(Script([CUT], is_here=is_here))
    assert await source.look(len(DATA), None, ()) is None
    for _ in range(2):
        with pytest.raises(ClientDisconnected):
            await source.wait()


@pytest.mark.parametrize("when", ["before", "meanwhile"])
async def test_who_is_asked_to_stop_leaves_that_to_others(when: str) -> None:
    script, asked = Script([FOREVER], is_here=when == "before"), Notice()
    source = Peeked(script)
    async with anyio.create_task_group() as tasks:
        if when == "before":
            asked.give()
        tasks.start_soon(source.look, len(DATA), None, (asked,))
        await anyio.wait_all_tasks_blocked()
        asked.give()
    assert script.reads == (when == "meanwhile")
    assert not source.seen


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (Content(announced=1), True),
        (Content(announced=LARGEST), True),
        (Content(announced=LARGEST + 1), False),
        (Content(announced=0), False),
        (Content(announced=None), False),
        (Content(announced=1, digest=Promised.AFTER_BODY), False),
    ],
)
def test_which_may_be_small(content: Content, expected: bool) -> None:
    assert may_be_small(content) is expected


# --- requests ---


class Bench:
    def __init__(self, root: Path, durability: Durability) -> None:
        self.root = root
        self.journal = Journal()
        self.house: House = compose(
            UploadSettings(upload_dir=root, durability=durability), observers=[self.journal]
        )

    async def __call__(self, command: Command, *steps: bytes | float | Exception) -> Any:
        return await self.house.uploads.execute(command, Script(steps) if steps else None)

    async def create(self, **kwargs: Any) -> UploadSession:
        outcome = await self(Create(length=len(DATA), metadata={}, echo={}, **kwargs))
        session: UploadSession = outcome.session
        return session

    def _files(self) -> dict[str, bytes]:
        paths = [path for name in ("sessions", "completed") for path in self.root.glob(f"{name}/*")]
        return {str(path.relative_to(self.root)): path.read_bytes() for path in paths}

    async def files(self) -> dict[str, bytes]:
        return await to_thread.run_sync(self._files)

    async def sessions(self) -> list[UploadSession]:
        return list(await self.house.catalog.listing())


@pytest.fixture(params=Durability, ids=lambda durability: durability.value)
async def bench(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path / "data", request.param)
    yield bench
    await bench.house.aclose()


@pytest.fixture
def hops(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Every way to a thread that is gone."""
    gone: list[object] = []
    go = Hop.__call__

    async def count(hop: Hop, work: Callable[..., object], *args: Any, **kwargs: Any) -> object:
        if not here.is_errand:
            gone.append(work)
        return await go(hop, work, *args, **kwargs)

    monkeypatch.setattr(Hop, "__call__", count)
    return gone


async def test_how_often_a_small_upload_goes_to_a_thread(bench: Bench, hops: list[object]) -> None:
    async def cost(command: Command, *steps: bytes) -> int:
        hops.clear()
        await bench(command, *steps)
        return len(hops)

    create = Create(length=len(DATA), metadata={}, echo={})
    assert await cost(create) == 1
    (session,) = await bench.sessions()
    append = Append(id=session.id, at=0, content=SMALL)
    assert await cost(Inspect(session.id)) == 1
    assert await cost(append, DATA) == 2
    assert await cost(Inspect(session.id)) == 1
    assert await cost(Create(length=len(DATA), metadata={}, echo={}, content=SMALL), DATA) == 1
    assert {session.phase for session in await bench.sessions()} == {Phase.DONE}
    chunked = await bench.create(chunk_size=5)
    assert await cost(Put(id=chunked.id, number=1, content=Content(announced=5)), DATA[5:]) <= 3


@pytest.mark.parametrize("steps", [[DATA], [DATA[:3], DATA[3:]], [DATA[:3], 0.01, DATA[3:]]])
async def test_a_small_upload_is_the_same_however_it_comes(
    bench: Bench, steps: list[bytes | float | Exception]
) -> None:
    first = await bench.create()
    await bench(Append(id=first.id, at=0, content=SMALL), *steps)
    outcome = await bench(Create(length=len(DATA), metadata={}, echo={}, content=SMALL), *steps)
    for upload_id in (first.id, outcome.session.id):
        session = await bench.house.catalog.load(upload_id)
        assert (session.phase, session.offset) == (Phase.DONE, len(DATA))
        assert session.receipt is not None
        assert (await bench.files())[session.receipt.path] == DATA
    assert len(await bench.files()) == 2
    kinds = [type(event) for event in bench.journal.events]
    assert kinds == [UploadCreated, BytesReceived, UploadFinished] * 2
    received = [event for event in bench.journal.events if isinstance(event, BytesReceived)]
    assert {(it.start, it.stop, it.ending) for it in received} == {(0, len(DATA), Ending.END)}


async def test_a_part_of_an_upload_stays_open(bench: Bench) -> None:
    session = await bench.create()
    await bench(Append(id=session.id, at=0, content=Content(announced=4)), DATA[:4])
    content = Content(announced=4)
    outcome = await bench(Create(length=10, metadata={}, echo={}, content=content), DATA[:4])
    for upload_id in (session.id, outcome.session.id):
        assert (await bench(Inspect(upload_id))).session.offset == 4
        await bench(Append(id=upload_id, at=4, content=Content(announced=6)), DATA[4:])
    assert set((await bench.files()).values()) == {DATA}


async def test_a_partial_upload_is_never_finished(bench: Bench) -> None:
    command = Create(length=len(DATA), metadata={}, echo={}, content=SMALL, kind=Kind.PARTIAL)
    session = (await bench(command, DATA)).session
    assert (session.phase, session.is_full) == (Phase.OPEN, True)
    assert await bench.files() == {f"sessions/{session.id}": DATA}


async def test_a_wrong_body_leaves_nothing(bench: Bench) -> None:
    wrong = Content(announced=len(DATA), digest=Digest("sha1", bytes(20)))
    with pytest.raises(DigestMismatch):
        await bench(Create(length=len(DATA), metadata={}, echo={}, content=wrong), DATA)
    assert await bench.sessions() == []
    assert await bench.files() == {}
    session = await bench.create()
    with pytest.raises(DigestMismatch):
        await bench(Append(id=session.id, at=0, content=wrong), DATA)
    assert (await bench(Inspect(session.id))).session.offset == 0
    await bench(Append(id=session.id, at=0, content=SMALL), DATA)
    assert set((await bench.files()).values()) == {DATA}


async def test_a_silent_creation_creates_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Durability.OS)
    bench.house.uploads.pace = bench.house.uploads._receive.pace = type(bench.house.uploads.pace)(
        idle=0.02
    )
    with pytest.raises(BodyTimeout):
        await bench(Create(length=10, metadata={}, echo={}, content=SMALL), FOREVER)
    assert await bench.sessions() == []
    await bench.house.aclose()


@pytest.mark.parametrize("error", [StorageFailed(), StorageLost("a")], ids=["failed", "lost"])
async def test_what_cannot_be_finished_now_is_finished_later(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, error: SystemFailure
) -> None:
    def fail(*_: object) -> None:
        raise error

    session = await bench.create()
    with monkeypatch.context() as patch:
        patch.setattr(LocalStore, "_publish", fail)
        with pytest.raises(type(error)):
            await bench(Append(id=session.id, at=0, content=SMALL), DATA)
        assert (await bench.house.catalog.load(session.id)).phase is Phase.SEALED
        create = Create(length=len(DATA), metadata={}, echo={}, content=SMALL)
        with pytest.raises(type(error)):
            await bench(create, DATA)
        assert [each.id for each in await bench.sessions()] == [session.id]
    assert (await bench(Inspect(session.id))).session.phase is Phase.DONE
    assert list((await bench.files()).values()) == [DATA]


async def test_an_unknown_upload_is_not_found(bench: Bench) -> None:
    for command in (Inspect("none"), Append(id="none", at=0, content=SMALL)):
        with pytest.raises(UploadNotFound):
            await bench(command, DATA)
    async with bench.house.locker.attempt("none"):
        pass


async def test_uploads_side_by_side_share_transactions(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    settled: list[Commits] = []
    settle = Commits._settle

    def count(commits: Commits) -> None:
        settled.append(commits)
        settle(commits)

    monkeypatch.setattr(Commits, "_settle", count)
    create = Create(length=len(DATA), metadata={}, echo={}, content=SMALL)
    async with anyio.create_task_group() as tasks:
        for _ in range(64):
            tasks.start_soon(bench, create, DATA)
    sessions = await bench.sessions()
    assert [session.phase for session in sessions] == [Phase.DONE] * 64
    assert sorted((await bench.files()).values()) == [DATA] * 64
    assert len(settled) < 2 * 64
