"""`serve`: from settings to a server; what is wrong with them is said before anything starts."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.harness.wire import Endpoint
from tests.server.runner import make
from tests.server.serving import Certificate
from tests.server.test_workers import Ran
from tusjumbo.errors import ConfigurationError
from tusjumbo.server import run
from tusjumbo.server.process import GARBAGE
from tusjumbo.server.run import serve
from tusjumbo.settings import ServerSettings, UploadSettings

pytestmark = pytest.mark.wire


@pytest.mark.parametrize("workers", [1, 2], ids=["alone", "two workers"])
def test_tls(tmp_path: Path, certificate: Certificate, workers: int) -> None:
    files: Any = {"tls_certificate": str(certificate.certificate), "tls_key": str(certificate.key)}
    with Ran(tmp_path, workers=workers, **files) as server:
        assert server.said.startswith("Listening on https://127.0.0.1:")
        with replace(server.endpoint, tls=certificate.trust).connect() as wire:
            answer = wire.request("GET", "/")
            assert answer.status == 200
            assert answer.get("server") is None
        assert server.stop() == 0


@pytest.mark.parametrize("workers", [1, 2], ids=["alone", "two workers"])
def test_a_unix_socket(tmp_path: Path, workers: int) -> None:
    path = tmp_path / "socket"
    with Ran(tmp_path, workers=workers, unix_socket=str(path)) as server:
        with Endpoint("localhost", 80, unix=path).connect() as wire:
            assert wire.request("GET", "/").status == 200
            assert wire.request("GET", "/").status == 200
        assert server.stop() == 0
    assert not path.exists()


def test_the_scope_says_who_asks_not_what_a_header_says(tmp_path: Path) -> None:
    """X-Forwarded-* are the app's to believe."""
    with Ran(tmp_path) as server, server.endpoint.connect() as wire:
        headers = {"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "https"}
        scope = json.loads(wire.request("GET", "/scope", headers).body)
        assert (scope["client"][0], scope["scheme"]) == ("127.0.0.1", "http")
        assert server.stop() == 0
    assert "GET /scope" not in server.log


@pytest.mark.parametrize("workers", [1, 2], ids=["alone", "two workers"])
def test_the_garbage_collector_is_not_bothered_with_what_is_loaded(
    tmp_path: Path, workers: int
) -> None:
    with Ran(tmp_path, workers=workers) as server, server.endpoint.connect() as wire:
        found = json.loads(wire.request("GET", "/collector").body)
        assert found["frozen"] > 10_000
        assert found["threshold"] == GARBAGE
        assert server.stop() == 0


def broken(tmp_path: Path) -> Iterator[tuple[dict[str, Any], str]]:
    absent = tmp_path / "absent.pem"
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("nonsense")
    for path, reason in [(absent, "No such file or directory"), (nonsense, "PEM lib")]:
        yield {"tls_certificate": path, "tls_key": path}, reason


def test_a_certificate_that_cannot_be_used(tmp_path: Path) -> None:
    for given, reason in broken(tmp_path):
        with pytest.raises(ConfigurationError, match=reason) as raised:
            serve(lambda: make(tmp_path / "told"), UploadSettings(), ServerSettings(**given))
        assert raised.value.setting == "tls_certificate"
        assert "\n" not in str(raised.value)


def test_a_key_that_needs_a_password_is_refused_and_nobody_asked(
    tmp_path: Path, certificate: Certificate
) -> None:
    locked = tmp_path / "locked.pem"
    subprocess.run(
        [
            *("openssl", "rsa", "-aes256", "-passout", "pass:secret"),
            *("-in", certificate.key, "-out", locked),
        ],
        check=True,
        capture_output=True,
    )
    given = ServerSettings(tls_certificate=certificate.certificate, tls_key=locked)
    with pytest.raises(ConfigurationError):
        serve(lambda: make(tmp_path / "told"), UploadSettings(), given)


def test_limits_come_from_the_settings() -> None:
    upload = UploadSettings(body_timeout="10s")  # type: ignore[arg-type]
    server = ServerSettings(header_timeout="7s", shutdown_timeout="3s")  # type: ignore[arg-type]
    limits = run.configuration(lambda: make(Path()), upload, server, None).limits
    assert (limits.header_timeout, limits.shutdown_timeout) == (7, 3)
    assert limits.body_timeout > upload.body_timeout
    never = UploadSettings(body_timeout=0)  # type: ignore[arg-type]
    assert run.configuration(lambda: make(Path()), never, server, None).limits.body_timeout == 0


def test_without_httptools_it_serves_and_says_what_is_missing(tmp_path: Path) -> None:
    code = (
        "import sys, runpy; sys.modules['httptools'] = None;"
        "import importlib.util as u; real = u.find_spec;"
        "u.find_spec = lambda name, *a: None if name == 'httptools' else real(name, *a);"
        "runpy.run_module('tests.server.runner', run_name='__main__')"
    )
    server = Ran(tmp_path, command=(sys.executable, "-c", code))
    with server:
        with server.endpoint.connect() as wire:
            assert wire.request("GET", "/").status == 200
        assert server.stop() == 0
    assert server.log.count("WARNING") == 1
    assert "tusjumbo[fast]" in server.log
