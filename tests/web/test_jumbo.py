"""The Jumbo API in one process: what is answered, in which order things are decided, and in which
form problems are told.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.web.browsing import GONE, Answer, Browser, Clock, T, files_below, piece
from tests.web.chunks import JSON, Jumbo, digest, sha256
from tests.web.conftest import Serve
from tests.web.forms import CONTENT_TYPE, END, blob, cut, form, part
from tests.web.test_exchange import Door
from tusjumbo.errors import Forbidden, StorageFailed, TusJumboError, Unauthorized
from tusjumbo.notice import Notice
from tusjumbo.sessions.commands import Action
from tusjumbo.web import bodies
from tusjumbo.web.bodies import Message

PAGE = {"Origin": "https://page.example"}


@pytest.fixture
def jumbo(serve: Serve) -> Jumbo:
    """Chunks of four bytes."""
    return Jumbo(Browser(serve(chunk_size=4).jumbo))


def completed(upload_dir: Path, name: str = "a.bin") -> bytes:
    return (upload_dir / "completed" / name).read_bytes()


# --- what is answered ----------------------------------------------------------------------------


async def test_the_seeds_way(jumbo: Jumbo, upload_dir: Path) -> None:
    told = {"filename": "a.txt", "size": 10, "metadata": {"type": "text/plain"}}
    said = await jumbo.start(told)
    upload_id = said.told["upload_id"]
    assert said.status == 201
    counts = {"total_chunks": 3, "chunks_expected": 3}
    assert said.told == {"upload_id": upload_id, "chunk_size": 4, **counts}
    assert said.answer.location == f"/status/{upload_id}"
    for number, content, progress in ((0, b"0123", 40.0), (1, b"4567", 80.0)):
        said = await jumbo.send(upload_id, number, content)
        assert said.status == 200
        assert said.told == {
            "status": "uploading",
            "progress": progress,
            "chunk_number": number,
            "hash": sha256(content),
        }
    said = await jumbo.send(upload_id, 2, b"89")
    assert (
        said.told.items()
        >= {
            "status": "completed",
            "path": "completed/a.txt",
            "size": 10,
            "duration": 0,
        }.items()
    )
    assert completed(upload_dir, "a.txt") == b"0123456789"


async def test_bodies_in_any_order(jumbo: Jumbo, upload_dir: Path) -> None:
    upload_id = await jumbo.begin(10)
    unknown = [piece(b"01"), piece(b"23"), piece(b"", more=False)]
    assert (await jumbo.put(upload_id, 2, b"89")).told["progress"] == 20.0
    assert (await jumbo.put(upload_id, 0, unknown)).told["progress"] == 60.0
    said = await jumbo.put(upload_id, 1, b"4567", {"Content-Type": "text/html"})
    assert said.told["status"] == "completed"
    assert completed(upload_dir) == b"0123456789"


async def test_what_is_known(jumbo: Jumbo, clock: Clock) -> None:
    upload_id = await jumbo.begin(10, "\u00e4.txt", metadata={"type": "text/plain", "n": [1]})
    await jumbo.put(upload_id, 2, b"89")
    status = (await jumbo.get(f"/status/{upload_id}")).told
    assert status.pop("speed") >= 0
    assert isinstance(status.pop("time_remaining"), str)
    assert status == {
        "upload_id": upload_id,
        "status": "uploading",
        "progress": 20.0,
        "size_uploaded": 2,
        "filename": "\u00e4.txt",
        "total_size": 10,
        "chunk_size": 4,
        "chunks_received": 1,
        "chunks_expected": 3,
        "metadata": {"type": "text/plain", "n": [1]},
    }
    resumed = (await jumbo.get(f"/resume/{upload_id}")).told
    assert (resumed["chunks_received"], resumed["chunks_needed"]) == ([2], [0, 1])
    figures = (await jumbo.get("/statistics")).told
    assert (figures["active_uploads"], figures["total_active_size"]) == (1, 10)
    for number, content in ((0, b"0123"), (1, b"4567")):
        await jumbo.put(upload_id, number, content)
    status = (await jumbo.get(f"/status/{upload_id}")).told
    assert (status["status"], status["path"]) == ("completed", "completed/\u00e4.txt")


async def test_verifying(jumbo: Jumbo) -> None:
    upload_id = await jumbo.begin(10)
    await jumbo.put(upload_id, 1, b"4567")
    right, wrong = sha256(b"4567"), sha256(b"xxxx")
    path = f"/verify/{upload_id}/1"
    assert (await jumbo.get(path)).told == {"valid": True, "hash": right}
    query = {"query_string": f"hash={right.upper()}".encode()}
    assert (await jumbo.get(path, **query)).told == {"valid": True, "hash": right}
    said = await jumbo.get(path, query_string=f"hash={wrong}".encode())
    assert said.status == 200
    assert said.told.items() >= {"valid": False, "actual": right}.items()
    assert (await jumbo.get(f"/verify/{upload_id}/0")).told["valid"] is False
    said = await jumbo.get(path, query_string=b"hash=x")
    assert (said.status, said.problem) == (400, "malformed-request")


async def test_cancelling(jumbo: Jumbo, upload_dir: Path) -> None:
    upload_id = await jumbo.begin(10)
    await jumbo.put(upload_id, 1, b"4567")
    said = await jumbo.ask("DELETE", f"/{upload_id}")
    assert said.told == {"upload_id": upload_id, "status": "cancelled"}
    assert files_below(upload_dir) == set()
    said = await jumbo.ask("DELETE", f"/{upload_id}")
    assert (said.status, said.problem) == (404, "upload-not-found")


async def test_no_cancelling_where_nothing_is_terminated(serve: Serve) -> None:
    jumbo = Jumbo(Browser(serve(termination=False).jumbo))
    upload_id = await jumbo.begin(10)
    assert (await jumbo.ask("DELETE", f"/{upload_id}")).status == 404
    document = json.loads((await jumbo.browser.get("/openapi.json")).body)
    assert "/{upload_id}" not in document["paths"]


async def test_an_upload_of_no_bytes(jumbo: Jumbo, upload_dir: Path) -> None:
    said = await jumbo.start({"filename": "a.bin", "size": 0})
    assert said.status == 201
    assert said.told.items() >= {"total_chunks": 0, "status": "completed", "size": 0}.items()
    assert completed(upload_dir) == b""


async def test_chunks_of_the_clients_size(jumbo: Jumbo) -> None:
    said = await jumbo.start({"filename": "a", "size": 100_000, "chunk_size": 70_000})
    assert (said.told["chunk_size"], said.told["total_chunks"]) == (70_000, 2)
    said = await jumbo.put(said.told["upload_id"], 1, bytes(30_000))
    assert said.told["progress"] == 30.0


async def test_an_abandoned_upload(jumbo: Jumbo, clock: Clock) -> None:
    upload_id = await jumbo.begin(10)
    clock.now += 8 * 86400
    said = await jumbo.get(f"/status/{upload_id}")
    assert (said.status, said.told["status"]) == (200, "abandoned")
    for said in (
        await jumbo.get(f"/resume/{upload_id}"),
        await jumbo.put(upload_id, 0, b"0123"),
        await jumbo.send(upload_id, 0, b"0123"),
    ):
        assert (said.status, said.problem) == (404, "upload-not-found")


async def test_head(jumbo: Jumbo) -> None:
    upload_id = await jumbo.begin(10)
    answer = await jumbo.browser.ask("HEAD", f"/status/{upload_id}")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["content-type"] == "application/json"


# --- repeated and contradicted -------------------------------------------------------------------


async def test_a_chunk_again(jumbo: Jumbo, upload_dir: Path) -> None:
    upload_id = await jumbo.begin(10)
    first = await jumbo.send(upload_id, 0, b"0123")
    for said in (await jumbo.send(upload_id, 0, b"0123"), await jumbo.put(upload_id, 0, b"0123")):
        assert (said.status, said.told) == (200, first.told)
    for said in (await jumbo.send(upload_id, 0, b"012x"), await jumbo.put(upload_id, 0, b"x123")):
        assert (said.status, said.problem) == (409, "chunk-conflict")
        assert (said.told["start"], said.told["stop"]) == (0, 4)
    await jumbo.put(upload_id, 1, b"4567")
    last = await jumbo.put(upload_id, 2, b"89")
    assert (await jumbo.put(upload_id, 2, b"89")).told == last.told
    assert (await jumbo.put(upload_id, 0, b"0123")).told["status"] == "completed"
    assert (await jumbo.put(upload_id, 2, b"8x")).status == 409
    assert completed(upload_dir) == b"0123456789"


@pytest.mark.parametrize("content", [b"", b"012", b"01234", bytes(100)], ids=len)
async def test_a_chunk_of_another_size(jumbo: Jumbo, content: bytes) -> None:
    upload_id = await jumbo.begin(10)
    chunked = [piece(content), piece(b"", more=False)]
    for said in (
        await jumbo.send(upload_id, 0, content),
        await jumbo.put(upload_id, 0, content),
        await jumbo.put(upload_id, 0, chunked),
    ):
        assert (said.status, said.problem) == (400, "chunk-size-wrong"), said
        assert said.told["expected"] == 4
    assert (await jumbo.get(f"/status/{upload_id}")).told["size_uploaded"] == 0


async def test_a_chunk_that_there_is_not(jumbo: Jumbo) -> None:
    upload_id = await jumbo.begin(10)
    for said in (
        await jumbo.send(upload_id, 3, b"0123"),
        await jumbo.put(upload_id, 3, b"0123"),
        await jumbo.put(upload_id, 2**30, b"0123"),
        await jumbo.get(f"/verify/{upload_id}/3"),
    ):
        assert (said.status, said.problem) == (404, "no-such-chunk")
        assert said.told["count"] == 3
    said = await jumbo.put(upload_id, 2**63 - 1, b"0123")
    assert (said.status, said.problem) == (404, "no-such-chunk")


# --- checked -------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["sha-256", "sha-512"])
async def test_a_digest(jumbo: Jumbo, algorithm: str) -> None:
    upload_id = await jumbo.begin(10)
    said = await jumbo.put(upload_id, 0, b"0123", digest(b"012x", algorithm))
    assert (said.status, said.problem) == (400, "digest-mismatch")
    assert said.told["algorithm"] == algorithm.replace("-", "")
    assert (await jumbo.get(f"/status/{upload_id}")).told["size_uploaded"] == 0
    said = await jumbo.put(upload_id, 0, b"0123", digest(b"0123", algorithm))
    assert (said.status, said.told["hash"]) == (200, sha256(b"0123"))


async def test_a_hash(jumbo: Jumbo) -> None:
    upload_id = await jumbo.begin(10)
    said = await jumbo.send(upload_id, 0, b"0123", hash=sha256(b"012x"))
    assert (said.status, said.problem) == (400, "digest-mismatch")
    assert (await jumbo.get(f"/status/{upload_id}")).told["size_uploaded"] == 0
    said = await jumbo.send(upload_id, 0, b"0123", hash=sha256(b"0123").upper())
    assert said.status == 200


# --- both protocols ------------------------------------------------------------------------------


async def test_begun_by_chunks_and_continued_by_tus(serve: Serve, upload_dir: Path) -> None:
    uploads = serve(chunk_size=4)
    jumbo, tus = Jumbo(Browser(uploads.jumbo)), Browser(uploads)
    upload_id = await jumbo.begin(10, metadata={"type": "text/plain"})
    await jumbo.put(upload_id, 1, b"4567")
    head = await tus.head(f"/{upload_id}")
    assert (head.status, head.offset) == (200, 0)
    patched = await tus.patch(f"/{upload_id}", 0, b"0123")
    assert (patched.status, patched.offset) == (204, 8)
    assert (await tus.patch(f"/{upload_id}", 8, b"89")).offset == 10
    assert (await jumbo.get(f"/status/{upload_id}")).told["status"] == "completed"
    assert completed(upload_dir) == b"0123456789"


async def test_begun_by_tus_and_continued_by_chunks(serve: Serve, upload_dir: Path) -> None:
    uploads = serve(chunk_size=4)
    jumbo, tus = Jumbo(Browser(uploads.jumbo)), Browser(uploads)
    path = (await tus.create(10, {"Upload-Metadata": "filename YS5iaW4="}, b"01234")).location
    resumed = (await jumbo.get(f"/resume{path}")).told
    assert (resumed["chunks_received"], resumed["chunks_needed"]) == ([0], [1, 2])
    upload_id = path.removeprefix("/")
    assert (await jumbo.put(upload_id, 1, b"x567")).problem == "chunk-conflict"
    assert (await jumbo.put(upload_id, 1, b"4567")).told["progress"] == 80.0
    assert (await jumbo.send(upload_id, 2, b"89")).told["status"] == "completed"
    assert completed(upload_dir) == b"0123456789"
    assert (await tus.get(path)).body == b"0123456789"


async def test_what_tus_says_of_other_bytes(serve: Serve) -> None:
    """409 would make tus-js-client send them again and again."""
    uploads = serve(chunk_size=4)
    jumbo, tus = Jumbo(Browser(uploads.jumbo)), Browser(uploads)
    upload_id = await jumbo.begin(10)
    await jumbo.put(upload_id, 1, b"4567")
    assert (await tus.patch(f"/{upload_id}", 0, b"0123x")).status == 400


# --- what is wrong -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "status", "problem"),
    [
        ("GET", "/", 404, "route-not-found"),
        ("GET", "", 404, "route-not-found"),
        ("GET", "/no/such/place/here", 404, "route-not-found"),
        ("GET", "/status/..", 404, "route-not-found"),
        ("GET", "/status/nobody", 404, "upload-not-found"),
        ("GET", "/resume/nobody", 404, "upload-not-found"),
        ("GET", "/verify/nobody/0", 404, "upload-not-found"),
        ("GET", "/verify/nobody/x", 400, "malformed-request"),
        ("PUT", "/nobody/chunks/0", 404, "upload-not-found"),
        ("DELETE", "/nobody", 404, "upload-not-found"),
        ("GET", "/start", 405, "method-not-allowed"),
        ("PATCH", "/nobody", 405, "method-not-allowed"),
        ("POST", "/openapi.json", 405, "method-not-allowed"),
    ],
)
async def test_what_is_not_there(
    jumbo: Jumbo, method: str, path: str, status: int, problem: str
) -> None:
    said = await jumbo.ask(method, path)
    assert (said.status, said.problem) == (status, problem)
    assert ("allow" in said.answer.headers) == (status == 405)
    assert said.answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("headers", "told", "status", "problem"),
    [
        pytest.param({}, {}, 415, "media-type-unsupported", id="no type"),
        pytest.param({"Content-Type": "text/plain"}, {}, 415, "media-type-unsupported", id="text"),
        pytest.param(JSON, b"", 400, "malformed-request", id="empty"),
        pytest.param(JSON, {"filename": "a"}, 400, "malformed-request", id="no size"),
        pytest.param(JSON, {"filename": "a", "size": "1"}, 400, "malformed-request", id="text"),
        pytest.param(JSON, {"filename": "a", "size": 101}, 413, "upload-too-large", id="large"),
        pytest.param(JSON, bytes(64 * 1024 + 1), 400, "malformed-request", id="much"),
        pytest.param(
            JSON,
            {"filename": "a", "size": 9, "chunk_size": 3},
            400,
            "malformed-request",
            id="small",
        ),
    ],
)
async def test_what_begins_nothing(
    serve: Serve, upload_dir: Path, headers: Any, told: Any, status: int, problem: str
) -> None:
    jumbo = Jumbo(Browser(serve(max_size=100, chunk_size=4).jumbo))
    said = await jumbo.start(told, headers)
    assert (said.status, said.problem) == (status, problem)
    assert (await jumbo.get("/statistics")).told["uploads_today"] == 0


@pytest.mark.parametrize(
    ("content_type", "body", "status", "problem"),
    [
        pytest.param("application/json", b"{}", 415, "media-type-unsupported", id="JSON"),
        pytest.param("multipart/form-data", b"", 400, "malformed-request", id="no boundary"),
        pytest.param(CONTENT_TYPE, b"", 400, "malformed-request", id="nothing"),
        pytest.param(CONTENT_TYPE, END, 400, "malformed-request", id="no parts"),
        pytest.param(CONTENT_TYPE, blob(b"0123") + END, 400, "malformed-request", id="no fields"),
        pytest.param(
            CONTENT_TYPE, form(b"0123", upload_id="ID"), 400, "malformed-request", id="no number"
        ),
        pytest.param(
            CONTENT_TYPE,
            blob(b"0123") + form(b"", upload_id="ID", chunk_number="0"),
            400,
            "malformed-request",
            id="the file first",
        ),
        pytest.param(
            CONTENT_TYPE,
            form(b"0123", upload_id="ID", chunk_number="0").removesuffix(END)
            + part("hash", b"0" * 64)
            + END,
            400,
            "malformed-request",
            id="the hash last",
        ),
        pytest.param(
            CONTENT_TYPE,
            form(b"0123", upload_id="ID", chunk_number="0").removesuffix(END),
            400,
            "malformed-request",
            id="no end",
        ),
        pytest.param(
            CONTENT_TYPE,
            form(b"0123", upload_id="nobody", chunk_number="0"),
            404,
            "upload-not-found",
            id="no upload",
        ),
    ],
)
async def test_what_is_no_chunk(
    jumbo: Jumbo, content_type: str, body: bytes, status: int, problem: str
) -> None:
    upload_id = await jumbo.begin(10)
    body = body.replace(b"\r\nID\r\n", f"\r\n{upload_id}\r\n".encode())
    for sent in (body, [piece(data) for data in cut(body, [9] * 90)] + [piece(b"", more=False)]):
        said = await jumbo.ask("POST", "/chunk", {"Content-Type": content_type}, sent)
        assert (said.status, said.problem) == (status, problem)
    assert (await jumbo.get(f"/status/{upload_id}")).told["size_uploaded"] == 0


async def test_failures_of_ours(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    uploads = serve(chunk_size=4)
    jumbo = Jumbo(Browser(uploads.jumbo))
    upload_id = await jumbo.begin(10)
    for error, kind in ((StorageFailed(), "storage-failed"), (KeyError("x"), "blank")):

        async def execute(*_: object, error: Exception = error) -> None:
            await anyio.lowlevel.checkpoint()
            raise error

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(uploads.house.uploads, "execute", execute)
            said = await jumbo.put(upload_id, 0, b"0123", PAGE)
        assert (said.status, said.problem) == (500, kind)
        assert said.answer.headers["access-control-allow-origin"] == "*"
    assert len(caplog.records) >= 2


# --- in which order ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status"),
    [
        pytest.param(Unauthorized('Basic realm="x"'), 401, id="401"),
        pytest.param(Forbidden(), 403, id="403"),
    ],
)
@pytest.mark.parametrize(
    ("line", "action"),
    [
        ("POST /start", Action.CREATE),
        ("POST /chunk", Action.APPEND),
        ("PUT /{}/chunks/0", Action.APPEND),
        ("GET /status/{}", Action.INSPECT),
        ("GET /resume/{}", Action.INSPECT),
        ("GET /verify/{}/0", Action.INSPECT),
        ("DELETE /{}", Action.TERMINATE),
        ("GET /statistics", Action.SURVEY),
    ],
)
async def test_a_closed_gate(
    serve: Serve, upload_dir: Path, line: str, action: Action, error: TusJumboError, status: int
) -> None:
    inside = Jumbo(Browser(serve(chunk_size=4).jumbo))
    upload_id = await inside.begin(10)
    door = Door(error)
    method, path = line.format(upload_id).split()
    bodies = {
        "/start": (JSON, json.dumps({"filename": "a", "size": 5}).encode()),
        "/chunk": (
            {"Content-Type": CONTENT_TYPE},
            form(b"0123", upload_id=upload_id, chunk_number="0"),
        ),
    }
    headers, body = bodies.get(path, ({}, b"0123" if method == "PUT" else None))
    outside = Jumbo(Browser(serve(gate=door, chunk_size=4).jumbo))
    said = await outside.ask(method, path, {**headers, **PAGE, "X-Token": "a"}, body)
    assert (said.status, said.problem) == (status, type(error).__name__.lower())
    assert said.answer.asked_first == (path == "/chunk")
    assert said.answer.headers["access-control-allow-origin"] == "*"
    assert ("www-authenticate" in said.answer.headers) == (status == 401)
    (came,) = door.came
    assert came.action is action
    assert came.upload_id == (upload_id if "{}" in line or path == "/chunk" else None)
    assert (came.headers["x-token"], came.client) == ("a", "192.0.2.7")
    assert (await inside.get(f"/status/{upload_id}")).told["size_uploaded"] == 0


@pytest.mark.parametrize("path", ["/openapi.json", "/jumbo.js"])
async def test_what_is_for_everybody(serve: Serve, path: str) -> None:
    browser = Browser(serve(gate=Door(Forbidden())).jumbo)
    assert (await browser.get(path)).status == 200
    assert (await browser.ask("OPTIONS", path)).status == 204


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        pytest.param("/{}/chunks/3", {}, id="no such chunk"),
        pytest.param("/nobody/chunks/0", {}, id="no such upload"),
        pytest.param("/{}/chunks/0", {"Content-Digest": "x="}, id="no digest"),
        pytest.param("/{}/chunks/0", {"Content-Range": "bytes 0-1/2"}, id="a range"),
        pytest.param("/{}/chunks/1", {}, id="another size"),
        pytest.param("/start", JSON, id="another method"),
    ],
)
async def test_decided_before_the_body_is_asked_for(
    jumbo: Jumbo, path: str, headers: dict[str, str]
) -> None:
    """So that "100 Continue" is a yes."""
    upload_id = await jumbo.begin(5)
    said = await jumbo.put(upload_id, 0, b"0123", headers)
    expected = {**headers, "Expect": "100-continue"}
    said = await jumbo.ask("PUT", path.format(upload_id), expected, b"012")
    assert said.status >= 400
    assert not said.answer.asked_first
    assert said.answer.headers["connection"] == "close"


async def test_a_form_is_asked_for_no_more_than_its_fields(jumbo: Jumbo) -> None:
    """Of a file that will not be stored nothing is waited for."""
    head = form(b"0123", upload_id="nobody", chunk_number="0").partition(b"0123")[0]
    happened: list[str] = []

    async def note(message: Message) -> None:
        happened.append(message["type"])

    said = await jumbo.ask(
        "POST",
        "/chunk",
        {"Content-Type": CONTENT_TYPE},
        [piece(head)],
        on_send=note,
        on_silence=lambda: happened.append("silence"),
    )
    assert (said.status, said.problem) == (404, "upload-not-found")
    assert happened.index("http.response.start") < happened.index("silence")


# --- bodies that stop ----------------------------------------------------------------------------


async def test_a_client_that_goes(jumbo: Jumbo, upload_dir: Path) -> None:
    upload_id = await jumbo.begin(10)
    whole = form(b"0123", upload_id=upload_id, chunk_number="0")
    kind = {"Content-Type": CONTENT_TYPE}
    for at in (0, 50, whole.index(b"0123") + 2, whole.index(b"0123") + 4, len(whole) - 3):
        headers = {**kind, "Content-Length": str(len(whole))}
        answer = await jumbo.browser.ask("POST", "/chunk", headers, [piece(whole[:at]), GONE])
        assert not answer.status
    answer = await jumbo.browser.ask("PUT", f"/{upload_id}/chunks/0", {}, [piece(b"012"), GONE])
    assert not answer.status
    status = (await jumbo.get(f"/status/{upload_id}")).told
    assert (status["size_uploaded"], status["status"]) == (0, "uploading")
    assert (await jumbo.send(upload_id, 0, b"0123")).status == 200


@pytest.mark.parametrize("at", [0, 30, 150])
async def test_a_body_that_does_not_come(serve: Serve, at: int) -> None:
    jumbo = Jumbo(Browser(serve(body_timeout="50ms").jumbo))
    told = json.dumps({"filename": "a" * 150, "size": 5}).encode()
    fields = form(b"0123", upload_id="a", chunk_number="0")
    for path, body, headers in (
        ("/start", told, JSON),
        ("/chunk", fields, {"Content-Type": CONTENT_TYPE}),
    ):
        said = await jumbo.ask("POST", path, headers, [piece(body[:at])])
        assert (said.status, said.problem) == (503, "body-timeout")
        assert said.answer.headers["connection"] == "close"


@pytest.mark.parametrize("given", ["before", "meanwhile"])
async def test_a_server_that_is_closing(serve: Serve, given: str) -> None:
    """It does not wait for the rest, which may come never."""
    jumbo = Jumbo(Browser(serve(body_timeout=0).jumbo))
    for path, headers in (("/start", JSON), ("/chunk", {"Content-Type": CONTENT_TYPE})):
        notice = Notice()
        if given == "before":
            notice.give()
        with anyio.fail_after(10):
            said = await jumbo.ask(
                "POST",
                path,
                headers,
                [piece(b"--")],
                on_silence=notice.give,
                extensions={"tusjumbo": {"closing": notice}},
            )
        assert (said.status, said.problem) == (503, "server-closing")
        assert int(said.answer.headers["retry-after"]) > 0


async def test_what_is_left_of_a_body_is_read(
    jumbo: Jumbo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a client that goes on sending finds a broken connection, and not the answer."""
    monkeypatch.setattr(bodies, "_UNWANTED_FOR", 0.05)
    sent = [piece(b"0123") for _ in range(5)]
    said = await jumbo.put("nobody", 0, [*sent, piece(b"", more=False)])
    assert said.status == 404


# --- pages, places, logs -------------------------------------------------------------------------


def members(value: str) -> set[str]:
    return {member.strip().lower() for member in value.split(",")}


async def test_a_preflight(jumbo: Jumbo) -> None:
    wanted = {"Access-Control-Request-Method": "PUT"}
    for path in ("/abc/chunks/0", "/no/such/place"):
        answer = await jumbo.browser.ask("OPTIONS", path, {**PAGE, **wanted})
        assert answer.status == 204
        assert members(answer.headers["access-control-allow-methods"]) >= members(
            "GET, POST, PUT, DELETE"
        )
        assert members(answer.headers["access-control-allow-headers"]) >= members(
            "Content-Type, Content-Digest, Authorization"
        )


async def test_what_a_page_may_read(jumbo: Jumbo) -> None:
    said = await jumbo.start({"filename": "a", "size": 5}, {**JSON, **PAGE})
    assert members(said.answer.headers["access-control-expose-headers"]) >= members(
        "Location, Retry-After"
    )


@pytest.mark.parametrize(
    ("options", "headers", "location"),
    [
        pytest.param({}, {}, "/up/status/", id="path"),
        pytest.param({"location": "url"}, {"Host": "h:1"}, "http://h:1/up/status/", id="url"),
        pytest.param(
            {"behind_proxy": ["192.0.2.0/24"], "location": "url"},
            {
                "X-Forwarded-For": "198.51.100.1",
                "X-Forwarded-Proto": "https",
                "X-Forwarded-Host": "public.example",
                "X-Forwarded-Prefix": "/api",
            },
            "https://public.example/api/up/status/",
            id="proxy",
        ),
        pytest.param(
            {"base_url": "https://public.example/files", "location": "url"},
            {},
            "https://public.example/up/status/",
            id="base_url",
        ),
        pytest.param({"base_url": "/files"}, {}, "/up/status/", id="base_url is of tus"),
    ],
)
async def test_where_the_status_is(
    serve: Serve, options: dict[str, Any], headers: dict[str, str], location: str
) -> None:
    uploads = serve(**options)
    jumbo = Jumbo(Browser(uploads.at("/files", "/up/")), "/up")
    said = await jumbo.start({"filename": "a", "size": 5}, {**JSON, **headers})
    assert said.answer.location == location + said.told["upload_id"]
    document = json.loads((await jumbo.browser.get("/up/openapi.json", headers)).body)
    assert document["servers"] == [{"url": "/api/up" if "proxy" in str(options) else "/up"}]


async def test_both_places(serve: Serve) -> None:
    uploads = serve(chunk_size=4)
    site = Browser(uploads.at("/files/", "/upload/"))
    jumbo = Jumbo(site, "/upload")
    upload_id = await jumbo.begin(4)
    assert (await site.head(f"/files/{upload_id}")).status == 200
    assert (await jumbo.put(upload_id, 0, b"0123")).told["status"] == "completed"
    answer = await site.get("/elsewhere")
    assert (answer.status, answer.body) == (404, b"Uploads are at /files/ and /upload/\n")
    assert (await Browser(uploads.at("/files/")).get("/upload/statistics")).status == 404


@pytest.mark.parametrize(
    ("base", "jumbo_path"), [("/", "/upload/"), ("/up", "/up/load"), ("/up/load", "/up")]
)
async def test_places_inside_each_other(serve: Serve, base: str, jumbo_path: str) -> None:
    site = Browser(serve().at(base, jumbo_path))
    assert (await site.get(jumbo_path.rstrip("/") + "/statistics")).status == 200
    created = await site.ask("POST", base, {**T, "Upload-Length": "3"})
    assert (created.status, created.location.startswith(base.rstrip("/") + "/jumbo_")) == (
        201,
        True,
    )


async def test_the_access_log(jumbo: Jumbo, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tusjumbo.access")
    upload_id = await jumbo.begin(10)
    await jumbo.send(upload_id, 0, b"0123")
    await jumbo.get("/status/nobody\r\nX")
    begun, sent, wrong = (record.__dict__ for record in caplog.records)
    assert (begun["status"], begun["upload_id"], begun["method"]) == (201, upload_id, "POST")
    assert (sent["status"], sent["upload_id"], sent["path"]) == (200, upload_id, "/chunk")
    assert sent["bytes"] == len(form(b"0123", upload_id=upload_id, chunk_number="0"))
    assert wrong["status"] == 404
    assert "\n" not in caplog.records[2].getMessage()


# --- what is fetched -----------------------------------------------------------------------------


async def known(browser: Browser, path: str, answer: Answer) -> Answer:
    return await browser.get(path, {"If-None-Match": f'"x", {answer.headers["etag"]}'})


@pytest.mark.parametrize(
    ("path", "kind", "content"),
    [
        ("/jumbo.js", "text/javascript; charset=utf-8", b"export class JumboUploader"),
        ("/openapi.json", "application/json", b'"openapi": "3.1.0"'),
    ],
)
async def test_an_asset(jumbo: Jumbo, path: str, kind: str, content: bytes) -> None:
    answer = await jumbo.browser.get(path)
    assert (answer.status, answer.headers["content-type"]) == (200, kind)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-cache"
    assert content in answer.body
    again = await known(jumbo.browser, path, answer)
    assert (again.status, again.body, again.headers["etag"]) == (304, b"", answer.headers["etag"])
    assert (await jumbo.browser.get(path, {"If-None-Match": '"x"'})).status == 200
