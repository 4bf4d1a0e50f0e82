"""Rows of section 8: what Upload-Concat may say, and how partial and final uploads answer.

The upload `ID` stands for every part; the endpoint is /files for the client.
"""

from __future__ import annotations

from dataclasses import replace

from tests.protocols.rows import (
    DELETE,
    EMPTY,
    FULL,
    HALF,
    HEAD,
    LATER,
    NONE,
    POST,
    TEN,
    Row,
    create,
    patch,
)
from tests.protocols.scenes import ID, NOW, OOS, Chunked, upload
from tusjumbo.protocols.extensions import Offer
from tusjumbo.sessions.rules import Limits
from tusjumbo.sessions.session import Kind, Phase, UploadSession

WITHOUT = Offer(concatenation=False)
NOTHING_MADE = {"Location": None}
PENDING = {"Location": "/files/jumbo_final", "Upload-Offset": None, "Upload-Expires": LATER}
JOINED = {"Location": "/files/jumbo_final", "Upload-Offset": "10", "Upload-Expires": None}
JOINED_TWICE = {**JOINED, "Upload-Offset": "20"}

RAW = f"final; /files/{ID} {ID}?x"


def part(length: int | None, at: int = 0) -> UploadSession:
    return replace(
        upload(length, at, echo={"upload-concat": "partial"}),
        kind=Kind.PARTIAL,
        phase=Phase.OPEN,
        receipt=None,
        expires_at=NOW + 60,
    )


def final(length: int | None, at: int, *parts: str) -> UploadSession:
    return replace(
        upload(length, at, echo={"upload-concat": RAW}), kind=Kind.FINAL, parts=parts or ("a", "b")
    )


def join(*references: str, separator: str = ";") -> tuple[str, ...]:
    return (POST, f"Upload-Concat: final{separator}{' '.join(references)}")


FULL_PART = part(10, 10)
URL = f"/files/{ID}"

ROWS = [
    # CONC-01: without the extension nothing is created, least of all a whole upload.
    *(
        Row(
            f"CONC-01 {value!r} {len(request)}",
            (*request, f"Upload-Concat:{value}"),
            400,
            NOTHING_MADE,
            FULL_PART,
            offer=WITHOUT,
        )
        for value in ("partial", f"final;{URL}", "", "junk")
        for request in ((POST,), create())
    ),
    Row(
        "CONC-02",
        create("Upload-Concat: partial"),
        201,
        {"Upload-Offset": "0", "Upload-Concat": None},
    ),
    Row(
        "CONC-02 HEAD",
        (HEAD,),
        200,
        {"Upload-Concat": "partial", "Upload-Offset": "5", "Upload-Length": "10"},
        part(10, 5),
    ),
    Row(
        "CONC-02 full",
        (HEAD,),
        200,
        {"Upload-Concat": "partial", "Upload-Offset": "10", "Upload-Length": "10"},
        FULL_PART,
    ),
    Row("CONC-03", join(URL), 201, JOINED, FULL_PART, offset=10, length=10),
    Row(
        "CONC-06 HEAD",
        (HEAD,),
        200,
        {"Upload-Concat": RAW, "Upload-Offset": "10", "Upload-Length": "10"},
        final(10, 10),
    ),
    *(
        Row(f"CONC-07 {field}", (*join(URL), field), 400, NOTHING_MADE, FULL_PART)
        for field in (
            "Upload-Length: 10",
            "Upload-Length: 9",
            "Upload-Length: x",
            "Upload-Length:",
            "Upload-Defer-Length: 1",
        )
    ),
    *(
        Row(f"CONC-08 {url}", join(url), 201, JOINED, FULL_PART)
        for url in (
            f"http://host{URL}",
            f"https://alias:8443{URL}",
            f"HTTP://u:p@host{URL}",
            f"//host{URL}",
            ID,
            f"./{ID}",
            f"../files/{ID}",
            f"/a/../files/./{ID}",
            f"/../files/{ID}",
            f"{URL}/",
            f"{URL}/.",
            f"{URL}/x/..",
            f"{URL}?a=/b#c/d",
            f"{ID}#?",
            "/%66iles/%6Aumbo_abc",
            f"/files%2f{ID}",
        )
    ),
    *(
        Row(f"CONC-09 {url}", join(url), 400, NOTHING_MADE, FULL_PART)
        for url in (
            f"http://evil/other/{ID}",
            "//host/x",
            "//host",
            "http://host",
            f"http:{ID}",
            f"http:{URL}",
            f"http:///files/{ID}",
            f"file://{URL}",
            f"file:{URL}",
            f"ftp://host{URL}",
            f"javascript:{ID}",
            f"/{ID}",
            f"/files/files/{ID}",
            f"/files//{ID}",
            f"//files/{ID}",
            f"/FILES/{ID}",
            f"/files/x/{ID}",
            "/files/",
            "/files",
            "/files/..",
            "/files/../../etc/passwd",
            f"/files/%2e/{ID}",
            f"/files/%252e/../{ID}%00",
            "/files/%256Aumbo_abc",
            f"{URL},{URL}",
            f"<{URL}>",
            "?",
            "#",
            ".",
            "%",
        )
    ),
    *(
        Row(
            f"CONC-10 {value!r}",
            (*request, f"Upload-Concat: {value}"),
            400,
            NOTHING_MADE,
            FULL_PART,
        )
        for value in (
            "final;",
            "final",
            "final; ",
            f"Final;{URL}",
            f"FINAL;{URL}",
            f"final {URL}",
            f"final:{URL}",
            f"final ;{URL}",
            "partial;x",
            "partial;",
            "Partial",
            "foo",
            "",
            f"final;{URL}  {URL}",
            f"final;  {URL}",
            f"final;{URL}\t{URL}",
            f"final;{URL}, {URL}",
            f"final;{URL}\xe9",
            f'final;"{URL}"',
        )
        for request in ((POST,),)
    ),
    Row("CONC-10 space", join(URL, URL, separator="; "), 201, JOINED_TWICE, FULL_PART),
    Row("CONC-10 two lines", (*join(URL), "Upload-Concat: partial"), 400, NOTHING_MADE, FULL_PART),
    Row("CONC-10 same lines", (*join(URL), f"Upload-Concat: final;{URL}"), 201, JOINED, FULL_PART),
    Row("CONC-10 partial without length", (POST, "Upload-Concat: partial"), 400, NOTHING_MADE),
    Row("CONC-11 unknown", join("/files/jumbo_other"), 400, NOTHING_MADE, FULL_PART),
    Row(
        "CONC-11 unknown among known",
        join(URL, "/files/jumbo_other", URL),
        400,
        NOTHING_MADE,
        FULL_PART,
    ),
    *(
        Row(f"CONC-11 {name}", join(URL), 400, NOTHING_MADE, session)
        for name, session in {
            "whole": FULL,
            "unfinished whole": HALF,
            "empty whole": EMPTY,
            "final": final(10, 10),
            "pending final": final(None, 0),
            "expired": replace(FULL_PART, expires_at=1.0),
            "expired unfinished": replace(part(10, 5), expires_at=1.0),
            "set aside": replace(part(10, 5), phase=Phase.ABANDONED),
        }.items()
    ),
    Row("CONC-12", join(URL, ID), 201, JOINED_TWICE, FULL_PART, offset=20, length=20),
    Row("CONC-13", join(URL), 201, {**JOINED, "Upload-Offset": "0"}, part(0), offset=0, length=0),
    Row(
        "CONC-13 partial",
        (POST, "Upload-Length: 0", "Upload-Concat: partial"),
        201,
        {"Upload-Offset": "0", "Upload-Expires": LATER},
    ),
    *(
        Row(f"CONC-14 {name} {at} {body}", patch(at), 403, {"Upload-Offset": None}, session, body)
        for name, session in {
            "finished": final(10, 10),
            "pending": final(None, 0),
            "half": final(10, 5),
            "empty": final(0, 0),
        }.items()
        for at, body in ((0, 5), (5, 5), (10, 0), (10, 1), (0, Chunked(0)))
    ),
    Row(
        "CONC-15",
        (HEAD,),
        200,
        {
            "Upload-Offset": None,
            "Upload-Length": "10",
            "Upload-Concat": RAW,
            "Upload-Defer-Length": None,
            "Upload-Expires": LATER.replace("02:46", "01:46"),
        },
        final(10, 5),
    ),
    Row("CONC-16", (*join(URL), "Upload-Metadata: b Zm9v"), 201, NONE, FULL_PART),
    Row("CONC-19", join(URL, URL), 413, NOTHING_MADE, FULL_PART, limits=Limits(max_size=19)),
    Row("CONC-19 equal", join(URL, URL), 201, JOINED_TWICE, FULL_PART, limits=Limits(max_size=20)),
    Row("CONC-19 pending", join(URL, URL), 413, NOTHING_MADE, part(10), limits=Limits(max_size=19)),
    Row("CONC-20", join(*[URL] * 1000), 201, {**JOINED, "Upload-Offset": "10000"}, FULL_PART),
    Row("CONC-24", create("Upload-Concat: partial"), 201, {"Upload-Expires": LATER}),
    Row("CONC-24 PATCH", patch(0), 204, {"Upload-Expires": LATER}, part(10), 5, offset=5),
    Row(
        "CONC-24 last PATCH",
        patch(5),
        204,
        {"Upload-Offset": "10", "Upload-Expires": LATER},
        part(10, 5),
        5,
        offset=10,
    ),
    Row("CONC-25 HEAD", (HEAD, "Upload-Concat: partial"), 200, NONE, HALF),
    Row(
        "CONC-25 PATCH",
        patch(0, "Upload-Concat: partial"),
        204,
        {"Upload-Offset": "5"},
        TEN,
        5,
        offset=5,
    ),
    Row("CONC-25 DELETE", (DELETE, "Upload-Concat: partial"), 204, NONE, HALF),
    Row(
        "CWU-12 partial",
        create("Upload-Concat: partial", OOS),
        201,
        {"Upload-Offset": "4"},
        body=4,
        offset=4,
    ),
    Row(
        "CWU-12 whole partial",
        create("Upload-Concat: partial", OOS),
        201,
        {"Upload-Offset": "10", "Upload-Expires": LATER},
        body=10,
        offset=10,
    ),
    Row("CWU-12 final", (*join(URL), OOS), 400, NOTHING_MADE, FULL_PART, 4),
    Row("CWU-12 final other type", join(URL), 400, NOTHING_MADE, FULL_PART, 4),
    Row("CWU-12 final chunked", (*join(URL), OOS), 400, NOTHING_MADE, FULL_PART, Chunked(4)),
    Row("CWU-12 final unread", join(URL), 201, JOINED, FULL_PART, Chunked(4)),
    Row("DEFER-16", join(URL), 201, PENDING, part(None, 5)),
    Row(
        "DEFER-16 HEAD",
        (HEAD,),
        200,
        {"Upload-Offset": None, "Upload-Length": None, "Upload-Defer-Length": None},
        final(None, 0),
    ),
    Row("UNFIN-01", join(URL, URL), 201, PENDING, part(10, 5), offset=0),
    Row(
        "UNFIN-02",
        (HEAD,),
        200,
        {"Upload-Offset": None, "Upload-Length": "10", "Upload-Concat": RAW},
        final(10, 0),
    ),
    Row("UNFIN-07", join(URL), 400, NOTHING_MADE, part(10, 5), offer=WITHOUT),
]
