"""Feed: lines for a parser, kept until their row is known, so that they can be shown or read again.

It stands between the blocks of `tusjumbo.processing.lines` and a parser that pulls, and speaks to
whoever runs the parser by what it raises: exceptions go through `csv.reader` untouched, which ends
that parser but not the feed. Invariant: what is kept begins with the row that has begun, and is at
most `longest` characters and a block.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate

from tusjumbo.processing.lines import Block


class Pause(Exception):
    """The rows that are complete are wanted before more lines can be had."""


class TooLong(Exception):
    """The row that has begun is too long already."""


class Feed:
    """Lists of lines for the parser, kept and counted until their row is known."""

    __slots__ = (
        "_again",
        "_kept",
        "_kept_from",
        "_largest",
        "_longest",
        "_size",
        "_source",
        "batch",
        "is_over",
        "is_suspect",
        "newest",
        "start",
    )

    def __init__(self, source: Iterator[Block], longest: int, largest: int) -> None:
        self._source = source
        self._longest = longest
        self._largest = largest
        self._again: list[str] = []
        self._kept: list[str] = []
        self._kept_from = 0
        self._size = 0
        """Of what is kept, in characters."""
        self.start = 0
        """How many lines belong to rows that are known."""
        self.is_suspect = False
        """What is kept may hold something that the parser does not mind and we do."""
        self.newest = 0
        """The line with which the block begins that was handed out last."""
        self.is_over = False
        self.batch = 0
        """What was read for the current batch, in characters."""

    def __iter__(self) -> Iterator[list[str]]:
        return self

    def __next__(self) -> list[str]:
        self._forget()
        if self._again:
            lines, self._again = self._again, []
            self._keep(lines)
            return lines
        if self._size > self._longest:
            raise TooLong
        if self.batch > self._largest:
            self.batch = 0  # also if no row of it was good
            raise Pause
        block = next(self._source, None)
        if block is None:
            self.is_over = True
            raise StopIteration
        if not block.lines:
            raise Pause
        self.is_suspect = block.is_suspect or (self.is_suspect and bool(self._kept))
        self.batch += self._keep(block.lines)
        return block.lines

    def _keep(self, lines: list[str]) -> int:
        size = sum(map(len, lines))
        self.newest = self.end
        self._kept += lines
        self._size += size
        return size

    def _forget(self) -> None:
        if self.start > self._kept_from:
            del self._kept[: self.start - self._kept_from]
            self._kept_from = self.start
            self._size = sum(map(len, self._kept))

    def begun(self, end: int) -> list[str]:
        """The lines from `start` to `end`."""
        return self._kept[self.start - self._kept_from : end - self._kept_from]

    @property
    def is_plain(self) -> bool:
        """Whether the parser's word is enough for each row in what is kept."""
        return not self.is_suspect and self._size <= self._longest

    @property
    def end(self) -> int:
        return self._kept_from + len(self._kept)

    def limit(self, end: int) -> int | None:
        """The end of the line with which the row that has begun is too long, up to `end`."""
        lines = self.begun(end)
        if sum(map(len, lines)) <= self._longest:
            return None
        sizes = accumulate(map(len, lines))
        return next(n for n, size in enumerate(sizes, self.start + 1) if size > self._longest)

    def rewind(self) -> None:
        """Have the lines from `start` on read once more, by another parser."""
        self._forget()
        self._again, self._kept, self._size = self._kept, [], 0
        self.is_over = False
