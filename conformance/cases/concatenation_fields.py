"""CONC-06 to CONC-11, CONC-23 and CONC-25: what Upload-Concat may say, and what HEAD says of it.

A reference to a part is a URL reference (RFC 3986 4.1); the specification says no more than that
it may be absolute or relative. Nothing that is refused may leave an upload behind.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from conformance.finals import final, refused, settle
from conformance.model import Level
from conformance.registry import case
from conformance.trial import Trial, Upload
from conformance.wire import Address, Field, resolve

_SECTION = "Concatenation"
_HEADER = "Concatenation / Upload-Concat"
_NEEDS = "concatenation"
_PARTIAL: Field = ("Upload-Concat", "partial")
_LENGTH: Field = ("Upload-Length", "5")


def _path(upload: Upload) -> str:
    """The upload's URL without scheme and host."""
    return Address.of(upload.url).target


@case("CONC-06", Level.MUST, "Concatenation / HEAD", needs=_NEEDS)
def echo(trial: Trial) -> None:
    """HEAD of a final upload says Upload-Concat as it was sent."""
    for form in ("absolute", "path"):
        parts = [trial.partial(b"hello"), trial.partial(b" world")]
        refs = [part.url if form == "absolute" else _path(part) for part in parts]
        sent = "final;" + " ".join(refs)
        answer = trial.post([("Upload-Concat", sent)])
        if form == "path" and answer.status >= 300:
            trial.note(f"References without a host are answered {answer.status}.")
            continue
        upload = trial.made(answer)
        settle(upload)
        head = upload.look()
        told = head.get("upload-concat")
        trial.check(
            told is not None and _listed(trial, told) == _listed(trial, sent),
            f"created with Upload-Concat {sent!r}, HEAD says {told!r}",
            at=head,
        )
        if told is not None and _listed(trial, told) == _listed(trial, sent):
            # "MUST include the Upload-Concat header and its value as received"
            trial.check(
                told == sent,
                f"created with Upload-Concat {sent!r}, HEAD says the same in other words: {told!r}",
                level=Level.SHOULD,
                at=head,
            )


def _listed(trial: Trial, value: str) -> list[str] | None:
    """The paths of the parts; None if it is no list."""
    kind, sep, refs = value.partition(";")
    if kind != "final" or not sep:
        return None
    return [urlsplit(resolve(trial.endpoint, ref)).path for ref in refs.split()]


@case("CONC-07", Level.MUST, _SECTION, needs=_NEEDS)
def length_of_the_client(trial: Trial) -> None:
    """The length of a final upload is never what its creation says."""
    for field in (
        ("Upload-Length", "5"),
        ("Upload-Length", "4"),
        ("Upload-Length", "1000"),
        ("Upload-Defer-Length", "1"),
    ):
        part = trial.partial(b"hello")
        where = f"a final upload of 5 bytes with {field[0]}: {field[1]}"
        answer = trial.join(part, headers=[field])
        if answer.status >= 300:
            refused(trial, answer, where)
            continue
        trial.note(f"{where}: taken, {answer.status}.")
        upload = trial.made(answer)
        settle(upload)
        upload.holds(b"hello")
        state = upload.state()
        trial.check(state.deferred is None, f"{where}: afterwards {state}")


@case("CONC-08", Level.MAY, _HEADER, needs=_NEEDS)
def references(trial: Trial) -> None:
    """Parts may be named by absolute or relative URLs, and are joined if the name is taken."""
    taken, not_taken = [], []
    for form in _FORMS:
        part = trial.partial(b"hello")
        reference = _reference(trial, part, form)
        if reference is None:
            continue
        answer = trial.join(reference)
        if answer.status < 300:
            upload = trial.made(answer)
            settle(upload)
            upload.holds(b"hello", level=Level.MUST)
            taken.append(form)
            continue
        not_taken.append(form)
        where = f"{reference!r} ({form})"
        trial.check(400 <= answer.status < 500, f"{where}: answered {answer.status}", at=answer)
        if form in _NAMED:
            # "The partial uploads URLs MAY be absolute or relative"
            level = Level.CLIENT if form == _ABSOLUTE else Level.MAY
            trial.check(False, f"{where}: refused with {answer.status}", level=level, at=answer)
    for what, forms in (("Taken", taken), ("Not taken", not_taken)):
        if forms:
            trial.note(f"{what}: {', '.join(forms)}.")


_ABSOLUTE = "an absolute URL"
_NAMED = (_ABSOLUTE, "a path", "relative to the endpoint", "relative with ./")
"""What the specification allows. tus-js-client sends the first."""
_FORMS = (
    *_NAMED,
    "another host",
    "another scheme",
    "a slash at the end",
    "percent-encoded",
    "with a query",
)


def _reference(trial: Trial, part: Upload, form: str) -> str | None:
    """The part in that form; None if it has none."""
    path = _path(part)
    directory = urlsplit(trial.endpoint).path.rpartition("/")[0] + "/"
    below = path.removeprefix(directory) if path.startswith(directory) else None
    last = path[-1]
    other = {"http": "https", "https": "http"}[Address.of(part.url).scheme]
    forms = {
        _ABSOLUTE: part.url,
        "a path": path,
        "relative to the endpoint": below,
        "relative with ./": None if below is None else f"./{below}",
        "another host": f"http://alias.example{path}",
        "another scheme": f"{other}://{part.url.partition('://')[2]}",
        "a slash at the end": f"{path}/",
        "percent-encoded": f"{path[:-1]}%{ord(last):02X}" if last.isalnum() else None,
        "with a query": None if "?" in path else f"{path}?a=b",
    }
    return forms[form]


@case("CONC-09", Level.ROBUST, _HEADER, needs=_NEEDS)
def foreign_references(trial: Trial) -> None:
    """A reference to something else than an upload of this server is refused and never fetched."""
    part = trial.partial(b"hello")
    for reference in (
        "http://part.invalid/elsewhere/1",
        "//part.invalid/elsewhere/1",
        "file:///etc/passwd",
        "ftp://part.invalid/elsewhere/1",
        "data:,hello",
        "../../../../../../etc/passwd",
        "/etc/passwd",
        ".",
    ):
        refused(trial, trial.join(part, reference), f"a part {reference!r}")
    with _listening(trial) as host:
        if host:
            refused(trial, trial.join(f"http://{host}/elsewhere/1"), "a page of another server")
    with _listening(trial) as host:
        if host:
            # Which host an upload is reached by is not for the server to know: it may be joined.
            answer = trial.join(f"http://{host}{_path(part)}")
            trial.note(f"The right path with another host: {answer.status}.")


@contextmanager
def _listening(trial: Trial) -> Iterator[str]:
    """Host and port where the server can reach us, empty if nowhere; a finding if it does."""
    with trial.connect() as wire:
        here, family = wire.socket.getsockname()[0], wire.socket.family
    try:
        listener = socket.create_server((here, 0), family=family)
    except OSError as error:
        trial.note(f"Whether it fetches a part was not tried: {error}.")
        yield ""
        return
    with listener:
        port = listener.getsockname()[1]
        try:
            yield f"[{here}]:{port}" if ":" in here else f"{here}:{port}"
        finally:
            fetched = bool(select.select([listener], [], [], 0.2)[0])
            trial.check(not fetched, "the server connects to the host of a part that it is given")


@case("CONC-10", Level.ROBUST, _HEADER, needs=_NEEDS)
def malformed(trial: Trial) -> None:
    """A malformed Upload-Concat is refused with 400, and a space behind the semicolon is not."""
    first, second = trial.partial(b"hello"), trial.partial(b" world")
    a, b = first.url, second.url
    for value in (
        "final",
        "final;",
        "final; ",
        f"Final;{a} {b}",
        f"final {a} {b}",
        f"final,{a} {b}",
        f"final;{a}  {b}",
        f"final;{a},{b}",
        f"final;{a};{b}",
    ):
        refused(trial, trial.post([("Upload-Concat", value)]), f"Upload-Concat {value!r}", 400)
    for value in ("foo", "", "Partial", "partial;", "partial;x", "partial x", f"partial;{a}"):
        answer = trial.post([_LENGTH, ("Upload-Concat", value)], b"")
        refused(trial, answer, f"Upload-Concat {value!r}", 400)
    value = f"final; {a} {b}"
    answer = trial.post([("Upload-Concat", value)])
    if trial.expect(answer, 201, where=f"Upload-Concat {value!r}"):
        upload = trial.made(answer)
        settle(upload)
        upload.holds(b"hello world")


@case("CONC-11", Level.ROBUST, _SECTION, needs=_NEEDS)
def wrong_parts(trial: Trial) -> None:
    """A final upload of what is no partial upload, or is no more, is refused and not created."""
    good = trial.partial(b"hello")
    wrong: dict[str, Upload] = {"an unknown part in the list": trial.unknown()}
    if "termination" in trial.facts.extensions:
        wrong["a terminated part in the list"] = trial.partial(b"hello")
        answer = wrong["a terminated part in the list"].delete()
        trial.assume(answer.status < 300, f"DELETE was answered {answer.status}")
    for what, upload in wrong.items():
        # 400 or 404: the request is wrong, or what it names is not there.
        refused(trial, trial.join(good, upload), what)
    wrong = {
        "a usual upload in the list": trial.finished(b" world"),
        "a final upload in the list": final(trial, trial.partial(b" world")),
    }
    if "concatenation-unfinished" not in trial.facts.extensions:
        wrong["an unfinished part in the list"] = trial.create(5, [_PARTIAL])
    for what, upload in wrong.items():
        refused(trial, trial.join(good, upload), what, 400)
    answer = trial.join(good)
    trial.expect(answer, 201, where="the good part afterwards")


@case("CONC-23", Level.MUST, _HEADER, needs=_NEEDS)
def kinds(trial: Trial) -> None:
    """HEAD says `partial` of a partial upload, `final;` of a final one, and nothing of others."""
    begun, whole = trial.create(5, [_PARTIAL]), trial.partial(b"hello")
    joined = final(trial, whole)
    usual = trial.create(5)
    for what, upload in (("an unfinished", begun), ("a finished", whole)):
        head = upload.look()
        told = head.get("upload-concat")
        if head.status in (404, 410) and upload is whole:
            continue
        trial.check(
            told == "partial", f"HEAD of {what} partial upload says Upload-Concat {told!r}", at=head
        )
    head = joined.look()
    told = head.get("upload-concat") or ""
    if not (trial.options.finished_gone and head.status in (404, 410)):
        trial.check(
            told.startswith("final;") and len(told) > len("final;"),
            f"HEAD of a final upload says Upload-Concat {told!r}",
            at=head,
        )
    head = usual.head()
    told = head.get("upload-concat")
    trial.check(told is None, f"HEAD of a usual upload says Upload-Concat {told!r}", at=head)
    _in_creations(trial)


def _in_creations(trial: Trial) -> None:
    """It is called a header of creation responses too; nothing more is said of that."""
    created = trial.post([_LENGTH, _PARTIAL], b"")
    told = created.get("upload-concat")
    if told is None:
        trial.note("The answer to a creation does not repeat Upload-Concat.")
    trial.check(
        told in (None, "partial"),
        f"the answer to the creation of a partial upload says Upload-Concat {told!r}",
        level=Level.MAY,
        at=created,
    )


@case("CONC-25", Level.CLIENT, "tus-js-client 4 and 5", needs=_NEEDS)
def kind_in_every_request(trial: Trial) -> None:
    """HEAD, PATCH and DELETE of a partial upload may say Upload-Concat: partial."""
    part = trial.create(5, [_PARTIAL])
    head = part.head([_PARTIAL])
    trial.expect(head, 200, 204, where="HEAD with Upload-Concat: partial")
    answer = part.patch(0, b"hello", [_PARTIAL])
    trial.expect(answer, 204, where="PATCH with Upload-Concat: partial")
    state = part.state()
    trial.check(state.offset == "5", f"after that PATCH the part is {state}")
    if "termination" in trial.facts.extensions:
        answer = part.delete([_PARTIAL])
        trial.expect(answer, 204, where="DELETE with Upload-Concat: partial")
