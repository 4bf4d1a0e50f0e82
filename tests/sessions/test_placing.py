"""The rules for chunks: where one goes, what its commit may find, and how fast an upload is."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tusjumbo.errors import (
    ChunkSizeWrong,
    NoSuchChunk,
    NotAbandoned,
    StaleCommit,
    UploadIsFinal,
    UploadNotFound,
    UploadTooLarge,
)
from tusjumbo.sessions import rules
from tusjumbo.sessions.commands import Content, Create, Finish, Keep, Put
from tusjumbo.sessions.ranges import RangeSet
from tusjumbo.sessions.rules import Limits, Part, Take, committed, placed, recovered
from tusjumbo.sessions.session import Kind, Phase, UploadSession

LIMITS = Limits(max_size=1000, expire_after=100.0)
SESSION = UploadSession(id="a", created_at=1.0, updated_at=1.0, length=95, chunk_size=10)


def put(number: int, announced: int | None = None) -> Put:
    content = Content(announced=announced, keep=Keep.ALL_OR_NOTHING)
    return Put(id="a", number=number, content=content)


@pytest.mark.parametrize(
    ("number", "announced", "expected"),
    [
        (0, None, Take(0, 10, 95, floor=10)),
        (3, 10, Take(30, 40, 95, floor=40)),
        (9, 5, Take(90, 95, 95, floor=95)),
    ],
)
def test_a_chunk_has_its_place(number: int, announced: int | None, expected: Take) -> None:
    assert placed(SESSION, put(number, announced), LIMITS) == expected


@pytest.mark.parametrize("phase", [Phase.OPEN, Phase.SEALED, Phase.DONE])
def test_a_chunk_may_come_again_at_any_time(phase: Phase) -> None:
    full = replace(SESSION, ranges=RangeSet(((0, 95),)), phase=phase)
    assert placed(full, put(9), LIMITS) == Take(90, 95, 95, floor=95)


@pytest.mark.parametrize(
    ("session", "command", "error"),
    [
        (replace(SESSION, phase=Phase.ABANDONED), put(0), UploadNotFound),
        (replace(SESSION, kind=Kind.FINAL), put(0), UploadIsFinal),
        (SESSION, put(10), NoSuchChunk),
        (SESSION, put(-1), NoSuchChunk),
        (replace(SESSION, length=0), put(0), NoSuchChunk),
        (SESSION, put(0, 9), ChunkSizeWrong),
        (SESSION, put(0, 11), ChunkSizeWrong),
        (SESSION, put(9, 10), ChunkSizeWrong),
        (replace(SESSION, length=None), put(0, 9), ChunkSizeWrong),
        (replace(SESSION, length=None), put(100, 10), UploadTooLarge),
        (replace(SESSION, length=None), put(2**62), NoSuchChunk),
    ],
)
def test_what_is_no_chunk_is_refused(
    session: UploadSession, command: Put, error: type[Exception]
) -> None:
    with pytest.raises(error):
        placed(session, command, LIMITS)


def test_new_uploads_have_chunks_of_the_size_that_somebody_chose() -> None:
    create = Create(length=5, metadata={}, echo={})
    assert rules.opened(create, "a", 1.0, Limits(chunk_size=7)).chunk_size == 7
    asked = replace(create, chunk_size=9)
    assert rules.opened(asked, "a", 1.0, Limits(chunk_size=7)).chunk_size == 9


# --- committing ----------------------------------------------------------------------------------

SOME = replace(SESSION, ranges=RangeSet(((20, 40), (60, 70))))


def part(start: int, stop: int, known: RangeSet = SOME.ranges) -> Part:
    return Part(start, stop, SESSION.length, Finish.WHEN_FULL, known)


def test_bytes_go_over_those_that_were_known() -> None:
    after = committed(SOME, part(0, 65), 2.0, LIMITS)
    assert after.ranges == RangeSet(((0, 70),))
    assert committed(after, part(70, 95), 3.0, LIMITS).phase is Phase.SEALED


@pytest.mark.parametrize(("start", "stop"), [(0, 30), (25, 45), (65, 75), (0, 95), (20, 40)])
def test_bytes_that_were_not_known_make_a_writer_stale(start: int, stop: int) -> None:
    with pytest.raises(StaleCommit):
        committed(SOME, part(start, stop, RangeSet()), 2.0, LIMITS)
    with pytest.raises(StaleCommit):
        committed(SOME, part(start, stop, RangeSet(((20, 21), (60, 61)))), 2.0, LIMITS)


@pytest.mark.parametrize("phase", [Phase.OPEN, Phase.SEALED, Phase.DONE])
def test_what_is_in_changes_nothing_whatever_became_of_the_upload(phase: Phase) -> None:
    session = replace(SOME, phase=phase)
    assert committed(session, part(20, 40), 2.0, LIMITS) is session
    if phase is not Phase.OPEN:
        with pytest.raises(StaleCommit):
            committed(session, part(20, 41), 2.0, LIMITS)


def test_known_bytes_may_tell_the_end() -> None:
    """A last request whose final bytes came as a chunk before, while nobody knew the length."""
    deferred = replace(SESSION, length=None, ranges=RangeSet(((0, 20),)))
    last = Part(10, 20, 20, Finish.WITH_THIS, deferred.ranges)
    assert committed(deferred, last, 2.0, LIMITS).phase is Phase.SEALED


# --- the rate ------------------------------------------------------------------------------------


def arriving(*steps: tuple[float, int]) -> UploadSession:
    """An upload to which bytes came, each so many seconds after the ones before."""
    session = replace(SESSION, length=10**9)
    for seconds, count in steps:
        stop = session.offset + count
        step = Part(session.offset, stop, session.length, Finish.WHEN_FULL)
        session = committed(session, step, session.updated_at + seconds, Limits())
    return session


def test_nothing_is_known_of_an_upload_that_has_just_begun() -> None:
    assert SESSION.rate is None
    assert arriving((2.0, 100)).rate == 50.0


def test_the_rate_forgets() -> None:
    slow = [(1.0, 100)] * 60
    fast = [(1.0, 1000)] * 60
    assert arriving(*slow).rate == pytest.approx(100.0)
    assert arriving(*slow, *fast).rate == pytest.approx(1000.0, rel=0.01)
    assert 100.0 < (arriving(*slow, *fast[:5]).rate or 0) < 1000.0


def test_chunks_that_come_side_by_side_count_together() -> None:
    rate = arriving(*[(1.0, 250), (0.0, 250), (0.0, 250), (1e-6, 250)] * 60).rate
    assert rate == pytest.approx(1000.0, rel=0.06)


def test_after_a_pause_nothing_is_known() -> None:
    paused = arriving(*[(1.0, 100)] * 60, (rules.PAUSE + 1, 100))
    assert paused.rate is None
    assert committed(paused, Part(9999, 10099, None, Finish.NEVER), 363.0, Limits()).rate


@given(st.lists(st.tuples(st.floats(0, 1e4), st.integers(1, 2**40)), min_size=1, max_size=20))
def test_a_rate_is_a_number_that_can_be(steps: list[tuple[float, int]]) -> None:
    session = replace(SESSION, length=2**60)
    for seconds, count in steps:
        step = Part(session.offset, session.offset + count, 2**60, Finish.WHEN_FULL)
        session = committed(session, step, session.updated_at + seconds, Limits())
        assert session.rate is None or 0 <= session.rate < float("inf")


# --- recovering ----------------------------------------------------------------------------------


def test_an_abandoned_upload_is_open_again() -> None:
    gone = replace(SOME, phase=Phase.ABANDONED, expires_at=50.0, rate=7.0)
    back = recovered(gone, 60.0, LIMITS)
    expected = replace(SOME, updated_at=60.0, expires_at=160.0)
    assert back == expected


@pytest.mark.parametrize("phase", [Phase.SEALED, Phase.DONE])
def test_only_what_is_abandoned_is_recovered(phase: Phase) -> None:
    with pytest.raises(NotAbandoned) as caught:
        recovered(replace(SOME, phase=phase), 60.0, LIMITS)
    assert caught.value.status == replace(SOME, phase=phase).status
