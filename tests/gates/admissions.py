"""Requests as gates see them."""

from __future__ import annotations

from tusjumbo.application import Admission
from tusjumbo.sessions.commands import Action


def asking(
    authorization: str | None = None,
    *,
    action: Action = Action.CREATE,
    upload_id: str | None = None,
    client: str = "192.0.2.1",
    query: str = "",
) -> Admission:
    headers = {} if authorization is None else {"authorization": authorization}
    return Admission(action, upload_id, headers, client, query)
