"""CORS-01 to CORS-10: what a page in a browser needs, or it cannot upload.

The specification does not speak of this. What a page is refused it cannot tell from a lost
connection, so its client tries for long what will never work. Only what a response really has must
be readable, and only what this server has extensions for must be allowed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from conformance.model import Level
from conformance.pages import (
    CREDENTIALS,
    EXPOSED,
    HEADERS,
    MAX_AGE,
    METHODS,
    ORIGIN,
    is_readable,
    lists,
    preflight,
    require_pages,
)
from conformance.registry import case
from conformance.trial import BYTES, VERSION, Trial, Upload
from conformance.wire import Address, Field, Response

_SECTION = "Browsers"
_OTHER_ORIGIN = "https://somewhere-else.example"
_OF_AN_UPLOAD = ("Upload-Offset", "Content-Type", "Tus-Resumable")
_ALWAYS_SENT = (
    *("Authorization", "Content-Type", "X-Requested-With", "X-Request-ID"),
    *("X-HTTP-Method-Override", "Tus-Resumable", "Upload-Length", "Upload-Offset"),
    "Upload-Metadata",
)
"""Origin, which servers list too, is a name that no browser asks for."""
_SENT_WITH = {
    "creation-defer-length": "Upload-Defer-Length",
    "concatenation": "Upload-Concat",
    "checksum": "Upload-Checksum",
}
"""What clients send to servers with an extension."""
_NEEDED = ("Location", "Upload-Offset", "Upload-Length", "Upload-Defer-Length")
"""What tus-js-client reads; without one of these it gives up."""
_USEFUL = (
    *("Tus-Resumable", "Tus-Version", "Tus-Extension", "Tus-Max-Size", "Tus-Checksum-Algorithm"),
    *("Upload-Metadata", "Upload-Concat", "Upload-Expires", "X-Request-ID"),
)
_LONG = 600
"""Seconds that a preflight should be remembered at least."""


def _from(trial: Trial, origin: str | None = None) -> Field:
    return ("Origin", origin or trial.options.origin)


@case("CORS-01", Level.CLIENT, _SECTION)
def preflight_of_a_creation(trial: Trial) -> None:
    """A preflight needs no credentials, and lets a page create uploads."""
    names = ("Tus-Resumable", "Upload-Length", "Upload-Metadata")
    answer = preflight(trial, trial.endpoint, "POST", names)
    _lets_in(trial, answer, "the preflight of POST")


def _lets_in(trial: Trial, answer: Response, where: str) -> None:
    trial.check(
        200 <= answer.status < 300,
        f"{where} was answered {answer.status}, which a browser takes for no",
        at=answer,
    )
    trial.check(
        is_readable(answer, trial.options.origin),
        f"{where} has Access-Control-Allow-Origin {answer.get(ORIGIN) or 'missing'}",
        at=answer,
    )


@case("CORS-02", Level.CLIENT, _SECTION)
def preflight_tells_the_same(trial: Trial) -> None:
    """A preflight is an OPTIONS as any other: its answer has Tus-Version too."""
    require_pages(trial)
    plain = trial.request("OPTIONS", None, [_from(trial)], tus=None)
    answer = preflight(trial, trial.endpoint, "POST")
    for name in ("Tus-Version", "Tus-Extension", "Tus-Max-Size"):
        told, wanted = answer.get(name), plain.get(name)
        trial.check(
            told == wanted,
            f"{name} is {told or 'missing'} in a preflight and {wanted or 'missing'} without",
            at=answer,
        )
    trial.check("tus-version" in answer, "there is no Tus-Version", at=answer)


@case("CORS-03", Level.CLIENT, _SECTION)
def preflight_of_an_upload(trial: Trial) -> None:
    """A preflight on an upload lets a page go on with it, even if there is no such upload."""
    require_pages(trial)
    names = list(_OF_AN_UPLOAD)
    if "concatenation" in trial.facts.extensions:
        names.append("Upload-Concat")
    methods = ["PATCH", "HEAD"]
    if "termination" in trial.facts.extensions:
        methods.append("DELETE")
    uploads = {"an upload": trial.create(10), "an unknown upload": trial.unknown()}
    for what, upload in uploads.items():
        for method in methods:
            where = f"the preflight of {method} on {what}"
            answer = preflight(trial, upload.url, method, names)
            _lets_in(trial, answer, where)
            _allows(trial, answer, method, names, where)


def _allows(trial: Trial, answer: Response, method: str, names: Iterable[str], where: str) -> None:
    # Fetch 4.8: GET, HEAD and POST need not be listed.
    trial.check(
        method in ("GET", "HEAD", "POST") or lists(answer, METHODS, method),
        f"{where} has Access-Control-Allow-Methods {answer.get(METHODS) or 'missing'}",
        at=answer,
    )
    for name in names:
        trial.check(
            lists(answer, HEADERS, name),
            f"{where} does not list {name} in Access-Control-Allow-Headers:"
            f" {answer.get(HEADERS) or 'missing'}",
            at=answer,
        )


@case("CORS-04", Level.CLIENT, _SECTION)
def what_a_page_may_send(trial: Trial) -> None:
    """A page may use every method and every request header that tus clients use."""
    require_pages(trial)
    extensions = trial.facts.extensions
    names = [*_ALWAYS_SENT, *(it for key, it in _SENT_WITH.items() if key in extensions)]
    methods = ["POST", "HEAD", "PATCH"]
    if "termination" in extensions:
        methods.append("DELETE")
    for method in methods:
        answer = preflight(trial, trial.endpoint, method, names)
        _allows(trial, answer, method, names if method == "POST" else (), f"preflight of {method}")


@case("CORS-05", Level.CLIENT, _SECTION)
def what_a_page_may_read(trial: Trial) -> None:
    """A page may read all that the server tells in header fields of tus."""
    require_pages(trial)
    for where, answer in _answers(trial):
        trial.check(
            is_readable(answer, trial.options.origin),
            f"{where} ({answer.status}) has Access-Control-Allow-Origin"
            f" {answer.get(ORIGIN) or 'missing'}",
            at=answer,
        )
        for names, level in ((_NEEDED, Level.CLIENT), (_USEFUL, Level.SHOULD)):
            hidden = [it for it in names if it in answer and not lists(answer, EXPOSED, it)]
            trial.check(
                not hidden,
                f"{where} ({answer.status}) has {', '.join(hidden)}, but does not expose it",
                level=level,
                at=answer,
            )


def _answers(trial: Trial) -> Iterator[tuple[str, Response]]:
    """Answers that together have every field that this server sends."""
    page = _from(trial)
    yield "OPTIONS", trial.request("OPTIONS", None, [page], tus=None)
    created = trial.post([("Upload-Length", "10"), ("Upload-Metadata", "name aGVsbG8="), page], b"")
    upload = trial.made(created)
    yield "POST", created
    yield "HEAD", upload.head([page])
    yield "PATCH", upload.patch(0, b"hello", [page])
    yield "HEAD", upload.head([page])
    if "creation-defer-length" in trial.facts.extensions:
        yield "HEAD of a deferred upload", trial.create(None).head([page])
    if "concatenation" in trial.facts.extensions:
        yield (
            "HEAD of a partial upload",
            trial.create(10, [("Upload-Concat", "partial")]).head([page]),
        )
    if "termination" in trial.facts.extensions:
        yield "DELETE", upload.delete([page])


# Without it a page uploads all the same, only slower: so a WARN at any strictness.
@case("CORS-06", Level.SHOULD, _SECTION)
def preflights_are_remembered(trial: Trial) -> None:
    """A browser may remember a preflight for ten minutes at least, or asks before each chunk."""
    require_pages(trial)
    for where, url in (("the endpoint", trial.endpoint), ("an upload", trial.create(10).url)):
        age = preflight(trial, url, "PATCH").get(MAX_AGE)
        trial.check(
            age is not None and age.isascii() and age.isdigit() and int(age) >= _LONG,
            f"Access-Control-Max-Age of {where} is {age or 'missing'}, better {_LONG} or more",
        )


@case("CORS-07", Level.ROBUST, _SECTION)
def origins_and_caches(trial: Trial) -> None:
    """What depends on the origin says so in Vary, and with credentials nothing is `*`."""
    require_pages(trial)
    upload = trial.finished(b"hello")
    methods = ("HEAD", "GET") if trial.facts.downloads else ("HEAD",)
    for method in methods:
        mine = upload.request(method, [_from(trial)])
        other = upload.request(method, [_from(trial, _OTHER_ORIGIN)])
        if mine.get(ORIGIN) != other.get(ORIGIN):
            for answer in (mine, other):
                varies = {it.lower() for it in answer.members("vary")}
                trial.check(
                    bool(varies & {"origin", "*"}),
                    f"Access-Control-Allow-Origin of {method} depends on Origin, but Vary is"
                    f" {answer.get('vary') or 'missing'}",
                    at=answer,
                )
        _no_wildcard(trial, mine, method, (ORIGIN, EXPOSED))
    asked = preflight(trial, trial.endpoint, "POST")
    _no_wildcard(trial, asked, "the preflight", (ORIGIN, METHODS, HEADERS))


def _no_wildcard(trial: Trial, answer: Response, where: str, names: Iterable[str]) -> None:
    # Fetch 3.3.5: with credentials, `*` is no wildcard any more.
    if answer.get(CREDENTIALS) != "true":
        return
    for name in names:
        trial.check(
            "*" not in answer.members(name),
            f"{where} allows credentials, but {name.title()} is *, which then allows nothing",
            at=answer,
        )


@case("CORS-08", Level.CLIENT, _SECTION)
def errors_can_be_read(trial: Trial) -> None:
    """A page can read errors, or it takes them for a lost connection and tries for long."""
    require_pages(trial)
    for where, answer in _errors(trial):
        if answer.status < 400:
            trial.note(f"{where} was answered {answer.status}, which is no error.")
            continue
        trial.check(
            is_readable(answer, trial.options.origin),
            f"{where}: {answer.status} with Access-Control-Allow-Origin"
            f" {answer.get(ORIGIN) or 'missing'}",
            at=answer,
        )
        hidden = [it for it in _NEEDED if it in answer and not lists(answer, EXPOSED, it)]
        trial.check(
            EXPOSED in answer and not hidden,
            f"{where}: {answer.status} with Access-Control-Expose-Headers"
            f" {answer.get(EXPOSED) or 'missing'}",
            level=Level.SHOULD,
            at=answer,
        )


def _errors(trial: Trial) -> Iterator[tuple[str, Response]]:
    """Errors of as many kinds as can be asked for."""
    page = _from(trial)
    upload = trial.create(10)
    begin: list[Field] = [BYTES, ("Upload-Offset", "0")]
    unknown = trial.unknown()
    # A success, with which CORE-GEN-5 compares the errors.
    upload.head([page])
    yield "HEAD of an unknown upload", unknown.head([page])
    yield "PATCH of an unknown upload", unknown.patch(0, b"hello", [page])
    yield "another version", upload.request("HEAD", [page], tus="0.2.2")
    yield "a wrong offset", upload.patch(7, b"hello", [page])
    yield "no offset", upload.request("PATCH", [BYTES, page], b"hello")
    yield "no type", upload.request("PATCH", [("Upload-Offset", "0"), page], b"hello")
    yield "too many bytes", upload.patch(0, b"hello world", [page])
    yield "PUT to an upload", upload.request("PUT", [*begin, page], b"hello")
    yield "POST to an upload", upload.request("POST", [*begin, page], b"hello")
    yield "a creation without a length", trial.post([page], b"")
    if trial.facts.max_size is not None:
        length = str(trial.facts.max_size + 1)
        yield "an upload that is too large", trial.post([("Upload-Length", length), page], b"")
    if trial.options.headers:
        yield "no credentials", _bare(trial, upload)


def _bare(trial: Trial, upload: Upload) -> Response:
    """HEAD from the page without the headers that the user asked for."""
    with trial.connect(upload.url) as connection:
        fields: list[Field] = [("Tus-Resumable", VERSION), _from(trial)]
        connection.request("HEAD", Address.of(upload.url).target, fields)
        return connection.read()


@case("CORS-09", Level.CLIENT, _SECTION)
def no_redirects(trial: Trial) -> None:
    """Nothing that a page asks for is redirected: after a preflight browsers do not follow."""
    upload = trial.create(10)
    page = _from(trial)
    answers = {
        "the preflight of POST": preflight(trial, trial.endpoint, "POST"),
        "POST": trial.post([("Upload-Length", "10"), page], b""),
        "the preflight of PATCH": preflight(trial, upload.url, "PATCH"),
        "HEAD": upload.head([page]),
        "PATCH": upload.patch(0, b"hello", [page]),
    }
    for where, answer in answers.items():
        trial.check(
            not 300 <= answer.status < 400,
            f"{where} is redirected to {answer.get('location')} ({answer.status})",
            at=answer,
        )


@case("CORS-10", Level.MAY, _SECTION)
def other_origins(trial: Trial) -> None:
    """A page that is not let in gets no CORS fields for it, before the upload and during it."""
    asked = preflight(trial, trial.endpoint, "POST", origin=_OTHER_ORIGIN)
    upload = trial.create(10)
    answer = upload.head([_from(trial, _OTHER_ORIGIN)])
    let_in = [is_readable(it, _OTHER_ORIGIN) for it in (asked, answer)]
    if all(let_in):
        trial.note("Pages of every origin are let in.")
        return
    trial.check(
        not any(let_in),
        f"a page of {_OTHER_ORIGIN} is {'let in' if let_in[0] else 'refused'} by the preflight,"
        f" and {'let in' if let_in[1] else 'refused'} by HEAD",
        at=answer,
    )
    trial.check(
        200 <= answer.status < 300 or answer.status == 403,
        f"HEAD for a page that is not let in was answered {answer.status}",
        at=answer,
    )
