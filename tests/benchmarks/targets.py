"""The targets of PERFORMANCE.md's last table as data, and what a run says of each.

A target compares one figure of ours with somebody else's within each run, and the median of those
ratios counts; against several peers it is the best of them in each run. A target whose figures the
run does not have is not measured, never met. One row of the table is no ratio of a run: how long
assembling takes is measured by `assembling.py`.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from tests.benchmarks.checksums import HASH
from tests.benchmarks.records import Record
from tests.benchmarks.report import Figure, number, ratios
from tests.benchmarks.servers import SINK
from tests.benchmarks.workloads import MIB, Workload
from tests.harness.peers import PEERS, Registry

TUSD = "tusd"
"""The name that `--server tusd=URL` gives it."""

PYTHON_PEERS = tuple(peer.name for peer in PEERS if peer.registry is Registry.PYPI)


class What(enum.Enum):
    THROUGHPUT = "throughput"
    CPU = "CPU per GiB"
    REQUESTS = "requests/s"
    GROWTH = "memory growth, MiB"

    @property
    def figure(self) -> Figure:
        return _FIGURES[self]


_FIGURES: dict[What, Figure] = {
    What.THROUGHPUT: lambda row: row.load.bytes_per_second,
    What.CPU: lambda row: row.cpu_per_gib,
    What.REQUESTS: lambda row: row.load.requests_per_second,
    What.GROWTH: lambda row: None if row.growth is None else row.growth / MIB,
}


class Sense(enum.Enum):
    AT_LEAST = ">="
    AT_MOST = "<="

    def holds(self, value: float, bound: float) -> bool:
        return value >= bound if self is Sense.AT_LEAST else value <= bound


class Verdict(enum.Enum):
    STRETCH = "met, stretch too"
    MET = "met"
    NOT_MET = "not met"
    NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class Target:
    workload: str
    what: What
    sense: Sense
    target: float
    stretch: float | None
    of: str
    against: tuple[str, ...] = ()
    """The best of these; empty: the figure itself counts."""
    named: str = ""
    """What they are called together, if several."""
    directory: str = ""
    """Where it counts, if not everywhere."""

    @property
    def title(self) -> str:
        ours = "" if self.of == OURS else f" of {self.of}"
        theirs = self.named or "".join(self.against)
        where = f" on {self.directory}" if self.directory else ""
        return f"{self.workload} {self.what.value}{ours}{theirs and f' vs {theirs}'}{where}"

    @property
    def wanted(self) -> str:
        stretch = f", stretch {self.sense.value} {self.stretch:g}" if self.stretch else ""
        return f"target {self.sense.value} {self.target:g}{stretch}"

    def values(self, record: Record) -> list[float]:
        """The ratio, or the figure, of each run that has it."""
        workloads = [row for row in record.report.workloads if row.name == self.workload]
        if not workloads or self.directory not in ("", record.directory):
            return []
        if len(self.against) > 1 and not {*self.against} <= {*record.report.servers}:
            return []  # the best of some is not the best of all
        ours = record.report.values(workloads[0], self.of, self.what.figure)
        if not self.against:
            return list(ours.values())
        return ratios(ours, self._best(record, workloads[0]))

    def _best(self, record: Record, workload: Workload) -> dict[int, float]:
        """The best of the others in each run."""
        best: dict[int, float] = {}
        for name in self.against:
            for run, value in record.report.values(workload, name, self.what.figure).items():
                better = max if self.sense is Sense.AT_LEAST else min
                best[run] = better(best.get(run, value), value)
        return best

    def verdict(self, values: Sequence[float]) -> Verdict:
        if not values:
            return Verdict.NOT_MEASURED
        found = median(values)
        if not self.sense.holds(found, self.target):
            return Verdict.NOT_MET
        met = self.stretch is not None and self.sense.holds(found, self.stretch)
        return Verdict.STRETCH if met else Verdict.MET

    def line(self, record: Record) -> str:
        values = self.values(record)
        verdict = self.verdict(values).value
        found = f" {number(median(values))}" if values else ""
        apart = f", runs {number(min(values))} to {number(max(values))}" if len(values) > 1 else ""
        return f"{self.title}:{found} ({self.wanted}{apart}): {verdict}"


OURS = "tusjumbo-os"
"""Whose figures count where nothing else is said: tusd does not sync either."""

_LEAST, _MOST = Sense.AT_LEAST, Sense.AT_MOST
_STREAMS = ("W1", "W2", "W3")

TARGETS: Sequence[Target] = (
    *(Target(row, What.THROUGHPUT, _LEAST, 1.4, 1.6, OURS, (TUSD,)) for row in _STREAMS),
    *(Target(row, What.CPU, _MOST, 0.70, 0.55, OURS, (TUSD,)) for row in _STREAMS),
    Target("W1", What.THROUGHPUT, _LEAST, 0.85, 1.0, OURS, (SINK,)),
    *(
        Target(row, What.THROUGHPUT, _LEAST, 2, 3, OURS, PYTHON_PEERS, "the best Python peer")
        for row in _STREAMS
    ),
    Target("W2", What.THROUGHPUT, _LEAST, 1.5, None, "tusjumbo-commit", ("tussi",), "", "disk"),
    Target("W7b", What.THROUGHPUT, _LEAST, 0.8, None, OURS, (HASH,), "sha256 alone on one core"),
    *(Target(row, What.REQUESTS, _LEAST, 1.0, 1.5, OURS, (TUSD,)) for row in ("W4a", "W4b", "W5")),
    # Each of them syncs something for an upload, so ours that syncs everything is compared.
    *(
        Target(
            *(row, What.REQUESTS, _LEAST, 3, None, "tusjumbo-commit", PYTHON_PEERS),
            "the best Python peer",
        )
        for row in ("W4a", "W4b")
    ),
    Target("W6a", What.GROWTH, _MOST, 24, None, OURS),
    Target("W6b", What.GROWTH, _MOST, 64, None, OURS),
    *(
        Target(row, What.THROUGHPUT, _LEAST, 0.8, None, "tusjumbo-os-uvicorn", (TUSD,))
        for row in _STREAMS
    ),
)


def report(record: Record) -> str:
    """What the run says of every target, a line each."""
    lines = "\n".join(f"- {target.line(record)}" for target in TARGETS)
    return (
        f"Targets, medians of the ratios within runs ({record.command}):\n\n{lines}\n"
        "- assembling whatever the size: see python -m tests.benchmarks.assembling\n"
    )
