"""`list`, `show`, `recover` and `sweep`: the catalog as a person or a script wants to see it.

All of it works beside a running server, whose catalog and locks are made for many processes, and
nothing is created where nothing was. What clients called their files is made safe to print.
"""

from __future__ import annotations

import json
import logging.config
import time
from bisect import bisect_left, bisect_right
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import TypeVar

import anyio

from tusjumbo.cli import logs, text
from tusjumbo.composition import CATALOG, House, compose
from tusjumbo.engine.sweep import Swept
from tusjumbo.errors import StorageLost, TusJumboError, UploadElsewhere, UploadNotFound
from tusjumbo.ports import Catalog, Observer
from tusjumbo.sessions import events, ids
from tusjumbo.sessions.commands import Recover
from tusjumbo.sessions.session import ChunkDigest, Phase, UploadChunk, UploadSession
from tusjumbo.settings import LogFormat, LogLevel, UploadSettings

T = TypeVar("T")

Digests = Mapping[int, ChunkDigest]
Stretch = tuple[UploadChunk, UploadChunk, str | None]
"""The first and the last chunk, and the SHA-256 in hexadecimal of the one that they are."""

_PAGE = 500


def in_house(
    settings: UploadSettings,
    work: Callable[[House], Coroutine[None, None, T]],
    *observers: Observer,
) -> T:
    async def visit() -> T:
        house = compose(settings, observers=observers)
        try:
            return await work(house)
        finally:
            await house.aclose()

    return anyio.run(visit)


def is_furnished(settings: UploadSettings) -> bool:
    return (settings.upload_dir / CATALOG).exists()


# --- list ----------------------------------------------------------------------------------------


def list_uploads(settings: UploadSettings, phase: Phase | None, *, as_json: bool) -> None:
    """Print the uploads, oldest first; with `as_json` one object a line, in the order of ids."""
    present = _objects if as_json else _table
    if is_furnished(settings):
        in_house(settings, partial(present, phase=phase))
    elif not as_json:
        print(_nothing(settings, phase))


def _nothing(settings: UploadSettings, phase: Phase | None) -> str:
    which = f"{phase.value} uploads" if phase else "uploads"
    return f"There are no {which} in {text.printable(str(settings.upload_dir))}."


async def _pages(catalog: Catalog, phase: Phase | None) -> AsyncIterator[UploadSession]:
    after = ""
    while page := await catalog.listing(phase=phase, after=after, limit=_PAGE):
        for session in page:
            yield session
        after = page[-1].id


async def _objects(house: House, phase: Phase | None) -> None:
    async for session in _pages(house.catalog, phase):
        print(json.dumps(_facts(session)))


async def _table(house: House, phase: Phase | None) -> None:
    now = time.time()
    rows = [
        (session.created_at, _row(session, now)) async for session in _pages(house.catalog, phase)
    ]
    if not rows:
        print(_nothing(house.settings, phase))
        return
    lines = [_HEADER, *(row for _, row in sorted(rows))]
    for line in text.table(lines, numbers=(2, 3, 4, 5)):
        print(line)


_HEADER = ("ID", "PHASE", "RECEIVED", "LENGTH", "DONE", "AGE", "EXPIRES", "KIND", "FILE")


def _row(session: UploadSession, now: float) -> tuple[str, ...]:
    return (
        session.id,
        session.phase.value,
        text.size(session.ranges.total),
        "?" if session.length is None else text.size(session.length),
        "?" if session.progress is None else f"{int(session.progress)}%",
        text.span(now - session.created_at),
        _end(session, now),
        session.kind.value,
        text.printable(session.filename),
    )


def _until(moment: float | None, now: float) -> str:
    if moment is None:
        return "never"
    return "now" if moment <= now else f"in {text.span(moment - now)}"


def _end(session: UploadSession, now: float) -> str:
    """When time ends it: an abandoned one can be recovered until its bytes are removed."""
    until = _until(session.expires_at, now)
    return f"removed {until}" if session.phase is Phase.ABANDONED else until


def _facts(session: UploadSession) -> dict[str, object]:
    """What is known, for programs: sizes in bytes, times in RFC 3339, metadata as text."""
    return {
        "id": session.id,
        "kind": session.kind.value,
        "parts": list(session.parts),
        "phase": session.phase.value,
        "owner": session.owner,
        "attempts": session.attempts,
        "offset": session.offset,
        "received": session.ranges.total,
        "length": session.length,
        "progress": session.progress,
        "created_at": text.moment(session.created_at),
        "updated_at": text.moment(session.updated_at),
        "expires_at": None if session.expires_at is None else text.moment(session.expires_at),
        "filename": session.filename,
        "media_type": session.media_type,
        "metadata": _metadata(session),
        "path": session.receipt.path if session.receipt else None,
    }


def _metadata(session: UploadSession) -> dict[str, str]:
    return {
        key: value.decode("utf-8", "backslashreplace") for key, value in session.metadata.items()
    }


# --- show ----------------------------------------------------------------------------------------


def show_upload(settings: UploadSettings, address: str, *, as_json: bool) -> None:
    """Print one upload; `address` is its id, or a URL that ends with it.

    :raises UploadNotFound: there is none
    """
    upload_id = id_in(address)
    if not is_furnished(settings):
        raise UploadNotFound(upload_id)
    in_house(settings, partial(_show, upload_id=upload_id, as_json=as_json))


def id_in(address: str) -> str:
    """The id that `address` is or ends with.

    :raises UploadNotFound: none can be
    """
    upload_id = address.rstrip("/").rpartition("/")[2]
    if not ids.is_valid(upload_id):
        raise UploadNotFound(upload_id)
    return upload_id


async def _show(house: House, upload_id: str, *, as_json: bool) -> None:
    session = await house.catalog.load(upload_id)
    digests = await house.catalog.digests(upload_id)
    if as_json:
        print(json.dumps(_facts(session) | _chunk_facts(session, digests)))
        return
    lines = [
        *_story(session, time.time()),
        ("file", await _whereabouts(house, session)),
        *((f"part {number}", part_id) for number, part_id in enumerate(session.parts, 1)),
        *((f"metadata {key}", value) for key, value in _metadata(session).items()),
        *_chunk_story(session, digests),
    ]
    for line in text.table((text.printable(name), text.printable(value)) for name, value in lines):
        print(line)


async def _whereabouts(house: House, session: UploadSession) -> str:
    if session.phase is not Phase.DONE:
        return "not finished"
    try:
        return str(await house.store.locate(session))
    except UploadElsewhere:
        return session.receipt.path if session.receipt else "handed on"
    except StorageLost:
        return "gone: somebody has removed it"


def _story(session: UploadSession, now: float) -> Iterator[tuple[str, str]]:
    length = "a length not yet known" if session.length is None else f"{session.length} bytes"
    progress = "" if session.progress is None else f" ({int(session.progress)}%)"
    yield "id", session.id
    yield "kind", session.kind.value
    yield "phase", session.phase.value
    if session.owner is not None:
        yield "owner", session.owner
    if session.destination is not None:
        yield "wanted at", session.destination
    if session.attempts and session.is_arrived:
        again = _until(session.retry_at, now)
        yield "finishing", f"has failed, attempts: {session.attempts}, again {again}"
    yield "offset", str(session.offset)
    yield "received", f"{session.ranges.total} of {length}{progress}"
    for name, moment in (("created", session.created_at), ("updated", session.updated_at)):
        yield name, f"{text.moment(moment)} ({text.span(now - moment)} ago)"
    if session.expires_at is None:
        yield "expires", "never"
    else:
        ends = "removed" if session.phase is Phase.ABANDONED else "expires"
        yield ends, f"{text.moment(session.expires_at)} ({_until(session.expires_at, now)})"


# --- chunks --------------------------------------------------------------------------------------


def _state(chunk: UploadChunk) -> str:
    if chunk.is_complete:
        return "complete"
    return "partial" if chunk.received else "missing"


def _stretches(session: UploadSession) -> Iterator[tuple[UploadChunk, UploadChunk]]:
    """The first and the last chunk of each stretch of chunks that are all complete or missing.

    Looks only where runs of bytes begin or end: who declares 8 EiB declares 10^12 chunks.
    """
    count = -(-session.end // session.chunk_size)
    edges = {edge // session.chunk_size for run in session.ranges.runs for edge in run}
    firsts = sorted(at for at in {0, *edges, *(edge + 1 for edge in edges)} if at < count)
    uniform = zip(firsts, [*firsts, count][1:], strict=True)
    chunks = ((session.chunk(first), session.chunk(stop - 1)) for first, stop in uniform)
    for state, group in groupby(chunks, key=lambda pair: _state(pair[0])):
        pairs = list(group)
        yield from pairs if state == "partial" else [(pairs[0][0], pairs[-1][1])]


def _told_apart(session: UploadSession, digests: Digests) -> Iterator[Stretch]:
    """The stretches, with every chunk by itself that has a SHA-256: who sent it knows it as one."""
    numbers = sorted(digests)
    for first, last in _stretches(session):
        at = first.chunk_number
        for number in numbers[bisect_left(numbers, at) : bisect_right(numbers, last.chunk_number)]:
            if at < number:
                yield session.chunk(at), session.chunk(number - 1), None
            yield session.chunk(number), session.chunk(number), digests[number].sha256.hex()
            at = number + 1
        if at <= last.chunk_number:
            yield session.chunk(at), last, None


def _chunk_facts(session: UploadSession, digests: Digests) -> dict[str, object]:
    return {
        "chunk_size": session.chunk_size,
        "chunks_expected": session.chunks_expected,
        "chunks_received": session.chunks_received,
        "chunks": [
            {
                "first": first.chunk_number,
                "last": last.chunk_number,
                "state": _state(first),
                "sha256": sha256,
            }
            for first, last, sha256 in _told_apart(session, digests)
        ],
        "missing": [
            {"start": start, "stop": stop} for start, stop in session.ranges.missing(0, session.end)
        ],
    }


def _chunk_story(session: UploadSession, digests: Digests) -> Iterator[tuple[str, str]]:
    expected = "?" if session.chunks_expected is None else session.chunks_expected
    each = text.size(session.chunk_size)
    yield "chunks", f"{session.chunks_received} of {expected} complete, {each} each"
    for first, last, sha256 in _told_apart(session, digests):
        state = _state(first)
        if state == "partial":
            state = f"{first.received} of {first.stop - first.start} bytes"
        known = f", SHA-256 {sha256}" if sha256 else ""
        yield f"  {_run(first.chunk_number, last.chunk_number)}", state + known
    for start, stop in session.ranges.missing(0, session.end):
        yield "missing", f"bytes {_run(start, stop - 1)}"


def _run(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"


# --- recover -------------------------------------------------------------------------------------


def recover_uploads(
    settings: UploadSettings, addresses: Sequence[str]
) -> Mapping[str, TusJumboError]:
    """Bring abandoned uploads back, saying so, and return why others could not be."""
    failures = {}
    for address in addresses:
        try:
            upload_id = id_in(address)
            if not is_furnished(settings):
                raise UploadNotFound(upload_id)
            in_house(settings, partial(_recover, upload_id=upload_id))
        except TusJumboError as error:
            failures[address] = error
    return failures


async def _recover(house: House, upload_id: str) -> None:
    await house.uploads.execute(Recover(upload_id))
    session = await house.catalog.load(upload_id)
    length = "?" if session.length is None else text.size(session.length)
    name = f" {text.printable(session.filename)}" if session.filename else ""
    until = _until(session.expires_at, time.time())
    received = text.size(session.ranges.total)
    print(f"recovered: {session.id}{name}, {received} of {length}, expires {until}")


# --- sweep ---------------------------------------------------------------------------------------


def sweep_uploads(settings: UploadSettings) -> int:
    """Handle whatever is due, saying what, and return how many uploads could not be handled."""
    logging.config.dictConfig(logs.configuration(LogFormat.TEXT, LogLevel.WARNING))
    where = text.printable(str(settings.upload_dir))
    if not is_furnished(settings):
        print(f"There is nothing to do in {where}.")
        return 0
    swept = in_house(settings, _sweep, _tell)
    refused = f"{swept.refused} refused, " if swept.refused else ""
    left = f" {swept.left} left to be finished by the server." if swept.left else ""
    print(
        f"Swept {where}: {swept.finished} finished, {refused}{swept.abandoned} set aside, "
        f"{swept.purged} removed, {swept.tidied} left-overs tidied, {swept.failed} failed.{left}"
    )
    return swept.failed


async def _sweep(house: House) -> Swept:
    total = Swept()
    house.sweep.has_every_say = False  # an application may know of more than the settings
    while True:
        swept = await house.sweep.due()
        handled = swept.finished + swept.abandoned + swept.purged
        total.finished += swept.finished
        total.refused += swept.refused
        total.abandoned += swept.abandoned
        total.purged += swept.purged
        if not handled:
            break
    strays = await house.sweep.strays()
    total.tidied = strays.tidied
    total.failed = swept.failed + strays.failed
    total.left = swept.left
    return total


_TOLD: dict[type[events.Event], str] = {
    events.UploadFinished: "finished",
    events.UploadRefused: "refused",
    events.UploadAbandoned: "set aside",
    events.UploadPurged: "removed",
    events.UploadTerminated: "removed",
    events.PartRemoved: "joined and removed",
}


def _tell(event: events.Event) -> None:
    session = event.session
    print(f"{_TOLD[type(event)]}: {session.id} {text.printable(session.filename)}".rstrip())
