"""A process that wants locks: `python -m tests.lockers.contender DIRECTORY BACKEND ROLE ID …`.

It says on stdout what happens to it, a word per line, so that a test can wait for it.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import anyio

from tusjumbo.lockers import flocks
from tusjumbo.lockers.files import FileLocker
from tusjumbo.lockers.flocks import Flock
from tusjumbo.testing.lockers import PATIENT, given

LANES, TASKS = 3, 4
"""Of `mark`: of the upload; in a process."""


def say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def lane_of(word: str) -> int | None:
    return int(word) if word else None


async def polite(locker: FileLocker, upload_id: str, lane: str = "") -> None:
    """Leave when asked."""
    async with locker.hold(upload_id, PATIENT, lane=lane_of(lane)) as lease:
        say("held")
        await given(lease)
        say("asked")
    say("left")


async def stubborn(locker: FileLocker, upload_id: str, *lanes: str) -> None:
    """Never leave."""
    async with AsyncExitStack() as stack:
        for lane in lanes or ("",):
            await stack.enter_async_context(
                locker.hold(upload_id, PATIENT, lane=lane_of(lane)),
            )
        say("held")
        await anyio.sleep_forever()


async def visit(locker: FileLocker, upload_id: str, lane: str = "") -> None:
    say("waiting")
    async with locker.hold(upload_id, PATIENT, lane=lane_of(lane)):
        say("held")
    say("left")


async def count(locker: FileLocker, upload_id: str, times: str, tasks: str, counter: str) -> None:
    """Add to the number in a file, in the way that loses additions unless one is alone."""
    path = Path(counter)

    async def add() -> None:
        for _ in range(int(times)):
            async with locker.hold(upload_id, PATIENT):
                before = int(path.read_text())
                await anyio.sleep(0)
                path.write_text(str(before + 1))

    async with anyio.create_task_group() as group:
        for _ in range(int(tasks)):
            group.start_soon(add)
    say("done")


async def write(locker: FileLocker, upload_id: str, journal: str) -> None:
    """For ever, write the next number to the end of a journal; say when somebody else is inside."""
    path = Path(journal)
    inside = path.with_suffix(".inside")
    while True:
        async with locker.hold(upload_id, PATIENT):
            me = f"{os.getpid()} {time.monotonic_ns()}"
            inside.write_text(me)
            lines = path.read_text().splitlines()
            await anyio.sleep(0.0005)
            with path.open("a") as file:
                file.write(f"{len(lines)}\n")
            if inside.read_text() != me:
                say("not alone")


async def mark(locker: FileLocker, upload_id: str, marks: str, visits: str, seed: str) -> None:
    """Hold lanes and the whole at random; say when somebody else has written to what was held.

    There is a file for each lane. Whoever holds it writes its own mark there, and looks later
    whether that is still there; whoever holds the whole does so with all of them.
    """
    dice = random.Random(seed)
    files = [Path(marks) / str(number) for number in range(LANES)]

    async def come(number: int) -> None:
        lane = dice.choice((None, *range(LANES), *range(LANES)))
        mine = files if lane is None else [files[lane]]
        with anyio.move_on_after(dice.choice((0.0005, 0.005, 0.05, PATIENT))):
            async with locker.hold(upload_id, PATIENT, lane=lane):
                token = f"{os.getpid()} {number} {time.monotonic_ns()}"
                for file in mine:
                    file.write_text(token)
                await anyio.sleep(dice.uniform(0.0, 0.003))
                if any(file.read_text() != token for file in mine):
                    say("not alone")
                with (Path(marks) / "journal").open("a") as journal:
                    journal.write("came\n")

    async def go_on(first: int) -> None:
        for number in range(first, int(visits), TASKS):
            await come(number)

    async with anyio.create_task_group() as group:
        for first in range(TASKS):
            group.start_soon(go_on, first)
    say("done")


async def fork(locker: FileLocker, upload_id: str) -> None:
    """Hold the upload in the parent; the child tries to have it, and then lives on."""
    async with locker.hold(upload_id, PATIENT) as lease:
        child = os.fork()
        if not child:
            # In a thread of its own: this one has an event loop, which is the parent's.
            life = threading.Thread(target=anyio.run, args=(child_of_a_holder, locker, upload_id))
            life.start()
            life.join()
            os._exit(0)
        await given(lease)
        say("parent asked")
    say("parent left")


async def fork_idle(locker: FileLocker, upload_id: str, lane: str = "") -> None:
    """Hold the upload; the child only lives on."""
    async with locker.hold(upload_id, PATIENT, lane=lane_of(lane)):
        if not os.fork():
            say(f"child {os.getpid()}")
            signal.pause()
        await anyio.sleep_forever()


async def child_of_a_holder(locker: FileLocker, upload_id: str) -> None:
    say(f"child {os.getpid()}")
    async with locker.hold(upload_id, PATIENT) as lease:
        say("child held")
        await given(lease)
        say("child asked")
    say("child left")
    await anyio.sleep_forever()


_ROLES = (polite, stubborn, visit, count, write, mark, fork, fork_idle)
ROLES = {role.__name__: role for role in _ROLES}


if os.environ.get("LOCKING") == "flock":
    setattr(flocks, "locking", Flock)  # noqa: B010 - as on systems other than Linux


async def main(directory: str, role: str, *rest: str) -> None:
    locker = FileLocker(Path(directory))
    try:
        await ROLES[role](locker, *rest)
    finally:
        with anyio.CancelScope(shield=True):
            await locker.aclose()


if __name__ == "__main__":
    anyio.run(partial(main, sys.argv[1], *sys.argv[3:]), backend=sys.argv[2])
