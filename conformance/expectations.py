"""Expect: 100-continue, as a client waits for it: what PATCH and POST are asked alike.

RFC 9110 10.1.1: a client that sends it waits before it sends the body, but not for ever.
"""

from __future__ import annotations

from conformance.trial import Trial
from conformance.wire import Connection, Response

PATIENCE = 3.0
"""Seconds after which a client sends its body although nobody told it 100."""


def has_answer(connection: Connection) -> bool:
    """Wait for what a server says of a request's head; whether it is final."""
    return connection.interim(PATIENCE) is None and connection.answered()


def check_unwanted(trial: Trial, answer: Response, where: str) -> None:
    """Check that a request which was refused was not told 100 before."""
    if answer.status < 400:
        # Whether it has to be refused is for other rows.
        trial.note(f"{where}: not refused, but answered {answer.status}.")
        return
    trial.check(
        100 not in answer.interim,
        f"{where}: told 100, and only after its body answered {answer.status}",
        at=answer,
    )
