"""JSON Web Tokens (RFC 7519): who sends a request is said by somebody whose key we have.

A key is good for the algorithms of its kind and for no other, so that nobody can sign with what is
public (RFC 8725 2.1, 3.1); `none` is no algorithm. `exp` must be there, and a token that is meant
for somebody is refused unless that is us (RFC 7519 4.1.3). A token that was found good is not
verified again until it expires: it comes with every request of an upload.

Keys change one after the other: all that a token may be signed with are tried. What a set has
besides, such as keys for encryption, is left out (RFC 7517 5).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from tusjumbo.application import Admission, Identity
from tusjumbo.errors import ConfigurationError, Unauthorized
from tusjumbo.gates.credentials import CHALLENGE, INVALID, bearer, is_web_token
from tusjumbo.ports import Clock

_SHARED = {"HS256": 32, "HS384": 48, "HS512": 64}
"""Bytes that a secret must have: RFC 7518 3.2 asks for as many as the hash has."""
_KINDS = {
    "RSA": ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    "EC": ("ES256", "ES384", "ES512", "ES256K"),
    "OKP": ("EdDSA",),
    "oct": tuple(_SHARED),
}
"""Algorithms by the kind of key, as RFC 7517 calls it."""

_MAKERS = {"RSA": "RSAAlgorithm", "EC": "ECAlgorithm", "OKP": "OKPAlgorithm"}
"""Which of PyJWT's classes read a key in PEM, by its kind."""

_LEAST = min(_SHARED.values())
_KEPT = 1024
"""Verified tokens that are remembered."""

_UNREADABLE = (LookupError, TypeError, ValueError, OverflowError, RecursionError)
"""What a token can be besides wrong: anybody writes its header, as deep as they like."""


@dataclass(frozen=True, slots=True)
class Key:
    value: Any
    algorithms: frozenset[str]
    """That it may be used with."""
    id: str | None = None


class WebTokens:
    """See `tusjumbo.application.Gate`."""

    challenge = CHALLENGE

    def __init__(
        self,
        keys: Sequence[str],
        *,
        clock: Clock,
        algorithms: Collection[str] = (),
        audience: str = "",
        issuer: str = "",
        owner: str = "sub",
        leeway: float = 30.0,
    ) -> None:
        """`keys`: files with a public key in PEM or a set of keys (JWKS), or `file:PATH` of a
        shared secret. `algorithms`: none for all that are good with a key. `owner`: the claim that
        names the owner. `leeway`: seconds by which clocks may differ.

        :raises ConfigurationError: a key cannot be used, or PyJWT is not installed
        """
        try:
            import_module("cryptography")
            self._jwt = import_module("jwt")
        except ImportError as error:
            problem = "needs PyJWT; pip install 'tusjumbo[jwt]'"
            raise ConfigurationError(problem, setting="jwt_keys") from error
        known = {name for names in _KINDS.values() for name in names}
        for name in algorithms:
            if name not in known:
                problem = f"{name!r} is not one of {', '.join(sorted(known))}"
                raise ConfigurationError(problem, setting="jwt_algorithms")
        self._keys = [key for text in keys for key in self._read(text, frozenset(algorithms))]
        self._audience = audience or None
        self._issuer = issuer or None
        self._owner = owner
        self._leeway = leeway
        self._clock = clock
        self._good: dict[str, tuple[float, Identity]] = {}

    def claims(self, admission: Admission) -> bool:
        """Whether a request has credentials of this kind."""
        token = bearer(admission.headers)
        return token is not None and is_web_token(token)

    async def admit(self, admission: Admission) -> Identity:
        token = bearer(admission.headers)
        if token is None:
            raise Unauthorized(CHALLENGE)
        until, identity = self._good.get(token, (0.0, None))
        if identity is None or until <= self._clock():
            until, identity = self._verified(token)
            for oldest in list(self._good)[: len(self._good) - _KEPT + 1]:
                self._good.pop(oldest, None)
            self._good[token] = until, identity
        return identity

    def _verified(self, token: str) -> tuple[float, Identity]:
        try:
            claims = self._claims(token)
            until = float(claims["exp"]) + self._leeway
            begins = float(claims.get("nbf", 0.0)) - self._leeway
        except (self._jwt.PyJWTError, *_UNREADABLE) as error:
            raise Unauthorized(INVALID) from error
        owner = claims.get(self._owner)
        if not begins <= self._clock() < until or not isinstance(owner, str) or not owner:
            raise Unauthorized(INVALID)
        return until, Identity(owner)

    def _claims(self, token: str) -> dict[str, Any]:
        header = self._jwt.get_unverified_header(token)
        for key in self._fit(header.get("kid"), header.get("alg")):
            try:
                return self._decoded(token, key, header["alg"])
            except self._jwt.InvalidSignatureError:
                continue  # it may be by the next one
        raise LookupError("no key")

    def _decoded(self, token: str, key: Key, algorithm: str) -> dict[str, Any]:
        claims: dict[str, Any] = self._jwt.decode(
            token,
            key.value,
            algorithms=[algorithm],
            audience=self._audience,
            issuer=self._issuer,
            options={
                "require": ["exp"],
                # By our own clock, in `_verified`.
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
            },
        )
        return claims

    def _fit(self, key_id: object, algorithm: object) -> Sequence[Key]:
        """The keys that a token may be signed with: those that it names, or else any."""
        fit = [key for key in self._keys if algorithm in key.algorithms]
        named = [key for key in fit if key_id is not None and key.id == key_id]
        return named or [key for key in fit if key.id is None or key_id is None]

    def _read(self, text: str, algorithms: frozenset[str]) -> Sequence[Key]:
        is_secret = text.startswith("file:")
        path = Path(text.removeprefix("file:"))
        try:
            data = path.read_bytes()
        except OSError as error:
            problem = f"cannot read {str(path)!r}: {error.strerror}"
            raise ConfigurationError(problem, setting="jwt_keys") from error
        if is_secret:
            found: Sequence[Key] = [self._secret(data.rstrip(b"\r\n"), path)]
        elif data.lstrip().startswith(b"{"):
            found = self._set(data, path)
        else:
            found = [self._pem(data, path)]
        usable = [
            Key(key.value, key.algorithms & (algorithms or key.algorithms), key.id) for key in found
        ]
        if not any(key.algorithms for key in usable):
            problem = f"{path} has no key for {', '.join(sorted(algorithms))}"
            raise ConfigurationError(problem, setting="jwt_keys")
        return usable

    def _secret(self, data: bytes, path: Path) -> Key:
        # What is public is no secret, whatever it is written in.
        is_key = data.lstrip().startswith(b"{") or b"-----BEGIN" in data
        if is_key or not _shared(data):
            problem = f"{path} is no secret of at least {_LEAST} bytes"
            raise ConfigurationError(problem, setting="jwt_keys")
        return Key(data, _shared(data))

    def _pem(self, data: bytes, path: Path) -> Key:
        for kind, maker in _MAKERS.items():
            algorithm = getattr(import_module("jwt.algorithms"), maker)
            try:
                made = algorithm() if kind == "OKP" else algorithm(algorithm.SHA256)
                value = made.prepare_key(data)
            except (self._jwt.PyJWTError, TypeError, ValueError):
                continue
            return Key(value, frozenset(_KINDS[kind]))
        problem = f"{path} is no public key in PEM, and no set of keys (JWKS)"
        raise ConfigurationError(problem, setting="jwt_keys")

    def _set(self, data: bytes, path: Path) -> Sequence[Key]:
        try:
            told = json.loads(data)
            found = [key for each in told.get("keys", [told]) for key in self._of_set(each)]
        except (TypeError, ValueError, AttributeError, RecursionError) as error:
            problem = f"{path} is no set of keys (JWKS)"
            raise ConfigurationError(problem, setting="jwt_keys") from error
        if not found:
            problem = f"{path} has no key that signatures can be verified with"
            raise ConfigurationError(problem, setting="jwt_keys")
        return found

    def _of_set(self, told: Mapping[str, Any]) -> Sequence[Key]:
        """The key, or nothing if it is not for us: "Implementations SHOULD ignore JWKs [...] that
        are not understood by them" (RFC 7517 5).
        """
        kind = told.get("kty", "")
        fit = frozenset(_KINDS.get(kind, ()))
        if "alg" in told:
            fit &= {told["alg"]}
        is_for_us = told.get("use", "sig") == "sig" and "verify" in told.get("key_ops", ["verify"])
        if not fit or not is_for_us:
            return []
        try:
            value = self._jwt.PyJWK(told).key
        except (self._jwt.PyJWTError, LookupError, TypeError, ValueError):
            return []
        if kind == "oct":
            fit &= _shared(value)
        return [Key(value, fit, told.get("kid"))] if fit else []


def _shared(secret: bytes) -> frozenset[str]:
    """The algorithms that a secret is long enough for."""
    return frozenset(name for name, least in _SHARED.items() if len(secret) >= least)
