"""CREATE-14 tells addresses that can be guessed from those that cannot."""

from __future__ import annotations

import string
from collections.abc import Callable
from random import Random
from uuid import UUID

import pytest

from conformance.cases.creation import random_bits

_BASE64 = string.ascii_letters + string.digits + "-_"
_BASE32 = "abcdefghijklmnopqrstuvwxyz234567"


def _uuid4(random: Random, number: int) -> str:
    return str(UUID(int=random.getrandbits(128), version=4))


def _uuid7(random: Random, number: int) -> str:
    milliseconds = 1_795_000_000_000 + number
    return str(UUID(int=milliseconds << 80 | 7 << 76 | 2 << 62 | random.getrandbits(62)))


def _text(alphabet: str, size: int) -> Callable[[Random, int], str]:
    return lambda random, number: "".join(random.choices(alphabet, k=size))


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [
        pytest.param(_uuid4, 122, 128, id="UUID 4"),
        pytest.param(_text("0123456789abcdef", 32), 128, 128, id="128 bits in hex"),
        pytest.param(_text(_BASE64, 22), 122, 132, id="128 bits in base64"),
        pytest.param(_text(_BASE32, 26), 122, 140, id="128 bits in base32"),
        pytest.param(_uuid7, 62, 80, id="UUID 7"),
        pytest.param(_text(string.ascii_letters, 10), 50, 60, id="ten letters"),
        pytest.param(lambda random, number: str(4711 + number), 3, 7, id="numbers"),
        pytest.param(lambda random, number: "same", 0, 0, id="one for all"),
    ],
)
def test_random_bits(name: Callable[[Random, int], str], least: float, most: float) -> None:
    random = Random(1)
    names = [f"http://host/files/{name(random, number)}" for number in range(8)]
    assert least <= random_bits(names) <= most
