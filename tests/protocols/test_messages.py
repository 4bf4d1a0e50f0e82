from __future__ import annotations

import pytest

from tusjumbo.errors import MalformedRequest
from tusjumbo.protocols.messages import Fields

FIELDS = Fields(
    [
        (b"Upload-Offset", b" 5\t"),
        (b"upload-metadata", b"a Zm9v"),
        (b"Upload-Metadata", b" b "),
        (b"EMPTY", b""),
        (b"x", b"n\xe4me"),
        (b"odd", b"\xa05\x85\x0b"),
        (b"same", b"1"),
        (b"Same", b"1 "),
    ]
)


def test_names_ignore_case_and_values_lose_their_white_space() -> None:
    assert FIELDS.one("upload-offset") == "5"
    assert FIELDS.one("x") == "n\xe4me"
    # Python takes more for white space than HTTP does.
    assert FIELDS.one("odd") == "\xa05\x85\x0b"
    assert FIELDS.one("empty") == ""
    assert FIELDS.one("nothing") is None
    assert "empty" in FIELDS
    assert "nothing" not in FIELDS


def test_lines_are_joined_for_those_who_want_a_list() -> None:
    assert FIELDS.joined("upload-metadata") == "a Zm9v,b"
    assert FIELDS.joined("empty") == ""
    assert FIELDS.joined("nothing") is None
    assert FIELDS.as_mapping()["upload-metadata"] == "a Zm9v, b"


def test_several_lines_are_one_value_only_if_they_are_equal() -> None:
    assert FIELDS.one("same") == "1"
    with pytest.raises(MalformedRequest, match="one value"):
        FIELDS.one("upload-metadata")
