from __future__ import annotations

from collections.abc import Iterator

import pytest

from tusjumbo import errors
from tusjumbo.errors import TusJumboError
from tusjumbo.protocols import tus
from tusjumbo.protocols.extensions import Offer
from tusjumbo.protocols.messages import Fields, RequestHead, ResponseHead
from tusjumbo.protocols.refusals import refuse
from tusjumbo.sessions.outcomes import Created, Inspected
from tusjumbo.sessions.session import UploadSession
from tusjumbo.settings import UploadSettings
from tusjumbo.web.cors import REQUEST_HEADERS, RESPONSE_HEADERS, Cors

PAGE = "https://page.example"


def cors(origins: str = "*", *, credentials: bool = False, **more: str) -> Cors:
    return Cors(
        UploadSettings(
            cors_origins=(origins,),
            cors_credentials=credentials,
            **{name: tuple(value.split(",")) for name, value in more.items()},  # type: ignore[arg-type]
        )
    )


def asked(layer: Cors, origin: str | None, method: str = "POST", wants: str = "") -> dict[str, str]:
    lines = [] if origin is None else [(b"origin", origin.encode("latin-1"))]
    if wants:
        lines.append((b"access-control-request-method", wants.encode()))
    found = layer.headers(method, Fields(lines))
    assert len(dict(found)) == len(found)
    return {name.decode(): value.decode("latin-1") for name, value in found}


def members(value: str) -> set[str]:
    return {member.strip().lower() for member in value.split(",")}


def test_any_origin() -> None:
    found = asked(cors(), PAGE)
    assert found["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in found
    assert found["vary"] == "Origin"


def test_no_origin() -> None:
    assert asked(cors(), None) == {"vary": "Origin"}


def test_switched_off() -> None:
    assert asked(cors(""), PAGE, "OPTIONS", "PATCH") == {}


def test_the_request_headers_cors_04_asks_for() -> None:
    found = asked(cors(), PAGE, "OPTIONS", "PATCH")
    assert members(found["access-control-allow-headers"]) >= members(
        "Authorization, Content-Type, Origin, X-Requested-With, X-Request-ID,"
        "X-HTTP-Method-Override, Tus-Resumable, Upload-Length, Upload-Offset, Upload-Metadata,"
        "Upload-Defer-Length, Upload-Concat, Upload-Checksum"
    )
    assert members(found["access-control-allow-methods"]) >= members(
        "POST, HEAD, PATCH, DELETE, OPTIONS, GET"
    )
    assert found["access-control-max-age"] == "86400"


def test_other_methods() -> None:
    layer = Cors(UploadSettings(), ["PUT", "GET"])
    found = asked(layer, PAGE, "OPTIONS", "PUT")
    assert found["access-control-allow-methods"] == "PUT, GET"
    assert "content-digest" in members(found["access-control-allow-headers"])


def test_the_response_headers_cors_05_asks_for() -> None:
    found = asked(cors(), PAGE)
    assert members(found["access-control-expose-headers"]) >= members(
        "Location, Upload-Offset, Upload-Length, Tus-Resumable, Tus-Version, Tus-Extension,"
        "Tus-Max-Size, Tus-Checksum-Algorithm, Upload-Metadata, Upload-Defer-Length,"
        "Upload-Concat, Upload-Expires, X-Request-ID"
    )


def test_options_is_a_preflight_only_if_it_says_so() -> None:
    plain = asked(cors(), PAGE, "OPTIONS")
    assert "access-control-allow-methods" not in plain
    assert "access-control-expose-headers" in plain


def test_more_headers() -> None:
    layer = cors(cors_headers="X-Key", cors_expose="X-Info")
    preflight = asked(layer, PAGE, "OPTIONS", "POST")
    assert {"x-key", "tus-resumable"} <= members(preflight["access-control-allow-headers"])
    actual = asked(layer, PAGE)
    assert {"x-info", "location"} <= members(actual["access-control-expose-headers"])


def test_credentials() -> None:
    layer = cors(PAGE, credentials=True)
    for found in (asked(layer, PAGE), asked(layer, PAGE, "OPTIONS", "POST")):
        assert found["access-control-allow-credentials"] == "true"
        assert found["access-control-allow-origin"] == PAGE
    assert asked(layer, "https://other.example") == {"vary": "Origin"}


@pytest.mark.parametrize(
    ("listed", "origin", "expected"),
    [
        pytest.param(PAGE, PAGE, True, id="listed"),
        pytest.param("http://a.example," + PAGE, PAGE, True, id="second"),
        pytest.param("https://Page.Example", PAGE, True, id="other case"),
        pytest.param(PAGE, "http://page.example", False, id="other scheme"),
        pytest.param(PAGE, PAGE + ":8443", False, id="other port"),
        pytest.param(PAGE, PAGE + ".evil", False, id="longer"),
        pytest.param(PAGE, "https://pagexexample", False, id="the dot is a dot"),
        pytest.param(PAGE, "https://sub.page.example", False, id="below"),
        pytest.param(PAGE, "null", False, id="null"),
        pytest.param("null", "null", True, id="null listed"),
        pytest.param(PAGE, "", False, id="empty"),
        pytest.param(PAGE, PAGE + "\xe4", False, id="not ASCII"),
        pytest.param("https://*.example", PAGE, True, id="pattern"),
        pytest.param("https://*.example", "https://a.b.example", True, id="pattern, deeper"),
        pytest.param("https://*.example", "https://example", False, id="pattern, itself"),
        pytest.param("https://*.example", "https://.example", False, id="pattern, nothing"),
        pytest.param("https://*.example", "https://evil/.example", False, id="pattern, slash"),
        pytest.param("https://*.example", "https://evil?a.example", False, id="pattern, query"),
        pytest.param("https://*.example", "https://a.example.evil", False, id="pattern, longer"),
        pytest.param("https://page.example:*", PAGE + ":8443", True, id="any port"),
    ],
)
def test_origins(listed: str, origin: str, expected: bool) -> None:
    layer = Cors(UploadSettings(cors_origins=tuple(listed.split(","))))
    found = asked(layer, origin)
    assert ("access-control-allow-origin" in found) == expected
    assert found.get("access-control-allow-origin", origin) == origin
    assert found["vary"] == "Origin"


# --- the lists against what the protocols really do ----------------------------------------------

OFFER = Offer(max_size=100, expiration=True)

SAFE = members("Cache-Control, Content-Language, Content-Length, Content-Type, Last-Modified")
"""What pages may read without being told (the Fetch standard's safelist)."""


class Watched(Fields):
    """Fields that remember which of them were looked at."""

    __slots__ = ("seen",)

    def __init__(self, **fields: str) -> None:
        super().__init__(
            (name.replace("_", "-").encode(), value.encode()) for name, value in fields.items()
        )
        self.seen: set[str] = set()

    def __contains__(self, name: str) -> bool:
        self.seen.add(name)
        return super().__contains__(name)

    def one(self, name: str) -> str | None:
        self.seen.add(name)
        return super().one(name)

    def joined(self, name: str) -> str | None:
        self.seen.add(name)
        return super().joined(name)


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/"), ("PATCH", "/a"), ("HEAD", "/a"), ("GET", "/a")]
)
def test_pages_may_send_what_tus_reads(method: str, path: str) -> None:
    fields = Watched(tus_resumable="1.0.0", upload_length="5", upload_offset="0")
    fields.seen.clear()
    head = RequestHead(method, path, fields, announced=0)
    try:
        tus.decode(head, tus.recognise(head, OFFER), OFFER)
    except errors.Refusal:
        assert method == "PATCH"
    assert fields.seen
    assert fields.seen <= members(",".join(REQUEST_HEADERS))


def answers() -> Iterator[ResponseHead | None]:
    session = UploadSession(
        id="a", created_at=0, updated_at=0, length=9, metadata={"k": b"v"}, expires_at=5.0
    )
    deferred = UploadSession(id="a", created_at=0, updated_at=0)
    yield tus.describe(OFFER)
    yield tus.encode(Created(session), OFFER, lambda upload_id: upload_id)
    yield tus.encode(Inspected(session), OFFER, lambda upload_id: upload_id)
    yield tus.encode(Inspected(deferred), OFFER, lambda upload_id: upload_id)
    refusals: list[TusJumboError] = [
        errors.OffsetMismatch("a", 1, 2),
        errors.MethodNotAllowed("PUT", ("POST",)),
        errors.VersionUnsupported("2", ("1.0.0",)),
        errors.Unauthorized(),
        errors.ServerClosing(),
    ]
    for error in refusals:
        yield refuse(error, None)


def test_pages_may_read_what_tus_answers() -> None:
    written = {name.lower() for head in answers() if head for name, _ in head.headers}
    assert {"upload-expires", "upload-defer-length", "location", "www-authenticate"} <= written
    assert written <= SAFE | members(",".join(RESPONSE_HEADERS))
