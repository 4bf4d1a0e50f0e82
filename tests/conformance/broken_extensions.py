"""Servers that break the other extensions: EXP, CSUM, TRAIL, TERM, CONC, UNFIN."""

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
    both,
    drop,
    having,
    not_offered,
    on,
    put,
    said,
    says,
    says_it,
    state,
    status,
    sub,
    whole,
)

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


# --- concatenation --------------------------------------------------------------------------------

_FINAL = "final;.*"
_is_final = says_it("upload-concat", _FINAL)


_concatenates = having("upload-concat", ".*", "POST")


def _is_pending(answer: Answer) -> bool:
    return _is_final(answer) and not answer.get("upload-offset")


def _refuses_unfinished(answer: Answer) -> None:
    """A final that is not whole at once is one that was refused."""
    answer.status = 400
    answer.drop("location")


_without_unfinished = both(
    not_offered("concatenation-unfinished"),
    says(
        having("upload-concat", _FINAL, "POST"),
        _refuses_unfinished,
        given=lambda answer: answer.status == 201 and not answer.get("upload-offset"),
    ),
)
_without_concatenation = both(
    not_offered("concatenation", "concatenation-unfinished"),
    answers(_concatenates, 501),
)


def _reversed(request: Request) -> None:
    urls = request.get("upload-concat").removeprefix("final;").split()
    request.put("upload-concat", "final;" + " ".join(reversed(urls)))


def _once(request: Request) -> None:
    urls = request.get("upload-concat").removeprefix("final;").split()
    request.put("upload-concat", "final;" + " ".join(dict.fromkeys(urls)))


def goes_with_its_parts(app: App) -> App:
    """Who deletes a part deletes what was made of it."""
    made_of: dict[str, str] = {}
    gone: set[str] = set()

    async def broken(scope: Any, receive: Receive, send: Send) -> None:
        request = Request.of(scope)
        if request.verb == "DELETE":
            name = request.path.strip("/")
            gone.update(final for final, parts in made_of.items() if name and name in parts)
        if request.path.strip("/") in gone:
            await answers(always, 404)(app)(scope, receive, send)
            return
        answer = await ask(app, scope, receive)
        if answer is None:
            return
        if request.get("upload-concat").startswith("final;") and answer.get("location"):
            made_of[answer.get("location").rpartition("/")[2]] = request.get("upload-concat")
        await answer.send(send)

    return broken


def _believes(name: str) -> Wrap:
    """What a client says of a final is what HEAD says of it."""

    def wrap(app: App) -> App:
        told: dict[str, str] = {}

        async def broken(scope: Any, receive: Receive, send: Send) -> None:
            request = Request.of(scope)
            final = request.verb == "POST" and request.get("upload-concat").startswith("final;")
            value = request.get(name)
            if final:
                request.drop(name)
                scope = request.onto(scope)
            answer = await ask(app, scope, receive)
            if answer is None:
                return
            if final and value and answer.get("location"):
                told["/" + answer.get("location").rpartition("/")[2]] = value
            if request.verb == "HEAD" and request.path in told:
                answer.put(name, told[request.path])
            await answer.send(send)

        return broken

    return wrap


def _hands_metadata_on(app: App) -> App:
    """The metadata of parts are those of the final."""
    metadata: list[str] = []

    async def broken(scope: Any, receive: Receive, send: Send) -> None:
        request = Request.of(scope)
        if request.get("upload-concat") == "partial" and request.get("upload-metadata"):
            metadata.append(request.get("upload-metadata"))
        answer = await ask(app, scope, receive)
        if answer is None:
            return
        if request.verb == "HEAD" and _is_final(answer) and metadata:
            answer.put("upload-metadata", ",".join(dict.fromkeys(metadata)))
        await answer.send(send)

    return broken


def never_gives_up(app: App) -> App:
    """A final that cannot be made any more goes on waiting."""
    pending: dict[str, str] = {}

    async def broken(scope: Any, receive: Receive, send: Send) -> None:
        request = Request.of(scope)
        answer = await ask(app, scope, receive)
        if answer is None:
            return
        if request.get("upload-concat").startswith("final;") and answer.get("location"):
            name = "/" + answer.get("location").rpartition("/")[2]
            pending[name] = request.get("upload-concat")
        if request.verb == "HEAD" and request.path in pending and answer.status == 404:
            answer.status = 200
            answer.put("upload-concat", pending[request.path])
        await answer.send(send)

    return broken


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
    # --- concatenation ---
    Broken(
        "CONC-01",
        "takes a final for a normal upload",
        asks(
            having("upload-concat", ".*", "POST"), drop("upload-concat"), put("upload-length", "0")
        ),
        inside=_without_concatenation,
    ),
    Broken(
        "CONC-02",
        "does not say that it is a part",
        says(on("HEAD"), drop("upload-concat"), given=says_it("upload-concat", "partial")),
    ),
    Broken(
        "CONC-03",
        "makes an empty final",
        says(on("HEAD"), put("upload-offset", "0"), put("upload-length", "0"), given=_is_final),
    ),
    Broken(
        "CONC-04",
        "joins in another order",
        asks(having("upload-concat", _FINAL, "POST"), _reversed),
    ),
    Broken(
        "CONC-05",
        "counts wrongly",
        says(on("HEAD"), sub("upload-length", "$", "0"), given=_is_final),
    ),
    Broken(
        "CONC-06",
        "does not say of what it is made",
        says(on("HEAD"), drop("upload-concat"), given=_is_final),
    ),
    Broken(
        "CONC-06",
        "writes the addresses anew",
        says(on("HEAD"), sub("upload-concat", "http://[^/]+", ""), given=_is_final),
    ),
    Broken("CONC-07", "believes the length it is told", _believes("upload-length")),
    Broken(
        "CONC-08",
        "wants whole URLs",
        answers(having("upload-concat", "final;(?!http:).*", "POST"), 400),
    ),
    Broken(
        "CONC-09",
        "falls over other hosts",
        says(having("upload-concat", _FINAL, "POST"), become(500), given=status(400)),
    ),
    Broken(
        "CONC-10",
        "takes anything for a part",
        asks(having("upload-concat", "(?!final;).*", "POST"), put("upload-concat", "partial")),
    ),
    Broken(
        "CONC-11",
        "creates nothing and says 201",
        says(
            having("upload-concat", _FINAL, "POST"),
            become(201),
            put("location", "none"),
            given=status(400, 404),
        ),
    ),
    Broken("CONC-12", "takes a part once", asks(having("upload-concat", _FINAL, "POST"), _once)),
    Broken(
        "CONC-13",
        "has no empty parts",
        answers(all_of(having("upload-concat", "partial"), having("upload-length", "0")), 400),
    ),
    Broken(
        "CONC-14",
        "takes bytes for a final",
        says(on("PATCH"), become(204), drop("content-length"), given=status(403)),
    ),
    Broken(
        "CONC-14",
        "has a conflict with a final",
        says(on("PATCH"), become(409), given=status(403)),
    ),
    Broken(
        "CONC-15",
        "does not tell the offset of a final",
        says(on("HEAD"), drop("upload-offset"), given=_is_final),
    ),
    Broken("CONC-16", "hands metadata on", _hands_metadata_on),
    Broken("CONC-19", "joins beyond its limit", says(on("OPTIONS"), put("tus-max-size", "999"))),
    Broken(
        "CONC-20",
        "falls over many parts",
        answers(having("upload-concat", ".{5000,}", "POST"), 500),
    ),
    Broken(
        "CONC-23",
        "writes Partial",
        says(on("HEAD"), sub("upload-concat", "^partial$", "Partial")),
    ),
    Broken(
        "CONC-24",
        "does not say when parts expire",
        says(having("upload-concat", "partial", "POST"), drop("upload-expires")),
    ),
    Broken(
        "CONC-25",
        "wants Upload-Concat at creation only",
        answers(having("upload-concat", ".*", "PATCH", "HEAD", "DELETE"), 400),
    ),
    # --- concatenation-unfinished ---
    Broken(
        "UNFIN-01",
        "wants finished parts all the same",
        says(
            having("upload-concat", _FINAL, "POST"),
            _refuses_unfinished,
            given=lambda answer: answer.status == 201 and not answer.get("upload-offset"),
        ),
    ),
    Broken(
        "UNFIN-02",
        "has an offset before it is made",
        says(on("HEAD"), put("upload-offset", "0"), given=_is_pending),
    ),
    Broken(
        "UNFIN-03",
        "never makes it",
        says(on("HEAD"), drop("upload-offset"), given=_is_final),
    ),
    Broken("UNFIN-04", "has a conflict", says(on("PATCH"), become(409), given=status(403))),
    Broken("UNFIN-05", "waits for what is gone", never_gives_up),
    Broken(
        "UNFIN-06",
        "tells a length that nobody knows",
        says(
            on("HEAD"),
            put("upload-length", "10"),
            given=lambda answer: _is_pending(answer) and not answer.get("upload-length"),
        ),
    ),
    Broken(
        "UNFIN-07",
        "does it without saying so",
        says(_concatenates, become(201), put("location", "none"), given=status(400)),
        inside=_without_unfinished,
    ),
)
