"""Content-Digest (RFC 9530): what the bytes of a body must hash to, told before they come.

Its value is a dictionary of structured fields (RFC 9651), and is read as strictly as that says: a
value that breaks off or contains anything else is malformed as a whole. Of its members only those
count whose algorithm we know; the others may be anything that a structured field can be.

Of several that we know the strongest is checked, and the others are not. No expression can match
the same text in two ways, so that hostile input costs linear time.
"""

from __future__ import annotations

import base64
import re

from tusjumbo.errors import MalformedRequest
from tusjumbo.protocols.messages import Fields
from tusjumbo.sessions.commands import Digest

FIELD = "content-digest"

# RFC 9530 5: the others of its registry are not to be relied upon. Strongest first.
_KNOWN = {"sha-512": ("sha512", 64), "sha-256": ("sha256", 32)}

# RFC 9651 3.3, 3.1.2 and 3.1.1.
_KEY = r"[a-z*][a-z0-9_.*-]*"
_BYTES = r":[A-Za-z0-9+/]*={0,2}:"
_BARE = "|".join(
    (
        r"@?-?[0-9]{1,15}(?!\.?[0-9])",
        r"-?[0-9]{1,12}\.[0-9]{1,3}",
        r'"(?:[ !#-\[\]-~]|\\["\\])*"',
        r'%"(?:[ !#$&-~]|%[0-9a-f]{2})*"',
        r"[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*",
        _BYTES,
        r"\?[01]",
    )
)
_PARAMETERS = rf"(?:; *{_KEY}(?:=(?:{_BARE}))?)*"
_ITEM = rf"(?:{_BARE}){_PARAMETERS}"
_LIST = rf"\( *(?:{_ITEM}(?: +{_ITEM})* *)?\)"
_MEMBER = re.compile(rf"({_KEY})(?:=({_LIST}|{_BARE}))?{_PARAMETERS}")
_COMMA = re.compile(r"[ \t]*,[ \t]*")
_EXPECTED = "digests as in sha-256=:<base64>: (RFC 9530)"


def digest_of(fields: Fields) -> Digest | None:
    """The digest by which the body is to be checked; None if none is told, or none that we know.

    :raises MalformedRequest: the value follows no grammar, or a digest has not its size
    """
    text = fields.joined(FIELD)
    if text is None:
        return None
    members = _dictionary(text)
    digests = [_digest(name, members[name], text) for name in _KNOWN if name in members]
    return digests[0] if digests else None


def _dictionary(text: str) -> dict[str, str]:
    """The members' values as they are written, without parameters; empty for a bare key.

    RFC 9651 4.2.2: a key that comes again replaces what came before; a comma is followed by more.
    """
    members: dict[str, str] = {}
    at = 0
    while text:
        found = _MEMBER.match(text, at)
        if found is None:
            raise MalformedRequest(FIELD, text, _EXPECTED)
        members[found[1]] = found[2] or ""
        if found.end() == len(text):
            return members
        comma = _COMMA.match(text, found.end())
        if comma is None:
            raise MalformedRequest(FIELD, text, _EXPECTED)
        at = comma.end()
    return members


def _digest(name: str, value: str, text: str) -> Digest:
    algorithm, size = _KNOWN[name]
    encoded = value[1:-1].rstrip("=") if re.fullmatch(_BYTES, value) else ""
    # RFC 9651 4.2.7: padding that is missing is supplied.
    padded = encoded + "=" * (-len(encoded) % 4)
    digest = b"" if len(encoded) % 4 == 1 else base64.b64decode(padded, validate=True)
    if len(digest) != size:
        raise MalformedRequest(FIELD, text, f"{size} bytes of {name}, in base64 between colons")
    return Digest(algorithm, digest)
