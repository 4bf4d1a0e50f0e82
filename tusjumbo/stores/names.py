"""Names: what a finished file is called on disk.

Pure. A client's name is hostile input, and a person still wants to recognise it: letters of every
script stay, whatever a file system, a shell user or Windows could read as something else goes. Each
result is one path segment, not empty, not hidden, at most `LIMIT` bytes of UTF-8, in NFC.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Iterator

LIMIT = 200
"""Bytes in a name; file systems allow 255 or, encrypted, 143 to 240."""

_EXTENSION_LIMIT = 20
"""Bytes in an extension with its dot, beyond which it is not one."""

_JOINERS = "\u200c\u200d"
"""Format characters that belong to the spelling of Persian, Hindi and emoji."""

_EDGES = " ." + _JOINERS

_WINDOWS_CHARACTERS = str.maketrans(dict.fromkeys('<>:"|?*', "_"))

_WINDOWS_DEVICE = re.compile(
    r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9\u00b9\u00b2\u00b3]) *(?:\..*)?",
    re.IGNORECASE | re.DOTALL,
)


def sanitised(filename: str, upload_id: str) -> str:
    """A safe name like `filename`; the id if nothing of it is left."""
    last = re.split(r"[/\\]", filename)[-1]
    kept = "".join(map(_kept, last)).translate(_WINDOWS_CHARACTERS)
    name = unicodedata.normalize("NFC", kept).strip(_EDGES)
    if _WINDOWS_DEVICE.fullmatch(name):
        name = "_" + name
    stem, extension = _split(name)
    return _joined(stem, extension) or upload_id


def alternatives(name: str, upload_id: str) -> Iterator[str]:
    """`name` itself, then names with more and more of the id in them, without end."""
    yield name
    stem, extension = _split(name)
    yield _joined(stem, f"-{upload_id[-8:]}{extension}")
    yield unique(name, upload_id)
    for number in itertools.count(2):
        yield _joined(stem, f"-{upload_id}-{number}{extension}")


def unique(name: str, upload_id: str) -> str:
    """`name` with the whole id in it."""
    stem, extension = _split(name)
    return _joined(stem, f"-{upload_id}{extension}")


def _kept(character: str) -> str:
    category = unicodedata.category(character)
    if category == "Zs":
        return " "
    # Cf: direction overrides make "exe.jpg" of "gpj.exe". Cs has no UTF-8.
    if category in ("Cc", "Cf", "Cs", "Zl", "Zp") and character not in _JOINERS:
        return ""
    return character


def _split(name: str) -> tuple[str, str]:
    stem, dot, extension = name.rpartition(".")
    if not stem or len((dot + extension).encode()) > _EXTENSION_LIMIT:
        return name, ""
    return stem, dot + extension


def _joined(stem: str, tail: str) -> str:
    """`stem` and `tail`, with as much of the stem as there is room for."""
    room = LIMIT - len(tail.encode())
    if len(stem.encode()) > room:
        stem = stem.encode()[:room].decode(errors="ignore").rstrip(_EDGES)
    return stem + tail
