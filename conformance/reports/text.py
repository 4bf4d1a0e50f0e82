"""Text for a terminal: totals, then what did not pass, with the shortest readable exchange.

Of an exchange, only fields that tus or the row speaks of are shown, and only the exchanges that a
finding points to: the whole of it is in the other forms. A line starts with `>` if the suite said
it and with `<` if the server did. The lines of `details` are in JUnit and Markdown reports too.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from conformance.model import Exchange, Level, Report, Result, Verdict
from conformance.reports import summary
from conformance.reports.summary import LABELS, plain, shown_by

_WIDTH = 100
_LONG = 160
"""Characters of a field, or of the beginning of a body, that are shown."""
_EXCHANGES = 3
"""Of one row that are shown."""
_KNOWN = (
    *("tus-", "upload-", "access-control-", "x-http-method-override", "trailer", "expect", "allow"),
    *("content-length", "content-type", "transfer-encoding", "connection", "location"),
    *("cache-control", "origin", "vary"),
)
_NOISE = ("access-control-", "origin", "vary")
"""Of known ones: only for rows of browsers."""
_BROWSERS = ("CORS-", "CORE-GEN-5", "OVR-07")
"""Rows that are about those."""
_COLOURS = {
    Verdict.FAIL: "1;31",
    Verdict.BLOCKED: "1;35",
    Verdict.WARN: "33",
    Verdict.INFO: "36",
    Verdict.PASS: "32",
    Verdict.SKIP: "2",
}


def render(report: Report, *, colour: bool = False) -> str:
    """The whole summary. `colour`: with the escape sequences of terminals."""
    lines = [plain(f"{report.facts.url}  {report.facts.server}".rstrip()), *_totals(report, colour)]
    for verdict in (Verdict.FAIL, Verdict.BLOCKED, Verdict.WARN):
        for result in report.having(verdict):
            lines += ["", f"{word(verdict, colour)} {_heading(result)}"]
            lines += [f"     {line}" for line in details(result)]
    lines += ["", f"{_paint(summary.headline(report), _overall(report), colour)}"]
    if report.left:
        lines.append(f"{report.left} uploads of this run could not be removed from the server.")
    return "\n".join(lines) + "\n"


def line(result: Result, verdict: Verdict, *, colour: bool = False) -> str:
    """One row in one line, as it is told when its case is over."""
    why = result.skipped or result.blocked or "; ".join(f.text for f in result.findings)
    sentence = why if verdict is not Verdict.PASS and why else result.row.text
    return f"{word(verdict, colour)} {result.row.id:11}{result.seconds:5.1f} s  {plain(sentence)}"


def word(verdict: Verdict, colour: bool = False) -> str:
    """The verdict, seven characters wide."""
    return _paint(f"{verdict.name:7}", verdict, colour)


def details(result: Result) -> Iterator[str]:
    """What did not pass in a row: findings, what it was blocked by, and the exchanges."""
    for finding in result.findings:
        mark = "" if finding.level is result.row.level else f"{finding.level.value}: "
        yield from _wrapped(f"- {mark}{finding.text}")
    if result.blocked:
        yield from _wrapped(f"- not reached: {result.blocked}")
    for note in result.notes:
        yield from _wrapped(f"  ({note})")
    shown = sorted(shown_by(result))
    if not shown and result.blocked and result.exchanges:
        shown = [len(result.exchanges) - 1]
    for index in shown[:_EXCHANGES]:
        yield ""
        yield from exchange(result.exchanges[index], browsers=result.row.id.startswith(_BROWSERS))
    if len(shown) > _EXCHANGES:
        yield f"({len(shown) - _EXCHANGES} more like these)"


def exchange(of: Exchange, *, browsers: bool) -> Iterator[str]:
    """The exchange in a few lines; fields that only browsers read if `browsers`."""
    yield from _head("> ", of.request, browsers)
    for sent in of.sent:
        yield f"> ({_short(sent)})"
    for interim in of.interim:
        yield from _head("< ", interim, browsers)
    if of.response:
        yield from _head("< ", of.response, browsers)
        if of.body:
            yield f"< ({_short(of.body)})"
    elif of.body:
        yield f"< {_short(of.body)}"
    if of.problem:
        yield f"  {_short(of.problem)}"


def _head(mark: str, head: str, browsers: bool) -> Iterator[str]:
    first, *fields = plain(head).split("\n")
    yield mark + _short(first)
    for each in fields:
        name = each.lower()
        if name.startswith(_KNOWN) and (browsers or not name.startswith(_NOISE)):
            yield mark + _short(each)


def _short(data: str) -> str:
    one_line = plain(data).replace("\n", " ")  # other white space may be the point
    return one_line if len(one_line) <= _LONG else one_line[: _LONG - 2] + " …"


def _wrapped(data: str) -> list[str]:
    return textwrap.wrap(
        plain(data), _WIDTH, subsequent_indent="  ", break_on_hyphens=False, break_long_words=False
    )


def _heading(result: Result) -> str:
    row = result.row
    return f"{row.id} ({row.level.value}, {row.section}): {row.text}"


def _totals(report: Report, colour: bool) -> Iterator[str]:
    for name, by_level, total in summary.totals(report):
        if name == "all":
            continue
        counts = report.counts(report.groups()[name])
        said = [
            _paint(f"{counts[verdict]} {label}", verdict, colour)
            for verdict, label in LABELS.items()
            if counts[verdict]
        ]
        must = by_level.get(Level.MUST)
        share = f"MUST {must}" if must and must.count else ""
        yield f"  {name:26}{total!s:>8}  {share:12} {', '.join(said)}"


def _overall(report: Report) -> Verdict:
    counts = report.counts()
    order = (Verdict.FAIL, Verdict.BLOCKED, Verdict.WARN)
    return next((verdict for verdict in order if counts[verdict]), Verdict.PASS)


def _paint(data: str, verdict: Verdict, colour: bool) -> str:
    return f"\x1b[{_COLOURS[verdict]}m{data}\x1b[0m" if colour else data
