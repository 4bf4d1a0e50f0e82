"""Markdown as GitHub shows it: for an issue, a release page, or the summary of a CI job.

Fences are longer than any run of backticks within, and everything outside of them is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from conformance.model import Level, Report, Result, Verdict
from conformance.reports import summary, text
from conformance.reports.summary import LABELS, plain

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~$&@:])")
_MARKS = {
    Verdict.FAIL: "❌",
    Verdict.BLOCKED: "⛔",
    Verdict.WARN: "⚠️",
    Verdict.INFO: "✅",
    Verdict.PASS: "✅",
    Verdict.SKIP: "-",
}


def render(report: Report) -> str:
    """The report, as a document of its own."""
    lines = [f"# {summary.TITLE}: {_escaped(report.facts.url)}", ""]
    lines += [f"**{_escaped(summary.headline(report))}**", ""]
    lines += ["| | |", "|---|---|"]
    lines += [f"| {name} | {_escaped(value)} |" for name, value in summary.facts(report)]
    lines += ["", *_totals(report)]
    for verdict in (Verdict.FAIL, Verdict.BLOCKED, Verdict.WARN, Verdict.INFO):
        results = report.having(verdict)
        if results:
            lines += ["", f"## {LABELS[verdict].capitalize()}: {len(results)}"]
        for result in results:
            lines += ["", *_result(result)]
    lines += _lists(report)
    return "\n".join(lines) + "\n"


def _totals(report: Report) -> Iterator[str]:
    yield f"| | {' | '.join(level.value for level in Level)} | all |"
    yield "|---|" + "---:|" * (len(Level) + 1)
    for name, by_level, total in summary.totals(report):
        cells = [_cell(by_level.get(level)) for level in Level]
        yield f"| {_escaped(name)} | {' | '.join(cells)} | {_cell(total)} |"


def _cell(total: summary.Total | None) -> str:
    if total is None:
        return ""
    return f"{_MARKS[total.verdict]} {total}" if total.count else _MARKS[Verdict.SKIP]


def _result(result: Result) -> Iterator[str]:
    row = result.row
    yield f"### {row.id} ({row.level.value}, {_escaped(row.section)})"
    yield ""
    yield _escaped(row.text)
    yield ""
    inside = "\n".join(text.details(result))
    longest = max((len(run) for run in re.findall("`+", inside)), default=0)
    fence = "`" * max(longest + 1, 3)
    yield f"{fence}text\n{inside}\n{fence}"


def _lists(report: Report) -> Iterator[str]:
    passed = report.having(Verdict.PASS)
    if passed:
        yield from ("", f"## Passed: {len(passed)}", "")
        for name, results in report.groups().items():
            ids = [r.row.id for r in results if r in passed]
            if ids:
                yield f"- {_escaped(name)}: {', '.join(ids)}"
    skipped = report.having(Verdict.SKIP)
    if skipped:
        yield from ("", f"## Skipped: {len(skipped)}", "")
        reasons: dict[str, list[str]] = {}
        for result in skipped:
            reasons.setdefault(result.skipped, []).append(result.row.id)
        for reason, ids in reasons.items():
            yield f"- {_escaped(reason)}: {', '.join(ids)}"
    rows = list(summary.untested())
    yield from ("", f"## Not tested by this suite: {len(rows)}", "")
    for row_id, reason in rows:
        yield f"- {row_id}: {_escaped(reason)}"


def _escaped(data: str) -> str:
    return _SPECIAL.sub(r"\\\1", " ".join(plain(data).split()))
