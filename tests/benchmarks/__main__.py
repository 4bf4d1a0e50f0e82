"""`python -m tests.benchmarks`: measure tus servers side by side and print tables.

    python -m tests.benchmarks                                  ours against the raw sink
    python -m tests.benchmarks --start tusjumbo --start tussi --only W1,W3 --runs 5 --dir shm --pin
    tusd -host 127.0.0.1 -port 1080 -upload-dir /dev/shm/tusd &
    python -m tests.benchmarks --start tusjumbo-os --server tusd=http://127.0.0.1:1080/files/ \\
        --dir shm --baseline tusd

Servers take turns within a run (A B C, then B C A, ...), because machines drift: only ratios
within a run say something. The first row is always the load generator against a sink that discards,
its own limit. Behind the tables stands what the run says of each target.
Exit code 0: measured; 1: some server answered wrongly; 2: could not begin.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import signal
import sys
import tempfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from tests.benchmarks.chart import chart
from tests.benchmarks.checksums import measured_alone
from tests.benchmarks.figures import Measurement
from tests.benchmarks.measure import Bench
from tests.benchmarks.records import Record, machine
from tests.benchmarks.report import Report
from tests.benchmarks.servers import LIMIT, NAMES, Found, Server, started
from tests.benchmarks.targets import report as targets
from tests.benchmarks.tools import CACHE, BenchmarkError, compiled
from tests.benchmarks.workloads import GIB, WORKLOADS, Workload, chosen

DEFAULT = [("start", "tusjumbo"), ("start", "raw-sink")]


class _InOrder(argparse.Action):
    """Keep `--start` and `--server` in the order in which they were given."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[object] | None,
        option_string: str | None = None,
    ) -> None:
        namespace.servers = [*namespace.servers, (self.metavar, values)]


def options(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = ", ".join(row.name for row in WORKLOADS)
    parser.add_argument(
        "--start",
        dest="servers",
        action=_InOrder,
        metavar="start",
        help=f"any of: {', '.join(NAMES)}",
    )
    parser.add_argument(
        "--server",
        dest="servers",
        action=_InOrder,
        metavar="server",
        help="NAME=URL, running already",
    )
    parser.add_argument(
        "--pid", action="append", default=[], help="NAME=PID of a --server (else by its port)"
    )
    parser.add_argument("--only", default="", help=f"comma-separated, of: {names}, W4, W6, W7, W8")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument(
        "--scale", type=float, default=1.0, help="0.25: a quarter of sizes and times"
    )
    parser.add_argument("--dir", default="disk", help="disk (the cache), shm, or a directory")
    parser.add_argument("--pin", action="store_true", help="servers on one core, load on another")
    parser.add_argument("--baseline", help="the server to compare with (default: the first)")
    parser.add_argument("--json", type=Path, help="write every measurement to this file")
    parser.add_argument("--chart", type=Path, help="draw the medians as bars to this SVG file")
    parser.add_argument("--cache", type=Path, default=CACHE, help=argparse.SUPPRESS)
    parser.set_defaults(servers=[])
    return parser.parse_args(words)


def servers_of(asked: argparse.Namespace) -> list[Server]:
    pids = dict(_pair("--pid", word) for word in asked.pid)
    servers: list[Server] = [*started(LIMIT, asked.cache)]
    for kind, word in asked.servers or DEFAULT:
        if kind == "start":
            print(f"preparing {word}", file=sys.stderr)
            servers += [one for one in started(word, asked.cache) if one.name != LIMIT]
            continue
        name, url = _pair("--server", word)
        pid = pids.pop(name, None)
        servers.append(Found(name, url, int(pid) if pid else None))
    if pids:
        raise BenchmarkError(f"--pid: there is no --server {', '.join(pids)}")
    if len({server.name for server in servers}) < len(servers):
        raise BenchmarkError("two servers have the same name")
    return servers


def _pair(option: str, word: str) -> tuple[str, str]:
    name, equals, value = word.partition("=")
    if not (name and equals and value):
        raise BenchmarkError(f"{option} {word}: write NAME=VALUE")
    return name, value


def baseline_of(asked: argparse.Namespace, names: Sequence[str]) -> str:
    baseline: str = asked.baseline or names[1]
    if baseline not in names:
        raise BenchmarkError(f"--baseline {baseline}: there are {', '.join(names)}")
    return baseline


@contextmanager
def room_of(asked: argparse.Namespace, workloads: Sequence[Workload]) -> Iterator[Path]:
    """An empty directory that goes away again."""
    parent = {"disk": asked.cache / "uploads", "shm": Path("/dev/shm")}.get(asked.dir)
    parent = (parent or Path(asked.dir)).resolve()
    parent.mkdir(parents=True, exist_ok=True)
    needed = max(workload.memory for workload in workloads) * 2
    if shutil.disk_usage(parent).free < needed:
        raise BenchmarkError(f"{parent} needs {needed / GIB:.1f} GiB free; use a smaller --scale")
    room = Path(tempfile.mkdtemp(prefix="tusjumbo-bench-", dir=parent))
    try:
        yield room
    finally:
        shutil.rmtree(room, ignore_errors=True)


def separate_cores(pin: bool) -> Collection[int] | None:
    """Move to the last core and return the first for the servers."""
    if not pin:
        return None
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise BenchmarkError("--pin needs two cores")
    os.sched_setaffinity(0, cores[-1:])
    return cores[:1]


def measure_all(
    bench: Bench, servers: Sequence[Server], workloads: Sequence[Workload], runs: int
) -> Iterator[Measurement]:
    for run in range(1, runs + 1):
        for workload in workloads:
            if workload.checksum:
                yield measured_alone(workload, run, bench.server_cpus)
            turn = run % len(servers)
            for server in [*servers[turn:], *servers[:turn]]:
                print(f"run {run}: {workload.name} {server.name}", file=sys.stderr, flush=True)
                yield bench.measure(server, workload, run)


def main(words: Sequence[str] | None = None) -> int:
    words = sys.argv[1:] if words is None else words
    asked = options(words)
    began = datetime.now(UTC)
    signal.signal(signal.SIGTERM, _as_interrupt)
    rows: list[Measurement] = []
    try:
        workloads = chosen([name for name in asked.only.split(",") if name], asked.scale)
        generator = compiled("load", asked.cache)
        servers = servers_of(asked)
        names = [server.name for server in servers]
        baseline = baseline_of(asked, names)
        cpus = separate_cores(asked.pin)
        with room_of(asked, workloads) as room:
            try:
                bench = Bench(generator, compiled("slowsync", asked.cache), room, cpus)
                for row in measure_all(bench, servers, workloads, asked.runs):
                    rows.append(row)
            except KeyboardInterrupt:
                print("interrupted: what was measured so far", file=sys.stderr)
    except BenchmarkError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    record = Record(
        date=f"{began:%Y-%m-%d %H:%M}",
        command=shlex.join(["python", "-m", "tests.benchmarks", *words]),
        machine=machine(),
        runs=asked.runs,
        scale=asked.scale,
        directory=asked.dir,
        pinned=asked.pin,
        report=Report(workloads, names, baseline, rows),
    )
    print(f"{record.conditions}\n\n{record.report.markdown()}\n{targets(record)}")
    if asked.json:
        asked.json.write_text(record.json())
    if asked.chart:
        asked.chart.write_text(chart(record))
    return 1 if any(isinstance(row.result, tuple) for row in rows) else 0


def _as_interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
