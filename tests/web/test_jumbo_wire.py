"""The Jumbo API of a real server on a real socket: with real clients, cut and killed."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest
import requests

from tests.conformance.hosts import HOSTS, Host
from tests.harness.process import ROOT, Server
from tests.harness.programs import running
from tests.harness.wire import Endpoint, Wire, poll
from tests.web.forms import CONTENT_TYPE, form

pytestmark = pytest.mark.wire

KIB = 1024
CHUNK = 64 * KIB
CONTENT = random.Random(4).randbytes(5 * CHUNK + 1000)
CHUNKS = [CONTENT[at : at + CHUNK] for at in range(0, len(CONTENT), CHUNK)]
OPTIONS = ("--chunk-size", str(CHUNK), "--durability", "os")


class Api:
    """The Jumbo API at `url`, which ends with a slash."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.endpoint = Endpoint.parse(url)

    def begin(self, size: int, filename: str = "a.bin", **more: Any) -> str:
        told = {"filename": filename, "size": size, **more}
        answer = requests.post(self.url + "start", json=told, timeout=20)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["upload_id"])

    def put(self, upload_id: str, number: int, content: bytes, **headers: str) -> dict[str, Any]:
        path = f"{self.url}{upload_id}/chunks/{number}"
        answer = requests.put(path, content, headers=headers, timeout=20)
        return {"code": answer.status_code, **answer.json()}

    def get(self, path: str) -> dict[str, Any]:
        told: dict[str, Any] = requests.get(self.url + path, timeout=20).json()
        return told

    def begin_form(self, upload_id: str, content: bytes, number: int = 0) -> tuple[Wire, bytes]:
        """A connection with the head of a form sent; the form itself is the caller's to send."""
        body = form(content, upload_id=upload_id, chunk_number=str(number))
        wire = self.endpoint.connect()
        length = {"Content-Type": CONTENT_TYPE, "Content-Length": str(len(body))}
        wire.head("POST", self.endpoint.path + "chunk", length)
        return wire, body


def api_of(server: Server) -> Api:
    return Api(server.endpoint.url.replace("/files/", "/upload/"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("server") / "data", *OPTIONS, workers=2) as server:
        yield server


@pytest.fixture
def api(server: Server) -> Api:
    return api_of(server)


def stored(server: Server, answer: dict[str, Any]) -> bytes:
    assert answer["status"] == "completed", answer
    return (server.directory / str(answer["path"])).read_bytes()


# --- clients -------------------------------------------------------------------------------------

SEED = """
const [source, base, size] = [process.argv[1], process.argv[2], Number(process.argv[3])];
const { readFileSync } = await import("node:fs");
const { runInThisContext } = await import("node:vm");
const bar = { style: {} };
const ask = globalThis.fetch;
globalThis.fetch = (path, init) => ask(new URL(path, base), init);
globalThis.document = { getElementById: (id) => (id === "progress" ? bar : null) };
const JumboUploader = runInThisContext(readFileSync(source, "utf8") + "; JumboUploader");
const content = new Uint8Array(size).map((_, at) => at % 251);
await new JumboUploader().uploadFile(new File([content], "seed.bin", { type: "a/b" }));
console.log(JSON.stringify(bar.style));
"""


def test_the_seeds_client_in_node(server: Server, api: Api) -> None:
    """`seed.js` is the JavaScript of the seed, verbatim (tests/clients sees to that)."""
    source = str(ROOT / "tests/clients/js/seed.js")
    size = len(CONTENT)
    run = subprocess.run(
        ["node", "--input-type=module", "-e", SEED, source, api.url, str(size)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 0, run.stderr
    complete, style = run.stdout.splitlines()
    assert complete == "Upload complete! completed/seed.bin"
    # It ends before it shows the last step.
    assert json.loads(style) == {"width": f"{10000 * 5 * CHUNK // size / 100}%"}
    expected = bytes(range(251)) * (size // 251 + 1)
    assert (server.directory / "completed/seed.bin").read_bytes() == expected[:size]


def by_requests(url: str, fields: dict[str, str], content: bytes) -> Any:
    files = {"chunk": content}
    return requests.post(url, data=fields, files=files, timeout=20).json()


def by_httpx(url: str, fields: dict[str, str], content: bytes) -> Any:
    files = {"chunk": ("name", content, "text/plain")}
    return httpx2.post(url, data=fields, files=files).json()


def by_curl(url: str, fields: dict[str, str], content: bytes) -> Any:
    """It asks with Expect for permission to send what is large."""
    told = [word for name, text in fields.items() for word in ("-F", f"{name}={text}")]
    expects = ["-H", "Expect: 100-continue"]
    run = subprocess.run(
        ["curl", "-sS", "--max-time", "20", *expects, *told, "-F", "chunk=@-;filename=x", url],
        input=content,
        capture_output=True,
        check=True,
    )
    return json.loads(run.stdout)


@pytest.mark.parametrize("send", [by_requests, by_httpx, by_curl])
def test_forms_of_other_clients(
    server: Server, api: Api, send: Callable[[str, dict[str, str], bytes], Any]
) -> None:
    upload_id = api.begin(len(CONTENT), "form.bin")
    for number, content in enumerate(CHUNKS):
        fields = {"upload_id": upload_id, "chunk_number": str(number)}
        wrong = send(api.url + "chunk", {**fields, "hash": "0" * 64}, content)
        assert wrong["type"] == "urn:tusjumbo:problem:digest-mismatch"
        fields["hash"] = hashlib.sha256(content).hexdigest()
        answer = send(api.url + "chunk", fields, content)
        assert answer["hash"] == fields["hash"]
    assert stored(server, answer) == CONTENT


def test_chunks_side_by_side(server: Server, api: Api) -> None:
    """In any order, over many connections to two processes, some of them twice."""
    upload_id = api.begin(len(CONTENT), "parallel.bin")
    numbers = [*range(len(CHUNKS)), *range(len(CHUNKS))]
    random.Random(1).shuffle(numbers)

    def send(number: int) -> dict[str, Any]:
        value = base64.b64encode(hashlib.sha256(CHUNKS[number]).digest()).decode()
        digest = {"Content-Digest": f"sha-256=:{value}:"}
        return api.put(upload_id, number, CHUNKS[number], **digest)

    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(send, numbers))
    assert {answer["code"] for answer in answers} == {200}
    last = api.put(upload_id, 0, CHUNKS[0])
    assert stored(server, last) == CONTENT
    assert api.put(upload_id, 0, CHUNKS[1])["code"] == 409
    for number, content in enumerate(CHUNKS):
        expected = {"valid": True, "hash": hashlib.sha256(content).hexdigest()}
        assert api.get(f"verify/{upload_id}/{number}") == expected
    answer = requests.delete(api.url + upload_id, timeout=20)
    assert answer.json() == {"upload_id": upload_id, "status": "cancelled"}
    assert not (server.directory / last["path"]).exists()


def test_tus_and_chunks_take_turns(server: Server, api: Api) -> None:
    tus = server.tus
    path = tus.create(len(CONTENT), {"filename": "turns.bin"})
    upload_id = path.rpartition("/")[2]
    assert api.put(upload_id, 2, CHUNKS[2])["code"] == 200
    assert tus.offset(path) == 0
    assert tus.patch(path, 0, CONTENT[: CHUNK + 10])["Upload-Offset"] == str(CHUNK + 10)
    resumed = api.get(f"resume/{upload_id}")
    assert (resumed["chunks_received"], resumed["chunks_needed"]) == ([0, 2], [1, 3, 4, 5])
    # The rest of chunk 1 is written, what is there of it compared, and the offset jumps.
    assert api.put(upload_id, 1, CHUNKS[0])["code"] == 409
    assert api.put(upload_id, 1, CHUNKS[1])["code"] == 200
    assert tus.offset(path) == 3 * CHUNK
    tus.finish(path, CONTENT)
    assert stored(server, api.get(f"status/{upload_id}")) == CONTENT


# --- what stops early ----------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["close", "reset", "half_close"])
def test_a_client_that_goes_in_the_middle_of_a_form(server: Server, api: Api, end: str) -> None:
    upload_id = api.begin(len(CONTENT))
    wire, body = api.begin_form(upload_id, CHUNKS[0])
    with wire:
        wire.send(body[: len(body) // 2])
        wire.until_read()
        getattr(wire, end)()
        assert api.put(upload_id, 0, CHUNKS[0])["progress"] > 0  # and nobody is in its way
    status = api.get(f"status/{upload_id}")
    assert status["size_uploaded"] == CHUNK


def test_a_form_that_lacks_its_last_bytes(api: Api) -> None:
    """Every byte of the file is there, but who knows what else the form would have said?"""
    upload_id = api.begin(len(CONTENT))
    wire, body = api.begin_form(upload_id, CHUNKS[0])
    with wire:
        wire.send(body[:-4])
        wire.until_read()
        wire.half_close()
        poll(lambda: wire.answered(0.1), 20, "the server does not hang up")
        assert wire.read_to_end() == b""
    assert api.get(f"status/{upload_id}")["size_uploaded"] == 0


def test_kill_9_and_resume(tmp_path: Path) -> None:
    with Server(tmp_path / "data", *OPTIONS, port=0) as server:
        api = api_of(server)
        upload_id = api.begin(len(CONTENT), "killed.bin")
        for number in (4, 1):
            assert api.put(upload_id, number, CHUNKS[number])["code"] == 200
        wire, body = api.begin_form(upload_id, CHUNKS[2], 2)
        with wire:
            wire.send(body[:-1000])
            wire.until_read()
            server.restart()
        api = api_of(server)
        resumed = api.get(f"resume/{upload_id}")
        assert (resumed["chunks_received"], resumed["chunks_needed"]) == ([1, 4], [0, 2, 3, 5])
        for number in resumed["chunks_needed"]:
            answer = api.put(upload_id, number, CHUNKS[number])
        assert stored(server, answer) == CONTENT


# --- before the body -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "size", "interim", "status"),
    [(0, CHUNK, (100,), 200), (9, CHUNK, (), 404), (0, CHUNK - 1, (), 400)],
    ids=["right", "no such chunk", "another size"],
)
def test_100_continue_is_a_yes(
    api: Api, number: int, size: int, interim: tuple[int, ...], status: int
) -> None:
    upload_id = api.begin(len(CONTENT))
    with api.endpoint.connect() as wire:
        path = f"{api.endpoint.path}{upload_id}/chunks/{number}"
        wire.head("PUT", path, {"Content-Length": str(size), "Expect": "100-continue"})
        first = wire.read_next()
        if first.status == 100:
            wire.send(CHUNKS[0])
            first = wire.read_next()
            assert interim == (100,)
        else:
            assert interim == ()
        assert first.status == status


def test_a_refused_body_does_not_break_the_connection(api: Api) -> None:
    """Its answer can be read by a client that sends all of it first."""
    with api.endpoint.connect() as wire:
        body = form(bytes(4 * KIB * KIB), upload_id="nobody", chunk_number="0")
        length = {"Content-Type": CONTENT_TYPE, "Content-Length": str(len(body))}
        wire.head("POST", api.endpoint.path + "chunk", length)
        wire.send(body)
        assert wire.read().status == 404


# --- places --------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", HOSTS, ids=lambda host: host.name)
def test_other_servers_and_frameworks(host: Host, tmp_path: Path) -> None:
    size = 3 * 5 * KIB * KIB - 7  # chunks of 5 MiB, the default
    content = random.Random(5).randbytes(size)
    with running(host.name, host.command, tmp_path / "room") as (port, _):
        api = Api(f"http://127.0.0.1:{port}/upload/")
        upload_id = api.begin(size, "hosted.bin", metadata={"type": "a/b"})
        fields = {"upload_id": upload_id, "chunk_number": "1"}
        chunks = [content[at : at + 5 * KIB * KIB] for at in range(0, size, 5 * KIB * KIB)]
        assert by_requests(api.url + "chunk", fields, chunks[1])["status"] == "uploading"
        assert by_requests(api.url + "chunk", fields, chunks[0])["status"] == 409
        assert by_requests(api.url + "chunk", {}, chunks[0])["status"] == 400
        assert api.put("nobody", 0, chunks[0])["code"] == 404
        assert api.put(upload_id, 0, chunks[0])["progress"] > 60
        assert api.get(f"resume/{upload_id}")["chunks_needed"] == [2]
        answer = api.put(upload_id, 2, chunks[2])
        assert answer["status"] == "completed"
        assert (tmp_path / "room/uploads" / answer["path"]).read_bytes() == content
        assert api.get("openapi.json")["servers"] == [{"url": "/upload"}]
        assert "export class JumboUploader" in requests.get(api.url + "jumbo.js", timeout=20).text
