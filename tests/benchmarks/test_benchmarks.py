"""The figures can be trusted: they are filled in, counted right, and never come from wrong answers.

Every workload runs tiny against the raw sink and against our own server; the scripted server then
departs from the protocol in one way at a time. No test looks at how fast anything was.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from tests.benchmarks.checksums import measured_alone
from tests.benchmarks.figures import Lacking, Load, Measured, Measurement
from tests.benchmarks.measure import Bench, warm_memory
from tests.benchmarks.report import Report
from tests.benchmarks.scripted import Manner, scripted
from tests.benchmarks.servers import LIMIT, Found, Running, Started, started
from tests.benchmarks.tools import CACHE, BenchmarkError, compiled
from tests.benchmarks.workloads import (
    KIB,
    MIB,
    PROBE,
    WORKLOADS,
    Disk,
    Measure,
    Mode,
    Workload,
    chosen,
)
from tests.harness.wire import poll

ROOT = Path(__file__).parents[2]


def tiny(name: str) -> Workload:
    workload = next(row for row in WORKLOADS if row.name == name).scaled(0.001)
    connections = min(workload.connections, 2 if workload.disk is Disk.SLOW_SYNC else 8)
    return replace(workload, connections=connections, chunk=min(workload.chunk, 300 * KIB))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    programs = compiled("load", CACHE), compiled("slowsync", CACHE)
    return Bench(*programs, tmp_path, limit=20, quiet=0.1, sync_ms=50, settle=False)


@pytest.fixture(params=["raw-sink", LIMIT, "tusjumbo-commit", "tusjumbo-os", "tusjumbo-os-uvicorn"])
def server(request: pytest.FixtureRequest) -> Started:
    return started(request.param, CACHE)[0]


def figures(measurement: Measurement) -> Measured:
    assert isinstance(measurement.result, Measured), measurement.result
    return measurement.result


@pytest.mark.wire
@pytest.mark.parametrize("name", [row.name for row in WORKLOADS])
def test_every_figure_is_filled_in(bench: Bench, server: Started, name: str) -> None:
    workload = tiny(name)
    found = figures(bench.measure(server, workload, 1))
    load = found.load
    if workload.mode in (Mode.STREAM, Mode.SLOW):
        patches = -(-workload.size // workload.chunk)
        assert load.bytes == workload.connections * workload.size
        assert load.requests == workload.connections * patches
    else:
        each = {Mode.UPLOAD: workload.size / 2, Mode.WHOLE: workload.size, Mode.HEAD: 0}
        assert load.requests >= workload.connections
        assert load.bytes == load.requests * each[workload.mode]
        assert found.cpu_per_request is not None
    assert (found.cpu_per_gib is None) == (workload.mode is Mode.HEAD)
    assert 0 < load.p50 <= load.p99 <= load.longest <= load.seconds
    assert 0 < load.busy < 1.5
    assert load.queued >= 0
    assert found.server_cpu is not None
    assert found.server_cpu > 0
    assert found.idle is not None
    assert found.peak is not None
    assert found.idle > 100 * KIB < found.peak
    assert (found.quiet is None) == (workload.measure is not Measure.LATENCY)
    if server.name == "tusjumbo-commit" and workload.disk is Disk.SLOW_SYNC:
        assert load.p50 > bench.sync_ms / 1000
        assert found.probe is not None
    assert list(bench.room.iterdir()) == []


@pytest.mark.wire
@pytest.mark.parametrize(
    "name", ["tusjumbo-commit-2", "tusjumbo-os-granian", "tusjumbo-os-hypercorn"]
)
def test_other_hosts_and_more_workers(bench: Bench, name: str) -> None:
    server = started(name, CACHE)[0]
    assert server.name == name
    with server.running(bench.room, None) as up:
        assert up.processes is not None
        processes, least = up.processes, 3 if name.endswith("-2") else 1
        poll(lambda: len(processes.pids()) >= least, 10, "there are no workers")
    figures(bench.measure(server, tiny("W4a"), 1))


@pytest.mark.parametrize(
    "manner",
    [Manner.ABSOLUTE, Manner.RELATIVE, Manner.CHUNKED, Manner.INTERIM, Manner.CLOSING],
    ids=lambda manner: manner.name,
)
@pytest.mark.parametrize("name", ["W2", "W4a", "W4b", "W5"])
def test_other_right_ways_to_answer(bench: Bench, manner: Manner, name: str) -> None:
    with scripted(manner) as running:
        figures(bench.measure(Found("other", running.url), tiny(name), 1))


@pytest.mark.parametrize(
    ("manner", "name", "said"),
    [
        (Manner.NOT_CREATED, "W4a", "POST: status 200, expected 201"),
        (Manner.NO_LOCATION, "W4a", "POST: no usable Location"),
        (Manner.NOT_PATCHED, "W1", "PATCH: status 200, expected 204"),
        (Manner.NOT_PATCHED, "W4a", "PATCH: status 200, expected 204"),
        (Manner.BEHIND, "W2", "PATCH: Upload-Offset 307199, expected 307200"),
        (Manner.BEHIND, "W6b", "PATCH: Upload-Offset 65535, expected 65536"),
        (Manner.NO_OFFSET, "W3", "PATCH: status 204, but no Upload-Offset"),
        (Manner.LATE_OFFSET, "W4b", "POST: Upload-Offset 0, expected 4096"),
        (Manner.WRONG_HEAD, "W5", "HEAD: Upload-Offset 2049, expected 2048"),
        (Manner.EARLY, "W1", "PATCH: status 413 before the end of the body"),
        (Manner.CUT, "W1", "PATCH: "),  # how it notices is a matter of luck
        (Manner.GONE, "W1", "PATCH: connection closed without an answer"),
        (Manner.NOT_HTTP, "W1", "PATCH: not HTTP/1.1: ICY 200 OK??"),
        (Manner.SILENT, "W4a", "PATCH: no answer within 0.5 s"),
        (Manner.TOO_MUCH, "W2", "PATCH: bytes that nobody asked for"),
    ],
    ids=lambda value: value.name if isinstance(value, Manner) else None,
)
def test_wrong_answers_are_errors(bench: Bench, manner: Manner, name: str, said: str) -> None:
    limit = 0.5 if manner is Manner.SILENT else bench.limit
    workload = tiny(name)
    if manner in (Manner.EARLY, Manner.CUT):  # while the body is being sent: it fits no buffer
        workload = replace(workload, size=64 * MIB, chunk=64 * MIB)
    with scripted(manner) as running:
        found = Found("wrong", running.url)
        measurement = replace(bench, limit=limit).measure(found, workload, 1)
    assert isinstance(measurement.result, tuple)
    assert measurement.result[0][: len(said)] == said


def test_what_is_not_offered_is_not_asked_for(bench: Bench) -> None:
    with scripted(Manner.LESS) as running:
        found = Found("less", running.url)
        lacking = [bench.measure(found, tiny(name), 1).result for name in ("W4b", "W7a", "W8b")]
        assert running.created == 0
        figures(bench.measure(found, tiny("W4a"), 1))
    assert lacking == [Lacking.CREATION_WITH_UPLOAD, Lacking.CHECKSUM, Lacking.SLOW_SYNC]


@pytest.mark.parametrize("name", ["W7a", "W7b"])
def test_every_patch_has_its_checksum(bench: Bench, name: str) -> None:
    workload = replace(tiny(name), size=700 * KIB + 1)  # the last of three is shorter
    with scripted(Manner.PLAIN) as running:
        figures(bench.measure(Found("exact", running.url), workload, 1))
        assert running.verified == 2 * 3  # and as many that warm it up
    assert figures(measured_alone(workload, 1, None)).load.bytes == workload.size


def test_who_waits_for_a_stalled_server_is_counted(bench: Bench) -> None:
    """500 requests a second are due and 20 are answered: each comes later than the one before."""
    probe = replace(PROBE, connections=1, chunk=500, seconds=0.5)
    words = probe.arguments(10, delete=True)
    with scripted(Manner.SLOW_HEAD) as running:
        command = [str(bench.generator), running.url, *words]
        done = subprocess.run(command, capture_output=True, check=True, timeout=30)
    took = [one for _, one in json.loads(done.stdout)["paced"]]
    assert all(one >= (n + 1) * 0.045 for n, one in enumerate(sorted(took)))


@pytest.mark.parametrize("name", ["W1", "W4a", "W4b", "W5"])
def test_a_server_of_others_is_left_empty(bench: Bench, name: str) -> None:
    with scripted(Manner.PLAIN) as running:
        figures(bench.measure(Found("theirs", running.url), tiny(name), 1))
        assert running.created > 0
        assert running.uploads == {}


def test_a_server_is_found_by_its_port(bench: Bench) -> None:
    with (
        scripted(Manner.PLAIN) as running,
        Found("mine", running.url).running(bench.room, None) as up,
    ):
        assert up.processes is not None
        assert up.processes.roots == (os.getpid(),)
        assert up.processes.resident() > MIB
        assert not up.owned


@pytest.mark.parametrize(
    "url", ["http://192.0.2.1:80/files/", "http://example.org/", "https://127.0.0.1:1/"]
)
def test_load_stays_on_this_machine(bench: Bench, url: str) -> None:
    with pytest.raises(BenchmarkError, match="load stays here"):
        Found("far", url)
    words = tiny("W1").arguments(1, delete=False)
    done = subprocess.run([str(bench.generator), url, *words], capture_output=True, check=False)
    assert done.returncode == 2


def test_a_server_that_does_not_start_is_an_error(bench: Bench) -> None:
    server = Started("lame", lambda port, uploads: ["sh", "-c", "echo no legs; exit 3"])
    measurement = bench.measure(server, tiny("W1"), 1)
    assert measurement.result == ("lame ended after its start: no legs",)


@contextmanager
def broken_off(server: Started, room: Path) -> Iterator[Running]:
    with pytest.raises(KeyboardInterrupt), server.running(room, None) as up:  # noqa: PT012
        yield up
        raise KeyboardInterrupt


def test_whatever_is_started_ends(tmp_path: Path) -> None:
    """Also a child that does not listen to SIGTERM, and also when the measurement breaks off."""
    sink = started("raw-sink", CACHE)[0]

    def stubborn(port: int, uploads: Path) -> list[str]:
        words = " ".join(sink.command(port, uploads))
        return ["sh", "-c", f"(trap '' TERM; sleep 600; true) & exec {words}"]

    with broken_off(Started("stubborn", stubborn), tmp_path) as up:
        assert up.processes is not None
        processes = up.processes
        poll(lambda: len(processes.pids()) == 3, 10, "the child does not start one of its own")
        pids = processes.pids()
    # SIGKILL takes a moment to arrive.
    poll(lambda: not any(alive(pid) for pid in pids), 10, "something goes on running")
    assert list(tmp_path.iterdir()) == []


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "tests.benchmarks", *words]


def test_the_command(tmp_path: Path) -> None:
    with scripted(Manner.BEHIND) as wrong:
        report = tmp_path / "report.json"
        done = subprocess.run(
            command(
                *("--server", f"wrong={wrong.url}", "--start", "raw-sink"),
                *("--only", "W1,W5", "--runs", "2", "--scale", "0.001"),
                *("--dir", str(tmp_path / "room"), "--baseline", "raw-sink"),
                *("--json", str(report), "--pin"),
            ),
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 1, done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith("| ")]
    assert [row.split(" | ")[0] for row in rows] == [
        *("| server", f"| {LIMIT}", "| wrong", "| raw-sink"),
        *("| server", f"| {LIMIT}", "| wrong", "| raw-sink"),
    ]
    assert "| raw-sink | - |" not in done.stdout
    assert "- wrong, W1, run 2: PATCH: Upload-Offset" in done.stdout
    assert len(json.loads(report.read_text())["measurements"]) == 12
    assert list((tmp_path / "room").iterdir()) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--only", "W9"], "no workload W9"),
        (["--start", "apache"], "cannot start apache"),
        (["--server", "x"], "--server x: write NAME=VALUE"),
        (["--server", "x=http://127.0.0.1:1/", "--pid", "y=1"], "there is no --server y"),
        (["--start", "raw-sink", "--start", "raw-sink"], "two servers have the same name"),
        (["--start", "raw-sink", "--baseline", "tusd"], "--baseline tusd: there are raw-null"),
        (["--start", "raw-sink", "--scale", "100000"], "GiB free"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_mistakes_are_one_line(words: list[str], said: str) -> None:
    done = subprocess.run(
        command(*words), cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert said in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_nothing_behind(tmp_path: Path, number: signal.Signals) -> None:
    words = command("--start", "raw-sink", "--only", "W6b", "--dir", str(tmp_path))
    with subprocess.Popen(
        words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as bench:
        children = children_of(bench.pid, at_least=2)  # a server and the load generator
        bench.send_signal(number)
        out, err = bench.communicate(timeout=30)
    assert "interrupted" in err
    assert "W6b" in out
    _, left = psutil.wait_procs(children, timeout=10)
    assert not left
    assert list(tmp_path.iterdir()) == []


def children_of(pid: int, at_least: int) -> list[psutil.Process]:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        children = psutil.Process(pid).children(recursive=True)
        if len(children) >= at_least:
            return children
        time.sleep(0.01)
    raise AssertionError("nothing was started")


# --- workloads and report, without any server -----------------------------------------------------


def test_choosing_workloads() -> None:
    assert chosen([], 1) == list(WORKLOADS)
    assert [row.name for row in chosen(["W6", "W1"], 1)] == ["W1", "W6a", "W6b"]
    assert [row.name for row in chosen(["W4b"], 1)] == ["W4b"]
    quarter = chosen(["W1", "W4a"], 0.25)
    assert [(row.size, row.seconds) for row in quarter] == [(512 * MIB, 0), (4 * KIB, 1)]


def measured(server: str, run: int, rate: float, cpu: float) -> Measurement:
    load = Load(1.0, int(rate * (1 << 30)), 10, 0.5, 0.0, 0.001, 0.002, 0.003)
    result = Measured(load=load, server_cpu=cpu * rate, idle=10 * MIB, peak=15 * MIB)
    return Measurement(server, "W1", run, result)


def test_ratios_are_made_within_runs_and_failures_left_out() -> None:
    rows = [
        *(measured(LIMIT, run, 8.0, 0.1) for run in (1, 2, 3, 4)),
        # The machine slows down from run to run: the median of ratios is 2, whatever the medians.
        *(measured("base", run, rate, 1.0) for run, rate in enumerate([4.0, 2.0, 1.0, 0.5], 1)),
        *(measured("ours", run, rate, 0.5) for run, rate in enumerate([8.0, 4.0, 2.0], 1)),
        Measurement("ours", "W1", 4, ("PATCH: status 500, expected 204",)),
        Measurement("poor", "W1", 1, Lacking.CREATION_WITH_UPLOAD),
    ]
    workload = WORKLOADS[0]
    report = Report([workload], [LIMIT, "base", "ours", "poor"], "base", rows)
    assert report.ratios(workload, "ours", lambda row: row.load.bytes_per_second) == [2, 2, 2]
    lines = report.markdown().splitlines()
    assert next(line for line in lines if line.startswith("| ours")) == (
        "| ours | 4.00 | 2.00 (2.00 to 2.00) | 0.50 | 0.50 (0.50 to 0.50)"
        " | 1.00 | 2.00 | 10.0 | 15.0 | 5.00 | 50% | 0% |"
    )
    assert "| poor | - | - | - | - | - | - | - | - | - | - | - |" in lines
    assert "- W1: 2.0x the fastest (ours): not the limit" in lines
    assert "- ours, W1, run 4: PATCH: status 500, expected 204" in lines
    assert "- poor, W1: does not offer creation-with-upload" in lines


def test_a_generator_near_its_limit_is_told() -> None:
    rows = [measured(LIMIT, 1, 4.4, 0.1), measured("fast", 1, 4.0, 0.2)]
    text = Report(WORKLOADS[:1], [LIMIT, "fast"], "fast", rows).markdown()
    assert "- W1: 1.1x the fastest (fast): **may limit the fastest server**" in text


def test_every_measure_has_a_workload() -> None:
    assert {row.measure for row in WORKLOADS} == set(Measure)
    assert {row.mode for row in (*WORKLOADS, PROBE)} == set(Mode)


def test_warming_memory_keeps_none() -> None:
    before = psutil.Process().memory_info().rss
    warm_memory(256 * MIB)
    assert psutil.Process().memory_info().rss < before + 64 * MIB
