"""The HTML report in a real browser: nothing of a server runs, and rows are found."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from shutil import which

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from conformance.reports import page as form
from tests.conformance.samples import report

pytestmark = [pytest.mark.wire, pytest.mark.xdist_group("browser")]

WIDTHS = {"desktop": 1280, "phone": 360}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = which("chromium")
    assert chromium is not None, "make test installs chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield browser
        browser.close()


@pytest.fixture
def said() -> list[str]:
    """What the page says on its console, asks in dialogs, or wants to fetch."""
    return []


@pytest.fixture
def page(browser: Browser, said: list[str], tmp_path: Path) -> Iterator[Page]:
    file = tmp_path / "report.html"
    file.write_text(form.render(report()), encoding="utf-8")
    page = browser.new_page()
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: said.append(dialog.message))
    page.on("request", lambda request: said.append(request.url))
    page.goto(file.as_uri())
    assert said == [file.as_uri()]
    said.clear()
    yield page
    assert said == []
    page.close()


def shown(page: Page) -> list[str]:
    """The ids of the rows that can be seen."""
    ids: list[str] = page.evaluate(
        "[...document.querySelectorAll('[data-verdict][id]:not([data-verdict=untested])')]"
        ".filter((row) => row.checkVisibility()).map((row) => row.id)"
    )
    return ids


def test_rows_are_found_by_verdict_and_by_text(page: Page) -> None:
    assert len(shown(page)) == 8
    page.click("button[data-verdict=fail]")
    assert shown(page) == ["PATCH-04", "PATCH-20"]
    page.click("button[data-verdict=warn]")
    assert len(shown(page)) == 4
    page.press("body", "/")
    page.keyboard.type("breaks CLIENT")
    assert shown(page) == ["CORS-06"]
    assert page.inner_text("output").startswith("1 of ")
    assert page.is_hidden("section.fail")
    page.keyboard.type(" nowhere")
    assert shown(page) == []
    assert page.is_visible(".nothing")
    page.keyboard.press("Escape")
    page.click("button[data-verdict=fail]")
    page.click("button[data-verdict=warn]")
    assert len(shown(page)) == 8


def test_a_link_opens_its_row_even_if_it_is_filtered_out(page: Page) -> None:
    page.click("button[data-verdict=pass]")
    page.evaluate("location.hash = 'PATCH-05'")
    page.wait_for_function("document.getElementById('PATCH-05').open")
    assert "PATCH-05" in shown(page)
    assert page.get_attribute("button[data-verdict=pass]", "aria-pressed") == "false"


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_wider_than_the_window(page: Page, width: str) -> None:
    page.set_viewport_size({"width": WIDTHS[width], "height": 800})
    page.evaluate("document.querySelectorAll('details').forEach((it) => { it.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= WIDTHS[width]


def test_all_is_open_on_paper_and_closed_again(page: Page) -> None:
    count = "document.querySelectorAll('details:not([open])').length"
    closed = page.evaluate(count)
    assert closed > 0
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate(count) == 0
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.evaluate(count) == closed


def test_what_is_not_in_the_policy_does_not_run(page: Page, said: list[str]) -> None:
    page.evaluate(
        "document.body.insertAdjacentHTML('beforeend', '<b id=evil onclick=\"alert(3)\">b</b>');"
        "document.getElementById('evil').click()"
    )
    page.wait_for_function("true")
    assert said, "the browser tells what it has refused"
    assert all("Content Security Policy" in text for text in said), said
    said.clear()
