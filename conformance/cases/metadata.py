"""META-01 to META-16: what a server takes as Upload-Metadata, and what HEAD tells of it.

What comes back is compared as pairs of key and bytes, since a server may spell them in its own
way; the very text is asked for only where the specification does (META-01). A value that breaks
the grammar may be refused, and a server that takes it instead only risks to lose what was meant:
that is no MUST anywhere (AMB-08).
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from conformance.model import Level
from conformance.registry import case
from conformance.trial import Trial, Upload
from conformance.wire import Address, NoResponse, Response

_SECTION = "Creation / Upload-Metadata"


@dataclass(frozen=True, slots=True)
class Told:
    """The Upload-Metadata of a HEAD."""

    text: str | None
    """As it came; None if there was none."""
    pairs: dict[str, bytes] | None
    """What it says; None if it cannot be read."""
    head: Response


def _text(pairs: dict[str, bytes]) -> str:
    """Pairs as Upload-Metadata."""
    return ",".join(f"{key} {base64.b64encode(value).decode()}" for key, value in pairs.items())


def _pairs(text: str) -> dict[str, bytes] | None:
    """The pairs in the text of a response; white space and commas that say nothing are let pass."""
    pairs: dict[str, bytes] = {}
    for member in filter(None, (part.strip(" \t") for part in text.split(","))):
        key, _, value = member.partition(" ")
        try:
            pairs[key] = base64.b64decode(value, validate=True)
        except binascii.Error:
            return None
    return pairs


def _told(upload: Upload) -> Told:
    head = upload.head()
    upload.trial.assume(head.status < 300, f"HEAD of the new upload was answered {head.status}")
    text = head.get("upload-metadata")
    return Told(text, _pairs(text or ""), head)


def _create(trial: Trial, *values: str | bytes) -> Response:
    """POST with a line of Upload-Metadata for each value."""
    return trial.post([("Upload-Length", "10"), *(("Upload-Metadata", value) for value in values)])


def _taken(trial: Trial, *values: str, level: Level | None = None) -> Upload | None:
    """The upload with this metadata; a finding and None if the server refuses it."""
    answer = _create(trial, *values)
    where = " and ".join(f"Upload-Metadata {value!r}" for value in values)
    taken = trial.check(
        answer.status < 300, f"{where}: answered {answer.status}, expected 201", level=level
    )
    return trial.made(answer) if taken else None


def _keeps(
    upload: Upload, pairs: dict[str, bytes], sent: str, *, level: Level | None = None
) -> Told:
    """Check that HEAD tells these pairs."""
    told = _told(upload)
    upload.trial.check(
        told.pairs == pairs,
        f"created with Upload-Metadata {sent!r}, HEAD tells {told.text!r}: not the same pairs",
        level=level,
        at=told.head,
    )
    return told


@case("META-01", Level.MUST, _SECTION, needs="creation")
def metadata_comes_back(trial: Trial) -> None:
    """HEAD returns the Upload-Metadata that the upload was created with."""
    sent = "filename d29ybGQ=,is_confidential"
    upload = trial.made(_create(trial, sent))
    told = _keeps(upload, {"filename": b"world", "is_confidential": b""}, sent)
    if told.text is not None and told.pairs:
        trial.check(
            told.text == sent,
            f"sent {sent!r}, HEAD tells {told.text!r}: expected the value as the client gave it",
            level=Level.SHOULD,
            at=told.head,
        )


@case("META-02", Level.MUST, _SECTION, needs="creation")
def no_metadata_none_told(trial: Trial) -> None:
    """HEAD of an upload that was created without metadata has no Upload-Metadata."""
    told = _told(trial.create())
    trial.check(not told.text, f"HEAD tells {told.text!r}, and none was given", at=told.head)
    trial.check(
        told.text != "",
        "HEAD has an empty Upload-Metadata, better none",
        level=Level.SHOULD,
        at=told.head,
    )


@case("META-03", Level.MAY, _SECTION, needs="creation")
def values_may_be_empty(trial: Trial) -> None:
    """A key without a value is taken, with or without the space after it."""
    # An option of the client, hence the MAY; but each of these forms is what a client sends:
    # tus-js-client writes `empty ,` and tuspy `empty ` at the end.
    for sent, pairs in (
        ("k", {"k": b""}),
        ("k ", {"k": b""}),
        ("a,k ", {"a": b"", "k": b""}),
        ("k ,b Zm9v", {"k": b"", "b": b"foo"}),
    ):
        if upload := _taken(trial, sent, level=Level.CLIENT):
            _keeps(upload, pairs, sent, level=Level.CLIENT)


@case("META-04", Level.CLIENT, "tus-py-client", needs="creation")
def the_field_may_be_empty(trial: Trial) -> None:
    """An empty Upload-Metadata is as good as none: tus-py-client sends it with every creation."""
    if upload := _taken(trial, ""):
        told = _told(upload)
        trial.check(not told.text, f"HEAD tells {told.text!r} instead of nothing", at=told.head)


@case("META-05", Level.ROBUST, _SECTION, needs="creation")
def keys_are_unique(trial: Trial) -> None:
    """Metadata with the same key twice is refused with 400."""
    for sent in ("a Zm9v,a YmFy", "a Zm9v,b YmFy,a", "a Zm9v,a Zm9v"):
        trial.expect_refusal(_create(trial, sent), 400, where=f"Upload-Metadata {sent!r}")


@case("META-06", Level.ROBUST, _SECTION, needs="creation")
def values_are_base64(trial: Trial) -> None:
    """Metadata with a value that is not base64 (standard alphabet, padded) is refused with 400."""
    for sent in ("a !!!!", "a Zm9", "a Zm9v=", "a _-8=", "b Zm9v,a !!!!"):
        trial.expect_refusal(_create(trial, sent), 400, where=f"Upload-Metadata {sent!r}")


@case("META-07", Level.ROBUST, _SECTION, needs="creation")
def keys_are_not_empty(trial: Trial) -> None:
    """Empty pairs between or around the commas are all refused with 400, or all let pass."""
    refused = []
    values = {
        ",a Zm9v": {"a": b"foo"},
        "a Zm9v,": {"a": b"foo"},
        "a Zm9v,,b YmFy": {"a": b"foo", "b": b"bar"},
    }
    for sent, pairs in values.items():
        answer = _create(trial, sent)
        # RFC 9110 5.6.1.2 wants empty members of a list to be let pass; the grammar of tus has
        # none. Either is sound.
        if answer.status < 300:
            _keeps(trial.made(answer), pairs, sent)
            continue
        refused.append(sent)
        trial.expect_refusal(answer, 400, where=f"Upload-Metadata {sent!r}")
    trial.check(
        len(refused) in (0, len(values)),
        f"empty pairs are refused in {refused} and let pass elsewhere: expected one or the other",
    )


@case("META-08", Level.ROBUST, _SECTION, needs="creation")
def one_space_in_a_pair(trial: Trial) -> None:
    """A pair with more than one space, or with a third word, is refused with 400."""
    for sent in ("a  Zm9v", "a Zm9v x", "b YmFy,a Zm9v x"):
        trial.expect_refusal(_create(trial, sent), 400, where=f"Upload-Metadata {sent!r}")


@case("META-09", Level.ROBUST, "HTTP semantics", needs="creation")
def white_space_around_commas(trial: Trial) -> None:
    """White space around a comma does not matter: proxies that join two lines put it there."""
    for sent in ("a Zm9v, b YmFy", "a Zm9v ,\tb YmFy"):
        if upload := _taken(trial, sent):
            _keeps(upload, {"a": b"foo", "b": b"bar"}, sent)


@case("META-10", Level.ROBUST, "HTTP semantics", needs="creation")
def two_lines_are_one_list(trial: Trial) -> None:
    """Two lines of Upload-Metadata mean the same as one with a comma in between."""
    if upload := _taken(trial, "a Zm9v", "b YmFy"):
        _keeps(upload, {"a": b"foo", "b": b"bar"}, "a Zm9v, b YmFy")


@case("META-11", Level.ROBUST, _SECTION, needs="creation")
def keys_beyond_ascii(trial: Trial) -> None:
    """A key that is not ASCII is refused with 400, or kept byte for byte."""
    for key in ("näme".encode(), "näme".encode("latin-1")):
        answer = _create(trial, key + b" Zm9v")
        if answer.status < 300:
            name = key.decode("latin-1")
            _keeps(trial.made(answer), {name: b"foo"}, f"{name} Zm9v")
        else:
            trial.expect_refusal(answer, 400, where=f"Upload-Metadata with the key {key!r}")


@case("META-12", Level.MUST, _SECTION, needs="creation")
def values_are_bytes(trial: Trial) -> None:
    """A value that is no text (zeros, invalid UTF-8) comes back as it was."""
    pairs = {
        "zeros": b"\x00\x01\x02\x80\xff",
        "broken": b"a\xc3\x28b\xff\xfe",
        "alphabet": b"\xfb\xef\xbe\xff\xff\xff",
    }
    sent = _text(pairs)
    # A server may refuse metadata that it has no use for; what it takes it must not change.
    if upload := _taken(trial, sent, level=Level.SHOULD):
        _keeps(upload, pairs, sent)


@case("META-13", Level.ROBUST, _SECTION, needs="creation")
def metadata_cannot_write_headers(trial: Trial) -> None:
    """A line break inside a metadata value never becomes one in a response."""
    hostile = (
        b"x\r\nSet-Cookie: a=b",
        b"x\nSet-Cookie: a=b",
        b"x\rSet-Cookie: a=b",
        b"x\r\n\r\nSet-Cookie: a=b",
        b'x"\r\nSet-Cookie: a=b',
    )
    for value in hostile:
        sent = _text({"filename": value, "name": value, "filetype": value, "type": value})
        answer = trial.post([("Upload-Length", "4"), ("Upload-Metadata", sent)])
        if answer.status >= 300:
            trial.note(f"Metadata with the value {value!r} is refused with {answer.status}.")
            continue
        upload = trial.made(answer)
        patched = upload.patch(0, b"data")
        trial.assume(patched.status < 300, f"the upload was not finished: {patched.status}")
        responses = [answer, patched, upload.head()]
        if trial.facts.downloads:
            responses.append(upload.request("GET"))
        for response in responses:
            method = trial.exchanges[response.index].method
            # Without its line break, or encoded, the value is harmless.
            cookie = any("a=b" in text for text in response.all("set-cookie"))
            trial.check(
                not cookie
                and (method != "GET" or response.body == b"data" or response.status != 200),
                f"the metadata value {value!r} was written out into the response to {method}",
                at=response,
            )


@case("META-14", Level.ROBUST, _SECTION, needs="creation")
def long_metadata(trial: Trial) -> None:
    """Very long metadata is kept whole or refused with a 4xx, and answered in any case."""
    for size in (8 << 10, 60 << 10):
        pairs = {"a": b"x" * (size * 3 // 4)}
        sent = _text(pairs)
        with trial.connect() as connection:
            fields = trial.fields([("Upload-Length", "10"), ("Upload-Metadata", sent)])
            connection.request("POST", Address.of(trial.endpoint).target, fields)
            answered = connection.answered(trial.options.timeout)
            if not trial.check(answered, f"no answer to {len(sent)} bytes of Upload-Metadata"):
                continue
            try:
                answer = connection.read()
            except NoResponse as error:
                trial.check(
                    False,
                    f"{len(sent)} bytes of Upload-Metadata: {error}; a status tells why (431)",
                    level=Level.MAY,
                )
                continue
        if answer.status >= 300:
            trial.note(f"{len(sent)} bytes of Upload-Metadata are answered {answer.status}.")
            trial.check(
                400 <= answer.status < 500,
                f"{len(sent)} bytes of Upload-Metadata: answered {answer.status}, expected 4xx",
                at=answer,
            )
            continue
        told = _told(trial.made(answer))
        trial.check(
            told.pairs == pairs,
            f"{len(sent)} bytes of Upload-Metadata were taken, and HEAD tells"
            f" {len(told.text or '')} bytes that are not the same",
            at=told.head,
        )


@case("META-15", Level.ROBUST, _SECTION, needs="creation")
def metadata_is_given_once(trial: Trial) -> None:
    """Upload-Metadata on a PATCH changes nothing of what the upload was created with."""
    for sent, pairs in (("a Zm9v", {"a": b"foo"}), (None, {})):
        headers = [] if sent is None else [("Upload-Metadata", sent)]
        upload = trial.create(10, headers)
        before = _told(upload)
        trial.assume(before.pairs == pairs, f"HEAD tells {before.text!r} before the PATCH")
        answer = upload.patch(0, b"hello", [("Upload-Metadata", "a YmFy,b YmFy")])
        if answer.status >= 300:
            trial.expect_refusal(answer, 400, where="PATCH with Upload-Metadata")
        after = _told(upload)
        trial.check(
            after.pairs == before.pairs,
            f"PATCH with Upload-Metadata 'a YmFy,b YmFy' changed {before.text!r} to {after.text!r}",
            at=after.head,
        )


@case("META-16", Level.ROBUST, _SECTION, needs="creation")
def keys_of_any_letters(trial: Trial) -> None:
    """A key may have any visible letters but commas, and be a word that languages reserve."""
    odd = ("a=b", "a:b", "a;b", 'a"b', "a'b", "a/b", "a?b", "a[0]", "{a}", "<a>", "a\\b", "100%")
    for key in (*odd, "__proto__", "constructor"):
        sent = _text({key: b"foo"})
        if upload := _taken(trial, sent):
            _keeps(upload, {key: b"foo"}, sent)
    # What Uppy sends; a value that it does not have becomes the text "null".
    uppy = {"relativePath": b"null", "name": b"x.png", "type": b"image/png", "filetype": b"null"}
    if upload := _taken(trial, _text(uppy)):
        _keeps(upload, uppy, _text(uppy))
