from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.assemblers.arrivals import arrived
from tusjumbo.application import Assembled
from tusjumbo.assemblers.manifest import Manifest, line

NAMES = ["film.mp4", " a b ", "-c", "\\", "a\\nb", "line\nend", "back\r\\slash", "ünï", "*x"]


@pytest.mark.parametrize("name", NAMES)
def test_coreutils_read_it(tmp_path: Path, name: str) -> None:
    """`line` is what they write, and what they check."""
    (tmp_path / name).write_bytes(b"content")
    command = ["sha256sum", "--", name]
    theirs = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True).stdout
    digest = bytes.fromhex(theirs.decode().lstrip("\\").split()[0])
    assert line(digest, name) == theirs
    (tmp_path / "manifest").write_bytes(line(digest, name))
    subprocess.run(["sha256sum", "--check", "--strict", "manifest"], cwd=tmp_path, check=True)


@pytest.mark.parametrize("content", [b"", b"content", b"x" * (3 * 1024 * 1024 + 1)])
async def test_beside(tmp_path: Path, content: bytes) -> None:
    made = await Manifest()(arrived(tmp_path, content, name="alice/film.mp4"))
    assert list(made.beside) == [".sha256"]
    assert made == Assembled(beside=made.beside)
    (tmp_path / "film.mp4").write_bytes(content)
    (tmp_path / "manifest").write_bytes(made.beside[".sha256"])
    subprocess.run(["sha256sum", "--check", "--strict", "manifest"], cwd=tmp_path, check=True)
    (tmp_path / "film.mp4").write_bytes(content + b"!")
    checked = subprocess.run(["sha256sum", "--check", "manifest"], cwd=tmp_path)
    assert checked.returncode == 1
