"""Content-Digest (RFC 9530): what the bytes of a body must hash to, told before they come.

Its value is a dictionary of structured fields (RFC 9651), and is read as strictly as that says: a
value that breaks off or contains anything else is malformed as a whole. Of its members only those
count whose algorithm we know; the others may be anything that a structured field can be. Of several
that we know the strongest is checked, and the others are not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from http_sf import parse
from http_sf.errors import StructuredFieldError

from tusjumbo.errors import MalformedRequest
from tusjumbo.protocols.messages import Fields
from tusjumbo.sessions.commands import Digest

FIELD = "content-digest"

# RFC 9530 5: the others of its registry are not to be relied upon. Strongest first.
_KNOWN = {"sha-512": ("sha512", 64), "sha-256": ("sha256", 32)}


def digest_of(fields: Fields) -> Digest | None:
    """The digest by which the body is to be checked; None if none is told, or none that we know.

    :raises MalformedRequest: the value follows no grammar, or a digest has not its size
    """
    text = fields.joined(FIELD)
    if text is None:
        return None
    try:
        found = parse(text.encode("latin-1"), tltype="dictionary")
    except StructuredFieldError:
        raise _malformed(text, "digests as in sha-256=:<base64>: (RFC 9530)") from None
    members = cast(Mapping[str, tuple[object, object]], found)
    digests = [_digest(name, members[name][0], text) for name in _KNOWN if name in members]
    return digests[0] if digests else None


def _digest(name: str, value: object, text: str) -> Digest:
    algorithm, size = _KNOWN[name]
    if not isinstance(value, bytes) or len(value) != size:
        raise _malformed(text, f"{size} bytes of {name}, in base64 between colons")
    return Digest(algorithm, value)


def _malformed(text: str, expected: str) -> MalformedRequest:
    return MalformedRequest(FIELD, text, expected)
