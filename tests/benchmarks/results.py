"""`python -m tests.benchmarks.results README.md`: write what recorded runs found into a document.

The runs are the files in `results/`, written by `--json` and kept; the table, the verdicts on the
targets and the chart are made from them and from nothing else. `make bench-results` measures anew.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

from tests.benchmarks.chart import chart
from tests.benchmarks.figures import Measured
from tests.benchmarks.records import Record
from tests.benchmarks.report import figures, number
from tests.benchmarks.targets import TARGETS, Target
from tests.benchmarks.workloads import GIB, MIB, Measure, Workload
from tusjumbo.cli.reference import replaced

BEGIN = "<!-- benchmarks: written by `make bench-readme` -->"
END = "<!-- end of benchmarks -->"
RESULTS = Path(__file__).with_name("results")
CHART = RESULTS / "chart.svg"

_CHART_FROM = RESULTS.parents[2]
"""What the document's path to the chart is relative to."""


def recorded() -> list[Record]:
    """The runs that are kept, by the names of their files."""
    return [Record.read(path.read_text()) for path in sorted(RESULTS.glob("*.json"))]


def inserted(document: str, records: Sequence[Record]) -> str:
    """`document` with what `records` found.

    :raises ValueError: it does not have the two marks, once each and in order
    """
    return replaced(document, BEGIN, END, "\n".join(_text(records)))


def _text(records: Sequence[Record]) -> Iterator[str]:
    if not records:
        yield "No run is recorded yet."
        return
    yield f"![Bars of the medians]({CHART.relative_to(_CHART_FROM)})"
    for n, record in enumerate(records, 1):
        machine = record.machine
        yield ""
        yield (
            f"Run {n}: {record.date} UTC, {machine['cpu']}, {machine['cores']} cores, Linux"
            f" {machine['kernel']}, Python {machine['python']}, {record.conditions}"
        )
        yield f"`{record.command}`"
        yield ""
        yield from _table(record)
    yield ""
    yield from _verdicts(records)


_UNITS = {
    Measure.THROUGHPUT: "GiB/s (CPU s/GiB)",
    Measure.REQUESTS: "requests/s",
    Measure.MEMORY: "grows by MiB",
    Measure.LATENCY: "p99 ms (idle)",
}


def _table(record: Record) -> Iterator[str]:
    workloads = record.report.workloads
    heads = [f"{row.name}, {_UNITS[row.measure]}" for row in workloads]
    yield f"| | {' | '.join(heads)} |"
    yield "|---" + "|---:" * len(heads) + "|"
    for server in record.report.servers:
        cells = [_cell(row, list(record.report.rows(row, server).values())) for row in workloads]
        if set(cells) != {"-"}:
            yield f"| {server} | {' | '.join(cells)} |"
    yield ""
    yield "; ".join(f"{row.name}: {row.title}" for row in workloads) + "."


def _cell(workload: Workload, rows: Sequence[Measured]) -> str:
    speed, cost = figures(workload)
    match workload.measure:
        case Measure.THROUGHPUT:
            cpu = _middle([cost(row) for row in rows])
            rate = _middle([speed(row) for row in rows], 1 / GIB)
            return rate if cpu == "-" else f"{rate} ({cpu})"
        case Measure.REQUESTS:
            return _middle([speed(row) for row in rows])
        case Measure.MEMORY:
            return _middle([row.growth for row in rows], 1 / MIB)
        case Measure.LATENCY:
            idle = _middle([row.quiet.p99 if row.quiet else None for row in rows], 1e3)
            late = _middle([row.probe.p99 if row.probe else None for row in rows], 1e3)
            return late if late == "-" else f"{late} ({idle})"


def _middle(values: Sequence[float | None], scale: float = 1.0) -> str:
    known = [value for value in values if value is not None]
    return number(median(known) * scale) if known else "-"


def _verdicts(records: Sequence[Record]) -> Iterator[str]:
    heads = " | ".join(f"Run {n}" for n in range(1, len(records) + 1))
    yield f"| Target, as a ratio within a run | | {heads} |"
    yield "|---|---|" + "---|" * len(records)
    for target in TARGETS:
        cells = " | ".join(_verdict(target, record) for record in records)
        yield f"| {target.title} | {target.wanted} | {cells} |"


def _verdict(target: Target, record: Record) -> str:
    values = target.values(record)
    found = f"{number(median(values))}: " if values else ""
    return f"{found}{target.verdict(values).value}" if values else "-"


def main(arguments: Sequence[str]) -> None:
    records = recorded()
    if records:
        CHART.write_text(chart(records[0]), encoding="utf-8")
    for path in map(Path, arguments):
        path.write_text(inserted(path.read_text(encoding="utf-8"), records), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
