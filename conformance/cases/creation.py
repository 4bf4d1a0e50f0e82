"""CREATE-01 to CREATE-04, CREATE-10 to CREATE-16, CREATE-18 and CREATE-19: uploads and their URLs.

Who may create, what comes of it, at what URL, and what the endpoint is not for. The fields that
say how long the upload is are the matter of `creation_fields`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import zip_longest
from urllib.parse import urlsplit

from conformance.model import Level, State
from conformance.registry import case
from conformance.trial import BYTES, Trial, Upload
from conformance.wire import Field, NoResponse, Response

_SECTION = "Creation / POST"
_LENGTH: Field = ("Upload-Length", "10")
_GUESSES = 122
"""Bits that are random in a UUID of version 4."""


@case("CREATE-01", Level.MUST, "Creation")
def advertised(trial: Trial) -> None:
    """Creation is advertised in Tus-Extension if POST to the endpoint creates an upload."""
    answer = trial.post([_LENGTH], b"")
    created = 200 <= answer.status < 300 and "location" in answer
    if "creation" in trial.facts.extensions:
        trial.check(
            created,
            f"creation is advertised, but POST was answered {answer.status} with Location"
            f" {answer.get('location') or 'missing'}",
            at=answer,
        )
    else:
        # A server that has it without saying so only keeps clients from using it.
        trial.check(
            not created, "POST creates uploads, but creation is not advertised", level=Level.SHOULD
        )


@case("CREATE-02", Level.MUST, _SECTION, needs="creation")
def success_is_201(trial: Trial) -> None:
    """POST with Upload-Length creates an upload and is answered 201."""
    trial.expect(trial.post([("Upload-Length", "100")], b""), 201, where="Upload-Length 100")


@case("CREATE-03", Level.MUST, _SECTION, needs="creation")
def where_it_is(trial: Trial) -> None:
    """The answer to POST names in Location the URL of an upload that has no bytes yet."""
    answer = trial.post([("Upload-Length", "100")], b"")
    location = answer.get("location")
    trial.require(bool(location), f"POST was answered {answer.status} without Location", at=answer)
    state = _reached(trial, trial.made(answer), answer)
    trial.assume(not state.is_refused, f"the upload cannot be looked at: {state}")
    trial.check(
        200 <= state.status < 300 and state.offset == "0" and state.length == "100",
        f"POST of 100 bytes led to {location!r}, where an upload at Upload-Offset 0 was expected:"
        f" {state}",
    )


def _reached(
    trial: Trial, upload: Upload, answer: Response, *, level: Level | None = None
) -> State:
    """What HEAD says at the URL that was given; the case ends if nobody is there."""
    try:
        return upload.state()
    except NoResponse as error:
        trial.require(False, f"Location leads to nobody: {error}", level=level, at=answer)
        raise


@case("CREATE-04", Level.MAY, _SECTION, needs="creation")
def form_of_location(trial: Trial) -> None:
    """Location is absolute or relative; an absolute one leads to where the client came from."""
    answer = trial.post([_LENGTH], b"")
    location = answer.get("location") or ""
    upload = trial.made(answer)
    if "://" not in location:
        form = "the path" if location.startswith("/") else "a relative reference"
        trial.note(f"Location is {form} {location!r}.")
        return
    trial.note(f"Location is absolute: {location!r}.")
    ours, theirs = urlsplit(trial.endpoint), urlsplit(upload.url)
    # A server behind a proxy often takes the inner address for its own.
    trial.check(
        theirs.scheme == ours.scheme,
        f"the endpoint is {ours.scheme}, and Location leads to {location!r}: the server does not"
        " know how clients reach it",
        level=Level.CLIENT,
        at=answer,
    )
    _reached(trial, upload, answer, level=Level.CLIENT)
    if theirs.netloc != ours.netloc:
        trial.note(f"Uploads are at another host than their creation: {theirs.netloc}.")


@case("CREATE-10", Level.MUST, _SECTION, needs="creation")
def nothing_to_send(trial: Trial) -> None:
    """An upload of length 0 can be created, and is finished without any PATCH."""
    answer = trial.post([("Upload-Length", "0")], b"")
    trial.expect(answer, 201, where="Upload-Length 0")
    if answer.status >= 300:
        return
    upload = trial.made(answer)
    state = upload.state()
    trial.assume(not state.is_refused, f"the upload cannot be looked at: {state}")
    gone = trial.options.finished_gone and state.status in (404, 410)
    trial.check(
        gone or (state.status < 300 and state.offset == "0" and state.length == "0"),
        f"an upload of length 0 was created, and then {state}",
    )
    if trial.facts.downloads and not gone:
        got = upload.request("GET")
        # The specification knows no GET; here it tells whether the upload counts as finished.
        trial.check(
            200 <= got.status < 300 and got.body == b"",
            f"an upload of length 0 cannot be downloaded before a PATCH: GET {got.status}",
            level=Level.ROBUST,
            at=got,
        )


@case("CREATE-11", Level.CLIENT, "tus-java-client", needs="creation")
def no_body_at_all(trial: Trial) -> None:
    """POST with neither Content-Length nor Transfer-Encoding creates an upload."""
    answer = trial.post([_LENGTH])
    trial.expect(answer, 201, where="POST without Content-Length")


@case("CREATE-12", Level.CLIENT, "HTTP libraries that set a type", needs="creation")
def types_of_nothing(trial: Trial) -> None:
    """POST without content creates an upload whatever its Content-Type says."""
    for value in (
        *("application/x-www-form-urlencoded", "application/json", "application/octet-stream"),
        *("text/plain;charset=UTF-8", "multipart/form-data; boundary=x"),
    ):
        answer = trial.post([_LENGTH, ("Content-Type", value)], b"")
        trial.expect(answer, 201, where=f"no content, and Content-Type {value!r}")


@case("CREATE-13", Level.CLIENT, "tus-java-client, browsers", needs="creation")
def no_redirect(trial: Trial) -> None:
    """The endpoint answers POST and OPTIONS itself, with and without a slash at its end."""
    path = urlsplit(trial.endpoint).path
    plain = trial.endpoint.partition("?")[0]
    other = plain.rstrip("/") if path.endswith("/") else plain + "/"
    # The path "/" cannot be without its slash.
    for url in (trial.endpoint, *((other,) if path.strip("/") else ())):
        for method in ("OPTIONS", "POST"):
            posts = method == "POST"
            answer = trial.request(method, url, [_LENGTH] if posts else [], b"" if posts else None)
            trial.check(
                not 300 <= answer.status < 400,
                f"{method} {url} was redirected ({answer.status}) to"
                f" {answer.get('location') or 'nowhere'}; clients do not follow",
                at=answer,
            )
            if answer.status >= 400:
                trial.check(
                    False,
                    f"{method} {url} was answered {answer.status}; the last slash is soon mistaken",
                    level=Level.MAY,
                    at=answer,
                )


@case("CREATE-14", Level.ROBUST, "Security of URLs", needs="creation")
def urls(trial: Trial) -> None:
    """Every upload has a URL of its own that nobody can guess, without spaces or commas."""
    locations = []
    for _ in range(8):
        answer = trial.post([_LENGTH], b"")
        trial.made(answer)
        locations.append(answer.get("location") or "")
    trial.require(
        len(set(locations)) == len(locations), f"two uploads have one URL, among {locations}"
    )
    for location in locations[:1]:
        for character, name in ((" ", "a space"), (",", "a comma")):
            # Upload-Concat separates URLs by spaces.
            trial.check(character not in location, f"there is {name} in Location {location!r}")
        if "%" in urlsplit(location).path:
            trial.note(f"Location is percent-encoded: {location!r}.")
    bits = random_bits(locations)
    trial.check(
        bits >= _GUESSES,
        f"the URLs of 8 uploads differ by {bits:.0f} bits at most, so they can be guessed:"
        f" {locations[0]!r}, {locations[1]!r}",
    )


def random_bits(names: Sequence[str]) -> float:
    """At most so many bits are random: of those characters that are not the same in all names."""
    varying = [set(column) for column in zip_longest(*names, fillvalue="") if len(set(column)) > 1]
    seen = set("".join(set().union(*varying))) if varying else set()
    alphabets = ("0123456789", "0123456789abcdef", "0123456789ABCDEF")
    size = next((len(known) for known in alphabets if seen <= set(known)), 64)
    if size == 64 and (not any(c.islower() for c in seen) or not any(c.isupper() for c in seen)):
        size = 36
    return len(varying) * math.log2(size)


@case("CREATE-15", Level.ROBUST, "tus-py-client", needs="creation")
def no_url_of_a_failure(trial: Trial) -> None:
    """A POST that is refused is answered without Location."""
    limit = trial.facts.max_size
    refused: list[tuple[str, list[Field], str]] = [
        ("no Upload-Length", [], "1.0.0"),
        ("Upload-Length '-1'", [("Upload-Length", "-1")], "1.0.0"),
        ("Upload-Length 'abc'", [("Upload-Length", "abc")], "1.0.0"),
        ("another version", [_LENGTH], "0.2.2"),
        ("bad metadata", [_LENGTH, ("Upload-Metadata", "a !!!!")], "1.0.0"),
    ]
    if limit is not None:
        large: list[Field] = [("Upload-Length", str(limit + 1))]
        refused.append(("more than Tus-Max-Size", large, "1.0.0"))
    for where, fields, version in refused:
        answer = trial.request("POST", None, fields, b"", tus=version)
        # Whether it has to be refused is for other rows.
        trial.check(
            answer.status < 400 or "location" not in answer,
            f"{where}: {answer.status} with Location {answer.get('location')!r}; a client that"
            " looks for nothing else believes that it has an upload",
            at=answer,
        )


@case("CREATE-16", Level.CLIENT, "tus-js-client", needs="creation")
def offset_of_the_new(trial: Trial) -> None:
    """The 201 says Upload-Offset: 0 when nothing was sent with the POST."""
    uploads: list[tuple[str, Field]] = [("Upload-Length 10", _LENGTH)]
    if "creation-defer-length" in trial.facts.extensions:
        uploads.append(("Upload-Defer-Length 1", ("Upload-Defer-Length", "1")))
    # Only clients that send bytes with the POST look for it.
    with_upload = "creation-with-upload" in trial.facts.extensions
    for where, size in uploads:
        answer = trial.post([size], b"")
        trial.made(answer)
        said = answer.get("upload-offset")
        trial.check(
            said == "0",
            f"{where}: the 201 has Upload-Offset {said or 'missing'}, expected 0",
            level=Level.CLIENT if with_upload or said is not None else Level.MAY,
            at=answer,
        )


@case("CREATE-18", Level.ROBUST, _SECTION, needs="creation")
def creation_at_an_upload(trial: Trial) -> None:
    """POST to the URL of an upload is refused and changes nothing."""
    upload = trial.create(10)
    with upload.unchanged("POST to the upload"):
        answer = upload.request("POST", [_LENGTH], b"")
    trial.check(
        400 <= answer.status < 500,
        f"POST to an upload was answered {answer.status}, expected 405, 404 or 400",
        at=answer,
    )
    _allows(trial, answer)


@case("CREATE-19", Level.ROBUST, "HTTP semantics", needs="creation")
def other_methods(trial: Trial) -> None:
    """The endpoint refuses PUT, PATCH and DELETE, and a 405 says which methods it allows."""
    patch: list[Field] = [BYTES, ("Upload-Offset", "0")]
    for method, fields, body in (("PUT", [], b"x"), ("PATCH", patch, b"x"), ("DELETE", [], b"")):
        answer = trial.request(method, None, fields, body)
        trial.check(
            400 <= answer.status < 500 or answer.status == 501,
            f"{method} of the endpoint was answered {answer.status}, expected 404 or 405",
            at=answer,
        )
        _allows(trial, answer)
    answer = trial.request("GET")
    # There may well be a page for people.
    trial.check(answer.status < 500, f"GET of the endpoint: {answer.status}", at=answer)
    _allows(trial, answer)


def _allows(trial: Trial, answer: Response) -> None:
    # RFC 9110 15.5.6: "The origin server MUST generate an Allow header field in a 405 response".
    trial.check(
        answer.status != 405 or "allow" in answer,
        f"405 for {trial.exchanges[answer.index].method} without Allow",
        at=answer,
    )
