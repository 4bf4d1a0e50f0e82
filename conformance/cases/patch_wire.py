"""PATCH-11 to PATCH-13 and PATCH-19 to PATCH-23: the body of a PATCH as it comes over the wire.

In pieces, too slowly, only in part, from two sides at once, not wanted, or with the next request
right behind it. The bytes have no pattern, so that none of them can stand in for another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

from conformance.expectations import check_unwanted, has_answer
from conformance.model import Level
from conformance.registry import case
from conformance.trial import BYTES, Trial, Upload
from conformance.wire import Address, Connection, Field, NoResponse, Response

_SECTION = "Requests / PATCH"
_SIZE = 1 << 19
_SENT = 1 << 18
"""So many of `_SIZE` bytes are sent before the client goes away."""
_LOST_AT_MOST = 1 << 16
"""What HTTP servers have in a buffer when they notice that a client is gone."""
_DIGESTED = 0.3
"""Seconds in which a server has read what was sent, and would have answered an error."""


def _bytes(size: int) -> bytes:
    return hashlib.shake_128(b"tus").digest(size)


def _begin(
    connection: Connection,
    upload: Upload,
    offset: int,
    framing: Field,
    added: Sequence[Field] = (),
    *,
    first: bytes = b"",
) -> None:
    """Send the head of a PATCH, with the first bytes of its body."""
    fields: list[Field] = [BYTES, ("Upload-Offset", str(offset)), framing, *added]
    target = Address.of(upload.url).target
    connection.request("PATCH", target, upload.trial.fields(fields), first=first)


def _length(size: int) -> Field:
    return ("Content-Length", str(size))


_CHUNKED: Field = ("Transfer-Encoding", "chunked")


# --- clients that go away -------------------------------------------------------------------------


def _broken_off(trial: Trial) -> Iterator[tuple[str, Upload]]:
    """Uploads of `_SIZE` bytes whose client sent `_SENT` of them and went away, and how it did."""
    for leave in (Connection.close, Connection.reset):
        upload = trial.create(_SIZE)
        trial.assume(upload.offset() == 0, "a new upload is not empty")
        with trial.connect(upload.url) as connection:
            _begin(connection, upload, 0, _length(_SIZE))
            connection.send(_bytes(_SIZE)[:_SENT])
            connection.pause(_DIGESTED)
            leave(connection)
        way = "closed" if leave is Connection.close else "reset"
        yield f"the client {way} the connection after {_SENT} of {_SIZE} bytes", upload


@case("PATCH-11", Level.SHOULD, _SECTION)
def keep_what_came(trial: Trial) -> None:
    """When a client goes away within a PATCH, the bytes that have come are kept."""
    for where, upload in _broken_off(trial):
        has = _offset_to_come(upload)
        if has >= _SENT:
            continue
        if has >= _SENT - _LOST_AT_MOST:
            trial.note(f"{where}: {_SENT - has} bytes were lost.")
            continue
        kept = f"only {has} were kept" if has else "none was kept"
        trial.check(False, f"{where}: {kept}, and the client has to send the others again")


def _offset_to_come(upload: Upload) -> int:
    """The offset once all that was sent is stored, or the one after ten seconds."""
    offset = 0

    def all_kept() -> bool:
        nonlocal offset
        # No offset, but 423 or the like: the server has not noticed yet.
        text = upload.state().offset or ""
        offset = int(text) if text.isdecimal() else offset
        return offset >= _SENT

    upload.trial.poll(all_kept)
    return offset


@case("PATCH-12", Level.MUST, _SECTION)
def resume_what_was_broken_off(trial: Trial) -> None:
    """After a client went away, the upload goes on from its offset, with no byte wrong."""
    for where, upload in _broken_off(trial):
        _resume(upload, where)
        upload.holds(_bytes(_SIZE))


def _resume(upload: Upload, where: str) -> None:
    """Send what HEAD says is missing, as soon as the server has done with the other PATCH."""
    trial = upload.trial
    answer: Response | None = None
    told = ""

    def resumed() -> bool:
        nonlocal answer, told
        state = upload.state()
        text, told = state.offset or "", str(state)
        if not text.isdecimal():
            return False
        offset = int(text)
        trial.require(
            offset <= _SENT, f"{where}: only these were sent, and Upload-Offset is {offset}"
        )
        answer = upload.patch(offset, _bytes(_SIZE)[offset:])
        # Still storing what came: the offset was not the last word, or the lock is not free.
        return answer.status not in (409, 423)

    trial.poll(resumed)
    if answer is None:
        trial.require(False, f"{where}: ten seconds later, HEAD tells no Upload-Offset: {told}")
        return
    trial.require(
        200 <= answer.status < 300,
        f"{where}: PATCH at Upload-Offset was answered {answer.status}",
        at=answer,
    )


@case("PATCH-20", Level.SHOULD, _SECTION, slow=True)
def silent_client(trial: Trial) -> None:
    """A client that falls silent within a PATCH is given up: the connection is closed."""
    upload = trial.create(10)
    patience = trial.options.stall
    with trial.connect(upload.url) as connection:
        _begin(connection, upload, 0, _length(10), first=b"0")
        # Whatever is said before may well be an error: the client is not there to read it.
        rest = connection.rest(patience)
        connection.close()
    trial.require(
        rest is not None,
        f"1 of 10 bytes was sent and then none for {patience:g} s; the connection is still open",
    )
    kept = trial.poll(lambda: upload.state().offset == "1")
    trial.check(kept, f"1 of 10 bytes came before the client fell silent; then {upload.state()}")


# --- bodies in pieces -----------------------------------------------------------------------------


@case("PATCH-13", Level.ROBUST, _SECTION)
def chunks(trial: Trial) -> None:
    """PATCH takes a body in chunks, without Content-Length."""
    data = _bytes(100_000)
    upload = trial.create(len(data))
    with trial.connect(upload.url) as connection:
        _begin(connection, upload, 0, _CHUNKED)
        start = 0
        for size in (1, 2, 4095, 4096, 65536):
            connection.send_chunk(data[start : start + size])
            start += size
        connection.send_chunk(data[start:])
        connection.end_chunks()
        answer = connection.read()
    trial.expect(answer, 204, where=f"{len(data)} bytes in chunks")
    if answer.status < 300:
        upload.holds(data)


@case("PATCH-19", Level.ROBUST, _SECTION)
def two_at_once(trial: Trial) -> None:
    """Of two PATCHes at the same offset at the same time, the bytes of only one are stored."""
    size, step = 1 << 16, 1 << 13
    # Not finished by one of them, as some servers take finished uploads away.
    upload = trial.create(size + 1)
    letters = (b"A", b"B")
    with trial.connect(upload.url) as one, trial.connect(upload.url) as other:
        for connection in (one, other):
            _begin(connection, upload, 0, _length(size))
        for _ in range(0, size, step):
            for connection, letter in zip((one, other), letters, strict=True):
                connection.send(letter * step)
        answers = zip(letters, (_outcome(one), _outcome(other)), strict=True)
    succeeded = {letter: said for letter, said in answers if said is not None}
    trial.check(
        len(succeeded) < 2, "both PATCHes were answered as if their bytes had been stored at 0"
    )
    for letter, said in succeeded.items():
        trial.check(
            str(upload.offset()) == said,
            f"PATCH of {size} {letter.decode()} was answered with Upload-Offset"
            f" {said or 'missing'}, and yet {upload.state()}",
        )
    before = upload.offset()
    after = upload.offset()
    trial.check(before <= after, f"the offset went back, from {before} to {after}")
    rest = b"C" * (size + 1 - after)
    answer = upload.patch(after, rest)
    trial.assume(200 <= answer.status < 300, f"the rest was refused with {answer.status}")
    content = upload.content()
    if content is None:
        trial.note("The bytes were not compared: GET does not return them.")
        return
    whole = [letter * after + rest for letter in succeeded or letters]
    trial.check(
        content in whole,
        f"the stored bytes are not those of one PATCH: {content.count(b'A')} A, "
        f"{content.count(b'B')} B and {len(content) - content.count(b'A') - content.count(b'B')}"
        " others",
    )


def _outcome(connection: Connection) -> str | None:
    """The Upload-Offset of an answer that tells of success; None if there was none such.

    A request that was told to leave may get no answer at all.
    """
    try:
        answer = connection.read()
    except NoResponse:
        return None
    return answer.get("upload-offset") or "" if answer.status < 300 else None


# --- bodies that nobody wants ---------------------------------------------------------------------


def _unwanted(trial: Trial, size: int) -> Iterator[tuple[str, Upload, list[Field]]]:
    """PATCHes of `size` bytes that break one rule each: which, at what, with what fields."""
    version, kind, offset = ("Tus-Resumable", "1.0.0"), BYTES, ("Upload-Offset", "0")
    upload = trial.create(size)
    yield (
        "409, wrong Upload-Offset",
        trial.create(2 * size),
        [version, kind, ("Upload-Offset", "1")],
    )
    yield "415, wrong Content-Type", upload, [version, ("Content-Type", "text/plain"), offset]
    yield "404, no such upload", trial.unknown(), [version, kind, offset]
    yield "413, longer than the upload", trial.create(1), [version, kind, offset]
    yield "412, another version", upload, [("Tus-Resumable", "0.2.2"), kind, offset]


@case("PATCH-21", Level.ROBUST, "HTTP semantics")
def answer_before_the_end(trial: Trial) -> None:
    """A PATCH refused by its head is answered so that a client still sending gets to see it."""
    # RFC 9112 9.6: when a server closes while bytes come, the client may lose the answer.
    size, step = 4 << 20, 1 << 20
    for where, upload, fields in _unwanted(trial, size):
        with trial.connect(upload.url) as connection:
            target = Address.of(upload.url).target
            pairs = trial.fields([*fields, _length(size)], tus=None)
            connection.request("PATCH", target, pairs, first=bytes(step))
            connection.answered(_DIGESTED)
            sent = step
            while sent < size and connection.send(bytes(step)):
                sent += step
            try:
                answer = connection.read()
            except NoResponse as error:
                trial.check(False, f"{where}: a client that sends all {size} bytes gets: {error}")
                continue
        trial.check(
            sent == size,
            f"{where}: after the answer {answer.status} the server stopped reading, at {sent} of"
            f" {size} bytes; many clients then report a broken connection instead",
            at=answer,
        )


@case("PATCH-22", Level.ROBUST, "HTTP semantics")
def expectations(trial: Trial) -> None:
    """A PATCH with Expect: 100-continue is told 100 if it is welcome, and else only the error."""
    expect: Field = ("Expect", "100-continue")
    upload = trial.create(10)
    with trial.connect(upload.url) as connection:
        _begin(connection, upload, 0, _length(10), [expect])
        has_answer(connection)
        connection.send(b"0123456789")
        answer = connection.read()
    trial.check(
        100 in answer.interim,
        f"a good PATCH was not told 100, but only answered {answer.status}",
        at=answer,
    )
    trial.expect(answer, 204, where="a good PATCH with Expect: 100-continue")
    for where, refused, fields in _unwanted(trial, 1000):
        with trial.connect(refused.url) as connection:
            target = Address.of(refused.url).target
            pairs = trial.fields([*fields, _length(1000), expect], tus=None)
            connection.request("PATCH", target, pairs)
            if not has_answer(connection):
                connection.send(bytes(1000))
            answer = connection.read()
        check_unwanted(trial, answer, where)


# --- what comes next on the connection ------------------------------------------------------------


@case("PATCH-23", Level.ROBUST, "HTTP semantics")
def one_connection(trial: Trial) -> None:
    """Requests that follow a PATCH on its connection are answered, in order, even if pipelined."""
    upload = trial.create(10)
    with trial.connect(upload.url) as connection:
        answer = upload.patch(0, b"01234", on=connection)
        if _stays(trial, answer, "PATCH"):
            refused = upload.patch(1, b"x", on=connection)
            if _stays(trial, refused, "a refused PATCH"):
                _tells(trial, upload.request("HEAD", on=connection), 5, "after two PATCHes")
    target = Address.of(upload.url).target
    for offset, letter, framing, body in (
        (5, b"5", _length(1), b"5"),
        (6, b"6", _CHUNKED, b"1\r\n6\r\n0\r\n\r\n"),
    ):
        where = f"pipelined, behind a PATCH of {letter.decode()!r} with {framing[0]}"
        with trial.connect(upload.url) as connection:
            _begin(connection, upload, offset, framing, first=body)
            connection.request("HEAD", target, trial.fields())
            answer = connection.read()
            taken = answer.status < 300
            if not taken:
                # PATCH-02 and PATCH-13 are about that; HEAD has to be right all the same.
                trial.note(f"PATCH of {letter.decode()!r} with {framing[0]}: {answer.status}.")
            if _stays(trial, answer, "PATCH"):
                _tells(trial, connection.read(), offset + taken, where)


def _stays(trial: Trial, answer: Response, what: str) -> bool:
    """Whether the connection can be used for more. To close it is allowed, and a pity."""
    closes = "close" in (option.lower() for option in answer.members("connection"))
    if closes:
        trial.note(f"The connection is closed after {what}, answered {answer.status}.")
    return not closes


def _tells(trial: Trial, head: Response, offset: int, where: str) -> None:
    said = head.get("upload-offset")
    trial.assume(head.status < 300, f"HEAD {where}: {head.status}")
    trial.check(
        said == str(offset),
        f"HEAD {where}: {head.status} with Upload-Offset {said or 'missing'}, expected {offset}",
        at=head,
    )
