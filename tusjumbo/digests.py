"""Digests: the checksum algorithms there are, in one table.

A name means one algorithm and one spelling of its value, in bytes. tus names only sha1; the others
are called as in hashlib. What has no byte order of its own is big-endian: a crc32 of 0xCBF43926 is
the bytes CB F4 39 26 (specs/tus-1.0.md AMB-19). Where a package is not installed, its algorithm is
not there. A new row is all that a new algorithm takes.

Hashing is for worker threads: nothing here releases the event loop by itself.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from types import MappingProxyType
from typing import Protocol, cast

import google_crc32c

Data = bytes | bytearray | memoryview


class Hasher(Protocol):
    """What `hashlib.new` returns, as far as we use it."""

    def update(self, data: Data, /) -> None: ...

    def digest(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Algorithm:
    size: int
    """Of a digest, in bytes."""
    new: Callable[[], Hasher]


_STEP = 256 * 1024


class _Crc32:
    """CRC-32 as in zip and Ethernet."""

    __slots__ = ("_value",)

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: Data, /) -> None:
        self._value = zlib.crc32(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


class _Crc32c:
    """CRC-32C (Castagnoli), as object stores use it."""

    __slots__ = ("_value",)

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: Data, /) -> None:
        # The library takes nothing but `bytes`. Copies of this size stay in the processor's cache.
        for start in range(0, len(data), _STEP):
            piece = bytes(data[start : start + _STEP])
            self._value = google_crc32c.extend(self._value, piece)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


def _of_hashlib(name: str) -> Algorithm:
    new = partial(hashlib.new, name, usedforsecurity=False)
    return Algorithm(new().digest_size, new)


def _of_package(package: str, factory: str, size: int) -> Algorithm | None:
    """An algorithm whose package is loaded when it is first used; None if it is not installed."""
    if find_spec(package) is None:
        return None
    return Algorithm(size, lambda: cast(Hasher, getattr(import_module(package), factory)()))


# tus, Checksum: "MUST support at least the SHA1 checksum algorithm identified by `sha1`".
_ALL = {
    "sha1": _of_hashlib("sha1"),
    "sha256": _of_hashlib("sha256"),
    "sha384": _of_hashlib("sha384"),
    "sha512": _of_hashlib("sha512"),
    "md5": _of_hashlib("md5"),
    "crc32": Algorithm(4, _Crc32),
    "crc32c": Algorithm(4, _Crc32c),
    "blake3": _of_package("blake3", "blake3", 32),
    # XXH3 with 64 bits, in xxHash's canonical form.
    "xxh3": _of_package("xxhash", "xxh3_64", 8),
}

ALGORITHMS: Mapping[str, Algorithm] = MappingProxyType(
    {name: algorithm for name, algorithm in _ALL.items() if algorithm is not None}
)
"""By name, in lower case."""

SIZES: Mapping[str, int] = MappingProxyType(
    {name: algorithm.size for name, algorithm in ALGORITHMS.items()}
)
"""How many bytes a digest has."""
