from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tusjumbo.errors import MalformedRequest
from tusjumbo.protocols.fields import (
    CHECKSUM,
    CONCAT,
    DATE,
    DEFERRED,
    INTEGER,
    MEDIA_TYPE,
    METADATA,
    METHOD,
    Grammar,
    path_of,
    printable,
)
from tusjumbo.protocols.messages import Fields
from tusjumbo.sessions.commands import Digest

OOS = "application/offset+octet-stream"
HELLO = bytes.fromhex("2aae6c35c94fcfb415dbe95f408b9ce91ee846ed")
NAMES: dict[int, str] = {
    id(INTEGER): "integer",
    id(DEFERRED): "deferred",
    id(METHOD): "method",
    id(MEDIA_TYPE): "media type",
    id(DATE): "date",
    id(METADATA): "metadata",
    id(CHECKSUM): "checksum",
    id(CONCAT): "concat",
}
GRAMMARS: tuple[Grammar[Any], ...] = (
    INTEGER,
    DEFERRED,
    METHOD,
    MEDIA_TYPE,
    DATE,
    METADATA,
    CHECKSUM,
    CONCAT,
)

# Spelled exactly so, in both directions.
BOTH_WAYS: tuple[tuple[Grammar[Any], object, str], ...] = (
    (INTEGER, 0, "0"),
    (INTEGER, 9, "9"),
    (INTEGER, 2**53 + 1, "9007199254740993"),
    (INTEGER, 2**63 - 1, "9223372036854775807"),
    (DEFERRED, True, "1"),
    (METHOD, "PATCH", "PATCH"),
    (METHOD, "M-SEARCH", "M-SEARCH"),
    (MEDIA_TYPE, OOS, OOS),
    (MEDIA_TYPE, "text/plain", "text/plain"),
    (DATE, 784111777.0, "Sun, 06 Nov 1994 08:49:37 GMT"),
    (DATE, 0.0, "Thu, 01 Jan 1970 00:00:00 GMT"),
    (DATE, 951782400.0, "Tue, 29 Feb 2000 00:00:00 GMT"),
    (DATE, 253402300799.0, "Fri, 31 Dec 9999 23:59:59 GMT"),
    (CHECKSUM, Digest("sha1", HELLO), "sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0="),
    (CHECKSUM, Digest("crc32", b"\xcb\xf4\x39\x26"), "crc32 y/Q5Jg=="),
    (CHECKSUM, Digest("!-+.9@[`~", b"\0"), "!-+.9@[`~ AA=="),
    (CONCAT, (), "partial"),
    (CONCAT, ("/files/a",), "final;/files/a"),
    (CONCAT, ("/files/a", "http://h/b?c#d", "e"), "final;/files/a http://h/b?c#d e"),
    (CONCAT, (";",), "final;;"),
    (METADATA, {}, ""),
    (METADATA, {"is_confidential": b""}, "is_confidential"),
    (METADATA, {"filename": b"world"}, "filename d29ybGQ="),
    (METADATA, {"filename": b"world", "is_c": b""}, "filename d29ybGQ=,is_c"),
    (METADATA, {"b": b"bar", "a": b"foo"}, "b YmFy,a Zm9v"),
    (METADATA, {"bin": b"\x00\x01\x02\x80\xff"}, "bin AAECgP8="),
    (METADATA, {"x": b"x\r\nSet-Cookie: a=b"}, "x eA0KU2V0LUNvb2tpZTogYT1i"),
    (METADATA, {'=:;"/\\': b"f"}, '=:;"/\\ Zg=='),
    (METADATA, {"n\xe4me": b"f"}, "n\xe4me Zg=="),
    (METADATA, {"n\xc3\x80me": b"f"}, "n\xc3\x80me Zg=="),
)

# Also read, but not written so.
READ_ONLY: tuple[tuple[Grammar[Any], str, object], ...] = (
    (INTEGER, "00", 0),
    (INTEGER, "0000000000000000007", 7),
    (METHOD, "patch", "PATCH"),
    (METHOD, "pAtCh", "PATCH"),
    (MEDIA_TYPE, "APPLICATION/Offset+Octet-Stream", OOS),
    (MEDIA_TYPE, OOS + "; charset=utf-8", OOS),
    (MEDIA_TYPE, OOS + ";charset=utf-8", OOS),
    (MEDIA_TYPE, OOS + " ; a=b;c=d \t", OOS),
    (MEDIA_TYPE, OOS + ";", OOS),
    (MEDIA_TYPE, OOS + "; ; ;a=b", OOS),
    (MEDIA_TYPE, OOS + '; a="b;c\\"d\xe4"', OOS),
    # RFC 4648 3.5, as below: not the canonical y/Q5Jg==.
    (CHECKSUM, "crc32 y/Q5Jh==", Digest("crc32", b"\xcb\xf4\x39\x26")),
    (CONCAT, "final; a b", ("a", "b")),
    (METADATA, "k Zm9v, l YmFy", {"k": b"foo", "l": b"bar"}),
    (METADATA, "k Zm9v \t,\t l YmFy", {"k": b"foo", "l": b"bar"}),
    (METADATA, "k ", {"k": b""}),
    (METADATA, "a,k ", {"a": b"", "k": b""}),
    (METADATA, "k ,b Zm9v", {"k": b"", "b": b"foo"}),
    # RFC 4648 3.5: the last four bits of the canonical form are zero (Zg==). Not looked at.
    (METADATA, "k Zh==", {"k": b"f"}),
    (METADATA, "k Zm9=", {"k": b"fo"}),
)

JUNK: tuple[tuple[Grammar[Any], str], ...] = (
    *((INTEGER, text) for text in ("", " ", "-1", "+0", "+5", "0x0", "1.0", "1.", "1e3", "0 0")),
    *((INTEGER, text) for text in ("1_0", "1,1", "1, 1", "abc", "\u0661", "\uff11\uff10", "\xb2")),
    *((INTEGER, text) for text in (str(2**63), str(2**64), "1" * 30, "0" * 20, "1\n", " 1", "1 ")),
    *((DEFERRED, text) for text in ("", "0", "2", "01", "1 ", "true", "?1", "1,1", "\uff11")),
    *((METHOD, text) for text in ("", " ", "A B", "PATCH,PATCH", "P\xc4TCH", "GET/", "\u017f")),
    *((MEDIA_TYPE, text) for text in ("", "/", "a/", "/b", "ab", "a/b/c", "a /b", "a/b c")),
    *((MEDIA_TYPE, text) for text in ("a/b;c", "a/b;c=", 'a/b;c="', "a/b,a/b", "a/b;c = d")),
    *((MEDIA_TYPE, text) for text in ("a/\xe4", "a/b; c=\xe4", " a/b", "a/b;c=d e")),
    (DATE, ""),
    (DATE, "Sunday, 06-Nov-94 08:49:37 GMT"),
    (DATE, "Sun Nov  6 08:49:37 1994"),
    (DATE, "Sun, 06 Nov 1994 08:49:37 UTC"),
    (DATE, "Sun, 06 Nov 1994 08:49:37 +0000"),
    (DATE, "Sun, 6 Nov 1994 08:49:37 GMT"),
    (DATE, "sun, 06 nov 1994 08:49:37 gmt"),
    (DATE, "Mon, 06 Nov 1994 08:49:37 GMT"),
    (DATE, "Sun, 06 Nov 1994 24:49:37 GMT"),
    (DATE, "Sun, 06 Nov 1994 08:60:37 GMT"),
    (DATE, "Wed, 31 Jun 1994 08:49:37 GMT"),
    (DATE, "Sat, 00 Jan 0000 00:00:00 GMT"),
    *((CHECKSUM, text) for text in ("", " ", "sha1", "sha1 ", " Zm9v", "sha1Zm9v", "sha1  Zm9v")),
    *((CHECKSUM, text) for text in ("sha1 Zm9v ", "sha1 Zm9v x", "sha1\tZm9v", "a b Zm9v")),
    *(
        (CHECKSUM, text)
        for text in ("sha1 Zm9", "sha1 !!!!", "sha1 =", "sha1 _-8=", "sha1 Zg==Zg==")
    ),
    *((CHECKSUM, text) for text in ("SHA1 Zm9v", "shA1 Zm9v", "a,b Zm9v", "sh\xe41 Zm9v")),
    *((CHECKSUM, text) for text in ("sha1 Zm9v,sha1 Zm9v", "sha1 Zm9v;a", "sha1=Zm9v")),
    *((CONCAT, text) for text in ("", "final", "final;", "final; ", "partial;", "partial;x")),
    *((CONCAT, text) for text in ("Partial", "Final;a", "final,a", "final ;a", " final;a")),
    *(
        (CONCAT, text)
        for text in ("final;  a", "final;a ", "final;a  b", "final;a\tb", "final;\xe4")
    ),
    *((METADATA, text) for text in ("a !!!!", "a Zm9", "a Zm9v=", "a _-8=", "a =", "a ====")),
    *((METADATA, text) for text in ("a Zm9v,a YmFy", "a,a", "a Zm9v,", ",a Zm9v", ",", ",,")),
    *(
        (METADATA, text)
        for text in ("a Zm9v,,b YmFy", "a  Zm9v", "a Zm9v x", "a\tZm9v", "a Zg==Zg==")
    ),
    *((METADATA, text) for text in ("a\u20ac Zm9v", " ", "a Zm 9v", "a Zm9v;b YmFy")),
)


def _id(value: object) -> str:
    return NAMES.get(id(value)) or ascii(value)[:40]


def test_the_tables_have_rows_for_every_grammar() -> None:
    for table in (BOTH_WAYS, JUNK):
        assert {id(row[0]) for row in table} == {id(grammar) for grammar in GRAMMARS}


@pytest.mark.parametrize(("grammar", "value", "text"), BOTH_WAYS, ids=_id)
def test_what_is_written_is_what_is_read(grammar: Grammar[Any], value: object, text: str) -> None:
    assert grammar.write(value) == text
    assert grammar.read(text) == value
    assert grammar.decode("x", text) == value


@pytest.mark.parametrize(("grammar", "text", "value"), READ_ONLY, ids=_id)
def test_other_spellings_mean_the_same(grammar: Grammar[Any], text: str, value: object) -> None:
    assert grammar.read(text) == value
    assert grammar.read(grammar.write(value)) == value


@pytest.mark.parametrize(("grammar", "text"), JUNK, ids=_id)
def test_junk_is_malformed_and_says_what_was_expected(grammar: Grammar[Any], text: str) -> None:
    with pytest.raises(MalformedRequest) as caught:
        grammar.decode("upload-x", text)
    assert caught.value.field == "upload-x"
    assert caught.value.found == text[:80]
    assert grammar.expected in str(caught.value)


@pytest.mark.parametrize("junk", ["\r", "\n", "\r\n", "\0", "\x1f", "\x7f"], ids=ascii)
@pytest.mark.parametrize(
    ("grammar", "text"),
    [(grammar, text) for grammar, _, text in BOTH_WAYS]
    + [(grammar, text) for grammar, text, _ in READ_ONLY],
    ids=_id,
)
def test_a_control_character_anywhere_is_malformed(
    grammar: Grammar[Any], text: str, junk: str
) -> None:
    for at in range(len(text) + 1):
        assert grammar.read(text[:at] + junk + text[at:]) is None


@pytest.mark.parametrize(
    ("grammar", "value"),
    [
        (INTEGER, -1),
        (INTEGER, 2**63),
        (METHOD, "patch"),
        (METHOD, ""),
        (METHOD, "A\nB"),
        (MEDIA_TYPE, "a"),
        (MEDIA_TYPE, "A/b"),
        (MEDIA_TYPE, "a/b;c=d"),
        *((CHECKSUM, Digest(name, b"x")) for name in ("", "SHA1", "a b", "a,b", "a\n", "\xe4")),
        (CHECKSUM, Digest("sha1", b"")),
        *((CONCAT, urls) for urls in (("",), ("a b",), ("a", ""), ("\xe4",), ("a\n",))),
        *((METADATA, {key: b""}) for key in ("", "a b", "a,b", "a\n", "\0", "\x7f", "\u20ac")),
    ],
    ids=_id,
)
def test_what_no_text_says_is_not_written(grammar: Grammar[Any], value: object) -> None:
    with pytest.raises(ValueError, match="not a"):
        grammar.write(value)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (784111777.999, "Sun, 06 Nov 1994 08:49:37 GMT"),
        (-1.0, "Thu, 01 Jan 1970 00:00:00 GMT"),
        (1e15, "Fri, 31 Dec 9999 23:59:59 GMT"),
        (float("inf"), "Fri, 31 Dec 9999 23:59:59 GMT"),
    ],
)
def test_a_date_is_never_later_than_the_truth_nor_out_of_range(seconds: float, text: str) -> None:
    assert DATE.write(seconds) == text


def test_find_and_require_tell_absent_from_malformed() -> None:
    fields = Fields([(b"Upload-Length", b" 7 "), (b"Upload-Offset", b"")])
    assert INTEGER.find(fields, "upload-length") == 7
    assert INTEGER.find(fields, "upload-x") is None
    assert INTEGER.require(fields, "upload-length") == 7
    for field in ("upload-offset", "upload-x"):
        with pytest.raises(MalformedRequest, match=field):
            INTEGER.require(fields, field)
    with pytest.raises(MalformedRequest, match="upload-offset"):
        INTEGER.find(fields, "upload-offset")


def test_several_lines_are_one_value_only_if_they_are_equal() -> None:
    assert INTEGER.find(Fields([(b"a", b"1"), (b"A", b"1 ")]), "a") == 1
    with pytest.raises(MalformedRequest, match="one value"):
        INTEGER.find(Fields([(b"a", b"1"), (b"A", b"01")]), "a")


# Each of these takes for ever if an expression can match the same text in two ways.
@pytest.mark.parametrize(
    ("grammar", "text"),
    [
        (INTEGER, "1" * 200_000),
        (METHOD, "A" * 200_000 + " "),
        (MEDIA_TYPE, "a/b" + "; " * 100_000 + "\0"),
        (MEDIA_TYPE, "a/b" + " ; \t" * 50_000 + "x"),
        (MEDIA_TYPE, 'a/b;c="' + "\\a" * 100_000),
        (MEDIA_TYPE, "a" * 200_000),
        (CHECKSUM, "a" * 200_000),
        (CHECKSUM, "a " + "Zm9v" * 100_000 + "!"),
        (CONCAT, "final;" + "a " * 100_000 + " "),
        (CONCAT, "final;" + "a" * 200_000 + "\0"),
        (METADATA, "a " + "Zm9v" * 100_000 + "!"),
        (METADATA, "a" + " " * 200_000 + "b"),
        (METADATA, ",".join(f"k{n} Zm9v" for n in range(50_000)) + ",k0"),
    ],
)
def test_hostile_length_is_refused_in_linear_time(grammar: Grammar[Any], text: str) -> None:
    assert grammar.read(text) is None


# --- properties ----------------------------------------------------------------------------------

_latin = st.text(st.characters(max_codepoint=255))
_key_character = st.characters(max_codepoint=255).filter(
    lambda c: c not in " ,\x7f" and ord(c) > 0x20
)
_pairs = st.dictionaries(st.text(_key_character, min_size=1), st.binary())


@given(st.integers(0, 2**63 - 1))
def test_integers_round_trip(value: int) -> None:
    assert INTEGER.read(INTEGER.write(value)) == value


@given(st.one_of(st.text(), st.text("0123456789", max_size=25), st.integers().map(str)))
@example("\u0661")
def test_an_integer_is_ascii_digits_and_nothing_else(text: str) -> None:
    digits = text.isascii() and text.isdigit() and len(text) <= 19
    expected = int(text) if digits and int(text) < 2**63 else None
    assert INTEGER.read(text) == expected


@given(_pairs)
def test_metadata_round_trips_in_order(pairs: Mapping[str, bytes]) -> None:
    text = METADATA.write(pairs)
    text.encode("latin-1")
    found = METADATA.decode("x", text)
    assert list(found.items()) == list(pairs.items())


@given(
    st.text([chr(n) for n in range(33, 127) if not chr(n).isupper() and chr(n) != ","], min_size=1),
    st.binary(min_size=1),
)
def test_checksums_round_trip(algorithm: str, value: bytes) -> None:
    """CSUM-02: a name is made of any visible ASCII characters, but for upper case and commas."""
    text = CHECKSUM.write(Digest(algorithm, value))
    assert text == f"{algorithm} {base64.b64encode(value).decode()}"
    assert CHECKSUM.read(text) == Digest(algorithm, value)


@given(st.lists(st.text([chr(n) for n in range(33, 127)], min_size=1)).map(tuple))
def test_lists_of_parts_round_trip(references: tuple[str, ...]) -> None:
    assert CONCAT.read(CONCAT.write(references)) == references


# RFC 3986 5.4, with http for its own scheme and without what leads elsewhere.
@pytest.mark.parametrize(
    ("reference", "path"),
    [
        ("g", "/b/c/g"),
        ("./g", "/b/c/g"),
        ("g/", "/b/c/g/"),
        ("/g", "/g"),
        ("g?y", "/b/c/g"),
        ("g#s", "/b/c/g"),
        (";x", "/b/c/;x"),
        ("", "/b/c/"),
        (".", "/b/c/"),
        ("./", "/b/c/"),
        ("..", "/b/"),
        ("../", "/b/"),
        ("../g", "/b/g"),
        ("../..", "/"),
        ("../../g", "/g"),
        ("../../../g", "/g"),
        ("../../../../g", "/g"),
        ("/./g", "/g"),
        ("/../g", "/g"),
        ("g.", "/b/c/g."),
        ("..g", "/b/c/..g"),
        ("./../g", "/b/g"),
        ("./g/.", "/b/c/g/"),
        ("g/./h", "/b/c/g/h"),
        ("g/../h", "/b/c/h"),
        ("g;x=1/../y", "/b/c/y"),
        ("g?y/../x", "/b/c/g"),
        ("g#s/../x", "/b/c/g"),
        ("http://a/g", "/g"),
        ("//g/h", "/h"),
        ("//g", None),
        ("g:h", None),
        ("http:g", None),
        ("file:///g", None),
        ("./g:h", "/b/c/g:h"),
        ("%67%2E%zz%", "/b/c/g.%zz%"),
    ],
)
def test_a_reference_leads_to_a_path(reference: str, path: str | None) -> None:
    assert path_of(reference, "/b/c") == path


@given(st.text([chr(n) for n in range(33, 127) if chr(n) != ";"]))  # urljoin knows params
def test_a_reference_leads_where_the_standard_library_says(reference: str) -> None:
    path = path_of(reference, "/b/c")
    if path is not None and "%" not in reference and "//" not in reference:
        url = urlsplit(urljoin("http://host/b/c/", reference))
        assert path == url.path


@given(st.integers(0, 253402300799))
def test_dates_round_trip(seconds: int) -> None:
    text = DATE.write(seconds)
    assert len(text) == 29
    assert DATE.read(text) == seconds


def _reference(text: str) -> dict[str, bytes] | None:
    """Upload-Metadata once more, without regular expressions."""
    pairs: dict[str, bytes] = {}
    for member in text.split(",") if text else ():
        key, space, value = member.strip(" \t").partition(" ")
        if not key or key in pairs or any(ord(c) < 0x21 or ord(c) == 0x7F for c in key):
            return None
        if any(ord(c) > 255 for c in key) or not value.isascii():
            return None
        if (space and not value) or len(value) % 4:
            return None
        try:
            pairs[key] = base64.b64decode(value, validate=True)
        except binascii.Error:
            return None
    return pairs


@given(st.one_of(_latin, st.text("ab Zg=+/_-,\t\n\xe4"), _pairs.map(METADATA.write)))
@example("a Zg==,b")
@example("a ==")
def test_metadata_is_read_as_a_plain_parser_reads_it(text: str) -> None:
    assert METADATA.read(text) == _reference(text)


@given(st.sampled_from(GRAMMARS), st.one_of(st.text(), _latin, st.text('aPAT/;=" \\,019')))
def test_any_text_is_malformed_or_means_something_writable(
    grammar: Grammar[Any], text: str
) -> None:
    value = grammar.read(text)
    if value is None:
        with pytest.raises(MalformedRequest):
            grammar.decode("x", text)
    else:
        assert grammar.read(grammar.write(value)) == value


@given(st.text())
def test_printable_text_fits_into_a_field(text: str) -> None:
    found = printable(text)
    assert found == found.strip(" \t")
    assert all(c == "\t" or (ord(c) >= 0x20 and c != "\x7f") for c in found)
    found.encode("latin-1")


def test_printable_text_stays_as_it_is() -> None:
    assert printable('Bearer realm="\xe4", scope="a\tb"') == 'Bearer realm="\xe4", scope="a\tb"'
    assert printable("a\r\nb\u20ac") == "a??b?"
