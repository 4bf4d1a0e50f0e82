"""Medians and ratios of measurements, as Markdown and as JSON.

A ratio is made within a run, where both servers met the same machine, and the median is taken over
the runs' ratios; behind it stands their range. Failed measurements enter no figure; they are
listed. One table a workload, servers in the order of the command line, the generator's own limit
first.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import median

from tests.benchmarks.measure import Lacking, Measured, Measurement
from tests.benchmarks.servers import LIMIT
from tests.benchmarks.workloads import GIB, MIB, Measure, Workload

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

    def json(self) -> str:
        """Every single measurement, with what is needed to read it."""
        machine = {"cores": os.cpu_count(), "kernel": platform.release(), "cpu": _cpu()}
        return json.dumps(
            {
                "machine": machine | {"python": platform.python_version()},
                "baseline": self.baseline,
                "workloads": [asdict(workload) for workload in self.workloads],
                "measurements": [asdict(row) for row in self.measurements],
            },
            indent=1,
            default=lambda value: value.value,
        )

    def rows(self, workload: Workload, server: str) -> dict[int, Measured]:
        """The figures of each run that has some."""
        return {
            row.run: row.result
            for row in self.measurements
            if (row.workload, row.server) == (workload.name, server)
            and isinstance(row.result, Measured)
        }

    def ratios(self, workload: Workload, server: str, figure: Figure) -> list[float]:
        """The figure against the baseline's, for each run that has both."""
        base = self.rows(workload, self.baseline)
        found = []
        for run, row in self.rows(workload, server).items():
            ours, theirs = figure(row), figure(base[run]) if run in base else None
            if ours is not None and theirs:
                found.append(ours / theirs)
        return found

    def _table(self, workload: Workload) -> str:
        requests = workload.measure is Measure.REQUESTS
        rate = Measure.REQUESTS if requests else Measure.THROUGHPUT
        cpu = "µs/request" if requests else "s/GiB"
        heads = [h.format(rate=rate.value, cpu=cpu, baseline=self.baseline) for h in _HEADS]
        lines = [
            f"### {workload.name}: {workload.title}",
            "",
            f"| {' | '.join(heads)} |",
            "|---" + "|---:" * (len(heads) - 1) + "|",
        ]
        lines += [f"| {' | '.join(self._cells(workload, name))} |" for name in self.servers]
        return "\n".join(lines)

    def _cells(self, workload: Workload, server: str) -> list[str]:
        rows = list(self.rows(workload, server).values())
        if not rows:
            return [server, *["-"] * (len(_HEADS) - 1)]
        speed, cost = figures(workload)
        scale, cost_scale = (1.0, 1e6) if workload.measure is Measure.REQUESTS else (1 / GIB, 1.0)
        return [
            server,
            _median(map(speed, rows), scale),
            _spread(self.ratios(workload, server, speed)),
            _median(map(cost, rows), cost_scale),
            _spread(self.ratios(workload, server, cost)),
            _median((row.load.p50 for row in rows), 1e3),
            _median((row.load.p99 for row in rows), 1e3),
            _median((row.idle for row in rows), 1 / MIB),
            _median((row.peak for row in rows), 1 / MIB),
            _median((row.growth for row in rows), 1 / MIB),
            f"{median(row.load.busy for row in rows):.0%}",
            f"{median(row.load.queued for row in rows):.0%}",
        ]

    def _limit(self) -> str:
        """How we know whether the load generator was the limit."""
        lines = []
        for workload in self.workloads:
            if workload.measure is Measure.MEMORY:
                continue
            speed, _ = figures(workload)
            best: dict[str, float] = {}
            for server in self.servers:
                if server != LIMIT and server.startswith("raw-"):
                    continue  # a limit itself
                rows = self.rows(workload, server).values()
                found = [value for row in rows if (value := speed(row))]
                if found:
                    best[server] = median(found)
            limit = best.pop(LIMIT, None)
            if limit is None or not best:
                continue
            fastest = max(best, key=lambda name: best[name])
            times = limit / best[fastest]
            verdict = "not the limit" if times >= 1.2 else "**may limit the fastest server**"
            lines.append(f"- {workload.name}: {times:.1f}x the fastest ({fastest}): {verdict}")
        if not lines:
            return ""
        return (
            f"The load generator against {LIMIT}, a sink that drops the bytes uncopied in the"
            " kernel, in the same runs. In each row, busy is the part of one core that generating"
            " took, queued the part of the time in which others had its core (noise).\n\n"
            + "\n".join(lines)
        )

    def _failures(self) -> list[str]:
        lines = []
        for row in self.measurements:
            if isinstance(row.result, Lacking):
                lines.append(f"{row.server}, {row.workload}: {row.result.value}")
            elif isinstance(row.result, tuple):
                about = f"{row.server}, {row.workload}, run {row.run}"
                lines.append(f"{about}: {'; '.join(row.result)}")
        return list(dict.fromkeys(lines))


def figures(workload: Workload) -> tuple[Figure, Figure]:
    """How fast, and at what CPU cost."""
    if workload.measure is Measure.REQUESTS:
        return (lambda row: row.load.requests_per_second), (lambda row: row.cpu_per_request)
    return (lambda row: row.load.bytes_per_second), (lambda row: row.cpu_per_gib)


def _median(values: Iterable[float | None], scale: float) -> str:
    known = [value * scale for value in values if value is not None]
    return _number(median(known)) if known else "-"


def _spread(ratios: Sequence[float]) -> str:
    if not ratios:
        return "-"
    if len(ratios) == 1:
        return f"{ratios[0]:.2f}"
    return f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def _number(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _cpu() -> str:
    with open("/proc/cpuinfo") as lines:
        names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
