"""Disks that are full or broken: the client hears 507 or 500, and nothing it was told is untrue.

Every row makes one kind of system call fail at one kind of file while a PATCH runs. Afterwards the
server lives, the offset is exact for what the file holds, and when the disk is well again the
upload goes on and ends equal to what was sent.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.campaign import MIB
from tests.faults.inject import failing, injected, needs_root
from tests.harness.process import Server
from tests.harness.wire import Response

pytestmark = [pytest.mark.wire, needs_root]

N = 3 * MIB + 5


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("disks") / "data"
    with Server(directory, tracebacks=True) as server:
        # Threads and connections that a first request makes are there before strace comes.
        path = server.tus.create(N)
        server.tus.finish(path, bytes(N))
        server.tus.get(path)
        yield server


def _offset_is_exact(server: Server, path: str, content: bytes) -> int:
    offset = server.tus.offset(path)
    stored = server.directory / "sessions" / path.rsplit("/", 1)[1]
    if 0 < offset < N:
        assert stored.read_bytes()[:offset] == content[:offset]
    return offset


def _goes_on(server: Server, path: str, content: bytes) -> None:
    server.tus.finish(path, content[:N])
    assert server.tus.get(path) == content[:N]


WRITE, SYNC = "pwrite64,pwritev,pwritev2,write,writev", "fdatasync,fsync,sync_file_range"


@pytest.mark.parametrize("error", ["ENOSPC", "EDQUOT", "EIO"])
@pytest.mark.parametrize(
    ("calls", "where", "when", "told"),
    [
        pytest.param(WRITE, "data", "1+", {"ENOSPC", "EDQUOT"}, id="first write"),
        pytest.param(WRITE, "data", "2+", {"ENOSPC", "EDQUOT"}, id="second write"),
        pytest.param(SYNC, "data", "1+", {"ENOSPC", "EDQUOT"}, id="sync of the data"),
        pytest.param(WRITE, "wal", "1+", {"ENOSPC"}, id="catalog write"),
        pytest.param(SYNC, "wal", "1+", set(), id="catalog sync"),
    ],
)
def test_a_patch_hits_a_bad_disk(
    server: Server, content: bytes, calls: str, where: str, when: str, told: set[str], error: str
) -> None:
    """`told` are the errors that are known to mean "full": SQLite does not tell all of them."""
    path = server.tus.create(N)
    begun = MIB // 2
    server.tus.patch(path, 0, content[:begun]).expect(204)
    file = {
        "data": server.directory / "sessions" / path.rsplit("/", 1)[1],
        "wal": server.directory / "catalog.sqlite3-wal",
    }[where]
    with failing(server, calls, error, when=when, path=file) as log:
        response = server.tus.patch(path, begun, content[begun:N])
        assert injected(log) > 0, "nothing was hit: the row tests nothing"
        _says_why(response.expect(507 if error in told else 500))
        # Asking works on a bad disk: after a 5xx to a HEAD, tus-js-client starts from zero.
        assert begun <= int(server.tus.head(path).expect(200)["Upload-Offset"]) < N
    assert begun <= _offset_is_exact(server, path, content) < N
    _goes_on(server, path, content)


def _says_why(response: Response) -> None:
    """One sentence for a person, and no path of ours."""
    assert response.get("Upload-Offset") is None
    assert response.get("Location") is None
    assert response.body
    assert b"/" not in response.body.replace(b"application/", b"")


@pytest.mark.parametrize(
    ("calls", "error", "status"),
    [(WRITE, "ENOSPC", 507), (WRITE, "EIO", 500), (SYNC, "ENOSPC", 500), (SYNC, "EIO", 500)],
    ids=["write-full", "write-broken", "sync-full", "sync-broken"],
)
def test_a_creation_hits_a_bad_disk(server: Server, calls: str, error: str, status: int) -> None:
    before = set(server.directory.glob("sessions/*"))
    wal = server.directory / "catalog.sqlite3-wal"
    with failing(server, calls, error, path=wal) as log:
        response = server.tus.request("POST", server.endpoint.path, {"Upload-Length": "10"})
        assert injected(log) > 0
        _says_why(response.expect(status))
    assert set(server.directory.glob("sessions/*")) == before
    server.tus.create(10)


@pytest.mark.parametrize(("error", "status"), [("ENOSPC", 507), ("EIO", 500)])
@pytest.mark.parametrize(
    ("calls", "room"),
    [("link,linkat,rename,renameat,renameat2", ""), ("fsync,fdatasync", "completed")],
    ids=["new name", "directory sync"],
)
def test_finishing_hits_a_bad_disk(
    server: Server, content: bytes, calls: str, room: str, error: str, status: int
) -> None:
    """All bytes are in and recorded, only the file did not get its final name: nothing is lost."""
    path = server.tus.create(N)
    server.tus.patch(path, 0, content[: N - 1]).expect(204)
    with failing(server, calls, error, path=server.directory / room if room else None) as log:
        _says_why(server.tus.patch(path, N - 1, content[N - 1 : N]).expect(status))
        assert injected(log) > 0
        assert server.tus.offset(path) == N
    _goes_on(server, path, content)


@pytest.mark.parametrize("error", ["ENOSPC", "EIO"])
@pytest.mark.parametrize("when", ["1", "2", "3", "4", "5", "7", "9"])
def test_any_one_call_fails(server: Server, content: bytes, when: str, error: str) -> None:
    """The n-th call that puts something on the disk fails, whichever it is, and the rest work."""
    path = server.tus.create(N)
    calls = "pwrite64,fdatasync,fsync,ftruncate,link,linkat,rename,renameat,renameat2,unlink"
    with failing(server, calls, error, when=when):
        status = server.tus.patch(path, 0, content[:N]).status
        assert status in (204, 500, 507)
        offset = _offset_is_exact(server, path, content)
        if status == 204:
            assert offset == N
    _goes_on(server, path, content)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB."""
    directory = tmp_path / "disk"
    directory.mkdir()
    subprocess.run(("mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", directory), check=True)
    try:
        yield directory
    finally:
        subprocess.run(("umount", directory), check=True)


def test_a_disk_fills_up_and_is_made_larger(small_disk: Path, content: bytes) -> None:
    whole = content + content
    with Server(small_disk / "data", tracebacks=True) as server:
        path = server.tus.create(len(whole))
        with server.tus.begin_patch(path, 0, len(whole)) as wire:
            wire.send_until_answered(whole)
            wire.read().expect(507)
        offset = server.tus.offset(path)
        stored = server.directory / "sessions" / path.rsplit("/", 1)[1]
        assert stored.read_bytes()[:offset] == whole[:offset]
        # What was written before the disk was full is not thrown away.
        assert offset > 4 * MIB
        # Full is full, also for the next one; and asking works all the while.
        server.tus.request("PATCH", path, _at(offset), whole[offset:]).expect(507)
        assert server.tus.offset(path) >= offset
        subprocess.run(("mount", "-o", "remount,size=40m", small_disk), check=True)
        server.tus.finish(path, whole)
        assert server.tus.get(path) == whole


def _at(offset: int) -> dict[str, str]:
    return {"Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream"}


def _fill_up(disk: Path) -> Path:
    """Take all space that is left. Gives the file that holds it."""
    ballast = disk / "ballast"
    subprocess.run(("dd", "if=/dev/zero", f"of={ballast}", "bs=4k"), check=False)
    assert shutil.disk_usage(disk).free == 0
    return ballast


def test_a_full_disk_refuses_new_uploads_and_serves_old_ones(
    small_disk: Path, content: bytes
) -> None:
    with Server(small_disk / "data", tracebacks=True) as server:
        done = server.tus.create(MIB)
        server.tus.finish(done, content[:MIB])
        ballast = _fill_up(small_disk)
        statuses = {
            server.tus.request("POST", server.endpoint.path, {"Upload-Length": "9"}).status
            for _ in range(30)
        }
        assert statuses <= {201, 507}
        assert server.tus.get(done) == content[:MIB]
        assert server.tus.offset(done) == MIB
        # Making room through the protocol works on a full disk, or nothing would.
        server.tus.delete(done).expect(204)
        ballast.unlink()
        path = server.tus.create(1000)
        server.tus.finish(path, content[:1000])
        assert server.tus.get(path) == content[:1000]
