"""Manifest: the SHA-256 of a file beside it, in the line that `sha256sum --check` reads.

It speaks of the file as it is now, under the name that the store gives it: whatever makes another
file of it has to come before. No such name has a character that the line would have to escape.
"""

from __future__ import annotations

from pathlib import Path

from tusjumbo.application import FINAL_NAME, Arrival, Assembled
from tusjumbo.assemblers.reading import pieces
from tusjumbo.digests import ALGORITHMS
from tusjumbo.hop import Stay

SUFFIX = ".sha256"

_threads = Stay(4)


class Manifest:
    """An assembler that adds `film.mp4.sha256` to `film.mp4`."""

    async def __call__(self, arrival: Arrival) -> Assembled:
        digest = await _threads.alert(lambda: _digest(arrival.path))
        return Assembled(beside={SUFFIX: digest.hex().encode() + b"  " + FINAL_NAME + b"\n"})


def _digest(path: Path) -> bytes:
    hasher = ALGORITHMS["sha256"].new()
    for piece in pieces(path):
        hasher.update(piece)
    return hasher.digest()
