"""Bridge: a WSGI request is answered by an ASGI application, its body going by piece by piece.

Two threads share the work. The application runs in Jumbo's event loop, with those of all other
requests. Whatever may block and belongs to the request is done by the thread that the server gave
to it, one thing after the other, when the loop asks: reading the body, and deciding who may what.
So nobody else ever touches the request, nothing is read ahead, and the memory of a body is that of
one piece.

A server's stream gives no less than it is asked for, so a slow client is asked for little. Once the
application is done, nobody waits for a client any more: a read that is still going on is ended by
closing the reading side of the connection, if the server lets us (gunicorn and Werkzeug do).
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from queue import SimpleQueue
from typing import Generic, TypeVar

import anyio
from anyio import from_thread
from anyio.lowlevel import current_token
from flask import Request, Response
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from tusjumbo.web.bodies import Message, Scope

T = TypeVar("T")

_SMALLEST = 1024
_FIRST = 16 * 1024
_LARGEST = 256 * 1024
_QUICK = 0.1
"""Seconds for a piece within which the next one may be larger."""

_SOCKETS = ("gunicorn.socket", "werkzeug.socket")
_HOP_BY_HOP = b"connection"
"""PEP 3333: applications "are forbidden from using HTTP/1.1 hop-by-hop features"."""


class Errand(Generic[T]):
    """Something that the request's thread is asked to do, by the loop."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._token = current_token()
        self._over = anyio.Event()
        self._result: Future[T] = Future()

    def __call__(self) -> None:
        try:
            self._result.set_result(self._work())
        except Exception as error:
            self._result.set_exception(error)
        from_thread.run_sync(self._over.set, token=self._token)

    async def result(self) -> T:
        """What it came to. May be waited for again by who was cancelled."""
        await self._over.wait()
        return self._result.result()


class Exchange:
    """A request and its answer, as ASGI has them."""

    is_cancel_safe = True

    def __init__(self, request: Request, mount: str) -> None:
        """`mount` is the part of the path that leads to the application.

        :raises HTTPException: the body is longer than `MAX_CONTENT_LENGTH` allows
        """
        self.scope = _scope(request, mount)
        self.failure: HTTPException | None = None
        """What Flask is to answer instead."""
        self._errands: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._stream = request.stream
        self._socket = _socket_of(request)
        self._size = _FIRST
        self._is_reading = False
        self._coming: Errand[bytes | None] | None = None
        self._status = 0
        self._headers: list[tuple[str, str]] = []
        self._body = bytearray()

    # --- in the request's own thread ---

    def serve(self, running: Future[None]) -> Response:
        """Do what is asked for until the application, which is `running`, has answered.

        :raises HTTPException: Flask is to answer
        """
        running.add_done_callback(self._leave)
        try:
            while (errand := self._errands.get()) is not None and not running.done():
                errand()
        except BaseException:
            running.cancel()
            raise
        running.result()
        if self.failure is not None:
            raise self.failure
        response = Response(bytes(self._body), self._status)
        response.headers.clear()
        response.headers.extend(self._headers)
        # RFC 9110 8.6: to HEAD, a Content-Length is that of the answer to GET.
        response.automatically_set_content_length = self.scope["method"] != "HEAD"
        return response

    def _read(self) -> bytes | None:
        """The next piece; None if the connection, or the body's framing, is broken."""
        began = time.monotonic()
        self._is_reading = True
        try:
            piece = self._stream.read(self._size)
        except Exception as error:  # servers have exceptions of their own
            if isinstance(error, RequestEntityTooLarge):
                self.failure = error
            return None
        finally:
            self._is_reading = False
        is_quick = time.monotonic() - began < _QUICK
        self._size = min(_LARGEST, self._size * 2) if is_quick else _SMALLEST
        return bytes(piece)

    # --- in the loop ---

    def ask(self, work: Callable[[], T]) -> Errand[T]:
        """Have the thread do it."""
        errand = Errand(work)
        self._errands.put(errand)
        return errand

    async def receive(self) -> Message:
        if self._coming is None:
            self._coming = self.ask(self._read)
        piece = await self._coming.result()
        if piece is None:
            return {"type": "http.disconnect"}
        self._coming = None
        return {"type": "http.request", "body": piece, "more_body": bool(piece)}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._headers = [
                (name.decode("latin-1"), value.decode("latin-1"))
                for name, value in message["headers"]
                if name != _HOP_BY_HOP
            ]
        else:
            self._body += message.get("body", b"")

    def _leave(self, _: object) -> None:
        self._errands.put(None)
        if self._is_reading and self._socket is not None:
            with suppress(OSError):
                # Not the method of a TLS socket, which would forget its keys. Its client finds the
                # connection broken, instead of an answer; in any case the thread is free.
                socket.socket.shutdown(self._socket, socket.SHUT_RD)


def _socket_of(request: Request) -> socket.socket | None:
    found = (request.environ.get(name) for name in _SOCKETS)
    return next((it for it in found if isinstance(it, socket.socket)), None)


def _scope(request: Request, mount: str) -> Scope:
    environ = request.environ
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": environ.get("SERVER_PROTOCOL", "HTTP/1.1").removeprefix("HTTP/"),
        "method": request.method,
        "scheme": request.scheme,
        "root_path": mount,
        "path": request.root_path.rstrip("/") + request.path,
        "query_string": request.query_string,
        # Servers of WSGI have said "100 Continue" by now, or will when they are read from.
        "headers": [
            (name.lower().encode("latin-1"), value.encode("latin-1"))
            for name, value in request.headers.items()
            if name != "Expect"
        ],
        "client": (environ.get("REMOTE_ADDR", ""), int(environ.get("REMOTE_PORT") or 0)),
        "app": request,  # somebody is around us who wants an answer in any case
    }
