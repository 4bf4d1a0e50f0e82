"""What would be published: the package with its types, the command, and nothing else."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_wheel_has_the_package_its_types_and_the_command(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (entry_points,) = [name for name in names if name.endswith("/entry_points.txt")]
        assert "tusjumbo = tusjumbo.cli:main" in archive.read(entry_points).decode()
        (metadata,) = [name for name in names if name.endswith("/METADATA")]
        assert "# tusjumbo" in archive.read(metadata).decode()
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "tusjumbo").rglob("*.py")}
    assert {name for name in names if ".dist-info/" not in name} == modules | {"tusjumbo/py.typed"}
