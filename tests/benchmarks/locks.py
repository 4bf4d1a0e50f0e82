"""What locks cost: `python -m tests.benchmarks.locks [DIRECTORY]`.

Uncontended: one hold, from asking to having left. Hand-over: one process holds, and leaves when it
is asked; the time is from another process's `hold` to its having had the lock and left. The empty
hops show how much of that is the way to a thread and back.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio

from tests.harness.wire import poll
from tusjumbo.errors import UploadLocked
from tusjumbo.hop import Hop
from tusjumbo.lockers.files import FileLocker
from tusjumbo.lockers.memory import MemoryLocker
from tusjumbo.ports import Locker
from tusjumbo.testing.lockers import given

HOLDS = 3000
HAND_OVERS = 300
PATIENCE = 10.0


def report(name: str, seconds: list[float]) -> None:
    ordered = sorted(seconds)
    median, late = (ordered[int(len(ordered) * part)] for part in (0.5, 0.95))
    worst = ordered[-1]
    print(f"{name:44} {median * 1e6:9.1f} {late * 1e6:9.1f} {worst * 1e6:9.1f}", flush=True)


async def times(work: Callable[[], Awaitable[None]], count: int) -> list[float]:
    seconds = []
    for _ in range(count):
        began = time.perf_counter()
        await work()
        seconds.append(time.perf_counter() - began)
    return seconds


async def hold(locker: Locker) -> None:
    async with locker.hold("jumbo_a", PATIENCE):
        pass


async def wait_until_held(locker: Locker) -> None:
    while True:
        try:
            async with locker.attempt("jumbo_a"):
                pass
        except UploadLocked:
            return
        await anyio.sleep(0.001)


async def stay(directory: str, commit: str) -> None:
    """Hold whenever nobody else does; when asked, take `commit` seconds to leave."""
    locker = FileLocker(Path(directory))
    while True:
        async with locker.hold("jumbo_a", PATIENCE) as lease:
            await given(lease)
            await anyio.sleep(float(commit))


async def uncontended(directory: Path) -> None:
    hop = Hop(4)

    async def two_hops() -> None:
        await hop(int)
        await hop(int)

    files = FileLocker(directory)
    await hold(files)
    report("memory, uncontended", await times(lambda: hold(MEMORY), HOLDS))
    report("two empty hops to a thread", await times(two_hops, HOLDS))
    report("files, uncontended", await times(lambda: hold(files), HOLDS))
    await files.aclose()


async def hand_overs(directory: Path, name: str) -> None:
    locker = FileLocker(directory)
    seconds = []
    for _ in range(HAND_OVERS):
        await wait_until_held(locker)
        seconds += await times(lambda: hold(locker), 1)
    report(name, seconds)
    await locker.aclose()


def between_processes(directory: Path, backend: str, commit: float) -> None:
    command = [sys.executable, "-m", "tests.benchmarks.locks", "stay", str(directory), str(commit)]
    holder = subprocess.Popen([*command, backend])
    try:
        poll((directory / "jumbo_a.lock").exists, PATIENCE, "the other process does not hold")
        name = f"files, hand-over, {backend}, leaves after {commit * 1e3:g} ms"
        anyio.run(hand_overs, directory, name, backend=backend)
    finally:
        holder.kill()
        holder.wait()


MEMORY = MemoryLocker()


def main(parent: str | None) -> None:
    print(f"{'µs':44} {'median':>9} {'p95':>9} {'worst':>9}")
    for backend in ("asyncio", "trio"):
        with tempfile.TemporaryDirectory(dir=parent) as directory:
            print(f"{backend} in {directory}")
            anyio.run(uncontended, Path(directory), backend=backend)
            for commit in (0.0, 0.005, 0.05):
                between_processes(Path(directory), backend, commit)


if __name__ == "__main__":
    if sys.argv[1:2] == ["stay"]:
        anyio.run(stay, sys.argv[2], sys.argv[3], backend=sys.argv[4])
    else:
        main(sys.argv[1] if len(sys.argv) > 1 else None)
