"""Real processes, real signals: one worker or several stop, are replaced, and leave no orphans."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from tests.harness.process import Server, is_alive
from tests.harness.wire import Wire, poll
from tusjumbo.server.workers import Worker

PATIENCE = 30.0

pytestmark = pytest.mark.wire


class Ran(Server):
    """A server process with the app of `tests.server.runner`."""

    def __init__(
        self,
        directory: Path,
        *,
        command: Sequence[str] = (sys.executable, "-m", "tests.server.runner"),
        environment: dict[str, str] | None = None,
        **settings: Any,
    ) -> None:
        self.told = directory / "told"
        self.told.touch()
        options = json.dumps({**settings, "told": str(self.told)})
        super().__init__(
            directory,
            command=(*command, options),
            environment=environment,
            logs=directory,
        )

    def until_told(self, what: str) -> None:
        poll(lambda: what in self.told.read_text(), PATIENCE, f"the app never {what}")

    def start(self) -> None:
        """Return when all workers do their work, and not only the first."""
        super().start()
        poll(
            lambda: self.log.count("startup complete") == len(self.workers()),
            PATIENCE,
            "a worker does not start",
        )

    def pid(self) -> int:
        """Of the process that answers a new connection."""
        with self.endpoint.connect() as wire:
            return int(wire.request("GET", "/pid").body)

    def begin(self) -> Wire:
        """A request that has sent 1,000 of many bytes, and is being read."""
        wire = self.endpoint.connect()
        wire.head("PATCH", "/obey", {"Content-Length": "1000000"})
        wire.send(b"x" * 1000)
        self.until_told("has 1000")
        return wire


def until_dead(processes: list[psutil.Process]) -> None:
    poll(lambda: not any(map(is_alive, processes)), PATIENCE, "somebody lives on")


Run = Callable[..., AbstractContextManager[Ran]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def start(**settings: Any) -> Ran:
        return Ran(tmp_path, **settings)

    return start  # type: ignore[return-value]


WORKERS = pytest.mark.parametrize("workers", [1, 2], ids=["alone", "two workers"])


def answered(wire: Wire) -> tuple[int, int]:
    answer = wire.read()
    wire.close()
    return answer.status, len(answer.body)


@WORKERS
@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_all_in_good_order(run: Run, workers: int, by: signal.Signals) -> None:
    with run(workers=workers) as server:
        tree = server.tree()
        wire = server.begin()
        assert server.stop(PATIENCE, by) == 0
        assert answered(wire) == (503, 1000)
        assert "ended in good order" in server.said
        assert server.told.read_text().count("ends") == workers
        until_dead(tree)


def test_ctrl_c_reaches_workers_only_once(run: Run) -> None:
    """A terminal interrupts the whole group; a worker leaves that to its parent."""
    with run(workers=2, shutdown_timeout="2s") as server, server.endpoint.connect() as wire:
        wire.head("PATCH", "/ignore", {"Content-Length": "10"})
        server.until_told("begins")
        for process in server.workers():
            process.send_signal(signal.SIGINT)
        assert server.stop(PATIENCE, signal.SIGINT) == 0
        # Forced, a worker would have skipped the end of its app's lifespan.
        assert server.told.read_text().count("ends") == 2


@WORKERS
def test_what_does_not_stop_is_cancelled(run: Run, workers: int) -> None:
    with run(workers=workers, shutdown_timeout="0.2s") as server:
        with server.endpoint.connect() as wire:
            wire.head("PATCH", "/ignore", {"Content-Length": "10"})
            server.until_told("begins")
            assert server.stop(PATIENCE) == 0
            assert wire.read().status == 503
        assert "commits" in server.told.read_text()


def test_a_second_signal_ends_even_a_worker_that_hangs(run: Run) -> None:
    with run(workers=2, shutdown_timeout=1000) as server:
        tree = server.tree()
        with server.endpoint.connect() as wire:
            wire.head("GET", "/hang")
            server.until_told("hangs")
            server.main.send_signal(signal.SIGTERM)
            poll(lambda: "ends" in server.told.read_text(), PATIENCE, "the others do not stop")
            server.stop(PATIENCE)
        until_dead(tree)


def test_a_second_signal_ends_workers_by_force_but_not_without_their_commits(run: Run) -> None:
    with run(workers=2, shutdown_timeout=1000) as server, server.endpoint.connect() as wire:
        wire.head("PATCH", "/ignore", {"Content-Length": "10"})
        server.until_told("begins")
        server.main.send_signal(signal.SIGTERM)
        server.until_told("ends")
        server.stop(PATIENCE)
        assert "commits" in server.told.read_text()


def test_a_worker_that_has_died_is_not_waited_for() -> None:
    worker = object.__new__(Worker)
    worker.parent_conn, other_end = multiprocessing.Pipe()
    sentinel, pipe = os.pipe()
    os.close(pipe)
    worker.process = SimpleNamespace(sentinel=sentinel)  # type: ignore[assignment]
    try:
        assert worker.ping(timeout=1000) is False
    finally:
        os.close(sentinel)
        worker.parent_conn.close()
        other_end.close()


def test_both_workers_answer(run: Run) -> None:
    with run(workers=2) as server:
        answering: set[int] = set()

        def all_answer() -> bool:
            answering.add(server.pid())
            return answering == {process.pid for process in server.workers()}

        poll(all_answer, PATIENCE, "one does not answer")


def test_a_killed_worker_is_replaced(run: Run) -> None:
    with run(workers=2) as server:
        wire = server.begin()
        victim = server.serving(wire)
        before = {process.pid for process in server.workers()}
        victim.kill()
        wire.close()

        def replaced() -> bool:
            now = {process.pid for process in server.workers()}
            return len(now) == 2 and victim.pid not in now and server.pid() not in before

        poll(replaced, PATIENCE, "nobody takes its place")
        assert server.stop(PATIENCE) == 0
        assert server.said.count("Listening on ") == 1


def test_workers_whose_parent_was_killed_end_by_themselves(run: Run) -> None:
    with run(workers=2) as server:
        workers = server.workers()
        wire = server.begin()
        server.main.kill()
        assert answered(wire) == (503, 1000)
        until_dead(workers)
        assert server.told.read_text().count("ends") == 2


def test_a_hangup_renews_the_workers_without_a_gap(run: Run) -> None:
    with run(workers=2) as server:
        before = {process.pid for process in server.workers()}
        server.main.send_signal(signal.SIGHUP)
        poll(lambda: server.pid() not in before, PATIENCE, "nothing is renewed")
        poll(
            lambda: not before & {process.pid for process in server.workers()},
            PATIENCE,
            "an old worker stays",
        )
        assert server.stop(PATIENCE) == 0


@WORKERS
def test_an_app_that_cannot_start_ends_the_server(run: Run, workers: int) -> None:
    server = run(workers=workers, environment={"FAIL": "1"})
    with pytest.raises(AssertionError, match="the server ended with 3"), server:
        pass


def test_an_app_that_cannot_be_made_ends_the_server_in_one_line(run: Run) -> None:
    server = run(workers=2, environment={"BROKEN": "1"})
    with pytest.raises(AssertionError, match="the server ended with 3") as raised, server:
        pass
    log = "\n".join(raised.value.__notes__)
    assert "LINE ERROR upload_dir: nothing can be written there" in log
    assert "Traceback" not in log


def test_alone_it_says_so_itself(run: Run) -> None:
    server = run(environment={"BROKEN": "1"})
    with pytest.raises(AssertionError, match="the server ended with 1") as raised, server:
        pass
    assert "ConfigurationError: upload_dir: nothing can" in "\n".join(raised.value.__notes__)


def test_the_port_is_told_and_kept_by_all(run: Run) -> None:
    with run(workers=2, base_path="/up/") as server:
        assert server.endpoint.path == "/up/"
        listening = [
            process.pid
            for process in psutil.process_iter(["pid"])
            if process.pid in {one.pid for one in server.tree()}
            for connection in process.net_connections("tcp4")
            if connection.status == psutil.CONN_LISTEN
            and connection.laddr[1] == server.endpoint.port
        ]
        assert len(listening) == 3
        assert os.getpid() not in listening
