"""Rows: an UploadSession as the columns of a table, and back.

Pure. Every column holds one thing in one spelling: numbers as numbers, ranges as `RangeSet` writes
them, mappings as JSON. Metadata values are arbitrary bytes, so they are base64 inside the JSON.
`due_at` is derived, written for the index and never read.

The same columns are always the same session. Those of an upload are read several times before they
change, so the last few sessions are kept.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import TypeAlias, cast

from tusjumbo.errors import CatalogFailed
from tusjumbo.sessions.ranges import RangeSet
from tusjumbo.sessions.session import Kind, Phase, Receipt, UploadSession

Row: TypeAlias = tuple[
    *tuple[str, float, float, int | None, str, str, str, str],
    *tuple[int, float | None, str | None, str, str, float | None],
]
"""The values of `COLUMNS`."""


COLUMNS = (
    *("id", "created_at", "updated_at", "length", "ranges", "phase", "metadata", "echo"),
    *("chunk_size", "expires_at", "receipt_path", "kind", "parts", "rate"),
)
"""In the order of a `Row`."""

_KEPT = 128
"""Sessions; the metadata of one may be as large as the head of a request."""
_kept: dict[Row, UploadSession] = {}


def encode(session: UploadSession) -> dict[str, str | int | float | None]:
    """The columns of a session by name, `due_at` among them."""
    metadata = {
        key: base64.b64encode(value).decode("ascii") for key, value in session.metadata.items()
    }
    return {
        "id": session.id,
        "created_at": session.created_at,
        "updated_at": session.updated_at,
        "length": session.length,
        "ranges": str(session.ranges),
        "phase": session.phase.value,
        "metadata": _written(metadata),
        "echo": _written(session.echo),
        "chunk_size": session.chunk_size,
        "expires_at": session.expires_at,
        "receipt_path": None if session.receipt is None else session.receipt.path,
        "kind": session.kind.value,
        "parts": json.dumps(session.parts) if session.parts else "[]",
        "rate": session.rate,
        "due_at": session.due_at,
    }


def _written(mapping: Mapping[str, str]) -> str:
    return json.dumps(dict(mapping)) if mapping else "{}"


def remember(columns: Mapping[str, str | int | float | None], session: UploadSession) -> None:
    """Have the session at hand when what `encode` made of it is read."""
    row = tuple(columns[name] for name in COLUMNS)
    _keep(cast(Row, row), session)


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
            receipt=None if receipt_path is None else Receipt(receipt_path),
            kind=Kind(kind),
            parts=tuple(json.loads(parts)),
            rate=rate,
        )
    except (ValueError, TypeError, AttributeError) as error:
        raise CatalogFailed from error
