"""A report with something of everything, said by a server that would like to take it over."""

from __future__ import annotations

from dataclasses import replace

from conformance.model import (
    Exchange,
    Facts,
    Finding,
    Level,
    Report,
    Result,
    Row,
    Strictness,
)

EVIL = "</pre><script>alert(1)</script>&\"'`|]]>\x1b[2J\x00\x85 <img src=x onerror=alert(2)>"
"""What a hostile server says."""
EVIDENCE = "alert(2)"
"""A part of it that every form must show."""


def exchange(status: int | None, said: str = "") -> Exchange:
    return Exchange(
        request="PATCH /files/a HTTP/1.1\nHost: h\nUpload-Offset: 3\nOrigin: https://app.example",
        method="PATCH",
        target="/files/a",
        sent=["with it 5 bytes: hello", "then FIN"],
        interim=["HTTP/1.1 100 Continue"] if status else [],
        response=f"HTTP/1.1 {status} Reason\nUpload-Offset: 8\nDate: now\nLocation: {said}"
        if status
        else "",
        body=f"9 bytes: {said}" if said else "",
        status=status,
        problem="" if status else "an answer did not come within 10 s",
    )


def _row(row_id: str, level: Level, text: str = "A server does it right.") -> Row:
    return Row(row_id, level, "Requests / PATCH", text)


def _results() -> list[Result]:
    must, should = Level.MUST, Level.SHOULD
    failed = Result(
        _row("PATCH-04", must, "Another offset is refused with 409 & <nothing> is stored."),
        findings=[
            Finding(must, f"answered 204 with {EVIL}", 1),
            Finding(should, "better 409", 2),
            Finding(must, "of no exchange"),
        ],
        exchanges=[exchange(200), exchange(204, EVIL), exchange(400)],
        notes=[f"A note {EVIL}"],
        seconds=1.25,
    )
    silent = Result(
        _row("PATCH-20", must),
        findings=[Finding(should, "late"), Finding(must, "no answer", 0)],
        exchanges=[exchange(None)],
    )
    blocked = Result(
        _row("CREATE-03", must), blocked=f"not created: {EVIL}", exchanges=[exchange(500, EVIL)]
    )
    warned = Result(
        _row("PATCH-05", Level.ROBUST),
        findings=[Finding(Level.ROBUST, "unsafe", 0)],
        exchanges=[exchange(204)],
    )
    client = Result(
        _row("CORS-06", Level.CLIENT),
        findings=[Finding(Level.CLIENT, "breaks a client", 0)],
        exchanges=[exchange(204)],
    )
    noted = Result(_row("CREATE-04", Level.MAY), findings=[Finding(Level.MAY, "it is absolute")])
    passed = Result(
        _row("PATCH-02", must),
        exchanges=[exchange(204)],
        notes=["The bytes were not compared.", "x" * 200],
    )
    skipped = Result(_row("CSUM-01", must), skipped=f"checksum is not advertised {EVIL}")
    return [passed, failed, warned, silent, blocked, noted, skipped, client]


def report(*, strictness: Strictness | None = None, results: list[Result] | None = None) -> Report:
    return Report(
        facts=Facts(
            url="http://127.0.0.1:1080/files/",
            versions=("1.0.0",),
            extensions=("creation", EVIL),
            max_size=5 << 30,
            algorithms=("sha1",),
            server=f"evil/1 {EVIL}",
            downloads=True,
        ),
        strictness=strictness or Strictness(),
        results=_results() if results is None else results,
        started=1_795_379_400.0,
        seconds=75.5,
        left=2,
        only=("PATCH-*",),
        skip=(f"{EVIL}",),
    )


def good() -> Report:
    """One without anything bad."""
    rows = [Result(_row("PATCH-02", Level.MUST)), Result(_row("HEAD-01", Level.SHOULD))]
    return replace(report(results=rows), left=0, only=(), skip=())
