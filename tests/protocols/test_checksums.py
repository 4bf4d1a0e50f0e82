"""What a request says of its body's digest, in the head and after the body."""

from __future__ import annotations

import pytest

from tests.protocols.rows import CHECKS, TRAILS
from tests.protocols.rows_of_checksum import MALFORMED, SHA1
from tests.protocols.scenes import Chunked, head
from tusjumbo.errors import AlgorithmUnsupported, MalformedRequest
from tusjumbo.protocols.checksums import content_of, digest_after
from tusjumbo.protocols.extensions import Offer
from tusjumbo.protocols.messages import Fields
from tusjumbo.sessions.commands import Content, Digest, Keep, Promised

DIGEST = Digest("sha1", bytes.fromhex("2aae6c35c94fcfb415dbe95f408b9ce91ee846ed"))
PROMISED = "Trailer: Upload-Checksum"


@pytest.mark.parametrize(
    ("line", "offer", "digest"),
    [
        pytest.param("X: y", TRAILS, None, id="none"),
        pytest.param(f"Upload-Checksum: {SHA1}", TRAILS, DIGEST, id="header"),
        pytest.param(PROMISED, TRAILS, Promised.AFTER_BODY, id="trailer"),
        pytest.param(PROMISED.upper(), TRAILS, Promised.AFTER_BODY, id="case"),
        pytest.param("Trailer:a, Upload-Checksum ,b", TRAILS, Promised.AFTER_BODY, id="list"),
        pytest.param(PROMISED, CHECKS, None, id="trailer, not here"),
        pytest.param(PROMISED, Offer(checksum_trailer=True), None, id="no algorithm"),
    ],
)
def test_a_digest_makes_the_body_all_or_nothing(
    line: str, offer: Offer, digest: Digest | Promised | None
) -> None:
    keep = Keep.PREFIX if digest is None else Keep.ALL_OR_NOTHING
    request = head("PATCH /a", line, body=Chunked(5))
    assert content_of(request, offer) == Content(announced=None, keep=keep, digest=digest)


def trailers(*lines: tuple[str, str]) -> Fields:
    return Fields((name.encode("latin-1"), value.encode("latin-1")) for name, value in lines)


@pytest.mark.parametrize("name", ["upload-checksum", "Upload-Checksum"])
def test_a_digest_after_the_body(name: str) -> None:
    others = [("upload-offset", "7"), ("tus-resumable", "0"), ("content-length", "x")]
    found = digest_after(trailers(*others, (name, f" {SHA1} "), *others), TRAILS)
    assert found == DIGEST


@pytest.mark.parametrize("value", MALFORMED.values(), ids=MALFORMED)
def test_malformed_after_the_body(value: str) -> None:
    with pytest.raises(MalformedRequest):
        digest_after(trailers(("upload-checksum", value)), TRAILS)


def test_unknown_after_the_body() -> None:
    with pytest.raises(AlgorithmUnsupported) as caught:
        digest_after(trailers(("upload-checksum", "md5 AAAA")), TRAILS)
    assert (caught.value.asked, caught.value.supported) == ("md5", ("sha1", "crc32"))


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param([], id="none"),
        pytest.param([("x-upload-checksum", SHA1)], id="others"),
        pytest.param([("upload-checksum", SHA1), ("upload-checksum", "crc32 AAAAAA==")], id="two"),
    ],
)
def test_not_one_after_the_body(lines: list[tuple[str, str]]) -> None:
    with pytest.raises(MalformedRequest, match="upload-checksum"):
        digest_after(trailers(*lines), TRAILS)
