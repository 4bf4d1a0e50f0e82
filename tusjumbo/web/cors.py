"""CORS: which web pages may talk to us, and what of our answers they may read.

Our own layer, because the usual middleware answers preflights itself, without the Tus-* fields that
the same OPTIONS asks for, and refuses what it does not know. Here a preflight is any OPTIONS: it is
answered on every path, without authentication or a look at storage, and every other answer, refusal
or not, carries what the page needs to read it. What would be missing on an error is not: a browser
hides such an answer, and the client takes a 404 for a lost connection.

An origin that is not listed gets no CORS fields and is served otherwise: it is the browser that
keeps the answer from the page, and a client that is no browser does not care. Request headers are
not echoed: a preflight says the whole list, so that it can be remembered; `*` among `cors_headers`
lets pages send any.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from tusjumbo.protocols.messages import Fields
from tusjumbo.settings import UploadSettings

RawHeaders = tuple[tuple[bytes, bytes], ...]

# Of tus.
METHODS = ("POST", "HEAD", "PATCH", "DELETE", "GET", "OPTIONS")

REQUEST_HEADERS = (
    "Authorization",
    "Content-Digest",
    "Content-Type",
    "If-Match",
    "If-Modified-Since",
    "If-None-Match",
    "If-Range",
    "Origin",
    "Range",
    "Tus-Resumable",
    "Upload-Checksum",
    "Upload-Concat",
    "Upload-Defer-Length",
    "Upload-Length",
    "Upload-Metadata",
    "Upload-Offset",
    "X-HTTP-Method-Override",
    "X-Request-ID",
    "X-Requested-With",
)
"""What clients send, whether or not we look at it: a page must not fail for a field too many."""

RESPONSE_HEADERS = (
    "Accept-Ranges",
    "Allow",
    "Content-Disposition",
    "Content-Range",
    "ETag",
    "Location",
    "Retry-After",
    "Tus-Checksum-Algorithm",
    "Tus-Extension",
    "Tus-Max-Size",
    "Tus-Resumable",
    "Tus-Version",
    "Upload-Concat",
    "Upload-Defer-Length",
    "Upload-Expires",
    "Upload-Length",
    "Upload-Metadata",
    "Upload-Offset",
    "WWW-Authenticate",
    "X-Request-ID",
)

_VARY: RawHeaders = ((b"vary", b"Origin"),)
_ORIGIN = b"access-control-allow-origin"


class Cors:
    def __init__(self, settings: UploadSettings, methods: Iterable[str] = METHODS) -> None:
        """`methods` are those that pages may use."""
        self._any = "*" in settings.cors_origins
        self._origins = re.compile("|".join(map(_pattern, settings.cors_origins)), re.IGNORECASE)
        self._is_off = not settings.cors_origins
        cookies = [(b"access-control-allow-credentials", b"true")]
        common = tuple(cookies if settings.cors_credentials else ())
        exposed = (*RESPONSE_HEADERS, *settings.cors_expose)
        allowed = (*REQUEST_HEADERS, *settings.cors_headers)
        self._preflight: RawHeaders = (
            *common,
            (b"access-control-allow-methods", ", ".join(methods).encode("ascii")),
            (b"access-control-allow-headers", ", ".join(allowed).encode("ascii")),
            (b"access-control-max-age", str(int(settings.cors_max_age)).encode("ascii")),
        )
        self._actual: RawHeaders = (
            *common,
            (b"access-control-expose-headers", ", ".join(exposed).encode("ascii")),
        )

    def headers(self, method: str, fields: Fields) -> RawHeaders:
        """What to add to the answer of this request, whatever the answer is."""
        if self._is_off:
            return ()
        origin = fields.joined("origin")
        if origin is None or not (self._any or self._origins.fullmatch(origin)):
            return _VARY
        preflight = method == "OPTIONS" and "access-control-request-method" in fields
        allowed = b"*" if self._any else origin.encode("latin-1")
        return (*_VARY, (_ORIGIN, allowed), *(self._preflight if preflight else self._actual))


def _pattern(origin: str) -> str:
    """`https://*.example.org` stands for all names below example.org, but not for itself."""
    return re.escape(origin).replace(r"\*", r"[a-z0-9-]+(?:\.[a-z0-9-]+)*")
