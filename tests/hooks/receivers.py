"""Who is asked and told in these tests: a web server that answers by a script of its own."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tusjumbo.application import Hook, HookCall, Origin
from tusjumbo.sessions.ranges import RangeSet
from tusjumbo.sessions.session import UploadSession


def session(**changes: Any) -> UploadSession:
    values: dict[str, Any] = {
        "id": "jumbo_a",
        "created_at": 1.0,
        "updated_at": 2.0,
        "length": 10,
        "ranges": RangeSet().add(0, 4),
        "metadata": {"filename": b"a.txt"},
    }
    return UploadSession(**values | changes)


ORIGIN = Origin(
    "PATCH",
    "/files/jumbo_a?x=1",
    "192.0.2.7",
    {"Host": ["up.example"], "Cookie": ["a=1", "b=2"], "Authorization": ["Bearer t"]},
)


def call(hook: Hook = Hook.PRE_CREATE, **changes: Any) -> HookCall:
    values: dict[str, Any] = {"hook": hook, "session": session(), "origin": ORIGIN}
    return HookCall(**values | changes)


@dataclass
class Asked:
    """One request that has arrived."""

    headers: Mapping[str, str]
    """By lower-case name."""
    lines: list[tuple[str, str]]
    body: bytes
    connection: int
    """Which connection it came on: the client's port."""

    @property
    def document(self) -> Any:
        return json.loads(self.body)


@dataclass
class Said:
    status: int = 200
    body: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    length: int | None = None
    """What Content-Length says, if not the truth."""
    drop: bool = False
    """Close the connection without a word."""


def saying(**document: Any) -> Said:
    return Said(body=json.dumps(document).encode())


class Receiver:
    """`answer` gets each request, in a thread; all are kept in `asked`."""

    def __init__(self, answer: Callable[[Asked], Said]) -> None:
        self.asked: list[Asked] = []
        self.answer = answer
        self.url = ""


@contextmanager
def receiver(
    *said: Said | Callable[[Asked], Said], tls: ssl.SSLContext | None = None
) -> Iterator[Receiver]:
    """Answers one after the other; the last one for ever."""

    def answer(asked: Asked) -> Said:
        then = said[min(len(place.asked), len(said)) - 1]
        return then if isinstance(then, Said) else then(asked)

    place = Receiver(answer)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            asked = Asked(headers, list(self.headers.items()), body, self.client_address[1])
            place.asked.append(asked)
            said = place.answer(asked)
            self.close_connection = said.drop or said.length is not None
            if said.drop:
                return
            try:
                self.send_response(said.status)
                for name, value in said.headers.items():
                    self.send_header(name, value)
                length = len(said.body) if said.length is None else said.length
                self.send_header("Content-Length", str(length))
                self.end_headers()
                self.wfile.write(said.body)
            except OSError:
                self.close_connection = True  # it has gone, which some tests are about

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Nobody reads it."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 64

        def handle_error(self, request: object, client_address: object) -> None:
            """A client that resets is none of the tests' business."""

    server = Server(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    place.url = f"http{'s' if tls else ''}://127.0.0.1:{server.server_port}/hook"
    try:
        yield place
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
