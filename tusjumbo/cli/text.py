"""Text for people: sizes, times and tables, and nothing that could steer a terminal.

File names and metadata are whatever a client sent. All of it passes through `printable` on its way
to a terminal.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime

_UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_TIMES = (("d", 86400), ("h", 3600), ("m", 60))


def printable(text: str) -> str:
    r"""`text` with everything invisible (controls, line ends, direction marks) as `\x1b`, `\u202e`.

    A backslash stays as it is: this is for reading, not for reading back.
    """
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def size(count: int) -> str:
    """`0 B`, `1023 B`, `1.5 MiB`, `640 GiB`: three digits at most, rounded down."""
    if count < 1024:
        return f"{count} B"
    power = min((count.bit_length() - 1) // 10, len(_UNITS))
    tenths = count * 10 >> 10 * power
    number = f"{tenths / 10:.1f}" if tenths < 1000 else str(tenths // 10)
    return f"{number} {_UNITS[power - 1]}"


def span(seconds: float) -> str:
    """`4s`, `12m`, `3h`, `9d`: how long, roughly, rounded down."""
    seconds = max(0.0, seconds)
    fitting = (f"{int(seconds // unit)}{name}" for name, unit in _TIMES if seconds >= unit)
    return next(fitting, f"{int(seconds)}s")


def table(rows: Iterable[Sequence[str]], *, numbers: Collection[int] = ()) -> Iterator[str]:
    """Lines with aligned columns; those whose index is in `numbers` are aligned to the right."""
    lines = [tuple(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (
            cell.rjust(width) if at in numbers else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        yield "  ".join(cells).rstrip()


def moment(seconds: float) -> str:
    """Seconds since the epoch as RFC 3339 in UTC: `2026-11-22T17:45:01Z`."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")[:19] + "Z"
