"""Text for terminals: what is rounded, and what cannot pass."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tusjumbo.cli import text


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("video.mp4", "video.mp4"),
        ("Müller 文件 😀.txt", "Müller 文件 😀.txt"),
        ("a\x1b[31mred", r"a\x1b[31mred"),
        ("a\r\nb\tc", r"a\r\nb\tc"),
        ("a\x00b\x7f", r"a\x00b\x7f"),
        ("fdp.exe\u202egpj", r"fdp.exe\u202egpj"),
        ("a\u2028b\x85c", r"a\u2028b\x85c"),
        ("a\udc80b", r"a\udc80b"),
        ("C:\\x1b", "C:\\x1b"),
    ],
    ids=ascii,
)
def test_what_cannot_be_seen_is_spelled_out(hostile: str, shown: str) -> None:
    assert text.printable(hostile) == shown


@given(st.text(st.characters()))
def test_nothing_invisible_passes(anything: str) -> None:
    shown = text.printable(anything)
    assert not [char for char in shown if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl")]


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (102_399, "99.9 KiB"),
        (102_400, "100 KiB"),
        (1024**2 - 1, "1023 KiB"),
        (5 * 1024**2, "5.0 MiB"),
        (640 * 1024**3, "640 GiB"),
        (2**63 - 1, "7.9 EiB"),
        (2**75, "32768 EiB"),
    ],
)
def test_sizes(count: int, shown: str) -> None:
    assert text.size(count) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-5, "0s"),
        (0, "0s"),
        (59.9, "59s"),
        (60, "1m"),
        (3599, "59m"),
        (7200, "2h"),
        (864e4, "100d"),
    ],
)
def test_spans(seconds: float, shown: str) -> None:
    assert text.span(seconds) == shown


def test_moments_are_utc() -> None:
    assert text.moment(0) == "1970-01-01T00:00:00Z"
    assert text.moment(1_790_000_000.9) == "2026-09-21T14:13:20Z"


def test_a_table_is_aligned_and_ends_with_its_text() -> None:
    rows = [("NAME", "SIZE", "NOTE"), ("a", "1", "x y"), ("long", "1000", "")]
    assert list(text.table(rows, numbers=(1,))) == [
        "NAME  SIZE  NOTE",
        "a        1  x y",
        "long  1000",
    ]
