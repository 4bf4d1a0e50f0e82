"""The adapters, with small stand-ins; `tests/flask/test_flask_tsk.py` has the real elephants."""

from __future__ import annotations

import logging
import shutil
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.harness.process import ROOT
from tusjumbo import Jumbo
from tusjumbo.elephants import BabarStories, KaavanAlerts, KoshikNotices, story_of
from tusjumbo.sessions.events import (
    BytesReceived,
    Ending,
    Event,
    UploadAbandoned,
    UploadCreated,
    UploadFinished,
    UploadPurged,
    UploadRefused,
    UploadTerminated,
)
from tusjumbo.sessions.ranges import RangeSet
from tusjumbo.sessions.session import Phase, Receipt, UploadSession

PATIENCE = 20.0


def session(number: int = 1, filename: str = "a<b>.mp4") -> UploadSession:
    return UploadSession(
        id=f"jumbo_{number}",
        created_at=1.0,
        updated_at=2.0,
        length=1234567,
        ranges=RangeSet(((0, 3),)),
        metadata={"filename": filename.encode(), "filetype": b"video/mp4"},
    )


def finished(number: int = 1, filename: str = "a<b>.mp4") -> UploadFinished:
    receipt = Receipt("completed/a_b_.mp4")
    return UploadFinished(replace(session(number, filename), phase=Phase.DONE, receipt=receipt))


def body(ending: Ending) -> BytesReceived:
    return BytesReceived(session(), 0, 0, 1.0, ending)


OTHERS: list[Event] = [
    UploadCreated(session()),
    UploadTerminated(session()),
    UploadPurged(session()),
    *(body(ending) for ending in Ending if ending is not Ending.FAILED),
]


class Cms:
    """Babar as far as we call it. `says` is what comes of `create_story`."""

    def __init__(self, says: object = None) -> None:
        self.says = says
        self.stored: list[dict[str, Any]] = []
        self.threads: set[int] = set()
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    def create_story(self, data: dict[str, Any]) -> Mapping[str, Any]:
        assert self.may_go_on.wait(PATIENCE)
        self.threads.add(threading.get_ident())
        if isinstance(self.says, Mapping):
            return self.says
        self.stored.append(data)
        if isinstance(self.says, Exception):
            raise self.says
        return {"success": True, "data": data}

    def get_library(self, filters: dict[str, Any]) -> Mapping[str, Any]:
        return {"data": [it for it in self.stored if filters["search"] in it["content"]]}


class Alert(NamedTuple):
    issue: str
    severity: str
    metadata: dict[str, Any]


class Watch:
    def __init__(self) -> None:
        self.alerts: list[Alert] = []

    def send_alert(self, issue: str, severity: str, metadata: dict[str, Any]) -> bool:
        self.alerts.append(Alert(issue, severity, metadata))
        return True


class Voice:
    def __init__(self) -> None:
        self.said: list[str] = []
        self.queued: list[tuple[Any, str, dict[str, Any]]] = []

    def speak(self, message: str) -> dict[str, Any]:
        self.said.append(message)
        return {"text": message}

    def queue_notification(self, user_id: Any, action: str, options: dict[str, Any]) -> str:
        self.queued.append((user_id, action, options))
        return "id"


class Hands:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


# --- Babar ---------------------------------------------------------------------------------------


def test_a_finished_upload_becomes_a_story() -> None:
    cms = Cms()
    stories = BabarStories(cms)
    for event in [*OTHERS, finished()]:
        stories(event)
    stories.close()
    assert cms.stored == [
        {
            "title": "a<b>.mp4",
            "type": "story",
            "content": "<p>a&lt;b&gt;.mp4 (1,234,567 bytes, upload <code>jumbo_1</code>)</p>",
            "settings": {
                "upload_id": "jumbo_1",
                "path": "completed/a_b_.mp4",
                "size": 1234567,
                "media_type": "video/mp4",
            },
        }
    ]


def test_a_story_may_be_told_otherwise() -> None:
    cms = Cms()
    stories = BabarStories(cms, lambda it: {**story_of(it), "type": "post", "language": "fr"})
    stories(finished(filename=""))
    stories.close()
    (story,) = cms.stored
    assert (story["title"], story["type"], story["language"]) == ("jumbo_1", "post", "fr")


def test_the_event_loop_does_not_wait_and_the_order_stays() -> None:
    cms = Cms()
    cms.may_go_on.clear()
    stories = BabarStories(cms)
    for number in range(50):
        stories(finished(number))
    assert cms.stored == []
    cms.may_go_on.set()
    stories.close()
    assert [it["settings"]["upload_id"] for it in cms.stored] == [f"jumbo_{n}" for n in range(50)]
    assert len(cms.threads) == 1
    assert threading.get_ident() not in cms.threads
    stories(finished(50))
    stories.close()
    assert len(cms.stored) == 51


@pytest.mark.parametrize(
    ("says", "found"),
    [
        ({"success": False, "error": "no room"}, "Babar does not take upload jumbo_1: no room"),
        (PermissionError("not you"), "BabarStories failed on upload jumbo_1."),
    ],
    ids=["refused", "raised"],
)
def test_what_fails_is_logged(says: object, found: str, caplog: pytest.LogCaptureFixture) -> None:
    cms = Cms(says)
    stories = BabarStories(cms)
    stories(finished())
    stories.close()
    assert [record.getMessage() for record in caplog.records] == [found]
    assert caplog.records[0].levelno == logging.ERROR


@pytest.mark.parametrize("is_there", [True, False], ids=["stored", "not stored"])
def test_a_story_that_stumbles_afterwards_is_there(
    is_there: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """flask-tsk 2.0.4: "'Content' object is not subscriptable", after it was stored."""
    cms = Cms(TypeError("'Content' object is not subscriptable"))
    stories = BabarStories(
        cms, lambda it: story_of(it if is_there else replace(it, id="jumbo_other"))
    )
    stories(finished())
    stories.close()
    assert [bool(record.exc_info) for record in caplog.records] == ([] if is_there else [True])


# --- Kaavan --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "issue", "severity", "more"),
    [
        (UploadAbandoned(session()), KaavanAlerts.ABANDONED, "warning", {}),
        (body(Ending.FAILED), KaavanAlerts.FAILED, "error", {}),
        (UploadRefused(session(), "Why."), KaavanAlerts.REFUSED, "warning", {"reason": "Why."}),
    ],
    ids=["abandoned", "failed", "refused"],
)
def test_what_came_to_nothing_is_an_alert(
    tmp_path: Path, event: Event, issue: str, severity: str, more: dict[str, Any]
) -> None:
    watch = Watch()
    alerts = KaavanAlerts(watch, tmp_path, low_space=0)
    for it in [*OTHERS, event, finished()]:
        alerts(it)
    alerts.close()
    facts = {
        "upload_id": "jumbo_1",
        "filename": "a<b>.mp4",
        "size": 1234567,
        "size_uploaded": 3,
    }
    assert watch.alerts == [Alert(issue, severity, {**facts, **more, "meanwhile": 0})]


def test_an_alert_is_repeated_when_it_has_been_quiet(tmp_path: Path) -> None:
    watch, clock = Watch(), Hands()
    alerts = KaavanAlerts(watch, tmp_path, low_space=0, quiet=60, clock=clock)

    def told(*events: Event) -> list[tuple[str, int]]:
        watch.alerts.clear()
        for event in events:
            alerts(event)
        alerts.close()
        return [(alert.issue, alert.metadata["meanwhile"]) for alert in watch.alerts]

    failed, abandoned = body(Ending.FAILED), UploadAbandoned(session())
    assert told(failed, failed, failed) == [(KaavanAlerts.FAILED, 0)]
    clock.now += 59
    assert told(failed, abandoned) == [(KaavanAlerts.ABANDONED, 0)]
    clock.now += 1
    assert told(failed, failed) == [(KaavanAlerts.FAILED, 3)]
    clock.now += 60
    assert told(failed) == [(KaavanAlerts.FAILED, 1)]


def test_little_space_is_looked_for_now_and_then(tmp_path: Path) -> None:
    watch, clock = Watch(), Hands()
    alerts = KaavanAlerts(watch, tmp_path, low_space=2**62, quiet=60, clock=clock)
    for _ in range(3):
        alerts(UploadCreated(session()))
        alerts(body(Ending.END))
    alerts.close()
    ((issue, severity, metadata),) = watch.alerts
    assert (issue, severity) == (KaavanAlerts.LOW, "critical")
    assert 0 < metadata["free_space"] <= shutil.disk_usage(tmp_path).total
    clock.now += 60
    alerts(body(Ending.END))
    alerts.close()
    assert [alert.metadata["meanwhile"] for alert in watch.alerts] == [0, 0]


@pytest.mark.parametrize(
    ("low_space", "issue", "severity"),
    [(0, KaavanAlerts.FIGURES, "info"), (2**62, KaavanAlerts.LOW, "critical")],
    ids=["healthy", "full"],
)
def test_figures(tmp_path: Path, low_space: int, issue: str, severity: str) -> None:
    watch = Watch()
    with Jumbo(tmp_path) as jumbo:
        jumbo.start_upload("a", 10)
        figures = KaavanAlerts(watch, tmp_path, low_space=low_space).report(jumbo)
        assert figures == {**jumbo.get_statistics(), "free_space": figures["free_space"]}
    assert figures["active_uploads"] == 1
    assert watch.alerts == [Alert(issue, severity, figures)]


def test_before_the_first_upload_there_is_no_directory(tmp_path: Path) -> None:
    watch = Watch()
    with Jumbo(directory := tmp_path / "a" / "b") as jumbo:
        figures = KaavanAlerts(watch, directory).report(jumbo)
    assert 0 < figures["free_space"] <= shutil.disk_usage(tmp_path).total


def test_an_alert_that_does_not_get_through_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    alerts = KaavanAlerts(None, tmp_path)  # type: ignore[arg-type]
    alerts(UploadAbandoned(session()))
    alerts.close()
    assert caplog.messages == ["KaavanAlerts failed on upload jumbo_1."]


# --- Koshik --------------------------------------------------------------------------------------


def test_a_finished_upload_is_announced_to_its_user() -> None:
    voice = Voice()
    owners = {"jumbo_1": 7, "jumbo_2": None}
    notices = KoshikNotices(voice, lambda it: owners[it.id])
    for event in [*OTHERS, finished(1), finished(2, filename="")]:
        notices(event)
    notices.close()
    assert voice.said == ["a<b>.mp4 is here.", "Your upload is here."]
    notice = {
        "upload_id": "jumbo_1",
        "filename": "a<b>.mp4",
        "size": 1234567,
        "size_uploaded": 3,
        "speech": {"text": "a<b>.mp4 is here."},
    }
    assert voice.queued == [(7, "success", notice)]


def test_nobody_is_notified_of_what_is_nobodys() -> None:
    voice = Voice()
    notices = KoshikNotices(voice)
    notices(finished())
    notices.close()
    assert (len(voice.said), voice.queued) == (1, [])


# --- where they live -----------------------------------------------------------------------------


def test_with_a_jumbo(tmp_path: Path) -> None:
    cms, voice, watch = Cms(), Voice(), Watch()
    adapters = [BabarStories(cms), KoshikNotices(voice), KaavanAlerts(watch, tmp_path)]
    with Jumbo(tmp_path, chunk_size=4, observers=adapters) as jumbo:
        upload_id = jumbo.start_upload("b.txt", 6)["upload_id"]
        jumbo.upload_chunk(upload_id, 1, b"56")
        with pytest.raises(ValueError, match="sha256"):
            jumbo.upload_chunk(upload_id, 0, b"1234", "0" * 64)
        jumbo.upload_chunk(upload_id, 0, b"1234")
    for adapter in adapters:
        adapter.close()
    assert [story["settings"]["upload_id"] for story in cms.stored] == [upload_id]
    assert voice.said == ["b.txt is here."]
    assert [(it.issue, it.metadata["upload_id"]) for it in watch.alerts] == [
        (KaavanAlerts.FAILED, upload_id)
    ]


FORKING = """
import os, sys
from tests.test_elephants import Voice, finished
from tusjumbo.elephants import KoshikNotices

notices = KoshikNotices(voice := Voice())
notices(finished(filename="before"))
notices.close()
notices(finished(filename="parent"))
child = os.fork()
if not child:
    notices(finished(filename="child"))
    notices.close()
    print("child:", *voice.said[1:], sep="\\n", flush=True)
    os._exit(0)
os.waitpid(child, 0)
notices(finished(filename="last"))
import atexit
atexit.register(lambda: print("parent:", *voice.said, sep="\\n"))
"""


@pytest.mark.wire
def test_a_forked_child_has_a_thread_of_its_own_and_nothing_is_lost_at_the_exit() -> None:
    done = subprocess.run(
        # Python 3.12 and later warn of forks beside threads, which is what this is about.
        [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", FORKING],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""
    child, parent = done.stdout.removeprefix("child:\n").split("parent:\n")
    assert "child is here." in child.splitlines()
    assert parent.splitlines() == [f"{it} is here." for it in ("before", "parent", "last")]
