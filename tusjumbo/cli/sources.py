"""Where settings come from: flags, then TUSJUMBO_* variables, then a TOML file, then defaults.

Each value keeps its origin until the dataclasses have accepted it, so that every complaint is one
line that names the setting and the place to mend it. Nothing is converted here: that is the
dataclasses' business, and the same for every source.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tusjumbo.cli.options import CONFIG_VARIABLE, OPTIONS, PREFIX
from tusjumbo.errors import ConfigurationError
from tusjumbo.settings import ServerSettings, UploadSettings

Settings = TypeVar("Settings", UploadSettings, ServerSettings)

DEFAULT_FILE = "tusjumbo.toml"
"""Read from the working directory if it is there and no other file is named."""

CONFIG_FLAG = "--config"


@dataclass(frozen=True, slots=True)
class Given:
    """A value, and who gave it: `--max-size`, `TUSJUMBO_MAX_SIZE`, `max-size in tusjumbo.toml`."""

    value: object
    origin: str


def gather(flags: Mapping[str, object], environment: Mapping[str, str]) -> dict[str, Given]:
    """What each setting is set to, by its name; the ones that nobody sets are not in it.

    `flags` are what the command line says, by setting (None: nothing); `config` is the file.

    :raises ConfigurationError: the file cannot be read, is not TOML, or has an unknown key
    """
    path, origin = _file(flags, environment)
    return {
        **(_from_file(path, origin) if path else {}),
        **_from_environment(environment),
        **{
            option.name: Given(flags[option.name], option.flag)
            for option in OPTIONS
            if flags.get(option.name) is not None
        },
    }


def _file(flags: Mapping[str, object], environment: Mapping[str, str]) -> tuple[Path | None, str]:
    for named, origin in (
        (flags.get("config"), CONFIG_FLAG),
        (environment.get(CONFIG_VARIABLE), CONFIG_VARIABLE),
    ):
        if named:
            return Path(str(named)), origin
    default = Path(DEFAULT_FILE)
    return (default, DEFAULT_FILE) if default.exists() else (None, "")


def _from_file(path: Path, origin: str) -> dict[str, Given]:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        problem = f"cannot read {str(path)!r}: {error.strerror} (from {origin})"
        raise ConfigurationError(problem, setting="config") from error
    except ValueError as error:
        raise ConfigurationError(f"{path} is not TOML: {error}") from error
    known = {option.key: option for option in OPTIONS}
    found: dict[str, Given] = {}
    for written, value in table.items():
        option = known.get(written.replace("_", "-"))
        if option is None:
            meant = _meant(written.replace("_", "-"), known)
            raise ConfigurationError(f"{written} in {path}: there is no such setting{meant}")
        if option.name in found:
            raise ConfigurationError(f"{written} in {path}: it is set twice")
        found[option.name] = Given(value, f"{written} in {path}")
    return found


def _from_environment(environment: Mapping[str, str]) -> dict[str, Given]:
    # A variable that is set to nothing is what a compose file makes of an unset one; only a list
    # can be meant to be empty.
    return {
        option.name: Given(environment[option.variable], option.variable)
        for option in OPTIONS
        if environment.get(option.variable)
        or (option.variable in environment and isinstance(option.default, tuple))
    }


def strangers(environment: Mapping[str, str]) -> Iterator[str]:
    """A line about each variable that looks like one of ours and is none."""
    known = {option.variable for option in OPTIONS} | {CONFIG_VARIABLE}
    for name in sorted(environment):
        if name.startswith(PREFIX) and name not in known:
            meant = _meant(name, known, beyond=len(PREFIX))
            yield f"{name}: there is no such setting{meant}; it has no effect"


def _meant(name: str, known: Iterable[str], beyond: int = 0) -> str:
    """A guess, in parentheses; `beyond` characters are what all names begin with."""
    likely = {other[beyond:]: other for other in known}
    near = difflib.get_close_matches(name[beyond:], likely, n=1)
    return f" (did you mean {likely[near[0]]}?)" if near else ""


def build(kind: type[Settings], given: Mapping[str, Given]) -> Settings:
    """The settings of this kind, from what was gathered.

    :raises ConfigurationError: a value cannot work
    """
    mine = {option.name for option in OPTIONS if option.owner is kind} & given.keys()
    values = {name: given[name].value for name in mine}
    try:
        return kind(**values)  # type: ignore[arg-type]  # converted and checked by the dataclass
    except ConfigurationError as error:
        raise located(error, given) from error


def located(error: ConfigurationError, given: Mapping[str, Given]) -> ConfigurationError:
    """The same complaint, with the place where the setting was set."""
    if error.setting is None or error.setting not in given:
        return error
    origin = given[error.setting].origin
    return ConfigurationError(f"{error.problem} (from {origin})", setting=error.setting)
