"""How a server is broken on purpose: small wrappers around an ASGI app, and what they are made of.

A `Broken` is one rule that is broken, and the row of the suite that must say so. Its wrapper stands
between the server and a tusjumbo that does everything right, and changes as little as it can: a
field of a request or an answer, a status, a body, or one decision. Wrappers may remember (each
server of a test has its own), and must survive whatever the suite sends.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from tusjumbo.web.links import place

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Any, Any, Any], Awaitable[None]]
Wrap: TypeAlias = Callable[[App], App]


def _as_it_is(app: App) -> App:
    return app


@dataclass(frozen=True)
class Broken:
    row: str
    """The one that must find it."""
    sentence: str
    """What the server does."""
    wrap: Wrap
    options: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the tusjumbo inside that differ from the usual ones."""
    inside: Wrap = _as_it_is
    """Around the tusjumbo inside: a server that does less, and all of that right."""
    shown_by: tuple[str, ...] = ()
    """The cases to run, if the row has none of its own."""
    expiry: float | None = None
    """What the suite is told of the server's expiry."""

    @property
    def name(self) -> str:
        return f"{self.row}: {self.sentence}"


# --- what wrappers see ---------------------------------------------------------------------------


@dataclass
class Head:
    """Fields of a request or an answer; names in lower case, values as latin-1 text."""

    fields: list[tuple[str, str]]

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.fields if key == name]

    def get(self, name: str) -> str:
        """The value, lines joined by a comma; empty if there is none."""
        return ", ".join(self.all(name))

    def put(self, name: str, value: str) -> None:
        """Set a field to one value."""
        self.drop(name)
        self.fields.append((name, value))

    def drop(self, name: str) -> None:
        self.fields = [(key, value) for key, value in self.fields if key != name]


@dataclass
class Request(Head):
    method: str
    path: str
    """Below the endpoint: empty or a slash for the endpoint itself."""

    @classmethod
    def of(cls, scope: Any) -> Request:
        return cls(_text(scope["headers"]), scope["method"], place(scope).below)

    @property
    def at_endpoint(self) -> bool:
        return self.path in ("", "/")

    @property
    def verb(self) -> str:
        """The method that counts."""
        override = self.get("x-http-method-override").upper()
        return override if override and self.method not in ("GET", "OPTIONS") else self.method

    @property
    def size(self) -> int | None:
        """What Content-Length says."""
        text = self.get("content-length")
        return int(text) if text.isdecimal() else None

    def onto(self, scope: Any) -> Any:
        """`scope` with this head."""
        path = scope["root_path"] + self.path
        raw = path.encode("latin-1", "replace")
        changed = {"method": self.method, "headers": _raw(self.fields)}
        moved = {"path": path, "raw_path": raw} if self.path != place(scope).below else {}
        return {**scope, **changed, **moved}


@dataclass
class Answer(Head):
    status: int
    body: bytes = b""

    async def send(self, send: Send) -> None:
        if self.body or "content-length" in dict(self.fields):
            self.put("content-length", str(len(self.body)))
        head = {"status": self.status, "headers": _raw(self.fields)}
        await send({"type": "http.response.start", **head})
        await send({"type": "http.response.body", "body": self.body})


def _text(raw: Any) -> list[tuple[str, str]]:
    return [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in raw]


def _raw(fields: list[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields]


# --- when ----------------------------------------------------------------------------------------

When: TypeAlias = Callable[[Request], bool]
Given: TypeAlias = Callable[[Answer], bool]


def on(*methods: str) -> When:
    """The method that counts is one of these."""
    return lambda request: request.verb in methods


def having(name: str, pattern: str = ".*", *methods: str) -> When:
    """There is such a field, its value matches as a whole, and the method is one of these."""
    grammar = re.compile(pattern, re.DOTALL)

    def when(request: Request) -> bool:
        found = any(grammar.fullmatch(value) for value in request.all(name))
        return found and (not methods or request.verb in methods)

    return when


def lacking(name: str, *methods: str) -> When:
    return lambda request: not request.all(name) and (not methods or request.verb in methods)


def all_of(*conditions: When) -> When:
    return lambda request: all(condition(request) for condition in conditions)


def always(_: Head) -> bool:
    return True


def status(*numbers: int) -> Given:
    """The answer has one of these statuses."""
    return lambda answer: answer.status in numbers


def says_it(name: str, pattern: str = ".*") -> Given:
    """The answer has such a field, and its value matches as a whole."""
    grammar = re.compile(pattern, re.DOTALL)
    return lambda answer: any(grammar.fullmatch(value) for value in answer.all(name))


# --- what ----------------------------------------------------------------------------------------

Edit: TypeAlias = Callable[[Any], None]


def put(name: str, value: str) -> Edit:
    """Set a field."""
    return lambda head: head.put(name, value)


def drop(*names: str) -> Edit:
    """Leave fields out."""

    def edit(head: Head) -> None:
        for name in names:
            head.drop(name)

    return edit


def sub(name: str, pattern: str, replacement: str) -> Edit:
    """Replace in the value of a field, if there is one."""

    def edit(head: Head) -> None:
        head.fields = [
            (key, re.sub(pattern, replacement, value) if key == name else value)
            for key, value in head.fields
        ]

    return edit


def become(number: int) -> Edit:
    """Another status."""

    def edit(answer: Answer) -> None:
        answer.status = number

    return edit


# --- wrappers ------------------------------------------------------------------------------------


def asks(when: When, *edits: Edit) -> Wrap:
    """The app sees another request head."""

    def wrap(app: App) -> App:
        async def broken(scope: Any, receive: Receive, send: Send) -> None:
            request = Request.of(scope)
            if when(request):
                for edit in edits:
                    edit(request)
                scope = request.onto(scope)
            await app(scope, receive, send)

        return broken

    return wrap


def says(when: When, *edits: Edit, given: Given = always) -> Wrap:
    """The client sees another answer."""

    def wrap(app: App) -> App:
        async def broken(scope: Any, receive: Receive, send: Send) -> None:
            if not when(Request.of(scope)):
                await app(scope, receive, send)
                return
            answer = await ask(app, scope, receive)
            if answer is None:
                return
            if given(answer):
                for edit in edits:
                    edit(answer)
            await answer.send(send)

        return broken

    return wrap


async def ask(app: App, scope: Any, receive: Receive) -> Answer | None:
    """What the app answers; None if it does not."""
    heard: list[Answer] = []

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            heard.append(Answer(_text(message["headers"]), message["status"]))
        else:
            heard[0].body += message.get("body", b"")

    await app(scope, receive, send)
    return heard[0] if heard else None


def answers(when: When, number: int, *fields: tuple[str, str], reads: bool = False) -> Wrap:
    """The app is not asked; `reads`: the whole body is read before."""

    def wrap(app: App) -> App:
        async def broken(scope: Any, receive: Receive, send: Send) -> None:
            if not when(Request.of(scope)):
                await app(scope, receive, send)
                return
            if reads:
                await whole(receive)
            framing = [] if number == 204 else [("content-length", "0")]
            said = [("tus-resumable", "1.0.0"), *framing, *fields]
            await Answer(said, number).send(send)

        return broken

    return wrap


def hears(when: When, edit: Callable[[bytes], bytes]) -> Wrap:
    """The app is given another body, when the whole of it is there."""

    def wrap(app: App) -> App:
        async def broken(scope: Any, receive: Receive, send: Send) -> None:
            request = Request.of(scope)
            if not when(request):
                await app(scope, receive, send)
                return
            data = await whole(receive)
            if data is None:
                return
            data = edit(data)
            if request.size is not None:
                request.put("content-length", str(len(data)))
            await app(request.onto(scope), said(data), send)

        return broken

    return wrap


async def whole(receive: Receive) -> bytes | None:
    """The body; None if the client went before its end."""
    data, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        data += message.get("body", b"")
        more = message.get("more_body", False)
    return data


def said(data: bytes) -> Receive:
    """`receive` of a request whose body is there at once."""
    messages: list[Message] = [{"type": "http.request", "body": data, "more_body": False}]

    async def receive() -> Message:
        return messages.pop() if messages else {"type": "http.disconnect"}

    return receive


async def state(app: App, scope: Any) -> Answer:
    """What HEAD says of the upload that a request is about."""
    head = Request([("tus-resumable", "1.0.0")], "HEAD", Request.of(scope).path)
    answer = await ask(app, head.onto(scope), said(b""))
    assert answer is not None
    return answer


def reads_first(when: When) -> Wrap:
    """A body is asked for before the head is looked at."""

    def wrap(app: App) -> App:
        async def broken(scope: Any, receive: Receive, send: Send) -> None:
            if not when(Request.of(scope)):
                await app(scope, receive, send)
                return
            first = [await receive()]

            async def rest() -> Message:
                return first.pop() if first else await receive()

            await app(scope, rest, send)

        return broken

    return wrap


def not_offered(*extensions: str) -> Wrap:
    """OPTIONS leaves extensions out that are there."""
    return says(on("OPTIONS"), *(sub("tus-extension", f"(^|,){e}(?=,|$)", "") for e in extensions))


def both(*wraps: Wrap) -> Wrap:
    """Several wrappers, the first one outermost."""

    def wrap(app: App) -> App:
        for each in reversed(wraps):
            app = each(app)
        return app

    return wrap
