"""Checked uploads on the wire: what is wrong leaves no trace, however it is cut into segments.

The rows of specs/tus-1.0.md section 6 against a real server, under their ids. A trailer can come in
the segment of its head, or long after the body; both are tried, because for a server they differ.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence

import pytest
from uvicorn.protocols.http.h11_impl import H11Protocol

from tests.faults.campaign import MIB
from tests.harness.process import Server
from tests.harness.tus import OFFSET_STREAM, Tus, patch_headers
from tests.harness.wire import Response
from tests.server.serving import STOCK, served
from tusjumbo.digests import ALGORITHMS
from tusjumbo.web.asgi import TusJumbo

pytestmark = pytest.mark.wire

HELLO = b"hello world"
# As in the spec's own example.
SHA1 = "sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0="
CHUNKED = {"Transfer-Encoding": "chunked"}
PROMISE = {**CHUNKED, "Trailer": "Upload-Checksum"}

Pairs = Sequence[tuple[str, str]]


def checksum(algorithm: str, data: bytes) -> str:
    hasher = ALGORITHMS[algorithm].new()
    hasher.update(data)
    return f"{algorithm} {b64encode(hasher.digest()).decode()}"


WRONG = checksum("sha1", b"else")


@pytest.fixture
def path(server: Server) -> Iterator[str]:
    """An upload of 22 bytes with the first 11 in."""
    path = server.tus.create(22)
    server.tus.patch(path, 0, HELLO).expect(204)
    yield path
    server.tus.delete(path).expect(204)


def at_eleven(tus: Tus, path: str) -> bool:
    """Whether nothing has come of what was sent, and the rest can be sent."""
    response = tus.head(path).expect(200)
    assert (response["Upload-Offset"], response["Upload-Length"]) == ("11", "22")
    response = tus.patch(path, 11, HELLO, {"Upload-Checksum": SHA1}).expect(204)
    assert response["Upload-Offset"] == "22"
    return tus.get(path) == HELLO * 2


def test_what_is_advertised(server: Server) -> None:
    """CSUM-01, TRAIL-01, CORE-14."""
    response = server.tus.request("OPTIONS", "/files/")
    assert {"checksum", "checksum-trailer"} <= set(response["Tus-Extension"].split(","))
    assert response["Tus-Checksum-Algorithm"].split(",") == list(ALGORITHMS)


# --- before the body -----------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_algorithm(server: Server, path: str, algorithm: str) -> None:
    """CSUM-03, CSUM-04, CSUM-08."""
    for value in (checksum(algorithm, HELLO[:-1]), checksum(algorithm, HELLO * 2)):
        response = server.tus.patch(path, 11, HELLO, {"Upload-Checksum": value})
        assert response.status == 460
        assert response.get("Upload-Offset") in (None, "11")
        assert response["Tus-Resumable"] == "1.0.0"
        assert server.tus.offset(path) == 11
    right = {"Upload-Checksum": checksum(algorithm, HELLO)}
    assert server.tus.patch(path, 11, HELLO, right).expect(204)["Upload-Offset"] == "22"
    assert server.tus.get(path) == HELLO * 2


@pytest.mark.parametrize("framing", [{}, CHUNKED], ids=["length", "chunked"])
def test_a_wrong_body(server: Server, path: str, framing: Mapping[str, str]) -> None:
    """CSUM-04, CSUM-09: also one that would have completed the upload; other bytes than at last."""
    with server.endpoint.connect() as wire:
        for value in (WRONG, SHA1):
            body = b"HELLO WORLD" if value == SHA1 else HELLO
            length = {} if framing else {"Content-Length": "11"}
            headers = {"Upload-Checksum": value, **framing, **length}
            wire.head("PATCH", path, {"Tus-Resumable": "1.0.0", **patch_headers(11), **headers})
            wire.send(b"b\r\n%b\r\n0\r\n\r\n" % body if framing else body)
            assert wire.read().status == 460
        # The connection is as good as before.
        assert wire.request("HEAD", path, {"Tus-Resumable": "1.0.0"}).status == 200
    assert not list(server.directory.glob(f"completed/{path.rsplit('/', 1)[1]}*"))
    assert at_eleven(server.tus, path)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("foo Kq5sNclPz7QV2+lfQIuc6R7oRu0=", id="CSUM-05"),
        pytest.param("sha1", id="CSUM-06 no digest"),
        pytest.param("sha1  Kq5sNclPz7QV2+lfQIuc6R7oRu0=", id="CSUM-06 spaces"),
        pytest.param("sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0", id="CSUM-06 padding"),
        pytest.param("sha1 AAAA", id="CSUM-06 size"),
        pytest.param(SHA1.replace("sha1", "SHA1"), id="CSUM-07"),
    ],
)
@pytest.mark.parametrize("method", ["PATCH", "POST"])
def test_refused_before_the_body(server: Server, path: str, method: str, value: str) -> None:
    target = path if method == "PATCH" else "/files/"
    own = patch_headers(11) if method == "PATCH" else {"Upload-Length": "11"}
    headers = {"Tus-Resumable": "1.0.0", **own, "Content-Type": OFFSET_STREAM}
    headers |= {"Upload-Checksum": value, "Content-Length": "11", "Expect": "100-continue"}
    with server.endpoint.connect() as wire:
        wire.head(method, target, headers)
        response = wire.read()
    assert (response.status, response.interim) == (400, ())
    assert response.get("Location") is None
    assert at_eleven(server.tus, path)


@pytest.mark.parametrize("cut", ["fin", "reset"])
@pytest.mark.parametrize("trailer", [False, True], ids=["header", "trailer"])
def test_a_cut_leaves_nothing(server: Server, cut: str, trailer: bool) -> None:
    """CSUM-10, TRAIL-04, AMB-16: not even if all bytes came, and only the end did not."""
    path = server.tus.create(22)
    server.tus.patch(path, 0, HELLO).expect(204)
    extra = {"Trailer": "Upload-Checksum"} if trailer else {"Upload-Checksum": SHA1}
    for ending in (b"", b"b\r\nhel", b"b\r\nhello world\r\n", b"b\r\nhello world\r\n0\r\nUpload-C"):
        with server.tus.begin_patch(path, 11, None, extra) as wire:
            wire.send(ending)
            wire.until_acknowledged()
            wire.reset() if cut == "reset" else wire.close()
            wire.until_dropped()
        assert server.tus.offset(path) == 11
    assert at_eleven(server.tus, path)


def test_a_long_cut_leaves_nothing(server: Server, content: bytes) -> None:
    """Longer than what is committed on the way without a checksum."""
    path = server.tus.create(len(content) * 12)
    headers = {"Upload-Checksum": checksum("crc32c", content * 12)}
    with server.tus.begin_patch(path, 0, len(content) * 12, headers) as wire:
        for _ in range(11):
            wire.send(content)
        wire.until_read()
        assert not wire.answered()
        wire.close()
        wire.until_dropped()
    assert server.tus.offset(path) == 0
    assert server.tus.patch(path, 0, content * 12, headers).status == 204


def test_an_empty_body(server: Server, path: str) -> None:
    """CSUM-11."""
    empty = {"Upload-Checksum": checksum("sha1", b"")}
    assert server.tus.patch(path, 11, b"", {"Upload-Checksum": WRONG}).status == 460
    assert server.tus.patch(path, 11, b"", empty).expect(204)["Upload-Offset"] == "11"
    assert at_eleven(server.tus, path)
    assert server.tus.patch(path, 22, b"", empty).expect(204)["Upload-Offset"] == "22"
    assert server.tus.patch(path, 22, b"", {"Upload-Checksum": WRONG}).status == 460


@pytest.mark.parametrize("body", [HELLO, b""], ids=["body", "empty"])
def test_creation(server: Server, body: bytes) -> None:
    """CWU-10, AMB-18."""
    before = set(server.directory.glob("sessions/*"))
    headers = {"Upload-Length": "11", "Content-Type": OFFSET_STREAM, "Upload-Checksum": WRONG}
    response = server.tus.request("POST", "/files/", headers, body)
    assert (response.status, response.get("Location")) == (460, None)
    assert set(server.directory.glob("sessions/*")) == before
    path = server.tus.create(11, headers={"Upload-Checksum": checksum("md5", body)}, body=body)
    assert server.tus.offset(path) == len(body)


def test_who_looks_does_not_see_what_is_not_committed(server: Server, content: bytes) -> None:
    """CSUM-14. A client that sends nothing any more is asked to leave, and all it sent is gone."""
    path = server.tus.create(len(content))
    headers = {"Upload-Checksum": checksum("sha256", content)}
    with server.tus.begin_patch(path, 0, len(content), headers) as wire:
        wire.send(content[:-1])
        wire.until_read()
        assert server.tus.offset(path) == 0
        assert wire.read().status == 423
    assert server.tus.patch(path, 0, content, headers).status == 204
    assert server.tus.get(path) == content


# --- after the body ------------------------------------------------------------------------------


def _send(
    tus: Tus,
    path: str,
    trailers: Pairs,
    headers: Mapping[str, str] = PROMISE,
    *,
    segments: str,
    body: bytes = HELLO,
    at: int = 11,
) -> Response:
    """A PATCH with trailers, in one segment or in many, each of them read before the next."""
    lines = {"Host": "x", "Tus-Resumable": "1.0.0", **patch_headers(at), **headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    tail = "".join(f"{name}: {value}\r\n" for name, value in trailers)
    pieces = [
        f"PATCH {path} HTTP/1.1\r\n{head}\r\n".encode(),
        *(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:4], body[4:]) if part),
        b"0\r\n",
        *(f"{line}\r\n".encode() for line in tail.split("\r\n")),
    ]
    with tus.endpoint.connect() as wire:
        if segments == "one segment":
            wire.send(b"".join(pieces), answers="PATCH")
        else:
            wire.send(pieces[0], answers="PATCH")
            for piece in pieces[1:]:
                wire.until_read()
                if wire.answered():
                    break
                wire.send(piece)
        return wire.read()


@pytest.fixture(params=["one segment", "many segments"])
def segments(request: pytest.FixtureRequest) -> str:
    name = request.param
    assert isinstance(name, str)
    return name


@pytest.mark.parametrize("algorithm", ["sha1", "crc32c", "blake3"])
def test_a_trailer(server: Server, path: str, algorithm: str, segments: str) -> None:
    """TRAIL-02."""
    for value in (checksum(algorithm, HELLO[:-1]), checksum(algorithm, HELLO * 2)):
        wrong = [("Upload-Checksum", value)]
        assert _send(server.tus, path, wrong, segments=segments).status == 460
        assert server.tus.offset(path) == 11
    right = [("upload-CHECKSUM", f"  {checksum(algorithm, HELLO)} ")]
    headers = {**CHUNKED, "Trailer": "X, upload-checksum"}
    response = _send(server.tus, path, right, headers, segments=segments)
    assert response.expect(204)["Upload-Offset"] == "22"
    assert server.tus.get(path) == HELLO * 2


@pytest.mark.parametrize(
    ("trailers", "headers"),
    [
        pytest.param([("Upload-Checksum", "foo AAAA")], PROMISE, id="TRAIL-02 unknown"),
        pytest.param([("Upload-Checksum", "sha1")], PROMISE, id="TRAIL-02 malformed"),
        pytest.param([("Upload-Checksum", "")], PROMISE, id="TRAIL-02 empty"),
        pytest.param([("Upload-Checksum", "sha1 AAAA")], PROMISE, id="TRAIL-02 size"),
        pytest.param([("Upload-Checksum", SHA1.upper())], PROMISE, id="TRAIL-02 upper case"),
        pytest.param(
            [("Upload-Checksum", SHA1), ("Upload-Checksum", WRONG)], PROMISE, id="TRAIL-02 two"
        ),
        pytest.param([], PROMISE, id="TRAIL-04"),
        pytest.param([("X-Checksum", SHA1)], PROMISE, id="TRAIL-04 another"),
        pytest.param(
            [("Upload-Checksum", SHA1)], {**PROMISE, "Upload-Checksum": SHA1}, id="TRAIL-05"
        ),
        pytest.param([], {**PROMISE, "Upload-Checksum": SHA1}, id="TRAIL-05 header"),
    ],
)
def test_a_trailer_that_cannot_be(
    server: Server, path: str, trailers: Pairs, headers: Mapping[str, str], segments: str
) -> None:
    assert _send(server.tus, path, trailers, headers, segments=segments).status == 400
    assert at_eleven(server.tus, path)


@pytest.mark.parametrize("headers", [CHUNKED, {**CHUNKED, "Trailer": "X-Sum"}], ids=["no", "other"])
def test_a_trailer_that_was_not_announced(
    server: Server, path: str, headers: Mapping[str, str], segments: str
) -> None:
    """TRAIL-03: tus: trailers "MUST be announced using the `Trailer` header"; it is ignored."""
    for trailers in ([("Upload-Checksum", WRONG)], [("Upload-Checksum", "foo")]):
        response = _send(server.tus, path, trailers, headers, segments=segments, body=b"")
        assert response.expect(204)["Upload-Offset"] == "11"
    right = {**headers, "Upload-Checksum": SHA1}
    trailers = [("Upload-Checksum", WRONG)]
    response = _send(server.tus, path, trailers, right, segments=segments)
    assert response.expect(204)["Upload-Offset"] == "22"


HOSTILE = [
    ("Upload-Offset", "0"),
    ("Upload-Length", "11"),
    ("Tus-Resumable", "0.2.2"),
    ("X-HTTP-Method-Override", "DELETE"),
    ("Authorization", "Basic eDp5"),
    ("Content-Type", "text/plain"),
    ("Content-Length", "3"),
    ("Transfer-Encoding", "identity"),
    ("Connection", "close"),
    ("Expect", "100-continue"),
    ("Upload-Defer-Length", "1"),
    ("Upload-Metadata", "filename !"),
    ("Trailer", "X"),
]


@pytest.mark.parametrize("announced", [False, True], ids=["not announced", "announced"])
@pytest.mark.parametrize(
    "hostile", [*([pair] for pair in HOSTILE), HOSTILE], ids=lambda p: p[-1][0]
)
def test_other_trailers_have_no_effect(
    server: Server, path: str, hostile: Pairs, announced: bool, segments: str
) -> None:
    """TRAIL-06. What the parser itself refuses (framing) is refused, and has no effect either."""
    names = ", ".join(name for name, _ in hostile)
    trailer = f"Upload-Checksum, {names}" if announced else "Upload-Checksum"
    trailers = [*hostile, ("Upload-Checksum", SHA1), *hostile]
    headers = {**CHUNKED, "Trailer": trailer}
    response = _send(server.tus, path, trailers, headers, segments=segments)
    if response.status == 400 and {name for name, _ in hostile} & FRAMING:
        assert at_eleven(server.tus, path)
    else:
        assert response.expect(204)["Upload-Offset"] == "22"
        assert server.tus.get(path) == HELLO * 2


FRAMING = {"Content-Length", "Transfer-Encoding"}


def test_trailers_of_a_creation(server: Server, segments: str) -> None:
    before = set(server.directory.glob("sessions/*"))
    head = (
        "POST /files/ HTTP/1.1\r\nHost: x\r\nTus-Resumable: 1.0.0\r\nUpload-Length: 11\r\n"
        f"Content-Type: {OFFSET_STREAM}\r\nTransfer-Encoding: chunked\r\n"
        "Trailer: Upload-Checksum\r\n\r\n"
    )
    statuses = []
    for value in (WRONG, "foo AAAA", SHA1):
        rest = f"b\r\nhello world\r\n0\r\nUpload-Checksum: {value}\r\n\r\n"
        with server.endpoint.connect() as wire:
            wire.send((head + rest if "one" in segments else head).encode(), answers="POST")
            if "many" in segments:
                wire.until_read()
                wire.send(rest.encode())
            response = wire.read()
        statuses.append(response.status)
        assert (response.get("Location") is not None) == (response.status == 201)
        assert set(server.directory.glob("sessions/*")) == before
    assert statuses == [460, 400, 201]
    server.tus.delete(response["Location"]).expect(204)


def test_a_long_body_with_a_trailer(server: Server, content: bytes) -> None:
    """It is read back in several steps; the next one begins where it ended."""
    path = server.tus.create(len(content) * 20)
    for at, times, value in ((0, 10, WRONG), (0, 10, ""), (10, 10, "")):
        told = value or checksum("sha1", content * times)
        headers = {"Trailer": "Upload-Checksum"}
        with server.tus.begin_patch(path, at * len(content), None, headers) as wire:
            for _ in range(times):
                wire.send_chunk(content)
            wire.send(f"0\r\nUpload-Checksum: {told}\r\n\r\n".encode())
            assert wire.read().status == (460 if value else 204)
    assert server.tus.get(path) == content * 20


# --- other servers -------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=[STOCK, H11Protocol], ids=["httptools", "h11"])
def stock(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Tus]:
    """tusjumbo under uvicorn's own classes."""
    app = TusJumbo(upload_dir=tmp_path_factory.mktemp("stock") / "data", durability="os")
    with served(app, http=request.param, lifespan="on") as server:
        yield Tus(server.endpoint)
        server.stop()
        server.join()


def _half(tus: Tus) -> str:
    path = tus.create(22)
    tus.patch(path, 0, HELLO).expect(204)
    return path


def test_other_servers_check_what_the_head_says(stock: Tus) -> None:
    """TRAIL-01, CSUM-03, CSUM-04."""
    extensions = stock.request("OPTIONS", "/")["Tus-Extension"].split(",")
    assert "checksum" in extensions
    assert "checksum-trailer" not in extensions
    path = _half(stock)
    assert stock.patch(path, 11, HELLO, {"Upload-Checksum": WRONG}).status == 460
    assert at_eleven(stock, path)


@pytest.mark.parametrize(
    "trailers",
    [
        pytest.param([("Upload-Checksum", WRONG)], id="wrong"),
        pytest.param([("Upload-Checksum", "foo")], id="malformed"),
        pytest.param([], id="missing"),
        pytest.param(
            [("Upload-Offset", "0"), ("Upload-Checksum", WRONG), ("Tus-Resumable", "0")],
            id="several",
        ),
        pytest.param([("X-HTTP-Method-Override", "DELETE")], id="method"),
    ],
)
def test_other_servers_ignore_announced_trailers(
    stock: Tus, trailers: Pairs, segments: str
) -> None:
    """TRAIL-07, AMB-20: httptools puts them behind the headers if they come at once."""
    path = _half(stock)
    announced = ", ".join(["Upload-Checksum", *(name for name, _ in trailers)])
    headers = {**CHUNKED, "Trailer": announced}
    response = _send(stock, path, trailers, headers, segments=segments)
    assert response.expect(204)["Upload-Offset"] == "22"
    assert stock.get(path) == HELLO * 2


def test_other_servers_take_a_header_for_one(stock: Tus, segments: str) -> None:
    """A digest in the head counts, whatever was announced for after the body."""
    path = _half(stock)
    trailers = [("Upload-Checksum", SHA1)]
    headers = {"Upload-Checksum": WRONG, **PROMISE}
    assert _send(stock, path, trailers, headers, segments=segments).status == 460
    assert at_eleven(stock, path)


def test_size_of_a_checked_body_is_not_limited_by_blocks(server: Server, content: bytes) -> None:
    """CSUM-13 in small: more than all the blocks of a server together."""
    whole = content * 5
    assert len(whole) > 24 * MIB
    path = server.tus.create(len(whole))
    wrong, right = ({"Upload-Checksum": checksum("sha256", x)} for x in (whole[1:], whole))
    assert server.tus.patch(path, 0, whole, wrong).status == 460
    assert server.tus.patch(path, 0, whole, right).status == 204
    assert server.tus.get(path) == whole
