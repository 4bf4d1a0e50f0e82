"""Small ASGI apps for tests of the server. They need no particular server."""

from __future__ import annotations

import asyncio
import enum
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from tests.harness.wire import poll
from tusjumbo.notice import Notice

App: TypeAlias = Callable[[Any, Any, Any], Awaitable[None]]


class Bodies(enum.Enum):
    """How the apps here get at bodies, and so what the server does with them."""

    PARSED = None
    """By `receive`; every byte goes through the parser."""
    DIRECT = 1
    """By `receive` and by what our server offers besides, in turn; the value is `direct_from`."""


_way = Bodies.PARSED


def read_bodies(way: Bodies) -> None:
    """For all apps and servers that are made from now on."""
    global _way
    _way = way


def way_of_bodies() -> Bodies:
    return _way


class Reader:
    """`receive`, or something that does the same."""

    def __init__(self, scope: Any, receive: Any) -> None:
        told = scope.get("extensions", {}).get("tusjumbo", {}).get("body")
        self._receive = receive
        self._body = told() if told and _way is Bodies.DIRECT else None
        self._turn = 0

    async def __call__(self) -> Any:
        if self._body is None or self._body.is_whole:
            return await self._receive()
        self._turn += 1
        if self._turn % 3 == 0:
            return await self._receive()
        while await self._body.wait():
            memory = memoryview(bytearray(70_000))
            draw = self._body.direct if self._turn % 3 == 1 else None
            if draw is None:
                count = self._body.readinto(memory)
            else:
                thread = asyncio.get_running_loop().run_in_executor(None, draw, memory)
                try:
                    count = await asyncio.shield(thread)
                except asyncio.CancelledError:
                    await thread  # what it has taken is lost, but it must not go on alone
                    raise
            if count:
                return {"type": "http.request", "body": bytes(memory[:count]), "more_body": True}
        return await self._receive()


PATIENCE = 20.0


class Gate:
    """Holds an app up until the test lets it go on."""

    def __init__(self, *, in_the_loop: bool = False) -> None:
        self._open = threading.Event()
        self._hold = self._spin if in_the_loop else self._sleep

    async def __call__(self) -> None:
        await self._hold()

    async def _sleep(self) -> None:
        while not self._open.is_set():
            await asyncio.sleep(0.005)

    async def _spin(self) -> None:
        """Nothing else runs in the event loop meanwhile."""
        end = time.monotonic() + PATIENCE
        while not self._open.is_set() and time.monotonic() < end:
            sum(range(1000))

    def open(self) -> None:
        self._open.set()


async def respond(
    send: Any, status: int = 200, body: bytes = b"", headers: tuple[tuple[bytes, bytes], ...] = ()
) -> None:
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": status, "headers": [length, *headers]})
    await send({"type": "http.response.body", "body": body})


@dataclass
class Recorder:
    """An app that notes what it is told, and answers 200 with the body that it has read."""

    before: Callable[[], Awaitable[None]] | None = None
    """What it does before it reads."""
    scopes: list[Any] = field(default_factory=list)
    messages: list[Any] = field(default_factory=list)
    finished: int = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        if self.before is not None:
            await self.before()
        body = b""
        more = True
        receive = Reader(scope, receive)
        while more:
            message = await receive()
            self.messages.append(message)
            body += message.get("body", b"")
            more = message.get("more_body", False)
        await respond(send, body=body)
        self.finished += 1

    def until_finished(self, requests: int = 1) -> None:
        poll(lambda: self.finished >= requests, PATIENCE, "the app does not finish")

    @property
    def closing(self) -> Notice:
        """The notice that the first request was given."""
        notice = self.scopes[0]["extensions"]["tusjumbo"]["closing"]
        assert isinstance(notice, Notice)
        return notice

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.messages)

    @property
    def was_cut(self) -> bool:
        """Whether a disconnect was the last that it heard."""
        return bool(self.messages[-1]["type"] == "http.disconnect")


async def refuse(scope: Any, receive: Any, send: Any) -> None:
    """Answer 413 without having read anything."""
    await respond(send, 413, b"too much")


def pattern(size: int) -> bytes:
    """Bytes that tell where they belong."""
    return b"".join(b"%08x" % at for at in range(0, size + 8, 8))[:size]


@dataclass
class Obedient:
    """An app that reads until it is asked to stop, and then answers 503 with what it has read."""

    progress: Callable[[int], None] | None = None
    received: int = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        asked = asyncio.Event()
        forget = scope["extensions"]["tusjumbo"]["closing"].listen(asked.set)
        stop = asyncio.create_task(asked.wait())
        body = b""
        receive = Reader(scope, receive)
        while not stop.done():
            piece = asyncio.create_task(receive())
            await asyncio.wait([piece, stop], return_when=asyncio.FIRST_COMPLETED)
            if piece.done():
                body += piece.result().get("body", b"")
                self.received = len(body)
                if self.progress is not None:
                    self.progress(len(body))
            piece.cancel()
        forget()
        await respond(send, 503, body)
