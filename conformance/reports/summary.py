"""What every form of a report says in the same words: verdict, facts, totals, durations.

Nothing here knows a form; what is returned is plain text, still to be escaped.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import conformance
from conformance.model import Exchange, Level, Report, Result, Verdict
from conformance.untested import UNTESTED

TITLE = "tus 1.0 conformance"
TELLING = (Verdict.FAIL, Verdict.BLOCKED, Verdict.WARN, Verdict.INFO)
"""The verdicts that have something to show, worst first."""
LABELS = {
    Verdict.FAIL: "failed",
    Verdict.BLOCKED: "blocked",
    Verdict.WARN: "warned",
    Verdict.INFO: "noted",
    Verdict.PASS: "passed",
    Verdict.SKIP: "skipped",
}
_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


@dataclass(frozen=True, slots=True)
class Total:
    """How the rows of one cell of the table came out. Skipped ones are not counted."""

    verdict: Verdict
    """The worst."""
    passed: int
    count: int

    def __str__(self) -> str:
        return f"{self.passed}/{self.count}"


def headline(report: Report) -> str:
    """One sentence: did it pass, and how many rows came to what."""
    counts = report.counts()
    looked = len(report.results) - counts[Verdict.SKIP]
    rows = "1 row" if looked == 1 else f"{looked} rows"
    if report.exit_code:
        bad = _list(report, Verdict.FAIL, Verdict.BLOCKED)
        rest = _list(report, Verdict.WARN)
        return f"{bad}{f' and {rest}' if rest else ''}, of {rows}."
    if not looked:
        return "No row applies."
    if warned := counts[Verdict.WARN]:
        return f"Nothing required is broken in {rows}; {warned} warned."
    return "The row holds." if looked == 1 else f"All {rows} hold."


def _list(report: Report, *verdicts: Verdict) -> str:
    counts = report.counts()
    return ", ".join(f"{counts[v]} {LABELS[v]}" for v in verdicts if counts[v])


def facts(report: Report) -> Iterator[tuple[str, str]]:
    """What is known of the server and the run, as (what, value)."""
    server = report.facts
    yield "Endpoint", server.url
    yield "Server", server.server or "does not say"
    yield "Versions", ", ".join(server.versions) or "none"
    yield "Extensions", ", ".join(server.extensions) or "none"
    if server.algorithms:
        yield "Checksum algorithms", ", ".join(server.algorithms)
    yield "Largest upload", "no limit told" if server.max_size is None else size(server.max_size)
    yield (
        "Stored bytes",
        "compared, by GET" if server.downloads else "not compared: GET does not return them",
    )
    yield "Date", date(report.started)
    yield "Duration", duration(report.seconds)
    yield "Suite", f"{conformance.__version__}, {strictness(report)}"
    if report.only:
        yield "Only", ", ".join(report.only)
    if report.skip:
        yield "Left out", ", ".join(report.skip)
    if report.left:
        yield "Not removed", f"{report.left} uploads of this run are still there"


def strictness(report: Report) -> str:
    """Which levels made the run fail."""
    levels = [level for level in Level if report.strictness.verdict(level) is Verdict.FAIL]
    return f"fails for {', '.join(level.value for level in levels)}"


def totals(report: Report) -> Iterator[tuple[str, dict[Level, Total], Total]]:
    """Per group: its name, a total per level that it has rows of, and its own total."""
    groups = [*report.groups().items(), ("all", list(report.results))]
    for name, results in groups:
        by_level = {
            level: total
            for level in Level
            if (total := _total(report, [r for r in results if r.row.level is level]))
        }
        yield name, by_level, _total(report, results) or Total(Verdict.SKIP, 0, 0)


def _total(report: Report, results: Sequence[Result]) -> Total | None:
    counts = report.counts(results)
    count = len(results) - counts[Verdict.SKIP]
    if not results:
        return None
    if not count:
        return Total(Verdict.SKIP, 0, 0)
    worst = next((verdict for verdict in TELLING if counts[verdict]), Verdict.PASS)
    return Total(worst, counts[Verdict.PASS] + counts[Verdict.INFO], count)


def untested() -> Iterator[tuple[str, str]]:
    """Rows that no case tests, with the reason."""
    yield from sorted(UNTESTED.items())


def shown_by(result: Result) -> dict[int, list[int]]:
    """Which findings (from 1 on) each exchange shows, by the exchange's index."""
    shown: dict[int, list[int]] = {}
    for number, finding in enumerate(result.findings, 1):
        if finding.exchange is not None and finding.exchange < len(result.exchanges):
            shown.setdefault(finding.exchange, []).append(number)
    return shown


def gist(exchange: Exchange) -> str:
    """One line for an exchange: what was asked, the answer, and the state that it tells."""
    answer = str(exchange.status) if exchange.status is not None else "no answer"
    lines = exchange.response.splitlines()[1:]
    told = [line for line in lines if line.lower().startswith(("upload-offset:", "location:"))]
    return f"{exchange.method} {exchange.target} → {'; '.join([answer, *told])}"


def plain(text: str) -> str:
    """`text` with nothing in it that a terminal, or XML, would not take for a character."""
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


def date(seconds: float) -> str:
    """A time since the epoch, in UTC, to the minute."""
    at = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return f"{at:%Y-%m-%d %H:%M} UTC"


def duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60} s"


def size(count: int) -> str:
    """A number of bytes, exactly, and as it is spoken."""
    value, unit = float(count), 0
    while value >= 1024 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    exact = f"{count:,} bytes"
    return exact if unit == 0 else f"{value:.4g} {_UNITS[unit]} ({exact})"
