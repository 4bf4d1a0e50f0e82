"""Dialects: valid by construction, and guessed only from what is there."""

from __future__ import annotations

import csv
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tusjumbo.errors import ConfigurationError
from tusjumbo.processing.dialects import Dialect, guessed, of_module


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
        (Dialect(skips_spaces=True), 'a, "b,c",  d', ["a", "b,c", "d"]),
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
        ("skips_spaces", {"delimiter": " ", "skips_spaces": True}),
    ],
    ids=str,
)
def test_no_dialect(setting: str, values: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=f"^{setting}: "):
        Dialect(**values)


CHARACTERS = st.none() | st.text(max_size=1)


@given(st.text(min_size=1, max_size=1), CHARACTERS, CHARACTERS, st.booleans())
@example(",", " ", None, True)
def test_the_parser_takes_every_dialect(
    delimiter: str, quote: str | None, escape: str | None, skips_spaces: bool
) -> None:
    try:
        dialect = Dialect(delimiter, quote, escape, skips_spaces)
    except ConfigurationError:
        return
    assert list(csv.reader([""], **dialect.of_csv())) == [[]]


class Bars(csv.Dialect):
    delimiter = "|"
    quoting = csv.QUOTE_NONE
    escapechar = "\\"
    lineterminator = "\n"


@pytest.mark.parametrize(
    ("dialect", "ours"),
    [
        ("excel", Dialect()),
        ("excel-tab", Dialect("\t")),
        (csv.unix_dialect, Dialect()),
        (csv.excel_tab(), Dialect("\t")),
        (Bars, Dialect("|", None, "\\")),
        (csv.Sniffer().sniff("a; 'b'; c\n1; '2'; 3\n"), Dialect(";", "'", None, True)),
    ],
    ids=["name", "name with tabs", "class", "object", "no quotes", "sniffed"],
)
def test_dialects_of_the_csv_module(
    dialect: str | csv.Dialect | type[csv.Dialect], ours: Dialect
) -> None:
    assert of_module(dialect) == ours


@pytest.mark.parametrize("dialect", ["word", csv.Dialect, type("D", (), {"delimiter": "::"})])
def test_no_dialect_of_the_csv_module(dialect: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^dialect: "):
        of_module(dialect)


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
