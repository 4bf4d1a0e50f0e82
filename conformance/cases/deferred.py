"""DEFER-01 to DEFER-16: uploads whose length is told later.

The length comes with a PATCH, at the latest with the last one, which may be empty. Cases keep
uploads unfinished until the end, so that what they look at is still there on a server that takes
finished uploads away.
"""

from __future__ import annotations

import base64
import hashlib

from conformance.model import Level, State
from conformance.registry import case
from conformance.trial import BYTES, Trial, Upload
from conformance.wire import Address, Field, NoResponse, Response

_SECTION = "Creation / Upload-Defer-Length"
_POST = "Creation / POST"
_EXTENSION = "creation-defer-length"
_SMALL = 4 << 20
"""A Tus-Max-Size up to this can be exceeded with real bytes."""


def _length(length: int) -> list[Field]:
    return [("Upload-Length", str(length))]


def _begun(trial: Trial) -> Upload:
    """An upload of unknown length with 5 bytes."""
    upload = trial.create(None)
    answer = upload.patch(0, b"hello")
    trial.assume(
        answer.status < 300, f"PATCH of an upload of unknown length: answered {answer.status}"
    )
    return upload


def _declared(trial: Trial) -> Upload:
    """An upload with 5 bytes whose length was told to be 10."""
    upload = trial.create(None)
    answer = upload.patch(0, b"hello", _length(10))
    state = upload.state()
    trial.assume(
        answer.status < 300 and state.length == "10",
        f"PATCH with Upload-Length 10 was answered {answer.status}, then {state}",
    )
    return upload


def _state(upload: Upload) -> State:
    state = upload.state()
    upload.trial.assume(state.status < 300, f"the upload cannot be looked at: {state}")
    return state


def _patched(trial: Trial, answer: Response, offset: int, where: str, **how: Level) -> bool:
    """Check that a PATCH was carried out."""
    told = answer.get("upload-offset")
    return trial.expect(answer, 204, where=where, **how) and trial.check(
        told == str(offset), f"{where}: Upload-Offset {told!r}, expected {offset}", at=answer, **how
    )


@case("DEFER-01", Level.MUST, _POST)
def deferring_is_advertised(trial: Trial) -> None:
    """A length may be deferred if, and only if, creation-defer-length is advertised."""
    answer = trial.post([("Upload-Defer-Length", "1")])
    where = "POST with Upload-Defer-Length: 1"
    if _EXTENSION in trial.facts.extensions:
        trial.expect(answer, 201, where=f"{_EXTENSION} is advertised, {where}")
        return
    trial.check(
        400 <= answer.status < 500 or answer.status == 501,
        f"{_EXTENSION} is not advertised, {where}: answered {answer.status}, expected 4xx or 501",
        at=answer,
    )


@case("DEFER-02", Level.SHOULD, _SECTION, needs=_EXTENSION)
def one_is_the_only_value(trial: Trial) -> None:
    """A creation with an Upload-Defer-Length that is not 1 is refused with 400."""
    for value in ("0", "2", "true", "01", "-1", ""):
        answer = trial.post([("Upload-Defer-Length", value)])
        trial.expect_refusal(answer, 400, where=f"Upload-Defer-Length {value!r}")


@case("DEFER-03", Level.MUST, _POST, needs=_EXTENSION)
def unknown_length_is_told(trial: Trial) -> None:
    """While the length is unknown, HEAD has Upload-Defer-Length: 1 and no Upload-Length."""
    answer = trial.post([("Upload-Defer-Length", "1")])
    trial.expect(answer, 201, where="POST with Upload-Defer-Length: 1")
    state = _state(trial.made(answer))
    trial.check(state.deferred == "1", f"{state}: expected Upload-Defer-Length 1")
    trial.check(state.length is None, f"{state}: expected no Upload-Length")
    trial.check(state.offset == "0", f"{state}: expected Upload-Offset 0")


@case("DEFER-04", Level.MUST, _SECTION, needs=_EXTENSION)
def known_length_is_told(trial: Trial) -> None:
    """As soon as the length is known, HEAD has Upload-Length and no Upload-Defer-Length."""
    upload = trial.create(None)
    answer = upload.patch(0, b"hello", _length(10))
    trial.assume(answer.status < 300, f"PATCH with Upload-Length 10 was answered {answer.status}")
    for where, subject in (
        ("created with Upload-Length 10", trial.create(10)),
        ("after a PATCH with Upload-Length 10", upload),
    ):
        state = _state(subject)
        trial.check(state.length == "10", f"{where}: {state}; expected Upload-Length 10")
        trial.check(state.deferred is None, f"{where}: {state}; expected no Upload-Defer-Length")


@case("DEFER-05", Level.MUST, _POST, needs=_EXTENSION)
def bytes_before_the_length(trial: Trial) -> None:
    """Bytes are taken before the length is known, and the last PATCH may tell it."""
    upload = trial.create(None)
    _patched(trial, upload.patch(0, b"hello"), 5, "PATCH without a length")
    state = _state(upload)
    trial.check(
        (state.offset, state.length, state.deferred) == ("5", None, "1"),
        f"after 5 bytes without a length: {state}; expected offset 5, length deferred",
    )
    answer = upload.patch(5, b"world", _length(10))
    _patched(trial, answer, 10, "the last PATCH, with Upload-Length 10")
    upload.holds(b"helloworld")


@case("DEFER-06", Level.CLIENT, "tus-py-client", needs=_EXTENSION)
def an_empty_patch_tells_the_length(trial: Trial) -> None:
    """An empty PATCH at the end may tell that this was the whole upload."""
    # tus-py-client does this when the size is a multiple of the chunk size.
    upload = _begun(trial)
    answer = upload.patch(5, b"", _length(5))
    _patched(trial, answer, 5, "empty PATCH at offset 5 with Upload-Length 5")
    upload.holds(b"hello")


@case("DEFER-07", Level.MAY, _POST, needs=_EXTENSION)
def the_length_may_come_early(trial: Trial) -> None:
    """A PATCH that is not the last may tell the length, and the upload goes on."""
    upload = trial.create(None)
    answer = upload.patch(0, b"hello", _length(10))
    # tus: the client must set Upload-Length "in the next `PATCH` request, once the length is
    # known", so a client that knows it early has no other choice.
    where = "PATCH of 5 bytes with Upload-Length 10"
    if not _patched(trial, answer, 5, where, level=Level.SHOULD):
        return
    length = _state(upload).length
    trial.check(
        length == "10", f"{where}: HEAD has Upload-Length {length!r} then", level=Level.MUST
    )
    answer = upload.patch(5, b"world")
    _patched(trial, answer, 10, "the PATCH after that", level=Level.MUST)
    upload.holds(b"helloworld", level=Level.MUST)


@case("DEFER-08", Level.MUST, _POST, needs=_EXTENSION)
def the_length_is_told_once(trial: Trial) -> None:
    """A length that was told is never changed: a PATCH with another one is refused with 400."""
    for other in (11, 9):
        upload = _declared(trial)
        where = f"Upload-Length 10 was told, then a PATCH with Upload-Length {other}"
        answer = upload.patch(5, b"wo", _length(other))
        # To ignore it breaks no rule, and leaves the client in error.
        refused = trial.expect_refusal(answer, 400, where=where, level=Level.ROBUST)
        state = _state(upload)
        trial.check(state.length == "10", f"{where}: then {state}, expected length 10")
        trial.check(
            not refused or state.offset == "5",
            f"{where} was refused, and changed the upload: {state}, expected offset 5",
        )


@case("DEFER-09", Level.CLIENT, "tus-js-client 4", needs=_EXTENSION)
def the_same_length_again(trial: Trial) -> None:
    """A PATCH that repeats the length that was told is carried out."""
    # tus-js-client repeats it when it retries the last PATCH (AMB-04).
    upload = _declared(trial)
    answer = upload.patch(5, b"world", _length(10))
    _patched(trial, answer, 10, "PATCH with Upload-Length 10, as told before")
    upload.holds(b"helloworld")


@case("DEFER-10", Level.ROBUST, _POST, needs=_EXTENSION)
def the_length_is_not_too_small(trial: Trial) -> None:
    """A length smaller than what is there, or what the PATCH brings, is refused with 400 or 413."""
    for length, body in ((3, b""), (3, b"world"), (7, b"world")):
        upload = _begun(trial)
        where = f"PATCH of {len(body)} bytes at offset 5 with Upload-Length {length}"
        with upload.unchanged(where):
            trial.expect_refusal(upload.patch(5, body, _length(length)), 400, 413, where=where)


@case("DEFER-11", Level.ROBUST, _POST, needs=_EXTENSION)
def the_length_is_not_too_large(trial: Trial) -> None:
    """A length above Tus-Max-Size is refused with 413."""
    limit = _limit(trial)
    upload = trial.create(None)
    where = f"PATCH with Upload-Length {limit + 1}, Tus-Max-Size is {limit}"
    with upload.unchanged(where):
        trial.expect_refusal(upload.patch(0, b"hello", _length(limit + 1)), 413, where=where)


@case("DEFER-12", Level.ROBUST, _POST, needs=_EXTENSION)
def the_limit_without_a_length(trial: Trial) -> None:
    """An upload of unknown length that would grow past Tus-Max-Size is stopped with 413."""
    limit = _limit(trial)
    upload = trial.create(None)
    where = f"PATCH of {limit + 1} bytes, Tus-Max-Size is {limit}"
    fields = trial.fields(
        [BYTES, ("Upload-Offset", "0"), ("Content-Length", str(limit + 1))],
    )
    with trial.connect(upload.url) as connection:
        connection.request("PATCH", Address.of(upload.url).target, fields, first=b"hello")
        if trial.check(
            connection.answered(3.0), f"{where}: not refused when it was announced, 5 bytes sent"
        ):
            trial.expect_refusal(connection.read(), 413, where=where)
            state = upload.state()
            trial.check(state.offset == "0", f"{where} was announced: then {state}, expected 0")
    if limit > _SMALL:
        trial.note(f"Not sent in full: {limit} bytes are too many.")
        return
    upload = trial.create(None)
    try:
        answer = upload.patch(0, bytes(limit + 1), chunked=True)
    except NoResponse as error:
        # It answers in the middle of the body, and may close with bytes unread: RST loses it.
        trial.note(f"The answer to a chunked PATCH of {limit + 1} bytes was not seen: {error}.")
    else:
        trial.expect_refusal(answer, 413, where=f"{where}, chunked")
    state = _state(upload)
    trial.check(
        int(state.offset or 0) <= limit and state.length is None,
        f"{where}, chunked: then {state}; expected at most {limit} bytes, and no length",
    )


def _limit(trial: Trial) -> int:
    limit = trial.facts.max_size
    if limit is None:
        trial.skip("there is no Tus-Max-Size")
    return limit


@case("DEFER-13", Level.ROBUST, _POST, needs=_EXTENSION)
def a_failed_patch_tells_no_length(trial: Trial) -> None:
    """A PATCH with Upload-Length is weighed whole: no length is kept of one that is refused."""
    upload = trial.create(10)
    answer = upload.patch(0, b"hello", _length(10))
    _patched(trial, answer, 5, "PATCH that repeats the Upload-Length of the creation")
    upload = trial.create(10)
    where = "created with Upload-Length 10, PATCH with Upload-Length 11"
    trial.expect_refusal(upload.patch(0, b"hello", _length(11)), 400, where=where)
    length = _state(upload).length
    trial.check(length == "10", f"{where}: length {length} then", level=Level.MUST)
    wrong = base64.b64encode(hashlib.sha1(b"else", usedforsecurity=False).digest()).decode()
    refusals: list[tuple[str, list[Field]]] = [
        ("at another offset", [BYTES, ("Upload-Offset", "7")]),
        ("of another type", [("Content-Type", "text/plain"), ("Upload-Offset", "0")]),
    ]
    if "checksum" in trial.facts.extensions:
        checked: Field = ("Upload-Checksum", f"sha1 {wrong}")
        refusals.append(("with a wrong checksum", [BYTES, ("Upload-Offset", "0"), checked]))
    for fault, fields in refusals:
        upload = trial.create(None)
        where = f"PATCH {fault}, with Upload-Length 10,"
        with upload.unchanged(where):
            answer = upload.request("PATCH", [*fields, *_length(10)], b"hello")
        trial.assume(answer.status >= 400, f"{where} was answered {answer.status}")


@case("DEFER-14", Level.ROBUST, _SECTION, needs=_EXTENSION)
def a_length_is_not_taken_back(trial: Trial) -> None:
    """Upload-Defer-Length on a PATCH is ignored or refused with 400; no length becomes unknown."""
    for where, upload, offset in (
        ("created with Upload-Length 10", trial.create(10), 0),
        ("a length of 10 was told", _declared(trial), 5),
    ):
        sent = f"{where}, PATCH with Upload-Defer-Length: 1"
        answer = upload.patch(offset, b"wor", [("Upload-Defer-Length", "1")])
        if answer.status != 204:
            trial.expect_refusal(answer, 400, where=sent)
        state = _state(upload)
        trial.check(
            state.length == "10" and state.deferred is None,
            f"{sent}: then {state}; expected length 10, not deferred",
        )


@case("DEFER-15", Level.MUST, _POST, needs=_EXTENSION)
def the_length_may_be_zero(trial: Trial) -> None:
    """An empty PATCH with Upload-Length: 0 completes an empty upload."""
    upload = trial.create(None)
    answer = upload.patch(0, b"", _length(0))
    _patched(trial, answer, 0, "empty PATCH with Upload-Length 0")
    state = upload.state()
    trial.assume(not state.is_refused, f"the upload cannot be looked at: {state}")
    gone = trial.options.finished_gone and state.status in (404, 410)
    trial.check(
        gone or (state.offset, state.length, state.deferred) == ("0", "0", None),
        f"then {state}; expected a finished upload of 0 bytes",
    )


# The row has no level: of a server that joins bytes of which nobody knows how many will come, the
# specification says nothing, and no client does it.
@case("DEFER-16", Level.ROBUST, "Concatenation", needs=_EXTENSION)
def an_unknown_part_is_not_joined(trial: Trial) -> None:
    """A partial upload of unknown length is not joined: the final is refused, or waits for it."""
    extensions = trial.facts.extensions
    if "concatenation" not in extensions:
        trial.skip("concatenation is not advertised")
    answer = trial.post([("Upload-Defer-Length", "1"), ("Upload-Concat", "partial")])
    if answer.status >= 300:
        trial.skip(f"partial uploads of unknown length are refused with {answer.status}")
    part = trial.made(answer)
    patched = part.patch(0, b"hello")
    trial.assume(patched.status < 300, f"PATCH of the partial was answered {patched.status}")
    answer = trial.join(part)
    where = "final upload of a partial whose length is not known"
    if answer.status >= 300 or "concatenation-unfinished" not in extensions:
        trial.expect_refusal(answer, 400, where=where)
        return
    state = trial.made(answer).state()
    trial.check(
        state.length is None and state.offset in (None, "0"),
        f"{where}: created, then {state}; expected no length, as it is not known",
    )
