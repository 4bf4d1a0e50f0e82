"""The figures for many uploads are filled in, and never come from wrong answers. None is judged."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.benchmarks.many import crowd, main
from tests.benchmarks.tools import BenchmarkError
from tests.harness.process import Server

ROW = {
    "connections": "| kept | 12 of 12 |",
    "catalog": "| CLI: list, per session |",
    "uploads": "| HEAD on 32 connections, of an upload each |",
}


@pytest.mark.wire
@pytest.mark.parametrize("part", ROW)
def test_every_figure_is_filled_in(
    part: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ["--connections=12", "--seconds=0.3", "--rate=100", "--most=2", f"--dir={tmp_path}"]
    assert main([part, *small]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith(ROW[part]) for line in lines)
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line]
    assert all(len(row) == 2 and all(row) for row in cells)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.wire
def test_uploads_that_are_not_kept_are_found_out(tmp_path: Path) -> None:
    with Server(tmp_path / "data") as server, crowd(server.endpoint.port, 1000) as clients:
        assert clients.do("open", 3)["open"] == 3
        assert clients.do("drip", 0.1, 50)["sent"] >= 3
        clients.begin("end", 30)
        server.stop(30)
        assert clients.end() | {"seconds": 0} == {"answers": {"503": 3}, "silent": 0, "seconds": 0}
        (tmp_path / "data" / "catalog.sqlite3").unlink()
        server.start()
        checked = clients.do("check", server.endpoint.port)
    assert checked["kept"] == 0
    assert all(word.startswith("404 None of ") for word in checked["wrong"])


@pytest.mark.wire
def test_a_wrong_answer_ends_the_crowd() -> None:
    said = pytest.raises(BenchmarkError, match=r"POST 0 was answered b'HTTP/1.1 500 ")
    with refusing() as port, crowd(port, 1000) as clients, said:
        clients.do("open", 1)


@contextmanager
def refusing() -> Iterator[int]:
    """A server that has one answer for one request."""

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 500 Internal Server Error\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            thread.join(30)
