from __future__ import annotations

import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tusjumbo.sessions.ids import ENTROPY, from_entropy, is_final, is_valid, of_final

LETTERS = string.ascii_letters + string.digits


@given(st.binary(min_size=ENTROPY, max_size=ENTROPY))
def test_ids_are_jumbos_and_valid(entropy: bytes) -> None:
    upload_id = from_entropy(entropy)
    assert re.fullmatch(r"jumbo_[a-z2-7]{32}", upload_id)
    assert is_valid(upload_id)


@given(st.binary(min_size=ENTROPY, max_size=ENTROPY))
def test_ids_of_final_uploads_say_so(entropy: bytes) -> None:
    upload_id = from_entropy(entropy)
    final = of_final(upload_id)
    assert re.fullmatch(r"jumbo_final_[a-z2-7]{32}", final)
    assert is_valid(final)
    assert is_final(final)
    assert not is_final(upload_id)


@given(*[st.binary(min_size=ENTROPY, max_size=ENTROPY)] * 2)
def test_different_entropy_gives_different_ids(one: bytes, other: bytes) -> None:
    assert (from_entropy(one) == from_entropy(other)) == (one == other)


def test_an_id_keeps_every_bit() -> None:
    empty = from_entropy(bytes(ENTROPY))
    bits = {from_entropy((1 << bit).to_bytes(ENTROPY, "big")) for bit in range(8 * ENTROPY)}
    assert len(bits - {empty}) == 160


@pytest.mark.parametrize("size", [0, ENTROPY - 1, ENTROPY + 1])
def test_other_amounts_of_entropy_are_refused(size: int) -> None:
    with pytest.raises(ValueError, match=f"needs 20 random bytes, not {size}"):
        from_entropy(bytes(size))


@pytest.mark.parametrize(
    "text",
    ["a", "Z", "0", "a-b", "a_b", "a-", "0" * 128, "24e533e02ec3bc40c387f1a0e460e216"],
    ids=lambda text: text[:8],
)
def test_valid_ids(text: str) -> None:
    assert is_valid(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-a",
        "_a",
        "a" * 129,
        "a\n",
        "\na",
        "a\x00",
        "..",
        "a.b",
        "a/b",
        "a\\b",
        "a%2e",
        "é",
        "٣",
    ],
    ids=ascii,
)
def test_invalid_ids(text: str) -> None:
    assert not is_valid(text)


@given(st.text(max_size=140))
def test_the_grammar_is_what_it_says(text: str) -> None:
    said = 1 <= len(text) <= 128 and text[0] in LETTERS and set(text) <= {*LETTERS, "-", "_"}
    assert is_valid(text) == said


@given(st.text(LETTERS + "-_", min_size=1, max_size=128), st.characters())
def test_one_foreign_character_makes_an_id_invalid(text: str, character: str) -> None:
    if character not in LETTERS + "-_":
        for at in range(len(text) + 1):
            assert not is_valid(text[:at] + character + text[at:])
