"""JSON Web Tokens of every algorithm, and the attacks that are known."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from tests.gates.admissions import asking
from tusjumbo.application import Identity
from tusjumbo.errors import ConfigurationError, Unauthorized
from tusjumbo.gates import web_tokens
from tusjumbo.gates.web_tokens import WebTokens

NOW = 1_800_000_000.0
SECRET = "x" * 50
PRIVATE: Mapping[str, Any] = {
    "RSA": rsa.generate_private_key(65537, 2048),
    "EC": ec.generate_private_key(ec.SECP256R1()),
    "OKP": ed25519.Ed25519PrivateKey.generate(),
}
KIND_OF = {
    **dict.fromkeys(["RS256", "RS384", "RS512", "PS256", "PS512"], "RSA"),
    "ES256": "EC",
    "EdDSA": "OKP",
    **dict.fromkeys(["HS256", "HS384"], "oct"),
}
GOOD = {"sub": "alice", "exp": int(NOW) + 60}


def public(kind: str) -> bytes:
    pem: bytes = (
        PRIVATE[kind].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    return pem


def private(kind: str) -> Any:
    return SECRET if kind == "oct" else PRIVATE[kind]


def signed(claims: Mapping[str, object], algorithm: str = "RS256", **headers: object) -> str:
    return jwt.encode(dict(claims), private(KIND_OF[algorithm]), algorithm, headers=dict(headers))


@pytest.fixture(name="files")
def _files(tmp_path: Path) -> Mapping[str, str]:
    """A key for each kind, as the setting names it."""
    found = {}
    for kind in PRIVATE:
        path = tmp_path / f"{kind}.pem"
        path.write_bytes(public(kind))
        found[kind] = str(path)
    (tmp_path / "secret").write_text(SECRET + "\n")
    return {**found, "oct": f"file:{tmp_path / 'secret'}"}


Make = Callable[..., WebTokens]


@pytest.fixture(name="make")
def _make(files: Mapping[str, str]) -> Make:
    def make(*kinds: str, now: float = NOW, **options: Any) -> WebTokens:
        return WebTokens([files[kind] for kind in kinds], clock=lambda: now, **options)

    return make


@pytest.fixture(name="gate")
def _gate(make: Make) -> WebTokens:
    return make("RSA", "EC", "OKP", "oct")


@pytest.mark.parametrize("algorithm", KIND_OF)
async def test_every_algorithm(gate: WebTokens, algorithm: str) -> None:
    token = signed(GOOD, algorithm)
    for _ in range(2):
        assert await gate.admit(asking(f"Bearer {token}")) == Identity("alice")


async def refuses(gate: WebTokens, token: str) -> None:
    with pytest.raises(Unauthorized) as refused:
        await gate.admit(asking(f"Bearer {token}"))
    assert "invalid_token" in refused.value.challenge


BAD: Mapping[str, Mapping[str, object]] = {
    "expired": {"sub": "alice", "exp": int(NOW) - 31},
    "without an end": {"sub": "alice"},
    "an end that is no number": {"sub": "alice", "exp": "soon"},
    "not yet": {**GOOD, "nbf": int(NOW) + 31},
    "of nobody": {"exp": GOOD["exp"]},
    "of an empty name": {**GOOD, "sub": ""},
}


@pytest.mark.parametrize("claims", BAD.values(), ids=BAD.keys())
async def test_claims_that_are_wrong(gate: WebTokens, claims: Mapping[str, object]) -> None:
    await refuses(gate, signed(claims))


@pytest.fixture(name="strict")
def _strict(make: Make) -> WebTokens:
    return make("RSA", audience="us", issuer="them", owner="email", algorithms=["RS512"])


async def test_who_it_is_for_and_from_and_which_claim(strict: WebTokens) -> None:
    claims = {**GOOD, "aud": ["us", "others"], "iss": "them", "email": "a@b"}
    assert await strict.admit(asking(f"Bearer {signed(claims, 'RS512')}")) == Identity("a@b")
    for wrong in ({"aud": "others"}, {"iss": "us"}, {"email": None}, {"email": ["a@b"]}):
        await refuses(strict, signed({**claims, **wrong}, "RS512"))
    for missing in ("aud", "iss", "email"):
        without = {name: value for name, value in claims.items() if name != missing}
        await refuses(strict, signed(without, "RS512"))
    await refuses(strict, signed(claims, "RS256"))


def _part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


@pytest.mark.parametrize("name", ["none", "None", "NONE", "", None, "HS256x"])
async def test_no_algorithm_is_none(gate: WebTokens, name: str | None) -> None:
    for tail in ("", "AAAA"):
        token = f"{_part({'alg': name, 'typ': 'JWT'})}.{_part(GOOD)}.{tail}"
        assert gate.claims(asking(f"Bearer {token}"))
        await refuses(gate, token)


@pytest.mark.parametrize("kind", PRIVATE)
async def test_what_is_public_is_no_secret(kind: str, gate: WebTokens) -> None:
    """RFC 8725 2.1: a public key as the secret of an HMAC. PyJWT refuses to make one."""
    head = f"{_part({'alg': 'HS256', 'typ': 'JWT'})}.{_part(GOOD)}"
    for secret in (public(kind), public(kind).rstrip(b"\n")):
        mac = hmac.new(secret, head.encode(), hashlib.sha256).digest()
        await refuses(gate, f"{head}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}")


async def test_a_secret_is_for_what_it_is_long_enough_for(gate: WebTokens) -> None:
    """RFC 7518 3.2: "A key of the same size as the hash output [...] or larger MUST be used"."""
    with pytest.warns(jwt.warnings.InsecureKeyLengthWarning):
        token = jwt.encode(dict(GOOD), SECRET, "HS512")
    await refuses(gate, token)


async def test_somebody_elses_signature(gate: WebTokens) -> None:
    other = rsa.generate_private_key(65537, 2048)
    await refuses(gate, jwt.encode(dict(GOOD), other, "RS256"))
    head, _, tail = signed(GOOD).split(".")
    await refuses(gate, f"{head}.{_part({**GOOD, 'sub': 'bob'})}.{tail}")


NOWS = [NOW]


@pytest.fixture(name="remembering")
def _remembering(files: Mapping[str, str]) -> WebTokens:
    NOWS[0] = NOW
    return WebTokens([files["RSA"]], clock=lambda: NOWS[0])


async def test_what_expires_is_not_remembered_longer(remembering: WebTokens) -> None:
    token = signed(GOOD)
    await remembering.admit(asking(f"Bearer {token}"))
    NOWS[0] = NOW + 60 + 29
    await remembering.admit(asking(f"Bearer {token}"))
    NOWS[0] = NOW + 60 + 30
    await refuses(remembering, token)


async def test_never_too_many_are_remembered(
    gate: WebTokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web_tokens, "_KEPT", 3)
    for number in range(9):
        await gate.admit(asking(f"Bearer {signed({**GOOD, 'sub': str(number)})}"))
        assert len(gate._good) <= 3


def _jwk(kind: str, key_id: str) -> dict[str, Any]:
    maker = {"RSA": jwt.algorithms.RSAAlgorithm, "EC": jwt.algorithms.ECAlgorithm}[kind]
    found: dict[str, Any] = json.loads(maker.to_jwk(PRIVATE[kind].public_key()))  # type: ignore[attr-defined]
    return {**found, "kid": key_id, "use": "sig"}


@pytest.fixture(name="rotating")
def _rotating(tmp_path: Path) -> WebTokens:
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": [_jwk("RSA", "old"), _jwk("EC", "new")]}))
    return WebTokens([str(path)], clock=lambda: NOW)


async def test_a_set_of_keys(rotating: WebTokens) -> None:
    for algorithm, key_id in (("RS256", "old"), ("ES256", "new")):
        token = signed(GOOD, algorithm, kid=key_id)
        assert await rotating.admit(asking(f"Bearer {token}")) == Identity("alice")
    for key_id in ("new", "../old", "x"):
        await refuses(rotating, signed(GOOD, "RS256", kid=key_id))


def test_keys_that_cannot_be_used(tmp_path: Path, files: Mapping[str, str]) -> None:
    (tmp_path / "short").write_text("short")
    (tmp_path / "text").write_text("text")
    (tmp_path / "json").write_text('{"keys": [{"kty": "none"}]}')
    pem = private("RSA").private_bytes(
        Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()
    )
    (tmp_path / "pem").write_bytes(pem)
    for name in ("none", "text", "json"):
        with pytest.raises(ConfigurationError, match="jwt_keys: "):
            WebTokens([str(tmp_path / name)], clock=lambda: NOW)
    for name in ("short", "pem"):
        with pytest.raises(ConfigurationError, match="is no secret of at least 32"):
            WebTokens([f"file:{tmp_path / name}"], clock=lambda: NOW)
    with pytest.raises(ConfigurationError, match="has no key for ES256"):
        WebTokens([files["RSA"]], clock=lambda: NOW, algorithms=["ES256"])
    with pytest.raises(ConfigurationError, match="jwt_algorithms: 'none' is not one of"):
        WebTokens([files["RSA"]], clock=lambda: NOW, algorithms=["none"])


# --- keys that change, and sets as issuers write them ---------------------------------------------

OTHER = rsa.generate_private_key(65537, 2048)


def _key_file(path: Path, key: rsa.RSAPrivateKey) -> str:
    public_key = key.public_key()
    path.write_bytes(public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return str(path)


def _set_of(path: Path, *keys: Mapping[str, Any]) -> str:
    path.write_text(json.dumps({"keys": keys}))
    return str(path)


def _nameless(key: rsa.RSAPrivateKey) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))
    return found


@pytest.fixture(name="keys", params=["files", "set", "secrets"])
def _keys(
    request: pytest.FixtureRequest, tmp_path: Path
) -> tuple[Sequence[str], Sequence[tuple[Any, str]]]:
    """Two keys without a name, as the setting has them, and what to sign with."""
    old, new = PRIVATE["RSA"], OTHER
    match request.param:
        case "files":
            files = [_key_file(tmp_path / "1", old), _key_file(tmp_path / "2", new)]
        case "set":
            files = [_set_of(tmp_path / "set", _nameless(old), _nameless(new))]
        case _:
            (tmp_path / "1").write_text("a" * 40 + "\r\n")
            (tmp_path / "2").write_text("b" * 40)
            files = [f"file:{tmp_path / name}" for name in "12"]
            return files, [("a" * 40, "HS256"), ("b" * 40, "HS256")]
    return files, [(old, "RS256"), (new, "RS256")]


@pytest.fixture(name="changing")
def _changing(keys: tuple[Sequence[str], Any]) -> WebTokens:
    return WebTokens(keys[0], clock=lambda: NOW)


@pytest.mark.parametrize("headers", [{}, {"kid": "of the issuer"}], ids=["unnamed", "named"])
async def test_keys_change_one_after_the_other(
    changing: WebTokens,
    keys: tuple[Any, Sequence[tuple[Any, str]]],
    headers: dict[str, str],
) -> None:
    for key, algorithm in keys[1]:
        token = jwt.encode(dict(GOOD), key, algorithm, headers=headers)
        assert await changing.admit(asking(f"Bearer {token}")) == Identity("alice")
    stranger = rsa.generate_private_key(65537, 2048)
    await refuses(changing, jwt.encode(dict(GOOD), stranger, "RS256"))


LEFT_OUT: Mapping[str, Mapping[str, Any]] = {
    "for encryption, as Keycloak has it": {
        **_nameless(OTHER),
        "use": "enc",
        "alg": "RSA-OAEP",
    },
    "for encryption by any algorithm": {**_nameless(OTHER), "use": "enc"},
    "for signing alone": {**_nameless(OTHER), "key_ops": ["sign"]},
    "of a kind that is not known": {"kty": "AKP", "alg": "ML-DSA-65", "pub": "AAAA"},
    "of a curve that is not known": {"kty": "EC", "crv": "P-1", "x": "AA", "y": "AA"},
    "that lacks something": {"kty": "RSA", "n": "AQAB"},
    "of a kind for another algorithm": {**_nameless(OTHER), "alg": "HS256"},
    "a secret that is too short": {"kty": "oct", "k": "YQ", "alg": "HS256"},
}


@pytest.fixture(name="mixed", params=LEFT_OUT.values(), ids=list(LEFT_OUT))
def _mixed(request: pytest.FixtureRequest, tmp_path: Path) -> WebTokens:
    files = [_set_of(tmp_path / "set", {**request.param, "kid": "out"}, _jwk("RSA", "in"))]
    return WebTokens(files, clock=lambda: NOW)


async def test_what_is_not_for_us_in_a_set_is_left_out(mixed: WebTokens) -> None:
    token = signed(GOOD, kid="in")
    assert await mixed.admit(asking(f"Bearer {token}")) == Identity("alice")
    await refuses(mixed, jwt.encode(dict(GOOD), OTHER, "RS256", headers={"kid": "out"}))
    head = f"{_part({'alg': 'HS256', 'kid': 'out'})}.{_part(GOOD)}"
    mac = hmac.new(b"a", head.encode(), hashlib.sha256).digest()
    await refuses(mixed, f"{head}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}")


@pytest.mark.parametrize("told", LEFT_OUT.values(), ids=LEFT_OUT.keys())
def test_a_set_without_any_key_for_us(told: Mapping[str, Any], tmp_path: Path) -> None:
    path = _set_of(tmp_path / "set", told)
    with pytest.raises(ConfigurationError, match="no key that signatures can be") as caught:
        WebTokens([path], clock=lambda: NOW)
    assert "YQ" not in str(caught.value)


@pytest.mark.parametrize("text", ["{", '{"keys": 5}', '{"keys": [5]}', '{"kty": []}', "{" * 9999])
def test_what_is_no_set(text: str, tmp_path: Path) -> None:
    (tmp_path / "set").write_text(text)
    with pytest.raises(ConfigurationError, match="is no set of keys"):
        WebTokens([str(tmp_path / "set")], clock=lambda: NOW)


@pytest.mark.parametrize("before", ["", "\n "])
def test_a_set_of_public_keys_is_no_secret(tmp_path: Path, before: str) -> None:
    """Anybody could sign with it; `file:` is easily written by who means the file of a set."""
    text = json.dumps({"keys": [_jwk("RSA", "a")]})
    (tmp_path / "set").write_text(before + text)
    with pytest.raises(ConfigurationError, match="is no secret"):
        WebTokens([f"file:{tmp_path / 'set'}"], clock=lambda: NOW)


async def test_what_is_meant_for_others_is_not_for_us(gate: WebTokens) -> None:
    """RFC 7519 4.1.3: "If the principal processing the claim does not identify itself with a value
    in the "aud" claim when this claim is present, then the JWT MUST be rejected."
    """
    for audience in ("another application", ["a", "b"]):
        await refuses(gate, signed({**GOOD, "aud": audience}))


@pytest.mark.parametrize("claim", ["exp", "nbf"])
async def test_a_time_beyond_all_numbers(gate: WebTokens, claim: str) -> None:
    await refuses(gate, signed({**GOOD, claim: 10**400}))


@pytest.mark.parametrize("missing", ["jwt", "cryptography"])
def test_without_the_extra(
    missing: str, files: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ConfigurationError, match=r"jwt_keys: .*pip install 'tusjumbo\[jwt\]'"):
        WebTokens([files["RSA"]], clock=lambda: NOW)


async def test_a_header_that_is_too_deep_to_read(
    gate: WebTokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anybody writes headers. PyJWT up to 2.13 lets the parser's RecursionError through."""

    def read(token: str) -> dict[str, Any]:
        raise RecursionError

    monkeypatch.setattr(jwt, "get_unverified_header", read)
    await refuses(gate, "a.b.c")


@pytest.fixture(name="pinned")
def _pinned(tmp_path: Path) -> WebTokens:
    files = [_set_of(tmp_path / "set", {**_jwk("RSA", "a"), "alg": "RS256"})]
    return WebTokens(files, clock=lambda: NOW)


async def test_a_key_that_names_its_algorithm_is_for_no_other(pinned: WebTokens) -> None:
    await pinned.admit(asking(f"Bearer {signed(GOOD, 'RS256', kid='a')}"))
    for other in ("RS512", "PS256"):
        await refuses(pinned, signed(GOOD, other, kid="a"))
