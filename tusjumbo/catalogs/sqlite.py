"""SqliteCatalog: sessions in one SQLite database in WAL mode, for many processes on one host.

Two connections, each with a lock and a Hop of its own: one reads, one writes. In WAL mode a reader
never waits for a writer, so a commit that takes its time on a slow disk delays no `load`.

If a commit fails, nothing of it is visible. A crash right afterwards may still bring it back from
the log; that is harmless, because the bytes it speaks of were durable before.

The catalog applies rules and knows none: what may become of a session is decided by `change`.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar, cast

from tusjumbo.application import Tell
from tusjumbo.catalogs import outbox, rows
from tusjumbo.catalogs.commits import Change, Commits
from tusjumbo.catalogs.database import Line, meaning
from tusjumbo.catalogs.outbox import SqliteOutbox
from tusjumbo.catalogs.rows import Row
from tusjumbo.errands import meet
from tusjumbo.errors import UploadNotFound
from tusjumbo.hop import Hop
from tusjumbo.sessions.quotas import Quota, Usage, check
from tusjumbo.sessions.session import ChunkDigest, Phase, UploadSession
from tusjumbo.sessions.statistics import Statistics
from tusjumbo.settings import Durability

T = TypeVar("T")

_READERS = 2
_WRITERS = 16
"""How many calls may wait in threads: readers take turns, writers share a transaction."""

_SELECT = f"SELECT {', '.join(rows.COLUMNS)} FROM sessions "  # noqa: S608 - constants
_LOAD = _SELECT + "WHERE id = ?"
_LISTING = _SELECT + "WHERE id > ? ORDER BY id LIMIT ?"
_LISTING_OF_PHASE = _SELECT + "WHERE phase = ? AND id > ? ORDER BY id LIMIT ?"
_DUE = _SELECT + "WHERE due_at <= ? ORDER BY due_at, id LIMIT ?"
_DUE_IN_PHASES = (
    _SELECT  # noqa: S608 - constants
    + "WHERE due_at <= ? AND phase IN (SELECT value FROM json_each(?)) ORDER BY due_at, id LIMIT ?"
)
_GATHER = _SELECT + "WHERE id IN (SELECT value FROM json_each(?))"  # noqa: S608 - constants
_AWAITING = (
    _SELECT + "WHERE id IN (SELECT upload_id FROM awaited WHERE part_id = ?) ORDER BY id"  # noqa: S608 - constants
)
_INSERT = f"""INSERT INTO sessions ({", ".join(rows.WRITTEN)})
    VALUES ({", ".join("?" for _ in rows.WRITTEN)})"""  # noqa: S608 - constants
_DELETE = "DELETE FROM sessions WHERE id = ?"
_RECORD = "REPLACE INTO chunks (upload_id, number, sha256, recorded_at) VALUES (?, ?, ?, ?)"
_DIGESTS = """SELECT number, sha256, recorded_at FROM chunks
    WHERE upload_id = ? AND number >= ? AND number < ? ORDER BY number"""
# One statement sees one moment. TOTAL, because SUM fails where hostile lengths exceed 63 bits.
_STATISTICS = """SELECT * FROM
    (SELECT COUNT(*), TOTAL(length) FROM sessions WHERE phase = 'open'),
    (SELECT TOTAL(started), TOTAL(finished) FROM tallies WHERE quarter >= ?),
    (SELECT TOTAL(started), TOTAL(finished), TOTAL(bytes), TOTAL(seconds) FROM tallies
        WHERE quarter >= ?)"""

_USAGE = "SELECT bytes, uploads FROM owners WHERE owner = ?"
_UNLIMITED = Quota()

_QUARTER = 900
"""Seconds in a row of the tallies."""
_BEYOND = 2**63 - 1
"""A number that no chunk has."""


class SqliteCatalog:
    """See `tusjumbo.ports.Catalog`."""

    outbox: SqliteOutbox
    """What is to be told of its sessions."""

    def __init__(self, path: Path, durability: Durability, *, quota: Quota | None = None) -> None:
        """A catalog in the file `path`, made with its directory when it is first used.

        `quota`: what each owner may have, as far as this process has a say in it.
        """
        self._quota = Quota() if quota is None else quota
        self._reader = Line(path, durability)
        self._writer = Commits(path, durability)
        self._reading = Hop(_READERS)
        self._writing = Hop(_WRITERS)
        self.outbox = SqliteOutbox(self._look, self._change)

    async def create(self, session: UploadSession, *, tell: Tell | None = None) -> None:
        await self._change(partial(_create, session, tell, self._quota))

    async def load(self, upload_id: str) -> UploadSession:
        found = await self._reading(self._read, _LOAD, upload_id)
        if not found:
            raise UploadNotFound(upload_id)
        return found[0]

    async def update(
        self,
        upload_id: str,
        change: Callable[[UploadSession], UploadSession],
        *,
        digests: Sequence[ChunkDigest] = (),
        tell: Tell | None = None,
    ) -> UploadSession:
        return await self._change(partial(_update, upload_id, change, digests, tell, self._quota))

    async def digests(
        self, upload_id: str, start: int = 0, stop: int | None = None
    ) -> Mapping[int, ChunkDigest]:
        end = _BEYOND if stop is None else stop
        found = await self._reading(self._rows, _DIGESTS, upload_id, start, end)
        return {number: ChunkDigest(number, sha256, at) for number, sha256, at in found}

    async def statistics(self, today: float, week: float) -> Statistics:
        quarters = today // _QUARTER, week // _QUARTER
        (found,) = await self._reading(self._rows, _STATISTICS, *quarters)
        active, active_bytes, *of_today, started, finished, size, seconds = found
        started_today, finished_today = of_today
        return Statistics(
            active=active,
            active_bytes=int(active_bytes),
            started_today=int(started_today),
            started_this_week=int(started),
            finished_today=int(finished_today),
            finished_this_week=int(finished),
            bytes_this_week=int(size),
            seconds_this_week=max(seconds, 0.0),  # a clock may have been put back
        )

    async def delete(self, upload_id: str, *, tell: Tell | None = None) -> bool:
        return await self._change(partial(_delete, upload_id, tell))

    async def usage(self, owner: str) -> Usage:
        """What an owner has."""
        found = await self._reading(self._rows, _USAGE, owner)
        return Usage(*found[0]) if found else Usage()

    async def gather(self, upload_ids: Collection[str]) -> Mapping[str, UploadSession]:
        found = await self._reading(self._read, _GATHER, json.dumps(list(upload_ids)))
        return {session.id: session for session in found}

    async def awaiting(self, part_id: str) -> Sequence[UploadSession]:
        return await self._reading(self._read, _AWAITING, part_id)

    async def due(
        self, now: float, limit: int, phases: Collection[Phase] = ()
    ) -> Sequence[UploadSession]:
        if not phases:
            return await self._reading(self._read, _DUE, now, limit)
        names = json.dumps([phase.value for phase in phases])
        return await self._reading(self._read, _DUE_IN_PHASES, now, names, limit)

    async def listing(
        self, *, phase: Phase | None = None, after: str = "", limit: int = 100
    ) -> Sequence[UploadSession]:
        if phase is None:
            return await self._reading(self._read, _LISTING, after, limit)
        return await self._reading(self._read, _LISTING_OF_PHASE, phase.value, after, limit)

    async def aclose(self) -> None:
        await self._writing(self._close)

    async def _look(self, query: str, *parameters: str | float) -> list[tuple[Any, ...]]:
        return await self._reading(self._rows, query, *parameters)

    async def _change(self, work: Callable[[sqlite3.Connection], T]) -> T:
        change = Change(work)
        await meet(self._writer.carry_out, change, self._writing)
        return change.outcome()

    # --- in a thread ---

    def _read(self, query: str, *parameters: str | float) -> list[UploadSession]:
        return [rows.decode(cast(Row, row)) for row in self._rows(query, *parameters)]

    def _rows(self, query: str, *parameters: str | float) -> list[tuple[Any, ...]]:
        try:
            with self._reader.lock, self._reader.connection() as connection:
                return connection.execute(query, parameters).fetchall()
        except Exception as error:
            raise meaning(error) from error

    def _close(self) -> None:
        for line in (self._reader, self._writer):
            with line.lock:
                line.drop()


# Each of these raises before it has written anything, or not at all (`tusjumbo.catalogs.commits`).


def _create(
    session: UploadSession, tell: Tell | None, quota: Quota, connection: sqlite3.Connection
) -> None:
    entries = outbox.entries(tell, None, session)
    _check(None, session, quota, connection)
    try:
        connection.execute(_INSERT, rows.encode(session))
    except sqlite3.IntegrityError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY:
            raise
        raise ValueError(f"there is an upload {session.id} already") from None
    outbox.add(entries, connection)


def _check(
    before: UploadSession | None,
    after: UploadSession,
    quota: Quota,
    connection: sqlite3.Connection,
) -> None:
    if after.owner is None or quota == _UNLIMITED:
        return
    found = connection.execute(_USAGE, (after.owner,)).fetchone()
    check(before, after, Usage(*found) if found else Usage(), quota)


def _update(
    upload_id: str,
    change: Callable[[UploadSession], UploadSession],
    digests: Sequence[ChunkDigest],
    tell: Tell | None,
    quota: Quota,
    connection: sqlite3.Connection,
) -> UploadSession:
    row = connection.execute(_LOAD, (upload_id,)).fetchone()
    if row is None:
        raise UploadNotFound(upload_id)
    before = rows.decode(row)
    after = change(before)
    if after.id != upload_id:
        raise ValueError(f"a change of upload {upload_id} came to upload {after.id}")
    if after.owner != before.owner:
        raise ValueError(f"a change of upload {upload_id} gave it to somebody else")
    entries = outbox.entries(tell, before, after)
    if after != before:
        _check(before, after, quota, connection)
        if changes := rows.changes(row, before, after):
            connection.execute(_updating(*changes), (*changes.values(), upload_id))
    for digest in digests:
        record = (upload_id, digest.number, digest.sha256, digest.recorded_at)
        connection.execute(_RECORD, record)
    outbox.add(entries, connection)
    return after


@cache
def _updating(*columns: str) -> str:
    """Only what changes: SQLite writes an index anew if one of its columns is named."""
    return f"UPDATE sessions SET {', '.join(f'{name} = ?' for name in columns)} WHERE id = ?"  # noqa: S608 - constants


def _delete(upload_id: str, tell: Tell | None, connection: sqlite3.Connection) -> bool:
    entries: list[outbox.Entry] = []
    if tell is not None:
        row = connection.execute(_LOAD, (upload_id,)).fetchone()
        if row is None:
            return False
        entries = outbox.entries(tell, rows.decode(row), None)
    is_gone = connection.execute(_DELETE, (upload_id,)).rowcount == 1
    outbox.add(entries, connection)
    return is_gone
