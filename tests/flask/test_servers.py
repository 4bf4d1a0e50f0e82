"""Under real servers: gunicorn's threads, one worker and two that were forked, and `flask run`."""

from __future__ import annotations

import hashlib
import json
import random
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from tests.flask.apps import CHUNK
from tests.harness.process import ROOT, memory, reset_peak
from tests.harness.programs import running
from tests.harness.wire import Endpoint, poll
from tests.web.forms import CONTENT_TYPE, END, form

pytestmark = pytest.mark.wire

MIB = 1024 * 1024
CONTENT = random.Random(6).randbytes(40 * CHUNK + 5)
COUNT = 41
PATIENCE = 30.0

FACTORY = "tests.flask.apps:served"
GUNICORN = ("-m", "gunicorn", "--worker-class", "gthread", "--threads", "8", f"{FACTORY}()")
COMMANDS = {
    "gunicorn": (*GUNICORN, "--bind", "127.0.0.1:{port}"),
    "gunicorn with 2 workers": (*GUNICORN, "--bind", "127.0.0.1:{port}", "--workers", "2"),
    "gunicorn with 2 forked workers": (
        *(*GUNICORN, "--bind", "127.0.0.1:{port}", "--workers", "2", "--preload"),
    ),
    "flask run": ("-m", "flask", "--app", FACTORY, "run", "--port", "{port}", "--reload"),
}
"""Python's arguments."""


@dataclass(frozen=True)
class Site:
    name: str
    port: int
    pid: int
    directory: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/upload"

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint("127.0.0.1", self.port)

    def start(self, size: int, filename: str = "film.mp4") -> str:
        answer = requests.post(
            f"{self.url}/start", json={"filename": filename, "size": size}, timeout=PATIENCE
        )
        assert answer.status_code == 201, answer.text
        upload_id: str = answer.json()["upload_id"]
        return upload_id

    def status(self, upload_id: str) -> dict[str, Any]:
        answer = requests.get(f"{self.url}/status/{upload_id}", timeout=PATIENCE)
        told: dict[str, Any] = answer.json()
        return told

    def answering(self) -> psutil.Process:
        """The one process that answers."""
        main = psutil.Process(self.pid)
        return next(iter(main.children()), main)


@contextmanager
def served(name: str, directory: Path, **options: Any) -> Iterator[Site]:
    def command(port: int, uploads: Path) -> list[str]:
        told = json.dumps({"directory": str(uploads), "chunk_size": CHUNK, **options})
        python = ["env", f"HOME={directory}", f"PYTHONPATH={ROOT}", f"TEST_JUMBO={told}"]
        return [*python, sys.executable, *(word.format(port=port) for word in COMMANDS[name])]

    with running(name, command, directory) as (port, pid):
        yield Site(name, port, pid, directory / "uploads")
        main = psutil.Process(pid)
        tree = [main, *main.children(recursive=True)]
        main.terminate()
        _, left = psutil.wait_procs(tree, PATIENCE)
        log = (directory / "log").read_text()
        assert not left, log[-6000:]
        assert "Traceback" not in log, log[-6000:]


@pytest.fixture(name="site", scope="module", params=COMMANDS)
def _site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    with served(request.param, tmp_path_factory.mktemp("flask")) as site:
        yield site


def chunk(number: int) -> bytes:
    return CONTENT[number * CHUNK : (number + 1) * CHUNK]


def test_parallel_chunks(site: Site) -> None:
    """In forms and in bodies, of known and unknown size, in any order, and some of them twice."""
    upload_id = site.start(len(CONTENT), "parallel.bin")
    numbers = [*range(COUNT), *range(0, COUNT, 5)]
    random.Random(1).shuffle(numbers)

    def send(turn: int) -> requests.Response:
        number = numbers[turn]
        data = chunk(number)
        url = f"{site.url}/{upload_id}/chunks/{number}"
        if turn % 3 == 0:
            fields = {"upload_id": upload_id, "chunk_number": str(number)}
            url, files = f"{site.url}/chunk", {"chunk": ("blob", data)}
            return requests.post(url, data=fields, files=files, timeout=PATIENCE)
        if turn % 3 == 1:
            return requests.put(url, data=data, timeout=PATIENCE)
        pieces = iter([data[:1000], data[1000:]])  # Transfer-Encoding: chunked
        return requests.put(url, data=pieces, timeout=PATIENCE)

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(send, range(len(numbers))))
    assert {answer.status_code for answer in answers} == {200}, [it.text for it in answers]
    for turn, answer in enumerate(answers):
        assert answer.json()["hash"] == hashlib.sha256(chunk(numbers[turn])).hexdigest()
    assert site.status(upload_id)["status"] == "completed"
    assert (site.directory / "completed" / "parallel.bin").read_bytes() == CONTENT


def test_all_processes_have_the_same_uploads(site: Site) -> None:
    upload_id = site.start(len(CONTENT))
    workers = 2 if "2" in site.name else 1
    seen: dict[str, int] = {}

    def all_have_answered() -> bool:
        answer = requests.get(f"{site.url}/resume/{upload_id}", timeout=PATIENCE)
        assert answer.json()["chunks_needed"] == list(range(COUNT))
        process = answer.headers["X-Process"]
        seen[process] = seen.get(process, 0) + 1
        return len(seen) == workers and sum(seen.values()) > 10

    poll(all_have_answered, PATIENCE, "not all workers answer")


def test_a_client_that_goes_away(site: Site) -> None:
    upload_id = site.start(len(CONTENT))
    target = f"/upload/{upload_id}/chunks/0"
    for leave in ("close", "reset"):
        with site.endpoint.connect() as wire:
            wire.head("PUT", target, {"Content-Length": str(CHUNK)})
            wire.send(chunk(0)[: CHUNK // 2])
            wire.until_acknowledged()
            getattr(wire, leave)()
            wire.until_dropped()
        assert site.status(upload_id)["size_uploaded"] == 0
    assert requests.put(f"{site.url}/{upload_id}/chunks/0", chunk(0), timeout=PATIENCE).ok


def test_a_silent_client_keeps_nobody_waiting(site: Site) -> None:
    """It holds the chunk, and gives it to whoever has its bytes."""
    upload_id = site.start(len(CONTENT))
    with site.endpoint.connect() as wire:
        wire.head("PUT", f"/upload/{upload_id}/chunks/0", {"Content-Length": str(CHUNK)})
        wire.send(chunk(0)[:100])
        wire.until_read()
        answer = requests.put(f"{site.url}/{upload_id}/chunks/0", chunk(0), timeout=PATIENCE)
        assert answer.status_code == 200
        assert wire.read().status == 423


@pytest.mark.parametrize("headers", [{}, {"Expect": "100-continue"}], ids=["at once", "100"])
def test_a_refusal_is_read_by_who_is_still_sending(site: Site, headers: dict[str, str]) -> None:
    unknown = "jumbo_" + "0" * 32
    body = bytes(4 * MIB)
    with site.endpoint.connect() as wire:
        told = {"Content-Length": str(len(body)), **headers}
        wire.head("PUT", f"/upload/{unknown}/chunks/0", told)
        if headers:
            assert wire.read_next().status == 100  # servers of WSGI say so before we are asked
        wire.send(body)
        answer = wire.read().expect(404)
        assert answer["content-type"] == "application/problem+json"


def test_the_connection_goes_on_after_a_refusal(site: Site) -> None:
    """Where there is one that goes on: HTTP/1.1, that is not `flask run`."""
    upload_id = site.start(len(CONTENT))
    with requests.Session() as client:
        for _ in range(3):
            short = client.put(f"{site.url}/{upload_id}/chunks/0", data=b"short", timeout=PATIENCE)
            assert short.status_code == 400
            ok = client.put(f"{site.url}/{upload_id}/chunks/0", data=chunk(0), timeout=PATIENCE)
            assert ok.status_code == 200


# --- large ones ----------------------------------------------------------------------------------

ALLOWED = 48 * MIB
"""Of the engine's blocks, which are for all uploads together, and a few pieces on their way."""


@contextmanager
def growth_of(process: psutil.Process, seen: list[int]) -> Iterator[None]:
    """By how many bytes a process grows at most, meanwhile, is added to `seen`."""
    reset_peak(process)
    before = memory(process)["VmRSS"]
    yield
    seen.append(memory(process)["VmHWM"] - before)


@pytest.mark.parametrize(
    ("name", "kind", "size"),
    [
        ("gunicorn", "body", 1024 * MIB),
        ("gunicorn", "form", 256 * MIB),
        ("flask run", "body", 256 * MIB),
    ],
)
def test_memory_stays_flat(tmp_path: Path, name: str, kind: str, size: int) -> None:
    zeros = tmp_path / "zeros"
    with zeros.open("wb") as file:
        file.truncate(size)
    options: dict[str, Any] = {"chunk_size": size, "durability": "os"}
    grown: list[int] = []
    with served(name, tmp_path / "site", **options) as site:
        upload_id = site.start(size)
        before, after = b"", b""
        target, headers = f"/upload/{upload_id}/chunks/0", {}
        if kind == "form":
            whole = form(b"", upload_id=upload_id, chunk_number="0")
            after = b"\r\n" + END
            before = whole.removesuffix(after)
            target, headers = "/upload/chunk", {"Content-Type": CONTENT_TYPE}
        with (
            growth_of(site.answering(), grown),
            site.endpoint.connect() as wire,
            zeros.open("rb") as file,
        ):
            length = len(before) + size + len(after)
            wire.head(
                "POST" if before else "PUT", target, {**headers, "Content-Length": str(length)}
            )
            wire.send(before)
            wire.send_file(file, size)
            wire.send(after)
            assert json.loads(wire.read().expect(200).body)["status"] == "completed"
        requests.delete(f"{site.url}/{upload_id}", timeout=PATIENCE)
    assert grown[0] < ALLOWED, f"{grown[0] / MIB:.0f} MiB more for a {kind} of {size / MIB:.0f}"
