"""What the web room adds to checksums: whose server tells trailers, and how they are read."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from pathlib import Path

import anyio
import pytest

from tests.web.browsing import OFFSET_STREAM, Answer, Browser, T, files_below, piece
from tests.web.conftest import Serve
from tusjumbo.web.bodies import Message

PAGE = {"Origin": "https://page.example"}
HELLO = b"hello"


def sha1(data: bytes) -> str:
    return f"sha1 {b64encode(hashlib.sha1(data).digest()).decode()}"


class Telling(Browser):
    """One behind which a server tells trailers: as ours, in an extension of the scope."""

    async def trailed(
        self, method: str, path: str, trailers: list[tuple[bytes, bytes]], **headers: str
    ) -> Answer:
        told: list[tuple[bytes, bytes]] = []
        body = self._pieces(told, trailers)
        own = {**T, "Content-Type": OFFSET_STREAM, "Trailer": "Upload-Checksum"}
        lines = own | {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.ask(
            method, path, lines, body, extensions={"tusjumbo": {"trailers": told}}
        )

    def _pieces(
        self, told: list[tuple[bytes, bytes]], trailers: list[tuple[bytes, bytes]]
    ) -> list[Message]:
        class Last(dict[str, object]):
            """A message by whose delivery the trailers are known."""

            def get(self, key: str, default: object = None) -> object:
                told[:] = trailers
                return super().get(key, default)

        return [piece(HELLO), Last(type="http.request", body=b"", more_body=False)]


@pytest.fixture
def telling(serve: Serve) -> Telling:
    return Telling(serve())


async def test_trailers_are_advertised_where_the_server_tells_them(serve: Serve) -> None:
    """TRAIL-01."""
    browser = Browser(serve())
    for extensions, expected in (
        (None, False),
        ({}, False),
        ({"tusjumbo": {}}, False),
        ({"tusjumbo": {"trailers": []}}, True),
    ):
        answer = await browser.ask("OPTIONS", "/", PAGE, extensions=extensions)
        names = answer.headers["tus-extension"].split(",")
        assert "checksum" in names
        assert ("checksum-trailer" in names) == expected
        assert answer.headers["tus-checksum-algorithm"].startswith("sha1,")
        exposed = answer.headers["access-control-expose-headers"].split(", ")
        assert "Tus-Checksum-Algorithm" in exposed


async def test_a_page_may_send_a_checksum(browser: Browser) -> None:
    headers = {**PAGE, "Access-Control-Request-Method": "PATCH"}
    answer = await browser.ask("OPTIONS", "/a", headers)
    assert "Upload-Checksum" in answer.headers["access-control-allow-headers"].split(", ")


@pytest.mark.parametrize(
    ("value", "status"),
    [
        pytest.param(sha1(HELLO), 204, id="right"),
        pytest.param(sha1(b"hallo"), 460, id="wrong"),
        pytest.param("foo AAAA", 400, id="unknown"),
        pytest.param("sha1", 400, id="malformed"),
        pytest.param(None, 400, id="missing"),
    ],
)
async def test_a_digest_after_the_body(telling: Telling, value: str | None, status: int) -> None:
    """TRAIL-02, TRAIL-04."""
    path = (await telling.create(5)).location
    trailers = [(b"upload-offset", b"3"), (b"tus-resumable", b"0")]
    if value is not None:
        trailers.insert(1, (b"upload-checksum", value.encode()))
    answer = await telling.trailed("PATCH", path, trailers, Upload_Offset="0", **PAGE)
    assert answer.status == status
    assert "access-control-allow-origin" in answer.headers
    assert (await telling.head(path)).offset == (5 if status == 204 else 0)
    made = await telling.trailed("POST", "/", trailers, Upload_Length="5")
    assert made.status == (201 if status == 204 else status)
    assert ("location" in made.headers) == (status == 204)


async def test_nothing_is_left_of_a_wrong_creation(telling: Telling, upload_dir: Path) -> None:
    wrong = [(b"upload-checksum", sha1(b"hallo").encode())]
    assert (await telling.trailed("POST", "/", wrong, Upload_Length="5")).status == 460
    headers = {"Upload-Checksum": sha1(b"hallo")}
    assert (await telling.create(5, headers, HELLO)).status == 460
    assert files_below(upload_dir) == set()
    path = anyio.Path(upload_dir / "sessions")
    assert not await path.exists() or [each async for each in path.iterdir()] == []


async def test_a_digest_before_and_after(telling: Telling) -> None:
    """TRAIL-05, before the body is asked for."""
    path = (await telling.create(5)).location
    right = sha1(HELLO)
    answer = await telling.trailed(
        "PATCH",
        path,
        [(b"upload-checksum", right.encode())],
        Upload_Offset="0",
        Upload_Checksum=right,
    )
    assert (answer.status, answer.asked_first) == (400, False)
    assert (await telling.head(path)).offset == 0


@pytest.mark.parametrize(
    ("value", "status"),
    [
        pytest.param("foo AAAA", 400, id="unknown"),
        pytest.param("sha1 AAAA", 400, id="size"),
        pytest.param("SHA1 " + sha1(HELLO)[5:], 400, id="upper case"),
        pytest.param(sha1(b"hallo"), 460, id="wrong"),
        pytest.param(sha1(HELLO), 204, id="right"),
    ],
)
async def test_a_digest_before_the_body(browser: Browser, value: str, status: int) -> None:
    path = (await browser.create(5)).location
    answer = await browser.patch(path, 0, HELLO, {"Upload-Checksum": value, **PAGE})
    assert answer.status == status
    assert answer.asked_first == (status != 400)
    assert "access-control-allow-origin" in answer.headers
    assert (await browser.head(path)).offset == (5 if status == 204 else 0)
    unknown = status == 400 and value.startswith("foo")
    assert ("tus-checksum-algorithm" in answer.headers) == unknown
