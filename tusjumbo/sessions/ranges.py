"""RangeSet: which bytes of an upload are committed.

Half-open runs `[start, stop)`, sorted, never empty, never touching: every set of bytes has exactly
one spelling, so equality is equality of content. Immutable; `add` returns a new set. There is no
`remove`: committed bytes never change and never shrink.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

_NUMBER = r"(?:0|[1-9][0-9]*)"
_RUN = f"{_NUMBER}-{_NUMBER}"
_TEXT = re.compile(f"(?:{_RUN}(?:,{_RUN})*)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class RangeSet:
    runs: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        before = -1
        for start, stop in self.runs:
            if not before < start < stop:
                raise ValueError(f"not a sorted list of separate runs: {self.runs}")
            before = stop

    def add(self, start: int, stop: int) -> RangeSet:
        """This set and the bytes `[start, stop)`; nothing changes if `start == stop`.

        :raises ValueError: unless `0 <= start <= stop`
        """
        if not 0 <= start <= stop:
            raise ValueError(f"not a range: [{start}, {stop})")
        if start == stop:
            return self
        first = bisect_left(self.runs, start, key=lambda run: run[1])
        last = bisect_right(self.runs, stop, key=lambda run: run[0])
        if first < last:
            start = min(start, self.runs[first][0])
            stop = max(stop, self.runs[last - 1][1])
        return RangeSet((*self.runs[:first], (start, stop), *self.runs[last:]))

    def covers(self, start: int, stop: int) -> bool:
        """Whether every byte of `[start, stop)` is in."""
        return next(self.missing(start, stop), None) is None

    def fill(self, length: int | None) -> bool:
        """Whether every byte of an upload of that length is in; None: nobody knows its length."""
        return length is not None and self.prefix >= length

    def overlaps(self, start: int, stop: int) -> bool:
        """Whether any byte of `[start, stop)` is in."""
        if start >= stop:
            return False
        at = bisect_right(self.runs, start, key=lambda run: run[1])
        return at < len(self.runs) and self.runs[at][0] < stop

    def missing(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """The runs of `[start, stop)` that are not in, in order."""
        for run_start, run_stop in self.runs:
            if run_stop <= start:
                continue
            if run_start >= stop:
                break
            if start < run_start:
                yield start, run_start
            start = run_stop
        if start < stop:
            yield start, stop

    @property
    def prefix(self) -> int:
        """Where the first run ends if it begins at 0, else 0: the offset of a sequential upload."""
        return self.runs[0][1] if self.runs and self.runs[0][0] == 0 else 0

    @property
    def stop(self) -> int:
        """One past the last byte that is in; 0 if there is none."""
        return self.runs[-1][1] if self.runs else 0

    @property
    def total(self) -> int:
        """How many bytes are in."""
        return sum(stop - start for start, stop in self.runs)

    def __str__(self) -> str:
        """`"0-5,10-20"`; the empty set is the empty string. `parse` reads it back."""
        return ",".join(f"{start}-{stop}" for start, stop in self.runs)

    @classmethod
    def parse(cls, text: str) -> RangeSet:
        """The set that `str` wrote.

        :raises ValueError: for anything that `str` would not write
        """
        if _TEXT.fullmatch(text) is None:
            raise ValueError(f"not a list of ranges: {text[:80]!r}")
        runs = (run.split("-") for run in text.split(",") if run)
        return cls(tuple((int(start), int(stop)) for start, stop in runs))
