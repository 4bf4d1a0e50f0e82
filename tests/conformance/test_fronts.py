"""Rows about connections find out servers that break them below HTTP.

An ASGI app cannot reset a connection, swallow a 100, or answer who has hung up. So a `Front` stands
before a tusjumbo: it reads the head of each connection's first request and either passes bytes
through in both directions, or does its own wrong thing. Without one, every row here passes.
"""

from __future__ import annotations

import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from conformance.model import Result, Strictness, Verdict
from conformance.options import Options
from conformance.registry import cases
from conformance.run import look, run
from tests.server.serving import served
from tusjumbo import TusJumbo
from tusjumbo.server.limits import Limits

_DEADLINE = 10.0
_CONFLICT = b"HTTP/1.1 409 Conflict\r\nTus-Resumable: 1.0.0\r\nContent-Length: 0\r\n\r\n"
_FAULT = b"HTTP/1.1 500 Fault\r\nTus-Resumable: 1.0.0\r\nContent-Length: 0\r\n\r\n"

Fault = Callable[[socket.socket, bytes, socket.socket], bool]
"""Given the client, what it has sent and the server: whether it has done with the connection."""


def _head(client: socket.socket) -> bytes:
    """What has come when the head is there; less if the client is gone."""
    heard = b""
    while b"\r\n\r\n" not in heard and (piece := client.recv(65536)):
        heard += piece
    return heard


def _pass_on(client: socket.socket, heard: bytes, server: socket.socket) -> None:
    server.sendall(heard)
    back = threading.Thread(target=_pump, args=(server, client))
    back.start()
    _pump(client, server)
    back.join(_DEADLINE)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(65536):
            sink.sendall(piece)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


@contextmanager
def _front(server: tuple[str, int], fault: Fault) -> Iterator[int]:
    """The port of a front before `server`."""
    threads: list[threading.Thread] = []

    def serve(client: socket.socket) -> None:
        client.settimeout(_DEADLINE)
        connect = socket.create_connection
        with closing(client), suppress(OSError), connect(server, _DEADLINE) as behind:
            heard = _head(client)
            if not fault(client, heard, behind):
                _pass_on(client, heard, behind)

    def accept(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                threads.append(threading.Thread(target=serve, args=(client,)))
                threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threads.append(threading.Thread(target=accept, args=(listener,)))
        threads[0].start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join(_DEADLINE)
                assert not thread.is_alive()


# --- faults --------------------------------------------------------------------------------------


def _is_large_patch(heard: bytes) -> bool:
    return heard.startswith(b"PATCH") and b"Content-Length: 4194304" in heard


def _nothing(client: socket.socket, heard: bytes, server: socket.socket) -> bool:
    return False


def _resets(client: socket.socket, heard: bytes, server: socket.socket) -> bool:
    """Answers, and closes while the client is sending."""
    if _is_large_patch(heard):
        client.sendall(_CONFLICT)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        return True
    return False


def _hangs_up(client: socket.socket, heard: bytes, server: socket.socket) -> bool:
    """Closes without an answer."""
    return _is_large_patch(heard)


def _swallows_expectations(client: socket.socket, heard: bytes, server: socket.socket) -> bool:
    """The server never hears of Expect."""
    if b"Expect: " in heard:
        _pass_on(client, re.sub(rb"Expect: [^\r]*\r\n", b"", heard), server)
        return True
    return False


def _answers_once(client: socket.socket, heard: bytes, server: socket.socket) -> bool:
    """Closes after the first answer, and does not say so."""
    if not heard.startswith(b"PATCH"):
        return False
    server.sendall(heard)
    client.sendall(_head(server))
    return True


def _takes_what_is_there(client: socket.socket, heard: bytes, server: socket.socket) -> bool:
    """A body that breaks off is filled up with zeros."""
    size = re.search(rb"Content-Length: (\d{5,})", heard)
    if not heard.startswith(b"POST") or size is None:
        return False
    while piece := client.recv(65536):
        heard += piece
    head, _, body = heard.partition(b"\r\n\r\n")
    server.sendall(head + b"\r\n\r\n" + body.ljust(int(size[1]), b"\0"))
    client.sendall(_head(server))
    return True


def _falls_over(client: socket.socket, heard: bytes, server: socket.socket) -> bool:
    """A body that breaks off is an internal error."""
    if not heard.startswith(b"POST") or not re.search(rb"Content-Length: \d{5,}", heard):
        return False
    while client.recv(65536):
        continue
    client.sendall(_FAULT)
    return True


# --- tests ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module", name="server")
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    directory: Path = tmp_path_factory.mktemp("front")
    tus = TusJumbo(upload_dir=directory, sweep_every=0, durability="os")

    async def app(scope: dict[str, object], receive: object, send: object) -> None:
        await tus({**scope, "root_path": "/files"}, receive, send)  # type: ignore[arg-type]

    with served(app, Limits(body_timeout=60), loop="asyncio") as server:
        yield server.endpoint.host, server.endpoint.port


def _result(server: tuple[str, int], row: str, fault: Fault) -> Result:
    options = Options(timeout=_DEADLINE)
    with _front(server, fault) as port:
        report = run(
            look(f"http://127.0.0.1:{port}/files/", options), cases([row]), options, Strictness()
        )
    return next(result for result in report.results if result.row.id == row)


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        pytest.param("PATCH-21", _resets, id="resets a client that is sending"),
        pytest.param("PATCH-21", _hangs_up, id="does not answer a client that is sending"),
        pytest.param("PATCH-22", _swallows_expectations, id="never says 100"),
        pytest.param("PATCH-23", _answers_once, id="hangs up after an answer"),
        pytest.param("CWU-05", _takes_what_is_there, id="fills up what broke off"),
        pytest.param("CWU-05", _falls_over, id="falls over what broke off"),
        pytest.param("CWU-09", _swallows_expectations, id="never says 100 to a creation"),
    ],
)
def test_the_row_finds_it(server: tuple[str, int], row: str, fault: Fault) -> None:
    result = _result(server, row, fault)
    assert result.findings, result
    assert not result.blocked
    assert result.verdict(Strictness()) in (Verdict.WARN, Verdict.FAIL)


@pytest.mark.parametrize("row", ["PATCH-21", "PATCH-22", "PATCH-23", "CWU-05", "CWU-09"])
def test_a_front_that_only_passes_on_is_not_found(server: tuple[str, int], row: str) -> None:
    result = _result(server, row, _nothing)
    assert result.verdict(Strictness()) is Verdict.PASS, result
