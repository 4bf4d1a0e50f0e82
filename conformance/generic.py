"""What is true of every response, whatever it answers (rows CORE-GEN-*).

Each response of each case is looked at here while the cases run; the rows are made of what was
found when they are over. Knows no case and sends nothing.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from conformance.model import Exchange, Finding, Level, Result, Row
from conformance.wire import Field, Response

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
        "Requests / HEAD",
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
_SHOWN = 5
_VISIBLE = {*range(0x20, 0x7F), 0x09}
"""What a field value may hold without doubt (RFC 9110 5.5)."""
_DIGITS = re.compile(r"[0-9]+", re.ASCII)


@dataclass
class Log:
    """What was found in the responses of all cases. Safe from many threads."""

    _lock: threading.Lock = field(default_factory=threading.Lock)
    _found: dict[str, list[tuple[str, str, Exchange]]] = field(default_factory=dict)
    _looked_at: int = 0

    def look_at(
        self, case: str, exchange: Exchange, fields: Sequence[Field], response: Response
    ) -> None:
        """Check one response; `fields` are those of its request."""
        names = {name.lower() for name, _ in fields}
        with self._lock:
            self._looked_at += 1
            for row, text in _faults(exchange, names, fields, response):
                self._found.setdefault(row, []).append((case, text, exchange))

    def results(self) -> Iterator[Result]:
        """The rows, each with its first findings and how many there were."""
        for row in ROWS:
            result = Result(row)
            found = self._found.get(row.id, [])
            for case, text, exchange in found[:_SHOWN]:
                result.findings.append(Finding(row.level, f"{case}: {text}", len(result.exchanges)))
                result.exchanges.append(exchange)
            if len(found) > _SHOWN:
                cases = sorted({case for case, _, _ in found})
                result.notes.append(f"{len(found)} responses in all, of {', '.join(cases)}.")
            result.notes.append(f"{self._looked_at} responses were looked at.")
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
        and not _is_http_error(fields, response)
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
    if response.status >= 500 and response.status not in _MEANT:
        yield "CORE-GEN-4", f"{exchange.method} was answered {response.status}"
    if (
        "origin" in names
        and response.status >= 400
        and "access-control-allow-origin" not in response
    ):
        yield "CORE-GEN-5", f"{response.status} without Access-Control-Allow-Origin"


def _is_http_error(fields: Sequence[Field], response: Response) -> bool:
    """Whether the HTTP server may have refused the request before any tus code saw it."""
    if response.status != 400:
        return False
    named = [name.lower() for name, _ in fields]
    values = [value if isinstance(value, bytes) else value.encode() for _, value in fields]
    odd_bytes = any(
        (byte < 0x20 and byte != 9) or byte >= 0x7F for value in values for byte in value
    )
    framing = [name for name in named if name in ("content-length", "transfer-encoding")]
    return odd_bytes or len(framing) > 1
