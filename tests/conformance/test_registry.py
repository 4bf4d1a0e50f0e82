"""The list of cases: whole, in order, and each with what a report needs."""

from __future__ import annotations

import re

import pytest

from conformance import generic
from conformance.model import GROUPS, Level
from conformance.registry import Case, case, cases, selected
from conformance.trial import Trial
from conformance.untested import UNTESTED

# The rows of the specification's list: prefix, and how many there are, from 1 on.
SPECIFIED = {
    "CORE-GEN": 5,
    "CORE": 14,
    "HEAD": 13,
    "PATCH": 25,
    "OVR": 7,
    "CREATE": 19,
    "META": 16,
    "CWU": 14,
    "DEFER": 16,
    "EXP": 10,
    "CSUM": 14,
    "TRAIL": 7,
    "TERM": 9,
    "CONC": 25,
    "UNFIN": 7,
    "LOCK": 5,
    "CORS": 10,
}


def _specified() -> set[str]:
    return {
        f"{prefix}-{number}" if prefix == "CORE-GEN" else f"{prefix}-{number:02}"
        for prefix, count in SPECIFIED.items()
        for number in range(1, count + 1)
    }


def test_every_row_of_the_specification_is_tested_or_told_why_not() -> None:
    tested = {each.row.id for each in cases()} | {row.id for row in generic.ROWS}
    assert _specified() - tested - set(UNTESTED) == set(), "neither tested nor in untested.py"
    assert tested - _specified() == set(), "not in the specification's list"
    assert set(UNTESTED) - _specified() == set(), "not in the specification's list"
    assert tested & set(UNTESTED) == set(), "tested, and said not to be"


def test_few_rows_are_not_tested() -> None:
    assert len(UNTESTED) <= 20
    assert all(re.match(r"[a-z]", reason) for reason in UNTESTED.values())


def test_the_order_is_that_of_the_specification() -> None:
    prefixes = [each.row.id.rpartition("-")[0] for each in cases()]
    assert list(dict.fromkeys(prefixes)) == [name for name in SPECIFIED if name != "CORE-GEN"]
    for prefix in set(prefixes):
        numbers = [int(c.row.id[-2:]) for c in cases() if c.row.id.rpartition("-")[0] == prefix]
        assert numbers == sorted(numbers)


@pytest.mark.parametrize("each", cases(), ids=lambda each: each.row.id)
def test_a_row_says_what_a_report_needs(each: Case) -> None:
    assert each.row.group in GROUPS.values()
    assert each.row.section
    assert len(each.row.text) > 20
    assert each.row.text.endswith(".")
    assert not each.row.text.startswith("Test")
    for extension in (each.needs, each.without):
        assert extension is None or extension in GROUPS.values()


def test_two_cases_for_one_row_are_refused() -> None:
    def sample(trial: Trial) -> None:
        """A sentence."""

    with pytest.raises(ValueError, match="two cases for CORE-07"):
        case("CORE-07", Level.MUST, "Requests / OPTIONS")(sample)


def test_a_case_without_a_sentence_is_refused() -> None:
    with pytest.raises(ValueError, match="CORE-99 has no sentence"):
        case("CORE-99", Level.MUST, "Requests / OPTIONS")(lambda trial: None)
    assert "CORE-99" not in {each.row.id for each in cases()}


@pytest.mark.parametrize(
    ("only", "skip", "rows"),
    [
        ([], [], {"PATCH-01", "PATCH-02", "HEAD-01"}),
        (["PATCH-*"], [], {"PATCH-01", "PATCH-02"}),
        (["PATCH-*", "HEAD-01"], [], {"PATCH-01", "PATCH-02", "HEAD-01"}),
        (["PATCH-*"], ["*-02"], {"PATCH-01"}),
        ([], ["PATCH-0[12]"], {"HEAD-01"}),
        (["PATCH"], [], set()),
    ],
)
def test_rows_are_selected_by_pattern(only: list[str], skip: list[str], rows: set[str]) -> None:
    known = ("PATCH-01", "PATCH-02", "HEAD-01")
    assert {row for row in known if selected(row, only, skip)} == rows


@pytest.mark.parametrize(
    ("needs", "without", "extensions", "why"),
    [
        (None, None, [], ""),
        ("checksum", None, ["checksum"], ""),
        ("checksum", None, ["checksum-trailer"], "checksum is not advertised"),
        (None, "checksum", [], ""),
        (None, "checksum", ["checksum"], "checksum is advertised"),
    ],
)
def test_a_row_applies_or_not(
    needs: str | None, without: str | None, extensions: list[str], why: str
) -> None:
    (first, *_) = cases()
    each = Case(row=first.row, run=first.run, needs=needs, without=without, slow=False)
    assert each.inapplicable(extensions) == why
