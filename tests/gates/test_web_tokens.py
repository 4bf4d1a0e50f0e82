"""JSON Web Tokens of every algorithm, and the attacks that are known."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
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
