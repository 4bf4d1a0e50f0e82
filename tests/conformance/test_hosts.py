"""tusjumbo passes every row, wherever it lives: no FAIL, no WARN, nothing blocked.

Real processes on real sockets. Which rows do not apply to a host, and the few that it cannot keep,
are said in the table of hosts, exactly: a row that is skipped for another reason, or that passes
although it is excused, fails the test.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conformance import verdicts
from tests.conformance.hosts import HOSTS, WITH_EVERYTHING, Host
from tests.conformance.verdicts import NAMES, asked, kept, report
from tests.harness.programs import running

BAD = ("fail", "warn", "blocked")


def _bad(found: dict[str, Any]) -> dict[str, Any]:
    """What is to be told of the rows that are not as they should be."""
    return {
        row["id"]: (row["verdict"], row["blocked"], [one["text"] for one in row["findings"]])
        for row in found["rows"]
        if row["verdict"] in BAD
    }


def _skipped(found: dict[str, Any]) -> set[str]:
    return {row["id"] for row in found["rows"] if row["verdict"] == "skip"}


@pytest.mark.wire
@pytest.mark.timeout(verdicts.PATIENCE)
@pytest.mark.parametrize("host", HOSTS, ids=lambda host: host.name)
def test_every_row_passes(host: Host, tmp_path: Path) -> None:
    with running(host.name, host.command, tmp_path / "room") as (port, _):
        url = f"http://127.0.0.1:{port}/files/"
        found = asked(url, tmp_path / "report.json", "--stall", "8", *host.asks)
    assert {row: why for row, why in _bad(found).items() if row not in host.excused} == {}
    assert set(_bad(found)) == set(host.excused)
    assert _skipped(found) == host.skipped


@pytest.mark.wire
@pytest.mark.timeout(verdicts.PATIENCE)
def test_the_strictest_of_runs(tmp_path: Path) -> None:
    found = report(NAMES[0], tmp_path / "room", "--strict", "--strict-clients")
    assert _bad(found) == {}
    assert found["status"] == 0
    assert _skipped(found) == WITH_EVERYTHING
    assert verdicts.verdicts(found) == kept()[NAMES[0]], "run `make conformance`"


@pytest.mark.wire
def test_what_expires(tmp_path: Path) -> None:
    def command(port: int, directory: Path) -> list[str]:
        serve = [sys.executable, "-m", "tusjumbo", "serve", "--expire-after", "3s"]
        return [*serve, "--sweep-every", "1s", "--port", str(port), "--upload-dir", str(directory)]

    with running("serve", command, tmp_path / "room") as (port, _):
        url = f"http://127.0.0.1:{port}/files/"
        known = ("--only", "EXP-*", "--expiry-seconds", "3", "--strict", "--strict-clients")
        found = asked(url, tmp_path / "report.json", *known)
    assert (_bad(found), _skipped(found), found["status"]) == ({}, set(), 0)
    assert len(found["rows"]) == 10
