"""Jumbo's words: what a client says becomes a command, what came of it the seed's dictionaries.

Shared by everybody who speaks Jumbo: the Python API, HTTP and Flask. Here are no requests and no
status codes, only values: what JSON can say, and what sessions are.

What a client says of its file is kept twice: decoded, as every protocol keeps it (so that a tus
client sees the name and the type, too), and as the JSON that it was, to be returned.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from itertools import chain, islice
from typing import Any, TypeAlias

from tusjumbo.errors import MalformedRequest
from tusjumbo.sessions import rules
from tusjumbo.sessions.commands import Create, Digest
from tusjumbo.sessions.outcomes import Stored, Verified
from tusjumbo.sessions.session import Phase, UploadSession
from tusjumbo.sessions.statistics import Statistics

Answer: TypeAlias = dict[str, Any]
"""What the seed calls a result: a dictionary that JSON can say."""

LARGEST = 2**63 - 1
"""No upload and no chunk is larger."""

METADATA = "jumbo-metadata"
"""The field of `UploadSession.echo` that has the client's metadata, as JSON."""

MAX_METADATA = 64 * 1024
"""How many characters that JSON may have."""

LISTED = 100_000
"""How many chunk numbers an answer lists at most: a hostile length has 10^12."""

_SHA256 = re.compile("[0-9A-Fa-f]{64}", re.ASCII)


def creation(
    filename: str,
    size: int,
    metadata: Mapping[str, object] | None = None,
    chunk_size: int | None = None,
) -> Create:
    """The command that begins an upload of `size` bytes; sizes are bytes.

    `chunk_size` is None for the server's own.

    :raises MalformedRequest: one of them is not of its type, or not possible
    """
    _check_name(filename)
    _check_number("size", size, 0)
    if chunk_size is not None:
        _check_number("chunk_size", chunk_size, 1)
    told = {} if metadata is None else metadata
    text = _json_of(told)
    pairs = {key: _encoded(value) for key, value in told.items()}
    return Create(
        length=size,
        metadata={**pairs, "filename": _encoded(filename)},
        echo={METADATA: text} if told else {},
        chunk_size=chunk_size,
    )


def _check_name(filename: object) -> None:
    if not isinstance(filename, str) or not filename:
        raise MalformedRequest("filename", repr(filename), "text that is not empty")


def _check_number(field: str, value: object, least: int) -> None:
    # A bool is an int to Python, and to nobody else.
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= LARGEST:
        raise MalformedRequest(field, repr(value), f"a whole number from {least} to 2^63-1")


def _json_of(metadata: object) -> str:
    if not isinstance(metadata, Mapping) or not all(isinstance(key, str) for key in metadata):
        raise MalformedRequest("metadata", repr(metadata), "an object with texts as keys")
    try:
        text = json.dumps(dict(metadata), allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError):
        raise MalformedRequest("metadata", repr(metadata), "what JSON can say") from None
    if len(text) > MAX_METADATA:
        raise MalformedRequest("metadata", text, f"at most {MAX_METADATA} characters of JSON")
    return text


def _encoded(value: object) -> bytes:
    """Text as it is, anything else as JSON."""
    text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
    return text.encode("utf-8", "replace")


def sha256_of(text: object) -> Digest:
    """The digest that a client writes in hexadecimal.

    :raises MalformedRequest: it is not one
    """
    if not isinstance(text, str) or _SHA256.fullmatch(text) is None:
        raise MalformedRequest("hash", repr(text), "a SHA-256 as 64 hexadecimal digits")
    return Digest("sha256", bytes.fromhex(text))


# --- answers -------------------------------------------------------------------------------------
# Keys and their meaning are the seed's, and there may be more of them. `path` is what the caller
# calls the finished file: an address of its own, or the store's.


def started(session: UploadSession, path: str | None = None) -> Answer:
    """What `start_upload` says."""
    answer = {
        "upload_id": session.id,
        "chunk_size": session.chunk_size,
        "total_chunks": session.chunks_expected,
        # Where Flask-TSK's own example looks for them.
        "chunks_expected": session.chunks_expected,
    }
    # Nothing can be sent to an upload of no bytes: its end is known at once.
    return answer if session.phase is not Phase.DONE else {**answer, **_completed(session, path)}


def received(stored: Stored, path: str | None = None) -> Answer:
    """What `upload_chunk` says."""
    session, chunk = stored.session, stored.chunk
    state = (
        _completed(session, path)
        if session.phase is Phase.DONE
        else {"status": session.status, "progress": _progress(session)}
    )
    return {**state, "chunk_number": chunk.chunk_number, "hash": chunk.hash}


def _completed(session: UploadSession, path: str | None) -> Answer:
    return {
        "status": session.status,
        "path": path,
        "size": session.length,
        "duration": round(session.updated_at - session.created_at),
        "progress": 100.0,
    }


def status(session: UploadSession, now: float, path: str | None = None) -> Answer:
    """What `get_status` says."""
    over = session.phase is Phase.OPEN and rules.has_expired(session, now)
    answer = {
        "upload_id": session.id,
        "status": "abandoned" if over else session.status,
        "progress": _progress(session),
        "size_uploaded": session.ranges.total,
        "time_remaining": time_remaining(session, now),
        "speed": round(_speed(session, now)),
        "filename": session.filename,
        "total_size": session.length,
        "chunk_size": session.chunk_size,
        "chunks_received": session.chunks_received,
        "chunks_expected": session.chunks_expected,
        "metadata": metadata_of(session),
    }
    return answer if session.phase is not Phase.DONE else {**answer, **_completed(session, path)}


def resumed(session: UploadSession) -> Answer:
    """What `resume_upload` says: the chunks that are in, and those that are not (or not whole)."""
    runs = list(session.chunk_runs())
    expected = session.chunks_expected
    return {
        "upload_id": session.id,
        "chunks_received": _listed(runs),
        "chunks_needed": [] if expected is None else _listed(_gaps(runs, expected)),
        "progress": _progress(session),
        "chunk_size": session.chunk_size,
        "total_chunks": expected,
        "total_size": session.length,
        "status": session.status,
    }


def _listed(runs: Iterable[range]) -> list[int]:
    return list(islice(chain.from_iterable(runs), LISTED))


def _gaps(runs: Iterable[range], expected: int) -> Iterable[range]:
    start = 0
    for run in runs:
        yield range(start, run.start)
        start = run.stop
    yield range(start, expected)


def verified(outcome: Verified, expected: Digest | None = None) -> Answer:
    """What `verify_chunk` says: whether the bytes that are there now are the right ones."""
    if outcome.sha256 is None:
        return {"valid": False, "error": "Chunk not received"}
    actual = outcome.sha256.hex()
    if expected is not None and expected.value != outcome.sha256:
        return {"valid": False, "error": "Hash mismatch", "actual": actual}
    if outcome.chunk.hash not in (None, actual):
        wrong = {"valid": False, "error": "Stored hash mismatch", "actual": actual}
        return {**wrong, "recorded": outcome.chunk.hash}
    return {"valid": True, "hash": actual}


def cancelled(upload_id: str) -> Answer:
    """What `DELETE` says."""
    return {"upload_id": upload_id, "status": "cancelled"}


def statistics(figures: Statistics) -> Answer:
    """What `get_statistics` says. Speeds are bytes per second."""
    return {
        "active_uploads": figures.active,
        "total_active_size": figures.active_bytes,
        "average_speed": round(figures.average_speed),
        "uploads_today": figures.started_today,
        "uploads_this_week": figures.started_this_week,
        "completed_today": figures.finished_today,
        "completed_this_week": figures.finished_this_week,
    }


def metadata_of(session: UploadSession) -> Mapping[str, Any]:
    """What the client said of its file, whichever protocol it said it in."""
    if text := session.echo.get(METADATA):
        told: Mapping[str, Any] = json.loads(text)
        return told
    return {key: value.decode("utf-8", "replace") for key, value in session.metadata.items()}


def _progress(session: UploadSession) -> float | None:
    """Per cent, rounded down: 100 is said when every byte is in."""
    progress = session.progress
    return None if progress is None else math.floor(progress * 100) / 100


def _speed(session: UploadSession, now: float) -> float:
    """Bytes per second of late; 0 if nothing has come for a while."""
    quiet = now - session.updated_at > rules.PAUSE
    return 0.0 if quiet or session.phase is not Phase.OPEN else session.rate or 0.0


def time_remaining(session: UploadSession, now: float) -> str:
    """`2 minutes`, as things go of late; `unknown` if they do not."""
    speed = _speed(session, now)
    if session.is_full:
        return "0 seconds"
    if session.length is None or not speed:
        return "unknown"
    seconds = math.ceil((session.length - session.ranges.total) / speed)
    for unit, digits, name in ((86400, 1, "day"), (3600, 1, "hour"), (60, 0, "minute")):
        if seconds >= unit:
            return _counted(round(seconds / unit, digits), name)
    return _counted(seconds, "second")


def _counted(number: float, name: str) -> str:
    return f"{number:g} {name}{'' if number == 1 else 's'}"
