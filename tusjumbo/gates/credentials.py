"""Credentials: how a request says who sends it.

A bearer token stands in the field Authorization (RFC 6750), or, where a client cannot send that, as
`token` in the query of a signed address. What looks like neither is none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

CHALLENGE = 'Bearer realm="tusjumbo"'
INVALID = f'{CHALLENGE}, error="invalid_token"'

_B64TOKEN = r"[A-Za-z0-9._~+/-]+=*"
_BEARER = re.compile(rf"bearer +({_B64TOKEN})", re.ASCII | re.IGNORECASE)
_IN_QUERY = re.compile(r"(?:^|&)token=([A-Za-z0-9._-]+)(?=&|$)", re.ASCII)
_JWT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*", re.ASCII)

LONGEST = 8192
"""Characters of a token."""


def bearer(headers: Mapping[str, str]) -> str | None:
    """The token of a request; None if it has none, or more than one."""
    found = _BEARER.fullmatch(headers.get("authorization", "").strip())
    return found[1] if found and len(found[1]) <= LONGEST else None


def in_query(query: str) -> str | None:
    """The token of an address; None if it has none, or more than one."""
    found = _IN_QUERY.findall(query)
    return found[0] if len(found) == 1 and len(found[0]) <= LONGEST else None


def is_bearer(token: str) -> bool:
    """Whether it can be sent as a bearer token."""
    return re.fullmatch(_B64TOKEN, token, re.ASCII) is not None and len(token) <= LONGEST


def is_web_token(token: str) -> bool:
    """Whether it looks like a JSON Web Token."""
    return _JWT.fullmatch(token) is not None
