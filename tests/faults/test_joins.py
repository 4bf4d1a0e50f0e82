"""Joins that are killed, ended and raced, on a real server and real files.

A join is stopped where it is seen to be: by how many bytes of the final file are there.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from tests.faults.campaign import CAMPAIGN, MIB
from tests.faults.test_kills import Pattern
from tests.harness.process import Server
from tests.harness.tus import Tus
from tests.harness.wire import Response, poll

pytestmark = [pytest.mark.wire, pytest.mark.campaign, pytest.mark.timeout(600 * CAMPAIGN)]

PARTIAL = {"Upload-Concat": "partial"}
SIZE = 192 * MIB


def _part(tus: Tus, pattern: Pattern, *, keep_back: int = 0) -> str:
    """A partial upload of this content, of which some is still to come."""
    path = tus.create(pattern.size, headers=PARTIAL)
    step = 64 * MIB
    stop = pattern.size - keep_back
    for at in range(0, stop, step):
        tus.patch(path, at, pattern.at(at, min(at + step, stop))).expect(204)
    return path


def _join(tus: Tus, parts: Sequence[str]) -> Response:
    return tus.request("POST", tus.endpoint.path, {"Upload-Concat": f"final;{' '.join(parts)}"})


def _pending(server: Server, parts: Sequence[str]) -> tuple[str, Path]:
    """The path of a final upload whose parts are not all there, and where its bytes will be."""
    path = _join(server.tus, parts).expect(201)["Location"]
    assert server.tus.head(path).expect(200).get("Upload-Offset") is None
    return path, server.directory / "sessions" / path.rsplit("/", 1)[1]


def _complete(server: Server, path: str, patterns: Sequence[Pattern]) -> None:
    """The upload is finished, or will be, and is what the parts make."""
    poll(
        lambda: server.tus.head(path).expect(200, 423).get("Upload-Offset") is not None,
        60,
        "it is never complete",
    )
    size = sum(pattern.size for pattern in patterns)
    assert server.tus.head(path)["Upload-Offset"] == str(size)
    (file,) = server.directory.glob(f"completed/*{path.rsplit('/', 1)[1]}*")
    assert file.stat().st_size == size
    with file.open("rb") as opened:
        for pattern in patterns:
            for at in range(0, pattern.size, 8 * MIB):
                piece = pattern.at(at, min(at + 8 * MIB, pattern.size))
                assert opened.read(len(piece)) == piece


def _has(server: Server, file: Path, stop: int) -> bool:
    """So much of the final upload is there, or all of it."""
    return _stored(file) >= stop or (server.directory / "completed" / file.name).exists()


def _stored(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


@pytest.mark.parametrize("workers", [1, 2])
def test_killed_in_the_middle_of_a_join(tmp_path: Path, workers: int) -> None:
    """Again and again, at other places: what was committed is never copied again."""
    patterns = [Pattern(1, SIZE), Pattern(2, SIZE), Pattern(3, SIZE)]
    with Server(tmp_path / "data", workers=workers) as server:
        parts = [
            _part(server.tus, patterns[0]),
            _part(server.tus, patterns[1]),
            _part(server.tus, patterns[2], keep_back=1),
        ]
        path, file = _pending(server, parts)
        server.tus.patch(parts[2], SIZE - 1, patterns[2].at(SIZE - 1, SIZE)).expect(204)
        for stop in (1, 100 * MIB, 300 * MIB):
            poll(partial(_has, server, file, stop), 60, "it does not begin")
            server.kill()
            assert all(
                server.directory.joinpath("sessions", part.rsplit("/", 1)[1]).stat().st_size == SIZE
                for part in parts
            )
            server.start()
        _complete(server, path, patterns)
        for part in parts:
            assert server.tus.offset(part) == SIZE


def test_a_join_is_ended_at_once_by_delete(tmp_path: Path) -> None:
    patterns = [Pattern(1, SIZE)]
    with Server(tmp_path / "data") as server:
        part = _part(server.tus, patterns[0], keep_back=1)
        path, file = _pending(server, [part] * 20)
        server.tus.patch(part, SIZE - 1, patterns[0].at(SIZE - 1, SIZE)).expect(204)
        poll(lambda: _stored(file) > 0, 60, "it does not begin")
        server.tus.delete(path).expect(204)
        assert not file.exists()
        assert server.tus.head(path).status == 404
        assert server.tus.offset(part) == SIZE
        _complete(server, _join(server.tus, [part]).expect(201)["Location"], patterns)


def test_a_part_is_removed_while_it_is_joined(tmp_path: Path) -> None:
    """Whole or gone, and never anything else."""
    patterns = [Pattern(1, SIZE), Pattern(2, SIZE)]
    with Server(tmp_path / "data") as server:
        first = _part(server.tus, patterns[0])
        second = _part(server.tus, patterns[1], keep_back=1)
        path, file = _pending(server, [first] * 6 + [second])
        server.tus.patch(second, SIZE - 1, patterns[1].at(SIZE - 1, SIZE)).expect(204)
        poll(lambda: _stored(file) > 0, 60, "it does not begin")
        server.tus.delete(second).expect(204)
        assert server.tus.head(path).status == 404
        poll(lambda: not file.exists(), 60, "it is never given up")
        assert server.tus.head(path).status == 404
        assert not list(server.directory.glob("completed/*"))
        assert server.tus.offset(first) == SIZE


@pytest.mark.parametrize("workers", [1, 2])
def test_many_joins_of_the_same_parts_at_once(tmp_path: Path, workers: int) -> None:
    size = 24 * MIB
    patterns = [Pattern(number, size) for number in range(4)]
    orders = [(0, 1, 2, 3), (3, 2, 1, 0), (0, 0, 3), (1, 3), (2, 1, 2), (0, 1, 2, 3)]
    with Server(tmp_path / "data", workers=workers) as server:
        parts = [_part(server.tus, pattern, keep_back=1) for pattern in patterns]
        early = [_pending(server, [parts[n] for n in order])[0] for order in orders[:3]]
        late: dict[int, str] = {}
        begin = threading.Barrier(4 + 3)

        def finish(number: int) -> None:
            begin.wait(30)
            server.tus.patch(parts[number], size - 1, patterns[number].at(size - 1, size)).expect(
                204
            )

        def join(number: int) -> None:
            begin.wait(30)
            answer = _join(server.tus, [parts[n] for n in orders[number]])
            late[number] = answer.expect(201)["Location"]

        threads = [threading.Thread(target=finish, args=(n,)) for n in range(4)]
        threads += [threading.Thread(target=join, args=(n,)) for n in range(3, 6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        for number, path in [*enumerate(early), *late.items()]:
            _complete(server, path, [patterns[n] for n in orders[number]])
        assert len(late) == 3
        assert len(list(server.directory.glob("completed/*"))) == 6


def test_a_thousand_parts_or_a_clear_no(server: Server) -> None:
    """CONC-20: 46 bytes of address each fit into a head of 64 KiB; whole URLs do not."""
    part = server.tus.create(1, headers=PARTIAL, body=b"x")
    made = _join(server.tus, [part] * 1000).expect(201)
    assert server.tus.get(made["Location"]) == b"x" * 1000
    whole = f"http://{server.endpoint.host}:{server.endpoint.port}{part}"
    assert _join(server.tus, [whole] * 1000).status == 431
    assert _join(server.tus, [whole] * 900).status == 201
