"""UNFIN-01 to UNFIN-07: a final upload that is created before its parts are finished.

Such a final upload is pending: it becomes finished when its last part does, without being asked
again, or fails when a part goes away.
"""

from __future__ import annotations

from conformance.finals import pending, refused, settle
from conformance.model import Level
from conformance.registry import case
from conformance.trial import Trial, Upload
from conformance.wire import Field

_SECTION = "Concatenation"
_NEEDS = "concatenation-unfinished"
_PARTIAL: Field = ("Upload-Concat", "partial")


@case("UNFIN-01", Level.MUST, _SECTION, needs="concatenation")
def advertised(trial: Trial) -> None:
    """A server says concatenation-unfinished if it takes unfinished parts, and only then."""
    part = trial.create(5, [_PARTIAL])
    answer = trial.join(trial.partial(b"hello"), part)
    if _NEEDS in trial.facts.extensions:
        if trial.expect(answer, 201, where="a final upload with an unfinished part"):
            trial.check("location" in answer, "answered 201 without Location", at=answer)
    else:
        trial.check(
            answer.status >= 300,
            f"a final upload with an unfinished part was answered {answer.status} although"
            " concatenation-unfinished is not advertised",
            at=answer,
        )


@case("UNFIN-02", Level.MUST, "Concatenation / HEAD", needs=_NEEDS)
def head_while_pending(trial: Trial) -> None:
    """HEAD of a pending final upload says what it is and how long it will be, and no offset."""
    upload, first, second = pending(trial)
    answer = second.patch(0, b" wo")
    trial.assume(answer.status < 300, f"PATCH of a part was answered {answer.status}")
    head = upload.head()
    trial.expect(head, 200, 204)
    told = head.get("upload-concat")
    expected = f"final;{first.url} {second.url}"
    # In other words is the business of CONC-06.
    trial.check(
        (told or "").startswith("final;"),
        f"HEAD says Upload-Concat {told!r}, expected {expected!r}",
        at=head,
    )
    length, offset = head.get("upload-length"), head.get("upload-offset")
    trial.check(
        length == "11", f"the parts have 5 and 6 bytes, Upload-Length is {length}, not 11", at=head
    )
    # "SHOULD NOT contain the Upload-Offset header unless the concatenation has been …"
    trial.check(
        offset is None,
        f"while a part is unfinished, Upload-Offset is {offset}, expected none",
        level=Level.SHOULD,
        at=head,
    )


@case("UNFIN-03", Level.MUST, _SECTION, needs=_NEEDS)
def finished_by_its_parts(trial: Trial) -> None:
    """A pending final upload is finished when its last part is, in the order of its list."""
    parts = [trial.create(size, [_PARTIAL]) for size in (5, 1, 5)]
    upload = trial.made(trial.join(*parts))
    for index, piece in ((2, b"world"), (0, b"hello"), (1, b" ")):
        state = upload.state()
        trial.check(
            state.status < 300 and (state.offset is None or state.offset != state.length),
            f"not all parts were finished, and the final upload was {state}",
        )
        answer = parts[index].patch(0, piece)
        trial.expect(answer, 204, where=f"PATCH of part {index + 1}")
        told = answer.get("upload-offset")
        trial.check(
            told == str(len(piece)), f"PATCH of part {index + 1}: Upload-Offset {told}", at=answer
        )
    settle(upload, trial.patience)
    upload.holds(b"hello world")


@case("UNFIN-04", Level.MUST, _SECTION, needs=_NEEDS)
def patch_while_pending(trial: Trial) -> None:
    """PATCH of a pending final upload is answered 403 and changes neither it nor its parts."""
    upload, first, second = pending(trial)
    for offset, body in ((0, b"hello"), (5, b" world"), (0, b""), (11, b"")):
        where = f"PATCH of {len(body)} bytes at offset {offset}"
        with upload.unchanged(where), first.unchanged(where), second.unchanged(where):
            trial.expect(upload.patch(offset, body), 403, where=where)
    answer = second.patch(0, b" world")
    trial.expect(answer, 204, where="PATCH of the unfinished part afterwards")
    settle(upload, trial.patience)
    upload.holds(b"hello world")


@case("UNFIN-05", Level.ROBUST, _SECTION, needs=_NEEDS, slow=True)
def part_that_goes_away(trial: Trial) -> None:
    """A final upload that waits for a part that is gone is gone too, and does not wait for ever."""
    expiry = trial.options.expiry if "expiration" in trial.facts.extensions else None
    expiring = pending(trial)[0] if expiry is not None else None
    if "termination" in trial.facts.extensions:
        upload, _, second = pending(trial)
        answer = second.delete()
        if 400 <= answer.status < 500:
            # Who keeps the part keeps the final upload from waiting in vain.
            trial.note(f"DELETE of a part that is waited for was answered {answer.status}.")
        else:
            trial.assume(answer.status < 300, f"DELETE of a part was answered {answer.status}")
            _fails(trial, upload, trial.patience, "its part was terminated")
    elif expiring is None:
        trial.skip("termination is not advertised, and when uploads expire is not known")
    if expiring is not None and expiry is not None:
        _fails(trial, expiring, expiry + trial.patience, f"its parts had {expiry:g} s left")


def _fails(trial: Trial, upload: Upload, seconds: float, why: str) -> None:
    gone = trial.poll(lambda: upload.state().status in (404, 410), seconds)
    if not gone:
        state = upload.state()
        trial.check(
            False,
            f"a final upload was pending when {why}, and {seconds:g} s later it is still {state},"
            " expected 404 or 410",
        )


@case("UNFIN-06", Level.ROBUST, "Concatenation / HEAD", needs=_NEEDS)
def parts_of_unknown_length(trial: Trial) -> None:
    """A pending final upload has no length before all its parts have one."""
    if "creation-defer-length" not in trial.facts.extensions:
        trial.skip("creation-defer-length is not advertised")
    first = trial.partial(b"hello")
    second = trial.create(None, [_PARTIAL])
    answer = trial.join(first, second)
    if 400 <= answer.status < 500:
        refused(trial, answer, "a part whose length is not known")
        return
    upload = trial.made(answer)
    length = upload.state().length
    trial.check(
        length is None,
        f"the length of a part is not known, but the final upload has Upload-Length {length}",
    )
    answer = second.patch(0, b" wo", [("Upload-Length", "6")])
    trial.assume(answer.status < 300, f"PATCH with Upload-Length was answered {answer.status}")
    length = upload.state().length
    # "MUST be included if the length of the final resource can be calculated"
    trial.check(
        length == "11",
        f"all lengths are known (5 and 6), but the final upload has Upload-Length {length}",
        level=Level.MUST,
    )
    answer = second.patch(3, b"rld")
    trial.assume(answer.status < 300, f"PATCH was answered {answer.status}")
    settle(upload, trial.patience)
    upload.holds(b"hello world")


@case("UNFIN-07", Level.ROBUST, _SECTION, needs="concatenation", without=_NEEDS)
def not_advertised(trial: Trial) -> None:
    """A server that does not say concatenation-unfinished refuses unfinished parts with 400."""
    begun = trial.create(5, [_PARTIAL])
    answer = begun.patch(0, b"hel")
    trial.assume(answer.status < 300, f"PATCH was answered {answer.status}")
    kinds = {"a new part": trial.create(5, [_PARTIAL]), "a begun part": begun}
    if "creation-defer-length" in trial.facts.extensions:
        kinds["a part of unknown length"] = trial.create(None, [_PARTIAL])
    for what, part in kinds.items():
        refused(trial, trial.join(trial.partial(b"hello"), part), f"{what} in the list", 400)
