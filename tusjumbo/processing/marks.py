"""Marks: the Unicode byte order marks, and the encodings they stand for."""

from __future__ import annotations

import codecs

# UTF-32 first: its little-endian mark begins with the one of UTF-16.
MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
"""Each with the name of its encoding, which leaves the mark in the text."""


def marked(head: bytes) -> str | None:
    """The encoding that `head` says it has."""
    return next((name for mark, name in MARKS if head.startswith(mark)), None)
