"""Values: what settings are made of, and how they are read from what somebody wrote.

Text becomes the type of its field here and nowhere else, so that a value is the same whether it
came from a flag, a variable, a TOML file or an argument.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable
from dataclasses import fields
from decimal import Decimal
from pathlib import Path
from typing import Any, get_type_hints

from tusjumbo.errors import ConfigurationError

_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([kKMGTP]i?)?B?", re.ASCII)
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?(ms|s|m|min|h|d|w)?", re.ASCII)
_WORDS = {"true": True, "yes": True, "on": True, "1": True}
_WORDS |= {"false": False, "no": False, "off": False, "0": False}
_SECONDS: dict[str, int | Decimal] = {
    "ms": Decimal("0.001"),
    "s": 1,
    "m": 60,
    "min": 60,
    "h": 3600,
    "d": 86400,
    "w": 604800,
}


class Size(int):
    """A number of bytes; from text also `5GiB`, `500 MB`. 0 means no limit."""

    LARGEST = 2**63 - 1
    """File offsets end here."""

    def __new__(cls, value: int | str) -> Size:
        """:raises ValueError: it is not a size"""
        size: Any = value
        if isinstance(value, str) and (match := _SIZE.fullmatch(value.strip())):
            number, unit = match.groups()
            base = 1024 if unit and unit.endswith("i") else 1000
            power = "kMGTP".index(unit[0].replace("K", "k")) + 1 if unit else 0
            size = int(Decimal(number) * base**power)
        if type(size) in (int, cls) and 0 <= size <= cls.LARGEST:
            return super().__new__(cls, size)
        raise ValueError(f"{value!r} is not a size; write bytes, or 500MB, or 5GiB")


class Duration(float):
    """A number of seconds; from text also `90s`, `20m`, `12h`, `7d`. 0 means never or no limit."""

    LONGEST = 100 * 365 * 86400.0
    """Dates beyond that would no longer be dates."""

    def __new__(cls, value: float | str) -> Duration:
        """:raises ValueError: it is not a duration"""
        seconds: Any = value
        if isinstance(value, str) and (match := _DURATION.fullmatch(value.strip())):
            number, unit = match.groups()
            seconds = float(Decimal(number) * _SECONDS[unit or "s"])
        if type(seconds) in (int, float, cls) and 0 <= seconds <= cls.LONGEST:
            return super().__new__(cls, seconds)
        raise ValueError(f"{value!r} is not a duration; write seconds, or 90s, 20m, 12h, 7d")


class Durability(enum.Enum):
    """What an acknowledged offset survives."""

    COMMIT = "commit"
    """A power failure: data and catalog are on the disk before the answer."""
    OS = "os"
    """The end of the process, but not of the machine: nothing is forced to the disk."""


class LocationForm(enum.Enum):
    """How the address of a new upload is written."""

    PATH = "path"
    """`/files/<id>`: right behind any proxy that keeps the path."""
    URL = "url"
    """`https://host/files/<id>`, from the request and, if trusted, the proxy's headers."""


class LogFormat(enum.Enum):
    """How log lines look."""

    TEXT = "text"
    JSON = "json"


class LogLevel(enum.Enum):
    """The least important log lines that are written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class FinishMode(enum.Enum):
    """When it is done what is to be done with a file that has arrived."""

    INLINE = "inline"
    """While the last request waits, and hears what came of it."""
    BACKGROUND = "background"
    """After the answer to it."""


class Secret(str):
    """Text that is not shown, or `file:PATH` of a file that has it (and perhaps a last newline)."""

    __slots__ = ()

    def __new__(cls, value: str) -> Secret:
        """:raises ValueError: it is not text, or its file cannot be read"""
        if not isinstance(value, str):
            raise ValueError("a secret must be text")  # noqa: TRY004 - as any value
        if isinstance(value, cls) or not value.startswith("file:"):
            return super().__new__(cls, value)
        path = Path(value.removeprefix("file:"))
        try:
            return super().__new__(cls, path.read_text(encoding="utf-8").rstrip("\n"))
        except (OSError, UnicodeError) as error:
            raise ValueError(f"cannot read a secret from {str(path)!r}: {error}") from error

    def __repr__(self) -> str:
        return "Secret('…')" if self else "Secret('')"


class Items(tuple[str, ...]):
    """Texts in an order, in which commas may be; written as a list, or with spaces between them."""

    __slots__ = ()

    def __new__(cls, value: object = ()) -> Items:
        """:raises ValueError: it is not a list of texts"""
        parts = value.split() if isinstance(value, str) else value
        if not isinstance(parts, (tuple, list)) or not all(isinstance(it, str) for it in parts):
            raise ValueError(f"{value!r} is not a list of texts")
        return super().__new__(cls, [it.strip() for it in parts if it.strip()])


def convert(settings: Any) -> None:
    """Turn text into the type of its field: arguments may be written as in TOML or a variable.

    :raises ConfigurationError: a value is not one of its field's
    """
    kinds = get_type_hints(type(settings))
    for name in (field.name for field in fields(settings)):
        kind = kinds[name]
        value = getattr(settings, name)
        try:
            converted = _TYPES[kind](value) if kind in _TYPES else _member(kind, value)
        except ValueError as error:
            raise ConfigurationError(str(error), setting=name) from error
        object.__setattr__(settings, name, converted)


# Each takes what somebody wrote, and raises ValueError with a message that quotes it.


def _member(kind: type[enum.Enum], value: object) -> enum.Enum:
    known = {member.value: member for member in kind}
    if isinstance(value, kind):
        return value
    if isinstance(value, str) and value in known:
        return known[value]
    raise ValueError(f"{value!r} is not one of: {', '.join(known)}")


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    raise ValueError(f"{value!r} is not text")


def _path(value: object) -> Path:
    if isinstance(value, Path):
        return value
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError(f"{value!r} is not a path")
    return Path(value)


def _optional_path(value: object) -> Path | None:
    return None if value is None or value == "" else _path(value)


def _whole(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if not isinstance(value, str) or re.fullmatch("[0-9]{1,18}", value.strip(), re.ASCII) is None:
        raise ValueError(f"{value!r} is not a whole number")
    return int(value)


def _truth(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if not isinstance(value, str) or value.lower() not in _WORDS:
        raise ValueError(f"{value!r} is not true or false")
    return _WORDS[value.lower()]


def _words(value: object) -> tuple[str, ...]:
    parts = [value] if isinstance(value, str) else value
    if not isinstance(parts, (tuple, list)) or not all(isinstance(part, str) for part in parts):
        raise ValueError(f"{value!r} is not a list of texts")
    return tuple(word for part in parts for word in re.split(r"[\s,]+", part) if word)


_TYPES: dict[object, Callable[[Any], object]] = {
    str: _text,
    int: _whole,
    bool: _truth,
    Path: _path,
    Path | None: _optional_path,
    tuple[str, ...]: _words,
    Size: Size,
    Duration: Duration,
    Items: Items,
    Secret: Secret,
}
