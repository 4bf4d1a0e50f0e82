"""A tus server of a page, for the tests of this room: right in unusual ways, or wrong in one way.

It keeps no bytes, only offsets. What it does otherwise than others is one `Manner`; everything else
stays as the protocol says, so that a test shows what the load generator makes of that one thing.
"""

from __future__ import annotations

import base64
import enum
import hashlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import cast


class Manner(enum.Enum):
    PLAIN = "plain"
    # right:
    ABSOLUTE = "absolute Location"
    RELATIVE = "relative Location"
    CHUNKED = "chunked answer to POST"
    INTERIM = "103 before each answer"
    CLOSING = "Connection: close with each answer"
    LESS = "no creation-with-upload, no checksum"
    # wrong:
    NOT_CREATED = "200 to POST"
    NO_LOCATION = "201 without Location"
    NOT_PATCHED = "200 to PATCH"
    BEHIND = "offset one too small"
    NO_OFFSET = "204 without Upload-Offset"
    LATE_OFFSET = "201 with the offset of an empty upload"
    WRONG_HEAD = "HEAD one too far"
    EARLY = "413 before the body"
    GONE = "closed without an answer"
    CUT = "closed in the middle of the body"
    SILENT = "no answer to PATCH"
    NOT_HTTP = "another protocol"
    TOO_MUCH = "bytes behind the answer"
    # slow:
    SLOW_HEAD = "each HEAD takes 50 ms"


class ScriptedServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, manner: Manner) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.manner = manner
        self.uploads: dict[str, int] = {}
        self.created = 0
        self.verified = 0
        """PATCHes that came with their checksum."""
        self.ended = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/files/"


@contextmanager
def scripted(manner: Manner) -> Iterator[ScriptedServer]:
    with ScriptedServer(manner) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.ended.set()
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16  # an answer leaves in one piece

    @property
    def home(self) -> ScriptedServer:
        return cast(ScriptedServer, self.server)

    @property
    def upload(self) -> str:
        return self.path.rsplit("/", 1)[-1]

    def log_message(self, *args: object) -> None:
        """Say nothing."""

    def do_OPTIONS(self) -> None:
        words = "creation,termination"
        if self.home.manner is not Manner.LESS:
            words += ",creation-with-upload,checksum"
        self.answer(204, {"Tus-Extension": words, "Tus-Checksum-Algorithm": "sha256,sha1"})

    def do_POST(self) -> None:
        manner = self.home.manner
        size = self.read_body()
        self.home.created += 1
        upload = str(self.home.created)
        self.home.uploads[upload] = size
        prefix = {Manner.ABSOLUTE: self.home.url, Manner.RELATIVE: ""}.get(manner, "/files/")
        fields = {"location": f"{prefix}{upload}"}
        if size:
            fields["upload-offset"] = str(0 if manner is Manner.LATE_OFFSET else size)
        if manner is Manner.NO_LOCATION:
            del fields["location"]
        self.answer(200 if manner is Manner.NOT_CREATED else 201, fields)

    def do_PATCH(self) -> None:
        manner = self.home.manner
        if manner is Manner.EARLY:
            self.answer(413, {"Content-Length": "0"})
            self.wfile.flush()
            self.close_connection = True
            self.home.ended.wait(30)
            return
        if manner is Manner.CUT:
            self.connection.shutdown(socket.SHUT_WR)
            self.close_connection = True
            return
        self.home.uploads[self.upload] += self.read_body()
        if manner is Manner.SILENT:
            self.home.ended.wait(30)
        if manner is Manner.NOT_HTTP:
            self.wfile.write(b"ICY 200 OK\r\n\r\n")
        if manner in (Manner.GONE, Manner.SILENT, Manner.NOT_HTTP):
            self.close_connection = True
            return
        offset = self.home.uploads[self.upload] - (manner is Manner.BEHIND)
        fields = {} if manner is Manner.NO_OFFSET else {"upload-offset": str(offset)}
        self.answer(200 if manner is Manner.NOT_PATCHED else 204, fields)

    def do_HEAD(self) -> None:
        if self.home.manner is Manner.SLOW_HEAD:
            self.home.ended.wait(0.05)
        offset = self.home.uploads[self.upload] + (self.home.manner is Manner.WRONG_HEAD)
        self.answer(200, {"Upload-Offset": str(offset)})

    def do_DELETE(self) -> None:
        del self.home.uploads[self.upload]
        self.answer(204, {})

    def read_body(self) -> int:
        size = left = int(self.headers.get("Content-Length", "0"))
        algorithm, _, digest = self.headers.get("Upload-Checksum", "md5 ").partition(" ")
        found = hashlib.new(algorithm)
        while left:
            piece = self.rfile.read(min(left, 1 << 20))
            found.update(piece)
            left -= len(piece)
        self.home.verified += digest == base64.b64encode(found.digest()).decode()
        return size

    def answer(self, status: int, fields: dict[str, str]) -> None:
        manner = self.home.manner
        if manner is Manner.INTERIM:
            self.wfile.write(b"HTTP/1.1 103 Early Hints\r\nUpload-Offset: 7\r\n\r\n")
        self.send_response(status)
        for name, value in fields.items():
            self.send_header(name, value)
        body = b""
        if self.command == "POST" and manner is Manner.CHUNKED:
            self.send_header("Transfer-Encoding", "chunked")
            body = b"3\r\nabc\r\n10;x=y\r\n0123456789abcdef\r\n0\r\n\r\n"
        elif status != 204 and "Content-Length" not in fields:
            self.send_header("Content-Length", "0")
        if manner is Manner.CLOSING:
            self.send_header("Connection", "close")
        if manner is Manner.TOO_MUCH and self.command == "PATCH":
            body = b"surplus"
        self.end_headers()
        self.wfile.write(body)
