"""Parsing: new parsers for a connection, also such as begin in the middle of a message.

httptools gives a parser no way to skip what it has not seen. So where a message was read past its
parser, another one takes its place; and one that has to go on within a message is told as much of a
head as makes it read the body, and calls nobody until then.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import httptools

EVENTS = [
    *("on_message_begin", "on_url", "on_header"),
    *("on_headers_complete", "on_body", "on_message_complete"),
]


def parser(callbacks: object) -> httptools.HttpRequestParser:
    """A parser at the beginning of a message."""
    made = httptools.HttpRequestParser(callbacks)
    # As uvicorn sets up its own: a client may send on although it asked for an end.
    made.set_dangerous_leniencies(lenient_data_after_close=True)
    return made


def parser_within(callbacks: object, length: int | None) -> httptools.HttpRequestParser:
    """A parser at the beginning of a body of `length` bytes; None if it comes in chunks."""
    events = _MidMessage(callbacks)
    made = parser(events)
    framing = "transfer-encoding: chunked" if length is None else f"content-length: {length}"
    made.feed_data(f"POST / HTTP/1.1\r\n{framing}\r\n\r\n".encode())
    events.live = True
    return made


class _MidMessage:
    """What a parser is given to call when it begins within a message: nothing until `live`."""

    def __init__(self, callbacks: object) -> None:
        self.live = False
        for event in EVENTS:
            setattr(self, event, partial(self._call, getattr(callbacks, event)))

    def _call(self, callback: Callable[..., None], *args: bytes) -> None:
        if self.live:
            callback(*args)
