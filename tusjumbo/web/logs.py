"""Logs: one line for each thing that happened to an upload, and one for each request.

Lines are for people; the same facts are fields of the record (`extra`), for a formatter that prints
JSON. Loggers, by the names under which everybody may switch them on or off: `tusjumbo.upload`,
`tusjumbo.access`, and `tusjumbo` for what went wrong.

Invariant: one record is one line. Whatever a client can choose (names, paths) is quoted so that no
line break, terminal control or invisible character gets out.
"""

from __future__ import annotations

import logging

from tusjumbo.sessions.events import (
    BytesReceived,
    Event,
    PartRemoved,
    UploadAbandoned,
    UploadCreated,
    UploadFinished,
    UploadPurged,
    UploadRecovered,
    UploadRefused,
    UploadTerminated,
)

_upload = logging.getLogger("tusjumbo.upload")
_access = logging.getLogger("tusjumbo.access")

CLIENT_GONE = 499
"""What stands for the status where nobody was left to answer, as in nginx's logs."""

_LONGEST = 200

_HAPPENED = {
    UploadCreated: "created",
    BytesReceived: "received",
    UploadFinished: "finished",
    UploadTerminated: "terminated",
    UploadRefused: "refused",
    UploadAbandoned: "abandoned",
    UploadRecovered: "recovered",
    UploadPurged: "purged",
    PartRemoved: "joined and removed",
}


def log_upload(event: Event) -> None:
    """The Observer that writes `tusjumbo.upload`."""
    if not _upload.isEnabledFor(logging.INFO):
        return
    session = event.session
    happened = _HAPPENED[type(event)]
    facts: dict[str, object] = {
        "event": happened,
        "upload_id": session.id,
        "offset": session.offset,
        "length": session.length,
    }
    of = "?" if session.length is None else session.length
    line = f"{session.id} {happened}: {session.offset}/{of} B"
    if isinstance(event, BytesReceived):
        count = event.stop - event.start
        facts |= {"bytes": count, "seconds": round(event.seconds, 6)}
        facts |= {"rate": _rate(count, event.seconds), "ending": event.ending.name}
        line += f", {count} B {_pace(count, event.seconds)}, {event.ending.value}"
    elif session.filename:
        facts["file"] = session.filename[:_LONGEST]
        line += f", {quoted(session.filename)}"
    if isinstance(event, UploadRefused):
        facts["reason"] = event.reason
        line += f": {quoted(event.reason)}"
    _upload.info("%s", line, extra=facts)


def log_access(
    *,
    client: str,
    method: str,
    path: str,
    status: int | None,
    upload_id: str | None,
    taken: int,
    seconds: float,
) -> None:
    """Write `tusjumbo.access`. `status` is None if there was nobody to answer.

    `taken` is how many bytes of the body were taken in, in `seconds` of the whole request.
    """
    facts = {
        "client": client,
        "method": method[:_LONGEST],
        "path": path[:_LONGEST],
        "status": status or CLIENT_GONE,
        "upload_id": upload_id,
        "bytes": taken,
        "seconds": round(seconds, 6),
        "rate": _rate(taken, seconds),
    }
    _access.info(
        "%s %s %s %s, upload %s, %d B %s",
        client or "-",
        bare(method),
        quoted(path),
        status or f"{CLIENT_GONE} (client gone)",
        upload_id or "-",
        taken,
        _pace(taken, seconds),
        extra=facts,
    )


def logs_access() -> bool:
    """Whether anybody wants `tusjumbo.access`."""
    return _access.isEnabledFor(logging.INFO)


def quoted(text: str) -> str:
    """`text` on one line, between quotation marks, everything invisible escaped, and not long."""
    return repr(text if len(text) <= _LONGEST else text[:_LONGEST] + "…")


def bare(text: str) -> str:
    """`text` as it is if it is one harmless word, else quoted."""
    return text if text.isascii() and text.isalnum() and len(text) <= 20 else quoted(text)


def _rate(count: int, seconds: float) -> int:
    """Bytes per second."""
    return round(count / seconds) if seconds > 0 else 0


def _pace(count: int, seconds: float) -> str:
    megabytes = f" ({_rate(count, seconds) / 1e6:.1f} MB/s)" if count else ""
    return f"in {seconds:.3f} s{megabytes}"
