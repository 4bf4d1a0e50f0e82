"""A server in a thread for tests, and the small apps that it serves."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tests.harness.wire import Endpoint, poll
from tusjumbo.server.limits import Limits, UploadConfig
from tusjumbo.server.protocol import UploadProtocol
from tusjumbo.server.stopping import UploadServer

App: TypeAlias = Callable[[Any, Any, Any], Awaitable[None]]

OURS = UploadProtocol
STOCK = HttpToolsProtocol

PATIENCE = 20.0


@dataclass(frozen=True)
class Certificate:
    certificate: Path
    key: Path

    @property
    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.certificate)


@dataclass
class Served:
    server: UploadServer
    endpoint: Endpoint
    thread: threading.Thread
    exit_codes: list[int] = field(default_factory=list)

    def stop(self) -> None:
        """What a signal does."""
        self.server.handle_exit(15, None)

    def join(self) -> int:
        """Wait until it has stopped; its exit code."""
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive(), "the server does not stop"
        return self.exit_codes[0]

    @property
    def connections(self) -> int:
        return len(self.server.server_state.connections)


@contextmanager
def served(
    app: App,
    limits: Limits | None = None,
    *,
    http: type[asyncio.Protocol] = OURS,
    loop: str = "asyncio",
    tls: Certificate | None = None,
    keep_alive: float = 5,
    **options: Any,
) -> Iterator[Served]:
    config = UploadConfig(
        app,
        limits=limits or Limits(),
        http=http,
        loop=loop,
        log_config=None,
        interface="asgi3",
        lifespan=options.pop("lifespan", "off"),
        timeout_keep_alive=keep_alive,
        ssl_certfile=tls.certificate if tls else None,
        ssl_keyfile=tls.key if tls else None,
        **options,
    )
    listener = socket.create_server(("127.0.0.1", 0), backlog=200)
    server = UploadServer(config)
    endpoint = Endpoint("127.0.0.1", listener.getsockname()[1], "/", tls.trust if tls else None)
    exit_codes: list[int] = []
    thread = threading.Thread(target=lambda: exit_codes.append(server.work([listener])))
    thread.start()
    running = Served(server, endpoint, thread, exit_codes)
    try:
        poll(lambda: server.started or exit_codes, PATIENCE, "the server does not start")
        assert server.started, "the server does not start"
        yield running
    finally:
        server.should_exit = server.force_exit = True
        running.join()
        listener.close()


# --- apps ----------------------------------------------------------------------------------------


async def respond(
    send: Any, status: int = 200, body: bytes = b"", headers: tuple[tuple[bytes, bytes], ...] = ()
) -> None:
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": status, "headers": [length, *headers]})
    await send({"type": "http.response.body", "body": body})


def spin(seconds: float) -> None:
    """Keep the event loop busy."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        sum(range(1000))


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
