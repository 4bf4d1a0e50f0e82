"""The Jumbo API over HTTP: chunks in forms or bodies, and JSON about uploads.

Strategy: method and path tell what is asked, the gate is asked whether it may be, then the rest of
the request is read and carried out. A form is the exception: which upload it is about, only its
first fields tell, so a little of its body is read before the gate is asked; of the file nothing.

Chunks go to the engine as they come, from a form as from a body. JSON is small, or refused. What a
client is told are Jumbo's words (`protocols.jumbo`), and problem documents where it went wrong.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import anyio

from tusjumbo.errors import (
    BodyTimeout,
    MalformedRequest,
    ServerClosing,
    TusJumboError,
    UploadNotFound,
)
from tusjumbo.ports import Clock, Source
from tusjumbo.protocols import jumbo, problems, routes
from tusjumbo.protocols.messages import Headers, ResponseHead
from tusjumbo.protocols.routes import Ask, Route, Visit
from tusjumbo.sessions.commands import Action, Command, Put, Status, Terminate, Verify
from tusjumbo.sessions.outcomes import Created, Inspected, Outcome, Stored, Terminated, Verified
from tusjumbo.sessions.session import UploadSession
from tusjumbo.settings import UploadSettings
from tusjumbo.web import assets
from tusjumbo.web.bodies import Body, announced
from tusjumbo.web.exchange import Exchange, Request
from tusjumbo.web.forms import Form, FormBody
from tusjumbo.web.links import place

T = TypeVar("T")

_JSON: Headers = (
    ("Content-Type", "application/json"),
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class JumboExchange(Exchange):
    settings: UploadSettings
    clock: Clock

    def refuse(self, error: TusJumboError) -> ResponseHead | None:
        return problems.refuse(error)

    async def answer(self, request: Request) -> ResponseHead:
        size = announced(request.scope, request.fields)
        request.body.announce(size)
        visit = routes.recognise(request.scope["method"], place(request.scope).below, self._routes)
        request.upload_id = visit.upload_id or None
        if visit.action is Action.DESCRIBE:
            return await self._described(request, visit)
        if visit.ask is Ask.FORM:
            return await self._chunk_in_form(request)
        await self.admit(request, visit.action, [request.upload_id])
        match visit.ask:
            case Ask.START:
                return await self._start(request)
            case Ask.PUT:
                put = routes.put_by_body(visit.upload_id, visit.number, request.fields, size)
                return await self._chunk(request, put, request.body)
            case Ask.VERIFY:
                return await self._verify(request, visit)
            case Ask.CANCEL:
                said = await self._execute(request, Terminate(visit.upload_id), Terminated)
                return _said(200, jumbo.cancelled(said.id)).amended(said.answer)
            case Ask.STATISTICS:
                return _said(200, jumbo.statistics(await self.uploads.survey()))
            case _:
                return await self._inspect(request, visit)

    async def _described(self, request: Request, visit: Visit) -> ResponseHead:
        """What is not about any upload, and for everybody."""
        match visit.ask:
            case Ask.CLIENT:
                return await assets.client(request.fields)
            case Ask.DOCUMENT:
                return await self._document(request)
            case _:
                return ResponseHead(204, (("Allow", ", ".join(visit.allowed)),))

    async def _document(self, request: Request) -> ResponseHead:
        limits = self.uploads.limits
        there = {(route.method, route.template) for route in self._routes}
        return await assets.document(
            request.fields,
            self.links.endpoint(request.scope, request.fields) or "/",
            lambda *operation: operation in there,
            {"size": (0, limits.ceiling), "chunk_size": routes.chunk_sizes(limits.chunk_size)},
        )

    @property
    def _routes(self) -> Sequence[Route]:
        if self.settings.termination:
            return routes.ROUTES
        return [route for route in routes.ROUTES if route.action is not Action.TERMINATE]

    async def _start(self, request: Request) -> ResponseHead:
        routes.check_json(request.fields)
        told = await self._in_time(request, lambda: _small(request.body))
        command = routes.started_by(told, self.uploads.limits.chunk_size)
        if request.owner is not None:
            command = replace(command, owner=request.owner)
        created = await self._execute(request, command, Created)
        session = created.session
        request.upload_id = session.id
        where = self.address(request, f"status/{session.id}", session.id)
        head = _said(201, jumbo.started(session, _path(session)), (("Location", where),))
        return head.amended(created.answer).amended(session.final_answer)

    async def _chunk_in_form(self, request: Request) -> ResponseHead:
        content_type = routes.check_form(request.fields)
        form = Form(content_type, routes.FORM_FIELDS)
        source = FormBody(form, request.body)
        await self._in_time(request, source.open)
        put = routes.put_by_form(form.fields)
        request.upload_id = put.id
        await self.admit(request, Action.APPEND, [put.id])
        return await self._chunk(request, put, source)

    async def _chunk(self, request: Request, put: Put, source: Source) -> ResponseHead:
        stored = await self._execute(request, put, Stored, source)
        answer = stored.session.final_answer
        return _said(200, jumbo.received(stored, _path(stored.session))).amended(answer)

    async def _inspect(self, request: Request, visit: Visit) -> ResponseHead:
        session = (await self._execute(request, Status(visit.upload_id), Inspected)).session
        status = jumbo.status(session, self.clock(), _path(session))
        if visit.ask is Ask.STATUS:
            return _said(200, status)
        if status["status"] == "abandoned":
            raise UploadNotFound(visit.upload_id)  # nothing can be sent to it
        return _said(200, jumbo.resumed(session))

    async def _verify(self, request: Request, visit: Visit) -> ResponseHead:
        query = request.scope.get("query_string", b"").decode("latin-1")
        expected = routes.hash_in(query)
        verify = Verify(visit.upload_id, visit.number)
        verified = await self._execute(request, verify, Verified)
        return _said(200, jumbo.verified(verified, expected))

    async def _execute(
        self, request: Request, command: Command, kind: type[T], source: Source | None = None
    ) -> T:
        outcome: Outcome = await self.uploads.execute(command, source, self.origin(request))
        if not isinstance(outcome, kind):
            raise TypeError(f"{command!r} became {outcome!r}")
        return outcome

    async def _in_time(self, request: Request, read: Callable[[], Awaitable[T]]) -> T:
        """What `read` returns: a part of the body that is small.

        :raises BodyTimeout: it does not come
        :raises ServerClosing: the server is stopping before it has come
        """
        seconds = self.settings.body_timeout
        closing = request.body.closing
        with anyio.move_on_after(seconds or None) as patience:
            stop = closing.listen(patience.cancel) if closing else _nothing
            try:
                return await read()
            finally:
                stop()
        if closing is not None and closing.given:
            raise ServerClosing
        raise BodyTimeout(seconds)


def _nothing() -> None:
    """There is nobody to stop listening to."""


async def _small(body: Body) -> bytes:
    """A body that fits into memory.

    :raises MalformedRequest: it does not
    :raises ClientDisconnected: it broke off
    """
    pieces: list[bytes] = []
    size = 0
    while await body.wait():
        pieces.append(body.take())
        size += len(pieces[-1])
        if size > routes.MAX_JSON:
            raise MalformedRequest("body", f"{size} bytes", f"at most {routes.MAX_JSON} bytes")
    return b"".join(pieces)


def _path(session: UploadSession) -> str | None:
    """Where the finished file is, in the upload directory; None if it is not there (yet)."""
    is_here = session.receipt is not None and session.receipt.is_here
    return session.receipt.path if session.receipt and is_here else None


def _said(status: int, answer: dict[str, Any], headers: Headers = ()) -> ResponseHead:
    return ResponseHead(status, (*_JSON, *headers), json.dumps(answer).encode("ascii"))
