"""An ASGI server of one request at a time, which sees and does what real ones hide.

It can say when the app first asked for the body, hold a body back, cut it, or stop listening.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio

from tusjumbo.web.asgi import ASGIApp
from tusjumbo.web.bodies import Message, Scope

OFFSET_STREAM = "application/offset+octet-stream"
T = {"Tus-Resumable": "1.0.0"}
GONE: Message = {"type": "http.disconnect"}

Lines = Mapping[str, str] | Sequence[tuple[str, str]]


def piece(data: bytes, *, more: bool = True) -> Message:
    return {"type": "http.request", "body": data, "more_body": more}


@dataclass
class Answer:
    status: int = 0
    """0: there was none."""
    headers: dict[str, str] = field(default_factory=dict)
    lines: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    complete: bool = False
    asked_first: bool = False
    """The app asked for the body before it answered."""

    @property
    def offset(self) -> int | None:
        text = self.headers.get("upload-offset")
        return None if text is None else int(text)

    @property
    def location(self) -> str:
        return self.headers["location"]


@dataclass
class Browser:
    """Sends requests to `app`. Paths are below `root_path`, unless `scope` says otherwise."""

    app: ASGIApp
    scope: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    async def ask(
        self,
        method: str,
        path: str,
        headers: Lines = (),
        body: bytes | Sequence[Message] | None = None,
        *,
        on_send: Callable[[Message], Awaitable[None]] | None = None,
        on_silence: Callable[[], None] = lambda: None,
        **scope: Any,
    ) -> Answer:
        """`body`: bytes come with a Content-Length, messages as they are, chunked unless told.

        `on_silence` is called when the app waits for more than there is.
        """
        lines = [*self.headers.items(), *pairs(headers)]
        if isinstance(body, bytes):
            lines.append(("content-length", str(len(body))))
        elif body is not None and "content-length" not in {name.lower() for name, _ in lines}:
            lines.append(("transfer-encoding", "chunked"))
        if body is None or isinstance(body, bytes):
            script = [piece(body or b"", more=False)]
        else:
            script = list(body)
        answer = Answer()
        finished = anyio.Event()

        async def receive() -> Message:
            answer.asked_first = answer.asked_first or not answer.status
            await anyio.lowlevel.checkpoint()
            if not script:
                on_silence()
                await finished.wait()
                return GONE
            return script.pop(0)

        async def send(message: Message) -> None:
            if on_send is not None:
                await on_send(message)
            _note(answer, message)
            if answer.complete:
                finished.set()
            await anyio.lowlevel.checkpoint()

        whole: Scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode("utf-8", "surrogatepass"),
            "query_string": b"",
            "root_path": "",
            "headers": [(n.lower().encode("latin-1"), v.encode("latin-1")) for n, v in lines],
            "client": ("192.0.2.7", 4711),
            "server": ("here", 80),
        }
        await self.app({**whole, **self.scope, **scope}, receive, send)
        finished.set()
        return answer

    # --- tus ---

    async def create(
        self, length: int | None, headers: Lines = (), body: bytes | list[Message] | None = None
    ) -> Answer:
        size = {"Upload-Defer-Length": "1"} if length is None else {"Upload-Length": str(length)}
        kind = {} if body is None else {"Content-Type": OFFSET_STREAM}
        lines = [*T.items(), *size.items(), *kind.items(), *pairs(headers)]
        return await self.ask("POST", "/", lines, body)

    async def head(self, path: str, headers: Lines = ()) -> Answer:
        return await self.ask("HEAD", path, [*T.items(), *pairs(headers)])

    async def patch(
        self, path: str, at: int, body: bytes | list[Message], headers: Lines = (), **more: Any
    ) -> Answer:
        own = {**T, "Upload-Offset": str(at), "Content-Type": OFFSET_STREAM}
        return await self.ask("PATCH", path, [*own.items(), *pairs(headers)], body, **more)

    async def delete(self, path: str) -> Answer:
        return await self.ask("DELETE", path, T)

    async def get(self, path: str, headers: Lines = (), **scope: Any) -> Answer:
        return await self.ask("GET", path, headers, **scope)

    async def upload(self, content: bytes, metadata: str = "") -> str:
        """The path of a finished upload."""
        created = await self.create(len(content), {"Upload-Metadata": metadata}, content)
        assert (created.status, created.offset) == (201, len(content)), created
        return created.location


def pairs(lines: Lines) -> Iterable[tuple[str, str]]:
    return lines.items() if isinstance(lines, Mapping) else lines


def _note(answer: Answer, message: Message) -> None:
    """What a strict server would check of an app's messages."""
    assert not answer.complete
    if message["type"] == "http.response.start":
        assert not answer.status
        answer.status = message["status"]
        lines = [(n.decode("latin-1"), v.decode("latin-1")) for n, v in message["headers"]]
        assert all(name == name.lower() for name, _ in lines)
        assert not any(c < " " and c != "\t" for _, value in lines for c in value)
        answer.lines = lines
        answer.headers = dict(lines)
        assert len(answer.headers) == len(lines), lines
    else:
        assert message["type"] == "http.response.body"
        assert answer.status
        answer.body += message.get("body", b"")
        answer.complete = not message.get("more_body", False)


class Clock:
    """A clock that stands still until somebody moves it."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def files_below(directory: Path) -> set[str]:
    """What is there, without the machinery (catalog and locks)."""
    found = (path.relative_to(directory) for path in directory.rglob("*") if path.is_file())
    return {str(path) for path in found if path.parts[0] in ("sessions", "completed", "abandoned")}


def opened(path: Path) -> list[str]:
    """The descriptors by which this process has the file open."""
    descriptors = Path("/proc/self/fd").iterdir()
    return [fd.name for fd in descriptors if os.path.lexists(fd) and os.readlink(fd) == str(path)]


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Return when `condition` holds; fail after `seconds`."""
    with anyio.fail_after(seconds):
        pause = 0.001
        while not condition():
            await anyio.sleep(pause)
            pause = min(pause * 2, 0.05)
