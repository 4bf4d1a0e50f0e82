"""CSUM-01 to CSUM-14: a body is stored only if it has the checksum that came with it."""

from __future__ import annotations

import re
from collections.abc import Callable

from conformance.digests import checksum, digests, encoded
from conformance.model import Level
from conformance.registry import case
from conformance.trial import BYTES, Trial, Upload
from conformance.wire import Address, Connection, Field, NoResponse, Response

_SECTION = "Checksum"
_HEADER = "Checksum / Upload-Checksum"
_DATA = b"hello world"
_OTHER = b"Hello world"
"""As long, but other bytes: their checksums are wrong for `_DATA`."""
_RIGHT = checksum(_DATA)
_WRONG = checksum(_OTHER)
_DIGEST = encoded(digests("sha1", _DATA)[""])
_NAME = re.compile(r"[!-+\--@\[-~]+")
"""Visible ASCII without upper case, and without the comma that separates names."""
_LARGE = 64 << 20
_PAUSE = 0.3


def _mismatch(trial: Trial, response: Response, *, where: str = "") -> None:
    """Check for 460. The status is a MAY ("the Server MAY respond with one of …")."""
    trial.expect_refusal(response, 460, where=where, level=Level.SHOULD)


@case("CSUM-01", Level.MUST, "Checksum / Tus-Checksum-Algorithm", needs="checksum")
def algorithms_are_told(trial: Trial) -> None:
    """OPTIONS lists the algorithms in Tus-Checksum-Algorithm, and sha1 is among them."""
    answer = trial.request("OPTIONS", tus=None)
    trial.require("tus-checksum-algorithm" in answer, "there is no Tus-Checksum-Algorithm")
    names = answer.members("tus-checksum-algorithm")
    trial.check("sha1" in names, f"sha1 is not among {names}")
    trial.check(all(names), f"an empty member in {answer.get('tus-checksum-algorithm')!r}")


@case("CSUM-02", Level.MUST, _SECTION, needs="checksum")
def algorithm_names(trial: Trial) -> None:
    """The names of algorithms are ASCII without upper case letters."""
    answer = trial.request("OPTIONS", tus=None)
    for name in answer.members("tus-checksum-algorithm"):
        # An empty member is the business of CSUM-01.
        trial.check(
            not name or _NAME.fullmatch(name) is not None,
            f"{name!r} is not a name in ASCII without upper case letters",
        )


@case("CSUM-03", Level.MUST, _SECTION, needs="checksum")
def right_checksum(trial: Trial) -> None:
    """A PATCH whose body has the checksum is answered 204, with every algorithm advertised."""
    for name in trial.facts.algorithms:
        ways = digests(name, _DATA)
        if not ways:
            trial.note(f"{name} was not tried: this suite does not know it.")
        else:
            _accepted(trial, name, ways)


def _accepted(trial: Trial, name: str, ways: dict[str, bytes]) -> None:
    """Check that a right digest is taken, whichever way it is written."""
    upload = trial.create(len(_DATA))
    statuses = {}
    for way, digest in ways.items():
        answer = upload.patch(0, _DATA, [("Upload-Checksum", f"{name} {encoded(digest)}")])
        if 200 <= answer.status < 300:
            if way:
                trial.note(f"{name}: {way}.")
            trial.expect(answer, 204, where=name)
            upload.holds(_DATA)
            return
        statuses[f"{way}: {answer.status}" if way else str(answer.status)] = answer
    trial.check(
        False,
        f"PATCH with the right {name} checksum was answered {'; '.join(statuses)}, expected 204",
    )


@case("CSUM-04", Level.MUST, _SECTION, needs="checksum")
def wrong_checksum(trial: Trial) -> None:
    """A body that has not the checksum is discarded and answered 460; it can be sent again."""
    upload = trial.create(len(_DATA))
    with upload.unchanged("PATCH with a wrong checksum"):
        _mismatch(trial, upload.patch(0, _DATA, [_WRONG]), where="a wrong sha1 checksum")
    trial.expect(upload.patch(0, _DATA, [_RIGHT]), 204, where="the same bytes with the right one")
    upload.holds(_DATA)
    for name in trial.facts.algorithms:
        for digest in list(digests(name, _OTHER).values())[:1]:
            upload = trial.create(len(_DATA))
            value = f"{name} {encoded(digest)}"
            with upload.unchanged(f"PATCH with a wrong {name} checksum"):
                answer = upload.patch(0, _DATA, [("Upload-Checksum", value)])
                _mismatch(trial, answer, where=f"a wrong {name} checksum")


@case("CSUM-05", Level.MUST, _SECTION, needs="checksum")
def unknown_algorithm(trial: Trial) -> None:
    """A body with a checksum of an unknown algorithm is discarded and answered 400."""
    upload = trial.create(len(_DATA))
    unknown: Field = ("Upload-Checksum", f"unknown {_DIGEST}")
    with upload.unchanged("PATCH with an unknown algorithm"), trial.connect(upload.url) as wire:
        _announce(trial, upload, wire, [unknown])
        if wire.answered(_PAUSE):
            trial.note("Answered before the body was sent.")
        else:
            wire.send(_DATA)
        # "the Server MAY respond with": the status is not what binds.
        trial.expect_refusal(wire.read(), 400, level=Level.SHOULD)
    trial.expect(upload.patch(0, _DATA, [_RIGHT]), 204, where="the same bytes with sha1")


def _announce(trial: Trial, upload: Upload, wire: Connection, headers: list[Field]) -> None:
    """Send the head of a PATCH of `_DATA`."""
    fields = [BYTES, ("Upload-Offset", "0"), ("Content-Length", str(len(_DATA))), *headers]
    wire.request("PATCH", Address.of(upload.url).target, trial.fields(fields))


_MALFORMED = {
    "no digest": "sha1",
    "no algorithm": _DIGEST,
    "nothing": "",
    "another separator": f"sha1:{_DIGEST}",
    "two spaces": f"sha1  {_DIGEST}",
    "more behind the digest": f"sha1 {_DIGEST} more",
    "no Base64": "sha1 !!!!",
    "half of a Base64 group": "sha1 Kq5sN",
    "hexadecimal": f"sha1 {digests('sha1', _DATA)[''].hex()}",
    "two in one line": f"sha1 {_DIGEST},sha1 {_DIGEST}",
}
_OF_ANOTHER_LENGTH = {
    "a digest too short": encoded(digests("sha1", _DATA)[""][:-1]),
    "a digest too long": encoded(digests("sha1", _DATA)[""] + b"\0"),
    "the digest of another algorithm": encoded(digests("md5", _DATA)[""]),
}


@case("CSUM-06", Level.ROBUST, _HEADER, needs="checksum")
def malformed(trial: Trial) -> None:
    """A malformed Upload-Checksum is refused with 400 and nothing is stored."""
    values: dict[str, tuple[str, ...]] = {what: (value,) for what, value in _MALFORMED.items()}
    values["two lines that differ"] = (str(_RIGHT[1]), str(_WRONG[1]))
    values["two lines that differ, the wrong one first"] = (str(_WRONG[1]), str(_RIGHT[1]))
    for what, lines in values.items():
        where = f"Upload-Checksum {' and '.join(map(repr, lines))} ({what})"
        answer = _tried(trial, where, [("Upload-Checksum", line) for line in lines])
        trial.expect_refusal(answer, 400, where=where)
    for what, digest in _OF_ANOTHER_LENGTH.items():
        where = f"Upload-Checksum 'sha1 {digest}' ({what})"
        answer = _tried(trial, where, [("Upload-Checksum", f"sha1 {digest}")])
        # A digest that cannot be one is malformed, and just as well a mismatch.
        trial.expect_refusal(answer, 400, 460, where=where)


def _tried(trial: Trial, where: str, headers: list[Field]) -> Response:
    """PATCH to a new upload; if that is refused, nothing may have changed."""
    upload = trial.create(len(_DATA))
    before = upload.state()
    answer = upload.patch(0, _DATA, headers)
    if answer.status >= 300:
        after = upload.state()
        trial.check(
            before == after,
            f"{where}: answered {answer.status}, yet the upload changed from {before} to {after}",
        )
    return answer


@case("CSUM-07", Level.ROBUST, _HEADER, needs="checksum")
def upper_case(trial: Trial) -> None:
    """An algorithm in upper case is understood or refused, never ignored."""
    wrong = _tried(trial, "a wrong SHA1 checksum", [("Upload-Checksum", _upper(_WRONG))])
    trial.check(
        400 <= wrong.status < 500,
        f"PATCH with a wrong checksum under the name SHA1 was answered {wrong.status}",
        at=wrong,
    )
    right = _tried(trial, "the right SHA1 checksum", [("Upload-Checksum", _upper(_RIGHT))])
    if 200 <= right.status < 300:
        trial.note("SHA1 is taken for sha1.")
    else:
        trial.note("SHA1 is refused.")
        trial.expect_refusal(right, 400, where="the right checksum under the name SHA1")


def _upper(field: Field) -> str:
    return str(field[1]).replace("sha1", "SHA1")


@case("CSUM-08", Level.MUST, _SECTION, needs="checksum")
def checksum_of_the_request(trial: Trial) -> None:
    """The checksum is that of the request's body, not of the whole upload."""
    upload = trial.create(len(_DATA))
    for start, stop in ((0, 5), (5, len(_DATA))):
        piece = _DATA[start:stop]
        answer = upload.patch(start, piece, [checksum(piece)])
        trial.expect(answer, 204, where=f"bytes {start} to {stop} with their own checksum")
    upload.holds(_DATA)
    whole = trial.create(len(_DATA))
    answer = whole.patch(0, _DATA[:5])
    trial.assume(200 <= answer.status < 300, f"PATCH was answered {answer.status}")
    with whole.unchanged("PATCH of the rest with the checksum of the whole upload"):
        _mismatch(
            trial, whole.patch(5, _DATA[5:], [_RIGHT]), where="the checksum of the whole upload"
        )


@case("CSUM-09", Level.MUST, _SECTION, needs="checksum")
def wrong_checksum_at_the_end(trial: Trial) -> None:
    """An upload does not become finished by a body that has not the checksum."""
    upload = trial.create(len(_DATA))
    trial.expect(upload.patch(0, _DATA[:5], [checksum(_DATA[:5])]), 204, where="the first half")
    with upload.unchanged("the last PATCH, with a wrong checksum,"):
        answer = upload.patch(5, b" World", [checksum(_DATA[5:])])
        _mismatch(trial, answer, where="a wrong checksum of the last bytes")
    answer = upload.patch(5, _DATA[5:], [checksum(_DATA[5:])])
    trial.expect(answer, 204, where="the last bytes with the right checksum")
    upload.holds(_DATA)


@case("CSUM-10", Level.ROBUST, _SECTION, needs="checksum")
def interrupted(trial: Trial) -> None:
    """If a checked body breaks off, none of it is kept: nobody can verify it any more."""
    _interrupt(trial, Connection.close, "FIN")
    _interrupt(trial, Connection.reset, "RST")


def _interrupt(trial: Trial, leave: Callable[[Connection], None], how: str) -> None:
    upload = trial.create(len(_DATA))
    with trial.connect(upload.url) as wire:
        _announce(trial, upload, wire, [_RIGHT])
        wire.send(_DATA[:5])
        wire.pause(_PAUSE)
        leave(wire)
    # While the server still holds the upload, HEAD may be answered 423.
    trial.poll(lambda: upload.state().status < 300)
    offset = upload.offset()
    trial.check(
        offset == 0,
        f"after {how} behind 5 of {len(_DATA)} bytes with a checksum the offset is {offset},"
        " expected 0",
    )
    answer = upload.patch(offset, _DATA[offset:], [checksum(_DATA[offset:])])
    trial.expect(answer, 204, where=f"the rest from offset {offset}, after {how}")
    upload.holds(_DATA)


@case("CSUM-11", Level.ROBUST, _SECTION, needs="checksum")
def empty_body(trial: Trial) -> None:
    """An empty body with the checksum of nothing is answered 204; with another it is refused."""
    upload = trial.create(len(_DATA))
    for chunked in (False, True):
        framing = "in chunks" if chunked else "Content-Length: 0"
        with upload.unchanged(f"an empty PATCH ({framing})"):
            answer = upload.patch(0, b"", [checksum(b"")], chunked=chunked)
            trial.expect(answer, 204, where=f"the checksum of nothing ({framing})")
            answer = upload.patch(0, b"", [_RIGHT], chunked=chunked)
            _mismatch(trial, answer, where=f"an empty body with a wrong checksum ({framing})")


@case("CSUM-12", Level.ROBUST, _SECTION, without="checksum")
def not_advertised(trial: Trial) -> None:
    """A server without checksums refuses Upload-Checksum or verifies it all the same."""
    answer = _tried(trial, "a wrong checksum", [_WRONG])
    if 400 <= answer.status < 500:
        trial.note(f"A wrong checksum is refused with {answer.status}.")
        return
    # "A Client MAY include": who was not told of checksums gets none.
    trial.check(
        False,
        f"Upload-Checksum is ignored: a wrong one was answered {answer.status}",
        level=Level.MAY if answer.status < 300 else None,
        at=answer,
    )


@case("CSUM-13", Level.ROBUST, _SECTION, needs="checksum", slow=True)
def large_body(trial: Trial) -> None:
    """A checksum may be that of a large body: 64 MiB in one PATCH."""
    size = min(_LARGE, trial.facts.max_size or _LARGE)
    data = (bytes(range(256)) * (size // 256 + 1))[:size]
    upload = trial.create(size)
    with upload.unchanged(f"PATCH of {size} bytes with a wrong checksum"):
        answer = upload.patch(0, data, [checksum(data[:-1])])
        _mismatch(trial, answer, where=f"{size} bytes with a wrong checksum")
    answer = upload.patch(0, data, [checksum(data)])
    trial.expect(answer, 204, where=f"{size} bytes with their checksum")
    trial.check(upload.offset() == size, f"the offset is not {size} after that")


@case("CSUM-14", Level.ROBUST, _SECTION, needs="checksum")
def unverified_bytes_are_no_progress(trial: Trial) -> None:
    """HEAD never tells an offset behind bytes that were not verified, during a PATCH or after."""
    upload = trial.create(len(_DATA))
    with trial.connect(upload.url) as wire:
        _announce(trial, upload, wire, [_WRONG])
        wire.send(_DATA[:-1])
        wire.pause(_PAUSE)
        _no_progress(trial, upload, f"while {len(_DATA) - 1} bytes had come", during=True)
        if not wire.answered():
            wire.send(_DATA[-1:])
        try:
            answer = wire.read()
        except NoResponse as error:
            trial.note(f"The PATCH was given up when HEAD came: {error}.")
        else:
            # A HEAD may have made it give up the upload: 423 and the like.
            trial.check(
                answer.status >= 300, f"the wrong checksum was answered {answer.status}", at=answer
            )
    # That PATCH may have been given up before it came to a mismatch.
    answer = upload.patch(0, _DATA, [_WRONG])
    trial.check(answer.status >= 300, f"the wrong checksum was answered {answer.status}", at=answer)
    for _ in range(3):
        _no_progress(trial, upload, "after the mismatch", during=False)


def _no_progress(trial: Trial, upload: Upload, when: str, *, during: bool) -> None:
    try:
        with trial.connect(upload.url, timeout=3) as wire:
            head = upload.request("HEAD", on=wire)
    except NoResponse as error:
        trial.assume(during, f"HEAD {when}: {error}")
        trial.note(f"HEAD {when}: {error}.")
        return
    offset = head.get("upload-offset")
    busy = during and head.status >= 300
    trial.check(
        busy or offset == "0",
        f"HEAD {when} was answered {head.status} with Upload-Offset {offset}, expected 0",
        at=head,
    )
