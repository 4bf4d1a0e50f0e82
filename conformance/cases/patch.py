"""PATCH-01 to PATCH-05, PATCH-10 and PATCH-14 to PATCH-18: which bytes are taken, and where.

Every request here is well formed and its body is whole; what varies is how its offset and its size
relate to what the upload has. Fields are the matter of `patch_fields`, pieces of `patch_wire`.
"""

from __future__ import annotations

from conformance.model import Level
from conformance.registry import case
from conformance.trial import Trial, Upload
from conformance.wire import Address, Response, chunk, last_chunk

_SECTION = "Requests / PATCH"
_LARGE = bytes(1 << 20)
"""More than a server can overlook in its buffers."""


def _begun(trial: Trial, length: int = 10) -> Upload:
    """An upload with its first five bytes."""
    upload = trial.create(length)
    answer = upload.patch(0, b"01234")
    trial.assume(
        200 <= answer.status < 300, f"the first five bytes were refused with {answer.status}"
    )
    return upload


def _says_offset(trial: Trial, answer: Response, offset: int, where: str) -> None:
    said = answer.get("upload-offset")
    trial.check(
        said == str(offset),
        f"{where}: the answer has Upload-Offset {said or 'missing'}, expected {offset}",
        at=answer,
    )


@case("PATCH-01", Level.SHOULD, _SECTION)
def append_twice(trial: Trial) -> None:
    """PATCH puts its bytes at Upload-Offset, and one PATCH after the other fills the upload."""
    upload = trial.create(10)
    for offset, data in ((0, b"01234"), (5, b"56789")):
        answer = upload.patch(offset, data)
        trial.require(
            200 <= answer.status < 300,
            f"5 bytes at Upload-Offset {offset}, where the upload ends, were answered"
            f" {answer.status}, expected 204",
        )
    # To accept is a SHOULD; bytes that were accepted have to be those that were sent.
    upload.holds(b"0123456789", level=Level.MUST)


@case("PATCH-02", Level.MUST, _SECTION)
def success_is_204(trial: Trial) -> None:
    """A PATCH that succeeds is answered 204, in the middle of an upload and at its end."""
    upload = trial.create(10)
    trial.expect(upload.patch(0, b"01234"), 204, where="bytes 0 to 5 of 10")
    trial.expect(upload.patch(5, b"56789"), 204, where="bytes 5 to 10 of 10")


@case("PATCH-03", Level.MUST, _SECTION)
def offset_after_append(trial: Trial) -> None:
    """The answer to PATCH says in Upload-Offset where the upload ends now."""
    for chunked in (False, True):
        framing = "in chunks" if chunked else "with Content-Length"
        upload = trial.create(11)
        before = 0
        for data in (b"0123", b"456789"):
            where = f"{len(data)} bytes at {before}, {framing}"
            answer = upload.patch(before, data, chunked=chunked)
            if chunked and answer.status >= 400:
                # PATCH-13 is about that.
                trial.note(f"{where}: refused with {answer.status}.")
                break
            trial.require(
                200 <= answer.status < 300, f"{where}: answered {answer.status}", at=answer
            )
            stored = upload.offset()
            _says_offset(trial, answer, stored, f"{where}, after which HEAD says {stored}")
            # A server may take less than it was sent, but tus-java-client then gives up (AMB-15).
            trial.require(
                stored == before + len(data),
                f"{where}: only {stored - before} bytes were taken, although all of them came",
                level=Level.CLIENT,
                at=answer,
            )
            before = stored


@case("PATCH-04", Level.MUST, _SECTION)
def wrong_offset(trial: Trial) -> None:
    """PATCH at any offset but the upload's own is refused with 409 and changes nothing."""
    upload = _begun(trial, 2_000_000)
    for offset, body in (
        *((4, b"x"), (6, b"x"), (0, b"01234"), (1_000_005, b"x")),
        *((0, b""), (6, b""), (4, _LARGE), (6, _LARGE)),
    ):
        where = f"{len(body)} bytes at Upload-Offset {offset} of an upload that has 5"
        with upload.unchanged(where):
            trial.expect(upload.patch(offset, body), 409, where=where)
    with upload.unchanged("a chunked PATCH at a wrong offset"):
        answer = upload.patch(4, b"x", chunked=True)
    # Whether chunks are taken at all is for PATCH-13.
    trial.check(
        400 <= answer.status < 500,
        f"chunks at Upload-Offset 4 of an upload that has 5: answered {answer.status}",
        at=answer,
    )


@case("PATCH-05", Level.ROBUST, _SECTION)
def conflict_tells_the_offset(trial: Trial) -> None:
    """If a 409 carries Upload-Offset, it is where the upload really ends."""
    upload = _begun(trial)
    for offset in (0, 6):
        answer = upload.patch(offset, b"x")
        trial.assume(answer.status == 409, f"a wrong offset was answered {answer.status}")
        if "upload-offset" in answer:
            _says_offset(trial, answer, 5, f"409 for Upload-Offset {offset}")
        else:
            # A recommendation (AMB-28): it saves the client a HEAD.
            trial.check(False, "a 409 does not say the offset", level=Level.MAY, at=answer)
            break


@case("PATCH-10", Level.SHOULD, _SECTION)
def append_to_nothing(trial: Trial) -> None:
    """PATCH of an upload that does not exist is answered 404, and makes none."""
    upload = trial.unknown()
    answer = upload.patch(0, b"x")
    trial.check(
        answer.status >= 300,
        f"an upload that does not exist took bytes: {answer.status}",
        level=Level.ROBUST,
        at=answer,
    )
    # 410 says that there was one, which somebody with a clumsy look-up may believe.
    trial.expect(answer, 404, 410)
    state = upload.state()
    trial.check(
        state.status >= 300, f"PATCH has made an upload: {state}", level=Level.ROBUST, at=answer
    )


@case("PATCH-14", Level.ROBUST, _SECTION)
def more_than_is_missing(trial: Trial) -> None:
    """A body whose Content-Length goes beyond the upload's end is refused, and none of it taken."""
    upload = _begun(trial)
    for body in (b"56789x", _LARGE):
        where = f"{len(body)} bytes where 5 are missing"
        with upload.unchanged(where):
            trial.expect_refusal(upload.patch(5, body), 413, where=where)
    fresh = trial.create(0)
    with fresh.unchanged("a byte for an upload of length 0"):
        where = "a byte for an upload of length 0"
        trial.expect_refusal(fresh.patch(0, b"x"), 413, where=where)


@case("PATCH-15", Level.ROBUST, _SECTION)
def more_than_is_missing_in_chunks(trial: Trial) -> None:
    """Chunks that go beyond the upload's end are refused, and the excess is never stored."""
    # One chunk across the end; a chunk that ends there and another; and a lot more.
    for chunks in ([b"56789x"], [b"56789", b"x"], [b"567", _LARGE]):
        upload = _begun(trial)
        size = sum(map(len, chunks))
        where = f"{size} bytes in {len(chunks)} chunk(s) where 5 are missing"
        fields = [("Upload-Offset", "5"), ("Content-Type", "application/offset+octet-stream")]
        with trial.connect(upload.url) as connection:
            connection.request(
                "PATCH",
                Address.of(upload.url).target,
                trial.fields([*fields, ("Transfer-Encoding", "chunked")]),
            )
            body = b"".join(map(chunk, chunks)) + last_chunk()
            connection.send_until_answered(body)
            answer = connection.read()
        trial.check(
            400 <= answer.status < 500,
            f"{where}: answered {answer.status}, as if it fitted",
            at=answer,
        )
        if answer.status != 413:
            trial.note(f"{where}: refused with {answer.status}; most servers say 413.")
        offset = upload.offset()
        trial.check(
            5 <= offset <= 10, f"{where}: the upload of 10 bytes now has {offset}", at=answer
        )
        if offset == 10:
            trial.note(
                f"{where}: refused with {answer.status}, and yet the upload was completed by the"
                " first 5; better take none of a body that is too long."
            )
            upload.holds((b"01234" + b"".join(chunks))[:10])


@case("PATCH-16", Level.CLIENT, "tus-java-client")
def nothing_at_the_end(trial: Trial) -> None:
    """An empty PATCH at the end of a finished upload is answered 204 with its offset."""
    for data in (b"0123456789", b""):
        upload = trial.finished(data)
        for chunked in (False, True):
            framing = "chunked" if chunked else "Content-Length: 0"
            where = f"an empty PATCH ({framing}) at the end of a finished upload of {len(data)}"
            with upload.unchanged(where):
                answer = upload.patch(len(data), b"", chunked=chunked)
                if trial.expect(answer, 204, where=where):
                    _says_offset(trial, answer, len(data), where)


@case("PATCH-17", Level.ROBUST, _SECTION)
def nothing_in_the_middle(trial: Trial) -> None:
    """An empty PATCH at the offset of an unfinished upload is answered 204 and changes nothing."""
    upload = trial.create(10)
    for offset in (0, 5):
        if offset:
            upload = _begun(trial)
        for chunked in (False, True):
            where = f"an empty PATCH ({'chunked' if chunked else 'Content-Length: 0'}) at {offset}"
            with upload.unchanged(where):
                answer = upload.patch(offset, b"", chunked=chunked)
                if trial.expect(answer, 204, where=where):
                    _says_offset(trial, answer, offset, where)


@case("PATCH-18", Level.ROBUST, _SECTION)
def more_for_a_finished_upload(trial: Trial) -> None:
    """Bytes for a finished upload are refused, not ignored, and change nothing."""
    for chunked in (False, True):
        upload = trial.finished(b"0123456789")
        where = f"a byte ({'chunked' if chunked else 'Content-Length: 1'}) at the end of the upload"
        with upload.unchanged(where):
            answer = upload.patch(10, b"x", chunked=chunked)
            trial.check(
                400 <= answer.status < 500,
                f"{where} was answered {answer.status}, as if it had been stored",
                at=answer,
            )
        upload.holds(b"0123456789", level=Level.MUST)
        if answer.status != 413:
            trial.note(f"{where}: refused with {answer.status}; most servers say 413.")
