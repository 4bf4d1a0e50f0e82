"""A process that wants locks: `python -m tests.lockers.contender DIRECTORY BACKEND ROLE ID …`.

It says on stdout what happens to it, a word per line, so that a test can wait for it.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from functools import partial
from pathlib import Path

import anyio

from tusjumbo.lockers.files import FileLocker
from tusjumbo.testing.lockers import PATIENT, given


def say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


async def polite(locker: FileLocker, upload_id: str) -> None:
    """Leave when asked."""
    async with locker.hold(upload_id, PATIENT) as lease:
        say("held")
        await given(lease)
        say("asked")
    say("left")


async def stubborn(locker: FileLocker, upload_id: str) -> None:
    """Never leave."""
    async with locker.hold(upload_id, PATIENT):
        say("held")
        await anyio.sleep_forever()


async def visit(locker: FileLocker, upload_id: str) -> None:
    say("waiting")
    async with locker.hold(upload_id, PATIENT):
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


async def fork_idle(locker: FileLocker, upload_id: str) -> None:
    """Hold the upload; the child only lives on."""
    async with locker.hold(upload_id, PATIENT):
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


ROLES = {role.__name__: role for role in (polite, stubborn, visit, count, write, fork, fork_idle)}


async def main(directory: str, role: str, *rest: str) -> None:
    locker = FileLocker(Path(directory))
    try:
        await ROLES[role](locker, *rest)
    finally:
        with anyio.CancelScope(shield=True):
            await locker.aclose()


if __name__ == "__main__":
    anyio.run(partial(main, sys.argv[1], *sys.argv[3:]), backend=sys.argv[2])
