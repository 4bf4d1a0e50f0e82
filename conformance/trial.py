"""What a case works with: requests, uploads, and ways to say what should have been true.

A `Trial` is one run of one case. It writes down every exchange, removes every upload that the case
made, and collects findings: `check` notes one and goes on, `require` notes one and ends the case.
Something that the case merely builds on, and that another row is about, is `assume`d: without it
the case is blocked, not failed.

Requests carry `Tus-Resumable: 1.0.0` unless a case says `tus=None` or another value, and whatever
headers the user asked for.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import NoReturn

from conformance import generic
from conformance.model import Exchange, Facts, Finding, Level, Result, Row, State
from conformance.options import Options
from conformance.wire import (
    Address,
    Connection,
    Field,
    NoResponse,
    Refused,
    Response,
    chunk,
    last_chunk,
)
from conformance.wire import resolve as _resolve

VERSION = "1.0.0"
_PATIENCE = 10.0
BYTES: Field = ("Content-Type", "application/offset+octet-stream")
"""The type of a body that is part of an upload."""


class Stop(Exception):
    """The case is over; why is among its findings."""


class Blocked(Exception):
    """What the case builds on is not there."""


class Skip(Exception):
    """The row does not apply to this server."""


@dataclass
class Trial:
    row: Row
    facts: Facts
    options: Options
    result: Result
    general: generic.Log
    created: list[str] = field(default_factory=list)
    """URLs of uploads that are to be removed."""

    @property
    def endpoint(self) -> str:
        """E: the URL of the creation endpoint."""
        return self.facts.url

    @property
    def exchanges(self) -> list[Exchange]:
        return self.result.exchanges

    # --- saying what should have been true -------------------------------------------------------

    def check(
        self, ok: bool, text: str, *, level: Level | None = None, at: Response | None = None
    ) -> bool:
        """Record a finding unless `ok`; `text` says what is wrong, as a sentence.

        The finding has the row's level unless `level` says another, and points to the exchange
        of `at`, or to the last one.
        """
        if not ok:
            shown_by = at.index if at is not None else len(self.exchanges) - 1
            self.result.findings.append(
                Finding(level or self.row.level, text, shown_by if shown_by >= 0 else None)
            )
        return ok

    def require(
        self, ok: bool, text: str, *, level: Level | None = None, at: Response | None = None
    ) -> None:
        """Likewise, and end the case: what follows would make no sense."""
        if not self.check(ok, text, level=level, at=at):
            raise Stop

    def expect(
        self,
        response: Response,
        *statuses: int,
        where: str = "",
        level: Level | None = None,
    ) -> bool:
        """Check that the response has one of these statuses. `where` says what was asked."""
        wanted = " or ".join(map(str, statuses))
        text = f"{where + ': ' if where else ''}answered {response.status}, expected {wanted}"
        return self.check(response.status in statuses, text, level=level, at=response)

    def expect_refusal(
        self, response: Response, *best: int, where: str = "", level: Level | None = None
    ) -> bool:
        """Check for one of the statuses `best`; any other 4xx is only half wrong (a SHOULD)."""
        prefix = f"{where}: " if where else ""
        wanted = " or ".join(map(str, best))
        refused = self.check(
            400 <= response.status < 500,
            f"{prefix}answered {response.status}, expected {wanted}",
            level=level,
            at=response,
        )
        if refused and response.status not in best:
            self.check(
                False,
                f"{prefix}refused with {response.status}, better {wanted}",
                level=Level.SHOULD,
                at=response,
            )
        return refused

    def note(self, text: str) -> None:
        """Tell the reader something that is neither good nor bad, once."""
        if text not in self.result.notes:
            self.result.notes.append(text)

    def assume(self, ok: bool, text: str) -> None:
        """Go on only if `ok`. For what another row is about."""
        if not ok:
            raise Blocked(text)

    def skip(self, reason: str) -> NoReturn:
        """End the case: it does not apply."""
        raise Skip(reason)

    # --- requests --------------------------------------------------------------------------------

    def connect(self, url: str | None = None, *, timeout: float | None = None) -> Connection:
        """A connection of its own, to the host of `url` (or of the endpoint)."""
        address = Address.of(url or self.endpoint)
        end = time.monotonic() + self.options.restart
        while True:
            try:
                connection = Connection(
                    address,
                    self.exchanges,
                    timeout or self.options.timeout,
                    self.options.tls(address),
                    self._heard,
                )
            except Refused as error:
                if address.authority != Address.of(self.endpoint).authority:
                    raise
                self.general.is_there(False)
                self.general.is_gone |= time.monotonic() >= end
                if self.general.is_gone:
                    raise Blocked(f"the server is not there: {error}") from error
                time.sleep(0.1)
            else:
                self.general.is_there(True)
                return connection

    def fields(self, headers: Iterable[Field] = (), *, tus: str | None = VERSION) -> list[Field]:
        """Request fields: Tus-Resumable (unless `tus` is None), the user's, and `headers`."""
        version: list[Field] = [] if tus is None else [("Tus-Resumable", tus)]
        return [*version, *self.options.headers, *headers]

    def request(
        self,
        method: str,
        url: str | None = None,
        headers: Iterable[Field] = (),
        body: bytes | None = None,
        *,
        chunked: bool = False,
        trailers: Sequence[Field] = (),
        tus: str | None = VERSION,
        on: Connection | None = None,
    ) -> Response:
        """One exchange, on a connection of its own or on `on`. `url` is the endpoint if not given.

        A body is sent with Content-Length, or in one chunk. `None` is no body and no framing;
        `b""` is `Content-Length: 0`. Large bodies are sent until the server answers.

        :raises NoResponse: which ends the case with a finding of its level
        """
        url = url or self.endpoint
        target = Address.of(url).target
        framing: list[Field] = []
        if chunked:
            framing = [("Transfer-Encoding", "chunked")]
        elif body is not None:
            framing = [("Content-Length", str(len(body)))]
        pairs = [*self.fields(headers, tus=tus), *framing]
        connection = on or self.connect(url)
        try:
            data = body or b""
            if chunked:
                data = (chunk(data) if data else b"") + last_chunk(trailers)
            small = len(data) <= 65536
            connection.request(method, target, pairs, first=data if small else b"")
            if not small:
                connection.send_until_answered(data)
            return connection.read()
        finally:
            if on is None:
                connection.socket.close()

    def _heard(self, exchange: Exchange, fields: Sequence[Field], response: Response) -> None:
        self.general.look_at(self.row.id, exchange, fields, response)
        location = response.get("location")
        # A redirect names what is not ours to remove.
        if exchange.method == "POST" and location and not 300 <= response.status < 400:
            with suppress(ValueError):  # a URL that is none; `made` tells
                url = self.resolve(location)
                if url not in self.created:
                    self.created.append(url)

    def resolve(self, location: str) -> str:
        """The URL of an upload from its Location (RFC 9110 10.2.2: relative to the request)."""
        return _resolve(self.endpoint, location)

    # --- uploads ---------------------------------------------------------------------------------

    def post(
        self, headers: Iterable[Field], body: bytes | None = None, *, chunked: bool = False
    ) -> Response:
        """POST to the endpoint."""
        return self.request("POST", self.endpoint, headers, body, chunked=chunked)

    def create(
        self, length: int | None = 10, headers: Iterable[Field] = (), body: bytes | None = None
    ) -> Upload:
        """A new upload of `length` bytes (None: deferred), that the case assumes to be made."""
        size: Field = ("Upload-Defer-Length", "1")
        if length is not None:
            size = ("Upload-Length", str(length))
        response = self.post([size, *headers], body)
        return self.made(response)

    def made(self, response: Response) -> Upload:
        """The upload that a creation has made; the case is blocked if it made none."""
        location = response.get("location")
        self.assume(
            200 <= response.status < 300 and bool(location),
            f"the upload was not created: {response.status}, Location {location!r}",
        )
        try:
            url = self.resolve(location or "")
            Address.of(url)
        except ValueError as error:
            raise Blocked(f"Location {location!r} is no URL: {error}") from error
        return Upload(self, url)

    def finished(self, data: bytes, headers: Iterable[Field] = ()) -> Upload:
        """A new upload that has all its bytes."""
        upload = self.create(len(data), headers)
        if data:
            response = upload.patch(0, data)
            self.assume(
                200 <= response.status < 300, f"the upload was not finished: {response.status}"
            )
        return upload

    def partial(self, data: bytes) -> Upload:
        """A finished partial upload (concatenation)."""
        return self.finished(data, [("Upload-Concat", "partial")])

    def join(self, *parts: Upload | str, headers: Iterable[Field] = ()) -> Response:
        """POST a final upload of these parts, by their absolute URLs, or as they are given."""
        urls = " ".join(part if isinstance(part, str) else part.url for part in parts)
        return self.post([("Upload-Concat", f"final;{urls}"), *headers])

    def unknown(self) -> Upload:
        """An upload that does not exist, at a URL such as this server gives to its uploads."""
        url = self.create().url
        head, sep, last = url.rstrip("/").rpartition("/")
        if last.isdecimal():
            return Upload(self, f"{head}{sep}{last}000000")  # counted: others are somebody's
        # The kind of character stays, so that only looking the id up tells.
        other = re.sub(r"[A-Za-z0-9]", lambda it: "1" if it[0] == "0" else "0", last[-8:])
        return Upload(self, f"{head}{sep}{last[:-8]}{other}{url[len(url.rstrip('/')) :]}")

    @property
    def patience(self) -> float:
        """Seconds to wait for what a server does by itself."""
        return min(_PATIENCE, self.options.timeout)

    def poll(self, true: Callable[[], bool], seconds: float | None = None) -> bool:
        """Wait until something is true; whether it became so in time."""
        end = time.monotonic() + (self.patience if seconds is None else seconds)
        while not true():
            if time.monotonic() > end:
                return False
            time.sleep(0.1)
        return True

    def wait(self, seconds: float) -> None:
        """Let time pass. For what the server does at a certain time."""
        time.sleep(seconds)
        self.note(f"Waited for {seconds:g} s.")

    def remove_created(self) -> int:
        """Remove what the case has made; how many uploads are left."""
        # The last first: a part may be held by the final upload that came after it.
        return sum(not self._remove(url) for url in reversed(self.created))

    def _remove(self, url: str) -> bool:
        try:
            address = Address.of(url)
            options = self.options
            with Connection(address, [], options.timeout, options.tls(address), _ignore) as wire:
                wire.request("DELETE", address.target, self.fields([("Content-Length", "0")]))
                return wire.read().status in (200, 204, 404, 410)
        except (NoResponse, ValueError):
            return False


def _ignore(exchange: Exchange, fields: Sequence[Field], response: Response) -> None:
    """Nobody looks at the tidying up."""


def _state(head: Response) -> State:
    fields = ("upload-offset", "upload-length", "upload-defer-length")
    return State(head.status, *map(head.get, fields))


@dataclass(frozen=True)
class Upload:
    """One upload of a case, by its URL."""

    trial: Trial
    url: str

    def request(
        self,
        method: str,
        headers: Iterable[Field] = (),
        body: bytes | None = None,
        *,
        chunked: bool = False,
        tus: str | None = VERSION,
        on: Connection | None = None,
    ) -> Response:
        return self.trial.request(method, self.url, headers, body, chunked=chunked, tus=tus, on=on)

    def head(self, headers: Iterable[Field] = ()) -> Response:
        return self.request("HEAD", headers)

    def look(self) -> Response:
        """HEAD; the case is blocked if it is refused, unless because there is no such upload."""
        answer = self.head()
        state = _state(answer)
        self.trial.assume(not state.is_refused, f"the upload cannot be looked at: {state}")
        return answer

    def delete(self, headers: Iterable[Field] = ()) -> Response:
        return self.request("DELETE", [*headers, ("Content-Length", "0")])

    def patch(
        self,
        offset: int | str,
        body: bytes,
        headers: Iterable[Field] = (),
        *,
        chunked: bool = False,
        on: Connection | None = None,
    ) -> Response:
        """PATCH `body` at `offset`, as part of an upload."""
        fields = [BYTES, ("Upload-Offset", str(offset)), *headers]
        return self.request("PATCH", fields, body, chunked=chunked, on=on)

    def state(self) -> State:
        """What HEAD says."""
        return _state(self.head())

    def offset(self) -> int:
        """The offset that HEAD says; the case is blocked if it says none."""
        state = self.state()
        text = state.offset or ""
        known = state.status < 300 and text.isascii() and text.isdigit()
        self.trial.assume(known, f"the offset is not known: {state}")
        return int(text)

    @contextmanager
    def unchanged(self, what: str = "the request", *, level: Level | None = None) -> Iterator[None]:
        """Check that HEAD says the same after the block as before it."""
        before = self.state()
        yield
        after = self.state()
        self.trial.check(
            before == after,
            f"{what} changed the upload: before {before}; after {after}",
            level=level,
        )

    def content(self) -> bytes | None:
        """The bytes of a finished upload; None if this server does not give them out."""
        if not self.trial.facts.downloads:
            return None
        response = self.request("GET")
        return response.body if response.status == 200 else None

    def holds(self, expected: bytes, *, level: Level | None = None) -> None:
        """Check that the upload is finished and has these bytes, as far as that can be seen."""
        state = self.state()
        size = str(len(expected))
        gone = self.trial.options.finished_gone and state.status in (404, 410)
        # That HEAD finds finished uploads is for HEAD-02.
        self.trial.assume(gone or state.status < 300, f"the finished upload is not found: {state}")
        self.trial.check(
            gone or (state.offset == size and state.length in (size, None)),
            f"expected a finished upload of {size} bytes, found {state}",
            level=level,
        )
        if not self.trial.facts.downloads:
            self.trial.note("The bytes were not compared: GET does not return them.")
            return
        content = self.content()
        self.trial.check(
            content == expected,
            "the stored bytes are not the ones that were sent"
            if content is not None
            else "the finished upload cannot be downloaded",
            level=level,
        )
