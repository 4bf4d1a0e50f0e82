"""Types of files over HTTP, through the real engine and store: by content, however it is sent."""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.processing.samples import SAMPLES
from tests.web.browsing import Answer, Browser, T, files_below, piece
from tests.web.conftest import Serve
from tusjumbo.processing import inspection
from tusjumbo.processing.inspection import ContentInspection
from tusjumbo.processing.sniffing import FIRST
from tusjumbo.stores.local import LocalStore
from tusjumbo.web.asgi import TusJumbo

CONTENT = {sample.name: sample.content for sample in SAMPLES}
CHUNK = 1 << 16
PNG = CONTENT["png"].ljust(1200, b"\0")

Sent = tuple[Answer, str]
"""The last answer, and the path of the upload (empty if it was never told)."""
Way = Callable[[TusJumbo, bytes, str], Awaitable[Sent]]


def told(name: str, media_type: str = "") -> dict[str, str]:
    pairs = {"filename": name} | ({"filetype": media_type} if media_type else {})
    words = (f"{key} {b64encode(value.encode()).decode()}" for key, value in pairs.items())
    return {"Upload-Metadata": ",".join(words)}


async def in_one_piece(tus: TusJumbo, content: bytes, name: str) -> Sent:
    browser = Browser(tus)
    path = (await browser.create(len(content), told(name))).location
    return await browser.patch(path, 0, content), path


async def in_pieces_of_ten(tus: TusJumbo, content: bytes, name: str) -> Sent:
    browser = Browser(tus)
    path = (await browser.create(len(content), told(name))).location
    for at in range(0, len(content), 10):
        answer = await browser.patch(path, at, content[at : at + 10])
        if answer.status != 204:
            break
    return answer, path


async def of_unknown_length(tus: TusJumbo, content: bytes, name: str) -> Sent:
    browser = Browser(tus)
    path = (await browser.create(None, told(name))).location
    pieces = [piece(content[:100]), piece(content[100:], more=False)]
    return await browser.patch(path, 0, pieces, {"Upload-Length": str(len(content))}), path


async def with_creation(tus: TusJumbo, content: bytes, name: str) -> Sent:
    answer = await Browser(tus).create(len(content), told(name), content)
    return answer, answer.headers.get("location", "")


async def with_a_checksum(tus: TusJumbo, content: bytes, name: str) -> Sent:
    browser = Browser(tus)
    path = (await browser.create(len(content), told(name))).location
    digest = b64encode(hashlib.sha1(content).digest()).decode()
    wrong = await browser.patch(path, 0, content[::-1], {"Upload-Checksum": f"sha1 {digest}"})
    assert wrong.status == 460
    return await browser.patch(path, 0, content, {"Upload-Checksum": f"sha1 {digest}"}), path


async def joined(tus: TusJumbo, content: bytes, name: str) -> Sent:
    browser = Browser(tus)
    partial = {"Upload-Concat": "partial"}
    halves = [content[:300], content[300:]]
    parts = [(await browser.create(len(half), partial, half)).location for half in halves]
    headers = {**T, **told(name), "Upload-Concat": f"final;{' '.join(parts)}"}
    answer = await browser.ask("POST", "/", headers)
    for path in parts:
        assert (await browser.delete(path)).status == 204
    return answer, answer.headers.get("location", "")


async def in_chunks_from_the_end(tus: TusJumbo, content: bytes, name: str) -> Sent:
    browser = Browser(tus.jumbo)
    content = content.ljust(CHUNK + 1, b"\0")
    wanted = {"filename": name, "size": len(content), "chunk_size": CHUNK}
    begun = await browser.ask(
        "POST", "/start", {"Content-Type": "application/json"}, json.dumps(wanted).encode()
    )
    assert begun.status == 201, begun.body
    upload_id = json.loads(begun.body)["upload_id"]
    last = await browser.ask("PUT", f"/{upload_id}/chunks/1", (), content[CHUNK:])
    assert last.status == 200
    answer = await browser.ask("PUT", f"/{upload_id}/chunks/0", (), content[:CHUNK])
    return answer, f"/{upload_id}"


WAYS = (
    in_one_piece,
    in_pieces_of_ten,
    of_unknown_length,
    with_creation,
    with_a_checksum,
    joined,
    in_chunks_from_the_end,
)
by_any_way = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)


async def is_gone(tus: TusJumbo, path: str) -> bool:
    browser = Browser(tus)
    asked = [await browser.head(path), await browser.get(path)] if path else []
    rows = await tus.house.catalog.listing()
    return all(answer.status == 404 for answer in asked) and list(rows) == []


@by_any_way
@pytest.mark.parametrize("disguised", ["exe", "html-as.jpg", "jar"])
async def test_what_is_refused_leaves_nothing(
    serve: Serve, upload_dir: Path, way: Way, disguised: str
) -> None:
    tus = serve(allow_types="image/*")
    content = CONTENT[disguised].ljust(1200)
    answer, path = await way(tus, content, "photo.png")
    assert answer.status == 415
    assert b"is not taken here" in answer.body
    assert b"image/*" in answer.body
    assert "upload-expires" not in answer.headers
    assert await is_gone(tus, path)
    assert files_below(upload_dir) == set()


@by_any_way
async def test_what_is_taken_arrives(serve: Serve, upload_dir: Path, way: Way) -> None:
    tus = serve(allow_types="image/*", refuse_disguised=True)
    answer, _ = await way(tus, PNG, "photo.png")
    assert answer.status in {200, 201, 204}, answer.body
    assert files_below(upload_dir) == {"completed/photo.png"}
    arrived = (upload_dir / "completed/photo.png").read_bytes()
    assert arrived.rstrip(b"\0") == PNG.rstrip(b"\0")


@pytest.mark.parametrize(
    ("settings", "content", "name", "media_type", "status"),
    [
        pytest.param({"allow_types": "image/*"}, "svg", "a.svg", "", 201, id="an svg is a picture"),
        pytest.param(
            {"allow_types": "image/*", "deny_types": "image/svg+xml"},
            *("svg", "a.png", "image/png", 415),
            id="an svg as png",
        ),
        pytest.param(
            {"refuse_disguised": True}, "svg", "a.jpg", "image/jpeg", 415, id="an svg as jpeg"
        ),
        pytest.param({"refuse_disguised": True}, "svg", "a.svg", "", 201, id="an honest svg"),
        pytest.param(
            {"refuse_disguised": True}, "exe", "a.png", "image/png", 415, id="an exe as png"
        ),
        pytest.param({"deny_types": "text/html"}, "html-as.jpg", "a.jpg", "", 415, id="denied"),
        pytest.param({"deny_types": "text/html"}, "png", "a.jpg", "", 201, id="not denied"),
        pytest.param({"allow_types": "text/csv"}, "txt", "a.csv", "", 201, id="by its name"),
        pytest.param({"allow_types": "text/csv"}, "txt", "a.csv", "text/plain", 415, id="declared"),
        pytest.param(
            {"allow_types": ["application/pdf", "image/png"]}, "pdf", "", "", 201, id="two types"
        ),
        pytest.param({}, "exe", "a.png", "image/png", 201, id="everything is taken"),
    ],
)
async def test_lists(
    serve: Serve,
    upload_dir: Path,
    settings: dict[str, object],
    content: str,
    name: str,
    media_type: str,
    status: int,
) -> None:
    browser = Browser(serve(**settings))
    data = CONTENT[content]
    answer = await browser.create(len(data), told(name, media_type), data)
    assert answer.status == status, answer.body
    assert bool(files_below(upload_dir)) == (status == 201)


@pytest.mark.parametrize(
    ("name", "media_type"),
    [("a.html", ""), ("a.html", "image/png"), ("a.png", "text/html"), ("a.exe", "")],
)
async def test_a_claim_is_refused_before_the_body_is_asked_for(
    serve: Serve, upload_dir: Path, name: str, media_type: str
) -> None:
    tus = serve(allow_types="image/*")
    answer = await Browser(tus).create(len(PNG), told(name, media_type), PNG)
    assert (answer.status, answer.asked_first) == (415, False)
    assert b"is not taken here" in answer.body
    part = await Browser(tus).create(1, {"Upload-Concat": "partial", **told(name)}, b"x")
    assert part.status == 201
    final = {**T, "Upload-Concat": f"final;{part.location}", **told(name, media_type)}
    assert (await Browser(tus).ask("POST", "/", final)).status == 415
    begun = await Browser(tus.jumbo).ask(
        "POST",
        "/start",
        {"Content-Type": "application/json"},
        json.dumps({"filename": name, "size": 9, "metadata": {"filetype": media_type}}).encode(),
    )
    assert begun.status == 415
    assert json.loads(begun.body)["type"] == "urn:tusjumbo:problem:media-type-refused"
    assert len(await tus.house.catalog.listing()) == 1
    assert len(files_below(upload_dir)) == 1


async def test_a_page_may_read_why(serve: Serve) -> None:
    headers = {**told("a.html"), "Origin": "https://page.example"}
    answer = await Browser(serve(allow_types="image/*")).create(3, headers, b"abc")
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (415, "*")


async def test_small_pieces_are_refused_as_soon_as_they_tell(serve: Serve) -> None:
    tus = serve(allow_types="image/*")
    browser = Browser(tus)
    path = (await browser.create(100_000, told("a.png"))).location
    at, status = 0, 204
    while status == 204:
        status = (await browser.patch(path, at, CONTENT["exe"][at : at + 10])).status
        at += 10
    assert (at, status) == (FIRST + 8, 415)
    assert await is_gone(tus, path)


async def test_it_does_not_wait_for_the_rest_of_the_body(serve: Serve) -> None:
    """And the bytes that a client still sends do not keep its answer from it."""
    tus = serve(allow_types="image/*")
    browser = Browser(tus)
    path = (await browser.create(10_000_000, told("a.png"))).location
    begin = [piece(CONTENT["exe"])]
    answer = await browser.patch(path, 0, begin, {"Content-Length": "10000000"})
    assert answer.status == 415
    assert await is_gone(tus, path)


async def test_an_empty_file_is_a_text(serve: Serve, upload_dir: Path) -> None:
    assert (await Browser(serve(allow_types="image/*")).create(0)).status == 415
    assert files_below(upload_dir) == set()
    assert (await Browser(serve(allow_types="text/*")).create(0)).status == 201


async def test_an_upload_from_before_the_settings_were_changed(
    serve: Serve, upload_dir: Path
) -> None:
    path = (await Browser(serve()).create(2000, told("a.png"), CONTENT["exe"][:600])).location
    tus = serve(allow_types="image/*")
    assert (await Browser(tus).head(path)).offset == 600
    answer = await Browser(tus).patch(path, 600, b"x")
    assert answer.status == 415
    assert await is_gone(tus, path)
    assert files_below(upload_dir) == set()


# --- nobody looks --------------------------------------------------------------------------------


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was read back, and what was judged."""
    seen: list[str] = []
    examine, hop = LocalStore.examine, inspection._hop

    async def reading(*args: object) -> None:
        seen.append("read")
        await examine(*args)  # type: ignore[arg-type]

    async def judging(*args: object, **named: object) -> object:
        seen.append("judged")
        return await hop(*args, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(LocalStore, "examine", reading)
    monkeypatch.setattr(inspection, "_hop", judging)
    return seen


@by_any_way
async def test_where_everything_is_taken_nobody_looks(
    serve: Serve, looks: list[str], way: Way
) -> None:
    answer, _ = await way(serve(), CONTENT["exe"].ljust(1200), "photo.png")
    assert answer.status in {200, 201, 204}
    assert looks == []


async def test_what_a_look_costs(serve: Serve, looks: list[str]) -> None:
    """One as the bytes arrive, and one at the end, when they are read back."""
    browser = Browser(serve(allow_types="image/*"))
    path = (await browser.create(100_000, told("a.png"))).location
    for at in range(0, 100_000, 10_000):
        content = PNG.ljust(10_000, b"\0") if not at else bytes(10_000)
        assert (await browser.patch(path, at, content)).status == 204
    assert looks == ["judged", "read", "judged"]


@pytest.mark.parametrize(
    ("settings", "looks_at_types"),
    [
        ({}, False),
        ({"allow_types": "*/*"}, False),
        ({"allow_types": "image/*"}, True),
        ({"deny_types": "image/*"}, True),
        ({"refuse_disguised": "yes"}, True),
    ],
)
async def test_the_settings_say_whether_somebody_looks(
    serve: Serve, settings: dict[str, str], looks_at_types: bool
) -> None:
    found = serve(**settings).house.uploads.inspection
    assert isinstance(found, ContentInspection) is looks_at_types
