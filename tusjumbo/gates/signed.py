"""Signed addresses: who has one may use it until it ends, and needs to send nothing else.

    signed = SignedUrls(["a long secret"])
    url = "https://uploads.example.org/files/?" + signed.sign(owner="alice", expires_at=…)

What such an address may be used for stands in its `token`: `1.<payload>.<mac>`, where the payload
is JSON in base64url (who: `o`, until when: `e`, which upload: `i`, which actions: `a`) and the mac
is the HMAC-SHA256 of all that is before it. An address that names no upload is for making one; the
address of what was made has a token of its own, for that upload alone, of the same owner and end.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Collection, Sequence
from functools import partial
from typing import Any

from tusjumbo.application import Admission, Identity
from tusjumbo.errors import ConfigurationError, Unauthorized
from tusjumbo.gates.credentials import CHALLENGE, in_query
from tusjumbo.ports import Clock
from tusjumbo.sessions.commands import Action

_VERSION = "1"
_LEAST = 16
"""Characters of a secret."""
_MAKING = (Action.CREATE.value, Action.JOIN.value)


class SignedUrls:
    """See `tusjumbo.application.Gate`."""

    challenge = CHALLENGE

    def __init__(self, secrets: Sequence[str], *, clock: Clock = time.time) -> None:
        """Signs with the first secret, and takes what was signed with any of them.

        :raises ConfigurationError: a secret is too short
        """
        if not secrets or any(len(secret) < _LEAST for secret in secrets):
            problem = f"has to have at least {_LEAST} characters"
            raise ConfigurationError(problem, setting="url_secret")
        self._keys = [secret.encode() for secret in secrets]
        self._clock = clock

    def sign(
        self,
        *,
        expires_at: float,
        owner: str | None = None,
        upload_id: str | None = None,
        actions: Collection[Action] = (),
    ) -> str:
        """What to add to an address after its `?`.

        Without `upload_id` it is for the endpoint, and for making uploads; with it for that upload,
        and for `actions` alone if there are any. `owner` must be the one of the upload.
        """
        payload: dict[str, Any] = {"e": int(expires_at)}
        if owner is not None:
            payload["o"] = owner
        if upload_id is not None:
            payload["i"] = upload_id
        if actions:
            payload["a"] = sorted(action.value for action in actions)
        text = json.dumps(payload, separators=(",", ":"), sort_keys=True).encode()
        signed = f"{_VERSION}.{_written(text)}"
        return f"token={signed}.{_written(_mac(self._keys[0], signed))}"

    def claims(self, admission: Admission) -> bool:
        """Whether a request has credentials of this kind."""
        return in_query(admission.query) is not None

    async def admit(self, admission: Admission) -> Identity:
        token = in_query(admission.query)
        if token is None:
            raise Unauthorized(CHALLENGE)
        payload = self._read(token)
        if payload is None:
            raise Unauthorized(CHALLENGE)
        expires_at, owner, upload_id = payload["e"], payload.get("o"), payload.get("i")
        if expires_at <= self._clock():
            raise Unauthorized(CHALLENGE, "This address was good until some time ago.")
        action = admission.action.value
        actions = payload.get("a") or (_MAKING if upload_id is None else None)
        is_theirs = upload_id == admission.upload_id or admission.action is Action.JOIN
        if not is_theirs or (actions is not None and action not in actions):
            raise Unauthorized(CHALLENGE, "This address is not for that.")
        again = partial(self._again, expires_at, owner)
        return Identity(owner, query=again if upload_id is None else None)

    def _again(self, expires_at: float, owner: str | None, upload_id: str) -> str:
        return self.sign(expires_at=expires_at, owner=owner, upload_id=upload_id)

    def _read(self, token: str) -> dict[str, Any] | None:
        """What was signed; None if it was not, or not by us."""
        signed, _, mac = token.rpartition(".")
        version, _, payload = signed.partition(".")
        if version != _VERSION:
            return None
        good = [hmac.compare_digest(_written(_mac(key, signed)), mac) for key in self._keys]
        if not any(good):
            return None
        padding = "=" * (-len(payload) % 4)
        found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + padding))
        return found


def _mac(key: bytes, signed: str) -> bytes:
    return hmac.new(key, signed.encode(), hashlib.sha256).digest()


def _written(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode("ascii").rstrip("=")
