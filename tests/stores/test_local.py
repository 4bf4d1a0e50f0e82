from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import shutil
import stat
import tempfile
import threading
import unicodedata
from contextlib import suppress
from pathlib import Path

import anyio
import pytest
from hypothesis import given, settings

from tests.stores.test_names import filenames
from tusjumbo.errors import StorageFailed, StorageLost
from tusjumbo.sessions.session import Receipt, UploadSession
from tusjumbo.settings import Durability
from tusjumbo.stores.local import LocalStore
from tusjumbo.testing.arrivals import OTHERS, ArrivalsContract
from tusjumbo.testing.stores import DATA, done, opened, put, read, sealed


class TestLocalStore(ArrivalsContract):
    root: Path

    @pytest.fixture(autouse=True)
    def _where(self, root: Path) -> None:
        self.root = root

    def plant(self, upload_id: str, data: bytes, *, touched_at: float | None = None) -> None:
        (self.root / "sessions").mkdir(parents=True, exist_ok=True)
        path = self.root / "sessions" / upload_id
        path.write_bytes(data)
        if touched_at is not None:
            os.utime(path, (touched_at, touched_at))

    def unfinished(self, upload_id: str) -> bytes | None:
        path = self.root / "sessions" / upload_id
        return path.read_bytes() if path.exists() else None

    def abandoned(self, upload_id: str) -> bytes | None:
        path = self.root / "abandoned" / upload_id
        return path.read_bytes() if path.exists() else None

    def lose(self, session: UploadSession) -> None:
        assert session.receipt is not None
        (self.root / session.receipt.path).unlink()

    def finished(self) -> dict[str, bytes]:
        return {f"completed/{path}": data for path, data in tree(self.root / "completed").items()}

    def occupy(self, path: str) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_bytes(OTHERS)


def tree(root: Path) -> dict[str, bytes]:
    """Every file below `root`."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


async def finish(store: LocalStore, session: UploadSession, data: bytes) -> UploadSession:
    """An upload's whole life."""
    await put(store, opened(session.id), {0: data})
    finished = done(session, await store.publish(session))
    await store.settle(finished)
    return finished


# --- where things are ----------------------------------------------------------------------------


async def test_where_files_are(store: LocalStore, root: Path) -> None:
    await put(store, opened("a"), {0: DATA})
    await put(store, opened("b"), {0: b"b"})
    assert tree(root) == {"sessions/a": DATA, "sessions/b": b"b"}
    await store.abandon(opened("b"))
    finished = await finish(store, sealed(DATA, "a", "../Rüssel.csv"), DATA)
    assert tree(root) == {"completed/Rüssel.csv": DATA, "abandoned/b": b"b"}
    assert finished.receipt == Receipt("completed/Rüssel.csv")
    assert await store.locate(finished) == root / "completed" / "Rüssel.csv"


async def test_nothing_is_made_before_it_is_needed(store: LocalStore, root: Path) -> None:
    async with store.writing(opened()) as writer:
        await writer.sync()
    await store.strays(1e12)
    await store.abandon(opened())
    await store.recover(opened())
    with pytest.raises(StorageLost):
        await store.recover(opened("a", (0, 1)))
    await store.remove(opened())
    await store.remove(sealed(DATA))
    await store.settle(sealed(DATA))
    with pytest.raises(StorageLost):
        await store.locate(sealed(DATA))
    assert not root.exists()


async def test_directories_that_somebody_removed_are_made_again(
    store: LocalStore, root: Path
) -> None:
    for _ in range(2):
        finished = await finish(store, sealed(DATA, "a", "x"), DATA)
        assert await read(await store.locate(finished)) == DATA
        await put(store, opened("b"), {0: DATA})
        await store.abandon(opened("b"))
        shutil.rmtree(root)


async def test_permissions_are_those_of_the_umask(store: LocalStore, root: Path) -> None:
    before = os.umask(0o027)
    try:
        await finish(store, sealed(DATA, "a", "x"), DATA)
        await finish(store, sealed(b"", "b", "y"), b"")
        await put(store, opened("c"), {0: DATA})
    finally:
        os.umask(before)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in root.rglob("*") if path.is_file()}
    assert modes == {0o640}
    directories = [root, root / "sessions", root / "completed"]
    assert [stat.S_IMODE(path.stat().st_mode) for path in directories] == [0o750] * 3


async def test_finishing_copies_nothing(store: LocalStore, root: Path) -> None:
    await put(store, opened(), {0: DATA})
    before = (root / "sessions" / "a").stat().st_ino
    session = sealed(DATA)
    path = await store.locate(done(session, await store.publish(session)))
    assert path.stat().st_ino == before


def left_open(root: Path) -> list[str]:
    """The files below `root` that this process has open."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):
            found.append(os.readlink(f"/proc/self/fd/{name}"))
    return [target for target in found if target.startswith(str(root))]


async def test_no_file_is_left_open(store: LocalStore, root: Path) -> None:
    await finish(store, sealed(DATA), DATA)
    with pytest.raises(StorageLost):
        await put(store, opened("b", (0, 1)), {})
    (root / "sessions" / "c").write_bytes(b"x")
    with pytest.raises(StorageLost):
        await put(store, opened("c", (0, 2)), {})
    with pytest.raises(StorageLost):
        await store.publish(sealed(DATA, "c"))
    await store.strays(1e12)
    for start, stop in ((0, 1), (0, 2)):
        with suppress(StorageLost):
            await store.examine(opened("c", (0, 2)), start, stop, hashlib.sha256())
    await store.abandon(opened("c"))
    await store.recover(opened("c"))
    await store.remove(opened("c"))
    assert left_open(root) == []


async def test_who_waits_for_bytes_has_no_file_open(store: LocalStore, root: Path) -> None:
    async with store.writing(opened()) as writer:
        for at in (0, len(DATA), 2 * len(DATA)):
            await writer.write(at, memoryview(DATA), None)
            assert left_open(root) == [str(root / "sessions" / "a")]
            await writer.sync()
            assert left_open(root) == []
    assert tree(root) == {"sessions/a": 3 * DATA}


@pytest.mark.parametrize("left", [None, DATA[:-1]], ids=["gone", "shorter"])
async def test_who_comes_back_finds_what_was_written(
    store: LocalStore, root: Path, left: bytes | None
) -> None:
    file = root / "sessions" / "a"
    async with store.writing(opened()) as writer:
        await writer.write(0, memoryview(DATA), None)
        await writer.sync()
        file.unlink()
        if left is not None:
            file.write_bytes(left)
        with pytest.raises(StorageLost):
            await writer.write(len(DATA), memoryview(DATA), None)
    assert tree(root) == ({} if left is None else {"sessions/a": left})
    assert left_open(root) == []


# --- names ---------------------------------------------------------------------------------------


@given(filename=filenames)
@settings(max_examples=60, deadline=None)
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_no_name_leads_out_of_the_directory(filename: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        top = Path(directory)
        root = top / "in" / "uploads"
        store = LocalStore(root, Durability.OS)
        session = sealed(DATA)
        session = UploadSession(
            id="a",
            created_at=1.0,
            updated_at=1.0,
            length=len(DATA),
            ranges=session.ranges,
            phase=session.phase,
            metadata={"filename": filename.encode("utf-8", "replace")},
        )
        finished = await finish(store, session, DATA)
        assert [*tree(top).values()] == [DATA]
        path = await store.locate(finished)
        assert path.parent == root / "completed"
        assert path.resolve() == path
        await store.remove(finished)
        assert tree(top) == {}


async def test_a_name_that_is_taken_stays_as_it_is(store: LocalStore, root: Path) -> None:
    completed = root / "completed"
    (completed / "x.csv").mkdir(parents=True)
    taken = ["x-23456789.csv", "x-0123456789.csv", "x-0123456789-2.csv"]
    for name in taken:
        (completed / name).write_bytes(b"mine")
    finished = await finish(store, sealed(DATA, "0123456789", "x.csv"), DATA)
    assert finished.receipt == Receipt("completed/x-0123456789-3.csv")
    assert tree(completed) == {"x-0123456789-3.csv": DATA} | dict.fromkeys(taken, b"mine")


async def test_a_name_that_thousands_have_is_not_tried_thousands_of_times(
    store: LocalStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "completed").mkdir(parents=True)
    for number in range(1, 10_000):
        (root / "completed" / ("x.csv" if number == 1 else f"x-{number}.csv")).touch()
    tried = []
    link = os.link

    def counted(source: str, target: str) -> None:
        tried.append(Path(target).name)
        link(source, target)

    monkeypatch.setattr(os, "link", counted)
    for number in range(10_000, 10_003):
        upload_id = f"jumbo_{number:032}"
        await finish(store, sealed(DATA, upload_id, "x.csv"), DATA)
        assert tried == ["x.csv", f"x-{number:08}.csv"]
        tried.clear()


async def test_a_taken_name_is_an_upload_that_was_cut_short(store: LocalStore, root: Path) -> None:
    """Its file got another name than it would get now: the first one has become free."""
    (root / "completed").mkdir(parents=True)
    (root / "completed" / "x.csv").write_bytes(b"mine")
    await put(store, opened("0123456789"), {0: DATA})
    session = sealed(DATA, "0123456789", "x.csv")
    receipt = await store.publish(session)
    (root / "completed" / "x.csv").unlink()
    assert await store.publish(session) == receipt
    await store.settle(done(session, receipt))
    assert tree(root) == {"completed/x-23456789.csv": DATA}


@pytest.mark.parametrize(
    ("taken", "looks"),
    [(0, 0), (1, 0), (2, 0), (3, 1)],
    ids=["its own name", "with an end", "with the id", "with a number"],
)
async def test_an_upload_that_was_cut_short_is_found_by_its_name(
    store: LocalStore, root: Path, monkeypatch: pytest.MonkeyPatch, taken: int, looks: int
) -> None:
    """`completed` may have very many files, and is read through only if need be."""
    completed = root / "completed"
    completed.mkdir(parents=True)
    for name in ["x.csv", "x-23456789.csv", "x-0123456789.csv"][:taken]:
        (completed / name).write_bytes(b"mine")
    await put(store, opened("0123456789"), {0: DATA})
    session = sealed(DATA, "0123456789", "x.csv")
    receipt = await store.publish(session)
    read = []
    scandir = os.scandir

    def counted(path: Path) -> object:
        read.append(path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", counted)
    assert await store.publish(session) == receipt
    assert read == [completed] * looks
    await store.remove(session)
    assert len(list(completed.iterdir())) == taken


@pytest.mark.parametrize(
    "code", ["EPERM", "EOPNOTSUPP", "ENOSYS", "EXDEV", "EMLINK"], ids=lambda code: code
)
async def test_a_file_system_without_hard_links(
    store: LocalStore, root: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(getattr(errno, code), "no links here")

    monkeypatch.setattr(os, "link", refuse)
    for data in (DATA, b""):
        await put(store, opened("0123456789"), {0: data} if data else {})
        session = sealed(data, "0123456789", "x.csv")
        receipt = await store.publish(session)
        assert receipt == Receipt("completed/x-0123456789.csv")
        assert await store.publish(session) == receipt
        assert tree(root) == {"completed/x-0123456789.csv": data}
        hasher = hashlib.sha256()
        await store.examine(session, 0, len(data), hasher)
        assert hasher.digest() == hashlib.sha256(data).digest()
        finished = done(session, receipt)
        await store.settle(finished)
        assert await read(await store.locate(finished)) == data
        await store.remove(session)  # its receipt was lost
        assert tree(root) == {}


async def test_a_file_system_for_which_many_names_are_one(
    store: LocalStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """APFS and NTFS fold case, HFS+ and APFS also compare what Unicode says is the same."""
    link = os.link

    def folded(name: str) -> str:
        return unicodedata.normalize("NFD", name.casefold())

    def linked(source: str, target: str) -> None:
        path = Path(target)
        if folded(path.name) in map(folded, os.listdir(path.parent)):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        link(source, target)

    monkeypatch.setattr(os, "link", linked)
    wanted = ["Rüssel.csv", "rüssel.csv", "RU\u0308SSEL.CSV", "STRASSE", "straße"]
    finished = {}
    for number, name in enumerate(wanted):
        data = f"{number}".encode() * 100
        finished[data] = await finish(store, sealed(data, f"abcdefgh{number}", name), data)
    assert sorted(path.name for path in (root / "completed").iterdir()) == sorted(
        ["Rüssel.csv", "rüssel-bcdefgh1.csv", "RÜSSEL-bcdefgh2.CSV", "STRASSE", "straße-bcdefgh4"]
    )
    for data, session in finished.items():
        assert await read(await store.locate(session)) == data


async def test_without_hard_links_nothing_is_replaced_either(
    store: LocalStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    (root / "completed").mkdir(parents=True)
    (root / "completed" / "x-a.csv").write_bytes(b"mine")
    await put(store, opened("a"), {0: DATA})
    with pytest.raises(StorageFailed):
        await store.publish(sealed(DATA, "a", "x.csv"))
    assert tree(root) == {"completed/x-a.csv": b"mine", "sessions/a": DATA}


async def test_only_what_is_being_finished_is_looked_for(store: LocalStore, root: Path) -> None:
    """A finished file stays, although an unfinished upload could claim its name."""
    finished = await finish(store, sealed(DATA, "b", "x-a.csv"), DATA)
    await store.remove(opened("a", (0, len(DATA))))
    await store.remove(UploadSession(id="b", created_at=0.0, updated_at=0.0))
    assert await read(await store.locate(finished)) == DATA
    os.link(await store.locate(finished), root / "sessions" / "b")
    await store.remove(UploadSession(id="b", created_at=0.0, updated_at=0.0))
    assert tree(root) == {"completed/x-a.csv": DATA}


# --- what others do in the directory -------------------------------------------------------------


async def test_links_are_not_followed(store: LocalStore, root: Path, tmp_path: Path) -> None:
    (root / "sessions").mkdir(parents=True)
    outside = tmp_path / "outside"
    outside.write_bytes(DATA + b"!")
    (root / "sessions" / "a").symlink_to(outside)
    for session in (opened("a"), opened("a", (0, 10))):
        with pytest.raises(StorageFailed):
            await put(store, session, {10: b"?"})
    with pytest.raises(StorageFailed):
        await store.publish(sealed(DATA))
    with pytest.raises(StorageFailed):
        await store.examine(opened("a", (0, 10)), 0, 10, hashlib.sha256())
    with pytest.raises(StorageLost):
        await store.recover(opened("a", (0, 10)))
    assert await store.strays(1e12) == []
    await store.remove(opened("a"))
    assert outside.read_bytes() == DATA + b"!"
    assert not (root / "sessions" / "a").is_symlink()


async def test_a_receipt_leads_nowhere_else(store: LocalStore, root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(DATA)
    (root / "completed").mkdir(parents=True)
    for path in ("../outside", "completed/../../outside", str(outside)):
        session = done(sealed(DATA), Receipt(path))
        with pytest.raises(StorageLost):
            await store.locate(session)
        await store.remove(session)
    assert outside.read_bytes() == DATA


async def test_a_finished_file_is_whole_or_lost(store: LocalStore, root: Path) -> None:
    finished = await finish(store, sealed(DATA, "a", "x"), DATA)
    path = root / "completed" / "x"
    for other in (DATA[:-1], b"", DATA + b"!"):
        path.write_bytes(other)
        with pytest.raises(StorageLost):
            await store.locate(finished)
    path.unlink()
    path.mkdir()
    with pytest.raises(StorageLost):
        await store.locate(finished)
    # Moved to another disk, with a link in its place: as good as here.
    path.rmdir()
    (root / "elsewhere").write_bytes(DATA)
    path.symlink_to(root / "elsewhere")
    assert await read(await store.locate(finished)) == DATA
    hasher = hashlib.sha256()
    await store.examine(finished, 0, len(DATA), hasher)
    assert hasher.digest() == hashlib.sha256(DATA).digest()


async def test_strays_are_files_that_could_be_ours(store: LocalStore, root: Path) -> None:
    sessions = root / "sessions"
    (sessions / "directory").mkdir(parents=True)
    for name in (".hidden", "a.txt", "with space", "fine"):
        (sessions / name).write_bytes(b"")
    (sessions / "link").symlink_to("fine")
    assert await store.strays(1e12) == ["fine"]


# --- cancellation --------------------------------------------------------------------------------


class SlowDisk:
    """`os.pwrite`, which begins and does not end before it is let."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun = threading.Event()
        self.let = threading.Event()
        self._pwrite = os.pwrite
        monkeypatch.setattr(os, "pwrite", self.pwrite)

    def pwrite(self, descriptor: int, data: memoryview, at: int) -> int:
        self.begun.set()
        self.let.wait(30.0)
        return self._pwrite(descriptor, data, at)


async def test_a_cancelled_write_is_waited_for(
    store: LocalStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = SlowDisk(monkeypatch)

    async def write() -> None:
        async with store.writing(opened()) as writer:
            await writer.write(0, memoryview(DATA), None)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(write)
        await anyio.to_thread.run_sync(disk.begun.wait)
        tasks.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            for _ in range(100):
                await anyio.lowlevel.checkpoint()
            assert tree(root) == {"sessions/a": b""}
            assert len(left_open(root)) == 1
            disk.let.set()
    assert tree(root) == {"sessions/a": DATA}
    assert left_open(root) == []


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_task_that_asyncio_cancels_closes_nothing_under_its_thread(
    store: LocalStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = SlowDisk(monkeypatch)

    async def write() -> None:
        async with store.writing(opened()) as writer:
            await writer.write(0, memoryview(DATA), None)

    task = asyncio.create_task(write())
    await anyio.to_thread.run_sync(disk.begun.wait)
    for _ in range(2):
        task.cancel()
        for _ in range(100):
            await asyncio.sleep(0)
        assert len(left_open(root)) == 1
    disk.let.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert tree(root) == {"sessions/a": DATA}
    assert left_open(root) == []


@pytest.mark.parametrize(("processors", "threads"), [(1, 2), (2, 2), (5, 5), (64, 8)])
async def test_no_more_uploads_are_moved_at_once_than_there_are_processors(
    root: Path, monkeypatch: pytest.MonkeyPatch, processors: int, threads: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(processors)))
    store = LocalStore(root, Durability.OS)
    inside: set[int] = set()
    go_on = threading.Event()

    def wait(session: UploadSession) -> None:
        inside.add(int(session.id))
        assert go_on.wait(20)

    async def one(number: int) -> None:
        await store.remove(opened(str(number)))

    monkeypatch.setattr(store, "_remove", wait)
    async with anyio.create_task_group() as tasks:
        for number in range(threads + 1):
            tasks.start_soon(one, number)
        try:
            with anyio.fail_after(20):
                while len(inside) < threads:
                    await anyio.sleep(0.001)
            await anyio.sleep(0.01)  # for one too many to come in
            assert len(inside) == threads
        finally:
            go_on.set()
    assert len(inside) == threads + 1
