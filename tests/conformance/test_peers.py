"""The suite finds the faults of other servers that /work/shared/PEERS.md lists, and nobody else's.

Each peer is run as its README says, and the suite as anybody would run it. What PEERS.md says of a
peer is a row of `FAULTS`, found by reading its source before there was a suite. That all other
verdicts are those of `verdicts.json` keeps the README's table true.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from conformance.generic import ROWS as GENERAL
from conformance.registry import cases
from tests.conformance import verdicts
from tests.conformance.verdicts import NAMES, TITLES, inserted, kept, report
from tests.harness.peers import PEERS
from tests.harness.process import ROOT

NODE, TUSPYSERVER, TUSSI, RESUMABLE = (peer.name for peer in PEERS)

FAULTS: tuple[tuple[str, str, str, str], ...] = (
    # --- @tus/server ---
    (NODE, "CORE-01", "fail", "1.1 [20]: a wrong version is answered 400"),
    (NODE, "CORE-02", "fail", "1.1 [20]: a wrong version is answered 400"),
    (NODE, "CORE-04", "fail", "1.1 [20]: a wrong version is answered 400"),
    (NODE, "OVR-01", "fail", "1.1: X-HTTP-Method-Override is not implemented"),
    (NODE, "OVR-02", "fail", "1.1: X-HTTP-Method-Override is not implemented"),
    (NODE, "OVR-03", "fail", "1.1: X-HTTP-Method-Override is not implemented"),
    (NODE, "CONC-02", "skip", "1.1: no concatenation (501)"),
    (NODE, "CSUM-03", "skip", "1.1: no checksum"),
    (NODE, "PATCH-06", "warn", "1.1: a wrong type is answered 400, a missing one 403"),
    (NODE, "PATCH-20", "warn", "1.6: no read timeout"),
    (NODE, "META-04", "warn", "tus-1.0.md 12: an empty Upload-Metadata is answered 400"),
    (NODE, "META-12", "fail", "tus-1.0.md META-12: values go through UTF-8, which loses bytes"),
    (NODE, "DEFER-09", "warn", "tus-1.0.md 12: a repeated Upload-Length is answered 400"),
    # --- tuspyserver ---
    (TUSPYSERVER, "CORE-08", "fail", "tus-1.0.md CORE-08: OPTIONS checks the version"),
    (TUSPYSERVER, "HEAD-01", "fail", "1.1 [2]: HEAD demands filename and filetype, else 400"),
    (TUSPYSERVER, "HEAD-03", "fail", "1.1 [2]: HEAD demands filename and filetype, else 400"),
    (TUSPYSERVER, "PATCH-13", "warn", "3.1: Content-Length is required: chunked PATCH is 422"),
    (TUSPYSERVER, "PATCH-22", "warn", "3.1: the body is read before version and type are checked"),
    (TUSPYSERVER, "CREATE-05", "fail", "1.1 [8]: neither length nor defer is required"),
    (TUSPYSERVER, "CREATE-09", "fail", "3.1: max_size is not checked at creation"),
    (TUSPYSERVER, "DEFER-10", "warn", "3.1: a deferred length may be below the offset"),
    (TUSPYSERVER, "CORE-13", "info", "1.1: OPTIONS only on the endpoint"),
    (TUSPYSERVER, "LOCK-02", "warn", "1.3 [5]: two PATCHes to one upload stop the server for 30 s"),
    (TUSPYSERVER, "CSUM-03", "skip", "3.1: no checksum"),
    # --- tussi ---
    (TUSSI, "HEAD-02", "fail", "1.1 [3]: a finished upload leaves, and HEAD is 404"),
    (TUSSI, "PATCH-11", "warn", "3.2: an interrupted PATCH keeps nothing"),
    (TUSSI, "PATCH-13", "warn", "3.2: Content-Length is required"),
    (TUSSI, "PATCH-16", "warn", "1.1: PATCH on a complete upload is 404"),
    (TUSSI, "PATCH-20", "warn", "1.6: no read timeout"),
    (TUSSI, "CORS-01", "warn", "3.2: no CORS"),
    (TUSSI, "TERM-01", "skip", "3.2: no DELETE"),
    (TUSSI, "DEFER-03", "skip", "3.2: no defer"),
    # --- resumable-upload ---
    (RESUMABLE, "PATCH-11", "warn", "3.3: a disconnect throws away everything received"),
    (RESUMABLE, "PATCH-16", "warn", "3.3: PATCH on a complete upload is 403"),
    (RESUMABLE, "PATCH-20", "warn", "1.6: no read timeout over ASGI"),
    (RESUMABLE, "PATCH-22", "warn", "3.3: limits are tested after the body was buffered"),
    (RESUMABLE, "CWU-07", "fail", "1.1 [7]: a POST body is not bounded by Upload-Length"),
    (RESUMABLE, "CWU-10", "warn", "1.1 [7]: Upload-Checksum is ignored on POST"),
    (RESUMABLE, "DEFER-05", "fail", "1.1 [9]: Upload-Length must be on the first PATCH"),
    (RESUMABLE, "TRAIL-02", "skip", "1.1: trailers not over ASGI"),
    (RESUMABLE, "UNFIN-03", "pass", "1.1: the only one with concatenation-unfinished"),
)

UNSTEADY: dict[str, frozenset[str]] = {
    # It closes right behind a 431, which then may be lost on its way.
    NODE: frozenset({"META-14"}),
    # As strict as the base64 of the Python that runs it (3.11 or 3.13).
    RESUMABLE: frozenset({"META-06"}),
    # While it waits for a lock it answers nobody, and who is hit by that is chance.
    TUSPYSERVER: frozenset({"LOCK-03", "LOCK-04", "LOCK-05", "CONC-20", "CONC-22", "PATCH-19"}),
}
"""Rows whose verdict is not always the same."""

ROWS = [row.id for row in GENERAL] + [case.row.id for case in cases()]


@pytest.mark.wire
@pytest.mark.timeout(verdicts.PATIENCE)
@pytest.mark.parametrize("name", NAMES[1:])
def test_the_suite_finds_the_faults_of(name: str, tmp_path: Path) -> None:
    found = report(name, tmp_path / "room")
    came_to = verdicts.verdicts(found)
    wrong = [
        f"{row}: {came_to[row]}, not {verdict}, although {sentence}"
        for peer, row, verdict, sentence in FAULTS
        if peer == name and came_to[row] != verdict
    ]
    assert wrong == []
    assert found["status"] == 1
    unsteady = UNSTEADY.get(name, frozenset())
    changed = {
        row: (verdict, kept()[name].get(row))
        for row, verdict in came_to.items()
        if row not in unsteady and verdict != kept()[name].get(row)
    }
    assert changed == {}, "run `make conformance`"


def test_every_fault_has_a_row() -> None:
    assert {row for _, row, _, _ in FAULTS} - set(ROWS) == set()


# --- the table of the README ---------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_every_row_has_been_run(name: str) -> None:
    assert list(kept()[name]) == ROWS, "run `make conformance`"


def test_the_table_is_made_of_what_was_found() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert inserted(readme, kept()) == readme, "run `make conformance`"


def test_the_cells_of_the_table() -> None:
    rows = dict.fromkeys(ROWS, "skip") | {
        "TERM-01": "fail",
        "TERM-02": "warn",
        "TERM-03": "blocked",
        "TERM-05": "pass",
        "TERM-07": "info",
    }
    document = f"before\n{verdicts.BEGIN}\nold\n{verdicts.END}\nafter"
    made = inserted(document, {NAMES[0]: rows, NAMES[1]: dict.fromkeys(ROWS, "pass")})
    lines = made.splitlines()
    assert (lines[0], lines[-1]) == ("before", "after")
    assert lines[3] == f"| | {TITLES[NAMES[0]]} | {TITLES[NAMES[1]]} |"
    assert any(line.startswith("| termination (") and "| 2 / 1 / 1 / 1 |" in line for line in lines)
    assert any(line.startswith("| core (") and "| - |" in line for line in lines)
    assert f"**{len(ROWS)} / 0 / 0 / 0** |" in made
    assert "old" not in made
    with pytest.raises(ValueError, match="the document needs"):
        inserted(f"{verdicts.END} {verdicts.BEGIN}", kept())
