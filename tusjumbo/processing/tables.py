"""Tables: rows of a CSV file as dicts, in batches, in constant memory, while its bytes arrive.

The standard library's `csv` parses, and while all rows of a block are as they should be, nothing in
Python is done for each of them. What it lacks is built here:
- every row that cannot be used is told apart, with its place and its text, and none is lost unseen.
  Text behind an open quote is not taken for rows: what a quote has swallowed is reported with it,
  and reading goes on after that;
- the lines of a row are kept until the row is known, and no more of them than `longest`
  characters, so that neither a line nor a quote that never ends fills the memory;
- an empty piece hands over the rows that are complete, instead of having them wait for more.

Rows, bad rows and their order do not depend on how the bytes were cut into pieces. Work is linear.
"""

from __future__ import annotations

import csv
import enum
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate, chain, islice

from tusjumbo.errors import ConfigurationError, TusJumboError
from tusjumbo.processing.dialects import Dialect, guessed
from tusjumbo.processing.feed import Feed, Pause, TooLong
from tusjumbo.processing.lines import Block, blocks, has_undecodable, printable

Row = dict[str, str]
"""The fields of a row by the names of their columns, in the order of the file."""

LONGEST_ROW = 1024 * 1024
LARGEST_BATCH = 16 * 1024 * 1024
SAMPLE = 16 * 1024
"""How many characters a guess is made from."""


class Fault(enum.Enum):
    TOO_FEW = "fewer fields than columns"
    TOO_MANY = "more fields than columns"
    QUOTES = "text beside a quoted field"
    UNCLOSED = "a quote that is never closed"
    OVERSIZED = "a row or field that is too long"
    UNDECODABLE = "bytes that are not text in this encoding"
    NUL = "a NUL character"


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that was not handed over."""

    line: int
    """The line of the file on which it begins, counted from 1; quoted line ends count."""
    last_line: int
    """The line on which it ends; reading goes on behind it."""
    fault: Fault
    problem: str
    """One sentence for a person."""
    raw: str
    r"""Its text with line ends, cut off at `longest_row`; undecodable bytes as `\xff`."""


class TableUnreadable(TusJumboError, ValueError):
    """A row cannot be used and nobody takes bad rows, or it is the one that names the columns.

    All rows before it have been handed over. Meets no client, and so has no status code.
    """

    def __init__(self, bad: BadRow, advice: str) -> None:
        self.bad = bad
        super().__init__(f"Line {bad.line}: {bad.problem} {advice}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How the bytes of a table are to be understood.

    :raises ConfigurationError: a limit below 1, or no or repeated names
    """

    encoding: str | None = None
    """None: what a byte order mark says (UTF-8, UTF-16, UTF-32), or UTF-8."""
    dialect: Dialect | None = field(default_factory=Dialect)
    """None: guessed from the first 16 KiB, for which a file that grows has to get there."""
    names: Sequence[str] | None = None
    """Of the columns. None: the first row is their names; nameless ones are called `column_3`, and
    of equal ones the later `name_2`."""
    longest_row: int = LONGEST_ROW
    """In characters. A field may moreover not be longer than `csv.field_size_limit()`."""
    largest_batch: int = LARGEST_BATCH
    """In characters, roughly: where rows are so large, a batch has fewer of them."""

    def __post_init__(self) -> None:
        for setting in ("longest_row", "largest_batch"):
            if getattr(self, setting) < 1:
                raise ConfigurationError("at least 1", setting=setting)
        if self.names is not None and not 0 < len(self.names) == len(set(self.names)):
            raise ConfigurationError("every column needs a name of its own", setting="names")


RFC_4180 = Layout()


def stream(
    pieces: Iterable[bytes],
    callback: Callable[[list[Row], int], object],
    chunk_size: int = 1000,
    *,
    layout: Layout = RFC_4180,
    on_error: Callable[[BadRow], object] | None = None,
) -> int:
    """Call `callback(rows, row_count)` for each batch; returns how many rows were handed over.

    `row_count` is how many rows have been handed over so far, with these. The rest as in `batches`.
    """
    row_count = 0
    for rows in batches(pieces, chunk_size, layout=layout, on_error=on_error):
        row_count += len(rows)
        callback(rows, row_count)
    return row_count


def batches(
    pieces: Iterable[bytes],
    size: int = 1000,
    *,
    layout: Layout = RFC_4180,
    on_error: Callable[[BadRow], object] | None = None,
) -> Iterator[list[Row]]:
    """Lists of `size` rows, the last one and those before an empty piece of at least one.

    Blank lines are skipped, as everywhere. Rows that cannot be used go to `on_error`, in their
    order, before the batch in which they would have been.

    :raises TableUnreadable: such a row without `on_error`, or in place of the columns' names
    :raises ConfigurationError: no such encoding, or a size below 1
    """
    if size < 1:
        raise ConfigurationError("at least 1", setting="chunk_size")
    return _Reading(pieces, size, layout, on_error).batches()


class _Reading:
    def __init__(
        self,
        pieces: Iterable[bytes],
        size: int,
        layout: Layout,
        on_error: Callable[[BadRow], object] | None,
    ) -> None:
        self._source = blocks(pieces, layout.encoding, layout.longest_row)
        self._size = size
        self._layout = layout
        self._on_error = on_error
        self._names = tuple(layout.names or ())
        self._batch: list[Row] = []

    def batches(self) -> Iterator[list[Row]]:
        self._dialect = self._layout.dialect or self._guess()
        self._feed = Feed(self._source, self._layout.longest_row, self._layout.largest_batch)
        try:
            yield from self._full_batches()
        except TableUnreadable:
            if self._batch:
                yield self._take()
            raise
        if self._batch:
            yield self._take()

    def _guess(self) -> Dialect:
        """From the lines that are in the sample as a whole, or what is there of the first."""
        taken: list[Block] = []
        size = 0
        while size < SAMPLE and (block := next(self._source, None)):
            taken.append(block)
            size += sum(map(len, block.lines))
        self._source = chain(taken, self._source)
        lines = [line for block in taken for line in block.lines]
        ends = accumulate(map(len, lines))
        sample = [line for line, end in zip(lines, ends, strict=True) if end <= SAMPLE]
        return guessed(sample or [line[:SAMPLE] for line in lines[:1]])

    def _full_batches(self) -> Iterator[list[Row]]:
        feed = self._feed
        while not feed.is_over:
            try:
                if self._names:
                    yield from self._plain_blocks()
                yield from self._single_rows()
            except Pause:
                if self._batch:
                    yield self._take()
                feed.rewind()
            except TooLong:
                self._refuse_long()

    def _plain_blocks(self) -> Iterator[list[Row]]:
        """Whole blocks, until one has a row that needs a closer look; then what is before that.

        Nothing is said in Python here for each row: it takes longer than to parse one.
        """
        feed, to_pairs = self._feed, partial(zip, self._names)
        for lines in feed:
            fields, count = self._plain_rows(lines) if feed.is_plain else ([], 0)
            feed.start += count
            rows = list(map(dict, map(to_pairs, filter(None, fields))))
            at = 0
            while at < len(rows):
                taken = rows[at : at + self._size - len(self._batch)]
                at += len(taken)
                self._batch += taken
                if len(self._batch) == self._size:
                    yield self._take()
            if count < len(lines):
                feed.rewind()
                return

    def _plain_rows(self, lines: list[str]) -> tuple[list[list[str]], int]:
        """The rows before the first that is not plain, and how many lines they are."""
        rows: list[list[str]] = []
        with suppress(csv.Error):
            rows.extend(csv.reader(lines, **self._dialect.of_csv()))  # what it had stays
            if {0, len(self._names)}.issuperset(map(len, rows)):
                return rows, len(lines)
        widths = enumerate(map(len, rows))
        other = (n for n, width in widths if width not in (0, len(self._names)))
        del rows[next(other, len(rows)) :]
        again = csv.reader(lines, **self._dialect.of_csv())
        deque(islice(again, len(rows)), maxlen=0)
        return rows, again.line_num

    def _single_rows(self) -> Iterator[list[Row]]:
        """Rows with a closer look at each, to the end of a block or of the row that goes on there.

        So each block is read twice at most, however many of its rows are bad.
        """
        feed = self._feed
        before = feed.start
        reader = csv.reader(chain.from_iterable(feed), **self._dialect.of_csv())
        while True:
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                end = before + reader.line_num
                if feed.limit(end) is not None:
                    raise TooLong from error
                self._refuse_unparsed(end, str(error))
                continue
            began, end, was_named = feed.start, before + reader.line_num, bool(self._names)
            if self._accept(fields, end):
                self._batch.append(dict(zip(self._names, fields, strict=True)))
                if len(self._batch) == self._size:
                    yield self._take()
            if end == feed.end or began < feed.newest or not was_named:
                feed.rewind()
                return

    def _take(self) -> list[Row]:
        batch, self._batch = self._batch, []
        self._feed.batch = 0
        return batch

    def _accept(self, fields: list[str], end: int) -> bool:
        """Whether these are to be handed over; if they are not, that is seen to.

        :raises TooLong: the row was parsed, but ought not to have been
        """
        feed = self._feed
        if feed.limit(end) is not None:
            raise TooLong
        fault = self._fault_of_text(end)
        if fault is None and self._names and fields and len(fields) != len(self._names):
            found, columns = _count(len(fields), "field"), _count(len(self._names), "column")
            is_short = len(fields) < len(self._names)
            fault = Fault.TOO_FEW if is_short else Fault.TOO_MANY, f"{found} for {columns}."
        if fault is not None:
            self._refuse(end, *fault)
            return False
        feed.start = end
        if fields and not self._names:
            self._names = column_names(fields)
            return False
        return bool(fields)

    def _fault_of_text(self, end: int) -> tuple[Fault, str] | None:
        if not self._feed.is_suspect:
            return None
        text = "".join(self._feed.begun(end))
        if has_undecodable(text):
            encoding = self._layout.encoding or "UTF-8 (or what the first bytes say it is)"
            return Fault.UNDECODABLE, f"bytes that are not text in {encoding}."
        if "\0" in text:
            return Fault.NUL, "a NUL, which text has not."
        return None

    def _refuse_unparsed(self, end: int, problem: str) -> None:
        fault = self._fault_of_text(end)
        if fault is None and self._feed.is_over:
            fault = Fault.UNCLOSED, "a quote that is not closed up to the end of the file."
        elif fault is None and problem.startswith("field larger"):
            fault = Fault.OVERSIZED, f"{problem}; see csv.field_size_limit."
        self._refuse(end, *(fault or (Fault.QUOTES, f"{problem}.")))

    def _refuse_long(self) -> None:
        """Refuse the row with all lines up to the one that made it too long."""
        feed = self._feed
        end = feed.limit(feed.end)
        assert end is not None  # noqa: S101 - why this is called
        limit = self._layout.longest_row
        self._refuse(end, Fault.OVERSIZED, f"a row of more than {limit} characters.")
        feed.rewind()

    def _refuse(self, end: int, fault: Fault, problem: str) -> None:
        feed = self._feed
        raw = printable("".join(feed.begun(end))[: self._layout.longest_row])
        bad = BadRow(feed.start + 1, end, fault, problem, raw)
        if not self._names:
            raise TableUnreadable(bad, f"This row names the columns. {_ADVICE[fault]}")
        if self._on_error is None:
            raise TableUnreadable(bad, f"{_ADVICE[fault]} Or take such rows with on_error.")
        feed.start = end
        self._on_error(bad)


_ADVICE = {
    Fault.TOO_FEW: "Complete the row, or say the right delimiter.",
    Fault.TOO_MANY: "Quote fields that hold the delimiter, or say the right one.",
    Fault.QUOTES: "Write quotes within a quoted field twice, or say the right quote.",
    Fault.UNCLOSED: "Close the quote, or say the right one.",
    Fault.OVERSIZED: "Look for a quote that is not closed, or allow more (longest_row).",
    Fault.UNDECODABLE: "Say the right encoding.",
    Fault.NUL: "Say the right encoding: UTF-16 without a mark at the beginning looks like this.",
}


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def column_names(fields: Sequence[str]) -> tuple[str, ...]:
    """One name for each column, all different: what is unnamed or named twice is not lost."""
    wanted = set(fields)
    taken: set[str] = set()
    numbers: dict[str, int] = {}
    names: list[str] = []
    for place, given in enumerate(fields, 1):
        base = name = given or f"column_{place}"
        while name in taken or (name != given and name in wanted):
            numbers[base] = numbers.get(base, 1) + 1
            name = f"{base}_{numbers[base]}"
        taken.add(name)
        names.append(name)
    return tuple(names)
