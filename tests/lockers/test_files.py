"""FileLocker within one process; `test_processes` has the rest."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import random
import shutil
import stat
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import anyio
import pytest
from anyio.lowlevel import EventLoopToken, current_token

from tests.harness.wire import poll
from tusjumbo.errors import ConfigurationError, StorageFailed, StorageFull, UploadLocked
from tusjumbo.lockers import bells, flocks
from tusjumbo.lockers.bells import Bell, Entry, ring
from tusjumbo.lockers.files import FileLocker, _Claim
from tusjumbo.lockers.flocks import FileLock, part
from tusjumbo.notice import Notice
from tusjumbo.ports import Lease
from tusjumbo.testing.lanes import LaneContract
from tusjumbo.testing.lockers import PATIENT, given, is_free, polite, wait_in_line


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "made" / "on first use"


@pytest.fixture
async def locker(directory: Path) -> AsyncIterator[FileLocker]:
    locker = FileLocker(directory)
    yield locker
    await locker.aclose()


def names(directory: Path) -> list[str]:
    """What is there, but for the directory of the bells."""
    return sorted(path.name for path in directory.rglob("*") if not path.is_dir())


def bells_in(directory: Path) -> list[Path]:
    return list((directory / "bells").iterdir())


class TestFileLocker(LaneContract):
    """Every test also shows that nothing is left in the directory."""

    @pytest.fixture
    def locker(self, directory: Path) -> FileLocker:
        return FileLocker(directory)

    @pytest.fixture
    def rival(self, directory: Path) -> FileLocker:
        return FileLocker(directory)

    @pytest.fixture(autouse=True)
    async def nothing_is_left(
        self, locker: FileLocker, rival: FileLocker, directory: Path
    ) -> AsyncIterator[None]:
        yield
        await locker.aclose()
        await rival.aclose()
        assert names(directory) == []


class TestFileLockerAmongTasks(TestFileLocker):
    """The same locker on both sides."""

    @pytest.fixture
    def rival(self, locker: FileLocker) -> FileLocker:
        return locker


class TestFileLockerWithoutRanges(TestFileLocker):
    """As on systems other than Linux: lanes are for one process."""

    @pytest.fixture(autouse=True)
    def nothing_but_flock(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(flocks, "locking", flocks.Flock)

    @pytest.fixture
    def neighbour(self, locker: FileLocker) -> FileLocker:
        return locker


async def test_a_lease_that_is_over_cannot_be_asked_for(locker: FileLocker) -> None:
    async with (
        locker.hold("a", PATIENT, lane=1),
        locker.hold("a", PATIENT, lane=2),
        locker.attempt("b"),
    ):
        assert locker._bell is not None
        entries = locker._bell._entries
        assert {name: len(those) for name, those in entries.items()} == {"a": 2, "b": 1}
    assert entries == {}


async def test_files_are_there_while_they_are_wanted(locker: FileLocker, directory: Path) -> None:
    assert not directory.exists()
    async with locker.hold("a", PATIENT):
        async with locker.attempt("b"):
            assert [name for name in names(directory) if "bell" not in name] == ["a.lock", "b.lock"]
            assert (directory / "a.lock").stat().st_size == 0
        for name in names(directory):
            (path,) = directory.rglob(name)
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
    (bell,) = bells_in(directory)
    assert bell.is_fifo()
    await locker.aclose()
    assert names(directory) == []


@pytest.mark.parametrize("left", ["a.lock", "a.turn"])
@pytest.mark.parametrize("text", ["", "x" * 37, "\xff"], ids=["empty", "dead bell", "garbage"])
async def test_what_a_killed_process_left_hinders_nobody(
    locker: FileLocker, directory: Path, left: str, text: str
) -> None:
    async with locker.attempt("another"):
        (directory / left).write_text(text, "latin-1")
        assert await is_free(locker, "a")
        assert not (directory / left).exists()
        (directory / left).write_text(text, "latin-1")
        async with locker.hold("a", PATIENT) as lease:
            assert not lease.asked.given
        assert not (directory / left).exists()


@pytest.mark.parametrize("left", ["a.lock", "a.turn"])
async def test_a_glance_takes_no_chances(locker: FileLocker, directory: Path, left: str) -> None:
    async def look() -> int:
        return 7

    assert await locker.glance("a", look) == 7
    assert not directory.exists()
    directory.mkdir(parents=True)
    (directory / left).touch()  # held, for all that can be seen
    assert await locker.glance("a", look) is None
    assert await is_free(locker, "a")
    assert await locker.glance("a", look) == 7


def test_a_glance_meets_a_waiter_on_its_way_to_the_lock(claims: Claims, directory: Path) -> None:
    """However far it has come: there is always one of the two files."""
    locker = FileLocker(directory)
    holder, waiter = claims(None), claims(None)
    assert holder.take()
    assert not waiter.queue()
    holder.release()
    assert names(directory) == sorted(["a.turn", claims.bell.name])
    assert locker._is_wanted("a")
    assert waiter.queue()
    assert names(directory) == sorted(["a.lock", claims.bell.name])
    assert locker._is_wanted("a")
    waiter.release()
    assert not locker._is_wanted("a")


async def test_who_leaves_early_is_not_in_the_way_of_other_processes(
    locker: FileLocker, directory: Path
) -> None:
    rival = FileLocker(directory)

    async def leave(lease: Lease) -> None:
        await lease.leave()

    async with locker.find("a", PATIENT, leave) as (lease, _):
        assert not (directory / "a.lock").exists()
        async with rival.hold("a", PATIENT) as theirs:
            assert not lease.asked.given
            await lease.leave()
            assert not theirs.asked.given
            assert (directory / "a.lock").exists()
    await rival.aclose()


def test_opening_tidies_the_directory(directory: Path) -> None:
    (directory / "bells").mkdir(parents=True)
    old = time.time() - 3600
    alive, held = Bell(directory / "bells"), FileLock(directory / "held.lock")
    assert held.lock(alive, part(7))
    for name in ("a.lock", "b.turn", "else.where", "bells/else.where"):
        (directory / name).touch()
    for name in ("dead.bell", "young.bell"):
        os.mkfifo(directory / "bells" / name)
    for path in directory.rglob("*"):
        if path.name != "young.bell":
            os.utime(path, (old, old))

    async def open_it() -> None:
        locker = FileLocker(directory)
        async with locker.attempt("c"):
            found = names(directory)
        await locker.aclose()
        assert {alive.name, "held.lock", "young.bell", "c.lock"} < set(found)
        assert found.count("else.where") == 2
        assert len(found) == 7  # and its own bell

    anyio.run(open_it)
    held.unlock(alive)
    assert not held.path.exists()
    alive.close()
    alive.join()


async def test_a_lock_file_removed_by_hand_harms_one_holder_only(
    locker: FileLocker, directory: Path
) -> None:
    rival, third = FileLocker(directory), FileLocker(directory)
    first = locker.hold("a", PATIENT)
    await first.__aenter__()
    (directory / "a.lock").unlink()
    async with rival.hold("a", PATIENT):
        await first.__aexit__(None, None, None)
        assert not await is_free(third, "a")
    assert await is_free(third, "a")
    for each in (rival, third):
        await each.aclose()


async def test_a_waiter_is_not_overtaken(locker: FileLocker, directory: Path) -> None:
    """A process that takes the lock again and again lets one in that polls for it."""
    rival = FileLocker(directory)
    came = anyio.Event()

    async def come() -> None:
        async with rival.hold("a", PATIENT):
            came.set()

    holds = 0
    async with anyio.create_task_group() as tasks:
        while not came.is_set():
            async with locker.hold("a", PATIENT) as lease:
                holds += 1
                if holds == 1:
                    tasks.start_soon(come)
                await given(lease) if holds == 1 else await anyio.sleep(0.0001)
    assert holds <= 3
    await rival.aclose()


async def test_a_lost_ring_is_repeated(
    locker: FileLocker, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rung: list[str] = []

    def lossy(bell: Path, text: str) -> bool:
        rung.append(text)
        return len(rung) < 4 or ring(bell, text)

    rival = FileLocker(directory)
    async with anyio.create_task_group() as tasks:
        lease = await tasks.start(polite, locker, "a")
        monkeypatch.setattr(bells, "ring", lossy)
        async with rival.hold("a", PATIENT):
            assert lease.asked.given
    await rival.aclose()


class Claims:
    """Claims for one upload as tasks of many processes make them, one process each."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True)
        self.bell = Bell(directory)
        self._directory = directory
        self._loop = anyio.run(self._token)

    @staticmethod
    async def _token() -> EventLoopToken:
        return current_token()

    def __call__(self, lane: int | None) -> _Claim:
        entry = Entry(Lease("a", Notice()), lane, self._loop)
        return _Claim(f"{self._directory}/a", FileLock, lambda: self.bell, entry)


@pytest.fixture
def claims(directory: Path) -> Iterator[Claims]:
    claims = Claims(directory)
    yield claims
    assert names(directory) == [claims.bell.name]
    claims.bell.close()
    claims.bell.join()


def test_who_waits_for_a_lane_is_not_overtaken_in_it(claims: Claims) -> None:
    holder, waiter, other, newcomer = (claims(lane) for lane in (0, 0, 2, 0))
    assert holder.take()
    assert not waiter.queue()
    assert other.take()
    holder.release()
    assert not newcomer.take_or_ask()
    assert not newcomer.queue()
    assert waiter.queue()
    waiter.release()
    assert newcomer.queue()
    for claim in (other, newcomer):
        claim.release()


def test_who_waits_for_the_whole_comes_after_earlier_waiters_and_before_others(
    claims: Claims,
) -> None:
    holder, early, whole = claims(1), claims(1), claims(None)
    late, attempt, second = claims(2), claims(None), claims(None)
    assert holder.take()
    assert not early.queue()
    assert not whole.queue()
    for newcomer in (late, attempt, second):
        assert not newcomer.take()
        assert not newcomer.queue()
    attempt.release()
    holder.release()
    assert not whole.queue()
    assert not late.queue()
    assert early.queue()
    assert not whole.queue()
    early.release()
    assert not late.queue()
    assert not second.queue()
    assert whole.queue()
    assert not late.queue()
    whole.release()
    assert late.queue()
    assert not second.queue()
    late.release()
    assert second.queue()
    second.release()


def test_a_waiter_that_leaves_opens_the_door(claims: Claims) -> None:
    holder, whole, newcomer = claims(1), claims(None), claims(2)
    assert holder.take()
    assert not whole.queue()
    assert not newcomer.take()
    whole.release()
    assert newcomer.take()
    holder.release()
    newcomer.release()


def test_who_stands_at_the_door_asks_already(
    claims: Claims, monkeypatch: pytest.MonkeyPatch
) -> None:
    rung: list[int | None] = []

    def take_note(directory: Path, own: str, upload_id: str, lane: int | None) -> None:
        assert (directory, own, upload_id) == (claims.bell.directory, claims.bell.name, "a")
        rung.append(lane)

    monkeypatch.setattr(bells, "ring_others", take_note)
    holder, early, whole, late = claims(1), claims(1), claims(None), claims(2)
    assert holder.take()
    assert not early.queue()
    assert not whole.queue()
    assert rung == [1, None]
    assert not late.take_or_ask()
    assert rung == [1, None, 2]
    assert not late.queue()
    assert not late.take()
    assert rung == [1, None, 2]
    for claim in (holder, early, whole, late):
        claim.release()


@pytest.mark.parametrize("lane", [None, 3])
def test_a_claim_that_is_released_takes_nothing_any_more(
    claims: Claims, directory: Path, lane: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread of a task that asyncio has cancelled may begin after the release."""
    claim = claims(lane)
    assert claim.queue()
    claim.release()
    monkeypatch.delattr(bells, "ring_others")
    for take in (claim.take, claim.take_or_ask, claim.queue):
        assert not take()
        assert names(directory) == [claims.bell.name]


async def test_a_ring_asks_for_the_leases_in_the_way_only(
    locker: FileLocker, directory: Path
) -> None:
    async with (
        locker.hold("a", PATIENT, lane=1) as one,
        locker.hold("a", PATIENT, lane=12) as twelve,
        locker.hold("b", PATIENT) as whole,
    ):
        (bell,) = bells_in(directory)
        assert ring(bell, "a 12")
        await given(twelve)
        assert not one.asked.given
        assert ring(bell, "b 12")
        await given(whole)
        assert not one.asked.given
        assert ring(bell, "a")
        await given(one)


async def test_many_waiters_poll_less_often(
    locker: FileLocker, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    sleep = anyio.sleep

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        await sleep(0)

    rival = FileLocker(directory)
    async with locker.hold("a", PATIENT):
        monkeypatch.setattr(anyio, "sleep", pause)
        async with anyio.create_task_group() as tasks:
            for lane in range(64):
                tasks.start_soon(wait_in_line, rival, "a", lane)
            with anyio.fail_after(PATIENT):
                while max(pauses, default=0.0) < 0.08:
                    await sleep(0.001)
            assert max(pauses) == 0.08
            tasks.cancel_scope.cancel()
        pauses.clear()
        with pytest.raises(UploadLocked):
            async with rival.hold("a", 0.1):
                raise AssertionError("two holders")
        assert max(pauses) == 0.02
    monkeypatch.undo()
    await rival.aclose()


async def test_the_turn_is_nobodys_after_an_impatient_waiter(
    locker: FileLocker, directory: Path
) -> None:
    rival = FileLocker(directory)
    async with locker.hold("a", PATIENT):
        with pytest.raises(UploadLocked):
            async with rival.hold("a", 0.05):
                raise AssertionError("two holders")
        assert not (directory / "a.turn").exists()
    await rival.aclose()


async def test_noise_in_a_bell_is_ignored(locker: FileLocker, directory: Path) -> None:
    rival = FileLocker(directory)
    async with anyio.create_task_group() as tasks:
        lease = await tasks.start(polite, locker, "a")
        (bell,) = bells_in(directory)
        noises = ("", "b", "\n\n", "a b", "A", "x" * 3000, "a 1 1", "a -1", " a", "b 1")
        for noise in (*noises, "a " + "1" * 3000):
            assert ring(bell, noise)
        async with rival.attempt("b"), rival.hold("c", PATIENT):
            assert not lease.asked.given
        async with rival.hold("a", PATIENT):
            assert lease.asked.given
    await rival.aclose()


async def test_without_a_bell_a_waiter_waits(locker: FileLocker, directory: Path) -> None:
    rival = FileLocker(directory)
    async with anyio.create_task_group() as tasks:
        async with locker.hold("a", PATIENT) as lease:
            shutil.rmtree(directory / "bells")
            await tasks.start(wait_in_line, rival, "a")
            with anyio.fail_after(PATIENT):
                while not (directory / "a.turn").exists():
                    await anyio.sleep(0.001)
        assert not lease.asked.given
    await rival.aclose()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_lease_whose_loop_is_over_does_not_hurt_the_bell(directory: Path, backend: str) -> None:
    directory.mkdir(parents=True)
    bell = Bell(directory)
    leases: list[Lease] = []

    async def live(name: str) -> None:
        lease = Lease(name, Notice())
        leases.append(lease)
        bell.enter(Entry(lease, None, current_token()))
        if name == "alive":
            for rung in ("dead", "alive"):
                ring(directory / bell.name, rung)
            await given(lease)

    anyio.run(live, "dead", backend=backend)
    anyio.run(live, "alive", backend=backend)
    assert [lease.asked.given for lease in leases] == [False, True]
    bell.close()
    bell.join()


def test_a_bell_that_cannot_be_opened_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", fail)
    before = os.listdir("/proc/self/fd")
    with pytest.raises(RuntimeError):
        Bell(tmp_path)
    assert os.listdir("/proc/self/fd") == before
    assert names(tmp_path) == []


async def test_a_removed_directory_does_not_hinder_the_end(directory: Path) -> None:
    locker = FileLocker(directory)
    async with locker.hold("a", PATIENT):
        shutil.rmtree(directory)
    with pytest.raises(StorageFailed):
        await is_free(locker, "a")
    await locker.aclose()
    assert await is_free(locker, "a")
    await locker.aclose()


def test_a_forgotten_locker_closes_its_bell(directory: Path) -> None:
    locker = FileLocker(directory)
    assert anyio.run(is_free, locker, "a")
    assert len(bells_in(directory)) == 1
    del locker

    def closed() -> bool:
        gc.collect()  # once the worker threads have ended, which refer to their last work
        return names(directory) == []

    poll(closed, PATIENT, "the bell is still there")


FULL = [errno.ENOSPC, errno.EDQUOT]
FAILED = [errno.EACCES, errno.EIO, errno.EROFS, errno.EMFILE]
UNSUPPORTED = [errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP]


@pytest.mark.parametrize(
    ("number", "error"),
    [
        *((number, StorageFull) for number in FULL),
        *((number, StorageFailed) for number in FAILED),
        *((number, ConfigurationError) for number in UNSUPPORTED),
    ],
    ids=lambda value: errno.errorcode[value] if isinstance(value, int) else "",
)
@pytest.mark.parametrize("call", ["open", "mkfifo", "mkdir"])
async def test_system_errors_are_named(
    locker: FileLocker,
    directory: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    number: int,
    error: type[Exception],
) -> None:
    def fail(path: object, *args: object, **kwargs: object) -> int:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        for take in (locker.hold("a", PATIENT), locker.attempt("a")):
            with pytest.raises(error) as caught:
                await take.__aenter__()
            assert str(directory) not in str(caught.value)
    assert await is_free(locker, "a")
    assert [name for name in names(directory) if not name.endswith(".bell")] == []


async def test_systems_without_fifos_get_a_readable_line(
    locker: FileLocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "mkfifo")
    for take in (locker.hold("a", PATIENT), locker.attempt("a")):
        with pytest.raises(ConfigurationError, match=r"^upload_dir: .* worker process$"):
            await take.__aenter__()


def test_asyncios_own_cancellation_leaves_no_lock(directory: Path) -> None:
    """Task.cancel() knows no shields: once, or twice in a row, at any moment of a hold."""
    dice = random.Random(2)

    async def come(locker: FileLocker) -> None:
        async with locker.hold("a", PATIENT):
            await asyncio.sleep(dice.uniform(0.0, 0.002))

    async def scene() -> None:
        lockers = FileLocker(directory), FileLocker(directory)
        for number in range(150):
            tasks = [asyncio.create_task(come(lockers[index % 2])) for index in range(3)]
            for task in tasks:
                await asyncio.sleep(dice.uniform(0.0, 0.001))
                task.cancel()
                if number % 2:
                    await asyncio.sleep(dice.choice((0.0, 0.0001)))
                    task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for locker in lockers:
            async with locker.hold("a", PATIENT):
                pass
            await locker.aclose()

    asyncio.run(scene())
    poll(lambda: names(directory) == [], PATIENT, "locks are left")


async def test_a_locker_that_is_dropped_in_a_loop_does_not_keep_it_waiting(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[int] = []
    honest = Bell.close

    def close(bell: Bell) -> None:
        closed.append(threading.get_ident())
        honest(bell)

    monkeypatch.setattr(Bell, "close", close)
    locker = FileLocker(directory)
    async with locker.hold("a", 1.0):
        pass
    locker._closing()  # type: ignore[misc]  # what the garbage collector would do
    with anyio.fail_after(PATIENT):
        while any((directory / "bells").iterdir()):
            await anyio.sleep(0.001)
    assert closed
    assert threading.get_ident() not in closed
