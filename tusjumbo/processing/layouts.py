"""Layouts as callers say them: by plain options, of which each may be left out.

One place where they become a `Layout`, so that a table is asked for in the same words everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypedDict

from tusjumbo.processing import dialects
from tusjumbo.processing.tables import LONGEST_ROW, Layout


class LayoutOptions(TypedDict, total=False):
    """How a table is to be read. Without a word: as RFC 4180 says, in UTF-8."""

    encoding: str | None
    """None: what a byte order mark says, or UTF-8."""
    delimiter: str | None
    """Between fields. None: guessed from the first 16 KiB."""
    dialect: dialects.Dialect | str | Any
    """One of ours or of the csv module: a name, a class, what its `Sniffer` returns."""
    names: Sequence[str] | None
    """Of the columns. None: the first row names them."""
    longest_row: int
    """In characters; a longer one is a bad row (1 MiB)."""


def layout(options: LayoutOptions) -> Layout:
    """:raises ConfigurationError: an option that cannot work"""
    dialect = options.get("dialect") or dialects.Dialect()
    if not isinstance(dialect, dialects.Dialect):
        dialect = dialects.of_module(dialect)
    delimiter = options.get("delimiter", dialect.delimiter)
    return Layout(
        encoding=options.get("encoding"),
        dialect=None if delimiter is None else replace(dialect, delimiter=delimiter),
        names=options.get("names"),
        longest_row=options.get("longest_row", LONGEST_ROW),
    )
