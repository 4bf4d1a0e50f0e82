"""EXP-01 to EXP-10: uploads that end by themselves.

What a server says of it can always be looked at. What it does needs to know after how many seconds
uploads expire (`Options.expiry`), and waits that long, so those cases are slow. A server may look
for expired uploads only now and then: they get a few seconds more.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime

from conformance import finals
from conformance.model import Level, State
from conformance.registry import case
from conformance.trial import BYTES, Trial, Upload
from conformance.wire import Address, NoResponse, Response

_SECTION = "Expiration / Upload-Expires"
_EXTENSION = "expiration"
_FIELD = "upload-expires"
_GONE = (404, 410)
_NEVER = "there is no Upload-Expires in any response (EXP-01)"
_LATE = 5.0
"""Seconds after which an expired upload should be gone."""
_LONGEST = 60.0
"""Seconds of expiry that a run waits for."""
_STEP = 0.5
"""Seconds between the bytes of a slow PATCH."""

_FIXDATE = re.compile(
    r"[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT", re.ASCII
)


def _date(text: str) -> datetime | None:
    """What an IMF-fixdate (RFC 9110 5.6.7) means; None if it is none."""
    if _FIXDATE.fullmatch(text) is None:
        return None
    try:
        date = parsedate_to_datetime(text).astimezone(UTC)
    except ValueError:
        return None
    # Parsers do not look at the weekday.
    return date if format_datetime(date, usegmt=True) == text else None


def _life(trial: Trial) -> Iterator[tuple[str, Upload, Response]]:
    """The successful responses in the life of an unfinished upload, each with its name."""
    created = trial.post([("Upload-Length", "10")])
    upload = trial.made(created)
    yield "the creation", upload, created
    yield "HEAD of the new upload", upload, upload.head()
    for offset in (0, 3, 6):
        answer = upload.patch(offset, b"abc")
        trial.assume(answer.status < 300, f"PATCH was answered {answer.status}")
        yield f"PATCH at {offset} of 10", upload, answer
    yield "HEAD of the unfinished upload", upload, upload.head()


def _expiry(trial: Trial) -> float:
    """After how many seconds uploads expire; the case does not apply if that is not known."""
    seconds = trial.options.expiry
    if seconds is None:
        trial.skip("it is not known when uploads of this server expire (--expiry)")
    if seconds > _LONGEST:
        trial.skip(f"uploads expire after {seconds:g} s: too long to wait for")
    return seconds


def _found(state: State) -> bool:
    return 200 <= state.status < 300


@case("EXP-01", Level.MUST, "Expiration")
def expiration_is_advertised(trial: Trial) -> None:
    """Upload-Expires is sent if, and only if, expiration is advertised."""
    sent = [name for name, _, response in _life(trial) if _FIELD in response]
    if _EXTENSION in trial.facts.extensions:
        trial.check(
            bool(sent),
            "expiration is advertised, and there is no Upload-Expires in the responses to creation,"
            " HEAD and PATCH: if uploads do not expire, nobody has to be told",
            # It is due "if the upload is going to expire", which nobody can see from outside.
            level=Level.SHOULD,
        )
    else:
        trial.check(
            not sent,
            f"expiration is not advertised, and there is an Upload-Expires in {', '.join(sent)}",
        )


@case("EXP-02", Level.MUST, _SECTION, needs=_EXTENSION)
def the_date_is_a_fixdate(trial: Trial) -> None:
    """Upload-Expires is one date like "Sun, 06 Nov 1994 08:49:37 GMT", and in the future."""
    seen = False
    for name, _, response in _life(trial):
        values = response.all(_FIELD)
        if not values:
            continue
        seen = True
        trial.check(len(values) == 1, f"{name}: Upload-Expires {len(values)} times", at=response)
        date = _date(values[0])
        trial.check(
            date is not None,
            f"{name}: Upload-Expires {values[0]!r} is no IMF-fixdate (RFC 9110 5.6.7)",
            at=response,
        )
        # By the server's own clock if it tells the time.
        now = _date(response.get("date") or "") or datetime.now(UTC).replace(microsecond=0)
        trial.check(
            date is None or date >= now,
            f"{name}: Upload-Expires {values[0]!r} is in the past, it is {now:%H:%M:%S} there",
            at=response,
        )
    if not seen:
        trial.skip(_NEVER)


@case("EXP-03", Level.MUST, _SECTION, needs=_EXTENSION)
def creation_tells_the_date(trial: Trial) -> None:
    """The response to a creation has Upload-Expires, if it is known by then."""
    sizes = [("Upload-Length", "10")]
    if "creation-defer-length" in trial.facts.extensions:
        sizes.append(("Upload-Defer-Length", "1"))
    for size in sizes:
        created = trial.post([size])
        upload = trial.made(created)
        if _FIELD in created:
            continue
        where = f"creation with {size[0]}: no Upload-Expires"
        if _FIELD in upload.head():
            trial.check(False, f"{where}, and HEAD right after it has one", at=created)
            continue
        patched = upload.patch(0, b"abc")
        if _FIELD not in patched:
            trial.skip(_NEVER)
        # Known "at the creation"? From outside nobody can tell.
        trial.check(False, f"{where}, and the first PATCH has one", level=Level.SHOULD, at=created)


@case("EXP-04", Level.MUST, _SECTION, needs=_EXTENSION)
def each_patch_tells_the_date(trial: Trial) -> None:
    """The response to a PATCH has Upload-Expires as long as the upload is going to expire."""
    life = list(_life(trial))
    if not any(_FIELD in response for _, _, response in life):
        trial.skip(_NEVER)
    for name, _, response in life:
        trial.check(
            _FIELD in response or not name.startswith("PATCH"),
            f"{name}: no Upload-Expires in the response",
            at=response,
        )
    _, upload, _ = life[-1]
    refused = upload.patch(1, b"abc")
    # "every `PATCH` response": whether errors are meant too is not clear (AMB-17).
    trial.check(
        _FIELD in refused or refused.status < 400,
        f"PATCH at a wrong offset was answered {refused.status} without Upload-Expires",
        level=Level.SHOULD,
        at=refused,
    )


@case("EXP-05", Level.ROBUST, _SECTION, needs=_EXTENSION)
def finished_uploads_do_not_expire(trial: Trial) -> None:
    """The PATCH that finishes an upload has no Upload-Expires, unless it expires all the same."""
    upload = trial.create(10)
    answer = upload.patch(0, b"helloworld")
    trial.assume(answer.status < 300, f"the upload was not finished: {answer.status}")
    head = upload.head()
    if _FIELD not in answer:
        trial.check(
            _FIELD not in head,
            "the last PATCH has no Upload-Expires, and HEAD of the finished upload has one",
            at=head,
        )
        return
    trial.check(
        _FIELD in head or head.status >= 300,
        "the last PATCH has an Upload-Expires, and HEAD of the finished upload has none",
        at=answer,
    )
    trial.check(
        False,
        "the last PATCH has an Upload-Expires: is the finished upload going to expire?",
        level=Level.MAY,
        at=answer,
    )


@case("EXP-06", Level.MAY, _SECTION, needs=_EXTENSION)
def the_date_moves_forward(trial: Trial) -> None:
    """Upload-Expires may change from response to response, and not to an earlier time."""
    last: tuple[str, datetime] | None = None
    for name, _, response in _life(trial):
        date = _date(response.get(_FIELD) or "")
        if date is None:
            continue
        trial.check(
            last is None or date >= last[1],
            f"Upload-Expires is {date:%H:%M:%S} in {name}, and was {last} before",
            at=response,
        )
        last = (name, date)
    if last is None:
        trial.skip(_NEVER)


@case("EXP-07", Level.SHOULD, _SECTION, needs=_EXTENSION, slow=True)
def expired_uploads_are_gone(trial: Trial) -> None:
    """An expired upload is answered 404 or 410, without Upload-Offset, and takes no bytes."""
    expiry = _expiry(trial)
    upload = trial.create(10)
    answer = upload.patch(0, b"hello")
    trial.assume(answer.status < 300, f"PATCH was answered {answer.status}")
    trial.wait(expiry + 1)
    late = not trial.poll(lambda: not _found(upload.state()), _LATE)
    after = f"{expiry + 1 + _LATE * late:g} s after its last byte (it expires after {expiry:g} s)"
    head = upload.head()
    # 403 to a HEAD is in the specification's list too.
    trial.expect(head, *_GONE, 403, where=f"HEAD of an upload {after}")
    patched = upload.patch(5, b"world")
    trial.expect(patched, *_GONE, where=f"PATCH of an upload {after}")
    for name, response in (("HEAD", head), ("PATCH", patched)):
        trial.check(
            _FIELD not in response and "upload-offset" not in response,
            f"{name} of an expired upload: Upload-Offset or Upload-Expires in the response",
            at=response,
        )


@case("EXP-08", Level.MAY, "Expiration", needs=_EXTENSION, slow=True)
def finished_uploads_stay(trial: Trial) -> None:
    """A finished upload is still there when an unfinished one would have expired."""
    expiry = _expiry(trial)
    if trial.options.finished_gone:
        trial.skip("this server takes finished uploads away")
    upload = trial.create(5)
    answer = upload.patch(0, b"hello")
    trial.assume(answer.status < 300, f"the upload was not finished: {answer.status}")
    state = upload.state()
    trial.assume(_found(state), f"the finished upload is not there: {state}")
    trial.wait(expiry + 3)
    state = upload.state()
    # tus lets servers remove unfinished uploads, and is silent on others. To remove one that is
    # said to be complete and not to expire loses a file.
    announced = _FIELD in answer
    trial.check(
        _found(state),
        f"a finished upload is gone {expiry + 3:g} s later, as was"
        f" {'announced' if announced else 'never announced'}: {state}",
        level=Level.MAY if announced else Level.ROBUST,
    )


@case("EXP-09", Level.ROBUST, "Expiration", needs=_EXTENSION, slow=True)
def expiry_during_a_patch(trial: Trial) -> None:
    """A PATCH that outlives its upload ends with an answer that HEAD agrees with."""
    expiry = _expiry(trial)
    body = b"x" * math.ceil((expiry + 2) / _STEP)
    upload = trial.create(len(body))
    fields = [BYTES, ("Upload-Offset", "0"), ("Content-Length", str(len(body)))]
    with trial.connect(upload.url) as connection:
        connection.request("PATCH", Address.of(upload.url).target, trial.fields(fields))
        for at in range(len(body)):
            connection.pause(_STEP)
            if connection.answered():
                break
            connection.send(body[at : at + 1])
        try:
            answer = connection.read()
        except NoResponse as error:
            trial.require(False, f"a PATCH of {len(body) * _STEP:g} s was not answered: {error}")
            return
    trial.note(f"The PATCH was answered {answer.status}.")
    for later in (0.0, 1.0):
        if later:
            trial.wait(later)
        _agrees(trial, answer, upload, len(body))


def _agrees(trial: Trial, answer: Response, upload: Upload, length: int) -> None:
    """Check that what a PATCH of `length` bytes was told is what HEAD says."""
    state = upload.state()
    gone = state.status in (*_GONE, 403)
    told = f"a PATCH during which the upload expired was answered {answer.status}, then {state}"
    if answer.status < 300:
        finished = _found(state) and state.offset == str(length)
        trial.check(
            finished or (gone and trial.options.finished_gone), f"{told}: expected all its bytes"
        )
    elif answer.status in _GONE:
        trial.check(gone, f"{told}: expected it to be gone")
    else:
        trial.check(
            gone or (_found(state) and int(state.offset or 0) <= length),
            f"{told}: expected it to be gone, or unfinished",
        )


@case("EXP-10", Level.ROBUST, "Concatenation", needs=_EXTENSION, slow=True)
def finals_outlive_their_parts(trial: Trial) -> None:
    """A final upload stays whole when the partial uploads that it was made of expire."""
    expiry = _expiry(trial)
    if "concatenation" not in trial.facts.extensions:
        trial.skip("concatenation is not advertised")
    if trial.options.finished_gone:
        trial.skip("this server takes finished uploads away")
    parts = trial.partial(b"hello"), trial.partial(b"world")
    final = finals.final(trial, *parts)
    before = final.state()
    trial.assume(_found(before), f"the final upload is not found: {before}")
    trial.wait(expiry + 1)
    if not trial.poll(lambda: not any(_found(part.state()) for part in parts), _LATE):
        trial.note(f"The parts are still there {expiry + 1 + _LATE:g} s later.")
    after = final.state()
    trial.require(_found(after), f"the final upload is gone when its parts expire: {after}")
    final.holds(b"helloworld")
