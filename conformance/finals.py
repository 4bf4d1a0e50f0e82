"""What the cases of concatenation share: final uploads, and the waiting for them.

A server may answer the creation of a final upload before it has joined the parts, so each case
that looks at a final upload waits for it first. The waiting judges nothing.
"""

from __future__ import annotations

from conformance.trial import Trial, Upload
from conformance.wire import Response

_PATIENCE = 3.0
"""Seconds that joining a few small parts may take."""


def settle(upload: Upload, seconds: float = _PATIENCE) -> None:
    """Wait until a final upload is finished or gone, or time is up."""

    def settled() -> bool:
        state = upload.state()
        return state.status >= 400 or (state.offset is not None and state.offset == state.length)

    upload.trial.poll(settled, seconds)


def final(trial: Trial, *parts: Upload | str) -> Upload:
    """A final upload of these parts, after the waiting; the case assumes that it can be made."""
    upload = trial.made(trial.join(*parts))
    settle(upload)
    return upload


def pending(trial: Trial) -> tuple[Upload, Upload, Upload]:
    """A final upload of `hello world` that waits for the second half, and its two parts.

    The case assumes that it can be made.
    """
    first = trial.partial(b"hello")
    second = trial.create(6, [("Upload-Concat", "partial")])
    return trial.made(trial.join(first, second)), first, second


def refused(trial: Trial, answer: Response, where: str, *best: int) -> bool:
    """Check that a creation was refused and made nothing; any 4xx is right if `best` is empty."""
    if best:
        ok = trial.expect_refusal(answer, *best, where=where)
    else:
        ok = trial.check(
            400 <= answer.status < 500,
            f"{where}: answered {answer.status}, expected a 4xx",
            at=answer,
        )
        if ok and answer.status != 400:
            trial.note(f"{where}: {answer.status}.")
    if ok:
        trial.check(
            "location" not in answer,
            f"{where}: refused with {answer.status}, but with Location {answer.get('location')}",
            at=answer,
        )
    return ok
