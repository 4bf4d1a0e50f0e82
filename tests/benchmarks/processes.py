"""What a server's processes use: CPU seconds, memory now, memory at most.

A server is one or more root processes and all their descendants. Peaks come from the kernel's own
high-water mark (VmHWM, reset through clear_refs), not from sampling, so that a short peak is not
missed; for several processes they are added up, which can only overstate. Processes that come and
go while they are being counted are left out. Linux only, like the rest of this room.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True)
class Processes:
    roots: tuple[int, ...]

    def pids(self) -> list[int]:
        found: set[int] = set()
        for root in self.roots:
            try:
                process = psutil.Process(root)
                found |= {process.pid, *(child.pid for child in process.children(recursive=True))}
            except psutil.Error:
                continue
        return sorted(found)

    def cpu_seconds(self) -> float:
        """User and system time of all processes that are alive."""
        total = 0.0
        for pid in self.pids():
            # Linux' clock id of another process' CPU time: finer than the 10 ms of /proc/PID/stat.
            with suppress(OSError):
                total += time.clock_gettime((~pid << 3) | 2)
        return total

    def resident(self) -> int:
        """Bytes in memory now."""
        return _sum_of_status(self.pids(), "VmRSS")

    def peak(self) -> int:
        """Bytes in memory at most, since `reset_peak`."""
        return _sum_of_status(self.pids(), "VmHWM")

    def reset_peak(self) -> bool:
        """Begin a new peak. False if the processes are not ours to touch."""
        try:
            for pid in self.pids():
                Path(f"/proc/{pid}/clear_refs").write_text("5")
        except OSError:
            return False
        return True

    def pin(self, cpus: Collection[int]) -> None:
        """Keep every thread of every process on these cores."""
        for pid in self.pids():
            for thread in os.listdir(f"/proc/{pid}/task"):
                os.sched_setaffinity(int(thread), cpus)


def listening(port: int) -> Processes | None:
    """Whoever listens on this TCP port; None if that cannot be seen."""
    try:
        pids = {
            connection.pid
            for connection in psutil.net_connections(kind="tcp")
            if connection.status == psutil.CONN_LISTEN
            and connection.laddr
            and connection.laddr.port == port
            and connection.pid is not None
        }
    except psutil.AccessDenied:
        return None
    return Processes(tuple(sorted(pids))) if pids else None


def _sum_of_status(pids: Iterable[int], key: str) -> int:
    total = 0
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:"))
    return total
