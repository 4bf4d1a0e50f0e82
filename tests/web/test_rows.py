"""The rows of specs/tus-1.0.md that show over HTTP, through the real engine. Named by their row."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path

import pytest

from tests.web.browsing import GONE, OFFSET_STREAM, Browser, Clock, Lines, T, files_below, piece
from tests.web.conftest import Serve
from tusjumbo.web.bodies import Message

DAY = 86400.0


@dataclass
class Row:
    """One request to an upload of 10 bytes of which 5 are there, and what comes of it."""

    name: str
    method: str
    status: int
    headers: Lines = field(default_factory=dict)
    body: bytes | list[Message] | None = None
    offset: int = 5
    at: str = "{upload}"


def patch(
    name: str, status: int, headers: Lines = (), body: bytes = b"fghij", offset: int = 5
) -> Row:
    own = {"Upload-Offset": "5", "Content-Type": OFFSET_STREAM, **dict(headers)}
    return Row(name, "PATCH", status, own, body, offset)


def override(name: str, method: str, status: int, headers: Lines, offset: int = 5) -> Row:
    return Row(name, method, status, headers, b"fghij", offset)


AS_PATCH = {"Upload-Offset": "5", "Content-Type": OFFSET_STREAM}

ROWS = [
    Row("OPTIONS", "OPTIONS", 204),
    Row("CORE-04", "HEAD", 412, {"Tus-Resumable": "9.9.9"}),
    patch("CORE-02", 412, {"Tus-Resumable": "0.2.2"}),
    Row("CORE-03", "DELETE", 412, {"Tus-Resumable": "0.2.2"}),
    patch("CORE-06 two lines", 412, {"Tus-Resumable": "1.0.0, 1.0.0"}),
    patch("CORE-06 short", 412, {"Tus-Resumable": "1.0"}),
    patch("CORE-06 space", 204, {"Tus-Resumable": " 1.0.0 "}, offset=10),
    Row("HEAD-01", "HEAD", 200),
    Row("HEAD-09 slash", "HEAD", 200, at="{upload}/"),
    Row("HEAD-09 dots", "HEAD", 404, at="/../etc/passwd"),
    Row("HEAD-09 NUL", "HEAD", 404, at="/a\0b"),
    Row("HEAD-09 backslash", "HEAD", 404, at="/..\\x"),
    Row("HEAD-09 long", "HEAD", 404, at="/" + "a" * 5000),
    Row("HEAD-09 more", "HEAD", 404, at="{upload}/more"),
    patch("PATCH-01", 204, offset=10),
    patch("PATCH-01 part", 204, body=b"fg", offset=7),
    patch("PATCH-04 low", 409, {"Upload-Offset": "4"}),
    patch("PATCH-04 high", 409, {"Upload-Offset": "6"}),
    patch("PATCH-04 very high", 409, {"Upload-Offset": "1000005"}),
    patch("PATCH-06 none", 415, {"Content-Type": ""}),
    patch("PATCH-06 other", 415, {"Content-Type": "application/octet-stream"}),
    patch("PATCH-07 case", 204, {"Content-Type": OFFSET_STREAM.upper()}, offset=10),
    patch("PATCH-07 parameter", 204, {"Content-Type": OFFSET_STREAM + "; a=b"}, offset=10),
    patch("PATCH-08 none", 400, {"Upload-Offset": ""}),
    patch("PATCH-08 sign", 400, {"Upload-Offset": "+5"}),
    patch("PATCH-08 negative", 400, {"Upload-Offset": "-1"}),
    patch("PATCH-08 underscore", 400, {"Upload-Offset": "0_5"}),
    patch("PATCH-08 hexadecimal", 400, {"Upload-Offset": "0x5"}),
    patch("PATCH-09 zeros", 204, {"Upload-Offset": "005"}, offset=10),
    patch("PATCH-09 2^63", 400, {"Upload-Offset": str(2**63)}),
    patch("PATCH-09 long", 400, {"Upload-Offset": "5" * 30}),
    patch("PATCH-14", 413, body=b"fghijk"),
    patch("PATCH-17", 204, body=b""),
    patch(
        "PATCH-24",
        204,
        {
            "Upload-Concat": "partial",
            "Upload-Metadata": "!",
            "Upload-Draft-Interop-Version": "6",
            "Upload-Complete": "?1",
        },
        offset=10,
    ),
    patch("DEFER-13 same length", 204, {"Upload-Length": "10"}, offset=10),
    patch("DEFER-13 other length", 400, {"Upload-Length": "11"}),
    patch("DEFER-14", 204, {"Upload-Defer-Length": "1"}, offset=10),
    override("OVR-01", "POST", 204, {"X-HTTP-Method-Override": "PATCH", **AS_PATCH}, 10),
    override("OVR-02", "POST", 204, {"X-HTTP-Method-Override": "DELETE"}, -1),
    override("OVR-03", "POST", 200, {"X-HTTP-Method-Override": "HEAD"}),
    override("OVR-04", "PATCH", 204, {"X-HTTP-Method-Override": "DELETE", **AS_PATCH}, -1),
    override("OVR-05 case", "POST", 204, {"X-HTTP-Method-Override": "patch", **AS_PATCH}, 10),
    override("OVR-05 empty", "PATCH", 204, {"X-HTTP-Method-Override": "", **AS_PATCH}, 10),
    override("OVR-05 unknown", "POST", 405, {"X-HTTP-Method-Override": "FOO"}),
    override("OVR-05 none", "POST", 400, {"X-HTTP-Method-Override": "a b"}),
    Row("OVR-06", "GET", 409, {"X-HTTP-Method-Override": "DELETE"}),
    Row("CREATE-18", "POST", 405, {"Upload-Length": "5"}),
    Row("CREATE-19 PUT", "PUT", 405, at="/"),
    Row("CREATE-19 PATCH", "PATCH", 405, AS_PATCH, b"fghij", at="/"),
    Row("CREATE-19 DELETE", "DELETE", 405, at="/"),
    Row("CREATE-19 GET", "GET", 405, at="/"),
    Row("META-15", "PATCH", 204, {**AS_PATCH, "Upload-Metadata": "other"}, b"", 5),
    Row("TERM-01", "DELETE", 204, offset=-1),
    Row("TERM-07", "DELETE", 404, at="/unknown"),
    Row("TERM-09", "DELETE", 204, {}, b"body", -1),
    Row("PATCH-10", "PATCH", 404, AS_PATCH, b"fghij", at="/unknown"),
    Row("GET of a part", "GET", 409),
]


@pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in ROWS])
async def test_row(browser: Browser, row: Row) -> None:
    path = (await browser.create(10, {"Upload-Metadata": "k dg=="}, b"abcde")).location
    headers = {**T, **dict(row.headers)}
    answer = await browser.ask(row.method, row.at.replace("{upload}", path), headers, row.body)
    assert answer.status == row.status
    assert answer.headers["tus-resumable"] == "1.0.0"
    assert answer.status != 412 or answer.headers["tus-version"] == "1.0.0"
    assert answer.status != 405 or answer.headers["allow"]
    if row.method == "HEAD":
        assert (answer.offset is not None) == (row.status == 200)
        assert "no-store" in answer.headers["cache-control"]
    if row.status == 204 and answer.offset is not None:
        assert answer.offset == row.offset
    if row.status == 409 and row.method == "PATCH":
        assert answer.offset == 5
    after = await browser.head(path)
    if row.offset < 0:
        assert (after.status, after.offset) == (404, None)
        return
    assert after.offset == row.offset
    assert after.headers["upload-metadata"] == "k dg=="
    assert after.headers["upload-length"] == "10"
    if row.offset == 10:
        assert (await browser.get(path)).body == b"abcdefghij"


@dataclass
class Creation:
    """A request to the endpoint, and how many uploads there are afterwards."""

    name: str
    status: int
    headers: Lines
    body: bytes | list[Message] | None = None
    offset: int = 0


def meta(name: str, value: str, status: int = 201) -> Creation:
    return Creation(f"META-{name}", status, {"Upload-Length": "3", "Upload-Metadata": value})


CREATIONS = [
    Creation("CREATE-02", 201, {"Upload-Length": "100"}),
    Creation("CREATE-05", 400, {}),
    Creation("CREATE-06", 400, {"Upload-Length": "1", "Upload-Defer-Length": "1"}),
    *(
        Creation(f"CREATE-07 {value!r}", 400, {"Upload-Length": value})
        for value in ("-1", "", "abc", "1.5", "+1", "1_000", "0x10", "1,1", "\xb2")
    ),
    Creation(
        "CREATE-07 two lines", 400, [*T.items(), ("Upload-Length", "1"), ("Upload-Length", "2")]
    ),
    Creation("CREATE-08 2^53+1", 413, {"Upload-Length": str(2**53 + 1)}),
    Creation("CREATE-08 2^63", 400, {"Upload-Length": str(2**63)}),
    Creation("CREATE-09 above", 413, {"Upload-Length": "1001"}),
    Creation("CREATE-09 equal", 201, {"Upload-Length": "1000"}),
    Creation("CREATE-10", 201, {"Upload-Length": "0"}),
    Creation("CREATE-12", 201, {"Upload-Length": "9", "Content-Type": "text/plain"}, b""),
    Creation("CWU-02", 201, {"Upload-Length": "3", "Content-Type": OFFSET_STREAM}, b"abc", 3),
    Creation("CWU-03", 201, {"Upload-Length": "9", "Content-Type": OFFSET_STREAM}, b"abc", 3),
    Creation("CWU-04", 201, {"Upload-Length": "9", "Content-Type": OFFSET_STREAM}, b""),
    Creation("CWU-04 of 0", 201, {"Upload-Length": "0", "Content-Type": OFFSET_STREAM}, b""),
    Creation(
        "CWU-04 chunked",
        201,
        {"Upload-Length": "0", "Content-Type": OFFSET_STREAM},
        [piece(b"", more=False)],
    ),
    Creation("CWU-06", 415, {"Upload-Length": "9", "Content-Type": "text/plain"}, b"abc"),
    Creation("CWU-06 none", 415, {"Upload-Length": "9"}, b"abc"),
    Creation("CWU-07", 413, {"Upload-Length": "2", "Content-Type": OFFSET_STREAM}, b"abc"),
    Creation(
        "CWU-07 chunked",
        413,
        {"Upload-Length": "2", "Content-Type": OFFSET_STREAM},
        [piece(b"abc", more=False)],
    ),
    Creation("CWU-13", 201, {"Upload-Defer-Length": "1", "Content-Type": OFFSET_STREAM}, b"abc", 3),
    Creation("CWU-14 zero", 201, {"Upload-Length": "9", "Upload-Offset": "0"}),
    Creation("CWU-14", 400, {"Upload-Length": "9", "Upload-Offset": "3"}),
    *(
        Creation(f"DEFER-02 {value!r}", 400, {"Upload-Defer-Length": value})
        for value in ("0", "2", "true", "01", "")
    ),
    Creation("CONC-02", 201, {"Upload-Length": "9", "Upload-Concat": "partial"}),
    Creation("CONC-10", 400, {"Upload-Length": "9", "Upload-Concat": "Partial"}),
    Creation("CONC-11", 400, {"Upload-Concat": "final;/a /b"}),
    meta("01", "filename d29ybGQ=,is_confidential"),
    meta("03", "a,b ,c ,d Zm9v"),
    meta("04", ""),
    meta("05", "a Zm9v,a YmFy", 400),
    meta("06", "a !!!!", 400),
    meta("06 short", "a Zm9", 400),
    meta("06 url-safe", "a _-8=", 400),
    meta("07", ",a Zm9v", 400),
    meta("08", "a  Zm9v", 400),
    meta("09", "a Zm9v, b YmFy"),
    meta("11", "n\xe4me Zm9v"),
    meta("12", "binary AAECgP8="),
    meta("13", "filename " + base64.b64encode(b"x\r\nSet-Cookie: a=b").decode()),
    meta("14", "a " + "Zm9v" * 5000),
    meta("16", 'a=b:c;"d" Zm9v'),
]


@pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in CREATIONS])
async def test_creation(serve: Serve, upload_dir: Path, row: Creation) -> None:
    tus = serve(max_size=1000)
    browser = Browser(tus)
    headers = row.headers if isinstance(row.headers, list) else {**T, **dict(row.headers)}
    answer = await browser.ask("POST", "/", headers, row.body)
    assert answer.status == row.status
    known = await tus.house.catalog.listing()
    if answer.status != 201:
        # CREATE-15: tuspy takes any Location for success.
        assert "location" not in answer.headers
        assert (len(known), files_below(upload_dir)) == (0, set())
        return
    (session,) = known
    assert re.fullmatch(r"/jumbo_[a-z2-7]{32}", answer.location)
    assert answer.offset == row.offset
    assert "upload-metadata" not in answer.headers
    after = await browser.head(answer.location)
    assert (after.status, after.offset) == (200, row.offset)
    wanted = dict(headers)
    assert after.headers.get("upload-length") == wanted.get("Upload-Length")
    assert after.headers.get("upload-defer-length") == wanted.get("Upload-Defer-Length")
    assert after.headers.get("upload-metadata", "") == wanted.get("Upload-Metadata", "").strip()
    assert "set-cookie" not in after.headers
    assert (session.receipt is not None) == (row.offset == session.length)


async def test_options_tells_what_is_offered(serve: Serve) -> None:
    """CORE-07 to CORE-13."""
    for path in ("/", "", "/abc"):
        answer = await Browser(serve(max_size="1kB")).ask("OPTIONS", path, {"Tus-Resumable": "9"})
        assert answer.status == 204
        assert answer.headers["tus-version"] == "1.0.0"
        assert answer.headers["tus-max-size"] == "1000"
        assert answer.headers["tus-extension"].split(",") == [
            "creation",
            "creation-with-upload",
            "creation-defer-length",
            "expiration",
            "checksum",
            "termination",
            "concatenation",
            "concatenation-unfinished",
        ]
    less = Browser(serve(termination=False, expire_after=0))
    answer = await less.ask("OPTIONS", "/")
    assert "tus-max-size" not in answer.headers
    extensions = answer.headers["tus-extension"]
    assert extensions == (
        "creation,creation-with-upload,creation-defer-length,checksum,"
        "concatenation,concatenation-unfinished"
    )
    path = (await less.create(5)).location
    assert (await less.delete(path)).status == 405  # TERM-06
    assert "upload-expires" not in (await less.head(path)).headers  # EXP-01


async def test_an_upload_in_pieces(browser: Browser) -> None:
    """CREATE-11, PATCH-03, PATCH-13, PATCH-16, PATCH-18, HEAD-02, TERM-03."""
    path = (await browser.create(10)).location
    assert (await browser.patch(path, 0, b"abc")).offset == 3
    assert (await browser.patch(path, 3, [piece(b"d"), piece(b"ef", more=False)])).offset == 6
    last = await browser.patch(path, 6, [piece(b"ghij"), piece(b"", more=False)])
    assert (last.status, last.offset) == (204, 10)
    found = await browser.head(path)
    assert (found.status, found.offset, found.headers["upload-length"]) == (200, 10, "10")
    again = await browser.patch(path, 10, b"")
    assert (again.status, again.offset) == (204, 10)
    assert (await browser.patch(path, 10, [piece(b"", more=False)])).status == 204
    assert (await browser.patch(path, 10, b"k")).status == 413
    assert (await browser.patch(path, 9, b"j")).status == 409
    assert (await browser.get(path)).body == b"abcdefghij"
    assert (await browser.delete(path)).status == 204
    assert (await browser.get(path)).status == 404
    assert (await browser.delete(path)).status == 404  # TERM-02


async def test_too_many_chunks(browser: Browser) -> None:
    """PATCH-15: nothing of a chunked body that is too long completes the upload."""
    path = (await browser.create(5)).location
    answer = await browser.patch(path, 0, [piece(b"abc"), piece(b"def", more=False)])
    assert answer.status == 413
    found = await browser.head(path)
    assert found.offset is not None
    assert found.offset < 5


async def test_cut_and_resumed(browser: Browser) -> None:
    """PATCH-11 and PATCH-12."""
    path = (await browser.create(6)).location
    await browser.patch(path, 0, [piece(b"ab"), piece(b"c"), GONE])
    assert (await browser.head(path)).offset == 3
    assert (await browser.patch(path, 3, b"def")).offset == 6
    assert (await browser.get(path)).body == b"abcdef"


async def test_a_length_that_comes_later(browser: Browser) -> None:
    """DEFER-03 to DEFER-10."""
    created = await browser.create(None)
    assert created.offset == 0
    path = created.location
    assert (await browser.patch(path, 0, b"abc")).offset == 3
    found = await browser.head(path)
    assert found.headers["upload-defer-length"] == "1"
    assert "upload-length" not in found.headers
    for length in ("2", "4"):
        assert (await browser.patch(path, 3, b"de", {"Upload-Length": length})).status in (400, 413)
    assert (await browser.patch(path, 2, b"de", {"Upload-Length": "5"})).status == 409
    assert "upload-length" not in (await browser.head(path)).headers
    assert (await browser.patch(path, 3, b"d", {"Upload-Length": "5"})).offset == 4
    found = await browser.head(path)
    assert found.headers["upload-length"] == "5"
    assert "upload-defer-length" not in found.headers
    assert (await browser.patch(path, 4, b"e", {"Upload-Length": "6"})).status == 400
    assert (await browser.patch(path, 4, b"e", {"Upload-Length": "5"})).status == 204
    assert (await browser.get(path)).body == b"abcde"


async def test_a_length_declared_with_nothing(browser: Browser) -> None:
    """DEFER-06 and DEFER-15."""
    path = (await browser.create(None, body=b"abc")).location
    assert (await browser.patch(path, 3, b"", {"Upload-Length": "3"})).offset == 3
    assert (await browser.get(path)).body == b"abc"
    empty = (await browser.create(None)).location
    assert (await browser.patch(empty, 0, b"", {"Upload-Length": "0"})).status == 204
    assert (await browser.get(empty)).body == b""


async def test_a_deferred_length_has_a_limit(serve: Serve) -> None:
    """DEFER-11 and DEFER-12."""
    browser = Browser(serve(max_size=4))
    path = (await browser.create(None)).location
    assert (await browser.patch(path, 0, b"abcde")).status == 413
    assert (await browser.patch(path, 0, b"a", {"Upload-Length": "5"})).status == 413
    assert (await browser.patch(path, 0, [piece(b"abcde")])).status == 413
    found = await browser.head(path)
    assert found.offset is not None
    assert found.offset <= 4


async def test_expiry(serve: Serve, clock: Clock) -> None:
    """EXP-02 to EXP-08."""
    browser = Browser(serve(expire_after="1d"))
    created = await browser.create(5)
    path = created.location
    until = formatdate(clock.now + DAY, usegmt=True)
    assert created.headers["upload-expires"] == until
    clock.now += DAY - 1
    assert (await browser.head(path)).headers["upload-expires"] == until
    moved = await browser.patch(path, 0, b"ab")
    assert moved.headers["upload-expires"] == formatdate(clock.now + DAY, usegmt=True)
    done = await browser.upload(b"done")
    clock.now += DAY
    for answer in (await browser.head(path), await browser.patch(path, 2, b"cde")):
        assert (answer.status, answer.offset) == (404, None)
    finished = await browser.head(done)
    assert (finished.status, finished.offset) == (200, 4)
    assert "upload-expires" not in finished.headers


async def test_ids_are_different(browser: Browser) -> None:
    """CREATE-14."""
    assert len({(await browser.create(1)).location for _ in range(20)}) == 20
