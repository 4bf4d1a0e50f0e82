"""Sockets are bound as the settings say, or one line says why not."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path
from typing import Any

import pytest

from tusjumbo.errors import ConfigurationError
from tusjumbo.server.listening import listening
from tusjumbo.settings import ServerSettings


def settings(**given: Any) -> ServerSettings:
    return ServerSettings(**{"port": 0, **given})


def connect(url: str) -> None:
    authority = url.split("/")[2]
    host, _, port = authority.rpartition(":")
    socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()


@pytest.mark.parametrize(
    ("given", "pattern"),
    [
        ({}, "http://127.0.0.1:{}/files/"),
        ({"base_path": "/up/"}, "http://127.0.0.1:{}/up/"),
        ({"host": "0.0.0.0"}, "http://0.0.0.0:{}/files/"),
        ({"host": "::1"}, "http://[::1]:{}/files/"),
        ({"host": "::"}, "http://[::]:{}/files/"),
        (
            {"tls_certificate": Path("c"), "tls_key": Path("k")},
            "https://127.0.0.1:{}/files/",
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_the_url_has_the_real_port_and_connections_wait_there(
    given: dict[str, Any], pattern: str
) -> None:
    with listening(settings(**given)) as (sockets, urls):
        port = sockets[0].getsockname()[1]
        assert port != 0
        assert urls == [pattern.format(port)]
        connect(urls[0])
    with pytest.raises(ConnectionRefusedError):
        connect(urls[0])


def test_a_port_that_is_given_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
    with listening(settings(port=port)) as (_, urls):
        assert urls == [f"http://127.0.0.1:{port}/files/"]


def test_all_addresses_of_a_name_have_one_port(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolved(*_: Any, **__: Any) -> list[Any]:
        four = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))
        six = (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", 0, 0, 0))
        return [four, six, four]

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    with listening(settings(host="both.example")) as (sockets, urls):
        monkeypatch.undo()
        port = sockets[0].getsockname()[1]
        assert urls == [f"http://127.0.0.1:{port}/files/", f"http://[::1]:{port}/files/"]
        for url in urls:
            connect(url)


def test_everything_includes_ipv4() -> None:
    with listening(settings(host="::")) as (sockets, _):
        connect(f"http://127.0.0.1:{sockets[0].getsockname()[1]}/")


def _taken(tmp_path: Path) -> tuple[dict[str, Any], str]:
    other = socket.create_server(("127.0.0.1", 0))
    _keep.append(other)
    port = other.getsockname()[1]
    return {"port": port}, f"port: cannot listen on 127.0.0.1:{port} (Address already in use)"


def _foreign(tmp_path: Path) -> tuple[dict[str, Any], str]:
    return {"host": "192.0.2.1"}, (
        "port: cannot listen on 192.0.2.1:0 (Cannot assign requested address)"
    )


def _nobody(tmp_path: Path) -> tuple[dict[str, Any], str]:
    reason = "[Errno -2] Name or service not known"
    return {"host": "no such host"}, f"host: 'no such host' is no address here ({reason})"


def _file(tmp_path: Path) -> tuple[dict[str, Any], str]:
    path = tmp_path / "file"
    path.touch()
    return {"unix_socket": path}, f"unix_socket: {path} is there already, and no socket"


def _alive(tmp_path: Path) -> tuple[dict[str, Any], str]:
    path = tmp_path / "live"
    other = socket.socket(socket.AF_UNIX)
    other.bind(str(path))
    other.listen()
    _keep.append(other)
    return {"unix_socket": path}, f"unix_socket: another server listens on {path}"


def _nowhere(tmp_path: Path) -> tuple[dict[str, Any], str]:
    path = tmp_path / "missing" / "socket"
    problem = f"unix_socket: cannot listen on {path} (No such file or directory)"
    return {"unix_socket": path}, problem


def _too_long(tmp_path: Path) -> tuple[dict[str, Any], str]:
    path = tmp_path / ("x" * 150)
    return {"unix_socket": path}, f"unix_socket: cannot listen on {path} (AF_UNIX path too long)"


_keep: list[socket.socket] = []


@pytest.mark.parametrize(
    "case",
    [_taken, _foreign, _nobody, _file, _alive, _nowhere, _too_long],
    ids=lambda f: f.__name__,
)
def test_what_cannot_be_listened_on(tmp_path: Path, case: Any) -> None:
    given, problem = case(tmp_path)
    try:
        with pytest.raises(ConfigurationError) as raised, listening(settings(**given)):
            pass
    finally:
        while _keep:
            _keep.pop().close()
    assert str(raised.value) == problem
    assert raised.value.setting == problem.partition(":")[0]
    if case is _file:
        assert (tmp_path / "file").exists()


# --- Unix sockets --------------------------------------------------------------------------------


def test_a_unix_socket_is_for_owner_and_group_and_goes_with_the_server(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    before = os.umask(0)
    try:
        with listening(settings(unix_socket=path)) as (_, urls):
            assert urls == [f"unix:{path}:/files/"]
            assert stat.S_IMODE(path.stat().st_mode) == 0o660
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(path))
    finally:
        os.umask(before)
    assert not path.exists()


def test_a_socket_that_a_dead_server_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with listening(settings(unix_socket=path)), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_the_socket_of_a_successor_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with listening(settings(unix_socket=path)), socket.socket(socket.AF_UNIX) as successor:
        path.unlink()
        successor.bind(str(path))
    assert path.exists()


def test_a_socket_that_somebody_removed_is_not_missed(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with listening(settings(unix_socket=path)):
        path.unlink()
    assert not path.exists()
