"""Request heads that nobody sane sends: never our mistake, and never a file where none belongs."""

from __future__ import annotations

import base64
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from tests.web.browsing import GONE, OFFSET_STREAM, Browser, T, piece
from tests.web.conftest import Serve
from tusjumbo.web.bodies import Message

latin_1 = st.text(st.characters(max_codepoint=255), max_size=40)
numbers = st.one_of(
    st.integers(0, 20).map(str),
    st.integers(-5, 2**70).map(str),
    st.sampled_from(["", "+5", "0x5", "1_0", "05", "5 ", "5,5", "1e3", "9" * 400, "\xb2"]),
    latin_1,
)
names = st.sampled_from(
    [
        *("../../x", "/etc/passwd", "..", ".", "", "a/b", "a\\b", "C:\\x", "a\0b", "a\r\nb"),
        *("\u202e", "catalog.sqlite3", "con", "x" * 5000, "-rf", "~", "\ud800", "\xe9" * 200),
    ]
)
good_metadata = st.one_of(
    st.builds(
        lambda key, name: f"{key} {base64.b64encode(name.encode('utf-8', 'replace')).decode()}",
        st.sampled_from(["filename", "name", "filetype", "type", "x"]),
        names,
    ),
    st.binary(max_size=40).map(lambda data: "filename " + base64.b64encode(data).decode()),
)
metadata = st.one_of(good_metadata, latin_1)
_FIELDS = {
    "Tus-Resumable": st.one_of(st.just("1.0.0"), latin_1),
    "Upload-Length": numbers,
    "Upload-Offset": numbers,
    "Upload-Defer-Length": st.one_of(st.just("1"), numbers),
    "Upload-Metadata": metadata,
    "Upload-Concat": st.one_of(st.just("partial"), st.just("final;/a /b"), latin_1),
    "Upload-Checksum": st.one_of(st.just("sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0="), latin_1),
    "Trailer": st.one_of(st.just("Upload-Checksum, Upload-Offset"), latin_1),
    "Content-Type": st.one_of(st.just(OFFSET_STREAM), latin_1),
    "Content-Length": numbers,
    "Transfer-Encoding": st.one_of(st.just("chunked"), latin_1),
    "X-HTTP-Method-Override": st.sampled_from(["PATCH", "delete", "HEAD", "GET", "", "F O", "X"]),
    "Range": st.one_of(st.sampled_from(["bytes=0-1", "bytes=-1", "bytes=5-1", "a"]), latin_1),
    "If-None-Match": latin_1,
    "If-Modified-Since": latin_1,
    "If-Range": latin_1,
    "Origin": latin_1,
    "Access-Control-Request-Method": latin_1,
    "Host": latin_1,
    "Forwarded": latin_1,
    "X-Forwarded-For": latin_1,
    "X-Forwarded-Host": latin_1,
    "X-Forwarded-Prefix": st.one_of(st.just("//evil"), latin_1),
    "Expect": st.one_of(st.just("100-continue"), latin_1),
}
_any_field = st.sampled_from(sorted(_FIELDS)).flatmap(
    lambda name: st.tuples(st.just(name), _FIELDS[name])
)
_usual = st.fixed_dictionaries(
    {
        "Tus-Resumable": st.just("1.0.0"),
        "Content-Type": st.just(OFFSET_STREAM),
        "Upload-Offset": st.integers(0, 6).map(str),
    },
    optional={"Upload-Length": st.integers(0, 11).map(str), "Upload-Metadata": metadata},
).map(lambda found: list(found.items()))
heads = st.one_of(
    _usual,
    st.builds(list.__add__, _usual, st.lists(_any_field, max_size=2)),
    st.builds(list.__add__, _usual, st.lists(_any_field, max_size=2)),
    st.lists(_any_field, max_size=6),
)
methods = st.sampled_from(["POST", "PATCH", "HEAD", "DELETE", "GET", "OPTIONS", "PUT", "X\r"])
_odd_paths = st.sampled_from(
    [
        *("/{open}/", "/{done}/", "{open}", "//", "/../../etc/passwd", "/%2e%2e/x", "/a\0", "/.."),
        *("/sessions/x", "/.", "/catalog.sqlite3", "/\\x", "/" + "a" * 300, "/{done}/x"),
    ]
)
_usual_paths = st.sampled_from(["", "/", "/{open}", "/{open}", "/{done}"])
paths = st.one_of(
    _usual_paths, _usual_paths, _odd_paths, st.text(max_size=20).map(lambda text: "/" + text)
)
bodies = st.one_of(
    st.just([piece(b"", more=False)]),
    st.lists(st.binary(max_size=8), max_size=3).map(
        lambda parts: [*map(piece, parts), piece(b"", more=False)]
    ),
    st.lists(st.binary(max_size=8), max_size=3).map(lambda parts: [*map(piece, parts), GONE]),
)


ROOMS = {"sessions", "completed", "abandoned", "locks", "catalog.sqlite3"}
ROOMS |= {"catalog.sqlite3-wal", "catalog.sqlite3-shm"}


@pytest.fixture
def browser(serve: Serve, tmp_path: Path) -> Iterator[Browser]:
    directory = tmp_path / "deep" / "down" / "data"
    tus = serve(upload_dir=directory, max_size=10, behind_proxy="192.0.2.0/24", location="url")
    yield Browser(tus.at("/deep"), {"root_path": "/very"})
    check_places(tmp_path)


def check_places(above: Path) -> None:
    """Nothing is but where it belongs, in an upload directory three levels below `above`."""
    found = {path.relative_to(above) for path in above.rglob("*")}
    inside = {path for path in found if len(path.parts) > 3}
    assert {str(path) for path in found - inside} == {"deep", "deep/down", "deep/down/data"}
    assert inside
    for path in inside:
        assert path.parts[3] in ROOMS
        assert len(path.parts) <= (6 if path.parts[3:5] == ("locks", "bells") else 5)
        assert not any(unicodedata.category(c) in ("Cc", "Zl", "Zp") for c in path.name)
        assert not path.is_symlink()


@settings(
    max_examples=300,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(method=methods, path=paths, head=heads, body=bodies, known=good_metadata)
async def test_hostile_heads(
    browser: Browser,
    method: str,
    path: str,
    head: list[tuple[str, str]],
    body: list[Message],
    known: str,
) -> None:
    whole = {**T, "Upload-Length": "5", "Content-Type": OFFSET_STREAM, "Upload-Metadata": known}
    for name, content in (("{open}", b"abc"), ("{done}", b"hello")):
        created = await browser.ask("POST", "/deep", whole, content)
        assert created.status == 201
        path = path.replace(name, created.location.rpartition("/")[2])
    path = "/deep" + path
    answer = await browser.ask(method, path, head, body)
    event(f"{method} {answer.status}")
    # 0: the client was gone.
    assert answer.status == 0 or 200 <= answer.status < 500, answer
    location = answer.headers.get("location", "/very/deep/jumbo_")
    assert "/very/deep/jumbo_" in location
    assert not location.startswith("//")
