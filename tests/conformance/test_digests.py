"""The suite's own checksums, against published values: a server is judged by them."""

from __future__ import annotations

import base64

import pytest

from conformance.digests import checksum, digests, encoded

CHECK = b"123456789"
"""What catalogues of CRCs give the value of."""


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [
        ("crc32", "cbf43926"),
        ("crc32c", "e3069283"),
        ("md5", "25f9e794323b453885f5181f1b624d0b"),
        ("sha1", "f7c3bc1d808e04732adf679965ccc34ca7ae3441"),
        ("sha256", "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"),
    ],
)
def test_known_values(algorithm: str, expected: str) -> None:
    assert bytes.fromhex(expected) in digests(algorithm, CHECK).values()


@pytest.mark.parametrize("algorithm", ["crc32", "crc32c"])
def test_crcs_are_written_in_either_order(algorithm: str) -> None:
    first, second = digests(algorithm, CHECK).values()
    assert first == second[::-1]


@pytest.mark.parametrize(("algorithm", "size"), [("sha384", 48), ("sha512", 64)])
def test_sizes(algorithm: str, size: int) -> None:
    assert [len(digest) for digest in digests(algorithm, CHECK).values()] == [size]


@pytest.mark.parametrize("algorithm", ["", "SHA1", "blake3", "sha3_256"])
def test_others_are_not_known(algorithm: str) -> None:
    assert digests(algorithm, CHECK) == {}


def test_the_field_of_the_specification() -> None:
    """Its example."""
    assert checksum(b"hello world") == ("Upload-Checksum", "sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=")
    assert base64.b64decode(encoded(b"\xff\xfe")) == b"\xff\xfe"
