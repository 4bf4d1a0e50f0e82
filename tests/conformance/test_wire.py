"""The suite's client against scripted peers: what it says, to the byte, and what it understands."""

from __future__ import annotations

import socket
import ssl
import struct
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from conformance.model import Exchange
from conformance.wire import (
    Address,
    Connection,
    Field,
    NoResponse,
    Refused,
    Response,
    chunk,
    last_chunk,
    shown,
)
from tests.conformance.scripted import Script, answers, hears, peer

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
DONE = b"HTTP/1.1 204 No Content\r\n\r\n"


@contextmanager
def talk(
    *scripts: Script, timeout: float = 5.0, heard: list[Response] | None = None
) -> Iterator[tuple[Connection, list[Exchange]]]:
    """A connection to a peer with these scripts, and what is written down of it."""
    exchanges: list[Exchange] = []

    def hear(exchange: Exchange, fields: Sequence[Field], response: Response) -> None:
        if heard is not None:
            heard.append(response)

    with ExitStack() as stack:
        address = stack.enter_context(peer(*scripts))
        connection = Connection(address, exchanges, timeout, None, hear)
        yield stack.enter_context(connection), exchanges


def head(*lines: str) -> bytes:
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


# --- answers -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "said", "status", "body", "interim"),
    [
        pytest.param("GET", OK, 200, b"hi", (), id="length"),
        pytest.param("GET", b"HTTP/1.1 200 OK\r\n\r\nto the end", 200, b"to the end", (), id="end"),
        pytest.param("HEAD", head("HTTP/1.1 200 OK", "Content-Length: 9"), 200, b"", (), id="HEAD"),
        pytest.param("PATCH", DONE, 204, b"", (), id="204"),
        pytest.param(
            "GET",
            head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + b"2\r\nhi\r\n0\r\nX: y\r\n\r\n",
            200,
            b"hi",
            (),
            id="chunked with a trailer",
        ),
        pytest.param(
            "PATCH",
            head("HTTP/1.1 100 Continue") + head("HTTP/1.1 104 Upload Resumption Supported") + DONE,
            204,
            b"",
            (100, 104),
            id="interim",
        ),
        pytest.param("BREW", head("HTTP/1.1 460"), 460, b"", (), id="no reason"),
    ],
)
def test_an_answer_is_read(
    method: str, said: bytes, status: int, body: bytes, interim: tuple[int, ...]
) -> None:
    heard: list[Response] = []
    with talk(answers(said), heard=heard) as (connection, exchanges):
        connection.request(method, "/files/")
        response = connection.read()
    assert (response.status, response.body, response.interim) == (status, body, interim)
    assert heard == [response]
    assert exchanges[0].status == status
    assert exchanges[0].response.startswith(f"HTTP/1.1 {status}")
    assert [text.split()[1] for text in exchanges[0].interim] == [str(each) for each in interim]
    assert exchanges[0].problem == ""


def test_an_answer_that_comes_byte_by_byte_is_read() -> None:
    said = head("HTTP/1.1 100 Continue") + OK
    with talk(answers(*(bytes([byte]) for byte in said))) as (connection, _):
        connection.request("GET", "/")
        response = connection.read()
    assert (response.body, response.interim) == (b"hi", (100,))


def test_fields_are_found_whatever_their_case() -> None:
    said = head("HTTP/1.1 200 OK", "Content-Length: 0", "Tus-Extension: a,", "TUS-EXTENSION:  b, c")
    with talk(answers(said)) as (connection, _):
        connection.request("GET", "/")
        response = connection.read()
    assert response.all("tus-extension") == ["a,", "b, c"]
    assert response.get("Tus-Extension") == "a,, b, c"
    assert response.members("tus-extension") == ["a", "", "b", "c"]
    assert "tus-extension" in response
    assert "tus-version" not in response
    assert response.get("tus-version") is None
    assert response.members("tus-version") == []


def _resets(connection: socket.socket) -> None:
    hears(connection)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        pytest.param(answers(), "closed the connection without an answer", id="nothing"),
        pytest.param(answers(b"HTTP/1.1 200 O"), "in mid-response", id="cut head"),
        pytest.param(answers(OK[:-1]), "in mid-response", id="cut body"),
        pytest.param(
            answers(head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + b"2\r\nhi\r\n"),
            "in mid-response",
            id="cut chunks",
        ),
        pytest.param(
            answers(head("HTTP/1.1 100 Continue")), "without an answer", id="interim only"
        ),
        pytest.param(_resets, "the connection broke", id="RST"),
        pytest.param(answers(b"220 smtp.example\r\n\r\n"), "not HTTP/1.1", id="no HTTP"),
        pytest.param(
            answers(head("HTTP/1.1 200 OK", "Content-Length: 1", "Content-Length: 2") + b"hi"),
            "not HTTP/1.1",
            id="two lengths",
        ),
        pytest.param(
            answers(head("HTTP/1.1 200 OK", "Content-Length: -1")), "not HTTP/1.1", id="bad length"
        ),
        pytest.param(
            answers(head("HTTP/1.1 200 OK", "Upload Offset: 1")), "not HTTP/1.1", id="bad name"
        ),
    ],
)
def test_what_is_no_answer_is_a_problem(script: Script, problem: str) -> None:
    heard: list[Response] = []
    with talk(script, heard=heard) as (connection, exchanges):
        connection.request("GET", "/")
        with pytest.raises(NoResponse, match=problem):
            connection.read()
    assert problem in exchanges[0].problem
    assert heard == []


def test_what_was_no_http_is_shown() -> None:
    with talk(answers(b"220 smtp.example\r\n\r\n")) as (connection, exchanges):
        connection.request("GET", "/")
        with pytest.raises(NoResponse):
            connection.read()
    assert "220 smtp.example" in exchanges[0].body


@pytest.mark.parametrize(
    ("said", "problem"),
    [(b"", "an answer did not come within 0.2 s"), (OK[:-1], "a whole response did not come")],
    ids=["no answer", "half of one"],
)
def test_nothing_is_waited_for_too_long(said: bytes, problem: str) -> None:
    def stalls(connection: socket.socket) -> None:
        hears(connection)
        connection.sendall(said)
        hears(connection, b"")

    with talk(stalls) as (connection, _):
        connection.request("GET", "/")
        with pytest.raises(NoResponse, match=problem):
            connection.read(timeout=0.2)
        connection.close()


def test_bytes_behind_an_answer_are_told() -> None:
    said = head("HTTP/1.1 200 OK", "Content-Length: 5") + b"hello"
    with talk(answers(said)) as (connection, _):
        connection.request("HEAD", "/")
        assert connection.read().excess == b"hello"


def test_answers_to_pipelined_requests_come_in_order() -> None:
    def script(connection: socket.socket) -> None:
        hears(connection, b"/three HTTP/1.1\r\nHost: h\r\n\r\n")
        connection.sendall(OK + DONE + OK)

    with talk(script) as (connection, exchanges):
        for target in ("/one", "/two", "/three"):
            connection.request("GET", target, [("Host", "h")], host=False)
        responses = [connection.read() for _ in range(3)]
    assert [response.status for response in responses] == [200, 204, 200]
    assert [exchanges[response.index].target for response in responses] == [
        "/one",
        "/two",
        "/three",
    ]
    assert [response.excess for response in responses] == [b"", b"", b""]


# --- interim answers -----------------------------------------------------------------------------


def _continues(connection: socket.socket) -> None:
    hears(connection)
    connection.sendall(head("HTTP/1.1 100 Continue"))
    hears(connection, b"body")
    connection.sendall(DONE)


def test_an_interim_answer_is_waited_for() -> None:
    with talk(_continues) as (connection, exchanges):
        connection.request("PATCH", "/", [("Expect", "100-continue")])
        assert connection.interim(5) == 100
        assert connection.interim(0.1) is None
        connection.send(b"body")
        response = connection.read()
    assert (response.status, response.interim) == (204, (100,))
    assert exchanges[0].interim == ["HTTP/1.1 100 Continue"]


def test_a_final_answer_in_place_of_an_interim_one_is_kept() -> None:
    def refuses(connection: socket.socket) -> None:
        hears(connection)
        connection.sendall(OK)
        hears(connection, b"")

    with talk(refuses) as (connection, _):
        connection.request("PATCH", "/", [("Expect", "100-continue")])
        assert connection.interim(5) is None
        assert connection.interim(5) is None
        assert connection.answered()
        response = connection.read()
        connection.close()
    assert (response.status, response.body) == (200, b"hi")


# --- requests ------------------------------------------------------------------------------------


def _said(act: Callable[[Connection], None]) -> tuple[bytes, Exchange]:
    """What a peer hears if the suite does this and closes, and how it is written down."""
    heard: list[bytes] = []
    with talk(lambda connection: heard.append(hears(connection, b""))) as (connection, exchanges):
        act(connection)
        connection.close()
    return heard[0], exchanges[0]


def test_a_request_is_said_as_it_is_given() -> None:
    fields: list[Field] = [("Upload-Offset", "0"), ("upload-offset", b"\xff"), ("Empty", "")]

    def act(connection: Connection) -> None:
        connection.request("PATCH", "/files/a b", fields, first=b"hello", host=False)

    heard, exchange = _said(act)
    assert heard == (
        b"PATCH /files/a b HTTP/1.1\r\n"
        b"Upload-Offset: 0\r\nupload-offset: \xff\r\nEmpty: \r\n\r\nhello"
    )
    assert exchange.request.split("\n")[:3] == [
        "PATCH /files/a b HTTP/1.1",
        "Upload-Offset: 0",
        "upload-offset: \xff",
    ]
    assert exchange.sent == ["with it 5 bytes: hello", "then FIN"]
    assert exchange.problem == "(the answer was not waited for)"


def test_a_host_is_named_unless_it_is_not_wanted() -> None:
    heard, _ = _said(lambda connection: connection.request("GET", "/"))
    assert heard.startswith(b"GET / HTTP/1.1\r\nHost: 127.0.0.1:")


def test_chunks_and_trailers_are_said() -> None:
    def act(connection: Connection) -> None:
        connection.request("PATCH", "/", [("Transfer-Encoding", "chunked")])
        connection.send_chunk(b"hello world")
        connection.end_chunks([("Upload-Checksum", "sha1 x"), ("Odd", b"\xff")])

    heard, _ = _said(act)
    assert heard.partition(b"\r\n\r\n")[2] == (
        b"b\r\nhello world\r\n0\r\nUpload-Checksum: sha1 x\r\nOdd: \xff\r\n\r\n"
    )
    assert chunk(b"0123456789abcdef") == b"10\r\n0123456789abcdef\r\n"
    assert last_chunk() == b"0\r\n\r\n"


def test_a_reset_is_one() -> None:
    ends: list[type[OSError]] = []

    def script(connection: socket.socket) -> None:
        hears(connection)
        try:
            hears(connection, b"")
        except OSError as error:
            ends.append(type(error))

    with talk(script) as (connection, exchanges):
        connection.request("PATCH", "/")
        connection.reset()
    assert ends == [ConnectionResetError]
    assert exchanges[0].sent == ["then RST"]


def test_who_has_closed_one_side_still_hears() -> None:
    def script(connection: socket.socket) -> None:
        hears(connection, b"")
        connection.sendall(OK)

    with talk(script) as (connection, _):
        connection.request("GET", "/")
        connection.half_close()
        assert connection.read().body == b"hi"


def test_a_body_is_sent_until_the_server_answers() -> None:
    def refuses(connection: socket.socket) -> None:
        hears(connection)
        connection.sendall(DONE)
        hears(connection, b"")

    size = 64 << 20
    with talk(refuses) as (connection, exchanges):
        connection.request("PATCH", "/", [("Content-Length", str(size))])
        assert connection.answered(5)
        assert connection.send_until_answered(bytes(size)) == 0
        assert connection.read().status == 204
        connection.close()
    assert exchanges[0].sent == [
        f"then 0 of {size} bytes, until the server answered or hung up",
    ]


def _takes(size: int) -> Script:
    """A peer that answers when it has a body of that size."""

    def script(connection: socket.socket) -> None:
        count = len(hears(connection).partition(b"\r\n\r\n")[2])
        while count < size:
            piece = connection.recv(1 << 20)
            assert piece, f"{count} bytes of {size}"
            count += len(piece)
        connection.sendall(OK)

    return script


def test_a_body_that_is_taken_is_sent_whole() -> None:
    size = 5 << 20
    with talk(_takes(size)) as (connection, _):
        connection.request("PATCH", "/")
        assert connection.send_until_answered(bytes(size)) == size
        assert connection.read().body == b"hi"


def test_a_server_that_stops_reading_is_no_failure() -> None:
    with talk(_resets) as (connection, exchanges):
        connection.request("PATCH", "/")
        assert connection.answered(5)
        while connection.send(bytes(1 << 20)):
            pass
        with pytest.raises(NoResponse):
            connection.read()
    assert "(the server stopped reading" in exchanges[0].sent[-1]


def test_what_else_comes_is_read_to_the_end() -> None:
    with talk(answers(OK, b"more")) as (connection, _):
        connection.request("HEAD", "/")
        connection.read()
        assert connection.rest(5) == b"himore"


def test_a_connection_that_stays_open_has_no_end() -> None:
    def stays(connection: socket.socket) -> None:
        hears(connection)
        connection.sendall(DONE)
        hears(connection, b"")

    with talk(stays) as (connection, _):
        connection.request("PATCH", "/")
        connection.read()
        assert not connection.answered()
        assert connection.rest(0.1) is None


# --- connections ---------------------------------------------------------------------------------


def _connect(address: Address, tls: ssl.SSLContext | None = None) -> Connection:
    return Connection(address, [], 5.0, tls, lambda exchange, fields, response: None)


def test_a_port_that_nobody_listens_on_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(Refused, match=f"cannot connect to 127.0.0.1:{port}"):
        _connect(Address.of(f"http://127.0.0.1:{port}/"))


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """For the server and for a client that believes it."""
    directory: Path = tmp_path_factory.mktemp("tls")
    key, certificate = directory / "key.pem", directory / "certificate.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", key, "-out", certificate),
        ],
        check=True,
        capture_output=True,
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    return server, ssl.create_default_context(cafile=str(certificate))


def test_tls_is_spoken(tls: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    server, client = tls
    size = 3 << 20
    with peer(_takes(size), tls=server) as address, _connect(address, client) as connection:
        connection.request("PATCH", "/")
        # The server's session tickets make the socket readable: that is no answer.
        assert connection.send_until_answered(bytes(size)) == size
        assert connection.read().body == b"hi"


def test_a_certificate_that_nobody_vouches_for_is_a_problem(
    tls: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    def listens(connection: socket.socket) -> None:
        connection.recv(65536)

    with peer(listens) as address, pytest.raises(NoResponse, match="no TLS with 127"):
        _connect(address, ssl.create_default_context())


@pytest.mark.parametrize(
    ("url", "authority", "target"),
    [
        ("http://host/files/", "host", "/files/"),
        ("http://host:80", "host", "/"),
        ("https://host:443/a?b=c", "host", "/a?b=c"),
        ("https://host:80/", "host:80", "/"),
        ("http://[::1]:8080/files", "[::1]:8080", "/files"),
    ],
)
def test_an_address_is_taken_apart(url: str, authority: str, target: str) -> None:
    address = Address.of(url)
    assert (address.authority, address.target) == (authority, target)


@pytest.mark.parametrize("url", ["", "host/files", "ftp://host/", "http://", "http://host:99999/"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the reason is urllib's
        Address.of(url)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "0 bytes: "),
        (b"hello\r\nworld", "12 bytes: hello\nworld"),
        (b"a\x1b[31m" + b"b" * 10, "16 bytes: a.[31mbbbbbbbbbb"),
        (b"\x00\xff", "2 bytes: 00 ff"),
        (bytes(100), f"100 bytes: {'00 ' * 24}…"),
        (b"x" * 500, f"500 bytes: {'x' * 400} …"),
    ],
)
def test_bytes_are_shown(data: bytes, text: str) -> None:
    assert shown(data) == text
