"""HEAD-01 to HEAD-13: what a client asks before it goes on.

HEAD-10 and HEAD-11 are rows of metadata and of deferred lengths; see `conformance.untested`.
"""

from __future__ import annotations

from email.utils import parsedate_to_datetime

from conformance.model import Level
from conformance.registry import case
from conformance.trial import Trial, Upload
from conformance.wire import Address, Response

_CONTENT = b"0123456789"
_SECTION = "Requests / HEAD"
_TIMES = 20


def _is(value: str | None, number: int) -> bool:
    """Whether a field has this value. That it is written in digits is CORE-GEN-2."""
    return value is not None and value.isascii() and value.isdigit() and int(value) == number


@case("HEAD-01", Level.MUST, _SECTION)
def offset_of_a_new_upload(trial: Trial) -> None:
    """HEAD tells the offset of a new upload, which is 0, in an answer that is only a head."""
    upload = trial.create(10)
    with trial.connect(upload.url) as connection:
        answer = upload.request("HEAD", on=connection)
        offset = answer.get("upload-offset")
        trial.check(
            _is(offset, 0),
            f"answered {answer.status} with Upload-Offset {offset}, expected 0",
            at=answer,
        )
        closes = "close" in (it.lower() for it in answer.members("connection"))
        if closes or trial.exchanges[answer.index].response.startswith("HTTP/1.0"):
            return
        # CORE-GEN-3 sees what comes with the head; a body that comes later is seen here.
        again = upload.request("HEAD", on=connection)
        offset = again.get("upload-offset")
        trial.check(
            _is(offset, 0),
            f"on the same connection again: {again.status} with Upload-Offset {offset}",
            at=again,
        )


@case("HEAD-02", Level.MUST, _SECTION)
def offset_of_a_finished_upload(trial: Trial) -> None:
    """HEAD tells the offset of a finished upload, which is its length."""
    upload = trial.finished(_CONTENT)
    answer = upload.head()
    if trial.options.finished_gone and answer.status in (404, 410):
        trial.note("Finished uploads are taken away from this server.")
        return
    offset = answer.get("upload-offset")
    trial.check(
        _is(offset, len(_CONTENT)),
        f"answered {answer.status} with Upload-Offset {offset}, expected {len(_CONTENT)}",
    )


@case("HEAD-03", Level.MUST, _SECTION)
def length(trial: Trial) -> None:
    """HEAD tells the length of an upload if it is known."""
    answer = trial.create(10).head()
    told = answer.get("upload-length")
    trial.check(
        _is(told, 10), f"answered {answer.status} with Upload-Length {told or 'missing'}, not 10"
    )


@case("HEAD-04", Level.SHOULD, _SECTION)
def status(trial: Trial) -> None:
    """HEAD of an upload is answered 200 or 204."""
    trial.expect(trial.create(10).head(), 200, 204)


@case("HEAD-05", Level.MUST, _SECTION)
def not_cached(trial: Trial) -> None:
    """No cache may keep what HEAD tells of an upload: Cache-Control has no-store."""
    upload = trial.create(10)
    _not_stored(trial, upload.look(), "HEAD of a new upload")
    answer = upload.patch(0, b"hello")
    trial.assume(200 <= answer.status < 300, f"PATCH was answered {answer.status}")
    _not_stored(trial, upload.look(), "HEAD of a begun upload")


@case("HEAD-06", Level.ROBUST, _SECTION)
def absence_not_cached(trial: Trial) -> None:
    """No cache may keep that an upload is unknown: 404 and 410 may be cached unless told."""
    answer = trial.unknown().head()
    # RFC 9110 15.1: 404 and 410 are heuristically cacheable, 403 is not.
    if answer.status not in (404, 410):
        trial.note(f"Unknown uploads are answered {answer.status}, which is not cached unasked.")
        return
    _not_stored(trial, answer, f"{answer.status} to HEAD of an unknown upload")


def _not_stored(trial: Trial, answer: Response, what: str) -> None:
    directives = [it.lower() for it in answer.members("cache-control")]
    trial.check(
        "no-store" in directives,
        f"{what} has Cache-Control {answer.get('cache-control')!r}, without no-store",
        at=answer,
    )


@case("HEAD-07", Level.SHOULD, _SECTION)
def unknown_upload(trial: Trial) -> None:
    """HEAD of an unknown upload is answered 404, 410 or 403."""
    trial.expect(trial.unknown().head(), 404, 410, 403)


# SHOULD in the specification; and a client judges by it alone, which weighs as much.
@case("HEAD-08", Level.CLIENT, _SECTION)
def no_offset_of_an_unknown_upload(trial: Trial) -> None:
    """HEAD of an unknown upload tells no offset: tus-py-client takes one for success."""
    answer = trial.unknown().head()
    offset = answer.get("upload-offset")
    trial.check(offset is None, f"{answer.status} with Upload-Offset {offset}")


_TRAVERSALS = (
    "..",
    "../..",
    "../../../../../../../../etc/passwd",
    "%2e%2e%2f%2e%2e%2f%2e%2e%2f%2e%2e%2f%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "..%2f..%2f..%2f..%2f..%2f..%2fetc%2fpasswd",
    "%252e%252e%252fetc%252fpasswd",
    "%2fetc%2fpasswd",
    "/etc/passwd",
)
"""Segments that leave the directory of uploads, in case something joins paths."""


@case("HEAD-09", Level.ROBUST, _SECTION)
def strange_names(trial: Trial) -> None:
    """A name that no upload can have is not found, whatever it would mean to a file system."""
    upload = trial.create(10)
    base, _, name = upload.url.rstrip("/").rpartition("/")
    odd = ("%00", f"{name}%00", f"{name}%00.txt", "..\\..", "..%5c..%5cboot.ini", "%ff", "%0d%0a")
    for segment in (*odd, "a" * 4000):
        answer = Upload(trial, f"{base}/{segment}").head()
        where = f"HEAD {_short(segment)}"
        trial.check(
            400 <= answer.status < 500,
            f"{where}: answered {answer.status}, expected 404",
            at=answer,
        )
        _tells_nothing(trial, answer, where)
    # These may become the address of another page on the way, which may well be there.
    for segment in ("", "/", *_TRAVERSALS):
        for method in ("HEAD", "GET"):
            answer = Upload(trial, f"{base}/{segment}").request(method)
            where = f"{method} {_short(segment)}"
            trial.check(answer.status < 500, f"{where}: answered {answer.status}", at=answer)
            _tells_nothing(trial, answer, where)
            trial.check(b"root:" not in answer.body, f"{where}: a system file came", at=answer)
    _trailing_slash(trial, upload)


def _tells_nothing(trial: Trial, answer: Response, where: str) -> None:
    offset = answer.get("upload-offset")
    trial.check(offset is None, f"{where}: {answer.status} with Upload-Offset {offset}", at=answer)


def _short(segment: str) -> str:
    return repr(segment) if len(segment) < 80 else f"{segment[:20]!r}… ({len(segment)} characters)"


def _trailing_slash(trial: Trial, upload: Upload) -> None:
    """With a slash more the address means the same upload to all methods, or to none."""
    other = upload.url.removesuffix("/") if upload.url.endswith("/") else f"{upload.url}/"
    head = Upload(trial, other).head()
    patch = Upload(trial, other).patch(0, b"hello")
    stored = upload.offset()
    if head.status >= 300:
        trial.check(
            patch.status >= 300 and stored == 0,
            f"HEAD {Address.of(other).target} was answered {head.status}, but PATCH"
            f" {patch.status}, and then the offset is {stored}",
        )
        return
    offset = head.get("upload-offset")
    trial.check(
        _is(offset, 0), f"with another slash at the end, Upload-Offset is {offset}", at=head
    )
    trial.check(
        200 <= patch.status < 300 and stored == len(b"hello"),
        f"HEAD {Address.of(other).target} found the upload, but PATCH was answered"
        f" {patch.status}, and then the offset is {stored}",
        at=patch,
    )


@case("HEAD-12", Level.ROBUST, _SECTION)
def no_effect(trial: Trial) -> None:
    """HEAD changes nothing, however often it is sent and whatever the upload is."""
    begun = trial.create(10)
    answer = begun.patch(0, b"hello")
    trial.assume(200 <= answer.status < 300, f"PATCH was answered {answer.status}")
    kinds = {"a begun upload": begun, "a finished upload": trial.finished(_CONTENT)}
    if "concatenation" in trial.facts.extensions:
        # Two of them: one that is joined may be removed.
        kinds["a partial upload"] = trial.partial(_CONTENT)
        kinds["a final upload"] = trial.made(trial.join(trial.partial(_CONTENT)))
    for what, upload in kinds.items():
        first = upload.head()
        if trial.options.finished_gone and upload is not begun and first.status in (404, 410):
            continue
        trial.check(
            200 <= first.status < 300, f"HEAD of {what} was answered {first.status}", at=first
        )
        with upload.unchanged(f"HEAD of {what}"):
            for _ in range(_TIMES):
                upload.head()
        expiry = first.get("upload-expires")
        if expiry is not None and upload.head().get("upload-expires") != expiry:
            trial.note(f"HEAD of {what} tells an expiry that moves.")
    answer = begun.patch(5, b"world")
    trial.check(
        200 <= answer.status < 300,
        f"after {_TIMES} HEADs the upload could not go on: PATCH was answered {answer.status}",
        at=answer,
    )


@case("HEAD-13", Level.MAY, "Expiration / Upload-Expires", needs="expiration")
def expiry(trial: Trial) -> None:
    """If HEAD tells when an upload expires, it tells the same as its creation did."""
    created = trial.post([("Upload-Length", "10")], b"")
    head = trial.made(created).head()
    told = head.get("upload-expires")
    if told is None:
        trial.note("HEAD does not tell when an upload expires; clients that resume have only that.")
        return
    at = _seconds(told)
    if at is None:
        trial.check(False, f"Upload-Expires {told!r} is no date", at=head)
        return
    before = created.get("upload-expires")
    earliest = _seconds(before or "")
    # A creation without a valid one is the business of EXP-01 and EXP-02.
    trial.check(
        earliest is None or at >= earliest,
        f"creation said that the upload expires at {before}, HEAD says earlier, at {told}",
        at=head,
    )


def _seconds(date: str) -> float | None:
    """Since the epoch; None if it is no date."""
    try:
        return parsedate_to_datetime(date).timestamp()
    except ValueError:
        return None
