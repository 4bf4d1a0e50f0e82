"""FileLock: parts of a file, locked as Linux can and as other systems can."""

from __future__ import annotations

import errno
import os
import random
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.faults.campaign import CAMPAIGN
from tusjumbo.lockers import flocks
from tusjumbo.lockers.flocks import DOOR, WHOLE, FileLock, Flock, Part, Ranges, part

ME, YOU, THEM = "me", "you", "them"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.lock"


@pytest.fixture(params=[Ranges, Flock], ids=["ranges", "flock"])
def either(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> type[object]:
    """Both ways, one after the other."""
    monkeypatch.setattr(flocks, "locking", request.param)
    kind: type[object] = request.param
    return kind


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_linux_locks_ranges() -> None:
    assert isinstance(flocks.locking(), Ranges)


def test_other_systems_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    choose: Callable[[], object] = flocks.locking.__wrapped__
    before = open_files()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "platform", "darwin")
        assert isinstance(choose(), Flock)

    def unknown(*args: object) -> bytes:
        raise OSError(errno.EINVAL, "no such command")

    with monkeypatch.context() as patch:
        patch.setattr("fcntl.fcntl", unknown)
        assert isinstance(choose(), Flock)
    assert isinstance(choose(), Ranges)
    assert open_files() == before


def test_numbers_are_those_of_this_system() -> None:
    import fcntl

    assert (fcntl.F_OFD_GETLK, fcntl.F_OFD_SETLK) == (Ranges._GETLK, Ranges._SETLK)


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        (0, 1, True),
        (7, 7, False),
        (0, 2**62, True),
        (1, 1001, True),
        (7, 7 + 2**32, True),
        (2**62, 2**62, False),
        (2**62 - 1, 2**62, True),
        (None, 0, False),
        (None, 2**62, False),
        (3, None, False),
        (None, None, False),
    ],
)
def test_parts_among_processes(
    path: Path, one: int | None, other: int | None, together: bool
) -> None:
    first, second = FileLock(path), FileLock(path)
    assert first.lock(ME, part(one))
    assert second.lock(YOU, part(other)) == together
    assert second.holds(YOU) == together
    first.unlock(ME)
    assert second.lock(YOU, part(other))
    second.unlock(YOU)
    assert not path.exists()


def test_no_lane_is_the_door() -> None:
    assert WHOLE.covers(DOOR)
    assert not any(part(lane).overlaps(DOOR) for lane in (0, 1, 2**62))


def test_without_ranges_processes_take_turns(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flocks, "locking", Flock)
    first, second = FileLock(path), FileLock(path)
    assert first.lock(ME, part(1))
    assert first.lock(YOU, part(2))
    first.unlock(ME)
    assert not second.lock(ME, part(3))
    first.unlock(YOU)
    assert second.lock(ME, part(3))
    second.unlock(ME)
    assert not path.exists()


@pytest.mark.usefixtures("either")
def test_tasks_of_a_process_share_the_open_file(path: Path) -> None:
    lock = FileLock(path)
    before = open_files()
    for lane in range(100):
        assert lock.lock(lane, part(lane))
        assert lock.lock(lane, part(lane))
    assert open_files() == before + 1
    assert not lock.lock(ME, part(50))
    assert not lock.lock(ME, WHOLE)
    for lane in range(100):
        assert path.exists()
        lock.unlock(lane)
        lock.unlock(lane)
        assert not lock.holds(lane)
    assert not path.exists()
    assert open_files() == before


@pytest.mark.usefixtures("either")
def test_who_fails_keeps_nothing_open(path: Path) -> None:
    first, second = FileLock(path), FileLock(path)
    assert first.lock(ME, WHOLE)
    before = open_files()
    assert not second.lock(YOU, part(1))
    assert open_files() == before
    second.unlock(YOU)
    first.unlock(ME)
    path.mkdir()
    with pytest.raises(IsADirectoryError):
        first.lock(ME, WHOLE)
    assert open_files() == before - 1


@pytest.mark.usefixtures("either")
def test_a_part_grows(path: Path) -> None:
    first, second = FileLock(path), FileLock(path)
    assert first.lock(ME, DOOR)
    assert first.lock(ME, WHOLE)
    assert first.lock(ME, DOOR)  # it has that
    assert not second.lock(YOU, part(1))
    first.unlock(ME)
    assert second.lock(YOU, part(1))
    second.unlock(YOU)
    assert not path.exists()


def test_a_part_that_cannot_grow_stays(path: Path) -> None:
    first, second = FileLock(path), FileLock(path)
    assert first.lock(ME, part(1))
    assert second.lock(YOU, DOOR)
    assert not second.lock(YOU, WHOLE)
    assert not first.lock(THEM, DOOR)
    assert not first.lock(THEM, part(2), behind=DOOR)
    assert first.lock(THEM, part(2))
    for who in (ME, THEM):
        first.unlock(who)
    assert second.lock(YOU, WHOLE)
    second.unlock(YOU)
    assert not path.exists()


def test_who_comes_through_the_door_leaves_it_open(path: Path) -> None:
    first, second = FileLock(path), FileLock(path)
    assert first.lock(ME, part(1), behind=DOOR)
    assert second.lock(YOU, part(2), behind=DOOR)
    assert second.lock(THEM, DOOR)
    assert first.lock(ME, part(1), behind=DOOR)  # it came before
    for lock, who in ((first, ME), (second, YOU), (second, THEM)):
        lock.unlock(who)
    assert not path.exists()


class Slow(Ranges):
    """Does something else just before it looks whether a file is still wanted."""

    def __init__(self, meanwhile: Callable[[], None]) -> None:
        self._meanwhile = meanwhile

    def lock(self, file: int, part: Part) -> bool:
        if part == flocks._SWEEP:
            self._meanwhile()
        return super().lock(file, part)


def slow(path: Path, meanwhile: Callable[[], None]) -> FileLock:
    lock = FileLock(path)
    lock._kernel = Slow(meanwhile)
    return lock


def test_of_two_who_leave_at_once_one_removes_the_file(path: Path) -> None:
    second = FileLock(path)
    first = slow(path, lambda: second.unlock(YOU))
    assert first.lock(ME, part(1))
    assert second.lock(YOU, part(2))
    first.unlock(ME)
    assert not path.exists()


def test_a_new_file_of_the_name_is_not_removed(path: Path) -> None:
    second, third = FileLock(path), FileLock(path)

    def replace() -> None:
        second.unlock(YOU)
        assert not path.exists()
        assert third.lock(THEM, part(1))

    first = slow(path, replace)
    assert first.lock(ME, part(1))
    assert second.lock(YOU, part(2))
    first.unlock(ME)
    assert path.exists()
    assert not second.lock(YOU, part(1))
    third.unlock(THEM)
    assert not path.exists()


def test_who_comes_as_the_last_one_leaves_keeps_the_file(path: Path) -> None:
    second = FileLock(path)

    def come() -> None:
        assert second.lock(YOU, part(1))

    first = slow(path, come)
    assert first.lock(ME, part(1))
    first.unlock(ME)
    assert path.exists()
    assert not first.lock(ME, part(1))
    second.unlock(YOU)
    assert not path.exists()


def test_who_only_removes_a_file_is_in_nobodys_way(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is locked to look whether a file is wanted looks like nobody's lock to others."""
    lock, sweeping = FileLock(path), os.open(path, os.O_RDWR | os.O_CREAT)
    assert Ranges().lock(sweeping, flocks._SWEEP)
    monkeypatch.setattr(Ranges, "_TRIES", 3)
    assert not lock.lock(ME, part(1))  # a stopped process holds nobody up for ever
    monkeypatch.undo()
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            os.unlink(path)
            Ranges().unlock(sweeping, flocks._SWEEP)

    monkeypatch.setattr("time.sleep", pause)
    assert lock.lock(ME, part(1))
    assert len(pauses) == 3
    assert path.exists()
    lock.unlock(ME)
    os.close(sweeping)


@pytest.mark.usefixtures("either")
def test_a_file_removed_by_hand_is_left_by_all_before_it_is_made_anew(path: Path) -> None:
    lock = FileLock(path)
    assert lock.lock(ME, part(1))
    path.unlink()
    assert not lock.lock(YOU, part(2))
    assert not path.exists()
    assert lock.lock(ME, part(1))
    lock.unlock(ME)
    assert lock.lock(YOU, part(2))
    assert path.exists()
    lock.unlock(YOU)

    assert lock.lock(ME, DOOR)
    path.unlink()
    assert lock.lock(ME, WHOLE)
    assert path.exists()
    lock.unlock(ME)
    assert not path.exists()


@pytest.mark.usefixtures("either")
def test_only_unwanted_files_are_removed(path: Path) -> None:
    lock = FileLock(path)
    before = open_files()
    path.touch()
    flocks.remove_unwanted(path)
    assert not path.exists()
    assert lock.lock(ME, part(1))
    flocks.remove_unwanted(path)
    assert path.exists()
    lock.unlock(ME)
    with pytest.raises(FileNotFoundError):
        flocks.remove_unwanted(path)
    assert open_files() == before


@pytest.mark.usefixtures("either")
def test_what_cannot_be_removed_is_left_for_the_next(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path) -> None:
        raise OSError(errno.EROFS, "read-only")

    first, second = FileLock(path), FileLock(path)
    assert first.lock(ME, part(1))
    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", fail)
        first.unlock(ME)
    assert path.exists()
    assert second.lock(YOU, WHOLE)
    second.unlock(YOU)
    assert not path.exists()


def test_parts_are_never_had_twice(path: Path, either: type[object]) -> None:
    """Threads with files of their own, as processes have, and two that share one."""
    shared = FileLock(path)
    locks = [FileLock(path), FileLock(path), FileLock(path), shared, shared]
    inside: dict[object, int | None] = {}
    mutex = threading.Lock()
    taken = [0]

    def visit(number: int, lock: FileLock) -> None:
        dice = random.Random(number)
        for _ in range(1000 * CAMPAIGN):
            lane = dice.choice((None, 0, 1, 2, 2**62))
            if not lock.lock(number, part(lane)):
                continue
            with mutex:
                for other in inside.values():
                    assert lane != other
                    assert lane is not None
                    assert other is not None
                inside[number] = lane
                taken[0] += 1
            assert path.exists()
            with mutex:
                del inside[number]
            lock.unlock(number)

    with ThreadPoolExecutor(len(locks)) as threads:
        for run in [threads.submit(visit, *each) for each in enumerate(locks)]:
            run.result()
    assert taken[0] > 500
    assert not path.exists(), either
