"""Pieces: all bytes once and in order, also of what grows, and no busy waiting for them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tusjumbo.processing.pieces import (
    LARGE_PIECE,
    LONGEST_WAIT,
    PIECE,
    SHORTEST_WAIT,
    following,
    of_file,
)


@dataclass
class Upload:
    """Grows by the next of `growth` when somebody waits, and is over when there is none left."""

    content: bytes
    growth: list[int]
    most: int = PIECE
    committed: int = 0
    asked: list[tuple[int, int]] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)

    def progress(self) -> tuple[int, bool]:
        return self.committed, not self.growth

    def read(self, start: int, limit: int) -> bytes:
        assert start + limit <= self.committed, "asked for what is not there"
        self.asked.append((start, limit))
        return self.content[start : start + min(limit, self.most)]

    def wait(self, seconds: float) -> None:
        assert self.growth, "waits for what is over"
        self.waits.append(seconds)
        self.committed += self.growth.pop(0)

    def pieces(self) -> Iterator[bytes]:
        return following(self.read, self.progress, self.wait)


def test_a_file_in_pieces(tmp_path: Path) -> None:
    path = tmp_path / "file"
    content = bytes(range(256)) * (PIECE // 256) * 2 + b"end"
    path.write_bytes(content)
    found = list(of_file(path))
    assert b"".join(found) == content
    assert [len(piece) for piece in found] == [PIECE, PIECE, 3]


def test_an_empty_file_has_no_piece(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert list(of_file(str(tmp_path / "file"))) == []


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        next(of_file(tmp_path / "file"))


def test_a_file_is_closed_when_its_reader_leaves(tmp_path: Path) -> None:
    """An open file would warn, which fails the test."""
    (tmp_path / "file").write_bytes(b"abc")
    pieces = of_file(tmp_path / "file")
    assert next(pieces) == b"abc"
    del pieces


@pytest.mark.parametrize("most", [1, 3, PIECE])
def test_following_hands_out_every_byte_once(most: int) -> None:
    upload = Upload(b"abcdefghij", [4, 0, 5, 1], most)
    found = list(upload.pieces())
    assert b"".join(found) == b"abcdefghij"
    assert upload.committed == 10
    assert found.count(b"") == len(upload.waits) == 4


def test_a_pause_is_told_before_the_wait() -> None:
    upload = Upload(b"abcd", [2, 2])
    pieces = upload.pieces()
    assert next(pieces) == b""
    assert upload.waits == []
    assert next(pieces) == b"ab"
    assert next(pieces) == b""
    assert len(upload.waits) == 1
    assert list(pieces) == [b"cd"]


def test_waits_grow_until_something_comes() -> None:
    upload = Upload(b"ab", [0] * 8 + [1, 0, 1])
    assert b"".join(upload.pieces()) == b"ab"
    doubled = [SHORTEST_WAIT * 2**n for n in range(4)]
    assert upload.waits == [*doubled, *[LONGEST_WAIT] * 5, *doubled[:2]]


def test_what_is_complete_is_not_waited_for() -> None:
    upload = Upload(b"abc", [], committed=3)
    assert list(upload.pieces()) == [b"abc"]
    assert upload.waits == []


def test_large_progress_is_read_in_pieces() -> None:
    size = 2 * LARGE_PIECE + 5
    upload = Upload(bytes(size), [], LARGE_PIECE, committed=size)
    assert sum(map(len, upload.pieces())) == size
    pieces = [(0, LARGE_PIECE), (LARGE_PIECE, LARGE_PIECE), (2 * LARGE_PIECE, 5)]
    assert upload.asked == pieces


def test_what_progress_raises_ends_the_following() -> None:
    def progress() -> tuple[int, bool]:
        raise LookupError("cancelled")

    with pytest.raises(LookupError, match="cancelled"):
        next(following(lambda start, limit: b"", progress, time.sleep))


@pytest.mark.parametrize("answer", [b"", b"four"], ids=["nothing", "too much"])
def test_a_read_that_does_not_keep_its_word(answer: bytes) -> None:
    pieces = following(lambda start, limit: answer, lambda: (3, False), lambda seconds: None)
    with pytest.raises(RuntimeError, match=rf"read\(0, 3\) returned {len(answer)} bytes"):
        next(pieces)
