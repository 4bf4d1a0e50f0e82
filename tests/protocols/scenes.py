"""Requests as text, and the whole pure way from a request head to a response head.

What an engine does between `decode` and `encode` is played here with the rules alone, on one upload
and without bytes: enough to see every answer that needs neither time nor storage.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tusjumbo.errors import TusJumboError, UploadNotFound
from tusjumbo.protocols import tus
from tusjumbo.protocols.extensions import Offer
from tusjumbo.protocols.messages import Fields, Intent, RequestHead, ResponseHead
from tusjumbo.protocols.refusals import refuse
from tusjumbo.sessions import joining, rules
from tusjumbo.sessions.commands import (
    Action,
    Append,
    Command,
    Create,
    Finish,
    Inspect,
    Join,
    Terminate,
)
from tusjumbo.sessions.outcomes import Appended, Created, Inspected, Terminated
from tusjumbo.sessions.ranges import RangeSet
from tusjumbo.sessions.session import Phase, Receipt, UploadSession

ID = "jumbo_abc"
OOS = "Content-Type: application/offset+octet-stream"
NOW = 1_000_000_000.0
OFFER = Offer(expiration=True, algorithms={"sha1": 20})
LIMITS = rules.Limits(expire_after=3600.0)

_NAME = re.compile(r"[A-Za-z0-9-]+")
_VALUE = re.compile(r"[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?")


@dataclass(frozen=True)
class Chunked:
    """A body of this many bytes that does not say so."""

    size: int


Body = int | Chunked


def head(line: str, *lines: str, body: Body = 0, version: str | None = "1.0.0") -> RequestHead:
    """`head("PATCH /abc", "Upload-Offset: 0", body=5)`. With Tus-Resumable unless it is None."""
    method, _, path = line.partition(" ")
    if version is not None:
        lines = (f"Tus-Resumable: {version}", *lines)
    raw = [
        (name.encode("latin-1"), value.encode("latin-1"))
        for name, _, value in (each.partition(":") for each in lines)
    ]
    announced = None if isinstance(body, Chunked) else body
    return RequestHead(method, path, Fields(raw), announced, lambda: "/files")


def upload(
    length: int | None,
    at: int = 0,
    *,
    metadata: dict[str, bytes] | None = None,
    echo: dict[str, str] | None = None,
    expires_at: float | None = NOW,
) -> UploadSession:
    """The upload `ID` with its first `at` bytes in; finished if these are all."""
    is_done = length is not None and at == length
    return UploadSession(
        id=ID,
        created_at=NOW,
        updated_at=NOW,
        length=length,
        ranges=RangeSet().add(0, at),
        metadata=metadata or {},
        echo=echo or {},
        expires_at=None if is_done else expires_at,
        phase=Phase.DONE if is_done else Phase.OPEN,
        receipt=Receipt("completed/file") if is_done else None,
    )


def command_of(request: RequestHead, offer: Offer = OFFER) -> Command:
    return tus.decode(request, tus.recognise(request, offer), offer)


def answer(
    request: RequestHead,
    before: UploadSession | None = None,
    *,
    size: int = 0,
    offer: Offer = OFFER,
    limits: rules.Limits = LIMITS,
) -> tuple[ResponseHead, UploadSession | None]:
    """The response, and the upload afterwards."""
    intent: Intent | None = None
    try:
        intent = tus.recognise(request, offer)
        if intent.action is Action.DESCRIBE:
            return tus.describe(offer), before
        outcome = _perform(tus.decode(request, intent, offer), before, size, limits)
    except TusJumboError as error:
        response = refuse(error, intent)
        assert response is not None
        return response, before
    after = None if isinstance(outcome, Terminated) else outcome.session
    return tus.encode(outcome, offer, "/files/{}".format), after


def _perform(
    command: Command, before: UploadSession | None, size: int, limits: rules.Limits
) -> Created | Appended | Inspected | Terminated:
    if isinstance(command, Create):
        session = rules.opened(command, ID, NOW, limits)
        if command.content is None:
            return Created(session)
        first = Append(id=ID, at=0, content=command.content)
        return Created(_append(session, first, size, limits))
    if isinstance(command, Join):
        return Created(_joined(command, before, limits))
    if before is None or before.id != command.id:
        raise UploadNotFound(command.id)
    match command:
        case Append():
            return Appended(_append(before, command, size, limits))
        case Inspect():
            return Inspected(before)
        case Terminate():
            return Terminated(before.id)
        case _:
            raise AssertionError(command)


def _joined(command: Join, before: UploadSession | None, limits: rules.Limits) -> UploadSession:
    found = {} if before is None else {before.id: before}
    session = joining.joined(command, "jumbo_final", found, NOW, limits)
    parts = joining.parts_of(session, found, NOW, limits)
    length = joining.length_of(parts)
    if length is None or not joining.is_ready(parts):
        return session
    whole = rules.Part(0, length, length, Finish.WHEN_FULL)
    sealed = rules.committed(session, whole, NOW, limits)
    return rules.done(sealed, Receipt("completed/file"), NOW)


def _append(
    before: UploadSession, command: Append, size: int, limits: rules.Limits
) -> UploadSession:
    take = rules.decide(before, command, limits)
    stop = take.start + size
    if stop > take.ceiling:
        raise rules.too_long(before.id, take.length, limits)
    if before.phase is not Phase.OPEN:
        return before
    part = rules.Part(take.start, stop, take.length, command.content.finish)
    after = rules.committed(before, part, NOW, limits)
    if after.phase is Phase.SEALED:
        return rules.done(after, Receipt("completed/file"), NOW)
    return after


def values(response: ResponseHead) -> dict[str, str]:
    """The headers of a response, which has each of them once."""
    found = dict(response.headers)
    assert len(found) == len(response.headers)
    return found


def check_any(response: ResponseHead) -> None:
    """What is true of every response, after CORE-GEN-1 to 3 and CREATE-15."""
    found = values(response)
    assert found["Tus-Resumable"] == "1.0.0"
    for name, value in found.items():
        assert _NAME.fullmatch(name)
        assert _VALUE.fullmatch(value), (name, value)
    for name in ("Upload-Offset", "Upload-Length"):
        assert re.fullmatch("[0-9]+", found.get(name, "0"))
    assert "Content-Length" not in found
    assert "Transfer-Encoding" not in found
    assert ("Location" in found) == (response.status == 201)
    assert bool(response.body) == ("Content-Type" in found)
    if response.status < 300:
        assert response.body == b""
        assert not response.closes
    else:
        assert found["Cache-Control"] == "no-store"
