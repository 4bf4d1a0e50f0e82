"""kill -9 among chunks: what was acknowledged stays, and what was not does no harm.

Several processes with several threads each put the chunks of one upload in random order, some of
them twice, and say so when a chunk is in. They are killed at any moment and begin again, until the
upload is complete; then it is what was sent.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.faults.campaign import CAMPAIGN
from tests.harness.process import ROOT
from tusjumbo import Jumbo

pytestmark = [pytest.mark.campaign, pytest.mark.timeout(300 * CAMPAIGN)]

SIZE = 64 * 1024
COUNT = 160
LENGTH = COUNT * SIZE - 17

PUTTER = """
import os, random, sys
from concurrent.futures import ThreadPoolExecutor
from tests.faults.test_chunks import Pieces, COUNT
from tusjumbo import Jumbo

directory, upload_id, seed = sys.argv[1], sys.argv[2], int(sys.argv[3])
pieces = Pieces()
jumbo = Jumbo(directory)

def put(number):
    answer = jumbo.upload_chunk(upload_id, number, pieces[number])
    os.write(1, f"{number} {answer['status']}\\n".encode())  # in one piece, also among threads

numbers = list(range(COUNT)) * 2
random.Random(seed).shuffle(numbers)
with ThreadPoolExecutor(4) as threads:
    list(threads.map(put, numbers))
"""


class Pieces:
    """The chunks of a file that looks like nothing else at any place."""

    def __init__(self) -> None:
        self._block = random.Random(9).randbytes(SIZE - 8)

    def __getitem__(self, number: int) -> bytes:
        chunk = number.to_bytes(8, "big") + self._block
        return chunk[: LENGTH - number * SIZE]


@contextmanager
def _putting(directory: Path, upload_id: str, seed: int) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", PUTTER, str(directory), upload_id, str(seed)]
    process = subprocess.Popen(
        command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _said(process: subprocess.Popen[str], lines: int) -> list[str]:
    """The first lines that it says, and after its end also what was left of them."""
    assert process.stdout is not None
    said: list[str] = []
    while len(said) < lines and (line := process.stdout.readline()):
        said.append(line)
    return said


def _killed(processes: list[subprocess.Popen[str]], after: int) -> Iterator[int]:
    """The chunks that the processes said were in, killed when the first has said so many."""
    heard = [_said(processes[0], after)]
    for process in processes:
        process.send_signal(signal.SIGKILL)
    for process in processes:
        rest, errors = process.communicate()
        assert "Traceback" not in errors, errors
        heard.append(rest.splitlines(keepends=True))
    for line in (line for lines in heard for line in lines if line.endswith("\n")):
        yield int(line.split()[0])


@pytest.mark.parametrize("seed", range(3 * CAMPAIGN))
def test_what_was_acknowledged_survives_kill_9(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    with Jumbo(tmp_path, chunk_size=SIZE) as jumbo:
        upload_id = jumbo.start_upload("big.bin", LENGTH)["upload_id"]
        acknowledged: set[int] = set()
        for turn in range(4):
            with (
                _putting(tmp_path, upload_id, chance.randrange(10**9)) as one,
                _putting(tmp_path, upload_id, chance.randrange(10**9)) as other,
            ):
                acknowledged |= set(_killed([one, other], chance.randrange(1, 12 + 6 * turn)))
            if _status(jumbo, upload_id)["status"] != "uploading":
                break
            there = set(jumbo.resume_upload(upload_id)["chunks_received"])
            assert acknowledged <= there
            for number in there:
                assert jumbo.verify_chunk(upload_id, number)["valid"], number
        _complete(jumbo, upload_id)
        _is_whole(jumbo, upload_id, tmp_path)


def _status(jumbo: Jumbo, upload_id: str) -> dict[str, Any]:
    return jumbo.get_status(upload_id)


def _complete(jumbo: Jumbo, upload_id: str) -> None:
    """Send what is missing; if nothing is, the last chunk again, as a client would."""
    pieces = Pieces()
    for number in jumbo.resume_upload(upload_id)["chunks_needed"] or [COUNT - 1]:
        jumbo.upload_chunk(upload_id, number, pieces[number])


def _is_whole(jumbo: Jumbo, upload_id: str, directory: Path) -> None:
    status = _status(jumbo, upload_id)
    assert status["status"] == "completed"
    pieces = Pieces()
    with Path(status["path"]).open("rb") as file:
        for number in range(COUNT):
            assert file.read(SIZE) == pieces[number], number
        assert not file.read(1)
    for number in range(COUNT):
        answer = jumbo.verify_chunk(upload_id, number)
        assert answer["valid"], answer
    assert list((directory / "sessions").iterdir()) == []
    assert [it.name for it in (directory / "completed").iterdir()] == ["big.bin"]


def test_processes_that_finish_an_upload_together_finish_it_once(tmp_path: Path) -> None:
    with Jumbo(tmp_path, chunk_size=SIZE) as jumbo:
        upload_id = jumbo.start_upload("big.bin", LENGTH)["upload_id"]
        with (
            _putting(tmp_path, upload_id, 1) as one,
            _putting(tmp_path, upload_id, 2) as two,
            _putting(tmp_path, upload_id, 3) as three,
        ):
            for process in (one, two, three):
                said, errors = process.communicate()
                assert process.returncode == 0, errors
                assert len(said.splitlines()) == 2 * COUNT
        _is_whole(jumbo, upload_id, tmp_path)
        assert jumbo.get_statistics()["completed_today"] == 1
