from __future__ import annotations

import base64
import json
import logging
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.web.browsing import GONE, Browser, piece
from tests.web.conftest import Serve
from tusjumbo.cli.logs import JsonFormatter
from tusjumbo.sessions.events import (
    BytesReceived,
    Ending,
    Event,
    PartRemoved,
    UploadAbandoned,
    UploadCreated,
    UploadFinished,
    UploadPurged,
    UploadRecovered,
    UploadRefused,
    UploadTerminated,
)
from tusjumbo.sessions.ranges import RangeSet
from tusjumbo.sessions.session import UploadSession
from tusjumbo.web.logs import bare, log_upload, quoted

SESSION = UploadSession(
    id="jumbo_a",
    created_at=0,
    updated_at=0,
    length=100,
    ranges=RangeSet(((0, 40),)),
    metadata={"filename": b"a\nb.txt"},
)

EVENTS: list[tuple[Event, str]] = [
    (UploadCreated(SESSION), "jumbo_a created: 40/100 B, 'a\\nb.txt'"),
    (UploadFinished(SESSION), "jumbo_a finished: 40/100 B, 'a\\nb.txt'"),
    (UploadTerminated(SESSION), "jumbo_a terminated: 40/100 B, 'a\\nb.txt'"),
    (
        UploadRefused(SESSION, "Not\nhere."),
        "jumbo_a refused: 40/100 B, 'a\\nb.txt': 'Not\\nhere.'",
    ),
    (UploadAbandoned(SESSION), "jumbo_a abandoned: 40/100 B, 'a\\nb.txt'"),
    (UploadRecovered(SESSION), "jumbo_a recovered: 40/100 B, 'a\\nb.txt'"),
    (PartRemoved(SESSION), "jumbo_a joined and removed: 40/100 B, 'a\\nb.txt'"),
    (UploadPurged(replace(SESSION, metadata={})), "jumbo_a purged: 40/100 B"),
    (UploadCreated(replace(SESSION, length=None, metadata={})), "jumbo_a created: 40/? B"),
    (
        BytesReceived(SESSION, 10, 40, 2.0, Ending.CUT),
        "jumbo_a received: 40/100 B, 30 B in 2.000 s (0.0 MB/s), the connection went away",
    ),
    (
        BytesReceived(SESSION, 40, 40, 0.0, Ending.IDLE),
        "jumbo_a received: 40/100 B, 0 B in 0.000 s, the bytes came too slowly",
    ),
]


@pytest.mark.parametrize(("event", "line"), EVENTS, ids=[line for _, line in EVENTS])
def test_upload_lines(event: Event, line: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tusjumbo.upload")
    log_upload(event)
    assert [(record.name, record.getMessage()) for record in caplog.records] == [
        ("tusjumbo.upload", line)
    ]


def test_upload_fields(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tusjumbo.upload")
    log_upload(BytesReceived(SESSION, 10, 40, 2.0, Ending.CUT))
    entry = json.loads(JsonFormatter().format(caplog.records[0]))
    facts = {"event": "received", "upload_id": "jumbo_a", "offset": 40, "length": 100}
    facts |= {"bytes": 30, "seconds": 2.0, "rate": 15, "ending": "CUT"}
    assert entry | facts == entry


def test_nobody_listens(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "tusjumbo.upload")
    log_upload(UploadCreated(SESSION))
    assert caplog.records == []


@given(st.text())
def test_quoted_is_one_visible_line(text: str) -> None:
    for shown in (quoted(text), bare(text)):
        assert shown.isprintable()
        assert len(shown) <= 2_500


def test_bare() -> None:
    assert bare("PATCH") == "PATCH"
    assert bare("A B") == "'A B'"


async def test_access_lines(browser: Browser, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tusjumbo.access")
    path = (await browser.create(5)).location
    await browser.patch(path, 0, b"hello")
    await browser.get("/no\nsuch\u202efile")
    await browser.ask("FOO\r\n", "/")
    access = [record for record in caplog.records if record.name == "tusjumbo.access"]
    lines = [record.getMessage() for record in access]
    upload = path.removeprefix("/")
    assert lines[0].startswith(f"192.0.2.7 POST '/' 201, upload {upload}, 0 B in ")
    assert lines[1].startswith(f"192.0.2.7 PATCH '{path}' 204, upload {upload}, 5 B in ")
    assert lines[2].startswith("192.0.2.7 GET '/no\\nsuch\\u202efile' 404, upload -, 0 B in ")
    assert lines[3].startswith("192.0.2.7 'FOO\\r\\n' '/' 412, upload -, 0 B in ")
    entry = json.loads(JsonFormatter().format(access[1]))
    facts = {"client": "192.0.2.7", "method": "PATCH", "path": path, "status": 204}
    facts |= {"upload_id": upload, "bytes": 5}
    assert entry | facts == entry
    assert entry["rate"] > 0
    assert entry["seconds"] > 0


async def test_client_gone(browser: Browser, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tusjumbo.access")
    path = (await browser.create(5)).location
    answer = await browser.patch(path, 0, [piece(b"hel"), GONE])
    assert answer.status == 0
    (access,) = [record for record in caplog.records if "PATCH" in record.getMessage()]
    assert "499 (client gone), upload" in access.getMessage()
    assert ", 3 B in" in access.getMessage()
    assert json.loads(JsonFormatter().format(access))["status"] == 499


async def test_the_client_behind_a_proxy(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tusjumbo.access")
    browser = Browser(serve(behind_proxy="192.0.2.0/24"))
    await browser.get("/x", {"X-Forwarded-For": "203.0.113.9"})
    assert caplog.records[-1].getMessage().startswith("203.0.113.9 GET")


async def test_an_upload_tells_its_story(
    browser: Browser, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "tusjumbo.upload")
    name = base64.b64encode(b"x\r\n2026 forged").decode()
    path = await browser.upload(b"hello", f"filename {name}")
    await browser.delete(path)
    told = [record for record in caplog.records if record.name == "tusjumbo.upload"]
    events = [vars(record)["event"] for record in told]
    assert events == ["created", "received", "finished", "terminated"]
    assert all(record.getMessage().isprintable() for record in told)
    assert "'x\\r\\n2026 forged'" in told[0].getMessage()
