"""Medians and ratios of measurements, as Markdown.

A ratio is made within a run, where both servers met the same machine, and the median is taken over
the runs' ratios; behind it stands their range. Failed measurements enter no figure; they are
listed. One table a workload, servers in the order of the command line, the generator's own limit
first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from tests.benchmarks.checksums import HASH
from tests.benchmarks.figures import Lacking, Measured, Measurement
from tests.benchmarks.servers import LIMIT, SINK
from tests.benchmarks.workloads import GIB, MIB, Measure, Mode, Workload

Figure = Callable[[Measured], float | None]

_HEADS = (
    "server",
    "{rate}",
    "x {baseline}",
    "CPU {cpu}",
    "x {baseline}",
    "p50 ms",
    "p99 ms",
    "idle MiB",
    "peak MiB",
    "growth MiB",
    "generator busy",
    "queued",
)
_LATENCY_HEADS = (
    "server",
    "idle: p50 ms",
    "p99 ms",
    "max ms",
    "loaded: p50 ms",
    "p99 ms",
    "max ms",
    "p99 x {baseline}",
    "meanwhile {rate}",
    "generator busy",
    "queued",
)


@dataclass(frozen=True)
class Report:
    workloads: Sequence[Workload]
    servers: Sequence[str]
    baseline: str
    measurements: Sequence[Measurement]

    def markdown(self) -> str:
        parts = [self._table(workload) for workload in self.workloads]
        parts.append(self._limit())
        if failures := self._failures():
            parts.append("Not measured:\n" + "\n".join(f"- {line}" for line in failures))
        return "\n\n".join(part for part in parts if part) + "\n"

    def rows(self, workload: Workload, server: str) -> dict[int, Measured]:
        """The figures of each run that has some."""
        return {
            row.run: row.result
            for row in self.measurements
            if (row.workload, row.server) == (workload.name, server)
            and isinstance(row.result, Measured)
        }

    def values(self, workload: Workload, server: str, figure: Figure) -> dict[int, float]:
        """One figure of each run that has it."""
        found = {run: figure(row) for run, row in self.rows(workload, server).items()}
        return {run: value for run, value in found.items() if value is not None}

    def ratios(self, workload: Workload, server: str, figure: Figure) -> list[float]:
        """The figure against the baseline's, for each run that has both."""
        base = self.values(workload, self.baseline, figure)
        return ratios(self.values(workload, server, figure), base)

    def _table(self, workload: Workload) -> str:
        latency = workload.measure is Measure.LATENCY
        rate = Measure.REQUESTS if _repeats(workload) else Measure.THROUGHPUT
        cpu = "µs/request" if _repeats(workload) else "s/GiB"
        heads = [
            head.format(rate=rate.value, cpu=cpu, baseline=self.baseline)
            for head in (_LATENCY_HEADS if latency else _HEADS)
        ]
        lines = [
            f"### {workload.name}: {workload.title}",
            "",
            f"| {' | '.join(heads)} |",
            "|---" + "|---:" * (len(heads) - 1) + "|",
        ]
        for name in self.servers:
            rows = list(self.rows(workload, name).values())
            cells = self._latencies if latency else self._cells
            shown = cells(workload, name, rows) if rows else ["-"] * (len(heads) - 1)
            lines.append(f"| {' | '.join([name, *shown])} |")
        if alone := list(self.values(workload, HASH, _bytes_per_second).values()):
            limit = f"{workload.checksum} alone on one core, in the same runs"
            lines += ["", f"{limit}: {_median(alone, 1 / GIB)} GiB/s."]
        return "\n".join(lines)

    def _cells(self, workload: Workload, server: str, rows: Sequence[Measured]) -> list[str]:
        speed, cost = figures(workload)
        scale, cost_scale = (1.0, 1e6) if _repeats(workload) else (1 / GIB, 1.0)
        return [
            _median(map(speed, rows), scale),
            spread(self.ratios(workload, server, speed)),
            _median(map(cost, rows), cost_scale),
            spread(self.ratios(workload, server, cost)),
            _median((row.load.p50 for row in rows), 1e3),
            _median((row.load.p99 for row in rows), 1e3),
            _median((row.idle for row in rows), 1 / MIB),
            _median((row.peak for row in rows), 1 / MIB),
            _median((row.growth for row in rows), 1 / MIB),
            *_noise(rows),
        ]

    def _latencies(self, workload: Workload, server: str, rows: Sequence[Measured]) -> list[str]:
        cells: list[str] = []
        for known in ([row.quiet for row in rows], [row.probe for row in rows]):
            found = [one for one in known if one]
            cells += [
                _median((one.p50 for one in found), 1e3),
                _median((one.p99 for one in found), 1e3),
                _median((one.longest for one in found), 1e3),
            ]
        speed, _ = figures(workload)
        return [
            *cells,
            spread(self.ratios(workload, server, late_head)),
            _median(map(speed, rows), 1.0 if _repeats(workload) else 1 / GIB),
            *_noise(rows),
        ]

    def _limit(self) -> str:
        """How we know whether the load generator was the limit, and how far the machine's is."""
        lines = [line for workload in self.workloads if (line := self._limit_of(workload))]
        if not lines:
            return ""
        return (
            f"The load generator against {LIMIT}, a sink that drops the bytes uncopied in the"
            f" kernel, in the same runs; and {SINK}, the least that stores them. In each row, busy"
            " is the part of one core that generating took, queued the part of the time in which"
            " others had its core (noise).\n\n" + "\n".join(lines)
        )

    def _limit_of(self, workload: Workload) -> str:
        if workload.measure in (Measure.MEMORY, Measure.LATENCY):
            return ""
        speed, _ = figures(workload)
        found = {name: self.values(workload, name, speed) for name in self.servers}
        medians = {name: median(values.values()) for name, values in found.items() if values}
        limit, sink = medians.pop(LIMIT, None), medians.pop(SINK, None)
        if limit is None or not medians:
            return ""
        fastest = max(medians, key=lambda name: medians[name])
        times = limit / medians[fastest]
        verdict = "not the limit" if times >= 1.2 else "**may limit the fastest server**"
        least = f"; {SINK} {sink / medians[fastest]:.2f}x" if sink else ""
        return f"- {workload.name}: {times:.1f}x the fastest ({fastest}): {verdict}{least}"

    def _failures(self) -> list[str]:
        lines = []
        for row in self.measurements:
            if isinstance(row.result, Lacking):
                lines.append(f"{row.server}, {row.workload}: {row.result.value}")
            elif isinstance(row.result, tuple):
                about = f"{row.server}, {row.workload}, run {row.run}"
                lines.append(f"{about}: {'; '.join(row.result)}")
        return list(dict.fromkeys(lines))


def ratios(ours: Mapping[int, float], theirs: Mapping[int, float]) -> list[float]:
    """Within each run that has both."""
    return [value / theirs[run] for run, value in ours.items() if theirs.get(run)]


def spread(values: Sequence[float]) -> str:
    """The median, and the range of several."""
    if not values:
        return "-"
    if len(values) == 1:
        return f"{values[0]:.2f}"
    return f"{median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def figures(workload: Workload) -> tuple[Figure, Figure]:
    """How fast, and at what CPU cost."""
    if _repeats(workload):
        return (lambda row: row.load.requests_per_second), (lambda row: row.cpu_per_request)
    return _bytes_per_second, (lambda row: row.cpu_per_gib)


def late_head(row: Measured) -> float | None:
    """p99 of HEAD under load."""
    return row.probe.p99 if row.probe else None


def _bytes_per_second(row: Measured) -> float | None:
    return row.load.bytes_per_second


def _repeats(workload: Workload) -> bool:
    """Whether it is about requests in a time, and not about the time that bytes take."""
    return workload.mode in (Mode.UPLOAD, Mode.WHOLE, Mode.HEAD)


def _noise(rows: Sequence[Measured]) -> list[str]:
    return [
        f"{median(row.load.busy for row in rows):.0%}",
        f"{median(row.load.queued for row in rows):.0%}",
    ]


def _median(values: Iterable[float | None], scale: float) -> str:
    known = [value * scale for value in values if value is not None]
    return number(median(known)) if known else "-"


def number(value: float) -> str:
    """With about three digits."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
