from __future__ import annotations

import gc
import sys
from collections.abc import Iterable
from dataclasses import dataclass

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.web.browsing import GONE, piece
from tests.web.forms import BOUNDARY, CONTENT_TYPE, END, blob, cut, form, part
from tusjumbo.errors import ClientDisconnected, MalformedRequest
from tusjumbo.web import forms
from tusjumbo.web.bodies import Body, Message
from tusjumbo.web.forms import Form, FormBody

SEED = form(b"hello", upload_id="abc", chunk_number="0")
FIELDS = {"upload_id": "abc", "chunk_number": "0"}
KNOWN = ("upload_id", "chunk_number", "hash")


@dataclass
class Read:
    fields: dict[str, str]
    content: bytes


def read(pieces: Iterable[bytes], content_type: str = CONTENT_TYPE, size: int = 7) -> Read:
    """A whole form, by a buffer of `size` bytes."""
    parser = Form(content_type, KNOWN)
    content = bytearray()
    buffer = memoryview(bytearray(size))
    for data in pieces:
        parser.feed(data)
        while count := parser.readinto(buffer):
            assert parser.has_file
            content += buffer[:count]
        assert not parser.waiting
    parser.end()
    return Read(parser.fields, bytes(content))


def test_the_seeds_form() -> None:
    assert read([SEED]) == Read(FIELDS, b"hello")


def test_byte_by_byte() -> None:
    assert read(bytes([byte]) for byte in SEED) == Read(FIELDS, b"hello")


@given(st.data())
def test_any_content_in_any_pieces(data: st.DataObject) -> None:
    """Also such that looks like a boundary for a while."""
    delimiter = b"\r\n--" + BOUNDARY.encode()
    almost = st.integers(1, len(delimiter) - 1).map(lambda length: delimiter[:length])
    content = b"".join(data.draw(st.lists(st.one_of(almost, st.binary(max_size=20)), max_size=8)))
    whole = form(content, **FIELDS)
    sizes = data.draw(st.lists(st.integers(1, 90), max_size=20))
    assert read(cut(whole, sizes), size=data.draw(st.integers(1, 300))) == Read(FIELDS, content)


def test_empty_pieces_and_an_empty_file() -> None:
    assert read([b"", form(b"", **FIELDS), b""]) == Read(FIELDS, b"")


@pytest.mark.parametrize(
    "content_type",
    [
        pytest.param(f'multipart/form-data; boundary="{BOUNDARY}"', id="quoted"),
        pytest.param(f"Multipart/Form-Data;charset=utf-8;  Boundary={BOUNDARY}", id="case"),
    ],
)
def test_where_the_boundary_is_told(content_type: str) -> None:
    assert read([SEED], content_type) == Read(FIELDS, b"hello")


@pytest.mark.parametrize(
    "boundary", ["'()+_,-./:=?'", "a b", "x", "x" * 100, "-", "--", "0" * 69 + "'"]
)
def test_any_boundary_of_rfc_2046(boundary: str) -> None:
    body = SEED.replace(BOUNDARY.encode(), boundary.encode())
    assert read([body], f'multipart/form-data; boundary="{boundary}"') == Read(FIELDS, b"hello")


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        'multipart/form-data; boundary=""',
        f"multipart/form-data; boundary={'x' * 101}",
        "multipart/form-data; boundary=a\x00b",
        'multipart/form-data; boundary="a\r\nb"',
        'multipart/form-data; boundary="a "',
        "multipart/form-data; boundary=\xe4",
        "multipart/form-data; boundary*=utf-8''x",
    ],
)
def test_what_is_no_boundary(content_type: str) -> None:
    with pytest.raises(MalformedRequest) as caught:
        Form(content_type)
    assert caught.value.field == "content-type"


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        pytest.param(part("chunk", b"hello") + END, {}, id="a file without a name"),
        pytest.param(SEED.replace(b"chunk_number", b'chunk_number"; x="\''), None, id="parameters"),
        pytest.param(SEED.replace(b"form-data", b"Form-Data"), None, id="upper case"),
        pytest.param(SEED.replace(b"Content-Disposition", b"content-DISPOSITION"), None, id="case"),
        pytest.param(b"\r\n" + SEED, None, id="line breaks before"),
        pytest.param(SEED[:-2], None, id="no line break after"),
        pytest.param(SEED + b"an epilogue\r\n" + SEED, None, id="an epilogue"),
        pytest.param(
            part("csrf", b"a") + part("csrf", b"b") + SEED, {"csrf": "a", **FIELDS}, id="others"
        ),
        pytest.param(SEED[: -len(END)] + part("submit", b"Send") + END, None, id="one after"),
        pytest.param(
            SEED[: -len(END)] + part("other", b"file", filename="x") + END, None, id="a file after"
        ),
        pytest.param(
            part("upload_id", b"abc", "Content-Type: text/plain; charset=utf-8")
            + part("chunk_number", b"0", "Content-Transfer-Encoding: 8BIT", "Content-Length: 1")
            + blob(b"hello")
            + END,
            None,
            id="described",
        ),
        pytest.param(
            part("upload_id", "\u00e4\r\n--".encode() + b"\xff") + blob(b"hello") + END,
            {"upload_id": "\u00e4\r\n--\ufffd"},
            id="a field that is no text",
        ),
    ],
)
def test_other_forms(body: bytes, fields: dict[str, str] | None) -> None:
    for pieces in ([body], (bytes([byte]) for byte in body)):
        assert read(pieces) == Read(FIELDS if fields is None else fields, b"hello")


def many(count: int) -> bytes:
    return b"".join(part(f"f{number}", b"x") for number in range(count)) + blob(b"hello") + END


@pytest.mark.parametrize(
    ("body", "said"),
    [
        pytest.param(b"", "a whole form", id="empty"),
        pytest.param(END, "a file in a field called 'chunk'", id="no parts"),
        pytest.param(part("upload_id", b"abc") + END, "a file in a field", id="no file"),
        pytest.param(SEED[: -len(END)], "a whole form", id="no last boundary"),
        pytest.param(SEED.removesuffix(b"--\r\n"), "a whole form", id="the last is not the last"),
        pytest.param(SEED.removesuffix(b"-\r\n"), "a whole form", id="almost the last"),
        pytest.param(SEED.replace(b"\r\n", b"\n"), "multipart/form-data", id="LF"),
        pytest.param(b"A preamble\r\n" + SEED, "multipart/form-data", id="a preamble"),
        pytest.param(b"%PDF" + bytes(5000), "multipart/form-data", id="no form at all"),
        pytest.param(SEED.replace(b'name="chunk"', b'name="file"'), "called 'chunk'", id="file"),
        pytest.param(SEED.replace(b"; name=", b"; nam="), "and a name", id="no name"),
        pytest.param(SEED.replace(b"form-data", b"attachment"), "form-data and", id="no form-data"),
        pytest.param(SEED.replace(b"Content-Disposition", b"X-D"), "form-data and", id="nothing"),
        pytest.param(
            part("chunk", b"hello", 'content-disposition: form-data; name="a"') + END,
            "once",
            id="two names",
        ),
        pytest.param(
            part("chunk", b"aGVsbG8=", "Content-Transfer-Encoding: base64") + END,
            "without a transfer encoding",
            id="base64",
        ),
        pytest.param(
            part("upload_id", b"a") + part("upload_id", b"a") + blob(b"x") + END,
            "this field once",
            id="an id twice",
        ),
        pytest.param(blob(b"hello") + blob(b"hello") + END, "one file", id="two files"),
        pytest.param(
            blob(b"hello") + part("hash", b"0" * 64) + END, "this field before", id="a hash after"
        ),
        pytest.param(
            blob(b"hello") + part("upload_id", b"a") + END, "this field before", id="an id after"
        ),
        pytest.param(many(forms.MAX_PARTS), "at most 32 parts", id="many parts"),
        pytest.param(
            part("a", bytes(forms.MAX_FIELDS)) + part("b", b"x") + blob(b"") + END,
            "at most 65536",
            id="large fields",
        ),
        pytest.param(
            blob(b"hello") + part("a", bytes(forms.MAX_FIELDS + 1)) + END,
            "at most 65536",
            id="a large field after the file",
        ),
        pytest.param(
            part("chunk", b"", *(f"X-{n}: 1" for n in range(forms.MAX_HEADERS))) + END,
            "form-data, found",
            id="many headers",
        ),
        pytest.param(
            part("chunk", b"", "X-A: " + "x" * forms.MAX_HEADER) + END,
            "form-data, found",
            id="a long header",
        ),
        pytest.param(part("chunk", b"", "x" * 9000) + END, "form-data, found", id="no colon"),
        pytest.param(part("chunk", b"", ": x") + END, "form-data, found", id="no header name"),
        pytest.param(
            b"\r\n" + b"x" * forms.MAX_BEFORE, "within 1048576 bytes", id="nothing for long"
        ),
    ],
)
def test_what_is_no_form(body: bytes, said: str) -> None:
    sizes = [[], [1] * len(body)] if len(body) < 10_000 else [[]]
    for pieces in sizes:
        with pytest.raises(MalformedRequest) as caught:
            read(cut(body, pieces))
        assert said in str(caught.value), caught.value
        assert len(str(caught.value)) < 400


def test_nobody_fills_a_log_with_wrong_forms(caplog: pytest.LogCaptureFixture) -> None:
    for wrong in (b"A preamble\r\n" + SEED, SEED.replace(b"\r\n", b"\n")):
        with pytest.raises(MalformedRequest):
            read([wrong])
    assert not caplog.records


def test_as_many_parts_as_allowed() -> None:
    assert len(read([many(forms.MAX_PARTS - 1)]).fields) == forms.MAX_PARTS - 1


@given(st.data())
def test_any_bytes_are_a_form_or_refused(data: st.DataObject) -> None:
    """No other exception, whatever comes: pieces of forms, mixed with anything."""
    pieces = st.sampled_from(
        [
            *(b"\r\n", b"--", b"--" + BOUNDARY.encode(), b":", b"\r", b"\n", b"-", b" \t"),
            *(b'; name="chunk"', END, SEED[:60], part("hash", b"x"), blob(b"y")),
            b"Content-Disposition: form-data",
        ]
    )
    drawn = data.draw(st.lists(st.one_of(pieces, st.binary(max_size=9)), max_size=12))
    try:
        found = read([b"--" + BOUNDARY.encode() + b"\r\n", *drawn])
    except MalformedRequest:
        return
    assert found.content in b"".join(drawn)


def test_the_file_is_known_before_its_first_byte() -> None:
    parser = Form(CONTENT_TYPE, KNOWN)
    head, _, rest = SEED.partition(b"hello")
    parser.feed(head[:-1])
    assert not parser.has_file
    parser.feed(head[-1:])
    assert parser.has_file
    assert (parser.fields, parser.waiting, parser.is_over) == (FIELDS, forms.deque(), False)
    parser.feed(b"hello" + rest)
    assert parser.is_over
    parser.end()


def test_nothing_is_copied_but_into_the_buffer() -> None:
    """What waits are views, so memory is what the pieces take."""
    parser = Form(CONTENT_TYPE, KNOWN)
    parser.feed(SEED.partition(b"hello")[0])
    data = bytes(1 << 20)
    parser.feed(data)
    assert sum(map(len, parser.waiting)) == len(data)
    assert all(view.obj is data for view in parser.waiting)
    references = sys.getrefcount(data)
    assert parser.readinto(memoryview(bytearray(2 << 20))) == len(data)
    gc.collect()
    assert sys.getrefcount(data) < references  # it is not kept, either


# --- as a source ---------------------------------------------------------------------------------


def source(*messages: Message, length: int | None = None) -> FormBody:
    script = list(messages)

    async def receive() -> Message:
        await anyio.lowlevel.checkpoint()
        return script.pop(0)

    body = Body({"type": "http", "headers": []}, receive)
    body.announce(length)
    return FormBody(Form(CONTENT_TYPE, KNOWN), body)


async def drain(form_body: FormBody) -> bytes:
    await form_body.open()
    content = bytearray()
    buffer = memoryview(bytearray(3))
    while await form_body.wait():
        count = form_body.readinto(buffer)
        assert count
        content += buffer[:count]
    return bytes(content)


@pytest.mark.parametrize("size", [1, 50, 1000])
async def test_a_source(size: int) -> None:
    pieces = cut(SEED, [size] * (len(SEED) // size))
    body = source(*(piece(data) for data in pieces), piece(b"", more=False))
    assert await drain(body) == b"hello"
    assert body.readinto(memoryview(bytearray(3))) == 0
    assert body.closing is None
    with pytest.raises(ValueError, match="promises"):
        body.promised()


async def test_a_source_ends_with_the_body_and_not_before() -> None:
    """What comes after the file may still show that the form is wrong."""
    after = part("hash", b"x") + END
    body = source(piece(SEED[: -len(END)]), piece(after, more=False))
    await body.open()
    with pytest.raises(MalformedRequest, match="before the file"):
        await drain(body)


@pytest.mark.parametrize("at", [0, 10, 200, SEED.index(b"hello") + 2, len(SEED) - 1])
async def test_a_source_that_is_cut(at: int) -> None:
    for last in (GONE, piece(b"", more=False)):
        body = source(piece(SEED[:at]), last, length=len(SEED))
        with pytest.raises(ClientDisconnected):
            await drain(body)


@pytest.mark.parametrize("at", [0, 10, 200, SEED.index(b"hello") + 2, len(SEED) - 3])
async def test_a_source_that_ends_too_early(at: int) -> None:
    """A chunked body whose framing is whole, and whose form is not."""
    body = source(piece(SEED[:at], more=False))
    with pytest.raises(MalformedRequest, match="a whole form"):
        await drain(body)


async def test_a_source_without_a_file() -> None:
    body = source(piece(part("upload_id", b"x") + END, more=False))
    with pytest.raises(MalformedRequest, match="a file in a field"):
        await body.open()
