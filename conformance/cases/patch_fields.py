"""PATCH-06 to PATCH-09 and PATCH-24: the fields of a PATCH.

Where a value is read leniently, it would be read as the offset that the upload has (`int("1_0")` is
10, `Number("0x0")` is 0): so a server that is lenient takes the bytes, and shows it.
"""

from __future__ import annotations

from collections.abc import Sequence

from conformance.model import Level
from conformance.registry import case
from conformance.trial import BYTES, Trial, Upload
from conformance.wire import Field

_SECTION = "Requests / PATCH"
_OFFSET = "Headers / Upload-Offset"
_TYPE = "application/offset+octet-stream"


def _at(trial: Trial, offset: int) -> Upload:
    """An upload of 20 bytes that has so many of them."""
    upload = trial.create(20)
    if offset:
        answer = upload.patch(0, bytes(offset))
        trial.assume(
            200 <= answer.status < 300,
            f"the first {offset} bytes were refused with {answer.status}",
        )
    return upload


@case("PATCH-06", Level.SHOULD, _SECTION)
def other_types(trial: Trial) -> None:
    """PATCH with another Content-Type, or none, is refused with 415 and changes nothing."""
    for value in (None, "application/octet-stream", "text/plain", "", f"{_TYPE}s", f"x{_TYPE}"):
        where = "no Content-Type" if value is None else f"Content-Type {value!r}"
        typed: list[Field] = [] if value is None else [("Content-Type", value)]
        upload = trial.create(10)
        with upload.unchanged(f"PATCH with {where}", level=Level.MUST):
            fields: list[Field] = [("Upload-Offset", "0"), *typed]
            answer = upload.request("PATCH", fields, b"hello")
            # "All PATCH requests MUST use" the type: whoever accepts another breaks that, while
            # 415 for the refusal is a SHOULD.
            trial.expect_refusal(answer, 415, where=where, level=Level.MUST)


@case("PATCH-07", Level.ROBUST, _SECTION)
def same_type_written_otherwise(trial: Trial) -> None:
    """The Content-Type of PATCH is recognised in upper case and with parameters."""
    # RFC 9110 8.3.1: type and subtype are case-insensitive, and parameters may follow.
    for value in (
        *("APPLICATION/Offset+Octet-Stream", f"{_TYPE}; charset=utf-8", f"{_TYPE};charset=utf-8"),
        f" {_TYPE} ",
    ):
        upload = trial.create(5)
        fields: list[Field] = [("Upload-Offset", "0"), ("Content-Type", value)]
        answer = upload.request("PATCH", fields, b"hello")
        trial.check(
            200 <= answer.status < 300,
            f"Content-Type {value!r} was refused with {answer.status}",
            at=answer,
        )


_NO_OFFSETS: Sequence[tuple[int, Sequence[str | bytes]]] = (
    (0, ()),
    (0, ("",)),
    (0, ("abc",)),
    (0, ("-1",)),
    (0, ("+0",)),
    (0, ("0x0",)),
    (0, ("0.0",)),
    (0, ("0abc",)),
    (0, ("0 0",)),
    (0, ("0, 0",)),
    (0, ("\u0660",)),  # an Arabic-Indic zero
    (0, (b"\xb2",)),  # a latin-1 superscript: a digit to Python's str.isdigit()
    (0, ("0", "1")),
    (1, ("0", "1")),
    (1, ("1.0",)),
    (10, ("1_0",)),
    (10, ("1e1",)),
)
"""What the upload has, and the lines of Upload-Offset that say no offset."""


@case("PATCH-08", Level.ROBUST, _OFFSET)
def offsets_that_are_none(trial: Trial) -> None:
    """PATCH without a non-negative integer as Upload-Offset is refused and changes nothing."""
    for has, lines in _NO_OFFSETS:
        said = " and ".join(map(repr, lines)) or "missing"
        where = f"Upload-Offset {said} for an upload that has {has} bytes"
        upload = _at(trial, has)
        fields: list[Field] = [BYTES, *(("Upload-Offset", line) for line in lines)]
        with upload.unchanged(where):
            answer = upload.request("PATCH", fields, b"x")
            # Whatever it is, it is not the offset: 409 says so too.
            if answer.status != 409 or not lines:
                trial.expect_refusal(answer, 400, where=where)


@case("PATCH-09", Level.ROBUST, _OFFSET)
def offsets_that_are_large(trial: Trial) -> None:
    """An Upload-Offset too large for a machine word is refused with 400 or 409, not cut off."""
    upload = trial.create(10)
    # Cut off to 32 or 64 bits, three of these are 0: the offset that the upload has.
    for value in (2**31, 2**32, 2**53 + 1, 2**63, 2**64, 10**29):
        where = f"Upload-Offset {value} for an upload of 10 bytes"
        with upload.unchanged(where):
            answer = upload.patch(str(value), b"x")
            if answer.status != 409:
                trial.expect_refusal(answer, 400, where=where)
    # Whether zeros may lead is open (AMB-07), but they do not change the number.
    answer = upload.patch("00", b"x")
    trial.check(
        answer.status in (400, 409) or answer.get("upload-offset") == "1",
        f"Upload-Offset '00' was answered {answer.status} with Upload-Offset"
        f" {answer.get('upload-offset') or 'missing'}, expected to be 0 or refused with 400 or 409",
        at=answer,
    )
    trial.note(f"Upload-Offset '00' was answered {answer.status}.")


@case("PATCH-24", Level.CLIENT, "tus-js-client, TUSKit")
def fields_of_other_requests(trial: Trial) -> None:
    """PATCH is processed as ever when clients add fields that belong to other requests."""
    joins = "concatenation" in trial.facts.extensions
    partial: list[Field] = [("Upload-Concat", "partial")]
    draft: list[Field] = [("Upload-Draft-Interop-Version", "6"), ("Upload-Complete", "?1")]
    for made_with, added in (
        # tus-js-client repeats it in every request of a partial upload.
        (partial if joins else [], partial),
        ([], [("Upload-Metadata", "filename d29ybGQ=")]),
        # URLSession adds these to upload tasks (TUSKit).
        ([], draft[:1]),
        ([], draft),
    ):
        upload = trial.create(10, made_with)
        where = "PATCH with " + ", ".join(f"{name}: {value!r}" for name, value in added)
        for offset, data in ((0, b"01234"), (5, b"56789")):
            answer = upload.patch(offset, data, added)
            if not trial.expect(answer, 204, where=where):
                break
            said = answer.get("upload-offset")
            trial.check(
                said == str(offset + 5),
                f"{where}: Upload-Offset {said or 'missing'}, expected {offset + 5}",
                at=answer,
            )
        state = upload.state()
        # That HEAD finds finished uploads is for HEAD-02.
        trial.check(
            state.status >= 300 or state.offset == "10",
            f"{where}: 10 bytes were sent, and then {state}",
        )
