"""Checks: whether a body is the one that its digest was made of.

A body with a digest goes to its place as any other, and is hashed on the way; what waits for the
digest is the commit. So nothing is buffered for it and nothing has to be taken back: bytes that
were never committed do not exist, and the next request writes over them.
"""

from __future__ import annotations

import hmac

from tusjumbo.digests import ALGORITHMS, Hasher
from tusjumbo.errors import DigestMismatch
from tusjumbo.sessions.commands import Digest


class Check:
    """One body on its way, and what it must hash to (None: anything)."""

    def __init__(self, upload_id: str, digest: Digest | None) -> None:
        self._upload_id = upload_id
        self._digest = digest
        self.hasher: Hasher | None = None if digest is None else ALGORITHMS[digest.algorithm].new()
        """Is to see every byte of the body, in order."""

    def verify(self) -> None:
        """Return if the bytes that were hashed are the right ones.

        :raises DigestMismatch: they are not
        """
        if self._digest is None or self.hasher is None:
            return
        if not hmac.compare_digest(self.hasher.digest(), self._digest.value):
            raise DigestMismatch(self._upload_id, self._digest.algorithm)
