"""TERM-01 to TERM-09: uploads that a client takes back.

What is gone is seen by HEAD: 404 or 410, or 403 from a server that tells nobody what it has had.
"""

from __future__ import annotations

from conformance import finals
from conformance.model import Level
from conformance.registry import case
from conformance.trial import BYTES, Trial, Upload
from conformance.wire import Address, NoResponse, Response

_SECTION = "Termination / DELETE"
_EXTENSION = "termination"
_GONE = (404, 410)


def _deleted(upload: Upload, where: str) -> bool:
    """Delete the upload, and check the answer."""
    return upload.trial.expect(upload.delete(), 204, where=where)


def _is_gone(upload: Upload) -> bool:
    return upload.state().status in (*_GONE, 403)


@case("TERM-01", Level.MUST, _SECTION, needs=_EXTENSION)
def delete_terminates(trial: Trial) -> None:
    """DELETE of an upload is answered 204, and the upload is gone."""
    upload = trial.create()
    if _deleted(upload, "DELETE of a new upload"):
        state = upload.state()
        trial.check(not 200 <= state.status < 300, f"the upload is still there: {state}")


@case("TERM-02", Level.SHOULD, _SECTION, needs=_EXTENSION)
def nothing_is_left(trial: Trial) -> None:
    """After a DELETE, HEAD, PATCH and DELETE are answered 404 or 410, without Upload-Offset."""
    upload = trial.create()
    answer = upload.delete()
    trial.assume(answer.status < 300, f"DELETE was answered {answer.status}")
    # 403 to a HEAD is in the specification's list too.
    asked: list[tuple[str, Response, tuple[int, ...]]] = [
        ("HEAD", upload.head(), (*_GONE, 403)),
        ("PATCH", upload.patch(0, b"hello"), _GONE),
        ("DELETE", upload.delete(), _GONE),
        ("HEAD after all of these", upload.head(), (*_GONE, 403)),
    ]
    for method, response, statuses in asked:
        trial.expect(response, *statuses, where=f"{method} of a terminated upload")
        offset = response.get("upload-offset")
        trial.check(
            offset is None,
            f"{method} of a terminated upload: Upload-Offset {offset!r}, expected none",
            at=response,
        )


@case("TERM-03", Level.MUST, _SECTION, needs=_EXTENSION)
def at_any_stage(trial: Trial) -> None:
    """DELETE works on an upload with some bytes, and on one that has them all."""
    unfinished = trial.create()
    answer = unfinished.patch(0, b"hello")
    trial.assume(answer.status < 300, f"PATCH was answered {answer.status}")
    subjects = [("an unfinished", unfinished)]
    if trial.options.finished_gone:
        trial.note("Not asked for a finished upload: this server takes them away.")
    else:
        subjects.append(("a finished", trial.finished(b"hello")))
    for kind, upload in subjects:
        if _deleted(upload, f"DELETE of {kind} upload"):
            state = upload.state()
            trial.check(
                not 200 <= state.status < 300,
                f"{kind} upload is still there after its DELETE: {state}",
            )


@case("TERM-05", Level.ROBUST, _SECTION, needs=_EXTENSION)
def delete_during_a_patch(trial: Trial) -> None:
    """A DELETE during a PATCH wins, at once or when it is repeated, and the upload stays gone."""
    upload = trial.create(10)
    fields = trial.fields([BYTES, ("Upload-Offset", "0"), ("Content-Length", "10")])
    target = Address.of(upload.url).target
    none = trial.fields([("Content-Length", "0")])
    with trial.connect(upload.url) as patching, trial.connect(upload.url) as deleting:
        patching.request("PATCH", target, fields, first=b"hello")
        patching.pause(0.3)
        deleting.request("DELETE", target, none)
        waits = not deleting.answered(3.0)
        patching.send(b"world")
        try:
            answer = patching.read()
            trial.note(f"The PATCH was answered {answer.status}.")
        except NoResponse as error:
            trial.note(f"The PATCH was cut off: {error}.")
        if waits:
            trial.note("The DELETE waited for the PATCH.")
        deletion = deleting.read()
    if deletion.status == 423:
        # Nothing holds the upload any more; a server may need a moment to see that.
        again: list[Response] = []

        def repeated() -> bool:
            again.append(upload.delete())
            return again[-1].status != 423

        trial.poll(repeated, trial.patience)
        deletion = again[-1]
    where = "DELETE during a PATCH"
    if trial.expect(deletion, 204, where=where):
        for after in (0.0, 0.5):
            with trial.connect() as connection:
                connection.pause(after)
            trial.check(
                _is_gone(upload), f"{where} was answered 204, and the upload is there again"
            )


@case("TERM-06", Level.ROBUST, _SECTION, without=_EXTENSION)
def delete_is_not_offered(trial: Trial) -> None:
    """Without termination, DELETE is answered 405, 404 or 501 and leaves the upload alone."""
    upload = trial.create()
    where = "termination is not advertised, DELETE"
    with upload.unchanged(where):
        answer = upload.delete()
    if answer.status < 300:
        # tus: a server that has the extension must advertise it.
        trial.expect(answer, 405, 404, 501, where=where, level=Level.MUST)
    elif answer.status != 501:
        trial.expect_refusal(answer, 405, 404, 403, where=where)


@case("TERM-07", Level.ROBUST, _SECTION, needs=_EXTENSION)
def delete_of_nothing(trial: Trial) -> None:
    """DELETE of an upload that never was is answered 404."""
    answer = trial.unknown().delete()
    # 410 says that it was there once, which some servers say of anything.
    trial.expect_refusal(answer, 404, 410, where="DELETE of an unknown upload")


@case("TERM-08", Level.ROBUST, "Concatenation", needs=_EXTENSION)
def parts_and_finals_are_apart(trial: Trial) -> None:
    """A final upload survives the DELETE of its parts, and a pending one fails where it is seen."""
    extensions = trial.facts.extensions
    if "concatenation" not in extensions:
        trial.skip("concatenation is not advertised")
    if trial.options.finished_gone:
        trial.note("Not asked for a finished final: this server takes finished uploads away.")
    else:
        _delete_of_a_joined_part(trial)
    if "concatenation-unfinished" in extensions:
        _delete_of_an_awaited_part(trial)


def _delete_of_a_joined_part(trial: Trial) -> None:
    first, second = trial.partial(b"hello"), trial.partial(b"world")
    final = finals.final(trial, first, second)
    before = final.state()
    trial.assume(before.status < 300, f"the final upload is not found: {before}")
    answer = first.delete()
    if answer.status >= 300:
        trial.note(f"DELETE of a part of a finished final was answered {answer.status}.")
    after = final.state()
    trial.require(after.status < 300, f"a part of a final was deleted, and the final is {after}")
    final.holds(b"helloworld")
    trial.expect(final.delete(), 204, where="DELETE of a final upload")
    trial.note(f"After that, its other part is there as: {second.state()}.")


def _delete_of_an_awaited_part(trial: Trial) -> None:
    part = trial.create(10, [("Upload-Concat", "partial")])
    pending = trial.made(trial.join(part))
    answer = part.delete()
    if answer.status >= 300:
        trial.note(f"DELETE of a part of a pending final was answered {answer.status}.")
        return
    trial.check(
        trial.poll(lambda: pending.state().status >= 400, trial.patience),
        f"a part of a pending final was deleted, and {trial.patience:g} s later the final still"
        f" seems to wait for it: {pending.state()}; expected an error, as it can never be finished",
    )


@case("TERM-09", Level.ROBUST, "HTTP semantics", needs=_EXTENSION)
def delete_with_any_framing(trial: Trial) -> None:
    """DELETE works with a body, with an empty one, and without Content-Length."""
    for where, body, chunked in (
        ("DELETE without Content-Length", None, False),
        ("DELETE with Content-Length: 0", b"", False),
        ("DELETE with a body", b"hello", False),
        ("DELETE with an empty chunked body", b"", True),
    ):
        upload = trial.create()
        answer = upload.request("DELETE", (), body, chunked=chunked)
        if trial.expect(answer, 204, where=where):
            trial.check(_is_gone(upload), f"{where} was answered 204, and the upload is there")
