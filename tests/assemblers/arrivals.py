"""Uploads that have arrived, in real files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tusjumbo.application import NOBODY, Arrival
from tusjumbo.sessions.session import Phase, UploadSession

CREATED_AT = 1_700_000_000.0
"""2023-11-14 22:13:20 UTC."""


def arrived(
    directory: Path,
    content: bytes = b"content",
    *,
    name: str = "film.mp4",
    upload_id: str = "jumbo_1",
    owner: str | None = "alice",
    metadata: Mapping[str, bytes] | None = None,
) -> Arrival:
    path = directory / f"{upload_id}.bytes"
    path.write_bytes(content)
    workspace = directory / f"{upload_id}.work"
    workspace.mkdir()
    session = UploadSession(
        id=upload_id,
        created_at=CREATED_AT,
        updated_at=CREATED_AT,
        length=len(content),
        phase=Phase.SEALED,
        owner=owner,
        metadata=metadata or {},
    )
    return Arrival(session, NOBODY, path, name, workspace)
