"""LOCK-01 to LOCK-05: two requests for one upload.

The specification does not speak of this, but clients depend on it: after a lost connection they
come back while the server may still wait for the old request. A server may make the new request
wait, refuse it with 423, or end the old one; each case says what it takes for granted of that.

What a restart of the server or a failing handler leaves locked cannot be seen from outside, so
LOCK-05 looks at clients that vanish.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

from conformance.model import Level
from conformance.registry import case
from conformance.trial import BYTES, Trial, Upload
from conformance.wire import Address, Connection, Field, NoResponse, Response

_CONTENT = b"0123456789"
_SENT = 4
"""Bytes of it that the held PATCH sends."""
_WAIT = 20.0
"""Seconds: clients and proxies give up a request that gets no answer for longer."""
_PAUSE = 0.3
"""Seconds after which a server has seen what was sent."""
_CLIENTS = "tus-js-client 4 and 5, tus-java-client"


@contextmanager
def _held(trial: Trial, upload: Upload) -> Iterator[Connection]:
    """A PATCH of the whole upload that stops after `_SENT` bytes and keeps its connection."""
    with trial.connect(upload.url) as connection:
        _begin(trial, upload, connection)
        yield connection


def _begin(trial: Trial, upload: Upload, connection: Connection) -> None:
    framing: list[Field] = [("Content-Length", str(len(_CONTENT)))]
    fields = trial.fields([BYTES, ("Upload-Offset", "0"), *framing])
    target = Address.of(upload.url).target
    connection.request("PATCH", target, fields, first=_CONTENT[:_SENT])
    connection.pause(_PAUSE)


def _patient(
    trial: Trial, upload: Upload, method: str, offset: int = 0, body: bytes | None = None
) -> Response:
    """A request that may have to wait for another one."""
    fields: list[Field] = [] if body is None else [BYTES, ("Upload-Offset", str(offset))]
    with trial.connect(upload.url, timeout=_WAIT) as connection:
        return upload.request(method, fields, body, on=connection)


def _told(answer: Response) -> int | None:
    """The offset that an answer to HEAD tells; None if it tells none."""
    text = answer.get("upload-offset") or ""
    usable = 200 <= answer.status < 300 and text.isascii() and text.isdigit()
    return int(text) if usable else None


def _offset_beside(trial: Trial, upload: Upload) -> int:
    """The offset that HEAD tells while a PATCH is there; the case ends if it tells none."""
    offset = _told(_patient(trial, upload, "HEAD"))
    if offset is None:
        trial.skip("HEAD tells no offset while another request is there (LOCK-01)")
    return offset


@case("LOCK-01", Level.CLIENT, _CLIENTS, slow=True)
def head_of_a_locked_upload(trial: Trial) -> None:
    """HEAD during a PATCH tells an offset or is answered 423, in time for a client to wait."""
    upload = trial.create(len(_CONTENT))
    upload.look()
    with _held(trial, upload):
        answer = _patient(trial, upload, "HEAD")
    if answer.status == 423:
        return
    offset = _told(answer)
    trial.check(
        offset is not None,
        f"HEAD was answered {answer.status} with Upload-Offset"
        f" {answer.get('upload-offset') or 'missing'}; a client then begins again from zero,"
        " where 423 would make it wait",
        at=answer,
    )
    trial.check(
        offset is None or offset <= _SENT,
        f"HEAD tells the offset {offset}, when {_SENT} bytes had been sent",
        at=answer,
    )


@case("LOCK-02", Level.CLIENT, _CLIENTS, slow=True)
def patch_of_a_locked_upload(trial: Trial) -> None:
    """PATCH during a PATCH takes its place or is answered 423, so that a client tries again."""
    upload = trial.create(len(_CONTENT))
    with _held(trial, upload):
        answer = _patient(trial, upload, "PATCH", 0, _CONTENT)
    if answer.status == 423:
        return
    if answer.status == 409:
        # The other request has been ended first and has left its bytes: then 0 is wrong.
        offset = upload.offset()
        trial.check(
            0 < offset <= _SENT,
            f"PATCH at 0 was refused with 409, but the offset is {offset}; locked is 423",
            at=answer,
        )
        return
    trial.check(
        200 <= answer.status < 300,
        f"PATCH was answered {answer.status}, expected 423 or success",
        at=answer,
    )


@case("LOCK-03", Level.ROBUST, _CLIENTS, slow=True)
def offset_of_a_lost_request_holds(trial: Trial) -> None:
    """The offset that HEAD tells is where the next PATCH goes on; no late bytes come between."""
    upload = trial.create(len(_CONTENT))
    with _held(trial, upload) as old:
        offset = _offset_beside(trial, upload)
        if old.answered(_PAUSE):
            # It was ended for HEAD, so what it still sends must not count.
            old.send(_CONTENT[_SENT:])
            old.pause(_PAUSE)
        rest = _CONTENT[offset:].translate(_OTHER)
        answer = _patient(trial, upload, "PATCH", offset, rest)
        if answer.status == 423:
            trial.skip("no request takes the place of another one here, not even of a silent one")
        trial.require(
            200 <= answer.status < 300,
            f"HEAD told the offset {offset}, but PATCH at {offset} was answered {answer.status}",
            at=answer,
        )
        old.send(_CONTENT[_SENT:])
        old.pause(_PAUSE)
        upload.holds(_CONTENT[:offset] + rest)


_OTHER = bytes.maketrans(b"0123456789", b"abcdefghij")
"""Makes the bytes of the second request unlike those of the first."""


@case("LOCK-04", Level.CLIENT, _CLIENTS, slow=True)
def answer_to_the_one_that_lost(trial: Trial) -> None:
    """A request that another one has taken the place of is answered so that it is tried again."""
    upload = trial.create(len(_CONTENT))
    with _held(trial, upload) as old:
        offset = _offset_beside(trial, upload)
        # Not to the end: a finished upload is another reason to refuse what comes late.
        answer = _patient(trial, upload, "PATCH", offset, b"ab")
        if not 200 <= answer.status < 300:
            trial.skip(f"no request takes the place of another one here: {answer.status}")
        if not old.answered(_PAUSE):
            old.send(_CONTENT[_SENT:])
        try:
            lost = old.read()
        except NoResponse as error:
            trial.note(f"The one that lost got no answer: {error}.")
            return
    # tus-java-client tries again after 423 and 5xx only, tus-js-client after 409 too.
    retried = lost.status in (409, 423) or lost.status >= 500
    trial.check(
        retried or 200 <= lost.status < 300,
        f"the request that lost was answered {lost.status}, which clients take for final;"
        " better 423",
        at=lost,
    )
    if lost.status != 423:
        trial.note(f"The one that lost was answered {lost.status}; 423 suits all clients.")


@case("LOCK-05", Level.ROBUST, _CLIENTS, slow=True)
def locks_of_clients_that_are_gone(trial: Trial) -> None:
    """Who has lost a client lets the next one go on soon; a silent one, after its time-out."""
    leaving = (
        ("closed the connection", Connection.close, min(_WAIT, trial.options.stall)),
        ("reset the connection", Connection.reset, min(_WAIT, trial.options.stall)),
        ("fell silent", _fall_silent, trial.options.stall),
    )
    with ExitStack() as stack:
        left = []
        for what, leave, seconds in leaving:
            upload = trial.create(len(_CONTENT))
            upload.look()
            old = stack.enter_context(trial.connect(upload.url))
            _begin(trial, upload, old)
            leave(old)
            left.append((what, upload, seconds))
        for what, upload, seconds in left:
            seen: list[str] = []
            goes_on = trial.check(
                trial.poll(partial(_goes_on, trial, upload, seen), seconds),
                f"{seconds:g} s after a client {what} in mid-PATCH the upload could not go on:"
                f" {seen[-1] if seen else 'nothing was answered'}",
            )
            if goes_on:
                upload.holds(_CONTENT)


def _fall_silent(connection: Connection) -> None:
    """The other side cannot tell this from a cable that was pulled out."""


def _goes_on(trial: Trial, upload: Upload, seen: list[str]) -> bool:
    """Resume as a client does; whether the upload is finished. What came is added to `seen`."""
    try:
        head = _patient(trial, upload, "HEAD")
        offset = _told(head)
        if offset is None:
            seen.append(f"HEAD was answered {head.status}")
            return False
        answer = _patient(trial, upload, "PATCH", offset, _CONTENT[offset:])
    except NoResponse as error:
        seen.append(str(error))
        return False
    seen.append(f"PATCH was answered {answer.status}")
    return 200 <= answer.status < 300
