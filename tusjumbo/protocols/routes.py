"""Jumbo over HTTP: which requests there are, and which command each of them wants.

Strategy: the table of routes comes first and names what is wanted; who may do it is decided with
that; only then are JSON, form fields and header fields read. Each value has one strict grammar:
what is malformed is refused and never guessed. Nothing here sees a chunk's bytes.

The document at `openapi.json` describes the same table (a test compares them).
"""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tusjumbo.errors import (
    MalformedRequest,
    MediaTypeUnsupported,
    MethodNotAllowed,
    RouteNotFound,
)
from tusjumbo.protocols.content_digest import digest_of
from tusjumbo.protocols.fields import INTEGER, MEDIA_TYPE, decoded
from tusjumbo.protocols.jumbo import creation, sha256_of
from tusjumbo.protocols.messages import Fields
from tusjumbo.sessions import ids
from tusjumbo.sessions.commands import Action, Content, Create, Digest, Keep, Put


class Ask(enum.Enum):
    """What a request wants."""

    START = enum.auto()
    FORM = enum.auto()
    """Store a chunk that comes in a form."""
    PUT = enum.auto()
    """Store a chunk that is the body."""
    STATUS = enum.auto()
    RESUME = enum.auto()
    VERIFY = enum.auto()
    CANCEL = enum.auto()
    STATISTICS = enum.auto()
    DOCUMENT = enum.auto()
    CLIENT = enum.auto()
    OPTIONS = enum.auto()


@dataclass(frozen=True, slots=True)
class Route:
    method: str
    template: str
    """Below the mount: segments, of which `{upload_id}` and `{chunk_number}` stand for any."""
    ask: Ask
    action: Action
    """What the gate is asked for. DESCRIBE: it is not."""


ROUTES = (
    Route("POST", "/start", Ask.START, Action.CREATE),
    Route("POST", "/chunk", Ask.FORM, Action.APPEND),
    Route("GET", "/statistics", Ask.STATISTICS, Action.SURVEY),
    Route("GET", "/openapi.json", Ask.DOCUMENT, Action.DESCRIBE),
    Route("GET", "/jumbo.js", Ask.CLIENT, Action.DESCRIBE),
    Route("GET", "/status/{upload_id}", Ask.STATUS, Action.INSPECT),
    Route("GET", "/resume/{upload_id}", Ask.RESUME, Action.INSPECT),
    Route("GET", "/verify/{upload_id}/{chunk_number}", Ask.VERIFY, Action.INSPECT),
    Route("PUT", "/{upload_id}/chunks/{chunk_number}", Ask.PUT, Action.APPEND),
    Route("DELETE", "/{upload_id}", Ask.CANCEL, Action.TERMINATE),
)
"""Where two would match, the first does: `/start` is no upload's."""

METHODS = (*dict.fromkeys(route.method for route in ROUTES), "HEAD", "OPTIONS")

MAX_JSON = 64 * 1024
"""Bytes of a body that is JSON."""

SMALLEST_CHUNK = 64 * 1024
LARGEST_CHUNK = 4 * 1024**3
"""In bytes, of chunks whose size the client chooses."""


@dataclass(frozen=True, slots=True)
class Visit:
    """A request, as far as method and path tell."""

    ask: Ask
    action: Action
    upload_id: str = ""
    """Valid, though there may be no such upload; empty if it is about none."""
    number: int = 0
    allowed: tuple[str, ...] = ()
    """The methods that there are here, for OPTIONS."""


def recognise(method: str, path: str, routes: Sequence[Route] = ROUTES) -> Visit:
    """What the request is about. `path` is what is below the mount, percent-decoded; `routes` are
    those of the table that there are here.

    :raises RouteNotFound: there is nothing there
    :raises MethodNotAllowed: there is, but not for this method
    :raises MalformedRequest: the number of a chunk is none
    """
    path = path.removesuffix("/")  # which some frameworks add
    template = next((route.template for route in routes if _matches(route.template, path)), None)
    here = {route.method: route for route in routes if route.template == template}
    allowed = (*here, *(["HEAD"] if "GET" in here else []), "OPTIONS")
    if method == "OPTIONS":
        # On any path, as for tus: a preflight that fails hides the answer behind it.
        return Visit(Ask.OPTIONS, Action.DESCRIBE, allowed=allowed if here else METHODS)
    if template is None:
        raise RouteNotFound(path)
    route = here.get("GET" if method == "HEAD" else method)
    if route is None:
        raise MethodNotAllowed(method, allowed)
    said = dict(zip(template.split("/"), path.split("/"), strict=True))
    number = said.get("{chunk_number}")
    return Visit(
        route.ask,
        route.action,
        said.get("{upload_id}", ""),
        0 if number is None else INTEGER.decode("chunk_number", number),
    )


def _matches(template: str, path: str) -> bool:
    names, segments = template.split("/"), path.split("/")
    return len(names) == len(segments) and all(map(_fits, names, segments))


def _fits(name: str, segment: str) -> bool:
    match name:
        case "{upload_id}":
            return ids.is_valid(segment)
        case "{chunk_number}":
            return True
        case _:
            return name == segment


# --- JSON ----------------------------------------------------------------------------------------


def check_json(fields: Fields) -> None:
    """Return if the body says that it is JSON.

    :raises MediaTypeUnsupported: it does not, and may come from any page's form
    """
    found = fields.one("content-type")
    if MEDIA_TYPE.read(found or "") != "application/json":
        raise MediaTypeUnsupported(found, "application/json")
    _check_coding(fields)


def started_by(body: bytes, own_chunk_size: int) -> Create:
    """The upload that this JSON begins. `own_chunk_size` is the server's, which is always right.

    :raises MalformedRequest: it is not JSON, or a member is missing or not of its type
    """
    told = _object(body)
    for name in ("filename", "size"):
        if name not in told:
            raise MalformedRequest("body", _cut(body), f"a JSON object with {name!r}")
    chunk_size = _number(told.get("chunk_size"))
    command = creation(told["filename"], _number(told["size"]), told.get("metadata"), chunk_size)
    smallest, largest = chunk_sizes(own_chunk_size)
    if chunk_size is not None and not smallest <= chunk_size <= largest:
        raise MalformedRequest("chunk_size", str(chunk_size), f"{smallest} to {largest} bytes")
    return command


def chunk_sizes(own: int) -> tuple[int, int]:
    """The smallest and the largest that a client may choose; `own` is the server's."""
    return min(SMALLEST_CHUNK, own), max(LARGEST_CHUNK, own)


def _number(value: Any) -> Any:
    """JSON knows one kind of number, of which 5.0 is a whole one; some languages write it so."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _object(body: bytes) -> Mapping[str, Any]:
    # RFC 8259 8.1: "JSON text exchanged between systems [...] MUST be encoded using UTF-8."
    try:
        found = json.loads(
            body.decode("utf-8"), object_pairs_hook=_without_repetition, parse_constant=_refuse
        )
    except (ValueError, RecursionError):
        raise MalformedRequest("body", _cut(body), "JSON, in UTF-8, no name twice") from None
    if not isinstance(found, dict):
        raise MalformedRequest("body", _cut(body), "a JSON object")
    return found


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name comes twice")
    return found


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _cut(body: bytes) -> str:
    return body[:80].decode("utf-8", "replace")


# --- chunks --------------------------------------------------------------------------------------

HASH = "hash"
FORM_FIELDS = ("upload_id", "chunk_number", HASH)
"""What a form says before the file. The hash is optional."""


def put_by_form(fields: Mapping[str, str]) -> Put:
    """The chunk that a form brings, whose `fields` came before the file.

    :raises MalformedRequest: one is missing, or does not follow its grammar
    """
    for name in FORM_FIELDS[:2]:
        if name not in fields:
            raise MalformedRequest(
                name, "", "this field before the file (form fields have an order)"
            )
    upload_id = fields["upload_id"]
    if not ids.is_valid(upload_id):
        raise MalformedRequest("upload_id", upload_id, "the upload_id that start has answered")
    digest = sha256_of(fields[HASH]) if HASH in fields else None
    # How long the file is, a form does not say.
    content = Content(announced=None, keep=Keep.ALL_OR_NOTHING, digest=digest)
    return Put(
        id=upload_id, number=INTEGER.decode("chunk_number", fields["chunk_number"]), content=content
    )


def put_by_body(upload_id: str, number: int, fields: Fields, announced: int | None) -> Put:
    """The chunk that is the body of a request with these header fields.

    :raises MalformedRequest: a digest that is none, or a part of a chunk
    """
    if "content-range" in fields:
        # RFC 9110 14.5: a server that does not support partial PUT "SHOULD respond with a 400 (Bad
        # Request) status code if it receives Content-Range on a PUT request".
        raise MalformedRequest(
            "content-range", fields.joined("content-range") or "", "whole chunks"
        )
    _check_coding(fields)
    digest = digest_of(fields)
    content = Content(announced=announced, keep=Keep.ALL_OR_NOTHING, digest=digest)
    return Put(id=upload_id, number=number, content=content)


def check_form(fields: Fields) -> str:
    """The Content-Type of a body that says that it is a form.

    :raises MediaTypeUnsupported: it does not
    """
    found = fields.one("content-type")
    if found is None or MEDIA_TYPE.read(found) != "multipart/form-data":
        raise MediaTypeUnsupported(found, "multipart/form-data")
    _check_coding(fields)
    return found


def _check_coding(fields: Fields) -> None:
    """What is compressed on the way would be stored like that."""
    coding = fields.joined("content-encoding")
    if coding is not None and coding.lower() != "identity":
        raise MalformedRequest("content-encoding", coding, "no coding: bytes as they are")


def hash_in(query: str) -> Digest | None:
    """The hash that a query asks about; None if it asks about none. Other parameters do not count.

    :raises MalformedRequest: it is none, or there are several
    """
    pairs = (pair.partition("=") for pair in query.split("&"))
    values = [decoded(value) for name, _, value in pairs if decoded(name) == HASH]
    if len(values) > 1:
        raise MalformedRequest(HASH, ", ".join(values), "one hash")
    return sha256_of(values[0]) if values else None
