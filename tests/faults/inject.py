"""Makes system calls of a running process fail, by strace.

Attached to a server that runs already, so that nothing of its start is hit, and let go of when the
block ends: from then on the disk is well again.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.harness.process import Server
from tests.harness.wire import poll

needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="attaching strace and mounting a tmpfs need root"
)


@contextmanager
def failing(
    server: Server, calls: str, error: str, *, when: str = "1+", path: Path | None = None
) -> Iterator[Path]:
    """Let `calls` (comma-separated) fail with `error` (an errno name) in all of the server.

    `when` counts calls as strace does, in each thread (`2`: the second, `1+`: all); `path` narrows
    it down to calls that touch this file. Gives strace's log, in which every call that failed says
    INJECTED.
    """
    with _meddling(server, calls, f"error={error}:when={when}", path) as log:
        yield log


@contextmanager
def killing(server: Server, calls: str, when: str, *, path: Path | None = None) -> Iterator[Path]:
    """kill -9 the server as it enters one of `calls`, which is then not carried out."""
    with _meddling(server, calls, f"signal=SIGKILL:when={when}", path) as log:
        yield log


@contextmanager
def _meddling(server: Server, calls: str, fault: str, path: Path | None) -> Iterator[Path]:
    log = server.directory.with_name("strace.log")
    log.unlink(missing_ok=True)
    pids = [str(process.pid) for process in server.tree()]
    tracer = subprocess.Popen(
        (
            *("strace", "-f", "-o", str(log), "-e", f"trace={calls}"),
            *("-e", f"inject={calls}:{fault}"),
            *(("-P", str(path)) if path else ()),
            *(part for pid in pids for part in ("-p", pid)),
        ),
        stderr=subprocess.PIPE,
    )
    try:
        poll(lambda: all(_traced(pid, tracer.pid) for pid in pids), 20, "strace does not attach")
        yield log
    finally:
        said = _let_go(tracer)
    assert all(b"attached" in line or b"detached" in line for line in said.splitlines()), said


def _let_go(tracer: subprocess.Popen[bytes]) -> bytes:
    """End strace, and give what it said. It can hang when its tracees are being killed."""
    tracer.send_signal(signal.SIGINT)
    try:
        return tracer.communicate(timeout=5)[1]
    except subprocess.TimeoutExpired:
        tracer.kill()
        return tracer.communicate()[1]


def _traced(pid: str, tracer: int) -> bool:
    """Whether all threads of the process are traced."""
    try:
        tasks = [(task / "status").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
    except FileNotFoundError:  # a thread has just ended
        return False
    return all(f"TracerPid:\t{tracer}\n" in status for status in tasks)


def injected(log: Path) -> int:
    return log.read_text().count("(INJECTED)")
