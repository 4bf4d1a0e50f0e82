from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tusjumbo.errors import (
    MalformedRequest,
    MediaTypeUnsupported,
    MethodNotAllowed,
    Refusal,
    RouteNotFound,
)
from tusjumbo.protocols import routes
from tusjumbo.protocols.messages import Fields
from tusjumbo.protocols.routes import ROUTES, Ask, Visit, recognise
from tusjumbo.sessions.commands import Action, Content, Digest, Keep

ID = "jumbo_abc"
HEX = "ab" * 32
DIGEST = Digest("sha256", bytes.fromhex(HEX))
OWN = 5 * 1024 * 1024


def fields(**values: str) -> Fields:
    return Fields([(name.replace("_", "-").encode(), it.encode()) for name, it in values.items()])


# --- routes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "visit"),
    [
        ("POST /start", Visit(Ask.START, Action.CREATE)),
        ("POST /chunk", Visit(Ask.FORM, Action.APPEND)),
        (f"PUT /{ID}/chunks/07", Visit(Ask.PUT, Action.APPEND, ID, 7)),
        (f"GET /status/{ID}", Visit(Ask.STATUS, Action.INSPECT, ID)),
        (f"HEAD /status/{ID}", Visit(Ask.STATUS, Action.INSPECT, ID)),
        (f"GET /resume/{ID}", Visit(Ask.RESUME, Action.INSPECT, ID)),
        (f"GET /verify/{ID}/0", Visit(Ask.VERIFY, Action.INSPECT, ID, 0)),
        (f"DELETE /{ID}", Visit(Ask.CANCEL, Action.TERMINATE, ID)),
        ("GET /statistics", Visit(Ask.STATISTICS, Action.SURVEY)),
        ("GET /openapi.json", Visit(Ask.DOCUMENT, Action.DESCRIBE)),
        ("GET /jumbo.js", Visit(Ask.CLIENT, Action.DESCRIBE)),
        (f"PUT /{ID}/chunks/1/", Visit(Ask.PUT, Action.APPEND, ID, 1)),
        ("POST /start/", Visit(Ask.START, Action.CREATE)),
        ("GET /status/chunks", Visit(Ask.STATUS, Action.INSPECT, "chunks")),
        ("GET /verify/chunks/1", Visit(Ask.VERIFY, Action.INSPECT, "chunks", 1)),
    ],
)
def test_what_is_asked(line: str, visit: Visit) -> None:
    method, path = line.split()
    assert recognise(method, path) == visit


def test_every_route_is_asked_for_above() -> None:
    asked = [ask for ask in Ask if ask is not Ask.OPTIONS]
    assert [route.ask for route in ROUTES if route.ask not in asked] == []
    assert len({route.ask for route in ROUTES}) == len(ROUTES) == len(asked)


@pytest.mark.parametrize(
    "path",
    [
        *("", "/", "start", "/start//", "//start", "/status//", "/status/a/b", "/status/.."),
        *(f"/{ID}/chunks", f"/{ID}/chunk/1", "/a b/chunks/1", f"/{'a' * 129}"),
        *("/status/jumbo%2f", "/verify/a", "/Start/a", "/openapi.json/a", "/\u0661/chunks/1"),
    ],
)
def test_nothing_is_there(path: str) -> None:
    for method in ("GET", "PUT", "DELETE", "POST", "PATCH"):
        with pytest.raises(RouteNotFound):
            recognise(method, path)


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/start", ("POST", "OPTIONS")),
        ("/chunk", ("POST", "OPTIONS")),
        (f"/{ID}", ("DELETE", "OPTIONS")),
        (f"/{ID}/chunks/1", ("PUT", "OPTIONS")),
        (f"/status/{ID}", ("GET", "HEAD", "OPTIONS")),
        (f"/verify/{ID}/1", ("GET", "HEAD", "OPTIONS")),
        ("/statistics", ("GET", "HEAD", "OPTIONS")),
    ],
)
def test_other_methods(path: str, allowed: tuple[str, ...]) -> None:
    for method in {"GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "TRACE", "get"} - {*allowed}:
        with pytest.raises(MethodNotAllowed) as caught:
            recognise(method, path)
        assert caught.value.allowed == allowed
    visit = recognise("OPTIONS", path)
    assert (visit.action, visit.allowed) == (Action.DESCRIBE, allowed)


def test_options_anywhere() -> None:
    """As for tus: a preflight that fails would hide the answer behind it."""
    visit = recognise("OPTIONS", "/no/such/thing/here")
    assert visit.ask is Ask.OPTIONS
    assert set(visit.allowed) == {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"}


@pytest.mark.parametrize("number", ["x", "-1", "+1", "1.0", "1e3", " 1", "\u0661", str(2**63)])
def test_what_is_no_number(number: str) -> None:
    for method, path in (("GET", f"/verify/{ID}/{number}"), ("PUT", f"/{ID}/chunks/{number}")):
        with pytest.raises(MalformedRequest):
            recognise(method, path)


def test_routes_that_are_switched_off() -> None:
    some = [route for route in ROUTES if route.action is not Action.TERMINATE]
    with pytest.raises(RouteNotFound):
        recognise("DELETE", f"/{ID}", some)
    assert recognise("GET", f"/status/{ID}", some).ask is Ask.STATUS


@given(st.text(), st.text())
def test_any_request_is_recognised_or_refused(method: str, path: str) -> None:
    try:
        recognise(method, "/" + path)
    except Refusal:
        return
    assert method == "OPTIONS"


# --- JSON ----------------------------------------------------------------------------------------


def start(**members: Any) -> bytes:
    return json.dumps({"filename": "a.bin", "size": 5, **members}).encode()


def test_an_upload() -> None:
    told = {"type": "text/plain", "tags": ["a"], "filename": "other"}
    command = routes.started_by(start(metadata=told, chunk_size=65536, further=1), OWN)
    assert (command.length, command.chunk_size, command.content) == (5, 65536, None)
    assert command.metadata == {"filename": b"a.bin", "type": b"text/plain", "tags": b'["a"]'}
    assert json.loads(command.echo["jumbo-metadata"]) == told


def test_whole_numbers_with_a_fraction() -> None:
    """To JSON 5.0 is 5, and some languages write it so."""
    command = routes.started_by(start(size=5.0, chunk_size=65536.0), OWN)
    assert [(type(it), it) for it in (command.length, command.chunk_size)] == [
        (int, 5),
        (int, 65536),
    ]


@pytest.mark.parametrize("metadata", [None, {}])
def test_an_upload_with_nothing_said_of_it(metadata: object) -> None:
    command = routes.started_by(start(metadata=metadata, filename="\u00e4"), OWN)
    assert (dict(command.metadata), dict(command.echo)) == ({"filename": "\u00e4".encode()}, {})
    assert command.chunk_size is None


@pytest.mark.parametrize(
    ("own", "size", "fits"),
    [
        (OWN, 65535, False),
        (OWN, 65536, True),
        (OWN, 4 * 1024**3, True),
        (OWN, 4 * 1024**3 + 1, False),
        (4, 3, False),
        (4, 4, True),
        (4, 5, True),
        (5 * 1024**3, 5 * 1024**3, True),
        (5 * 1024**3, 5 * 1024**3 + 1, False),
    ],
)
def test_the_size_of_chunks(own: int, size: int, fits: bool) -> None:
    if fits:
        assert routes.started_by(start(chunk_size=size), own).chunk_size == size
        return
    with pytest.raises(MalformedRequest) as caught:
        routes.started_by(start(chunk_size=size), own)
    assert caught.value.field == "chunk_size"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        pytest.param(b"", "body", id="empty"),
        pytest.param(b"{", "body", id="cut"),
        pytest.param(b"[]", "body", id="a list"),
        pytest.param(b'"x"', "body", id="a text"),
        pytest.param(b"null", "body", id="null"),
        pytest.param(b'{"size": 5}', "body", id="no name"),
        pytest.param(b'{"filename": "a"}', "body", id="no size"),
        pytest.param(b'{"filename": "a", "size": 5} x', "body", id="more"),
        pytest.param(b'{"filename": "a", "size": 5, "size": 6}', "body", id="twice"),
        pytest.param(b'{"filename": "\xff", "size": 5}', "body", id="no UTF-8"),
        pytest.param(start().decode().encode("utf-16"), "body", id="UTF-16"),
        pytest.param(b"\xef\xbb\xbf" + start(), "body", id="a byte order mark"),
        pytest.param(b"[" * 60_000, "body", id="deep"),
        pytest.param(start(metadata=1)[:-2] + b"{" * 60_000, "body", id="deep metadata"),
        pytest.param(b'{"filename": "a", "size": NaN}', "body", id="NaN"),
        pytest.param(b'{"filename": "a", "size": ' + b"9" * 60_000 + b"}", "body", id="digits"),
        pytest.param(start(filename=""), "filename", id="an empty name"),
        pytest.param(start(filename=None), "filename", id="null as a name"),
        pytest.param(start(filename=["a"]), "filename", id="names"),
        pytest.param(start(size="5"), "size", id="text as a size"),
        pytest.param(start(size=True), "size", id="true as a size"),
        pytest.param(start(size=5.5), "size", id="a fraction as a size"),
        pytest.param(start(size=1e300), "size", id="a number beyond all sizes"),
        pytest.param(start(size=-1), "size", id="a negative size"),
        pytest.param(start(size=2**63), "size", id="too large a size"),
        pytest.param(start(size=None), "size", id="null as a size"),
        pytest.param(start(metadata=[]), "metadata", id="a list as metadata"),
        pytest.param(start(metadata="x"), "metadata", id="text as metadata"),
        pytest.param(start(metadata=False), "metadata", id="false as metadata"),
        pytest.param(start(chunk_size=False), "chunk_size", id="false as a chunk size"),
        pytest.param(start(chunk_size=0), "chunk_size", id="no chunks"),
        pytest.param(start(chunk_size="65536"), "chunk_size", id="text as a chunk size"),
    ],
)
def test_what_begins_nothing(body: bytes, field: str) -> None:
    with pytest.raises(MalformedRequest) as caught:
        routes.started_by(body, OWN)
    assert caught.value.field == field
    assert len(str(caught.value)) < 400


@given(st.binary())
def test_any_bytes_begin_something_or_are_refused(body: bytes) -> None:
    with pytest.raises(MalformedRequest):
        routes.started_by(body, OWN)


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=utf-8"])
def test_json(kind: str) -> None:
    routes.check_json(fields(content_type=kind))


@pytest.mark.parametrize(
    "kind", ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonp", "x"]
)
def test_what_any_page_may_send_is_no_json(kind: str) -> None:
    for found in (fields(content_type=kind), fields()):
        with pytest.raises(MediaTypeUnsupported):
            routes.check_json(found)


# --- chunks --------------------------------------------------------------------------------------


def test_a_form() -> None:
    told = {"upload_id": ID, "chunk_number": "3", "csrf": "x"}
    put = routes.put_by_form(told)
    assert (put.id, put.number) == (ID, 3)
    assert put.content == Content(announced=None, keep=Keep.ALL_OR_NOTHING)
    for text in (HEX, HEX.upper()):
        assert routes.put_by_form({**told, "hash": text}).content.digest == DIGEST


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        pytest.param({"upload_id": None}, "upload_id", id="no id"),
        pytest.param({"upload_id": ""}, "upload_id", id="an empty id"),
        pytest.param({"upload_id": "../a"}, "upload_id", id="a path"),
        pytest.param({"chunk_number": None}, "chunk_number", id="no number"),
        pytest.param({"chunk_number": ""}, "chunk_number", id="an empty number"),
        pytest.param({"chunk_number": "-1"}, "chunk_number", id="a negative number"),
        pytest.param({"chunk_number": "1.0"}, "chunk_number", id="a fraction"),
        pytest.param({"chunk_number": "\u0661"}, "chunk_number", id="digits of others"),
        pytest.param({"hash": ""}, "hash", id="an empty hash"),
        pytest.param({"hash": HEX[1:]}, "hash", id="a short hash"),
        pytest.param({"hash": HEX + "\n"}, "hash", id="a line break"),
        pytest.param({"hash": "x" * 64}, "hash", id="no hash"),
    ],
)
def test_what_is_no_form(changed: dict[str, str | None], field: str) -> None:
    told = {"upload_id": ID, "chunk_number": "0", **changed}
    with pytest.raises(MalformedRequest) as caught:
        routes.put_by_form({name: text for name, text in told.items() if text is not None})
    assert caught.value.field == field
    assert ("before the file" in str(caught.value)) == (None in changed.values())


def test_a_body() -> None:
    put = routes.put_by_body(ID, 3, fields(content_type="whatever/it is"), 7)
    assert put.content == Content(announced=7, keep=Keep.ALL_OR_NOTHING)
    digest = fields(content_digest="sha-256=:q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s=:")
    assert routes.put_by_body(ID, 3, digest, None).content == Content(
        announced=None, keep=Keep.ALL_OR_NOTHING, digest=DIGEST
    )


@pytest.mark.parametrize(
    "wrong",
    [{"content_range": "bytes 0-4/5"}, {"content_encoding": "gzip"}, {"content_digest": "x="}],
    ids=lambda wrong: next(iter(wrong)),
)
def test_what_is_no_body(wrong: dict[str, str]) -> None:
    with pytest.raises(MalformedRequest) as caught:
        routes.put_by_body(ID, 3, fields(**wrong), 7)
    assert caught.value.field == next(iter(wrong)).replace("_", "-")


def test_nothing_is_stored_as_it_was_compressed() -> None:
    kinds = {
        "application/json": routes.check_json,
        "multipart/form-data; boundary=a": routes.check_form,
    }
    for kind, check in kinds.items():
        check(fields(content_type=kind, content_encoding="identity"))
        with pytest.raises(MalformedRequest):
            check(fields(content_type=kind, content_encoding="br"))


def test_a_form_says_that_it_is_one() -> None:
    kind = 'Multipart/Form-Data; boundary="a b"'
    assert routes.check_form(fields(content_type=kind)) == kind
    for found in (fields(), fields(content_type="application/json"), fields(content_type="a")):
        with pytest.raises(MediaTypeUnsupported):
            routes.check_form(found)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", None),
        ("a=b", None),
        (f"hash={HEX}", DIGEST),
        (f"a&hash={HEX.upper()}&b=c", DIGEST),
        (f"h%61sh={HEX[:62]}%61%62", DIGEST),
    ],
)
def test_a_hash_in_a_query(query: str, expected: Digest | None) -> None:
    assert routes.hash_in(query) == expected


@pytest.mark.parametrize("query", ["hash", "hash=", "hash=x", f"hash={HEX}&hash={HEX}", "hash=%"])
def test_what_is_no_hash_in_a_query(query: str) -> None:
    with pytest.raises(MalformedRequest):
        routes.hash_in(query)
