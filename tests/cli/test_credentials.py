"""`token` and `sign`: what they print lets somebody in."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from tests.gates.admissions import asking
from tusjumbo.application import Identity
from tusjumbo.cli import main
from tusjumbo.gates.signed import SignedUrls
from tusjumbo.gates.tokens import Tokens

SECRET = "a secret of some length"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_token_and_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["token", "alice"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    token, line = first.removeprefix("token: "), second.removeprefix("line:  ")
    assert token not in line
    Path("tokens").write_text(line)
    gate = Tokens(Path("tokens"))
    assert anyio.run(gate.admit, asking(f"Bearer {token}")) == Identity("alice")


@pytest.mark.parametrize("owner", ["", "a b", "a#b"])
def test_an_owner_that_no_line_can_name(owner: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["token", owner]) == 2
    assert "has to be one word" in capsys.readouterr().err


@pytest.mark.parametrize("upload", [None, "abc"])
def test_a_signed_address(upload: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    about = [] if upload is None else ["--upload", upload]
    assert main(["sign", "--url-secret", SECRET, "--owner", "alice", *about]) == 0
    query = capsys.readouterr().out.strip().removeprefix("?")
    admission = asking(query=query, upload_id=upload)
    assert anyio.run(SignedUrls([SECRET]).admit, admission).owner == "alice"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["sign"], "url_secret: has to have at least 16"),
        (["sign", "--url-secret", "short"], "url_secret: has to have at least 16"),
        (["sign", "--url-secret", SECRET, "--valid", "soon"], "valid: 'soon' is not a duration"),
    ],
)
def test_what_cannot_be_signed(
    arguments: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert problem in capsys.readouterr().err.replace("url-secret", "url_secret")
