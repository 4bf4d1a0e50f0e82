"""The servers that can be measured: running ones given by URL, and those that are started by name.

A started server is fresh for each measurement: an empty directory, a process group of its own, a
free port; it is stopped and its directory removed when the measurement ends, in whatever way it
ends. A server given by URL is left as it was found, apart from what it remembers. Only addresses of
this machine's loopback are accepted.
"""

from __future__ import annotations

import http.client
import shutil
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from tests.benchmarks.hosts import HOSTS
from tests.benchmarks.processes import Processes, listening
from tests.benchmarks.tools import BenchmarkError, compiled
from tests.harness.peers import PEERS, NotInstalled, Peer
from tests.harness.programs import NotUp, running

LIMIT = "raw-null"
"""The sink that discards: what the load generator reaches there is the generator's own limit."""

SINK = "raw-sink"
"""The sink that writes: the least that can pass for a server."""


@dataclass(frozen=True)
class Running:
    url: str
    """With a slash at the end."""
    processes: Processes | None
    """None if it cannot be seen who serves."""
    extensions: frozenset[str] | None
    """What `Tus-Extension` and `Tus-Checksum-Algorithm` say; None if the server does not say."""
    owned: bool
    """Its uploads go with its directory; those of others are deleted one by one."""


class Server(Protocol):
    @property
    def name(self) -> str: ...

    def running(
        self, room: Path, cpus: Collection[int] | None, front: Sequence[str] = ()
    ) -> AbstractContextManager[Running]:
        """The server, up inside the context, on `cpus` if given, storing below `room`.

        `front`: words for the front of the command line, where one is started.

        :raises BenchmarkError: it does not come up
        """
        ...


@dataclass(frozen=True)
class Found:
    """A server that somebody else runs."""

    name: str
    url: str
    pid: int | None = None

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        host = parts.hostname or ""
        if parts.scheme != "http" or not host.startswith("127.") or parts.port is None:
            raise BenchmarkError(f"{self.url}: write http://127.0.0.1:PORT/PATH/, load stays here")

    @contextmanager
    def running(
        self, room: Path, cpus: Collection[int] | None, front: Sequence[str] = ()
    ) -> Iterator[Running]:
        processes = Processes((self.pid,)) if self.pid else listening(urlsplit(self.url).port or 0)
        if cpus and processes:
            processes.pin(cpus)
        url = self.url if self.url.endswith("/") else f"{self.url}/"
        yield Running(url, processes, _extensions(url), owned=False)


@dataclass(frozen=True)
class Started:
    """A server that is started here. `command` makes its command line of port and directory."""

    name: str
    command: Callable[[int, Path], list[str]]

    @contextmanager
    def running(
        self, room: Path, cpus: Collection[int] | None, front: Sequence[str] = ()
    ) -> Iterator[Running]:
        def command(port: int, uploads: Path) -> list[str]:
            return [*front, *self.command(port, uploads)]

        directory = Path(tempfile.mkdtemp(prefix=f"{self.name}-", dir=room))
        try:
            with running(self.name, command, directory, cpus) as (port, pid):
                url = f"http://127.0.0.1:{port}/files/"
                yield Running(url, Processes((pid,)), _extensions(url), owned=True)
        except NotUp as error:
            raise BenchmarkError(str(error)) from error
        finally:
            shutil.rmtree(directory, ignore_errors=True)


def _extensions(url: str) -> frozenset[str] | None:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
    try:
        connection.request("OPTIONS", parts.path)
        answer = connection.getresponse()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    words = answer.getheader("Tus-Extension")
    if words is None:
        return None
    words += f",{answer.getheader('Tus-Checksum-Algorithm', '')}"
    return frozenset(word.strip() for word in words.split(","))


# --- what can be started by name ------------------------------------------------------------------


def _serve(durability: str, workers: int, port: int, uploads: Path) -> list[str]:
    return [
        sys.executable,
        *("-m", "tusjumbo", "serve"),
        f"--port={port}",
        f"--upload-dir={uploads}",
        f"--durability={durability}",
        f"--workers={workers}",
        "--log-level=error",
    ]


def _hosted(host: str, durability: str, port: int, uploads: Path) -> list[str]:
    words = (host, durability, str(port), str(uploads))
    root = Path(__file__).parents[2]
    return ["env", f"PYTHONPATH={root}", sys.executable, "-m", "tests.benchmarks.hosts", *words]


def _sink(program: Path, mode: str, port: int, uploads: Path) -> list[str]:
    return [str(program), str(port), str(uploads), mode]


def _words(command: tuple[str, ...], port: int, uploads: Path) -> list[str]:
    return [*command, str(port), str(uploads)]


def _ours(variants: Sequence[str], cache: Path) -> list[Started]:
    return [_variant(name) for name in variants]


def _variant(name: str) -> Started:
    """`tusjumbo-DURABILITY`, with `-WORKERS` or `-HOST`, another ASGI server, if not with one."""
    _, durability, *more = name.split("-")
    what = more[0] if more else "1"
    if what in HOSTS:
        return Started(name, partial(_hosted, what, durability))
    return Started(name, partial(_serve, durability, int(what)))


def _peers(peer: Peer, cache: Path) -> list[Started]:
    try:
        return [Started(peer.name, partial(_words, peer.installed()))]
    except NotInstalled as error:
        raise BenchmarkError(str(error)) from error


def _sinks(name: str, mode: str, cache: Path) -> list[Started]:
    return [Started(name, partial(_sink, compiled("sink", cache), mode))]


_OURS = tuple(
    f"tusjumbo-{durability}{more}"
    for durability in ("commit", "os")
    for more in ("", "-2", *(f"-{host}" for host in HOSTS))
)

_NAMES: dict[str, Callable[[Path], list[Started]]] = {
    "tusjumbo": partial(_ours, ("tusjumbo-commit", "tusjumbo-os")),
    **{name: partial(_ours, (name,)) for name in _OURS},
    SINK: partial(_sinks, SINK, "write"),
    LIMIT: partial(_sinks, LIMIT, "discard"),
}
for _row in PEERS:
    _NAMES[_row.name] = partial(_peers, _row)

NAMES = tuple(_NAMES)


def started(name: str, cache: Path) -> list[Started]:
    """The servers that a name stands for, ready to be started: compiled or installed.

    :raises BenchmarkError: no such name, or it cannot be made ready
    """
    if name not in _NAMES:
        raise BenchmarkError(f"cannot start {name}; there are {', '.join(NAMES)}")
    return _NAMES[name](cache)
