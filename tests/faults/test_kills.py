"""kill -9 in the middle of a PATCH: nothing that was committed goes, and little that was not.

What is asserted is counted in bytes, not in seconds, so that a slow machine cannot fail it. Bytes
are committed at checkpoints; between two of them the server has at most a checkpoint's worth that
is written but not recorded, two blocks on their way to the disk, and what its reading side holds.
`seen` is what the server's process had read for certain when it was killed: what was sent, less
what was still in the kernels. So `seen - offset` is bounded by CHECKPOINT + SLACK whatever the
speeds are. That a slow upload is committed by time is shown without a clock of our own: bytes that
another process finds in the catalog are committed, and those survive.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.faults.campaign import CAMPAIGN, KILLED_SIZE, MIB
from tests.faults.inject import killing, needs_root
from tests.harness.process import ROOT, Server, is_alive
from tests.harness.wire import Wire, poll

pytestmark = [pytest.mark.wire, pytest.mark.campaign, pytest.mark.timeout(600 * CAMPAIGN)]

CHECKPOINT = 64 * MIB
SLACK = 8 * MIB
"""Two blocks of 1 MiB, a piece per connection, and some air."""
STEP = 256 * 1024
NAMING = "link,linkat,rename,renameat,renameat2,unlink,unlinkat"


class Pattern:
    """Content of any size in which no two places look alike, made from one random block."""

    def __init__(self, seed: int, size: int) -> None:
        self.size = size
        self._block = random.Random(seed).randbytes(MIB)

    def at(self, start: int, stop: int) -> bytes:
        """Bytes `[start, stop)`: the block again and again, each begun by its number."""
        first = start // MIB
        whole = b"".join(
            number.to_bytes(8, "big") + self._block[8:] for number in range(first, -(-stop // MIB))
        )
        return whole[start - first * MIB : stop - first * MIB]

    def is_prefix_of(self, path: Path, stop: int) -> bool:
        with path.open("rb") as file:
            return all(
                file.read(min(8 * MIB, stop - at)) == self.at(at, min(at + 8 * MIB, stop))
                for at in range(0, stop, 8 * MIB)
            )


def _send_up_to(wire: Wire, pattern: Pattern, at: int, stop: int) -> None:
    """Send bytes `[at, stop)` of the body, made in big steps and sent in small ones."""
    while at < stop:
        for piece in _pieces(pattern.at(at, min(at + 16 * MIB, stop))):
            wire.send(piece)
            at += len(piece)


def _pieces(data: bytes) -> list[memoryview]:
    view = memoryview(data)
    return [view[at : at + STEP] for at in range(0, len(view), STEP)]


def _stored(server: Server, path: str) -> Path:
    return server.directory / "sessions" / path.rsplit("/", 1)[1]


def _whole(server: Server, path: str, pattern: Pattern) -> None:
    """The upload is finished, and equal to what was sent; then it is removed."""
    finished = list(server.directory.glob("completed/*"))
    assert len(finished) == 1
    assert finished[0].stat().st_size == pattern.size
    assert pattern.is_prefix_of(finished[0], pattern.size)
    server.tus.delete(path).expect(204)
    assert not list(server.directory.glob("completed/*"))


Kill = Callable[[Server, Wire], None]


def _kill_server(server: Server, wire: Wire) -> None:
    server.kill()
    wire.close()
    server.start()


def _kill_worker(server: Server, wire: Wire) -> None:
    """Only the one that has this upload; the others go on, and a new one takes its place."""
    worker = server.serving(wire)
    others = [process for process in server.workers() if process != worker]
    worker.kill()
    poll(lambda: not is_alive(worker), 20, "killed, but not dead")
    wire.close()
    assert server.main != worker
    assert all(is_alive(process) for process in others)


@pytest.mark.parametrize(
    ("workers", "kill"), [(1, _kill_server), (2, _kill_server), (2, _kill_worker)]
)
def test_killed_in_the_middle_and_resumed(tmp_path: Path, workers: int, kill: Kill) -> None:
    size = KILLED_SIZE
    with Server(tmp_path / "data", workers=workers) as server:
        for round_ in range(max(3, CAMPAIGN)):
            # Fixed seeds: a failure names the moment, as far as bytes can name it.
            chance = random.Random(f"{workers} {kill.__name__} {round_}")
            pattern = Pattern(round_, size)
            path = server.tus.create(size)
            offset = 0
            while offset < size:
                stop = chance.randrange(offset + 1, size + size // 3)
                wire = server.tus.begin_patch(path, offset, size - offset)
                _send_up_to(wire, pattern, offset, min(stop, size))
                if stop >= size:
                    assert int(wire.read().expect(204)["Upload-Offset"]) == size
                    wire.close()
                    break
                seen = stop - wire.unread()
                kill(server, wire)
                before, offset = offset, server.tus.offset(path)
                where = f"round {round_}, killed at {stop}, seen {seen}, offset {offset}"
                assert before <= offset <= stop, where
                assert seen - offset <= CHECKPOINT + SLACK, where
                if offset:
                    assert _stored(server, path).stat().st_size >= offset, where
                    assert pattern.is_prefix_of(_stored(server, path), offset), where
            _whole(server, path, pattern)


@needs_root
@pytest.mark.parametrize(
    ("calls", "file", "when", "size"),
    [
        *(("pwrite64", "data", when, 3 * MIB) for when in (1, 2, 3)),
        *(("pwrite64", "data", when, 100 * MIB) for when in (64, 80, 100)),
        *(("pwrite64", "wal", when, 3 * MIB) for when in (1, 2, 3, 4, 5, 6)),
        *(("fdatasync,fsync", "data", when, 3 * MIB) for when in (1, 2)),
        *(("fdatasync,fsync", "wal", when, 3 * MIB) for when in (1, 2, 3)),
        # A checkpoint is in the catalog's log, and the bytes behind it are not in the file yet.
        ("fdatasync,fsync", "wal", 1, 100 * MIB),
        *((NAMING, "", when, MIB) for when in (1, 2, 3)),
    ],
)
def test_killed_at_a_system_call(
    tmp_path: Path, calls: str, file: str, when: int, size: int
) -> None:
    """Between any two steps of a PATCH, from the first byte to the finished file."""
    pattern = Pattern(when, size)
    with Server(tmp_path / "data") as server:
        path = server.tus.create(size)
        server.tus.patch(path, 0, pattern.at(0, 1000)).expect(204)
        touched = {
            "data": _stored(server, path),
            "wal": server.directory / "catalog.sqlite3-wal",
            "": None,
        }[file]
        with killing(server, calls, str(when), path=touched):
            wire = server.tus.begin_patch(path, 1000, size - 1000)
            with wire, suppress(ConnectionError):
                _send_up_to(wire, pattern, 1000, size)
                wire.read()
        server.restart()
        offset = server.tus.offset(path)
        assert 1000 <= offset <= size
        if offset < size:
            assert pattern.is_prefix_of(_stored(server, path), offset)
            server.tus.patch(path, offset, pattern.at(offset, size)).expect(204)
        _whole(server, path, pattern)
        assert not list(server.directory.glob("sessions/*"))


def _shown(server: Server, path: str) -> int:
    """The offset as the catalog has it, asked of it by another process."""
    shown = subprocess.run(
        (
            *(sys.executable, "-m", "tusjumbo", "show", path.rsplit("/", 1)[1]),
            *("--upload-dir", str(server.directory), "--json"),
        ),
        cwd=ROOT,
        capture_output=True,
        check=True,
        timeout=60,
    )
    offset = json.loads(shown.stdout)["offset"]
    assert isinstance(offset, int)
    return offset


def test_a_slow_upload_is_committed_by_time(tmp_path: Path, content: bytes) -> None:
    """Far less than a checkpoint's bytes, and no end: yet it gets into the catalog, and stays."""
    with Server(tmp_path / "data") as server:
        path = server.tus.create(len(content))
        with server.tus.begin_patch(path, 0, len(content)) as wire:
            wire.send(content[: 3 * MIB])
            poll(lambda: _shown(server, path) == 3 * MIB, 60, "never committed")
            server.kill()
        server.start()
        assert server.tus.offset(path) == 3 * MIB
        server.tus.finish(path, content)
        assert server.tus.get(path) == content
