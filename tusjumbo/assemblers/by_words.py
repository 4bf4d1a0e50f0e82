"""Words for assemblers, as settings say them: `move:{owner}/{filename}`, `zstd:19`, `sha256`.

What is before the first colon says which, what is after it is its argument. Everything else is a
function of the application's own, `module:function`. Constructors check their arguments, so that
what cannot work is said at the start.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from operator import attrgetter
from types import MappingProxyType
from typing import Any

from tusjumbo.application import Assembler
from tusjumbo.assemblers.chain import Chain, of_function
from tusjumbo.assemblers.compressing import LEVEL, Compress
from tusjumbo.assemblers.manifest import Manifest
from tusjumbo.assemblers.moving import MoveTo
from tusjumbo.assemblers.pushing import Push
from tusjumbo.assemblers.rows import Rows
from tusjumbo.errors import ConfigurationError

Constructor = Callable[[str], Assembler]


def _compress(argument: str) -> Assembler:
    try:
        return Compress(int(argument) if argument else LEVEL)
    except ValueError as error:
        if isinstance(error, ConfigurationError):
            raise
        raise ConfigurationError(f"zstd:{argument}: the level is a number, 1 to 22") from error


def _manifest(argument: str) -> Assembler:
    if argument:
        raise ConfigurationError(f"sha256:{argument}: sha256 takes no argument")
    return Manifest()


WORDS: Mapping[str, Constructor] = MappingProxyType(
    {
        "move": MoveTo,
        "push": Push,
        "copy": lambda url: Push(url, keep=True),
        "csv": lambda place: Rows(found(place)),
        "zstd": _compress,
        "sha256": _manifest,
    }
)
"""What makes an assembler of what is after the colon, which may be empty."""


def assembler(text: str, words: Mapping[str, Constructor] = WORDS) -> Assembler:
    """:raises ConfigurationError: what cannot work"""
    word, colon, argument = text.strip().partition(":")
    if constructor := words.get(word):
        return constructor(argument)
    if not (colon and word and argument) or argument.startswith("/"):
        raise ConfigurationError(
            f"{text!r} is no assembler; there are {', '.join(words)} and module:function"
        )
    return of_function(found(text))


def assemblers(texts: Sequence[str], words: Mapping[str, Constructor] = WORDS) -> Assembler | None:
    """One that is all of these, in their order; None if there are none.

    :raises ConfigurationError: what cannot work
    """
    made = [assembler(text, words) for text in texts]
    return Chain(*made) if len(made) > 1 else made[0] if made else None


def found(place: str) -> Callable[..., Any]:
    """What `package.module:function` is.

    :raises ConfigurationError: it is not there, or cannot be called
    """
    module, colon, name = place.strip().partition(":")
    if not (module and colon and name):
        raise ConfigurationError(f"{place!r} is not like package.module:function")
    try:
        callback: Any = attrgetter(name)(import_module(module))
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise ConfigurationError(f"{place}: {error}") from error
    if not callable(callback):
        raise ConfigurationError(f"{place} cannot be called")
    return callback  # type: ignore[no-any-return]
