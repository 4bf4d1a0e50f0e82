"""What was measured is kept as it was, judged as the targets say, and shown as it is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.benchmarks import assembling
from tests.benchmarks.chart import chart
from tests.benchmarks.checksums import HASH
from tests.benchmarks.figures import Lacking, Latency, Load, Measured, Measurement
from tests.benchmarks.records import Record, machine
from tests.benchmarks.report import Report
from tests.benchmarks.results import BEGIN, CHART, END, inserted, recorded
from tests.benchmarks.servers import LIMIT, NAMES, SINK
from tests.benchmarks.targets import OURS, PYTHON_PEERS, TARGETS, TUSD, Verdict, report
from tests.benchmarks.workloads import GIB, KIB, MIB, WORKLOADS

README = Path(__file__).parents[2] / "README.md"


def measured(rate: float, *, cpu: float = 1.0, growth: float = 5) -> Measured:
    """`rate` GiB and a thousand times as many requests in a second."""
    load = Load(1.0, int(rate * GIB), int(rate * 1000), 0.5, 0.25, 0.001, 0.002, 0.003)
    peak = int((10 + growth) * MIB)
    quiet, probe = Latency(100, 0.001, 0.002, 0.003), Latency(50, 0.004, 0.005, 0.006)
    return Measured(
        load=load, server_cpu=cpu * rate, idle=10 * MIB, peak=peak, quiet=quiet, probe=probe
    )


def a_record(
    rates: Mapping[str, Sequence[float]], *, directory: str = "shm", failed: Sequence[str] = ()
) -> Record:
    """Every workload with these rates a run; those that failed have errors, and lack a workload."""
    rows = [
        Measurement(server, row.name, run, measured(rate))
        for server, found in rates.items()
        for run, rate in enumerate(found, 1)
        for row in WORKLOADS
    ]
    rows += [Measurement(name, "W1", 1, ("PATCH: status 500",)) for name in failed]
    rows += [Measurement(name, "W4b", 1, Lacking.CREATION_WITH_UPLOAD) for name in failed]
    servers = [name for name in rates if name != HASH] + [*failed]
    return Record(
        date="2026-11-23 05:30",
        command="python -m tests.benchmarks --start 'a<b'",
        machine=machine(),
        runs=2,
        scale=0.5,
        directory=directory,
        pinned=True,
        report=Report([*WORKLOADS], servers, servers[0], rows),
    )


def test_what_is_written_is_read_back() -> None:
    record = a_record({OURS: [1.5, 2.0], HASH: [1.6]}, failed=["poor"])
    assert Record.read(record.json()) == record
    bare = Measured(load=Load(1.0, 2, 3), server_cpu=None)
    little = Report([WORKLOADS[0]], [OURS], OURS, [Measurement(OURS, "W1", 1, bare)])
    assert Record.read(replace(record, report=little).json()).report == little


# --- targets --------------------------------------------------------------------------------------


def test_every_row_of_the_targets_can_be_measured() -> None:
    known = {*NAMES, TUSD, HASH}
    for target in TARGETS:
        assert {target.of, *target.against} <= known
        assert target.workload in {row.name for row in WORKLOADS}
    assert set(PYTHON_PEERS) == {"tuspyserver", "tussi", "resumable-upload"}
    assert len({target.title for target in TARGETS}) == len(TARGETS)


def said(record: Record, title: str) -> str:
    lines = report(record).splitlines()
    return next(line for line in lines if line.startswith(f"- {title}:"))


@pytest.mark.parametrize(
    ("ours", "title", "line"),
    [
        (1.39, "W1 throughput vs tusd", "1.39 (target >= 1.4, stretch >= 1.6): not met"),
        (1.41, "W1 throughput vs tusd", "1.41 (target >= 1.4, stretch >= 1.6): met"),
        (1.61, "W1 throughput vs tusd", "1.61 (target >= 1.4, stretch >= 1.6): met, stretch too"),
        (0.70, "W7b throughput vs sha256 alone on one core", "0.70 (target >= 0.8): not met"),
        (0.99, "W4a requests/s vs tusd", "0.99 (target >= 1, stretch >= 1.5): not met"),
        (1.00, "W2 CPU per GiB vs tusd", "1.00 (target <= 0.7, stretch <= 0.55): not met"),
        (1.00, "W6b memory growth, MiB", "5.00 (target <= 64): met"),
        (
            2.00,
            "W3 throughput vs the best Python peer",
            "(target >= 2, stretch >= 3): not measured",
        ),
    ],
)
def test_verdicts(ours: float, title: str, line: str) -> None:
    record = a_record({OURS: [ours], TUSD: [1.0], HASH: [1.0]})
    assert said(record, title) == f"- {title}: {line}"


def test_the_median_of_the_ratios_counts_and_not_the_ratio_of_medians() -> None:
    record = a_record({OURS: [2.0, 9.0, 8.0], TUSD: [1.0, 6.0, 4.0]})
    assert said(record, "W1 throughput vs tusd") == (
        "- W1 throughput vs tusd: 2.00 (target >= 1.4, stretch >= 1.6, runs 1.50 to 2.00):"
        " met, stretch too"
    )


def test_the_best_peer_is_another_one_in_each_run() -> None:
    rates = {OURS: [6.0, 6.0], "tussi": [1.0, 3.0], "tuspyserver": [2.0, 1.0]}
    target = next(row for row in TARGETS if row.named == "the best Python peer")
    values = target.values(a_record(rates, failed=["resumable-upload"]))
    assert values == pytest.approx([3.0, 2.0])
    assert target.verdict(values) is Verdict.MET
    assert target.values(a_record(rates)) == []


def test_a_target_for_disks_does_not_count_in_memory() -> None:
    target = next(row for row in TARGETS if row.directory == "disk")
    rates = {"tusjumbo-commit": [3.0], "tussi": [2.0]}
    assert target.values(a_record(rates)) == []
    assert target.values(a_record(rates, directory="disk")) == [1.5]


def test_assembling_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(assembling, "TIMES", 1)
    assembling.main(str(tmp_path), [96 * KIB])
    _, *rows = capsys.readouterr().out.splitlines()
    assert [row.rsplit(maxsplit=1)[0] for row in rows] == [
        *("the last chunk of 5 MiB", "joining 8 parts", "a plain copy")
    ]
    assert all(float(row.split()[-1]) > 0 for row in rows)
    assert list(tmp_path.iterdir()) == []


# --- chart and document ---------------------------------------------------------------------------


def test_a_chart_has_a_bar_for_each_figure_as_long_as_it_is_large() -> None:
    record = a_record({LIMIT: [9.0], OURS: [3.0], TUSD: [1.5], SINK: [6.0]}, failed=["poor"])
    tree = ElementTree.fromstring(chart(record))
    svg = "{http://www.w3.org/2000/svg}"
    first, *_, last = tree.findall(f"{svg}g")
    widths = [int(bar.attrib["width"]) for bar in first.findall(f"{svg}rect")]
    assert widths == [100, 50, 200]
    assert [text.text for text in first.findall(f"{svg}text")] == [
        "W1: one upload, GiB/s",
        *(OURS, "3.00", TUSD, "1.50", SINK, "6.00", "poor", "-"),
    ]
    assert len(last.findall(f"{svg}rect")) == 2
    assert "prefers-color-scheme: dark" in chart(record)


def test_the_document_shows_what_was_recorded() -> None:
    records = [a_record({OURS: [1.5], TUSD: [1.0]}), a_record({OURS: [2.0]}, failed=["poor"])]
    text = inserted(f"a {BEGIN} old {END} b", records)
    lines = text.splitlines()
    assert lines[0] == f"a {BEGIN}"
    assert lines[-1] == f"{END} b"
    row = next(line for line in lines if line.startswith(f"| {OURS} |"))
    assert row.startswith(f"| {OURS} | 1.50 (1.00) | 1.50 (1.00) |")
    assert row.endswith("| 5.00 (2.00) |")
    assert "| poor |" not in text
    assert "| W1 throughput vs tusd | target >= 1.4, stretch >= 1.6 | 1.50: met | - |" in lines
    assert "No run is recorded" in inserted(f"{BEGIN}{END}", [])


def test_readme_and_chart_are_the_recorded_runs() -> None:
    records = recorded()
    readme = README.read_text(encoding="utf-8")
    assert inserted(readme, records) == readme, "run `make bench-readme`"
    assert CHART.exists() == bool(records)
    if records:
        assert CHART.read_text(encoding="utf-8") == chart(records[0]), "run `make bench-readme`"
        assert [row for row in records if row.report.servers[0] != LIMIT] == []
