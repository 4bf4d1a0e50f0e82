"""Servers that break creation: CREATE, META, CWU, DEFER."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
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
    hears,
    lacking,
    not_offered,
    on,
    put,
    reads_first,
    said,
    says,
    says_it,
    status,
    sub,
    whole,
)

_TYPE = "application/offset+octet-stream"
_OFFSET_STREAM = re.escape(_TYPE)


def _at_endpoint(request: Request) -> bool:
    return request.at_endpoint


def _at_upload(request: Request) -> bool:
    return not request.at_endpoint


def _bare(request: Request) -> bool:
    """POST that says nothing about a body."""
    framing = request.get("content-length") + request.get("transfer-encoding")
    return request.verb == "POST" and not framing


def _with_body(request: Request) -> bool:
    return request.verb == "POST" and request.size != 0 and not _bare(request)


def _sizeless(request: Request) -> bool:
    said_it = request.get("upload-length") + request.get("upload-defer-length")
    return request.verb == "POST" and not said_it and not request.get("upload-concat")


def _numbered(app: App) -> App:
    """Addresses that can be guessed: 1, 2, 3."""
    known: list[str] = []

    async def broken(scope: Any, receive: Receive, send: Send) -> None:
        request = Request.of(scope)
        number = request.path.strip("/")
        if number.isdecimal() and 0 < int(number) <= len(known):
            request.path = f"/{known[int(number) - 1]}"
            scope = request.onto(scope)
        answer = await ask(app, scope, receive)
        if answer is None:
            return
        if location := answer.get("location"):
            base, _, name = location.rpartition("/")
            known.append(name)
            answer.put("location", f"{base}/{len(known)}")
        await answer.send(send)

    return broken


def _rounds(head: Request) -> None:
    """Numbers as JavaScript has them."""
    text = head.get("upload-length")
    if text.isdecimal():
        head.put("upload-length", str(int(float(text))))


# --- metadata -------------------------------------------------------------------------------------


def _metadata(edit: Callable[[str], str | None]) -> Wrap:
    """Upload-Metadata is read in another way at creation; None: as if it were not there."""

    def change(request: Request) -> None:
        for value in request.all("upload-metadata")[:1]:
            changed = edit(request.get("upload-metadata"))
            request.drop("upload-metadata")
            if changed is not None and value is not None:
                request.put("upload-metadata", changed)

    return asks(on("POST"), change)


def _good(pair: str) -> bool:
    match = re.fullmatch(r"[!-+\--~]+(?: ([A-Za-z0-9+/]*={0,2}))?", pair)
    if match is None:
        return False
    try:
        base64.b64decode(match[1] or "", validate=True)
    except ValueError:
        return False
    return True


def _drops_bad_pairs(text: str) -> str:
    return ",".join(pair for pair in text.split(",") if _good(pair.strip()))


def _last_wins(text: str) -> str:
    return ",".join({pair.partition(" ")[0]: pair for pair in text.split(",")}.values())


def _one_space(text: str) -> str:
    return ",".join(" ".join(pair.split()[:2]) for pair in text.split(","))


def _as_text(answer: Answer) -> None:
    """Values go through UTF-8 on their way."""
    pairs = [pair.partition(" ") for pair in answer.get("upload-metadata").split(",")]
    text = ",".join(
        f"{key} {base64.b64encode(_through_text(value)).decode()}" for key, _, value in pairs if key
    )
    answer.drop("upload-metadata")
    if text:
        answer.put("upload-metadata", text)


def _through_text(value: str) -> bytes:
    return base64.b64decode(value).decode("utf-8", "replace").encode()


def _unwraps(answer: Answer) -> None:
    """Decoded values in a field of their own, as they are."""
    for pair in answer.get("upload-metadata").split(","):
        value = base64.b64decode(pair.partition(" ")[2]).decode("latin-1")
        answer.fields.append(("x-value", value))


def _first_line(request: Request) -> None:
    for value in request.all("upload-metadata")[:1]:
        request.put("upload-metadata", value)


def _renames(app: App) -> App:
    """Metadata of a PATCH replaces that of the upload."""
    names: dict[str, str] = {}

    async def broken(scope: Any, receive: Receive, send: Send) -> None:
        request = Request.of(scope)
        if request.verb == "PATCH" and request.get("upload-metadata"):
            names[request.path] = request.get("upload-metadata")
        named = request.verb == "HEAD" and request.path in names
        renamed = says(always, put("upload-metadata", names.get(request.path, "")))
        await (renamed(app) if named else app)(scope, receive, send)

    return broken


# --- bodies of creations, and deferred lengths ----------------------------------------------------


def _cuts_creation(app: App) -> App:
    """What is beyond the length that a creation names is thrown away."""

    async def broken(scope: Any, receive: Receive, send: Send) -> None:
        request = Request.of(scope)
        length = request.get("upload-length")
        if _with_body(request) and request.get("content-type") == _TYPE and length.isdecimal():
            data = (await whole(receive) or b"")[: int(length)]
            request.put("content-length", str(len(data)))
            request.drop("transfer-encoding")
            scope, receive = request.onto(scope), said(data)
        await app(scope, receive, send)

    return broken


def _holds(name: str) -> Wrap:
    """The first length that a PATCH declares is kept for ever, whatever later ones say."""

    def wrap(app: App) -> App:
        declared: dict[str, str] = {}

        async def broken(scope: Any, receive: Receive, send: Send) -> None:
            request = Request.of(scope)
            if request.verb == "PATCH" and request.get(name):
                request.put(name, declared.setdefault(request.path, request.get(name)))
                scope = request.onto(scope)
            await app(scope, receive, send)

        return broken

    return wrap


def _declares_once(app: App) -> App:
    """Any second Upload-Length is refused, the same one too."""
    declared: set[str] = set()

    async def broken(scope: Any, receive: Receive, send: Send) -> None:
        request = Request.of(scope)
        again = request.verb == "PATCH" and request.path in declared
        if request.verb == "PATCH" and request.get("upload-length"):
            refused = answers(always, 400)(app) if again else app
            declared.add(request.path)
            await refused(scope, receive, send)
            return
        await app(scope, receive, send)

    return broken


def _declares_too_early(app: App) -> App:
    """A length counts as declared although the request that declares it is refused."""
    lengths: dict[str, str] = {}

    async def broken(scope: Any, receive: Receive, send: Send) -> None:
        request = Request.of(scope)
        if request.verb == "PATCH" and request.get("upload-length").isdecimal():
            lengths.setdefault(request.path, request.get("upload-length"))
        edits = (put("upload-length", lengths.get(request.path, "")), drop("upload-defer-length"))
        told = request.verb == "HEAD" and request.path in lengths
        await (says(always, *edits)(app) if told else app)(scope, receive, send)

    return broken


def _without_upload(app: App) -> App:
    """No creation-with-upload: a POST may have a body, which nobody looks at."""
    return both(not_offered("creation-with-upload"), hears(_with_body, lambda _: b""))(app)


_LARGE = "[0-9]{16,}"

BROKEN = (
    # --- POST ---
    Broken("CREATE-01", "creates without saying that it can", not_offered("creation")),
    Broken(
        "CREATE-02", "answers a creation with 200", says(on("POST"), become(200), given=status(201))
    ),
    Broken("CREATE-03", "does not say where the upload is", says(on("POST"), drop("location"))),
    Broken("CREATE-03", "says where it is not", says(on("POST"), sub("location", "$", "0"))),
    Broken(
        "CREATE-04",
        "gives addresses inside its own network",
        says(on("POST"), sub("location", "^", "http://127.0.0.1:9")),
    ),
    Broken("CREATE-05", "takes no size for 0", asks(_sizeless, put("upload-length", "0"))),
    Broken(
        "CREATE-06",
        "lets Upload-Length win",
        asks(all_of(on("POST"), having("upload-length")), drop("upload-defer-length")),
    ),
    Broken(
        "CREATE-07",
        "reads lengths as Python does",
        asks(
            having("upload-length", r"\+1|1_000|1,1|1\.5|0x10", "POST"), put("upload-length", "1")
        ),
    ),
    Broken("CREATE-08", "counts in floating point", asks(having("upload-length", _LARGE), _rounds)),
    Broken("CREATE-08", "falls over large lengths", answers(having("upload-length", _LARGE), 500)),
    Broken(
        "CREATE-09", "does not keep to its limit", says(on("OPTIONS"), put("tus-max-size", "999"))
    ),
    Broken(
        "CREATE-10", "takes no empty upload", answers(having("upload-length", "0", "POST"), 400)
    ),
    Broken("CREATE-11", "wants Content-Length: 0", answers(_bare, 411)),
    Broken(
        "CREATE-12",
        "is particular about the type of no body",
        answers(having("content-type", "application/x-www-form.*", "POST"), 415),
    ),
    Broken(
        "CREATE-13",
        "redirects to the last slash",
        answers(lambda request: request.path == "", 307, ("location", "files/")),
    ),
    Broken("CREATE-14", "counts its uploads", _numbered),
    Broken(
        "CREATE-15",
        "has a Location in a refusal",
        says(on("POST"), put("location", "files/x"), given=lambda answer: answer.status >= 400),
    ),
    Broken(
        "CREATE-16", "does not say that it begins at 0", says(on("POST"), drop("upload-offset"))
    ),
    Broken("CREATE-18", "creates below an upload", answers(all_of(on("POST"), _at_upload), 201)),
    Broken(
        "CREATE-19",
        "falls over other methods",
        answers(all_of(on("PUT", "PATCH", "DELETE"), _at_endpoint), 500),
    ),
    Broken(
        "CREATE-19",
        "does not say what is allowed",
        says(_at_endpoint, drop("allow"), given=status(405)),
    ),
    # --- metadata ---
    Broken("META-01", "keeps no metadata", says(on("HEAD"), drop("upload-metadata"))),
    Broken(
        "META-01",
        "sorts metadata anew",
        says(on("HEAD"), sub("upload-metadata", "^(.*),(.*)$", r"\2,\1")),
    ),
    Broken(
        "META-02",
        "tells that there is nothing",
        both(
            says(
                on("HEAD"), put("upload-metadata", ""), given=lambda a: not a.get("upload-metadata")
            )
        ),
    ),
    Broken("META-03", "wants a value", answers(having("upload-metadata", "[a-z]+ ?", "POST"), 400)),
    Broken("META-04", "wants a pair", answers(having("upload-metadata", "", "POST"), 400)),
    Broken("META-05", "lets the last of two keys win", _metadata(_last_wins)),
    Broken("META-06", "drops what it cannot read", _metadata(_drops_bad_pairs)),
    Broken(
        "META-07", "can stand a comma at the end only", _metadata(lambda text: text.rstrip(","))
    ),
    Broken("META-08", "takes any space", _metadata(_one_space)),
    Broken(
        "META-09",
        "cannot stand a space after a comma",
        answers(having("upload-metadata", ".*, .*", "POST"), 400),
    ),
    Broken("META-10", "sees one line only", asks(on("POST"), _first_line)),
    Broken(
        "META-11",
        "falls over other alphabets",
        answers(having("upload-metadata", r".*[^\x00-\x7f].*", "POST"), 500),
    ),
    Broken("META-12", "takes values for text", says(on("HEAD"), _as_text)),
    Broken("META-13", "puts decoded values into the answer", says(on("HEAD"), _unwraps)),
    Broken(
        "META-14", "falls over long metadata", answers(having("upload-metadata", ".{8000,}"), 500)
    ),
    Broken("META-15", "takes metadata from PATCH", _renames),
    Broken("META-16", "wants keys of letters", answers(having("upload-metadata", ".*[:;].*"), 400)),
    # --- creation with upload ---
    Broken("CWU-01", "does it without saying so", not_offered("creation-with-upload")),
    Broken(
        "CWU-01",
        "stands alone",
        says(on("OPTIONS"), put("tus-extension", "creation-with-upload")),
    ),
    Broken("CWU-02", "does not tell the offset", says(_with_body, drop("upload-offset"))),
    Broken("CWU-02", "leaves the body", hears(_with_body, lambda _: b"")),
    Broken("CWU-03", "takes all or nothing", hears(_with_body, lambda d: d if len(d) > 9 else b"")),
    Broken(
        "CWU-04",
        "wants a byte at least",
        answers(all_of(having("content-type", _OFFSET_STREAM), lambda r: not r.size), 400),
    ),
    Broken("CWU-06", "stores whatever comes", asks(_with_body, put("content-type", _TYPE))),
    Broken("CWU-07", "takes what fits of too much", _cuts_creation),
    Broken(
        "CWU-08",
        "tells of bytes that it has left",
        says(_with_body, put("upload-offset", "4")),
        inside=_without_upload,
    ),
    Broken("CWU-09", "wants the body of what it refuses", reads_first(on("POST"))),
    Broken("CWU-10", "checks nothing", asks(on("POST"), drop("upload-checksum"))),
    Broken("CWU-11", "tells no expiry", says(_with_body, drop("upload-expires"))),
    Broken(
        "CWU-12",
        "takes a body for a final",
        hears(having("upload-concat", "final;.*", "POST"), lambda _: b""),
    ),
    Broken(
        "CWU-13",
        "leaves the body of a deferred upload",
        hears(having("upload-defer-length", "1", "POST"), lambda _: b""),
    ),
    Broken(
        "CWU-14",
        "counts from anywhere",
        both(
            says(having("upload-offset", "5", "POST"), put("upload-offset", "10")),
            asks(on("POST"), drop("upload-offset")),
        ),
    ),
    Broken("CWU-14", "wants no offset", answers(having("upload-offset", "0", "POST"), 400)),
    # --- deferred length ---
    Broken("DEFER-01", "defers without saying so", not_offered("creation-defer-length")),
    Broken(
        "DEFER-02",
        "defers for any value",
        asks(having("upload-defer-length", ".+", "POST"), put("upload-defer-length", "1")),
    ),
    Broken("DEFER-03", "does not say that it waits", says(on("HEAD"), drop("upload-defer-length"))),
    Broken(
        "DEFER-04",
        "says that it waits when it does not",
        says(on("HEAD"), put("upload-defer-length", "1"), given=says_it("upload-length")),
    ),
    Broken(
        "DEFER-05",
        "wants the length with the first bytes",
        answers(lacking("upload-length", "PATCH"), 400),
    ),
    Broken(
        "DEFER-06",
        "declares with bytes only",
        answers(all_of(having("upload-length", ".*", "PATCH"), lambda r: r.size == 0), 400),
    ),
    Broken("DEFER-08", "lets another length pass", _holds("upload-length")),
    Broken("DEFER-09", "refuses the same length again", _declares_once),
    Broken("DEFER-10", "keeps the length of what it refused", _declares_too_early),
    Broken(
        "DEFER-11",
        "limits creations only",
        says(having("upload-length", ".*", "PATCH"), become(204), given=status(413)),
    ),
    Broken("DEFER-13", "keeps the length of what it refused", _declares_too_early),
    Broken(
        "DEFER-14",
        "falls over a late Upload-Defer-Length",
        answers(having("upload-defer-length", ".*", "PATCH"), 500),
    ),
    Broken(
        "DEFER-15",
        "cannot declare 0",
        answers(having("upload-length", "0", "PATCH"), 400),
    ),
)
