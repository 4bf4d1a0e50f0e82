"""No client holds a connection for nothing, and every client can read its answer."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.harness.wire import GoneError, Wire, poll
from tests.server.apps import PATIENCE, App, Gate, Recorder, pattern, refuse, respond
from tests.server.serving import STOCK, Certificate, Served, served
from tusjumbo.server.limits import Limits

SHORT = 0.1
LONGER = 3 * SHORT
FOR_EVER = 1000.0

PATIENT = 0.6
BEYOND = 2.5 * PATIENT
"""Longer than a server waits that asks twice."""
GAPS = [PATIENT / 5] * 7
"""Together longer than the patience, and each far enough from it for a busy machine."""


@contextlib.contextmanager
def connected(
    app: App, limits: Limits | None = None, **options: Any
) -> Iterator[tuple[Served, Wire]]:
    """A server with one connection to it."""
    with served(app, limits, **options) as server, server.endpoint.connect() as wire:
        yield server, wire


def until_gone(server: Served) -> None:
    poll(lambda: server.connections == 0, PATIENCE, "the connection stays")


def drip(wire: Wire, piece: bytes) -> Iterator[None]:
    """Send a piece every now and then until the server says something or hangs up."""
    end = time.monotonic() + PATIENCE
    while not wire.answered(SHORT / 5) and time.monotonic() < end:
        with contextlib.suppress(ConnectionError):
            wire.send(piece)
        yield


# --- heads ---------------------------------------------------------------------------------------


def test_a_silent_connection_is_closed_silently(loop: str) -> None:
    with connected(Recorder(), Limits(header_timeout=SHORT), loop=loop) as (_, wire):
        assert wire.read_to_end() == b""


def test_a_head_that_does_not_end_is_answered_with_408(loop: str) -> None:
    with connected(Recorder(), Limits(header_timeout=PATIENT), loop=loop) as (_, wire):
        wire.send(b"GET / HTTP/1.1\r\nHost:", answers="GET")
        answer = wire.read()
        assert (answer.status, answer["connection"]) == (408, "close")
        assert wire.read_to_end() == b""


def test_a_head_that_comes_drop_by_drop_is_not_waited_for(loop: str) -> None:
    with connected(Recorder(), Limits(header_timeout=PATIENT), loop=loop) as (_, wire):
        wire.send(b"GET / HTTP/1.1\r\n", answers="GET")
        for _ in drip(wire, b"X-Slow: Loris\r\n"):
            pass
        assert wire.read().status == 408


def test_a_later_head_has_a_clock_of_its_own(loop: str) -> None:
    with connected(Recorder(), Limits(header_timeout=PATIENT), loop=loop) as (_, wire):
        assert wire.request("GET", "/").status == 200
        wire.send(b"GET / HTTP/1.1\r\n", answers="GET")
        for _ in drip(wire, b"X-Slow: Loris\r\n"):
            pass
        assert wire.read().status == 408


def test_the_clock_of_the_head_ends_with_the_head(loop: str) -> None:
    with connected(Recorder(), Limits(header_timeout=PATIENT), loop=loop) as (_, wire):
        wire.head("PATCH", "/", {"Content-Length": "4"})
        assert not wire.answered(BEYOND)
        wire.send(b"body")
        assert wire.read().body == b"body"


def test_without_a_header_timeout_nobody_is_hurried(loop: str) -> None:
    with connected(Recorder(), Limits(header_timeout=0), loop=loop) as (_, wire):
        wire.send(b"GET / HTTP/1.1\r\nHost: h\r\n", answers="GET")
        assert not wire.answered(LONGER)
        wire.send(b"\r\n")
        assert wire.read().status == 200


def test_an_idle_connection_is_closed_silently(loop: str) -> None:
    with connected(Recorder(), loop=loop, keep_alive=SHORT) as (_, wire):
        assert wire.request("GET", "/").status == 200
        assert wire.read_to_end() == b""


def test_empty_lines_keep_no_connection_alive(loop: str) -> None:
    with connected(Recorder(), loop=loop, keep_alive=LONGER) as (server, wire):
        assert wire.request("GET", "/").status == 200
        for _ in drip(wire, b"\r\n"):
            pass
        with contextlib.suppress(GoneError):
            assert wire.read_to_end() == b""
        until_gone(server)


def test_requests_keep_a_connection_alive(loop: str) -> None:
    with connected(Recorder(), loop=loop, keep_alive=PATIENT) as (_, wire):
        for gap in GAPS:
            assert wire.request("GET", "/").status == 200
            assert not wire.answered(gap)


BIG = Limits(head_size=2000)


@pytest.mark.parametrize("field", [b"X-Long: " + b"x" * 3000, b"\r\n".join([b"X: y"] * 800)])
def test_a_head_of_too_many_bytes(loop: str, field: bytes) -> None:
    app = Recorder()
    with connected(app, BIG, loop=loop) as (_, wire):
        wire.send(b"GET / HTTP/1.1\r\nHost: h\r\n" + field + b"\r\n\r\n", answers="GET")
        answer = wire.read()
        assert (answer.status, answer["connection"]) == (431, "close")
        assert wire.read_to_end() == b""
    assert app.scopes == []


def test_a_target_of_too_many_bytes(loop: str) -> None:
    with connected(Recorder(), BIG, loop=loop) as (_, wire):
        assert wire.request("GET", "/" + "x" * 3000).status == 431


@pytest.mark.parametrize(
    "start", [b"GET / HTTP/1.1\r\nX-Endless: ", b"GET /", b"GET / HTTP/1.1\r\n"]
)
def test_a_head_without_an_end(loop: str, start: bytes) -> None:
    """The parser would keep all of it."""
    with connected(Recorder(), BIG, loop=loop) as (_, wire):
        wire.send(start, answers="GET")
        assert wire.send_until_answered(b"x" * 10**7, 1000) < 10**7
        assert wire.read().status == 431


def in_pieces(wire: Wire, data: bytes, answers: str | None = None) -> None:
    """Send it so that the server gets it bit by bit."""
    for at in range(0, len(data), 1000):
        wire.send(data[at : at + 1000], answers=None if at else answers)
        wire.until_read()


def test_heads_of_just_the_right_size(loop: str) -> None:
    """Nothing but a head counts: no body before it, no trailers, no empty lines."""
    # The sizes of target and fields, with colon, space and line end, sum up to the limit.
    length = b"Content-Length: 4000\r\n"
    head = b"PATCH / HTTP/1.1\r\nX-Long: %b\r\n%b\r\n" % (b"x" * (1999 - 10 - 22), length)
    chunked = b"PATCH / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    with connected(Recorder(), BIG, loop=loop) as (_, wire):
        in_pieces(wire, head, "PATCH")
        in_pieces(wire, pattern(4000))
        assert wire.read().body == pattern(4000)
        in_pieces(wire, b"\r\n" * 400)
        in_pieces(wire, chunked, "PATCH")
        in_pieces(wire, b"5\r\nhello\r\n0\r\nX-Sum: %b\r\n\r\n" % (b"1" * 1900))
        assert wire.read().body == b"hello"
        in_pieces(wire, head, "PATCH")
        in_pieces(wire, pattern(4000))
        assert wire.read().body == pattern(4000)


def test_trailers_without_an_end(loop: str) -> None:
    app = Recorder()
    with connected(app, BIG, loop=loop) as (_, wire):
        wire.head("PATCH", "/", {"Transfer-Encoding": "chunked"})
        wire.send(b"3\r\nabc\r\n0\r\nX-Endless: ")
        poll(lambda: app.messages, PATIENCE, "the body is not delivered")
        assert wire.send_until_answered(b"x" * 10**7, 1000) < 10**7
        assert wire.read().status == 431
        app.until_finished()
    assert (app.body, app.was_cut) == (b"abc", True)


# --- bodies that do not come ---------------------------------------------------------------------


def test_a_body_that_stops_coming_ends_the_connection(loop: str) -> None:
    app = Recorder()
    with connected(app, Limits(body_timeout=SHORT), loop=loop) as (_, wire):
        wire.send(b"PATCH / HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc")
        assert wire.read_to_end() == b""
        app.until_finished()
    assert (app.body, app.was_cut) == (b"abc", True)


def test_stock_uvicorn_waits_for_ever() -> None:
    short = Limits(body_timeout=SHORT, header_timeout=SHORT)
    with connected(Recorder(), short, http=STOCK) as (server, wire):
        wire.head("PATCH", "/", {"Content-Length": "10"})
        with server.endpoint.connect() as another:
            another.send(b"GET / HTTP/1.1\r\n")
            assert not another.answered(2 * LONGER)
        assert not wire.answered()


def test_a_slow_body_is_waited_for(loop: str) -> None:
    with connected(Recorder(), Limits(body_timeout=PATIENT), loop=loop) as (_, wire):
        wire.head("PATCH", "/", {"Content-Length": str(len(GAPS))})
        for gap in GAPS:
            assert not wire.answered(gap)
            wire.send(b"x")
        assert wire.read().body == b"x" * len(GAPS)


def test_a_client_is_not_blamed_for_an_app_that_does_not_read(loop: str) -> None:
    gate = Gate()
    app = Recorder(before=gate)
    with connected(app, Limits(body_timeout=PATIENT, high_water=1000), loop=loop) as (_, wire):
        wire.head("PATCH", "/", {"Content-Length": "5000"})
        wire.send(pattern(4000))
        assert not wire.answered(BEYOND)
        gate.open()
        wire.send(pattern(1000))
        assert wire.read().body == pattern(4000) + pattern(1000)


def test_a_client_is_not_blamed_for_a_slow_answer(loop: str) -> None:
    async def busy() -> None:
        await asyncio.sleep(BEYOND)

    app = Recorder(before=busy)
    with connected(app, Limits(body_timeout=PATIENT, header_timeout=PATIENT), loop=loop) as (
        _,
        wire,
    ):
        assert wire.request("PATCH", "/", {}, b"body").body == b"body"


# --- answers to clients that are still sending ---------------------------------------------------

MEGABYTES = b"x" * 50_000_000


async def close(scope: Any, receive: Any, send: Any) -> None:
    await respond(send, 413, b"too much", ((b"connection", b"close"),))


@pytest.mark.campaign
@pytest.mark.parametrize(
    ("app", "chunked", "times"),
    [(refuse, False, 20), (refuse, True, 3), (close, False, 3), (close, True, 3)],
    ids=["length", "chunked", "length, app closes", "chunked, app closes"],
)
def test_a_blind_sender_of_50_mb_reads_its_answer(
    loop: str, app: App, chunked: bool, times: int
) -> None:
    """It writes everything before it looks, as most clients do."""
    with served(app, loop=loop) as server:
        for _ in range(times):
            with server.endpoint.connect() as wire:
                if chunked:
                    wire.head("PATCH", "/", {"Transfer-Encoding": "chunked"})
                    wire.send_chunk(MEGABYTES)
                    wire.send_chunk(b"")
                else:
                    wire.head("PATCH", "/", {"Content-Length": str(len(MEGABYTES))})
                    wire.send(MEGABYTES)
                answer = wire.read()
                assert (answer.status, answer.body) == (413, b"too much")
                assert answer["connection"] == "close"
                assert wire.read_to_end() == b""
        until_gone(server)


def test_a_blind_sender_over_tls_reads_its_answer(loop: str, certificate: Certificate) -> None:
    with connected(refuse, Limits(linger_timeout=PATIENT), loop=loop, tls=certificate) as (
        server,
        wire,
    ):
        wire.head("PATCH", "/", {"Content-Length": str(len(MEGABYTES))})
        wire.send(MEGABYTES)
        assert wire.read().status == 413
        until_gone(server)


def test_stock_uvicorn_resets_such_a_sender() -> None:
    with connected(close, http=STOCK) as (_, wire):
        wire.head("PATCH", "/", {"Content-Length": str(len(MEGABYTES))})
        with pytest.raises(ConnectionError):
            wire.send(MEGABYTES)


def test_nothing_is_kept_of_what_is_thrown_away(loop: str) -> None:
    with connected(refuse, loop=loop) as (_, wire):
        wire.head("PATCH", "/", {"Content-Length": str(10**9)})
        assert wire.read().status == 413
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for _ in range(4):
            wire.send(MEGABYTES)
        wire.until_read()
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert after - before < 16 * 1024  # KiB


@pytest.mark.parametrize("rest", [10_000, 10_001])
def test_a_small_rest_is_drained_and_the_connection_kept(loop: str, rest: int) -> None:
    keeps = rest == 10_000
    gate = Gate()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await gate()
        await refuse(scope, receive, send)

    limits = Limits(drain_size=10_000, high_water=1000)
    with connected(app, limits, loop=loop) as (_, wire):
        wire.head("PATCH", "/", {"Content-Length": str(5000 + rest)})
        wire.send(pattern(5000))
        wire.until_read()
        gate.open()
        assert wire.read().get("connection") == (None if keeps else "close")
        wire.send(b"x" * rest)
        if keeps:
            assert wire.request("GET", "/").status == 413
        else:
            assert wire.read_to_end() == b""


def test_a_rest_that_is_sent_already_costs_nothing(loop: str) -> None:
    """Head, body and the next request in one segment."""
    with connected(refuse, loop=loop) as (_, wire):
        wire.send(
            b"PATCH / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello"
            b"PATCH / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
            b"GET / HTTP/1.1\r\n\r\n"
        )
        answers = [wire.read() for _ in range(3)]
        assert [(one.status, one.get("connection")) for one in answers] == [(413, None)] * 3


def test_a_rest_that_does_not_come_is_not_waited_for(loop: str) -> None:
    with connected(refuse, Limits(linger_timeout=SHORT), loop=loop) as (_, wire):
        wire.head("PATCH", "/", {"Content-Length": "1000"})
        assert wire.read().get("connection") is None
        assert wire.read_to_end() == b""


def test_a_rest_that_comes_is_waited_for(loop: str) -> None:
    limits = Limits(linger_timeout=PATIENT)
    with connected(refuse, limits, loop=loop) as (_, wire):
        wire.head("PATCH", "/", {"Content-Length": str(len(GAPS))})
        assert wire.read().get("connection") is None
        for gap in GAPS:
            assert not wire.answered(gap)
            wire.send(b"x")
        assert wire.request("GET", "/").status == 413


def test_a_blind_sender_that_is_slow_is_waited_for(loop: str) -> None:
    limits = Limits(linger_timeout=PATIENT)
    with connected(close, limits, loop=loop) as (server, wire):
        wire.head("PATCH", "/", {"Content-Length": "1000"})
        for gap in GAPS:
            time.sleep(gap)
            wire.send(b"x")
        assert server.connections == 1
        assert wire.read().status == 413


def test_a_rest_that_comes_drop_by_drop_is_not_waited_for(loop: str) -> None:
    with connected(refuse, Limits(linger_time=LONGER), loop=loop) as (server, wire):
        wire.head("PATCH", "/", {"Content-Length": "1000000"})
        assert wire.read().get("connection") is None
        for _ in drip(wire, b"x"):
            pass
        until_gone(server)


def test_a_client_that_stays_silent_is_left(loop: str) -> None:
    with connected(close, Limits(linger_timeout=SHORT), loop=loop) as (server, wire):
        wire.head("PATCH", "/", {"Content-Length": "1000"})
        assert wire.read().status == 413
        until_gone(server)


def test_a_client_that_goes_on_for_ever_is_left(loop: str) -> None:
    with connected(close, Limits(linger_time=LONGER), loop=loop) as (server, wire):
        wire.head("PATCH", "/", {"Content-Length": "1000000"})
        assert wire.read().status == 413
        end = time.monotonic() + PATIENCE
        while server.connections and time.monotonic() < end:
            with contextlib.suppress(ConnectionError):
                wire.send(b"x")
            time.sleep(SHORT / 5)
        assert server.connections == 0


def test_a_client_that_sends_too_much_is_left(loop: str) -> None:
    with connected(close, Limits(linger_size=1_000_000), loop=loop) as (server, wire):
        wire.head("PATCH", "/", {"Content-Length": str(10**9)})
        assert wire.read().status == 413
        with pytest.raises(ConnectionError):
            wire.send(MEGABYTES)
        until_gone(server)


def test_a_connection_with_nothing_outstanding_is_closed_at_once(loop: str) -> None:
    limits = Limits(linger_timeout=FOR_EVER, linger_time=FOR_EVER)
    with connected(Recorder(), limits, loop=loop) as (server, wire):
        assert wire.request("PATCH", "/", {"Connection": "close"}, b"body").body == b"body"
        until_gone(server)


def test_an_app_that_fails_is_answered_for(loop: str, caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        raise ZeroDivisionError

    with connected(app, loop=loop) as (_, wire):
        wire.head("PATCH", "/", {"Content-Length": str(len(MEGABYTES))})
        wire.send(MEGABYTES)
        assert wire.read().status == 500
    assert "ZeroDivisionError" in caplog.text


# --- messages that are wrong ---------------------------------------------------------------------


def test_a_bad_chunk_is_answered_and_what_came_before_is_kept(loop: str) -> None:
    app = Recorder()
    with connected(app, Limits(linger_timeout=FOR_EVER), loop=loop) as (_, wire):
        wire.head("PATCH", "/", {"Transfer-Encoding": "chunked"})
        wire.send(b"5\r\nhello\r\nworld\r\n" + MEGABYTES)
        answer = wire.read()
        assert (answer.status, answer["connection"]) == (400, "close")
        app.until_finished()
    assert (app.body, app.was_cut) == (b"hello", True)


def test_a_bad_head_is_answered_though_the_client_goes_on(loop: str) -> None:
    with connected(Recorder(), loop=loop) as (_, wire):
        wire.send(b"!" * 100 + MEGABYTES, answers="GET")
        assert wire.read().status == 400


def test_a_bad_head_behind_a_good_request_does_not_disturb_its_answer(loop: str) -> None:
    gate = Gate()
    with connected(Recorder(before=gate), loop=loop) as (_, wire):
        wire.send(b"GET / HTTP/1.1\r\n\r\n!!!\r\n\r\n", answers="GET")
        wire.until_read()
        wire.send(b"nobody reads this")
        wire.until_acknowledged()
        assert not wire.answered(0.05)
        assert wire.unread() > 0
        gate.open()
        answer = wire.read()
        assert (answer.status, answer["connection"]) == (200, "close")
        assert wire.read_to_end() == b""


def test_a_bad_chunk_after_the_answer_has_begun_ends_the_connection(loop: str) -> None:
    begun = threading.Event()
    heard: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        begun.set()
        heard.append(await receive())
        heard.append(await receive())

    with connected(app, loop=loop) as (_, wire):
        wire.head("PATCH", "/", {"Transfer-Encoding": "chunked"})
        assert begun.wait(PATIENCE)
        wire.send(b"2\r\nab\r\n!!!")
        with pytest.raises(GoneError):
            wire.read()
        poll(lambda: len(heard) == 2, PATIENCE, "the app does not hear of the end")
    assert [message["type"] for message in heard] == ["http.request", "http.disconnect"]


# --- as in stock uvicorn -------------------------------------------------------------------------


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the path and the body, after as many milliseconds as the query says."""
    await asyncio.sleep(int(scope["query_string"] or 0) / 1000)
    body = b""
    while (message := await receive())["more_body"]:
        body += message["body"]
    await respond(send, 200, scope["path"].encode() + b" " + body + message["body"])


def test_pipelined_requests_are_answered_in_order(loop: str) -> None:
    with connected(echo, loop=loop) as (_, wire):
        wire.send(
            b"PATCH /1?50 HTTP/1.1\r\nContent-Length: 3\r\n\r\none"
            b"PATCH /2?10 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ntwo\r\n0\r\n\r\n"
            b"GET /3 HTTP/1.1\r\n\r\n"
            b"PATCH /4 HTTP/1.1\r\nContent-Length: 4\r\n\r\nfo"
        )
        assert [wire.read().body for _ in range(3)] == [b"/1 one", b"/2 two", b"/3 "]
        wire.send(b"ur")
        assert wire.read().body == b"/4 four"
        assert wire.request("GET", "/5").body == b"/5 "


def test_a_long_body_behind_a_slow_request(loop: str) -> None:
    body = pattern(1_000_000)
    with connected(echo, loop=loop) as (_, wire):
        wire.head("GET", "/1?50")
        wire.head("PATCH", "/2", {"Content-Length": str(len(body))})
        wire.send(body)
        assert wire.read().body == b"/1 "
        assert wire.read().body == b"/2 " + body


class Stages:
    """An app with a gate before it reads, and one before it answers, for each request."""

    def __init__(self, requests: int) -> None:
        self.gates = [(Gate(), Gate()) for _ in range(requests)]
        self.begun = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        reading, answering = self.gates[self.begun]
        self.begun += 1
        await reading()
        while (await receive())["more_body"]:
            pass
        await answering()
        await respond(send)


def until_left_unread(wire: Wire, data: bytes) -> None:
    """Send it, and see that the server does not read it."""
    wire.send(data)
    wire.until_acknowledged()
    assert not wire.answered(SHORT)
    assert wire.unread() == len(data)


def test_reading_a_body_reads_no_further_requests(loop: str) -> None:
    app = Stages(2)
    with connected(app, loop=loop) as (_, wire):
        wire.send(b"PATCH /1 HTTP/1.1\r\nContent-Length: 3\r\n\r\none")
        wire.head("GET", "/2")
        wire.until_read()
        app.gates[0][0].open()
        until_left_unread(wire, b"GET /3 HTTP/1.1\r\n\r\n")


def test_a_body_that_has_waited_behind_a_request_is_not_read_on_either(loop: str) -> None:
    app = Stages(2)
    with connected(app, Limits(high_water=1000), loop=loop) as (_, wire):
        head = b"PATCH /2 HTTP/1.1\r\nContent-Length: 5000\r\n\r\n"
        wire.send(b"GET /1 HTTP/1.1\r\n\r\n" + head + pattern(2000))
        for gate in app.gates[0]:
            gate.open()
        poll(lambda: app.begun == 2, PATIENCE, "the second request does not begin")
        assert wire.read().status == 200
        until_left_unread(wire, pattern(3000))


def test_a_blind_sender_behind_an_answer_that_closes(loop: str) -> None:
    gate = Gate()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await gate()
        await close(scope, receive, send)

    with connected(app, loop=loop) as (_, wire):
        wire.head("GET", "/1")
        wire.head("PATCH", "/2", {"Content-Length": str(len(MEGABYTES))})
        wire.until_read()
        gate.open()
        wire.send(MEGABYTES)
        assert wire.read().status == 413
        assert wire.read_to_end() == b""


def test_http_1_0(loop: str) -> None:
    with connected(echo, loop=loop) as (_, wire):
        wire.send(b"PUT /u HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc", answers="PUT")
        answer = wire.read()
        assert (answer.body, answer["connection"]) == (b"/u abc", "close")
        assert wire.read_to_end() == b""


class Parrot(asyncio.Protocol):
    """In the place of a WebSocket class: says 101, and then what it hears."""

    def __init__(self, config: Any, server_state: Any, app_state: Any) -> None:
        self.heard = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if not self.heard:
            self.transport.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        else:
            self.transport.write(data)
        self.heard += data


def test_a_websocket_gets_its_connection(loop: str) -> None:
    short = Limits(header_timeout=PATIENT, body_timeout=PATIENT)
    with connected(echo, short, loop=loop, ws=Parrot, keep_alive=PATIENT) as (_, wire):
        assert wire.request("GET", "/1").status == 200
        wire.send(b"GET /ws HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        assert wire.socket.recv(100).startswith(b"HTTP/1.1 101 ")
        assert not wire.answered(BEYOND)
        wire.send(b"polly")
        assert wire.socket.recv(100) == b"polly"


H2C = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAMA"}


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("cut", [0, 2, 8], ids=lambda cut: f"{cut} bytes with the head")
def test_an_offer_of_http_2_costs_no_body(loop: str, framing: str, cut: int) -> None:
    """As java.net.http.HttpClient does on its first request."""
    app = Recorder()
    head = "".join(f"{name}: {value}\r\n" for name, value in H2C.items())
    if framing == "length":
        head, body = f"{head}Content-Length: 8\r\n", b"contents"
    else:
        head, body = f"{head}Transfer-Encoding: chunked\r\n", b"8\r\ncontents\r\n0\r\n\r\n"
    with connected(app, loop=loop) as (_, wire):
        wire.send(f"PATCH / HTTP/1.1\r\n{head}\r\n".encode() + body[:cut], answers="PATCH")
        poll(lambda: app.scopes, PATIENCE, "the app is not called")
        wire.send(body[cut:])
        assert wire.read().body == b"contents"
        assert wire.request("PATCH", "/", {}, b"next").body == b"next"
    assert [name for name, _ in app.scopes[1]["headers"]] == [b"host", b"content-length"]


def test_an_offer_of_http_2_without_a_body(loop: str) -> None:
    with connected(echo, loop=loop) as (_, wire):
        head = "".join(f"{name}: {value}\r\n" for name, value in H2C.items())
        wire.send(f"GET /1 HTTP/1.1\r\n{head}\r\nGET /2 HTTP/1.1\r\n\r\n".encode())
        assert [wire.read().body for _ in range(2)] == [b"/1 ", b"/2 "]


def test_stock_uvicorn_loses_a_body_after_an_offer_of_http_2() -> None:
    app = Recorder()
    with connected(app, http=STOCK) as (_, wire):
        wire.request("PATCH", "/", H2C, b"contents")
    assert app.body == b""
