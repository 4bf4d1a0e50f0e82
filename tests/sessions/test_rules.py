"""The decision rule: a table of single decisions, and whole histories against an oracle.

The oracle is a bytearray and a mask: the plainest account of which bytes an upload has and whose
they are. Whatever order of requests, stale writers, declarations and expiries hypothesis thinks
of, the session must agree with it.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tusjumbo.errors import (
    BodyTooLong,
    LengthConflict,
    NotAbandoned,
    OffsetMismatch,
    Refusal,
    StaleCommit,
    UploadNotFound,
    UploadTooLarge,
)
from tusjumbo.sessions.commands import Append, Content, Create, Finish
from tusjumbo.sessions.ranges import RangeSet
from tusjumbo.sessions.rules import (
    MAX_LENGTH,
    Limits,
    Part,
    Take,
    abandoned,
    committed,
    decide,
    done,
    has_expired,
    opened,
    recovered,
)
from tusjumbo.sessions.session import Kind, Phase, Receipt, UploadSession

LIMITS = Limits(max_size=100, expire_after=60.0, keep_abandoned=30.0)


def session(length: int | None = 10, offset: int = 0, phase: Phase = Phase.OPEN) -> UploadSession:
    return UploadSession(
        id="u",
        created_at=0.0,
        updated_at=0.0,
        length=length,
        ranges=RangeSet().add(0, offset),
        phase=phase,
        expires_at=60.0,
    )


def append(
    at: int,
    announced: int | None,
    declares: int | None = None,
    finish: Finish = Finish.WHEN_FULL,
) -> Append:
    return Append(
        id="u", at=at, content=Content(announced=announced, finish=finish), declares=declares
    )


@pytest.mark.parametrize(
    ("before", "command", "take"),
    [
        pytest.param(session(), append(0, 10), Take(0, 10, 10), id="all of it"),
        pytest.param(session(), append(0, 4), Take(0, 10, 10), id="a part"),
        pytest.param(session(offset=4), append(4, None), Take(4, 10, 10), id="size unknown"),
        pytest.param(session(), append(0, 0), Take(0, 10, 10), id="empty"),
        pytest.param(session(None), append(0, 5), Take(0, 100, None), id="deferred: to the limit"),
        pytest.param(session(None, 5), append(5, 5, 10), Take(5, 10, 10), id="declares the end"),
        pytest.param(session(None, 5), append(5, 1, 10), Take(5, 10, 10), id="declares early"),
        pytest.param(session(None, 5), append(5, 0, 5), Take(5, 5, 5), id="declares only"),
        pytest.param(session(), append(0, 1, 10), Take(0, 10, 10), id="AMB-04 repeats the length"),
        pytest.param(
            session(offset=10, phase=Phase.DONE), append(10, 0), Take(10, 10, 10), id="AMB-02 done"
        ),
        pytest.param(
            session(offset=10, phase=Phase.SEALED), append(10, None), Take(10, 10, 10), id="sealed"
        ),
        pytest.param(
            session(None),
            append(0, 7, finish=Finish.WITH_THIS),
            Take(0, 7, 7),
            id="the last body tells the length",
        ),
    ],
)
def test_yes(before: UploadSession, command: Append, take: Take) -> None:
    assert decide(before, command, LIMITS) == take


@pytest.mark.parametrize(
    ("before", "command", "refusal"),
    [
        pytest.param(session(), append(1, 2), OffsetMismatch, id="ahead"),
        pytest.param(session(offset=5), append(4, 2), OffsetMismatch, id="behind"),
        pytest.param(session(), append(0, 11), BodyTooLong, id="one too many"),
        pytest.param(session(offset=10), append(10, 1), BodyTooLong, id="beyond a full one"),
        pytest.param(
            session(offset=10, phase=Phase.DONE), append(10, 1), BodyTooLong, id="beyond a done one"
        ),
        pytest.param(session(), append(0, 1, 11), LengthConflict, id="DEFER-08 another length"),
        pytest.param(session(None, 5), append(5, 0, 4), LengthConflict, id="DEFER-10 too short"),
        pytest.param(session(None, 5), append(5, 6, 10), BodyTooLong, id="DEFER-10 with its body"),
        pytest.param(session(None), append(0, 1, 101), UploadTooLarge, id="DEFER-11"),
        pytest.param(session(None), append(0, 101), UploadTooLarge, id="DEFER-12"),
        pytest.param(session(None, 5), append(0, 9, 4), LengthConflict, id="400 before 409"),
        pytest.param(session(), append(3, 99), OffsetMismatch, id="409 before 413"),
        pytest.param(session(phase=Phase.ABANDONED), append(3, 99, 7), UploadNotFound, id="404"),
        pytest.param(
            session(),
            append(0, 7, finish=Finish.WITH_THIS),
            LengthConflict,
            id="the last body, but not at the end",
        ),
    ],
)
def test_no(before: UploadSession, command: Append, refusal: type[Refusal]) -> None:
    with pytest.raises(refusal):
        decide(before, command, LIMITS)


def create(length: int | None, announced: int | None = 0) -> Create:
    return Create(length=length, metadata={}, echo={}, content=Content(announced=announced))


@pytest.mark.parametrize(
    ("command", "refusal"),
    [
        pytest.param(create(101), UploadTooLarge, id="CREATE-09"),
        pytest.param(create(5, 6), BodyTooLong, id="CWU-07"),
        pytest.param(create(None, 101), UploadTooLarge, id="deferred with a huge body"),
    ],
)
def test_no_creation(command: Create, refusal: type[Refusal]) -> None:
    with pytest.raises(refusal):
        opened(command, "u", 0.0, LIMITS)


def test_creation_at_the_limits() -> None:
    assert opened(create(100), "u", 5.0, LIMITS).expires_at == 65.0
    assert opened(create(0), "u", 5.0, LIMITS).phase is Phase.SEALED
    assert opened(create(MAX_LENGTH), "u", 5.0, Limits()).length == MAX_LENGTH
    with pytest.raises(UploadTooLarge):
        opened(create(MAX_LENGTH + 1), "u", 5.0, Limits())


def test_a_receipt_is_given_once_and_only_to_a_sealed_session() -> None:
    first, second = Receipt("a"), Receipt("b")
    sealed = session(offset=10, phase=Phase.SEALED)
    finished = done(sealed, first, 1.0)
    assert finished.phase is Phase.DONE
    assert finished.expires_at is None
    assert done(finished, second, 2.0).receipt == first
    for phase in (Phase.OPEN, Phase.ABANDONED):
        with pytest.raises(StaleCommit):
            done(session(phase=phase), first, 1.0)


@pytest.mark.parametrize(
    ("before", "part"),
    [
        pytest.param(session(offset=4), Part(3, 6, 10, Finish.WHEN_FULL), id="overlaps"),
        pytest.param(session(), Part(0, 11, None, Finish.WHEN_FULL), id="beyond the end"),
        pytest.param(session(), Part(0, 4, 11, Finish.WHEN_FULL), id="another length"),
        pytest.param(session(phase=Phase.SEALED), Part(0, 4, 10, Finish.WHEN_FULL), id="sealed"),
        pytest.param(session(phase=Phase.ABANDONED), Part(0, 4, 10, Finish.NEVER), id="abandoned"),
    ],
)
def test_no_commit(before: UploadSession, part: Part) -> None:
    with pytest.raises(StaleCommit):
        committed(before, part, 1.0, LIMITS)


def test_a_commit_seals_only_a_full_session_that_may_finish() -> None:
    full = Part(0, 10, 10, Finish.WHEN_FULL)
    assert committed(session(None), full, 1.0, LIMITS).phase is Phase.SEALED
    assert committed(session(), replace(full, stop=9), 1.0, LIMITS).phase is Phase.OPEN
    assert committed(session(), replace(full, finish=Finish.NEVER), 1.0, LIMITS).is_full
    after = committed(session(), replace(full, finish=Finish.NEVER), 1.0, LIMITS)
    assert after.phase is Phase.OPEN


RANGES = RangeSet(((0, 5), (7, 9)))


@pytest.mark.parametrize(
    ("kind", "ranges"),
    [(Kind.WHOLE, RANGES), (Kind.PARTIAL, RANGES), (Kind.FINAL, RangeSet())],
)
@pytest.mark.parametrize("phase", [Phase.ABANDONED, Phase.OPEN])
def test_what_comes_back(kind: Kind, ranges: RangeSet, phase: Phase) -> None:
    before = replace(session(phase=phase), kind=kind, ranges=RANGES, expires_at=3.0, rate=1.0)
    after = recovered(before, 3.0, LIMITS)
    assert after == replace(
        before, phase=Phase.OPEN, ranges=ranges, updated_at=3.0, expires_at=63.0, rate=None
    )


@pytest.mark.parametrize("phase", [Phase.OPEN, Phase.SEALED, Phase.DONE])
def test_what_does_not_come_back(phase: Phase) -> None:
    before = replace(session(phase=phase), expires_at=3.1 if phase is Phase.OPEN else None)
    with pytest.raises(NotAbandoned) as caught:
        recovered(before, 3.0, LIMITS)
    assert caught.value.status == before.status


class Histories(RuleBasedStateMachine):
    """Requests of all kinds, sequential and not, against a bytearray and a mask."""

    SIZE = 40

    @initialize(length=st.none() | st.integers(0, SIZE))
    def create(self, length: int | None) -> None:
        self.now = 0.0
        self.limits = Limits(max_size=self.SIZE, expire_after=10.0, keep_abandoned=10.0)
        self.session = opened(create(length), "u", self.now, self.limits)
        self.length = length
        self.content = bytearray(self.SIZE + 1)
        self.mask = [False] * (self.SIZE + 1)
        self.writer = 0
        self.snapshot = self.session

    def store(self, start: int, stop: int) -> None:
        """What a store does: the bytes are overwritten whatever the catalog will say."""
        self.writer += 1
        for at in range(start, stop):
            if not self.mask[at]:
                self.content[at] = self.writer
                self.mask[at] = True

    @property
    def open(self) -> bool:
        return self.session.phase is Phase.OPEN

    @rule(
        at=st.integers(0, SIZE),
        here=st.booleans(),
        announced=st.none() | st.integers(0, SIZE + 2),
        declares=st.none() | st.integers(0, SIZE + 2),
        arrives=st.integers(0, SIZE),
    )
    def request(
        self, at: int, here: bool, announced: int | None, declares: int | None, arrives: int
    ) -> None:
        """A sequential request: decided on now, and committed as far as it arrives."""
        before = self.session
        command = append(before.offset if here else at, announced, declares)
        try:
            take = decide(before, command, self.limits)
        except Refusal:
            # A refusal is right exactly if the oracle sees a reason for it.
            known = before.length
            assert (
                before.phase is Phase.ABANDONED
                or command.at != before.offset
                or (declares is not None and declares != known and known is not None)
                or (declares is not None and declares < before.ranges.stop)
                or (declares is not None and declares > self.SIZE)
                or (
                    announced is not None
                    and command.at + announced > (known if known is not None else self.SIZE)
                )
                or (
                    announced is not None
                    and declares is not None
                    and command.at + announced > declares
                )
            )
            return
        assert before.phase is not Phase.ABANDONED
        assert take.start == before.offset
        stop = min(take.start + min(arrives, self.SIZE if announced is None else announced), 40)
        stop = min(stop, take.ceiling)
        if not self.open:
            assert take.start == take.ceiling == before.length
            return
        self.commit(take.start, stop, take.length)

    @rule(start=st.integers(0, SIZE), stop=st.integers(0, SIZE), length=st.none())
    def chunk(self, start: int, stop: int, length: None) -> None:
        """Bytes anywhere, as the chunk protocol brings them."""
        self.commit(min(start, stop), max(start, stop), length)

    def commit(self, start: int, stop: int, length: int | None) -> None:
        part = Part(start, stop, length, Finish.WHEN_FULL)
        stale = (
            not self.open
            or any(self.mask[start:stop])
            or (self.length is not None and stop > self.length)
        )
        try:
            after = committed(self.session, part, self.now, self.limits)
        except StaleCommit:
            assert stale
            return
        assert not stale
        self.snapshot = self.session
        self.session = after
        self.length = self.length if self.length is not None else length
        self.store(start, stop)

    @precondition(lambda self: self.snapshot.ranges != self.session.ranges)
    @rule()
    def stale_writer(self) -> None:
        """A writer that decided on an earlier session commits what it has: never twice."""
        start = self.snapshot.offset
        if self.session.offset > start:
            part = Part(start, start + 1, self.session.length, Finish.WHEN_FULL)
            with pytest.raises(StaleCommit):
                committed(self.session, part, self.now, self.limits)

    @rule(seconds=st.sampled_from([1.0, 11.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def sweep(self) -> None:
        expired = self.open and has_expired(self.session, self.now)
        try:
            self.session = abandoned(self.session, self.now, self.limits)
        except StaleCommit:
            assert not expired
        else:
            assert expired

    @rule()
    def recover(self) -> None:
        is_over = has_expired(self.session, self.now) or self.session.phase is Phase.ABANDONED
        before = self.session
        try:
            self.session = recovered(before, self.now, self.limits)
        except NotAbandoned:
            assert not is_over
        else:
            assert is_over
            assert self.open
            assert not has_expired(self.session, self.now)

    @rule()
    def finish(self) -> None:
        if self.session.phase is Phase.SEALED:
            self.session = done(self.session, Receipt("x"), self.now)

    @invariant()
    def agrees_with_the_oracle(self) -> None:
        if not hasattr(self, "session"):
            return
        runs = self.session.ranges
        inside = [any(a <= at < b for a, b in runs.runs) for at in range(self.SIZE + 1)]
        assert inside == self.mask
        missing = self.mask.index(False)
        assert self.session.offset == missing
        assert self.session.length == self.length
        full = self.length is not None and all(self.mask[: self.length])
        assert self.session.is_full == full
        if self.session.phase in (Phase.SEALED, Phase.DONE):
            assert full
        assert has_expired(replace(self.session, phase=Phase.DONE), 1e9) is False


Histories.TestCase.settings = settings(max_examples=200, stateful_step_count=30, deadline=None)
TestHistories = Histories.TestCase
