"""FileLocker among real processes, some of which are killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import anyio
import pytest

from tests.faults.campaign import CAMPAIGN
from tests.harness.wire import poll
from tusjumbo.lockers.files import FileLocker
from tusjumbo.testing.lockers import PATIENT, is_free

Start = Callable[..., "Contender"]
BACKENDS = ("asyncio", "trio")


class Contender:
    def __init__(self, directory: Path, backend: str, *role: str) -> None:
        command = (sys.executable, "-m", "tests.lockers.contender", str(directory), backend, *role)
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.words = self.process.stdout

    def says(self) -> str:
        """The next word; empty when the process has ended."""
        return self.words.readline().strip()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def ends_well(self) -> bool:
        return self.process.wait(PATIENT) == 0

    def close(self) -> None:
        self.kill()
        self.words.close()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "locks"


@pytest.fixture
def start(directory: Path) -> Iterator[Start]:
    with ExitStack() as stack:

        def start(backend: str, *role: str) -> Contender:
            contender = Contender(directory, backend, *role)
            stack.callback(contender.close)
            return contender

        yield start


def is_free_here(directory: Path, upload_id: str) -> bool:
    async def look() -> bool:
        locker = FileLocker(directory)
        try:
            return await is_free(locker, upload_id)
        finally:
            await locker.aclose()

    return anyio.run(look)


@pytest.mark.parametrize("second", BACKENDS)
@pytest.mark.parametrize("first", BACKENDS)
def test_a_holder_hands_over_to_another_process(start: Start, first: str, second: str) -> None:
    holder = start(first, "polite", "a")
    assert holder.says() == "held"
    other = start(second, "polite", "a")
    assert holder.says() == "asked"
    assert holder.says() == "left"
    assert other.says() == "held"
    third = start(first, "visit", "a")
    assert [third.says(), third.says(), third.says()] == ["waiting", "held", "left"]
    assert [other.says(), other.says()] == ["asked", "left"]
    assert holder.ends_well()
    assert other.ends_well()
    assert third.ends_well()


def test_a_process_is_asked_for_the_right_upload_only(start: Start) -> None:
    holders = {name: start("asyncio", "polite", name) for name in ("a", "b")}
    assert [holder.says() for holder in holders.values()] == ["held", "held"]
    assert start("asyncio", "visit", "b").ends_well()
    assert holders["b"].says() == "asked"
    holders["a"].kill()
    assert holders["a"].says() == ""


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_a_killed_process_held_is_free(start: Start, directory: Path, backend: str) -> None:
    holder = start(backend, "stubborn", "a")
    assert holder.says() == "held"
    assert not is_free_here(directory, "a")
    waiter = start(backend, "visit", "a")
    assert waiter.says() == "waiting"
    poll((directory / "a.turn").exists, PATIENT, "nobody waits")
    holder.kill()
    assert [waiter.says(), waiter.says()] == ["held", "left"]
    assert waiter.ends_well()
    assert is_free_here(directory, "a")
    assert not list(directory.glob("a.*"))


def test_a_waiter_that_is_killed_holds_nobody_up(start: Start, directory: Path) -> None:
    holder = start("asyncio", "stubborn", "a")
    assert holder.says() == "held"
    unlucky = start("asyncio", "visit", "a")
    poll((directory / "a.turn").exists, PATIENT, "nobody waits")
    unlucky.kill()
    assert (directory / "a.turn").exists()
    waiter = start("asyncio", "visit", "a")
    assert waiter.says() == "waiting"
    holder.kill()
    assert waiter.ends_well()
    assert is_free_here(directory, "a")
    assert not list(directory.glob("a.*"))


def test_additions_are_not_lost(start: Start, tmp_path: Path, directory: Path) -> None:
    counter = tmp_path / "counter"
    counter.write_text("0")
    times, tasks = 10 * CAMPAIGN, 3
    contenders = [
        start(BACKENDS[number % 2], "count", "a", str(times), str(tasks), str(counter))
        for number in range(5)
    ]
    for contender in contenders:
        assert contender.says() == "done"
        assert contender.ends_well()
    assert int(counter.read_text()) == 5 * times * tasks
    assert [path for path in directory.rglob("*") if not path.is_dir()] == []


@pytest.mark.campaign
def test_holders_may_be_killed_at_any_moment(start: Start, tmp_path: Path, directory: Path) -> None:
    """Whatever is killed: the others go on, and no two are ever inside together."""
    journal = tmp_path / "journal"
    journal.touch()
    dice = random.Random()

    def fresh() -> Contender:
        return start(dice.choice(BACKENDS), "write", "a", str(journal))

    def length() -> int:
        return journal.read_bytes().count(b"\n")

    def reached(goal: int) -> bool:
        return length() >= goal

    writers = [fresh() for _ in range(4)]
    for _ in range(20 * CAMPAIGN):
        goal = length() + dice.randrange(1, 20)
        poll(partial(reached, goal), PATIENT, "nobody gets on")
        unlucky = writers.pop(dice.randrange(len(writers)))
        unlucky.kill()
        assert unlucky.says() == ""
        writers.append(fresh())
    for writer in writers:
        writer.kill()
        assert writer.says() == ""
    numbers = [int(line) for line in journal.read_text().splitlines()]
    assert numbers == list(range(len(numbers)))
    assert is_free_here(directory, "a")
    assert not list(directory.glob("a.*"))


@pytest.mark.parametrize("backend", BACKENDS)
def test_lanes_of_many_processes_are_held_side_by_side(
    start: Start, directory: Path, backend: str
) -> None:
    holders = {lane: start(backend, "polite", "a", str(lane)) for lane in (0, 1, 2**62)}
    assert [holder.says() for holder in holders.values()] == ["held"] * 3
    assert start(backend, "visit", "a", "1").ends_well()
    assert [holders[1].says(), holders[1].says(), holders[1].says()] == ["asked", "left", ""]
    visitor = start(backend, "visit", "a")
    for lane in (0, 2**62):
        assert [holders[lane].says(), holders[lane].says()] == ["asked", "left"]
    assert visitor.ends_well()
    assert is_free_here(directory, "a")


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_lane_that_a_killed_process_held_is_free(
    start: Start, directory: Path, backend: str
) -> None:
    """And the others are not: neither those of other processes, nor those kept by the waiter."""
    unlucky, other = (
        start(backend, "stubborn", "a", *lanes) for lanes in (("1", "2", "3"), ("4", "5"))
    )
    assert [unlucky.says(), other.says()] == ["held", "held"]
    waiter = start(backend, "visit", "a", "2")
    assert waiter.says() == "waiting"
    poll((directory / "a.turn").exists, PATIENT, "nobody waits")
    whole = start(backend, "visit", "a")
    assert whole.says() == "waiting"
    unlucky.kill()
    assert [waiter.says(), waiter.says()] == ["held", "left"]
    assert not is_free_here(directory, "a")
    other.kill()
    assert [whole.says(), whole.says()] == ["held", "left"]
    assert waiter.ends_well()
    assert whole.ends_well()
    assert is_free_here(directory, "a")
    assert not list(directory.glob("a.*"))


def marked(start: Start, marks: Path, dice: random.Random, visits: int) -> Contender:
    return start(
        dice.choice(BACKENDS), "mark", "a", str(marks), str(visits), str(dice.randrange(2**32))
    )


@pytest.mark.parametrize("locking", ["ranges", "flock"])
def test_holders_in_many_processes_are_never_in_each_others_way(
    start: Start, tmp_path: Path, directory: Path, monkeypatch: pytest.MonkeyPatch, locking: str
) -> None:
    monkeypatch.setenv("LOCKING", locking)
    dice = random.Random()
    contenders = [marked(start, tmp_path, dice, 60 * CAMPAIGN) for _ in range(4)]
    assert [contender.says() for contender in contenders] == ["done"] * 4
    assert all(contender.ends_well() for contender in contenders)
    assert (tmp_path / "journal").read_text().count("came") > 40
    assert [path for path in directory.rglob("*") if not path.is_dir()] == []


@pytest.mark.campaign
def test_holders_of_lanes_may_be_killed_at_any_moment(
    start: Start, tmp_path: Path, directory: Path
) -> None:
    dice = random.Random()
    journal = tmp_path / "journal"
    journal.touch()

    def reached(goal: int) -> bool:
        return journal.read_bytes().count(b"\n") >= goal

    contenders = [marked(start, tmp_path, dice, 10**6) for _ in range(4)]
    for _ in range(20 * CAMPAIGN):
        goal = journal.read_bytes().count(b"\n") + dice.randrange(1, 20)
        poll(partial(reached, goal), PATIENT, "nobody gets on")
        unlucky = contenders.pop(dice.randrange(len(contenders)))
        unlucky.kill()
        assert unlucky.says() == ""
        contenders.append(marked(start, tmp_path, dice, 10**6))
    for contender in contenders:
        contender.kill()
        assert contender.says() == ""
    assert is_free_here(directory, "a")
    assert not list(directory.glob("a.*"))


def forked(start: Start, backend: str) -> tuple[Contender, int]:
    parent = start(backend, "fork", "a")
    word, pid = parent.says().split()
    assert word == "child"
    return parent, int(pid)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_forked_child_is_a_process_like_others(
    start: Start, directory: Path, backend: str
) -> None:
    parent, child = forked(start, backend)
    try:
        heard = [parent.says() for _ in range(3)]
        assert sorted(heard) == ["child held", "parent asked", "parent left"]
        assert heard[0] == "parent asked"
        assert start(backend, "visit", "a").ends_well()
        assert [parent.says(), parent.says()] == ["child asked", "child left"]
        assert is_free_here(directory, "a")
    finally:
        os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize("lane", ["", "3"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_forked_child_does_not_keep_what_its_parent_held(
    start: Start, directory: Path, backend: str, lane: str
) -> None:
    parent = start(backend, "fork_idle", "a", lane)
    word, child = parent.says().split()
    assert word == "child"
    try:
        assert not is_free_here(directory, "a")
        parent.kill()
        os.kill(int(child), 0)
        assert is_free_here(directory, "a")
    finally:
        os.kill(int(child), signal.SIGKILL)
