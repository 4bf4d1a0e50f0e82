"""The raw client against a scripted peer, so that a failing wire test is about the server."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import h11
import pytest

from tests.harness.tus import Tus, encode_metadata
from tests.harness.wire import Endpoint, GoneError, poll

Script = Callable[[socket.socket], None]


@contextmanager
def peer(script: Script) -> Iterator[Endpoint]:
    """Listen, and let `script` have the first connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def run() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(10)
                script(connection)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield Endpoint("127.0.0.1", listener.getsockname()[1])
        finally:
            thread.join(10)
            assert not thread.is_alive()


def _says(*pieces: bytes, after: bytes = b"\r\n\r\n") -> Script:
    """A peer that sends `pieces` once it has seen `after`."""

    def script(connection: socket.socket) -> None:
        seen = b""
        while after not in seen:
            seen += connection.recv(65536)
        for piece in pieces:
            connection.sendall(piece)

    return script


@pytest.mark.parametrize(
    ("method", "said", "status", "body", "interim"),
    [
        pytest.param("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, b"hi", ()),
        pytest.param("GET", b"HTTP/1.1 200 OK\r\n\r\nto the end", 200, b"to the end", ()),
        pytest.param("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", 200, b"", ()),
        pytest.param("PATCH", b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", ()),
        pytest.param(
            "GET",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
            200,
            b"hi",
            (),
        ),
        pytest.param(
            "POST",
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 104 x\r\na: b\r\n\r\n"
            b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n",
            201,
            b"",
            (100, 104),
        ),
    ],
    ids=["length", "until close", "HEAD", "204", "chunked", "interim"],
)
def test_framing(
    method: str, said: bytes, status: int, body: bytes, interim: tuple[int, ...]
) -> None:
    with peer(_says(said)) as endpoint, endpoint.connect() as wire:
        wire.head(method, "/")
        response = wire.read()
        assert (response.status, response.body, response.interim) == (status, body, interim)


def test_pipelined_responses_are_read_one_by_one() -> None:
    said = (
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"
    )
    with peer(_says(said, after=b"/2 HTTP/1.1\r\nHost")) as endpoint, endpoint.connect() as wire:
        wire.head("HEAD", "/1")
        wire.head("GET", "/2")
        assert wire.read().body == b""
        assert wire.read().body == b"x"
        assert wire.read_to_end() == b""


def test_interim_can_be_waited_for() -> None:
    said = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"
    with peer(_says(said)) as endpoint, endpoint.connect() as wire:
        wire.head("PATCH", "/", {"Expect": "100-continue"})
        assert wire.read_next().status == 100
        assert wire.read_next().status == 204


@pytest.mark.parametrize(
    "said",
    [b"", b"HTTP/1.1 200", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi"],
    ids=["nothing", "half a head", "half a body"],
)
def test_a_cut_response_is_no_response(said: bytes) -> None:
    with peer(_says(said)) as endpoint, endpoint.connect() as wire:
        wire.head("GET", "/")
        with pytest.raises(GoneError):
            wire.read()


def test_bad_framing_is_an_error_of_its_own() -> None:
    said = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhi"
    with peer(_says(said)) as endpoint, endpoint.connect() as wire:
        wire.head("GET", "/")
        with pytest.raises(h11.RemoteProtocolError):
            wire.read()


def test_nothing_waits_for_ever() -> None:
    over = threading.Event()

    def script(_: socket.socket) -> None:
        over.wait(10)

    with peer(script) as endpoint, endpoint.connect(0.05) as wire:
        wire.head("GET", "/")
        with pytest.raises(TimeoutError):
            wire.read()
        with pytest.raises(TimeoutError):
            wire.send(bytes(1 << 26))
        over.set()


def test_fin_and_reset_differ_at_the_other_end() -> None:
    seen: list[object] = []

    def listen(connection: socket.socket) -> None:
        try:
            while data := connection.recv(65536):
                seen.append(data)
            seen.append("FIN")
        except ConnectionResetError:
            seen.append("RST")

    with peer(listen) as endpoint:
        wire = endpoint.connect()
        wire.send(b"abc")
        wire.until_read()
        wire.close()
    with peer(listen) as endpoint:
        wire = endpoint.connect()
        wire.send(b"def")
        wire.until_read()
        wire.reset()
    assert seen == [b"abc", "FIN", b"def", "RST"]


def test_until_read_waits_for_the_process_not_for_its_kernel() -> None:
    wanted = threading.Event()

    def script(connection: socket.socket) -> None:
        wanted.wait(10)
        left = 100_000
        while left:
            left -= len(connection.recv(left))

    with peer(script) as endpoint, endpoint.connect() as wire:
        wire.send(bytes(100_000))
        wire.deadline = 0.05
        assert wire.unread() > 0
        with pytest.raises(AssertionError, match="did not read"):
            wire.until_read()
        wire.deadline = 10
        wanted.set()
        wire.until_read()
        assert wire.unread() == 0


def test_acknowledged_is_less_than_read() -> None:
    over = threading.Event()

    def script(connection: socket.socket) -> None:
        over.wait(10)
        while connection.recv(65536):
            pass

    with peer(script) as endpoint, endpoint.connect() as wire:
        wire.send(bytes(50_000))
        wire.until_acknowledged()
        assert wire.unread() == 50_000
        wire.close()
        wire.deadline = 0.05
        with pytest.raises(AssertionError, match="keeps a connection"):
            wire.until_dropped()
        over.set()
        wire.deadline = 10
        wire.until_dropped()


def test_sending_stops_at_an_answer() -> None:
    refusal = b"HTTP/1.1 409 Conflict\r\nContent-Length: 0\r\n\r\n"
    over = threading.Event()

    def script(connection: socket.socket) -> None:
        connection.recv(10)
        connection.sendall(refusal)
        over.wait(10)

    with peer(script) as endpoint, endpoint.connect() as wire:
        wire.head("PATCH", "/")
        poll(lambda: wire.answered(0.1), 5, "no answer")
        assert wire.send_until_answered(bytes(1 << 26)) == 0
        assert wire.read().status == 409
        over.set()


def test_tus_layer_spells_a_creation_as_clients_do() -> None:
    heard: list[bytes] = []

    def script(connection: socket.socket) -> None:
        heard.append(connection.recv(65536))
        connection.sendall(b"HTTP/1.1 201 Created\r\nLocation: x1\r\nContent-Length: 0\r\n\r\n")

    with peer(script) as endpoint:
        assert Tus(endpoint).create(7, {"filename": "a b.txt", "empty": ""}) == "/files/x1"
    assert heard[0].startswith(b"POST /files/ HTTP/1.1\r\nHost: 127.0.0.1:")
    assert b"\r\nUpload-Length: 7\r\n" in heard[0]
    assert b"\r\nUpload-Metadata: filename YSBiLnR4dA==,empty \r\n" in heard[0]
    assert encode_metadata({"uni": "\u00fc"}) == "uni w7w="
