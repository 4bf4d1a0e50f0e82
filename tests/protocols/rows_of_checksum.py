"""specs/tus-1.0.md, section 6: what a head decides about checksums, before any byte is read."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace

from tests.protocols.rows import (
    CHECKS,
    FULL,
    HALF,
    KEEPS,
    NONE,
    PATCH,
    TEN,
    TRAILS,
    Expected,
    Row,
    create,
    patch,
)
from tests.protocols.rows_of_core import FEWEST
from tests.protocols.scenes import OOS, Chunked

SHA1 = "sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0="
CRC32 = "crc32 DUoRhQ=="
OTHER = f"sha1 {b64encode(bytes(20)).decode()}"
SUPPORTED: Expected = {"Tus-Checksum-Algorithm": "sha1,crc32"}


def checked(value: str, at: int = 0) -> tuple[str, ...]:
    return patch(at, f"Upload-Checksum:{value}")


MALFORMED = {
    "empty": "",
    "no digest": "sha1",
    "empty digest": "sha1 ",
    "no algorithm": " Kq5sNclPz7QV2+lfQIuc6R7oRu0=",
    "two spaces": SHA1.replace(" ", "  "),
    "tab": SHA1.replace(" ", "\t"),
    "no space": SHA1.replace(" ", ""),
    "extra token": SHA1 + " more",
    "parameter": SHA1 + ";a=b",
    "list": f"{SHA1}, {SHA1}",
    "list of one": SHA1 + ",",
    "bad base64": "sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0!",
    "no padding": SHA1.rstrip("="),
    "URL base64": "sha1 Kq5sNclPz7QV2-lfQIuc6R7oRu0=",
    "hexadecimal": "sha1 2aae6c35c94fcfb415dbe95f408b9ce91ee846ed",
    "too short": "sha1 AAAA",
    "too long": f"sha1 {b64encode(bytes(21)).decode()}",
    "of another": "crc32 Kq5sNclPz7QV2+lfQIuc6R7oRu0=",
    "upper case": "SHA1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=",
    "mixed case": "Sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=",
}


def trailed(*lines: str, names: str = "Upload-Checksum") -> tuple[str, ...]:
    return patch(0, f"Trailer:{names}", *lines)


# fmt: off
HEADERS = [
    Row("CSUM-01", ("OPTIONS /",), 204, SUPPORTED, offer=CHECKS),
    Row("CSUM-03", checked(SHA1), 204, {"Upload-Offset": "5"}, TEN, 5, offer=CHECKS, offset=5),
    Row("CSUM-03 crc32", checked(CRC32), 204, NONE, TEN, 5, offer=CHECKS, offset=5),
    Row("CSUM-03 white space", checked(f" \t{SHA1} "), 204, NONE, TEN, 5, offer=CHECKS, offset=5),
    Row("CSUM-03 chunked", checked(SHA1), 204, NONE, TEN, Chunked(5), offer=CHECKS, offset=5),
    Row("CSUM-03 same twice", (*checked(SHA1), f"Upload-Checksum: {SHA1}"), 204, NONE, TEN, 5,
        offer=CHECKS, offset=5),
    *(
        Row(f"CSUM-05 {name}", checked(f"{name} AAAA"), 400, SUPPORTED, TEN, 5, offer=CHECKS)
        for name in ("foo", "sha-1", "sha256", "!-~")
    ),
    *(
        Row(f"{'CSUM-07' if 'case' in name else 'CSUM-06'} {name}", checked(value), 400,
            {"Tus-Checksum-Algorithm": None}, TEN, 5, offer=CHECKS)
        for name, value in MALFORMED.items()
    ),
    Row("CSUM-06 two lines", (*checked(SHA1), f"Upload-Checksum: {OTHER}"), 400, NONE, TEN, 5,
        offer=CHECKS),
    Row("CSUM-06 empty body", checked("sha1 AAAA"), 400, NONE, TEN, offer=CHECKS),
    Row("CSUM-11", checked(SHA1), 204, {"Upload-Offset": "0"}, TEN, offer=CHECKS, offset=0),
    Row("CSUM-11 complete", checked(SHA1, 10), 204, NONE, FULL, offer=CHECKS, offset=10),
    Row("CSUM-12", checked("sha1 !"), 204, NONE, TEN, 5, offer=KEEPS, offset=5),
    Row("CWU-10", create(OOS, f"Upload-Checksum: {SHA1}"), 201, {"Upload-Offset": "5"}, body=5,
        offer=CHECKS, offset=5),
    Row("CWU-10 unknown", create(OOS, "Upload-Checksum: foo AAAA"), 400,
        {**SUPPORTED, "Location": None}, body=5, offer=CHECKS),
    Row("CWU-10 malformed", create(OOS, "Upload-Checksum: sha1"), 400, {"Location": None}, body=5,
        offer=CHECKS),
    Row("CWU-10 no body", create("Upload-Checksum: sha1 AAAA"), 400, {"Location": None},
        offer=CHECKS),
    # AMB-34: what is wrong with the head comes first, with the upload next.
    Row("AMB-34 412", checked("x"), 412, NONE, TEN, 5, offer=CHECKS, version="2"),
    Row("AMB-34 before 409", checked("foo AAAA"), 400, NONE, HALF, 5, offer=CHECKS),
    Row("AMB-34 409", checked(SHA1), 409, NONE, HALF, 5, offer=CHECKS),
    Row("AMB-34 before 415", (PATCH, "Upload-Offset: 0", "Upload-Checksum: x"), 400, NONE, TEN, 5,
        offer=CHECKS),
]

TRAILERS = [
    Row("TRAIL-01", ("OPTIONS /",), 204, {"Tus-Extension": f"{FEWEST},checksum,checksum-trailer"},
        offer=replace(TRAILS, termination=False, concatenation=False)),
    Row("TRAIL-01 not here", ("OPTIONS /",), 204, {"Tus-Extension": f"{FEWEST},checksum"},
        offer=replace(CHECKS, termination=False, concatenation=False)),
    Row("TRAIL-02", trailed(), 204, {"Upload-Offset": "5"}, TEN, Chunked(5), offer=TRAILS,
        offset=5),
    Row("TRAIL-03", patch(0), 204, NONE, TEN, Chunked(5), offer=TRAILS, offset=5),
    Row("TRAIL-03 header", checked(SHA1), 204, NONE, TEN, Chunked(5), offer=TRAILS, offset=5),
    Row("TRAIL-04 cannot come", trailed(), 400, NONE, TEN, 5, offer=TRAILS),
    Row("TRAIL-04 cannot come, empty", trailed(), 400, NONE, TEN, 0, offer=TRAILS),
    Row("TRAIL-04 creation", create(OOS, "Trailer: Upload-Checksum"), 400, {"Location": None},
        body=5, offer=TRAILS),
    *(
        Row(f"TRAIL-05 {names}", trailed(f"Upload-Checksum: {SHA1}", names=names), 400, NONE, TEN,
            Chunked(5), offer=TRAILS)
        for names in ("Upload-Checksum", "X,upload-CHECKSUM", " x , upload-checksum\t,, y")
    ),
    *(
        Row(f"TRAIL-05 another {names}", trailed(f"Upload-Checksum: {SHA1}", names=names), 204,
            NONE, TEN, Chunked(5), offer=TRAILS, offset=5)
        for names in ("", ",", "X-Upload-Checksum", "Upload-Checksum-X", "Upload Checksum")
    ),
    Row("TRAIL-05 two lines", trailed(f"Upload-Checksum: {SHA1}", "Trailer: X"), 400, NONE, TEN,
        Chunked(5), offer=TRAILS),
    Row("TRAIL-07", trailed(), 204, NONE, TEN, Chunked(5), offer=CHECKS, offset=5),
    Row("TRAIL-07 not chunked", trailed(), 204, NONE, TEN, 5, offer=CHECKS, offset=5),
    Row("TRAIL-07 nothing is checked", trailed(), 204, NONE, TEN, 5,
        offer=replace(TRAILS, algorithms={}), offset=5),
]
# fmt: on

ROWS = [*HEADERS, *TRAILERS]
