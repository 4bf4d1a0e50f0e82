"""The grammar of every header field we read or write, each once, in both directions.

Strategy: a grammar is one strict regular expression used with `fullmatch`, a way to read what it
matched and a way to write it. Text that does not match is malformed and never absent, repaired or
guessed; `int()` and the base64 decoder only see what an expression has admitted. Knows nothing of
requests: which field has which grammar is the protocol's business.

Invariant: `read(write(value)) == value`, and nothing that a grammar admits or writes contains a
control character other than a tab, so it can go into a response as it is. No expression can match
the same text in two ways, so that hostile input costs linear time.

Text is latin-1: one character for each byte on the wire.
"""

from __future__ import annotations

import base64
import binascii
import calendar
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from functools import lru_cache
from typing import Generic, Literal, TypeVar

from tusjumbo.errors import MalformedRequest
from tusjumbo.protocols.messages import OWS, Fields
from tusjumbo.sessions.commands import Digest

T = TypeVar("T")

LARGEST = 2**63 - 1
"""No length or offset is larger."""


@dataclass(frozen=True, slots=True)
class Grammar(Generic[T]):
    """How one kind of value is spelled."""

    expected: str
    """What a person should write, for the message of a refusal."""
    read: Callable[[str], T | None]
    """The value; None if the text does not follow the grammar."""
    write: Callable[[T], str]
    """The text.

    :raises ValueError: no text says this
    """

    def decode(self, field: str, text: str) -> T:
        """The value of `field`, which has the value `text`.

        :raises MalformedRequest: `text` does not follow the grammar
        """
        value = self.read(text)
        if value is None:
            raise MalformedRequest(field, text, self.expected)
        return value

    def find(self, fields: Fields, field: str) -> T | None:
        """The value of `field` in a request; None if it is absent.

        :raises MalformedRequest: it does not follow the grammar, or has several values
        """
        text = fields.one(field)
        return None if text is None else self.decode(field, text)

    def require(self, fields: Fields, field: str) -> T:
        """The value of `field` in a request.

        :raises MalformedRequest: it is absent, does not follow the grammar, or has several values
        """
        return self.decode(field, fields.one(field) or "")


# --- numbers -------------------------------------------------------------------------------------

# AMB-07: digits only (no sign, no space, no underscore, no other script), leading zeros allowed.
_INTEGER = re.compile(r"[0-9]{1,19}")


def _read_integer(text: str) -> int | None:
    if _INTEGER.fullmatch(text) is None:
        return None
    value = int(text)
    return value if value <= LARGEST else None


def _write_integer(value: int) -> str:
    if not 0 <= value <= LARGEST:
        raise ValueError(f"not a length or offset: {value}")
    return str(value)


INTEGER: Grammar[int] = Grammar("a non-negative integer below 2^63", _read_integer, _write_integer)
"""Upload-Length, Upload-Offset, Tus-Max-Size."""


def _read_deferred(text: str) -> Literal[True] | None:
    return True if text == "1" else None


# tus, Upload-Defer-Length: "Its value MUST be `1`."
DEFERRED: Grammar[Literal[True]] = Grammar("1", _read_deferred, lambda _: "1")
"""Upload-Defer-Length."""


# --- names ---------------------------------------------------------------------------------------

TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - RFC 9110 5.6.2
_METHOD = re.compile(TOKEN)


def _read_method(text: str) -> str | None:
    return text.upper() if _METHOD.fullmatch(text) else None


def _write_method(method: str) -> str:
    if _read_method(method) != method:
        raise ValueError(f"not a method: {method!r}")
    return method


METHOD: Grammar[str] = Grammar("the name of a method", _read_method, _write_method)
"""X-HTTP-Method-Override. The value is in upper case, however it came (OVR-05)."""

# RFC 9110 8.3.1 and 5.6.6. AMB-06: case and parameters do not count.
QUOTED = r'"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"'
_MEDIA_TYPE = re.compile(
    rf"({TOKEN}/{TOKEN})(?:[ \t]*;(?:[ \t]*{TOKEN}=(?:{TOKEN}|{QUOTED}))?)*[ \t]*"
)


def _read_media_type(text: str) -> str | None:
    match = _MEDIA_TYPE.fullmatch(text)
    return match[1].lower() if match else None


def _write_media_type(media_type: str) -> str:
    if _read_media_type(media_type) != media_type:
        raise ValueError(f"not a media type in lower case: {media_type!r}")
    return media_type


MEDIA_TYPE: Grammar[str] = Grammar("a media type", _read_media_type, _write_media_type)
"""Content-Type. The value is `type/subtype` in lower case, without parameters."""


# --- dates ---------------------------------------------------------------------------------------

_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
_DATE = re.compile(
    rf"[A-Z][a-z]{{2}}, ([0-9]{{2}}) ({'|'.join(_MONTHS)}) ([0-9]{{4}})"
    r" ([0-9]{2}):([0-9]{2}):([0-9]{2}) GMT"
)
_LAST_SECOND = 253402300799
"""The end of the year 9999, and of the grammar."""


def _read_date(text: str) -> float | None:
    match = _DATE.fullmatch(text)
    if match is None:
        return None
    day, month, year, hour, minute, second = match.groups()
    when = (int(year), _MONTHS.index(month) + 1, int(day), int(hour), int(minute), int(second))
    try:
        seconds = calendar.timegm(when)
    except ValueError:
        return None
    # An hour 25, a 31st of June or a wrong weekday is not what we would write for that second.
    return float(seconds) if formatdate(seconds, usegmt=True) == text else None


def _write_date(seconds: float) -> str:
    # Fractions are cut off: an upload never expires before the date that was told.
    return _date_of(int(min(max(seconds, 0), _LAST_SECOND)))


@lru_cache(maxsize=64)
def _date_of(seconds: int) -> str:
    """Kept, because uploads of the same second expire in the same second."""
    return formatdate(seconds, usegmt=True)


DATE: Grammar[float] = Grammar(
    "a date like 'Sun, 06 Nov 1994 08:49:37 GMT'", _read_date, _write_date
)
"""Upload-Expires: IMF-fixdate (RFC 9110 5.6.7), in seconds since the epoch.

What lies outside the years 1970 to 9999 is written as the nearest second inside.
"""


# --- metadata ------------------------------------------------------------------------------------

# tus, Upload-Metadata: "The key MUST NOT contain spaces and commas and MUST NOT be empty. The key
# SHOULD be ASCII encoded and the value MUST be Base64 encoded. All keys MUST be unique. The value
# MAY be empty. In these cases, the space [...] MAY be left out." One space, and no other liberties
# than white space around a pair (AMB-08). Trailing bits that a canonical encoder leaves zero are
# not looked at (RFC 4648 3.5 allows that): the client's own spelling is what it gets back.
_KEY = r"[\x21-\x2b\x2d-\x7e\x80-\xff]+"
_BASE64 = r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"
_WHOLE_KEY = re.compile(_KEY)
_PAIR = re.compile(rf"({_KEY})(?: ({_BASE64}))?")


def is_metadata_key(text: str) -> bool:
    """Whether a header can carry `text` as a key."""
    return _WHOLE_KEY.fullmatch(text) is not None


def _read_metadata(text: str) -> dict[str, bytes] | None:
    if not text:
        return {}
    pairs: dict[str, bytes] = {}
    for member in text.split(","):
        match = _PAIR.fullmatch(member.strip(OWS))
        if match is None:
            return None
        key, value = match.groups()
        if key in pairs:
            return None
        pairs[key] = binascii.a2b_base64(value or "")
    return pairs


def _write_metadata(pairs: Mapping[str, bytes]) -> str:
    members = []
    for key, value in pairs.items():
        if not is_metadata_key(key):
            raise ValueError(f"not a metadata key: {key!r}")
        members.append(f"{key} {base64.b64encode(value).decode('ascii')}" if value else key)
    return ",".join(members)


METADATA: Grammar[Mapping[str, bytes]] = Grammar(
    "pairs 'key base64(value)' with different keys, separated by commas",
    _read_metadata,
    _write_metadata,
)
"""Upload-Metadata. Keys are latin-1 text, values bytes; the order is kept. Empty: no pairs."""


# --- parts ---------------------------------------------------------------------------------------

# tus, Upload-Concat: "`final` followed by a semicolon and a space-separated list of the partial
# upload URLs that need to be concatenated". A space may follow the semicolon as well (CONC-10).
_FINAL = re.compile(r"final; ?([!-~]+(?: [!-~]+)*)")


def _read_concat(text: str) -> tuple[str, ...] | None:
    if text == "partial":
        return ()
    match = _FINAL.fullmatch(text)
    return tuple(match[1].split(" ")) if match else None


def _write_concat(references: tuple[str, ...]) -> str:
    text = "final;" + " ".join(references) if references else "partial"
    if _read_concat(text) != references:
        raise ValueError(f"not a list of URLs: {references!r}")
    return text


CONCAT: Grammar[tuple[str, ...]] = Grammar(
    "partial, or final; and the URLs of partial uploads with one space between them",
    _read_concat,
    _write_concat,
)
"""Upload-Concat: the URLs as they are written, or none if the upload is partial."""

_REFERENCE = re.compile(r"((?:[Hh][Tt][Tt][Pp][Ss]?:)?//[^/?#]+)?([^?#]*)(?:\?[^#]*)?(?:#.*)?")
_RELATIVE = re.compile(r"[^/:]*(?:/.*)?")
_ENCODED = re.compile(r"%([0-9A-Fa-f]{2})")


def path_of(reference: str, endpoint: str) -> str | None:
    """The path that a URL, or one relative to what is below `endpoint`, leads to, decoded once.

    Host, query and fragment do not count. None if it is no URL of a web server (AMB-09).
    """
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        return None
    authority, path = match.groups()
    if not path.startswith("/"):
        # RFC 3986 4.2: the first segment of a relative path has no colon, or it were a scheme.
        if authority or not _RELATIVE.fullmatch(path):
            return None
        path = f"{endpoint}/{path}"
    return decoded(_without_dots(path))


def decoded(path: str) -> str:
    """`path` with one character for each percent-encoded byte."""
    return _ENCODED.sub(lambda found: chr(int(found[1], 16)), path)


def _without_dots(path: str) -> str:
    """RFC 3986 5.2.4, for a path that begins with a slash."""
    kept: list[str] = []
    segments = path.split("/")
    for segment in segments:
        if segment == "..":
            del kept[max(1, len(kept) - 1) :]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    return "/".join(kept)


# --- checksums -----------------------------------------------------------------------------------

# tus, Upload-Checksum: "The header MUST consist of the name of the used checksum algorithm and the
# Base64 encoded checksum separated by a space." Names of algorithms "MUST only consist of ASCII
# characters with the modification that uppercase characters are excluded"; lists have commas.
_CHECKSUM = re.compile(rf"([!-+\--@\[-~]+) (?=.)({_BASE64})")


def _read_checksum(text: str) -> Digest | None:
    match = _CHECKSUM.fullmatch(text)
    return Digest(match[1], binascii.a2b_base64(match[2])) if match else None


def _write_checksum(digest: Digest) -> str:
    text = f"{digest.algorithm} {base64.b64encode(digest.value).decode('ascii')}"
    if _CHECKSUM.fullmatch(text) is None:
        raise ValueError(f"not a checksum: {digest}")
    return text


CHECKSUM: Grammar[Digest] = Grammar(
    "an algorithm in lower case, one space, and the digest in base64",
    _read_checksum,
    _write_checksum,
)
"""Upload-Checksum. Whether there is such an algorithm, and the digest's size, is not looked at."""


# --- anything ------------------------------------------------------------------------------------

_INVISIBLE = re.compile(r"[^\t -~\x80-\xff]")


def printable(text: str) -> str:
    """`text` as a field value: what no field value can hold becomes a question mark."""
    return _INVISIBLE.sub("?", text).strip(OWS)
