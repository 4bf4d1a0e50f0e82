"""A server program of any making: started on a free port, waited for, and ended with its group.

It is told port and directory by whoever makes its command line, and need not say that it listens:
a connection that it takes is the sign. It has a process group of its own, which is ended when the
context is left, in whatever way. What it says goes to `log` beside its directory of uploads.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.harness.process import free_port

_START_SECONDS = 30.0
_STOP_SECONDS = 5.0


class NotUp(Exception):
    """The program does not serve, in one line for a person."""


@contextmanager
def running(
    name: str,
    command: Callable[[int, Path], Sequence[str]],
    directory: Path,
    cpus: Collection[int] | None = None,
) -> Iterator[tuple[int, int]]:
    """The port and the process of a program that serves inside the context, on `cpus` if given.

    `command` makes its command line of port and directory for uploads (an empty one, made in
    `directory`).

    :raises NotUp: it ends, or does not listen in time
    """
    uploads = directory / "uploads"
    uploads.mkdir(parents=True)
    port = free_port()
    process = _start([*command(port, uploads)], directory, cpus)
    try:
        _wait_until_up(name, process, port, directory)
        yield port, process.pid
    finally:
        _stop(process)


def _start(
    command: list[str], directory: Path, cpus: Collection[int] | None
) -> subprocess.Popen[bytes]:
    own = os.sched_getaffinity(0)
    with (directory / "log").open("wb") as log:
        if cpus:
            os.sched_setaffinity(0, cpus)  # inherited by the child and every thread of it
        try:
            return subprocess.Popen(
                command,
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        finally:
            os.sched_setaffinity(0, own)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the whole group: with a word if it listens, without if not."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_STOP_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _wait_until_up(name: str, process: subprocess.Popen[bytes], port: int, directory: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    said = (directory / "log").read_text(errors="replace").strip().splitlines()
    what = "ended" if process.poll() is not None else "does not listen"
    raise NotUp(f"{name} {what} after its start: {' / '.join(said[-3:]) or 'no word'}")
