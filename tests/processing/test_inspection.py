"""The policy behind the port: whose word counts, and which files pass."""

from __future__ import annotations

import pytest
from anyio import to_thread

from tests.processing.samples import SAMPLES
from tusjumbo.errors import MediaTypeRefused
from tusjumbo.ports import Inspection, Verdict
from tusjumbo.processing import inspection
from tusjumbo.processing.inspection import ContentInspection
from tusjumbo.processing.media import MediaPolicy
from tusjumbo.processing.sniffing import FIRST, HEAD
from tusjumbo.sessions.session import UploadSession

CONTENT = {sample.name: sample.content[:HEAD] for sample in SAMPLES}
PICTURES = MediaPolicy(allow=("image/*",))
NO_PAGES = MediaPolicy(deny=("text/html",))
HONEST = MediaPolicy(strict=True)


def called(filename: str = "", declared: str | None = None) -> UploadSession:
    metadata = {"filename": filename.encode()}
    if declared is not None:
        metadata["filetype"] = declared.encode()
    return UploadSession(id="a", created_at=0.0, updated_at=0.0, metadata=metadata)


def may_be(policy: MediaPolicy, session: UploadSession) -> bool:
    port: Inspection = ContentInspection(policy)
    try:
        port.claim(session)
    except MediaTypeRefused:
        return False
    return True


async def is_taken(policy: MediaPolicy, session: UploadSession, content: bytes) -> bool:
    port: Inspection = ContentInspection(policy)
    try:
        verdict = await port.judge(session, content[: port.head], is_whole=len(content) <= HEAD)
    except MediaTypeRefused:
        return False
    assert verdict is Verdict.ACCEPTED
    return True


@pytest.mark.parametrize(
    ("policy", "filename", "declared", "is_possible"),
    [
        (PICTURES, "", None, True),
        (PICTURES, "a.png", "image/png", True),
        # What a wrong claim stands for is for the content to say ...
        (PICTURES, "a.txt", "text/plain", True),
        # ... unless it would be run.
        (PICTURES, "a.html", None, False),
        (PICTURES, "a.html", "image/png", False),
        (PICTURES, "a.html", "application/octet-stream", False),
        (PICTURES, "a.png", "text/html", False),
        (PICTURES, "a.svg", "image/svg+xml", True),
        (NO_PAGES, "a.html", "text/plain", False),
        (NO_PAGES, "a.HTM. ", "", False),
        (NO_PAGES, "a.js", "text/javascript", True),
        # A name that is not run stands back behind what is declared.
        (MediaPolicy(deny=("text/csv",)), "a.csv", "text/plain", True),
        (MediaPolicy(deny=("text/csv",)), "a.csv", None, False),
        (MediaPolicy(deny=("text/csv",)), "a.csv", "binary/octet-stream", False),
        (HONEST, "a.exe", "image/png", True),
    ],
)
def test_what_the_client_says(
    policy: MediaPolicy, filename: str, declared: str | None, is_possible: bool
) -> None:
    assert may_be(policy, called(filename, declared)) is is_possible


@pytest.mark.parametrize(
    ("policy", "content", "filename", "declared", "is_accepted"),
    [
        (PICTURES, "png", "a.png", "image/png", True),
        (PICTURES, "png", "", None, True),
        (PICTURES, "exe", "a.png", "image/png", False),
        (PICTURES, "html-as.jpg", "a.png", "image/png", False),
        (PICTURES, "png", "a.html", "image/png", False),
        (PICTURES, "svg", "a.svg", "image/svg+xml", True),
        (MediaPolicy(allow=("image/*",), deny=("image/svg+xml",)), "svg", "a", "image/png", False),
        # The name is believed as a declared type is.
        (MediaPolicy(allow=("text/csv",)), "txt", "a.csv", None, True),
        (MediaPolicy(allow=("text/csv",)), "txt", "a.csv", "application/octet-stream", True),
        (MediaPolicy(allow=("text/csv",)), "txt", "a.csv", "text/plain", False),
        (MediaPolicy(allow=("text/csv",)), "txt", "a.txt", None, False),
        (MediaPolicy(allow=("text/csv",)), "exe", "a.csv", None, False),
        (HONEST, "exe", "a.png", None, False),
        (HONEST, "exe", "a.png", "application/octet-stream", False),
        (HONEST, "exe", "a.exe", None, True),
        (HONEST, "html-as.jpg", "a.jpg", "", False),
        (HONEST, "html-as.jpg", "a.elephant", "", True),
        (HONEST, "noise", "a.png", "image/png", True),
    ],
)
async def test_what_the_content_says(
    policy: MediaPolicy, content: str, filename: str, declared: str | None, is_accepted: bool
) -> None:
    session = called(filename, declared)
    assert await is_taken(policy, session, CONTENT[content]) is is_accepted


async def test_too_few_bytes_are_not_worth_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    port = ContentInspection(PICTURES)
    hops = 0
    hop = inspection._hop

    async def counting(*args: object, **kwargs: object) -> object:
        nonlocal hops
        hops += 1
        return await hop(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(inspection, "_hop", counting)
    png = CONTENT["png"].ljust(FIRST, b"\0")
    for count, hopped in ((0, 0), (1, 0), (FIRST - 1, 0), (FIRST, 1)):
        verdict = await port.judge(called(), png[:count], is_whole=False)
        assert verdict is (Verdict.ACCEPTED if hopped else Verdict.NEEDS_MORE)
        assert hops == hopped
    text = CONTENT["txt"] * 20
    assert await port.judge(called(), text[: HEAD - 1], is_whole=False) is Verdict.NEEDS_MORE
    with pytest.raises(MediaTypeRefused):
        await port.judge(called(), text[:HEAD], is_whole=False)
    with pytest.raises(MediaTypeRefused):
        await port.judge(called(), text[:1], is_whole=True)


async def test_what_is_claimed_counts_however_little_is_there() -> None:
    """The settings may have changed since the upload was begun."""
    with pytest.raises(MediaTypeRefused):
        await ContentInspection(NO_PAGES).judge(called("a.html"), b"", is_whole=False)


async def test_it_works_in_a_thread_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where threads are short elsewhere, in the application around us, it is not waited for."""
    everybody = to_thread.current_default_thread_limiter()
    monkeypatch.setattr(everybody, "total_tokens", 1)
    await everybody.acquire()
    try:
        assert await is_taken(PICTURES, called(), CONTENT["png"])
    finally:
        everybody.release()
