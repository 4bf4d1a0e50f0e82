"""The process harness against a stand-in, so that a failing fault test is about the server."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.harness.process import Server, free_port, is_alive, memory, reset_peak
from tests.harness.wire import GoneError, poll

STAND_IN = """
import os, sys, time
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/grow":
            len(bytearray(b"x") * (64 << 20))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

print("told", *sys.argv[2:], file=sys.stderr, flush=True)
server = HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
if "--workers" in sys.argv:
    for _ in range(2):
        if os.fork() == 0:
            server.serve_forever()
print(f"Listening on http://127.0.0.1:{server.server_port}/files/", flush=True)
server.serve_forever()
"""


def _stand_in(directory: Path, *options: str, port: int = 0, script: str = STAND_IN) -> Server:
    return Server(directory, *options, command=(sys.executable, "-c", script, str(port)))


def _ask(server: Server, path: str = "/") -> None:
    with server.endpoint.connect() as wire:
        wire.request("GET", path).expect(200)


def test_it_starts_answers_and_stops(tmp_path: Path) -> None:
    with _stand_in(tmp_path / "data", "--some", "option") as server:
        with server.endpoint.connect() as wire:
            assert server.serving(wire) == server.main
            assert wire.request("GET", "/").status == 200
        assert server.stop() == -15
        assert "told --some option" in server.log
        with pytest.raises(ConnectionRefusedError):
            server.endpoint.connect()


def test_it_comes_back_at_the_same_port(tmp_path: Path) -> None:
    port = free_port()
    with _stand_in(tmp_path / "data", port=port) as server:
        before = server.main
        with server.endpoint.connect() as wire:
            server.kill()
            assert not is_alive(before)
            with pytest.raises((GoneError, BrokenPipeError)):
                wire.request("GET", "/")
        server.restart()
        assert server.endpoint.port == port
        assert server.main != before
        _ask(server)


def test_one_worker_of_many_can_be_found_and_killed(tmp_path: Path) -> None:
    with _stand_in(tmp_path / "data", "--workers") as server:
        poll(lambda: len(server.tree()) == 3, 10, "no workers")
        tree = server.tree()
        first = server.workers()[0]
        first.kill()
        poll(lambda: not is_alive(first), 10, "not dead")
        assert is_alive(server.main)
    assert not any(map(is_alive, tree))


def test_a_server_that_cannot_start_tells_why(tmp_path: Path) -> None:
    server = _stand_in(tmp_path / "data", script="import sys; sys.exit('port: no such thing')")
    with pytest.raises(AssertionError, match="ended with 1") as caught:
        server.start()
    assert any("port: no such thing" in note for note in caught.value.__notes__)


def test_a_traceback_in_the_log_fails_the_test(tmp_path: Path) -> None:
    script = STAND_IN.replace("server.serve_forever()", "server.handle_request(); {}[1]")
    server = _stand_in(tmp_path / "data", script=script)
    server.start()
    _ask(server)
    poll(lambda: "KeyError" in server.log, 10, "no traceback")
    with pytest.raises(AssertionError, match="KeyError"):
        server.__exit__(None, None, None)


def test_peak_memory_is_seen_after_it_has_gone(tmp_path: Path) -> None:
    with _stand_in(tmp_path / "data") as server:
        _ask(server)
        reset_peak(server.main)
        idle = memory(server.main)["VmHWM"]
        _ask(server, "/grow")
        after = memory(server.main)
        assert after["VmHWM"] - idle > 60 << 20
        assert after["VmRSS"] - idle < 30 << 20
