from __future__ import annotations

import weakref
from collections.abc import Sequence

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tusjumbo.errors import ClientDisconnected, MalformedRequest
from tusjumbo.notice import Notice
from tusjumbo.ports import Reading
from tusjumbo.protocols.messages import Fields
from tusjumbo.sessions.commands import Digest
from tusjumbo.web.bodies import Body, Message, Scope, announced, fields_of

GONE: Message = {"type": "http.disconnect"}
END: Message = {"type": "http.request"}


def piece(data: bytes, *, more: bool = True) -> Message:
    return {"type": "http.request", "body": data, "more_body": more}


class Script:
    """A `receive` that says its lines, and fails when asked for more."""

    def __init__(self, *messages: Message) -> None:
        self.messages = list(messages)

    async def __call__(self) -> Message:
        await anyio.lowlevel.checkpoint()
        return self.messages.pop(0)


async def drained(body: Body, room: int = 4) -> bytes:
    found = bytearray()
    while await body.wait():
        buffer = memoryview(bytearray(room))
        count = body.readinto(buffer)
        assert count
        found += buffer[:count]
    return bytes(found)


def scope(**more: object) -> Scope:
    return {"type": "http", "http_version": "1.1", **more}


@pytest.mark.parametrize(
    ("version", "lines", "expected"),
    [
        pytest.param("1.1", [], 0, id="neither"),
        pytest.param("1.0", [], 0, id="neither in 1.0"),
        pytest.param("1.1", [("content-length", "0")], 0, id="empty"),
        pytest.param("1.1", [("content-length", "17")], 17, id="length"),
        pytest.param("1.1", [("Content-Length", " 17 ")], 17, id="length with white space"),
        pytest.param("1.1", [("content-length", "17")] * 2, 17, id="twice the same"),
        pytest.param("1.1", [("transfer-encoding", "chunked")], None, id="chunked"),
        pytest.param(
            "1.1", [("transfer-encoding", "chunked"), ("content-length", "5")], None, id="both"
        ),
        pytest.param("2", [], None, id="HTTP/2 without length"),
        pytest.param("2", [("content-length", "0")], 0, id="HTTP/2 empty"),
        pytest.param("3", [("content-length", "5")], 5, id="HTTP/3 length"),
    ],
)
def test_announced(version: str, lines: list[tuple[str, str]], expected: int | None) -> None:
    fields = Fields((name.encode(), value.encode()) for name, value in lines)
    assert announced(scope(http_version=version), fields) == expected


@pytest.mark.parametrize("value", ["", "-1", "+1", "1_0", "0x10", "1.0", "\u0661", "9" * 20, "5,6"])
def test_announced_refuses(value: str) -> None:
    fields = Fields([(b"content-length", value.encode())])
    with pytest.raises(MalformedRequest):
        announced(scope(), fields)


def test_announced_refuses_two_lengths() -> None:
    fields = Fields([(b"content-length", b"5"), (b"content-length", b"6")])
    with pytest.raises(MalformedRequest):
        announced(scope(), fields)


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param([piece(b"hello", more=False)], id="at once"),
        pytest.param([piece(b"hel"), piece(b"lo"), END], id="in pieces"),
        pytest.param([piece(b""), piece(b"hello"), piece(b""), END], id="with empty pieces"),
    ],
)
@pytest.mark.parametrize("size", [5, None])
async def test_whole(messages: Sequence[Message], size: int | None) -> None:
    body = Body(scope(), Script(*messages))
    body.announce(size)
    assert await drained(body) == b"hello"
    assert body.taken == 5
    assert not await body.wait()


@given(pieces=st.lists(st.binary(max_size=20), max_size=8), room=st.integers(1, 30))
async def test_any_pieces_in_any_buffer(pieces: list[bytes], room: int) -> None:
    body = Body(scope(), Script(*map(piece, pieces), END))
    assert await drained(body, room) == b"".join(pieces)


async def test_it_is_here_when_nobody_is_waited_for_any_more() -> None:
    body = Body(scope(), Script(piece(b"hel"), piece(b"lo", more=False)))
    buffer = memoryview(bytearray(5))
    for is_here in (False, True):
        assert await body.wait()
        assert body.is_here is is_here
        body.readinto(buffer)
    assert not await body.wait()


async def test_asks_only_when_asked() -> None:
    body = Body(scope(), Script())
    buffer = memoryview(bytearray(4))
    assert body.readinto(buffer) == 0
    assert not body.asked


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param([piece(b"hel"), GONE], id="told"),
        pytest.param([piece(b"hel", more=False)], id="ended early"),
        pytest.param([piece(b"hel"), END], id="ended early, later"),
    ],
)
async def test_cut(messages: Sequence[Message]) -> None:
    body = Body(scope(), Script(*messages))
    body.announce(5)
    assert await body.wait()
    assert body.readinto(memoryview(bytearray(9))) == 3
    for _ in range(2):
        with pytest.raises(ClientDisconnected):
            await body.wait()


async def test_gone_at_the_end_of_a_body_of_unknown_size() -> None:
    body = Body(scope(), Script(piece(b"hel"), GONE))
    body.announce(None)
    assert await body.wait()
    body.readinto(memoryview(bytearray(9)))
    with pytest.raises(ClientDisconnected):
        await body.wait()


class SafeServer:
    """Its `receive` has a piece in hand for a moment, and puts it back when cancelled."""

    is_cancel_safe = True

    def __init__(self) -> None:
        self.messages = [piece(b"hel"), piece(b"lo"), END]

    async def receive(self) -> Message:
        await anyio.sleep(0)
        return self.messages.pop(0)


async def test_a_cancelled_wait_loses_nothing() -> None:
    body = Body(scope(), SafeServer().receive)
    for _ in range(2):
        with anyio.move_on_after(0) as patience:
            await body.wait()
        assert patience.cancelled_caught
    assert await drained(body) == b"hello"


class LossyServer:
    """As `SafeServer`, but what it has in hand is lost: Starlette's BaseHTTPMiddleware."""

    def __init__(self) -> None:
        self.messages = [piece(b"one"), piece(b"two"), piece(b"three"), END]

    async def receive(self) -> Message:
        message = self.messages.pop(0)
        await anyio.sleep(0)
        return message


async def test_nothing_is_read_across_a_gap() -> None:
    server = LossyServer()
    body = Body(scope(), server.receive)
    assert await body.wait()
    body.readinto(memoryview(bytearray(3)))
    for _ in range(2):
        with anyio.move_on_after(0) as patience:
            await body.wait()
        assert patience.cancelled_caught
    assert len(server.messages) == 2
    assert body.taken == 3


class ServerWithBuffers(SafeServer):
    """Our own: its bodies can be had without `receive`."""

    def __init__(self, content: bytes = b"hello", *, is_whole: bool = True) -> None:
        super().__init__()
        self.content = content
        self.is_whole = is_whole
        self.drawn = 0

    async def wait(self) -> bool:
        await anyio.lowlevel.checkpoint()
        return bool(self.content)

    def readinto(self, buffer: memoryview) -> int:
        count = min(len(buffer), len(self.content))
        buffer[:count] = self.content[:count]
        self.content = self.content[count:]
        return count

    def take(self) -> bytes:
        content, self.content = self.content, b""
        return content

    def _draw(self, buffer: memoryview) -> int:
        self.drawn += 1
        return self.readinto(buffer)

    @property
    def direct(self) -> Reading | None:
        return self._draw if len(self.content) < 3 else None

    @property
    def scope(self) -> Scope:
        return scope(extensions={"tusjumbo": {"body": weakref.ref(self)}})


async def test_the_servers_own_way_is_taken_if_there_is_one() -> None:
    server = ServerWithBuffers()
    body = Body(server.scope, server.receive)
    assert await drained(body, 3) == b"hello"
    assert (body.taken, body.asked, body.is_over) == (5, True, True)
    assert len(server.messages) == 3


async def test_who_wraps_receive_sees_every_byte() -> None:
    server = ServerWithBuffers(b"by another way")
    seen: list[Message] = []

    async def receive() -> Message:
        seen.append(await server.receive())
        return seen[-1]

    body = Body(server.scope, receive)
    assert body.direct is None
    assert await drained(body) == b"hello"
    assert len(seen) == 3


async def test_bytes_that_a_thread_may_read() -> None:
    server = ServerWithBuffers()
    body = Body(server.scope, server.receive)
    assert await body.wait()
    assert body.direct is None
    buffer = memoryview(bytearray(3))
    assert body.readinto(buffer) == 3
    assert await body.wait()
    assert body.direct is not None
    assert body.direct(buffer) == 2
    assert (server.drawn, body.taken) == (1, 5)


async def test_a_body_that_the_server_knows_to_be_cut() -> None:
    server = ServerWithBuffers(is_whole=False)
    body = Body(server.scope, server.receive)
    body.announce(None)
    assert await body.wait()
    assert body.take() == b"hello"
    assert not body.is_over
    with pytest.raises(ClientDisconnected):
        await body.wait()
    assert body.is_over


def test_closing() -> None:
    notice = Notice()
    assert Body(scope(), Script()).closing is None
    assert Body(scope(extensions=None), Script()).closing is None
    assert Body(scope(extensions={}), Script()).closing is None
    told = Body(scope(extensions={"tusjumbo": {"closing": notice}}), Script())
    assert told.closing is notice


# --- trailers ------------------------------------------------------------------------------------


def lines(*pairs: tuple[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in pairs]


OFFSET, TRAILER = ("upload-offset", "5"), ("trailer", "Upload-Checksum, UPLOAD-offset ,x-y")
SUM, OTHER = ("upload-checksum", "sha1 x"), ("x-y", "1")


@pytest.mark.parametrize(
    ("headers", "kept"),
    [
        pytest.param([OFFSET, SUM], [OFFSET, SUM], id="nothing announced"),
        pytest.param([OFFSET, TRAILER, SUM], [OFFSET, TRAILER], id="checksum"),
        pytest.param([OFFSET, TRAILER, SUM, OFFSET], [OFFSET, TRAILER], id="two"),
        pytest.param([OFFSET, TRAILER, SUM, OTHER], [OFFSET, TRAILER, OTHER], id="others stay"),
        pytest.param([SUM, TRAILER, ("te", "trailers")], None, id="where headers are"),
        pytest.param([TRAILER, SUM, ("z", "1")], None, id="before what was not announced"),
        pytest.param([("trailer", "upload-x"), ("Upload-X", "1")], [("trailer", "upload-x")],
                     id="upper case"),
        pytest.param([("trailer", "Tus-Resumable"), ("tus-resumable", "0")],
                     [("trailer", "Tus-Resumable")], id="version"),
        pytest.param([("trailer", "x-http-method-override"), ("x-http-method-override", "DELETE")],
                     [("trailer", "x-http-method-override")], id="method"),
        pytest.param([("trailer", "x-forwarded-for"), ("x-forwarded-for", "1")], None,
                     id="what a proxy added"),
        pytest.param([("trailer", "trailer")], None, id="itself"),
    ],
)  # fmt: skip
def test_announced_trailers_among_the_headers(
    headers: list[tuple[str, str]], kept: list[tuple[str, str]] | None
) -> None:
    """AMB-20: uvicorn's httptools class appends them."""
    found = fields_of(scope(headers=lines(*headers))).as_mapping()
    assert found == Fields(lines(*(headers if kept is None else kept))).as_mapping()
    told = scope(headers=lines(*headers), extensions={"tusjumbo": {"trailers": []}})
    assert fields_of(told).as_mapping() == Fields(lines(*headers)).as_mapping()


@pytest.mark.parametrize("told", [None, {}, {"tusjumbo": None}, {"tusjumbo": {}}, {"x": 1}])
def test_without_trailers_nothing_can_be_promised(told: object) -> None:
    body = Body(scope(extensions=told), Script())
    body.read_digest_by(lambda _: Digest("sha1", b""))
    assert not body.tells_trailers
    with pytest.raises(ValueError, match="trailers"):
        body.promised()


async def test_the_trailers_are_read_when_they_are_asked_for() -> None:
    trailers: list[tuple[bytes, bytes]] = []
    body = Body(scope(extensions={"tusjumbo": {"trailers": trailers}}), Script(piece(b"a"), END))
    body.read_digest_by(lambda fields: Digest(fields.one("X-Sum".lower()) or "", b"1"))
    assert body.tells_trailers
    assert await drained(body) == b"a"
    trailers.append((b"X-Sum", b" sha1 "))
    assert body.promised() == Digest("sha1", b"1")


@given(st.lists(st.binary(max_size=5), max_size=5), st.integers(0, 4))
async def test_taking_what_waits(pieces: list[bytes], room: int) -> None:
    """Whole, or what is left of it."""
    body = Body(scope(), Script(*map(piece, pieces), END))
    found = b""
    buffer = memoryview(bytearray(room))
    while await body.wait():
        count = body.readinto(buffer)
        found += bytes(buffer[:count]) + body.take()
        assert body.take() == b""
    assert found == b"".join(pieces)
    assert body.taken == len(found)


async def test_taking_copies_nothing() -> None:
    data = bytes(100)
    body = Body(scope(), Script(piece(data)))
    assert await body.wait()
    assert body.take() is data
