"""Stopping keeps what arrived, tells everybody, waits as long as it may and no longer."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import anyio
import pytest
import uvicorn

from tests.harness.wire import Endpoint, poll
from tests.server.apps import PATIENCE, Gate, Obedient, Recorder, pattern, refuse
from tests.server.serving import OURS, STOCK, served
from tusjumbo.notice import Notice
from tusjumbo.server import stopping
from tusjumbo.server.limits import Limits
from tusjumbo.server.stopping import FORCED

FOR_EVER = 1000.0
PATIENT = Limits(shutdown_timeout=FOR_EVER, closing_linger_time=FOR_EVER)
HASTY = Limits(shutdown_timeout=0.1)


def test_running_requests_are_told_and_answer(loop: str) -> None:
    app = Obedient()
    with served(app, PATIENT, loop=loop) as server, server.endpoint.connect() as wire:
        wire.head("PATCH", "/", {"Content-Length": "1000000"})
        wire.send(pattern(300_000))
        poll(lambda: app.received == 300_000, PATIENCE, "the bytes are not delivered")
        server.stop()
        answer = wire.read()
        assert (answer.status, answer["connection"]) == (503, "close")
        assert answer.body == pattern(300_000)
        wire.close()
        assert server.join() == 0


def test_a_blind_sender_reads_the_503(loop: str) -> None:
    app = Obedient()
    with served(app, PATIENT, loop=loop) as server, server.endpoint.connect() as wire:
        wire.head("PATCH", "/", {"Content-Length": str(10**9)})
        wire.send(b"x")
        poll(lambda: app.received, PATIENCE, "the bytes are not delivered")
        server.stop()
        wire.send(b"x" * 50_000_000)
        assert wire.read().status == 503
        wire.close()
        assert server.join() == 0


def test_idle_connections_are_closed_at_once(loop: str) -> None:
    with served(Recorder(), PATIENT, loop=loop, keep_alive=FOR_EVER) as server:
        with server.endpoint.connect() as fresh, server.endpoint.connect() as used:
            assert used.request("GET", "/").status == 200
            poll(lambda: server.connections == 2, PATIENCE, "nobody is connected")
            server.stop()
            assert fresh.read_to_end() == b""
            assert used.read_to_end() == b""
            assert server.join() == 0
        with pytest.raises(ConnectionRefusedError):
            server.endpoint.connect()


def test_a_request_that_runs_may_finish_and_is_the_last_of_its_connection(loop: str) -> None:
    gate = Gate()
    app = Recorder(before=gate)
    with served(app, PATIENT, loop=loop) as server, server.endpoint.connect() as wire:
        wire.head("GET", "/")
        poll(lambda: app.scopes, PATIENCE, "the app is not called")
        server.stop()
        poll(lambda: app.closing.given, PATIENCE, "the app is not told")
        gate.open()
        assert wire.read()["connection"] == "close"
        assert wire.read_to_end() == b""
        assert server.join() == 0


@pytest.mark.parametrize("http", [OURS, STOCK], ids=["ours", "stock"])
def test_a_request_that_does_not_stop_is_cancelled_and_may_finish_its_commit(
    loop: str, http: Any
) -> None:
    happened: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            happened.append("lifespan ended")
            await send({"type": "lifespan.shutdown.complete"})
            return
        happened.append("began")
        try:
            await asyncio.sleep(FOR_EVER)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.1)
                happened.append("committed")

    options: Any = {"loop": loop, "http": http, "lifespan": "on"}
    with served(app, HASTY, **options) as server, server.endpoint.connect() as wire:
        wire.head("PATCH", "/", {"Content-Length": "100"})
        poll(lambda: happened, PATIENCE, "the app is not called")
        server.stop()
        assert server.join() == 0
        if http is OURS:
            assert wire.read().status == 503
    assert happened == ["began", "committed", "lifespan ended"]


def test_cancelling_is_no_error_of_the_app(caplog: pytest.LogCaptureFixture) -> None:
    begun = threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        begun.set()
        await asyncio.sleep(FOR_EVER)

    with served(app, HASTY) as server, server.endpoint.connect() as wire:
        wire.head("GET", "/")
        assert begun.wait(PATIENCE)
        server.stop()
        assert wire.read().status == 503
        server.join()
    assert [record.getMessage() for record in caplog.records if record.levelname != "INFO"] == [
        "Time is up: cancelling requests (1)."
    ]


def test_a_second_signal_cuts_it_short(loop: str) -> None:
    """Also for the app's lifespan: it may be what hangs."""
    notices: list[Notice] = []
    ended: list[bool] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            ended.append(True)
            await send({"type": "lifespan.shutdown.complete"})
            return
        notices.append(scope["extensions"]["tusjumbo"]["closing"])
        await asyncio.sleep(FOR_EVER)

    options: Any = {"loop": loop, "lifespan": "on"}
    with served(app, PATIENT, **options) as server, server.endpoint.connect() as wire:
        wire.head("PATCH", "/", {"Content-Length": "100"})
        poll(lambda: notices, PATIENCE, "the app is not called")
        server.stop()
        poll(lambda: notices[0].given, PATIENCE, "the app is not told")
        server.stop()
        assert server.join() == FORCED
        assert wire.read().status == 503
    assert ended == []


@pytest.mark.parametrize("bytes_sent", [b"", b"GET / HT"])
def test_an_unfinished_head_is_not_waited_for(loop: str, bytes_sent: bytes) -> None:
    limits = Limits(shutdown_timeout=FOR_EVER, header_timeout=FOR_EVER, closing_linger_time=0.1)
    with served(Recorder(), limits, loop=loop) as server, server.endpoint.connect() as wire:
        wire.send(bytes_sent)
        poll(lambda: server.connections, PATIENCE, "nobody is connected")
        wire.until_read()
        server.stop()
        assert server.join() == 0


@pytest.mark.parametrize("length", ["1000", "100000000"], ids=["draining", "lingering"])
def test_a_refused_body_is_not_waited_for(loop: str, length: str) -> None:
    limits = Limits(
        shutdown_timeout=FOR_EVER,
        linger_timeout=FOR_EVER,
        linger_time=FOR_EVER,
        closing_linger_time=0.1,
    )
    with served(refuse, limits, loop=loop) as server, server.endpoint.connect() as wire:
        wire.head("PATCH", "/", {"Content-Length": length})
        assert wire.read().status == 413
        server.stop()
        assert server.join() == 0


def test_an_answer_that_has_begun_is_the_last_of_its_connection(loop: str) -> None:
    """Too late to say so in its head."""
    gate = Gate()
    notices: list[Notice] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        notices.append(scope["extensions"]["tusjumbo"]["closing"])
        headers = [(b"content-length", b"4")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await gate()
        await send({"type": "http.response.body", "body": b"done"})

    options: Any = {"loop": loop, "keep_alive": FOR_EVER}
    with served(app, PATIENT, **options) as server, server.endpoint.connect() as wire:
        wire.head("GET", "/")
        assert wire.answered(PATIENCE)
        server.stop()
        poll(lambda: notices[0].given, PATIENCE, "the app is not told")
        gate.open()
        assert wire.read().body == b"done"
        assert wire.read_to_end() == b""
        assert server.join() == 0


def test_our_connections_tell_their_requests_under_any_server() -> None:
    """As with `uvicorn --http tusjumbo.server.protocol:UploadProtocol`."""
    app = Obedient()
    config = uvicorn.Config(app, port=0, http=OURS, log_config=None, lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        poll(lambda: server.started, PATIENCE, "the server does not start")
        port = server.servers[0].sockets[0].getsockname()[1]
        with Endpoint("127.0.0.1", port).connect() as wire:
            wire.head("PATCH", "/", {"Content-Length": "100"})
            wire.send(b"prefix")
            poll(lambda: app.received == 6, PATIENCE, "the bytes are not delivered")
            server.should_exit = True
            answer = wire.read()
            assert (answer.status, answer.body) == (503, b"prefix")
    finally:
        server.should_exit = server.force_exit = True
        thread.join(PATIENCE)
    assert not thread.is_alive()


@pytest.mark.parametrize("early", [True, False], ids=["before", "after"])
def test_pipelined_requests_are_answered_and_no_others(loop: str, early: bool) -> None:
    """Whether they came before or after the signal."""
    gate = Gate()
    app = Recorder(before=gate)
    with served(app, PATIENT, loop=loop) as server, server.endpoint.connect() as wire:
        wire.head("GET", "/1")
        poll(lambda: app.scopes, PATIENCE, "the app is not called")
        if early:
            wire.head("GET", "/2")
            wire.until_read()
        server.stop()
        poll(lambda: app.closing.given, PATIENCE, "the app is not told")
        if not early:
            wire.head("GET", "/2")
            wire.until_read()
        gate.open()
        assert wire.read().get("connection") is None
        assert wire.read()["connection"] == "close"
        assert wire.read_to_end() == b""
        assert server.join() == 0


def test_a_blind_sender_behind_the_last_answer(loop: str) -> None:
    """Its head was not complete when the server stopped, so nobody will read its body."""
    gate = Gate()
    app = Recorder(before=gate)
    with served(app, PATIENT, loop=loop) as server, server.endpoint.connect() as wire:
        wire.head("GET", "/1")
        wire.send(b"PATCH /2 HTTP/1.1\r\nContent-Length: 50000000\r\n")
        wire.until_read()
        poll(lambda: app.scopes, PATIENCE, "the app is not called")
        server.stop()
        poll(lambda: app.closing.given, PATIENCE, "the app is not told")
        gate.open()
        assert wire.answered(PATIENCE)
        wire.send(b"\r\n" + b"x" * 50_000_000)
        assert wire.read()["connection"] == "close"
        wire.close()
        assert server.join() == 0


async def _fail(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no disk"})


def test_an_app_that_cannot_start(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(AssertionError, match="does not start"), served(_fail, lifespan="on"):
        pass
    assert "no disk" in caplog.text


def test_an_app_that_does_not_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(stopping, "GRACE", 0.05)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await asyncio.sleep(FOR_EVER)

    with served(app, lifespan="on") as server:
        server.stop()
        assert server.join() == 0
    assert "The app did not finish its shutdown" in caplog.text
