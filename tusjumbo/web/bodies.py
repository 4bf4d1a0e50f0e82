"""Bodies: what ASGI delivers by `receive()`, as a `Source` that the engine reads into its buffers.

Invariant: `receive()` is not called before the engine asks for the first byte. Servers answer
`Expect: 100-continue` at that moment, so it is what makes "100 Continue" a yes.

A piece is copied once, into the buffer of whoever asks, and nothing else is held: one piece at
most waits here.

Not every `receive()` may be cancelled: Starlette's BaseHTTPMiddleware loses the piece that it has
in hand, and what comes next would be stored in its place. So after a cancelled `wait` nothing more
arrives here, unless `receive` belongs to an object that says `is_cancel_safe` (our own server's).

ASGI has no event for trailers. Our own server tells them in an extension of the scope (see
`tusjumbo.server.cycle`); another one drops them, or mixes them up with the headers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import Any

import anyio

from tusjumbo.errors import ClientDisconnected
from tusjumbo.notice import Notice
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


class Body:
    """One request's body. `announced` is its size if the head tells it."""

    __slots__ = (
        "_announced",
        "_gone",
        "_is_safe",
        "_is_torn",
        "_over",
        "_piece",
        "_read_digest",
        "_receive",
        "_trailers",
        "asked",
        "closing",
        "taken",
    )

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._receive = receive
        self._is_safe = getattr(getattr(receive, "__self__", None), "is_cancel_safe", False)
        self._is_torn = False
        self._announced: int | None = None
        self._piece = _NOTHING
        self._over = False
        self._gone = False
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
        while not self._piece and not self._over:
            if self._is_torn:
                await anyio.sleep_forever()
            self.asked = True
            self._is_torn = not self._is_safe
            message = await self._receive()
            self._is_torn = False
            if message["type"] == "http.disconnect":
                self._over = self._gone = True
            else:
                self._piece = memoryview(message.get("body", b""))
                self._over = not message.get("more_body", False)
        if self._piece:
            return True
        # Not every server tells a cut body from a whole one.
        if self._gone or self.taken < (self._announced or 0):
            raise ClientDisconnected
        return False

    @property
    def is_over(self) -> bool:
        """Whether nothing more can come."""
        return self._over or self._announced == 0

    async def discard(self) -> None:
        """Throw away what comes, for as long as a client can be expected to send it.

        :raises ClientDisconnected: it has gone
        """
        size = 0
        with anyio.move_on_after(_UNWANTED_FOR) as patience:
            while size < _UNWANTED and await self.wait():
                patience.deadline = anyio.current_time() + _UNWANTED_FOR
                size += len(self._piece)
                self.taken += len(self._piece)
                self._piece = _NOTHING

    def take(self) -> bytes:
        """What is waiting, all of it and without a copy. Never blocks; empty if nothing waits."""
        piece, self._piece = self._piece, _NOTHING
        self.taken += len(piece)
        whole: object = piece.obj
        return whole if isinstance(whole, bytes) and len(whole) == len(piece) else bytes(piece)

    def readinto(self, buffer: memoryview) -> int:
        count = min(len(buffer), len(self._piece))
        buffer[:count] = self._piece[:count]
        # An empty rest would still keep the whole piece in memory, for as long as a client is slow.
        self._piece = self._piece[count:] or _NOTHING
        self.taken += count
        return count
