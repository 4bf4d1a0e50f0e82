"""What the request's own thread does for the loop, and how it gets away from a silent client."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import anyio.to_thread
import pytest
from flask import Flask, request
from werkzeug.test import TestResponse

from tests.flask.apps import CHUNK, app_in
from tests.harness.wire import poll
from tusjumbo import Admission, BytesReceived, Event
from tusjumbo.flask import get_jumbo
from tusjumbo.flask.bridge import Exchange
from tusjumbo.web.bodies import Body as Source

CONTENT = bytes(range(256)) * (CHUNK // 256)
PATIENCE = 20.0


def started(app: Flask, size: int = CHUNK) -> str:
    with app.app_context():
        upload_id: str = get_jumbo().start_upload("a", size)["upload_id"]
        return upload_id


def put(
    app: Flask, upload_id: str, body: Body, *, size: int = CHUNK, environ: Any = None
) -> TestResponse:
    told = {"CONTENT_LENGTH": str(size), "wsgi.input": body, **(environ or {})}
    return app.test_client().put(f"/upload/{upload_id}/chunks/0", environ_overrides=told)


class Body:
    """What a server reads a body from; knows who read how much."""

    def __init__(self, data: bytes = CONTENT, before: Callable[[int], None] | None = None) -> None:
        """`before` is called with the number of each read, from 1."""
        self.sizes: list[int] = []
        self.threads: set[int] = set()
        self._rest = data
        self._before = before

    def read(self, size: int) -> bytes:
        self.sizes.append(size)
        self.threads.add(threading.get_ident())
        if self._before is not None:
            self._before(len(self.sizes))
        piece, self._rest = self._rest[:size], self._rest[size:]
        return piece


def test_everything_that_is_the_requests_is_done_by_its_own_thread(tmp_path: Path) -> None:
    asked: list[int] = []

    def authorize(_: Admission) -> bool:
        asked.append(threading.get_ident())
        return True

    app = app_in(tmp_path, authorize=authorize)
    body = Body(CONTENT)
    assert put(app, started(app), body).status_code == 200
    assert body.threads == {threading.get_ident()} == set(asked)


def test_pieces_grow_while_they_come_quickly(tmp_path: Path) -> None:
    size = 4 * 1024 * 1024
    app = app_in(tmp_path, chunk_size=size)
    body = Body(bytes(size))
    assert put(app, started(app, size), body, size=size).status_code == 200
    assert body.sizes[:6] == [16384, 32768, 65536, 131072, 262144, 262144]
    assert max(body.sizes) == 262144


def test_whoever_is_slow_is_asked_for_little(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0

    def slow(number: int) -> None:
        nonlocal now
        now += 1.0 if number == 2 else 0.0

    monkeypatch.setattr("tusjumbo.flask.bridge.time", SimpleNamespace(monotonic=lambda: now))
    app = app_in(tmp_path)
    body = Body(CONTENT, slow)
    assert put(app, started(app), body).status_code == 200
    assert body.sizes[:4] == [16384, 32768, 1024, 2048]


class Silent(Body):
    """A connection on which less comes than was announced."""

    def __init__(self) -> None:
        super().__init__()
        self.is_read = threading.Event()
        self._client, self.server = socket.socketpair()
        self._stream = self.server.makefile("rb")
        self._client.sendall(CONTENT[:100])

    def read(self, size: int) -> bytes:
        self.is_read.set()
        return self._stream.read(size)

    def close(self) -> None:
        for it in (self._stream, self.server, self._client):
            it.close()


@pytest.fixture(name="silent")
def _silent() -> Iterator[Silent]:
    silent = Silent()
    yield silent
    silent.close()


@pytest.mark.parametrize("name", ["gunicorn.socket", "werkzeug.socket"])
def test_a_silent_client_is_given_up(tmp_path: Path, silent: Silent, name: str) -> None:
    app = app_in(tmp_path, body_timeout="300ms")
    answer = put(app, started(app), silent, environ={name: silent.server})
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
    assert "Connection" not in answer.headers
    assert answer.json is not None
    assert answer.json["type"] == "urn:tusjumbo:problem:body-timeout"


def test_whoever_holds_a_chunk_and_is_silent_leaves_it_to_another(
    tmp_path: Path, silent: Silent
) -> None:
    app = app_in(tmp_path, body_timeout="1h")
    upload_id = started(app)
    with ThreadPoolExecutor() as pool:
        environ = {"werkzeug.socket": silent.server}
        first = pool.submit(put, app, upload_id, silent, environ=environ)
        assert silent.is_read.wait(PATIENCE)
        second = put(app, upload_id, Body())
        assert (second.status_code, first.result(PATIENCE).status_code) == (200, 423)
    assert app.extensions["jumbo"].get_status(upload_id)["status"] == "completed"


def test_a_thread_that_is_ended_takes_its_request_along(tmp_path: Path) -> None:
    """As servers do to those that are not done in time."""

    def end(_: int) -> None:
        raise SystemExit(3)

    told: list[Event] = []
    app = app_in(tmp_path, body_timeout="1h", observers=[told.append])
    upload_id = started(app)
    with pytest.raises(SystemExit):
        put(app, upload_id, Body(CONTENT, end))
    poll(lambda: any(isinstance(it, BytesReceived) for it in told), PATIENCE, "it goes on")
    assert put(app, upload_id, Body()).status_code == 200


@pytest.fixture(name="app")
def _app(tmp_path: Path) -> Flask:
    return app_in(tmp_path)


async def test_a_wait_that_is_cancelled_loses_nothing(app: Flask) -> None:
    may_come = threading.Event()
    body = Body(CONTENT, lambda _: assert_(may_come.wait(PATIENCE)))
    told = {"wsgi.input": body, "CONTENT_LENGTH": str(CHUNK)}
    running: Future[None] = Future()
    with app.test_request_context("/", method="PUT", environ_overrides=told):
        exchange = Exchange(request, "")
    source, buffer = Source(exchange.scope, exchange.receive), bytearray(CHUNK)
    with ThreadPoolExecutor() as pool:
        thread = pool.submit(exchange.serve, running)
        with anyio.CancelScope() as scope:
            scope.cancel()
            await source.wait()
        assert scope.cancelled_caught
        may_come.set()
        with anyio.fail_after(PATIENCE):
            assert await source.wait()
        running.set_result(None)
        await anyio.to_thread.run_sync(thread.result)
    count = source.readinto(memoryview(buffer))
    assert body.sizes == [count]
    assert buffer[:count] == CONTENT[:count]


def assert_(holds: bool) -> None:
    assert holds
