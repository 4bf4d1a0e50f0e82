"""A page's origin: serves the page of a test, and is a reverse proxy to a server, with faults.

What is asked for under `/upload` goes to the server as it came, in pieces; what a test wants to go
wrong is a rule, which is for the next requests that it matches. Bodies are cut, changed or held in
the middle, where the server has half of them, so that "in the middle" is the same place each time.

The page may load and reach nothing but its own origin (`Front.policy`).
"""

from __future__ import annotations

import http.client
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TypeAlias

from tests.harness.wire import Endpoint

HERE = Path(__file__).parent / "js"
PAGES = {
    "/": ("uploads.html", "text/html; charset=utf-8"),
    "/uploads.mjs": ("uploads.mjs", "text/javascript; charset=utf-8"),
    "/seed.html": ("seed.html", "text/html; charset=utf-8"),
    "/seed.js": ("seed.js", "text/javascript; charset=utf-8"),
}
DEADLINE = 30.0
PIECE = 1 << 14
Answer: TypeAlias = tuple[int, dict[str, str], bytes]


@dataclass
class Seen:
    """A request for the server, and what it was answered."""

    method: str
    path: str
    status: int = 0
    """0: nothing, or not yet."""
    taken: int = 0
    """Bytes of the body that came."""
    digest: str | None = None

    @property
    def chunk(self) -> int:
        found = re.search(r"/chunks/(\d+)$", self.path)
        assert found is not None, self.path
        return int(found[1])


class CutError(Exception):
    """The connection is to be broken now."""


Middle: TypeAlias = Callable[[bytes], bytes]
"""Gets the second half of a body, when the server has the first; what it returns is sent on."""


def cut(half: bytes) -> bytes:
    """Break the connection in the middle of a request."""
    raise CutError


def damage(half: bytes) -> bytes:
    """Change a byte of a body."""
    return half[:-1] + bytes([half[-1] ^ 1])


class Gate:
    """Holds bodies in their middle until it is opened, and then does what it was told to do."""

    def __init__(self, then: Middle = bytes) -> None:
        self._then = then
        self._open = threading.Event()
        self._arrived = threading.Semaphore(0)

    def __call__(self, half: bytes) -> bytes:
        self._arrived.release()
        assert self._open.wait(DEADLINE), "nobody has opened the gate"
        return self._then(half)

    def wait_for(self, count: int) -> None:
        """Return once so many more bodies are being held."""
        for _ in range(count):
            assert self._arrived.acquire(timeout=DEADLINE), "too few have come to the gate"

    def open(self) -> None:
        self._open.set()


@dataclass
class Refusal:
    """An answer in the server's place, once the body has been read."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    missing: int = 0
    """So many bytes of the body do not come: the connection breaks before."""


@dataclass
class _Rule:
    method: str
    pattern: str
    action: Middle | Refusal
    times: int


class Front(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, upstream: Callable[[], Endpoint]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = upstream
        self.policy = "default-src 'self'"
        self.most = 0
        """How many requests for the server there were at the same time, at most."""
        self.seen: list[Seen] = []
        self._rules: list[_Rule] = []
        self._now = 0
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"

    def on(self, method: str, pattern: str, action: Middle | Refusal, times: int = 1) -> None:
        """Let the next `times` requests whose path contains `pattern` (a regex) go wrong so."""
        with self._lock:
            self._rules.append(_Rule(method, pattern, action, times))

    def rule_for(self, seen: Seen) -> Middle | Refusal | None:
        with self._lock:
            self.seen.append(seen)
            for rule in self._rules:
                if rule.method == seen.method and re.search(rule.pattern, seen.path):
                    rule.times -= 1
                    if not rule.times:
                        self._rules.remove(rule)
                    return rule.action
        return None

    @contextmanager
    def counted(self) -> Iterator[None]:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        try:
            yield
        finally:
            with self._lock:
                self._now -= 1

    def asked(self, method: str, pattern: str = "") -> list[Seen]:
        return [s for s in self.seen if s.method == method and re.search(pattern, s.path)]

    def chunks(self, since: int = 0) -> list[int]:
        """The numbers of the chunks that the server has taken, in the order of their beginning."""
        return [
            seen.chunk for seen in self.seen[since:] if seen.method == "PUT" and seen.status == 200
        ]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Front

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing: `Front.seen` tells."""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path in PAGES:
            name, media_type = PAGES[path]
            headers = {"Content-Type": media_type, "Content-Security-Policy": self.server.policy}
            return self._say(200, headers, (HERE / name).read_bytes())
        if not path.startswith("/upload"):
            return self._say(204, {}, b"")  # the browser's own wishes, as for an icon
        return self._pass_on()

    def do_POST(self) -> None:
        self._pass_on()

    def do_PUT(self) -> None:
        self._pass_on()

    def do_DELETE(self) -> None:
        self._pass_on()

    def _pass_on(self) -> None:
        seen = Seen(self.command, self.path, digest=self.headers.get("Content-Digest"))
        action = self.server.rule_for(seen)
        try:
            with self.server.counted():
                status, headers, body = self._answer(seen, action)
            seen.status = status
            self._say(status, headers, body)
        except (CutError, OSError, http.client.HTTPException):
            # As proxies do when one side goes: the other side's connection is broken, too.
            self.close_connection = True

    def _answer(self, seen: Seen, action: Middle | Refusal | None) -> Answer:
        if isinstance(action, Refusal):
            self._read(int(self.headers.get("Content-Length", 0)), seen)
            if action.missing:
                self._say(action.status, action.headers, action.body, action.missing)
                raise CutError
            return action.status, action.headers, action.body
        endpoint = self.server.upstream()
        server = http.client.HTTPConnection(endpoint.host, endpoint.port, timeout=DEADLINE)
        try:
            server.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                server.putheader(name, value)
            server.endheaders()
            size = int(self.headers.get("Content-Length", 0))
            for size_of_half, is_last in ((size // 2, False), (size - size // 2, True)):
                half = self._read(size_of_half, seen)
                server.send(action(half) if action is not None and is_last else half)
            response = server.getresponse()
            hop = {"connection", "content-length", "transfer-encoding", "date", "server"}
            headers = {n: v for n, v in response.getheaders() if n.lower() not in hop}
            return response.status, headers, response.read()
        finally:
            server.close()

    def _read(self, size: int, seen: Seen) -> bytes:
        pieces = []
        while size:
            piece = self.rfile.read(min(size, PIECE))
            if not piece:
                raise CutError
            seen.taken += len(piece)
            size -= len(piece)
            pieces.append(piece)
        return b"".join(pieces)

    def _say(self, status: int, headers: dict[str, str], body: bytes, missing: int = 0) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body) + missing))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def front(upstream: Callable[[], Endpoint]) -> Iterator[Front]:
    with Front(upstream) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
