"""Upload ids: unguessable, and safe as a path segment and in a URL by construction.

The grammar admits nothing that a file system or a URL could read as something else (no dot, slash,
percent, space or control character), so a valid id needs no quoting anywhere. Entropy is the
caller's: this module is pure.

The id of a final upload (one that is made of others) says so: no request ever writes to it, and
whoever meets such an id need not ask the catalog, nor disturb the one who is joining it.
"""

from __future__ import annotations

import base64
import re

ENTROPY = 20
"""Bytes of randomness in an id: 160 bits (tus 1.0 rows CREATE-14 ask for at least 122)."""

_PREFIX = "jumbo_"
_FINAL = "jumbo_final_"
"""No other id begins like this: what follows `_PREFIX` there has no underscore."""

_FINISHING = "finishing-"
_VALID = re.compile(r"(?!finishing-)[A-Za-z0-9][A-Za-z0-9_-]{0,127}", re.ASCII)


def from_entropy(entropy: bytes) -> str:
    """The id for `ENTROPY` random bytes: `jumbo_` and 32 lower-case letters and digits.

    :raises ValueError: for another number of bytes
    """
    if len(entropy) != ENTROPY:
        raise ValueError(f"an id needs {ENTROPY} random bytes, not {len(entropy)}")
    return _PREFIX + base64.b32encode(entropy).decode("ascii").lower()


def of_final(upload_id: str) -> str:
    """The id of a final upload in place of this one, which is `from_entropy`'s."""
    return _FINAL + upload_id.removeprefix(_PREFIX)


def is_final(upload_id: str) -> bool:
    """Whether it is the id of a final upload."""
    return upload_id.startswith(_FINAL)


def of_finishing(upload_id: str) -> str:
    """What to lock while an upload is finished, beside itself. No upload has this id."""
    return _FINISHING + upload_id


def is_valid(text: str) -> bool:
    """Whether `text` can be an id at all."""
    return _VALID.fullmatch(text) is not None
