"""Our HTTP/1.1 connection: uvicorn's httptools class, with patience and manners.

What it adds, for clients that send gigabytes over bad networks:
- Bytes that arrived reach the app before the disconnect (see `cycle`).
- A body of known size does not pass through the parser: what the parser has not seen with the head
  goes to the app as it comes, or is read by the app itself (see `direct`).
- Every state of a connection in which the client owes us bytes has a clock (`Wait`), so that no
  client can hold a connection for nothing. A client that owes us nothing is never hurried.
- A client that is still sending can read its answer: what comes is thrown away, unparsed and
  unbuffered, for a bounded time and amount, before the socket is closed. RFC 9112, 9.6: "If a
  server performs an immediate close of a TCP connection, there is a significant risk that the
  client will not be able to read the last HTTP response."
- Trailers stay out of the headers; a head has a size; an offer of HTTP/2 (Upgrade: h2c) is ignored
  without losing the body that follows it.

It must not know what is uploaded, nor any path or header of tus. httptools parses, uvicorn frames
responses; on uvicorn's internals it relies as far as `choice` has tried them out.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import ssl
from functools import partial
from typing import Any

import httptools
import uvicorn
from uvicorn._types import ASGI3Application, ASGIReceiveCallable, ASGISendCallable, Scope
from uvicorn.protocols.http import httptools_impl as stock
from uvicorn.protocols.http.flow_control import service_unavailable
from uvicorn.server import ServerState

from tusjumbo.server.cycle import UploadCycle, adopt
from tusjumbo.server.deadline import Deadline
from tusjumbo.server.direct import DirectBody
from tusjumbo.server.limits import closing_of, limits_of
from tusjumbo.server.parsing import parser, parser_within


class Wait(enum.Enum):
    """What the client owes us, and so which clock runs."""

    NOTHING = enum.auto()
    """It is our turn."""
    HEAD = enum.auto()
    """A request head: the first one, or one that has begun."""
    REQUEST = enum.auto()
    """The next request, if it wants one (keep-alive)."""
    BODY = enum.auto()
    """The rest of a body that somebody may want to read."""
    REST = enum.auto()
    """The rest of a refused body, so that the connection can be kept."""
    CLOSE = enum.auto()
    """The end of the connection: it has got our last word, and we no longer listen."""


class Refused(Exception):
    """A message that the parser would take and we do not."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class UploadProtocol(stock.HttpToolsProtocol):
    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.limits = limits_of(config)
        self.closing = closing_of(server_state)
        self._deadline = Deadline(self.loop, self._expired)
        self._wait = Wait.NOTHING
        self._patience_ends = 0.0
        self._spare = self.limits.linger_size
        """How many more bytes may be thrown away."""
        self._arrived = 0
        """How much of the body had come when the clock was looked at."""
        self._running: UploadCycle | None = None
        """The request that the app works on. (`cycle` is the latest one; others are pipelined.)"""
        self._incoming: UploadCycle | None = None
        """The request whose body is being received."""
        self._in_head = False
        self._input_ended = False
        """Whether the client has closed its side, and we ours not yet."""
        self._length: int | None = 0
        """Of the body of the latest message; None if it comes in chunks."""
        self._unplaced = 0
        """Bytes parsed that have become nothing yet: the parser may hold them."""

    # --- the transport ---------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._settle()

    def connection_lost(self, exc: Exception | None) -> None:
        self._receive_decrypted()
        super().connection_lost(exc)
        self._deadline.end()
        if self._running is not None:
            self._running.hang_up()
        # An app that goes on keeps its cycle, and so this connection; not the other way round.
        self.cycle = self._running = self._incoming = None  # type: ignore[assignment]

    def eof_received(self) -> bool:  # type: ignore[override]
        """Keep the way back open for a client that has asked, and only listens now.

        Its request is told http.disconnect, as under any server, but may answer.
        """
        if self._running is None or self._owed() is not Wait.NOTHING or self.scheme == "https":
            return False
        self._input_ended = True
        self._running.end_input()
        return True

    def _receive_decrypted(self) -> None:
        """Take what TLS has held back because reading was paused: a reset would lose it."""
        tls: ssl.SSLObject | None = self.transport.get_extra_info("ssl_object")
        if tls is not None:
            with contextlib.suppress(ssl.SSLError):  # "want read": that was all
                while data := tls.read(1 << 18):
                    self.data_received(data)

    def data_received(self, data: bytes) -> None:
        if self._wait is Wait.CLOSE:
            self._throw_away(len(data))
            return
        self._unplaced += len(data)
        try:
            while data:
                data = self._place(data)
        except httptools.HttpParserUpgrade:
            self.handle_websocket_upgrade()
        except httptools.HttpParserError as error:
            self._refuse(error.__context__ if isinstance(error.__context__, Refused) else None)
        else:
            if self._unplaced > self.limits.head_size:
                self._refuse(Refused(431, "This head has no end."))
                return
            self._settle()

    def _place(self, data: bytes) -> bytes:
        """What is left over after a body, or by the parser.

        :raises HttpParserUpgrade: the rest of the connection belongs to WebSocket
        """
        cycle = self._incoming
        if cycle is None or cycle.length is None or self.limits.direct_from is None:
            return self._parse(data)
        piece = data[: cycle.length - cycle.received]  # no copy if it is all of it
        self.on_body(piece)
        if cycle.received == cycle.length:
            self._end_body(cycle)
        return data[len(piece) :]

    def _end_body(self, cycle: UploadCycle) -> None:
        """The parser has not seen the end of this body, and still waits for it: here is another."""
        self.parser = parser(self)
        self._unplaced = 0
        self._incoming = None
        cycle.end()

    def _parse(self, data: bytes) -> bytes:
        """What the parser leaves over.

        :raises HttpParserUpgrade: the rest of the connection belongs to WebSocket
        """
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self._should_upgrade():
                raise
            self._ignore_upgrade()
            return data[upgrade.args[0] :]
        return b""

    def handle_websocket_upgrade(self) -> None:
        self._deadline.end()
        super().handle_websocket_upgrade()

    def _ignore_upgrade(self) -> None:
        """Go on in HTTP/1.1.

        RFC 9110, 7.8: "A server MAY ignore a received Upgrade header field if it wishes to continue
        using the current protocol". The parser believes that the message ends with its head. If it
        has a body, a new parser is told as much of the head as makes it read that body.
        """
        if self._incoming is None:
            return
        self.parser = parser_within(self, self._length)

    # --- the parser ------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True

    def on_headers_complete(self) -> None:
        size = len(self.url)
        length: int | None = 0
        for name, value in self.headers:
            size += len(name) + len(value) + 4  # colon, space and line end
            # The parser has checked both grammars, and refuses a message that has both.
            if name == b"content-length":
                length = int(value)
            elif name == b"transfer-encoding":
                length = None
        if size > self.limits.head_size:
            raise Refused(431, f"A request head may have {self.limits.head_size} bytes here.")
        self._length = length
        before = self.cycle
        super().on_headers_complete()
        self._in_head = False
        self._unplaced = 0
        if self.cycle is not before:  # else it is for WebSocket
            self._incoming = adopt(self.cycle, self, length)
            # From here on the parser reports trailers, and uvicorn would take them for headers.
            self.headers = self._incoming.trailers

    def _start_asgi_task(self, cycle: stock.RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = adopt(cycle, self, self._length)
        super()._start_asgi_task(cycle, partial(self._attend, self._running, app))

    async def _attend(
        self,
        cycle: UploadCycle,
        app: ASGI3Application,
        scope: Scope,
        receive: ASGIReceiveCallable,
        send: ASGISendCallable,
    ) -> Any:
        try:
            return await app(scope, receive, send)
        except asyncio.CancelledError:
            # Only a stopping server cancels, when time is up: no error of the app's.
            if not cycle.response_started and not self.flow.write_paused:
                await service_unavailable(scope, receive, send)
            return None

    def on_body(self, body: bytes) -> None:
        self._unplaced = 0
        cycle = self._incoming
        if cycle is None:
            return
        cycle.received += len(body)
        if cycle.response_complete:
            return
        cycle.add(body)
        if cycle.held > self.limits.high_water:
            self.flow.pause_reading()

    def on_message_complete(self) -> None:
        self._unplaced = 0
        cycle = self._incoming
        if cycle is None or (self.parser.should_upgrade() and self._length != 0):
            return
        self._incoming = None
        cycle.end()

    # --- the end of a response, and of the connection --------------------------------------------

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self._running is not None:
            self._running.discard()
        if self.is_leaving:
            return
        if self.is_ending:
            self.leave()
            return
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        self.read_on()
        self._settle()

    def read_on(self) -> None:
        """Read from the socket, unless there is enough to do."""
        if self.pipeline or self.transport.is_closing():
            return
        if self._incoming is None or self._incoming.held <= self.limits.high_water:
            self.flow.resume_reading()

    def read_directly(self, left: int, came: int) -> DirectBody | None:
        least, wire = self.limits.direct_from, self.transport.get_extra_info("socket")
        if least is None or left < least or wire is None:
            return None
        if self.is_leaving or self.scheme == "https":
            return None
        try:
            direct = DirectBody(self.loop, wire, left, came)
        except OSError:  # no file left for it; the transport has its own
            return None
        self.flow.pause_reading()
        return direct

    def read_again(self, direct: DirectBody) -> None:
        if not direct.close():
            # It would not be known what comes next.
            self.transport.abort()
        elif self._incoming is not None and not direct.left:
            self._end_body(self._incoming)
            self._settle()
        self.read_on()

    @property
    def is_ending(self) -> bool:
        return (self.closing.given or self._input_ended) and not self.pipeline

    @property
    def is_leaving(self) -> bool:
        return self._wait is Wait.CLOSE or self.transport.is_closing()

    def leave(self) -> None:
        """Close the connection, so that what was written can be read."""
        if self.is_leaving:
            return
        if self._incoming or self._in_head or self.flow.read_paused:
            # The client may be sending. What it sends to a closed socket is answered with a reset,
            # and that takes from it what it has not read yet.
            self._linger()
        else:
            self.transport.close()

    def _linger(self) -> None:
        if self.transport.is_closing():
            return
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.flow.resume_reading()
        self._enter(Wait.CLOSE)

    def _throw_away(self, size: int) -> None:
        self._spare -= size
        if self._spare < 0:
            self.transport.abort()
        else:
            self._start_clock()

    def _refuse(self, refused: Refused | None) -> None:
        """Have nothing more to do with what the client sends; say why, if a response is its due."""
        status = refused.status if refused else 400
        reason = str(refused) if refused else "Invalid HTTP request received."
        self.logger.info("%s (from %s)", reason, self.client)
        running = self._running
        if running is None or running.response_complete:
            self._answer(status, reason)
        elif running is not self._incoming:
            # The fault is in a later message than the one that is being answered.
            running.keep_alive = False
            self.flow.pause_reading()
            return
        else:
            if not running.response_started:
                self._answer(status, reason)
            running.hang_up()
        self._linger()

    def _answer(self, status: int, reason: str) -> None:
        if self.transport.is_closing():
            return
        lines = [stock.STATUS_LINE[status]]
        for name, value in self.server_state.default_headers:
            lines += [name, b": ", value, b"\r\n"]
        body = reason.encode()
        lines += [
            b"content-type: text/plain; charset=utf-8\r\n",
            b"content-length: %d\r\nconnection: close\r\n\r\n" % len(body),
            body,
        ]
        self.transport.write(b"".join(lines))

    def shutdown(self) -> None:
        """The server is stopping: finish what has begun, and nothing else."""
        self.closing.give()
        if self._wait is Wait.CLOSE:
            self._enter(Wait.CLOSE)
        elif (latest := self._latest()) is None or latest.response_complete:
            self.leave()

    # --- the clock -------------------------------------------------------------------------------

    def _settle(self) -> None:
        """Find out what the client owes us now."""
        wait = self._owed()
        if wait is not self._wait:
            self._enter(wait)
        elif wait is Wait.REST:
            self._start_clock()

    def _owed(self) -> Wait:
        if self._incoming is not None:
            return Wait.REST if self._incoming.response_complete else Wait.BODY
        latest = self._latest()
        if latest is not None and not latest.response_complete:
            return Wait.NOTHING
        return Wait.HEAD if latest is None or self._in_head else Wait.REQUEST

    def _latest(self) -> stock.RequestResponseCycle | None:
        return self.cycle

    def _enter(self, wait: Wait) -> None:
        self._wait = wait
        if wait is Wait.REST or wait is Wait.CLOSE:
            limits = self.limits
            patience = limits.closing_linger_time if self.closing.given else limits.linger_time
            self._patience_ends = self.loop.time() + patience
        self._start_clock()

    def _start_clock(self) -> None:
        wait = self._wait
        if wait is Wait.NOTHING:
            self._deadline.clear()
        elif wait is Wait.REQUEST:
            self._deadline.set(self.loop.time() + self.timeout_keep_alive)
        elif wait is Wait.BODY:
            self._arrived = self._incoming.arrived if self._incoming else 0
            self._set_clock(self.limits.body_timeout)
        elif wait is Wait.HEAD:
            self._set_clock(self.limits.header_timeout)
        else:
            idle_ends = self.loop.time() + self.limits.linger_timeout
            self._deadline.set(min(idle_ends, self._patience_ends))

    def _set_clock(self, seconds: float) -> None:
        if seconds:
            self._deadline.set(self.loop.time() + seconds)
        else:
            self._deadline.clear()

    def _expired(self) -> None:
        match self._wait:
            case Wait.HEAD if self._in_head:
                self._refuse(Refused(408, "The request head took too long."))
            case Wait.BODY if (cycle := self._incoming) and (
                cycle.arrived != self._arrived or not cycle.is_hungry
            ):
                # Bytes came, or the app is not ready to take any: ask again.
                self._start_clock()
            case Wait.HEAD | Wait.REQUEST:
                self.transport.close()
            case _:
                self.transport.abort()
