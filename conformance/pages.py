"""What a browser asks for a page, and what it lets the page see (the Fetch standard).

Only as far as uploads need it. A preflight carries nothing of the user: no credentials and no
Tus-Resumable.
"""

from __future__ import annotations

from collections.abc import Iterable

from conformance.trial import Trial
from conformance.wire import Address, Field, Response

ORIGIN = "access-control-allow-origin"
CREDENTIALS = "access-control-allow-credentials"
METHODS = "access-control-allow-methods"
HEADERS = "access-control-allow-headers"
EXPOSED = "access-control-expose-headers"
MAX_AGE = "access-control-max-age"


def preflight(
    trial: Trial,
    url: str,
    method: str,
    names: Iterable[str] = ("Tus-Resumable",),
    *,
    origin: str | None = None,
) -> Response:
    """Ask whether a page may send this method with these header fields."""
    fields: list[Field] = [
        ("Origin", origin or trial.options.origin),
        ("Access-Control-Request-Method", method),
        # Fetch 4.8: in lower case, sorted, without white space.
        ("Access-Control-Request-Headers", ",".join(sorted(name.lower() for name in names))),
    ]
    with trial.connect(url) as connection:
        connection.request("OPTIONS", Address.of(url).target, fields)
        return connection.read()


def is_readable(answer: Response, origin: str) -> bool:
    """Whether a page of this origin gets to see the response at all."""
    return answer.all(ORIGIN) in (["*"], [origin])


def lists(answer: Response, field: str, name: str) -> bool:
    """Whether a list of the response names `name`, or all names, which leaves Authorization out."""
    named = {member.lower() for member in answer.members(field)}
    return name.lower() in named or ("*" in named and name.lower() != "authorization")


def require_pages(trial: Trial) -> None:
    """Skip the case if no page of the run's origin may talk to this server at all (CORS-01)."""
    origin = trial.options.origin
    answer = preflight(trial, trial.endpoint, "POST")
    if not is_readable(answer, origin):
        trial.skip(f"the server lets no page of {origin} in (CORS-01)")
