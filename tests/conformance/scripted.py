"""Servers of a few lines for the suite to talk to: bytes by script, and a tus server in memory.

`peer` says exactly what a test tells it to, right or wrong. `Toy` keeps the rules of the core,
creation and termination, and nothing else; a test changes an answer of it with `says`.
"""

from __future__ import annotations

import itertools
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from conformance.wire import Address

Script = Callable[[socket.socket], None]
_DEADLINE = 10.0


@contextmanager
def peer(*scripts: Script, tls: ssl.SSLContext | None = None) -> Iterator[Address]:
    """Listen, and let each script have one connection, one after the other."""
    faults: list[BaseException] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(_DEADLINE)

        def run() -> None:
            try:
                for script in scripts:
                    connection, _ = listener.accept()
                    connection.settimeout(_DEADLINE)
                    if tls is not None:
                        connection = tls.wrap_socket(connection, server_side=True)
                    with connection:
                        script(connection)
            except BaseException as fault:
                faults.append(fault)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        try:
            scheme = "http" if tls is None else "https"
            yield Address.of(f"{scheme}://127.0.0.1:{listener.getsockname()[1]}/files/")
        finally:
            thread.join(_DEADLINE)
            assert not thread.is_alive()
    assert not faults, faults


def hears(connection: socket.socket, end: bytes = b"\r\n\r\n") -> bytes:
    """What the suite sends, up to and with `end`; an empty one is the end of the connection."""
    heard = b""
    while not (end and end in heard):
        piece = connection.recv(65536)
        if not piece:
            assert not end, heard
            break
        heard += piece
    return heard


def answers(*pieces: bytes) -> Script:
    """Hear one request head, and say `pieces`."""

    def script(connection: socket.socket) -> None:
        hears(connection)
        for piece in pieces:
            connection.sendall(piece)

    return script


# --- a tus server --------------------------------------------------------------------------------


@dataclass
class Answer:
    status: int
    fields: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass
class Asked:
    method: str
    path: str
    fields: dict[str, str]
    """Names in lower case."""
    body: bytes


@dataclass
class Toy:
    """Uploads in memory. What it was asked, and what is stored, can be looked at."""

    says: Callable[[Asked, Answer], Answer] = lambda asked, answer: answer
    extensions: str = "creation,termination"
    lengths: dict[str, int] = field(default_factory=dict)
    stored: dict[str, bytes] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def answer(self, asked: Asked) -> Answer:
        self.asked.append(asked)
        return self.says(asked, self._answer(asked))

    def _answer(self, asked: Asked) -> Answer:
        path, fields = asked.path, asked.fields
        known = path in self.stored
        match asked.method:
            case "OPTIONS":
                told = {"Tus-Version": "1.0.0", "Tus-Extension": self.extensions}
                return Answer(204, {**told, "Server": "toy/1"})
            case "POST" if path == "/files/":
                made = f"/files/{next(self._numbers)}"
                self.lengths[made], self.stored[made] = int(fields.get("upload-length", "0")), b""
                return Answer(201, {"Location": made})
            case "HEAD" if known:
                length, offset = str(self.lengths[path]), str(len(self.stored[path]))
                return Answer(200, {"Upload-Offset": offset, "Upload-Length": length})
            case "PATCH" if known and fields.get("upload-offset") != str(len(self.stored[path])):
                return Answer(409)
            case "PATCH" if known:
                self.stored[path] += asked.body
                return Answer(204, {"Upload-Offset": str(len(self.stored[path]))})
            case "GET" if known:
                return Answer(200, body=self.stored[path])
            case "DELETE" if known:
                del self.stored[path]
                return Answer(204)
        return Answer(404)

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Serve on some port; the URL of the endpoint."""
        toy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Nothing."""

            def handle_one_request(self) -> None:
                self.raw_requestline = self.rfile.readline(65537)
                if not self.raw_requestline or not self.parse_request():
                    self.close_connection = True
                    return
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                fields = {name.lower(): value for name, value in self.headers.items()}
                answer = toy.answer(Asked(self.command, self.path, fields, body))
                self.send_response_only(answer.status)
                for name, value in ({"Tus-Resumable": "1.0.0"} | answer.fields).items():
                    self.send_header(name, value)
                if answer.status != 204 and self.command != "HEAD":
                    self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            thread = threading.Thread(target=server.serve_forever, args=(0.05,))
            thread.start()
            try:
                yield f"http://127.0.0.1:{server.server_port}/files/"
            finally:
                server.shutdown()
                thread.join()
