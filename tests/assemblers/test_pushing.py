from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given
from hypothesis import strategies as st

from tests.assemblers.arrivals import arrived
from tests.assemblers.cancelling import Cut, cut_reading
from tests.assemblers.conftest import S3
from tests.assemblers.test_templates import arrival as shaped
from tests.assemblers.test_templates import hostile
from tusjumbo.application import Arrival, Assembled
from tusjumbo.assemblers import reading
from tusjumbo.assemblers.pushing import BLOCK, Push
from tusjumbo.errors import ConfigurationError

LARGE = bytes(range(256)) * (BLOCK // 256) + b"the rest"
"""More than one part."""
CONTENTS = {"empty": b"", "small": b"content", "large": LARGE}


@pytest.fixture
def memory() -> Iterator[MemoryFileSystem]:
    system = MemoryFileSystem()
    system.store.clear()
    yield system
    system.store.clear()


def files(directory: Path) -> dict[str, bytes]:
    found = (path for path in directory.rglob("*") if path.is_file())
    return {str(path.relative_to(directory)): path.read_bytes() for path in found}


def breaking(path: Path, size: int = 0) -> Iterator[bytes]:
    """Breaks off after more than a part."""
    yield LARGE
    raise OSError("the disk is broken")


# --- a bucket ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CONTENTS)
async def test_s3(tmp_path: Path, s3: S3, name: str) -> None:
    arrival = arrived(tmp_path, CONTENTS[name])
    push = Push("s3://incoming/{owner}/{id}/{filename}", **s3.options)
    for _ in range(2):
        assert await push(arrival) == Assembled(elsewhere="s3://incoming/alice/jumbo_1/film.mp4")
        assert s3.objects() == {"alice/jumbo_1/film.mp4": CONTENTS[name]}
    assert s3.uploads() == []
    assert list(arrival.workspace.iterdir()) == []
    assert arrival.path.read_bytes() == CONTENTS[name]


async def test_s3_from_the_environment(
    tmp_path: Path, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.options["endpoint_url"])
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    made = await Push("s3://incoming/{owner}/{filename}")(arrived(tmp_path))
    assert made.elsewhere == "s3://incoming/alice/film-jumbo_1.mp4"
    assert s3.objects() == {"alice/film-jumbo_1.mp4": b"content"}


async def test_s3_nothing_of_half_a_file(
    tmp_path: Path, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    push = Push("s3://incoming/{id}", **s3.options)
    arrival = arrived(tmp_path, LARGE * 2)
    monkeypatch.setattr("tusjumbo.assemblers.pushing.pieces", breaking)
    with pytest.raises(OSError, match="broken"):
        await push(arrival)
    assert (s3.objects(), s3.uploads()) == ({}, [])
    monkeypatch.setattr("tusjumbo.assemblers.pushing.pieces", reading.pieces)
    await push(arrival)
    assert s3.objects() == {"jumbo_1": LARGE * 2}


@pytest.mark.parametrize("cut", Cut)
async def test_s3_cancelled(
    tmp_path: Path, s3: S3, monkeypatch: pytest.MonkeyPatch, cut: Cut
) -> None:
    push = Push("s3://incoming/{id}", **s3.options)
    assert await cut_reading(cut, push, arrived(tmp_path, LARGE), monkeypatch, "pushing") == 2
    assert (s3.objects(), s3.uploads()) == ({}, [])


async def test_s3_no_bucket(tmp_path: Path, s3: S3) -> None:
    with pytest.raises(OSError, match="bucket"):
        await Push("s3://nowhere/{id}", **s3.options)(arrived(tmp_path))


async def test_s3_a_hostile_owner(tmp_path: Path, s3: S3) -> None:
    arrival = arrived(tmp_path, owner="../x?versionId=1::file:///[a]*")
    await Push("s3://incoming/in/{owner}/{id}", **s3.options)(arrival)
    (key,) = s3.objects()
    assert key.startswith("in/")
    assert key.count("/") == 2
    assert key.endswith("/jumbo_1")


# --- file systems --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CONTENTS)
async def test_a_directory(tmp_path: Path, name: str) -> None:
    arrival = arrived(tmp_path, CONTENTS[name])
    out = tmp_path / "out"
    push = Push(f"file://{out}/{{owner}}/{{id}}/{{filename}}")
    for _ in range(2):
        made = await push(arrival)
        assert made == Assembled(elsewhere=f"file://{out}/alice/jumbo_1/film.mp4")
        assert files(out) == {"alice/jumbo_1/film.mp4": CONTENTS[name]}


async def test_a_directory_never_has_half_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    push = Push(f"file://{out}/{{id}}")
    arrival = arrived(tmp_path)
    seen: list[set[str]] = []

    def watched(path: Path, size: int = 0) -> Iterator[bytes]:
        yield b"con"
        seen.append(set(files(out)))
        yield b"tent"

    monkeypatch.setattr("tusjumbo.assemblers.pushing.pieces", watched)
    await push(arrival)
    assert seen == [{".jumbo_1.part"}]
    assert files(out) == {"jumbo_1": b"content"}
    monkeypatch.setattr("tusjumbo.assemblers.pushing.pieces", breaking)
    with pytest.raises(OSError, match="broken"):
        await push(arrival)
    assert files(out) == {"jumbo_1": b"content"}


async def test_a_directory_after_a_kill(tmp_path: Path) -> None:
    """What a killed process had written is written over."""
    out = tmp_path / "out"
    out.mkdir()
    (out / ".jumbo_1.part").write_bytes(b"more than it was")
    await Push(f"file://{out}/{{id}}")(arrived(tmp_path))
    assert files(out) == {"jumbo_1": b"content"}


@pytest.mark.parametrize("cut", Cut)
async def test_a_directory_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: Cut
) -> None:
    out = tmp_path / "out"
    push, arrival = Push(f"file://{out}/{{id}}"), arrived(tmp_path, LARGE)
    assert await cut_reading(cut, push, arrival, monkeypatch, "pushing") == 2
    assert files(out) == {}


@pytest.mark.parametrize("scheme", ["file", "memory"])
async def test_too_few_bytes(
    tmp_path: Path, memory: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    root = str(tmp_path / "out") if scheme == "file" else "out"
    monkeypatch.setattr("tusjumbo.assemblers.pushing.pieces", lambda path: iter([b"cont"]))
    with pytest.raises(OSError, match="4 of 7 bytes"):
        await Push(f"{scheme}://{root}/{{id}}")(arrived(tmp_path))


async def test_a_file_system_of_fsspec(tmp_path: Path, memory: MemoryFileSystem) -> None:
    arrival = arrived(tmp_path, LARGE, owner="[a-c]", metadata={"x": b"*"})
    push = Push("memory://in/{owner}/{metadata[x]}/{filename}")
    for _ in range(2):
        made = await push(arrival)
        assert made.elsewhere == "memory://in/[a-c]/_/film-jumbo_1.mp4"
        assert {path: memory.cat_file(path) for path in memory.find("/")} == {
            "/in/[a-c]/_/film-jumbo_1.mp4": LARGE
        }


async def test_a_file_system_never_has_half_a_file(
    tmp_path: Path, memory: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tusjumbo.assemblers.pushing.pieces", breaking)
    with pytest.raises(OSError, match="broken"):
        await Push("memory://in/{id}")(arrived(tmp_path))
    assert memory.find("/") == []


# --- keys ----------------------------------------------------------------------------------------


async def test_it_may_stay(tmp_path: Path) -> None:
    push = Push(f"file://{tmp_path}/out/{{id}}", keep=True)
    assert await push(arrived(tmp_path)) == Assembled()
    assert files(tmp_path / "out") == {"jumbo_1": b"content"}


async def test_nobody_overwrites_anothers(tmp_path: Path) -> None:
    push = Push(f"file://{tmp_path}/out/{{filename}}")
    await push(arrived(tmp_path, b"one", upload_id="jumbo_1"))
    await push(arrived(tmp_path, b"two", upload_id="jumbo_2"))
    await push(arrived(tmp_path, b"three", upload_id="jumbo_3", name="README"))
    assert files(tmp_path / "out") == {
        "film-jumbo_1.mp4": b"one",
        "film-jumbo_2.mp4": b"two",
        "README-jumbo_3": b"three",
    }


@given(name=hostile, owner=st.none() | hostile)
def test_keys_have_the_id_and_fit(name: str, owner: str | None) -> None:
    one = shaped(name, owner)
    one = replace(one, session=replace(one.session, id="i" * 128))
    key = Push("file:///out/{owner}/{filename}")._key(one)
    assert key.count("/") == 1
    assert "i" * 128 in key
    assert max(len(part.encode()) for part in key.split("/")) <= 255


def test_passwords_are_not_told(memory: MemoryFileSystem) -> None:
    assert Push("memory://me:secret@host/{id}")._public_root == "memory://host"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "has to be like"),
        ("bucket/{id}", "has to be like"),
        ("s3://{owner}/{id}", "has to be like"),
        ("s3://", "has to be like"),
        ("file://{owner}/x", "has to be like"),
        ("file://host/{id}", "has to be like"),
        ("simplecache::s3://bucket/{id}", "has to be like"),
        ("memory://in::s3://bucket/{id}", "has to be like"),
        ("s3://bucket/", "a path like"),
        ("s3://bucket/../{id}", "has to be like"),
        ("file:////srv/{id}", "has to be like"),
        ("s3:///{id}", "has to be like"),
        ("memory://{id}", "has to be like"),
        ("://x/{id}", "has to be like"),
        ("s3://bucket/{who}", "there is no {who}"),
        ("nosuch://bucket/{id}", "nosuch:// needs more: pip install fsspec"),
    ],
)
def test_addresses_that_cannot_work(url: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Push(url)
    assert said in str(caught.value)


def test_a_directory_has_no_options() -> None:
    with pytest.raises(ConfigurationError, match="no options key"):
        Push("file:///tmp/{id}", key="x")


def test_what_is_to_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr("tusjumbo.assemblers.pushing.import_module", missing)
    with pytest.raises(ConfigurationError, match=r"s3:// needs more: pip install 'tusjumbo\[s3\]'"):
        Push("s3://bucket/{id}")
    Push("file:///tmp/{id}")


async def test_connected_once_in_each_process(
    tmp_path: Path, memory: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    init = MemoryFileSystem.__init__

    def counted(self: MemoryFileSystem, *args: Any, **kwargs: Any) -> None:
        made.append(os.getpid())
        init(self, *args, **kwargs)

    monkeypatch.setattr(MemoryFileSystem, "__init__", counted)
    push = Push("memory://in/{id}")
    assert made == []
    arrival: Arrival = arrived(tmp_path)
    await push(arrival)
    await push(arrival)
    assert len(made) == 1
    monkeypatch.setattr("tusjumbo.assemblers.pushing.os.getpid", lambda: -1)
    await push(arrival)
    assert made[1:] == [-1]
