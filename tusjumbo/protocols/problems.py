"""Problem documents (RFC 9457): what a client of Jumbo is told when something was refused.

The status comes from the table in `refusals`; everything else is the error's own. Its class names
the type of problem, which is for programs and does not change; its message is the detail, which is
for people; and its data are members of the document, unless it is we who failed: then the message
says what the client needs, and the rest is in the log.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from tusjumbo import errors
from tusjumbo.errors import TusJumboError
from tusjumbo.protocols.messages import ResponseHead
from tusjumbo.protocols.refusals import RETRY_AFTER, facts, nearest, theirs

MEDIA_TYPE = "application/problem+json"
URN = "urn:tusjumbo:problem:"

_TOLD_IN_HEADERS = (errors.Unauthorized, errors.MethodNotAllowed, errors.TooManyRequests)
"""The rest of what refusals tell there is in the document."""

_WORDS = re.compile(r"(?<=[a-z])(?=[A-Z])")
_TAKEN = frozenset({"type", "title", "status", "detail", "instance"})
"""Members that RFC 9457 gives a meaning. What an error calls so is about the upload."""


def refuse(error: TusJumboError) -> ResponseHead | None:
    """The answer to a request that ended with `error`; None if nobody is left to hear it."""
    kind, row = nearest(type(error))
    status = row.status if row.jumbo is None else row.jumbo
    if status is None:
        return None
    if isinstance(error, errors.Rejected):
        status = error.status or status
    headers = [
        ("Content-Type", MEDIA_TYPE),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
    ]
    if isinstance(error, _TOLD_IN_HEADERS):
        headers += facts(error)
    # What passes by itself: another request has the upload, or the server is being restarted.
    if status in (423, 503):
        headers.append(("Retry-After", str(RETRY_AFTER)))
    body = json.dumps(document(kind, status, error), default=str).encode("ascii") + b"\n"
    return theirs(error, ResponseHead(status, tuple(headers), body, closes=row.closes))


def document(kind: type[TusJumboError], status: int, error: TusJumboError) -> Mapping[str, object]:
    """The members; `kind` is the class of ours that the error is, or is derived from."""
    # RFC 9457 4.2.1: "about:blank" if a problem "has no additional semantics beyond that of the
    # HTTP status code".
    name = "-".join(_WORDS.split(kind.__name__)).lower()
    is_known = kind is not TusJumboError
    return {
        "type": URN + name if is_known else "about:blank",
        "title": name.replace("-", " ").capitalize() if is_known else "Internal Server Error",
        "status": status,
        "detail": str(error),
        **(_data(error) if isinstance(error, (errors.Refusal, errors.Interrupted)) else {}),
    }


def _data(error: TusJumboError) -> Mapping[str, object]:
    if isinstance(error, errors.Rejected):
        return {}  # what it has is an answer of the application's own
    told = {name: value for name, value in vars(error).items() if not name.startswith("_")}
    return {f"upload_{name}" if name in _TAKEN else name: value for name, value in told.items()}
