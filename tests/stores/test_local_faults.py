"""The local store when the system says no, and when the machine stops between any two calls."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.stores.test_local import tree
from tusjumbo.digests import Data
from tusjumbo.errors import StorageFailed, StorageFull
from tusjumbo.sessions.session import Phase, UploadSession
from tusjumbo.settings import Durability
from tusjumbo.stores.local import LocalStore
from tusjumbo.testing.stores import DATA, done, opened, put, read, sealed

CHANGING = (
    "open",
    "mkdir",
    "pwrite",
    "ftruncate",
    "fdatasync",
    "fsync",
    "link",
    "rename",
    "unlink",
    "rmdir",
)


class System:
    """The calls that change files: noted, and failing at will."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
        self.calls: list[str] = []
        self.fails: Callable[[str], Exception | None] = lambda _: None
        self._root = root
        for name in CHANGING:
            monkeypatch.setattr(os, name, self._wrapped(name, getattr(os, name)))

    def _wrapped(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(what: Any, *args: Any, **kwargs: Any) -> Any:
            target = os.readlink(f"/proc/self/fd/{what}") if isinstance(what, int) else str(what)
            if (above := kwargs.get("dir_fd")) is not None:
                target = f"{os.readlink(f'/proc/self/fd/{above}')}/{target}"
            if not target.startswith(str(self._root)):
                return call(what, *args, **kwargs)
            inside = os.path.relpath(target, self._root)
            if error := self.fails(name):
                raise error
            if name != "open":
                self.calls.append(f"{name} {inside}")
            return call(what, *args, **kwargs)

        return wrapped


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch, root: Path) -> System:
    return System(monkeypatch, root)


# --- errors --------------------------------------------------------------------------------------

SESSION = sealed(DATA, "a", "x.csv")


async def write(store: LocalStore) -> None:
    await put(store, opened(), {0: DATA})


async def publish(store: LocalStore) -> None:
    receipt = await store.publish(SESSION)
    assert await read(await store.locate(done(SESSION, receipt))) == DATA


async def recover(store: LocalStore) -> None:
    await store.recover(replace(opened("a", (0, len(DATA))), phase=Phase.ABANDONED))


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("ENOSPC", StorageFull),
        ("EDQUOT", StorageFull),
        ("EIO", StorageFailed),
        ("EACCES", StorageFailed),
        ("EROFS", StorageFailed),
    ],
)
@pytest.mark.parametrize(
    ("deed", "call"),
    [
        (write, "open"),
        (write, "mkdir"),
        (write, "pwrite"),
        (write, "fdatasync"),
        (write, "fsync"),
        (publish, "open"),
        (publish, "ftruncate"),
        (publish, "fsync"),
        (publish, "mkdir"),
        (publish, "link"),
        (lambda store: store.settle(SESSION), "unlink"),
        (lambda store: store.abandon(SESSION), "mkdir"),
        (lambda store: store.abandon(SESSION), "rename"),
        (lambda store: store.abandon(SESSION), "fsync"),
        (recover, "mkdir"),
        (recover, "rename"),
        (recover, "fsync"),
        (lambda store: store.remove(SESSION), "unlink"),
        (lambda store: store.remove(SESSION), "fsync"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
async def test_errors_are_said_and_survived(
    root: Path,
    system: System,
    deed: Callable[[LocalStore], Awaitable[None]],
    call: str,
    code: str,
    expected: type[Exception],
) -> None:
    store = LocalStore(root, Durability.COMMIT)
    if deed is not write:
        await put(store, opened(), {0: DATA + b"left behind"})
    if deed is recover:
        await store.abandon(opened())
        (root / "sessions").rmdir()
    hit = []

    def fail(name: str) -> Exception | None:
        if name != call:
            return None
        hit.append(OSError(getattr(errno, code), "injected"))
        return hit[-1]

    system.fails = fail
    with pytest.raises(expected) as caught:
        await deed(store)
    assert caught.value.__cause__ is hit[-1]
    system.fails = lambda _: None
    await deed(store)
    assert all(data.startswith(DATA) for data in tree(root).values())


async def test_short_writes_are_continued(
    store: LocalStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pwrite = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda file, data, at: pwrite(file, data[:1000], at))
    hasher = hashlib.sha256()
    async with store.writing(opened()) as writer:
        await writer.write(0, memoryview(DATA)[:4500], hasher)
        await writer.write(4500, memoryview(DATA)[4500:], hasher)
        await writer.sync()
    assert tree(root) == {"sessions/a": DATA}
    assert hasher.digest() == hashlib.sha256(DATA).digest()


async def test_short_reads_are_continued(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    preadv = os.preadv
    monkeypatch.setattr(os, "preadv", lambda file, to, at: preadv(file, [to[0][:1000]], at))
    hasher = hashlib.sha256()
    async with store.writing(opened()) as writer:
        await writer.write(0, memoryview(DATA), None)
        await writer.read_back(5, 4500, hasher)
        await writer.read_back(4500, len(DATA), hasher)
    assert hasher.digest() == hashlib.sha256(DATA[5:]).digest()


@pytest.mark.parametrize("call", ["open", "preadv"])
async def test_what_cannot_be_read_back(
    store: LocalStore, root: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    files = Path("/proc/self/fd")
    async with store.writing(opened()) as writer:
        await writer.write(0, memoryview(DATA), None)
        before = len(list(files.iterdir()))
        error = OSError(errno.EIO, "injected")

        def fail(*_: object) -> int:
            raise error

        with monkeypatch.context() as patch:
            patch.setattr(os, call, fail)
            with pytest.raises(StorageFailed) as caught:
                await writer.read_back(0, len(DATA), hashlib.sha256())
        assert caught.value.__cause__ is error
        assert len(list(files.iterdir())) == before
        await writer.write(len(DATA), memoryview(b"!"), None)
    assert tree(root) == {"sessions/a": DATA + b"!"}


async def test_a_write_that_gets_nowhere_ends(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "pwrite", lambda *_: 0)
    with pytest.raises(StorageFailed):
        await put(store, opened(), {0: DATA})


async def test_what_was_written_before_the_disk_was_full_can_be_synced(
    store: LocalStore, root: Path, system: System
) -> None:
    async with store.writing(opened()) as writer:
        await writer.write(0, memoryview(DATA), None)
        system.fails = lambda name: OSError(errno.ENOSPC, "full") if name == "pwrite" else None
        with pytest.raises(StorageFull):
            await writer.write(len(DATA), memoryview(DATA), None)
        await writer.sync()
    system.fails = lambda _: None
    await put(store, opened("a", (0, len(DATA))), {len(DATA): DATA})
    assert tree(root) == {"sessions/a": DATA * 2}


async def test_what_was_drawn_before_the_disk_was_full_is_known(
    store: LocalStore, root: Path, system: System
) -> None:
    counts: list[int] = []

    def read(buffer: memoryview) -> int:
        buffer[:] = DATA[: len(buffer)]
        return len(buffer)

    def put_two(name: str) -> OSError | None:
        return OSError(errno.ENOSPC, "full") if name == "pwrite" and len(counts) == 2 else None

    system.fails = put_two
    async with store.writing(opened()) as writer:
        draw = writer.draw
        assert draw is not None
        with pytest.raises(StorageFull):
            await draw(0, read, memoryview(bytearray(100)), 1000, counts.append, None)
        await writer.sync()
    assert counts == [100, 100]
    assert tree(root) == {"sessions/a": DATA[:100] * 2}


@pytest.mark.parametrize(
    ("stored", "kept"),
    [
        (DATA, DATA),
        (DATA + b"left behind", DATA),
        (DATA + bytes(2 * len(DATA)), DATA + DATA[:1000] + bytes(2 * len(DATA) - 1000)),
    ],
    ids=["at the end", "over what was left behind", "before what somebody else has written"],
)
async def test_bytes_that_a_full_disk_cut_short_take_no_room(
    store: LocalStore, root: Path, monkeypatch: pytest.MonkeyPatch, stored: bytes, kept: bytes
) -> None:
    pwrite = os.pwrite

    def full(file: int, data: memoryview, at: int) -> int:
        if at > len(DATA):
            raise OSError(errno.ENOSPC, "full")
        return pwrite(file, data[:1000], at)

    monkeypatch.setattr(os, "pwrite", full)
    (root / "sessions").mkdir(parents=True)
    (root / "sessions" / "a").write_bytes(stored)
    with pytest.raises(StorageFull):
        await put(store, opened("a", (0, len(DATA))), {len(DATA): DATA})
    assert tree(root) == {"sessions/a": kept}


@pytest.mark.parametrize("call", ["fdatasync", "fsync"])
async def test_a_writer_that_could_not_sync_is_of_no_further_use(
    root: Path, system: System, call: str
) -> None:
    store = LocalStore(root, Durability.COMMIT)
    async with store.writing(opened()) as writer:
        await writer.write(0, memoryview(DATA), None)
        system.fails = lambda name: OSError(errno.EIO, "lost") if name == call else None
        with pytest.raises(StorageFailed):
            await writer.sync()
        system.fails = lambda _: None
        with pytest.raises(StorageFailed):
            await writer.sync()
        with pytest.raises(StorageFailed):
            await writer.write(0, memoryview(DATA), None)
    await put(store, opened(), {0: DATA})
    assert tree(root) == {"sessions/a": DATA}


async def test_what_a_disk_says_at_last_is_heard_before_the_commit(
    store: LocalStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some file systems write when a file is closed."""
    close = os.close

    def full(file: int) -> None:
        path = os.readlink(f"/proc/self/fd/{file}")
        close(file)
        if path == str(root / "sessions" / "a"):
            raise OSError(errno.EDQUOT, "quota")

    async with store.writing(opened()) as writer:
        await writer.write(0, memoryview(DATA), None)
        with monkeypatch.context() as patched:
            patched.setattr(os, "close", full)
            with pytest.raises(StorageFull):
                await writer.sync()
        with pytest.raises(StorageFailed):
            await writer.sync()


# --- durability ----------------------------------------------------------------------------------


async def test_what_is_synced_and_when(root: Path, system: System) -> None:
    store = LocalStore(root, Durability.COMMIT)

    def calls() -> list[str]:
        found, system.calls[:] = system.calls[:], []
        return found

    async with store.writing(opened()) as writer:
        await writer.write(0, memoryview(DATA), None)
        assert calls() == [
            "mkdir sessions",  # in vain: there is nothing above it yet
            "mkdir .",
            "mkdir sessions",
            "fsync .",
            "pwrite sessions/a",
        ]
        await writer.sync()
        assert calls() == [
            "fdatasync sessions/a",
            "fsync sessions",  # once: the file is new
        ]
        await writer.sync()
        assert calls() == []  # nothing was written
        await writer.write(len(DATA), memoryview(DATA), None)
        await writer.sync()
        assert calls() == ["pwrite sessions/a", "fdatasync sessions/a"]

    # Nothing was committed, so the file may not be listed, although it is there.
    await put(store, opened(), {0: DATA})
    assert calls() == ["pwrite sessions/a", "fdatasync sessions/a", "fsync sessions"]
    await put(store, opened("a", (0, 100)), {100: DATA})
    assert calls() == ["pwrite sessions/a", "fdatasync sessions/a"]

    receipt = await store.publish(SESSION)
    assert calls() == [
        "ftruncate sessions/a",
        "fsync sessions/a",
        "mkdir completed",
        "fsync .",
        "link sessions/a",
        "fsync completed",
    ]
    await store.publish(SESSION)
    assert calls()[-1] == "fsync completed"
    await store.settle(done(SESSION, receipt))
    assert calls() == ["unlink sessions/a", "rmdir sessions/a.work"]
    for _ in range(2):
        await store.remove(done(SESSION, receipt))
        assert calls()[:2] == ["unlink completed/x.csv", "fsync completed"]

    await put(store, opened("b"), {0: DATA})
    calls()
    await store.abandon(opened("b"))
    assert calls()[-3:] == ["rename sessions/b", "fsync abandoned", "fsync sessions"]
    await store.abandon(opened("b"))
    assert calls() == ["fsync abandoned", "fsync sessions"]
    await store.recover(opened("b"))
    assert calls()[-3:] == ["rename abandoned/b", "fsync sessions", "fsync abandoned"]
    await store.recover(opened("b"))
    assert calls() == ["fsync sessions", "fsync abandoned"]
    await store.abandon(opened("b"))
    calls()
    await store.remove(opened("b"))
    assert calls() == [
        "rmdir sessions/b.work",
        "unlink sessions/b",
        "unlink abandoned/b",
        "fsync abandoned",
        "unlink assembled/b",
    ]


async def test_nothing_is_synced_if_it_need_not_survive_the_machine(
    root: Path, system: System
) -> None:
    store = LocalStore(root, Durability.OS)
    await put(store, opened("a"), {0: DATA})
    await put(store, opened("b"), {0: DATA})
    receipt = await store.publish(SESSION)
    await store.settle(done(SESSION, receipt))
    await store.abandon(opened("b"))
    await store.recover(opened("b"))
    await store.remove(opened("b"))
    await store.remove(done(SESSION, receipt))
    assert not [call for call in system.calls if "sync" in call]


async def test_a_directory_that_cannot_be_synced(
    root: Path, system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some network file systems say EINVAL to that, and nothing can be done about it."""
    system.fails = lambda name: OSError(errno.EINVAL, "no") if name == "fsync" else None
    store = LocalStore(root, Durability.COMMIT)
    await put(store, opened(), {0: DATA})
    assert tree(root) == {"sessions/a": DATA}


# --- crashes -------------------------------------------------------------------------------------


class Crash(Exception):
    """The machine stops here."""


async def crashing(system: System, calls_left: int, deed: Callable[[], Awaitable[object]]) -> bool:
    """Stop before the call after `calls_left` more. Returns whether it came to that."""
    left = [calls_left]

    def count(name: str) -> Exception | None:
        left[0] -= 1
        return Crash() if left[0] < 0 else None

    system.fails = count
    try:
        await deed()
    except Crash:
        return True
    finally:
        system.fails = lambda _: None
    return False


def no_hard_links(system: System) -> Callable[..., None]:
    def link(source: Any, *_: Any) -> None:
        if error := system.fails("link"):
            raise error
        raise PermissionError(errno.EPERM, "no links here")

    return link


@pytest.mark.parametrize("links", [True, False], ids=["hard links", "no hard links"])
@pytest.mark.parametrize("data", [DATA, b""], ids=["data", "empty"])
async def test_a_crash_anywhere_in_finishing(
    root: Path,
    system: System,
    durability: Durability,
    monkeypatch: pytest.MonkeyPatch,
    data: bytes,
    links: bool,
) -> None:
    if not links:
        monkeypatch.setattr(os, "link", no_hard_links(system))
    session = sealed(data, "a", "x.csv")
    for calls in range(20):
        other = sealed(DATA, "other", "x.csv")
        store = LocalStore(root, durability)
        await put(store, opened("other"), {0: DATA})
        taken = await store.publish(other)
        await store.settle(done(other, taken))
        if data:
            await put(store, opened(), {0: data + b"left behind"})
        crashed = await crashing(system, calls, partial(store.publish, session))

        store = LocalStore(root, durability)
        receipt = await store.publish(session)
        assert await store.publish(session) == receipt
        finished = done(session, receipt)
        await crashing(system, 0, partial(store.settle, finished))
        await store.settle(finished)
        assert tree(root) == {taken.path: DATA, receipt.path: data}
        assert await read(await store.locate(finished)) == data
        await store.remove(finished)
        await store.remove(done(other, taken))
        assert tree(root) == {}
        if not crashed:
            break
    assert calls > 2


@pytest.mark.parametrize("links", [True, False], ids=["hard links", "no hard links"])
async def test_an_upload_whose_finishing_crashed_can_be_removed(
    root: Path, system: System, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    if not links:
        monkeypatch.setattr(os, "link", no_hard_links(system))
    session = sealed(DATA, "a", "x.csv")
    for calls in range(30):
        store = LocalStore(root, Durability.COMMIT)
        await put(store, opened(), {0: DATA})
        crashed = await crashing(system, calls % 10, partial(store.publish, session))
        again = await crashing(system, calls // 10, partial(store.remove, session))
        await store.remove(session)
        assert tree(root) == {}, (calls, crashed, again)


async def test_a_crash_anywhere_in_abandoning(
    root: Path, system: System, durability: Durability
) -> None:
    for calls in range(20):
        store = LocalStore(root, durability)
        await put(store, opened(), {0: DATA})
        crashed = await crashing(system, calls, partial(store.abandon, opened()))
        assert list(tree(root).values()) == [DATA]
        await store.abandon(opened())
        assert tree(root) == {"abandoned/a": DATA}
        await crashing(system, calls, partial(store.remove, opened()))
        await store.remove(opened())
        assert tree(root) == {}
        if not crashed:
            break
    assert calls > 1


@pytest.mark.parametrize("after", ["recovered again", "put aside again", "removed"])
async def test_a_crash_anywhere_in_recovering(
    root: Path, system: System, durability: Durability, after: str
) -> None:
    session = opened("a", (0, len(DATA)))
    for calls in range(20):
        store = LocalStore(root, durability)
        await put(store, opened(), {0: DATA})
        await store.abandon(session)
        crashed = await crashing(system, calls, partial(store.recover, session))
        assert list(tree(root).values()) == [DATA]
        assert (await examined(store, session)) == DATA
        if after == "recovered again":
            await store.recover(session)
            assert tree(root) == {"sessions/a": DATA}
        elif after == "put aside again":
            await store.abandon(session)
            assert tree(root) == {"abandoned/a": DATA}
        await store.remove(session)
        assert tree(root) == {}
        if not crashed:
            break
    assert calls > 0


async def examined(store: LocalStore, session: UploadSession) -> bytes:
    """Every committed byte, as the store feeds them to a hasher."""
    fed = bytearray()

    class Collector:
        def update(self, data: Data) -> None:
            fed.extend(data)

        def digest(self) -> bytes:
            return bytes(fed)

    await store.examine(session, 0, session.ranges.stop, Collector())
    return bytes(fed)


async def test_a_file_that_shrinks_while_it_is_examined(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = opened("a", (0, len(DATA)))
    await put(store, opened(), {0: DATA})
    monkeypatch.setattr(os, "preadv", lambda *_: 0)
    with pytest.raises(StorageFailed):
        await examined(store, session)


async def test_short_reads_of_what_is_kept_are_continued(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    preadv = os.preadv
    monkeypatch.setattr(os, "preadv", lambda file, to, at: preadv(file, [to[0][:7]], at))
    await put(store, opened(), {0: DATA})
    assert await examined(store, opened("a", (0, len(DATA)))) == DATA
