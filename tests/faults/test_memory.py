"""Memory stays what it is, however large an upload and however many there are.

VmHWM is the kernel's own record of the peak, so no moment is missed. "Idle" is a server that has
started and answered one small upload: what the first request loads is not what is in question.
"""

from __future__ import annotations

import json
import resource
import shutil
import tempfile
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.campaign import CAMPAIGN, MIB
from tests.harness.process import Server, memory, reset_peak
from tests.harness.wire import Wire, until_all_read
from tests.web.chunks import JSON
from tests.web.forms import CONTENT_TYPE, form
from tusjumbo.digests import ALGORITHMS

pytestmark = [pytest.mark.wire, pytest.mark.campaign]

GIB = 1024 * MIB
ZEROS = bytes(4 * MIB)
CHECKED_SIZE = GIB if CAMPAIGN == 1 else 5 * GIB


@pytest.fixture
def memory_disk(tmp_path: Path) -> Iterator[Path]:
    """A directory in /dev/shm, to spare the disk 4 GiB; elsewhere if that is small."""
    shm = Path("/dev/shm")
    if shm.is_dir() and shutil.disk_usage(shm).free > 8 * GIB:
        with tempfile.TemporaryDirectory(dir=shm, prefix="tusjumbo-test-") as directory:
            yield Path(directory)
    else:
        yield tmp_path


def _idle(server: Server) -> int:
    """Peak of the idle server, in bytes; whatever was higher before is forgotten."""
    path = server.tus.create(100)
    server.tus.patch(path, 0, bytes(100)).expect(204)
    server.tus.delete(path).expect(204)
    reset_peak(server.main)
    return memory(server.main)["VmHWM"]


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_one_upload_of_4_gib(memory_disk: Path, tmp_path: Path, framing: str) -> None:
    size = 4 * GIB if framing == "length" else GIB
    sparse = tmp_path / "sparse"
    with sparse.open("wb") as file:
        file.truncate(size)
    with Server(memory_disk / "data") as server, sparse.open("rb") as file:
        idle = _idle(server)
        path = server.tus.create(size)
        with server.tus.begin_patch(path, 0, size if framing == "length" else None) as wire:
            if framing == "length":
                wire.send_file(file, size)
            else:
                _send_chunked(wire, size)
            wire.deadline = 120
            assert int(wire.read().expect(204)["Upload-Offset"]) == size
        grown = memory(server.main)["VmHWM"] - idle
        print(f"{framing}: {grown / MIB:.1f} MiB over the idle {idle / MIB:.1f} MiB")
        assert grown < 24 * MIB
        (finished,) = server.directory.glob("completed/*")
        assert finished.stat().st_size == size


@pytest.mark.parametrize(
    ("algorithm", "told"), [("sha1", "before"), ("sha1", "after"), ("crc32c", "before")]
)
def test_one_checked_upload_of_a_gib(memory_disk: Path, algorithm: str, told: str) -> None:
    """CSUM-13: neither hashing on the way nor reading back takes more memory, nor does a mismatch.

    5 GiB as well: `CHECKED_SIZE` with `make soak`.
    """
    hasher, zeros = ALGORITHMS[algorithm].new(), bytes(4 * MIB)
    for _ in range(CHECKED_SIZE // len(zeros)):
        hasher.update(zeros)
    right = f"{algorithm} {b64encode(hasher.digest()).decode()}"
    wrong = f"{algorithm} {b64encode(bytes(len(hasher.digest()))).decode()}"
    with Server(memory_disk / "data") as server:
        idle = _idle(server)
        path = server.tus.create(CHECKED_SIZE)
        for value, status in ((wrong, 460), (right, 204)):
            line = ("Trailer", "Upload-Checksum") if told == "after" else ("Upload-Checksum", value)
            with server.tus.begin_patch(path, 0, None, dict([line])) as wire:
                wire.deadline = 120
                trailer = f"Upload-Checksum: {value}\r\n" if told == "after" else ""
                _send_chunked(wire, CHECKED_SIZE, trailer)
                wire.read().expect(status)
        grown = memory(server.main)["VmHWM"] - idle
        print(f"{algorithm} {told}: {grown / MIB:.1f} MiB over the idle {idle / MIB:.1f} MiB")
        assert grown < 24 * MIB


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_one_form_of_2_gib(memory_disk: Path, framing: str) -> None:
    """A chunk of Jumbo's that comes in a form does not enter memory, nor the disk twice."""
    size = 2 * GIB
    told = {"filename": "a", "size": size, "chunk_size": size}
    with Server(memory_disk / "data") as server:
        idle = _idle(server)
        answer = server.tus.request("POST", "/upload/start", JSON, json.dumps(told).encode())
        begun = json.loads(answer.expect(201).body)
        assert begun["total_chunks"] == 1
        whole = form(b"", upload_id=begun["upload_id"], chunk_number="0")
        end = whole.index(b"\r\n\r\n", whole.index(b'name="chunk"')) + 4
        length = ("Content-Length", str(len(whole) + size))
        kind = ("Transfer-Encoding", "chunked") if framing == "chunked" else length
        with server.endpoint.connect() as wire:
            wire.head("POST", "/upload/chunk", [("Content-Type", CONTENT_TYPE), kind])
            send = wire.send_chunk if framing == "chunked" else wire.send
            send(whole[:end])
            for _ in range(size // (4 * MIB)):
                send(ZEROS)
            send(whole[end:])
            if framing == "chunked":
                wire.send_chunk(b"")
            wire.deadline = 120
            said = json.loads(wire.read().expect(200).body)
        grown = memory(server.main)["VmHWM"] - idle
        print(f"form, {framing}: {grown / MIB:.1f} MiB over the idle {idle / MIB:.1f} MiB")
        assert grown < 24 * MIB
        assert (said["status"], said["size"]) == ("completed", size)
        assert (server.directory / said["path"]).stat().st_size == size


def _send_chunked(wire: Wire, size: int, trailer: str = "") -> None:
    chunk = bytes(4 * MIB)
    for _ in range(size // len(chunk)):
        wire.send_chunk(chunk)
    wire.send(f"0\r\n{trailer}\r\n".encode())


@pytest.fixture
def few_files() -> Iterator[None]:
    """Children begin with the number of open files that most systems allow unasked."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(1024, soft), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_many_slow_uploads_at_once(few_files: None, tmp_path: Path) -> None:
    count, pieces, piece = 500, 10, bytes(4_000)  # three packets or so
    with Server(tmp_path / "data") as server:
        idle = _idle(server)
        paths = [server.tus.create(MIB) for _ in range(count)]
        wires = [server.tus.begin_patch(path, 0, MIB) for path in paths]
        try:
            for _ in range(pieces):
                for wire in wires:
                    wire.send(piece)
                until_all_read(wires)
            grown = memory(server.main)["VmHWM"] - idle
            print(f"{count} uploads: {grown / MIB:.1f} MiB over the idle {idle / MIB:.1f} MiB")
            assert grown < 64 * MIB
            # They are all alive: one after the other can be carried to its end.
            for wire in wires:
                wire.send(bytes(MIB - pieces * len(piece)))
                assert int(wire.read().expect(204)["Upload-Offset"]) == MIB
        finally:
            for wire in wires:
                wire.close()
        grown = memory(server.main)["VmHWM"] - idle
        assert grown < 64 * MIB


def test_many_fast_uploads_at_once(tmp_path: Path) -> None:
    """Many uploads that all send as fast as they can share the blocks there are.

    What waits for a block waits in the kernel, but for what a connection reads ahead.
    """
    count = 100
    with Server(tmp_path / "data", "--durability", "os") as server:
        idle = _idle(server)
        paths = [server.tus.create(4 * MIB) for _ in range(count)]
        wires = [server.tus.begin_patch(path, 0, 4 * MIB) for path in paths]
        body = bytes(MIB)
        try:
            for _ in range(4):
                for wire in wires:
                    wire.send(body)
            for wire in wires:
                assert int(wire.read().expect(204)["Upload-Offset"]) == 4 * MIB
        finally:
            for wire in wires:
                wire.close()
        grown = memory(server.main)["VmHWM"] - idle
        print(f"{count} fast uploads: {grown / MIB:.1f} MiB")
        assert grown < 24 * MIB + count * MIB
