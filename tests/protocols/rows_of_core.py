"""specs/tus-1.0.md, sections 1 and 11: versions, HEAD, PATCH and the method override."""

from __future__ import annotations

from tests.protocols.rows import (
    DEFERRED,
    DEFERRED_HALF,
    DELETE,
    EMPTY,
    FULL,
    HALF,
    HEAD,
    KEEPS,
    NEW,
    NONE,
    PATCH,
    POST,
    TEN,
    TINY,
    VERSIONS,
    Row,
    create,
    patch,
    typed,
)
from tests.protocols.scenes import ID, OOS, Chunked

ALL = (
    "creation,creation-with-upload,creation-defer-length,expiration,checksum,termination,"
    "concatenation,concatenation-unfinished"
)
FEWEST = "creation,creation-with-upload,creation-defer-length"
OVERRIDE = "X-HTTP-Method-Override"
AT_UPLOAD = {"Allow": "HEAD, PATCH, DELETE, GET, OPTIONS"}

# fmt: off
VERSION = [
    Row("CORE-01", create(), 412, {**VERSIONS, "Location": None}, version="0.2.2"),
    Row("CORE-02", patch(0), 412, VERSIONS, TEN, 10, version="0.2.2"),
    Row("CORE-03", (DELETE,), 412, VERSIONS, TEN, version="0.2.2"),
    Row("CORE-04", (HEAD,), 412, {**VERSIONS, "Upload-Offset": None}, TEN, version="9.9.9"),
    Row("CORE-05 POST", create(), 412, VERSIONS, version=None),
    Row("CORE-05 PATCH", patch(0), 412, VERSIONS, TEN, 10, version=None),
    Row("CORE-05 DELETE", (DELETE,), 412, VERSIONS, TEN, version=None),
    Row("CORE-05 HEAD", (HEAD,), 412, VERSIONS, TEN, version=None),
    Row("CORE-06 space after", (HEAD,), 200, NONE, TEN, version="1.0.0 \t"),
    Row("CORE-06 space before", (HEAD,), 200, NONE, TEN, version="\t 1.0.0"),
    Row("CORE-06 short", (HEAD,), 412, VERSIONS, TEN, version="1.0"),
    Row("CORE-06 empty", (HEAD,), 412, VERSIONS, TEN, version=""),
    Row("CORE-06 list", (HEAD,), 412, VERSIONS, TEN, version="1.0.0, 1.0.0"),
    Row("CORE-06 two lines", (HEAD, "Tus-Resumable: 1.0.0"), 412, VERSIONS, TEN),
    Row("CORE-07", ("OPTIONS /",), 204, VERSIONS, version=None),
    Row("CORE-07 no slash", ("OPTIONS ",), 204, VERSIONS, version=None),
    Row("CORE-08", ("OPTIONS /",), 204, VERSIONS, version="9.9.9"),
    Row("CORE-09", ("OPTIONS /",), 204, VERSIONS),
    Row("CORE-10", ("OPTIONS /",), 204, {"Tus-Extension": ALL}),
    Row("CORE-11 none", ("OPTIONS /",), 204, {"Tus-Max-Size": None}),
    Row("CORE-11", ("OPTIONS /",), 204, {"Tus-Max-Size": "10"}, offer=TINY),
    Row("CORE-13", (f"OPTIONS /{ID}",), 204, VERSIONS, version=None),
    Row("CORE-13 unknown", ("OPTIONS /nobody",), 204, VERSIONS, version=None),
    Row("CORE-13 impossible", ("OPTIONS /../a%20b/\0",), 204, VERSIONS, version=None),
    Row("CORE-14", ("OPTIONS /",), 204, {"Tus-Checksum-Algorithm": None}, offer=KEEPS),
    Row("CREATE-01", ("OPTIONS /",), 204, {"Tus-Extension": FEWEST}, offer=KEEPS),
]

ORDER = [
    Row("AMB-34 override, version", (HEAD, f"{OVERRIDE}: OPTIONS"), 204, VERSIONS, version="9"),
    Row("AMB-34 version, route", ("HEAD /a/b",), 412, version=None),
    Row("AMB-34 version, method", ("PUT /",), 412, version=None),
    Row("AMB-34 route, method", ("PUT /a/b",), 404),
    Row("AMB-34 syntax, type", (PATCH, "Upload-Offset: x"), 400, NONE, TEN, 5),
    Row("AMB-34 type, upload", (PATCH, "Upload-Offset: 0"), 415, NONE, None, 5),
    Row("AMB-34 upload, length", patch(9, "Upload-Length: 99"), 404),
    Row("AMB-34 length, offset", patch(9, "Upload-Length: 99"), 400, NONE, TEN, 5),
    Row("AMB-34 offset, size", patch(9), 409, {"Upload-Offset": "0"}, TEN, 99),
]

INSPECT = [
    Row("HEAD-01", (HEAD,), 200, {"Upload-Offset": "0"}, TEN),
    Row("HEAD-02", (HEAD,), 200, {"Upload-Offset": "10", "Upload-Length": "10"}, FULL),
    Row("HEAD-03", (HEAD,), 200, {"Upload-Offset": "5", "Upload-Length": "10"}, HALF),
    Row("HEAD-04", (HEAD,), 200, NONE, DEFERRED),
    Row("HEAD-05", (HEAD,), 200, {"Cache-Control": "no-store"}, HALF),
    Row("HEAD-06", (HEAD,), 404, {"Cache-Control": "no-store"}),
    Row("HEAD-07", ("HEAD /nobody",), 404, NONE, HALF),
    Row("HEAD-08", ("HEAD /nobody",), 404, {"Upload-Offset": None}, HALF),
    *(
        Row(f"HEAD-09 {ascii(path)[:30]}", (f"HEAD {path}",), 404, {"Upload-Offset": None}, TEN)
        for path in (
            "/..", "/../etc/passwd", "/%2e%2e%2f", "/a%00", "/a\0", "/a\\b", "/a.b", "/a b",
            f"/{'a' * 129}", f"/{'b' * 99999}", "//", f"//{ID}", f"/{ID}//", f"/{ID}/x",
            f"/{ID}\n", ID, f"{ID}/", "/\u0661", "/-a", "*",
        )
    ),
    Row("HEAD-09 trailing slash", (f"{HEAD}/",), 200, {"Upload-Offset": "5"}, HALF),
    Row("HEAD-11", (HEAD,), 200, {"Upload-Defer-Length": "1", "Upload-Length": None}, DEFERRED),
    Row("HEAD-13", (HEAD,), 200, {"Upload-Expires": "Sun, 09 Sep 2001 01:46:40 GMT"}, HALF),
    Row("AMB-12", (HEAD,), 200, {"Content-Length": None}, FULL),
]

APPEND = [
    Row("PATCH-01", patch(0), 204, {"Upload-Offset": "5"}, TEN, 5, offset=5),
    Row("PATCH-01 second", patch(5), 204, {"Upload-Offset": "10"}, HALF, 5, offset=10),
    Row("PATCH-02", patch(0), 204, NONE, TEN, 10, offset=10),
    Row("PATCH-03", patch(5), 204, {"Upload-Offset": "8"}, HALF, 3, offset=8),
    Row("PATCH-03 chunked", patch(5), 204, {"Upload-Offset": "8"}, HALF, Chunked(3), offset=8),
    Row("PATCH-04 low", patch(4), 409, NONE, HALF, 5),
    Row("PATCH-04 high", patch(6), 409, NONE, HALF, 5),
    Row("PATCH-04 far", patch(1_000_005), 409, NONE, HALF, 10**9),
    Row("PATCH-04 complete", patch(5), 409, NONE, FULL, 0),
    Row("PATCH-05", patch(0), 409, {"Upload-Offset": "5"}, HALF, 5),
    Row("PATCH-06 none", (PATCH, "Upload-Offset: 0"), 415, NONE, TEN, 5),
    *(
        Row(f"PATCH-06 {kind[:20]!r} {body}", typed(kind), 415, NONE, TEN, body)
        for kind in ("application/octet-stream", "text/plain", "", "junk", "a/b;" * 99)
        for body in (0, 5, Chunked(5))
    ),
    Row("PATCH-06 two types", patch(0, "Content-Type: text/plain"), 415, NONE, TEN, 5),
    *(
        Row(f"PATCH-07 {kind}", typed(kind), 204, NONE, TEN, 5, offset=5)
        for kind in (
            "APPLICATION/Offset+Octet-Stream",
            "application/offset+octet-stream; charset=utf-8",
            " application/offset+octet-stream ;",
        )
    ),
    Row("PATCH-08 missing", (PATCH, OOS), 400, NONE, TEN, 5),
    *(
        Row(f"PATCH-08 {at!a}", patch(at), 400, NONE, TEN, 5)
        for at in ("", "abc", "-1", "+0", "0x0", "1.0", "0 0", "\xb2", "1_0", "0,0", "\x000")
    ),
    Row("PATCH-08 two lines", patch(0, "Upload-Offset: 1"), 400, NONE, TEN, 5),
    Row("PATCH-08 same twice", patch(0, "Upload-Offset: 0"), 204, NONE, TEN, 5, offset=5),
    Row("PATCH-09 zeros", patch("00"), 204, NONE, TEN, 5, offset=5),
    Row("PATCH-09 2^63-1", patch(2**63 - 1), 409, NONE, TEN, 5),
    Row("PATCH-09 2^63", patch(2**63), 400, NONE, TEN, 5),
    Row("PATCH-09 2^64", patch(2**64), 400, NONE, TEN, 5),
    Row("PATCH-09 30 digits", patch("1" * 30), 400, NONE, TEN, 5),
    Row("PATCH-10", patch(0), 404, {"Upload-Offset": None}, None, 5),
    Row("PATCH-13", patch(5), 204, {"Upload-Offset": "10"}, HALF, Chunked(5), offset=10),
    Row("PATCH-14", patch(5), 413, {"Upload-Offset": None}, HALF, 6),
    Row("PATCH-15", patch(5), 413, NONE, HALF, Chunked(6)),
    Row("PATCH-16", patch(10), 204, {"Upload-Offset": "10", "Upload-Expires": None}, FULL),
    Row("PATCH-16 chunked", patch(10), 204, {"Upload-Offset": "10"}, FULL, Chunked(0)),
    Row("PATCH-16 no bytes at all", patch(0), 204, {"Upload-Offset": "0"}, EMPTY),
    Row("PATCH-17", patch(5), 204, {"Upload-Offset": "5"}, HALF),
    Row("PATCH-17 chunked", patch(5), 204, {"Upload-Offset": "5"}, HALF, Chunked(0)),
    Row("PATCH-18", patch(10), 413, NONE, FULL, 1),
    Row("PATCH-18 chunked", patch(10), 413, NONE, FULL, Chunked(1)),
    Row(
        "PATCH-24",
        patch(0, "Upload-Concat: partial", "Upload-Metadata: ,,,", "Upload-Complete: ?1",
              "Upload-Draft-Interop-Version: 6"),
        204, {"Upload-Offset": "5", "Upload-Complete": None}, TEN, 5, offset=5,
    ),
    Row("META-15", patch(0, "Upload-Metadata: a Zm9v"), 204, NONE, TEN, 5, offset=5),
    Row("DEFER-05 first", patch(0), 204, {"Upload-Offset": "5"}, DEFERRED, 5, offset=5),
    Row("DEFER-05 last", patch(5, "Upload-Length: 10"), 204, {"Upload-Offset": "10"},
        DEFERRED_HALF, 5, offset=10, length=10),
    Row("DEFER-06", patch(5, "Upload-Length: 5"), 204, {"Upload-Offset": "5"}, DEFERRED_HALF,
        offset=5, length=5),
]

OVERRIDDEN = [
    Row("OVR-01", (f"POST /{ID}", *patch(0)[1:], f"{OVERRIDE}: PATCH"), 204,
        {"Upload-Offset": "5"}, TEN, Chunked(5), offset=5),
    Row("OVR-02", (f"POST /{ID}", f"{OVERRIDE}: DELETE"), 204, NONE, HALF),
    Row("OVR-03", (f"POST /{ID}", f"{OVERRIDE}: HEAD"), 200,
        {"Upload-Offset": "5", "Upload-Length": "10", "Content-Length": None}, HALF),
    Row("OVR-03 refused", ("POST /nobody", f"{OVERRIDE}: HEAD"), 404, {"Content-Type": None}),
    Row("OVR-04", (PATCH, f"{OVERRIDE}: DELETE"), 204, {"Upload-Offset": None}, HALF),
    Row("OVR-04 HEAD", (HEAD, f"{OVERRIDE}: DELETE"), 204, {"Upload-Offset": None}, HALF),
    Row("OVR-05 lower", (f"POST /{ID}", *patch(5)[1:], f"{OVERRIDE}: patch"), 204,
        {"Upload-Offset": "10"}, HALF, 5, offset=10),
    Row("OVR-05 empty", (*create(), f"{OVERRIDE}:  "), 201, NEW),
    Row("OVR-05 unknown", (f"POST /{ID}", f"{OVERRIDE}: FOO"), 405, AT_UPLOAD, TEN),
    Row("OVR-05 no method", (f"POST /{ID}", f"{OVERRIDE}: PATCH, PATCH"), 400, NONE, TEN),
    Row("OVR-05 two", (f"POST /{ID}", f"{OVERRIDE}: PATCH", f"{OVERRIDE}: HEAD"), 400, NONE, TEN),
    Row("OVR-06", ("GET /", *create()[1:], f"{OVERRIDE}: POST"), 405),
    Row("OVR-06 OPTIONS", (f"OPTIONS /{ID}", f"{OVERRIDE}: DELETE"), 204, VERSIONS, TEN),
]

METHODS = [
    Row("CREATE-18", (f"POST /{ID}", "Upload-Length: 10"), 405, AT_UPLOAD, TEN),
    *(
        Row(f"CREATE-19 {method!r}", (f"{method} /",), 405, {"Allow": "POST, OPTIONS"})
        for method in ("GET", "HEAD", "PUT", "PATCH", "DELETE", "post", "FOO", "")
    ),
    Row("CREATE-19 GET without version", ("GET /",), 405, version=None),
    Row("CREATE-19 PUT", (f"PUT /{ID}",), 405, {"Allow": "HEAD, PATCH, OPTIONS"}, TEN,
        offer=KEEPS),
    Row("TERM-01", (DELETE,), 204, {"Upload-Offset": None}, HALF),
    Row("TERM-03", (DELETE,), 204, NONE, FULL),
    Row("TERM-06", (DELETE,), 405, {"Allow": "HEAD, PATCH, OPTIONS"}, HALF, offer=KEEPS),
    Row("TERM-07", ("DELETE /nobody",), 404, NONE, HALF),
    Row("TERM-09", (DELETE, "Content-Type: text/plain"), 204, NONE, HALF, 5),
    Row("AMB-31 GET", (f"GET /{ID}",), 405, {"Allow": "HEAD, PATCH, OPTIONS"}, FULL,
        version=None, offer=KEEPS),
    Row("AMB-31 GET at the endpoint", (POST.replace("POST", "GET"),), 405, version="9.9.9"),
]
# fmt: on

ROWS = [*VERSION, *ORDER, *INSPECT, *APPEND, *OVERRIDDEN, *METHODS]
