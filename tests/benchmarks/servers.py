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
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from tests.benchmarks.processes import Processes, listening
from tests.benchmarks.tools import BenchmarkError, compiled
from tests.harness.peers import PEERS, NotInstalled, Peer
from tests.harness.programs import NotUp, running

LIMIT = "raw-null"
"""The sink that discards: what the load generator reaches there is the generator's own limit."""


@dataclass(frozen=True)
class Running:
    url: str
    """With a slash at the end."""
    processes: Processes | None
    """None if it cannot be seen who serves."""
    extensions: frozenset[str] | None
    """What `Tus-Extension` says; None if the server does not say."""
    owned: bool
    """Its uploads go with its directory; those of others are deleted one by one."""


class Server(Protocol):
    @property
    def name(self) -> str: ...

    def running(self, room: Path, cpus: Collection[int] | None) -> AbstractContextManager[Running]:
        """The server, up inside the context, on `cpus` if given, storing below `room`.

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
    def running(self, room: Path, cpus: Collection[int] | None) -> Iterator[Running]:
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
    def running(self, room: Path, cpus: Collection[int] | None) -> Iterator[Running]:
        directory = Path(tempfile.mkdtemp(prefix=f"{self.name}-", dir=room))
        try:
            with running(self.name, self.command, directory, cpus) as (port, pid):
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
        found = connection.getresponse().getheader("Tus-Extension")
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    return None if found is None else frozenset(word.strip() for word in found.split(","))


# --- what can be started by name ------------------------------------------------------------------

_MOUNTED = """\
import sys
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount
from tusjumbo import TusJumbo
port, directory = sys.argv[1:]
uploads = TusJumbo(upload_dir=directory, durability="os")
app = Starlette(routes=[Mount("/files", uploads)], lifespan=uploads.lifespan)
uvicorn.run(app, port=int(port), log_level="error", access_log=False)
"""


def _serve(durability: str, port: int, uploads: Path) -> list[str]:
    return [
        sys.executable,
        *("-m", "tusjumbo", "serve"),
        f"--port={port}",
        f"--upload-dir={uploads}",
        f"--durability={durability}",
        "--log-level=error",
    ]


def _mounted(port: int, uploads: Path) -> list[str]:
    return [sys.executable, "-c", _MOUNTED, str(port), str(uploads)]


def _sink(program: Path, mode: str, port: int, uploads: Path) -> list[str]:
    return [str(program), str(port), str(uploads), mode]


def _words(command: tuple[str, ...], port: int, uploads: Path) -> list[str]:
    return [*command, str(port), str(uploads)]


def _ours(cache: Path) -> list[Started]:
    return [Started(f"tusjumbo-{word}", partial(_serve, word)) for word in ("commit", "os")]


def _peers(peer: Peer, cache: Path) -> list[Started]:
    try:
        return [Started(peer.name, partial(_words, peer.installed()))]
    except NotInstalled as error:
        raise BenchmarkError(str(error)) from error


def _sinks(name: str, mode: str, cache: Path) -> list[Started]:
    return [Started(name, partial(_sink, compiled("sink", cache), mode))]


_NAMES: dict[str, Callable[[Path], list[Started]]] = {
    "tusjumbo": _ours,
    "tusjumbo-commit": lambda cache: _ours(cache)[:1],
    "tusjumbo-os": lambda cache: _ours(cache)[1:],
    "tusjumbo-mounted": lambda cache: [Started("tusjumbo-mounted", _mounted)],
    "raw-sink": partial(_sinks, "raw-sink", "write"),
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
