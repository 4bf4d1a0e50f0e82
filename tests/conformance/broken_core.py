"""Servers that break the core of the protocol: CORE, HEAD, PATCH, OVR."""

from __future__ import annotations

from typing import Any

from tests.conformance.broken import (
    App,
    Broken,
    Receive,
    Request,
    Send,
    Wrap,
    all_of,
    always,
    answers,
    asks,
    become,
    drop,
    having,
    hears,
    lacking,
    on,
    put,
    reads_first,
    said,
    says,
    says_it,
    state,
    status,
    sub,
    whole,
)

_TYPE = "application/offset+octet-stream"
_VARIANT = r"(?i)(?!(?-i:application/offset\+octet-stream$))application/offset\+octet-stream.*"
_version = put("tus-resumable", "1.0.0")


def _in_upload(request: Request) -> bool:
    return not request.at_endpoint


def _empty(request: Request) -> bool:
    return request.verb == "PATCH" and request.size == 0


def _done(answer: Any) -> bool:
    """HEAD of an upload that has all its bytes."""
    offset = answer.get("upload-offset")
    return bool(offset) and offset == answer.get("upload-length") and offset != "0"


def _appends_anywhere(app: App) -> App:
    """Upload-Offset is not compared."""

    async def broken(scope: Any, receive: Receive, send: Send) -> None:
        request = Request.of(scope)
        if request.verb == "PATCH" and request.get("upload-offset").isdecimal():
            there = await state(app, scope)
            request.put("upload-offset", there.get("upload-offset") or "0")
            scope = request.onto(scope)
        await app(scope, receive, send)

    return broken


def _cuts_to_fit(applies: Any) -> Wrap:
    """What is beyond the end of the upload is thrown away, and the rest taken."""

    def wrap(app: App) -> App:
        async def broken(scope: Any, receive: Receive, send: Send) -> None:
            request = Request.of(scope)
            if request.verb == "PATCH" and applies(request):
                there = await state(app, scope)
                room = int(there.get("upload-length") or 0) - int(there.get("upload-offset") or 0)
                data = (await whole(receive) or b"")[: max(room, 0)]
                request.put("content-length", str(len(data)))
                request.drop("transfer-encoding")
                scope, receive = request.onto(scope), said(data)
            await app(scope, receive, send)

        return broken

    return wrap


def _counts_too_much(app: App) -> App:
    """An interrupted body counts for more than has come."""
    cut: set[str] = set()
    lies = says(on("HEAD"), put("upload-offset", "999999"))(app)

    async def broken(scope: Any, receive: Receive, send: Send) -> None:
        path = Request.of(scope).path

        async def watched() -> Any:
            message = await receive()
            if message["type"] == "http.disconnect":
                cut.add(path)
            return message

        told = lies if path in cut else app
        await told(scope, watched, send)

    return broken


def _wears_out(app: App) -> App:
    """After some HEADs the upload is gone."""
    looked: dict[str, int] = {}

    async def broken(scope: Any, receive: Receive, send: Send) -> None:
        request = Request.of(scope)
        if request.verb == "HEAD":
            looked[request.path] = looked.get(request.path, 0) + 1
        gone = looked.get(request.path, 0) > 10
        await (answers(always, 404)(app) if gone else app)(scope, receive, send)

    return broken


def _override(method: str) -> Any:
    return having("x-http-method-override", f"(?i){method}")


_drop_override = drop("x-http-method-override")


def _by_get(request: Request) -> None:
    request.method = request.get("x-http-method-override")


BROKEN = (
    # --- versions and OPTIONS ---
    Broken("CORE-01", "creates whatever the version is", asks(on("POST"), _version)),
    Broken(
        "CORE-01",
        "does not say which version it speaks",
        says(on("POST"), drop("tus-version"), given=status(412)),
    ),
    Broken(
        "CORE-01",
        "answers another version with 400",
        says(on("POST"), become(400), given=status(412)),
    ),
    Broken("CORE-02", "takes bytes whatever the version is", asks(on("PATCH"), _version)),
    Broken("CORE-03", "deletes whatever the version is", asks(on("DELETE"), _version)),
    Broken("CORE-04", "answers HEAD whatever the version is", asks(on("HEAD"), _version)),
    Broken("CORE-05", "needs no version", asks(lacking("tus-resumable"), _version)),
    Broken("CORE-06", "takes 1.0 for 1.0.0", asks(having("tus-resumable", "1.0"), _version)),
    Broken(
        "CORE-07",
        "wants a version for OPTIONS",
        answers(lacking("tus-resumable", "OPTIONS"), 412, ("tus-version", "1.0.0")),
    ),
    Broken(
        "CORE-08",
        "checks the version of OPTIONS",
        answers(having("tus-resumable", r"9\.9\.9", "OPTIONS"), 412),
    ),
    Broken("CORE-09", "lists an empty version", says(on("OPTIONS"), put("tus-version", "1.0.0,"))),
    Broken("CORE-09", "speaks 0.2.2 only", says(on("OPTIONS"), put("tus-version", "0.2.2"))),
    Broken("CORE-10", "has an empty Tus-Extension", says(on("OPTIONS"), put("tus-extension", ""))),
    Broken("CORE-11", "writes its limit as 1GiB", says(on("OPTIONS"), put("tus-max-size", "1GiB"))),
    Broken("CORE-12", "does not tell its limit", says(on("OPTIONS"), drop("tus-max-size"))),
    Broken(
        "CORE-13",
        "has no OPTIONS for uploads",
        answers(all_of(on("OPTIONS"), _in_upload), 404),
    ),
    Broken(
        "CORE-14",
        "offers creation-with-upload without creation",
        says(on("OPTIONS"), put("tus-extension", "creation-with-upload,termination")),
    ),
    # --- HEAD ---
    Broken(
        "HEAD-01",
        "leaves an offset of 0 out",
        says(on("HEAD"), drop("upload-offset"), given=says_it("upload-offset", "0")),
    ),
    Broken(
        "HEAD-02",
        "forgets finished uploads",
        says(on("HEAD"), become(404), drop("upload-offset", "upload-length"), given=_done),
    ),
    Broken("HEAD-03", "does not tell the length", says(on("HEAD"), drop("upload-length"))),
    Broken("HEAD-04", "answers HEAD with 206", says(on("HEAD"), become(206), given=status(200))),
    Broken("HEAD-05", "lets HEAD be cached", says(on("HEAD"), drop("cache-control"))),
    Broken(
        "HEAD-05",
        "says no-cache, which is another thing",
        says(on("HEAD"), put("cache-control", "no-cache")),
    ),
    Broken(
        "HEAD-06",
        "lets a 404 be cached",
        says(on("HEAD"), drop("cache-control"), given=status(404)),
    ),
    Broken(
        "HEAD-07",
        "answers 400 for an upload that is not there",
        says(on("HEAD"), become(400), given=status(404)),
    ),
    Broken(
        "HEAD-08",
        "has an offset for what is not there",
        says(on("HEAD"), put("upload-offset", "0"), given=status(404)),
    ),
    Broken(
        "HEAD-09",
        "falls over odd ids",
        says(all_of(on("HEAD"), _in_upload), become(500), given=status(404)),
    ),
    Broken("HEAD-12", "loses an upload that is looked at often", _wears_out),
    Broken(
        "HEAD-13",
        "tells another expiry",
        says(on("HEAD"), sub("upload-expires", "[A-Z].*", "Sun, 06 Nov 1994 08:49:37 GMT")),
    ),
    # --- PATCH ---
    Broken(
        "PATCH-01", "stores other bytes", hears(on("PATCH"), lambda data: data.swapcase()[::-1])
    ),
    Broken("PATCH-02", "answers 200", says(on("PATCH"), become(200), given=status(204))),
    Broken("PATCH-03", "does not tell the offset", says(on("PATCH"), drop("upload-offset"))),
    Broken(
        "PATCH-03",
        "tells another offset",
        says(on("PATCH"), sub("upload-offset", "$", "0"), given=status(204)),
    ),
    Broken("PATCH-04", "appends wherever the client is", _appends_anywhere),
    Broken(
        "PATCH-04",
        "answers another offset with 400",
        says(on("PATCH"), become(400), given=status(409)),
    ),
    Broken(
        "PATCH-05",
        "tells another offset with 409",
        says(on("PATCH"), put("upload-offset", "0"), given=status(409)),
    ),
    Broken("PATCH-06", "takes any type", asks(on("PATCH"), put("content-type", _TYPE))),
    Broken(
        "PATCH-06",
        "answers another type with 400",
        says(on("PATCH"), become(400), given=status(415)),
    ),
    Broken(
        "PATCH-07",
        "compares types as text",
        answers(
            having("content-type", f"(?i)(?!(?-i:{_TYPE}$)){_TYPE}.*".replace("+", r"\+"), "PATCH"),
            415,
        ),
    ),
    Broken(
        "PATCH-08",
        "reads numbers as Python does",
        asks(having("upload-offset", r"\+0|1_0| *0 *|0x0", "PATCH"), put("upload-offset", "0")),
    ),
    Broken(
        "PATCH-08",
        "takes a missing offset for 0",
        asks(lacking("upload-offset", "PATCH"), put("upload-offset", "0")),
    ),
    Broken(
        "PATCH-09",
        "falls over large offsets",
        answers(having("upload-offset", "[0-9]{19,}", "PATCH"), 500),
    ),
    Broken(
        "PATCH-10",
        "takes bytes for nobody",
        says(on("PATCH"), become(204), given=status(404)),
    ),
    Broken("PATCH-11", "keeps nothing of an interrupted body", hears(on("PATCH"), bytes)),
    Broken("PATCH-12", "counts what has not come", _counts_too_much),
    Broken("PATCH-13", "wants a Content-Length", answers(lacking("content-length", "PATCH"), 411)),
    Broken("PATCH-14", "takes what fits of too much", _cuts_to_fit(lambda r: r.size is not None)),
    Broken("PATCH-15", "takes what fits of too much", _cuts_to_fit(lambda r: r.size is None)),
    Broken("PATCH-16", "refuses to finish twice", answers(_empty, 400)),
    Broken("PATCH-17", "refuses an empty body", answers(_empty, 400)),
    Broken(
        "PATCH-18",
        "throws bytes away and says nothing",
        says(on("PATCH"), become(204), drop("content-length"), given=status(413)),
    ),
    Broken("PATCH-22", "wants the body of what it refuses", reads_first(on("PATCH"))),
    Broken(
        "PATCH-24",
        "takes every odd field for another protocol",
        answers(having("upload-draft-interop-version", ".*", "PATCH"), 400),
    ),
    # --- X-HTTP-Method-Override ---
    Broken("OVR-01", "does not know overrides", asks(_override("PATCH"), _drop_override)),
    Broken("OVR-02", "does not override with DELETE", asks(_override("DELETE"), _drop_override)),
    Broken("OVR-03", "does not override with HEAD", asks(_override("HEAD"), _drop_override)),
    Broken(
        "OVR-04",
        "overrides POST only",
        asks(lambda request: request.method != "POST", _drop_override),
    ),
    Broken(
        "OVR-05",
        "wants upper case",
        asks(having("x-http-method-override", "[a-z]+"), _drop_override),
    ),
    Broken(
        "OVR-06",
        "lets a GET delete",
        asks(all_of(_override("DELETE"), lambda request: request.method == "GET"), _by_get),
    ),
    Broken(
        "OVR-07",
        "does not let browsers override",
        says(
            on("OPTIONS"),
            sub("access-control-allow-headers", "(?i)x-http-method-override", "x-none"),
        ),
    ),
)
