"""A server, files to upload, and proofs that what arrived is what was sent."""

from __future__ import annotations

import fcntl
import hashlib
import http.client
import random
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.clients.driver import JS
from tests.harness.process import Server

MIB = 1 << 20
MakeFile: TypeAlias = Callable[[int], Path]


@pytest.fixture(scope="session", autouse=True)
def tusjs_packages() -> None:
    """`node_modules` as package-lock.json says; installed once, by whichever process is first."""
    lock = JS / "package-lock.json"
    wanted = hashlib.sha256(lock.read_bytes()).hexdigest()
    stamp = JS / "node_modules" / ".tusjumbo-stamp"
    with lock.open("rb") as locked:
        fcntl.flock(locked, fcntl.LOCK_EX)
        if stamp.exists() and stamp.read_text() == wanted:
            return
        subprocess.run(
            ("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"), cwd=JS, check=True
        )
        stamp.write_text(wanted)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for the tests that do not hurt it."""
    with Server(tmp_path_factory.mktemp("server") / "data") as server:
        yield server


@pytest.fixture(scope="session")
def make_file(tmp_path_factory: pytest.TempPathFactory) -> MakeFile:
    """Files of random bytes, by size; the same file for the same size."""
    directory = tmp_path_factory.mktemp("files")

    def make(size: int) -> Path:
        path = directory / f"{size}.bin"
        if not path.exists():
            block = random.Random(size).randbytes(min(size, 4 * MIB))
            with path.open("wb") as file:
                for at in range(0, size, 4 * MIB):
                    # No two blocks are equal, so that none can take another's place.
                    numbered = at.to_bytes(8, "big") + block[8:]
                    file.write(numbered[: size - at] if size > 8 else block)
        return path

    return make


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Proof:
    """Compares what a server holds with what was sent."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._known = self._completed()

    def _completed(self) -> set[Path]:
        return set(self._server.directory.glob("completed/*"))

    def whole(self, path: str, file: Path) -> None:
        """The upload at `path` is finished, and equal to `file` in `completed/` and by GET.

        It is the only one that was finished since the last look.
        """
        wanted = sha256(file)
        head = self._server.tus.head(path).expect(200)
        assert int(head["Upload-Offset"]) == int(head["Upload-Length"]) == file.stat().st_size
        assert self._downloaded(path) == wanted
        new = self._completed() - self._known
        self._known |= new
        assert [sha256(found) for found in new] == [wanted], new

    def _downloaded(self, path: str) -> str:
        endpoint = self._server.endpoint
        connection = http.client.HTTPConnection(endpoint.host, endpoint.port, timeout=60)
        digest = hashlib.sha256()
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            assert response.status == 200
            while block := response.read(MIB):
                digest.update(block)
        finally:
            connection.close()
        return digest.hexdigest()

    def nothing_new(self) -> None:
        assert self._completed() == self._known


@pytest.fixture
def proof(server: Server) -> Proof:
    return Proof(server)
