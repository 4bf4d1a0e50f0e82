"""CWU-01 to CWU-14: a POST that brings the first bytes of the upload.

Where the specification leaves open whether the bytes are taken, the cases only ask that the answer
and HEAD agree, and that nothing is stored which was not sent as part of the upload.
"""

from __future__ import annotations

import base64
import hashlib

from conformance.expectations import check_unwanted, has_answer
from conformance.model import Level
from conformance.registry import case
from conformance.trial import BYTES, Trial, Upload
from conformance.wire import Address, Field, NoResponse, Response

_NAME = "creation-with-upload"
_SECTION = "Creation With Upload"
_LENGTH: Field = ("Upload-Length", "10")
_DATA = b"0123456789"
_DIGESTED = 0.3
"""Seconds in which a server has read what was sent."""


def _said(
    trial: Trial, answer: Response, offset: int, where: str, *, level: Level | None = None
) -> Upload | None:
    """Check for a 201 that says where the upload ends, as HEAD does; the upload, if there is one.

    That everything is taken is a SHOULD: "as many bytes as possible".
    """
    trial.expect(answer, 201, where=where, level=level)
    if not 200 <= answer.status < 300:
        return None
    upload = trial.made(answer)
    said, stored = answer.get("upload-offset"), upload.offset()
    trial.check(
        said == str(stored),
        f"{where}: the 201 has Upload-Offset {said or 'missing'}, and HEAD says {stored}",
        level=level,
        at=answer,
    )
    trial.check(
        stored <= offset, f"{where}: {offset} bytes were sent, and {stored} are there", level=level
    )
    trial.check(
        stored >= offset, f"{where}: only {stored} of {offset} bytes were taken", level=Level.SHOULD
    )
    return upload


@case("CWU-01", Level.MUST, _SECTION)
def advertised(trial: Trial) -> None:
    """creation-with-upload is advertised, and with it creation, if POST takes bytes."""
    names = trial.facts.extensions
    trial.check(
        _NAME not in names or "creation" in names, f"{_NAME} is advertised without creation"
    )
    answer = trial.post([_LENGTH, BYTES], b"0123")
    created = 200 <= answer.status < 300 and "location" in answer
    stored = trial.made(answer).offset() if created else 0
    if _NAME in names:
        trial.check(
            stored > 0,
            f"{_NAME} is advertised, but of 4 bytes with a POST ({answer.status}) {stored} are"
            " stored",
            at=answer,
        )
    else:
        trial.check(
            stored == 0, f"POST has stored {stored} bytes, but {_NAME} is not advertised", at=answer
        )


@case("CWU-02", Level.MUST, _SECTION, needs=_NAME)
def whole_upload(trial: Trial) -> None:
    """POST with the whole upload is answered 201 with Location and its Upload-Offset."""
    for chunked in (False, True):
        where = f"POST with 10 of 10 bytes{', chunked' if chunked else ''}"
        upload = _said(trial, trial.post([_LENGTH, BYTES], _DATA, chunked=chunked), 10, where)
        if upload is not None and upload.offset() == 10:
            upload.holds(_DATA)


@case("CWU-03", Level.MUST, _SECTION, needs=_NAME)
def first_bytes(trial: Trial) -> None:
    """POST with the first bytes of an upload stores them, and PATCH goes on behind them."""
    for chunked in (False, True):
        where = f"POST with 4 of 10 bytes{', chunked' if chunked else ''}"
        upload = _said(trial, trial.post([_LENGTH, BYTES], _DATA[:4], chunked=chunked), 4, where)
        if upload is not None:
            offset = upload.offset()
            answer = upload.patch(offset, _DATA[offset:])
            trial.expect(answer, 204, where=f"PATCH at {offset}, after {where}")
            upload.holds(_DATA)


@case("CWU-04", Level.MUST, _SECTION, needs=_NAME)
def no_bytes(trial: Trial) -> None:
    """POST that announces bytes and brings none is answered 201 with Upload-Offset: 0."""
    for length in (10, 0):
        for chunked in (False, True):
            framing = "chunked and empty" if chunked else "Content-Length: 0"
            where = f"POST of the type for bytes, {framing}, Upload-Length {length}"
            fields: list[Field] = [("Upload-Length", str(length)), BYTES]
            _said(trial, trial.post(fields, b"", chunked=chunked), 0, where)


@case("CWU-05", Level.SHOULD, _SECTION, needs=_NAME)
def broken_off(trial: Trial) -> None:
    """When a client breaks off within the body of a POST, nothing counts that was not sent."""
    sent, size = 1 << 16, 1 << 17
    fields: list[Field] = [("Upload-Length", str(size)), BYTES, ("Content-Length", str(size))]
    # It has no URL yet; but whoever only closes one side may still be told.
    with trial.connect() as connection:
        target = Address.of(trial.endpoint).target
        connection.request("POST", target, trial.fields(fields), first=bytes(sent))
        connection.pause(_DIGESTED)
        connection.half_close()
        try:
            answer = connection.read()
        except NoResponse:
            trial.note("A client that breaks off gets no answer, so it cannot know its upload.")
            return
    where = f"POST broken off after {sent} of {size} bytes, and answered {answer.status}"
    trial.check(answer.status < 500, f"{where}, as if that were a fault of the server", at=answer)
    if 200 <= answer.status < 300 and "location" in answer:
        state = trial.made(answer).state()
        text = state.offset or ""
        few = text.isdecimal() and int(text) <= sent
        trial.check(few or state.status >= 400, f"{where}: {state}", level=Level.MUST, at=answer)
    trial.check(answer.status != 201 or "location" in answer, f"{where}: no Location", at=answer)


@case("CWU-06", Level.MUST, _SECTION, needs=_NAME)
def other_types(trial: Trial) -> None:
    """POST with a body of another type stores none of it as bytes of the upload."""
    for value in (None, "text/plain", "application/octet-stream"):
        where = "POST with 4 bytes " + ("of no type" if value is None else f"of type {value}")
        typed: list[Field] = [] if value is None else [("Content-Type", value)]
        _nothing_stored(trial, trial.post([_LENGTH, *typed], b"0123"), where)


def _nothing_stored(
    trial: Trial, answer: Response, where: str, *, level: Level | None = None
) -> None:
    """The POST was refused, or has created an upload that has no bytes. Both are allowed."""
    trial.note(f"{where}: answered {answer.status}.")
    if answer.status >= 300:
        trial.check(
            400 <= answer.status < 500, f"{where}: answered {answer.status}", level=level, at=answer
        )
        return
    upload = trial.made(answer)
    stored = upload.offset()
    said = answer.get("upload-offset")
    trial.check(
        stored == 0 and said in (None, "0"),
        f"{where}: {stored} of them were stored, and the answer has Upload-Offset {said}"
        if said is not None
        else f"{where}: {stored} of them were stored",
        level=level,
        at=answer,
    )


@case("CWU-07", Level.ROBUST, _SECTION, needs=_NAME)
def too_many_bytes(trial: Trial) -> None:
    """POST with more bytes than Upload-Length says is refused, and leaves no upload."""
    for length in (10, 0):
        for chunked in (False, True):
            where = (
                f"POST with {length + 1} bytes{' in chunks' if chunked else ''},"
                f" Upload-Length {length}"
            )
            fields: list[Field] = [("Upload-Length", str(length)), BYTES]
            answer = trial.post(fields, (_DATA + b"x")[-length - 1 :], chunked=chunked)
            trial.expect_refusal(answer, 413, where=where)
            if answer.status >= 400:
                trial.check(
                    "location" not in answer, f"{where}: refused, and yet a Location", at=answer
                )
            elif "location" in answer:
                offset = trial.made(answer).offset()
                trial.check(
                    offset <= length,
                    f"{where}: and then it has {offset} bytes",
                    level=Level.MUST,
                    at=answer,
                )


@case("CWU-08", Level.ROBUST, _SECTION, needs="creation", without=_NAME)
def bytes_that_are_not_asked_for(trial: Trial) -> None:
    """A server without creation-with-upload refuses the body of a POST, or ignores all of it."""
    for chunked in (False, True):
        where = f"POST with 4 bytes{' in chunks' if chunked else ''}"
        _nothing_stored(trial, trial.post([_LENGTH, BYTES], b"0123", chunked=chunked), where)


@case("CWU-09", Level.SHOULD, _SECTION, needs=_NAME)
def expectations(trial: Trial) -> None:
    """A POST with Expect: 100-continue is told 100 if it is welcome, and else only the error."""
    answer = _expecting(trial, [_LENGTH], _DATA)
    trial.check(
        100 in answer.interim,
        f"a good POST was not told 100, but only answered {answer.status}",
        at=answer,
    )
    trial.expect(answer, 201, where="a good POST with Expect: 100-continue")
    limit = trial.facts.max_size
    unwanted: list[tuple[str, list[Field], str]] = [
        ("412, another version", [_LENGTH], "0.2.2"),
        ("400, no Upload-Length", [], "1.0.0"),
        ("400, Upload-Length 'abc'", [("Upload-Length", "abc")], "1.0.0"),
        ("413, more bytes than Upload-Length", [("Upload-Length", "9")], "1.0.0"),
    ]
    if limit is not None:
        large: list[Field] = [("Upload-Length", str(limit + 1))]
        unwanted.append(("413, more than Tus-Max-Size", large, "1.0.0"))
    for where, fields, version in unwanted:
        answer = _expecting(trial, fields, _DATA, tus=version)
        check_unwanted(trial, answer, where)


def _expecting(trial: Trial, fields: list[Field], body: bytes, *, tus: str = "1.0.0") -> Response:
    """POST with Expect: 100-continue; the body follows unless the answer comes first."""
    framing: list[Field] = [("Content-Length", str(len(body))), ("Expect", "100-continue")]
    with trial.connect() as connection:
        target = Address.of(trial.endpoint).target
        connection.request("POST", target, trial.fields([*fields, BYTES, *framing], tus=tus))
        if not has_answer(connection):
            connection.send(body)
        return connection.read()


@case("CWU-10", Level.ROBUST, "Checksum", needs=_NAME)
def checked_bytes(trial: Trial) -> None:
    """A POST whose bytes do not match its Upload-Checksum stores none of them."""
    if "checksum" not in trial.facts.extensions:
        trial.skip("checksum is not advertised")
    right = base64.b64encode(hashlib.sha1(_DATA, usedforsecurity=False).digest()).decode()
    wrong = base64.b64encode(hashlib.sha1(b"other", usedforsecurity=False).digest()).decode()
    checked: list[Field] = [_LENGTH, BYTES, ("Upload-Checksum", f"sha1 {right}")]
    upload = _said(trial, trial.post(checked, _DATA), 10, "POST with its right checksum")
    if upload is not None:
        upload.holds(_DATA)
    # The specification tells of PATCH only (AMB-18): refuse it, or create the upload without bytes.
    for value, best in ((f"sha1 {wrong}", 460), ("nonsense AAAA", 400)):
        where = f"POST of 10 bytes with Upload-Checksum {value!r}"
        answer = trial.post([_LENGTH, BYTES, ("Upload-Checksum", value)], _DATA)
        _nothing_stored(trial, answer, where)
        if answer.status >= 400:
            trial.expect_refusal(answer, best, where=where)
            trial.check("location" not in answer, f"{where}: refused, and a Location", at=answer)


@case("CWU-11", Level.MUST, "Expiration / Upload-Expires", needs=_NAME)
def when_it_expires(trial: Trial) -> None:
    """The 201 of an upload that was begun says when it expires, if that of an empty one does."""
    if "expiration" not in trial.facts.extensions:
        trial.skip("expiration is not advertised")
    empty = trial.post([_LENGTH], b"")
    trial.made(empty)
    begun = trial.post([_LENGTH, BYTES], b"0123")
    trial.made(begun)
    if "upload-expires" not in empty:
        # EXP-03 is about that: the time need not be known yet.
        trial.note("The 201 of an empty upload has no Upload-Expires.")
        return
    trial.check(
        "upload-expires" in begun,
        "the 201 says Upload-Expires if nothing was sent with the POST, and not if 4 of 10 bytes"
        " were",
        at=begun,
    )


@case("CWU-12", Level.ROBUST, "Concatenation", needs=_NAME)
def bytes_of_parts(trial: Trial) -> None:
    """A POST of a partial upload takes bytes; one that joins uploads has none to take."""
    if "concatenation" not in trial.facts.extensions:
        trial.skip("concatenation is not advertised")
    partial: Field = ("Upload-Concat", "partial")
    for sent in (10, 4):
        answer = trial.post([_LENGTH, BYTES, partial], _DATA[:sent])
        _said(trial, answer, sent, f"POST of a partial upload with {sent} of 10 bytes")
    parts = [trial.partial(b"01234"), trial.partial(b"56789")]
    joined = " ".join(part.url for part in parts)
    answer = trial.post([("Upload-Concat", f"final;{joined}"), BYTES], b"x")
    where = "POST of a final upload with a byte"
    trial.check(
        400 <= answer.status < 500,
        f"{where}: answered {answer.status}, expected to be refused",
        at=answer,
    )
    if answer.status >= 400:
        trial.check("location" not in answer, f"{where}: refused, and yet a Location", at=answer)


@case("CWU-13", Level.ROBUST, "Creation With Upload, Upload-Defer-Length", needs=_NAME)
def bytes_before_the_length(trial: Trial) -> None:
    """POST with bytes of an upload whose length comes later stores them; the length stays open."""
    if "creation-defer-length" not in trial.facts.extensions:
        trial.skip("creation-defer-length is not advertised")
    for chunked in (False, True):
        where = f"POST with 5 bytes{' in chunks' if chunked else ''}, Upload-Defer-Length 1"
        fields: list[Field] = [("Upload-Defer-Length", "1"), BYTES]
        upload = _said(trial, trial.post(fields, _DATA[:5], chunked=chunked), 5, where)
        if upload is not None:
            state = upload.state()
            trial.check(
                state.deferred == "1" and state.length is None,
                f"{where}: the length was not said, and then {state}",
            )


@case("CWU-14", Level.ROBUST, _SECTION, needs=_NAME)
def offset_of_a_creation(trial: Trial) -> None:
    """Upload-Offset: 0 in a POST does no harm, and another offset never takes effect."""
    answer = trial.post([_LENGTH, BYTES, ("Upload-Offset", "0")], b"0123")
    _said(trial, answer, 4, "POST with 4 bytes and Upload-Offset 0")
    answer = trial.post([_LENGTH, BYTES, ("Upload-Offset", "5")], b"56789")
    where = "POST with 5 bytes and Upload-Offset 5"
    if answer.status >= 300:
        trial.expect_refusal(answer, 400, where=where)
        return
    # The field means nothing in a POST, so it may be ignored; what is stored begins at 0.
    trial.check(False, f"{where}: answered {answer.status}; better 400", level=Level.MAY, at=answer)
    _said(trial, answer, 5, where)
