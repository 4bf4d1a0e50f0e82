"""The command line itself: what it takes, what it says, and how it ends."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import entry_points, version
from pathlib import Path

import pydantic
import pytest

from tusjumbo.cli import main
from tusjumbo.cli.options import OPTIONS


def _say(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    assert main(arguments) == code
    out, err = capsys.readouterr()
    assert not (out if code else err)
    return err if code else out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert _say(capsys, "--version") == f"tusjumbo {version('tusjumbo')}\n"


def test_the_command_is_installed() -> None:
    (command,) = entry_points(group="console_scripts", name="tusjumbo")
    assert command.load() is main


def test_flags_that_are_not_given_are_right_for_pydantic_too(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """cyclopts has every value checked by pydantic as soon as anybody has imported it."""
    assert pydantic.__name__ in sys.modules
    Path("none").mkdir()
    assert _say(capsys, "list", "--upload-dir=none") == "There are no uploads in none.\n"


@pytest.mark.parametrize("arguments", [(), ("--help",)], ids=["nothing", "help"])
def test_help_lists_the_commands(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    text = _say(capsys, *arguments)
    assert all(f"\u2502 {name} " in text for name in ("serve", "list", "show", "recover", "sweep"))


def test_help_shows_every_setting_with_variable_and_default(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    lines = _say(capsys, "serve", "--help").splitlines()
    for option in OPTIONS:
        (line,) = [line for line in lines if line.startswith(f"\u2502 {option.flag} ")]
        assert f"[env: {option.variable}]" in line
        if option.written_default:
            assert f"[default: {option.written_default}]" in line
    assert not [line for line in lines if "`" in line]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("srve",), 'Unknown command "srve". Did you mean "serve"?'),
        (("serve", "--prot=1"), "Unknown option: --prot. Did you mean --port?"),
        (("serve", "--port"), 'Command "serve" parameter --port requires an argument.'),
        (("serve", "--port=1", "--port=2"), "Parameter --port specified multiple times."),
        (("serve", "--\x1b[1m\nx"), r"Unknown option: --\x1b[1m x."),
        (("serve", "extra"), "Unused Tokens: ['extra']."),
        (("show",), 'Command "show" parameter ID requires an argument.'),
        (("list", "--phase=half"), 'Invalid value "half" for --phase. Choose from: "open", '),
        (("serve", "--port=http"), "port: 'http' is not a whole number (from --port)"),
        (("serve", "--port", "http\n\x1b[1m"), r"port: 'http\n\x1b[1m' is not a whole number"),
        (("serve", "--max-size", "-1"), "max_size: '-1' is not a size"),
        (("serve", "--tls-key=k"), "tls_key: needs tls_certificate as well (from --tls-key)"),
        (("list", "--config=no.toml"), "config: cannot read 'no.toml': No such file"),
    ],
    ids=lambda value: " ".join(value)[:30] if isinstance(value, tuple) else "",
)
def test_a_wrong_command_line_is_one_line_and_2(
    arguments: tuple[str, ...], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("data").touch()  # so that a server that starts all the same ends at once
    text = _say(capsys, *arguments, code=2)
    assert text.startswith(f"tusjumbo: {line}")
    assert text.endswith("\n")
    assert text[:-1].isprintable()


def test_a_wrong_variable_is_one_line_and_2(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("data").touch()
    monkeypatch.setenv("TUSJUMBO_WORKERS", "many")
    text = _say(capsys, "serve", code=2)
    assert text == "tusjumbo: workers: 'many' is not a whole number (from TUSJUMBO_WORKERS)\n"


def test_a_variable_that_is_none_of_ours_is_a_warning(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUSJUMBO_WORKER", "3")
    Path("data").mkdir()
    assert main(["list"]) == 0
    out, err = capsys.readouterr()
    assert out == "There are no uploads in data.\n"
    assert err == (
        "tusjumbo: TUSJUMBO_WORKER: there is no such setting (did you mean TUSJUMBO_WORKERS?); "
        "it has no effect\n"
    )


def _process(
    *arguments: str, stdout: int = subprocess.PIPE, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tusjumbo", *arguments],
        stdout=stdout,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])} | environment,
        text=True,
        timeout=60,
        check=False,
    )


def test_as_a_module() -> None:
    done = _process("--version")
    assert (done.returncode, done.stdout) == (0, f"tusjumbo {version('tusjumbo')}\n")


@pytest.mark.parametrize("arguments", [("--help",), ("list",)], ids=["help", "list"])
def test_a_reader_that_has_seen_enough_is_no_traceback(arguments: tuple[str, ...]) -> None:
    Path("data").mkdir()
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = _process(*arguments, stdout=writer)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")


def test_a_terminal_without_unicode_is_no_traceback() -> None:
    Path("data\N{EURO SIGN}").mkdir()
    done = _process("list", "--upload-dir=data\N{EURO SIGN}", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stdout) == (0, "There are no uploads in data\\u20ac.\n")
