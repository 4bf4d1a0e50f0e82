"""JUnit XML, for the test pages of CI services: a suite per group, a case per row.

What makes the run fail is a `failure`, a blocked row an `error`; warnings are told in the output of
a case that passes, as JUnit knows none.
"""

from __future__ import annotations

import datetime
import html

import conformance
from conformance.model import Finding, Report, Result, Verdict
from conformance.reports import text
from conformance.reports.summary import TITLE, plain


def render(report: Report) -> str:
    """An XML document. What XML cannot say (control characters) is written as escapes."""
    started = datetime.datetime.fromtimestamp(report.started, datetime.UTC)
    at = started.replace(tzinfo=None).isoformat(timespec="seconds")
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f"<testsuites name={_quoted(TITLE)} {_counts(report, list(report.results))}"
        f' time="{report.seconds:.3f}">',
    ]
    for name, results in report.groups().items():
        seconds = sum(result.seconds for result in results)
        lines.append(
            f'<testsuite name={_quoted(name)} {_counts(report, results)} time="{seconds:.3f}"'
            f' timestamp="{at}">'
        )
        lines.append(
            f'<properties><property name="suite" value={_quoted(conformance.__version__)}/>'
            f'<property name="endpoint" value={_quoted(report.facts.url)}/></properties>'
        )
        for result in results:
            lines += _case(report, result)
        lines.append("</testsuite>")
    lines.append("</testsuites>")
    return "\n".join(lines) + "\n"


def _counts(report: Report, results: list[Result]) -> str:
    counts = report.counts(results)
    return (
        f'tests="{len(results)}" failures="{counts[Verdict.FAIL]}"'
        f' errors="{counts[Verdict.BLOCKED]}" skipped="{counts[Verdict.SKIP]}"'
    )


def _case(report: Report, result: Result) -> list[str]:
    row, verdict = result.row, result.verdict(report.strictness)
    opening = (
        f"<testcase name={_quoted(f'{row.id} {row.text}')}"
        f" classname={_quoted(f'tus.{row.group}')}"
        f' time="{result.seconds:.3f}">'
    )
    inner = []
    details = _escaped("\n".join(text.details(result)))
    match verdict:
        case Verdict.FAIL:
            first = _quoted(_worst(report, result).text)
            kind = _quoted(_worst(report, result).level.value)
            inner.append(f"<failure type={kind} message={first}>{details}</failure>")
        case Verdict.BLOCKED:
            inner.append(
                f'<error type="BLOCKED" message={_quoted(result.blocked)}>{details}</error>'
            )
        case Verdict.SKIP:
            inner.append(f"<skipped message={_quoted(result.skipped)}/>")
        case _ if result.findings or result.notes:
            said = [f"{verdict.name}", details] if result.findings else []
            said += [_escaped(note) for note in result.notes]
            inner.append(f"<system-out>{chr(10).join(said)}</system-out>")
        case _:
            return [opening.removesuffix(">") + "/>"]
    return [opening, *inner, "</testcase>"]


def _worst(report: Report, result: Result) -> Finding:
    bad = Verdict.FAIL
    return next(f for f in result.findings if report.strictness.verdict(f.level) is bad)


def _escaped(data: str) -> str:
    return html.escape(plain(data), quote=False)


def _quoted(data: str) -> str:
    return '"' + html.escape(plain(data)).replace("\n", "&#10;") + '"'
