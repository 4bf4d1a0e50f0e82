"""Dialects: with which characters a table's rows are cut into fields.

A dialect is valid by construction, so that the parser cannot refuse it. It is never guessed unless
somebody asks: a guess that is wrong hands over wrong values. Line ends are no part of it; they are
found in the text (`tusjumbo.processing.lines`).
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tusjumbo.errors import ConfigurationError

_CANDIDATES = ",;\t|"


@dataclass(frozen=True, slots=True)
class Dialect:
    """What RFC 4180 says, unless told otherwise.

    :raises ConfigurationError: not one character each, the same one twice, or a line end
    """

    delimiter: str = ","
    quote: str | None = '"'
    """Around fields; within them, two of it are one. None: no character is special."""
    escape: str | None = None
    """Before a delimiter, quote or line end that belongs to the field."""
    skips_spaces: bool = False
    """Whether spaces behind a delimiter are no part of the field."""

    def __post_init__(self) -> None:
        taken: set[str] = set()
        for setting in ("delimiter", "quote", "escape"):
            character = getattr(self, setting)
            if character is None and setting != "delimiter":
                continue
            if not isinstance(character, str) or len(character) != 1 or character in "\r\n\0":
                raise ConfigurationError(f"{character!r} is not one character", setting=setting)
            if character in taken:
                raise ConfigurationError(f"{character!r} is used already", setting=setting)
            taken.add(character)
        if self.skips_spaces and " " in taken:
            raise ConfigurationError(
                "a space cannot mean something as well", setting="skips_spaces"
            )

    def of_csv(self) -> dict[str, Any]:
        """As arguments of `csv.reader`."""
        return {
            "delimiter": self.delimiter,
            "quotechar": self.quote,
            "escapechar": self.escape,
            "skipinitialspace": self.skips_spaces,
            "quoting": csv.QUOTE_NONE if self.quote is None else csv.QUOTE_MINIMAL,
            "strict": True,
        }


def of_module(dialect: str | csv.Dialect | type[csv.Dialect]) -> Dialect:
    """What the csv module calls a dialect: a name, a class, or what `csv.Sniffer` returns.

    Fields stay text whatever its `quoting` says, and two quotes are one whatever `doublequote`.

    :raises ConfigurationError: it is none
    """
    try:
        known = csv.reader([], dialect).dialect
    except (csv.Error, TypeError, ValueError) as error:
        problem = f"{dialect!r} is none of the csv module: {error}"
        raise ConfigurationError(problem, setting="dialect") from None
    quote = None if known.quoting == csv.QUOTE_NONE else known.quotechar
    return Dialect(known.delimiter, quote, known.escapechar, known.skipinitialspace)


def guessed(lines: Sequence[str]) -> Dialect:
    """The dialect whose delimiter cuts most of these lines into as many fields as the first row.

    Among comma, semicolon, tab and bar; the comma if none of them is in the first row. The last
    line may be incomplete. Linear in the text (`csv.Sniffer` is not, and guesses quotes as well).
    """
    best, dialect = (0, 1), Dialect()
    for delimiter in _CANDIDATES:
        candidate = Dialect(delimiter)
        reader = csv.reader(lines, **(candidate.of_csv() | {"strict": False}))
        try:
            widths = [len(row) for row in reader if row]
        except csv.Error:
            continue
        if not widths or widths[0] == 1:
            continue
        agreeing = (Counter(widths)[widths[0]], widths[0])
        if agreeing > best:
            best, dialect = agreeing, candidate
    return dialect
