"""Beside flask-tsk 2.0.4 as PyPI has it: its examples, its herd, and three of its elephants."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.flask.apps import FOUND
from tests.harness.process import ROOT
from tusjumbo.elephants import KaavanAlerts

Found = dict[str, Any]


@pytest.fixture(scope="module", name="found")
def _found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    home = tmp_path_factory.mktemp("herd")
    environment = {"HOME": str(home), "TMPDIR": str(home), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "tests.flask.herd", str(home)],
        cwd=home,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-6000:]
    assert "Traceback" not in done.stderr, done.stderr[-6000:]
    found: Found = json.loads((home / FOUND).read_text())
    return found


def test_the_api_example_works_with_ours(found: Found) -> None:
    told = found["api_service"]
    statuses, answers = zip(*told["answers"], strict=True)
    assert statuses == (401, 200, 200, 200, 500, 200)
    assert answers[1]["chunks_expected"] == 3
    assert [answers[it]["result"]["status"] for it in (2, 3, 5)] == [
        "uploading",
        "uploading",
        "completed",
    ]
    # The example has one answer for all errors; the reason is ours.
    assert answers[4] == {"error": "This upload has no chunk 9: it has 3, counted from 0."}
    assert told["content"] is True


def test_and_did_not_with_its_own(found: Found) -> None:
    """So that nobody takes the first test for a matter of course."""
    told = found["api_service_with_their_own"]
    assert told["answers"][1] == [500, {"error": "'chunks_expected'"}]
    assert told["content"] is False


def test_the_other_examples_begin_uploads(found: Found) -> None:
    told = found["form_examples"]
    assert told["answers"] == [302] * 4  # redirects to what was made
    assert told["uploads"] == [
        ["avatar-SocialNetworkExample.png", 250],
        ["image-EcommerceExample.png", 250],
        ["image-PortfolioExample.png", 250],
        ["image-SocialNetworkExample.png", 250],
    ]


def test_theirs_finds_ours(found: Found) -> None:
    assert found["their_herd"] == {
        "get_jumbo": True,
        "get_jumbo_upload": True,
        "status": {"available": True, "type": "Jumbo"},
        "statistics": 0,
    }


def test_permissions_are_those_of_the_herd(found: Found) -> None:
    """Start, look, cancel: for nobody known, a user, and an administrator."""
    assert found["permissions"] == [[401, 401, 401], [201, 200, 403], [201, 200, 200]]


def test_babar_has_the_story(found: Found) -> None:
    told = found["adapters"]
    upload_id = told["ids"]["finished"]
    assert told["stories"] == [{"title": "<Film>.mp4", "type": "story", "status": "draft"}]
    (content,), (settings,) = told["content"], told["settings"]
    assert upload_id in content
    assert "<Film>" not in content
    assert settings["upload_id"] == upload_id
    assert settings["path"].startswith("completed/")
    assert settings["size"] == 250


def test_kaavan_has_the_alerts_and_the_figures(found: Found) -> None:
    told = found["adapters"]
    # Alerts have a thread of their own; figures are handed over at once, and may overtake them.
    assert sorted(told["alerts"], key=lambda it: str(it[0])) == [
        [KaavanAlerts.ABANDONED, "warning", told["ids"]["lost"]],
        [KaavanAlerts.FAILED, "error", told["ids"]["finished"]],
        [KaavanAlerts.FIGURES, "info", None],
    ]
    assert told["figures"]["active_uploads"] == 1
    assert told["figures"]["completed_today"] == 1
    assert told["figures"]["free_space"] > 0


def test_koshik_has_the_notice(found: Found) -> None:
    (notice,) = found["adapters"]["notices"]
    assert (notice["user_id"], notice["sound_type"]) == (7, "celebration")
    assert notice["options"]["upload_id"] == found["adapters"]["ids"]["finished"]
    assert notice["options"]["speech"]["text"] == "<Film>.mp4 is here."
