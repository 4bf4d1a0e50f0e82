from __future__ import annotations

import hashlib
import logging
import os
from pathlib import Path

import pytest
from anyio import to_thread

from tests.gates.admissions import asking
from tusjumbo.application import Identity
from tusjumbo.errors import ConfigurationError, Unauthorized
from tusjumbo.gates import tokens
from tusjumbo.gates.tokens import Tokens

HASHED = hashlib.sha256(b"hidden").hexdigest()
FILE = f"""\
# who may upload
secret alice
other  bob   # he as well
sha256:{HASHED} carol operator
"""


@pytest.fixture(name="path")
def _path(tmp_path: Path) -> Path:
    path = tmp_path / "tokens"
    path.write_text(FILE)
    path.chmod(0o600)
    return path


@pytest.fixture(name="gate")
def _gate(path: Path) -> Tokens:
    return Tokens(path)


@pytest.mark.parametrize(
    ("authorization", "identity"),
    [
        ("Bearer secret", Identity("alice")),
        ("bearer secret", Identity("alice")),
        ("BEARER   other", Identity("bob")),
        ("Bearer hidden", Identity("carol", is_operator=True)),
    ],
)
async def test_whose_they_are(gate: Tokens, authorization: str, identity: Identity) -> None:
    assert gate.claims(asking(authorization))
    assert await gate.admit(asking(authorization)) == identity


@pytest.mark.parametrize(
    ("authorization", "challenge"),
    [
        (None, 'Bearer realm="tusjumbo"'),
        ("", 'Bearer realm="tusjumbo"'),
        ("Basic c2VjcmV0Og==", 'Bearer realm="tusjumbo"'),
        ("Bearer", 'Bearer realm="tusjumbo"'),
        ("Bearer secret, Bearer secret", 'Bearer realm="tusjumbo"'),
        ("Bearer sécret", 'Bearer realm="tusjumbo"'),
        ("Bearer " + "x" * 9000, 'Bearer realm="tusjumbo"'),
        ("Bearer secre", 'Bearer realm="tusjumbo", error="invalid_token"'),
        ("Bearer secrett", 'Bearer realm="tusjumbo", error="invalid_token"'),
        ("Bearer SECRET", 'Bearer realm="tusjumbo", error="invalid_token"'),
        (f"Bearer {HASHED}", 'Bearer realm="tusjumbo", error="invalid_token"'),
    ],
)
async def test_who_is_not_known(gate: Tokens, authorization: str | None, challenge: str) -> None:
    with pytest.raises(Unauthorized) as refused:
        await gate.admit(asking(authorization))
    assert refused.value.challenge == challenge


async def test_a_file_that_changes_is_read_again(
    path: Path,
    gate: Tokens,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(tokens, "_EVERY", 0.0)
    await to_thread.run_sync(path.write_text, "new dave\n")
    assert await gate.admit(asking("Bearer new")) == Identity("dave")
    with pytest.raises(Unauthorized):
        await gate.admit(asking("Bearer secret"))
    await to_thread.run_sync(path.write_text, "broken\n")
    assert await gate.admit(asking("Bearer new")) == Identity("dave")
    assert "the tokens from before stay good" in caplog.text
    await to_thread.run_sync(path.unlink)
    assert await gate.admit(asking("Bearer new")) == Identity("dave")


async def test_not_for_every_request_a_look(path: Path, gate: Tokens) -> None:
    await to_thread.run_sync(path.write_text, "new dave\n")
    assert await gate.admit(asking("Bearer secret")) == Identity("alice")


@pytest.mark.parametrize(
    "line",
    ["secret", "secret alice admin", "secret alice operator x", "sha256:abc alice"],
)
def test_a_line_that_is_wrong_is_named_and_no_token_shown(tmp_path: Path, line: str) -> None:
    path = tmp_path / "tokens"
    path.write_text(f"# first\n{line}\n")
    with pytest.raises(ConfigurationError, match="line 2 of") as caught:
        Tokens(path)
    assert "secret" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="tokens: cannot read"):
        Tokens(tmp_path / "none")


@pytest.mark.parametrize(("mode", "is_told"), [(0o644, True), (0o640, False)])
def test_one_that_everybody_can_read_is_told_of(
    path: Path, caplog: pytest.LogCaptureFixture, mode: int, is_told: bool
) -> None:
    os.chmod(path, mode)
    with caplog.at_level(logging.WARNING):
        Tokens(path)
    assert ("Everybody" in caplog.text) == is_told


@pytest.mark.parametrize("token", ["pa$$word", "x.y.z", "\ufeffsecret", "sécret", "x" * 9000])
def test_a_token_that_nobody_could_send(tmp_path: Path, token: str) -> None:
    """A request with a token like a.b.c is asked for a JSON Web Token."""
    path = tmp_path / "tokens"
    path.write_text(f"other bob\n{token} alice\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"line 2 of .*: a token is of") as caught:
        Tokens(path)
    assert token not in str(caught.value)


def test_a_token_is_of_one_owner(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.write_text("secret alice\nsecret alice\n")
    Tokens(path)
    path.write_text("secret alice\n\nsecret alice operator\n")
    with pytest.raises(ConfigurationError, match=r"line 3 of .*: this token is another owner's"):
        Tokens(path)
