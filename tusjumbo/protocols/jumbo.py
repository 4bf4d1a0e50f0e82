"""Jumbo's words: what a client says becomes a command, what came of it the seed's dictionaries.

Shared by everybody who speaks Jumbo: the Python API, HTTP and Flask. Here are no requests and no
status codes, only values: what JSON can say, and what sessions are.

What a client says of its file is kept twice: decoded, as every protocol keeps it (so that a tus
client sees the name and the type, too), and as the JSON that it was, to be returned.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from tusjumbo.errors import MalformedRequest
from tusjumbo.sessions.commands import Create

LARGEST = 2**63 - 1
"""No upload and no chunk is larger."""

METADATA = "jumbo-metadata"
"""The field of `UploadSession.echo` that has the client's metadata, as JSON."""

MAX_METADATA = 64 * 1024
"""How many characters that JSON may have."""


def creation(
    filename: str,
    size: int,
    metadata: Mapping[str, object] | None = None,
    chunk_size: int | None = None,
) -> Create:
    """The command that begins an upload of `size` bytes; sizes are bytes.

    `chunk_size` is None for the server's own.

    :raises MalformedRequest: one of them is not of its type, or not possible
    """
    _check_name(filename)
    _check_number("size", size, 0)
    if chunk_size is not None:
        _check_number("chunk_size", chunk_size, 1)
    told = {} if metadata is None else metadata
    text = _json_of(told)
    pairs = {key: _encoded(value) for key, value in told.items()}
    return Create(
        length=size,
        metadata={**pairs, "filename": _encoded(filename)},
        echo={METADATA: text} if told else {},
        chunk_size=chunk_size,
    )


def _check_name(filename: object) -> None:
    if not isinstance(filename, str) or not filename:
        raise MalformedRequest("filename", repr(filename), "text that is not empty")


def _check_number(field: str, value: object, least: int) -> None:
    # A bool is an int to Python, and to nobody else.
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= LARGEST:
        raise MalformedRequest(field, repr(value), f"a whole number from {least} to 2^63-1")


def _json_of(metadata: object) -> str:
    if not isinstance(metadata, Mapping) or not all(isinstance(key, str) for key in metadata):
        raise MalformedRequest("metadata", repr(metadata), "an object with texts as keys")
    try:
        text = json.dumps(dict(metadata), allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError):
        raise MalformedRequest("metadata", repr(metadata), "what JSON can say") from None
    if len(text) > MAX_METADATA:
        raise MalformedRequest("metadata", text, f"at most {MAX_METADATA} characters of JSON")
    return text


def _encoded(value: object) -> bytes:
    """Text as it is, anything else as JSON."""
    text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
    return text.encode("utf-8", "replace")
