from __future__ import annotations

import base64
import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tusjumbo.errors import MalformedRequest
from tusjumbo.protocols.content_digest import digest_of
from tusjumbo.protocols.messages import Fields
from tusjumbo.sessions.commands import Digest

HELLO = b'{"hello": "world"}'  # RFC 9530 B.2 has these two
SHA256 = "X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE="
SHA512 = "WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew=="
IN_256 = Digest("sha256", hashlib.sha256(HELLO).digest())
IN_512 = Digest("sha512", hashlib.sha512(HELLO).digest())


def read(*lines: str) -> Digest | None:
    return digest_of(Fields([(b"Content-Digest", line.encode("latin-1")) for line in lines]))


def test_the_samples_are_the_rfcs() -> None:
    assert base64.b64decode(SHA256) == IN_256.value
    assert base64.b64decode(SHA512) == IN_512.value


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param([], None, id="absent"),
        pytest.param([""], None, id="an empty dictionary"),
        pytest.param([f"sha-256=:{SHA256}:"], IN_256, id="sha-256"),
        pytest.param([f"sha-512=:{SHA512}:"], IN_512, id="sha-512"),
        pytest.param([f"sha-256=:{SHA256[:-1]}:"], IN_256, id="without padding"),
        pytest.param([f"sha-512=:{SHA512[:-2]}:"], IN_512, id="without two paddings"),
        pytest.param([f"sha-256=:{SHA256}:,sha-512=:{SHA512}:"], IN_512, id="the strongest"),
        pytest.param([f"sha-512=:{SHA512}:", f"sha-256=:{SHA256}:"], IN_512, id="on two lines"),
        pytest.param([f"md5=:AAAA:\t ,\t sha-256=:{SHA256}:"], IN_256, id="white space"),
        pytest.param([f"sha-256=:{SHA256}:;a;b=1; c=?0"], IN_256, id="parameters"),
        pytest.param(["md5=:AAAA:"], None, id="none that we know"),
        pytest.param(["unixsum=30637, *a.b_c-1, x"], None, id="others, of any kind"),
        pytest.param(
            [
                'a=-1.5, b="\\"x\\\\", c=to/k:en, d=?1, e=@-5, f=%"\\%c3%bc"',
                'g=(1 "b");q, h=(), i=( 1  2 )',
            ],
            None,
            id="every kind of value",
        ),
        pytest.param([f"sha-256=:AAAA:, sha-256=:{SHA256}:"], IN_256, id="the last of two"),
        pytest.param([f"sha-256=?1, sha-256=:{SHA256}:"], IN_256, id="the last, after no digest"),
    ],
)
def test_a_digest(lines: list[str], expected: Digest | None) -> None:
    assert read(*lines) == expected


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(f"sha-256={SHA256}", id="no colons"),
        pytest.param(f"sha-256=:{SHA256}", id="one colon"),
        pytest.param(f"sha-256=:{SHA256}:,", id="a comma at the end"),
        pytest.param(f",sha-256=:{SHA256}:", id="a comma at the beginning"),
        pytest.param(f"sha-256=:{SHA256}:;", id="a parameter breaks off"),
        pytest.param(f"sha-256=:{SHA256}: md5=:AAAA:", id="no comma"),
        pytest.param(f"sha-256 =:{SHA256}:", id="a space"),
        pytest.param(f"SHA-256=:{SHA256}:", id="upper case"),
        pytest.param(f"sha-256=:{SHA256[4:]}:", id="too short"),
        pytest.param(f"sha-256=:AAAA{SHA256}:", id="too long"),
        pytest.param(f"sha-256=:{SHA256[1:]}:", id="base64 of no length"),
        pytest.param(f"sha-256=:{SHA512}:", id="of another algorithm"),
        pytest.param(f"sha-256=:={SHA256}:", id="padding at the beginning"),
        pytest.param(f"sha-256=:{SHA256}==:", id="more padding"),
        pytest.param(f"sha-256=:{SHA256.replace('9', '_')}:", id="another base64"),
        pytest.param(f"sha-512=:AAAA:, sha-256=:{SHA256}:", id="the strongest is wrong"),
        pytest.param(f"sha-512=:{SHA512}:, sha-256=:AAAA:", id="the weaker is wrong"),
        pytest.param("sha-256", id="a key alone"),
        pytest.param("sha-256=", id="no value"),
        pytest.param("sha-256=?1", id="no bytes"),
        pytest.param("md5=:AAAA", id="others have a grammar, too"),
        pytest.param('a="x', id="an open text"),
        pytest.param("a=(1 2", id="an open list"),
        pytest.param("a=1.", id="a number breaks off"),
        pytest.param("a=1.2345", id="digits"),
        pytest.param("a=1234567890123456", id="more digits"),
        pytest.param('a=%"%C3"', id="upper case in a display text"),
        pytest.param("a=\xe4", id="not ASCII"),
    ],
)
def test_what_is_no_digest(line: str) -> None:
    with pytest.raises(MalformedRequest) as caught:
        read(line)
    assert caught.value.field == "content-digest"


@given(st.binary(min_size=32, max_size=32), st.sampled_from(["", ", b=(a b);x", " , c"]))
def test_any_digest(value: bytes, others: str) -> None:
    text = base64.b64encode(value).decode()
    assert read(f"sha-256=:{text}:{others}") == Digest("sha256", value)


@given(st.text(st.characters(max_codepoint=255)))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = read(text)
    except MalformedRequest:
        return
    assert found is None or re.search("sha-(256|512)=:", text)


@pytest.mark.parametrize("piece", ["a,", "a=(1 ", 'a="', "sha-256=:AAAA:;", "a=1;b", ": ", " ,"])
def test_a_long_value_takes_no_long_time(piece: str) -> None:
    """Would take minutes if an expression could match in several ways."""
    for text in (piece * 20_000, piece * 20_000 + "\x00"):
        with pytest.raises(MalformedRequest):
            read(text + "=")
