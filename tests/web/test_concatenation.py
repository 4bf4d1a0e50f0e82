"""Section 8 of specs/tus-1.0.md over HTTP, through the real engine. Named by their row."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from email.utils import formatdate
from pathlib import Path
from typing import Literal

import anyio
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from tests.web.browsing import OFFSET_STREAM, Answer, Browser, Clock, T, files_below
from tests.web.conftest import Serve
from tusjumbo.web.asgi import TusJumbo

DAY = 86400.0
PARTIAL = {"Upload-Concat": "partial"}


async def part(browser: Browser, content: bytes, length: int | None = -1) -> str:
    """The path of a partial upload with these bytes in; of as many unless told otherwise."""
    length = len(content) if length == -1 else length
    return (await browser.create(length, PARTIAL, content or None)).location


async def join(browser: Browser, *parts: str, headers: Mapping[str, str] | None = None) -> Answer:
    value = f"final;{' '.join(parts)}"
    return await browser.ask("POST", "/", {**T, "Upload-Concat": value, **(headers or {})})


async def test_parts_become_a_file(browser: Browser, upload_dir: Path) -> None:
    """CONC-03 to CONC-06, CONC-16 to CONC-18."""
    a = (
        await browser.create(5, {**PARTIAL, "Upload-Metadata": "filename YQ=="}, b"hello")
    ).location
    b = await part(browser, b" world")
    assert not any(name.startswith("completed/") for name in files_below(upload_dir))
    for parts, content in (((a, b), b"hello world"), ((b, a), b" worldhello")):
        made = await join(browser, *parts)
        assert (made.status, made.offset) == (201, 11)
        found = await browser.head(made.location)
        assert (found.offset, found.headers["upload-length"]) == (11, "11")
        assert found.headers["upload-concat"] == f"final;{' '.join(parts)}"
        assert "upload-metadata" not in found.headers
        assert (await browser.get(made.location)).body == content
    for path, length in ((a, 5), (b, 6)):
        found = await browser.head(path)
        assert (found.status, found.offset) == (200, length)
        refused = await browser.get(path)
        assert (refused.status, b"partial" in refused.body) == (409, True)
    assert len([name for name in files_below(upload_dir) if name.startswith("completed/")]) == 2


async def test_a_final_upload_has_metadata_of_its_own(browser: Browser, upload_dir: Path) -> None:
    made = await join(
        browser, await part(browser, b"x"), headers={"Upload-Metadata": "filename Zi50eHQ="}
    )
    found = await browser.head(made.location)
    assert found.headers["upload-metadata"] == "filename Zi50eHQ="
    assert (upload_dir / "completed" / "f.txt").read_bytes() == b"x"


async def test_the_same_part_twice_and_in_two_uploads(browser: Browser) -> None:
    """CONC-12."""
    a, b = await part(browser, b"a"), await part(browser, b"b")
    for parts, content in (((a, a, b, a), b"aaba"), ((a, b), b"ab")):
        assert (await browser.get((await join(browser, *parts)).location)).body == content


async def test_parts_of_zero_bytes(browser: Browser) -> None:
    """CONC-13."""
    empty, one = await part(browser, b""), await part(browser, b"1")
    assert (await browser.head(empty)).offset == 0
    assert (await browser.get((await join(browser, empty, one, empty)).location)).body == b"1"
    nothing = await join(browser, empty, empty)
    assert (nothing.status, nothing.offset) == (201, 0)
    assert (await browser.get(nothing.location)).body == b""


async def test_nothing_is_written_to_a_final_upload(browser: Browser) -> None:
    """CONC-14, UNFIN-04."""
    a, half = await part(browser, b"ab"), await part(browser, b"c", 2)
    done = (await join(browser, a, a)).location
    pending = (await join(browser, a, half)).location
    for path in (done, pending):
        for at in (0, 2, 4):
            for body in (b"", b"x"):
                assert (await browser.patch(path, at, body)).status == 403
    assert (await browser.get(done)).body == b"abab"
    assert (await browser.patch(half, 1, b"d")).offset == 2
    assert (await browser.get(pending)).body == b"abcd"


@pytest.mark.parametrize("kind", ["whole", "final", "pending", "unknown", "terminated"])
async def test_what_is_no_part(browser: Browser, upload_dir: Path, kind: str) -> None:
    """CONC-11."""
    good, unfinished = await part(browser, b"a"), await part(browser, b"", 5)
    bad = {
        "whole": await browser.upload(b"whole"),
        "final": (await join(browser, good)).location,
        "pending": (await join(browser, unfinished)).location,
        "unknown": "/jumbo_unknown",
        "terminated": await part(browser, b"gone"),
    }
    await browser.delete(bad["terminated"])
    before = files_below(upload_dir)
    answer = await join(browser, good, bad[kind])
    assert answer.status == 400
    assert "location" not in answer.headers
    assert bad[kind].removeprefix("/").encode() in answer.body
    assert files_below(upload_dir) == before


async def test_a_limit_is_one_for_the_whole(serve: Serve, upload_dir: Path) -> None:
    """CONC-19, AMB-30."""
    browser = Browser(serve(max_size=5))
    a, deferred = await part(browser, b"abc"), await part(browser, b"", None)
    before = files_below(upload_dir)
    assert (await join(browser, a, a)).status == 413
    assert files_below(upload_dir) == before
    pending = await join(browser, a, deferred)
    assert pending.status == 201
    assert (await browser.patch(deferred, 0, b"abc", {"Upload-Length": "3"})).status == 204
    assert (await browser.head(pending.location)).status == 404


async def test_many_parts(browser: Browser) -> None:
    """CONC-20."""
    parts = [await part(browser, bytes([65 + number % 26])) for number in range(100)]
    content = bytes(65 + number % 26 for number in range(100))
    assert (await browser.get((await join(browser, *parts)).location)).body == content
    assert (await browser.get((await join(browser, *parts * 10)).location)).body == content * 10


async def test_a_pending_upload(browser: Browser) -> None:
    """UNFIN-01 to UNFIN-03."""
    a, b, c = await part(browser, b"abc"), await part(browser, b"d", 3), await part(browser, b"g")
    made = await join(browser, a, b, c)
    assert (made.status, made.offset) == (201, None)
    path = made.location
    found = await browser.head(path)
    assert (found.status, found.offset) == (200, None)
    assert found.headers["upload-length"] == "7"
    assert found.headers["upload-concat"] == f"final;{a} {b} {c}"
    assert (await browser.get(path)).status == 409
    assert (await browser.patch(b, 1, b"e")).offset == 2
    assert (await browser.head(path)).offset is None
    assert (await browser.patch(b, 2, b"f")).offset == 3
    found = await browser.head(path)
    assert (found.offset, found.headers["upload-length"]) == (7, "7")
    assert (await browser.get(path)).body == b"abcdefg"


async def test_a_length_that_nobody_knows_yet(browser: Browser) -> None:
    """UNFIN-06, DEFER-16."""
    a, b = await part(browser, b"abc"), await part(browser, b"d", None)
    path = (await join(browser, a, b)).location
    found = await browser.head(path)
    assert found.status == 200
    assert not {"upload-length", "upload-offset", "upload-defer-length"} & set(found.headers)
    await browser.patch(b, 1, b"", {"Upload-Length": "2"})
    assert (await browser.head(path)).headers["upload-length"] == "5"
    await browser.patch(b, 2 - 1, b"e")
    assert (await browser.get(path)).body == b"abcde"


async def test_a_length_that_turns_out_to_be_reached(browser: Browser) -> None:
    b = await part(browser, b"de", None)
    path = (await join(browser, b)).location
    await browser.patch(b, 2, b"", {"Upload-Length": "2"})
    assert (await browser.get(path)).body == b"de"


async def test_a_part_goes_away(browser: Browser, upload_dir: Path) -> None:
    """UNFIN-05, TERM-08."""
    a, b = await part(browser, b"abc"), await part(browser, b"d", 3)
    path = (await join(browser, a, b)).location
    done = (await join(browser, a)).location
    assert (await browser.delete(a)).status == 204
    for _ in range(2):
        assert (await browser.head(path)).status == 404
    assert (await browser.patch(path, 0, b"x")).status == 404
    assert (await browser.delete(path)).status == 404
    assert (await browser.patch(b, 1, b"ef")).status == 204
    assert (await browser.head(path)).status == 404
    assert (await browser.get(done)).body == b"abc"
    assert path not in " ".join(files_below(upload_dir))


async def test_a_final_upload_goes_away(browser: Browser, upload_dir: Path) -> None:
    """TERM-08: its parts stay, whether it was finished or pending."""
    a, b = await part(browser, b"abc"), await part(browser, b"d", 2)
    done, pending = (await join(browser, a)).location, (await join(browser, a, b)).location
    for path in (done, pending):
        assert (await browser.delete(path)).status == 204
        assert (await browser.head(path)).status == 404
    assert (await browser.patch(b, 1, b"e")).offset == 2
    assert (await browser.get((await join(browser, a, b)).location)).body == b"abcde"


async def test_parts_expire_and_what_was_joined_does_not(serve: Serve, clock: Clock) -> None:
    """CONC-24, EXP-10."""
    browser = Browser(serve(expire_after="1d"))
    until = formatdate(clock.now + DAY, usegmt=True)
    created = await browser.create(2, PARTIAL)
    assert created.headers["upload-expires"] == until
    assert (await browser.patch(created.location, 0, b"ab")).headers["upload-expires"] == until
    a = created.location
    done = (await join(browser, a)).location
    b = await part(browser, b"c", 2)
    pending = await join(browser, a, b)
    assert pending.headers["upload-expires"] == until
    assert "upload-expires" not in (await browser.head(done)).headers
    clock.now += DAY
    for path in (a, b, pending.location):
        assert (await browser.head(path)).status == 404
    assert (await join(browser, a)).status == 400
    await browser.app.house.sweep.due()  # type: ignore[attr-defined]
    assert (await browser.get(done)).body == b"ab"


async def test_parts_are_removed_if_wanted(serve: Serve, upload_dir: Path) -> None:
    browser = Browser(serve(remove_parts=True))
    a, b, half = (
        await part(browser, b"a"),
        await part(browser, b"b"),
        await part(browser, b"c", 2),
    )
    pending = (await join(browser, a, half)).location
    done = (await join(browser, a, b, b)).location
    assert (await browser.get(done)).body == b"abb"
    assert (await browser.head(b)).status == 404
    assert (await browser.head(a)).status == 200, "another upload waits for it"
    assert (await join(browser, a, b)).status == 400
    await browser.patch(half, 1, b"d")
    assert (await browser.get(pending)).body == b"acd"
    for path in (a, b, half):
        assert (await browser.head(path)).status == 404
    assert all(name.startswith("completed/") for name in files_below(upload_dir))


@pytest.mark.parametrize(
    ("settings", "scope", "headers", "prefix"),
    [
        pytest.param({}, {"root_path": "/a b"}, {}, "/a%20b", id="mounted"),
        pytest.param({"base_url": "/up"}, {"root_path": "/x"}, {}, "/up", id="base_url"),
        pytest.param(
            {"base_url": "https://host/up"}, {}, {}, "http://other/up", id="base_url with host"
        ),
        pytest.param({"location": "url"}, {}, {"Host": "here:81"}, "http://here:81", id="urls"),
        pytest.param(
            {"behind_proxy": "192.0.2.0/24"},
            {"root_path": "/in"},
            {"X-Forwarded-For": "10.9.9.9", "X-Forwarded-Prefix": "/out"},
            "/out/in",
            id="behind a proxy",
        ),
    ],
)
async def test_addresses_are_the_clients(
    serve: Serve,
    settings: dict[str, str],
    scope: dict[str, str],
    headers: dict[str, str],
    prefix: str,
) -> None:
    """CONC-08: what a Location says can be joined, and a path that the client does not see, not."""
    root = scope.get("root_path", "")
    browser = Browser(serve(**settings), scope, headers)

    async def ask(method: str, below: str, lines: dict[str, str]) -> Answer:
        return await browser.ask(method, root + below, {**T, **lines})

    location = (await ask("POST", "/", {**PARTIAL, "Upload-Length": "0"})).location
    name = location.rpartition("/")[2]
    for reference in (location, f"{prefix}/{name}", name):
        assert (await ask("POST", "/", {"Upload-Concat": f"final;{reference}"})).status == 201
    assert (await ask("POST", "/", {"Upload-Concat": f"final;/no/{name}"})).status == 400


@pytest.mark.parametrize("lifespan", [True, False], ids=["lifespan", "no lifespan"])
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_what_follows_an_answer_in_loops_of_their_own(
    upload_dir: Path, backend: Literal["asyncio", "trio"], lifespan: bool
) -> None:
    """A test client, or an adapter that runs one event loop for each request."""
    tus = TusJumbo(upload_dir=upload_dir)
    app = Starlette()
    tus.mount(app, "/files")
    client = TestClient(app, backend=backend, headers=T)
    with client if lifespan else nullcontext():
        part = client.post("/files", headers={**PARTIAL, "Upload-Length": "3"}).headers["location"]
        made = client.post("/files", headers={"Upload-Concat": f"final;{part} {part}"})
        assert (made.status_code, "upload-offset" in made.headers) == (201, False)
        path = made.headers["location"]
        headers = {"Upload-Offset": "0", "Content-Type": OFFSET_STREAM}
        assert client.patch(part, headers=headers, content=b"abc").status_code == 204
        assert client.head(path).headers["upload-offset"] == "6"
        assert client.get(path).content == b"abcabc"
    if not lifespan:
        anyio.run(tus.house.aclose)
