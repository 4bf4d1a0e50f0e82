"""specs/tus-1.0.md, sections 2 to 5: creation, with upload or deferred length, and expiration."""

from __future__ import annotations

from tests.protocols.rows import (
    AT_MOST_TEN,
    DEFERRED,
    DEFERRED_HALF,
    FULL,
    HALF,
    HEAD,
    KEEPS,
    LATER,
    NEW,
    NONE,
    PATCH,
    POST,
    TEN,
    Row,
    create,
    metadata,
    patch,
)
from tests.protocols.scenes import ID, OOS, Chunked, upload
from tusjumbo.sessions.rules import Limits

UNSAYABLE = {"no key": b"", "a,b": b"", "": b"", "\u20ac": b"", "a\r\nb": b""}

# fmt: off
CREATE = [
    Row("CREATE-02", create(), 201, NONE, offset=0, length=10),
    Row("CREATE-03", create(), 201, {"Location": f"/files/{ID}"}, offset=0),
    Row("CREATE-05", (POST,), 400, {"Location": None}),
    Row("CREATE-06", create("Upload-Defer-Length: 1"), 400),
    *(
        Row(f"CREATE-07 {length!a}", (POST, f"Upload-Length:{length}"), 400)
        for length in ("-1", "", "abc", "1.5", "+1", "1_000", "0x10", "\xef\xbc\x91", "1,1", "1 0")
    ),
    Row("CREATE-07 two lines", create("Upload-Length: 11"), 400),
    *(
        Row(f"CREATE-08 {n}", (POST, f"Upload-Length: {n}"), 201, NEW, offset=0, length=n)
        for n in (2**53 + 1, 2**63 - 1)
    ),
    *(
        Row(f"CREATE-08 {n}", (POST, f"Upload-Length: {n}"), 400)
        for n in (2**63, 2**64, 10**40)
    ),
    Row("CREATE-09", (POST, "Upload-Length: 11"), 413, limits=AT_MOST_TEN),
    Row("CREATE-09 equal", (POST, "Upload-Length: 10"), 201, NEW, limits=AT_MOST_TEN, offset=0),
    Row("CREATE-10", (POST, "Upload-Length: 0"), 201, {**NEW, "Upload-Expires": None}, offset=0,
        length=0),
    *(
        Row(f"CREATE-12 {kind} {body}", create(f"Content-Type: {kind}"), 201, NEW, body=body,
            offset=0)
        for kind in ("application/x-www-form-urlencoded", "application/json", "junk")
        for body in (0, Chunked(0))
    ),
    Row("CREATE-12 no type, unknown size", create(), 201, NEW, body=Chunked(0), offset=0),
    Row("CREATE-13", ("POST ", "Upload-Length: 10"), 201, NEW, offset=0),
    Row("CREATE-15", (POST, "Upload-Length: x"), 400, {"Location": None}),
    Row("CREATE-16", (POST, "Upload-Defer-Length: 1"), 201, {"Upload-Offset": "0"}, offset=0),
]

WITH_UPLOAD = [
    Row("CWU-02", create(OOS), 201, {**NEW, "Upload-Offset": "10"}, body=10, offset=10),
    Row("CWU-03", create(OOS), 201, {**NEW, "Upload-Offset": "4"}, body=4, offset=4),
    Row("CWU-03 chunked", create(OOS), 201, {"Upload-Offset": "4"}, body=Chunked(4), offset=4),
    *(
        Row(f"CWU-04 {n} {body}", (POST, f"Upload-Length: {n}", OOS), 201, NEW, body=body, offset=0)
        for n in (0, 10)
        for body in (0, Chunked(0))
    ),
    Row("CWU-06", create("Content-Type: text/plain"), 415, {"Location": None}, body=5),
    Row("CWU-06 none", create(), 415, body=5),
    Row("CWU-06 unknown size", create("Content-Type: text/plain"), 201, NEW, body=Chunked(5),
        offset=0),
    Row("CWU-07", create(OOS), 413, {"Location": None}, body=11),
    Row("CWU-07 chunked", create(OOS), 413, body=Chunked(11)),
    Row("CWU-11", create(OOS), 201, {"Upload-Expires": LATER}, body=4, offset=4),
    Row("CWU-11 finished", create(OOS), 201, {"Upload-Expires": None}, body=10, offset=10),
    Row("CWU-13", (POST, "Upload-Defer-Length: 1", OOS), 201, {"Upload-Offset": "5"}, body=5,
        offset=5),
    Row("CWU-14", create("Upload-Offset: 0"), 201, NEW, offset=0),
    Row("CWU-14 other", create("Upload-Offset: 1"), 400),
    Row("CWU-14 malformed", create("Upload-Offset: x"), 400),
]

METADATA = [
    *(
        Row(name, metadata(*raw), 400, {"Location": None})
        for name, *raw in (
            ("META-05", "a Zm9v,a YmFy"),
            ("META-05 two lines", "a Zm9v", "a YmFy"),
            ("META-06 !!!!", "a !!!!"),
            ("META-06 short", "a Zm9"),
            ("META-06 long", "a Zm9v="),
            ("META-06 URL-safe", "a _-8="),
            ("META-07 first", ",a Zm9v"),
            ("META-07 last", "a Zm9v,"),
            ("META-07 middle", "a Zm9v,,b YmFy"),
            ("META-08 two spaces", "a  Zm9v"),
            ("META-08 three words", "a Zm9v x"),
            ("META-13 NUL", "a\0b Zm9v"),
            ("META-13 CR", "a\rb Zm9v"),
            ("META-13 LF", "a Zm9v\n,b"),
        )
    ),
    Row("META-02", (HEAD,), 200, {"Upload-Metadata": None}, TEN),
    Row("META-02 nothing to say", (HEAD,), 200, {"Upload-Metadata": None},
        upload(10, metadata=UNSAYABLE)),
    Row("META-12 other protocol", (HEAD,), 200, {"Upload-Metadata": "a AAECgP8=,b"},
        upload(10, metadata={"a": b"\x00\x01\x02\x80\xff", **UNSAYABLE, "b": b""})),
]

DEFER = [
    *(
        Row(f"DEFER-02 {value!r}", (POST, f"Upload-Defer-Length:{value}"), 400)
        for value in ("0", "2", "true", "01", "", "1,1")
    ),
    Row("DEFER-02 two lines", (POST, "Upload-Defer-Length: 1", "Upload-Defer-Length: 0"), 400),
    Row("DEFER-03", (POST, "Upload-Defer-Length: 1"), 201, NEW, offset=0),
    Row("DEFER-03 HEAD", (HEAD,), 200,
        {"Upload-Defer-Length": "1", "Upload-Length": None, "Upload-Offset": "0"}, DEFERRED),
    Row("DEFER-04", (HEAD,), 200, {"Upload-Defer-Length": None, "Upload-Length": "10"}, TEN),
    Row("DEFER-07", patch(5, "Upload-Length: 99"), 204, NONE, DEFERRED_HALF, 5, offset=10,
        length=99),
    Row("DEFER-08", patch(5, "Upload-Length: 11"), 400, NONE, HALF, 5),
    Row("DEFER-09", patch(5, "Upload-Length: 10"), 204, NONE, HALF, 5, offset=10),
    Row("DEFER-09 complete", patch(10, "Upload-Length: 10"), 204, NONE, FULL, offset=10),
    Row("DEFER-10 before the offset", patch(5, "Upload-Length: 4"), 400, NONE, DEFERRED_HALF),
    Row("DEFER-10 before the end", patch(5, "Upload-Length: 9"), 413, NONE, DEFERRED_HALF, 5),
    Row("DEFER-10 malformed", patch(5, "Upload-Length: x"), 400, NONE, DEFERRED_HALF, 5),
    Row("DEFER-10 empty", patch(5, "Upload-Length:"), 400, NONE, DEFERRED_HALF, 5),
    Row("DEFER-11", patch(5, "Upload-Length: 11"), 413, NONE, DEFERRED_HALF, 5,
        limits=AT_MOST_TEN),
    Row("DEFER-12", patch(5), 413, NONE, DEFERRED_HALF, 6, limits=AT_MOST_TEN),
    Row("DEFER-12 chunked", patch(5), 413, NONE, DEFERRED_HALF, Chunked(6), limits=AT_MOST_TEN),
    Row("DEFER-13 offset", patch(0, "Upload-Length: 10"), 409, NONE, DEFERRED_HALF, 5),
    Row("DEFER-13 type", (PATCH, "Upload-Offset: 5", "Upload-Length: 10"), 415, NONE,
        DEFERRED_HALF, 5),
    Row("DEFER-14", patch(5, "Upload-Defer-Length: 1"), 204, NONE, HALF, 5, offset=10, length=10),
    Row("DEFER-14 any", patch(5, "Upload-Defer-Length: x"), 204, NONE, HALF, 5, offset=10),
    Row("DEFER-15", patch(0, "Upload-Length: 0"), 204, {"Upload-Expires": None}, DEFERRED,
        offset=0, length=0),
]

EXPIRY = [
    Row("EXP-01", (HEAD,), 200, {"Upload-Expires": None}, HALF, offer=KEEPS),
    Row("EXP-02", (HEAD,), 200, {"Upload-Expires": "Fri, 31 Dec 9999 23:59:59 GMT"},
        upload(10, expires_at=1e18)),
    Row("EXP-03", create(), 201, {"Upload-Expires": LATER}, offset=0),
    Row("EXP-03 never", create(), 201, {"Upload-Expires": None}, limits=Limits(), offset=0),
    Row("EXP-04", patch(0), 204, {"Upload-Expires": LATER}, TEN, 5, offset=5),
    Row("EXP-05", patch(5), 204, {"Upload-Expires": None}, HALF, 5, offset=10),
]
# fmt: on

ROWS = [*CREATE, *WITH_UPLOAD, *METADATA, *DEFER, *EXPIRY]
