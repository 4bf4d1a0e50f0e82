"""OVR-01 to OVR-07: X-HTTP-Method-Override.

What an overridden request should come to is what the method itself comes to on this server, so it
is asked for that first. Each request fits both methods: which one was carried out is seen from the
upload, not from a complaint about a missing field.
"""

from __future__ import annotations

from conformance.model import Level
from conformance.pages import HEADERS, lists, preflight, require_pages
from conformance.registry import case
from conformance.trial import BYTES, VERSION, Trial, Upload
from conformance.wire import Address, Field, Response

_SECTION = "Headers / X-HTTP-Method-Override"
_CONTENT = b"hello"
_GONE = (403, 404, 410)
_SAFE = ("GET", "OPTIONS")
_NAME = "X-HTTP-Method-Override"


def _as(method: str) -> Field:
    return (_NAME, method)


def _append(upload: Upload, method: str, override: str) -> Response:
    """`_CONTENT` for the beginning of the upload."""
    fields: list[Field] = [BYTES, ("Upload-Offset", "0"), _as(override)]
    return upload.request(method, fields, _CONTENT)


@case("OVR-01", Level.MUST, _SECTION)
def post_as_patch(trial: Trial) -> None:
    """POST to an upload with the override PATCH is a PATCH, as tus-java-client sends it."""
    plain = trial.create(10).patch(0, _CONTENT)
    trial.assume(200 <= plain.status < 300, f"PATCH was answered {plain.status}")
    upload = trial.create(10)
    _appended(trial, upload, _append(upload, "POST", "PATCH"), plain.status)


def _appended(trial: Trial, upload: Upload, answer: Response, status: int) -> None:
    trial.expect(answer, status, where="POST as PATCH")
    offset = answer.get("upload-offset")
    stored = upload.offset()
    trial.check(
        offset == str(len(_CONTENT)) and stored == len(_CONTENT),
        f"of {len(_CONTENT)} bytes {stored} were stored, and the answer says Upload-Offset"
        f" {offset or 'nothing'}",
        at=answer,
    )


@case("OVR-02", Level.MUST, _SECTION, needs="termination")
def post_as_delete(trial: Trial) -> None:
    """POST to an upload with the override DELETE removes it."""
    plain = trial.create(10).delete()
    trial.assume(200 <= plain.status < 300, f"DELETE was answered {plain.status}")
    upload = trial.create(10)
    answer = upload.request("POST", [_as("DELETE")], b"")
    trial.expect(answer, plain.status, where="POST as DELETE")
    trial.check(_is_gone(upload), "the upload is still there", at=answer)


def _is_gone(upload: Upload) -> bool:
    return upload.state().status in _GONE


@case("OVR-03", Level.MUST, _SECTION)
def post_as_head(trial: Trial) -> None:
    """POST to an upload with the override HEAD tells the offset, and ends as a POST does."""
    upload = trial.create(10)
    upload.look()
    with trial.connect(upload.url) as connection:
        # A Content-Length that is the upload's, and no body, would keep the client waiting here.
        answer = upload.request("POST", [_as("HEAD")], b"", on=connection)
        trial.check(200 <= answer.status < 300, f"POST as HEAD was answered {answer.status}")
        for name, value in (("Upload-Offset", "0"), ("Upload-Length", "10")):
            told = answer.get(name)
            trial.check(told == value, f"{name} is {told or 'missing'}, expected {value}")
    trial.check(upload.offset() == 0, "POST as HEAD changed the upload", at=answer)


@case("OVR-04", Level.MUST, _SECTION, needs="termination")
def patch_as_delete(trial: Trial) -> None:
    """The override counts with other methods than POST too: the actual one is ignored."""
    upload = trial.create(10)
    fields: list[Field] = [BYTES, ("Upload-Offset", "0"), _as("DELETE")]
    answer = upload.request("PATCH", fields, b"")
    if _is_gone(upload):
        return
    # No client does this, and a server that refuses does nothing that was not asked for.
    trial.check(
        answer.status >= 400, f"PATCH as DELETE was answered {answer.status}, as a PATCH", at=answer
    )
    trial.check(
        answer.status < 400,
        f"PATCH as DELETE was refused with {answer.status}; DELETE works",
        level=Level.SHOULD,
        at=answer,
    )


@case("OVR-05", Level.ROBUST, _SECTION)
def values(trial: Trial) -> None:
    """The override may be in lower case, an empty one is none, and an unknown one is refused."""
    upload = trial.create(10)
    answer = _append(upload, "POST", "patch")
    trial.check(
        200 <= answer.status < 300 and upload.offset() == len(_CONTENT),
        f"POST as 'patch' was answered {answer.status} and left the offset at {upload.offset()}",
        at=answer,
    )
    upload = trial.create(10)
    answer = _append(upload, "PATCH", "")
    trial.check(
        200 <= answer.status < 300 and upload.offset() == len(_CONTENT),
        f"PATCH with an empty override was answered {answer.status}",
        at=answer,
    )
    upload = trial.create(10)
    with upload.unchanged("POST with the override FOO"):
        _unknown(trial, _append(upload, "POST", "FOO"), "an upload")
    answer = trial.post([("Upload-Length", "10"), _as("FOO")], b"")
    _unknown(trial, answer, "the endpoint")
    trial.check("location" not in answer, "POST as FOO created an upload", at=answer)


def _unknown(trial: Trial, answer: Response, where: str) -> None:
    trial.check(
        400 <= answer.status < 500 or answer.status == 501,
        f"POST as FOO on {where} was answered {answer.status}, expected 405, 400 or 501",
        at=answer,
    )


# The specification ignores the actual method always. But what lets GET and OPTIONS pass relies on
# their being harmless: firewalls, caches, and servers that ask for no credentials (AMB-25).
@case("OVR-06", Level.ROBUST, _SECTION, needs="termination")
def harmless_methods_stay_harmless(trial: Trial) -> None:
    """GET and OPTIONS remove nothing, whatever their override, and none avoids credentials."""
    for method in _SAFE:
        upload = trial.create(10)
        answer = upload.request(method, [_as("DELETE")])
        trial.check(
            not _is_gone(upload), f"{method} as DELETE ({answer.status}) removed the upload"
        )
    if not trial.options.headers:
        return
    upload = trial.create(10)
    if _bare(trial, upload, "DELETE").status not in (401, 403):
        trial.note("DELETE needs none of the headers that the run was given.")
        return
    for method in (*_SAFE, "POST", "PATCH"):
        answer = _bare(trial, upload, method, _as("DELETE"))
        trial.require(
            not _is_gone(upload),
            f"{method} as DELETE ({answer.status}) needs no credentials, but DELETE does",
        )


def _bare(trial: Trial, upload: Upload, method: str, *fields: Field) -> Response:
    """A request without the headers that the user asked for."""
    with trial.connect(upload.url) as connection:
        version: list[Field] = [("Tus-Resumable", VERSION), ("Content-Length", "0")]
        connection.request(method, Address.of(upload.url).target, [*version, *fields])
        return connection.read()


# The list says MUST, but the specification does not know pages, and only they need it.
@case("OVR-07", Level.CLIENT, "Browsers")
def pages_may_override(trial: Trial) -> None:
    """A page that may send Tus-Resumable may send X-HTTP-Method-Override too."""
    require_pages(trial)
    answer = preflight(trial, trial.endpoint, "POST", ["Tus-Resumable", _NAME])
    trial.check(
        lists(answer, HEADERS, _NAME),
        f"Access-Control-Allow-Headers does not list {_NAME}: {answer.get(HEADERS)!r}",
    )
