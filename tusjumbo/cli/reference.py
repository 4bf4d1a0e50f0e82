"""`python -m tusjumbo.cli.reference README.md`: write the table of settings into a document.

Everything between the two marks is made from the list of options, so the document cannot say
anything else than `--help` does. Without a document the table is printed.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from tusjumbo.cli.options import OPTIONS, Option

BEGIN = "<!-- settings: written by `make readme` -->"
END = "<!-- end of settings -->"

_NAMES = {option.name for option in OPTIONS}


def reference() -> str:
    """The table of settings in Markdown, a part for each section."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    for section, options in groupby(OPTIONS, key=lambda option: option.section):
        yield f"| {section} | Default | |"
        yield "|---|---|---|"
        yield from map(_row, options)
        yield ""


def _row(option: Option) -> str:
    default = f"`{option.written_default}`" if option.written_default else ""
    choices = (
        f" ({', '.join(f'`{choice}`' for choice in option.choices)})" if option.choices else ""
    )
    text = re.sub(
        "`([^`]*)`",
        lambda word: f"`{word[1].replace('_', '-')}`" if word[1] in _NAMES else word[0],
        option.help,
    )
    return f"| `{option.key}`{choices} | {default} | {text.replace('|', chr(92) + '|')} |"


def inserted(document: str) -> str:
    """`document` with the table as it is now.

    :raises ValueError: it does not have the two marks, once each and in order
    """
    return replaced(document, BEGIN, END, reference())


def replaced(document: str, begin: str, end: str, table: str) -> str:
    """`document` with `table` instead of what is between two marks.

    :raises ValueError: it does not have them, once each and in order
    """
    before, first, rest = document.partition(begin)
    _, last, after = rest.partition(end)
    if not first or not last or begin in rest or end in after:
        raise ValueError(f"the document needs {begin} and then {end}, once each")
    return f"{before}{begin}\n\n{table.strip()}\n\n{end}{after}"


def main(arguments: Sequence[str]) -> None:
    if not arguments:
        print(reference())
    for path in map(Path, arguments):
        path.write_text(inserted(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
