"""Workers: several serving processes behind one listening socket, and a parent that keeps them.

uvicorn's supervisor starts them, replaces those that die, and restarts them one by one at SIGHUP.
What is ours: a worker stops as our server does; Ctrl-C, which a terminal sends to the whole group,
is left to the parent; a worker that does not stop in time is killed (what it had acknowledged is on
the disk); and a worker whose parent is gone stops by itself.
"""

from __future__ import annotations

import logging
import math
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import wait
from socket import socket
from types import FrameType

from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import multiprocess as stock

from tusjumbo.errors import ConfigurationError
from tusjumbo.server.limits import Limits, UploadConfig
from tusjumbo.server.process import keep_what_is_loaded
from tusjumbo.server.stopping import GRACE, UploadServer

FORCED_GRACE = 2.0
"""Seconds between a second signal and the end of all workers."""

_logger = logging.getLogger("tusjumbo")


class WorkerServer(UploadServer):
    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if sig != signal.SIGINT:
            super().handle_exit(sig, frame)


class Worker(stock.Process):
    """One serving process: made in the parent, and unpickled in the child."""

    config: UploadConfig

    def target(self, sockets: list[socket] | None = None) -> None:
        self._server = server = WorkerServer(self.config)
        threading.Thread(target=_follow_parent, daemon=True).start()
        threading.Thread(target=self.always_pong, daemon=True).start()
        try:
            self.config.load()
        except ConfigurationError as error:
            _logger.error("%s", error)  # noqa: TRY400 (one line says it)
            sys.exit(STARTUP_FAILURE)
        except Exception:
            _logger.exception("The app could not be made.")
            sys.exit(STARTUP_FAILURE)
        keep_what_is_loaded()
        sys.exit(server.work(sockets or []))

    def _healthcheck(self, timeout: float) -> bool | None:
        """Whether it has started; None if it does not say. One that has died is not waited for."""
        try:
            self.parent_conn.send(b"ping")
            if self.parent_conn in wait([self.parent_conn, self.process.sentinel], timeout):
                return bool(self.parent_conn.recv())
        except (OSError, EOFError):
            return None  # it was told to stop
        return None

    def join(self) -> None:
        """Wait for the end of a worker that was told to stop, and make it come."""
        self.process.join(_patience(self.config.limits))
        if self.process.is_alive():
            self.kill()
            self.process.join()


def _patience(limits: Limits) -> float | None:
    """Seconds that a worker may take to stop; None if that is its own affair."""
    return limits.shutdown_timeout + 2 * GRACE if limits.shutdown_timeout else None


def _follow_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)


class Workers(stock.Multiprocess):
    def __init__(
        self, config: UploadConfig, sockets: list[socket], on_ready: Callable[[], None]
    ) -> None:
        super().__init__(config, sockets)
        self._limits = config.limits
        self._on_ready: Callable[[], None] | None = on_ready

    def serve(self) -> int:
        """Keep the workers until a signal comes; the exit code."""
        known = stock.Process
        # The supervisor makes its processes by this name; there is no other place to say which.
        stock.Process = Worker  # type: ignore[misc]
        try:
            self.run()
        finally:
            stock.Process = known  # type: ignore[misc]
        failed = any(process.exitcode == STARTUP_FAILURE for process in self.processes)
        return STARTUP_FAILURE if failed else 0

    def keep_subprocess_alive(self) -> None:
        super().keep_subprocess_alive()
        if self._on_ready is not None and any(process.is_ready() for process in self.processes):
            self._on_ready()
            self._on_ready = None

    def join_all(self) -> None:
        """Wait for workers that were told to stop: their time, or until a second signal."""
        end = time.monotonic() + (_patience(self._limits) or math.inf)
        for process in self.processes:
            while process.process.is_alive():
                process.process.join(0.1)
                if {signal.SIGINT, signal.SIGTERM} & set(self.signal_queue):
                    self.signal_queue.clear()
                    self.terminate_all()
                    end = min(end, time.monotonic() + FORCED_GRACE)
                if time.monotonic() > end:
                    process.kill()
