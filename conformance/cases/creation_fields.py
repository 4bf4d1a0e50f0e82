"""CREATE-05 to CREATE-09: how long an upload is said to be.

Where a value is no length, nothing may be created. A number that a server can take must come back
from HEAD digit for digit: one that went through a float or a machine word does not.
"""

from __future__ import annotations

from collections.abc import Sequence

from conformance.model import Level
from conformance.registry import case
from conformance.trial import Trial
from conformance.wire import Field, Response

_SECTION = "Creation / POST"
_LENGTH = "Headers / Upload-Length"


def _not_created(
    trial: Trial, answer: Response, best: int, where: str, *, level: Level | None = None
) -> None:
    refused = trial.expect_refusal(answer, best, where=where, level=level)
    trial.check(
        not refused or "location" not in answer,
        f"{where}: {answer.status}, and yet an upload at {answer.get('location')!r}",
        level=level,
        at=answer,
    )


@case("CREATE-05", Level.MUST, _SECTION, needs="creation")
def no_length(trial: Trial) -> None:
    """POST that says neither a length nor that it comes later is refused with 400."""
    _not_created(trial, trial.post([], b""), 400, "neither Upload-Length nor Upload-Defer-Length")


@case("CREATE-06", Level.ROBUST, _SECTION, needs="creation-defer-length")
def length_now_and_later(trial: Trial) -> None:
    """POST that says a length and also that it comes later is refused with 400."""
    answer = trial.post([("Upload-Length", "10"), ("Upload-Defer-Length", "1")], b"")
    _not_created(trial, answer, 400, "both Upload-Length 10 and Upload-Defer-Length 1")


_NO_LENGTHS: Sequence[Sequence[str | bytes]] = (
    *(("-1",), ("",), ("abc",), ("1.5",), ("1.0",), ("+1",), ("1_000",), ("0x10",), ("1e3",)),
    *(("10abc",), ("1 0",), ("1,1",), ("\uff11\uff10",), (b"\xb2",), ("Infinity",)),
    ("10", "20"),
)
"""Lines of Upload-Length that say no length. The odd ones: full-width digits, a superscript."""


@case("CREATE-07", Level.ROBUST, _LENGTH, needs="creation")
def lengths_that_are_none(trial: Trial) -> None:
    """POST with an Upload-Length that is no non-negative integer is refused with 400."""
    otherwise: dict[int, list[str]] = {}
    for lines in _NO_LENGTHS:
        fields: list[Field] = [("Upload-Length", line) for line in lines]
        said = " and ".join(map(repr, lines))
        answer = trial.post(fields, b"")
        if 400 < answer.status < 500:
            otherwise.setdefault(answer.status, []).append(said)
        else:
            _not_created(trial, answer, 400, f"Upload-Length {said}")
    for status, values in otherwise.items():
        trial.check(
            False,
            f"Upload-Length {', '.join(values)}: refused with {status}, better 400",
            level=Level.SHOULD,
        )


@case("CREATE-08", Level.ROBUST, _LENGTH, needs="creation")
def lengths_that_are_large(trial: Trial) -> None:
    """A large Upload-Length is kept to the last digit, or refused: 413, or 400 beyond 2^63 - 1."""
    for size in (2**53 + 1, 2**63 - 1):
        answer = trial.post([("Upload-Length", str(size))], b"")
        # 507 says that there is no room, which is as good a reason.
        if answer.status != 507 and not 200 <= answer.status < 300:
            trial.expect_refusal(answer, 413, where=f"Upload-Length {size}")
        _kept(trial, answer, size)
    for size in (2**63, 2**64, 2**64 + 10, 10**40):
        answer = trial.post([("Upload-Length", str(size))], b"")
        if 200 <= answer.status < 300:
            trial.note(f"Upload-Length {size} was accepted.")
        elif answer.status not in (413, 507):
            trial.expect_refusal(answer, 400, where=f"Upload-Length {size}")
        _kept(trial, answer, size)


def _kept(trial: Trial, answer: Response, size: int) -> None:
    if 200 <= answer.status < 300:
        state = trial.made(answer).state()
        trial.assume(not state.is_refused, f"the upload cannot be looked at: {state}")
        trial.check(state.length == str(size), f"Upload-Length {size} was accepted; then {state}")


@case("CREATE-09", Level.MUST, "Headers / Tus-Max-Size", needs="creation")
def largest_length(trial: Trial) -> None:
    """POST of an upload larger than Tus-Max-Size is refused with 413, and one as large is not."""
    limit = trial.facts.max_size
    if limit is None:
        trial.skip("Tus-Max-Size is not advertised")
        return
    for size in (limit + 1, 2 * limit + 2):
        where = f"Upload-Length {size}, where Tus-Max-Size is {limit}"
        answer = trial.post([("Upload-Length", str(size))], b"")
        trial.expect(answer, 413, where=where)
        trial.check("location" not in answer, f"{where}: {answer.status} with Location", at=answer)
    answer = trial.post([("Upload-Length", str(limit))], b"")
    trial.expect(answer, 201, where=f"Upload-Length {limit}, which is Tus-Max-Size")
