"""What is true of every response, whatever it answers (rows CORE-GEN-*).

Each response of each case is looked at here while the cases run; the rows are made of what was
found when they are over. Knows no case and sends nothing. What may come from something before the
tus code (an HTTP parser, a router, a proxy) is not held against the server's tus.
"""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, field

from conformance.model import Exchange, Finding, Level, Result, Row
from conformance.wire import Field, Response, shown

ROWS = (
    Row(
        "CORE-GEN-1",
        Level.MUST,
        "Headers / Tus-Resumable",
        "Every response to a request with Tus-Resumable, errors too, carries Tus-Resumable: 1.0.0.",
    ),
    Row(
        "CORE-GEN-2",
        Level.MUST,
        "Headers / Upload-Offset, Upload-Length",
        "Upload-Offset and Upload-Length in a response are non-negative integers in digits.",
    ),
    Row(
        "CORE-GEN-3",
        Level.MUST,
        "HTTP semantics",
        "A 204 and an answer to HEAD have no body, and a 204 no Content-Length.",
    ),
    Row(
        "CORE-GEN-4",
        Level.ROBUST,
        "HTTP semantics",
        "No request of this suite, however malformed, makes the server answer with a 5xx.",
    ),
    Row(
        "CORE-GEN-5",
        Level.CLIENT,
        "Browsers",
        "An error carries the same CORS fields as a success, or the page cannot read it.",
    ),
)

_BY_TUS = {200, 201, 204, 400, 403, 404, 409, 410, 412, 413, 415, 423, 460, 500}
"""Statuses that the tus layer of a server answers with. Others may come from before it."""
_MEANT = {501, 503, 507}
"""5xx that say something on purpose."""
_NOTICED = 1.0
"""Seconds in which somebody has tried to connect to a server that is gone."""
_SHOWN = 5
"""Findings that are told: one of a kind."""
_NAMED = 8
"""Cases of theirs that are named."""
_DIGITS = re.compile("[0-9]+")
_WITHOUT_BODY = {204, 304}
_ODD_TARGET = re.compile(r"\.\.|//|%|\\|.{1025}")
"""A path that whatever routes requests may refuse, or take for another one (HEAD-09)."""
_CORS_FIELDS = (
    "access-control-allow-origin",
    "access-control-allow-credentials",
    "access-control-expose-headers",
)


@dataclass(frozen=True, slots=True)
class _Readable:
    """What lets a page of `origin` read one response."""

    case: str
    exchange: Exchange
    origin: str
    status: int
    fields: dict[str, str]


@dataclass
class Log:
    """What was found in the responses of all cases. Safe from many threads."""

    _lock: threading.Lock = field(default_factory=threading.Lock)
    _found: dict[str, list[tuple[str, str, Exchange]]] = field(default_factory=dict)
    _looked_at: int = 0
    _cross_origin: list[_Readable] = field(default_factory=list)
    """Responses to requests of pages; preflights, which have fields of their own, are left out."""
    _running: set[str] = field(default_factory=set)
    _ended: dict[str, float] = field(default_factory=dict)
    """When each case ended."""
    _is_away: bool = False
    _absences: list[str] = field(default_factory=list)
    """Which cases ran when the server took no connection."""
    _crowds: list[str] = field(default_factory=list)
    """Those that were repeated alone since."""
    _disturbed: set[str] = field(default_factory=set)
    """All of them, and those that its end may have ended."""
    is_gone: bool = False
    """It took none for so long that nobody has to wait for it any more."""

    def begins(self, case: str) -> None:
        with self._lock:
            self._running.add(case)

    def ends(self, case: str) -> None:
        with self._lock:
            self._running.discard(case)
            self._ended[case] = time.monotonic()

    def is_there(self, taken: bool) -> None:
        """Hear whether the server took a connection."""
        with self._lock:
            if not taken and not self._is_away:
                self._absences.append(", ".join(sorted(self._running)))
                since = time.monotonic() - _NOTICED
                ended = {case for case, at in self._ended.items() if at > since}
                self._disturbed |= self._running | ended
            self._is_away = not taken

    def look_at(
        self, case: str, exchange: Exchange, fields: Sequence[Field], response: Response
    ) -> None:
        """Check one response; `fields` are those of its request."""
        names = {name.lower() for name, _ in fields}
        readable = _readable(case, exchange, fields, response)
        with self._lock:
            self._looked_at += 1
            for row, text in _faults(exchange, names, fields, response):
                self._found.setdefault(row, []).append((case, text, exchange))
            if readable is not None:
                self._cross_origin.append(readable)

    def disturbed(self) -> set[str]:
        """The cases that a server which took no connection may have spoilt."""
        return set(self._disturbed)

    def forget(self, cases: Set[str]) -> None:
        """Forget what was found in these cases: they are run again."""
        self._crowds += self._absences
        self._absences.clear()
        self._disturbed.clear()
        self._cross_origin = [it for it in self._cross_origin if it.case not in cases]
        for row, found in self._found.items():
            self._found[row] = [it for it in found if it[0] not in cases]

    def results(self) -> Iterator[Result]:
        """The rows, each with its first findings and how many there were."""
        looked_at = {row.id: self._looked_at for row in ROWS}
        faults = list(_unreadable(self._cross_origin))
        looked_at["CORE-GEN-5"] = sum(it.status >= 400 for it in self._cross_origin)
        for row in ROWS:
            result = Result(row)
            found = faults if row.id == "CORE-GEN-5" else self._found.get(row.id, [])
            counts = Counter(text for _, text, _ in found)
            for said, count in list(counts.items())[:_SHOWN]:
                case, text, exchange = next(it for it in found if it[1] == said)
                more = f" (and {count - 1} more like it)" if count > 1 else ""
                index = len(result.exchanges)
                result.findings.append(Finding(row.level, f"{case}: {text}{more}", index))
                result.exchanges.append(exchange)
            cases = sorted({case for case, _, _ in found})
            if len(cases) > 1:
                others = ", and others" if len(cases) > _NAMED else ""
                result.notes.append(f"Found in {', '.join(cases[:_NAMED])}{others}.")
            if looked_at[row.id]:
                result.notes.append(f"{looked_at[row.id]} responses were looked at.")
            else:
                result.skipped = "there was no such response among those of the selected rows"
            if row.id == "CORE-GEN-4":
                result.findings += [
                    Finding(row.level, f"it took no connections while {cases} ran: did it crash?")
                    for cases in self._absences
                ]
                if self._crowds and not self._absences:
                    text = f"it took no connections for a while, {len(self._crowds)} times, but not"
                    text += " when the same cases ran one by one: did it crash?"
                    result.findings.append(Finding(row.level, text))
            yield result


def _faults(
    exchange: Exchange, names: set[str], fields: Sequence[Field], response: Response
) -> Iterator[tuple[str, str]]:
    outside = exchange.method in ("OPTIONS", "GET")
    versions = response.all("tus-resumable")
    if (
        not outside
        and "tus-resumable" in names
        and response.status in _BY_TUS
        and versions != ["1.0.0"]
        and not _is_http_error(exchange, fields, response)
    ):
        yield "CORE-GEN-1", f"{response.status} with Tus-Resumable {versions or 'missing'}"
    for name in ("upload-offset", "upload-length"):
        for value in response.all(name):
            if _DIGITS.fullmatch(value) is None:
                yield "CORE-GEN-2", f"{name}: {value!r}"
    if response.status == 204:
        for name in ("content-length", "transfer-encoding"):
            if name in response:
                # RFC 9110 8.6 and RFC 9112 6.1.
                yield "CORE-GEN-3", f"204 with {name}: {response.get(name)}"
    bodiless = exchange.method == "HEAD" or response.status in _WITHOUT_BODY
    if bodiless and response.excess and not response.excess.startswith(b"HTTP/1."):
        # RFC 9112 6.3: such a response ends with its head; the next one would begin in the bytes.
        what = f"{response.status} to {exchange.method}"
        yield "CORE-GEN-3", f"{what} was followed by {shown(response.excess)}"
    if response.status >= 500 and response.status not in _MEANT:
        yield "CORE-GEN-4", f"{exchange.method} was answered {response.status}"


def _is_http_error(exchange: Exchange, fields: Sequence[Field], response: Response) -> bool:
    """Whether something before the tus code may have answered the request."""
    if _ODD_TARGET.search(exchange.target) and response.status >= 400:
        return True
    if response.status != 400:
        return False
    if any("FIN" in it for it in exchange.sent):
        return True  # to an HTTP parser it is a request that breaks off
    named = [name.lower() for name, _ in fields]
    values = [value if isinstance(value, bytes) else value.encode() for _, value in fields]
    odd_bytes = any(
        (byte < 0x20 and byte != 9) or byte >= 0x7F for value in values for byte in value
    )
    framing = [name for name in named if name in ("content-length", "transfer-encoding")]
    return odd_bytes or len(framing) > 1


# --- what a page can read ------------------------------------------------------------------------


def _readable(
    case: str, exchange: Exchange, fields: Sequence[Field], response: Response
) -> _Readable | None:
    """What to remember of a response for a page; None if it is not for one."""
    origins = [value for name, value in fields if name.lower() == "origin"]
    # A browser sends nothing that an HTTP parser refuses.
    if not origins or exchange.method == "OPTIONS" or _is_http_error(exchange, fields, response):
        return None
    cors = {name: value for name in _CORS_FIELDS if (value := response.get(name)) is not None}
    return _Readable(case, exchange, str(origins[0]), response.status, cors)


def _unreadable(seen: Sequence[_Readable]) -> Iterator[tuple[str, str, Exchange]]:
    """The errors that a page cannot read although it can read successes."""
    successes: dict[str, dict[str, str]] = {}
    for it in seen:
        if it.status < 300:
            successes.setdefault(it.origin, {}).update(it.fields)
    for it in seen:
        if it.status < 400:
            continue
        for name, value in successes.get(it.origin, {}).items():
            if name not in it.fields:
                yield it.case, f"{it.status} without {name}, which successes have", it.exchange
            elif it.fields[name] != value and name != "access-control-expose-headers":
                # What is exposed may differ: each response has fields of its own.
                text = f"{it.status} with {name}: {it.fields[name]}, successes have {value}"
                yield it.case, text, it.exchange
