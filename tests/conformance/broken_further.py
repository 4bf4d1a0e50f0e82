"""More servers, for rules that can be broken in several ways, or only by several requests.

The other tables break each rule once, or twice; here are the ways that somebody thought of while
writing the case.
"""

from __future__ import annotations

import time
from email.utils import formatdate
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
    ask,
    asks,
    become,
    drop,
    having,
    hears,
    lacking,
    on,
    put,
    said,
    says,
    says_it,
    status,
    sub,
    whole,
)
from tests.conformance.broken_extensions import busy
from tests.conformance.broken_joins import never_gives_up

_EXPIRING = {"expire_after": "2s"}
_SOON = formatdate(time.time() + 3600, usegmt=True)
"""Sooner than the week that uploads live here."""
_ORIGIN = "access-control-allow-origin"
_EXPOSE = "access-control-expose-headers"
_CONCAT = "upload-concat"

_version = put("tus-resumable", "1.0.0")
_preflight = having("access-control-request-method", ".*", "OPTIONS")


def _error(answer: Answer) -> bool:
    return answer.status >= 400


def _says_foo(request: Request) -> bool:
    return request.get("x-http-method-override") == "FOO"


def _by_options(request: Request) -> None:
    request.method = request.get("x-http-method-override")


def _cuts_at_nul(request: Request) -> None:
    request.path = request.path.partition("\0")[0]


def _last_line(request: Request) -> None:
    request.put("tus-resumable", request.all("tus-resumable")[-1])


def _upload_with_slash(request: Request) -> bool:
    return request.path.endswith("/") and not request.at_endpoint


def _discloses(app: App) -> App:
    """A path leads out of the directory of uploads."""

    async def broken(scope: Any, receive: Receive, send: Send) -> None:
        request = Request.of(scope)
        if "passwd" in request.path and request.method == "GET":
            await Answer([], 200, b"root:x:0:0:root:/root:/bin/bash\n").send(send)
        else:
            await app(scope, receive, send)

    return broken


def _cuts_metadata(answer: Answer) -> None:
    if text := answer.get("upload-metadata"):
        answer.put("upload-metadata", text[:9000])


def _replaces_content(answer: Answer) -> None:
    answer.body = b"Set-Cookie: a=b"


def _turns_late_bytes(app: App) -> App:
    """The second PATCH of an upload is stored backwards."""
    begun: set[str] = set()

    async def broken(scope: Any, receive: Receive, send: Send) -> None:
        request = Request.of(scope)
        if request.verb == "PATCH":
            if request.path in begun:
                receive = said(bytes(reversed(await whole(receive) or b"")))
            begun.add(request.path)
        await app(scope, receive, send)

    return broken


def _forgets_finals(app: App) -> App:
    """A final upload goes when its parts expire."""
    seen: dict[str, float] = {}

    async def broken(scope: Any, receive: Receive, send: Send) -> None:
        path = Request.of(scope).path
        answer = await ask(app, scope, receive)
        if answer is None:
            return
        if answer.get(_CONCAT).startswith("final") and answer.get("upload-offset"):
            seen.setdefault(path, time.monotonic())
        if path in seen and time.monotonic() > seen[path] + 1.5:
            answer = Answer([("tus-resumable", "1.0.0")], 410)
        await answer.send(send)

    return broken


def _empties_its_parts(app: App) -> App:
    """What was joined is there, and has no bytes any more."""
    joined: list[str] = []

    async def broken(scope: Any, receive: Receive, send: Send) -> None:
        request = Request.of(scope)
        if request.verb == "POST" and request.get(_CONCAT).startswith("final;"):
            joined.append(request.get(_CONCAT))
        name = request.path.strip("/")
        emptied = request.verb == "HEAD" and name and any(name in parts for parts in joined)
        empty = says(always, put("upload-offset", "0"), given=says_it(_CONCAT, "partial"))
        await (empty(app) if emptied else app)(scope, receive, send)

    return broken


def _joins_the_second_wrongly(app: App) -> App:
    """Of two joins of the same parts one loses a byte."""
    joined: set[str] = set()
    wrong: set[str] = set()

    async def broken(scope: Any, receive: Receive, send: Send) -> None:
        request = Request.of(scope)
        parts = request.get(_CONCAT)
        is_second = parts in joined
        if request.verb == "POST" and parts.startswith("final;"):
            joined.add(parts)
        answer = await ask(app, scope, receive)
        if answer is None:
            return
        if is_second and answer.get("location"):
            wrong.add("/" + answer.get("location").rpartition("/")[2])
        if request.verb == "GET" and request.path in wrong:
            answer.body = answer.body[:-1] + b"?"
        await answer.send(send)

    return broken


def _refuses_undeclared_trailers(app: App) -> App:
    """A trailer that was not announced spoils the request."""

    async def broken(scope: Any, receive: Receive, send: Send) -> None:
        request = Request.of(scope)
        if request.verb != "PATCH" or request.all("trailer"):
            await app(scope, receive, send)
            return
        data = await whole(receive)
        if scope["extensions"]["tusjumbo"]["trailers"]:
            await answers(always, 400)(app)(scope, receive, send)
        elif data is not None:
            await app(scope, said(data), send)

    return broken


_early = all_of(having("upload-length", "10", "PATCH"), having("upload-offset", "0"))

BROKEN = (
    # --- versions, OPTIONS, HEAD ---
    Broken("CORE-03", "tells DELETE no version", says(on("DELETE"), drop("tus-version"))),
    Broken("CORE-05", "creates without one", asks(lacking("tus-resumable", "POST"), _version)),
    Broken("CORE-05", "appends without one", asks(lacking("tus-resumable", "PATCH"), _version)),
    Broken("CORE-05", "deletes without one", asks(lacking("tus-resumable", "DELETE"), _version)),
    Broken(
        "CORE-06",
        "cannot stand a space behind a version",
        answers(having("tus-resumable", r"1\.0\.0 "), 412),
    ),
    Broken(
        "CORE-06",
        "lets the last of two versions win",
        asks(having("tus-resumable", ".*", "POST"), _last_line),
    ),
    Broken("CORE-11", "has a limit below nothing", says(on("OPTIONS"), put("tus-max-size", "-1"))),
    Broken(
        "CORE-12",
        "tells a limit that is too large",
        says(on("OPTIONS"), put("tus-max-size", str(1 << 60))),
    ),
    Broken(
        "CORE-13",
        "speaks another version to uploads",
        says(
            lambda request: request.method == "OPTIONS" and not request.at_endpoint,
            put("tus-version", "0.2.2"),
        ),
    ),
    Broken(
        "CORE-14",
        "has algorithms and no checksum",
        says(on("OPTIONS"), sub("tus-extension", "checksum", "x")),
    ),
    Broken(
        "CORE-14",
        "has checksum and no algorithms",
        says(on("OPTIONS"), drop("tus-checksum-algorithm")),
    ),
    Broken(
        "HEAD-02",
        "has nothing of what is finished",
        says(on("HEAD"), sub("upload-offset", "^10$", "0")),
    ),
    Broken("HEAD-09", "leads out of its directory", _discloses),
    Broken(
        "HEAD-09",
        "cuts names at a zero byte",
        asks(lambda request: "\0" in request.path, _cuts_at_nul),
    ),
    Broken(
        "HEAD-09",
        "finds an upload with a slash by HEAD only",
        answers(all_of(_upload_with_slash, on("PATCH")), 404),
    ),
    Broken("HEAD-13", "expires soon", says(on("HEAD"), put("upload-expires", "soon"))),
    # --- overrides ---
    Broken(
        "OVR-03", "tells half of it", says(having("x-http-method-override"), drop("upload-length"))
    ),
    Broken(
        "OVR-04",
        "refuses another method than POST",
        answers(
            all_of(having("x-http-method-override"), lambda request: request.method != "POST"), 400
        ),
    ),
    Broken("OVR-05", "takes FOO for POST", asks(_says_foo, drop("x-http-method-override"))),
    Broken(
        "OVR-05",
        "takes nothing for a method",
        answers(having("x-http-method-override", ""), 400),
    ),
    Broken(
        "OVR-06",
        "lets OPTIONS delete",
        asks(
            all_of(
                having("x-http-method-override", ".+"),
                lambda request: request.method == "OPTIONS",
            ),
            _by_options,
        ),
    ),
    # --- metadata ---
    Broken(
        "META-03",
        "loses keys without a value",
        says(on("HEAD"), sub("upload-metadata", "(^|,)k ?(?=,|$)", "")),
    ),
    Broken("META-07", "falls over an empty key", answers(having("upload-metadata", ",.*"), 500)),
    Broken(
        "META-11",
        "asks instead of telling",
        says(on("HEAD"), sub("upload-metadata", "[^\x00-\x7f]", "?")),
    ),
    Broken(
        "META-13",
        "sends a header for a file",
        says(on("GET"), _replaces_content, given=lambda answer: b"data" in answer.body),
    ),
    Broken("META-14", "cuts what is long", says(on("HEAD"), _cuts_metadata)),
    Broken(
        "META-15",
        "falls over metadata of a PATCH",
        answers(having("upload-metadata", ".*", "PATCH"), 500),
    ),
    # --- deferred length ---
    Broken(
        "DEFER-03",
        "invents a length",
        says(on("HEAD"), put("upload-length", "0"), given=says_it("upload-defer-length")),
    ),
    Broken(
        "DEFER-05",
        "is complete at once",
        says(
            on("HEAD"),
            put("upload-length", "5"),
            drop("upload-defer-length"),
            given=says_it("upload-offset", "5"),
        ),
    ),
    Broken("DEFER-07", "wants the length last", answers(_early, 400)),
    Broken("DEFER-07", "forgets an early length", asks(_early, drop("upload-length"))),
    Broken(
        "DEFER-08",
        "does not look at another length",
        asks(having("upload-length", "11|9", "PATCH"), drop("upload-length")),
    ),
    Broken(
        "DEFER-10",
        "does not look at small lengths",
        asks(having("upload-length", "3|7", "PATCH"), drop("upload-length")),
    ),
    Broken("DEFER-12", "waits for the body", hears(on("PATCH"), bytes)),
    Broken(
        "DEFER-12",
        "says yes to too much",
        says(on("PATCH"), become(204), given=status(413)),
        options={"max_size": "1MiB"},
    ),
    Broken("DEFER-13", "refuses the length that it has", answers(_early, 400)),
    Broken(
        "DEFER-16",
        "joins what it does not know",
        says(on("HEAD"), put("upload-length", "5"), given=says_it(_CONCAT, "final.*")),
    ),
    # --- expiration ---
    Broken("EXP-02", "has days of its own", says(always, sub("upload-expires", "^...", "Xxx"))),
    Broken(
        "EXP-03",
        "tells deferred ones nothing",
        says(having("upload-defer-length", "1", "POST"), drop("upload-expires")),
    ),
    Broken("EXP-03", "tells it by PATCH only", says(on("POST", "HEAD"), drop("upload-expires"))),
    Broken(
        "EXP-04",
        "does not tell in refusals",
        says(on("PATCH"), drop("upload-expires"), given=status(409)),
    ),
    Broken(
        "EXP-05",
        "tells it with the last bytes",
        says(on("PATCH"), put("upload-expires", _SOON), given=says_it("upload-offset", "10")),
    ),
    Broken(
        "EXP-05",
        "tells it of what is finished",
        says(on("HEAD"), put("upload-expires", _SOON), given=says_it("upload-offset", "10")),
    ),
    Broken("EXP-06", "takes time back", says(on("PATCH"), put("upload-expires", _SOON))),
    Broken(
        "EXP-09",
        "says that it is gone and stores",
        says(on("PATCH"), become(404), given=says_it("upload-offset", "8")),
        options=_EXPIRING,
        expiry=2,
    ),
    Broken(
        "EXP-09",
        "says that it stores and forgets",
        says(on("HEAD"), become(404), given=says_it("upload-offset", "8")),
        options=_EXPIRING,
        expiry=2,
    ),
    Broken(
        "EXP-10",
        "loses finals with their parts",
        _forgets_finals,
        options=_EXPIRING,
        expiry=2,
    ),
    # --- termination ---
    Broken(
        "TERM-02",
        "has an offset of nothing",
        says(on("HEAD"), put("upload-offset", "0"), given=status(404)),
    ),
    Broken("TERM-05", "is there again", says(on("HEAD"), become(200), given=status(404))),
    Broken("TERM-08", "waits for what is gone", never_gives_up),
    Broken(
        "TERM-09",
        "wants no body",
        answers(having("content-length", "[1-9].*", "DELETE"), 413),
    ),
    # --- trailers and concatenation ---
    Broken("TRAIL-03", "refuses trailers that come unannounced", _refuses_undeclared_trailers),
    Broken("CONC-18", "empties its parts", _empties_its_parts),
    Broken("CONC-21", "joins the second wrongly", _joins_the_second_wrongly),
    Broken(
        "CONC-22",
        "loses count",
        says(
            on("HEAD"),
            put("upload-offset", "1"),
            put("upload-length", "1"),
            given=says_it("upload-length", "268435456"),
        ),
    ),
    # --- locking ---
    Broken("LOCK-01", "has a conflict with a PATCH", busy("HEAD", number=409)),
    Broken("LOCK-03", "stores late bytes backwards", _turns_late_bytes),
    # --- CORS ---
    Broken(
        "CORS-01", "lets another page in", says(_preflight, put(_ORIGIN, "https://other.example"))
    ),
    Broken("CORS-05", "exposes nothing", says(always, drop(_EXPOSE))),
    Broken(
        "CORS-05",
        "exposes no Upload-Defer-Length",
        says(always, sub(_EXPOSE, "(?i)upload-defer-length", "x-none")),
    ),
    Broken("CORS-06", "forgets in 5 s", says(on("OPTIONS"), put("access-control-max-age", "5"))),
    Broken(
        "CORS-07",
        "lets everybody in with cookies",
        says(always, put("access-control-allow-credentials", "true"), put(_ORIGIN, "*")),
    ),
    Broken("CORS-08", "exposes nothing of errors", says(always, drop(_EXPOSE), given=_error)),
    Broken(
        "CORS-09",
        "redirects pages",
        answers(having("origin", ".*", "POST"), 308, ("location", "/elsewhere")),
    ),
    Broken(
        "CORS-10",
        "refuses by preflight only",
        says(having("origin", r"(?!https://app\.example).*", "OPTIONS"), drop(_ORIGIN)),
    ),
    Broken(
        "CORE-GEN-5",
        "exposes nothing of errors",
        says(always, drop(_EXPOSE), given=_error),
        shown_by=("CORS-05", "CORS-08"),
    ),
)
