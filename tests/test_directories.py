from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from tusjumbo import directories
from tusjumbo.settings import Durability


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The directories that were synced, in order."""
    found: list[Path] = []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        found.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    return found


def test_what_is_made_is_listed(tmp_path: Path, synced: list[Path]) -> None:
    for _ in range(2):
        directories.make(tmp_path / "a" / "b" / "c", Durability.COMMIT)
    assert (tmp_path / "a" / "b" / "c").is_dir()
    assert synced == [tmp_path, tmp_path / "a", tmp_path / "a" / "b"]


def test_nothing_is_synced_that_need_not_be(tmp_path: Path, synced: list[Path]) -> None:
    directories.make(tmp_path / "a" / "b", Durability.OS)
    directories.sync(tmp_path, Durability.OS)
    directories.sync(tmp_path / "missing", Durability.OS)
    assert (tmp_path / "a" / "b").is_dir()
    assert synced == []


@pytest.mark.parametrize("durability", Durability)
def test_relative_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, durability: Durability
) -> None:
    monkeypatch.chdir(tmp_path)
    directories.make(Path("a/b"), durability)
    directories.make(Path(), durability)
    assert (tmp_path / "a" / "b").is_dir()


def test_what_could_not_be_listed_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.EIO, "injected")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="injected"):
            directories.make(tmp_path / "a", Durability.COMMIT)
        assert not (tmp_path / "a").exists()
    directories.make(tmp_path / "a", Durability.COMMIT)
    assert (tmp_path / "a").is_dir()


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        directories.make(tmp_path / "file" / "a", Durability.OS)


def test_a_missing_directory_cannot_be_synced(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        directories.sync(tmp_path / "missing", Durability.COMMIT)


def test_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The working directory is gone."""
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(FileNotFoundError):
        directories.make(Path("a/b"), Durability.OS)
