"""What a run of the benchmarks found, with what is needed to read it, as a file of JSON.

The file has one line a measurement, so that it can be kept in the repository and compared. What
is written is read back as it was.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tests.benchmarks.figures import Lacking, Latency, Load, Measured, Measurement
from tests.benchmarks.report import Report
from tests.benchmarks.workloads import Disk, Measure, Mode, Workload


@dataclass(frozen=True)
class Record:
    date: str
    """When it began, UTC."""
    command: str
    machine: Mapping[str, Any]
    runs: int
    scale: float
    directory: str
    """`disk`, `shm`, or a path."""
    pinned: bool
    report: Report

    @property
    def conditions(self) -> str:
        where = "two cores apart" if self.pinned else "not pinned"
        return f"{self.runs} runs, scale {self.scale:g}, {self.directory}, {where}; medians."

    def json(self) -> str:
        about = {
            "date": self.date,
            "command": self.command,
            "machine": self.machine,
            "runs": self.runs,
            "scale": self.scale,
            "directory": self.directory,
            "pinned": self.pinned,
            "servers": self.report.servers,
            "baseline": self.report.baseline,
        }
        fields = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in about.items()]
        fields.append(_lines("workloads", [asdict(row) for row in self.report.workloads]))
        fields.append(_lines("measurements", list(map(_plain, self.report.measurements))))
        return "{\n" + ",\n".join(fields) + "\n}\n"

    @classmethod
    def read(cls, text: str) -> Record:
        told = json.loads(text)
        workloads = [_workload(row) for row in told.pop("workloads")]
        measurements = [_measurement(row) for row in told.pop("measurements")]
        servers, baseline = told.pop("servers"), told.pop("baseline")
        return cls(**told, report=Report(workloads, servers, baseline, measurements))


def machine() -> dict[str, Any]:
    """This one."""
    with open("/proc/cpuinfo") as lines:
        names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def _lines(name: str, rows: Sequence[Mapping[str, Any]]) -> str:
    words = ",\n".join(json.dumps(row, default=lambda value: value.value) for row in rows)
    return f"{json.dumps(name)}: [\n{words}\n]"


def _plain(row: Measurement) -> dict[str, Any]:
    about = {"server": row.server, "workload": row.workload, "run": row.run}
    match row.result:
        case Measured():
            return about | {"figures": _rounded(asdict(row.result))}
        case Lacking():
            return about | {"lacking": row.result.value}
        case errors:
            return about | {"errors": errors}


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(one) for name, one in value.items() if one is not None}
    return round(value, 6) if isinstance(value, float) else value


def _workload(told: Mapping[str, Any]) -> Workload:
    kinds: dict[str, Any] = {
        "mode": Mode(told["mode"]),
        "measure": Measure(told["measure"]),
        "disk": Disk(told["disk"]),
    }
    return Workload(**{**told, **kinds})


def _measurement(told: Mapping[str, Any]) -> Measurement:
    result: Measured | Lacking | tuple[str, ...]
    if "figures" in told:
        figures = dict(told["figures"])
        load = Load(**{**figures.pop("load"), "errors": ()})
        for name in {"quiet", "probe"} & figures.keys():
            figures[name] = Latency(**figures[name])
        result = Measured(load=load, **{"server_cpu": None, **figures})
    elif "lacking" in told:
        result = Lacking(told["lacking"])
    else:
        result = tuple(told["errors"])
    return Measurement(told["server"], told["workload"], told["run"], result)
