"""Request and response heads as values, free of any web framework.

A head is what a protocol may look at: the body is described (`announced`), never touched. Header
names are lower-case; values are latin-1 text with optional white space already stripped, because
not every server does that (specs/tus-1.0.md section 14).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from tusjumbo.errors import MalformedRequest
from tusjumbo.sessions.commands import Action
from tusjumbo.sessions.session import Answer

OWS = " \t"

Headers = tuple[tuple[str, str], ...]
"""Header fields of a response: valid names and values, in latin-1 text."""


class Fields:
    """Header fields of a request. Repeated lines are kept apart until somebody asks."""

    __slots__ = ("_values",)

    def __init__(self, raw: Iterable[tuple[bytes, bytes]]) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in raw:
            key = name.decode("latin-1").lower()
            self._values.setdefault(key, []).append(value.decode("latin-1").strip(OWS))

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def one(self, name: str) -> str | None:
        """The value of a field that has one; equal repetitions count as one. None if absent.

        :raises MalformedRequest: lines with different values
        """
        values = self._values.get(name)
        if values is None:
            return None
        if values.count(values[0]) < len(values):
            raise MalformedRequest(name, ", ".join(values), "one value")
        return values[0]

    def joined(self, name: str) -> str | None:
        """The value of a list field: lines joined with commas (RFC 9110 5.3). None if absent."""
        values = self._values.get(name)
        return None if values is None else ",".join(values)

    def lines(self) -> Mapping[str, Sequence[str]]:
        """Every field, its lines apart, by its name Written-Like-This."""
        return {name.title(): tuple(values) for name, values in self._values.items()}

    def as_mapping(self) -> Mapping[str, str]:
        """Every field, lines joined, for code that is not ours."""
        return MappingProxyType({name: ", ".join(lines) for name, lines in self._values.items()})


class RequestHead(NamedTuple):
    method: str
    """As it came; upper-case for every method of ours."""
    path: str
    """Below the point where we are mounted: `""` or `"/"` for the endpoint, `"/<id>"`."""
    fields: Fields
    announced: int | None = 0
    """The size of the body in bytes; None if it is chunked, 0 if there is none."""
    endpoint: Callable[[], str] = str
    """The path of the endpoint as the client sees it, as in links: `""` or `/files`, `/a%20b`.
    To be asked for: few requests need it, and it takes a look at what proxies say."""


class Intent(NamedTuple):
    """What a request is about, before its details are read: enough for access control."""

    action: Action
    upload_id: str | None
    """Valid, though there may be no such upload. None at the endpoint."""
    method: str
    """The one that counts, after X-HTTP-Method-Override."""


class ResponseHead(NamedTuple):
    status: int
    headers: Headers = ()
    body: bytes = b""
    closes: bool = False
    """The connection is of no further use (HTTP/1.1: `Connection: close`)."""

    def amended(self, answer: Answer | None) -> ResponseHead:
        """The head with what the application says in place of the protocol's own words.

        One that has no content by its status, 204, becomes a 200 if the application has some.
        """
        if answer is None:
            return self
        status = answer.status or self.status
        theirs = {name.lower() for name in answer.headers}
        kept = tuple(line for line in self.headers if line[0].lower() not in theirs)
        return self._replace(
            status=200 if answer.body and status == 204 else status,
            headers=(*kept, *answer.headers.items()),
            body=answer.body or self.body,
        )
