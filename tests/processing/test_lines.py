"""Lines: the same however the bytes are cut, in every encoding, with nothing kept for ever."""

from __future__ import annotations

import codecs
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tusjumbo.errors import ConfigurationError
from tusjumbo.processing.lines import blocks, has_undecodable, printable

LONGEST = 1000
UNICODE = ["utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"]
MARKS = dict(
    zip(
        UNICODE,
        [
            codecs.BOM_UTF8,
            codecs.BOM_UTF16_LE,
            codecs.BOM_UTF16_BE,
            codecs.BOM_UTF32_LE,
            codecs.BOM_UTF32_BE,
        ],
        strict=True,
    )
)
TEXT = st.text(st.sampled_from('ab,"\r\n\x0b\x0c\x1c\x85\u2028é€😀'), max_size=40)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """Pieces of `data`; a place named twice makes an empty one."""
    ends = sorted(place % (len(data) + 1) for place in places)
    return [data[a:b] for a, b in zip([0, *ends], [*ends, len(data)], strict=True)]


def lines_of(pieces: list[bytes], encoding: str | None = None, longest: int = LONGEST) -> list[str]:
    return [line for block in blocks(pieces, encoding, longest) for line in block.lines]


def physical(text: str) -> list[str]:
    """The lines of a text with their ends, found in another way."""
    return re.findall(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+", text)


PLACES = st.lists(st.integers(0, 200), max_size=8)


@given(TEXT, PLACES, st.sampled_from(UNICODE), st.booleans())
def test_any_cut(text: str, places: list[int], encoding: str, with_mark: bool) -> None:
    data = text.encode(encoding)
    expected = physical(text)
    if with_mark:
        assert lines_of(cut(MARKS[encoding] + data, places)) == expected
        assert lines_of(cut(MARKS[encoding] + data, places), encoding) == expected
    else:
        assert lines_of(cut(data, places), encoding) == expected


@given(st.binary(max_size=40), PLACES, st.sampled_from([*UNICODE, "shift_jis", "gb18030", "ascii"]))
def test_any_bytes_in_any_cut(data: bytes, places: list[int], encoding: str) -> None:
    whole = lines_of([data], encoding)
    assert lines_of(cut(data, places), encoding) == whole
    assert lines_of([bytes([byte]) for byte in data], encoding) == whole
    printable("".join(whole)).encode()


@given(st.binary(max_size=40), PLACES)
def test_no_byte_is_lost(data: bytes, places: list[int]) -> None:
    text = "".join(lines_of(cut(data, places), "utf-8"))
    assert text.encode("utf-8", "surrogateescape") == data.removeprefix(codecs.BOM_UTF8)


@given(TEXT, PLACES, st.integers(1, 12))
def test_what_is_too_long_is_cut_off(text: str, places: list[int], longest: int) -> None:
    expected = [line[: longest + 1] for line in physical(text)]
    assert lines_of(cut(text.encode(), places), "utf-8", longest) == expected


@pytest.mark.parametrize(
    ("encoding", "data", "text"),
    [
        ("utf-8-sig", b"\xef\xbb\xbfa", "a"),
        ("utf-8-sig", b"a", "a"),
        ("UTF8", b"\xef\xbb\xbf\xc3\xa9", "é"),
        ("utf-16", b"\xfe\xff\0a", "a"),
        ("utf-16", b"\xff\xfea\0", "a"),
        ("utf-16", b"a\0b\0", "ab"),
        ("utf-32", b"\xff\xfe\0\0a\0\0\0", "a"),
        ("utf-32", b"a\0\0\0", "a"),
        ("cp1252", b"\x80", "€"),
        ("latin-1", b"\xef\xbb\xbf", "ï»¿"),
        ("shift_jis", b"\x83\x5c", "ソ"),
        (None, b"", ""),
        (None, b"\xef\xbb\xbf", ""),
        (None, b"\xef\xbb\xbf\xef\xbb\xbfa", "\ufeffa"),
        (None, b"\xff\xfe", ""),
        (None, b"a", "a"),
    ],
)
def test_encodings(encoding: str | None, data: bytes, text: str) -> None:
    assert "".join(lines_of([data], encoding)) == text
    assert "".join(lines_of([bytes([byte]) for byte in data], encoding)) == text


@pytest.mark.parametrize("name", ["klingon", "hex", "rot13", "undefined", ""])
def test_no_encoding_of_text(name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"encoding: .* is no encoding of text"):
        lines_of([b""], name)


@pytest.mark.parametrize(
    ("encoding", "data", "shown"),
    [
        ("utf-8", b"a\xffb", r"a\xffb"),
        ("utf-8", b"\xe2\x82", r"\xe2\x82"),
        ("utf-8", b"\xe2\n", "\\xe2\n"),
        ("utf-8", b"\xed\xb3\xbf", r"\xed\xb3\xbf"),
        ("utf-16-le", b"a\0\x01\xd8", r"a\x01\xd8"),
        ("utf-16-le", b"a\0b", r"a\x62"),
        ("ascii", b"\x80", r"\x80"),
        ("shift_jis", b"\x83", r"\x83"),
    ],
)
def test_undecodable_bytes_stay_visible(encoding: str, data: bytes, shown: str) -> None:
    (block,) = blocks([data], encoding, LONGEST)
    assert block.is_suspect
    (text,) = block.lines
    assert has_undecodable(text)
    assert printable(text) == shown


@pytest.mark.parametrize(
    ("text", "longest", "suspects"),
    [
        ("ab\n", 3, [False]),
        ("abc\n", 3, [True]),
        ("abc", 3, [False]),
        ("abcd", 3, [True]),
        ("a\0", 9, [True]),
        ("\0\na\nb\nc\nd\n", 3, [True, False, False]),
    ],
)
def test_which_blocks_are_suspect(text: str, longest: int, suspects: list[bool]) -> None:
    """A step is `longest` bytes, so that the last row has several; the first has two steps."""
    found = list(blocks([text.encode()], "utf-8", longest))
    assert [block.is_suspect for block in found] == suspects


def test_a_suspicion_follows_a_line_that_has_begun() -> None:
    found = list(blocks([b"a\n\0", b"b", b"c\n", b"d\n"], "utf-8", LONGEST))
    assert [(block.lines, block.is_suspect) for block in found] == [
        (["a\n"], True),
        (["\0bc\n"], True),
        (["d\n"], False),
    ]


def test_an_empty_piece_is_an_empty_block() -> None:
    """But a piece of which nothing can be told yet is none."""
    found = [block.lines for block in blocks([b"aaa\nb", b"", b"c", b"", b"\n"], None, LONGEST)]
    assert found == [["aaa\n"], [], [], ["bc\n"]]


def test_a_line_that_never_ends_is_not_kept() -> None:
    piece = b"x" * 1000
    (block,) = blocks((piece for _ in range(1000)), "utf-8", 10)
    assert block.lines == ["x" * 11]
    assert block.is_suspect
