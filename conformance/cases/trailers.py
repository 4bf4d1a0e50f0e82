"""TRAIL-01 to TRAIL-07: what follows the last chunk of a body.

A checksum that is sent there counts like one in a header, if the server says `checksum-trailer`.
Nothing else that is sent there counts at all: a trailer comes when everything that header fields
decide has been decided. Trailers may come in the same segment as the request or after it, and
servers are known to treat the two differently, so most cases try both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from conformance.digests import checksum, digests, encoded
from conformance.model import Level
from conformance.registry import case
from conformance.trial import BYTES, Trial, Upload
from conformance.wire import Address, Connection, Field, Response, chunk, last_chunk

_SECTION = "Checksum"
_DATA = b"hello world"
_RIGHT = checksum(_DATA)
_WRONG = checksum(b"Hello world")
_DECLARED: Field = ("Trailer", "Upload-Checksum")
_LATER = 0.05
"""Seconds between the body and the trailers, when they come apart."""

Patch = Callable[[Upload, Sequence[Field], Sequence[Field]], Response]
"""PATCH `_DATA` in chunks, with these header fields and these trailers."""


def _together(upload: Upload, headers: Sequence[Field], trailers: Sequence[Field]) -> Response:
    with upload.trial.connect(upload.url) as wire:
        _begin(upload, wire, headers, chunk(_DATA) + last_chunk(trailers))
        return wire.read()


def _apart(upload: Upload, headers: Sequence[Field], trailers: Sequence[Field]) -> Response:
    with upload.trial.connect(upload.url) as wire:
        _begin(upload, wire, headers, chunk(_DATA))
        wire.pause(_LATER)
        wire.end_chunks(trailers)
        return wire.read()


def _begin(upload: Upload, wire: Connection, headers: Sequence[Field], first: bytes) -> None:
    fields = [BYTES, ("Upload-Offset", "0"), ("Transfer-Encoding", "chunked"), *headers]
    target = Address.of(upload.url).target
    wire.request("PATCH", target, upload.trial.fields(fields), first=first)


_WAYS: dict[str, Patch] = {"all in one segment": _together, "the trailers later": _apart}


def _chunks_are_taken(trial: Trial) -> None:
    """Chunked bodies as such are the business of PATCH-13."""
    answer = _together(trial.create(len(_DATA)), (), ())
    trial.assume(
        200 <= answer.status < 300,
        f"a body in chunks without trailers was answered {answer.status}",
    )


@case("TRAIL-01", Level.MUST, _SECTION, needs="checksum")
def advertised(trial: Trial) -> None:
    """A server says checksum-trailer if it verifies checksums in trailers, and only then."""
    _chunks_are_taken(trial)
    found = []
    for way, patch in _WAYS.items():
        upload = trial.create(len(_DATA))
        answer = patch(upload, [_DECLARED], [_WRONG])
        if answer.status >= 400 and upload.offset() == 0:
            found.append(way)
        elif "checksum-trailer" in trial.facts.extensions:
            trial.check(
                False,
                f"checksum-trailer is advertised, but a wrong checksum in a trailer was answered"
                f" {answer.status}, {way}",
                at=answer,
            )
    if "checksum-trailer" in trial.facts.extensions:
        return
    # Who takes what comes in the first segment for a header cannot handle trailers: TRAIL-06.
    trial.check(
        len(found) < len(_WAYS),
        "checksum-trailer is not advertised, but a wrong checksum in a trailer was found out",
    )
    if len(found) == 1:
        trial.note(f"A wrong checksum in a trailer is found out, {found[0]}.")


@case("TRAIL-02", Level.MUST, _SECTION, needs="checksum-trailer")
def checksum_in_a_trailer(trial: Trial) -> None:
    """A checksum in a declared trailer is verified like one in a header."""
    unknown: Field = ("Upload-Checksum", f"unknown {encoded(b'12345678901234567890')}")
    malformed: Field = ("Upload-Checksum", "sha1 !!!!")
    for way, patch in _WAYS.items():
        for what, trailer, status in (
            ("a wrong checksum", _WRONG, 460),
            ("an unknown algorithm", unknown, 400),
            ("a malformed checksum", malformed, 400),
        ):
            upload = trial.create(len(_DATA))
            where = f"{what} in a trailer, {way}"
            with upload.unchanged(where):
                # As with a header, "the Server MAY respond with" these statuses.
                answer = patch(upload, [_DECLARED], [trailer])
                trial.expect_refusal(answer, status, where=where, level=Level.SHOULD)
            answer = patch(upload, [_DECLARED], [_RIGHT])
            trial.expect(answer, 204, where=f"the right checksum, after {where}")
            upload.holds(_DATA)
    for name in trial.facts.algorithms:
        _understood(trial, name)


def _understood(trial: Trial, name: str) -> None:
    """Each algorithm is known in trailers as well."""
    upload = trial.create(len(_DATA))
    values = [f"{name} {encoded(digest)}" for digest in digests(name, _DATA).values()]
    statuses = []
    for value in values:
        answer = _together(upload, [_DECLARED], [("Upload-Checksum", value)])
        if 200 <= answer.status < 300:
            return
        statuses.append(str(answer.status))
    trial.check(
        not values,
        f"the right {name} checksum in a trailer was answered {', '.join(statuses)}, expected 204",
    )


@case("TRAIL-03", Level.ROBUST, _SECTION, needs="checksum-trailer")
def not_declared(trial: Trial) -> None:
    """A checksum in a trailer that no Trailer field announced is verified or ignored."""
    for way, patch in _WAYS.items():
        upload = trial.create(len(_DATA))
        before = upload.state()
        answer = patch(upload, (), [_WRONG])
        if 200 <= answer.status < 300:
            trial.note(f"An undeclared trailer is ignored ({way}).")
            upload.holds(_DATA)
        else:
            trial.note(f"An undeclared trailer is read: answered {answer.status} ({way}).")
            trial.expect_refusal(answer, 460, 400, where=f"a wrong undeclared checksum, {way}")
            after = upload.state()
            trial.check(
                before == after, f"refused, yet the upload changed from {before} to {after}"
            )
        upload = trial.create(len(_DATA))
        answer = patch(upload, (), [_RIGHT])
        trial.expect(answer, 204, where=f"the right checksum in an undeclared trailer, {way}")


@case("TRAIL-04", Level.ROBUST, _SECTION, needs="checksum-trailer")
def promised_and_missing(trial: Trial) -> None:
    """A body whose promised checksum does not come is not kept, and refused if it is complete."""
    for way, patch in _WAYS.items():
        upload = trial.create(len(_DATA))
        where = f"a PATCH without the checksum that its Trailer field promised ({way})"
        with upload.unchanged(where):
            trial.expect_refusal(patch(upload, [_DECLARED], ()), 400, where=where)
    for how, leave in (("FIN", Connection.close), ("RST", Connection.reset)):
        upload = trial.create(len(_DATA))
        with trial.connect(upload.url) as wire:
            _begin(upload, wire, [_DECLARED], chunk(_DATA))
            wire.pause(0.3)
            leave(wire)
        trial.poll(_free(upload))
        offset = upload.offset()
        trial.check(
            offset == 0,
            f"after {how} behind a body whose checksum was to follow the offset is {offset},"
            " expected 0",
        )
        if offset == 0:
            answer = _together(upload, [_DECLARED], [_RIGHT])
            trial.expect(answer, 204, where=f"the same bytes again after {how}")


def _free(upload: Upload) -> Callable[[], bool]:
    """Whether the server has let go of the upload: until then HEAD may be answered 423."""
    return lambda: upload.state().status < 300


@case("TRAIL-05", Level.ROBUST, _SECTION, needs="checksum-trailer")
def header_and_trailer(trial: Trial) -> None:
    """A PATCH with a checksum both in a header and in a trailer is refused with 400."""
    for way, patch in _WAYS.items():
        for what, trailer in (("the same", _RIGHT), ("a wrong one", _WRONG)):
            upload = trial.create(len(_DATA))
            where = f"the right checksum in a header and {what} in a trailer, {way}"
            with upload.unchanged(where):
                answer = patch(upload, [_DECLARED, _RIGHT], [trailer])
                trial.expect_refusal(answer, 400, where=where)


_HOSTILE: tuple[Field, ...] = (
    ("Upload-Offset", "5"),
    ("Upload-Length", "5"),
    ("Upload-Defer-Length", "1"),
    ("Upload-Metadata", "stolen eWVz"),
    ("Upload-Concat", "partial"),
    ("Tus-Resumable", "9.9.9"),
    ("X-HTTP-Method-Override", "DELETE"),
    ("Authorization", "Bearer nobody"),
    ("Content-Type", "text/plain"),
)


@case("TRAIL-06", Level.ROBUST, "HTTP semantics")
def other_trailers(trial: Trial) -> None:
    """No other field has an effect when it comes as a trailer, declared or not."""
    _chunks_are_taken(trial)
    for way, patch in _WAYS.items():
        for hostile in _HOSTILE:
            declared: Field = ("Trailer", str(hostile[0]))
            _without_effect(trial, patch, (), hostile, f"an undeclared trailer {hostile[0]}, {way}")
            _without_effect(
                trial, patch, [declared], hostile, f"a declared trailer {hostile[0]}, {way}"
            )
    if "creation-defer-length" in trial.facts.extensions:
        upload = trial.create(None)
        answer = _together(upload, [("Trailer", "Upload-Length")], [("Upload-Length", "100")])
        state = upload.state()
        trial.check(
            answer.status >= 300 or (state.length is None and state.deferred == "1"),
            f"Upload-Length as a trailer declared the length of a deferred upload: {state}",
        )
    metadata: Field = ("Upload-Metadata", "stolen eWVz")
    answer = trial.request(
        "POST", None, [("Upload-Length", "5")], b"", chunked=True, trailers=[metadata]
    )
    if 200 <= answer.status < 300:
        told = trial.made(answer).head().get("upload-metadata")
        trial.check(
            not told, f"Upload-Metadata as a trailer of a creation is in the upload: {told!r}"
        )


def _without_effect(
    trial: Trial, patch: Patch, headers: Sequence[Field], hostile: Field, where: str
) -> None:
    upload = trial.create(len(_DATA))
    before = upload.head()
    if not trial.expect(patch(upload, headers, [hostile]), 204, where=where):
        return
    head = upload.head()
    trial.check(
        head.get("upload-offset") == str(len(_DATA))
        and head.get("upload-length") == str(len(_DATA))
        and all(
            head.get(name) == before.get(name) for name in ("upload-metadata", "upload-concat")
        ),
        f"{where}: then HEAD was answered {head.status} with Upload-Offset"
        f" {head.get('upload-offset')}, Upload-Length {head.get('upload-length')}, expected"
        f" {len(_DATA)} for both",
        at=head,
    )


@case("TRAIL-07", Level.ROBUST, _SECTION, without="checksum-trailer")
def not_supported(trial: Trial) -> None:
    """A server without checksum-trailer takes a body with such a trailer, and ignores it."""
    _chunks_are_taken(trial)
    for way, patch in _WAYS.items():
        upload = trial.create(len(_DATA))
        answer = patch(upload, [_DECLARED], [_RIGHT])
        trial.expect(answer, 204, where=f"the right checksum in a trailer, {way}")
        upload.holds(_DATA)
