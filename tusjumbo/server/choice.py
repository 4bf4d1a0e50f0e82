"""Choice: which HTTP class the server runs with, found out by trying it.

Ours leans on parts of uvicorn that are nobody's promise. So before the first real connection it has
to carry two small requests through the installed uvicorn: one that is cut, one that is answered.
If it fails in any way, the server runs on uvicorn's own classes and says so: uploads then work, but
a cut may lose what had just arrived, and nothing limits how long a request head may take.
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
from typing import Any, Literal, TypeAlias

import uvicorn
from uvicorn.server import ServerState

from tusjumbo.server.limits import Limits, UploadConfig

HTTPClass: TypeAlias = type[asyncio.Protocol] | Literal["auto"]

PATIENCE = 5.0

_logger = logging.getLogger("tusjumbo")


def http_class() -> HTTPClass:
    """Our class if it works here, else `auto` and a warning. Not to be called in an event loop."""
    if importlib.util.find_spec("httptools") is None:
        _logger.warning(
            "httptools is not installed: an interrupted request may lose its last bytes. "
            "Install tusjumbo[fast]."
        )
        return "auto"
    try:
        from tusjumbo.server.protocol import UploadProtocol

        asyncio.run(_rehearse(UploadProtocol))
    except Exception as error:
        _logger.warning(
            "This is tested with other versions of uvicorn than %s (%s: %s): "
            "an interrupted request may lose its last bytes.",
            uvicorn.__version__,
            type(error).__name__,
            error,
        )
        return "auto"
    return UploadProtocol


class _Unfit(Exception):
    """The class does not do what it is for."""


async def _rehearse(protocol: type[asyncio.Protocol]) -> None:
    heard: list[bytes] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        told = scope["extensions"]["tusjumbo"]
        message = {"more_body": "closing" in told}
        while message.get("more_body"):
            message = await receive()
            heard.append(message.get("body", b"(cut)"))
        heard.extend(name for name, _ in [*scope["headers"], (b"(body)", b""), *told["trailers"]])
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    config = UploadConfig(
        app, limits=Limits(), http=protocol, lifespan="off", log_config=None, ws="none"
    )
    config.load()

    cut = _Stage(config, b"PATCH / HTTP/1.1\r\nContent-Length: 9\r\n\r\ntake", b"n")
    cut.protocol.connection_lost(None)
    await cut.play()
    if heard != [b"taken", b"(cut)", b"content-length", b"(body)"]:
        raise _Unfit("what arrived before a cut was not delivered")

    heard.clear()
    chunks = b"5\r\nwhole\r\n0\r\nAfter: it\r\n\r\n"
    whole = _Stage(config, b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", chunks)
    await whole.play()
    whole.protocol.connection_lost(None)
    if heard[:1] != [b"whole"] or not b"".join(whole.written).startswith(b"HTTP/1.1 204 "):
        raise _Unfit("a small request was not answered")
    if heard[1:] != [b"transfer-encoding", b"(body)", b"after"]:
        raise _Unfit("a trailer was lost or became a header")


class _Stage(asyncio.Transport):
    """A connection that has received `pieces`, and what it writes."""

    def __init__(self, config: uvicorn.Config, *pieces: bytes) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.state = ServerState()
        self.protocol: asyncio.Protocol = config.http_protocol_class(  # type: ignore[call-arg]
            config=config,
            server_state=self.state,
            app_state={},
            _loop=asyncio.get_running_loop(),
        )
        self.protocol.connection_made(self)
        for piece in pieces:
            self.protocol.data_received(piece)

    async def play(self) -> None:
        """Have the app finish."""
        _, unfinished = await asyncio.wait(self.state.tasks, timeout=PATIENCE)
        if unfinished:
            raise _Unfit("a request did not end")

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def is_closing(self) -> bool:
        return False

    def close(self) -> None:
        self.written.append(b"(closed)")

    def pause_reading(self) -> None:
        self.written.append(b"(paused)")

    def resume_reading(self) -> None:
        self.written.append(b"(resumed)")
