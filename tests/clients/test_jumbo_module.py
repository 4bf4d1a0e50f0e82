"""`jumbo.js` by itself: its tests in Node (`js/jumbo.test.mjs`), and its types."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.clients.driver import JS
from tests.harness.process import ROOT

MODULE = ROOT / "tusjumbo" / "web" / "pages" / "jumbo.js"


def test_in_node() -> None:
    command = ("node", "--test", "--test-timeout", "20000", "--test-reporter", "tap")
    ran = subprocess.run(
        (*command, "jumbo.test.mjs"), cwd=JS, capture_output=True, text=True, timeout=120
    )
    assert ran.returncode == 0, ran.stdout[-10_000:]
    counts = dict(re.findall(r"^# (\w+) (\d+)$", ran.stdout, re.MULTILINE))
    assert int(counts["pass"]) > 100
    assert counts["skipped"] == counts["todo"] == counts["fail"] == "0"


def test_types() -> None:
    """JSDoc's, by TypeScript: inside, and as those see them who use it (`js/uses.ts`)."""
    ran = subprocess.run(
        ("node_modules/.bin/tsc", "-p", "."), cwd=JS, capture_output=True, text=True, timeout=120
    )
    assert ran.returncode == 0, ran.stdout


@pytest.mark.parametrize(
    "banned", [r"\bimport\b(?!\.meta)", r"\beval\b", r"\bFunction\(", r"https?://", r"innerHTML"]
)
def test_it_depends_on_nothing(banned: str) -> None:
    """One file, for pages that may load nothing else and run no text."""
    code = re.sub(r"/\*.*?\*/|^ *//[^\n]*", "", MODULE.read_text(), flags=re.MULTILINE | re.DOTALL)
    assert "export class JumboUploader" in code
    assert re.findall(banned, code) == []
