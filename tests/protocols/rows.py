"""What a row of specs/tus-1.0.md is, in a test: one request, perhaps on an upload, and the answer.

The row's id comes first, with a variant if it has several. Headers that must be absent are None.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.protocols.scenes import ID, LIMITS, OFFER, OOS, Body, upload
from tusjumbo.protocols.extensions import Offer
from tusjumbo.sessions.rules import Limits
from tusjumbo.sessions.session import UploadSession

Expected = Mapping[str, str | None]

POST = "POST /"
PATCH = f"PATCH /{ID}"
HEAD = f"HEAD /{ID}"
DELETE = f"DELETE /{ID}"

VERSIONS: Expected = {"Tus-Version": "1.0.0"}
NONE: Expected = {}
NEW: Expected = {"Location": f"/files/{ID}", "Upload-Offset": "0"}
LATER = "Sun, 09 Sep 2001 02:46:40 GMT"
"""When an upload expires that gets its last byte at NOW."""

TEN = upload(10)
HALF = upload(10, at=5)
FULL = upload(10, at=10)
EMPTY = upload(0)
DEFERRED = upload(None)
DEFERRED_HALF = upload(None, at=5)

TINY = Offer(max_size=10)
AT_MOST_TEN = Limits(max_size=10)
CHECKS = Offer(algorithms={"sha1": 20, "crc32": 4})
TRAILS = Offer(algorithms=CHECKS.algorithms, checksum_trailer=True)
KEEPS = Offer(termination=False, downloads=False, expiration=False, concatenation=False)


@dataclass(frozen=True)
class Row:
    id: str
    request: tuple[str, ...]
    status: int
    headers: Expected = field(default_factory=dict)
    on: UploadSession | None = None
    body: Body = 0
    version: str | None = "1.0.0"
    offer: Offer = OFFER
    limits: Limits = LIMITS
    offset: int | None = None
    """Afterwards; None if there is no upload, or it did not change."""
    length: int | None = None


def patch(at: int | str, *lines: str) -> tuple[str, ...]:
    return (PATCH, OOS, f"Upload-Offset:{at}", *lines)


def typed(kind: str) -> tuple[str, ...]:
    return (PATCH, "Upload-Offset: 0", f"Content-Type:{kind}")


def create(*lines: str) -> tuple[str, ...]:
    return (POST, "Upload-Length: 10", *lines)


def metadata(*values: str) -> tuple[str, ...]:
    return create(*(f"Upload-Metadata:{value}" for value in values))
