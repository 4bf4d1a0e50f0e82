"""Pieces: where the bytes of a file come from, in order, as an `Iterator[bytes]`.

The seam between sources and whoever reads a format: a reader takes pieces of any size, and one that
is empty says "nothing more for now". So a reader of complete files is one of growing files too, and
knows neither files, uploads nor clocks. Every source here blocks: it is for worker threads.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

PIECE = 64 * 1024
"""Bytes in one read: what becomes of it stays in the processor's cache."""

LARGE_PIECE = 8 * PIECE
"""Bytes in one read from something that grows: there a read costs more than its bytes."""

SHORTEST_WAIT = 0.05
LONGEST_WAIT = 0.5


class Wait(Protocol):
    """`time.sleep`, or `threading.Event.wait` of an event that is set when bytes were committed."""

    def __call__(self, seconds: float, /) -> object: ...


def of_file(path: str | os.PathLike[str]) -> Iterator[bytes]:
    """The bytes of a complete file, read as they are asked for.

    :raises OSError: it cannot be opened or read
    """
    with Path(path).open("rb", buffering=0) as file:
        while piece := file.read(PIECE):
            yield piece


def following(
    read: Callable[[int, int], bytes],
    progress: Callable[[], tuple[int, bool]],
    wait: Wait = time.sleep,
) -> Iterator[bytes]:
    """The bytes of something that grows, until it is over.

    `progress()` tells how many bytes from the first on are there, and whether more can come; both
    are of one moment. `read(start, limit)` returns the bytes from `start` on, at least one and at
    most `limit`; it is asked only for bytes that are there. What either raises ends the following:
    that is how an upload that was cancelled is told from one that is complete.

    Where nothing is new, an empty piece is handed out and then `wait` called: for 50 ms, and twice
    as long each time until half a second, as long as nothing comes.
    """
    at = 0
    pause = SHORTEST_WAIT
    while True:
        available, is_over = progress()
        if at < available:
            pause = SHORTEST_WAIT
        while at < available:
            limit = min(LARGE_PIECE, available - at)
            piece = read(at, limit)
            if not 0 < len(piece) <= limit:
                raise RuntimeError(f"read({at}, {limit}) returned {len(piece)} bytes")
            at += len(piece)
            yield piece
        if is_over:
            return
        yield b""
        wait(pause)
        pause = min(2 * pause, LONGEST_WAIT)
