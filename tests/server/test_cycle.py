"""A cut loses nothing that had arrived, whatever the server was doing; and 100 means yes."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ssl
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from tests.harness.wire import GoneError, Wire, poll
from tests.server.apps import PATIENCE, Gate, Recorder, pattern, refuse, respond
from tests.server.serving import OURS, STOCK, Certificate, Served, served
from tusjumbo.server.limits import Limits

ENDINGS = pytest.mark.parametrize("end", [Wire.close, Wire.reset], ids=["FIN", "RST"])
End = Callable[[Wire], None]


def begin(wire: Wire, app: Recorder, length: int) -> None:
    """Have the app started on a body of `length` bytes."""
    wire.head("PATCH", "/u", {"Content-Length": str(length)})
    poll(lambda: app.scopes, PATIENCE, "the app is not called")


@ENDINGS
@pytest.mark.parametrize("size", [1, 51_000, 300_000])
def test_a_busy_app_gets_all_that_came_before_the_cut(loop: str, end: End, size: int) -> None:
    gate = Gate()
    app = Recorder(before=gate)
    with (
        served(app, loop=loop, limits=Limits(high_water=1 << 20)) as server,
        server.endpoint.connect() as wire,
    ):
        begin(wire, app, 10**9)
        wire.send(pattern(size))
        wire.until_read()
        end(wire)
        poll(lambda: server.connections == 0, PATIENCE, "the cut is not noticed")
        gate.open()
        app.until_finished()
    assert app.body == pattern(size)
    assert app.was_cut


@ENDINGS
def test_stock_uvicorn_loses_it(end: End) -> None:
    gate = Gate()
    app = Recorder(before=gate)
    with served(app, http=STOCK) as server, server.endpoint.connect() as wire:
        begin(wire, app, 10**9)
        wire.send(pattern(51_000))
        wire.until_read()
        end(wire)
        poll(lambda: server.connections == 0, PATIENCE, "the cut is not noticed")
        gate.open()
        app.until_finished()
    assert app.body == b""


@ENDINGS
def test_a_busy_event_loop_loses_nothing(loop: str, end: End) -> None:
    gate = Gate(in_the_loop=True)
    app = Recorder(before=gate)
    with served(app, loop=loop) as server, server.endpoint.connect() as wire:
        begin(wire, app, 10**9)
        wire.send(pattern(50_000))
        wire.until_acknowledged()
        assert wire.unread() == 50_000
        end(wire)
        gate.open()
        app.until_finished()
    assert app.body == pattern(50_000)
    assert app.was_cut


@ENDINGS
def test_what_waits_in_the_kernel_is_not_lost(loop: str, end: End) -> None:
    """Linux keeps the receive queue after a reset; reading was paused by flow control."""
    gate = Gate()
    app = Recorder(before=gate)
    with served(app, loop=loop) as server, server.endpoint.connect() as wire:
        begin(wire, app, 10**9)
        body = pattern(150_000)
        wire.send(body[:100_000])
        wire.until_read()
        wire.send(body[100_000:])
        wire.until_acknowledged()
        assert wire.unread() == 50_000
        end(wire)
        gate.open()
        app.until_finished()
    assert app.body == body
    assert app.was_cut


@ENDINGS
def test_a_whole_body_stays_whole_though_its_sender_is_gone(loop: str, end: End) -> None:
    gate = Gate()
    app = Recorder(before=gate)
    with served(app, loop=loop) as server, server.endpoint.connect() as wire:
        begin(wire, app, 5)
        wire.send(b"whole")
        wire.until_read()
        end(wire)
        poll(lambda: has_noticed(server), PATIENCE, "the cut is not noticed")
        gate.open()
        app.until_finished()
    assert app.messages == [{"type": "http.request", "body": b"whole", "more_body": False}]


def has_noticed(server: Served) -> bool:
    """Whether all clients are known to send no more."""
    connections = server.server.server_state.connections
    return all(getattr(connection, "_input_ended", False) for connection in connections)


def test_a_client_that_has_closed_its_side_reads_its_answer(loop: str) -> None:
    gate = Gate()
    app = Recorder(before=gate)
    with served(app, loop=loop) as server, server.endpoint.connect() as wire:
        begin(wire, app, 5)
        wire.send(b"whole")
        wire.half_close()
        poll(lambda: has_noticed(server), PATIENCE, "the end is not noticed")
        gate.open()
        answer = wire.read()
        assert (answer.status, answer.body, answer["connection"]) == (200, b"whole", "close")
        assert wire.read_to_end() == b""


def test_all_requests_of_a_client_that_has_closed_its_side_are_answered(loop: str) -> None:
    gate = Gate()
    app = Recorder(before=gate)
    with served(app, loop=loop) as server, server.endpoint.connect() as wire:
        wire.send(b"GET /1 HTTP/1.1\r\n\r\nPUT /2 HTTP/1.1\r\nContent-Length: 3\r\n\r\ntwo")
        wire.half_close()
        gate.open()
        assert [wire.read().body, wire.read().body] == [b"", b"two"]
        assert wire.read_to_end() == b""


def test_stock_uvicorn_does_not_answer_such_a_client() -> None:
    gate = Gate()
    app = Recorder(before=gate)
    with served(app, http=STOCK) as server, server.endpoint.connect() as wire:
        begin(wire, app, 5)
        wire.send(b"whole")
        wire.half_close()
        with pytest.raises(GoneError):
            wire.read()
        gate.open()


def test_an_app_that_listens_hears_that_its_client_has_closed_its_side(loop: str) -> None:
    ended = threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await stream(receive, send)
        ended.set()

    with served(app, loop=loop) as server, server.endpoint.connect() as wire:
        wire.head("GET", "/")
        wire.half_close()
        assert ended.wait(PATIENCE)


@ENDINGS
def test_a_cut_between_and_within_chunks(loop: str, end: End) -> None:
    gate = Gate()
    app = Recorder(before=gate)
    with served(app, loop=loop) as server, server.endpoint.connect() as wire:
        wire.head("PATCH", "/u", {"Transfer-Encoding": "chunked"})
        poll(lambda: app.scopes, PATIENCE, "the app is not called")
        wire.send_chunk(b"one")
        wire.send_chunk(b"two")
        wire.send(b"100\r\nthree")
        wire.until_read()
        end(wire)
        poll(lambda: server.connections == 0, PATIENCE, "the cut is not noticed")
        gate.open()
        app.until_finished()
    assert app.body == b"onetwothree"
    assert app.was_cut


def test_a_waiting_app_hears_of_the_cut(loop: str) -> None:
    app = Recorder()
    with served(app, loop=loop) as server, server.endpoint.connect() as wire:
        begin(wire, app, 100)
        wire.send(b"abc")
        poll(lambda: app.body == b"abc", PATIENCE, "the bytes are not delivered")
        wire.close()
        app.until_finished()
    assert app.was_cut


def _end_tls(wire: Wire) -> None:
    """close_notify, then FIN. (The server may not answer it; nobody waits.)"""
    assert isinstance(wire.socket, ssl.SSLSocket)
    wire.socket.settimeout(0)
    with contextlib.suppress(ssl.SSLWantReadError):
        wire.socket = wire.socket.unwrap()
    wire.half_close()


@pytest.mark.parametrize(
    "end", [_end_tls, Wire.half_close, Wire.reset], ids=["close_notify", "FIN", "RST"]
)
@pytest.mark.parametrize("size", [51_000, 250_000], ids=["reading", "paused"])
def test_a_cut_over_tls(loop: str, certificate: Certificate, size: int, end: End) -> None:
    gate = Gate()
    app = Recorder(before=gate)
    with served(app, loop=loop, tls=certificate) as server, server.endpoint.connect() as wire:
        begin(wire, app, 10**9)
        wire.send(pattern(size))
        wire.until_read()
        end(wire)
        gate.open()
        app.until_finished()
    assert app.body == pattern(size)
    assert app.was_cut


async def stream(receive: Any, send: Any) -> None:
    """Answer without an end, until the client is gone."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    gone = asyncio.create_task(receive())
    while not gone.done():
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        await asyncio.sleep(0.005)


def test_a_running_request_hears_of_the_cut_though_others_wait(loop: str) -> None:
    """uvicorn tells only the latest; here that is one that has not begun."""
    ended = threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await stream(receive, send)
        ended.set()

    with served(app, loop=loop) as server, server.endpoint.connect() as wire:
        wire.head("GET", "/1")
        wire.head("GET", "/2")
        assert wire.answered(PATIENCE)
        wire.reset()
        assert ended.wait(PATIENCE)


def test_a_connection_leaves_nothing_behind(loop: str) -> None:
    """No timer and no circle of references: thousands of them come and go."""
    gc.disable()
    try:
        with served(Recorder(), loop=loop) as server, server.endpoint.connect() as wire:
            assert wire.request("PATCH", "/", {}, b"body").status == 200
            [connection] = server.server.server_state.connections
            left = weakref.ref(connection)
            del connection
            wire.close()
            poll(lambda: left() is None, PATIENCE, "the connection is kept")
    finally:
        gc.enable()


def test_a_whole_body_over_tls_and_its_end(
    loop: str, certificate: Certificate, caplog: pytest.LogCaptureFixture
) -> None:
    """TLS has no half-closed connections; the loops complain if they are asked for one."""
    gate = Gate()
    app = Recorder(before=gate)
    with served(app, loop=loop, tls=certificate) as server, server.endpoint.connect() as wire:
        begin(wire, app, 5)
        wire.send(b"whole")
        wire.until_read()
        wire.half_close()
        poll(lambda: server.connections == 0, PATIENCE, "the end is not noticed")
        gate.open()
        app.until_finished()
    assert app.messages == [{"type": "http.request", "body": b"whole", "more_body": False}]
    assert [record for record in caplog.records if record.levelname != "INFO"] == []


# --- bodies --------------------------------------------------------------------------------------


@pytest.mark.parametrize("http", [OURS, STOCK], ids=["ours", "stock"])
def test_a_long_body_comes_whole_and_in_order(loop: str, http: Any) -> None:
    body = pattern(5_000_000)
    with served(Recorder(), loop=loop, http=http) as server, server.endpoint.connect() as wire:
        assert wire.request("PATCH", "/u", {}, body).body == body
        assert wire.request("PATCH", "/u", {}, b"again").body == b"again"


def test_a_body_in_small_chunks(loop: str) -> None:
    app = Recorder()
    with served(app, loop=loop) as server, server.endpoint.connect() as wire:
        wire.head("PATCH", "/u", {"Transfer-Encoding": "chunked"})
        body = pattern(40_000)
        wire.send(b"".join(b"2\r\n%b\r\n" % body[at : at + 2] for at in range(0, 40_000, 2)))
        wire.send_chunk(b"")
        assert wire.read().body == body
        assert wire.request("GET", "/u").status == 200


def test_reading_stops_at_the_high_water_mark(loop: str) -> None:
    gate = Gate()
    app = Recorder(before=gate)
    with (
        served(app, loop=loop, limits=Limits(high_water=1000)) as server,
        server.endpoint.connect(send_buffer=1 << 16) as wire,
    ):
        begin(wire, app, 10**9)
        wire.send(b"x" * 2000)
        wire.until_read()
        wire.send(b"y" * 20_000)
        wire.until_acknowledged()
        assert wire.unread() == 20_000
        gate.open()
        wire.until_read()
        wire.close()
        app.until_finished()
    assert len(app.body) == 22_000


def test_a_request_without_a_body_has_one_empty_message(loop: str) -> None:
    app = Recorder()
    with served(app, loop=loop) as server, server.endpoint.connect() as wire:
        assert wire.request("POST", "/u", {"Content-Length": "0"}).status == 200
        assert wire.request("GET", "/u").status == 200
    assert app.messages == [{"type": "http.request", "body": b"", "more_body": False}] * 2


def test_receive_after_the_end_waits_for_the_disconnect(loop: str) -> None:
    heard: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        heard.extend([await receive(), await receive(), await receive()])

    with served(app, loop=loop) as server, server.endpoint.connect() as wire:
        wire.head("PATCH", "/u", {"Content-Length": "2"})
        wire.send(b"ab")
        wire.until_read()
        assert not wire.answered(0.05)
        wire.close()
        poll(lambda: heard, PATIENCE, "the app does not hear of the end")
    assert [message["type"] for message in heard] == [
        "http.request",
        "http.disconnect",
        "http.disconnect",
    ]


def test_a_cancelled_receive_loses_nothing(loop: str) -> None:
    cancelled = threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        waiting = asyncio.ensure_future(receive())
        await asyncio.wait([waiting], timeout=0.02)
        waiting.cancel()
        await asyncio.wait([waiting])
        cancelled.set()
        body = b""
        while (message := await receive())["more_body"]:
            body += message["body"]
        await respond(send, body=body + message["body"])

    with served(app, loop=loop) as server, server.endpoint.connect() as wire:
        wire.head("PATCH", "/u", {"Content-Length": "4"})
        assert cancelled.wait(PATIENCE)
        wire.send(b"body")
        assert wire.read().body == b"body"


# --- Expect: 100-continue ------------------------------------------------------------------------

EXPECT = {"Expect": "100-continue", "Content-Length": "3"}


def test_100_is_sent_when_the_app_begins_to_read(loop: str) -> None:
    gate = Gate()
    app = Recorder(before=gate)
    with served(app, loop=loop) as server, server.endpoint.connect() as wire:
        wire.head("PATCH", "/u", EXPECT)
        poll(lambda: app.scopes, PATIENCE, "the app is not called")
        assert not wire.answered(0.05)
        gate.open()
        assert wire.read_next().status == 100
        wire.send(b"abc")
        answer = wire.read()
        assert (answer.status, answer.interim, answer.body) == (200, (), b"abc")
        assert wire.request("GET", "/u").status == 200


def test_no_100_after_the_body_has_begun(loop: str) -> None:
    gate = Gate()
    app = Recorder(before=gate)
    with served(app, loop=loop) as server, server.endpoint.connect() as wire:
        begin_expecting = {**EXPECT, "Content-Length": "6"}
        wire.head("PATCH", "/u", begin_expecting)
        wire.send(b"abc")
        wire.until_read()
        gate.open()
        poll(lambda: app.messages, PATIENCE, "the bytes are not delivered")
        wire.send(b"def")
        answer = wire.read()
    assert (answer.body, answer.interim) == (b"abcdef", ())


@pytest.mark.parametrize("length", [None, "0"])
def test_no_100_without_a_body(loop: str, length: str | None) -> None:
    headers = {"Expect": "100-continue"} | ({"Content-Length": length} if length else {})
    with served(Recorder(), loop=loop) as server, server.endpoint.connect() as wire:
        wire.head("POST", "/u", headers)
        assert wire.read().interim == ()


def test_no_100_for_http_1_0(loop: str) -> None:
    with served(Recorder(), loop=loop) as server, server.endpoint.connect() as wire:
        wire.send(
            b"PUT /u HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n", answers="PUT"
        )
        assert not wire.answered(0.05)
        wire.send(b"abc")
        answer = wire.read()
    assert (answer.body, answer.interim) == (b"abc", ())


def test_a_refusal_instead_of_100_closes_the_connection(loop: str) -> None:
    """The client may send the body or not, so what comes next could be either."""
    with served(refuse, loop=loop) as server, server.endpoint.connect() as wire:
        wire.head("PATCH", "/u", EXPECT)
        answer = wire.read()
        assert (answer.status, answer.interim, answer["connection"]) == (413, (), "close")
        wire.head("GET", "/next")
        with pytest.raises(GoneError):
            wire.read()


def test_stock_uvicorn_swallows_the_request_after_such_a_refusal() -> None:
    with served(refuse, http=STOCK) as server, server.endpoint.connect(deadline=0.5) as wire:
        wire.head("PATCH", "/u", {**EXPECT, "Content-Length": "1000"})
        assert wire.read().get("connection") is None
        wire.head("GET", "/next")
        with pytest.raises(TimeoutError):
            wire.read()


def test_a_refusal_after_the_whole_body_keeps_the_connection(loop: str) -> None:
    gate = Gate()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await gate()
        await refuse(scope, receive, send)

    with served(app, loop=loop) as server, server.endpoint.connect() as wire:
        wire.head("PATCH", "/u", EXPECT)
        wire.send(b"abc")
        wire.until_read()
        gate.open()
        assert wire.read().get("connection") is None
        assert wire.request("GET", "/next").status == 413


# --- the scope -----------------------------------------------------------------------------------


def test_every_scope_has_the_closing_notice(loop: str) -> None:
    app = Recorder()
    with served(app, loop=loop) as server, server.endpoint.connect() as wire:
        wire.request("GET", "/one")
        wire.request("GET", "/two")
        notices = [scope["extensions"]["tusjumbo"]["closing"] for scope in app.scopes]
        assert notices[0] is notices[1]
        assert not notices[0].given


@pytest.mark.parametrize("in_one_piece", [True, False], ids=["one segment", "two segments"])
def test_trailers_are_no_headers(loop: str, in_one_piece: bool) -> None:
    app = Recorder()
    head = b"PATCH /u HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
    rest = b"3\r\nabc\r\n0\r\nX-Sum: 1\r\nUpload-Offset: 5\r\nAuthorization: me\r\n\r\n"
    with served(app, loop=loop) as server, server.endpoint.connect() as wire:
        if in_one_piece:
            wire.send(head + rest, answers="PATCH")
        else:
            wire.send(head, answers="PATCH")
            poll(lambda: app.scopes, PATIENCE, "the app is not called")
            wire.send(rest)
        assert wire.read().body == b"abc"
        assert wire.request("GET", "/u").status == 200
    names = [[name for name, _ in scope["headers"]] for scope in app.scopes]
    assert names == [[b"host", b"transfer-encoding", b"trailer"], [b"host"]]


@pytest.mark.parametrize("in_one_piece", [True, False], ids=["one segment", "many segments"])
def test_trailers_are_told_when_the_body_has_ended(loop: str, in_one_piece: bool) -> None:
    told: list[list[tuple[bytes, bytes]]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        trailers = scope["extensions"]["tusjumbo"]["trailers"]
        if not in_one_piece:
            told.append(list(trailers))
        while (await receive())["more_body"]:
            pass
        told.append(list(trailers))
        await respond(send)

    rest = b"3\r\nabc\r\n0\r\nX-Sum: 1 \r\nx-sum:2\r\nUpload-Offset: 5\r\n\r\n"
    with served(app, loop=loop) as server, server.endpoint.connect() as wire:
        head = b"PATCH /u HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
        if in_one_piece:
            wire.send(head + rest, answers="PATCH")
        else:
            wire.send(head, answers="PATCH")
            poll(lambda: told, PATIENCE, "the app is not called")
            for at in range(len(rest)):
                wire.send(rest[at : at + 1])
        wire.read().expect(200)
        told_first = told.pop()
        wire.request("PATCH", "/u", body=b"abc").expect(200)
    assert [(name, value.strip()) for name, value in told_first] == [
        (b"x-sum", b"1"),
        (b"x-sum", b"2"),
        (b"upload-offset", b"5"),
    ]
    assert told == ([[]] if in_one_piece else [[], [], []])


def test_stock_uvicorn_takes_trailers_for_headers() -> None:
    app = Recorder()
    with served(app, http=STOCK) as server, server.endpoint.connect() as wire:
        wire.send(
            b"PATCH /u HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"3\r\nabc\r\n0\r\nUpload-Offset: 5\r\n\r\n",
            answers="PATCH",
        )
        wire.read()
    assert (b"upload-offset", b"5") in app.scopes[0]["headers"]
