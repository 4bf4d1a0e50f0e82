"""Copies inside the kernel, what is done where it cannot, and the proof that no byte leaves it."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tusjumbo.errors import StorageFailed, StorageFull
from tusjumbo.settings import Durability
from tusjumbo.stores import copying, writing
from tusjumbo.stores.local import LocalStore
from tusjumbo.testing.stores import DATA, full, opened, put

UNABLE = [errno.ENOSYS, errno.EPERM, errno.EXDEV, errno.EOPNOTSUPP, errno.EINVAL]


@pytest.fixture
def files(tmp_path: Path) -> Iterator[tuple[int, int]]:
    """A source with DATA, and an empty target."""
    (tmp_path / "source").write_bytes(DATA)
    source = os.open(tmp_path / "source", os.O_RDONLY)
    target = os.open(tmp_path / "target", os.O_RDWR | os.O_CREAT)
    yield source, target
    os.close(source)
    os.close(target)


def content(file: int) -> bytes:
    return os.pread(file, 1 << 20, 0)


def test_bytes_go_to_their_place(files: tuple[int, int]) -> None:
    source, target = files
    copying.copy(source, 10, 20, target, 5)
    assert content(target) == bytes(5) + DATA[10:20]
    copying.copy(source, 0, len(DATA), target, 0)
    copying.copy(source, 7, 7, target, 0)
    assert content(target) == DATA
    assert os.lseek(source, 0, os.SEEK_CUR) == os.lseek(target, 0, os.SEEK_CUR) == 0


@pytest.mark.parametrize("code", UNABLE, ids=errno.errorcode.get)
@pytest.mark.parametrize("after", [0, 1])
def test_where_the_kernel_cannot_a_buffer_does(
    files: tuple[int, int], monkeypatch: pytest.MonkeyPatch, code: int, after: int
) -> None:
    source, target = files
    calls: list[int] = []
    able = os.copy_file_range

    def unable(a: int, b: int, count: int, at: int, to: int) -> int:
        calls.append(count)
        if len(calls) > after:
            raise OSError(code, os.strerror(code))
        return able(a, b, 1000, at, to)

    monkeypatch.setattr(os, "copy_file_range", unable)
    monkeypatch.setattr(copying, "_BUFFER", 100)
    copying.copy(source, 3, len(DATA), target, 3)
    assert content(target) == bytes(3) + DATA[3:]
    assert len(calls) == after + 1, "it is asked once"


def test_where_there_is_no_such_call(
    files: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "copy_file_range")
    source, target = files
    copying.copy(source, 0, len(DATA), target, 0)
    assert content(target) == DATA


@pytest.mark.parametrize("inside", [True, False])
def test_a_source_that_ends_too_soon(
    files: tuple[int, int], monkeypatch: pytest.MonkeyPatch, inside: bool
) -> None:
    if not inside:
        monkeypatch.delattr(os, "copy_file_range")
    source, target = files
    with pytest.raises(OSError, match="Input/output") as caught:
        copying.copy(source, 10, len(DATA) + 1, target, 0)
    assert caught.value.errno == errno.EIO


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO], ids=errno.errorcode.get)
def test_other_errors_are_errors(
    files: tuple[int, int], monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def fail(*_: int) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "copy_file_range", fail)
    source, target = files
    with pytest.raises(OSError) as caught:  # noqa: PT011 - its number is what counts
        copying.copy(source, 0, 10, target, 0)
    assert caught.value.errno == code


@given(steps=st.lists(st.integers(1, 3000), min_size=1), start=st.integers(0, 500))
@settings(deadline=None, max_examples=30)
def test_however_little_a_call_copies(
    tmp_path_factory: pytest.TempPathFactory, steps: list[int], start: int
) -> None:
    directory = tmp_path_factory.mktemp("copies")
    (directory / "source").write_bytes(DATA)
    source = os.open(directory / "source", os.O_RDONLY)
    target = os.open(directory / "target", os.O_RDWR | os.O_CREAT)
    able = os.copy_file_range
    left = list(steps)

    def little(a: int, b: int, count: int, at: int, to: int) -> int:
        return able(a, b, min(count, left.pop() if left else count), at, to)

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(os, "copy_file_range", little)
        copying.copy(source, start, len(DATA), target, 0)
    assert content(target) == DATA[start:]
    os.close(source)
    os.close(target)


@pytest.mark.parametrize(
    ("code", "error"), [(errno.ENOSPC, StorageFull), (errno.EIO, StorageFailed)]
)
async def test_a_copy_that_fails_leaves_the_room_it_took(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, error: type[Exception]
) -> None:
    store = LocalStore(tmp_path, Durability.COMMIT)
    await put(store, opened("b"), {0: DATA})
    await put(store, opened("a"), {0: DATA[:100]})
    able = os.copy_file_range
    calls: list[int] = []

    def fail(a: int, b: int, count: int, at: int, to: int) -> int:
        calls.append(to)
        if len(calls) > 1:
            raise OSError(code, os.strerror(code))
        return able(a, b, 1000, at, to)

    monkeypatch.setattr(os, "copy_file_range", fail)
    async with store.writing(opened("a", (0, 100))) as writer:
        with pytest.raises(error):
            await writer.copy(full("b", DATA), 100, 5000, 100)
    assert calls == [100, 1100]
    assert (tmp_path / "sessions" / "a").read_bytes() == DATA[:100]


SCRIPT = """
import os, sys, anyio
from pathlib import Path
from tusjumbo.composition import compose
from tusjumbo.settings import UploadSettings
from tusjumbo.sessions.commands import Create, Join, Content
from tusjumbo.sessions.session import Kind
from tusjumbo.engine import concatenation

async def main():
    house = compose(UploadSettings(upload_dir=Path(sys.argv[1])))
    size = 32 << 20
    parts = []
    for _ in range(2):
        made = await house.uploads.execute(
            Create(length=size, metadata={}, echo={}, kind=Kind.PARTIAL))
        parts.append(made.session.id)
        async with house.store.writing(made.session) as writer:
            await writer.write(0, memoryview(bytes(size)), None)
        from tusjumbo.sessions.rules import Part, committed, Limits
        from tusjumbo.sessions.commands import Finish
        await house.catalog.update(parts[-1], lambda s: committed(
            s, Part(0, size, size, Finish.WHEN_FULL), 0.0, Limits()))
    os.write(2, b"joining")
    made = await house.uploads.execute(Join(parts=tuple(parts), metadata={}, echo={}))
    assert made.session.offset == 2 * size
    await house.aclose()

anyio.run(main)
"""
_CALL = re.compile(r"(\w+)(?:\(| resumed>).*= (\d+)$")


def test_no_byte_of_a_join_leaves_the_kernel(tmp_path: Path) -> None:
    log = tmp_path / "log"
    calls = "copy_file_range,sendfile,read,write,pread64,pwrite64,readv,writev,pwritev,splice"
    command = ["strace", "-f", "-y", "-o", str(log), "-e", f"trace={calls}"]
    script = [sys.executable, "-c", SCRIPT, str(tmp_path / "data")]
    subprocess.run([*command, *script], check=True, timeout=120, stderr=subprocess.DEVNULL)
    lines = log.read_text().splitlines()
    begun = next(number for number, line in enumerate(lines) if '"joining"' in line)
    moved: dict[str, int] = {}
    for line in lines[begun:]:
        ours = "/data/sessions/" in line or "copy_file_range resumed>" in line
        if ours and (match := _CALL.search(line)):
            moved[match[1]] = moved.get(match[1], 0) + int(match[2])
    assert moved == {"copy_file_range": 64 << 20}


async def test_bodies_do_not_wait_for_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many joins there are, and however long a piece of one takes."""
    store = LocalStore(tmp_path, Durability.OS)
    await put(store, opened("b"), {0: DATA})
    go = threading.Event()
    begun: list[int] = []
    able = os.copy_file_range

    def slow(a: int, b: int, count: int, at: int, to: int) -> int:
        begun.append(to)
        assert go.wait(30)
        return able(a, b, count, at, to)

    monkeypatch.setattr(os, "copy_file_range", slow)

    async def copy(name: str) -> None:
        async with store.writing(opened(name)) as writer:
            await writer.copy(full("b", DATA), 0, len(DATA), 0)

    async with anyio.create_task_group() as tasks:
        try:
            for number in range(20):
                tasks.start_soon(copy, f"f{number}")
            with anyio.fail_after(20):
                while not begun:
                    await anyio.sleep(0.001)
                for number in range(20):
                    await put(store, opened(f"w{number}"), {0: DATA})
        finally:
            go.set()
    assert (tmp_path / "sessions" / "f19").read_bytes() == DATA


@pytest.mark.parametrize("durability", Durability)
async def test_the_disk_begins_with_large_pieces_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, durability: Durability
) -> None:
    store = LocalStore(tmp_path, durability)
    monkeypatch.setattr(writing, "_WRITE_BEHIND", 1000)
    advised: list[tuple[int, int]] = []

    def advise(_: int, at: int, count: int, advice: int) -> None:
        assert advice == os.POSIX_FADV_DONTNEED
        advised.append((at, count))
        raise OSError(errno.EINVAL, "it is advice only")

    monkeypatch.setattr(os, "posix_fadvise", advise)
    await put(store, opened("b"), {0: DATA})
    async with store.writing(opened("a")) as writer:
        await writer.copy(full("b", DATA), 0, 999, 0)
        await writer.copy(full("b", DATA), 999, 3000, 999)
    assert advised == ([(999, 2001)] if durability is Durability.COMMIT else [])
    assert (tmp_path / "sessions" / "a").read_bytes() == DATA[:3000]
