"""The suite's own HTTP/1.1 client: says exactly the bytes it is told to, and hears everything.

Requests are written by hand, in as many pieces as a case wants, and may be wrong on purpose.
Responses are parsed by h11, strictly, each interim one seen: an HTTP library would hide 1xx
responses, repair framing, retry, and refuse to send what a case is about. One `Connection` is one
socket; everything that goes over it is written down as `Exchange`s for the report.

Nothing waits longer than `timeout` seconds; a response that does not come is a `NoResponse`.
"""

from __future__ import annotations

import select
import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from urllib.parse import urljoin, urlsplit

import h11

from conformance.model import Exchange

Field = tuple[str, str | bytes]
"""A header field to send. Text goes out as UTF-8."""

_PIECE = 1 << 18
_SHOWN = 400
"""Bytes of a body that a report shows."""
_SHOWN_HEX = 24
_READABLE = {*range(0x20, 0x7F), *b"\r\n\t"}


class NoResponse(Exception):
    """The response did not come, or was none."""


class Refused(NoResponse):
    """Nobody takes the connection."""


class _Closed(NoResponse):
    """The server has closed its side, in order."""


@dataclass(frozen=True, slots=True)
class Address:
    """A URL, taken apart as far as a client needs it."""

    scheme: str
    host: str
    port: int
    target: str
    """Path and query, as they go into the request line."""

    @classmethod
    def of(cls, url: str) -> Address:
        """:raises ValueError: it is no http or https URL"""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is not an http:// or https:// URL")
        port = parts.port or (443 if parts.scheme == "https" else 80)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return cls(parts.scheme, parts.hostname, port, target)

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = {"http": 80, "https": 443}[self.scheme]
        return host if self.port == usual else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Response:
    """One final response, and the interim ones before it."""

    status: int
    fields: tuple[tuple[str, str], ...]
    """In the order of the wire, names in lower case, values as latin-1 text."""
    body: bytes
    interim: tuple[int, ...]
    """The statuses of the 1xx responses that came first."""
    index: int
    """Of its exchange in the case's list."""
    excess: bytes = b""
    """What came right behind it although nothing else was asked."""

    def get(self, name: str) -> str | None:
        """The field's value, lines joined by a comma; None if it is not there."""
        values = self.all(name)
        return ", ".join(values) if values else None

    def all(self, name: str) -> list[str]:
        """The values of all lines of that name."""
        return [value for key, value in self.fields if key == name.lower()]

    def __contains__(self, name: str) -> bool:
        return bool(self.all(name))

    def members(self, name: str) -> list[str]:
        """The members of a list field, without white space around them; empty ones too."""
        value = self.get(name)
        return [] if value is None else [member.strip(" \t") for member in value.split(",")]


class Connection:
    def __init__(
        self,
        address: Address,
        exchanges: list[Exchange],
        timeout: float,
        tls: ssl.SSLContext | None,
        heard: Callable[[Exchange, Sequence[Field], Response], None],
    ) -> None:
        """Connect. What is said is added to `exchanges`, and `heard` is told each response.

        :raises Refused: nobody listens there
        :raises NoResponse: somebody does, but not in TLS as it should be
        """
        self._address = address
        self._exchanges = exchanges
        self._timeout = timeout
        self._heard = heard
        self._parser: h11.Connection | None = None
        self._ahead = b""
        """Received, and not yet given to a parser."""
        self._ended: NoResponse | None = None
        """Why nothing more can be received."""
        self._interim: list[int] = []
        self._started: object | None = None
        self._asked: list[tuple[Exchange, Sequence[Field]]] = []
        """Requests whose responses have not been read."""
        self._heard_raw = b""
        """The beginning of what the parser was given."""
        try:
            self.socket = socket.create_connection((address.host, address.port), timeout)
        except OSError as error:
            raise Refused(f"cannot connect to {address.authority}: {error}") from error
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:
            plain = self.socket
            try:
                self.socket = tls.wrap_socket(plain, server_hostname=address.host)
            except OSError as error:
                plain.close()
                raise NoResponse(f"no TLS with {address.authority}: {error}") from error

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.socket.close()

    # --- sending ---------------------------------------------------------------------------------

    def request(
        self,
        method: str,
        target: str,
        fields: Iterable[Field] = (),
        *,
        first: bytes = b"",
        host: bool = True,
    ) -> None:
        """Send a request head and, in the same write, `first` bytes of what follows it."""
        lines = [("Host", self._address.authority)] if host else []
        pairs: list[Field] = [*lines, *fields]
        head = b"%b %b HTTP/1.1\r\n" % (method.encode(), target.encode())
        for name, value in pairs:
            text = value if isinstance(value, bytes) else value.encode()
            head += b"%b: %b\r\n" % (name.encode(), text)
        exchange = Exchange(head.decode("latin-1").replace("\r\n", "\n").rstrip(), method, target)
        self._exchanges.append(exchange)
        self._asked.append((exchange, pairs))
        if first:
            exchange.sent.append(f"with it {shown(first)}")
        self._write(head + b"\r\n" + first)

    def send(self, data: bytes) -> bool:
        """Send more of the body, as it is; whether the server still took it.

        A server that has answered may have stopped reading: that is no failure of the case.
        """
        self._note(f"then {shown(data)}")
        return self._write(data)

    def send_chunk(self, data: bytes) -> None:
        """Send one chunk of a chunked body."""
        self.send(chunk(data))

    def end_chunks(self, trailers: Iterable[Field] = ()) -> None:
        """Send the last chunk and the trailers."""
        self.send(last_chunk(trailers))

    def send_until_answered(self, data: bytes, step: int = 65536) -> int:
        """Send `data` step by step until the server answers or hangs up; how much was sent."""
        sent = 0
        while sent < len(data) and not self.answered():
            self.socket.settimeout(self._timeout)
            try:
                self.socket.sendall(data[sent : sent + step])
            except OSError:
                break
            sent += len(data[sent : sent + step])
        self._note(f"then {sent} of {len(data)} bytes, until the server answered or hung up")
        return sent

    def pause(self, seconds: float) -> None:
        """Let the server digest what it has."""
        self._note(f"then nothing for {seconds:g} s")
        time.sleep(seconds)

    def _write(self, data: bytes) -> bool:
        self.socket.settimeout(self._timeout)
        try:
            self.socket.sendall(data)
        except OSError as error:
            self._note(f"(the server stopped reading: {error})")
            return False
        return True

    def _note(self, text: str) -> None:
        if self._exchanges and self._asked:
            self._asked[-1][0].sent.append(text)

    # --- receiving -------------------------------------------------------------------------------

    def answered(self, within: float = 0.0) -> bool:
        """Whether something to read, or the end of the connection, is there after `within` s."""
        known = bool(self._ahead) or self._started is not None
        return known or self._receive(time.monotonic() + within)

    def _receive(self, end: float) -> bool:
        """Receive what is there, or wait for it until `end`; whether something (or the end) came.

        A TLS socket can be readable without having anything for us: only receiving tells.
        """
        while self._ended is None:
            try:
                self.socket.settimeout(0)
                piece = self.socket.recv(_PIECE)
            except (BlockingIOError, ssl.SSLWantReadError):
                wait = max(end - time.monotonic(), 0)
                if not select.select([self.socket], [], [], wait)[0] or not wait:
                    return False
            except OSError as error:
                self._ended = NoResponse(f"the connection broke: {error}")
            else:
                if piece:
                    self._ahead += piece
                    return True
                self._ended = _Closed("the server closed the connection without an answer")
        return True

    def interim(self, within: float) -> int | None:
        """The status of the next interim response, if one comes within that time.

        None if none came, or a final response came instead; `read` returns that one.
        """
        if self._started is None:
            event = self._next(self._parse(), time.monotonic() + within)
            if isinstance(event, h11.InformationalResponse):
                self._asked[0][0].interim.append(_head_text(event))
                self._interim.append(event.status_code)
                return int(event.status_code)
            self._started = event
        return None

    def read(self, timeout: float | None = None) -> Response:
        """The response to the oldest request that has none yet.

        :raises NoResponse: it did not come in time, or is not HTTP
        """
        exchange, fields = self._asked[0]
        try:
            response = self._read(exchange, self._timeout if timeout is None else timeout)
        except NoResponse as error:
            exchange.problem = str(error)
            self._asked.pop(0)
            raise
        self._asked.pop(0)
        self._heard(exchange, fields, response)
        return response

    def _read(self, exchange: Exchange, timeout: float) -> Response:
        parser = self._parse()
        end = time.monotonic() + timeout
        start: h11.Response | None = None
        body = bytearray()
        event = self._started or self._next(parser, end)
        self._started = None
        while not isinstance(event, h11.EndOfMessage):
            if isinstance(event, h11.InformationalResponse):
                exchange.interim.append(_head_text(event))
                self._interim.append(event.status_code)
            elif isinstance(event, h11.Response):
                start = event
                exchange.status = start.status_code
                exchange.response = _head_text(start)
            elif isinstance(event, h11.Data):
                if len(body) < _SHOWN:
                    exchange.body = shown(body + event.data)
                body += event.data
            elif event is None:
                begun = "a whole response" if start else "an answer"
                raise NoResponse(f"{begun} did not come within {timeout:g} s")
            else:
                raise NoResponse("the server closed the connection without an answer")
            event = self._next(parser, end)
        self._ahead = parser.trailing_data[0]
        self._parser = None
        if start is None:
            raise NoResponse("the server sent no final response")
        fields = tuple((k.decode("latin-1"), v.decode("latin-1")) for k, v in start.headers)
        index = next(i for i, other in enumerate(self._exchanges) if other is exchange)
        excess = b"" if len(self._asked) > 1 else self._ahead
        return Response(start.status_code, fields, bytes(body), tuple(self._interim), index, excess)

    def _parse(self) -> h11.Connection:
        if self._parser is None:
            # h11 parses a response only for a request that it knows to have been sent.
            parser = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
            method = self._asked[0][0].method
            # What is wrong with our request is none of its business.
            known = method if method.isalpha() and method != "CONNECT" else "POST"
            parser.send(h11.Request(method=known, target="/", headers=[("Host", "h")]))
            parser.send(h11.EndOfMessage())
            self._heard_raw = b""
            if self._ahead:
                self._give(parser)
            self._parser = parser
            self._interim = []
            self._started = None
        return self._parser

    def _next(self, parser: h11.Connection, end: float) -> object | None:
        """The next event; None when time is up."""
        while True:
            try:
                event = parser.next_event()
            except h11.RemoteProtocolError as error:
                exchange = self._asked[0][0]
                rest, is_closed = parser.trailing_data
                if is_closed:
                    how = "in mid-response" if rest or exchange.response else "without an answer"
                    raise NoResponse(f"the server closed the connection {how}") from error
                exchange.body = exchange.body or shown(self._heard_raw)
                raise NoResponse(f"the response is not HTTP/1.1: {error}") from error
            if event is not h11.NEED_DATA:
                return event
            if not self._receive(end):
                return None
            if not self._ahead and self._ended is not None and not isinstance(self._ended, _Closed):
                raise self._ended
            self._give(parser)

    def _give(self, parser: h11.Connection) -> None:
        """Give the parser what was received; nothing is the end of the connection."""
        self._heard_raw = (self._heard_raw + self._ahead)[:_SHOWN]
        parser.receive_data(self._ahead)
        self._ahead = b""

    def rest(self, within: float) -> bytes | None:
        """What else comes until the server closes; None if it is still open after `within` s."""
        end = time.monotonic() + within
        while self._ended is None:
            if not self._receive(end):
                return None
        rest, self._ahead = self._ahead, b""
        return rest

    # --- leaving ---------------------------------------------------------------------------------

    def half_close(self) -> None:
        """FIN, but keep reading."""
        self._note("then FIN (still reading)")
        self.socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """FIN and gone."""
        self._note("then FIN")
        self._leave()

    def reset(self) -> None:
        """RST."""
        self._note("then RST")
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._leave()

    def _leave(self) -> None:
        for exchange, _ in self._asked:
            exchange.problem = "(the answer was not waited for)"
        self._asked.clear()
        self.socket.close()


def chunk(data: bytes) -> bytes:
    """`data` as one chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def last_chunk(trailers: Iterable[Field] = ()) -> bytes:
    """The end of a chunked body, with trailers."""
    lines = b""
    for name, value in trailers:
        text = value if isinstance(value, bytes) else value.encode()
        lines += b"%b: %b\r\n" % (name.encode(), text)
    return b"0\r\n" + lines + b"\r\n"


def shown(data: bytes | bytearray) -> str:
    """Bytes for a reader: how many, and the beginning."""
    beginning = data[:_SHOWN]
    if sum(byte in _READABLE for byte in beginning) * 4 < len(beginning) * 3:
        more = " …" if len(data) > _SHOWN_HEX else ""
        return f"{len(data)} bytes: {data[:_SHOWN_HEX].hex(' ')}{more}"
    text = beginning.decode("latin-1").replace("\r\n", "\n")
    printable = "".join(c if c.isprintable() or c in "\n\t" else "." for c in text)
    more = " …" if len(data) > _SHOWN else ""
    return f"{len(data)} bytes: {printable}{more}"


def resolve(base: str, reference: str) -> str:
    """The URL that a reference in a response means (RFC 3986 5)."""
    return urljoin(base, reference)


def _head_text(event: h11.Response | h11.InformationalResponse) -> str:
    reason = event.reason.decode("latin-1")
    lines = [f"HTTP/{event.http_version.decode()} {event.status_code} {reason}".rstrip()]
    lines += [f"{n.decode('latin-1')}: {v.decode('latin-1')}" for n, v in event.headers.raw_items()]
    return "\n".join(lines)
