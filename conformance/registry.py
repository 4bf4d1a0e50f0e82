"""The list of cases: each a function under a decorator, in the modules of `conformance.cases`.

A case tests one row. What it needs of a server is said in the decorator, so that a row which does
not apply is skipped as such, before anything is sent.
"""

from __future__ import annotations

import fnmatch
import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from conformance.model import Level, Row
from conformance.trial import Trial


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    row: Row
    run: Callable[[Trial], None]
    needs: str | None
    """The extension that must be advertised."""
    without: str | None
    """The extension that must not be."""
    slow: bool
    """It waits for long, so it is started first."""

    def inapplicable(self, extensions: Sequence[str]) -> str:
        """Why the row does not apply to a server with these extensions; empty if it does."""
        if self.needs is not None and self.needs not in extensions:
            return f"{self.needs} is not advertised"
        if self.without is not None and self.without in extensions:
            return f"{self.without} is advertised"
        return ""


_cases: dict[str, Case] = {}


def case(
    row_id: str,
    level: Level,
    section: str,
    *,
    needs: str | None = None,
    without: str | None = None,
    slow: bool = False,
) -> Callable[[Callable[[Trial], None]], Callable[[Trial], None]]:
    """Make a function the case of a row. Its docstring is the row's sentence."""

    def register(run: Callable[[Trial], None]) -> Callable[[Trial], None]:
        if row_id in _cases:
            raise ValueError(f"two cases for {row_id}")
        text = " ".join((run.__doc__ or "").split())
        if not text:
            raise ValueError(f"{row_id} has no sentence")
        row = Row(row_id, level, section, text)
        _cases[row_id] = Case(row=row, run=run, needs=needs, without=without, slow=slow)
        return run

    return register


def selected(row_id: str, only: Sequence[str], skip: Sequence[str]) -> bool:
    """Whether the id matches one of the patterns `only` (none: all) and none of `skip`."""
    wanted = not only or any(fnmatch.fnmatchcase(row_id, pattern) for pattern in only)
    return wanted and not any(fnmatch.fnmatchcase(row_id, pattern) for pattern in skip)


def cases(only: Sequence[str] = (), skip: Sequence[str] = ()) -> list[Case]:
    """The selected cases, in the order of the report."""
    package = importlib.import_module("conformance.cases")
    for module in pkgutil.iter_modules(package.__path__, "conformance.cases."):
        importlib.import_module(module.name)
    found = sorted(_cases.values(), key=lambda case: _order(case.row.id))
    return [case for case in found if selected(case.row.id, only, skip)]


_PREFIXES = (
    *("CORE", "HEAD", "PATCH", "OVR", "CREATE", "META", "CWU", "DEFER"),
    *("EXP", "CSUM", "TRAIL", "TERM", "CONC", "UNFIN", "LOCK", "CORS"),
)


def _order(row_id: str) -> tuple[int, str, int]:
    prefix, _, rest = row_id.partition("-")
    kind, _, number = rest.rpartition("-")
    return _PREFIXES.index(prefix), kind, int(number)
