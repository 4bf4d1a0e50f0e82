"""The list of options is the dataclasses, whole and in words that help."""

from __future__ import annotations

from dataclasses import fields

import pytest

from tusjumbo.cli.options import OPTIONS, Option
from tusjumbo.settings import ServerSettings, UploadSettings

BY_NAME = {option.name: option for option in OPTIONS}


def test_every_setting_is_an_option_once() -> None:
    names = [field.name for kind in (ServerSettings, UploadSettings) for field in fields(kind)]
    assert sorted(option.name for option in OPTIONS) == sorted(names)
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_every_option_has_a_text_and_a_default_that_can_be_written(option: Option) -> None:
    assert option.help.endswith((".", '".'))
    assert "\n" not in option.help
    assert getattr(option.owner(), option.name) == option.default
    if option.default is not None:
        written = option.owner(**{option.name: option.written_default})  # type: ignore[arg-type]
        assert getattr(written, option.name) == option.default


def test_names() -> None:
    option = BY_NAME["max_size"]
    assert (option.flag, option.variable, option.key) == (
        "--max-size",
        "TUSJUMBO_MAX_SIZE",
        "max-size",
    )


@pytest.mark.parametrize(
    ("name", "default", "choices"),
    [
        ("expire_after", "7d", ()),
        ("sweep_every", "10m", ()),
        ("max_size", "0", ()),
        ("upload_dir", "./data", ()),
        ("downloads", "true", ()),
        ("cors_origins", "*", ()),
        ("cors_headers", "", ()),
        ("tls_key", "", ()),
        ("durability", "commit", ("commit", "os")),
    ],
)
def test_defaults_as_somebody_would_write_them(
    name: str, default: str, choices: tuple[str, ...]
) -> None:
    assert BY_NAME[name].written_default == default
    assert BY_NAME[name].choices == choices
