from __future__ import annotations

import base64
import os
import re
from email.utils import formatdate
from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.web.browsing import Browser, Clock, opened
from tests.web.conftest import Serve
from tusjumbo.web.bodies import Message
from tusjumbo.web.downloads import disposition, safe_type

CONTENT = b"0123456789" * 10


def b64(text: str | bytes) -> str:
    return base64.b64encode(text if isinstance(text, bytes) else text.encode()).decode()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("plain.txt", 'attachment; filename="plain.txt"'),
        ("with space.txt", 'attachment; filename="with space.txt"'),
        ("naïve.txt", "attachment; filename=\"na_ve.txt\"; filename*=UTF-8''na%C3%AFve.txt"),
        ("€ rates", "attachment; filename=\"_ rates\"; filename*=UTF-8''%E2%82%AC%20rates"),
        ('a"b', "attachment; filename=\"a_b\"; filename*=UTF-8''a%22b"),
        ("50%.csv", "attachment; filename=\"50_.csv\"; filename*=UTF-8''50%25.csv"),
        ("a;b=c", 'attachment; filename="a;b=c"'),
    ],
)
def test_disposition(name: str, expected: str) -> None:
    assert disposition(name) == expected


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_disposition_is_always_one_field_value(name: str) -> None:
    assert re.fullmatch(
        r'attachment; filename="[^"\\%\x00-\x1f\x7f-\U0010ffff]+"'
        r"(?:; filename\*=UTF-8''(?:[A-Za-z0-9!#$&+.^_`|~-]|%[0-9A-F]{2})+)?",
        disposition(name),
    )


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("image/png", "image/png"),
        ("IMAGE/PNG", "image/png"),
        ("video/mp4", "video/mp4"),
        ("application/pdf", "application/pdf"),
        ("text/plain; charset=utf-8", "text/plain"),
        ("application/vnd.oasis.opendocument.text", "application/vnd.oasis.opendocument.text"),
        ("", "application/octet-stream"),
        ("png", "application/octet-stream"),
        ("image/", "application/octet-stream"),
        ("image/png\r\nX-Evil: 1", "application/octet-stream"),
        ("image/png, text/html", "application/octet-stream"),
        ("text/html", "application/octet-stream"),
        ("TEXT/HTML;charset=utf-8", "application/octet-stream"),
        ("application/xhtml+xml", "application/octet-stream"),
        ("image/svg+xml", "application/octet-stream"),
        ("text/xml", "application/octet-stream"),
        ("application/xml", "application/octet-stream"),
        ("application/rss+xml", "application/octet-stream"),
        ("text/javascript", "application/octet-stream"),
        ("application/ecmascript", "application/octet-stream"),
        ("application/x-shockwave-flash", "application/octet-stream"),
        ("text/css", "application/octet-stream"),
        ("text/cache-manifest", "application/octet-stream"),
        ("multipart/x-mixed-replace", "application/octet-stream"),
        ("message/rfc822", "application/octet-stream"),
        ("x-world/x-vrml", "application/octet-stream"),
    ],
)
def test_safe_type(said: str, expected: str) -> None:
    assert safe_type(said) == expected


async def test_whole(browser: Browser) -> None:
    path = await browser.upload(
        CONTENT, f"filename {b64('../tülp.png')},filetype {b64('image/png')}"
    )
    answer = await browser.get(path)
    assert (answer.status, answer.body) == (200, CONTENT)
    upload_id = path.rpartition("/")[2]
    assert answer.headers == {
        "accept-ranges": "bytes",
        "cache-control": "private, no-cache",
        "content-disposition": "attachment; filename=\"t_lp.png\"; filename*=UTF-8''t%C3%BClp.png",
        "content-length": "100",
        "content-security-policy": "sandbox; default-src 'none'",
        "content-type": "image/png",
        "etag": f'"{upload_id}"',
        "last-modified": formatdate(1_700_000_000, usegmt=True),
        "vary": "Origin",
        "x-content-type-options": "nosniff",
    }


async def test_needs_no_version(browser: Browser) -> None:
    path = await browser.upload(b"x")
    assert (await browser.get(path, {"Tus-Resumable": "9.9.9"})).status == 200


async def test_empty_file(browser: Browser) -> None:
    path = (await browser.create(0)).location
    answer = await browser.get(path)
    assert (answer.status, answer.body, answer.headers["content-length"]) == (200, b"", "0")


async def test_no_charset_is_invented(browser: Browser) -> None:
    path = await browser.upload(b"\xff", f"type {b64('text/plain')}")
    assert (await browser.get(path)).headers["content-type"] == "text/plain"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("bytes=0-9", "bytes 0-9/100", id="first ten"),
        pytest.param("bytes=90-", "bytes 90-99/100", id="from"),
        pytest.param("bytes=-5", "bytes 95-99/100", id="last five"),
        pytest.param("bytes=90-900", "bytes 90-99/100", id="beyond"),
        pytest.param("bytes=-900", "bytes 0-99/100", id="all and more"),
        pytest.param("Bytes= 0-9", "bytes 0-9/100", id="case and space"),
    ],
)
async def test_one_range(browser: Browser, value: str, expected: str) -> None:
    path = await browser.upload(CONTENT)
    answer = await browser.get(path, {"Range": value})
    assert (answer.status, answer.headers["content-range"]) == (206, expected)
    first, last = (int(number) for number in expected[6:-4].split("-"))
    assert answer.body == CONTENT[first : last + 1]
    assert answer.headers["content-length"] == str(len(answer.body))


async def test_many_ranges(browser: Browser) -> None:
    path = await browser.upload(CONTENT, f"type {b64('image/png')}")
    answer = await browser.get(path, {"Range": "bytes=0-1, 50-52"})
    assert answer.status == 206
    assert answer.headers["content-type"].startswith("multipart/byteranges; boundary=")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert int(answer.headers["content-length"]) == len(answer.body)
    assert b"Content-Type: image/png\r\nContent-Range: bytes 0-1/100\r\n\r\n01\r\n" in answer.body
    assert b"Content-Range: bytes 50-52/100\r\n\r\n012\r\n" in answer.body


@pytest.mark.parametrize(
    "value",
    [
        "",
        "bytes",
        "bytes=",
        "bytes=a-b",
        "bytes=1",
        "items=0-1",
        "bytes=٣-",
        "bytes=--5",
        "bytes=0-1,",
        "bytes=0-1;",
        "bytes=+0-1",
        "bytes=" + "9" * 5000 + "-",
    ],
)
async def test_a_malformed_range_is_none(browser: Browser, value: str) -> None:
    path = await browser.upload(CONTENT)
    lines = [("Range", value.encode().decode("latin-1"))]
    assert (await browser.get(path, lines)).status == 200


@pytest.mark.parametrize("value", ["bytes=100-", "bytes=100-200", "bytes=-0"])
async def test_a_range_outside(browser: Browser, value: str) -> None:
    path = await browser.upload(CONTENT)
    answer = await browser.get(path, {"Range": value, "Origin": "https://page.example"})
    assert (answer.status, answer.headers["content-range"]) == (416, "bytes */100")
    assert answer.headers["access-control-allow-origin"] == "*"


CONDITIONS = [
    pytest.param({"If-None-Match": '"{id}"'}, 304, id="known"),
    pytest.param({"If-None-Match": 'W/"{id}"'}, 304, id="known, weak"),
    pytest.param({"If-None-Match": '"a", "{id}" ,"b"'}, 304, id="known among others"),
    pytest.param({"If-None-Match": "*"}, 304, id="any"),
    pytest.param({"If-None-Match": '"other"'}, 200, id="other"),
    pytest.param({"If-None-Match": "{id}"}, 200, id="no tag"),
    pytest.param({"If-Modified-Since": "Tue, 14 Nov 2023 22:13:20 GMT"}, 304, id="since then"),
    pytest.param({"If-Modified-Since": "Tue, 14 Nov 2023 22:13:19 GMT"}, 200, id="since before"),
    pytest.param({"If-Modified-Since": "yesterday"}, 200, id="no date"),
    pytest.param(
        {"If-None-Match": '"other"', "If-Modified-Since": "Tue, 14 Nov 2023 22:13:20 GMT"},
        200,
        id="the tag decides",
    ),
    pytest.param(
        {"If-None-Match": "", "If-Modified-Since": "Tue, 14 Nov 2023 22:13:20 GMT"},
        200,
        id="no tag decides, too",
    ),
    pytest.param({"If-Match": '"{id}"'}, 200, id="must be this"),
    pytest.param({"If-Match": '"other"'}, 412, id="must be another"),
    pytest.param({"Range": "bytes=0-1", "If-Range": '"{id}"'}, 206, id="range of this"),
    pytest.param({"Range": "bytes=0-1", "If-Range": '"other"'}, 200, id="range of another"),
    pytest.param(
        {"Range": "bytes=0-1", "If-Range": "Tue, 14 Nov 2023 22:13:20 GMT"}, 206, id="by date"
    ),
]


@pytest.mark.parametrize(("conditions", "status"), CONDITIONS)
async def test_conditions(browser: Browser, conditions: dict[str, str], status: int) -> None:
    path = await browser.upload(CONTENT)
    upload_id = path.rpartition("/")[2]
    lines = [(name, value.replace("{id}", upload_id)) for name, value in conditions.items()]
    answer = await browser.get(path, lines)
    assert answer.status == status
    assert answer.headers["etag"] == f'"{upload_id}"'
    if status in (304, 412):
        assert answer.body == b""


async def test_later_finish_has_a_later_date(serve: Serve, clock: Clock) -> None:
    browser = Browser(serve())
    path = (await browser.create(2)).location
    clock.now += 60.5
    await browser.patch(path, 0, b"ab")
    found = (await browser.get(path)).headers["last-modified"]
    assert found == formatdate(1_700_000_060, usegmt=True)


async def test_unfinished(browser: Browser) -> None:
    path = (await browser.create(9, body=b"1234")).location
    answer = await browser.get(path)
    assert answer.status == 409
    assert b"4 of 9 bytes" in answer.body


async def test_switched_off(serve: Serve) -> None:
    browser = Browser(serve(downloads=False))
    path = await browser.upload(b"x")
    answer = await browser.get(path)
    assert answer.status == 405
    assert "GET" not in answer.headers["allow"]


@pytest.mark.parametrize("damage", ["gone", "short", "directory"])
async def test_a_file_that_was_taken_away(
    browser: Browser, upload_dir: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = await browser.upload(CONTENT)
    (stored,) = (upload_dir / "completed").iterdir()
    if damage == "short":
        os.truncate(stored, 10)
    else:
        stored.unlink()
    if damage == "directory":
        stored.mkdir()
    answer = await browser.get(path)
    assert answer.status == 500
    assert b"gone" in answer.body
    assert str(upload_dir).encode() not in answer.body
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize("error", [OSError, ValueError], ids=["client gone", "server broken"])
async def test_no_file_stays_open(
    browser: Browser, upload_dir: Path, error: type[Exception]
) -> None:
    path = await browser.upload(CONTENT * 10_000)
    (stored,) = (upload_dir / "completed").iterdir()
    seen = []

    async def hang_up(message: Message) -> None:
        if message.get("body"):
            seen.extend(await anyio.to_thread.run_sync(opened, stored))
            raise error

    answer = await browser.get(path, on_send=hang_up)
    assert answer.headers["content-length"] == "1000000"
    assert seen
    assert opened(stored) == []
