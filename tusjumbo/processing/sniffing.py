"""Sniffing: the media type of a file by its first bytes, never by its name.

Text is judged by our own rules alone (`texts`), programs and containers by ours first
(`signatures`), so that what is dangerous is the same whichever backend is there. The backend knows
the rest: libmagic with the extra `magic`, else the package `filetype`. What nobody knows is
`application/octet-stream`, or `text/plain` if it is text (an empty file is): guesses are not sold
as knowledge.

Sniffing takes a fraction of a millisecond of processor time: it is for worker threads.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

from tusjumbo.processing import signatures, texts
from tusjumbo.processing.kinds import (
    OCTETS,
    OLE,
    PLAIN,
    ZIP,
    Danger,
    canonical,
    danger,
    is_text,
)

HEAD = 8192
"""Bytes that are looked at: what is not known by then is not known."""

FIRST = 512
"""Bytes below which even a signature may be one of several."""

_VAGUE = frozenset((OCTETS, ZIP, OLE, "application/ogg"))
"""What more bytes may tell more of. So they may of text."""

_PDF_TYPE = "application/pdf"
_PDF = re.compile(rb"%PDF-[0-9]\.[0-9]\s")
_JUNK = 1024
"""Bytes before the first line of a PDF that its readers overlook (ISO 32000-1, Annex H.3)."""

_MEDIA_TYPE = re.compile(r"[a-z]+/[a-z0-9.+_-]+")

Backend = Callable[[bytes], str]
"""The media type of bytes that are not known otherwise, `application/octet-stream` at worst."""


@dataclass(frozen=True, slots=True)
class Sniffed:
    """What the bytes seen so far are."""

    media_type: str
    """Its canonical name (`tusjumbo.processing.kinds`)."""
    is_settled: bool
    """No further bytes would change it."""


def examined(head: bytes, *, is_whole: bool) -> Sniffed:
    """What the content is that begins with `head`, and whether that is the last word.

    `is_whole`: the file has no more bytes than these.
    """
    found = sniff(head)
    return Sniffed(found, is_whole or _is_settled(head, found))


def _is_settled(head: bytes, found: str) -> bool:
    if len(head) < FIRST:
        return False
    is_text_so_far = is_text(found) or danger(found) in (Danger.MARKUP, Danger.SCRIPT)
    return len(head) >= HEAD or not (found in _VAGUE or is_text_so_far)


def sniff(head: bytes, backend: Backend | None = None) -> str:
    """The media type, by its canonical name, of a file that begins with `head`.

    At most `HEAD` bytes of it are looked at. Without a `backend`, the best that is installed.
    """
    head = bytes(head[:HEAD])
    # Before anything else, as in browsers: NULs do not keep them from running a page.
    if found := texts.markup(head):
        return found
    if head.startswith(b"%PDF-"):
        return _PDF_TYPE
    found = _beyond_markup(head, backend or best())
    is_guess = found == OCTETS or is_text(found)
    return _PDF_TYPE if is_guess and _PDF.search(head, 0, _JUNK) else found


def _beyond_markup(head: bytes, ask: Backend) -> str:
    text = texts.decoded(head)
    if text is None or not texts.is_utf8(head):
        found = _binary(head, ask)
        if text is None or found != OCTETS:
            return found
    found = texts.kind(text)
    return _finer(head, ask) if found == PLAIN and head else found


def _binary(head: bytes, ask: Backend) -> str:
    found = signatures.program(head) or signatures.other(head) or canonical(ask(head))
    if found == OCTETS:  # libmagic wants to see more of some than their signature
        found = canonical(signatures.by_filetype(head))
    # Text, markup and scripts were looked for already, by rules that do not depend on the backend.
    if found.startswith(("text/", "message/")) or _MEDIA_TYPE.fullmatch(found) is None:
        return OCTETS
    return signatures.inside(head, found)


def _finer(head: bytes, ask: Backend) -> str:
    """Which plain text it is, if the backend has an idea; it cannot make it a program."""
    found = canonical(ask(head))
    return found if found.startswith("text/") and danger(found) is None else PLAIN


# --- backends ------------------------------------------------------------------------------------


@cache
def best() -> Backend:
    """libmagic if it can be used here, else `filetype`."""
    return libmagic() or signatures.by_filetype


def libmagic() -> Backend | None:
    """libmagic by the package python-magic; None where one of them is not installed.

    A `magic.Magic` locks, so that each thread has its own; and another package is called `magic`.
    """
    try:
        magic: Any = import_module("magic")
        make, failure = magic.Magic, magic.MagicException
        make(mime=True)
    except (ImportError, OSError, AttributeError):
        return None
    own = threading.local()

    def ask(head: bytes) -> str:
        try:
            if not hasattr(own, "magic"):
                own.magic = make(mime=True)
            return str(own.magic.from_buffer(head))
        except failure:  # hostile content may exceed its limits
            return OCTETS

    return ask
