"""What Jumbo says of a session: the seed's keys, computed from the ranges."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tusjumbo.errors import MalformedRequest
from tusjumbo.protocols import jumbo
from tusjumbo.sessions.outcomes import Stored, Verified
from tusjumbo.sessions.ranges import RangeSet
from tusjumbo.sessions.session import Phase, Receipt, UploadSession
from tusjumbo.sessions.statistics import Statistics

ID = "jumbo_" + "a" * 32
SESSION = UploadSession(
    id=ID,
    created_at=1000.4,
    updated_at=1120.6,
    length=100,
    chunk_size=10,
    ranges=RangeSet(((0, 35), (60, 80), (95, 100))),
    metadata={"filename": b"a.zip", "n": b"7"},
    echo={"jumbo-metadata": '{"n":7}'},
    rate=0.25,
)
DONE = replace(
    SESSION, ranges=RangeSet(((0, 100),)), phase=Phase.DONE, receipt=Receipt("completed/a.zip")
)
NOW = 1130.0


def test_starting() -> None:
    assert jumbo.started(SESSION) == {
        "upload_id": ID,
        "chunk_size": 10,
        "total_chunks": 10,
        "chunks_expected": 10,
    }
    empty = replace(DONE, length=0, ranges=RangeSet(), updated_at=SESSION.created_at)
    assert jumbo.started(empty, "/x/a.zip") == {
        "upload_id": ID,
        "chunk_size": 10,
        "total_chunks": 0,
        "chunks_expected": 0,
        "status": "completed",
        "path": "/x/a.zip",
        "size": 0,
        "duration": 0,
        "progress": 100.0,
    }


def test_a_chunk_is_in() -> None:
    chunk = replace(SESSION.chunk(2), hash="ab" * 32)
    assert jumbo.received(Stored(SESSION, chunk)) == {
        "status": "uploading",
        "progress": 60.0,
        "chunk_number": 2,
        "hash": "ab" * 32,
    }
    assert jumbo.received(Stored(DONE, chunk), "/x/a.zip") == {
        "status": "completed",
        "path": "/x/a.zip",
        "size": 100,
        "duration": 120,
        "progress": 100.0,
        "chunk_number": 2,
        "hash": "ab" * 32,
    }


def test_resuming_lists_chunks_that_are_whole_and_those_that_are_not() -> None:
    answer = jumbo.resumed(SESSION)
    assert answer["chunks_received"] == [0, 1, 2, 6, 7]
    assert answer["chunks_needed"] == [3, 4, 5, 8, 9]
    assert answer["progress"] == 60.0
    assert jumbo.resumed(DONE)["chunks_needed"] == []
    deferred = jumbo.resumed(replace(SESSION, length=None))
    assert (deferred["chunks_needed"], deferred["progress"]) == ([], None)


@given(
    st.integers(0, 200),
    st.integers(1, 30),
    st.lists(st.tuples(st.integers(0, 200), st.integers(0, 200)).map(sorted)),
)
def test_every_chunk_is_in_or_needed(length: int, size: int, runs: list[list[int]]) -> None:
    ranges = RangeSet()
    for start, stop in runs:
        ranges = ranges.add(min(start, length), min(stop, length))
    session = replace(SESSION, length=length, chunk_size=size, ranges=ranges)
    answer = jumbo.resumed(session)
    assert answer["chunks_received"] == [
        chunk.chunk_number for chunk in session.chunks() if chunk.is_complete
    ]
    both = answer["chunks_received"] + answer["chunks_needed"]
    assert sorted(both) == list(range(session.chunks_expected or 0))


def test_a_hostile_length_makes_no_hostile_answer() -> None:
    hostile = replace(SESSION, length=2**63 - 1, chunk_size=1)
    assert len(jumbo.resumed(hostile)["chunks_needed"]) == jumbo.LISTED
    full = replace(hostile, ranges=RangeSet(((0, 2**62),)))
    assert len(jumbo.resumed(full)["chunks_received"]) == jumbo.LISTED


def test_status() -> None:
    assert jumbo.status(SESSION, NOW) == {
        "upload_id": ID,
        "status": "uploading",
        "progress": 60.0,
        "size_uploaded": 60,
        "time_remaining": "3 minutes",
        "speed": 0,
        "filename": "a.zip",
        "total_size": 100,
        "chunk_size": 10,
        "chunks_received": 5,
        "chunks_expected": 10,
        "metadata": {"n": 7},
    }
    assert jumbo.status(replace(SESSION, rate=2000.4), NOW)["speed"] == 2000
    done = jumbo.status(DONE, NOW, "completed/a.zip")
    assert (done["status"], done["path"], done["time_remaining"]) == (
        "completed",
        "completed/a.zip",
        "0 seconds",
    )
    assert jumbo.status(replace(SESSION, expires_at=NOW), NOW)["status"] == "abandoned"
    assert jumbo.status(replace(SESSION, phase=Phase.SEALED), NOW)["status"] == "assembling"


@pytest.mark.parametrize(
    ("left", "rate", "text"),
    [
        (59, 1.0, "59 seconds"),
        (1, 1.0, "1 second"),
        (1, 3.0, "1 second"),
        (60, 1.0, "1 minute"),
        (149, 1.0, "2 minutes"),
        (3599, 1.0, "60 minutes"),
        (3600, 1.0, "1 hour"),
        (5400, 1.0, "1.5 hours"),
        (86400, 1.0, "1 day"),
        (864000, 1.0, "10 days"),
        (5, 0.0, "unknown"),
        (5, None, "unknown"),
    ],
)
def test_the_time_that_remains(left: int, rate: float | None, text: str) -> None:
    session = replace(SESSION, length=100 + left, ranges=RangeSet(((0, 100),)), rate=rate)
    assert jumbo.time_remaining(session, session.updated_at) == text
    assert jumbo.time_remaining(session, session.updated_at + 301) == "unknown"


def test_progress_is_100_only_at_the_end() -> None:
    nearly = replace(SESSION, length=10**9, ranges=RangeSet(((0, 10**9 - 1),)))
    assert jumbo.status(nearly, NOW)["progress"] == 99.99


def test_verifying() -> None:
    right, wrong = hashlib.sha256(b"right"), hashlib.sha256(b"wrong")
    chunk = SESSION.chunk(0)
    recorded = replace(chunk, hash=right.hexdigest())
    missing = Verified(SESSION, SESSION.chunk(3), None)
    assert jumbo.verified(missing) == {"valid": False, "error": "Chunk not received"}
    for it in (chunk, recorded):
        good = {"valid": True, "hash": right.hexdigest()}
        assert jumbo.verified(Verified(SESSION, it, right.digest())) == good
        expected = jumbo.sha256_of(right.hexdigest().upper())
        assert jumbo.verified(Verified(SESSION, it, right.digest()), expected) == good
        assert jumbo.verified(Verified(SESSION, it, wrong.digest()), expected) == {
            "valid": False,
            "error": "Hash mismatch",
            "actual": wrong.hexdigest(),
        }
    assert jumbo.verified(Verified(SESSION, recorded, wrong.digest())) == {
        "valid": False,
        "error": "Stored hash mismatch",
        "actual": wrong.hexdigest(),
        "recorded": right.hexdigest(),
    }


@pytest.mark.parametrize("text", ["", "ab", "g" * 64, "a" * 63, "a" * 65, "a" * 64 + "\n", None, 7])
def test_what_is_no_hash(text: object) -> None:
    with pytest.raises(MalformedRequest):
        jumbo.sha256_of(text)


def test_statistics() -> None:
    figures = Statistics(
        active=3,
        active_bytes=300,
        started_today=5,
        started_this_week=25,
        finished_today=2,
        finished_this_week=20,
        bytes_this_week=1001,
        seconds_this_week=10.0,
    )
    assert jumbo.statistics(figures) == {
        "active_uploads": 3,
        "total_active_size": 300,
        "average_speed": 100,
        "uploads_today": 5,
        "uploads_this_week": 25,
        "completed_today": 2,
        "completed_this_week": 20,
    }
    assert jumbo.statistics(replace(figures, seconds_this_week=0.0))["average_speed"] == 0


def test_metadata_is_told_as_it_came() -> None:
    told = {"type": "text/csv", "n": 7, "deep": {"list": [1, None]}, "ü": "é"}
    created = jumbo.creation("a.zip", 5, told)
    session = replace(SESSION, metadata=created.metadata, echo=created.echo)
    assert jumbo.metadata_of(session) == told
    assert json.loads(json.dumps(jumbo.status(session, NOW)))["metadata"] == told
    by_tus = replace(SESSION, metadata={"filename": b"x", "raw": b"\xff"}, echo={})
    assert jumbo.metadata_of(by_tus) == {"filename": "x", "raw": "�"}
