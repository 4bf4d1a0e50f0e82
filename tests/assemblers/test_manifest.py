from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.assemblers.arrivals import arrived
from tusjumbo.application import FINAL_NAME, Assembled
from tusjumbo.assemblers.manifest import Manifest

NAMES = ["film.mp4", "a b", "-c", "ünï", "x(1)"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("content", [b"", b"content", b"x" * (3 * 1024 * 1024 + 1)])
async def test_coreutils_read_it(tmp_path: Path, content: bytes, name: str) -> None:
    made = await Manifest()(arrived(tmp_path, content, name="alice/film.mp4"))
    assert list(made.beside) == [".sha256"]
    assert made == Assembled(beside=made.beside)
    (tmp_path / name).write_bytes(content)
    line = made.beside[".sha256"].replace(FINAL_NAME, name.encode())
    command = ["sha256sum", "--", name]
    assert subprocess.run(command, cwd=tmp_path, check=True, capture_output=True).stdout == line
    (tmp_path / "manifest").write_bytes(line)
    subprocess.run(["sha256sum", "--check", "--strict", "manifest"], cwd=tmp_path, check=True)
    (tmp_path / name).write_bytes(content + b"!")
    checked = subprocess.run(["sha256sum", "--check", "manifest"], cwd=tmp_path)
    assert checked.returncode == 1
