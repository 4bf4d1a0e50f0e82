"""A no comes before the first byte of the body is read, stores nothing, and can be read.

Also by a client that is busy sending: the response is there to be read although the body was not.
And `100 Continue` is a yes: whoever is refused never sees one.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import pytest

from tests.faults.campaign import MIB
from tests.harness.process import Server
from tests.harness.tus import OFFSET_STREAM
from tests.harness.wire import GoneError, Wire, poll

pytestmark = pytest.mark.wire

SIZE = 64 * MIB
TOKEN = {"Authorization": "Bearer secret"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """tusjumbo's server with an app whose gate lets in who knows the token."""
    directory = tmp_path_factory.mktemp("refusals") / "data"
    command = (sys.executable, "-m", "tests.faults.gated", str(directory))
    with Server(directory, command=command) as server:
        yield server


@dataclass(frozen=True)
class Row:
    """How a PATCH that would be right is made wrong, and what it hears."""

    status: int
    headers: tuple[tuple[str, str | None], ...] = ()
    """Changed headers; None leaves one out."""
    gone: bool = False
    method: str = "PATCH"

    def sent(self, offset: int, announced: int | None) -> dict[str, str]:
        right: dict[str, str | None] = {
            **TOKEN,
            "Tus-Resumable": "1.0.0",
            "Upload-Offset": str(offset),
            "Content-Type": OFFSET_STREAM,
        }
        if announced is None:
            right["Transfer-Encoding"] = "chunked"
        else:
            right["Content-Length"] = str(announced)
        wrong = right | dict(self.headers)
        return {name: value for name, value in wrong.items() if value is not None}


ROWS = [
    pytest.param(Row(401, (("Authorization", None),)), id="401 nobody"),
    pytest.param(Row(403, (("Authorization", "Bearer other"),)), id="403 not you"),
    pytest.param(Row(404, gone=True), id="404"),
    pytest.param(Row(409, (("Upload-Offset", "999"),)), id="409"),
    pytest.param(Row(400, (("Upload-Offset", "x"),)), id="400"),
    pytest.param(Row(412, (("Tus-Resumable", "0.2.2"),)), id="412"),
    pytest.param(Row(415, (("Content-Type", "text/plain"),)), id="415"),
    pytest.param(Row(405, method="PUT"), id="405"),
]
TOO_LONG = pytest.param(Row(413, (("Content-Length", str(SIZE + 1)),)), id="413")


def _create(server: Server, length: int = SIZE) -> str:
    path = server.tus.create(length, headers=TOKEN)
    server.tus.patch(path, 0, b"begun", TOKEN).expect(204)
    return path


def _state(server: Server) -> dict[str, int]:
    """Every file of the store with its size."""
    return {
        str(file.relative_to(server.directory)): file.stat().st_size
        for room in ("sessions", "completed", "abandoned")
        for file in (server.directory / room).rglob("*")
    }


def _ask(wire: Wire, row: Row, path: str, announced: int | None, *, expect: bool = False) -> None:
    headers = row.sent(5, announced)
    if expect:
        headers["Expect"] = "100-continue"
    wire.head(row.method, path if not row.gone else path[:-4] + "0000", headers)


def _nothing_happened(server: Server, path: str, before: dict[str, int]) -> None:
    assert _state(server) == before
    head = server.tus.request("HEAD", path, TOKEN).expect(200)
    assert head["Upload-Offset"] == "5"


@pytest.mark.parametrize("row", [*ROWS, TOO_LONG])
def test_refused_before_the_first_byte(server: Server, row: Row) -> None:
    _refused_before_the_first_byte(server, row, SIZE - 5)


@pytest.mark.parametrize("row", ROWS)
def test_chunked_refused_before_the_first_byte(server: Server, row: Row) -> None:
    _refused_before_the_first_byte(server, row, None)


def _refused_before_the_first_byte(server: Server, row: Row, announced: int | None) -> None:
    """Nothing of the body is sent, and the answer is there."""
    path = _create(server)
    before = _state(server)
    with server.endpoint.connect() as wire:
        _ask(wire, row, path, announced)
        response = wire.read().expect(row.status)
        assert response.interim == ()
        assert response["Tus-Resumable"] == "1.0.0"
        _nothing_happened(server, path, before)
    server.tus.request("DELETE", path, TOKEN).expect(204)


@pytest.mark.parametrize("row", [*ROWS, TOO_LONG])
def test_100_continue_only_after_a_yes(server: Server, row: Row) -> None:
    path = _create(server)
    before = _state(server)
    with server.endpoint.connect() as wire:
        _ask(wire, row, path, SIZE - 5, expect=True)
        response = wire.read().expect(row.status)
        assert response.interim == ()
        # The client now leaves the body out. Either the connection ends, or what comes next on it
        # is a request: never is a request taken for the body that was not wanted.
        if response.get("Connection") != "close":
            wire.head("HEAD", path, TOKEN | {"Tus-Resumable": "1.0.0"})
            assert wire.read().expect(200)["Upload-Offset"] == "5"
        else:
            assert wire.read_to_end() == b""
    _nothing_happened(server, path, before)


def test_100_continue_comes_with_the_yes(server: Server) -> None:
    path = _create(server, 11)
    with server.endpoint.connect() as wire:
        wire.head("PATCH", path, Row(0).sent(5, 6) | {"Expect": "100-continue"})
        assert wire.read_next().status == 100
        wire.send(b"foobar")
        assert wire.read().expect(204)["Upload-Offset"] == "11"


@pytest.mark.parametrize("row", [*ROWS, TOO_LONG])
def test_a_client_still_sending_can_read_the_refusal(server: Server, row: Row) -> None:
    """It sends without looking, as most clients do, until it cannot; the answer is there."""
    path = _create(server)
    before = _state(server)
    with server.endpoint.connect() as wire:
        _ask(wire, row, path, SIZE - 5)
        body = memoryview(bytes(SIZE - 5))
        with suppress(BrokenPipeError, ConnectionResetError):
            for at in range(0, len(body), MIB):
                wire.send(body[at : at + MIB])
        wire.read().expect(row.status)
    _nothing_happened(server, path, before)


@pytest.mark.parametrize("row", [*ROWS, TOO_LONG])
def test_after_a_refusal_the_connection_is_used_again_or_closed(server: Server, row: Row) -> None:
    """If the server keeps it open, it has to swallow the body and answer the next request."""
    path = _create(server)
    with server.endpoint.connect() as wire:
        announced = dict(row.headers).get("Content-Length") or "200000"
        small = Row(row.status, (*row.headers, ("Content-Length", announced)), row.gone, row.method)
        _ask(wire, small, path, 200_000)
        response = wire.read().expect(row.status)
        if response.get("Connection") == "close":
            return
        wire.send(bytes(int(announced)))
        wire.head("HEAD", path, TOKEN | {"Tus-Resumable": "1.0.0"})
        assert wire.read().expect(200)["Upload-Offset"] == "5"


def test_who_loses_the_upload_can_read_the_423(server: Server) -> None:
    """Who takes it over gets its 100 when the other one has left, and the other one its 423."""
    path = _create(server)
    with server.tus.begin_patch(path, 5, SIZE - 5, TOKEN | {"Expect": "100-continue"}) as holder:
        assert holder.read_next().status == 100
        holder.send(b"x" * 100)
        holder.until_read()
        with server.endpoint.connect() as wire:
            # A second PATCH takes the upload over: the first one is refused while it sends.
            wire.head("PATCH", path, Row(0).sent(105, SIZE - 105) | {"Expect": "100-continue"})
            assert wire.read_next().status == 100
            holder.send_until_answered(bytes(SIZE - 105))
            assert holder.read().status == 423
            wire.send(b"y" * 50)
            wire.until_read()
        poll(lambda: _offset(server, path) == 155, 10, "the second one's bytes are lost")


def _offset(server: Server, path: str) -> int:
    return int(server.tus.request("HEAD", path, TOKEN).expect(200)["Upload-Offset"])


def test_too_long_chunked_body_stores_none_of_it(server: Server) -> None:
    """Only the body itself can show it: 413 when it does, and back to where it began."""
    path = _create(server, 100)
    with server.endpoint.connect() as wire:
        wire.head("PATCH", path, Row(0).sent(5, None))
        wire.send_chunk(b"z" * 95)
        wire.send_chunk(b"!")
        wire.read().expect(413)
    assert _offset(server, path) == 5


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param({"Upload-Length": "10"}, 401, id="401"),
        pytest.param(TOKEN | {"Upload-Length": "-1"}, 400, id="400"),
        pytest.param(TOKEN | {"Upload-Length": "10", "Tus-Resumable": "2.0.0"}, 412, id="412"),
        pytest.param(TOKEN | {"Upload-Length": str(2**40)}, 413, id="413"),
    ],
)
def test_refused_creations_create_nothing(
    server: Server, headers: dict[str, str], status: int
) -> None:
    before = _state(server)
    with server.endpoint.connect() as wire:
        sent = {"Tus-Resumable": "1.0.0", "Content-Type": OFFSET_STREAM, **headers}
        wire.head("POST", server.endpoint.path, sent | {"Content-Length": "10"})
        response = wire.read().expect(status)
        assert response.get("Location") is None
    assert _state(server) == before


def test_hanging_up_after_a_refusal_hurts_nobody(server: Server) -> None:
    path = _create(server)
    for row in (Row(409, (("Upload-Offset", "999"),)), Row(404, gone=True)):
        with server.endpoint.connect() as wire:
            _ask(wire, row, path, SIZE - 5)
            wire.send(bytes(100_000))
            wire.reset()
    with server.endpoint.connect() as wire:
        _ask(wire, Row(409, (("Upload-Offset", "999"),)), path, SIZE - 5)
        wire.half_close()
        with suppress(GoneError):
            wire.read().expect(409)
    assert _offset(server, path) == 5
