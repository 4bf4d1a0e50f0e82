"""Compressing: a file becomes a Zstandard frame that says how long its content is (RFC 8878).

By the standard library from Python 3.14 on, and before that by `backports.zstd`, which is the same.
Memory is that of the level's window, whatever the file's size.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from tusjumbo.application import Arrival, Assembled
from tusjumbo.assemblers.reading import pieces
from tusjumbo.errors import ConfigurationError
from tusjumbo.hop import Stay

LEVEL = 3
"""Zstandard's own choice."""
LEVELS = range(1, 23)
SUFFIX = ".zst"

_MODULE = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"

_threads = Stay(os.cpu_count() or 1)


class _Compressor(Protocol):
    FLUSH_FRAME: int

    def set_pledged_input_size(self, size: int, /) -> None: ...

    def compress(self, data: bytes, mode: int = ..., /) -> bytes: ...

    def flush(self, mode: int = ..., /) -> bytes: ...


class _Zstd(Protocol):
    def ZstdCompressor(self, level: int) -> _Compressor: ...  # noqa: N802 - theirs


class Compress:
    """An assembler that makes `film.csv.zst` of `film.csv`."""

    def __init__(self, level: int = LEVEL) -> None:
        """`level`: from 1 (quick) to 22 (small).

        :raises ConfigurationError: no such level, or nothing installed that compresses
        """
        if level not in LEVELS:
            raise ConfigurationError(f"zstd: {level} is not a level; they are 1 to 22")
        try:
            self._zstd = cast(_Zstd, import_module(_MODULE))
        except ImportError as error:
            raise ConfigurationError("zstd: pip install 'tusjumbo[zstd]'") from error
        self._level = level

    async def __call__(self, arrival: Arrival) -> Assembled:
        content = await _threads.alert(lambda: self._compress(arrival.path, arrival.workspace))
        return Assembled(content=content, path=arrival.name + SUFFIX)

    def _compress(self, path: Path, workspace: Path) -> Path:
        # Another name than what is there: it may have been compressed before.
        target = workspace / f"{len(os.listdir(workspace))}{SUFFIX}"
        compressor = self._zstd.ZstdCompressor(self._level)
        compressor.set_pledged_input_size(path.stat().st_size)
        with target.open("xb") as file:
            for piece in pieces(path):
                file.write(compressor.compress(piece))
            file.write(compressor.flush())
        return target
