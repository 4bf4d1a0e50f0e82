"""Servers that break PATCH, CREATE and CWU in a second way, or by what they do with a body.

The tables of `broken_core` and `broken_creation` have one server for most rows. Here are those that
keep a row in one place and break it in another, and those that need to handle a body themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio

from tests.conformance.broken import (
    Answer,
    App,
    Broken,
    Edit,
    Receive,
    Request,
    Send,
    When,
    Wrap,
    all_of,
    answers,
    ask,
    asks,
    become,
    both,
    drop,
    having,
    hears,
    lacking,
    on,
    put,
    said,
    says,
    status,
    sub,
    whole,
)

_TYPE = "application/offset+octet-stream"


def _chunked(*methods: str) -> When:
    return all_of(having("transfer-encoding", ".*"), on(*methods))


def _nothing(request: Request) -> bool:
    return request.size == 0


def _content(request: Request) -> bool:
    """POST with a body."""
    return request.verb == "POST" and (bool(request.size) or _chunked("POST")(request))


def _other_content(request: Request) -> bool:
    return _content(request) and request.get("content-type") != _TYPE


def _read_as(name: str, number: Callable[[int], int]) -> Edit:
    """Another number of a field is seen."""

    def edit(head: Any) -> None:
        if head.get(name).isdecimal():
            head.put(name, str(number(int(head.get(name)))))

    return edit


def _first_line(name: str) -> Edit:
    def edit(head: Any) -> None:
        for value in head.all(name)[:1]:
            head.put(name, value)

    return edit


def _ends_at(offset: int) -> Callable[[Answer], bool]:
    return lambda answer: answer.status == 204 and answer.get("upload-offset") == str(offset)


def _mixes(app: App) -> App:
    """Of two bodies at once, each is stored as half of the first and half of the second.

    The first waits for the second, so that it is no matter of chance.
    """
    bodies: dict[str, list[bytes]] = {}

    async def broken(scope: Any, receive: Receive, send: Send) -> None:
        request = Request.of(scope)
        size = request.size or 0
        if request.verb != "PATCH" or size < 60000:
            await app(scope, receive, send)
            return
        received = bodies.setdefault(request.path, [])
        received.append(await whole(receive) or b"")
        with anyio.move_on_after(2):
            while len(received) < 2:
                await anyio.sleep(0.01)
        mixed = received[0][: size // 2] + received[-1][size // 2 :]
        await app(scope, said(mixed), send)

    return broken


def _forgets_the_slow(app: App) -> App:
    """Who is slow with the body is left, and what has come forgotten."""

    async def broken(scope: Any, receive: Receive, send: Send) -> None:
        if Request.of(scope).verb != "PATCH":
            await app(scope, receive, send)
            return
        with anyio.move_on_after(1):
            data = await whole(receive)
            await app(scope, said(data or b""), send)
            return
        await Answer([("connection", "close"), ("content-length", "0")], 400).send(send)

    return broken


def _same_name(app: App) -> App:
    """Every creation names the first upload."""
    first: list[str] = []

    async def broken(scope: Any, receive: Receive, send: Send) -> None:
        answer = await ask(app, scope, receive)
        if answer is None:
            return
        if answer.get("location"):
            first.append(answer.get("location"))
            answer.put("location", first[0])
        await answer.send(send)

    return broken


def _hidden(when: When) -> Wrap:
    """The body is not looked at."""
    return hears(when, lambda _: b"")


BROKEN = (
    # --- PATCH ---
    Broken(
        "PATCH-02", "answers 200 at the end", says(on("PATCH"), become(200), given=_ends_at(10))
    ),
    Broken("PATCH-03", "takes less than it could", hears(on("PATCH"), lambda data: data[:3])),
    Broken(
        "PATCH-04", "does not look at an empty one", answers(all_of(on("PATCH"), _nothing), 204)
    ),
    Broken(
        "PATCH-06",
        "needs no type",
        asks(lacking("content-type", "PATCH"), put("content-type", _TYPE)),
    ),
    Broken("PATCH-08", "sees one line only", asks(on("PATCH"), _first_line("upload-offset"))),
    Broken(
        "PATCH-09",
        "counts in 64 bits",
        asks(on("PATCH"), _read_as("upload-offset", lambda n: n % 2**64)),
    ),
    Broken(
        "PATCH-09",
        "counts in 32 bits",
        asks(on("PATCH"), _read_as("upload-offset", lambda n: n % 2**32)),
    ),
    Broken("PATCH-10", "answers 400", says(on("PATCH"), become(400), given=status(404))),
    Broken("PATCH-14", "answers 400", says(on("PATCH"), become(400), given=status(413))),
    Broken(
        "PATCH-15",
        "says nothing",
        says(_chunked("PATCH"), become(204), drop("content-length"), given=status(413)),
    ),
    Broken(
        "PATCH-16",
        "begins again at 0",
        says(all_of(on("PATCH"), _nothing), put("upload-offset", "0")),
    ),
    Broken(
        "PATCH-17",
        "does not tell the offset",
        says(all_of(on("PATCH"), _nothing), drop("upload-offset")),
    ),
    Broken("PATCH-19", "mixes what comes at once", _mixes),
    Broken(
        "PATCH-19",
        "lets both win",
        says(on("PATCH"), become(204), drop("content-length"), given=status(409, 423)),
    ),
    Broken("PATCH-20", "waits for ever", hears(on("PATCH"), bytes)),
    Broken("PATCH-20", "forgets the slow", _forgets_the_slow),
    Broken("PATCH-24", "knows parts", answers(having("upload-concat", ".*", "PATCH"), 400)),
    Broken(
        "PATCH-24",
        "is strict about metadata",
        answers(having("upload-metadata", ".*", "PATCH"), 400),
    ),
    # --- creation ---
    Broken("CREATE-01", "does not do what it says", answers(on("POST"), 404)),
    Broken("CREATE-05", "answers 422", says(on("POST"), become(422), given=status(400))),
    Broken("CREATE-07", "answers 422", says(on("POST"), become(422), given=status(400))),
    Broken(
        "CREATE-08",
        "counts in 63 bits",
        asks(on("POST"), _read_as("upload-length", lambda n: n % 2**63)),
    ),
    Broken("CREATE-09", "answers 400", says(on("POST"), become(400), given=status(413))),
    Broken(
        "CREATE-09",
        "stops short of its limit",
        answers(having("upload-length", str(2**30), "POST"), 413),
    ),
    Broken(
        "CREATE-10",
        "waits for a PATCH",
        says(on("GET"), become(403), given=lambda answer: not answer.body),
    ),
    Broken("CREATE-12", "reads JSON", answers(having("content-type", ".*/json", "POST"), 422)),
    Broken("CREATE-14", "has one address", _same_name),
    Broken(
        "CREATE-14", "has a comma in its addresses", says(on("POST"), sub("location", "$", ",x"))
    ),
    Broken("CREATE-16", "begins elsewhere", says(on("POST"), put("upload-offset", "10"))),
    # --- creation with upload ---
    Broken("CWU-02", "does not look at chunks", _hidden(_chunked("POST"))),
    Broken("CWU-02", "takes less than it could", hears(_content, lambda data: data[:3])),
    Broken("CWU-03", "tells the end", says(_content, put("upload-offset", "10"))),
    Broken(
        "CWU-04",
        "tells no 0",
        says(on("POST"), drop("upload-offset"), given=lambda a: a.get("upload-offset") == "0"),
    ),
    Broken(
        "CWU-06",
        "tells of bytes that it has left",
        both(says(_other_content, put("upload-offset", "4")), _hidden(_other_content)),
    ),
    Broken(
        "CWU-07",
        "leaves an upload behind",
        says(on("POST"), put("location", "x"), given=status(413)),
    ),
    Broken("CWU-10", "answers 400", says(on("POST"), become(400), given=status(460))),
    Broken(
        "CWU-12", "takes nothing for a part", _hidden(having("upload-concat", "partial", "POST"))
    ),
    Broken("CWU-13", "forgets that it waits", says(on("HEAD"), drop("upload-defer-length"))),
)
