"""Signatures of webhooks, by the Standard Webhooks scheme (v1: HMAC-SHA-256, base64).

What is signed is `id.timestamp.body`, so neither can be taken from one message to another, and an
old message is known by its time. `verify` is for receivers in Python; others find a library for
their language at standardwebhooks.com.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import time
from collections.abc import Mapping

from tusjumbo.errors import ConfigurationError

PREFIX = "whsec_"

TOLERANCE = 300.0
"""Seconds by which the clocks of sender and receiver may differ."""

_TIMESTAMP = re.compile(r"[0-9]{1,12}", re.ASCII)


def key_of(secret: str | bytes) -> bytes:
    """The key that a secret stands for: `whsec_` and base64, or anything else as it is.

    :raises ConfigurationError: it is empty, or no base64 follows
    """
    raw = secret.encode() if isinstance(secret, str) else secret
    if raw.startswith(PREFIX.encode()):
        try:
            raw = base64.b64decode(raw.removeprefix(PREFIX.encode()), validate=True)
        except (binascii.Error, ValueError):
            raise ConfigurationError(
                f"the secret for webhooks begins with {PREFIX}, but base64 does not follow"
            ) from None
    if not raw:
        raise ConfigurationError("the secret for webhooks is empty")
    return raw


def signed(key: bytes, message_id: str, at: float, body: bytes) -> dict[str, str]:
    """The headers that sign `body`. `at`: now, in seconds since the epoch."""
    timestamp = str(int(at))
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": "v1," + _signature(key, message_id, timestamp, body),
    }


def verify(
    body: bytes,
    headers: Mapping[str, str],
    secret: str | bytes,
    *,
    tolerance: float = TOLERANCE,
    now: float | None = None,
) -> bool:
    """Whether who knows `secret` has sent this, and not long ago.

    `headers` by name, whatever their case. A message that was heard already is genuine, too:
    remember `webhook-id` if that matters. One good signature of several is enough, so a sender may
    sign with the old secret and the new one.
    """
    found = {name.lower(): value for name, value in headers.items()}
    timestamp = found.get("webhook-timestamp", "")
    if not _TIMESTAMP.fullmatch(timestamp):
        return False
    if abs((time.time() if now is None else now) - int(timestamp)) > tolerance:
        return False
    expected = _signature(key_of(secret), found.get("webhook-id", ""), timestamp, body).encode()
    is_genuine = False
    for signature in found.get("webhook-signature", "").split(" "):
        version, _, value = signature.partition(",")
        is_good = hmac.compare_digest(value.encode("utf-8", "replace"), expected)
        is_genuine |= version == "v1" and is_good
    return is_genuine


def _signature(key: bytes, message_id: str, timestamp: str, body: bytes) -> str:
    content = f"{message_id}.{timestamp}.".encode("utf-8", "replace") + body
    return base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode("ascii")
