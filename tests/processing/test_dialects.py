"""Dialects: valid by construction, and guessed only from what is there."""

from __future__ import annotations

import csv

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tusjumbo.errors import ConfigurationError
from tusjumbo.processing.dialects import Dialect, guessed


@pytest.mark.parametrize(
    ("dialect", "line", "fields"),
    [
        (Dialect(), 'a,"b,c","d""e",f"g', ["a", "b,c", 'd"e', 'f"g']),
        (Dialect(";"), "a,b;c", ["a,b", "c"]),
        (Dialect("\t", "'"), "'a\tb'\tc\"", ["a\tb", 'c"']),
        (Dialect(quote=None), '"a,b"', ['"a', 'b"']),
        (Dialect(quote=None, escape="\\"), r"a\,b,c\\", ["a,b", "c\\"]),
        (Dialect("€", "ß"), "ßa€bß€c", ["a€b", "c"]),
        (Dialect(" "), "a b", ["a", "b"]),
    ],
    ids=str,
)
def test_what_a_dialect_means(dialect: Dialect, line: str, fields: list[str]) -> None:
    assert list(csv.reader([line], **dialect.of_csv())) == [fields]


@pytest.mark.parametrize(
    ("setting", "values"),
    [
        ("delimiter", {"delimiter": ""}),
        ("delimiter", {"delimiter": "::"}),
        ("delimiter", {"delimiter": None}),
        ("delimiter", {"delimiter": "\n"}),
        ("delimiter", {"delimiter": b","}),
        ("quote", {"quote": "\r"}),
        ("quote", {"quote": ","}),
        ("quote", {"quote": ""}),
        ("escape", {"escape": '"'}),
        ("escape", {"escape": "\0"}),
    ],
    ids=str,
)
def test_no_dialect(setting: str, values: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match=f"^{setting}: "):
        Dialect(**values)


CHARACTERS = st.none() | st.text(max_size=1)


@given(st.text(min_size=1, max_size=1), CHARACTERS, CHARACTERS)
def test_the_parser_takes_every_dialect(
    delimiter: str, quote: str | None, escape: str | None
) -> None:
    try:
        dialect = Dialect(delimiter, quote, escape)
    except ConfigurationError:
        return
    assert list(csv.reader([""], **dialect.of_csv())) == [[]]


@pytest.mark.parametrize(
    ("text", "delimiter"),
    [
        ("", ","),
        ("alone\nalone\n", ","),
        ("a,b\n1,2\n", ","),
        ("a;b;c\n1,5;2,5;x\n", ";"),
        ("a\tb\n1,1\t2\n", "\t"),
        ("a|b\n1|2\n", "|"),
        ("a,b;c\n1,2;x\n2;y\n", ";"),
        ("a,b,c;d\n1,2,3\n4,5,6\n", ","),
        ('"a;b",c\n"d;e",f\n', ","),
        ("\n\na;b\n1;2\n", ";"),
        ('a;b\n1;"open', ";"),
    ],
)
def test_a_guess(text: str, delimiter: str) -> None:
    assert guessed(text.splitlines(keepends=True)) == Dialect(delimiter)
