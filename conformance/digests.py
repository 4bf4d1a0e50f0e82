"""Checksums as Upload-Checksum carries them, of the algorithms that this suite can compute.

Algorithm names are not registered anywhere. Those here are what servers call them; for CRCs the
order of the bytes is not defined either, so there are two ways to write one, and neither is wrong.
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Callable

from conformance.wire import Field

_HASHES = ("sha1", "sha256", "sha384", "sha512", "md5")
_BIG, _LITTLE = "bytes in network order", "bytes in little-endian order"


def _crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli), bit by bit: for a few bytes."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


_CRCS: dict[str, Callable[[bytes], int]] = {"crc32": zlib.crc32, "crc32c": _crc32c}


def digests(algorithm: str, data: bytes) -> dict[str, bytes]:
    """The digest of `data`, by how it is written; more than one if that is not defined.

    Empty if this suite does not know the algorithm.
    """
    if algorithm in _HASHES:
        return {"": hashlib.new(algorithm, data, usedforsecurity=False).digest()}
    if algorithm in _CRCS:
        crc = _CRCS[algorithm](data)
        return {_BIG: crc.to_bytes(4, "big"), _LITTLE: crc.to_bytes(4, "little")}
    return {}


def encoded(digest: bytes) -> str:
    """Base64, as it follows the algorithm."""
    return base64.b64encode(digest).decode()


def checksum(data: bytes) -> Field:
    """Upload-Checksum of `data` with sha1, which a server with checksums has to know."""
    digest = hashlib.sha1(data, usedforsecurity=False).digest()
    return ("Upload-Checksum", f"sha1 {encoded(digest)}")
