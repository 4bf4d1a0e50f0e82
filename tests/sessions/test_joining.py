from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tusjumbo.errors import PartUnusable, StaleCommit, UploadIsFinal, UploadTooLarge
from tusjumbo.sessions import joining, rules
from tusjumbo.sessions.commands import Append, Content, Create, Finish, Join
from tusjumbo.sessions.ranges import RangeSet
from tusjumbo.sessions.rules import Limits, Part
from tusjumbo.sessions.session import Kind, Phase, UploadSession

NOW = 100.0
LIMITS = Limits(max_size=10_000, expire_after=50.0)
COMMAND = Join(parts=("a", "b", "a"), metadata={"k": b"v"}, echo={"x": "y"})


def part(upload_id: str, length: int | None, at: int | None = None) -> UploadSession:
    """Full unless `at` says otherwise."""
    return UploadSession(
        id=upload_id,
        created_at=0.0,
        updated_at=0.0,
        length=length,
        ranges=RangeSet().add(0, (length or 0) if at is None else at),
        expires_at=NOW + 1,
        kind=Kind.PARTIAL,
    )


A, B = part("a", 3), part("b", 4)
FOUND = {"a": A, "b": B}


def test_a_final_session_is_pending_and_has_nothing_of_its_parts() -> None:
    session = joining.joined(COMMAND, "f", FOUND, NOW, LIMITS)
    assert session == UploadSession(
        id="f",
        created_at=NOW,
        updated_at=NOW,
        metadata={"k": b"v"},
        echo={"x": "y"},
        expires_at=NOW + 50.0,
        kind=Kind.FINAL,
        parts=("a", "b", "a"),
    )
    assert session.is_pending
    assert session.due_at == NOW, "the sweep looks at it"


@pytest.mark.parametrize(
    ("bad", "at_creation", "later"),
    [
        pytest.param(None, True, True, id="unknown"),
        pytest.param(replace(B, phase=Phase.ABANDONED), True, True, id="set aside"),
        pytest.param(replace(B, kind=Kind.WHOLE), True, True, id="whole"),
        pytest.param(replace(B, kind=Kind.WHOLE, phase=Phase.DONE), True, True, id="finished"),
        pytest.param(replace(B, kind=Kind.FINAL), True, True, id="final"),
        pytest.param(replace(part("b", 4, 2), expires_at=NOW), True, True, id="expired"),
        pytest.param(replace(B, expires_at=NOW), True, False, id="full and expired"),
        pytest.param(part("b", 4, 2), False, False, id="unfinished"),
        pytest.param(part("b", None, 2), False, False, id="deferred"),
        pytest.param(replace(B, expires_at=None), False, False, id="never expires"),
    ],
)
def test_what_can_be_joined(bad: UploadSession | None, at_creation: bool, later: bool) -> None:
    found = {"a": A} | ({"b": bad} if bad else {})
    session = replace(joining.joined(COMMAND, "f", FOUND, NOW, LIMITS))
    for refused, look in (
        (at_creation, lambda: joining.joined(COMMAND, "f", found, NOW, LIMITS)),
        (later, lambda: joining.parts_of(session, found, NOW, LIMITS)),
    ):
        if refused:
            with pytest.raises(PartUnusable) as caught:
                look()
            assert caught.value.part == "b"
        else:
            look()


def test_a_limit_is_one_for_the_sum_of_what_is_known() -> None:
    limits = Limits(max_size=10)
    joining.joined(COMMAND, "f", FOUND, NOW, limits)
    for found in (FOUND | {"b": part("b", 5)}, FOUND | {"b": part("b", 5, 0)}):
        with pytest.raises(UploadTooLarge) as caught:
            joining.joined(COMMAND, "f", found, NOW, limits)
        assert caught.value.max_size == 10
    joining.joined(COMMAND, "f", FOUND | {"b": part("b", None, 9)}, NOW, limits)
    with pytest.raises(UploadTooLarge):  # file offsets end somewhere
        joining.joined(COMMAND, "f", FOUND | {"a": part("a", 2**62)}, NOW, Limits())


lengths = st.none() | st.integers(0, 60)
parts_of_any_state = st.lists(
    st.tuples(lengths, st.integers(0, 60)).map(
        lambda pair: part("p", pair[0], pair[1] if pair[0] is None else min(pair[0], pair[1]))
    ),
    max_size=6,
)


@given(parts_of_any_state)
def test_it_is_ready_when_every_byte_is_there(parts: list[UploadSession]) -> None:
    known = [p.length for p in parts if p.length is not None]
    assert joining.length_of(parts) == (sum(known) if len(known) == len(parts) else None)
    assert joining.is_ready(parts) == all(p.length == p.offset for p in parts)


@given(st.lists(st.integers(0, 40), max_size=6), st.integers(1, 15), st.integers(0, 300))
def test_pieces_are_what_is_missing_in_order(sizes: list[int], size: int, offset: int) -> None:
    contents = {f"p{n}": bytes([n]) * length for n, length in enumerate(sizes)}
    parts = [part(name, len(content)) for name, content in contents.items()]
    whole = b"".join(contents.values())
    offset = min(offset, len(whole))
    made = bytearray(whole[:offset])
    for piece in joining.pieces(offset, parts, size):
        assert 0 < piece.stop - piece.start <= size
        assert piece.at == len(made)
        made += contents[piece.part.id][piece.start : piece.stop]
    assert made == whole


@given(st.lists(st.integers(0, 1000), max_size=6), st.lists(st.integers(0, 6000), max_size=5))
def test_committed_at_any_places_it_ends_sealed(sizes: list[int], stops: list[int]) -> None:
    parts = [part("a", length) for length in sizes]
    length = sum(sizes)
    session = replace(joining.joined(COMMAND, "f", FOUND, NOW, LIMITS))
    for stop in sorted({min(stop, length) for stop in stops} | {length}):
        assert session.is_pending
        step = Part(session.offset, stop, joining.length_of(parts), Finish.WHEN_FULL)
        session = rules.committed(session, step, NOW, LIMITS)
    assert (session.phase, session.length, session.offset) == (Phase.SEALED, length, length)


# --- what is different for the kinds -------------------------------------------------------------


@pytest.mark.parametrize("length", [0, 5])
def test_a_part_that_is_full_stays_open(length: int) -> None:
    command = Create(length=length, metadata={}, echo={}, kind=Kind.PARTIAL)
    session = rules.opened(command, "a", NOW, LIMITS)
    assert (session.kind, session.phase) == (Kind.PARTIAL, Phase.OPEN)
    for stop in (length, length):
        step = Part(session.offset, stop, length, Finish.WHEN_FULL)
        session = rules.committed(session, step, NOW, LIMITS)
        assert (session.is_full, session.phase) == (True, Phase.OPEN)
    assert session.expires_at == session.due_at == NOW + 50.0
    assert not session.is_pending


@pytest.mark.parametrize("finish", Finish)
@pytest.mark.parametrize("kind", Kind)
def test_what_ends_by_being_full(kind: Kind, finish: Finish) -> None:
    session = replace(A, kind=kind)
    assert rules.seals(session, finish) == (kind is not Kind.PARTIAL and finish is not Finish.NEVER)


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase not in rules.GONE])
@pytest.mark.parametrize("at", [0, 3, 9])
@pytest.mark.parametrize("announced", [None, 0, 5])
def test_a_final_session_takes_nothing(phase: Phase, at: int, announced: int | None) -> None:
    session = replace(A, kind=Kind.FINAL, phase=phase)
    command = Append(id="a", at=at, content=Content(announced=announced), declares=7)
    with pytest.raises(UploadIsFinal):
        rules.decide(session, command, LIMITS)


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("kind", Kind)
def test_only_what_is_pending_is_looked_at(kind: Kind, phase: Phase) -> None:
    session = replace(A, kind=kind, phase=phase)
    if kind is Kind.FINAL and phase is Phase.OPEN:
        assert joining.looked_at(session, 7.0) == replace(session, updated_at=7.0)
        return
    with pytest.raises(StaleCommit):
        joining.looked_at(session, 7.0)


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("at", [2, 3])
def test_only_full_parts_are_spared(kind: Kind, phase: Phase, at: int) -> None:
    session = replace(part("a", 3, at), kind=kind, phase=phase)
    if kind is Kind.PARTIAL and phase is Phase.OPEN and at == 3:
        assert joining.spared(session, NOW, LIMITS) == replace(session, expires_at=NOW + 50.0)
        return
    with pytest.raises(StaleCommit):
        joining.spared(session, NOW, LIMITS)
