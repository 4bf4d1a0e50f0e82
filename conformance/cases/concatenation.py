"""CONC-01 to CONC-05, CONC-12 to CONC-22 and CONC-24: what becomes of the parts and the whole.

What Upload-Concat may say and does say is in `concatenation_fields`. That completion is not
processed for a partial upload (CONC-17) cannot be seen; see `conformance.untested`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack

from conformance.finals import final, pending, refused, settle
from conformance.model import Level, State
from conformance.registry import case
from conformance.trial import BYTES, Trial, Upload
from conformance.wire import Address, Field, NoResponse, Response

_SECTION = "Concatenation"
_NEEDS = "concatenation"
_PARTIAL: Field = ("Upload-Concat", "partial")
_MANY = 100
_PIECE, _TIMES = 8 << 20, 32
"""Bytes of one part, and how often it is joined: 256 MiB for 8 that are sent."""
_SMALL_LIMIT = 4 << 20


@case("CONC-01", Level.MUST, _SECTION)
def advertised(trial: Trial) -> None:
    """A server says concatenation if it joins partial uploads, and only then."""
    if _NEEDS in trial.facts.extensions:
        answer = trial.post([("Upload-Length", "5"), _PARTIAL], b"")
        trial.expect(answer, 201, where="a partial upload")
        part = trial.partial(b"hello")
        trial.expect(trial.join(part), 201, where="a final upload of one part")
        return
    answer = trial.post([("Upload-Length", "5"), _PARTIAL], b"")
    if answer.status < 300:
        told = trial.made(answer).head().get("upload-concat")
        trial.check(
            told is None, f"concatenation is not advertised, but HEAD says Upload-Concat {told!r}"
        )
        trial.check(
            False, "Upload-Concat: partial is ignored: an upload was created", level=Level.MAY
        )
    answer = trial.join(trial.finished(b"hello"))
    trial.check(
        answer.status == 501 or 400 <= answer.status < 500,
        f"a final upload was answered {answer.status} although concatenation is not advertised",
        at=answer,
    )


@case("CONC-02", Level.MUST, _SECTION, needs=_NEEDS)
def partial_upload(trial: Trial) -> None:
    """A partial upload is created and asked for like any other, and HEAD says what it is."""
    answer = trial.post([("Upload-Length", "5"), _PARTIAL], b"")
    trial.expect(answer, 201)
    head = trial.made(answer).head()
    for name, value in (
        ("upload-concat", "partial"),
        ("upload-offset", "0"),
        ("upload-length", "5"),
    ):
        told = head.get(name)
        trial.check(told == value, f"HEAD says {name} {told!r}, expected {value!r}", at=head)


@case("CONC-03", Level.MUST, _SECTION, needs=_NEEDS)
def final_upload(trial: Trial) -> None:
    """A final upload of finished parts is created with 201 and Location, and then finished."""
    answer = trial.join(trial.partial(b"hello"), trial.partial(b" world"))
    trial.expect(answer, 201)
    trial.require("location" in answer, f"answered {answer.status} without Location", at=answer)
    upload = trial.made(answer)
    settle(upload)
    upload.holds(b"hello world")


@case("CONC-04", Level.MUST, _SECTION, needs=_NEEDS)
def order(trial: Trial) -> None:
    """The parts are joined in the order of the list, whichever was uploaded first."""
    hello, world = trial.partial(b"hello"), trial.partial(b" world")
    final(trial, hello, world).holds(b"hello world")
    # Others, since "The Server MAY delete partial uploads after concatenation."
    hello, world = trial.partial(b"hello"), trial.partial(b" world")
    final(trial, world, hello).holds(b" worldhello")


@case("CONC-05", Level.MUST, _SECTION, needs=_NEEDS)
def length(trial: Trial) -> None:
    """The length of a final upload is the sum of the lengths of its parts."""
    parts = [trial.partial(b"x" * size) for size in (1, 20, 300)]
    told = final(trial, *parts).look().get("upload-length")
    trial.check(told == "321", f"parts of 1, 20 and 300 bytes have Upload-Length {told}, not 321")


@case("CONC-12", Level.MAY, _SECTION, needs=_NEEDS)
def parts_again(trial: Trial) -> None:
    """The same part may be joined twice, into one final upload or into two."""
    part = trial.partial(b"hello")
    answer = trial.join(part, part)
    if trial.check(
        answer.status < 300, f"the same part twice in one list was answered {answer.status}"
    ):
        _joined(trial.made(answer), b"hellohello")
    else:
        refused(trial, answer, "the same part twice in one list")
    part = trial.partial(b"hello")
    _joined(final(trial, part), b"hello")
    answer = trial.join(part)
    if answer.status >= 300 and part.state().status in (404, 410):
        trial.note("Once they are joined, parts are deleted.")
        refused(trial, answer, "a part that was deleted after it was joined")
    elif trial.check(
        answer.status < 300, f"a second final upload of the same part was answered {answer.status}"
    ):
        _joined(trial.made(answer), b"hello")


def _joined(upload: Upload, content: bytes) -> None:
    """What a server joins, it has to join right (CONC-04), however optional it was."""
    settle(upload)
    upload.holds(content, level=Level.MUST)


@case("CONC-13", Level.CLIENT, "tus-js-client 4 and 5", needs=_NEEDS)
def empty_parts(trial: Trial) -> None:
    """A part of no bytes is finished when it is created, and can be joined."""
    answer = trial.post([("Upload-Length", "0"), _PARTIAL], b"")
    if not trial.expect(answer, 201, where="a partial upload of 0 bytes"):
        return
    answer = trial.join(trial.made(answer), trial.partial(b"x"))
    if trial.expect(answer, 201, where="parts of 0 and 1 bytes"):
        upload = trial.made(answer)
        settle(upload)
        upload.holds(b"x")


@case("CONC-14", Level.MUST, _SECTION, needs=_NEEDS)
def patch_of_a_final_upload(trial: Trial) -> None:
    """PATCH of a final upload is answered 403 and changes neither it nor its parts."""
    part = trial.partial(b"hello")
    upload = final(trial, part)
    state = upload.state()
    if trial.options.finished_gone and state.status in (404, 410):
        trial.skip("finished uploads are taken away from this server")
    trial.assume(state.status < 300, f"the final upload is not there: {state}")
    before = part.state()
    for offset, body in ((5, b""), (5, b" world"), (0, b"hello"), (0, b""), (1000, b"")):
        where = f"PATCH of {len(body)} bytes at offset {offset}"
        with upload.unchanged(where):
            trial.expect(upload.patch(offset, body), 403, where=where)
    upload.holds(b"hello")
    _same_part(trial, before, part.state())


def _same_part(trial: Trial, before: State, after: State) -> None:
    # "The Server MAY delete partial uploads after concatenation."
    trial.check(
        after == before or after.status in (404, 410),
        f"PATCH of the final upload changed its part: before {before}; after {after}",
    )


@case("CONC-15", Level.MUST, "Concatenation / HEAD", needs=_NEEDS)
def offset_of_a_final_upload(trial: Trial) -> None:
    """HEAD of a final upload tells an offset when the parts are joined, which is the length."""
    head = final(trial, trial.partial(b"hello")).look()
    if not (trial.options.finished_gone and head.status in (404, 410)):
        for name in ("upload-offset", "upload-length"):
            told = head.get(name)
            trial.check(told == "5", f"once joined, {name} is {told}, expected 5", at=head)
    if "concatenation-unfinished" not in trial.facts.extensions:
        return
    upload, _, _ = pending(trial)
    head = upload.head()
    offset, told = head.get("upload-offset"), head.get("upload-length")
    # "SHOULD NOT contain the Upload-Offset header unless the concatenation has been …"
    trial.check(
        offset is None,
        f"while a part is unfinished, Upload-Offset is {offset}, expected none",
        level=Level.SHOULD,
        at=head,
    )
    trial.check(
        told == "11", f"the parts have 5 and 6 bytes, Upload-Length is {told}, not 11", at=head
    )


@case("CONC-16", Level.MUST, _SECTION, needs=_NEEDS)
def metadata(trial: Trial) -> None:
    """A final upload has the metadata of its own creation, and none of its parts."""
    of_part: Field = ("Upload-Metadata", "part cGFydA==")
    of_whole: Field = ("Upload-Metadata", "whole d2hvbGU=")
    part = trial.finished(b"hello", [_PARTIAL, of_part])
    told = final(trial, part).look().get("upload-metadata")
    trial.check(not told, f"the part's metadata are those of the final upload: {told!r}")
    part = trial.finished(b"hello", [_PARTIAL, of_part])
    upload = trial.made(trial.join(part, headers=[of_whole]))
    settle(upload)
    told = upload.look().get("upload-metadata")
    trial.check(
        told == of_whole[1],
        f"the final upload was created with metadata {of_whole[1]!r}, HEAD says {told!r}",
    )


@case("CONC-18", Level.MAY, _SECTION, needs=_NEEDS)
def parts_afterwards(trial: Trial) -> None:
    """Once joined, a part is as it was or gone; the final upload does not care."""
    part = trial.partial(b"hello")
    upload = final(trial, part)
    state = part.state()
    if state.status in (404, 410):
        trial.note(f"Once they are joined, parts are deleted ({state.status}).")
    else:
        trial.note("Right after they are joined, parts are still there.")
        trial.check(
            state.status < 300 and state.offset == "5", f"the part that was joined is now {state}"
        )
        if "termination" in trial.facts.extensions:
            part.delete()
    upload.holds(b"hello", level=Level.MUST)


@case("CONC-19", Level.ROBUST, "Core / Tus-Max-Size", needs=_NEEDS)
def too_large(trial: Trial) -> None:
    """A final upload that would be larger than Tus-Max-Size is refused with 413."""
    limit = trial.facts.max_size
    if limit is None:
        trial.skip("Tus-Max-Size is not advertised")
    half = limit // 2 + 1
    if "concatenation-unfinished" in trial.facts.extensions:
        # Nobody has to send so much to have it counted.
        parts = [trial.create(half, [_PARTIAL]) for _ in range(2)]
    elif limit <= _SMALL_LIMIT:
        parts = [trial.partial(b"x" * half) for _ in range(2)]
    else:
        trial.skip(f"Tus-Max-Size is {limit}, which is too much to send")
    where = f"two parts of {half} bytes each, and Tus-Max-Size {limit}"
    refused(trial, trial.join(*parts), where, 413)


@case("CONC-20", Level.ROBUST, _SECTION, needs=_NEEDS, slow=True)
def many_parts(trial: Trial) -> None:
    """A list of 100 or 1,000 parts is joined or refused, but answered."""
    parts = [trial.partial(bytes([number])) for number in range(_MANY)]
    for times in (1, 10):
        answer = trial.join(*(parts * times))
        count = _MANY * times
        size = len(trial.exchanges[answer.index].request)
        trial.note(f"{count} parts, a head of {size} bytes: {answer.status}.")
        if answer.status < 300:
            upload = trial.made(answer)
            settle(upload)
            upload.holds(bytes(range(_MANY)) * times)
            if parts[0].state().status in (404, 410):
                return
        else:
            trial.check(
                400 <= answer.status < 500,
                f"{count} parts were answered {answer.status}, expected 201 or a 4xx",
                at=answer,
            )


_Said = tuple[str, str, Sequence[Field]]
"""Method, URL and fields of a request."""


@case("CONC-21", Level.ROBUST, _SECTION, needs=_NEEDS)
def at_once(trial: Trial) -> None:
    """Two joins, a PATCH and a DELETE of a part at once leave whole final uploads or none."""
    size = min(1 << 20, (trial.facts.max_size or 1 << 22) // 4)
    pieces = [bytes([number]) * size for number in range(3)]
    parts = [trial.partial(piece) for piece in pieces]
    refs = " ".join(part.url for part in parts)
    join: _Said = ("POST", trial.endpoint, [("Upload-Concat", f"final;{refs}")])
    patch: _Said = ("PATCH", parts[1].url, [BYTES, ("Upload-Offset", str(size))])
    delete: _Said = ("DELETE", parts[2].url, [])
    rounds = [[join, patch, join]]
    if "termination" in trial.facts.extensions:
        rounds.append([join, delete, join])
    for requests in rounds:
        answers = _at_once(trial, requests)
        for (method, _, _), answer in zip(requests, answers, strict=True):
            if method == "POST":
                _whole_or_none(trial, answer, b"".join(pieces))


def _at_once(trial: Trial, requests: list[_Said]) -> list[Response]:
    """Send all, each over its own connection, before any answer is read."""
    with ExitStack() as stack:
        wires = []
        for method, url, fields in requests:
            body = b"more" if method == "PATCH" else b""
            length: Field = ("Content-Length", str(len(body)))
            wires.append(stack.enter_context(trial.connect(url)))
            target = Address.of(url).target
            wires[-1].request(method, target, trial.fields([*fields, length]), first=body)
        return [wire.read() for wire in wires]


def _whole_or_none(trial: Trial, answer: Response, content: bytes) -> None:
    if answer.status >= 300:
        trial.note(f"A join was answered {answer.status}.")
        return
    upload = trial.made(answer)
    settle(upload)
    if upload.state().status in (404, 410):
        trial.note("A join was given up for the DELETE of its part.")
    else:
        upload.holds(content)


@case("CONC-22", Level.ROBUST, _SECTION, needs=_NEEDS, slow=True)
def large_final_upload(trial: Trial) -> None:
    """A large final upload is answered before clients give up, ready or still pending."""
    size = _PIECE * _TIMES
    limit = trial.facts.max_size
    if limit is not None and limit < size:
        trial.skip(f"Tus-Max-Size is {limit}, less than {size}")
    part = trial.partial(bytes(_PIECE))
    began = time.monotonic()
    try:
        answer = trial.join(*[part] * _TIMES)
    except NoResponse as error:
        trial.check(False, f"a final upload of {size} bytes: {error}")
        return
    seconds = time.monotonic() - began
    if 400 <= answer.status < 500:
        trial.skip(f"the same part {_TIMES} times was refused with {answer.status}")
    upload = trial.made(answer)
    state = upload.state()
    trial.note(f"{size} bytes were answered after {seconds:.1f} s; then {state}.")
    settle(upload, 60)
    state = upload.state()
    trial.assume(not state.is_refused, f"the final upload cannot be looked at: {state}")
    trial.check(
        state.offset == state.length == str(size),
        f"{time.monotonic() - began:.0f} s after the request the final upload is {state},"
        f" expected {size} bytes",
    )


@case("CONC-24", Level.ROBUST, "Expiration / Upload-Expires", needs=_NEEDS)
def expiry_of_parts(trial: Trial) -> None:
    """Unfinished partial uploads tell when they expire, like others."""
    if "expiration" not in trial.facts.extensions:
        trial.skip("expiration is not advertised")
    told = {}
    for kind, headers in (("usual", []), ("partial", [_PARTIAL])):
        created = trial.post([("Upload-Length", "10"), *headers], b"")
        patched = trial.made(created).patch(0, b"hello")
        told[kind] = {
            "creation": "upload-expires" in created,
            "PATCH": "upload-expires" in patched,
        }
    for request, usual in told["usual"].items():
        trial.check(
            not usual or told["partial"][request],
            f"{request} of an upload tells Upload-Expires, of a partial upload it does not",
        )
