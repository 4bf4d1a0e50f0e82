from __future__ import annotations

import inspect
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocols.scenes import check_any, values
from tusjumbo import errors
from tusjumbo.errors import TusJumboError
from tusjumbo.protocols.messages import Intent, ResponseHead
from tusjumbo.protocols.refusals import ROWS as TABLE
from tusjumbo.protocols.refusals import refuse
from tusjumbo.sessions.commands import Action

ON_HEAD = Intent(Action.INSPECT, "abc", "HEAD")
INTENTS = (
    None,
    ON_HEAD,
    Intent(Action.CREATE, None, "POST"),
    Intent(Action.APPEND, "abc", "PATCH"),
    Intent(Action.TERMINATE, "abc", "DELETE"),
    Intent(Action.FETCH, "abc", "GET"),
)

BUSY = errors.TooManyRequests(1.5)

# Every error, what it says on PATCH (or wherever it happens), and what it says on HEAD.
ROWS: tuple[tuple[TusJumboError, int | None, int | None], ...] = (
    (errors.MalformedRequest("upload-offset", "\r\n\u20ac", "digits"), 400, 400),
    (errors.LengthConflict("abc", 5, 10, 0), 400, 400),
    (errors.NoSuchChunk("abc", 3, None), 400, 400),
    (errors.ChunkSizeWrong("abc", 3, 5, 7), 400, 400),
    (errors.NotAbandoned("abc", "uploading"), 400, 400),
    (errors.ChunkConflict("abc", 3, 5), 400, 400),
    (errors.PartUnusable("/files/\0\u20ac", "it is gone"), 400, 400),
    (errors.Unauthorized(), 401, 401),
    (errors.Forbidden(), 403, 403),
    (errors.UploadIsFinal("abc"), 403, 403),
    (errors.RouteNotFound("/\0"), 404, 404),
    (errors.UploadNotFound("abc"), 404, 404),
    (errors.MethodNotAllowed("PUT", ("POST", "OPTIONS")), 405, 405),
    (errors.OffsetMismatch("abc", 5, 7), 409, 409),
    (errors.UploadUnfinished("abc", 5, None), 409, 409),
    (errors.UploadIsPartial("abc"), 409, 409),
    (errors.VersionUnsupported(None, ("1.0.0",)), 412, 412),
    (errors.UploadTooLarge(10), 413, 413),
    (errors.BodyTooLong("abc", 10), 413, 413),
    (errors.MediaTypeUnsupported(None, "a/b"), 415, 415),
    (errors.MediaTypeRefused("a/b\r\n\u20ac", "c/d", ("e/*",)), 415, 415),
    (errors.UploadLocked("abc", 20.0), 423, 423),
    (errors.HandedOver("abc"), 423, 423),
    (errors.StaleCommit("abc"), 423, 423),
    (errors.DigestMismatch("abc", "sha1"), 460, 460),
    (errors.AlgorithmUnsupported("foo", ("sha1", "md5")), 400, 400),
    (errors.ExtensionUnsupported("concatenation"), 400, 400),
    (errors.BodyTimeout(60.0), 503, 423),
    (errors.ServerClosing(), 503, 423),
    (errors.StorageFull(), 507, 423),
    (errors.StorageFailed(), 500, 423),
    (errors.CatalogFailed(), 500, 423),
    (errors.StorageLost("abc"), 500, 404),
    (errors.ConfigurationError("a setting"), 500, 423),
    (errors.UploadRejected("a virus"), 400, 400),
    (errors.TerminationRejected(), 400, 400),
    (errors.UploadStopped("abc"), 400, 400),
    (errors.UploadElsewhere("abc"), 404, 404),
    (errors.QuotaExceeded(10, 9), 413, 413),
    (errors.TooManyUploads(3), 403, 403),
    (BUSY, 503, 423),
    (errors.HookFailed("pre-create", "it is down"), 500, 423),
    (errors.AssemblyFailed("abc"), 500, 423),
    (errors.ClientDisconnected(), None, None),
)
# What a client may only take after the status as wrong if it says so: headers besides the usual.
FACTS: dict[type[TusJumboError], tuple[str, str]] = {
    errors.Unauthorized: ("WWW-Authenticate", "Bearer"),
    errors.MethodNotAllowed: ("Allow", "POST, OPTIONS"),
    errors.OffsetMismatch: ("Upload-Offset", "7"),
    errors.VersionUnsupported: ("Tus-Version", "1.0.0"),
    errors.AlgorithmUnsupported: ("Tus-Checksum-Algorithm", "sha1,md5"),
    errors.ServerClosing: ("Retry-After", "1"),
    errors.TooManyRequests: ("Retry-After", "2"),
}
CLOSING = (errors.HandedOver, errors.BodyTimeout, errors.ServerClosing)


def _classes(base: type[TusJumboError] = TusJumboError) -> Iterator[type[TusJumboError]]:
    for kind in base.__subclasses__():
        if kind.__module__ == errors.__name__:
            yield kind
            yield from _classes(kind)


def _leaves() -> set[type[TusJumboError]]:
    return {kind for kind in _classes() if not any(True for _ in _classes(kind))}


def _name(value: object) -> str | None:
    return type(value).__name__ if isinstance(value, TusJumboError) else None


def _said(error: TusJumboError, intent: Intent | None) -> ResponseHead:
    response = refuse(error, intent)
    assert response is not None
    check_any(response)
    return response


def test_every_error_has_a_row_and_is_tested() -> None:
    defined = {
        kind
        for _, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, TusJumboError)
    }
    assert defined == {TusJumboError, *_classes()}
    assert _leaves() <= TABLE.keys()
    assert TABLE.keys() <= defined
    assert {type(error) for error, _, _ in ROWS} == _leaves()  # and of Jumbo, in test_problems


@pytest.mark.parametrize("intent", INTENTS, ids=lambda intent: intent.method if intent else "none")
@pytest.mark.parametrize(("error", "status", "on_head"), ROWS, ids=_name)
def test_the_status(
    error: TusJumboError, status: int | None, on_head: int | None, intent: Intent | None
) -> None:
    expected = on_head if intent is ON_HEAD else status
    if expected is None:
        assert refuse(error, intent) is None
        return
    response = _said(error, intent)
    assert response.status == expected
    assert response.closes == isinstance(error, CLOSING)
    found = values(response)
    assert found.pop("Tus-Resumable") == "1.0.0"
    assert found.pop("Cache-Control") == "no-store"
    facts = dict([FACTS[type(error)]]) if type(error) in FACTS else {}
    if intent is ON_HEAD:
        facts.pop("Upload-Offset", None)
        assert response.body == b""
    else:
        facts["Content-Type"] = "text/plain; charset=utf-8"
        assert response.body == f"{error}\n".encode()
    assert found == facts


def test_a_refused_patch_says_when_the_upload_expires() -> None:
    error = errors.OffsetMismatch("abc", 5, 7)
    error.expires_at = 784111777.0
    found = values(_said(error, Intent(Action.APPEND, "abc", "PATCH")))
    assert found["Upload-Expires"] == "Sun, 06 Nov 1994 08:49:37 GMT"


@pytest.mark.parametrize(("error", "status", "on_head"), ROWS, ids=_name)
def test_no_status_makes_a_client_give_up_what_it_could_resume(
    error: TusJumboError, status: int | None, on_head: int | None
) -> None:
    """clients.md 1.7: retried on PATCH are 409, 423 and 5xx; on HEAD a 5xx loses the upload."""
    if isinstance(error, (errors.Interrupted, errors.SystemFailure)) and status is not None:
        assert status == 423 or status >= 500
        assert on_head in (404, 423)
    assert status not in (408, 429)
    if isinstance(error, errors.SystemFailure):
        assert (on_head == 404) == isinstance(error, errors.StorageLost)


@pytest.mark.parametrize(
    ("base", "status", "on_head"),
    [
        (errors.Forbidden, 403, 403),
        (errors.Refusal, 400, 400),
        (errors.Interrupted, 503, 423),
        (errors.SystemFailure, 500, 423),
        (TusJumboError, 500, 423),
    ],
)
def test_a_class_without_a_row_is_like_its_nearest_base(
    base: type[TusJumboError], status: int, on_head: int
) -> None:
    kind = type("Derived", (base,), {})
    assert _said(kind("No.\nReally \ud800."), None).status == status
    assert _said(kind("No."), None).body == b"No.\n"
    assert _said(kind("No."), ON_HEAD).status == on_head


@given(st.text(min_size=1))
def test_a_challenge_cannot_break_out_of_its_header(challenge: str) -> None:
    response = refuse(errors.Unauthorized(challenge), None)
    assert response is not None
    values(response)["WWW-Authenticate"].encode("latin-1")
    assert not set(values(response)["WWW-Authenticate"]) & set(map(chr, (*range(32), 127))) - {"\t"}


def test_what_the_application_says_stands_in_place_of_our_words() -> None:
    error = errors.UploadRejected(
        "no", status=422, headers={"Content-Type": "application/json", "X-A": "b"}, body=b"{}"
    )
    for intent in INTENTS:
        if intent is not ON_HEAD:
            response = _said(error, intent)
            assert (response.status, response.body) == (422, b"{}")
            found = values(response)
            assert found["Content-Type"] == "application/json"
            assert found["X-A"] == "b"
            assert found["Tus-Resumable"] == "1.0.0"


def test_of_an_answer_without_words_ours_stay() -> None:
    response = _said(errors.UploadRejected("no", headers={"X-A": "b"}), INTENTS[2])
    assert (response.status, response.body) == (400, b"no\n")
