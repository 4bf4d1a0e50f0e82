"""Tables: the right rows, every other one told apart with its place, however the bytes were cut."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.processing.test_lines import PLACES, cut, physical
from tests.processing.test_pieces import Upload
from tusjumbo.errors import ConfigurationError
from tusjumbo.processing import tables
from tusjumbo.processing.dialects import Dialect
from tusjumbo.processing.feed import Feed
from tusjumbo.processing.pieces import of_file
from tusjumbo.processing.tables import (
    RFC_4180,
    SAMPLE,
    BadRow,
    Fault,
    Layout,
    Row,
    TableUnreadable,
    batches,
    column_names,
    stream,
)


@dataclass
class Read:
    rows: list[tuple[str, ...]]
    bad: list[BadRow]

    @property
    def places(self) -> list[tuple[int, int, Fault]]:
        return [(bad.line, bad.last_line, bad.fault) for bad in self.bad]


def read(pieces: Iterable[bytes], layout: Layout = RFC_4180, size: int = 3) -> Read:
    bad: list[BadRow] = []
    rows: list[Row] = []
    for batch in batches(pieces, size, layout=layout, on_error=bad.append):
        assert 0 < len(batch) <= size
        rows += batch
    return Read([tuple(row.values()) for row in rows], bad)


def outcome(pieces: list[bytes], layout: Layout) -> Read | str:
    try:
        return read(pieces, layout)
    except TableUnreadable as error:
        return str(error)


@contextmanager
def field_limit(limit: int) -> Iterator[None]:
    before = csv.field_size_limit(limit)
    try:
        yield
    finally:
        csv.field_size_limit(before)


# --- nasty files ---------------------------------------------------------------------------------

SMALL = Layout(longest_row=20)
F = Fault

# What follows the header "a,b\n", the rows, the bad rows with the lines they take, the layout.
NASTY: list[tuple[str, bytes, list[tuple[str, str]], list[tuple[int, int, Fault, str]], Layout]] = [
    ("nothing", b"", [], [], RFC_4180),
    ("no end", b"1,2", [("1", "2")], [], RFC_4180),
    ("crlf", b"1,2\r\n3,4\r\n", [("1", "2"), ("3", "4")], [], RFC_4180),
    ("cr", b"1,2\r3,4\r", [("1", "2"), ("3", "4")], [], RFC_4180),
    ("mixed ends", b"1,2\r3,4\n5,6\r\n", [("1", "2"), ("3", "4"), ("5", "6")], [], RFC_4180),
    ("blank lines", b"\n\r\n1,2\n\n\n", [("1", "2")], [], RFC_4180),
    ("empty fields", b',\n"",""\n', [("", ""), ("", "")], [], RFC_4180),
    ("spaces stay", b' 1 ," 2"\n', [(" 1 ", " 2")], [], RFC_4180),
    ("quoted ends", b'"1\r\n\r\n\n",2\n', [("1\r\n\r\n\n", "2")], [], RFC_4180),
    ("quoted quotes", b'"""1""",""""\n', [('"1"', '"')], [], RFC_4180),
    ("quote within", b'1"1,2"\n', [('1"1', '2"')], [], RFC_4180),
    (
        "other ends",
        "1\x0b\x1c\x85,2\u2028\n".encode(),
        [("1\x0b\x1c\x85", "2\u2028")],
        [],
        RFC_4180,
    ),
    ("too few", b"1\n2,3\n", [("2", "3")], [(2, 2, F.TOO_FEW, "1\n")], RFC_4180),
    ("too many", b"1,2,3\n4,5\n", [("4", "5")], [(2, 2, F.TOO_MANY, "1,2,3\n")], RFC_4180),
    ("spaces", b"  \n", [], [(2, 2, F.TOO_FEW, "  \n")], RFC_4180),
    (
        "after quoted ends",
        b'"1\n\n",2\n3\n4,5\n',
        [("1\n\n", "2"), ("4", "5")],
        [(5, 5, F.TOO_FEW, "3\n")],
        RFC_4180,
    ),
    ("long bad row", b'"\n\r\n\r"\n', [], [(2, 5, F.TOO_FEW, '"\n\r\n\r"\n')], RFC_4180),
    (
        "beside a quote",
        b'"1"x,2\n3,4\n',
        [("3", "4")],
        [(2, 2, F.QUOTES, '"1"x,2\n')],
        RFC_4180,
    ),
    (
        "beside a quote, lines later",
        b'1,"2\n3,4\n5,"6\n7,8\n',
        [("7", "8")],
        [(2, 4, F.QUOTES, '1,"2\n3,4\n5,"6\n')],
        RFC_4180,
    ),
    (
        "unclosed",
        b'1,2\n3,"4\n5,6\n',
        [("1", "2")],
        [(3, 4, F.UNCLOSED, '3,"4\n5,6\n')],
        RFC_4180,
    ),
    ("unclosed, no end", b'"', [], [(2, 2, F.UNCLOSED, '"')], RFC_4180),
    (
        "undecodable",
        b"1,\xff\n2,\xe2\x82\n3,4\n",
        [("3", "4")],
        [(2, 2, F.UNDECODABLE, "1,\\xff\n"), (3, 3, F.UNDECODABLE, "2,\\xe2\\x82\n")],
        RFC_4180,
    ),
    ("cut character", b"1,\xe2\x82", [], [(2, 2, F.UNDECODABLE, "1,\\xe2\\x82")], RFC_4180),
    ("literal \\xff", b"1,\\xff\n", [("1", "\\xff")], [], RFC_4180),
    ("nul", b"1,\0\n2,3\n", [("2", "3")], [(2, 2, F.NUL, "1,\0\n")], RFC_4180),
    ("undecodable and short", b"\xff\n", [], [(2, 2, F.UNDECODABLE, "\\xff\n")], RFC_4180),
    ("nul and unclosed", b'"\0\n', [], [(2, 2, F.NUL, '"\0\n')], RFC_4180),
    (
        "long line",
        b"1," + b"x" * 30 + b"\n3,4\n",
        [("3", "4")],
        [(2, 2, F.OVERSIZED, "1," + "x" * 18)],
        SMALL,
    ),
    ("just not too long", b"1," + b"x" * 17 + b"\n", [("1", "x" * 17)], [], SMALL),
    (
        "just too long",
        b"1," + b"x" * 18 + b"\n",
        [],
        [(2, 2, F.OVERSIZED, "1," + "x" * 18)],
        SMALL,
    ),
    (
        "long line with a quote",
        b'1,"' + b"x" * 30 + b'"\n3,4\n',
        [("3", "4")],
        [(2, 2, F.OVERSIZED, '1,"' + "x" * 17)],
        SMALL,
    ),
    (
        "long quote",
        b'1,"' + b"3,4\n" * 5 + b'5"\n6,7\n',
        [("6", "7")],
        [(2, 6, F.OVERSIZED, '1,"' + "3,4\n" * 4 + "3"), (7, 7, F.TOO_FEW, '5"\n')],
        SMALL,
    ),
    (
        "long quote, never closed",
        b'1,"2\n' + b"3,4\n" * 5,
        [("3", "4")],
        [(2, 6, F.OVERSIZED, '1,"2\n' + "3,4\n" * 3 + "3,4")],
        SMALL,
    ),
    (
        "undecodable, lines before",
        b'1,"\xff\n2\n"\n3,4\n',
        [("3", "4")],
        [(2, 4, F.UNDECODABLE, '1,"\\xff\n2\n"\n')],
        RFC_4180,
    ),
    (
        "long quote, just not too long before",
        b'1,"4567\n9abcd\n56789\n0\n1"\n3,4\n',
        [("3", "4")],
        [(2, 5, F.OVERSIZED, '1,"4567\n9abcd\n56789\n'), (6, 6, F.TOO_FEW, '1"\n')],
        SMALL,
    ),
    (
        "tabs",
        b"1,2\n1\t2\n'1\t2'\t\n",
        [("1", "2"), ("1\t2", "")],
        [(2, 2, F.TOO_FEW, "1,2\n")],
        Layout(dialect=Dialect("\t", "'")),
    ),
    (
        "escapes",
        b"1\\,2,\\\n3\n",
        [("1,2", "\n3")],
        [],
        Layout(dialect=Dialect(quote=None, escape="\\")),
    ),
]


@pytest.mark.parametrize(
    ("content", "rows", "bad", "layout"),
    [row[1:] for row in NASTY],
    ids=[row[0] for row in NASTY],
)
@pytest.mark.parametrize("step", [1, 2, 3, 1000])
def test_nasty_files(
    content: bytes,
    rows: list[tuple[str, str]],
    bad: list[tuple[int, int, Fault, str]],
    layout: Layout,
    step: int,
) -> None:
    delimiter = (layout.dialect or Dialect()).delimiter.encode()
    data = b"a" + delimiter + b"b\n" + content
    found = read([data[at : at + step] for at in range(0, len(data), step)], layout)
    assert found.rows == rows
    assert [(one.line, one.last_line, one.fault, one.raw) for one in found.bad] == bad
    assert all(one.problem.endswith(".") for one in found.bad)


def test_a_field_beyond_the_limit_of_the_process() -> None:
    with field_limit(10):
        found = read([b"a,b\n1,12345678901\n2,3\n"])
    assert found.rows == [("2", "3")]
    assert found.places == [(2, 2, Fault.OVERSIZED)]
    assert "csv.field_size_limit" in found.bad[0].problem


def test_the_process_keeps_its_limit() -> None:
    before = csv.field_size_limit()
    read([b"a,b\n1,2\n"], Layout(longest_row=10 * before))
    assert csv.field_size_limit() == before


# --- any cut ------------------------------------------------------------------------------------

ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-be", "utf-32-le", "cp1252", "cp437"]
FIELDS = st.text(st.sampled_from("ab ,;\"'\r\n\\\x0b\x1cé"), max_size=6)


def written(rows: Sequence[Sequence[str]], dialect: Dialect, end: str) -> str:
    """As any other program might: quotes where they are needed."""

    def field(text: str) -> str:
        if not text or set(text) & {dialect.delimiter, dialect.quote, "\r", "\n"}:
            quote = dialect.quote or ""
            return quote + text.replace(quote, 2 * quote) + quote
        return text

    return "".join(dialect.delimiter.join(map(field, row)) + end for row in rows)


@given(
    st.integers(1, 4).flatmap(
        lambda width: st.lists(st.lists(FIELDS, min_size=width, max_size=width), max_size=8)
    ),
    st.sampled_from([Dialect(), Dialect(";"), Dialect("\\", "'")]),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(ENCODINGS),
    PLACES,
    st.integers(1, 4),
)
def test_rows_come_back(
    rows: list[list[str]],
    dialect: Dialect,
    end: str,
    encoding: str,
    places: list[int],
    size: int,
) -> None:
    names = [f"column {n}" for n in range(len(rows[0]) if rows else 1)]
    data = written([names, *rows], dialect, end).encode(encoding, "replace")
    rows = [[text.encode(encoding, "replace").decode(encoding) for text in row] for row in rows]
    marked = encoding in ("utf-8-sig", "utf-16", "utf-32")
    layout = Layout(encoding=None if marked else encoding, dialect=dialect)
    found = read(cut(data, places), layout, size)
    assert found == Read([tuple(row) for row in rows], [])


NASTY_TEXT = st.text(st.sampled_from('ab,,""\n\n\r\0\udcff'), max_size=60)


@given(NASTY_TEXT, PLACES, st.sampled_from([5, 12, 1000]))
@example('a","b\n' * 9, [1, 2, 3], 12)
@example('"\n\n\n\n\n\n"a\n"\n', [4, 9, 9], 5)
@example('1,2\n"aaaaaaa\nbbbb",c\n', [], 12)  # two lines that are too long together
def test_any_bytes_in_any_cut(text: str, places: list[int], longest: int) -> None:
    data = text.encode("utf-8", "surrogateescape")
    layout = Layout(longest_row=longest, names=["x", "y"])
    whole = outcome([data], layout)
    assert outcome(cut(data, places), layout) == whole
    assert outcome([data[at : at + 1] for at in range(len(data))], layout) == whole
    guessing = replace(layout, dialect=None, names=None)
    assert outcome(cut(data, places), guessing) == outcome([data], guessing)


@given(NASTY_TEXT, PLACES, st.integers(1, 4))
def test_a_closer_look_at_every_row_changes_nothing(
    text: str, places: list[int], size: int
) -> None:
    data = text.encode("utf-8", "surrogateescape")

    def told() -> list[list[Row] | BadRow]:
        """All rows and bad rows, in the order in which they are told."""
        seen: list[list[Row] | BadRow] = []
        layout = Layout(names=["x", "y"])
        for batch in batches(cut(data, places), size, layout=layout, on_error=seen.append):
            seen.append(batch)
        return seen

    quick = told()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Feed, "is_plain", False)
        assert told() == quick


def test_few_rows_are_looked_at_closely(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every block but the last ends within a row."""
    closely: list[int] = []
    accept = tables._Reading._accept

    def counted(reading: Any, fields: list[str], end: int) -> bool:
        closely.append(end)
        return accept(reading, fields, end)

    monkeypatch.setattr(tables._Reading, "_accept", counted)
    block = b'1,2\n"a\nb",3\n' * 500
    pieces = [b"x,y\n", b'5,"open\n', *[b'"\n' + block + b'5,"open\n'] * 9, b'"\n']
    assert stream(pieces, lambda rows, count: None) == 9 * 1000 + 10
    assert len(closely) == 1 + 10
    # A bad row at the beginning of a block has the rest of it looked at, once.
    closely.clear()
    assert (
        stream([b"x,y\n", b"bad\n" + block, block], lambda rows, count: None, on_error=id) == 2000
    )
    assert len(closely) == 1 + 1001


@given(NASTY_TEXT.filter(lambda text: "\udcff" not in text))
def test_no_line_is_lost(text: str) -> None:
    """What was not reported is, read by the bare parser, what was handed over."""
    lines = physical(text)
    found = read([text.encode()], Layout(names=["x", "y"]))
    end = 0
    rest: list[str] = []
    for bad in found.bad:
        assert end < bad.line <= bad.last_line <= len(lines)
        assert bad.raw == "".join(lines[bad.line - 1 : bad.last_line])
        rest += lines[end : bad.line - 1]
        end = bad.last_line
    rest += lines[end:]
    assert [tuple(row) for row in csv.reader(rest, strict=True) if row] == found.rows


# --- names --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        (["a", "b"], ["a", "b"]),
        (["a", "", ""], ["a", "column_2", "column_3"]),
        (["a", "a", "a"], ["a", "a_2", "a_3"]),
        (["a", "a", "a_2"], ["a", "a_3", "a_2"]),
        (["a_2", "a", "a", "a_2"], ["a_2", "a", "a_3", "a_2_2"]),
        (["", "column_1"], ["column_1_2", "column_1"]),
        (["A", "a", " a"], ["A", "a", " a"]),
    ],
    ids=str,
)
def test_column_names(fields: list[str], names: list[str]) -> None:
    assert column_names(fields) == tuple(names)


@given(st.lists(st.sampled_from(["", "a", "a_2", "a_3", "column_1", "column_1_2"]), max_size=12))
def test_every_column_has_a_name_of_its_own(fields: list[str]) -> None:
    names = column_names(fields)
    assert len(set(names)) == len(names) == len(fields)
    assert set(fields) - {""} <= set(names)


def test_many_equal_names() -> None:
    """Quadratic work would take minutes."""
    names = column_names(["a"] * 200_000)
    assert names[-1] == "a_200000"


def test_rows_have_all_columns_in_order() -> None:
    (rows,) = batches([b"b,a,,b\n1,2,3,4\n"])
    assert [list(row.items()) for row in rows] == [
        [("b", "1"), ("a", "2"), ("column_3", "3"), ("b_2", "4")]
    ]


@pytest.mark.parametrize("before", [b"\n", b"\r\n\n\n"])
def test_blank_lines_before_the_names(before: bytes) -> None:
    assert list(batches([before + b"a\n1\n"])) == [[{"a": "1"}]]
    assert list(batches([before])) == []


def test_a_table_without_names() -> None:
    (rows,) = batches([b"1,2\n"], layout=Layout(names=["x", "y"]))
    assert rows == [{"x": "1", "y": "2"}]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"a,\xff\n1,2\n", "Line 1: bytes that are not text in UTF-8"),
        (b"\n\na\0,b\n", "Line 3: a NUL"),
        (b'"a"b\n', "Line 1: ',' expected after"),
        (b'\n"a,b\n1,2\n', "Line 2: a quote that is not closed"),
        (b"x" * 30 + b"\n", "Line 1: a row of more than 20 characters"),
    ],
)
def test_names_that_cannot_be_read(data: bytes, message: str) -> None:
    """Without them no row can be made, so `on_error` does not help."""
    with pytest.raises(TableUnreadable, match=f"^{message}.*This row names the columns") as caught:
        read([data], SMALL)
    assert caught.value.bad.line == int(message.split()[1].rstrip(":"))


# --- without on_error ---------------------------------------------------------------------------


def test_a_bad_row_ends_it_after_the_rows_before() -> None:
    handed: list[tuple[list[Row], int]] = []
    with pytest.raises(TableUnreadable) as caught:
        stream(
            [b"a,b\n1,2\n3,4\n5,6\n7\n8,9\n"], lambda rows, count: handed.append((rows, count)), 2
        )
    assert str(caught.value) == (
        "Line 5: 1 field for 2 columns. Complete the row, or say the right delimiter. "
        "Or take such rows with on_error."
    )
    assert caught.value.bad == BadRow(5, 5, Fault.TOO_FEW, "1 field for 2 columns.", "7\n")
    assert [count for _, count in handed] == [2, 3]
    assert handed[1][0] == [{"a": "5", "b": "6"}]


@pytest.mark.parametrize("fault", Fault, ids=lambda fault: fault.name)
def test_every_fault_has_advice(fault: Fault) -> None:
    (content, layout) = next(
        (content, layout)
        for _, content, _, bad, layout in NASTY
        if bad and bad[0][2] is fault and layout.dialect == Dialect()
    )
    with pytest.raises(TableUnreadable, match=r"^Line \d+: .+\. [A-Z].+\. Or take such rows"):
        stream([b"a,b\n" + content], lambda rows, count: None, layout=layout)


# --- batches ------------------------------------------------------------------------------------


def table(rows: int) -> bytes:
    return b"n\n" + b"".join(b"%d\n" % n for n in range(rows))


@pytest.mark.parametrize(("rows", "sizes"), [(0, []), (2, [2]), (3, [3]), (7, [3, 3, 1])])
def test_the_callback(rows: int, sizes: list[int]) -> None:
    calls: list[tuple[list[Row], int]] = []
    assert stream([table(rows)], lambda *call: calls.append(call), 3) == rows
    assert [len(batch) for batch, _ in calls] == sizes
    assert [count for _, count in calls] == [sum(sizes[: n + 1]) for n in range(len(sizes))]
    assert [row["n"] for batch, _ in calls for row in batch] == [str(n) for n in range(rows)]


def test_a_thousand_rows_unless_told_otherwise() -> None:
    sizes: list[int] = []
    stream([table(2500)], lambda rows, count: sizes.append(len(rows)))
    assert sizes == [1000, 1000, 500]


def test_a_callback_may_keep_its_rows() -> None:
    kept: list[list[Row]] = []
    stream([table(6)], lambda rows, count: kept.append(rows), 3)
    assert [[row["n"] for row in rows] for rows in kept] == [["0", "1", "2"], ["3", "4", "5"]]


def test_what_the_callback_raises_ends_it(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(table(9))

    def callback(rows: list[Row], count: int) -> None:
        raise LookupError(count)

    with pytest.raises(LookupError, match=r"^3$"):
        stream(of_file(tmp_path / "t.csv"), callback, 3)


@pytest.mark.parametrize("kind", [LookupError, csv.Error, StopAsyncIteration])
def test_what_on_error_raises_ends_it(kind: type[Exception]) -> None:
    def on_error(bad: BadRow) -> None:
        raise kind(bad.line)

    with pytest.raises(kind, match=r"^2$"):
        stream([b"a,b\n1\n2,3\n"], lambda rows, count: None, on_error=on_error)


def test_large_rows_come_in_smaller_batches() -> None:
    data = b"a\n" + (b"x" * 1000 + b"\n") * 500
    sizes = [len(rows) for rows in batches([data], layout=Layout(largest_batch=100_000))]
    assert sum(sizes) == 500
    assert all(50 <= size <= 200 for size in sizes[:-1])


def test_every_batch_may_be_as_large() -> None:
    pieces = [b"n\n", *[b"%d\n" % n for n in range(1000)]]
    sizes = [len(rows) for rows in batches(pieces, 10, layout=Layout(largest_batch=100))]
    assert sizes == [10] * 100


def test_a_large_batch_without_a_good_row() -> None:
    found = read([b"a,b\n" + b"1\n" * 500 + b"1,2\n"], Layout(largest_batch=100, longest_row=10))
    assert found.rows == [("1", "2")]
    assert len(found.bad) == 500


@pytest.mark.parametrize(
    ("message", "arguments"),
    [
        ("longest_row: at least 1", {"longest_row": 0}),
        ("largest_batch: at least 1", {"largest_batch": 0}),
        ("names: every column", {"names": []}),
        ("names: every column", {"names": ["a", "a"]}),
    ],
)
def test_no_layout(message: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=f"^{message}"):
        Layout(**arguments)


def test_arguments_that_cannot_work() -> None:
    with pytest.raises(ConfigurationError, match="chunk_size: at least 1"):
        stream([], lambda rows, count: None, 0)
    with pytest.raises(ConfigurationError, match="encoding: 'klingon'"):
        stream([], lambda rows, count: None, layout=Layout(encoding="klingon"))


# --- encodings and guesses ----------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_mark_says_the_encoding(encoding: str) -> None:
    assert read(["é,b\n€,😀\n".encode(encoding)]).rows == [("€", "😀")]
    (rows,) = batches(["é,b\n€,😀\n".encode(encoding)])
    assert list(rows[0]) == ["é", "b"]


def test_utf_16_without_a_mark_is_told() -> None:
    with pytest.raises(TableUnreadable, match="UTF-16 without a mark"):
        read(["a,b\n1,2\n".encode("utf-16-le")])
    assert read(["a,b\n1,2\n".encode("utf-16-le")], Layout(encoding="utf-16")).rows == [("1", "2")]


def test_a_wrong_byte_costs_one_row_of_utf_16() -> None:
    data = codecs.BOM_UTF16_LE + "a,b\n1,".encode("utf-16-le") + b"\x00\xdc"
    found = read([data + "\n3,4\n".encode("utf-16-le")])
    assert found.rows == [("3", "4")]
    assert found.places == [(2, 2, Fault.UNDECODABLE)]


@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_a_guess_is_made_only_if_asked(step: int) -> None:
    data = b"a;b\n1,5;2,5\n"
    pieces = [data[at : at + step] for at in range(0, len(data), step)]
    assert read(pieces, Layout(dialect=None)).rows == [("1,5", "2,5")]
    assert read(pieces).places == [(2, 2, Fault.TOO_MANY)]


def test_a_guess_needs_no_more_than_the_sample() -> None:
    taken = 0

    def pieces() -> Iterator[bytes]:
        nonlocal taken
        for piece in [b"a;b\n"] + [b"1;2\n" * 250] * 1000:
            taken += len(piece)
            yield piece

    next(batches(pieces(), 1, layout=Layout(dialect=None)))
    assert SAMPLE <= taken < SAMPLE + 2000


def test_a_guess_from_a_line_longer_than_the_sample() -> None:
    names = b";".join(b"column %d" % n for n in range(5000))
    (rows,) = batches([names + b"\n" + b";" * 4999], layout=Layout(dialect=None))
    assert len(rows[0]) == 5000


# --- while the bytes arrive ---------------------------------------------------------------------


def test_rows_are_handed_over_as_they_arrive() -> None:
    data = b'n,t\n1,a\n2,"b\nb"\n3,c\n'
    upload = Upload(data, [6, 7, 2, 3, 0, 2, 0])
    seen: list[tuple[int, list[str]]] = []
    count = stream(
        upload.pieces(), lambda rows, n: seen.append((upload.committed, [r["n"] for r in rows]))
    )
    assert count == 3
    assert upload.committed == len(data) == 20
    # At byte 8 the first row is complete, at 16 the second, which was open meanwhile.
    assert seen == [(13, ["1"]), (18, ["2"]), (20, ["3"])]


def test_a_following_reports_at_once_what_is_bad() -> None:
    upload = Upload(b"a,b\n1\n2,3\n", [7, 3])
    seen: list[tuple[int, int]] = []
    stream(
        upload.pieces(),
        lambda rows, count: None,
        on_error=lambda bad: seen.append((bad.line, upload.committed)),
    )
    assert seen == [(2, 7)]


@given(NASTY_TEXT, st.lists(st.integers(0, 9), max_size=20))
def test_following_reads_the_same(text: str, growth: list[int]) -> None:
    data = text.encode("utf-8", "surrogateescape")
    layout = Layout(longest_row=12, names=["x", "y"])
    upload = Upload(data, [*growth, len(data)])
    upload.content = data + bytes(1000)  # growth may go beyond
    end = sum(upload.growth)
    assert read(upload.pieces(), layout) == read([upload.content[:end]], layout)
