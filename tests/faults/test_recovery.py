"""kill -9 in the middle of `tusjumbo recover`: the upload can be recovered, set aside and removed.

The process kills itself at one of the steps, so that each of them is met every time.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.harness.process import ROOT
from tusjumbo import Jumbo

pytestmark = [pytest.mark.campaign, pytest.mark.timeout(120)]

PIECE = bytes(range(256)) * 4

KILLED = """
import os, signal, sys
from tusjumbo import directories
from tusjumbo.catalogs.sqlite import SqliteCatalog
from tusjumbo.cli import main
from tusjumbo.engine.observers import Observers

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

places = {
    "before the bytes are back": (os, "rename"),
    "before they are durable": (directories, "sync"),
    "before it is recorded": (SqliteCatalog, "update"),
    "before it is told": (Observers, "tell"),
}
setattr(*places[sys.argv[1]], die)
main(["recover", sys.argv[3], "--upload-dir", sys.argv[2]])
"""


def _tusjumbo(*arguments: str) -> str:
    ran = subprocess.run(
        (sys.executable, "-m", "tusjumbo", *arguments),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return ran.stdout


def _set_aside(directory: Path) -> str:
    """An upload of three chunks with the middle one, in `abandoned/`."""
    an_hour_ago = time.time() - 3600
    with Jumbo(
        directory, chunk_size=len(PIECE), expire_after="1h", clock=lambda: an_hour_ago
    ) as jumbo:
        started = jumbo.start_upload("x.bin", 3 * len(PIECE))
        upload_id = str(started["upload_id"])
        jumbo.upload_chunk(upload_id, 1, PIECE)
    assert f"set aside: {upload_id}" in _tusjumbo("sweep", "--upload-dir", str(directory))
    assert _places(directory, upload_id) == ["abandoned"]
    return upload_id


def _places(directory: Path, upload_id: str) -> list[str]:
    return [room for room in ("sessions", "abandoned") if (directory / room / upload_id).exists()]


@pytest.mark.parametrize(
    ("place", "then"),
    [
        ("before the bytes are back", ["abandoned"]),
        ("before they are durable", ["sessions"]),
        ("before it is recorded", ["sessions"]),
        ("before it is told", ["sessions"]),
    ],
)
@pytest.mark.parametrize("after", ["recovered", "tidied"])
def test_killed_while_recovering(tmp_path: Path, place: str, then: list[str], after: str) -> None:
    upload_id = _set_aside(tmp_path)
    killed = subprocess.run(
        (sys.executable, "-c", KILLED, place, str(tmp_path), upload_id), cwd=ROOT, timeout=60
    )
    assert killed.returncode == -signal.SIGKILL
    assert _places(tmp_path, upload_id) == then
    is_recorded = place == "before it is told"
    if after == "tidied":
        if then == ["sessions"]:
            os.utime(tmp_path / "sessions" / upload_id, (1.0, 1.0))
        _tusjumbo("sweep", "--upload-dir", str(tmp_path))
        assert _places(tmp_path, upload_id) == (["sessions"] if is_recorded else ["abandoned"])
    if not is_recorded:
        assert _tusjumbo("recover", upload_id, "--upload-dir", str(tmp_path)).startswith(
            f"recovered: {upload_id} x.bin, 1.0 KiB of 3.0 KiB"
        )
    with Jumbo(tmp_path) as jumbo:
        assert jumbo.resume_upload(upload_id)["chunks_received"] == [1]
        for number in (2, 0):
            jumbo.upload_chunk(upload_id, number, PIECE)
    assert (tmp_path / "completed" / "x.bin").read_bytes() == PIECE * 3
    assert _places(tmp_path, upload_id) == []
