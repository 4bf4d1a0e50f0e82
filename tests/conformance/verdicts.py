"""`python -m tests.conformance.verdicts README.md`: run the suite against tusjumbo and its peers.

What each row came to is kept in `verdicts.json`, and counted in a table of the document, between
two marks. The tests run the same servers and compare: so neither can go stale, and nobody has to
read dates. The table alone is written by `inserted`, from the file.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from conformance.generic import ROWS as GENERAL
from conformance.model import GROUPS, Verdict
from conformance.registry import cases
from tests.harness.peers import PEERS
from tests.harness.process import ROOT
from tests.harness.programs import running
from tusjumbo.cli.reference import replaced

Verdicts: TypeAlias = Mapping[str, str]
"""By row."""

BEGIN = "<!-- conformance: written by `make conformance` -->"
END = "<!-- end of conformance -->"
FILE = Path(__file__).with_name("verdicts.json")

PATIENCE = 600

OPTIONS = ("--stall", "8", "--timeout", "40")
"""No peer gives up a silent client at all; and one stops answering everybody for 30 s at times."""

_SERVE = (
    *(sys.executable, "-m", "tusjumbo", "serve", "--body-timeout", "2s"),
    *("--lock-timeout", "5s", "--max-size", "1GiB", "--log-level", "warning"),
)


def _serve(port: int, directory: Path) -> list[str]:
    return [*_SERVE, "--port", str(port), "--upload-dir", str(directory)]


def _peer(command: Sequence[str], port: int, directory: Path) -> list[str]:
    return [*command, str(port), str(directory)]


NAMES = ("tusjumbo", *(peer.name for peer in PEERS))
TITLES = {"tusjumbo": "tusjumbo"} | {
    peer.name: peer.packages[0].replace("==", " ").replace("r@", "r ") for peer in PEERS
}


def report(name: str, room: Path, *options: str) -> dict[str, Any]:
    """What `python -m conformance` says of a server of that name, started in `room`."""
    command = _serve
    for peer in PEERS:
        if peer.name == name:
            command = partial(_peer, peer.installed())
    with running(name, command, room) as (port, _):
        return asked(f"http://127.0.0.1:{port}/files/", room / "report.json", *OPTIONS, *options)


def asked(url: str, file: Path, *options: str) -> dict[str, Any]:
    """What it says of the server at `url`; `status` is its exit code."""
    done = subprocess.run(
        [sys.executable, "-m", "conformance", url, "--json", str(file), *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    found: dict[str, Any] = json.loads(file.read_text())
    return {**found, "status": done.returncode, "said": done.stdout}


def verdicts(report: Mapping[str, Any]) -> dict[str, str]:
    return {row["id"]: row["verdict"] for row in report["rows"]}


# --- the table ------------------------------------------------------------------------------------


def kept() -> dict[str, Verdicts]:
    """What was found when `make conformance` was last run."""
    found: dict[str, Verdicts] = json.loads(FILE.read_text())
    return found


def inserted(document: str, found: Mapping[str, Verdicts]) -> str:
    """`document` with the table of `found`.

    :raises ValueError: it does not have the two marks, once each and in order
    """
    return replaced(document, BEGIN, END, "\n".join(_table(found)))


def _table(found: Mapping[str, Verdicts]) -> Iterator[str]:
    groups: dict[str, list[str]] = {name: [] for name in GROUPS.values()}
    for row in (*GENERAL, *(case.row for case in cases())):
        groups[row.group].append(row.id)
    yield "| | " + " | ".join(TITLES[name] for name in found) + " |"
    yield "|---|" + "---|" * len(found)
    for group, ids in groups.items():
        cells = [_cell([rows[row] for row in ids]) for rows in found.values()]
        yield f"| {group} ({len(ids)}) | " + " | ".join(cells) + " |"
    everything = [_cell(list(rows.values())) for rows in found.values()]
    total = sum(map(len, groups.values()))
    yield f"| **together** ({total}) | " + " | ".join(f"**{cell}**" for cell in everything) + " |"


def _cell(came_to: Sequence[str]) -> str:
    count = {verdict: came_to.count(verdict.value) for verdict in Verdict}
    if count[Verdict.SKIP] == len(came_to):
        return "-"
    passed = count[Verdict.PASS] + count[Verdict.INFO]
    bad = (count[Verdict.FAIL], count[Verdict.WARN], count[Verdict.BLOCKED])
    return " / ".join(str(number) for number in (passed, *bad))


def main(arguments: Sequence[str]) -> None:
    found: dict[str, Verdicts] = {}
    for name in NAMES:
        with tempfile.TemporaryDirectory() as room:
            found[name] = verdicts(report(name, Path(room) / name))
    FILE.write_text(json.dumps(found, indent=0) + "\n")
    for path in map(Path, arguments):
        path.write_text(inserted(path.read_text(encoding="utf-8"), found), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
