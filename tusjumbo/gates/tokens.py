"""Tokens: who sends a request is told by a bearer token, whose owner stands in a file.

A line of the file is `token owner`, or `token owner operator` for who may touch every upload; a
token may be written as `sha256:` and its SHA-256 in hexadecimal; `#` begins a comment. A file that
has changed is read again, within a second. While what is in it cannot be understood, the last good
one counts, and the log says so.

Tokens are only ever compared by their SHA-256, so how long that takes tells nothing of them.
"""

from __future__ import annotations

import hashlib
import logging
import os
import stat
import time
from collections.abc import Mapping
from pathlib import Path

from tusjumbo.application import Admission, Identity
from tusjumbo.errors import ConfigurationError, Unauthorized
from tusjumbo.gates.credentials import CHALLENGE, INVALID, bearer, is_bearer, is_web_token
from tusjumbo.hop import Hop

_log = logging.getLogger("tusjumbo")

_HASHED = "sha256:"
_EVERY = 1.0
"""Seconds between two looks at the file."""


class Tokens:
    """See `tusjumbo.application.Gate`."""

    challenge = CHALLENGE

    def __init__(self, path: Path) -> None:
        """:raises ConfigurationError: the file cannot be read, or a line of it understood"""
        self._path = path
        self._hop = Hop(1)
        self._state = _state(path)
        self._known = _read(path)
        self._looked_at = time.monotonic()
        if self._state and stat.S_IMODE(os.stat(path).st_mode) & stat.S_IROTH:
            _log.warning("Everybody on this machine can read the tokens in %s.", path)

    def claims(self, admission: Admission) -> bool:
        """Whether a request has credentials of this kind."""
        token = bearer(admission.headers)
        return token is not None and not is_web_token(token)

    async def admit(self, admission: Admission) -> Identity:
        token = bearer(admission.headers)
        if token is None:
            raise Unauthorized(CHALLENGE)
        if time.monotonic() - self._looked_at >= _EVERY:
            self._looked_at = time.monotonic()
            await self._hop(self._look)
        found = self._known.get(hashlib.sha256(token.encode()).digest())
        if found is None:
            raise Unauthorized(INVALID)
        return found

    def _look(self) -> None:
        state = _state(self._path)
        if state == self._state:
            return
        try:
            self._known = _read(self._path)
            self._state = state
        except ConfigurationError as error:
            _log.error("%s; the tokens from before stay good", error)


def _state(path: Path) -> tuple[int, int, int] | None:
    """What changes when the file does."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _read(path: Path) -> Mapping[bytes, Identity]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        problem = f"cannot read {str(path)!r}: {error}"
        raise ConfigurationError(problem, setting="tokens") from error
    known: dict[bytes, Identity] = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if words:
            where = f"line {number} of {path}"
            digest, identity = _entry(words, where)
            if known.setdefault(digest, identity) != identity:
                problem = f"{where}: this token is another owner's already"
                raise ConfigurationError(problem, setting="tokens")
    return known


def _entry(words: list[str], where: str) -> tuple[bytes, Identity]:
    is_operator = words[2:] == ["operator"]
    if len(words) != 2 + is_operator:
        problem = f"{where} is not like: token owner, or: token owner operator"
        raise ConfigurationError(problem, setting="tokens")
    token, owner = words[:2]
    if not token.startswith(_HASHED):
        if not is_bearer(token) or is_web_token(token):
            problem = f"{where}: a token is of letters, digits and ._~+/-, and not like a.b.c"
            raise ConfigurationError(problem, setting="tokens")
        return hashlib.sha256(token.encode()).digest(), Identity(owner, is_operator)
    try:
        digest = bytes.fromhex(token.removeprefix(_HASHED))
    except ValueError:
        digest = b""
    if len(digest) != hashlib.sha256().digest_size:
        problem = f"{where}: what follows {_HASHED} are not 64 hexadecimal digits"
        raise ConfigurationError(problem, setting="tokens")
    return digest, Identity(owner, is_operator)
