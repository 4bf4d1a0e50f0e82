from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tusjumbo.errors import ConfigurationError
from tusjumbo.hooks.signatures import key_of, signed, verify

# The example of the Standard Webhooks specification and its libraries.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
AT = 1614265330
BODY = b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def headers(**changes: str) -> dict[str, str]:
    made = signed(key_of(SECRET), ID, AT, BODY)
    return made | {f"webhook-{name}": value for name, value in changes.items()}


def test_the_signature_of_the_specification() -> None:
    assert headers() == {
        "webhook-id": ID,
        "webhook-timestamp": str(AT),
        "webhook-signature": SIGNATURE,
    }
    assert verify(BODY, headers(), SECRET, now=AT)


@pytest.mark.parametrize(
    ("changes", "body", "now"),
    [
        ({}, BODY + b" ", AT),
        ({"id": ID + "x"}, BODY, AT),
        ({"timestamp": str(AT + 1)}, BODY, AT),
        ({}, BODY, AT + 301),
        ({}, BODY, AT - 301),
        ({"signature": ""}, BODY, AT),
        ({"signature": SIGNATURE.replace("v1", "v2")}, BODY, AT),
        ({"signature": SIGNATURE[3:]}, BODY, AT),
        ({"signature": SIGNATURE.lower()}, BODY, AT),
        ({"signature": "v1,\xe9"}, BODY, AT),
        ({"timestamp": "now"}, BODY, AT),
        ({"timestamp": f" {AT}"}, BODY, AT),
        ({"timestamp": "-1"}, BODY, AT),
        ({"timestamp": "9" * 5000}, BODY, AT),
    ],
)
def test_what_was_changed_is_not_genuine(changes: dict[str, str], body: bytes, now: float) -> None:
    assert not verify(body, headers(**changes), SECRET, now=now)


@pytest.mark.parametrize("name", list(headers()))
def test_a_header_that_is_missing(name: str) -> None:
    rest = {other: value for other, value in headers().items() if other != name}
    assert not verify(BODY, rest, SECRET, now=AT)


def test_another_secret() -> None:
    assert not verify(BODY, headers(), "whsec_" + base64.b64encode(b"x" * 24).decode(), now=AT)


def test_one_good_signature_of_several_is_enough() -> None:
    both = f"v1a,xyz v1,AAAA {SIGNATURE} v2,zz"
    assert verify(BODY, headers(signature=both), SECRET, now=AT)


def test_headers_have_names_in_any_case() -> None:
    shouted = {name.upper(): value for name, value in headers().items()}
    assert verify(BODY, shouted, SECRET, now=AT + 299)


def test_now_is_now_unless_it_is_said() -> None:
    assert not verify(BODY, headers(), SECRET)


@pytest.mark.parametrize("secret", ["", b"", "whsec_", "whsec_!", "whsec_abc", "whsec_\xe9"])
def test_a_secret_that_cannot_be(secret: str | bytes) -> None:
    with pytest.raises(ConfigurationError, match="secret for webhooks"):
        key_of(secret)


def test_secrets_are_base64_with_the_prefix_and_else_as_they_are() -> None:
    assert key_of("whsec_YWJj") == b"abc"
    assert key_of(b"whsec_YWJj") == b"abc"
    assert key_of("abc=") == b"abc="
    assert key_of(b"\xff") == b"\xff"


@given(st.binary(min_size=1), st.text("abc-_"), st.integers(0, 10**11), st.binary())
def test_what_is_signed_is_genuine(key: bytes, id_: str, at: int, body: bytes) -> None:
    encoded = "whsec_" + base64.b64encode(key).decode()
    made = signed(key, id_, at + 0.5, body)
    assert verify(body, made, encoded, now=at)
    assert not verify(body + b"x", made, encoded, now=at)
