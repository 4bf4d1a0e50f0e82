"""HTML: one page that needs nothing else, to be published beside a server's documentation.

Style and script stand in page.css and page.js beside this file and are put into the page; a content
security policy names their digests, so that nothing else runs even if something were badly
escaped. Without its script the page shows everything: the script filters, opens what a link points
to, and opens all for printing.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from importlib.resources import files

from conformance.model import Exchange, Level, Report, Result, Verdict
from conformance.reports import summary
from conformance.reports.markup import Markup, join, tag, verbatim
from conformance.reports.summary import LABELS, TELLING, shown_by

_EXPLAINED = {
    Level.MUST: "The specification says MUST.",
    Level.SHOULD: "The specification says SHOULD.",
    Level.MAY: "Optional; looked at for being done consistently.",
    Level.CLIENT: "The specification is silent; a client in use breaks otherwise.",
    Level.ROBUST: "The specification is silent; a server that gets this wrong is unsafe.",
}


def render(report: Report) -> str:
    """The page, as a whole document."""
    style, script = _asset("page.css"), _asset("page.js")
    title = f"{summary.TITLE}: {report.facts.url}"
    policy = (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}';"
        " base-uri 'none'; form-action 'none'"
    )
    head = tag(
        "head",
        None,
        tag("meta", {"charset": "utf-8"}),
        tag("meta", {"http-equiv": "Content-Security-Policy", "content": policy}),
        tag("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}),
        tag("meta", {"name": "color-scheme", "content": "light dark"}),
        tag("title", None, title),
        tag("style", None, verbatim(style)),
    )
    body = tag(
        "body",
        None,
        tag("a", {"class": "jump", "href": "#rows"}, "To the rows"),
        tag("div", {"class": "page"}, *_page(report)),
        tag("script", None, verbatim(script)),
    )
    return f"<!doctype html>\n{tag('html', {'lang': 'en'}, head, body)}\n"


def _asset(name: str) -> str:
    return (files("conformance.reports") / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def _page(report: Report) -> Iterator[Markup]:
    yield _header(report)
    yield _totals(report)
    sections = [
        _telling(report),
        _passed(report),
        _skipped(report),
        _untested(),
    ]
    yield tag("main", {"id": "rows"}, _filter(report), *sections, _NOTHING)
    yield tag(
        "footer",
        None,
        "Made by ",
        tag("code", None, "python -m conformance"),
        f", {summary.date(report.started)}. Everything on this page came from the server named"
        " above, or from the suite.",
    )


_NOTHING = tag("p", {"class": "nothing", "hidden": True}, "No row is like that.")


# --- above the rows ------------------------------------------------------------------------------


def _header(report: Report) -> Markup:
    counts = report.counts()
    worst = next((v for v in TELLING[:3] if counts[v]), Verdict.PASS)
    word = {Verdict.PASS: "Passed", Verdict.WARN: "Passed with warnings"}.get(worst, "Failed")
    facts = [
        tag("div", None, tag("dt", None, name), tag("dd", None, value))
        for name, value in summary.facts(report)
        if name != "Endpoint"
    ]
    return tag(
        "header",
        None,
        tag("p", {"class": "eyebrow"}, summary.TITLE),
        tag("h1", None, report.facts.url),
        tag(
            "p",
            {"class": f"outcome {worst.value}"},
            tag("strong", None, word),
            " ",
            tag("span", None, summary.headline(report)),
        ),
        _bar(report),
        tag("dl", {"class": "facts"}, *facts),
    )


def _bar(report: Report) -> Markup:
    """All rows in one line, in the colours of their verdicts."""
    counts = report.counts()
    at, pieces = 0, []
    for verdict in LABELS:
        if width := counts[verdict]:
            place = {"x": at, "y": 0, "width": width, "height": 1}
            pieces.append(tag("rect", {"class": verdict.value, **place}))
            at += width
    told = ", ".join(f"{counts[v]} {label}" for v, label in LABELS.items() if counts[v])
    picture = {"viewBox": f"0 0 {max(at, 1)} 1", "preserveAspectRatio": "none"}
    return tag("svg", {"class": "bar", "role": "img", "aria-label": told, **picture}, *pieces)


def _totals(report: Report) -> Markup:
    heads = [
        tag("th", {"scope": "col", "title": _EXPLAINED[level]}, level.value) for level in Level
    ]
    rows = []
    for name, by_level, total in summary.totals(report):
        cells = [_cell(by_level.get(level)) for level in Level]
        row = {"class": "sum"} if name == "all" else None
        rows.append(tag("tr", row, tag("th", {"scope": "row"}, name), *cells, _cell(total)))
    table = tag(
        "table",
        None,
        tag("caption", None, "Rows that hold, of those that apply"),
        tag("thead", None, tag("tr", None, tag("td"), *heads, tag("th", {"scope": "col"}, "all"))),
        tag("tbody", None, *rows),
    )
    levels = [
        join((tag("dt", None, level.value), tag("dd", None, text)))
        for level, text in _EXPLAINED.items()
    ]
    return tag(
        "section",
        {"class": "totals"},
        tag("h2", None, "By extension and level"),
        tag("div", {"class": "scroll", "tabindex": "0", "role": "region"}, table),
        tag("dl", {"class": "levels"}, *levels),
    )


def _cell(total: summary.Total | None) -> Markup:
    if total is None:
        return tag("td")
    if not total.count:
        return tag("td", {"class": "skip", "title": "skipped"}, "-")
    return tag("td", {"class": total.verdict.value}, str(total))


def _filter(report: Report) -> Markup:
    counts = report.counts()
    buttons = [
        tag(
            "button",
            {"type": "button", "class": v.value, "data-verdict": v.value, "aria-pressed": "false"},
            f"{label} ",
            tag("b", None, str(counts[v])),
        )
        for v, label in LABELS.items()
        if counts[v]
    ]
    field = {"type": "search", "placeholder": "Filter: id, extension, word", "id": "words"}
    return tag(
        "div",
        {"class": "filter", "role": "search", "hidden": True},
        tag("div", {"class": "buttons", "role": "group", "aria-label": "Verdicts"}, *buttons),
        tag("label", {"for": "words", "class": "unseen"}, "Filter by text"),
        tag("input", field),
        tag("output", {"for": "words", "aria-live": "polite"}),
    )


# --- the rows ------------------------------------------------------------------------------------


def _section(name: str, title: str, count: int, *inner: str) -> Markup:
    heading = tag("h2", None, f"{title} ", tag("small", None, str(count)))
    return tag("section", {"class": f"rows {name}"}, heading, *inner)


def _telling(report: Report) -> Markup:
    parts = []
    for verdict in TELLING:
        if results := report.having(verdict):
            rows = [_row(result, verdict) for result in results]
            parts.append(_section(verdict.value, LABELS[verdict].title(), len(results), *rows))
    return join(parts)


def _about(result: Result, verdict: Verdict) -> dict[str, str]:
    """What the filter goes by, and what links point to."""
    return {"id": result.row.id, "data-verdict": verdict.value, "data-group": result.row.group}


def _level(level: Level) -> Markup:
    return tag("span", {"class": "level", "title": _EXPLAINED[level]}, level.value)


def _row(result: Result, verdict: Verdict) -> Markup:
    row = result.row
    heading = tag(
        "summary",
        None,
        tag("span", {"class": f"badge {verdict.value}"}, verdict.name),
        tag("span", {"class": "id"}, row.id),
        _level(row.level),
        tag("span", {"class": "sentence"}, row.text),
    )
    findings = [
        tag(
            "li",
            None,
            _level(finding.level) if finding.level is not row.level else "",
            finding.text,
        )
        for finding in result.findings
    ]
    return tag(
        "details",
        {"class": f"row {verdict.value}", "open": verdict.is_bad, **_about(result, verdict)},
        heading,
        tag("p", {"class": "section"}, f"{row.section} · {row.group} · {result.seconds:.1f} s"),
        tag("ol", {"class": "findings"}, *findings) if findings else "",
        tag("p", {"class": "blocked"}, f"Not reached: {result.blocked}") if result.blocked else "",
        *(tag("p", {"class": "note"}, note) for note in result.notes),
        *_exchanges(result, verdict),
        tag("a", {"class": "link", "href": f"#{row.id}"}, "Link to this row"),
    )


def _exchanges(result: Result, verdict: Verdict) -> Iterator[Markup]:
    shown = shown_by(result)
    last = len(result.exchanges) - 1
    for index, exchange in enumerate(result.exchanges):
        findings = shown.get(index, [])
        is_last = verdict is Verdict.BLOCKED and index == last
        yield _exchange(exchange, index, findings, opened=is_last or bool(findings))


def _exchange(exchange: Exchange, index: int, findings: Sequence[int], *, opened: bool) -> Markup:
    mark = f"finding {', '.join(map(str, findings))}" if findings else ""
    bad = " shows" if findings else ""
    answer = [tag("pre", {"class": "interim"}, interim) for interim in exchange.interim]
    if exchange.response:
        answer.append(_head(exchange.response))
    if exchange.body:
        answer.append(tag("pre", {"class": "body"}, exchange.body))
    if exchange.problem:
        answer.append(tag("p", {"class": "problem"}, exchange.problem))
    sent = [tag("li", None, sent) for sent in exchange.sent]
    return tag(
        "details",
        {"class": f"exchange{bad}", "open": opened},
        tag(
            "summary",
            None,
            tag("span", {"class": "number"}, str(index + 1)),
            tag("code", None, summary.gist(exchange)),
            tag("em", None, mark) if mark else "",
        ),
        tag(
            "div",
            {"class": "sides"},
            tag(
                "div",
                None,
                tag("h4", None, "Sent"),
                _head(exchange.request),
                tag("ul", {"class": "sent"}, *sent) if sent else "",
            ),
            tag("div", None, tag("h4", None, "Came back"), *answer),
        ),
    )


def _head(head: str) -> Markup:
    """A request or response head, in which what tus speaks of stands out."""
    first, *fields = head.split("\n")
    lines = [tag("b", None, first)]
    for field in fields:
        matters = field.lower().startswith(("tus-", "upload-", "location:", "x-http-method"))
        lines.append(tag("b" if matters else "span", None, f"\n{field}"))
    return tag("pre", {"class": "head"}, *lines)


def _passed(report: Report) -> Markup:
    passed = report.having(Verdict.PASS)
    if not passed:
        return join(())
    parts = []
    for name, results in report.groups().items():
        rows = [_brief(result, Verdict.PASS, "") for result in results if result in passed]
        if rows:
            parts.append(tag("h3", None, name))
            parts.append(tag("ul", {"class": "brief"}, *rows))
    return _section("pass", "Passed", len(passed), *parts)


def _skipped(report: Report) -> Markup:
    skipped = report.having(Verdict.SKIP)
    if not skipped:
        return join(())
    reasons: dict[str, list[Markup]] = {}
    for result in skipped:
        reasons.setdefault(result.skipped, []).append(_brief(result, Verdict.SKIP, ""))
    parts = []
    for reason, rows in reasons.items():
        parts.append(tag("h3", None, reason[:1].upper() + reason[1:]))
        parts.append(tag("ul", {"class": "brief"}, *rows))
    return _section("skip", "Skipped", len(skipped), *parts)


def _brief(result: Result, verdict: Verdict, more: str) -> Markup:
    notes = [tag("span", {"class": "note"}, note) for note in result.notes]
    return tag(
        "li",
        _about(result, verdict),
        tag("span", {"class": "id"}, result.row.id),
        _level(result.row.level),
        tag("span", {"class": "sentence"}, result.row.text, more, *notes),
    )


def _untested() -> Markup:
    rows = [
        tag(
            "li",
            {"id": row_id, "data-verdict": "untested"},
            tag("span", {"class": "id"}, row_id),
            tag("span", {"class": "sentence"}, reason),
        )
        for row_id, reason in summary.untested()
    ]
    return _section(
        "untested",
        "Not tested by this suite",
        len(rows),
        tag("ul", {"class": "brief"}, *rows),
    )
