"""Manifest: the SHA-256 of a file beside it, in the line that `sha256sum --check` reads.

It speaks of the file as it is now, under the name that it has now: whatever makes another file or
name of it has to come before.
"""

from __future__ import annotations

from pathlib import Path

from tusjumbo.application import Arrival, Assembled
from tusjumbo.assemblers.reading import pieces
from tusjumbo.assemblers.templates import filename
from tusjumbo.digests import ALGORITHMS
from tusjumbo.hop import Stay

SUFFIX = ".sha256"

# A backslash first: "\n" must not become what "\\n" does.
_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r"}

_threads = Stay(4)


class Manifest:
    """An assembler that adds `film.mp4.sha256` to `film.mp4`."""

    async def __call__(self, arrival: Arrival) -> Assembled:
        digest = await _threads.alert(lambda: _digest(arrival.path))
        return Assembled(beside={SUFFIX: line(digest, filename(arrival))})


def line(digest: bytes, name: str) -> bytes:
    """As GNU coreutils write it.

    "If file contains a backslash, newline, or carriage return, the line is started with a
    backslash, and each problematic character in the file name is escaped with a backslash".
    """
    escaped = name
    for character, escape in _ESCAPES.items():
        escaped = escaped.replace(character, escape)
    mark = "\\" if escaped != name else ""
    return f"{mark}{digest.hex()}  {escaped}\n".encode()


def _digest(path: Path) -> bytes:
    hasher = ALGORITHMS["sha256"].new()
    for piece in pieces(path):
        hasher.update(piece)
    return hasher.digest()
