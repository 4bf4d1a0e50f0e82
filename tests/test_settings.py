"""Settings: every way to write a value, and one readable line for every wrong one."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tusjumbo.errors import ConfigurationError
from tusjumbo.settings import (
    Durability,
    Duration,
    LogFormat,
    LogLevel,
    ServerSettings,
    Size,
    UploadSettings,
)

GIB = 1024**3


@pytest.mark.parametrize(
    ("text", "bytes_"),
    [
        ("0", 0),
        ("123", 123),
        ("123B", 123),
        ("500MB", 500_000_000),
        ("500 MB", 500_000_000),
        ("5GiB", 5 * GIB),
        ("5Gi", 5 * GIB),
        ("1.5KiB", 1536),
        ("2k", 2000),
        ("2K", 2000),
        (" 1TiB ", 1024 * GIB),
        ("0.1PB", 10**14),
        ("9223372036854775807", 2**63 - 1),
    ],
)
def test_a_size_can_be_written(text: str, bytes_: int) -> None:
    assert Size(text) == bytes_


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "-1",
        "5GiBB",
        "5gib",
        "1e3",
        "0x10",
        "1_000",
        "٣",
        "1 000",
        "5 XB",
        "1,5GB",
        "9223372036854775808",
        "9" * 5000,
    ],
)
def test_not_a_size(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size; write bytes, or 500MB, or 5GiB"):
        Size(text)


@given(st.integers(0, 2**63 - 1))
def test_every_whole_number_is_a_size(number: int) -> None:
    assert Size(number) == number


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("90", 90),
        ("90s", 90),
        ("20m", 1200),
        ("20min", 1200),
        ("12h", 43200),
        ("7d", 604800),
        ("2w", 1209600),
        ("250ms", 0.25),
        ("1.5h", 5400),
        ("36500d", 36500 * 86400),
    ],
)
def test_a_duration_can_be_written(text: str, seconds: float) -> None:
    assert Duration(text) == seconds


@pytest.mark.parametrize(
    "value", ["", "x", "-1s", "7 days", "1h30m", "inf", "36501d", "9" * 400, -0.5, float("nan")]
)
def test_not_a_duration(value: str | float) -> None:
    with pytest.raises(ValueError, match="is not a duration; write seconds, or 90s"):
        Duration(value)


def test_text_becomes_the_type_of_the_field() -> None:
    upload = UploadSettings(**_written(max_size="5GiB", durability="os", downloads="no"))
    assert (upload.max_size, upload.durability, upload.downloads) == (
        5 * GIB,
        Durability.OS,
        False,
    )
    assert isinstance(upload.max_size, Size)
    server = ServerSettings(**_written(port="99", log_format="json", log_level="debug"))
    assert (server.port, server.log_format, server.log_level) == (
        99,
        LogFormat.JSON,
        LogLevel.DEBUG,
    )
    paths = ServerSettings(**_written(unix_socket="/run/t.sock", tls_key="", tls_certificate=""))
    assert (paths.unix_socket, paths.tls_key) == (Path("/run/t.sock"), None)


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("https://a.example", ("https://a.example",)),
        ("https://a.example,https://b.example", ("https://a.example", "https://b.example")),
        ("https://a.example https://b.example:8", ("https://a.example", "https://b.example:8")),
        (["https://a.example , null", "*"], ("https://a.example", "null", "*")),
        ("", ()),
        ((), ()),
    ],
)
def test_lists_by_comma_by_space_or_as_lists(written: object, words: tuple[str, ...]) -> None:
    assert UploadSettings(**_written(cors_origins=written)).cors_origins == words


@pytest.mark.parametrize("name", ["allow_types", "deny_types"])
@pytest.mark.parametrize("word", ["image/*", "*/*", "Application/PDF", "image/svg+xml", "a.b/c-d"])
def test_types_and_families_of_them(name: str, word: str) -> None:
    settings = UploadSettings(**_written(**{name: f"text/csv, {word}"}))
    assert getattr(settings, name) == ("text/csv", word)


@pytest.mark.parametrize("text", ["true", "Yes", "on", "1"])
def test_yes(text: str) -> None:
    assert UploadSettings(**_written(downloads=text)).downloads is True


@pytest.mark.parametrize(
    ("setting", "value", "problem"),
    [
        ("upload_dir", "", "'' is not a path"),
        ("upload_dir", "a\0b", r"'a\\x00b' is not a path"),
        ("upload_dir", None, "None is not a path"),
        ("max_size", "much", "'much' is not a size"),
        ("max_size", -1, "-1 is not a size"),
        ("max_size", True, "True is not a size"),
        ("expire_after", "a week", "'a week' is not a duration"),
        ("durability", "raid", "'raid' is not one of: commit, os"),
        ("durability", [], r"\[\] is not one of: commit, os"),
        ("location", "uri", "'uri' is not one of: path, url"),
        ("downloads", "maybe", "'maybe' is not true or false"),
        ("base_url", "files", "'files' is neither a path"),
        ("base_url", 5, "5 is not text"),
        ("behind_proxy", "nginx", "'nginx' does not appear to be an IPv4 or IPv6 network"),
        ("behind_proxy", "10.0.0.1/8", "10.0.0.1/8 has host bits set"),
        ("allow_types", "images", "'images' is not a media type; write text/csv, or image/"),
        ("allow_types", "*/png", "'\\*/png' is not a media type"),
        ("deny_types", "image/", "'image/' is not a media type"),
        ("deny_types", "text/html;charset=utf-8", "'text/html;charset=utf-8' is not a media type"),
        ("deny_types", "ţext/html", "'ţext/html' is not a media type"),
        ("deny_types", ["image/png", "*"], "'\\*' is not a media type"),
        ("refuse_disguised", "perhaps", "'perhaps' is not true or false"),
        ("cors_origins", "https://a.example/", "'https://a.example/' is not an origin"),
        ("cors_origins", "a.example", "'a.example' is not an origin"),
        ("cors_origins", 5, "5 is not a list of texts"),
        ("cors_origins", [5], r"\[5\] is not a list of texts"),
        ("cors_headers", "a:b", "'a:b' is not the name of a header"),
        ("cors_expose", "a\r\nb:", "'b:' is not the name of a header"),
        ("cors_credentials", "yes", "browsers refuse cookies for"),
        ("host", "", "is empty"),
        ("port", "http", "'http' is not a whole number"),
        ("port", "٨٠", "'٨٠' is not a whole number"),
        ("port", True, "True is not a whole number"),
        ("port", 70000, "70000 is not between 0 and 65535"),
        ("workers", 0, "0 is not at least 1"),
        ("base_path", "files/", "'files/' is not a path like /files/"),
        ("base_path", "", "'' is not a path like /files/"),
        ("base_path", "/{id}/", "'/{id}/' is not a path like /files/"),
        ("base_path", "//files", "'//files' is not a path like /files/"),
        ("jumbo_path", "upload", "'upload' is not a path like /upload/"),
        ("jumbo_path", "/files", 'is the base_path; choose another one, or "" for none'),
        ("tls_certificate", "cert.pem", "needs tls_key as well"),
        ("tls_key", "key.pem", "needs tls_certificate as well"),
        ("log_format", "xml", "'xml' is not one of: text, json"),
        ("log_level", "loud", "'loud' is not one of: debug, info, warning, error"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_wrong_value_is_one_line_that_names_the_setting(
    setting: str, value: object, problem: str
) -> None:
    known = {field.name for field in fields(UploadSettings)}
    kind = UploadSettings if setting in known else ServerSettings
    with pytest.raises(ConfigurationError, match=f"^{setting}: {problem}") as caught:
        kind(**_written(**{setting: value}))
    assert caught.value.setting == setting
    assert "\n" not in str(caught.value)


def test_min_rate_needs_a_time_to_be_averaged_over() -> None:
    with pytest.raises(ConfigurationError, match=r"^min_rate: needs a body_timeout"):
        UploadSettings(min_rate=Size(1), body_timeout=Duration(0))


@pytest.mark.parametrize(
    ("written", "path"),
    [("/", "/"), ("/files", "/files/"), ("/files/", "/files/"), ("/a/b.c~d_e-f/", "/a/b.c~d_e-f/")],
)
def test_base_paths_end_with_a_slash(written: str, path: str) -> None:
    assert ServerSettings(base_path=written).base_path == path
    assert ServerSettings(base_path="/other", jumbo_path=written).jumbo_path == path


def test_the_jumbo_path_may_be_empty() -> None:
    assert ServerSettings(jumbo_path="").jumbo_path == ""


@pytest.mark.parametrize("url", ["", "/", "/files", "https://host.example/files/", "http://h:8/"])
def test_base_urls(url: str) -> None:
    assert UploadSettings(base_url=url).base_url == url


def _written(**values: Any) -> dict[str, Any]:
    """Values as somebody writes them, which a type checker would not let through."""
    return values


def test_a_secret_is_not_shown_and_may_be_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("from a file\n")
    for written, secret in (("as it is", "as it is"), (f"file:{path}", "from a file")):
        settings = UploadSettings(url_secret=written)  # type: ignore[arg-type]
        assert settings.url_secret == secret
        assert secret not in repr(settings)
        assert UploadSettings(url_secret=settings.url_secret).url_secret == secret
    with pytest.raises(ConfigurationError, match="url_secret: cannot read a secret from"):
        UploadSettings(url_secret=f"file:{tmp_path / 'none'}")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("written", "items"),
    [
        ("", ()),
        ("zstd", ("zstd",)),
        ("move:{a},{b} zstd", ("move:{a},{b}", "zstd")),
        (["move:a b", " zstd "], ("move:a b", "zstd")),
        (("a", ""), ("a",)),
    ],
)
def test_lists_in_which_commas_may_be(written: object, items: tuple[str, ...]) -> None:
    settings = UploadSettings(assemble=written)  # type: ignore[arg-type]
    assert settings.assemble == items


@pytest.mark.parametrize("written", [5, ["a", 5], {"a": "b"}])
def test_not_a_list_of_texts(written: object) -> None:
    with pytest.raises(ConfigurationError, match=r"assemble: .* is not a list of texts"):
        UploadSettings(assemble=written)  # type: ignore[arg-type]
