"""HTML that is whole by construction: elements made of attributes and children.

Whatever is a plain `str` is text and gets escaped; only what `tag`, `join` or `verbatim` has made
is markup. So a value of a response cannot become an element, wherever it is put. Knows no page.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping

from conformance.reports.summary import plain

_VOID = {"input", "meta"}

Attributes = Mapping[str, str | bool | int]


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def tag(name: str, attributes: Attributes | None = None, /, *children: str) -> Markup:
    """An element. An attribute that is False is left out, one that is True has no value."""
    opening = name
    for key, value in (attributes or {}).items():
        if value is True:
            opening += f" {key}"
        elif value is not False:
            opening += f' {key}="{html.escape(plain(str(value)))}"'
    if name in _VOID:
        return Markup(f"<{opening}>")
    return Markup(f"<{opening}>{join(children)}</{name}>")


def join(children: Iterable[str]) -> Markup:
    """Elements and texts, one after the other."""
    return Markup(
        "".join(
            child if isinstance(child, Markup) else html.escape(plain(child), quote=False)
            for child in children
        )
    )


def verbatim(text: str) -> Markup:
    """HTML, CSS or JavaScript of our own, as it is."""
    return Markup(text)
