from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tusjumbo.errors import QuotaExceeded, TooManyUploads
from tusjumbo.sessions.quotas import LARGEST, Quota, Usage, check, held
from tusjumbo.sessions.ranges import RangeSet
from tusjumbo.sessions.session import Phase, Receipt, UploadSession

NEW = UploadSession(id="a", created_at=1.0, updated_at=1.0, owner="o")
HERE, ELSEWHERE = Receipt("a"), Receipt("s3://a", is_here=False)
SOME = RangeSet(((0, 3), (5, 9)))


@pytest.mark.parametrize(
    ("session", "expected"),
    [
        (None, 0),
        (replace(NEW, length=10, ranges=SOME), 10),
        (replace(NEW, ranges=SOME), 7),
        (replace(NEW, length=10, phase=Phase.SEALED), 10),
        (replace(NEW, length=10, phase=Phase.ASSEMBLING, receipt=ELSEWHERE), 10),
        (replace(NEW, length=10, phase=Phase.DONE, receipt=HERE), 10),
        (replace(NEW, length=10, phase=Phase.DONE, receipt=ELSEWHERE), 0),
        (replace(NEW, length=10, phase=Phase.ABANDONED, ranges=SOME), 7),
        (replace(NEW, length=10, phase=Phase.STOPPED, ranges=SOME), 7),
        (replace(NEW, length=2**63 - 1), LARGEST),
        (replace(NEW, ranges=RangeSet(((0, 2**62),))), LARGEST),
    ],
    ids=[
        "none",
        "open",
        "deferred",
        "sealed",
        "on its way",
        "here",
        "elsewhere",
        "abandoned",
        "stopped",
        "hostile",
        "hostile and deferred",
    ],
)
def test_what_a_session_counts_for(session: UploadSession | None, expected: int) -> None:
    assert held(session) == expected


def open_(length: int | None) -> UploadSession:
    return replace(NEW, length=length)


GONE = replace(NEW, length=10, phase=Phase.ABANDONED, ranges=SOME)


@pytest.mark.parametrize(
    ("before", "after", "usage", "quota"),
    [
        (None, open_(10), Usage(90, 2), Quota(100, 3)),
        (None, open_(10), Usage(90, 2), Quota(None, 3)),
        (None, open_(10), Usage(10**9, 10**9), Quota()),
        (None, open_(None), Usage(101, 0), Quota(100, 1)),
        (None, open_(0), Usage(101, 0), Quota(100, 1)),
        (open_(None), open_(10), Usage(90, 9), Quota(100, 3)),
        (open_(10), open_(10), Usage(200, 9), Quota(100, 3)),
        (open_(10), open_(9), Usage(200, 9), Quota(100, 3)),
        (open_(10), replace(open_(10), phase=Phase.SEALED), Usage(200, 9), Quota(100, 3)),
        (open_(10), GONE, Usage(200, 9), Quota(100, 3)),
        (GONE, open_(10), Usage(97, 2), Quota(100, 3)),
        (None, replace(NEW, length=0, phase=Phase.SEALED), Usage(0, 3), Quota(100, 3)),
    ],
)
def test_what_there_is_room_for(
    before: UploadSession | None, after: UploadSession, usage: Usage, quota: Quota
) -> None:
    check(before, after, usage, quota)


@pytest.mark.parametrize(
    ("before", "after", "usage", "quota", "error"),
    [
        (None, open_(10), Usage(91, 0), Quota(100, 3), QuotaExceeded),
        (None, open_(101), Usage(), Quota(100, None), QuotaExceeded),
        (None, open_(1), Usage(), Quota(0, None), QuotaExceeded),
        (None, open_(0), Usage(0, 3), Quota(100, 3), TooManyUploads),
        (None, open_(0), Usage(), Quota(None, 0), TooManyUploads),
        (None, open_(1), Usage(100, 3), Quota(100, 3), TooManyUploads),
        (open_(None), open_(10), Usage(91, 1), Quota(100, 3), QuotaExceeded),
        (GONE, open_(10), Usage(98, 2), Quota(100, 3), QuotaExceeded),
        (GONE, open_(10), Usage(7, 3), Quota(100, 3), TooManyUploads),
    ],
)
def test_what_there_is_no_room_for(
    before: UploadSession | None,
    after: UploadSession,
    usage: Usage,
    quota: Quota,
    error: type[Exception],
) -> None:
    with pytest.raises(error):
        check(before, after, usage, quota)


@given(
    usage=st.builds(Usage, st.integers(0, 2**50), st.integers(0, 99)),
    quota=st.builds(Quota, st.none() | st.integers(0, 99), st.none() | st.integers(0, 99)),
    length=st.none() | st.integers(0, 2**63 - 1),
    smaller=st.integers(0, 2**63 - 1),
    phase=st.sampled_from(Phase),
)
def test_what_does_not_grow_is_always_allowed(
    usage: Usage, quota: Quota, length: int | None, smaller: int, phase: Phase
) -> None:
    before = open_(length)
    check(before, before, usage, quota)
    if length is not None:
        check(before, replace(before, length=min(length, smaller), phase=phase), usage, quota)
