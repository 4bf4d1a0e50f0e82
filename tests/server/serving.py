"""A server in a thread, for tests."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tests.harness.wire import Endpoint, poll
from tests.server.apps import PATIENCE, App, way_of_bodies
from tusjumbo.server.limits import Limits, UploadConfig
from tusjumbo.server.protocol import UploadProtocol
from tusjumbo.server.stopping import UploadServer

OURS = UploadProtocol
STOCK = HttpToolsProtocol


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
        limits=replace(limits or Limits(), direct_from=way_of_bodies().value),
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
