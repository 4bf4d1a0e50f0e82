"""Outbox: what is to be told of uploads, in the catalog's database.

Entries are written in the transaction of the change that they tell of, with a copy of the session
as it was then: it may have changed, or gone, when they are told. `number` is their order. An entry
waits while its `due_at` is not NULL; of those that wait, only the oldest of each upload and
receiver is ever claimed, so that order is kept however many claim.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Collection, Coroutine, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Protocol, TypeAlias, TypeVar

from tusjumbo.application import Hook, HookCall, News, Origin, Tell
from tusjumbo.catalogs import rows
from tusjumbo.errors import CatalogFailed
from tusjumbo.sessions.session import UploadSession

T = TypeVar("T")
Read: TypeAlias = Callable[..., Coroutine[Any, Any, list[tuple[Any, ...]]]]
"""Makes a query with some values, and returns the rows."""

Entry: TypeAlias = tuple[str, str, str, str, str, str, float, float | None, int, float | None, str]
"""The columns of `_COLUMNS` but the first."""

_COLUMNS = """number, key, hook, upload_id, receiver, session, origin, created_at, due_at, attempts,
    told_at, problem"""
_ADD = """INSERT INTO outbox (key, hook, upload_id, receiver, session, origin, created_at, due_at,
    attempts, told_at, problem) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
# What nobody has claimed yet and a newer one says as well need not be told any more.
_REPLACE = """DELETE FROM outbox INDEXED BY outbox_waiting WHERE upload_id = ?
    AND receiver = ? AND hook = 'post-receive' AND due_at IS NOT NULL AND attempts = 0"""
_IS_FIRST = """NOT EXISTS (SELECT 1 FROM outbox AS older WHERE older.upload_id = outbox.upload_id
    AND older.receiver = outbox.receiver AND older.number < outbox.number
    AND older.due_at IS NOT NULL)"""
# Of one receiver at a time, an index has them in the order in which they are due.
_NEXT = f"""SELECT MIN((SELECT due_at FROM outbox
    WHERE receiver = whose.value AND due_at IS NOT NULL AND {_IS_FIRST}
    ORDER BY due_at LIMIT 1)) FROM json_each(?) AS whose"""  # noqa: S608 - constants
_CLAIM = f"""SELECT {_COLUMNS} FROM outbox
    WHERE receiver = ? AND due_at <= ? AND {_IS_FIRST}
    ORDER BY due_at, number LIMIT ?"""  # noqa: S608 - constants
_CLAIMED = "UPDATE outbox SET due_at = ?, attempts = attempts + 1 WHERE number = ?"
_SETTLE = """UPDATE outbox SET due_at = NULL, told_at = ?, problem = ''
    WHERE number = ? AND (due_at IS NOT NULL OR told_at IS NULL)"""
_POSTPONE = """UPDATE outbox SET due_at = ?, problem = ?
    WHERE number = ? AND due_at IS NOT NULL"""
_LISTING = f"SELECT {_COLUMNS} FROM outbox WHERE number > ?"  # noqa: S608 - constants
_OF_UPLOAD = " AND upload_id = ?"
_WAITING = " AND due_at IS NOT NULL"
_IN_ORDER = " ORDER BY number LIMIT ?"
# It waits as a new one does: given up in the end, it has not been told, and is as old as this.
_REPLAY = """UPDATE outbox SET due_at = ?, attempts = 0, problem = '', told_at = NULL,
    created_at = ? WHERE number IN (SELECT value FROM json_each(?))"""
_FORGET = "DELETE FROM outbox WHERE due_at IS NULL AND COALESCE(told_at, created_at) < ?"


def entries(
    tell: Tell | None, before: UploadSession | None, after: UploadSession | None
) -> list[Entry]:
    """What `tell` makes of a change, ready to be written."""
    return [] if tell is None else [_entry(news) for news in tell(before, after)]


def _entry(news: News) -> Entry:
    call = news.call
    # Refused here, what cannot be written fails its own change, before that has written a row.
    for text in (call.key, news.receiver):
        text.encode()
    origin = call.origin
    lines = {name: list(values) for name, values in origin.headers.items()}
    return (
        call.key,
        call.hook.value,
        call.session.id,
        news.receiver,
        rows.written(call.session),
        json.dumps([origin.method, origin.uri, origin.client, lines]),
        news.created_at,
        news.due_at,
        news.attempts,
        news.told_at,
        _writable(news.problem),
    )


def _writable(text: str) -> str:
    """What somebody said, as SQLite takes it: lone surrogates are spelled out."""
    return text.encode("utf-8", "backslashreplace").decode()


def add(found: Sequence[Entry], connection: sqlite3.Connection) -> None:
    """Write entries, within somebody's transaction."""
    for entry in found:
        _, hook, upload_id, receiver, *_ = entry
        if hook == Hook.POST_RECEIVE.value:
            connection.execute(_REPLACE, (upload_id, receiver))
        connection.execute(_ADD, entry)


class Change(Protocol):
    """Has something written in a transaction."""

    def __call__(self, work: Callable[[sqlite3.Connection], T], /) -> Coroutine[Any, Any, T]: ...


class SqliteOutbox:
    """See `tusjumbo.application.Outbox`."""

    def __init__(self, read: Read, change: Change) -> None:
        """Both are the catalog's, whose database it is."""
        self._read = read
        self._change = change

    async def post(self, news: Sequence[News]) -> None:
        found = [_entry(each) for each in news]
        await self._change(partial(add, found))

    async def claim(
        self, receivers: Collection[str], now: float, until: float, limit: int
    ) -> Sequence[News]:
        # Who looks often should find out by reading that there is nothing to write.
        due_at = await self.next_due(receivers)
        if due_at is None or due_at > now:
            return []
        return await self._change(partial(_claim, set(receivers), now, until, limit))

    async def settle(self, news: News, now: float) -> None:
        await self._change(partial(_execute, _SETTLE, now, news.number))

    async def postpone(self, news: News, due_at: float | None, problem: str) -> None:
        await self._change(partial(_execute, _POSTPONE, due_at, _writable(problem), news.number))

    async def next_due(self, receivers: Collection[str]) -> float | None:
        ((due_at,),) = await self._read(_NEXT, json.dumps(list(receivers)))
        return None if due_at is None else float(due_at)

    async def news(
        self,
        *,
        upload_id: str | None = None,
        waiting: bool = False,
        after: int = 0,
        limit: int = 100,
    ) -> Sequence[News]:
        of_upload = () if upload_id is None else (upload_id,)
        which = (_OF_UPLOAD if of_upload else "") + (_WAITING if waiting else "")
        found = await self._read(_LISTING + which + _IN_ORDER, after, *of_upload, limit)
        return [_decoded(row) for row in found]

    async def replay(self, numbers: Collection[int], now: float) -> int:
        return await self._change(partial(_execute, _REPLAY, now, now, json.dumps(list(numbers))))

    async def forget_told(self, before: float) -> int:
        return await self._change(partial(_execute, _FORGET, before))


def _execute(query: str, *values_and_connection: Any) -> int:
    *values, connection = values_and_connection
    return int(connection.execute(query, values).rowcount)


def _claim(
    receivers: Collection[str],
    now: float,
    until: float,
    limit: int,
    connection: sqlite3.Connection,
) -> list[News]:
    found: list[News] = []
    for receiver in receivers:
        found.extend(map(_decoded, connection.execute(_CLAIM, (receiver, now, limit))))
    found.sort(key=lambda each: (each.due_at, each.number))
    news = [replace(each, due_at=until, attempts=each.attempts + 1) for each in found[:limit]]
    for each in news:
        connection.execute(_CLAIMED, (until, each.number))
    return news


def _decoded(row: tuple[Any, ...]) -> News:
    number, key, hook, _, receiver, session, origin, created_at, due_at, attempts, *rest = row
    told_at, problem = rest
    try:
        method, uri, client, lines = json.loads(origin)
        headers = {name: tuple(values) for name, values in lines.items()}
        call = HookCall(
            Hook(hook), rows.read(session), Origin(method, uri, client, headers), key=key
        )
    except (ValueError, TypeError, AttributeError) as error:
        raise CatalogFailed from error
    return News(
        call=call,
        receiver=receiver,
        created_at=created_at,
        due_at=due_at,
        attempts=attempts,
        told_at=told_at,
        problem=problem,
        number=number,
    )
