"""Rows: an UploadSession as the columns of a table, and back.

Pure. Every column holds one thing in one spelling: numbers as numbers, ranges as `RangeSet` writes
them, mappings as JSON. Metadata values are arbitrary bytes, so they are base64 inside the JSON.
`due_at` and `held` are derived, written for indexes and triggers and never read.

The same columns are always the same session. Those of an upload are read several times before they
change, so the last few sessions that were written or read are kept.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from operator import attrgetter
from types import MappingProxyType
from typing import TypeAlias, cast

from tusjumbo.errors import CatalogFailed
from tusjumbo.sessions.quotas import held
from tusjumbo.sessions.ranges import RangeSet
from tusjumbo.sessions.session import Answer, Kind, Phase, Receipt, UploadSession

Row: TypeAlias = tuple[
    *tuple[str, float, float, int | None, str, str, str, str],
    *tuple[int, float | None, str | None, str, str, float | None],
    *tuple[str | None, str | None, int, float | None, str | None, int],
]
"""The values of `COLUMNS`."""
Value: TypeAlias = str | int | float | None


_KEPT = 128
"""Sessions; the metadata of one may be as large as the head of a request."""
_kept: dict[Row, UploadSession] = {}


def _metadata(session: UploadSession) -> str:
    if not session.metadata:
        return "{}"
    values = {key: base64.b64encode(value) for key, value in session.metadata.items()}
    return json.dumps({key: value.decode("ascii") for key, value in values.items()})


def _answer(session: UploadSession) -> str | None:
    answer = session.receipt.answer if session.receipt else None
    if answer is None:
        return None
    body = base64.b64encode(answer.body).decode("ascii")
    return json.dumps([answer.status, dict(answer.headers), body])


_ENCODED: Mapping[str, Callable[[UploadSession], Value]] = {
    "id": attrgetter("id"),
    "created_at": attrgetter("created_at"),
    "updated_at": attrgetter("updated_at"),
    "length": attrgetter("length"),
    "ranges": lambda session: str(session.ranges),
    "phase": lambda session: session.phase.value,
    "metadata": _metadata,
    "echo": lambda session: json.dumps(dict(session.echo)) if session.echo else "{}",
    "chunk_size": attrgetter("chunk_size"),
    "expires_at": attrgetter("expires_at"),
    "receipt_path": lambda session: session.receipt.path if session.receipt else None,
    "kind": lambda session: session.kind.value,
    "parts": lambda session: json.dumps(session.parts) if session.parts else "[]",
    "rate": attrgetter("rate"),
    "owner": attrgetter("owner"),
    "destination": attrgetter("destination"),
    "attempts": attrgetter("attempts"),
    "retry_at": attrgetter("retry_at"),
    "receipt_answer": _answer,
    "receipt_is_here": lambda session: int(session.receipt is None or session.receipt.is_here),
}
_DEAR = ("metadata", "echo", "parts")
"""Columns, named as what they are made of, that seldom change and take long to write."""

_LATE = attrgetter("owner", "destination", "attempts", "retry_at", "receipt")
"""What the columns from `owner` on are made of. Few changes are about any of it."""

COLUMNS = tuple(_ENCODED)
"""In the order of a `Row`."""
WRITTEN = (*COLUMNS, "due_at", "held")
"""In the order of what `encode` returns."""
_EARLY = tuple(_ENCODED.items())[: COLUMNS.index("owner")]


def _share(session: UploadSession) -> int:
    """What is nobody's is in nobody's way."""
    return 0 if session.owner is None else held(session)


def encode(session: UploadSession) -> tuple[Value, ...]:
    """The columns of a session, `WRITTEN`."""
    row = cast(Row, tuple([value(session) for value in _ENCODED.values()]))
    _keep(row, session)
    return (*row, session.due_at, _share(session))


def changes(row: Row, before: UploadSession, after: UploadSession) -> dict[str, Value]:
    """What to write into the `row` of `before` to make it that of `after`."""
    found: dict[str, Value] = {}
    values: list[Value] = []
    is_late = _LATE(before) != _LATE(after)
    columns = _ENCODED.items() if is_late else _EARLY
    for (name, value), old in zip(columns, row, strict=False):
        same = name in _DEAR and getattr(before, name) == getattr(after, name)
        new = old if same else value(after)
        values.append(new)
        if new != old:
            found[name] = new
    _keep(cast(Row, (*values, *row[len(values) :])), after)
    if before.due_at != after.due_at:
        found["due_at"] = after.due_at
    if (share := _share(after)) != _share(before):
        found["held"] = share
    return found


def _keep(row: Row, session: UploadSession) -> None:
    _kept[row] = session
    if len(_kept) > _KEPT:
        with suppress(KeyError, RuntimeError):  # another thread is at it
            del _kept[next(iter(_kept))]


def decode(row: Row) -> UploadSession:
    """The session that `encode` made these columns of.

    :raises CatalogFailed: it did not
    """
    session = _kept.get(row)
    if session is None:
        session = _decoded(row)
        _keep(row, session)
    return session


def _decoded(row: Row) -> UploadSession:
    (
        upload_id,
        created_at,
        updated_at,
        length,
        ranges,
        phase,
        metadata,
        echo,
        chunk_size,
        expires_at,
        receipt_path,
        kind,
        parts,
        rate,
        owner,
        destination,
        attempts,
        retry_at,
        answer,
        is_here,
    ) = row
    try:
        return UploadSession(
            id=upload_id,
            created_at=created_at,
            updated_at=updated_at,
            length=length,
            ranges=RangeSet.parse(ranges),
            phase=Phase(phase),
            metadata=MappingProxyType(
                {
                    key: base64.b64decode(value, validate=True)
                    for key, value in json.loads(metadata).items()
                }
            ),
            echo=MappingProxyType(json.loads(echo)),
            chunk_size=chunk_size,
            expires_at=expires_at,
            receipt=None
            if receipt_path is None
            else Receipt(receipt_path, _answer_in(answer), bool(is_here)),
            kind=Kind(kind),
            parts=tuple(json.loads(parts)),
            rate=rate,
            owner=owner,
            destination=destination,
            attempts=attempts,
            retry_at=retry_at,
        )
    except (ValueError, TypeError, AttributeError) as error:
        raise CatalogFailed from error


def _answer_in(text: str | None) -> Answer | None:
    if text is None:
        return None
    status, headers, body = json.loads(text)
    return Answer(status, MappingProxyType(headers), base64.b64decode(body, validate=True))


def written(session: UploadSession) -> str:
    """The columns of a session as one text, to be kept elsewhere."""
    return json.dumps([value(session) for value in _ENCODED.values()])


def read(text: str) -> UploadSession:
    """The session of such a text, which may be from before some of the columns.

    :raises CatalogFailed: it is none
    """
    try:
        values = json.loads(text)
        missing = [value(_BARE) for value in _ENCODED.values()][len(values) :]
        return _decoded(cast(Row, (*values, *missing)))
    except (ValueError, TypeError) as error:
        raise CatalogFailed from error


_BARE = UploadSession(id="-", created_at=0.0, updated_at=0.0)
