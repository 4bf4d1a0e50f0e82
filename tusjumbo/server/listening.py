"""Listening: the sockets are made before anything else, in the parent process.

So a port that is taken is one readable line and not a traceback from a worker; all workers share
one queue of connections; and a connection made while they start only waits. Every address of the
host is bound. A Unix socket is open to owner and group (0o660) and is removed at the end; one that
a dead server left behind is replaced, one that somebody answers at is not.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

from tusjumbo.errors import ConfigurationError
from tusjumbo.settings import ServerSettings

BACKLOG = 2048


@contextlib.contextmanager
def listening(settings: ServerSettings) -> Iterator[tuple[list[socket.socket], list[str]]]:
    """Sockets that listen where the settings say, and the URLs of the upload endpoint there.

    :raises ConfigurationError: it cannot be listened there
    """
    with contextlib.ExitStack() as stack:
        if settings.unix_socket is not None:
            sockets = [stack.enter_context(_bound_unix(settings.unix_socket))]
            urls = [f"unix:{settings.unix_socket}:{settings.base_path}"]
        else:
            sockets = [stack.enter_context(one) for one in _bound(settings.host, settings.port)]
            scheme = "https" if settings.tls_certificate else "http"
            urls = [f"{scheme}://{_authority(one)}{settings.base_path}" for one in sockets]
        for one in sockets:
            one.listen(BACKLOG)
        yield sockets, urls


def _bound(host: str, port: int) -> list[socket.socket]:
    try:
        infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        problem = f"{host!r} is no address here ({error})"
        raise ConfigurationError(problem, setting="host") from error
    sockets: list[socket.socket] = []
    try:
        # Without repetitions: /etc/hosts may name an address twice.
        for family, address in dict.fromkeys((info[0], str(info[4][0])) for info in infos):
            one = socket.socket(family, socket.SOCK_STREAM)
            sockets.append(one)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                # "::" alone means everything, IPv4 included; any other address means itself.
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(address != "::"))
            one.bind((address, port))
            # With port 0 the first address chooses for all of them.
            port = one.getsockname()[1]
    except OSError as error:
        for one in sockets:
            one.close()
        problem = f"cannot listen on {host}:{port} ({os.strerror(error.errno or 0)})"
        raise ConfigurationError(problem, setting="port") from error
    return sockets


def _authority(one: socket.socket) -> str:
    host, port = one.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@contextlib.contextmanager
def _bound_unix(path: Path) -> Iterator[socket.socket]:
    one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with one:
        try:
            _clear(path)
            one.bind(str(path))
            path.chmod(0o660)  # nobody can connect before it listens
            made = _identity(path)
        except OSError as error:
            reason = error.strerror or error
            problem = f"cannot listen on {path} ({reason})"
            raise ConfigurationError(problem, setting="unix_socket") from error
        try:
            yield one
        finally:
            with contextlib.suppress(FileNotFoundError):
                if _identity(path) == made:  # not one that a successor has put in its place
                    path.unlink()


def _clear(path: Path) -> None:
    """Remove a socket that nobody answers at."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        problem = f"{path} is there already, and no socket"
        raise ConfigurationError(problem, setting="unix_socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise ConfigurationError(f"another server listens on {path}", setting="unix_socket")


def _identity(path: Path) -> tuple[int, int]:
    found = path.lstat()
    return found.st_dev, found.st_ino
