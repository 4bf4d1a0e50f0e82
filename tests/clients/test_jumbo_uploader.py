"""JumboUploader in a real browser, against the real server, behind a front that can go wrong.

The page and the server's routes are of one origin, and the page may use nothing else (a strict
CSP). What the server was sent is read off the front, what it has is compared byte by byte.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from shutil import which
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.clients.conftest import MakeFile, sha256
from tests.clients.front import Front, Gate, Refusal, cut, damage, front
from tests.clients.test_browser import QUIET
from tests.harness.process import Server, free_port
from tests.harness.wire import poll

pytestmark = [pytest.mark.wire, pytest.mark.xdist_group("browser")]

DEADLINE = 60.0
KIB = 1024
CHUNK = 64 * KIB
INSECURE = "intranet.test"
FLAGS = ("--chunk-size", "64KiB")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = which("chromium")
    assert chromium is not None, "make test installs chromium"
    with sync_playwright() as playwright:
        names = f"--host-resolver-rules=MAP {INSECURE} 127.0.0.1"
        browser = playwright.chromium.launch(executable_path=chromium, args=[*QUIET, names])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("jumbo") / "data"
    with Server(directory, *FLAGS, "--log-level", "debug") as server:
        yield server


@pytest.fixture
def origin(server: Server) -> Iterator[Front]:
    with front(lambda: server.endpoint) as origin:
        yield origin


class Tab:
    """A tab with the test's page."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self._url = url
        self.complaints: list[str] = []
        page.on("console", lambda said: self.complaints.append(said.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def open(self) -> None:
        self.page.goto(self._url)
        self.page.wait_for_load_state("load")

    def begin(self, files: Sequence[Path], **options: Any) -> None:
        self.page.set_input_files("input", files)
        count = self.page.evaluate("options => tests.begin(options)", options)
        assert count == len(files)

    def all(self, method: str) -> None:
        """Call `pause` or the like of the uploader."""
        self.page.evaluate("method => void tests.uploader[method]()", method)

    def ended(self) -> list[Any]:
        """How each upload has ended, once all have."""
        ends: list[Any] = self.page.evaluate("() => tests.ended()")
        return ends

    def paths(self) -> list[str]:
        ends = self.ended()
        assert [end["status"] for end in ends] == ["fulfilled"] * len(ends), ends
        return [end["value"]["path"] for end in ends]

    def storage(self) -> dict[str, str]:
        kept: dict[str, str] = self.page.evaluate("() => ({ ...localStorage })")
        return kept

    def events(self, name: str, where: str = "one") -> list[Any]:
        found: list[Any] = self.page.evaluate("() => tests.events")
        return [event for event in found if event["type"] == name and event["where"] == where]

    def wait_until_sent(self, size: int) -> None:
        """Return once so many bytes are there or on their way."""

        def look() -> bool:
            self.page.wait_for_timeout(10)
            return bool(self.page.evaluate("() => tests.uploader.progress.sent") == size)

        poll(look, DEADLINE, f"{size} bytes are not sent")

    def wait_for(self, name: str, count: int = 1) -> list[Any]:
        def look() -> bool:
            self.page.wait_for_timeout(10)  # lets the browser's events in
            return len(self.events(name)) >= count

        poll(look, DEADLINE, f"{name!r} does not happen {count} times")
        return self.events(name)


@contextmanager
def opened(browser: Browser, url: str) -> Iterator[Tab]:
    context = browser.new_context()
    tab = Tab(context.new_page(), url)
    tab.open()
    yield tab
    context.close()


@pytest.fixture
def tab(browser: Browser, origin: Front) -> Iterator[Tab]:
    with opened(browser, origin.url) as tab:
        yield tab


def compare(server: Server, paths: Sequence[str], files: Sequence[Path]) -> None:
    assert [sha256(server.directory / path) for path in paths] == [sha256(file) for file in files]


def content_digest(chunk: bytes) -> str:
    return f"sha-256=:{b64encode(hashlib.sha256(chunk).digest()).decode()}:"


def check_progress(events: Sequence[Any], size: int) -> None:
    sent = [event["sent"] for event in events]
    assert sent == sorted(sent)
    assert {event["size"] for event in events} == {size}
    assert events[-1]["sent"] == size
    assert events[-1]["percent"] == 100
    assert events[-1]["remaining"] == 0


# --- what works ----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, CHUNK, 5 * CHUNK + 7], ids=str)
def test_a_file(server: Server, origin: Front, tab: Tab, make_file: MakeFile, size: int) -> None:
    file = make_file(size)
    tab.begin([file])
    compare(server, tab.paths(), [file])
    check_progress(tab.events("progress"), size)
    assert sorted(origin.chunks()) == list(range(-(-size // CHUNK)))
    assert [event["state"] for event in tab.events("success")] == ["done"]
    assert tab.storage() == {}
    assert tab.complaints == []


def test_many_files(server: Server, origin: Front, tab: Tab, make_file: MakeFile) -> None:
    files = [make_file(size) for size in (7 * CHUNK, 0, 4 * CHUNK + 1, 100, 6 * CHUNK - 1)]
    gate = Gate()
    origin.on("PUT", "", gate, 4)
    tab.begin(files, parallel=2, connections=4)
    gate.wait_for(4)
    gate.open()
    compare(server, tab.paths(), files)
    assert origin.most == 4
    for file in files:
        of_file = [event for event in tab.events("progress") if event["file"] == file.name]
        check_progress(of_file, file.stat().st_size)
    check_progress(tab.events("progress", "all"), sum(file.stat().st_size for file in files))
    assert len(tab.events("success", "all")) == len(files)
    assert tab.complaints == []


def test_files_end_in_the_order_in_which_they_came(
    origin: Front, tab: Tab, make_file: MakeFile
) -> None:
    files = [make_file(6 * CHUNK + extra) for extra in range(3)]
    gate = Gate()
    origin.on("PUT", "", gate, 3)
    tab.begin(files, parallel=3, connections=3)
    gate.wait_for(3)
    gate.open()
    tab.paths()
    assert [event["file"] for event in tab.events("success")] == [file.name for file in files]
    assert origin.most == 3


def test_chunks_are_on_the_server_at_the_same_time(
    server: Server, origin: Front, tab: Tab, make_file: MakeFile
) -> None:
    file = make_file(7 * CHUNK)
    gate = Gate()
    origin.on("PUT", "", gate, 3)
    tab.begin([file], parallel=3)
    gate.wait_for(3)

    def lines(pattern: str) -> list[str]:
        found = re.search(r"/(jumbo_\w+)/", origin.asked("PUT")[0].path)
        assert found is not None
        return re.findall(f"{found[1]}: {pattern}", server.log)

    poll(lambda: len(lines(r"chunk \d+: bytes")) == 3, DEADLINE, "the server has not begun three")
    assert lines(r"chunk \d+ is in") == []
    gate.open()
    compare(server, tab.paths(), [file])
    assert len(lines(r"chunk \d+ is in")) == 7
    assert origin.most == 3


def test_progress_counts_what_is_on_its_way(
    server: Server, origin: Front, tab: Tab, make_file: MakeFile
) -> None:
    gate = Gate()
    origin.on("PUT", "", gate, 3)
    tab.begin([make_file(3 * CHUNK)])
    gate.wait_for(3)
    tab.wait_until_sent(3 * CHUNK)
    assert tab.events("chunk") == []
    gate.open()
    tab.paths()


def test_progress_counts_each_chunk_once(tab: Tab, make_file: MakeFile) -> None:
    tab.begin([make_file(4 * CHUNK)], parallel=1)
    tab.paths()
    seen: list[Any] = tab.page.evaluate("() => tests.events.filter((e) => e.where === 'one')")
    at_chunks = [seen[at - 1]["sent"] for at, event in enumerate(seen) if event["type"] == "chunk"]
    assert at_chunks == [CHUNK, 2 * CHUNK, 3 * CHUNK, 4 * CHUNK]


def test_the_server_may_be_of_another_origin(
    server: Server, origin: Front, tab: Tab, make_file: MakeFile
) -> None:
    there = f"http://127.0.0.1:{server.endpoint.port}"
    origin.policy += f"; connect-src {there}"
    tab.open()
    file = make_file(5 * CHUNK + 7)
    tab.begin([file], endpoint=f"{there}/upload/")
    compare(server, tab.paths(), [file])
    assert origin.asked("PUT") == []
    assert tab.complaints == []


@pytest.mark.parametrize(("credentials", "sent"), [("same-origin", False), ("include", True)])
def test_cookies_go_where_they_are_told_to(
    tab: Tab, make_file: MakeFile, credentials: str, *, sent: bool
) -> None:
    tab.page.evaluate(
        """() => {
            const { send } = XMLHttpRequest.prototype;
            tests.credentials = new Set();
            XMLHttpRequest.prototype.send = function (body) {
                tests.credentials.add(this.withCredentials);
                return send.call(this, body);
            };
        }"""
    )
    tab.begin([make_file(CHUNK)], credentials=credentials)
    tab.paths()
    assert tab.page.evaluate("() => [...tests.credentials]") == [sent]


def test_without_a_secure_origin_there_are_no_digests(
    server: Server, browser: Browser, origin: Front, make_file: MakeFile
) -> None:
    file = make_file(3 * CHUNK + 7)
    with opened(browser, origin.url.replace("127.0.0.1", INSECURE)) as tab:
        assert not tab.page.evaluate("() => isSecureContext")
        tab.begin([file])
        compare(server, tab.paths(), [file])
        check_progress(tab.events("progress"), 3 * CHUNK + 7)
        (complaint,) = tab.complaints
    assert "not secure" in complaint
    assert [seen.digest for seen in origin.asked("PUT")] == [None] * 4


def test_a_secure_origin_sends_digests(origin: Front, tab: Tab, make_file: MakeFile) -> None:
    content = make_file(CHUNK + 7).read_bytes()
    tab.begin([make_file(CHUNK + 7)])
    tab.paths()
    sent = {seen.chunk: seen.digest for seen in origin.asked("PUT")}
    assert sent == {0: content_digest(content[:CHUNK]), 1: content_digest(content[CHUNK:])}


def test_the_seeds_way_of_use(server: Server, origin: Front, tab: Tab, make_file: MakeFile) -> None:
    file = make_file(3 * CHUNK)
    tab.page.set_input_files("input", file)
    result = tab.page.evaluate(
        """() => {
            const uploader = new tests.JumboUploader("an id", 100, 7);
            const { uploadId, chunkSize, totalChunks } = uploader;
            if (uploadId !== "an id" || chunkSize !== 100 || totalChunks !== 7) throw uploader;
            return uploader.uploadFile(document.querySelector("input").files[0]);
        }"""
    )
    assert result["status"] == "completed"
    compare(server, [result["path"]], [file])
    assert tab.page.evaluate("() => document.getElementById('progress').style.width") == "100%"
    widths = tab.page.evaluate(
        """async () => {
            const told = [];
            class Mine extends tests.JumboUploader {
                updateProgress(progress) { told.push(progress); }
            }
            await new Mine().uploadFile(document.querySelector("input").files[0]);
            return told;
        }"""
    )
    assert widths == sorted(widths)
    assert widths[-1] == 100
    assert tab.complaints == []


@pytest.mark.parametrize("size", [1, 3 * CHUNK + 7], ids=str)
def test_the_seeds_own_client(
    server: Server, origin: Front, tab: Tab, make_file: MakeFile, size: int
) -> None:
    """`seed.js` is what the seed says, unchanged."""
    tab.page.goto(f"{origin.url}seed.html")
    file = make_file(size)
    tab.page.set_input_files("input", file)
    tab.page.evaluate(
        """() => {
            const uploader = new JumboUploader();
            return uploader.uploadFile(document.querySelector("input").files[0]);
        }"""
    )
    (said,) = tab.complaints
    assert said.startswith("Upload complete! ")
    compare(server, [said.removeprefix("Upload complete! ")], [file])
    if size > CHUNK:
        width = tab.page.evaluate("() => document.getElementById('progress').style.width")
        assert float(width.removesuffix("%")) == 99.99


def test_a_page_without_modules_asks_for_a_global(tab: Tab) -> None:
    tab.page.set_content('<script type="module" src="/upload/jumbo.js"></script>')
    assert tab.page.evaluate("() => typeof JumboUploader") == "undefined"
    tab.page.set_content('<script type="module" src="/upload/jumbo.js?global"></script>')
    assert tab.page.evaluate("() => typeof JumboUploader") == "function"


# --- stopping and going on -----------------------------------------------------------------------
# Requests that were held stay so until the end, and the server hands their chunks over. (Chromium
# sends again what breaks on a connection that was used before, also if the page has given it up.)


def test_pause_and_resume(server: Server, origin: Front, tab: Tab, make_file: MakeFile) -> None:
    file = make_file(8 * CHUNK)
    gate = Gate(then=cut)
    origin.on("PUT", "/chunks/[3-5]$", gate, 3)
    tab.begin([file])
    gate.wait_for(3)
    tab.wait_until_sent(6 * CHUNK)
    tab.all("pause")
    assert tab.wait_for("pause")[0]["state"] == "paused"
    before = origin.chunks()
    assert sorted(before) == [0, 1, 2]
    asked = len(origin.seen)
    tab.all("resume")
    compare(server, tab.paths(), [file])
    gate.open()
    assert origin.seen[asked].path.startswith("/upload/resume/")
    assert sorted(origin.chunks(asked)) == [3, 4, 5, 6, 7]
    assert len(origin.asked("POST")) == 1
    check_progress(tab.events("progress"), 8 * CHUNK)
    assert tab.events("error") == tab.events("retry") == []


def test_paused_before_the_server_has_answered_at_all(
    server: Server, origin: Front, tab: Tab, make_file: MakeFile
) -> None:
    """The upload that has begun meanwhile is the one that goes on."""
    file = make_file(3 * CHUNK)
    gate = Gate()
    origin.on("POST", "/start", gate)
    tab.begin([file])
    gate.wait_for(1)
    tab.all("pause")
    tab.all("resume")
    tab.all("pause")
    gate.open()
    tab.all("resume")
    compare(server, tab.paths(), [file])
    assert len(origin.asked("POST")) == 1
    assert sorted(origin.chunks()) == [0, 1, 2]


def test_after_a_reload_only_missing_chunks_are_sent(
    server: Server, origin: Front, tab: Tab, make_file: MakeFile
) -> None:
    file = make_file(9 * CHUNK + 1)
    gate = Gate(then=cut)
    origin.on("PUT", "/chunks/[567]$", gate, 3)
    tab.begin([file])
    gate.wait_for(3)
    assert len(tab.storage()) == 1
    tab.open()
    asked = len(origin.seen)
    tab.begin([file])
    compare(server, tab.paths(), [file])
    gate.open()
    assert sorted(origin.chunks(asked)) == [5, 6, 7, 8, 9]
    assert len(origin.asked("POST")) == 1
    first = tab.events("progress")[0]
    assert first["sent"] >= 5 * CHUNK
    check_progress(tab.events("progress"), 9 * CHUNK + 1)
    assert tab.storage() == {}


def test_what_was_finished_without_the_page_is_not_sent_again(
    server: Server, origin: Front, tab: Tab, make_file: MakeFile
) -> None:
    """The page went after the last byte, before it was told so."""
    file = make_file(3 * CHUNK)
    gate = Gate()
    origin.on("PUT", "/chunks/2$", gate)
    tab.begin([file])
    gate.wait_for(1)
    ((key, upload_id),) = tab.storage().items()
    gate.open()
    compare(server, tab.paths(), [file])
    tab.open()
    tab.page.evaluate("([key, id]) => localStorage.setItem(key, id)", [key, upload_id])
    asked = len(origin.seen)
    tab.begin([file])
    compare(server, tab.paths(), [file])
    assert [seen.method for seen in origin.seen[asked:]] == ["GET", "GET"]


def test_an_upload_that_is_gone_begins_anew(
    server: Server, origin: Front, tab: Tab, make_file: MakeFile
) -> None:
    file = make_file(4 * CHUNK)
    gate = Gate(then=cut)
    origin.on("PUT", "/chunks/[123]$", gate, 3)
    tab.begin([file])
    gate.wait_for(3)
    tab.all("pause")
    (upload_id,) = tab.storage().values()
    assert tab.page.request.delete(f"{origin.url}upload/{upload_id}").status == 200
    tab.all("resume")
    compare(server, tab.paths(), [file])
    gate.open()
    assert len(origin.asked("POST", "/start")) == 2


def test_server_killed_and_restarted(tmp_path: Path, browser: Browser, make_file: MakeFile) -> None:
    file = make_file(8 * CHUNK)
    with (
        Server(tmp_path / "data", *FLAGS, port=free_port()) as server,
        front(lambda: server.endpoint) as origin,
        opened(browser, origin.url) as tab,
    ):
        gate = Gate()
        origin.on("PUT", "/chunks/[456]$", gate, 3)
        tab.begin([file], delay=200, maxDelay=400, retries=100)
        gate.wait_for(3)
        server.kill()
        gate.open()
        tab.wait_for("retry", 3)
        server.start()
        compare(server, tab.paths(), [file])
        assert tab.events("error") == []
        assert len(origin.asked("POST")) == 1
        check_progress(tab.events("progress"), 8 * CHUNK)


@pytest.mark.parametrize(("delay", "attempts"), [(100, 12), (600_000, 3)], ids=["asks", "waits"])
def test_without_a_network_it_waits(
    server: Server, origin: Front, tab: Tab, make_file: MakeFile, delay: int, attempts: int
) -> None:
    """For as long as that takes: it is no failure, however few retries there may be."""
    file = make_file(6 * CHUNK)
    gate = Gate(then=cut)
    origin.on("PUT", "/chunks/[123]$", gate, 3)
    tab.begin([file], retries=1, maxDelay=delay)
    gate.wait_for(3)
    tab.page.context.set_offline(True)
    gate.open()

    def waited() -> bool:
        tab.page.wait_for_timeout(10)
        return len([event for event in tab.events("retry") if event["offline"]]) >= attempts

    poll(waited, DEADLINE, "nobody notices that there is no network")
    tab.page.context.set_offline(False)
    compare(server, tab.paths(), [file])
    check_progress(tab.events("progress"), 6 * CHUNK)


def test_a_second_page_takes_over(
    server: Server, browser: Browser, origin: Front, tab: Tab, make_file: MakeFile
) -> None:
    """While the first is there, the second does nothing with the same file."""
    file = make_file(6 * CHUNK)
    gate = Gate(then=cut)
    origin.on("PUT", "/chunks/[345]$", gate, 3)
    tab.begin([file])
    gate.wait_for(3)
    second = Tab(tab.page.context.new_page(), origin.url)
    second.open()
    asked = len(origin.seen)
    second.begin([file])
    second.page.evaluate("() => navigator.locks.query()")  # its request comes after ours
    assert len(origin.seen) == asked
    tab.page.close()
    compare(server, second.paths(), [file])
    gate.open()
    assert len(origin.asked("POST")) == 1
    assert sorted(origin.chunks(asked)) == [3, 4, 5]


# --- what goes wrong -----------------------------------------------------------------------------

DIGEST = "urn:tusjumbo:problem:digest-mismatch"


@pytest.mark.parametrize(
    ("fault", "status", "problem"),
    [
        pytest.param(damage, 400, DIGEST, id="damaged"),
        # Where a whole answer is missing Chromium may try again by itself.
        pytest.param(Refusal(200, {}, b"{", missing=9), 0, "about:blank", id="torn"),
        pytest.param(Refusal(503, {"Retry-After": "0"}), 503, "about:blank", id="busy"),
        pytest.param(Refusal(502, {}, b"<h1>Bad Gateway"), 502, "about:blank", id="proxy"),
    ],
)
def test_what_passes_is_tried_again(
    server: Server,
    origin: Front,
    tab: Tab,
    make_file: MakeFile,
    fault: Any,
    status: int,
    problem: str,
) -> None:
    file = make_file(4 * CHUNK)
    origin.on("PUT", "/chunks/1$", fault, 2)
    if fault is not damage:
        origin.on("POST", "/start", fault)
    tab.begin([file])
    compare(server, tab.paths(), [file])
    errors = [event["error"] for event in tab.events("retry")]
    assert {(error["status"], error["type"]) for error in errors} == {(status, problem)}
    assert len(errors) == (2 if fault is damage else 3)
    assert sorted(origin.chunks()) == [0, 1, 2, 3]
    check_progress(tab.events("progress"), 4 * CHUNK)


def test_the_server_says_when_to_come_back(
    server: Server, origin: Front, tab: Tab, make_file: MakeFile
) -> None:
    origin.on("PUT", "", Refusal(503, {"Retry-After": "1"}))
    tab.begin([make_file(CHUNK)], delay=1)
    (retry,) = tab.wait_for("retry")
    assert 1000 <= retry["delay"] <= 1001
    tab.paths()


def test_a_server_that_says_nothing_is_asked_again(
    server: Server, origin: Front, tab: Tab, make_file: MakeFile
) -> None:
    file = make_file(CHUNK)
    gate = Gate()
    origin.on("PUT", "", gate)
    tab.begin([file], timeout=300)
    (retry,) = tab.wait_for("retry")
    assert retry["error"]["message"] == "The server has not been heard of."
    compare(server, tab.paths(), [file])
    gate.open()


PROBLEM = b'{"type": "urn:x:no", "title": "No", "status": 507, "detail": "There is no room."}'


@pytest.mark.parametrize("status", [403, 507])
def test_what_does_not_pass_is_an_error_at_once(
    server: Server, origin: Front, tab: Tab, make_file: MakeFile, status: int
) -> None:
    file = make_file(6 * CHUNK)
    origin.on("PUT", "/chunks/2$", Refusal(status, {}, PROBLEM))
    tab.begin([file])
    (failure,) = tab.wait_for("error")
    told = {"name": "JumboError", "message": "There is no room.", "type": "urn:x:no"}
    assert failure["error"] == {**told, "status": status}
    assert failure["state"] == "failed"
    assert tab.ended()[0]["reason"] == "JumboError: There is no room."
    assert tab.events("retry") == tab.events("success") == []
    tab.all("resume")
    compare(server, tab.paths(), [file])
    assert len(origin.asked("POST")) == 1


def test_the_server_says_no_to_the_upload(
    tmp_path: Path, browser: Browser, make_file: MakeFile
) -> None:
    with (
        Server(tmp_path / "data", "--max-size", "1KiB") as server,
        front(lambda: server.endpoint) as origin,
        opened(browser, origin.url) as tab,
    ):
        tab.begin([make_file(1025)])
        (failure,) = tab.wait_for("error")
        assert failure["error"]["status"] == 413
        assert failure["error"]["type"] == "urn:tusjumbo:problem:upload-too-large"
        assert "1024" in failure["error"]["message"]


def test_bytes_of_another_file_are_a_conflict(
    server: Server, origin: Front, tab: Tab, make_file: MakeFile
) -> None:
    """And then the upload is let go of, so that the next try is one of its own."""
    file = make_file(3 * CHUNK)
    begun = tab.page.request.post(
        f"{origin.url}upload/start", data={"filename": file.name, "size": 3 * CHUNK}
    ).json()
    upload_id = begun["upload_id"]
    other = bytes(1000)
    server.tus.patch(f"/files/{upload_id}", 0, other).expect(204)
    tab.page.set_input_files("input", file)
    tab.page.evaluate("id => tests.begin({}, { id })", upload_id)
    (failure,) = tab.wait_for("error")
    assert failure["error"]["status"] == 409
    assert failure["error"]["type"] == "urn:tusjumbo:problem:chunk-conflict"
    assert "same file" in failure["error"]["message"]
    tab.all("resume")
    compare(server, tab.paths(), [file])


# --- giving up -----------------------------------------------------------------------------------


@pytest.mark.parametrize("pattern", ["/start", "/chunks/1$"], ids=["start", "chunk"])
def test_cancel(server: Server, origin: Front, tab: Tab, make_file: MakeFile, pattern: str) -> None:
    """Whatever was on its way: nothing is left on the server, nor on the page."""
    gate = Gate()
    origin.on("POST" if pattern == "/start" else "PUT", pattern, gate)
    tab.begin([make_file(4 * CHUNK)])
    gate.wait_for(1)
    tab.all("cancel")
    gate.open()
    (end,) = tab.ended()
    assert end["reason"].startswith("AbortError")
    poll(lambda: origin.asked("DELETE"), DEADLINE, "nothing is deleted")
    poll(lambda: origin.asked("DELETE")[-1].status == 200, DEADLINE, "it is not deleted")
    (deleted,) = {seen.path for seen in origin.asked("DELETE")}
    upload_id = deleted.rsplit("/", 1)[1]
    status = tab.page.request.get(f"{origin.url}upload/status/{upload_id}")
    assert status.status == 404
    assert tab.storage() == {}
    assert tab.events("error") == tab.events("success") == []
    assert [event["state"] for event in tab.events("cancel")] == ["cancelled"]
