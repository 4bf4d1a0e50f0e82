from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocols.scenes import values
from tests.protocols.test_refusals import BUSY, CLOSING, ROWS
from tusjumbo import errors
from tusjumbo.errors import TusJumboError
from tusjumbo.protocols.messages import ResponseHead
from tusjumbo.protocols.problems import refuse

# Where it is not tus' status.
OTHERWISE: dict[type[TusJumboError], int] = {
    errors.DigestMismatch: 400,
    errors.NoSuchChunk: 404,
    errors.ChunkConflict: 409,
    errors.NotAbandoned: 409,
    errors.UploadRejected: 403,
    errors.TerminationRejected: 403,
    errors.UploadStopped: 410,
    errors.TooManyRequests: 429,
    errors.TooManyUploads: 429,
}


def said(error: TusJumboError) -> tuple[ResponseHead, dict[str, Any]]:
    response = refuse(error)
    assert response is not None
    return response, json.loads(response.body)


@pytest.mark.parametrize(
    ("error", "status"),
    [(error, OTHERWISE.get(type(error), status)) for error, status, _ in ROWS],
    ids=[type(error).__name__ for error, _, _ in ROWS],
)
def test_every_error(error: TusJumboError, status: int | None) -> None:
    if status is None:
        assert refuse(error) is None
        return
    response, problem = said(error)
    assert response.status == problem["status"] == status
    assert response.closes == isinstance(error, CLOSING)
    assert problem["detail"] == str(error)
    assert problem["type"].startswith("urn:tusjumbo:problem:")
    name = problem["type"].rpartition(":")[2]
    assert name.replace("-", "") == type(error).__name__.lower()
    assert problem["title"].replace(" ", "-").lower() == name
    headers = values(response)
    assert headers.pop("Content-Type") == "application/problem+json"
    assert headers.pop("Cache-Control") == "no-store"
    assert headers.pop("X-Content-Type-Options") == "nosniff"
    assert ("Retry-After" in headers) == (status in (423, 503) or error is BUSY)
    headers.pop("Retry-After", None)
    assert set(headers) == {
        errors.Unauthorized: {"WWW-Authenticate"},
        errors.MethodNotAllowed: {"Allow"},
    }.get(type(error), set())
    if isinstance(error, errors.Rejected):
        assert len(problem) == 4
    elif not isinstance(error, errors.SystemFailure | errors.ConfigurationError):
        assert len(problem) == 4 + len(vars(error))


@pytest.mark.parametrize(
    ("error", "members"),
    [
        pytest.param(
            errors.ChunkConflict("abc", 3, 5),
            {
                "type": "urn:tusjumbo:problem:chunk-conflict",
                "title": "Chunk conflict",
                "upload_id": "abc",
                "start": 3,
                "stop": 5,
            },
            id="data are members",
        ),
        pytest.param(
            errors.MediaTypeRefused("a/b", None, ("e/*",)),
            {"declared": "a/b", "found": None, "allowed": ["e/*"]},
            id="lists and null",
        ),
        pytest.param(
            errors.NotAbandoned("abc", "uploading"),
            {"status": 409, "upload_status": "uploading"},
            id="a name that is taken",
        ),
        pytest.param(errors.UploadLocked("abc", 20.5), {"waited": 20.5}, id="a fraction"),
    ],
)
def test_members(error: TusJumboError, members: dict[str, object]) -> None:
    _, problem = said(error)
    assert problem.items() >= members.items()


def test_the_headers_of_some() -> None:
    response, _ = said(errors.Unauthorized('Basic realm="\u20ac"\r\nX: y'))
    assert values(response)["WWW-Authenticate"] == 'Basic realm="?"??X: y'
    response, _ = said(errors.MethodNotAllowed("GET", ("POST", "OPTIONS")))
    assert values(response)["Allow"] == "POST, OPTIONS"
    response, _ = said(errors.UploadLocked("abc", 1.0))
    assert int(values(response)["Retry-After"]) > 0


def test_our_own_failures_tell_no_data() -> None:
    error = errors.StorageFailed()
    error.where = "/secret"  # type: ignore[attr-defined]
    assert "secret" not in json.dumps(said(error)[1])


class Quota(errors.Forbidden):
    """A gate's own."""

    def __init__(self) -> None:
        self.left = object()
        super().__init__("Pay first.")


def test_classes_of_others() -> None:
    """They are what they are derived from, to programs that know our types."""
    response, problem = said(Quota())
    assert (response.status, problem["type"]) == (403, "urn:tusjumbo:problem:forbidden")
    assert problem["detail"] == "Pay first."
    assert problem["left"].startswith("<object")


def test_what_is_no_kind_of_ours() -> None:
    response, problem = said(TusJumboError("A mistake."))
    assert (response.status, problem["type"]) == (500, "about:blank")
    assert problem["title"] == "Internal Server Error"


@given(st.text())
def test_any_text_can_be_said(text: str) -> None:
    _, problem = said(errors.MalformedRequest(text, text, text))
    assert (problem["field"], problem["found"]) == (text, text[:80])
