"""Other processes at the same catalog: `python -m tests.catalogs.worker DEED PATH DURABILITY …`.

Each does its deed and says what it has done, a line at a time, when it is done for good.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import anyio

from tusjumbo.catalogs.commits import Change
from tusjumbo.catalogs.sqlite import SqliteCatalog, _update
from tusjumbo.errors import QuotaExceeded, TooManyUploads
from tusjumbo.sessions.quotas import Quota
from tusjumbo.sessions.session import ChunkDigest, UploadSession
from tusjumbo.settings import Durability

NEW = UploadSession(id="a", created_at=1.0, updated_at=0.0)


def say(*what: object) -> None:
    """One line, in one piece, at once."""
    sys.stdout.write(" ".join(map(str, what)) + "\n")
    sys.stdout.flush()


def counted(session: UploadSession) -> UploadSession:
    """One byte more, and said so in two columns."""
    stop = session.offset + 1
    return replace(session, ranges=session.ranges.add(0, stop), updated_at=float(stop))


async def lengthen(catalog: SqliteCatalog, times: int) -> None:
    """Change one session again and again, with a chunk each, saying how far it is each time."""
    begin = (await catalog.load("a")).offset
    for number in range(begin, begin + times):
        digest = ChunkDigest(number, bytes(32), 1.0)
        say((await catalog.update("a", counted, digests=[digest])).offset)
    await catalog.aclose()


async def join(catalog: SqliteCatalog, name: str) -> None:
    """Be told to go, record a session, and lengthen everybody's."""
    say("ready")
    sys.stdin.readline()
    await catalog.create(replace(NEW, id=name))
    with suppress(ValueError):  # somebody else was first
        await catalog.create(NEW)
    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(lengthen, catalog, 10)


async def chunks(catalog: SqliteCatalog, name: str) -> None:
    """Be told to go, and record 50 chunks of everybody's session, side by side."""
    say("ready")
    sys.stdin.readline()
    first = 50 * int(name)

    def grown(number: int, session: UploadSession) -> UploadSession:
        return replace(session, ranges=session.ranges.add(number, number + 1))

    async def record(number: int) -> None:
        own, shared = (ChunkDigest(n, bytes([first]) * 32, 1.0) for n in (number, 1000))
        await catalog.update("a", partial(grown, number), digests=[own, shared])
        say(number)

    async with anyio.create_task_group() as tasks:
        for number in range(first, first + 50):
            tasks.start_soon(record, number)
    await catalog.aclose()


async def claim_room(path: Path, durability: Durability, name: str) -> None:
    """Be told to go, and want more uploads and bytes than there are for everybody."""
    quota = Quota(max_bytes=100, max_uploads=15)
    catalog = SqliteCatalog(path, durability, quota=quota)
    await catalog.usage("o")
    say("ready")
    sys.stdin.readline()

    async def create(number: int) -> None:
        new = replace(NEW, id=f"{name}-{number}", owner="o", length=1)
        with suppress(TooManyUploads, QuotaExceeded):
            await catalog.create(new)
            say("made", new.id)
            await catalog.update(new.id, partial(replace, length=10))
            say("grown", new.id)

    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(create, number)
    await catalog.aclose()


async def once(catalog: SqliteCatalog) -> int:
    return (await catalog.update("a", counted)).offset


async def load(catalog: SqliteCatalog) -> int:
    return (await catalog.load("a")).offset


def fork(catalog: SqliteCatalog) -> None:
    """Fork while one thread is in a transaction and another waits for it."""
    begun = threading.Event()

    def slowly(session: UploadSession) -> UploadSession:
        begun.set()
        time.sleep(0.2)
        return counted(session)

    anyio.run(load, catalog)
    say("before", anyio.run(once, catalog))
    writing = threading.Thread(target=anyio.run, args=(catalog.update, "a", slowly))
    writing.start()
    begun.wait()
    catalog._writer._waiting.append(Change(partial(_update, "a", counted, (), None, Quota())))
    child = os.fork()
    if not child:
        say("child", anyio.run(load, catalog))
        say("child", anyio.run(once, catalog))
        return
    _, status = os.waitpid(child, 0)
    say("status", status)
    writing.join()
    say("parent", anyio.run(once, catalog))
    # No aclose: both leave as a process without a lifespan does, with all that happens at exit.


def main() -> None:
    deed, path, durability, *more = sys.argv[1:]
    catalog = SqliteCatalog(Path(path), Durability(durability))
    match deed:
        case "lengthen":
            anyio.run(lengthen, catalog, int(more[0]))
        case "join":
            anyio.run(join, catalog, more[0])
        case "chunks":
            anyio.run(chunks, catalog, more[0])
        case "claim room":
            anyio.run(claim_room, Path(path), Durability(durability), more[0])
        case "fork":
            fork(catalog)


if __name__ == "__main__":
    main()
