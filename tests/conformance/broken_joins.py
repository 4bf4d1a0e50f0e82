"""Servers that break concatenation: CONC, UNFIN."""

from __future__ import annotations

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
    says,
    says_it,
    status,
    sub,
)

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
