"""Reading: the bytes of a file piece by piece in a thread, until its caller is cancelled."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from anyio import from_thread

PIECE = 1024 * 1024
"""Bytes in one read."""


def pieces(path: Path, size: int = PIECE) -> Iterator[bytes]:
    """For threads of `Stay.alert`.

    :raises OSError: it cannot be read
    """
    with path.open("rb", buffering=0) as file:
        while piece := file.read(size):
            from_thread.check_cancelled()
            yield piece
