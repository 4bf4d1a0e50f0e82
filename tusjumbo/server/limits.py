"""Limits: how long a connection may keep the server waiting, and how much it may make it hold.

One frozen value for all connections of a server. It travels to worker processes inside uvicorn's
Config, which every protocol instance is given; under a server that knows nothing of it the defaults
hold. Times are seconds, sizes bytes; a time of 0 means no limit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import uvicorn
from uvicorn.server import ServerState

from tusjumbo.notice import Notice


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    header_timeout: float = 30.0
    """From the opening of a connection, or the first byte of a later request, to its whole head."""
    body_timeout: float = 120.0
    """Without a byte of a body that the server is ready to take. A backstop: the app's own idle
    timeout should be shorter, because it can answer."""
    shutdown_timeout: float = 10.0
    """From the order to stop until running requests are cancelled."""
    linger_timeout: float = 5.0
    """Without a byte, when only waiting for the client to close."""
    linger_time: float = 30.0
    """Altogether, when only waiting for the client to close, or for the rest of a refused body."""
    closing_linger_time: float = 2.0
    """The same while the server is stopping."""
    linger_size: int = 256 << 20
    """Bytes thrown away for a client to read its answer, before the connection is cut."""
    drain_size: int = 1 << 20
    """The rest of a refused body is thrown away and the connection kept, if it is this small."""
    head_size: int = 64 << 10
    """Of a request head, and of its trailers."""
    direct_from: int | None = 64 << 10
    """A body of which at least so much is still to come may be read by the app itself, straight
    from the socket. None: every byte takes the parser's way."""
    high_water: int = 64 << 10
    """Of body that waits for the app, before the socket is read no more."""


class UploadConfig(uvicorn.Config):
    """uvicorn's Config, with our limits."""

    def __init__(self, app: Any, *, limits: Limits, **options: Any) -> None:
        super().__init__(app, **options)
        self.limits = limits


def limits_of(config: uvicorn.Config) -> Limits:
    return config.limits if isinstance(config, UploadConfig) else Limits()


def closing_of(state: ServerState) -> Notice:
    """The notice that is given when this server is told to stop: one for all its connections."""
    return cast(Notice, vars(state).setdefault("closing", Notice()))
