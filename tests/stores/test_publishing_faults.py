"""What assemblers made, when the system says no, or the machine stops between any two calls."""

from __future__ import annotations

import errno
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from tests.stores.test_local import tree
from tests.stores.test_local_faults import System, crashing, no_hard_links, system
from tusjumbo.application import NOBODY, Assembled
from tusjumbo.errors import StorageFailed, StorageFull
from tusjumbo.sessions.session import UploadSession
from tusjumbo.settings import Durability
from tusjumbo.stores.local import LocalStore
from tusjumbo.testing.arrivals import MADE, OTHERS, SUMS, assembling, made_of
from tusjumbo.testing.keeping import digest, examined
from tusjumbo.testing.stores import DATA, done, opened, put, read, sealed

__all__ = ["system"]

# Every call is in a thread, which knows no event loops.
pytestmark = pytest.mark.parametrize("anyio_backend", ["asyncio"])

PLACE = "alice/2026/x.csv"
SESSION = replace(sealed(DATA, "0123456789", "film.mp4"), destination=PLACE)

BESIDE: list[Mapping[str, bytes]] = [{}, SUMS]


async def kept(
    store: LocalStore, content: bytes | None, beside: Mapping[str, bytes]
) -> UploadSession:
    """The session when it is recorded what was made of it."""
    arrival = await store.arrival(SESSION, NOBODY)
    assembled = Assembled(content=await made_of(arrival, content), beside=beside)
    await store.keep(SESSION, assembled)
    return assembling(SESSION, assembled)


def expected(place: str, content: bytes | None, beside: Mapping[str, bytes]) -> dict[str, bytes]:
    data = DATA if content is None else content
    return {place: data} | {place + suffix: text for suffix, text in beside.items()}


def occupy(root: Path, *places: str) -> dict[str, bytes]:
    for place in places:
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).write_bytes(OTHERS)
    return dict.fromkeys(places, OTHERS)


def records(files: Mapping[str, bytes]) -> set[str]:
    return {name for name in files if name.startswith("assembled/")}


@pytest.mark.parametrize("links", [True, False], ids=["hard links", "no hard links"])
@pytest.mark.parametrize("content", [None, MADE], ids=["as it came", "changed"])
@pytest.mark.parametrize("beside", BESIDE, ids=["alone", "with others"])
@pytest.mark.parametrize("taken", [(), (f"completed/{PLACE}", f"completed/{PLACE}.tar.gz.asc")])
async def test_a_crash_anywhere_in_publishing(
    root: Path,
    system: System,
    durability: Durability,
    monkeypatch: pytest.MonkeyPatch,
    content: bytes | None,
    beside: Mapping[str, bytes],
    links: bool,
    taken: tuple[str, ...],
) -> None:
    if not links:
        monkeypatch.setattr(os, "link", no_hard_links(system))
    for calls in range(60):
        store = LocalStore(root, durability)
        others = occupy(root, *taken)
        await put(store, opened(SESSION.id), {0: DATA + b"left behind"})
        session = await kept(store, content, beside)
        crashed = await crashing(system, calls, partial(store.publish, session))

        store = LocalStore(root, durability)
        receipt = await store.publish(session)
        assert await LocalStore(root, durability).publish(session) == receipt
        finished = done(session, receipt)
        for left in range(20):
            if not await crashing(system, left, partial(store.settle, finished)):
                break
        there = tree(root)
        assert {name: there[name] for name in there.keys() - records(there)} == others | expected(
            receipt.path, content, beside
        )
        assert await read(await store.locate(finished)) == (DATA if content is None else content)
        for left in range(30):
            if not await crashing(system, left, partial(store.remove, finished)):
                break
        assert tree(root) == others
        if not taken:
            assert list((root / "completed").iterdir()) == []
        if not crashed:
            break
    assert calls > 2


@pytest.mark.parametrize("links", [True, False], ids=["hard links", "no hard links"])
async def test_a_name_that_somebody_takes_after_a_crash(
    root: Path, system: System, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    """Also of what is to be beside the file: the whole of it goes somewhere else."""
    if not links:
        monkeypatch.setattr(os, "link", no_hard_links(system))
    for calls in range(60):
        store = LocalStore(root, Durability.COMMIT)
        await put(store, opened(SESSION.id), {0: DATA})
        session = await kept(store, MADE, SUMS)
        crashed = await crashing(system, calls, partial(store.publish, session))
        others: dict[str, bytes] = {}
        for suffix in SUMS:
            if not (root / f"completed/{PLACE}{suffix}").exists():
                others |= occupy(root, f"completed/{PLACE}{suffix}")
        for left in range(60):
            if not await crashing(system, left, partial(store.publish, session)):
                break
        finished = done(session, await store.publish(session))
        assert finished.receipt is not None
        await store.settle(finished)
        there = tree(root)
        ours = expected(finished.receipt.path, MADE, SUMS)
        assert {name: there[name] for name in there.keys() - records(there)} == others | ours
        await store.remove(finished)
        assert tree(root) == others
        for name in others:
            (root / name).unlink()
        if not crashed:
            break
    assert calls > 5


@pytest.mark.parametrize("content", [None, MADE], ids=["as it came", "changed"])
@pytest.mark.parametrize("links", [True, False], ids=["hard links", "no hard links"])
async def test_a_crash_anywhere_before_publishing(
    root: Path,
    system: System,
    durability: Durability,
    monkeypatch: pytest.MonkeyPatch,
    content: bytes | None,
    links: bool,
) -> None:
    """What was made is made anew, and nothing of the first time is left."""
    if not links:
        monkeypatch.setattr(os, "link", no_hard_links(system))
    for calls in range(60):
        store = LocalStore(root, durability)
        await put(store, opened(SESSION.id), {0: DATA + b"left behind"})
        crashed = await crashing(system, calls, partial(kept, store, MADE + b"first", {".a": b""}))

        store = LocalStore(root, durability)
        session = await kept(store, content, SUMS)
        finished = done(session, await store.publish(session))
        assert finished.receipt is not None
        await store.settle(finished)
        there = tree(root)
        assert {name: there[name] for name in there.keys() - records(there)} == expected(
            f"completed/{PLACE}" if links else finished.receipt.path, content, SUMS
        )
        await store.remove(finished)
        assert tree(root) == {}
        if not crashed:
            break
    assert calls > 5


@pytest.mark.parametrize("links", [True, False], ids=["hard links", "no hard links"])
@pytest.mark.parametrize("beside", BESIDE, ids=["alone", "with others"])
async def test_what_crashed_while_it_was_published_can_be_removed(
    root: Path,
    system: System,
    monkeypatch: pytest.MonkeyPatch,
    links: bool,
    beside: Mapping[str, bytes],
) -> None:
    if not links:
        monkeypatch.setattr(os, "link", no_hard_links(system))
    for calls in range(0, 40, 3):
        for again in range(0, 40, 2):
            store = LocalStore(root, Durability.OS)
            await put(store, opened(SESSION.id), {0: DATA})
            session = await kept(store, MADE, beside)
            crashed = await crashing(system, calls, partial(store.publish, session))
            more = await crashing(system, again, partial(store.remove, session))
            await store.remove(session)
            assert tree(root) == {}, (calls, again)
            assert not any((root / "completed").glob("*"))
            if not more:
                break
        if not crashed:
            break
    assert calls > 2


@pytest.mark.parametrize("links", [True, False], ids=["hard links", "no hard links"])
async def test_a_crash_anywhere_in_taking_a_name_back(
    root: Path, system: System, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    """It was published, and then there is an assembler."""
    if not links:
        monkeypatch.setattr(os, "link", no_hard_links(system))
    for calls in range(60):
        store = LocalStore(root, Durability.COMMIT)
        await put(store, opened(SESSION.id), {0: DATA})
        await store.publish(SESSION)
        crashed = await crashing(system, calls, partial(store.arrival, SESSION, NOBODY))
        arrival = await store.arrival(SESSION, NOBODY)
        assert tree(root) == {f"sessions/{SESSION.id}": DATA}
        assert await read(arrival.path) == DATA
        await store.remove(SESSION)
        assert tree(root) == {}
        if not crashed:
            break
    assert calls > 3


# --- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "failure"),
    [("ENOSPC", StorageFull), ("EDQUOT", StorageFull), ("EIO", StorageFailed)],
)
@pytest.mark.parametrize(
    ("deed", "call"),
    [
        ("arrival", "mkdir"),
        ("arrival", "ftruncate"),
        ("arrival", "fsync"),
        ("arrival", "rmdir"),
        ("keep", "mkdir"),
        ("keep", "open"),
        ("keep", "rename"),
        ("keep", "pwrite"),
        ("keep", "fsync"),
        ("publish", "mkdir"),
        ("publish", "rename"),
        ("publish", "link"),
        ("publish", "open"),
        ("publish", "fsync"),
        ("settle", "unlink"),
        ("settle", "rmdir"),
    ],
)
async def test_errors_are_said_and_survived(
    root: Path, system: System, deed: str, call: str, code: str, failure: type[Exception]
) -> None:
    store = LocalStore(root, Durability.COMMIT)
    await put(store, opened(SESSION.id), {0: DATA + b"left behind"})
    if deed != "arrival":
        arrival = await store.arrival(SESSION, NOBODY)
        assembled = Assembled(content=await made_of(arrival, MADE), beside=SUMS)
    if deed not in ("arrival", "keep"):
        await store.keep(SESSION, assembled)
        session = assembling(SESSION, assembled)
    if deed == "settle":
        session = done(session, await store.publish(session))
    steps: dict[str, Callable[[], Awaitable[object]]] = {
        "arrival": lambda: store.arrival(SESSION, NOBODY),
        "keep": lambda: store.keep(SESSION, assembled),
        "publish": lambda: store.publish(session),
        "settle": lambda: store.settle(session),
    }
    hit: list[OSError] = []

    def fail(name: str) -> OSError | None:
        if name == call:
            hit.append(OSError(getattr(errno, code), "injected"))
        return hit[-1] if name == call else None

    system.fails = fail
    with pytest.raises(failure) as caught:
        await steps[deed]()
    assert caught.value.__cause__ is hit[-1]
    system.fails = lambda _: None
    if deed == "arrival":
        arrival = await store.arrival(SESSION, NOBODY)
        assembled = Assembled(content=await made_of(arrival, MADE), beside=SUMS)
    if deed in ("arrival", "keep"):
        await store.keep(SESSION, assembled)
        session = assembling(SESSION, assembled)
    if deed != "settle":
        session = done(session, await store.publish(session))
    await store.settle(session)
    there = tree(root)
    assert there.keys() - records(there) == expected(f"completed/{PLACE}", MADE, SUMS).keys()


@pytest.mark.parametrize("published", [False, True])
async def test_removing_needs_no_room(
    root: Path, system: System, monkeypatch: pytest.MonkeyPatch, published: bool
) -> None:
    store = LocalStore(root, Durability.COMMIT)
    await put(store, opened(SESSION.id), {0: DATA})
    session = await kept(store, MADE, SUMS)
    if published:
        await store.publish(session)
    full = OSError(errno.ENOSPC, "full")
    system.fails = lambda name: full if name in ("mkdir", "rename", "link", "pwrite") else None
    await store.remove(session)
    assert tree(root) == {}


async def test_bytes_are_examined_where_there_are_no_hard_links(
    root: Path, durability: Durability, monkeypatch: pytest.MonkeyPatch, system: System
) -> None:
    monkeypatch.setattr(os, "link", no_hard_links(system))
    store = LocalStore(root, durability)
    await put(store, opened(SESSION.id), {0: DATA})
    await store.arrival(SESSION, NOBODY)
    assembled = Assembled("x" * 300, beside=SUMS)
    await store.keep(SESSION, assembled)
    session = assembling(SESSION, assembled)
    receipt = await store.publish(session)
    for each in (session, done(session, receipt)):
        assert await examined(store, each, 7, 99) == digest(DATA[7:99])


async def test_what_is_synced_and_when(root: Path, system: System) -> None:
    store = LocalStore(root, Durability.COMMIT)
    await put(store, opened(SESSION.id), {0: DATA})
    arrival = await store.arrival(SESSION, NOBODY)
    assembled = Assembled(content=await made_of(arrival, MADE), beside={".sum": b"0"})

    def calls() -> list[str]:
        found = [call for call in system.calls if not call.startswith("mkdir")]
        system.calls.clear()
        return found

    calls()
    work = f"sessions/{SESSION.id}.work"
    await store.keep(SESSION, assembled)
    assert calls() == [
        f"fsync {work}",
        f"rename {work}/making/made",
        f"fsync {work}/kept/content",
        f"pwrite {work}/kept/beside.sum",
        f"fsync {work}/kept/beside.sum",
        f"pwrite {work}/kept/record",
        f"fsync {work}/kept/record",
        f"fsync {work}/kept",
        f"fsync {work}",
        "fsync sessions",
    ]
    await store.publish(assembling(SESSION, assembled))
    assert calls() == [
        "fsync .",
        f"rename {work}/kept/record",
        "fsync assembled",
        "fsync .",
        f"link {work}/kept/content",
        f"link {work}/kept/beside.sum",
        "fsync completed/alice/2026",
        "fsync completed/alice",
        "fsync completed",
    ]


async def test_a_directory_that_goes_before_the_file_comes(
    store: LocalStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who removes the last file of a directory removes it, at any time."""
    link, left = os.link, [3]

    def late(source: str, target: str) -> None:
        if left[0]:
            left[0] -= 1
            os.removedirs(os.path.dirname(target))
        link(source, target)

    monkeypatch.setattr(os, "link", late)
    await put(store, opened(SESSION.id), {0: DATA})
    finished = done(SESSION, await store.publish(SESSION))
    assert left == [0]
    assert await store.locate(finished) == root / "completed" / PLACE
