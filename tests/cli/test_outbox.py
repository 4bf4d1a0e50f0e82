"""`hooks` and `replay` on a real directory, in this process, and what `sweep` leaves alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import anyio
import pytest

from tusjumbo.application import Arrival, HookCall
from tusjumbo.cli import main
from tusjumbo.composition import House, compose
from tusjumbo.hooks.functions import Function
from tusjumbo.sessions.commands import Create
from tusjumbo.sessions.session import Phase
from tusjumbo.settings import UploadSettings


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def _refuse(call: HookCall) -> None:
    if not call.hook.asks:
        raise RuntimeError("down")


def _in_house(work: Callable[[House], Coroutine[None, None, None]], **parts: Any) -> None:
    async def visit() -> None:
        house = compose(UploadSettings(durability="os"), **parts)  # type: ignore[arg-type]
        await work(house)
        await house.aclose()

    anyio.run(visit)


async def _upload(house: House) -> None:
    await house.uploads.execute(Create(length=0, metadata={}, echo={}))
    await house.follow()


def _news() -> None:
    _in_house(_upload, hooks=[Function(_refuse, name="app")])


def _said(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_what_waits_is_shown_and_told_again(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["hooks"]) == 2  # there is no directory
    _news()
    capsys.readouterr()
    assert main(["hooks"]) == 0
    header, first, *rest = capsys.readouterr().out.splitlines()
    assert header.split()[:5] == ["NUMBER", "AGE", "HOOK", "UPLOAD", "RECEIVER"]
    assert first.split()[0] == "1"
    assert "post-create" in first
    assert "app raised RuntimeError" in first
    assert len(rest) == 1
    assert main(["hooks", "--json"]) == 0
    created, finished = _said(capsys)
    assert (created["hook"], created["state"], created["attempts"]) == ("post-create", "waiting", 1)
    assert (finished["hook"], finished["attempts"]) == ("post-finish", 0)
    assert main(["hooks", "--json", "--upload", created["upload"]]) == 0
    assert len(_said(capsys)) == 2
    assert main(["hooks", "--upload", "jumbo_" + "a" * 32]) == 0
    assert capsys.readouterr().out == "There is nothing to be told.\n"

    assert main(["replay", "1"]) == 0
    assert capsys.readouterr().out == "To be told again: 1.\n"
    told: list[HookCall] = []

    async def follow(house: House) -> None:
        await house.follow()

    _in_house(follow, hooks=[Function(told.append, name="app")])
    news = [call.key for call in told if not call.hook.asks]
    assert news == [created["key"], finished["key"]]
    capsys.readouterr()
    assert main(["hooks"]) == 0
    assert capsys.readouterr().out == "There is nothing to be told.\n"
    assert main(["hooks", "--all", "--json"]) == 0
    assert [news["state"] for news in _said(capsys)] == ["told", "told"]
    assert main(["replay", "2", "7"]) == 1
    captured = capsys.readouterr()
    assert captured.out == "To be told again: 1.\n"
    assert "1 of these numbers are not there" in captured.err


def test_where_nothing_ever_was(capsys: pytest.CaptureFixture[str]) -> None:
    Path("data").mkdir()
    assert main(["hooks"]) == 0
    assert capsys.readouterr().out == "There is nothing to be told.\n"
    assert main(["hooks", "--json"]) == 0
    assert capsys.readouterr().out == ""
    assert main(["replay", "1"]) == 1
    assert list(Path("data").iterdir()) == []


def test_sweep_leaves_to_the_server_what_only_that_can_finish(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(arrival: Arrival) -> None:
        raise RuntimeError("down")

    async def hurry(house: House) -> None:
        (session,) = await house.catalog.listing()
        assert session.phase is Phase.SEALED

    _in_house(_upload, assemble=[fail])
    _in_house(hurry)
    anyio.run(anyio.sleep, 1.1)  # the pause after the first attempt
    capsys.readouterr()
    assert main(["sweep"]) == 0
    assert "1 left to be finished by the server." in capsys.readouterr().out
    _in_house(hurry)
