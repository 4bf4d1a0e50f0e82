"""Flags before variables before the file before defaults; every complaint says where to mend it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tusjumbo.cli.options import OPTIONS, Option
from tusjumbo.cli.sources import Given, build, gather, strangers
from tusjumbo.errors import ConfigurationError
from tusjumbo.settings import Durability, ServerSettings, UploadSettings


def _file(text: str, name: str = "tusjumbo.toml") -> str:
    Path(name).write_text(text, encoding="utf-8")
    return name


def test_nothing_said_nothing_gathered() -> None:
    assert gather({}, {"HOME": "/root"}) == {}


def test_flag_before_variable_before_file() -> None:
    _file('port = 1\nworkers = 2\nmax-size = "3GiB"')
    given = gather({"port": "5", "host": None}, {"TUSJUMBO_PORT": "4", "TUSJUMBO_WORKERS": "6"})
    assert given == {
        "port": Given("5", "--port"),
        "workers": Given("6", "TUSJUMBO_WORKERS"),
        "max_size": Given("3GiB", "max-size in tusjumbo.toml"),
    }
    assert build(ServerSettings, given) == ServerSettings(port=5, workers=6)
    assert build(UploadSettings, given).max_size == 3 * 1024**3


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_every_setting_can_come_from_everywhere(option: Option) -> None:
    _file(f'{option.key} = "in the file"')
    variables = {option.variable: "in a variable"}
    flags = {option.name: "a flag"}
    for given, value in (
        (gather(flags, variables), "a flag"),
        (gather({}, variables), "in a variable"),
        (gather({}, {}), "in the file"),
    ):
        assert [one.value for one in given.values()] == [value]


def test_toml_has_types_and_both_ways_of_writing_a_key() -> None:
    _file(
        """
        port = 99
        max_size = 1_000
        expire-after = 1.5
        downloads = false
        durability = "os"
        cors-origins = ["https://a.example", "https://b.example"]
        """
    )
    given = gather({}, {})
    upload = build(UploadSettings, given)
    assert build(ServerSettings, given).port == 99
    assert (upload.max_size, upload.expire_after, upload.downloads) == (1000, 1.5, False)
    assert upload.durability is Durability.OS
    assert upload.cors_origins == ("https://a.example", "https://b.example")


def test_the_named_file_instead_of_the_usual_one() -> None:
    _file("port = 1")
    _file("port = 2", "two.toml")
    _file("port = 3", "three.toml")
    variables = {"TUSJUMBO_CONFIG": "three.toml"}
    assert gather({"config": "two.toml"}, variables)["port"].value == 2
    assert gather({}, variables)["port"].value == 3


def test_an_empty_variable_is_as_if_unset_but_a_list_can_be_empty() -> None:
    given = gather({}, {"TUSJUMBO_PORT": "", "TUSJUMBO_CORS_ORIGINS": "", "TUSJUMBO_CONFIG": ""})
    assert build(ServerSettings, given).port == 8080
    assert build(UploadSettings, given).cors_origins == ()


@pytest.mark.parametrize(
    ("flags", "variables", "toml", "line"),
    [
        ({"max_size": "much"}, {}, "", "max_size: 'much' is not a size; .* (from --max-size)"),
        ({}, {"TUSJUMBO_PORT": "x"}, "", "port: 'x' is not a whole number (from TUSJUMBO_PORT)"),
        ({}, {}, "workers = 0", "workers: 0 is not at least 1 (from workers in tusjumbo.toml)"),
        ({}, {}, "port = [1]", "port: [1] is not a whole number (from port in tusjumbo.toml)"),
        ({}, {}, "host = 5", "host: 5 is not text (from host in tusjumbo.toml)"),
        ({}, {}, "max-size = 1979-05-27", "max_size: .* is not a size; .* (from max-size in .*)"),
        (
            {},
            {},
            "prot = 1",
            "prot in tusjumbo.toml: there is no such setting (did you mean port?)",
        ),
        ({}, {}, "[serve]\nport = 1", "serve in tusjumbo.toml: there is no such setting"),
        ({}, {}, "max-size = 1\nmax_size = 2", "max_size in tusjumbo.toml: it is set twice"),
        ({}, {}, "port = ", "tusjumbo.toml is not TOML: Invalid value (at end of document)"),
        ({"config": "x.toml"}, {}, "", "config: cannot read 'x.toml': .* (from --config)"),
        ({}, {"TUSJUMBO_CONFIG": "."}, "", "config: cannot read '.': .* (from TUSJUMBO_CONFIG)"),
        ({"tls_key": "k"}, {}, "", "tls_key: needs tls_certificate as well (from --tls-key)"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_one_line_that_names_the_setting_and_its_source(
    flags: dict[str, object], variables: dict[str, str], toml: str, line: str
) -> None:
    if toml:
        _file(toml)
    pattern = line.translate({ord(char): f"\\{char}" for char in "()[]?"})
    with pytest.raises(ConfigurationError, match=rf"\A{pattern}\Z"):
        _build_all(gather(flags, variables))


def test_a_file_that_is_not_utf_8() -> None:
    Path("tusjumbo.toml").write_bytes(b'host = "\xff"')
    with pytest.raises(
        ConfigurationError, match=r"\Atusjumbo.toml is not TOML: 'utf-8' codec .*\Z"
    ):
        gather({}, {})


def _build_all(given: dict[str, Given]) -> None:
    build(ServerSettings, given)
    build(UploadSettings, given)


def test_variables_that_look_like_ours() -> None:
    variables = {
        "TUSJUMBO_PORT": "1",
        "TUSJUMBO_CONFIG": "x",
        "TUSJUMBO_MAXSIZE": "1",
        "TUSJUMBO_COLOUR": "red",
        "PATH": "/bin",
    }
    assert list(strangers(variables)) == [
        "TUSJUMBO_COLOUR: there is no such setting; it has no effect",
        "TUSJUMBO_MAXSIZE: there is no such setting (did you mean TUSJUMBO_MAX_SIZE?); "
        "it has no effect",
    ]
