"""A real server process: started, watched, stopped, killed and started again on its directory.

Knows the command line and the line `Listening on URL`, and nothing of what is inside. Output goes
to files, so that no full pipe can stop a server; the log is added to whatever assertion fails while
the server runs. Leaving the `with` block kills the whole tree, and fails if the server has logged a
traceback that the test did not expect.
"""

from __future__ import annotations

import os
import random
import re
import signal
import socket
import subprocess
import sys
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import psutil

from tests.harness.tus import Tus
from tests.harness.wire import DEADLINE, Endpoint, Wire, poll

LISTENING = re.compile(r"^Listening on (\S+)$", re.MULTILINE)
START_DEADLINE = 60.0
ROOT = Path(__file__).parents[2]


def free_port() -> int:
    """A free port below those that the kernel gives to clients.

    For servers that go and come back: a client that retries on a port of the ephemeral range can
    connect to itself while nobody listens.
    """
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def way_of_bodies() -> dict[str, str]:
    """How a test's servers read bodies: as most are read in production, or all of them directly,
    or all by the parser. What is tested must not depend on it, so each test has one of these.

    Its name decides, so that it is always the same one; or the variable TEST_DIRECT_FROM.
    """
    name = os.environ.get("PYTEST_CURRENT_TEST", "").partition(" ")[0]
    chosen = ("1B", "0B", "64KiB")[zlib.crc32(name.encode()) % 3]
    return {"TUSJUMBO_DIRECT_FROM": os.environ.get("TEST_DIRECT_FROM", chosen)}


class Server:
    """`tusjumbo serve` on `directory`, or another `command` that says where it listens."""

    def __init__(
        self,
        directory: Path,
        *options: str,
        name: str = "server",
        workers: int = 1,
        port: int = 0,
        command: Sequence[str] | None = None,
        environment: Mapping[str, str] | None = None,
        logs: Path | None = None,
        tracebacks: bool = False,
    ) -> None:
        """`options` are further flags of the command; `tracebacks`: they may be in the log.

        Output goes to files that begin with `name`, in `logs` or else beside `directory`.
        """
        self.directory = directory
        self._command = command or (
            *(sys.executable, "-m", "tusjumbo", "serve", "--host", "127.0.0.1"),
            *("--port", str(port), "--upload-dir", str(directory), "--workers", str(workers)),
        )
        self._options = options
        clean = {key: text for key, text in os.environ.items() if not key.startswith("TUSJUMBO_")}
        self._environment = {**clean, **way_of_bodies(), **(environment or {})}
        self._tracebacks = tracebacks
        self._process: subprocess.Popen[bytes] | None = None
        self._log = (logs or directory.parent) / f"{name}.stderr"
        self._said = (logs or directory.parent) / f"{name}.stdout"
        self.endpoint = Endpoint("127.0.0.1", port)

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.kill()
        if error is not None:
            error.add_note(f"the server's log:\n{self.log[-6000:]}")
        elif not self._tracebacks:
            assert "Traceback (most recent call last)" not in self.log, self.log[-6000:]

    # --- its life --------------------------------------------------------------------------------

    def start(self) -> None:
        """Start (again, after it has ended) and return once it listens."""
        assert self._process is None, "it runs already"
        with self._said.open("wb") as said, self._log.open("ab") as log:
            self._process = subprocess.Popen(
                (*self._command, *self._options),
                cwd=ROOT,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=log,
            )
        try:
            poll(self._started, START_DEADLINE, "the server does not say where it listens")
        except AssertionError as error:
            self.kill()
            error.add_note(f"the server's log:\n{self.log[-6000:]}")
            raise
        match = LISTENING.search(self.said)
        assert match is not None
        self.endpoint = Endpoint.parse(match[1])

    def _started(self) -> bool:
        assert self._process is not None
        ended = self._process.poll()
        assert ended is None, f"the server ended with {ended}"
        return LISTENING.search(self.said) is not None

    def stop(self, within: float = DEADLINE, by: signal.Signals = signal.SIGTERM) -> int:
        """A signal, and the exit code; the server has `within` seconds."""
        assert self._process is not None
        self._process.send_signal(by)
        code = self._process.wait(within)
        self._process = None
        return code

    def kill(self) -> None:
        """kill -9 the whole tree at once."""
        if self._process is None:
            return
        tree = self.tree()

        def is_dead() -> bool:
            alive = [process for process in tree if _is_killed_alive(process)]
            return not alive

        is_dead()
        self._process.wait(DEADLINE)
        try:
            poll(is_dead, DEADLINE, "killed, but not dead")
        except AssertionError as error:
            error.add_note("\n".join(map(repr, filter(is_alive, tree))))
            raise
        self._process = None

    def restart(self) -> None:
        """Start again on the same directory; on the same port if one was given."""
        self.kill()
        self.start()

    # --- its processes ---------------------------------------------------------------------------

    @property
    def main(self) -> psutil.Process:
        assert self._process is not None
        return psutil.Process(self._process.pid)

    def tree(self) -> list[psutil.Process]:
        """The main process and everything below it."""
        try:
            return [self.main, *self.main.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def workers(self) -> list[psutil.Process]:
        """The processes that answer requests."""
        return list(filter(_is_worker, self.main.children())) or [self.main]

    def serving(self, wire: Wire) -> psutil.Process:
        """The process that has accepted this connection."""
        local = wire.socket.getsockname()
        found: list[psutil.Process] = []

        def look() -> bool:
            found[:] = [
                process
                for process in self.workers()
                for connection in process.net_connections("tcp4")
                if connection.raddr == local
            ]
            return len(found) == 1

        poll(look, DEADLINE, f"nobody has accepted {local}")
        return found[0]

    # --- what can be seen of it ------------------------------------------------------------------

    @property
    def tus(self) -> Tus:
        return Tus(self.endpoint)

    @property
    def said(self) -> str:
        """Its standard output since the last start."""
        return self._said.read_text()

    @property
    def log(self) -> str:
        """Its standard error since the first start."""
        return self._log.read_text()


def _is_worker(process: psutil.Process) -> bool:
    try:
        return "resource_tracker" not in " ".join(process.cmdline())
    except psutil.NoSuchProcess:  # or a zombie
        return False


def _is_killed_alive(process: psutil.Process) -> bool:
    """Whether it was still alive when it was killed, (once more) now."""
    if not is_alive(process):
        return False
    with suppress(psutil.NoSuchProcess):
        process.kill()
    return True


def is_alive(process: psutil.Process) -> bool:
    """Whether it still runs code (a zombie does not)."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def memory(process: psutil.Process) -> dict[str, int]:
    """Bytes by name, as in /proc/PID/status: VmRSS, VmHWM (the peak), and so on."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    pairs = (line.split(":", 1) for line in lines if line.endswith(" kB"))
    return {name: int(value.split()[0]) * 1024 for name, value in pairs}


def reset_peak(process: psutil.Process) -> None:
    """Let VmHWM begin anew at what is resident now."""
    Path(f"/proc/{process.pid}/clear_refs").write_text("5")
