"""A small raw HTTP/1.1 client for tests: it says exactly the bytes it is told to, and no others.

Requests are sent in pieces and may be wrong on purpose; responses are parsed by h11, strictly, so
that a server which frames one badly fails the test. One `Wire` is one connection; requests may be
pipelined: `read` answers them in the order of their heads. Nothing waits longer than `deadline`
seconds, and running into it is a `TimeoutError`.
"""

from __future__ import annotations

import fcntl
import select
import socket
import ssl
import struct
import termios
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, TypeAlias
from urllib.parse import urlsplit

import h11

DEADLINE = 20.0

Headers: TypeAlias = Mapping[str, str] | Iterable[tuple[str, str]]


class GoneError(ConnectionError):
    """The server ended the connection before the response that was due."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a server listens and which path uploads are created at."""

    host: str
    port: int
    path: str = "/files/"
    tls: ssl.SSLContext | None = None
    unix: Path | None = None

    @classmethod
    def parse(
        cls, url: str, *, tls: ssl.SSLContext | None = None, unix: Path | None = None
    ) -> Endpoint:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        return cls(parts.hostname or "localhost", port, parts.path or "/", tls, unix)

    @property
    def url(self) -> str:
        return f"http{'s' if self.tls else ''}://{self.host}:{self.port}{self.path}"

    def connect(self, deadline: float = DEADLINE, *, send_buffer: int | None = None) -> Wire:
        return Wire(self, deadline, send_buffer=send_buffer)


@dataclass(frozen=True, slots=True)
class Response:
    """One response, interim or final. Header names are lower-case, in the order of the wire."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""
    interim: tuple[int, ...] = ()
    """The 1xx statuses that `read` passed on its way to this one."""

    def get(self, name: str) -> str | None:
        """The header's value, lines joined by a comma; None if it is not there."""
        values = [value for key, value in self.headers if key == name.lower()]
        return ", ".join(values) if values else None

    def __getitem__(self, name: str) -> str:
        value = self.get(name)
        assert value is not None, f"{self.status} without {name}: {self.headers}"
        return value

    def expect(self, *statuses: int) -> Response:
        """Itself, if its status is one of these."""
        assert self.status in statuses, (
            f"{self.status}, not {statuses}: {self.headers} {self.body[:300]!r}"
        )
        return self


class Wire:
    """One connection."""

    def __init__(
        self, endpoint: Endpoint, deadline: float = DEADLINE, *, send_buffer: int | None = None
    ) -> None:
        """`send_buffer` bounds what the kernel takes from `send` ahead of the server (bytes)."""
        self.endpoint = endpoint
        self.deadline = deadline
        family = socket.AF_UNIX if endpoint.unix else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        if send_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        self.socket.settimeout(deadline)
        try:
            if endpoint.unix:
                self.socket.connect(str(endpoint.unix))
            else:
                self.socket.connect((endpoint.host, endpoint.port))
                self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if endpoint.tls:
                self.socket = endpoint.tls.wrap_socket(self.socket, server_hostname=endpoint.host)
        except OSError:
            self.socket.close()
            raise
        self._addresses = ("", "")
        if not endpoint.unix:
            here, there = self.socket.getsockname(), self.socket.getpeername()
            self._addresses = _proc_address(there), _proc_address(here)
        self._asked: deque[str] = deque()
        self._parser: h11.Connection | None = None
        self._ahead = b""

    def __enter__(self) -> Wire:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    # --- sending ---------------------------------------------------------------------------------

    def head(self, method: str, target: str, headers: Headers = ()) -> None:
        """Send a request head. Host is added unless it is among the headers."""
        pairs = list(headers.items() if isinstance(headers, Mapping) else headers)
        if not any(name.lower() == "host" for name, _ in pairs):
            pairs.insert(0, ("Host", f"{self.endpoint.host}:{self.endpoint.port}"))
        lines = "".join(f"{name}: {value}\r\n" for name, value in pairs)
        self.send(f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode("latin-1"), answers=method)

    def send(self, data: bytes | bytearray | memoryview, *, answers: str | None = None) -> None:
        """Send raw bytes; `answers` names the method whose response they ask for, if any."""
        if answers is not None:
            self._asked.append(answers)
        view = memoryview(data)
        end = time.monotonic() + self.deadline
        while view:
            self.socket.settimeout(max(0.001, end - time.monotonic()))
            view = view[self.socket.send(view[: 1 << 20]) :]

    def send_chunk(self, data: bytes) -> None:
        """One chunk of a body with Transfer-Encoding: chunked; an empty one ends it."""
        self.send(b"%x\r\n%b\r\n" % (len(data), data))

    def send_file(self, file: BinaryIO, count: int, at: int = 0) -> None:
        """Send `count` bytes of `file` without copying them; the deadline is for each step."""
        self.socket.settimeout(self.deadline)
        sent = self.socket.sendfile(file, at, count)
        assert sent == count

    def send_until_answered(self, data: bytes | memoryview, step: int = 1 << 16) -> int:
        """Send `data` in steps until a response shows up or the server hangs up.

        Returns how many bytes were sent. The response is still to be read.
        """
        view = memoryview(data)
        sent = 0
        while sent < len(view) and not self.answered():
            try:
                piece = view[sent : sent + step]
                self.send(piece)
            except (BrokenPipeError, ConnectionResetError):
                break
            sent += len(piece)
        return sent

    # --- receiving -------------------------------------------------------------------------------

    def answered(self, within: float = 0.0) -> bool:
        """Whether something to read (or the end of the connection) is there after `within` s."""
        if self._ahead:
            return True
        if isinstance(self.socket, ssl.SSLSocket) and self.socket.pending():
            return True
        return bool(select.select([self.socket], [], [], within)[0])

    def read(self) -> Response:
        """The next final response; interim ones before it are listed in `interim`.

        :raises GoneError: the connection ended first
        """
        interim: list[int] = []
        while True:
            response = self.read_next()
            if response.status >= 200:
                return Response(response.status, response.headers, response.body, tuple(interim))
            interim.append(response.status)

    def read_next(self) -> Response:
        """The next response, interim (1xx) or final.

        :raises GoneError: the connection ended first
        """
        end = time.monotonic() + self.deadline
        if self._parser is None:
            self._parser = _parser_for(self._asked[0] if self._asked else "GET")
            if self._ahead:
                self._parser.receive_data(self._ahead)
                self._ahead = b""
        start: h11.Response | None = None
        body: list[bytes] = []
        while True:
            event = self._event(self._parser, end)
            if isinstance(event, h11.InformationalResponse):
                return Response(event.status_code, _decoded(event.headers))
            if isinstance(event, h11.Response):
                start = event
            elif isinstance(event, h11.Data):
                body.append(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                assert start is not None
                self._ahead = self._parser.trailing_data[0]
                self._parser = None
                if self._asked:
                    self._asked.popleft()
                return Response(start.status_code, _decoded(start.headers), b"".join(body))
            else:
                raise GoneError(f"no response, but {event!r}")

    def _event(self, parser: h11.Connection, end: float) -> object:
        while True:
            try:
                event = parser.next_event()
            except h11.RemoteProtocolError as error:
                if parser.trailing_data[1]:
                    raise GoneError(str(error)) from error
                raise
            if event is not h11.NEED_DATA:
                return event
            parser.receive_data(self._receive(end))

    def _receive(self, end: float) -> bytes:
        self.socket.settimeout(max(0.001, end - time.monotonic()))
        try:
            return self.socket.recv(1 << 16)
        except ConnectionResetError as error:
            raise GoneError("the server reset the connection") from error

    def read_to_end(self) -> bytes:
        """Whatever else comes until the server closes: b"" says it closed and said nothing."""
        end = time.monotonic() + self.deadline
        pieces = [self._ahead]
        while piece := self._receive(end):
            pieces.append(piece)
        return b"".join(pieces)

    def request(
        self, method: str, target: str, headers: Headers = (), body: bytes | None = None
    ) -> Response:
        """A whole exchange. A body adds Content-Length."""
        pairs = list(headers.items() if isinstance(headers, Mapping) else headers)
        if body is not None:
            pairs.append(("Content-Length", str(len(body))))
        self.head(method, target, pairs)
        self.send_until_answered(body or b"")
        return self.read()

    # --- leaving ---------------------------------------------------------------------------------

    def half_close(self) -> None:
        """FIN, but keep reading: "no more bytes from me"."""
        self.socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """FIN and gone. (Linux makes it an RST if something was left unread.)"""
        self.socket.close()

    def reset(self) -> None:
        """RST: whatever the server's process has not read yet is lost to it."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    # --- what the other end has of it (TCP on IPv4 only) -----------------------------------------

    def until_acknowledged(self) -> None:
        """Return once the server's kernel has taken everything that was sent (SIOCOUTQ is 0).

        TCP promises no more to a client: what a reset loses after this, the server lost.
        """
        poll(lambda: self._unacknowledged() == 0, self.deadline, "TCP does not get through")

    def until_read(self) -> None:
        """Return once the server's process has taken everything that was sent from its kernel."""
        poll(lambda: self.unread() == 0, self.deadline, "the server did not read what was sent")

    def unread(self) -> int:
        """Sent bytes that the server's process has not taken from its kernel yet.

        Those not acknowledged, plus the receive queue of the socket at the other end.
        """
        return self._unacknowledged() + _unread(self.peer())

    def _unacknowledged(self) -> int:
        waiting = bytearray(4)
        fcntl.ioctl(self.socket, termios.TIOCOUTQ, waiting)
        return int.from_bytes(waiting, "little")

    def peer(self) -> Peer | None:
        """The server's socket of this connection as its kernel shows it; None if it has none."""
        return _sockets().get(self._addresses)

    def until_dropped(self) -> None:
        """Return once the server's process has closed its end, so has seen this one's end."""

        def dropped() -> bool:
            peer = self.peer()
            return peer is None or not peer.is_open

        poll(dropped, self.deadline, "the server keeps a connection that is gone")


@dataclass(frozen=True, slots=True)
class Peer:
    """A socket as in /proc/net/tcp: its state, and how many bytes its process has not read."""

    state: int
    queue: int

    @property
    def is_open(self) -> bool:
        """ESTABLISHED, or CLOSE_WAIT: the other end has said FIN and this process has not."""
        return self.state in (1, 8)


def _unread(peer: Peer | None) -> int:
    # What is not accepted yet is not to be seen, and nothing of it has been read.
    return 1 if peer is None else peer.queue


def _sockets() -> dict[tuple[str, str], Peer]:
    """Every TCP socket of this machine, by local and remote address in the kernel's spelling."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return {
        (fields[1], fields[2]): Peer(int(fields[3], 16), int(fields[4].partition(":")[2], 16))
        for fields in map(str.split, lines)
    }


def until_all_read(wires: Sequence[Wire]) -> None:
    """As `Wire.until_read` for each of them, without looking for each of them."""

    def read() -> bool:
        sockets = _sockets()
        return all(
            wire._unacknowledged() == 0 and _unread(sockets.get(wire._addresses)) == 0
            for wire in wires
        )

    poll(read, DEADLINE, "the server did not read what was sent")


def poll(done: Callable[[], object], deadline: float, complaint: str) -> None:
    """Ask `done` until it is true; AssertionError(`complaint`) after `deadline` seconds."""
    end = time.monotonic() + deadline
    while not done():
        assert time.monotonic() < end, complaint
        time.sleep(0.002)


def _parser_for(method: str) -> h11.Connection:
    parser = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 18)
    parser.send(h11.Request(method=method, target="/", headers=[("Host", "parser")]))
    parser.send(h11.EndOfMessage())
    return parser


def _decoded(headers: Iterable[tuple[bytes, bytes]]) -> tuple[tuple[str, str], ...]:
    return tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in headers)


def _proc_address(address: tuple[str, int]) -> str:
    host = int.from_bytes(socket.inet_aton(address[0]), "little")
    return f"{host:08X}:{address[1]:04X}"
