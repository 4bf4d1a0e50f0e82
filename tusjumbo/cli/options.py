"""Every setting as an option: what it is called on the command line, in a variable and in TOML.

Read off the dataclasses of `tusjumbo.settings`, names, defaults and the texts below the fields: a
setting is written down once, there. Flags, variables, files, `--help` and the README's table are
made from this one list.
"""

from __future__ import annotations

import ast
import enum
import inspect
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import get_type_hints

from tusjumbo.settings import Duration, ServerSettings, Size, UploadSettings

PREFIX = "TUSJUMBO_"
"""What every environment variable of ours begins with."""

CONFIG_VARIABLE = f"{PREFIX}CONFIG"
"""The variable with the path of the configuration file."""

_DURATIONS = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))
_SIZES = (("TiB", 1024**4), ("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024))


@dataclass(frozen=True, slots=True)
class Option:
    """One setting. `name` is its field in the dataclass `owner`."""

    owner: type[UploadSettings | ServerSettings]
    name: str
    kind: object
    """The field's type."""
    default: object
    help: str
    """One or two sentences; code stands in backticks."""

    @property
    def key(self) -> str:
        """Its name in TOML."""
        return self.name.replace("_", "-")

    @property
    def flag(self) -> str:
        return f"--{self.key}"

    @property
    def variable(self) -> str:
        return f"{PREFIX}{self.name.upper()}"

    @property
    def section(self) -> str:
        if self.name.startswith("cors_"):
            return "Web pages (CORS)"
        definer = next(base for base in self.owner.__mro__ if self.name in base.__annotations__)
        return str(definer.SECTION)  # type: ignore[attr-defined]  # every class of settings has one

    @property
    def choices(self) -> tuple[str, ...]:
        """The values of an enumeration; empty where any value of its kind will do."""
        is_choice = isinstance(self.kind, type) and issubclass(self.kind, enum.Enum)
        return tuple(member.value for member in self.kind) if is_choice else ()  # type: ignore[attr-defined]

    @property
    def written_default(self) -> str:
        """The default as somebody would write it; empty if there is none."""
        return _written(self.default)


def _written(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case enum.Enum():
            return str(value.value)
        case tuple():
            return ",".join(value)
        case Path() if not value.is_absolute():
            return f"./{value}"
        case Duration():
            return _in_units(float(value), _DURATIONS)
        case Size():
            return _in_units(int(value), _SIZES)
        case _:
            return str(value)


def _in_units(value: float, units: tuple[tuple[str, int], ...]) -> str:
    exact = (f"{value / size:g}{unit}" for unit, size in units if value and value % size == 0)
    return next(exact, f"{value:g}")


def _texts(owner: type) -> Mapping[str, str]:
    """The text below each field of a dataclass, which Python itself does not keep."""
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(owner))).body
    assert isinstance(body, ast.ClassDef)  # noqa: S101 - what a class's source is
    found: dict[str, str] = {}
    for field, below in zip(body.body, body.body[1:], strict=False):
        match field, below:
            case ast.AnnAssign(target=ast.Name(name)), ast.Expr(ast.Constant(str(text))):
                found[name] = " ".join(text.split())
    return found


def _options(owner: type[UploadSettings | ServerSettings]) -> tuple[Option, ...]:
    kinds = get_type_hints(owner)
    bases = [base for base in owner.__mro__ if base is not object]
    texts = {name: text for base in bases for name, text in _texts(base).items()}
    return tuple(
        Option(owner, field.name, kinds[field.name], field.default, texts[field.name])
        for field in sorted(fields(owner), key=lambda field: _place(bases, field.name))
        if field.default is not MISSING
    )


def _place(bases: Sequence[type], name: str) -> int:
    """Where a field is shown: what a class says itself comes before what it has from others."""
    return next(at for at, base in enumerate(bases) if name in base.__annotations__)


OPTIONS: tuple[Option, ...] = (*_options(ServerSettings), *_options(UploadSettings))
"""All of them, in the order in which they are shown."""
