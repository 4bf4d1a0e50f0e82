"""Bodies: what ASGI delivers by `receive()`, as a `Source` that the engine reads into its buffers.

Invariant: `receive()` is not called before the engine asks for the first byte. Servers answer
`Expect: 100-continue` at that moment, so it is what makes "100 Continue" a yes.

A piece is copied once, into the buffer of whoever asks, and nothing else is held: one piece at
most waits here. Our own server has a shorter way (`tusjumbo.server.cycle`), which is taken if
nobody stands between: a middleware that wraps `receive` sees every byte.

Not every `receive()` may be cancelled: Starlette's BaseHTTPMiddleware loses the piece that it has
in hand, and what comes next would be stored in its place. So after a cancelled `wait` nothing more
arrives here, unless `receive` belongs to an object that says `is_cancel_safe` (our own server's).

ASGI has no event for trailers. Our own server tells them in an extension of the scope (see
`tusjumbo.server.cycle`); another one drops them, or mixes them up with the headers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import Any, Protocol

import anyio

from tusjumbo.errors import ClientDisconnected
from tusjumbo.notice import Notice
from tusjumbo.ports import Reading
from tusjumbo.protocols.fields import INTEGER
from tusjumbo.protocols.messages import Fields
from tusjumbo.sessions.commands import Digest

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

Trailers = Sequence[tuple[bytes, bytes]]
DigestReader = Callable[[Fields], Digest]

_NOTHING = memoryview(b"")

_UNWANTED = 64 << 20
"""Bytes of a body that are thrown away for a client to read its answer."""
_UNWANTED_FOR = 1.0
"""Seconds without a byte after which no more of it is waited for."""

_OURS = (b"tus-", b"upload-", b"x-http-method-override")
"""How fields begin that decide what becomes of an upload."""


def fields_of(scope: Scope) -> Fields:
    """The fields of the request's head.

    Where a server appends trailers to the headers (uvicorn with httptools does, AMB-20), and they
    arrive with the head, they are here already. What stands at the end and was announced as a
    trailer is one; ours are left out, lest they act as headers (TRAIL-06, TRAIL-07). Fields of
    others stay: a client must not be able to hide what a proxy has added.
    """
    headers: Trailers = scope["headers"]
    fields = Fields(headers)
    if trailers_of(scope) is not None or "trailer" not in fields:
        return fields
    announced = {name.strip().lower() for name in (fields.joined("trailer") or "").split(",")}
    end = len(headers)
    while end and headers[end - 1][0].decode("latin-1").lower() in announced:
        end -= 1
    others = [pair for pair in headers[end:] if not pair[0].lower().startswith(_OURS)]
    return Fields([*headers[:end], *others])


def trailers_of(scope: Scope) -> Trailers | None:
    """Where the trailers will be when the body has ended; None where the server does not tell."""
    trailers: Trailers | None = _extension(scope).get("trailers")
    return trailers


def _extension(scope: Scope) -> Mapping[str, Any]:
    """What our own server tells beyond ASGI."""
    extensions = scope.get("extensions") or {}
    return extensions.get("tusjumbo") or {}


def announced(scope: Scope, fields: Fields) -> int | None:
    """The size of the body in bytes; None if only its end will tell, 0 if there is none.

    :raises MalformedRequest: a Content-Length that is no number, or several different ones
    """
    # RFC 9112 6.3: "If a message is received with both a Transfer-Encoding and a Content-Length
    # header field, the Transfer-Encoding overrides the Content-Length."
    if "transfer-encoding" in fields:
        return None
    length = INTEGER.find(fields, "content-length")
    if length is None and not scope["http_version"].startswith("1"):
        # HTTP/2 and 3 frame a body without saying its size, or that there is one.
        return None
    return length or 0


def closing_of(scope: Scope) -> Notice | None:
    """Given when the server is stopping; None where the server does not say."""
    notice: Notice | None = _extension(scope).get("closing")
    return notice


class _Reader(Protocol):
    """Where the bytes of a body come from."""

    @property
    def is_whole(self) -> bool:
        """Whether the body has come to its end. Not every server tells that from a cut one."""
        ...

    @property
    def direct(self) -> Reading | None: ...

    async def wait(self) -> bool:
        """True when bytes wait, False when no more will come."""
        ...

    def readinto(self, buffer: memoryview) -> int: ...

    def take(self) -> bytes:
        """Some of what waits; empty if nothing does. Never blocks."""
        ...


def _reader(scope: Scope, receive: Receive) -> _Reader:
    server = getattr(receive, "__self__", None)
    told = _extension(scope).get("body")
    if told is not None and told() is server:
        reader: _Reader = server
        return reader
    return _Pieces(receive, is_safe=getattr(server, "is_cancel_safe", False))


class _Pieces:
    """A body by `receive()`, a piece at a time."""

    __slots__ = ("_is_over", "_is_safe", "_is_torn", "_piece", "_receive", "is_whole")

    direct = None

    def __init__(self, receive: Receive, *, is_safe: bool) -> None:
        self._receive = receive
        self._is_safe = is_safe
        self._is_torn = False
        self._is_over = False
        self._piece = _NOTHING
        self.is_whole = False

    async def wait(self) -> bool:
        while not self._piece and not self._is_over:
            if self._is_torn:
                await anyio.sleep_forever()
            self._is_torn = not self._is_safe
            message = await self._receive()
            self._is_torn = False
            if message["type"] == "http.disconnect":
                self._is_over = True
            else:
                self._piece = memoryview(message.get("body", b""))
                self._is_over = self.is_whole = not message.get("more_body", False)
        return bool(self._piece)

    def take(self) -> bytes:
        piece, self._piece = self._piece, _NOTHING
        whole: object = piece.obj
        return whole if isinstance(whole, bytes) and len(whole) == len(piece) else bytes(piece)

    def readinto(self, buffer: memoryview) -> int:
        count = min(len(buffer), len(self._piece))
        buffer[:count] = self._piece[:count]
        # An empty rest would still keep the whole piece in memory, for as long as a client is slow.
        self._piece = self._piece[count:] or _NOTHING
        return count


class Body:
    """One request's body."""

    __slots__ = (
        "_announced",
        "_is_over",
        "_read_digest",
        "_reader",
        "_trailers",
        "asked",
        "closing",
        "taken",
    )

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._reader = _reader(scope, receive)
        self._announced: int | None = None
        self._is_over = False
        self.asked = False
        """Whether the server was asked for the body."""
        self.taken = 0
        """How many bytes went to the engine."""
        self.closing = closing_of(scope)
        self._trailers = trailers_of(scope)
        self._read_digest: DigestReader | None = None

    def announce(self, size: int | None) -> None:
        """Say how many bytes must come before the end is one; None if any number will do."""
        self._announced = size
        self._is_over = size == 0

    def read_digest_by(self, read: DigestReader) -> None:
        """Say how trailers tell a digest."""
        self._read_digest = read

    @property
    def tells_trailers(self) -> bool:
        """Whether what comes after the body can be known."""
        return self._trailers is not None

    def promised(self) -> Digest:
        if self._trailers is None or self._read_digest is None:
            raise ValueError("nobody told how to read trailers")
        return self._read_digest(Fields(self._trailers))

    async def wait(self) -> bool:
        self.asked = True
        if await self._reader.wait():
            return True
        self._is_over = True
        if not self._reader.is_whole or self.taken < (self._announced or 0):
            raise ClientDisconnected
        return False

    @property
    def is_here(self) -> bool:
        return self._reader.is_whole

    @property
    def is_over(self) -> bool:
        """Whether nothing more can come."""
        return self._is_over or self._reader.is_whole

    async def discard(self) -> None:
        """Throw away what comes, for as long as a client can be expected to send it.

        :raises ClientDisconnected: it has gone
        """
        size = 0
        with anyio.move_on_after(_UNWANTED_FOR) as patience:
            while size < _UNWANTED and await self.wait():
                patience.deadline = anyio.current_time() + _UNWANTED_FOR
                size += len(self.take())

    def take(self) -> bytes:
        """Some of what is waiting, without a copy. Never blocks; empty if nothing waits."""
        piece = self._reader.take()
        self.taken += len(piece)
        return piece

    def readinto(self, buffer: memoryview) -> int:
        count = self._reader.readinto(buffer)
        self.taken += count
        return count

    @property
    def direct(self) -> Reading | None:
        return None if self._reader.direct is None else self._draw

    def _draw(self, buffer: memoryview) -> int:
        read = self._reader.direct
        count = 0 if read is None else read(buffer)
        self.taken += count
        return count
