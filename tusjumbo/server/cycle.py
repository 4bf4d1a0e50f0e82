"""One request and its response: uvicorn's cycle, with the body kept whole to the end.

uvicorn forgets what it has received when the client goes away, or copies it three times on the way
to the app. Here the pieces of a body wait in a list, as the parser made them, and `receive` hands
out all of them before it says http.disconnect, whatever happened meanwhile: that is the invariant.
It covers all that the kernel had acknowledged, after FIN and after RST: Linux keeps a socket's
receive queue until it is closed (measured on 6.18 with asyncio and uvloop, also while reading was
paused, and over TLS). So there is no need to read ahead of the app by more than a high-water mark.

An app that has buffers of its own may have the bytes put there. Then a large body of known size is
not received by the transport at all, but by whoever asks (`direct`).

uvicorn makes its cycles itself, so `adopt` turns a new one into ours before anything runs in it.
What HTTP/1.1 looks like on the wire stays uvicorn's business (`send`, `run_asgi`); how and when a
connection ends is the connection's.

What ASGI has no words for is told in an extension, `scope["extensions"]["tusjumbo"]`, which any app
may use:
- `trailers`: a list of pairs (name, value), bytes as in `scope["headers"]`, names in lower case. It
  is empty at first, and complete when `receive` has returned `more_body=False`: the fields that the
  client sent after a chunked body, in their order, announced in `Trailer` or not. They are never
  among the headers.
- `closing`: a `tusjumbo.notice.Notice` that is given when the server is told to stop.
- `body`: a weak reference to another way to the body than `receive`. Only for who was given the
  server's own `receive` (`receive.__self__ is body()`): others would pass by whoever wrapped it.
  `await wait()`: True when bytes wait (most likely), False when no more will come; `is_whole` then
  says if that was the end of the body. `readinto(buffer)` moves what waits and returns how much;
  `take()` returns some of it. `direct` does the same as `readinto` for another thread, one at a
  time and until the next `wait`; it may take a millisecond, and is None where it cannot be done.
"""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Protocol, cast

from uvicorn._types import ASGIReceiveEvent, ASGISendEvent, HTTPResponseStartEvent
from uvicorn.protocols.http import httptools_impl as stock

from tusjumbo.notice import Notice
from tusjumbo.server.direct import BRISK, DirectBody
from tusjumbo.server.limits import Limits

CLOSE = (b"connection", b"close")

TAKEN = 256 << 10
"""At most so many bytes are taken at a time."""


class Connection(Protocol):
    """What a cycle needs to know of its connection."""

    limits: Limits
    closing: Notice

    transport: asyncio.Transport

    @property
    def is_leaving(self) -> bool:
        """Whether it is closed, or as good as closed."""
        ...

    def leave(self) -> None:
        """Close it, so that what was written can be read."""
        ...

    @property
    def is_ending(self) -> bool:
        """Whether the next response is to be the last."""
        ...

    def read_on(self) -> None:
        """There is room for more of the body."""
        ...

    def read_directly(self, left: int, came: int) -> DirectBody | None:
        """Leave the socket to somebody else for the next `left` bytes; None if that cannot be.

        `came`: how many came without a pause before them.
        """
        ...

    def read_again(self, direct: DirectBody) -> None:
        """Have the socket back, with what is left of the body."""
        ...


class Outlet(asyncio.Transport):
    """The transport as a cycle sees it: closing it is a wish, and the connection knows how."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self._connection = connection
        self.write = connection.transport.write  # type: ignore[method-assign]

    def is_closing(self) -> bool:
        return self._connection.is_leaving

    def close(self) -> None:
        self._connection.leave()


class UploadCycle(stock.RequestResponseCycle):
    is_cancel_safe = True
    """A cancelled `receive` has taken nothing. The web room (`tusjumbo.web.bodies`) looks here."""
    connection: Connection
    length: int | None
    """Of the body, as announced; None if it is sent in chunks."""
    received: int = 0
    """Bytes of the body that the transport has received."""
    pieces: deque[bytes]
    """Of the body, received and not yet taken by the app; `held` bytes."""
    held: int = 0
    reading: DirectBody | None = None
    """The rest of the body, while the transport does not receive it."""
    is_slow: bool = False
    """Whether the client is better waited for by the transport."""
    trailers: list[tuple[bytes, bytes]]
    """Fields after the body. Never among the headers: they come too late to decide anything."""
    end_told: bool = False
    """Whether the app has heard that the body is complete."""
    input_ended: bool = False
    """Whether the client will send nothing more, though it may read the response."""

    # --- the body --------------------------------------------------------------------------------

    @property
    def left(self) -> int | None:
        """Bytes of the body that are still to come; None if only its end will tell."""
        return None if self.length is None else self.length - self.arrived

    @property
    def arrived(self) -> int:
        """Bytes of the body that have been received by whomever."""
        if self.reading is None or self.length is None:
            return self.received
        return self.length - self.reading.left

    @property
    def is_hungry(self) -> bool:
        """Whether it is the client that is waited for."""
        return self.reading.is_awaited if self.reading else not self.flow.read_paused

    def add(self, piece: bytes) -> None:
        self.pieces.append(piece)
        self.held += len(piece)
        self.is_slow = self.is_slow and len(piece) < BRISK
        self.message_event.set()

    def discard(self) -> None:
        """The app wants nothing of the body any more."""
        self._read_again()
        self._clear()

    def _clear(self) -> None:
        self.pieces.clear()
        self.held = 0

    def end(self) -> None:
        self.more_body = False
        self.message_event.set()

    def end_input(self) -> None:
        """The client has closed its side, after all of its request."""
        self.input_ended = True
        self.message_event.set()

    def hang_up(self) -> None:
        """Nothing more will come, and nobody reads the response."""
        self.disconnected = self.disconnected or not self.response_complete
        if self.reading is not None:
            self.reading.close()
        self.message_event.set()

    async def receive(self) -> ASGIReceiveEvent:
        self._read_again()
        self._tell_to_continue()
        while not self._has_news():
            await self._something()
        if self.response_complete or not (self.pieces or self._is_end_news):
            return {"type": "http.disconnect"}
        body = b"".join(self.pieces)  # no copy if there is only one
        self._clear()
        self.end_told = not self.more_body
        self.connection.read_on()
        return {"type": "http.request", "body": body, "more_body": self.more_body}

    def _tell_to_continue(self) -> None:
        if self.waiting_for_100_continue:
            self.waiting_for_100_continue = False
            # RFC 9110, 10.1.1: "A server MAY omit sending a 100 (Continue) response if it has
            # already received some or all of the content for the corresponding request."
            if self.more_body and not self.received and not self.transport.is_closing():
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    @property
    def _is_over(self) -> bool:
        """Whether nobody is left to send, or to read the response."""
        return self.disconnected or self.input_ended or self.response_complete

    @property
    def _is_end_news(self) -> bool:
        """Whether the body has come to its end, and the app does not know yet."""
        return self.is_whole and not self.end_told

    def _has_news(self) -> bool:
        return self._is_over or bool(self.pieces) or self._is_end_news

    # --- the body, for an app with buffers of its own --------------------------------------------

    @property
    def is_whole(self) -> bool:
        """Whether the body has come to its end."""
        return not self.more_body

    async def wait(self) -> bool:
        self._tell_to_continue()
        while not (self.is_whole or self._is_over):
            if self.reading is None and not self.is_slow and (left := self.left):
                self.reading = self.connection.read_directly(left, self.held)
            if self.pieces:
                break
            if self.reading is not None:
                await self.reading.wait()
                if not (self.reading.is_over or self.reading.is_slow):
                    return True
                self._read_again()
                continue
            await self._something()
        return bool(self.pieces) and not self.response_complete

    async def _something(self) -> None:
        """Wait for whatever the transport has to tell."""
        self.connection.read_on()
        self.message_event.clear()
        await self.message_event.wait()

    def _read_again(self) -> None:
        """Have the transport receive the rest of the body, if there is any."""
        if self.reading is not None:
            self.received = self.arrived
            reading, self.reading = self.reading, None
            # The transport has to see a cut for itself, and ends the connection in its own way.
            self.is_slow = reading.is_slow or reading.is_cut
            self.connection.read_again(reading)

    @property
    def direct(self) -> Callable[[memoryview], int] | None:
        return None if self.reading is None else partial(self._draw, self.reading)

    def _draw(self, reading: DirectBody, buffer: memoryview) -> int:
        return self._pour(buffer) or reading.draw(buffer)

    def readinto(self, buffer: memoryview) -> int:
        count = self._pour(buffer)
        if not count and self.reading is not None:
            count = self.reading.readinto(buffer)
        return count

    def _pour(self, buffer: memoryview) -> int:
        count = 0
        while self.pieces and count < len(buffer):
            piece = self.pieces.popleft()
            part = piece[: len(buffer) - count]  # no copy if it is all of it
            buffer[count : count + len(part)] = part
            count += len(part)
            if len(part) < len(piece):
                self.pieces.appendleft(piece[len(part) :])
        self.held -= count
        return count

    def take(self) -> bytes:
        if not self.pieces:
            buffer = memoryview(bytearray(TAKEN))
            return bytes(buffer[: self.readinto(buffer)])
        piece = self.pieces.popleft()
        self.held -= len(piece)
        return piece

    # --- the response ----------------------------------------------------------------------------

    def send(self, message: ASGISendEvent) -> Coroutine[Any, Any, None]:
        if message["type"] == "http.response.start" and not self.response_started:
            message = self._opened(message)
        return super().send(message)

    def _opened(self, message: HTTPResponseStartEvent) -> HTTPResponseStartEvent:
        """Decide, as late as possible, if the connection outlives this response, and say so."""
        if self.connection.is_ending or (self.more_body and self._is_refusal_costly()):
            self.keep_alive = False
        if self.keep_alive:
            return message
        headers = [pair for pair in message.get("headers", ()) if pair[0].lower() != CLOSE[0]]
        return cast(HTTPResponseStartEvent, {**message, "headers": [*headers, CLOSE]})

    def _is_refusal_costly(self) -> bool:
        """Whether the rest of the body is too much, or too uncertain, to wait for its end."""
        if self.waiting_for_100_continue or self.length is None:
            # A client that was not told to continue may send the body or leave it out: what comes
            # next on this connection could be either. And chunks may never end.
            return True
        return (self.left or 0) > self.connection.limits.drain_size


def adopt(
    cycle: stock.RequestResponseCycle, connection: Connection, length: int | None
) -> UploadCycle:
    """Make a cycle that nothing has run in yet one of ours."""
    if isinstance(cycle, UploadCycle):
        return cycle
    cycle.__class__ = UploadCycle
    ours = cast(UploadCycle, cycle)
    ours.connection = connection
    ours.length = length
    ours.pieces = deque()
    ours.trailers = []
    ours.transport = Outlet(connection)
    told: dict[object, object] = {
        "closing": connection.closing,
        "trailers": ours.trailers,
        "body": weakref.ref(ours),
    }
    ours.scope["extensions"] = {"tusjumbo": told}
    if ours.scope["http_version"] == "1.0":
        # RFC 9110, 10.1.1: "A server that receives a 100-continue expectation in an HTTP/1.0
        # request MUST ignore that expectation."
        ours.waiting_for_100_continue = False
    return ours
