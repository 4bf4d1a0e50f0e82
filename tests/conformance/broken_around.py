"""Servers that break what is around the protocol: every answer, LOCK, CORS."""

from __future__ import annotations

from typing import Any

from tests.conformance.broken import (
    Answer,
    App,
    Broken,
    Receive,
    Request,
    Send,
    all_of,
    always,
    answers,
    become,
    drop,
    having,
    on,
    put,
    says,
    status,
    sub,
)
from tests.conformance.broken_extensions import busy


def _error(answer: Answer) -> bool:
    return answer.status >= 400


def _locks_for_ever(app: App) -> App:
    """Who is cut off leaves the upload locked."""
    locked: set[str] = set()

    async def broken(scope: Any, receive: Receive, send: Send) -> None:
        path = Request.of(scope).path

        async def watched() -> Any:
            message = await receive()
            if message["type"] == "http.disconnect":
                locked.add(path)
            return message

        await (answers(always, 423)(app) if path in locked else app)(scope, watched, send)

    return broken


def _tells_what_it_hopes(app: App) -> App:
    """During a PATCH HEAD tells the offset that there will be."""
    hoped: dict[str, int] = {}

    async def broken(scope: Any, receive: Receive, send: Send) -> None:
        request = Request.of(scope)
        if request.verb == "PATCH" and request.path not in hoped:
            hoped[request.path] = (request.size or 0) - 1
        told = request.verb == "HEAD" and request.path in hoped
        edit = put("upload-offset", str(hoped.get(request.path, 0)))
        await (says(always, edit)(app) if told else app)(scope, receive, send)

    return broken


def _echoes_the_origin(app: App) -> App:
    """Each page is told its own origin, and caches are told nothing."""

    async def broken(scope: Any, receive: Receive, send: Send) -> None:
        origin = Request.of(scope).get("origin")
        echo = says(always, put(_ORIGIN, origin), drop("vary"))
        await (echo(app) if origin else app)(scope, receive, send)

    return broken


_ALLOW = "access-control-allow-headers"
_EXPOSE = "access-control-expose-headers"
_ORIGIN = "access-control-allow-origin"

BROKEN = (
    # --- every answer ---
    Broken(
        "CORE-GEN-1",
        "has errors without a version",
        says(always, drop("tus-resumable"), given=_error),
        shown_by=("HEAD-07",),
    ),
    Broken(
        "CORE-GEN-2",
        "writes an offset with a sign",
        says(on("HEAD"), sub("upload-offset", "^", "+")),
        shown_by=("HEAD-01",),
    ),
    Broken(
        "CORE-GEN-3",
        "has a Content-Length for no content",
        says(on("OPTIONS"), put("content-length", "0"), given=status(204)),
        shown_by=("CORE-07",),
    ),
    Broken(
        "CORE-GEN-4",
        "falls over what it cannot read",
        says(on("POST"), become(500), given=status(400)),
        shown_by=("META-06",),
    ),
    Broken(
        "CORE-GEN-5",
        "hides errors from pages",
        says(always, drop(_ORIGIN), given=_error),
        shown_by=("CORS-05", "CORS-08"),
    ),
    # --- locking ---
    Broken("LOCK-01", "falls over a PATCH that is there", busy("HEAD")),
    Broken("LOCK-02", "calls it a bad request", busy("PATCH", number=400)),
    Broken("LOCK-03", "tells what it hopes", _tells_what_it_hopes),
    Broken("LOCK-04", "blames who lost", says(on("PATCH"), become(400), given=status(423))),
    Broken("LOCK-05", "keeps the lock of the dead", _locks_for_ever),
    # --- CORS ---
    Broken(
        "CORS-01",
        "refuses preflights",
        answers(having("access-control-request-method", ".*", "OPTIONS"), 401),
    ),
    Broken("CORS-01", "allows no page", says(on("OPTIONS"), drop(_ORIGIN))),
    Broken(
        "CORS-02",
        "answers preflights only",
        says(
            having("access-control-request-method", ".*", "OPTIONS"),
            drop("tus-version", "tus-resumable", "tus-extension", "tus-max-size"),
        ),
    ),
    Broken(
        "CORS-03",
        "has preflights at the endpoint only",
        answers(all_of(on("OPTIONS"), lambda request: not request.at_endpoint), 405),
    ),
    Broken(
        "CORS-04",
        "allows no PATCH",
        says(on("OPTIONS"), sub("access-control-allow-methods", "PATCH, ", "")),
    ),
    Broken(
        "CORS-04",
        "allows no Upload-Offset",
        says(on("OPTIONS"), sub(_ALLOW, "(?i)upload-offset", "x-none")),
    ),
    Broken("CORS-05", "exposes no Location", says(always, sub(_EXPOSE, "(?i)location", "x-none"))),
    Broken(
        "CORS-05",
        "exposes no Upload-Expires",
        says(always, sub(_EXPOSE, "(?i)upload-expires", "x-none")),
    ),
    Broken("CORS-06", "lets pages ask again", says(on("OPTIONS"), drop("access-control-max-age"))),
    Broken(
        "CORS-07",
        "echoes the origin to caches",
        _echoes_the_origin,
    ),
    Broken(
        "CORS-08",
        "hides errors from pages",
        says(always, drop(_ORIGIN), given=_error),
    ),
    Broken(
        "CORS-09",
        "redirects preflights",
        answers(
            all_of(having("access-control-request-method"), on("OPTIONS")),
            307,
            ("location", "/elsewhere"),
        ),
    ),
)
