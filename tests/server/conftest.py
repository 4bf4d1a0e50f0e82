"""What the tests of the server share: both event loops, and a certificate."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.apps import Bodies, read_bodies
from tests.server.serving import Certificate


@pytest.fixture(autouse=True, params=Bodies, ids=lambda way: way.name.lower())
def way(request: pytest.FixtureRequest) -> Iterator[Bodies]:
    """Whichever way a body takes, all the rest is the same."""
    read_bodies(request.param)
    yield request.param
    read_bodies(Bodies.PARSED)


@pytest.fixture(params=["asyncio", "uvloop"])
def loop(request: pytest.FixtureRequest) -> str:
    """Each loop has its own transports, and so its own ideas of reading, ends and errors."""
    name = request.param
    assert isinstance(name, str)
    return name


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """For 127.0.0.1, signed by itself."""
    directory: Path = tmp_path_factory.mktemp("tls")
    made = Certificate(directory / "certificate.pem", directory / "key.pem")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", made.key, "-out", made.certificate),
        ],
        check=True,
        capture_output=True,
    )
    return made
