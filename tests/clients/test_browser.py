"""The README's page in a real browser, from another origin: what CORS says is believed or not.

Chromium is Debian's; the page and tus-js-client's published bundle come from a server of the test,
so nothing is fetched from outside. Throttling is the browser's own.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from shutil import which

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.clients.conftest import MakeFile, Proof
from tests.clients.driver import JS
from tests.harness.process import ROOT, Server
from tests.harness.wire import poll

pytestmark = [pytest.mark.wire, pytest.mark.xdist_group("browser")]

DEADLINE = 60
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
SLOW = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 10_000_000}
BUNDLE = "import './tus.min.js'; export const { Upload, isSupported } = globalThis.tus"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing: what matters is on the page's console."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = which("chromium")
    assert chromium is not None, "make test installs chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=QUIET)
        yield browser
        browser.close()


@contextmanager
def origin(server: Server, directory: Path) -> Iterator[str]:
    """Where the page is; not where its uploads go."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme.count("http://127.0.0.1:8080") > 2
    readme = readme.replace(
        "http://127.0.0.1:8080", f"http://{server.endpoint.host}:{server.endpoint.port}"
    )
    page, jumbo = re.findall(r"^```html\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    (directory / "jumbo.html").write_text(f"<!doctype html><title>upload</title>{jumbo}")
    page, replaced = re.subn(r"https://esm\.sh/[^']*", "./tus.mjs", page)
    assert replaced == 1
    (directory / "index.html").write_text(f"<!doctype html><title>upload</title>{page}")
    (directory / "tus.mjs").write_text(BUNDLE)
    bundle = JS / "node_modules" / "tus-js-client-4" / "dist" / "tus.min.js"
    (directory / "tus.min.js").write_bytes(bundle.read_bytes())
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(directory))) as site:
        thread = threading.Thread(target=site.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{site.server_port}/"
        site.shutdown()
        thread.join()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context()
    yield context.new_page()
    context.close()


class Console:
    """What the page has said, in order."""

    def __init__(self, page: Page) -> None:
        self.lines: list[str] = []
        self._page = page
        page.on("console", lambda message: self.lines.append(message.text))
        page.on("pageerror", lambda error: self.lines.append(f"error: {error}"))

    def wait_for(self, pattern: str) -> str:
        def found() -> list[str]:
            self._page.wait_for_timeout(20)  # lets the browser's events in
            return [line for line in self.lines if re.search(pattern, line)]

        poll(found, DEADLINE, f"{pattern!r} is not among {self.lines[-5:]}")
        return found()[0]


def test_the_page_uploads(server: Server, page: Page, make_file: MakeFile, tmp_path: Path) -> None:
    proof = Proof(server)
    file = make_file(20_000_000)
    console = Console(page)
    with origin(server, tmp_path) as url:
        page.goto(url)
        page.set_input_files("input", file)
        finished = console.wait_for("^finished: ")
    proof.whole("/" + finished.split("/", 3)[3], file)
    assert not [line for line in console.lines if "rror" in line]


def test_the_page_goes_on_after_a_reload(
    server: Server, page: Page, make_file: MakeFile, tmp_path: Path
) -> None:
    proof = Proof(server)
    file = make_file(30_000_000)
    console = Console(page)
    with origin(server, tmp_path) as url:
        page.goto(url)
        network = page.context.new_cdp_session(page)
        network.send("Network.emulateNetworkConditions", SLOW)
        page.set_input_files("input", file)
        console.wait_for(r"^[3-9]\d %")
        page.reload()
        network.detach()
        console.lines.clear()
        page.set_input_files("input", file)
        finished = console.wait_for("^finished: ")
    first = next(line for line in console.lines if line.endswith(" %"))
    assert int(first.split()[0]) >= 20, console.lines
    proof.whole("/" + finished.split("/", 3)[3], file)


def test_the_page_can_read_a_refusal(page: Page, make_file: MakeFile, tmp_path: Path) -> None:
    """Without CORS on errors a browser hides the status, and the client tries for ever."""
    console = Console(page)
    with Server(tmp_path / "data", "--max-size", "1MB") as small, origin(small, tmp_path) as url:
        page.goto(url)
        page.set_input_files("input", make_file(1_000_001))
        assert "response code: 413" in console.wait_for("^tus: ")


def test_jumbos_page_uploads_many(
    server: Server, page: Page, make_file: MakeFile, tmp_path: Path
) -> None:
    files = [make_file(20_000_000), make_file(3)]
    console = Console(page)
    with origin(server, tmp_path) as url:
        page.goto(f"{url}jumbo.html")
        page.set_input_files("input", files)
        for file in files:
            path = console.wait_for(f"^finished: completed/{file.stem}").split(": ")[1]
            assert (server.directory / path).read_bytes() == file.read_bytes()
    assert "100 %" in console.lines
    assert not [line for line in console.lines if "rror" in line]
