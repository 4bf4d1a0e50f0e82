"""Request heads that nobody writes by accident, over the wire, to a real server.

Whatever comes: no 5xx, no traceback in the log (the harness looks), no file anywhere but in the
upload directory and its rooms, and the server answers the next request.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.faults.campaign import CAMPAIGN
from tests.harness.process import Server
from tests.harness.tus import OFFSET_STREAM, Tus, encode_metadata, patch_headers
from tests.harness.wire import GoneError, Response

pytestmark = [pytest.mark.wire, pytest.mark.campaign]

LENGTH = 100_000
ROOMS = {"catalog.sqlite3", "sessions", "completed", "abandoned", "locks"}


@dataclass
class Cage:
    """A server whose upload directory is deep in a tree in which nothing else may appear."""

    server: Server
    root: Path
    upload: str
    """An unfinished upload to aim at."""

    def escaped(self) -> list[str]:
        directory = self.server.directory
        names = [str(path.relative_to(self.root)) for path in self.root.rglob("*")]
        inside = str(directory.relative_to(self.root))
        above = {str(path) for path in Path(inside).parents}
        outside = [
            name
            for name in names
            if not name.startswith(inside + "/") and name != inside and name not in above
        ]
        rooms = {
            path.name.removesuffix("-wal").removesuffix("-shm") for path in directory.iterdir()
        }
        return outside + sorted(rooms - ROOMS)

    def is_fine(self) -> None:
        assert self.escaped() == []
        if self.server.tus.head(self.upload).expect(200, 404).status == 404:
            self.upload = self.server.tus.create(LENGTH)  # something has terminated it


@pytest.fixture(scope="module")
def cage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cage]:
    root = tmp_path_factory.mktemp("cage")
    directory = root / "a" / "b" / "c" / "data"
    directory.parent.mkdir(parents=True)
    logs = tmp_path_factory.mktemp("logs") / "data"
    with Server(directory, "--max-size", "1MB", logs=logs.parent) as server:
        yield Cage(server, root, server.tus.create(LENGTH))


NUMBERS = st.one_of(
    st.integers(-(2**70), 2**70).map(str),
    st.sampled_from(["0", "00", "+0", "-0", "-1", "0x10", "1e3", "1_0", "1.0", "1,2", "NaN"]),
    st.sampled_from(["", " ", "0 0", "1\t", "\N{ARABIC-INDIC DIGIT ONE}", "\N{SUPERSCRIPT TWO}"]),
    st.sampled_from([str(2**63 - 1), str(2**63), str(2**64), "9" * 30, "9" * 5000]),
)
TEXT = st.one_of(
    st.text(
        st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"),
        max_size=60,
    ),
    st.text(max_size=30).map(lambda text: text.encode().decode("latin-1")),
    st.binary(max_size=30).map(lambda data: data.decode("latin-1")),
)
NASTY_NAMES = (
    *("../../../evil", "/etc/passwd", "..", ".", "", "a/b", "a\\b", "C:\\x", "con", "nul.txt"),
    *(".hidden", "a\x00b", "a\nb", "\u202egpj.exe", "-rf", "~root", "catalog.sqlite3", " "),
    *("x" * 300, "\u00e9" * 200, "\U0001f600" * 100, "a" * 255, "a" * 250 + ".tar.gz"),
    *("trailing. ", "\ud7ff", "<script>.html"),
)
PAIRS = st.one_of(
    st.sampled_from(["", ",", "filename", "filename ", "filename  YQ==", "filename YQ"]),
    st.sampled_from(["filename !!!!", "a YQ==,a Yg==", "name /////w==", "k " * 500]),
    st.sampled_from(["filename " + "QUFB" * 3000, ",".join(f"k{n} YQ==" for n in range(400))]),
    st.sampled_from(NASTY_NAMES).map(lambda name: encode_metadata({"filename": name})),
    TEXT,
)
NAMES = {
    "Tus-Resumable": st.one_of(st.just("1.0.0"), st.just("1.0.0"), TEXT),
    "Upload-Length": NUMBERS,
    "Upload-Offset": NUMBERS,
    "Upload-Defer-Length": NUMBERS,
    "Upload-Metadata": PAIRS,
    "Upload-Concat": st.one_of(st.sampled_from(["partial", "final;/files/a /files/b"]), TEXT),
    "Upload-Checksum": st.one_of(st.sampled_from(["sha1 AAAA", "md5", "nosuch AA=="]), TEXT),
    "Trailer": st.one_of(st.sampled_from(["Upload-Checksum", "a, upload-checksum", ","]), TEXT),
    "Upload-Draft-Interop-Version": NUMBERS,
    "Upload-Complete": st.sampled_from(["?0", "?1", "?2", "1"]),
    "Content-Type": st.one_of(
        st.just("application/offset+octet-stream"),
        st.sampled_from(["", ";", "application/offset+octet-stream;" + "a" * 3000]),
        TEXT,
    ),
    "Content-Length": NUMBERS,
    "Transfer-Encoding": st.sampled_from(["chunked", "gzip", "chunked, chunked", "identity"]),
    "X-HTTP-Method-Override": st.one_of(
        st.sampled_from(["PATCH", "DELETE", "HEAD", "patch", "BREW", "POST", "OPTIONS"]), TEXT
    ),
    "Expect": st.sampled_from(["100-continue", "200-ok", ""]),
    "Connection": st.sampled_from(["close", "keep-alive", "upgrade"]),
    "Upgrade": st.sampled_from(["h2c", "websocket", "x"]),
    "Range": st.sampled_from(["bytes=0-", "bytes=-1", "bytes=5-2", "bytes=0-0,2-3", "x", "bytes="]),
    "If-Range": TEXT,
    "If-None-Match": TEXT,
    "Origin": st.one_of(st.sampled_from(["https://example.org", "null"]), TEXT),
    "Access-Control-Request-Method": TEXT,
    "Access-Control-Request-Headers": TEXT,
    "Host": st.one_of(st.sampled_from(["", "a b", "[::1", "x:99999", "evil/../"]), TEXT),
    "Forwarded": TEXT,
    "X-Forwarded-Host": TEXT,
    "X-Forwarded-For": TEXT,
}
HEADER = st.sampled_from(sorted(NAMES)).flatmap(lambda name: st.tuples(st.just(name), NAMES[name]))
# Duplicates are wanted, so this is a list and not a dictionary.
HEADERS = st.lists(HEADER, max_size=8)
METHODS = st.one_of(
    st.sampled_from(["POST", "PATCH", "HEAD", "DELETE", "GET", "OPTIONS", "PUT", "CONNECT"]),
    st.text("ABCabc-_", min_size=1, max_size=12),
)
TAILS = st.one_of(
    st.sampled_from(["..", "../", "../../etc/passwd", "%2e%2e/%2e%2e/x", "..%2f..%2fx", "%00"]),
    st.sampled_from(["catalog.sqlite3", "../catalog.sqlite3", "sessions", "a/b", "a//b", "//"]),
    st.sampled_from(["?x=1", "#x", "%", "%zz", "%c3%28", "a%00b", "\\..\\x", "0" * 32, "+", ";"]),
    st.sampled_from(["a" * 300, "a" * 5000]),
    st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=40),
)


def _answer(server: Server, head: bytes, method: str) -> Response | None:
    """What the server says to a head after which nothing comes; None if it hangs up."""
    with server.endpoint.connect() as wire:
        try:
            wire.send(head, answers=method)
            wire.half_close()
            return wire.read()
        except (GoneError, BrokenPipeError):
            return None


def _write(method: str, target: str, headers: list[tuple[str, str]]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode("latin-1", "replace")


RIGHT = st.sampled_from(
    [
        ("POST", "", {"Upload-Length": "9"}),
        ("POST", "", {"Upload-Defer-Length": "1", "Upload-Metadata": "filename YQ=="}),
        ("POST", "", {"Upload-Length": "9", "Content-Type": OFFSET_STREAM, "Content-Length": "9"}),
        ("PATCH", "UPLOAD", patch_headers(0) | {"Content-Length": "9"}),
        ("PATCH", "UPLOAD", patch_headers(0) | {"Transfer-Encoding": "chunked"}),
        ("POST", "UPLOAD", patch_headers(0) | {"X-HTTP-Method-Override": "PATCH"}),
        ("HEAD", "UPLOAD", {}),
        ("GET", "UPLOAD", {}),
        ("DELETE", "UPLOAD", {}),
        ("OPTIONS", "", {"Origin": "https://example.org", "Access-Control-Request-Method": "POST"}),
    ]
)
"""Requests without a fault (but that their bodies never come)."""


def _ask(cage: Cage, method: str, tail: str, headers: list[tuple[str, str]]) -> None:
    target = cage.upload if tail == "UPLOAD" else f"/files/{tail}"
    # A line of a header in the value of another is not a hostile value, but another request.
    headers = [(name, value.replace("\r", "").replace("\n", "")) for name, value in headers]
    response = _answer(cage.server, _write(method, target, headers), method)
    if response is not None:
        assert response.status < 500, (response, method, target, headers)
    cage.is_fine()


@settings(max_examples=500 * CAMPAIGN, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(right=RIGHT, wrong=st.lists(HEADER, min_size=1, max_size=3), twice=st.booleans())
def test_right_requests_with_a_few_wrong_headers(
    cage: Cage, right: tuple[str, str, dict[str, str]], wrong: list[tuple[str, str]], twice: bool
) -> None:
    """Wrong ones come instead of the right ones, or (`twice`) after them."""
    method, tail, headers = right
    sent = [("Host", "x"), ("Tus-Resumable", "1.0.0"), *headers.items()]
    names = () if twice else {name for name, _ in wrong}
    _ask(cage, method, tail, [pair for pair in sent if pair[0] not in names] + wrong)


@settings(max_examples=300 * CAMPAIGN, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    method=METHODS,
    tail=st.one_of(st.just("UPLOAD"), st.just(""), TAILS),
    headers=HEADERS,
    is_tus=st.booleans(),
)
def test_any_heads(
    cage: Cage, method: str, tail: str, headers: list[tuple[str, str]], is_tus: bool
) -> None:
    right = [("Host", "x"), ("Tus-Resumable", "1.0.0")] if is_tus else []
    _ask(cage, method, tail, right + headers)


@settings(max_examples=150 * CAMPAIGN, deadline=None)
@given(method=st.sampled_from(["POST", "PATCH", "HEAD"]), lines=st.binary(max_size=200))
def test_bytes_that_are_hardly_http(cage: Cage, method: str, lines: bytes) -> None:
    head = f"{method} {cage.upload} HTTP/1.1\r\nHost: x\r\n".encode() + lines + b"\r\n\r\n"
    response = _answer(cage.server, head, method)
    if response is not None:
        assert response.status < 500, response
    cage.is_fine()


@settings(max_examples=100 * CAMPAIGN, deadline=None)
@given(data=st.binary(min_size=1, max_size=300))
def test_noise(cage: Cage, data: bytes) -> None:
    with cage.server.endpoint.connect() as wire, suppress(BrokenPipeError, ConnectionResetError):
        wire.send(data)
        wire.half_close()
        assert b" 50" not in wire.read_to_end()[:12]
    cage.is_fine()


@settings(max_examples=150 * CAMPAIGN, deadline=None)
@given(metadata=PAIRS, body=st.binary(min_size=1, max_size=50))
def test_whole_uploads_with_hostile_metadata(cage: Cage, metadata: str, body: bytes) -> None:
    """Names reach the disk only when an upload is finished: so these are finished."""
    tus = cage.server.tus
    value = metadata.replace("\r", "").replace("\n", "").strip()
    with suppress(GoneError, BrokenPipeError):
        created = tus.request(
            "POST",
            tus.endpoint.path,
            {"Upload-Length": str(len(body)), "Upload-Metadata": value},
        )
        assert created.status < 500
        if created.status == 201:
            path = "/files/" + created["Location"].rsplit("/", 1)[1]
            tus.finish(path, body)
            got = tus.request("GET", path).expect(200)
            assert got.body == body
            assert got["X-Content-Type-Options"] == "nosniff"
            assert tus.head(path).expect(200).get(
                "Upload-Metadata",
            ) in (value, None)
            tus.delete(path).expect(204)
    cage.is_fine()


@pytest.mark.parametrize("name", NASTY_NAMES, ids=range(len(NASTY_NAMES)))
def test_nasty_file_names_stay_in_their_room(cage: Cage, name: str) -> None:
    tus = cage.server.tus
    for body in (b"one", b"two"):
        path = tus.create(3, {"filename": name})
        tus.finish(path, body)
        assert tus.get(path) == body
    cage.is_fine()
    finished = list((cage.server.directory / "completed").iterdir())
    assert all(file.is_file() and not file.is_symlink() for file in finished)
    assert {file.read_bytes() for file in finished} >= {b"one", b"two"}


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"POST /files/ HTTP/1.1\r\nHost: x\r\n" + b"a: b\r\n" * 200_000, id="many"),
        pytest.param(b"POST /files/ HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 2_000_000, id="long"),
        pytest.param(b"GET /files/" + b"a" * 2_000_000, id="target"),
        pytest.param(b"GET " * 300_000, id="words"),
    ],
)
def test_a_head_without_an_end_is_cut_off(cage: Cage, head: bytes) -> None:
    """The server does not buffer it all, whatever it answers."""
    with cage.server.endpoint.connect() as wire:
        wire.send_until_answered(head)
        with suppress(GoneError, ConnectionError):
            response = wire.read()
            assert 400 <= response.status < 500
    cage.is_fine()


def test_hundreds_of_idle_connections_hinder_nobody(cage: Cage) -> None:
    address = (cage.server.endpoint.host, cage.server.endpoint.port)
    idle = [socket.create_connection(address) for _ in range(300)]
    try:
        for one in idle[::2]:
            one.sendall(b"POST /files/ HTT")
        cage.is_fine()
        path = Tus(cage.server.endpoint).create(3)
        Tus(cage.server.endpoint).finish(path, b"abc")
    finally:
        for one in idle:
            one.close()
