"""Many processes at one catalog, and processes that are killed in the middle."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from tests.catalogs import raw
from tests.faults.campaign import CAMPAIGN
from tusjumbo.settings import Durability
from tusjumbo.testing.catalogs import NEW


@contextmanager
def process(
    deed: str, path: Path, durability: Durability, *more: str
) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.catalogs.worker", deed, str(path), durability.value]
    with subprocess.Popen(
        [*command, *more],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as running:
        try:
            yield running
        finally:
            with suppress(ProcessLookupError):  # it and its children
                os.killpg(running.pid, signal.SIGKILL)


def is_sound(path: Path) -> bool:
    with raw.connected(path) as connection:
        found: list[tuple[str]] = connection.execute("PRAGMA integrity_check").fetchall()
    return found == [("ok",)]


def chunks(path: Path) -> dict[int, bytes]:
    """What is recorded of the chunks of upload a."""
    with raw.connected(path) as connection:
        found = connection.execute("SELECT number, sha256 FROM chunks WHERE upload_id = 'a'")
        return dict(found)


def test_processes_that_start_together_lose_nothing(path: Path, durability: Durability) -> None:
    names = [f"b{number}" for number in range(4)]
    with ExitStack() as stack:
        workers = [stack.enter_context(process("join", path, durability, name)) for name in names]
        for worker in workers:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "ready\n"
        assert not path.exists()
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.write("go\n")
            worker.stdin.flush()
        said = [
            int(line) for worker in workers for line in worker.communicate(timeout=60)[0].split()
        ]
        assert [worker.returncode for worker in workers] == [0] * 4
    assert sorted(said) == list(range(1, 201))
    session = raw.recorded(path, "a")
    assert session is not None
    assert (session.offset, session.updated_at) == (200, 200.0)
    assert all(raw.recorded(path, name) for name in names)
    assert is_sound(path)


def test_processes_record_chunks_of_one_upload(path: Path, durability: Durability) -> None:
    raw.plant(path, [NEW])
    with ExitStack() as stack:
        workers = [
            stack.enter_context(process("chunks", path, durability, str(number)))
            for number in range(4)
        ]
        for worker in workers:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "ready\n"
        said = [
            int(line)
            for worker in workers
            for line in worker.communicate("go\n", timeout=60)[0].split()
        ]
        assert [worker.returncode for worker in workers] == [0] * 4
    assert sorted(said) == list(range(200))
    session = raw.recorded(path, "a")
    assert session is not None
    assert session.ranges.runs == ((0, 200),)
    digests = chunks(path)
    last = digests.pop(1000)  # everybody recorded this one
    assert digests == {n: bytes([n // 50 * 50]) * 32 for n in range(200)}
    assert last in digests.values()
    assert is_sound(path)


def test_processes_together_have_no_more_than_the_quota(path: Path, durability: Durability) -> None:
    """15 uploads and 100 bytes: 15 are made with a byte each, and 9 of them grow to 10."""
    with ExitStack() as stack:
        workers = [
            stack.enter_context(process("claim room", path, durability, name)) for name in "abc"
        ]
        for worker in workers:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "ready\n"
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.write("go\n")
            worker.stdin.flush()
        said = [line for w in workers for line in w.communicate(timeout=60)[0].splitlines()]
        assert [worker.returncode for worker in workers] == [0] * 3
    made = {line.removeprefix("made ") for line in said if line.startswith("made ")}
    grown = {line.removeprefix("grown ") for line in said if line.startswith("grown ")}
    sessions = [raw.recorded(path, name) for name in made]
    assert sorted(s.length or 0 for s in sessions if s) == [1] * 6 + [10] * 9
    assert len(grown) == 9
    with raw.connected(path) as connection:
        assert connection.execute("SELECT * FROM owners").fetchall() == [("o", 96, 15)]
        assert connection.execute("SELECT COUNT(*) FROM sessions").fetchone() == (15,)


@pytest.mark.campaign
def test_a_killed_process_leaves_the_old_row_or_the_new(path: Path, durability: Durability) -> None:
    raw.plant(path, [NEW])
    chance = random.Random(7)
    for _ in range(8 * CAMPAIGN):
        with process("lengthen", path, durability, "100000") as worker:
            assert worker.stdout is not None
            for _ in range(chance.randrange(1, 60)):
                said = int(worker.stdout.readline())
            worker.kill()
            for line in worker.stdout:
                said = int(line) if line.endswith("\n") else said
        session = raw.recorded(path, "a")
        assert session is not None
        assert said <= session.offset <= said + 1
        assert session.updated_at == session.offset
        assert chunks(path) == dict.fromkeys(range(session.offset), bytes(32))
        assert is_sound(path)


def test_a_forked_child_opens_its_own(path: Path, durability: Durability) -> None:
    raw.plant(path, [NEW])
    with process("fork", path, durability) as parent:
        said, _ = parent.communicate(timeout=60)
        assert parent.returncode == 0
    # The slow change comes before the fork; the waiting one is the parent's alone.
    assert said.splitlines() == ["before 1", "child 2", "child 3", "status 0", "parent 5"]
    session = raw.recorded(path, "a")
    assert session is not None
    assert session.offset == 5
    assert is_sound(path)
