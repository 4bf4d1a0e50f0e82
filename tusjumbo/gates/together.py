"""Several ways in: whoever recognises the credentials of a request decides about it alone.

About a request without any, or with some that none of them knows, the last one is asked, if there
is one; else it is told all the ways.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tusjumbo.application import Admission, Gate, Identity
from tusjumbo.errors import Unauthorized


class Way(Gate, Protocol):
    @property
    def challenge(self) -> str:
        """What WWW-Authenticate says of it."""
        ...

    def claims(self, admission: Admission) -> bool:
        """Whether a request has credentials of this kind. Never blocks."""
        ...


class Together:
    """See `tusjumbo.application.Gate`."""

    def __init__(self, ways: Sequence[Way], last: Gate | None = None) -> None:
        self._ways = ways
        self._last = last
        self._challenge = ", ".join(dict.fromkeys(way.challenge for way in ways))

    async def admit(self, admission: Admission) -> Identity | None:
        for way in self._ways:
            if way.claims(admission):
                return await way.admit(admission)
        if self._last is not None:
            return await self._last.admit(admission)
        raise Unauthorized(self._challenge)
