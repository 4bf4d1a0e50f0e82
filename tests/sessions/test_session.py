"""What is derived from a session: nothing of it is stored, so nothing of it can disagree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import FrozenInstanceError, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tusjumbo.sessions.ranges import RangeSet
from tusjumbo.sessions.session import CHUNK_SIZE, Phase, Receipt, UploadChunk, UploadSession

OPEN = UploadSession(id="a", created_at=1.0, updated_at=2.0, length=100, chunk_size=30)


def holding(text: str, session: UploadSession = OPEN) -> UploadSession:
    return replace(session, ranges=RangeSet.parse(text))


def test_a_session_starts_open_and_empty() -> None:
    session = UploadSession(id="a", created_at=1.0, updated_at=1.0)
    assert session.phase is Phase.OPEN
    assert session.ranges == RangeSet()
    assert session.offset == 0
    assert (session.length, session.receipt, session.expires_at) == (None, None, None)
    assert (dict(session.metadata), dict(session.echo)) == ({}, {})
    assert session.chunk_size == CHUNK_SIZE == 5 * 2**20


def test_sessions_are_values() -> None:
    with pytest.raises(FrozenInstanceError):
        OPEN.length = 5  # type: ignore[misc]
    assert replace(OPEN) == OPEN


@pytest.mark.parametrize(
    ("ranges", "offset", "progress", "received"),
    [
        ("", 0, 0.0, [0, 0, 0, 0]),
        ("0-1", 1, 1.0, [1, 0, 0, 0]),
        ("0-30", 30, 30.0, [30, 0, 0, 0]),
        ("0-31", 31, 31.0, [30, 1, 0, 0]),
        ("30-60", 0, 30.0, [0, 30, 0, 0]),
        ("0-10,20-40,90-100", 10, 40.0, [20, 10, 0, 10]),
        ("1-100", 0, 99.0, [29, 30, 30, 10]),
        ("0-100", 100, 100.0, [30, 30, 30, 10]),
    ],
    ids=lambda value: value or "nothing" if isinstance(value, str) else "",
)
def test_what_has_arrived(ranges: str, offset: int, progress: float, received: list[int]) -> None:
    session = holding(ranges)
    assert session.offset == offset
    assert session.progress == pytest.approx(progress)
    assert session.chunks_expected == 4
    assert list(session.chunks()) == [
        UploadChunk("a", 0, 0, 30, received[0]),
        UploadChunk("a", 1, 30, 60, received[1]),
        UploadChunk("a", 2, 60, 90, received[2]),
        UploadChunk("a", 3, 90, 100, received[3]),
    ]
    sizes = (30, 30, 30, 10)
    complete = [got == size for got, size in zip(received, sizes, strict=True)]
    assert [chunk.is_complete for chunk in session.chunks()] == complete
    assert session.chunks_received == sum(complete)
    assert session.is_full == (progress == 100.0)


@given(
    length=st.integers(0, 200),
    chunk_size=st.integers(1, 70),
    spans=st.lists(st.tuples(st.integers(0, 200), st.integers(0, 200)), max_size=6),
)
def test_chunks_tile_the_upload_and_count_every_byte(
    length: int, chunk_size: int, spans: list[tuple[int, int]]
) -> None:
    ranges = RangeSet()
    for one, other in spans:
        ranges = ranges.add(min(one, other, length), min(max(one, other), length))
    session = replace(OPEN, length=length, chunk_size=chunk_size, ranges=ranges)
    chunks = list(session.chunks())
    ends = [0, *(chunk.stop for chunk in chunks)]
    assert [chunk.start for chunk in chunks] == ends[:-1]
    assert ends[-1] == length
    assert [chunk.chunk_number for chunk in chunks] == list(range(len(chunks)))
    assert all(0 < chunk.stop - chunk.start <= chunk_size for chunk in chunks)
    assert len(chunks) == session.chunks_expected
    assert sum(chunk.received for chunk in chunks) == ranges.total
    assert session.is_full == (session.chunks_received == session.chunks_expected)
    assert session.is_full == (session.offset == length)


def test_a_deferred_length_leaves_open_what_it_must() -> None:
    session = holding("0-10,40-50", replace(OPEN, length=None))
    assert (session.progress, session.chunks_expected, session.is_full) == (None, None, False)
    assert session.offset == 10
    assert [(c.start, c.stop, c.received) for c in session.chunks()] == [(0, 30, 10), (30, 50, 10)]
    assert list(replace(session, ranges=RangeSet()).chunks()) == []


def test_an_empty_upload_is_full_at_once() -> None:
    session = replace(OPEN, length=0)
    assert session.is_full
    assert (session.progress, session.chunks_expected, session.chunks_received) == (100.0, 0, 0)


@pytest.mark.parametrize(
    ("metadata", "filename", "media_type"),
    [
        ({}, "", ""),
        ({"filename": b"a.txt", "filetype": b"text/plain"}, "a.txt", "text/plain"),
        ({"name": b"b.txt", "type": b"text/html"}, "b.txt", "text/html"),
        (
            {"name": b"b", "filename": b"a", "type": b"text/html", "filetype": b"text/plain"},
            *("a", "text/plain"),
        ),
        ({"filename": b"", "name": b"b", "filetype": b"", "type": b"image/png"}, "b", "image/png"),
        ({"filename": "ü/../\n".encode() + b"\xff", "type": b"\xff"}, "ü/../\n\ufffd", "\ufffd"),
        ({"Filename": b"a", "FILETYPE": b"text/plain"}, "", ""),
    ],
    ids=["none", "tus-js-client", "uppy", "both", "empty", "hostile", "other case"],
)
def test_what_the_client_calls_it(
    metadata: Mapping[str, bytes], filename: str, media_type: str
) -> None:
    session = replace(OPEN, metadata=metadata)
    assert (session.filename, session.media_type) == (filename, media_type)


@pytest.mark.parametrize(
    ("phase", "expires_at", "due_at"),
    [
        (Phase.OPEN, None, None),
        (Phase.OPEN, 9.0, 9.0),
        (Phase.SEALED, None, 2.0),
        (Phase.SEALED, 9.0, 2.0),
        (Phase.DONE, None, None),
        (Phase.DONE, 9.0, None),
        (Phase.ABANDONED, 9.0, 9.0),
    ],
    ids=str,
)
def test_when_the_sweep_has_something_to_do(
    phase: Phase, expires_at: float | None, due_at: float | None
) -> None:
    session = replace(OPEN, phase=phase, expires_at=expires_at, receipt=Receipt("completed/a"))
    assert session.due_at == due_at


def test_phases_have_the_names_that_catalogs_and_people_see() -> None:
    names = ["open", "sealed", "assembling", "done", "abandoned", "stopped"]
    assert [phase.value for phase in Phase] == names
