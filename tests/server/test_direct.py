"""What the server offers beside `receive`, and that nobody takes it who should not.

All other tests of the server run with apps that use it, too (see `conftest`); here is what only
such apps can see.
"""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from tests.harness.wire import poll
from tests.server.apps import PATIENCE, Bodies, pattern, read_bodies, respond
from tests.server.serving import Certificate, served
from tusjumbo.server.direct import BRISK, DirectBody
from tusjumbo.server.limits import Limits


@pytest.fixture(autouse=True, params=[Bodies.DIRECT], ids=["direct"])
def way(request: pytest.FixtureRequest) -> Iterator[None]:
    """These are about the one way only."""
    read_bodies(request.param)
    yield
    read_bodies(Bodies.PARSED)


def body_of(scope: Any) -> Any:
    body = scope["extensions"]["tusjumbo"]["body"]()
    assert body is not None
    return body


async def drawn(body: Any, size: int) -> bytes:
    """`size` bytes of the body, read by another thread wherever that can be."""
    taken = b""
    while len(taken) < size and await body.wait():
        memory = memoryview(bytearray(min(size - len(taken), 70_000)))
        read = body.direct
        if read is None:
            count = body.readinto(memory)
        else:
            count = await asyncio.get_running_loop().run_in_executor(None, read, memory)
        taken += memory[:count]
    return taken


async def draw_all(scope: Any, receive: Any, send: Any) -> None:
    body = body_of(scope)
    await respond(send, body=await drawn(body, 1 << 30))


# --- one body ------------------------------------------------------------------------------------


def test_the_next_request_is_not_read_as_body(loop: str) -> None:
    with served(draw_all, loop=loop) as server, server.endpoint.connect() as wire:
        first, second = pattern(300_000), b"second"
        for body in (first, second):
            wire.head("PATCH", "/u", {"Content-Length": str(len(body))})
            wire.send(body)
        assert wire.read().body == first
        assert wire.read().body == second
        assert wire.request("GET", "/u").body == b""


def test_a_thread_reads_what_does_not_come_with_the_head(loop: str) -> None:
    ways: list[bool] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body = body_of(scope)
        assert receive.__self__ is body
        assert body.direct is None  # nobody has asked for the body
        assert await body.wait()
        ways.append(body.direct is not None)
        await draw_all(scope, receive, send)

    with served(app, loop=loop) as server, server.endpoint.connect() as wire:
        wire.head("PATCH", "/u", {"Content-Length": "200000"})
        poll(lambda: server.connections, PATIENCE, "no connection")
        wire.send(pattern(200_000))
        assert wire.read().body == pattern(200_000)
    assert ways[0]


@pytest.mark.parametrize(
    ("limits", "headers"),
    [
        (Limits(direct_from=None), {"Content-Length": "200000"}),
        (Limits(direct_from=10**6), {"Content-Length": "200000"}),
        (Limits(direct_from=1), {"Transfer-Encoding": "chunked"}),
    ],
    ids=["off", "too small", "chunked"],
)
def test_bodies_that_the_transport_receives(
    monkeypatch: pytest.MonkeyPatch, loop: str, limits: Limits, headers: dict[str, str]
) -> None:
    made = count_direct(monkeypatch)
    monkeypatch.setattr(Bodies.DIRECT, "_value_", limits.direct_from)
    with served(draw_all, limits, loop=loop) as server, server.endpoint.connect() as wire:
        wire.head("PATCH", "/u", headers)
        wire.until_read()
        if "Content-Length" in headers:
            wire.send(pattern(200_000))
        else:
            wire.send_chunk(pattern(200_000))
            wire.send_chunk(b"")
        assert wire.read().body == pattern(200_000)
    assert made == []


def count_direct(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    made: list[int] = []
    begin = DirectBody.__init__

    def counted(self: DirectBody, loop: Any, wire: Any, left: int, came: int) -> None:
        made.append(left)
        begin(self, loop, wire, left, came)

    monkeypatch.setattr(DirectBody, "__init__", counted)
    return made


def test_nothing_is_read_past_tls(
    monkeypatch: pytest.MonkeyPatch, loop: str, certificate: Certificate
) -> None:
    made = count_direct(monkeypatch)
    with (
        served(draw_all, loop=loop, tls=certificate) as server,
        server.endpoint.connect() as wire,
    ):
        wire.head("PATCH", "/u", {"Content-Length": "400000"})
        wire.send(pattern(400_000))
        assert wire.read().body == pattern(400_000)
    assert made == []


def test_without_a_file_to_spare_the_transport_receives(
    monkeypatch: pytest.MonkeyPatch, loop: str
) -> None:
    def none_left(file: int) -> int:
        raise OSError(24, os.strerror(24))

    monkeypatch.setattr(os, "dup", none_left)
    with served(draw_all, loop=loop) as server, server.endpoint.connect() as wire:
        wire.head("PATCH", "/u", {"Content-Length": "200000"})
        wire.until_read()
        wire.send(pattern(200_000))
        assert wire.read().body == pattern(200_000)


# --- ends ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("rest", [1000, 3 << 20], ids=["little", "much"])
def test_an_app_that_has_had_enough(loop: str, rest: int) -> None:
    """A small rest is thrown away and the connection kept, a large one ends it; as ever."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        taken = await drawn(body_of(scope), 200_000)
        await respond(send, 413, taken[-4:])

    with served(app, loop=loop) as server, server.endpoint.connect() as wire:
        wire.head("PATCH", "/u", {"Content-Length": str(200_000 + rest)})
        wire.until_read()
        wire.send(pattern(200_000))
        answer = wire.read()
        assert (answer.status, answer.body) == (413, pattern(200_000)[-4:])
        if rest == 1000:
            wire.send(b"x" * rest)
            wire.head("PATCH", "/u", {"Content-Length": "4"})
            wire.send(b"next")
            assert wire.read().body == b"next"
        else:
            assert answer["connection"] == "close"


def test_a_client_that_says_nothing_while_an_app_waits_for_it(loop: str) -> None:
    ends: list[bool] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body = body_of(scope)
        assert await drawn(body, 200_000) == pattern(200_000)
        assert await drawn(body, 1) == b""
        ends.append(body.is_whole)

    limits = Limits(body_timeout=1)
    with served(app, limits, loop=loop) as server, server.endpoint.connect() as wire:
        wire.head("PATCH", "/u", {"Content-Length": "300000"})
        wire.until_read()
        wire.send(pattern(200_000))
        poll(lambda: ends, PATIENCE, "the silence has no end")
        poll(lambda: server.connections == 0, PATIENCE, "the connection is kept")
    assert ends == [False]


def test_no_files_are_left_open(loop: str) -> None:
    with served(draw_all, loop=loop) as server:

        def request(*, cut: bool) -> None:
            with server.endpoint.connect() as wire:
                wire.head("PATCH", "/u", {"Content-Length": "300000"})
                wire.until_read()
                wire.send(pattern(200_000))
                if not cut:
                    wire.send(pattern(100_000))
                    assert wire.read().status == 200
            poll(lambda: server.connections == 0, PATIENCE, "the connection is kept")

        request(cut=False)
        before = len(os.listdir("/proc/self/fd"))
        for cut in (True, False, True):
            request(cut=cut)
        # The client's own ends go when they are collected.
        poll(lambda: _files() <= before, PATIENCE, "files are left open")


def _files() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


# --- DirectBody ----------------------------------------------------------------------------------


@contextmanager
def pair(left: int, came: int = 0) -> Iterator[tuple[DirectBody, socket.socket]]:
    loop = asyncio.new_event_loop()
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    body = DirectBody(loop, ours, left, came)
    try:
        yield body, theirs
    finally:
        body.close()
        ours.close()
        theirs.close()
        loop.close()


def test_it_reads_no_more_than_is_left() -> None:
    with pair(5) as (body, wire):
        wire.send(b"bodynext")
        memory = memoryview(bytearray(100))
        assert body.readinto(memory) == 5
        assert (body.left, body.is_over, body.is_cut) == (0, True, False)
        assert body.readinto(memory) == 0


def test_a_buffer_without_room_is_no_end() -> None:
    with pair(5) as (body, wire):
        wire.send(b"body")
        assert body.readinto(memoryview(b"")) == 0
        assert not body.is_over


def test_a_fast_client_is_waited_for_a_moment() -> None:
    with pair(10**9) as (body, wire):
        memory = memoryview(bytearray(BRISK))
        assert body.draw(memory) == 0  # a slow one is not
        wire.setblocking(False)
        sent = 0
        while sent < BRISK:
            sent += wire.send(bytes(BRISK - sent))
            body.draw(memory)
        later = threading.Timer(0.0001, wire.send, [b"more"])
        later.start()
        while not body.draw(memory):  # the machine may be slow
            pass
        later.join()
        assert bytes(memory[:4]) == b"more"


@pytest.mark.parametrize(("came", "is_waited_for"), [(BRISK - 1, False), (BRISK, True)])
def test_a_client_that_has_been_fast_is_waited_for_at_once(
    monkeypatch: pytest.MonkeyPatch, came: int, *, is_waited_for: bool
) -> None:
    moments: list[int] = []
    with pair(10**9, came) as (body, _):
        monkeypatch.setattr(body, "_news", SimpleNamespace(poll=moments.append))
        assert body.draw(memoryview(bytearray(8))) == 0
    assert bool(moments) is is_waited_for


def test_it_is_not_closed_under_a_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    inside, go_on = threading.Event(), threading.Event()
    with pair(10) as (body, _):

        def slow(buffer: memoryview) -> int:
            inside.set()
            assert go_on.wait(PATIENCE)
            return 0

        monkeypatch.setattr(DirectBody, "_receive", lambda self, buffer: slow(buffer))
        reader = threading.Thread(target=body.readinto, args=[memoryview(bytearray(4))])
        reader.start()
        assert inside.wait(PATIENCE)
        assert body.close() is False
        file = body._socket.fileno()
        assert file >= 0
        go_on.set()
        reader.join()
        assert body._socket.fileno() == -1
        assert body.close() is True


def test_a_slow_client_costs_no_second_file(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until it sends much at once: then it is read directly again."""
    monkeypatch.setattr("tusjumbo.server.direct.SLOW", 0.02)
    made = count_direct(monkeypatch)
    bodies: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        bodies.append(body_of(scope))
        await draw_all(scope, receive, send)

    with served(app, loop=loop) as server, server.endpoint.connect() as wire:
        wire.head("PATCH", "/u", {"Content-Length": "2000000"})
        for at in (0, 10):
            poll(lambda: bodies and bodies[0].is_slow, PATIENCE, "nobody notices")
            assert bodies[0].reading is None
            assert len(made) == 1
            wire.send(pattern(2_000_000)[at : at + 10])
        wire.send(pattern(2_000_000)[20:])
        assert wire.read().body == pattern(2_000_000)
    assert len(made) > 1
