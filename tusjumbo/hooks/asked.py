"""A program or an address as an assembler: it gets the hooks' document with the Type `assemble`.

`Event.Upload.Storage.Path` is where the bytes are. What it answers means what it means to
`pre-finish`: it may reject the upload, say where the file goes, and what the client is told.
"""

from __future__ import annotations

from typing import Protocol

from tusjumbo.application import Arrival, Assembled, Hook, HookAnswer, HookCall
from tusjumbo.errors import UploadRejected
from tusjumbo.sessions.session import Answer

TYPE = "assemble"


class _Asked(Protocol):
    async def ask(self, call: HookCall, type_: str | None = None) -> HookAnswer: ...


class AskedAssembler:
    """See `tusjumbo.application.Assembler`."""

    def __init__(self, receiver: _Asked) -> None:
        self._receiver = receiver

    async def __call__(self, arrival: Arrival) -> Assembled:
        session = arrival.session
        call = HookCall(Hook.PRE_FINISH, session, arrival.origin, arrival.path, key=session.id)
        said = await self._receiver.ask(call, TYPE)
        if said.reject:
            answer = said.answer or Answer()
            raise UploadRejected(status=answer.status, headers=answer.headers, body=answer.body)
        return Assembled(path=said.path, answer=said.answer)
