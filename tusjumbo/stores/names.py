"""Names: what a finished file is called on disk, and in which directories it is wanted.

Pure. A client's name is hostile input, and a person still wants to recognise it: letters of every
script stay, whatever a file system, a shell user or Windows could read as something else goes. Each
result is one path segment, not empty, not hidden, at most `LIMIT` bytes of UTF-8, in NFC; and each
place is made of these, so that none leads up or out.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Iterator

LIMIT = 200
"""Bytes in a name; file systems allow 255 or, encrypted, 143 to 240."""

_DEEPEST = 16
"""Directories of a place, and what their names come to in bytes at most: a path may have 4096."""
_DIRECTORIES_LIMIT = 1000

_EXTENSION_LIMIT = 20
"""Bytes in an extension with its dot, beyond which it is not one."""

_JOINERS = "\u200c\u200d"
"""Format characters that belong to the spelling of Persian, Hindi and emoji."""

_EDGES = " ." + _JOINERS

_WINDOWS_CHARACTERS = dict.fromkeys('<>:"|?*', "_")

# Read as a slash or backslash where names are turned into an old code page ("best fit"), and by
# people. Other characters in full width stay: that is how Chinese and Japanese are written.
_SLASHES = dict.fromkeys("\u2044\u2215\u2216\u29f8\u29f9\ufe68\uff0f\uff3c", "_")

# Where CIFS, WSL and Cygwin keep what Windows forbids: U+F05C is a backslash to them.
_PRIVATE = dict.fromkeys(map(chr, range(0xF000, 0xF100)), "_")

# They count as letters or symbols, and nobody sees them.
_BLANKS = dict.fromkeys("\u115f\u1160\u2800\u3164\uffa0", " ")

_INVISIBLE = "\u034f\u17b4\u17b5\u2065"
"""Marks without a shape (Unicode: Default_Ignorable) that are in no spelling, as variants are."""

_REPLACED = str.maketrans(_WINDOWS_CHARACTERS | _SLASHES | _PRIVATE | _BLANKS)

_WINDOWS_DEVICE = re.compile(
    r"(?:con|prn|aux|nul|conin\$|conout\$|clock\$|(?:com|lpt)[0-9\u00b9\u00b2\u00b3]) *(?:\..*)?",
    re.IGNORECASE | re.DOTALL,
)


def sanitised(filename: str, upload_id: str) -> str:
    """A safe name like `filename`; the id if nothing of it is left."""
    last = re.split(r"[/\\]", filename)[-1]
    kept = "".join(map(_kept, last)).translate(_REPLACED)
    name = _cut(unicodedata.normalize("NFC", kept).strip(_EDGES), LIMIT)
    # Only now: what was cut off may have been what made it another name. `rm *` takes what begins
    # with a dash for its options.
    if name.startswith("-") or _WINDOWS_DEVICE.fullmatch(name):
        name = _cut("_" + name, LIMIT)
    return name or upload_id


def place(destination: str, filename: str, upload_id: str) -> tuple[str, ...]:
    """Directories and a name, all safe, like `destination`; if that has no name, like `filename`.

    What a destination has of roots, dots and emptiness is left out, and so are the directories that
    would be too many.
    """
    if not destination:
        return (sanitised(filename, upload_id),)
    *above, last = re.split(r"[/\\]", destination)
    directories: list[str] = []
    room = _DIRECTORIES_LIMIT
    for directory in (sanitised(part, "") for part in above):
        room -= len(directory.encode()) + 1
        if room < 0 or len(directories) == _DEEPEST:
            break
        if directory:
            directories.append(directory)
    name = sanitised(last, "") if last else ""
    return (*directories, name or sanitised(filename, upload_id))


def alternatives(name: str, upload_id: str, limit: int = LIMIT) -> Iterator[str]:
    """`name` itself, then names with more and more of the id in them, without end.

    `name` is sanitised. None has more than `limit` bytes, of which the longest id needs 160.
    """
    yield name if limit == LIMIT else _cut(name, limit)
    stem, extension = _split(name)
    yield _joined(stem, f"-{upload_id[-8:]}{extension}", limit)
    yield unique(name, upload_id, limit)
    for number in itertools.count(2):
        yield _joined(stem, f"-{upload_id}-{number}{extension}", limit)


def unique(name: str, upload_id: str, limit: int = LIMIT) -> str:
    """`name` with the whole id in it."""
    stem, extension = _split(name)
    return _joined(stem, f"-{upload_id}{extension}", limit)


def _kept(character: str) -> str:
    category = unicodedata.category(character)
    if category == "Zs":
        return " "
    # Cf: direction overrides make "exe.jpg" of "gpj.exe". Cs has no UTF-8.
    if category in ("Cc", "Cf", "Cs", "Zl", "Zp") and character not in _JOINERS:
        return ""
    return "" if character in _INVISIBLE or _is_no_text(ord(character)) else character


def _is_no_text(code: int) -> bool:
    """What no text has now or ever; other things that are unassigned today may be an emoji.

    Unicode 23.7, noncharacters: refused by APFS. 5.21: ranges of which nothing is ever to be seen,
    but for the variants of Chinese and Japanese characters from U+E0100 on.
    """
    if 0xFDD0 <= code <= 0xFDEF or code & 0xFFFE == 0xFFFE:
        return True
    return 0xFFF0 <= code <= 0xFFFB or 0xE0000 <= code <= 0xE00FF or 0xE01F0 <= code <= 0xE0FFF


def _cut(name: str, limit: int) -> str:
    return _joined(*_split(name), limit)


def _split(name: str) -> tuple[str, str]:
    stem, dot, extension = name.rpartition(".")
    if not stem or len((dot + extension).encode()) > _EXTENSION_LIMIT:
        return name, ""
    return stem, dot + extension


def _joined(stem: str, tail: str, limit: int) -> str:
    """`stem` and `tail`, with as much of the stem as there is room for."""
    room = limit - len(tail.encode())
    if len(stem.encode()) > room:
        stem = stem.encode()[:room].decode(errors="ignore").rstrip(_EDGES)
    return stem + tail
