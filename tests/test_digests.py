"""The algorithms against what others say of the same bytes."""

from __future__ import annotations

import subprocess
import sys
import zlib
from binascii import hexlify

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tusjumbo.digests import ALGORITHMS, SIZES

# The "check" bytes of the catalogues of CRCs, and what each algorithm's own documents, RFC 3174
# 7.3 and RFC 6234, or `openssl dgst` say of them.
CHECK = b"123456789"
OF_CHECK = {
    "sha1": "f7c3bc1d808e04732adf679965ccc34ca7ae3441",
    "sha256": "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225",
    "sha384": "eb455d56d2c1a69de64e832011f3393d45f3fa31d6842f21af92d2fe469c499d"
    "a5e3179847334a18479c8d1dedea1be3",
    "sha512": "d9e6762dd1c8eaf6d61b3c6192fc408d4d6d5f1176d0c29169bc24e71c3f274a"
    "d27fcd5811b313d681f7e55ec02d73d499c95455b6b5bb503acf574fba8ffe85",
    "md5": "25f9e794323b453885f5181f1b624d0b",
    "crc32": "cbf43926",
    "crc32c": "e3069283",
    "blake3": "b7d65b48420d1033cb2595293263b6f72eabee20d55e699d0df1973b3c9deed1",
    "xxh3": "72dcb18b67a17dff",
}
# Of no bytes at all: XXH3's is in its specification, BLAKE3's in its test vectors.
OF_NOTHING = {
    "sha1": "da39a3ee5e6b4b0d3255bfef95601890afd80709",
    "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "md5": "d41d8cd98f00b204e9800998ecf8427e",
    "crc32": "00000000",
    "crc32c": "00000000",
    "blake3": "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
    "xxh3": "2d06800538d394c2",
}


def test_the_algorithms_and_their_order() -> None:
    """CSUM-01, CSUM-02: sha1 is there, and first for who takes the first one."""
    assert list(ALGORITHMS) == list(OF_CHECK)
    assert dict(SIZES) == {name: len(value) // 2 for name, value in OF_CHECK.items()}


@pytest.mark.parametrize("name", ALGORITHMS)
def test_what_they_say(name: str) -> None:
    for data, expected in ((CHECK, OF_CHECK), (b"", OF_NOTHING)):
        if name in expected:
            hasher = ALGORITHMS[name].new()
            hasher.update(data)
            assert hexlify(hasher.digest()).decode() == expected[name]
            assert len(hasher.digest()) == SIZES[name]


@pytest.mark.parametrize("name", ALGORITHMS)
@given(pieces=st.lists(st.binary(max_size=9), max_size=5))
def test_bytes_come_in_pieces_of_a_buffer_that_is_used_again(
    name: str, pieces: list[bytes]
) -> None:
    in_pieces, at_once = ALGORITHMS[name].new(), ALGORITHMS[name].new()
    buffer = bytearray(16)
    for piece in pieces:
        buffer[: len(piece)] = piece
        in_pieces.update(memoryview(buffer)[: len(piece)])
        buffer[:] = bytes(16)
    at_once.update(b"".join(pieces))
    assert in_pieces.digest() == at_once.digest()


def test_pieces_larger_than_a_step() -> None:
    data = bytes(range(251)) * 5000
    crc32, crc32c = ALGORITHMS["crc32"].new(), ALGORITHMS["crc32c"].new()
    by_bytes = ALGORITHMS["crc32c"].new()
    crc32.update(memoryview(bytearray(data)))
    crc32c.update(memoryview(bytearray(data)))
    for start in range(0, len(data), 1000):
        by_bytes.update(data[start : start + 1000])
    assert crc32.digest() == zlib.crc32(data).to_bytes(4, "big")
    assert crc32c.digest() == by_bytes.digest()


@pytest.mark.parametrize(("package", "name"), [("blake3", "blake3"), ("xxhash", "xxh3")])
def test_what_is_not_installed_is_not_there(package: str, name: str) -> None:
    script = f"""
import importlib.util, sys
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *more: None if name == {package!r} else find(name, *more)
from tusjumbo.digests import ALGORITHMS, SIZES
print({name!r} in ALGORITHMS, {name!r} in SIZES, len(SIZES), {package!r} in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.split() == ["False", "False", str(len(OF_CHECK) - 1), "False"], done.stderr


def test_extras_are_loaded_when_they_are_used() -> None:
    script = """
import sys
from tusjumbo.digests import ALGORITHMS
print([name for name in ("blake3", "xxhash") if name in sys.modules])
ALGORITHMS["blake3"].new()
print("blake3" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.split() == ["[]", "True"], done.stderr
