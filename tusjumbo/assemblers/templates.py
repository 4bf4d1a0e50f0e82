"""Templates: paths that are made of what is known of an upload, like `{owner}/{date}/{filename}`.

The literal text is the operator's and stays as it is. Values are hostile: each becomes part of one
component and never more, is not empty, does not begin or end with a dot, and has no character that
a path, an address or Windows reads as something else. What is wrong with a template is said when it
is made; filling one in cannot fail.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from tusjumbo.application import Arrival
from tusjumbo.errors import ConfigurationError

LONGEST = 255
"""Bytes of a value; no file system allows more in a component."""

_LONGEST_SUFFIX = 20
"""Bytes of an extension with its dot, beyond which it is not one."""

_FORBIDDEN = str.maketrans(dict.fromkeys('/\\<>:"|?*', "_"))
_EDGES = " ."
_INVISIBLE = ("Cc", "Cs", "Zl", "Zp")
"""Categories of Unicode: control characters, halves of others, ends of lines."""
_METADATA = re.compile(r"metadata\[(.+)\]", re.DOTALL)

Value = Callable[[Arrival], str]


def filename(arrival: Arrival) -> str:
    """What the file is called now, without directories; the id if that is nothing."""
    return component(arrival.name.rpartition("/")[2], arrival.session.id)


def split(name: str) -> tuple[str, str]:
    """A name without its extension, and the extension with its dot, which may be empty."""
    stem, dot, extension = name.rpartition(".")
    is_one = stem and extension and len(extension.encode()) < _LONGEST_SUFFIX
    return (stem, dot + extension) if is_one else (name, "")


def component(text: str, fallback: str) -> str:
    """A component like `text`; the fallback if nothing of it is left."""
    printable = (one for one in text if unicodedata.category(one) not in _INVISIBLE)
    clean = "".join(printable).translate(_FORBIDDEN).strip(_EDGES)
    return clean.encode()[:LONGEST].decode(errors="ignore").rstrip(_EDGES) or fallback


def _creation(form: str) -> Value:
    return lambda arrival: datetime.fromtimestamp(arrival.session.created_at, UTC).strftime(form)


def _metadata(key: str) -> Value:
    def value(arrival: Arrival) -> str:
        found = arrival.session.metadata.get(key, b"")
        return component(found.decode("utf-8", "replace"), "unknown")

    return value


FIELDS: Mapping[str, Value] = {
    "owner": lambda arrival: component(arrival.session.owner or "", "nobody"),
    "date": _creation("%Y-%m-%d"),
    "year": _creation("%Y"),
    "month": _creation("%m"),
    "day": _creation("%d"),
    "id": lambda arrival: arrival.session.id,
    "filename": filename,
    "stem": lambda arrival: split(filename(arrival))[0].rstrip(_EDGES),
    "suffix": lambda arrival: split(filename(arrival))[1],
}
"""What may stand in braces, beside `metadata[key]`. Days are those of the creation, in UTC."""


class Template:
    """`{{` and `}}` are literal braces.

    :raises ConfigurationError: braces that do not match, an unknown field, or a path that is empty
        or not plainly below something
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.fields: frozenset[str] = frozenset()
        self._parts: list[str | Value] = []
        try:
            parsed = list(string.Formatter().parse(text))
        except ValueError as error:
            raise ConfigurationError(f"the template {text!r}: {error}") from error
        for literal, name, form, conversion in parsed:
            self._parts.append(literal)
            if name is not None:
                if form or conversion:
                    raise ConfigurationError(
                        f"the template {text!r}: write {{{name}}}, and nothing more in the braces"
                    )
                self._parts.append(self._value(name))
                self.fields |= {name}
        # With a letter in place of each value: what is wrong then is the literal text.
        shape = "".join(part if isinstance(part, str) else "x" for part in self._parts)
        if "\0" in shape or "\\" in shape or any(p in ("", ".", "..") for p in shape.split("/")):
            raise ConfigurationError(
                f"the template {text!r}: has to be a path like {{owner}}/{{date}}/{{filename}}"
            )

    def _value(self, name: str) -> Value:
        if name in FIELDS:
            return FIELDS[name]
        if match := _METADATA.fullmatch(name):
            return _metadata(match[1])
        known = ", ".join(f"{{{field}}}" for field in (*FIELDS, "metadata[key]"))
        raise ConfigurationError(
            f"the template {self.text!r}: there is no {{{name}}}; there are {known}"
        )

    def fill(self, arrival: Arrival) -> str:
        """The path for an upload, relative, with slashes."""
        return "".join(part if isinstance(part, str) else part(arrival) for part in self._parts)
