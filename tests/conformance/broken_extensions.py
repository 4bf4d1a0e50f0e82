"""Servers that break the other extensions: EXP, CSUM, TRAIL, TERM."""

from __future__ import annotations

import time
from typing import Any

from tests.conformance.broken import (
    Answer,
    App,
    Broken,
    Receive,
    Request,
    Send,
    Wrap,
    all_of,
    always,
    answers,
    ask,
    asks,
    become,
    drop,
    having,
    not_offered,
    on,
    put,
    said,
    says,
    state,
    status,
    sub,
    whole,
)
from tests.conformance.broken_joins import goes_with_its_parts

_EXPIRING = {"expire_after": "2s"}
_PAST = "Sun, 06 Nov 1994 08:49:37 GMT"


def _forgets_finished(app: App) -> App:
    """What is finished expires too."""
    written: dict[str, float] = {}

    async def broken(scope: Any, receive: Receive, send: Send) -> None:
        request = Request.of(scope)
        answer = await ask(app, scope, receive)
        if answer is None:
            return
        if request.verb == "PATCH":
            written[request.path] = time.monotonic()
        age = time.monotonic() - written.get(request.path, time.monotonic())
        if answer.get("upload-length") and age > 2:
            answer = Answer([("tus-resumable", "1.0.0")], 410)
        await answer.send(send)

    return broken


# --- checksums ------------------------------------------------------------------------------------

_SHA1 = "sha1 [A-Za-z0-9+/]{27}="
_checked = having("upload-checksum", ".*")
_drop_checksum = drop("upload-checksum")


def _keeps_what_it_refuses(app: App) -> App:
    """A mismatch is told, and the bytes are stored."""

    async def broken(scope: Any, receive: Receive, send: Send) -> None:
        request = Request.of(scope)
        if request.verb != "PATCH" or not request.get("upload-checksum"):
            await app(scope, receive, send)
            return
        data = await whole(receive)
        if data is None:
            return
        answer = await ask(app, scope, said(data))
        if answer is not None and answer.status == 460:
            request.drop("upload-checksum")
            await ask(app, request.onto(scope), said(data))
        if answer is not None:
            await answer.send(send)

    return broken


def _mixes_trailers_in(app: App) -> App:
    """Fields behind the body count as if they had come before it."""

    async def broken(scope: Any, receive: Receive, send: Send) -> None:
        if not Request.of(scope).get("trailer"):
            await app(scope, receive, send)
            return
        data = await whole(receive)
        if data is None:
            return
        trailers = scope.get("extensions", {}).get("tusjumbo", {}).get("trailers", [])
        others = [(name, value) for name, value in trailers if name != b"upload-checksum"]
        names = {name for name, _ in others}
        kept = [(name, value) for name, value in scope["headers"] if name not in names]
        await app({**scope, "headers": [*kept, *others]}, said(data), send)

    return broken


# --- termination ----------------------------------------------------------------------------------


def _keeps_finished(app: App) -> App:
    """Only unfinished uploads can be deleted."""

    async def broken(scope: Any, receive: Receive, send: Send) -> None:
        if Request.of(scope).verb == "DELETE":
            there = await state(app, scope)
            if there.get("upload-offset") == there.get("upload-length") != "":
                await answers(always, 400)(app)(scope, receive, send)
                return
        await app(scope, receive, send)

    return broken


def busy(*methods: str, number: int = 500) -> Wrap:
    """While a PATCH is there, other requests for its upload fail."""

    def wrap(app: App) -> App:
        at_work: set[str] = set()

        async def broken(scope: Any, receive: Receive, send: Send) -> None:
            request = Request.of(scope)
            if request.verb in methods and request.path in at_work:
                await answers(always, number)(app)(scope, receive, send)
                return
            if request.verb == "PATCH":
                at_work.add(request.path)
            try:
                await app(scope, receive, send)
            finally:
                at_work.discard(request.path)

        return broken

    return wrap


BROKEN = (
    # --- expiration ---
    Broken("EXP-01", "lets expire without saying so", not_offered("expiration")),
    Broken("EXP-01", "says so and tells no date", says(always, drop("upload-expires"))),
    Broken(
        "EXP-02",
        "writes dates in another way",
        says(always, sub("upload-expires", "GMT$", "+0000")),
    ),
    Broken(
        "EXP-02",
        "lets uploads expire that are new",
        says(always, sub("upload-expires", "^.*$", _PAST)),
    ),
    Broken("EXP-03", "does not tell at creation", says(on("POST"), drop("upload-expires"))),
    Broken("EXP-04", "does not tell after bytes", says(on("PATCH"), drop("upload-expires"))),
    Broken(
        "EXP-07",
        "answers HEAD for what is expired",
        says(on("HEAD"), become(200), put("upload-offset", "0"), given=status(404, 410)),
        options=_EXPIRING,
        expiry=2,
    ),
    Broken(
        "EXP-07",
        "takes bytes for what is expired",
        says(on("PATCH"), become(204), put("upload-offset", "5"), given=status(404, 410)),
        options=_EXPIRING,
        expiry=2,
    ),
    Broken(
        "EXP-08",
        "lets finished uploads expire",
        _forgets_finished,
        options=_EXPIRING,
        expiry=2,
    ),
    # --- checksum ---
    Broken("CSUM-01", "does not say which", says(on("OPTIONS"), drop("tus-checksum-algorithm"))),
    Broken(
        "CSUM-01",
        "has no sha1",
        says(on("OPTIONS"), put("tus-checksum-algorithm", "md5,sha256")),
    ),
    Broken(
        "CSUM-02",
        "writes names in upper case",
        says(on("OPTIONS"), put("tus-checksum-algorithm", "sha1,SHA256")),
    ),
    Broken("CSUM-03", "cannot do md5", answers(having("upload-checksum", "md5 .*", "PATCH"), 400)),
    Broken("CSUM-04", "checks nothing", asks(having("upload-checksum", _SHA1), _drop_checksum)),
    Broken("CSUM-04", "keeps what it refuses", _keeps_what_it_refuses),
    Broken("CSUM-04", "answers 400", says(on("PATCH"), become(400), given=status(460))),
    Broken(
        "CSUM-05",
        "lets unknown algorithms pass",
        asks(having("upload-checksum", "unknown .*"), _drop_checksum),
    ),
    Broken(
        "CSUM-06",
        "lets pass what it cannot read",
        asks(having("upload-checksum", f"(?!{_SHA1}$)(?!unknown).*"), _drop_checksum),
    ),
    Broken(
        "CSUM-07",
        "lets SHA1 pass unchecked",
        asks(having("upload-checksum", "SHA1 .*"), _drop_checksum),
    ),
    Broken(
        "CSUM-08",
        "checks the whole upload",
        answers(
            all_of(having("upload-checksum", ".*", "PATCH"), having("upload-offset", "[1-9].*")),
            460,
        ),
    ),
    Broken("CSUM-09", "finishes with what it refuses", _keeps_what_it_refuses),
    Broken("CSUM-10", "keeps what nobody can check", asks(on("PATCH"), _drop_checksum)),
    Broken(
        "CSUM-11",
        "does not check no bytes",
        asks(all_of(on("PATCH"), lambda request: not request.size), _drop_checksum),
    ),
    Broken(
        "CSUM-12",
        "falls over a checksum",
        answers(having("upload-checksum", ".*", "PATCH"), 500),
        inside=not_offered("checksum", "checksum-trailer"),
    ),
    Broken(
        "CSUM-13",
        "checks small bodies only",
        answers(
            all_of(having("upload-checksum", ".*"), lambda request: (request.size or 0) > 10**7),
            413,
        ),
    ),
    Broken("CSUM-14", "takes unchecked bytes for progress", asks(on("PATCH"), _drop_checksum)),
    # --- checksum-trailer ---
    Broken("TRAIL-01", "says so and does not look", asks(on("PATCH"), drop("trailer"))),
    Broken("TRAIL-01", "does it without saying so", not_offered("checksum-trailer")),
    Broken("TRAIL-02", "does not look at trailers", asks(on("PATCH"), drop("trailer"))),
    Broken("TRAIL-04", "does without the trailer", asks(on("PATCH"), drop("trailer"))),
    Broken(
        "TRAIL-05", "prefers the header", asks(having("upload-checksum", ".*"), drop("trailer"))
    ),
    Broken("TRAIL-06", "takes trailers for headers", _mixes_trailers_in),
    Broken(
        "TRAIL-07",
        "refuses trailers",
        answers(having("trailer"), 400),
        inside=not_offered("checksum-trailer"),
    ),
    # --- termination ---
    Broken("TERM-01", "answers 200", says(on("DELETE"), become(200), given=status(204))),
    Broken("TERM-02", "does not delete", answers(on("DELETE"), 204)),
    Broken("TERM-03", "keeps what is finished", _keeps_finished),
    Broken("TERM-05", "falls over a PATCH that is there", busy("DELETE")),
    Broken(
        "TERM-06",
        "says that it did",
        answers(on("DELETE"), 204),
        options={"termination": False},
    ),
    Broken(
        "TERM-07",
        "has deleted what was never there",
        says(on("DELETE"), become(204), drop("content-length"), given=status(404)),
    ),
    Broken("TERM-08", "deletes what was made of the part", goes_with_its_parts),
    Broken(
        "TERM-09",
        "cannot stand Content-Length: 0",
        answers(having("content-length", ".*", "DELETE"), 400),
    ),
)
