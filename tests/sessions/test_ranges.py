"""RangeSet against an oracle: a bytearray with one byte for each byte that can be in."""

from __future__ import annotations

from itertools import groupby

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tusjumbo.sessions.ranges import RangeSet

SIZE = 12

Spans = list[tuple[int, int]]

points = st.integers(0, SIZE)
spans = st.tuples(points, points).map(lambda pair: (min(pair), max(pair)))
histories = st.lists(spans, max_size=12)


def built(history: Spans) -> tuple[RangeSet, bytearray]:
    ranges, mask = RangeSet(), bytearray(SIZE)
    for start, stop in history:
        ranges = ranges.add(start, stop)
        mask[start:stop] = b"\1" * (stop - start)
    return ranges, mask


def runs(mask: bytearray, value: int, start: int = 0, stop: int = SIZE) -> Spans:
    """The runs of `value` in `mask[start:stop]`."""
    found: Spans = []
    for is_value, positions in groupby(range(start, stop), lambda at: mask[at] == value):
        if is_value:
            run = list(positions)
            found.append((run[0], run[-1] + 1))
    return found


@given(histories)
def test_a_set_is_its_bytes_in_one_spelling(history: Spans) -> None:
    ranges, mask = built(history)
    assert list(ranges.runs) == runs(mask, 1)
    assert ranges == built(history[::-1])[0]
    assert hash(ranges) == hash(built(history[::-1])[0])


@given(histories)
def test_sums_and_ends(history: Spans) -> None:
    ranges, mask = built(history)
    assert ranges.total == sum(mask)
    assert ranges.stop == mask.rfind(1) + 1
    assert ranges.prefix == (mask + b"\0").find(0)


@given(histories, points)
@example([(0, 4), (5, 9)], 9)
@example([(0, 9)], 4)
@example([], 0)
def test_bytes_fill_a_length_that_is_known(history: Spans, length: int) -> None:
    ranges, mask = built(history)
    assert ranges.fill(length) == all(mask[:length])
    assert not ranges.fill(None)


@given(histories, spans)
@example([(1, 2)], (0, 1))
@example([(1, 2)], (2, 3))
@example([(1, 2), (4, 5)], (2, 4))
def test_questions_about_a_span(history: Spans, span: tuple[int, int]) -> None:
    ranges, mask = built(history)
    start, stop = span
    assert ranges.covers(start, stop) == all(mask[start:stop])
    assert ranges.overlaps(start, stop) == any(mask[start:stop])
    assert list(ranges.missing(start, stop)) == runs(mask, 0, start, stop)


@given(histories, spans)
def test_adding_changes_nothing_else(history: Spans, span: tuple[int, int]) -> None:
    ranges, _ = built(history)
    before = ranges.runs
    after = ranges.add(*span)
    assert ranges.runs == before
    assert after.covers(*span)
    assert after.add(*span) == after
    assert all(after.covers(start, stop) for start, stop in ranges.runs)


@given(histories)
def test_text_reads_back(history: Spans) -> None:
    ranges, _ = built(history)
    assert RangeSet.parse(str(ranges)) == ranges


@given(st.lists(st.integers(0, 2**70), unique=True, max_size=8).map(sorted))
def test_offsets_beyond_machine_integers_keep_their_value(ends: list[int]) -> None:
    ranges = RangeSet()
    for start, stop in zip(ends[::2], ends[1::2], strict=False):
        ranges = ranges.add(start, stop)
    assert RangeSet.parse(str(ranges)) == ranges
    assert ranges.total == sum(
        stop - start for start, stop in zip(ends[::2], ends[1::2], strict=False)
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", ()), ("0-5", ((0, 5),)), ("0-5,10-20", ((0, 5), (10, 20)))],
    ids=["empty", "one", "two"],
)
def test_the_spelling(text: str, expected: tuple[tuple[int, int], ...]) -> None:
    assert RangeSet.parse(text) == RangeSet(expected)
    assert str(RangeSet(expected)) == text


@pytest.mark.parametrize(
    "text",
    [
        *("5", "0-", "-5", "0-5,", ",0-5", "0-5,,6-7", "0-5;6-7", " 0-5", "0-5\n", "+0-5"),
        *("a-b", "\u0660-\u0665", "0-0", "5-3", "0-5,5-7", "0-5,3-7", "6-7,0-5"),
    ],
    ids=ascii,
)
def test_what_str_would_not_write_is_not_read(text: str) -> None:
    with pytest.raises(ValueError, match="not a"):
        RangeSet.parse(text)


@given(st.text("0123456789-,", max_size=12))
def test_reading_is_strict(text: str) -> None:
    try:
        ranges = RangeSet.parse(text)
    except ValueError:
        return
    assert str(ranges) == text


@pytest.mark.parametrize(("start", "stop"), [(-1, 5), (5, 4), (-2, -1)])
def test_what_is_no_range_is_refused(start: int, stop: int) -> None:
    with pytest.raises(ValueError, match="not a range"):
        RangeSet().add(start, stop)


@pytest.mark.parametrize(
    "wrong",
    [((-1, 5),), ((5, 5),), ((5, 4),), ((0, 5), (5, 6)), ((0, 5), (4, 6)), ((6, 7), (0, 5))],
    ids=str,
)
def test_runs_are_valid_by_construction(wrong: tuple[tuple[int, int], ...]) -> None:
    with pytest.raises(ValueError, match="sorted list of separate runs"):
        RangeSet(wrong)
