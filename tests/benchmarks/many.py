"""Many: what a server does with very many uploads. `python -m tests.benchmarks.many [PART …]`.

    connections   uploads open on one process, each sending a byte now and then: memory, CPU, files,
                  the latency of others meanwhile, and whether all of it is there after a SIGTERM
    catalog       what each use of the catalog, a sweep and the CLI cost with 10^2 … 10^5 sessions
    uploads       what small uploads cost beside as many finished ones: the curve

All three if none is named. Linear work (`list`, the sweep of 1,000) is divided by what it handles,
so each row of a table should be flat. Wall times are medians; CPU is that of this process or of
the server, all threads, user and system.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import psutil

from tests.benchmarks.figures import Latency
from tests.benchmarks.growth import AS_USUAL, curve_of_catalogs, curve_of_uploads
from tests.benchmarks.tools import CACHE, BenchmarkError
from tests.harness.process import Server

MIB = 1 << 20
_SPARE = 600
"""Files that a process has open besides: those of uploads that have just begun, most of all."""


def most_files() -> int:
    """Let this process and its children open as many files as they may, and say how many."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


class Client:
    """The crowd in its process; see `crowd`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def begin(self, *words: object) -> None:
        assert self._process.stdin is not None
        print(*words, file=self._process.stdin, flush=True)

    def end(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        told: dict[str, Any] = json.loads(line or '{"error": "the crowd has ended"}')
        if "error" in told:
            raise BenchmarkError(f"the crowd: {told['error']}")
        return told

    def do(self, *words: object) -> dict[str, Any]:
        self.begin(*words)
        return self.end()


@contextmanager
def crowd(port: int, size: int) -> Iterator[Client]:
    words = [sys.executable, "-m", "tests.benchmarks.crowd", *map(str, (port, size))]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Client(process)
        finally:
            process.kill()


def cpu_of(process: psutil.Process) -> float:
    used = process.cpu_times()
    return float(used.user + used.system)


def files_of(process: psutil.Process) -> dict[str, int]:
    """How many files it has open, by what they are."""
    found = {"socket": 0, "sessions": 0, "locks": 0, "other": 0}
    for name in os.listdir(f"/proc/{process.pid}/fd"):
        try:
            target = os.readlink(f"/proc/{process.pid}/fd/{name}")
        except FileNotFoundError:
            continue
        kinds = ("socket:", "/sessions/", "/locks/")
        kind = next((kind for kind in kinds if kind in target), "other").strip(":/")
        found[kind] += 1
    return found


class Caller:
    """One keep-alive connection on which requests are timed."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def close(self) -> None:
        self._connection.close()

    def ask(self, method: str, path: str, body: bytes | None = None, **fields: str) -> str:
        """The Location of a 2xx answer, or else nothing."""
        names = {name.replace("_", "-"): text for name, text in fields.items()}
        self._connection.request(method, path, body, {"Tus-Resumable": "1.0.0", **names})
        answer = self._connection.getresponse()
        answer.read()
        if answer.status // 100 != 2:
            raise BenchmarkError(f"{method} {path} was answered {answer.status}")
        return answer.getheader("Location") or ""

    def heads(self, path: str, seconds: float, rate: float) -> Latency:
        """HEAD at a fixed rate, or as fast as answers come if these take longer."""
        self._connection.close()  # the server may have meanwhile
        took = []
        began = time.perf_counter()
        while (now := time.perf_counter()) - began < seconds:
            self.ask("HEAD", path)
            took.append(time.perf_counter() - now)
            time.sleep(max(0.0, began + len(took) / rate - time.perf_counter()))
        found = Latency.of(took)
        assert found is not None
        return found

    def upload(self, body: bytes) -> float:
        """Seconds that a new upload of these bytes takes, POST and PATCH."""
        self._connection.close()
        began = time.perf_counter()
        path = self.ask("POST", "/files/", Upload_Length=str(len(body)))
        kind = "application/offset+octet-stream"
        self.ask("PATCH", path, body, Upload_Offset="0", Content_Type=kind)
        return time.perf_counter() - began


def table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + "\n"


def milliseconds(latency: Latency) -> str:
    return f"{latency.p50 * 1e3:.2f} / {latency.p99 * 1e3:.2f}"


def connections(room: Path, count: int, size: int, seconds: float, rate: float) -> str:
    """`rate`: bytes per second altogether, in turn on all connections."""
    options = ("--durability=os", "--log-level=error", "--body-timeout=1h")
    server = Server(room / "data", *options, environment=AS_USUAL)
    with server, ExitStack() as stack:
        port, process = server.endpoint.port, server.main
        caller = stack.enter_context(closing(Caller(port)))
        path = caller.ask("POST", "/files/", Upload_Length="100")
        body = bytes(8 * MIB)
        caller.upload(body)
        alone = caller.heads(path, seconds, 200)
        quick = min(caller.upload(body) for _ in range(3))
        memory = process.memory_info().rss
        with crowd(port, size) as clients:
            quarters = []
            for quarter in range(1, 5):
                begun, before = count * (quarter - 1) // 4, cpu_of(process)
                clients.do("open", count * quarter // 4)
                used = cpu_of(process) - before
                quarters.append(f"{used / (count * quarter // 4 - begun) * 1e6:,.0f}")
            time.sleep(min(seconds, 3.0))  # the last checkpoints
            grown = process.memory_info().rss - memory
            files = files_of(process)
            spent = cpu_of(process)
            time.sleep(seconds)
            idle = (cpu_of(process) - spent) / seconds
            silent = caller.heads(path, seconds, 200)
            clients.begin("drip", seconds, rate)
            spent = cpu_of(process)
            busy = caller.heads(path, seconds, 200)
            dripping = (cpu_of(process) - spent) / seconds
            dripped = clients.end()["sent"]
            beside = min(caller.upload(body) for _ in range(3))
            clients.begin("end", 60)
            began = time.monotonic()
            code = server.stop(60)
            stopped = time.monotonic() - began
            ended = clients.end()
            server.start()
            checked = clients.do("check", server.endpoint.port)
    each = ", ".join(f"{number / count:.2f} {kind}" for kind, number in files.items() if number)
    return table(
        ("one process", f"{count:,} uploads open"),
        [
            ("CPU to begin one, by quarters", f"{' / '.join(quarters)} µs"),
            ("memory per connection", f"{grown / count / 1024:.1f} KiB"),
            ("files per connection", f"{each} ({sum(files.values()):,} in all)"),
            ("CPU while nothing comes", f"{idle * 100:.1f}% of a core"),
            (f"CPU at {dripped / seconds:.0f} bytes/s + 200 HEAD/s", f"{dripping * 100:.0f}%"),
            ("HEAD p50 / p99, no uploads", f"{milliseconds(alone)} ms"),
            ("HEAD p50 / p99, silent uploads", f"{milliseconds(silent)} ms"),
            ("HEAD p50 / p99, uploads sending", f"{milliseconds(busy)} ms"),
            ("8 MiB, alone / beside", f"{quick * 1e3:.1f} / {beside * 1e3:.1f} ms"),
            ("SIGTERM to exit", f"{stopped:.1f} s, code {code}"),
            ("answers", ", ".join(f"{n:,} x {word}" for word, n in ended["answers"].items())),
            ("kept", f"{checked['kept']:,} of {count:,} {' '.join(checked['wrong'])}".rstrip()),
        ],
    )


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.many",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help="connections, catalog, uploads")
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument(
        "--files", type=int, default=3, help="that an upload has open: 2 below 64 KiB"
    )
    parser.add_argument("--size", type=int, default=MIB, help="of each upload, in bytes")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each phase")
    parser.add_argument("--rate", type=float, default=500.0, help="bytes per second, altogether")
    parser.add_argument("--most", type=int, default=5, help="10^MOST sessions at most")
    parser.add_argument("--long", action="store_true", help="10^6 sessions")
    parser.add_argument("--dir", type=Path, default=Path("/dev/shm"), help="where to store")
    asked = parser.parse_args(words)
    count = min(asked.connections, (most_files() - _SPARE) // asked.files)
    if count < asked.connections:
        print(f"many: {count:,} connections, because of RLIMIT_NOFILE", file=sys.stderr)
    sizes = [10**power for power in range(2, (6 if asked.long else asked.most) + 1)]
    parts: dict[str, Callable[[Path], str]] = {
        "connections": lambda room: connections(room, count, asked.size, asked.seconds, asked.rate),
        "catalog": lambda room: curve_of_catalogs(room, sizes),
        "uploads": lambda room: curve_of_uploads(room, sizes, asked.seconds, CACHE),
    }
    unknown = sorted(set(asked.parts) - set(parts))
    if unknown:
        parser.error(f"no part {', '.join(unknown)}; there are {', '.join(parts)}")
    for name in asked.parts or parts:
        room = Path(tempfile.mkdtemp(prefix="tusjumbo-many-", dir=asked.dir))
        try:
            print(parts[name](room), flush=True)
        except BenchmarkError as error:
            said = "\n".join(getattr(error, "__notes__", ()))  # the server's log among it
            print(f"many: {error}\n{said}", file=sys.stderr)
            return 1
        finally:
            shutil.rmtree(room, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
