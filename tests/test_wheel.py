"""What would be published: each package with what it needs, its command, and nothing else.

The conformance suite is a distribution of its own (conformance/pyproject.toml): people who serve do
not get it, and people who test another server do not get tusjumbo.
"""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import conformance

ROOT = Path(__file__).parents[1]


@dataclass
class Wheel:
    files: set[str]
    """Those of the package."""
    metadata: str
    entry_points: str


def built(directory: Path, to: Path) -> Wheel:
    """The wheel that the project in `directory` makes."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", to],
        cwd=directory,
        check=True,
        capture_output=True,
    )
    (wheel,) = to.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()

        def text(ending: str) -> str:
            (name,) = [name for name in names if name.endswith(ending)]
            return archive.read(name).decode()

        return Wheel(
            {name for name in names if ".dist-info/" not in name},
            text(".dist-info/METADATA"),
            text(".dist-info/entry_points.txt"),
        )


def _files(package: str, pattern: str) -> set[str]:
    return {str(path.relative_to(ROOT)) for path in (ROOT / package).rglob(pattern)}


def _required(metadata: str) -> set[str]:
    """The names of what is installed with it, extras left out."""
    lines = re.findall(r"^Requires-Dist: (.*)$", metadata, re.MULTILINE)
    return {re.split(r"[^\w.-]", line)[0] for line in lines if "extra ==" not in line}


def test_the_wheel_has_the_package_its_types_and_the_command(tmp_path: Path) -> None:
    wheel = built(ROOT, tmp_path)
    assert "tusjumbo = tusjumbo.cli:main" in wheel.entry_points
    assert "# tusjumbo" in wheel.metadata
    assert "h11" not in _required(wheel.metadata)
    pages = _files("tusjumbo/web/pages", "*")
    assert "tusjumbo/web/pages/jumbo.js" in pages
    assert wheel.files == _files("tusjumbo", "*.py") | pages | {"tusjumbo/py.typed"}


def test_the_suites_wheel_has_the_suite_alone(tmp_path: Path) -> None:
    wheel = built(ROOT / "conformance", tmp_path)
    assert "tus-conformance = conformance.cli:main" in wheel.entry_points
    assert f"Version: {conformance.__version__}\n" in wheel.metadata
    assert "# A conformance suite for tus 1.0 servers" in wheel.metadata
    assert _required(wheel.metadata) == {"h11"}
    page = {"conformance/reports/page.css", "conformance/reports/page.js"}
    assert wheel.files == _files("conformance", "*.py") | page


def test_the_suite_runs_from_its_wheel(tmp_path: Path) -> None:
    built(ROOT / "conformance", tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    program = f"""
import sys
sys.path.insert(0, {str(wheel)!r})
import conformance.cli, conformance.reports.page
assert conformance.__file__.startswith({str(wheel)!r})
assert conformance.reports.page._asset("page.css")
sys.exit(conformance.cli.main(["--list", "--only", "PATCH-01"]))
"""
    done = subprocess.run(
        [sys.executable, "-I", "-c", program], check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("PATCH-01 ")
