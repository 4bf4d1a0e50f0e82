"""Every form of a report, read back: what it tells, and that what a server says stays text."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

import conformance
from conformance.model import Level, Report, Result, Row, Strictness, Verdict
from conformance.reports import data, junit, markdown, page, summary, text
from conformance.reports.markup import Markup, join, tag
from conformance.untested import UNTESTED
from tests.conformance.samples import EVIDENCE, EVIL, good, report

FORMS = {
    "text": text.render,
    "json": data.render,
    "junit": junit.render,
    "markdown": markdown.render,
    "html": page.render,
}


@pytest.mark.parametrize("form", FORMS)
def test_what_a_server_says_is_no_control_sequence(form: str) -> None:
    said = FORMS[form](report())
    assert EVIDENCE in said
    assert "PATCH-04" in said
    odd = {character for character in said if not character.isprintable()}
    assert odd <= {"\n"}
    said.encode("utf-8")


@pytest.mark.parametrize("form", FORMS)
def test_a_report_without_rows_is_one(form: str) -> None:
    assert FORMS[form](report(results=[]))
    assert FORMS[form](good())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (report(), "2 failed, 1 blocked and 2 warned, of 7 rows."),
        (
            report(strictness=Strictness(robust=True, client=True)),
            "4 failed, 1 blocked, of 7 rows.",
        ),
        (good(), "All 2 rows hold."),
        (report(results=[]), "No row applies."),
        (report(results=report().having(Verdict.PASS)), "The row holds."),
        (report(results=report().having(Verdict.BLOCKED)), "1 blocked, of 1 row."),
        (
            replace(report(), results=report().having(Verdict.WARN, Verdict.PASS)),
            "Nothing required is broken in 3 rows; 2 warned.",
        ),
    ],
    ids=["bad", "strict", "good", "empty", "one", "blocked", "warned"],
)
def test_the_headline_tells_how_it_went(given: Report, said: str) -> None:
    assert summary.headline(given) == said


# --- verdicts ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("level", "usual", "strict", "strict_clients"),
    [
        (Level.MUST, Verdict.FAIL, Verdict.FAIL, Verdict.FAIL),
        (Level.SHOULD, Verdict.WARN, Verdict.WARN, Verdict.WARN),
        (Level.MAY, Verdict.INFO, Verdict.INFO, Verdict.INFO),
        (Level.CLIENT, Verdict.WARN, Verdict.WARN, Verdict.FAIL),
        (Level.ROBUST, Verdict.WARN, Verdict.FAIL, Verdict.WARN),
    ],
)
def test_what_a_level_is_worth(
    level: Level, usual: Verdict, strict: Verdict, strict_clients: Verdict
) -> None:
    assert Strictness().verdict(level) is usual
    assert Strictness(robust=True).verdict(level) is strict
    assert Strictness(client=True).verdict(level) is strict_clients


def test_a_row_is_as_bad_as_the_worst_of_it() -> None:
    verdicts = {
        result.row.id: result.verdict(report().strictness).value for result in report().results
    }
    assert verdicts == {
        "PATCH-02": "pass",
        "PATCH-04": "fail",
        "PATCH-05": "warn",
        "PATCH-20": "fail",
        "CREATE-03": "blocked",
        "CREATE-04": "info",
        "CSUM-01": "skip",
        "CORS-06": "warn",
    }


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        (("PATCH-02", "CREATE-04", "PATCH-05", "CSUM-01"), 0),
        (("PATCH-02", "CREATE-03"), 1),
        (("PATCH-04",), 1),
        ((), 0),
    ],
)
def test_the_exit_code_is_that_of_the_worst_row(rows: tuple[str, ...], code: int) -> None:
    results = [result for result in report().results if result.row.id in rows]
    assert report(results=results).exit_code == code


def test_totals_leave_out_what_does_not_apply() -> None:
    totals = {name: (levels, total) for name, levels, total in summary.totals(report())}
    assert list(totals) == ["core", "creation", "checksum", "browsers (CORS)", "all"]
    core, of_core = totals["core"]
    assert {level: str(total) for level, total in core.items()} == {
        Level.MUST: "1/3",
        Level.ROBUST: "0/1",
    }
    assert (of_core.verdict, str(of_core)) == (Verdict.FAIL, "1/4")
    assert totals["checksum"][0][Level.MUST].count == 0
    assert str(totals["all"][1]) == "2/7"


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (0, "0 bytes"),
        (1023, "1,023 bytes"),
        (5 << 30, "5 GiB (5,368,709,120 bytes)"),
        (10**30, "8.674e+11 EiB (1,000,000,000,000,000,000,000,000,000,000 bytes)"),
    ],
)
def test_a_size_is_told_exactly(count: int, said: str) -> None:
    assert summary.size(count) == said


# --- text ----------------------------------------------------------------------------------------


def test_the_text_tells_what_failed_with_its_exchange() -> None:
    said = text.render(report())
    (block,) = re.findall(r"(?s)\n(FAIL    PATCH-04 .*?)\n\n(?=FAIL|BLOCKED)", said)
    lines = [line.strip() for line in block.splitlines()]
    assert "- SHOULD: better 409" in lines
    assert "- of no exchange" in lines
    assert "> PATCH /files/a HTTP/1.1" in lines
    assert "> Upload-Offset: 3" in lines
    assert "> (with it 5 bytes: hello)" in lines
    assert "< HTTP/1.1 100 Continue" in lines
    assert "< HTTP/1.1 204 Reason" in lines
    # Not what nobody asked for.
    assert "< HTTP/1.1 200 Reason" not in lines
    assert "Host:" not in block
    assert "Date:" not in block
    assert "Origin:" not in block
    assert "an answer did not come within 10 s" in said
    assert "2 uploads of this run could not be removed" in said


def test_rows_about_browsers_show_what_browsers_read() -> None:
    said = text.render(report(results=[r for r in report().results if r.row.id == "CORS-06"]))
    assert "> Origin: https://app.example" in said


def test_the_text_has_colours_only_if_asked() -> None:
    assert "\x1b[1;31mFAIL" in text.render(report(), colour=True)
    assert "\x1b" not in text.render(report())


def test_many_exchanges_are_counted() -> None:
    (result,) = [r for r in report().results if r.row.id == "PATCH-05"]
    findings = [replace(result.findings[0], exchange=index) for index in range(5)]
    many = replace(result, findings=findings, exchanges=result.exchanges * 5)
    lines = list(text.details(many))
    assert lines.count("> PATCH /files/a HTTP/1.1") == 3
    assert lines[-1] == "(2 more like these)"


# --- JSON ----------------------------------------------------------------------------------------


def test_the_json_has_the_documented_fields() -> None:
    given = json.loads(data.render(report()))
    assert given["schema"] == 1
    assert given["suite"] == conformance.__version__
    assert given["started"] == "2026-11-22T20:30:00+00:00"
    assert (given["seconds"], given["exit_code"], given["left"]) == (75.5, 1, 2)
    assert (given["strict"], given["strict_clients"]) == (False, False)
    assert (given["only"], given["skip"]) == (["PATCH-*"], [EVIL])
    assert given["server"] == {
        "url": "http://127.0.0.1:1080/files/",
        "software": f"evil/1 {EVIL}",
        "versions": ["1.0.0"],
        "extensions": ["creation", EVIL],
        "algorithms": ["sha1"],
        "max_size": 5 << 30,
        "downloads": True,
    }
    assert given["counts"] == {
        "pass": 1,
        "skip": 1,
        "info": 1,
        "warn": 2,
        "blocked": 1,
        "fail": 2,
    }
    assert given["untested"] == UNTESTED
    rows = {row["id"]: row for row in given["rows"]}
    assert list(rows) == [result.row.id for result in report().results]
    failed = rows["PATCH-04"]
    assert failed["findings"][0] == {
        "level": "MUST",
        "verdict": "fail",
        "text": f"answered 204 with {EVIL}",
        "exchange": 1,
    }
    assert failed["findings"][2]["exchange"] is None
    assert (failed["level"], failed["group"], failed["seconds"]) == ("MUST", "core", 1.25)
    assert len(failed["exchanges"]) == 3
    assert failed["exchanges"][1]["response"].startswith("HTTP/1.1 204 Reason\nUpload-Offset: 8")
    assert (failed["blocked"], failed["skipped"]) == (None, None)
    assert rows["PATCH-20"]["exchanges"][0]["status"] is None
    assert rows["PATCH-02"]["exchanges"] == []
    assert rows["CSUM-01"]["skipped"].startswith("checksum is not advertised")


# --- JUnit ---------------------------------------------------------------------------------------


def test_junit_is_xml_with_a_suite_per_group() -> None:
    root = ElementTree.fromstring(junit.render(report()))
    assert root.tag == "testsuites"
    counts = {key: root.get(key) for key in ("tests", "failures", "errors", "skipped", "time")}
    assert counts == {
        "tests": "8",
        "failures": "2",
        "errors": "1",
        "skipped": "1",
        "time": "75.500",
    }
    assert [suite.get("name") for suite in root] == list(report().groups())
    assert [suite.get("tests") for suite in root] == ["4", "2", "1", "1"]
    inner = {
        str(case.get("name")).split()[0]: [child.tag for child in case]
        for case in root.iter("testcase")
    }
    assert inner == {
        "PATCH-02": ["system-out"],
        "PATCH-04": ["failure"],
        "PATCH-05": ["system-out"],
        "PATCH-20": ["failure"],
        "CREATE-03": ["error"],
        "CREATE-04": ["system-out"],
        "CSUM-01": ["skipped"],
        "CORS-06": ["system-out"],
    }
    failure, silent = root.iter("failure")
    assert silent.get("message") == "no answer"
    assert str(failure.get("message")).startswith("answered 204 with </pre><script>")
    assert "> PATCH /files/a HTTP/1.1" in str(failure.text)


def test_a_failure_of_strictness_is_told_with_its_level() -> None:
    root = ElementTree.fromstring(junit.render(report(strictness=Strictness(robust=True))))
    kinds = [failure.get("type") for failure in root.iter("failure")]
    assert kinds == ["MUST", "ROBUST", "MUST"]


# --- Markdown ------------------------------------------------------------------------------------


def test_markdown_keeps_what_a_server_says_in_fences_or_escaped() -> None:
    said = markdown.render(report())
    outside = re.sub(r"^(`{3,})text\n.*?\n\1$", "", said, flags=re.DOTALL | re.MULTILINE)
    assert "```" not in outside
    assert not re.search(r"(?<!\\)<", outside)
    assert "| core | ❌ 1/3 |" in outside
    assert "## Failed: 2" in outside
    assert "## Skipped: 1" in outside
    tables = [line for line in outside.splitlines() if line.startswith("| ")]
    for line in tables:
        assert len(re.findall(r"(?<!\\)\|", line)) in (3, 8), line


def test_fences_are_longer_than_what_is_in_them() -> None:
    row = Row("PATCH-04", Level.MUST, "s", "A sentence.")
    (result,) = [r for r in report().results if r.row.id == "PATCH-20"]
    finding = replace(result.findings[-1], text="````\n# not a heading", exchange=None)
    said = markdown.render(report(results=[Result(row, findings=[finding])]))
    assert "`````text\n- ```` # not a heading\n`````" in said


# --- HTML ----------------------------------------------------------------------------------------


@dataclass
class Parsed(HTMLParser):
    """Elements with their attributes, and the text of everything but style and script."""

    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    stack: list[str] = field(default_factory=list)
    text: str = ""
    raw: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "input"):
            self.stack.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.stack and self.stack[-1] in ("style", "script"):
            self.raw[self.stack[-1]] = data
        else:
            self.text += data


def parsed(given: Report) -> Parsed:
    document = Parsed()
    document.feed(page.render(given))
    document.close()
    assert document.stack == []
    return document


def test_the_page_is_well_formed_and_needs_nothing_else() -> None:
    document = parsed(report())
    kinds = [tag for tag, _ in document.tags]
    assert (kinds.count("script"), kinds.count("style"), kinds.count("img")) == (1, 1, 0)
    for tag_, attributes in document.tags:
        assert "src" not in attributes
        assert not any(name.startswith("on") or name == "style" for name in attributes), tag_
        assert (attributes.get("href") or "#").startswith("#")
    assert not re.search(r"url\(|@import|https?:", document.raw["style"] + document.raw["script"])
    ids = [attributes["id"] for _, attributes in document.tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_the_policy_names_the_style_and_the_script() -> None:
    document = parsed(report())
    (policy,) = [
        str(attributes["content"])
        for _, attributes in document.tags
        if attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy.startswith("default-src 'none'; ")
    for kind, content in document.raw.items():
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy


def test_the_page_tells_everything() -> None:
    document = parsed(report())
    for result in report().results:
        assert result.row.text in document.text
        assert ("id", result.row.id) in [
            item for _, attributes in document.tags for item in attributes.items()
        ]
        for finding in result.findings:
            assert summary.plain(finding.text) in document.text
    for said in ("2026-11-22 20:30 UTC", "1 min 15 s", conformance.__version__, "5 GiB"):
        assert said in document.text
    for row_id, reason in UNTESTED.items():
        assert row_id in document.text
        assert reason in document.text
    assert "HTTP/1.1 100 Continue" in document.text
    assert "HTTP/1.1 200 Reason" in document.text  # the state before


def test_failures_and_what_shows_them_are_open() -> None:
    document = parsed(report())
    rows = {
        attributes["id"]: "open" in attributes
        for tag, attributes in document.tags
        if tag == "details" and "id" in attributes
    }
    assert rows == {
        "PATCH-04": True,
        "PATCH-20": True,
        "CREATE-03": True,
        "PATCH-05": False,
        "CORS-06": False,
        "CREATE-04": False,
    }
    opened = ["open" in a for tag, a in document.tags if "exchange" in str(a.get("class")).split()]
    assert opened[:4] == [False, True, True, True]


def test_text_becomes_no_element() -> None:
    assert tag("p", None, "<b>", tag("i"), "&") == "<p>&lt;b&gt;<i></i>&amp;</p>"
    assert tag("p", {"title": "\"'<>&\n", "hidden": True, "open": False}) == (
        '<p title="&quot;&#x27;&lt;&gt;&amp;\n" hidden></p>'
    )
    assert join(["<", Markup("<br>")]) == "&lt;<br>"
    assert tag("input", {"value": 1}) == '<input value="1">'
