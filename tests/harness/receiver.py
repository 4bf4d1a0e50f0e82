"""A receiver of webhooks: a real HTTP server in a thread that remembers what it was told.

It knows tusd's documents as JSON and nothing of ours. What it answers is scripted by the test.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any


@dataclass(frozen=True)
class Told:
    headers: Mapping[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)

    @property
    def hook(self) -> str:
        return str(self.document["Type"])

    @property
    def upload(self) -> Any:
        return self.document["Event"]["Upload"]

    @property
    def key(self) -> str:
        return self.headers.get("idempotency-key", "")


@dataclass(frozen=True)
class Say:
    status: int = 200
    document: Mapping[str, Any] | None = None


class Receiver:
    """Use as a context manager; `told` is in the order of the answers."""

    def __init__(self, say: Callable[[Told], Say] = lambda _: Say()) -> None:
        self.say = say
        self.told: list[Told] = []
        self._mutex = threading.Lock()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                size = int(self.headers["content-length"])
                body = self.rfile.read(size)
                if len(body) < size:
                    return  # who was telling has been killed
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver._answer(self, Told(headers, body))

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def _answer(self, handler: BaseHTTPRequestHandler, told: Told) -> None:
        said = self.say(told)
        body = b"" if said.document is None else json.dumps(said.document).encode()
        with self._mutex:
            self.told.append(told)
        handler.send_response(said.status)
        handler.send_header("content-type", "application/json")
        handler.send_header("content-length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/hooks"

    def of(self, upload_id: str) -> list[Told]:
        """What was told of an upload, in order."""
        with self._mutex:
            return [told for told in self.told if told.upload["ID"] == upload_id]

    def __enter__(self) -> Receiver:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
