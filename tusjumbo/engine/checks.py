"""Checks: whether a body is the one that its digest was made of, and what is recorded of it.

A body with a digest goes to its place as any other, and is hashed on the way; what waits for the
digest is the commit. So nothing is buffered for it and nothing has to be taken back: bytes that
were never committed do not exist, and the next request writes over them.

If the digest comes after the body, its algorithm does too. Then the bytes are read back from where
they are: from the system's cache as a rule, and as fast as they can be hashed.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence

from tusjumbo.digests import ALGORITHMS, Data, Hasher
from tusjumbo.errors import DigestMismatch
from tusjumbo.ports import Source, Writer
from tusjumbo.sessions.commands import Digest, Promised

STEP = 64 * 1024 * 1024
"""Bytes that are read back in one hop: a thread is not taken away from others for long."""


class Check:
    """One body on its way, and what it must hash to (None: anything).

    `records` is an algorithm by which it is hashed in any case, for `recorded` to tell.
    """

    def __init__(
        self, upload_id: str, digest: Digest | Promised | None, *, records: str | None = None
    ) -> None:
        self._upload_id = upload_id
        self._digest = digest
        self._records = records
        asked = digest.algorithm if isinstance(digest, Digest) else None
        names = dict.fromkeys(name for name in (asked, records) if name is not None)
        self._hashers = {name: ALGORITHMS[name].new() for name in names}
        self.hasher = _together(tuple(self._hashers.values()))
        """Is to see every byte of the body, in order; None if none need be seen."""

    async def verify(
        self, source: Source | None, writer: Writer | None, at: int, stop: int
    ) -> None:
        """Return if the body, which came from `source` and is at `[at, stop)`, is the right one.

        :raises DigestMismatch: it is not
        :raises Refusal: what was promised did not come
        :raises SystemFailure: as reading back does
        """
        if self._digest is None:
            return
        digest = self._digest
        if digest is Promised.AFTER_BODY:
            if source is None:
                raise ValueError("a promise without a source")
            digest = source.promised()
        hasher = self._hashers.get(digest.algorithm)
        if hasher is None:
            hasher = ALGORITHMS[digest.algorithm].new()
            while writer is not None and at < stop:
                await writer.read_back(at, min(at + STEP, stop), hasher)
                at += STEP
        if not hmac.compare_digest(hasher.digest(), digest.value):
            raise DigestMismatch(self._upload_id, digest.algorithm)

    def recorded(self) -> bytes | None:
        """The digest of what has been seen by the algorithm that `records` names."""
        return None if self._records is None else self._hashers[self._records].digest()


class _Both:
    """Several hashers that see the same."""

    def __init__(self, hashers: Sequence[Hasher]) -> None:
        self._hashers = hashers

    def update(self, data: Data, /) -> None:
        for hasher in self._hashers:
            hasher.update(data)

    def digest(self) -> bytes:
        return b"".join(hasher.digest() for hasher in self._hashers)


def _together(hashers: Sequence[Hasher]) -> Hasher | None:
    if len(hashers) > 1:
        return _Both(hashers)
    return hashers[0] if hashers else None
