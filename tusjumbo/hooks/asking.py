"""Asking: every receiver about what is to be, one after the other, while the request waits.

The engine gets one answer, whoever said what of it. Where several say something, the later one
counts, for it has seen what the earlier ones said: each receiver is asked about the session as the
ones before it want it (id, metadata, destination). Of what the client is told, status and body
count by themselves, and headers one by one. The first rejection ends it: nobody else is asked.

Nothing leaves here that the engine could not use. What is wrong is the receiver's fault, never the
client's, and so a `HookFailed` that tells an operator who said what to which question.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from tusjumbo.application import (
    Arrival,
    Hook,
    HookAnswer,
    HookCall,
    News,
    Origin,
    Receiver,
    Tell,
)
from tusjumbo.errors import HookFailed, Rejected, TerminationRejected, UploadRejected
from tusjumbo.hooks import documents
from tusjumbo.hooks.telling import Telling, new_key
from tusjumbo.ports import Clock
from tusjumbo.sessions import ids, rules
from tusjumbo.sessions.session import Answer, Kind, UploadSession

_log = logging.getLogger("tusjumbo")


class Asking:
    """See `tusjumbo.application.Hooks`."""

    def __init__(
        self,
        receivers: Sequence[Receiver],
        *,
        clock: Clock,
        keep_headers: Collection[str] = (),
        make_key: Callable[[], str] = new_key,
    ) -> None:
        """`receivers`: in the order in which they are asked. `keep_headers`: see `Telling`."""
        self._askers = {
            hook: [receiver for receiver in receivers if hook in receiver.hooks]
            for hook in Hook
            if hook.asks
        }
        self._telling = Telling(receivers, clock, keep_headers, make_key)
        self._listeners: list[Callable[[], None]] = []

    async def creating(self, session: UploadSession, origin: Origin) -> HookAnswer:
        """:raises UploadRejected: :raises HookFailed:"""
        merged = HookAnswer()
        for receiver in self._askers[Hook.PRE_CREATE]:
            said = await _ask(receiver, HookCall(Hook.PRE_CREATE, session, origin), UploadRejected)
            session = rules.altered(
                session, upload_id=said.upload_id, metadata=said.metadata, destination=said.path
            )
            merged = _merged(merged, said)
        return merged

    async def terminating(self, session: UploadSession, origin: Origin) -> HookAnswer:
        """:raises TerminationRejected: :raises HookFailed:"""
        merged = HookAnswer()
        for receiver in self._askers[Hook.PRE_TERMINATE]:
            call = HookCall(Hook.PRE_TERMINATE, session, origin)
            merged = _merged(merged, await _ask(receiver, call, TerminationRejected))
        return merged

    async def finishing(self, arrival: Arrival) -> HookAnswer:
        """:raises UploadRejected: :raises HookFailed:"""
        session, merged = arrival.session, HookAnswer()
        for receiver in self._askers[Hook.PRE_FINISH]:
            call = HookCall(Hook.PRE_FINISH, session, arrival.origin, arrival.path)
            said = await _ask(receiver, call, UploadRejected)
            session = rules.altered(session, destination=said.path)
            merged = _merged(merged, said)
        return merged

    @property
    def wants_finishing(self) -> bool:
        return bool(self._askers[Hook.PRE_FINISH])

    def telling(self, origin: Origin) -> Tell | None:
        return self._telling.of_changes(origin)

    def interrupted(self, session: UploadSession, origin: Origin) -> Sequence[News]:
        return self._telling.interrupted(session, origin)

    def rang(self) -> None:
        """There may be news. Never blocks; for the event loop's thread."""
        for listener in self._listeners:
            listener()

    def listen(self, listener: Callable[[], None]) -> None:
        """Have `listener` called whenever there may be news. It must not block or raise."""
        self._listeners.append(listener)


async def _ask(receiver: Receiver, call: HookCall, rejection: type[Rejected]) -> HookAnswer:
    """What it says; `rejection` is what a no comes to.

    A function may say no by raising it, and may take the wrong one: a no is a no.
    """
    hook = call.hook.value
    try:
        said = _checked(await receiver(call), call, receiver.name)
    except HookFailed as failure:
        _log.error("%s: %s", hook, failure.problem)
        raise
    except Rejected as raised:
        if isinstance(raised, rejection):
            raise
        message, headers = str(raised), raised.headers
        raise rejection(
            message, status=raised.status, headers=headers, body=raised.body
        ) from raised
    except Exception as error:
        _log.exception("%s: %s failed", hook, receiver.name)
        problem = f"{receiver.name} raised {type(error).__name__}"
        raise HookFailed(hook, problem) from error
    if said.reject:
        answer = said.answer or Answer()
        raise rejection(status=answer.status, headers=answer.headers, body=answer.body or None)
    return said


def _checked(said: object, call: HookCall, name: str) -> HookAnswer:
    """The same, if the engine can use it.

    :raises HookFailed: it cannot
    """
    hook = call.hook
    if not isinstance(said, HookAnswer):
        raise HookFailed(hook.value, f"{name} answered with {_type(said)}, not HookAnswer")
    said = documents.checked(said, hook.value, name)
    problem = "" if said.reject else _problem_of_path(said.path)
    if hook is Hook.PRE_CREATE and not said.reject:
        problem = (
            problem
            or _problem_of_id(said.upload_id, call.session)
            or _problem_of_metadata(said.metadata or {})
        )
    if problem:
        raise HookFailed(hook.value, f"{name} answered with {problem}")
    return said


def _problem_of_path(path: object) -> str:
    return "" if path is None or isinstance(path, str) else f"a path that is {_type(path)}, not str"


def _problem_of_id(upload_id: object, session: UploadSession) -> str:
    if upload_id is None:
        return ""
    shown = f"the id {ascii(upload_id)[:140]}"
    if not isinstance(upload_id, str) or not ids.is_valid(upload_id):
        return (
            f"{shown}; ids are 1 to 128 letters, digits, - and _, begin with a letter or digit,"
            " and not with finishing-"
        )
    if ids.is_final(upload_id) is not (session.kind is Kind.FINAL):
        begin = ids.of_final("")
        return f"{shown}; ids of uploads that are made of others begin with {begin}, and no others"
    return ""


def _problem_of_metadata(metadata: Mapping[str, object]) -> str:
    for key, value in metadata.items():
        if not isinstance(value, bytes):
            return f"metadata whose {key!a} is {_type(value)}, not bytes"
    return ""


def _type(value: object) -> str:
    return type(value).__name__


def _merged(before: HookAnswer, said: HookAnswer) -> HookAnswer:
    """Both as one; where both say something, `said` counts."""
    return replace(
        before,
        answer=_merged_answer(before.answer, said.answer),
        upload_id=said.upload_id or before.upload_id,
        metadata=before.metadata if said.metadata is None else said.metadata,
        path=said.path or before.path,
    )


def _merged_answer(before: Answer | None, said: Answer | None) -> Answer | None:
    if before is None or said is None:
        return said or before
    names = {name.lower() for name in said.headers}
    kept = {name: text for name, text in before.headers.items() if name.lower() not in names}
    status = before.status if said.status is None else said.status
    return Answer(status, kept | dict(said.headers), said.body or before.body)
