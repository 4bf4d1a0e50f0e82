"""One request: what every protocol does alike, from the first look at it to its last byte.

Strategy: whatever goes wrong on the way is raised. There is one `try`, and it turns the exception
into a refusal in the protocol's own words, so that no answer leaves in another form or without its
CORS fields. What a request wants and how it is answered is a subclass's business.

Once an answer has begun nothing can be taken back: a client that goes meanwhile is not an error,
and a file that breaks off is logged and left unfinished, which the server turns into a broken
connection.
"""

from __future__ import annotations

import logging
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tusjumbo.application import NOBODY, Admission, Gate, Identity, Origin
from tusjumbo.engine.uploads import Uploads
from tusjumbo.errors import ClientDisconnected, SystemFailure, TusJumboError, UploadNotFound
from tusjumbo.protocols.messages import Fields, ResponseHead
from tusjumbo.sessions.commands import Action
from tusjumbo.web import logs
from tusjumbo.web.bodies import Body, Message, Receive, Scope, Send, fields_of
from tusjumbo.web.cors import Cors
from tusjumbo.web.downloads import Download
from tusjumbo.web.links import Links

_log = logging.getLogger("tusjumbo")

_MISTAKE = "The server made a mistake; what it had acknowledged is safe. Try again later."
_NO_CONTENT = frozenset({204, 304})


@dataclass(slots=True)
class Request:
    """What is known of a request so far."""

    scope: Scope
    fields: Fields
    body: Body
    refuse: Callable[[TusJumboError], ResponseHead | None]
    """How it is told why it was not carried out; None if nobody is left to hear that."""
    upload_id: str | None = None
    identity: Identity | None = None
    """Who asks, once the gate has said so."""

    @property
    def owner(self) -> str | None:
        return None if self.identity is None else self.identity.owner

    @property
    def query(self) -> str:
        return str(self.scope.get("query_string", b""), "latin-1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange(ABC):
    """An ASGI application that answers HTTP requests."""

    uploads: Uploads
    links: Links
    cors: Cors
    gate: Gate | None = None

    @abstractmethod
    async def answer(self, request: Request) -> ResponseHead | Download:
        """Carry the request out.

        :raises TusJumboError: why it was not
        """

    @abstractmethod
    def refuse(self, error: TusJumboError) -> ResponseHead | None:
        """What is answered to a request of which nothing is known yet (`Request.refuse`)."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        fields = fields_of(scope)
        request = Request(scope, fields, Body(scope, receive), self.refuse)
        answer: ResponseHead | Download | None
        try:
            answer = await self.answer(request)
        except TusJumboError as error:
            if isinstance(error, SystemFailure):
                _log.error("%s (%r)", error, error.__cause__)
            answer = request.refuse(error)
        except Exception:
            _log.exception("A mistake of ours ended the request %s.", logs.quoted(scope["path"]))
            answer = request.refuse(TusJumboError(_MISTAKE))
        reply = Reply(request, send, self.cors)
        await reply.deliver(answer, receive)
        if logs.logs_access():
            logs.log_access(
                client=self.links.client(scope, fields),
                method=scope["method"],
                path=scope["path"],
                status=reply.status,
                upload_id=request.upload_id,
                taken=request.body.taken,
                seconds=time.perf_counter() - began,
            )

    async def admit(
        self, request: Request, action: Action, upload_ids: Iterable[str | None]
    ) -> None:
        """Ask the gate about each of them, and who owns it.

        :raises TusJumboError: it refuses one
        :raises UploadNotFound: one is somebody else's
        """
        if self.gate is None:
            return
        client = self.links.client(request.scope, request.fields)
        headers = request.fields.as_mapping()
        for upload_id in upload_ids:
            asked = Admission(action, upload_id, headers, client, request.query)
            request.identity = await self.gate.admit(asked)
            if upload_id is not None:
                await self._check_owner(upload_id, request.identity or _NOBODY)

    async def _check_owner(self, upload_id: str, identity: Identity) -> None:
        """Return if the upload is theirs, nobody's, or not there, which is for others to say.

        Looked up every time: an id that the application gave may be another upload's by now.

        :raises UploadNotFound: it is somebody else's, who need not learn that there is one
        """
        if identity.is_operator:
            return
        try:
            session = await self.uploads.catalog.load(upload_id)
        except UploadNotFound:
            return
        if session.owner not in (None, identity.owner):
            raise UploadNotFound(upload_id)

    def origin(self, request: Request) -> Origin:
        """What hooks are told of a request, if there are any."""
        if self.uploads.hooks is None:
            return NOBODY
        scope = request.scope
        where = scope.get("raw_path") or scope["path"].encode("utf-8", "replace")
        return Origin(
            scope["method"],
            where.decode("latin-1") + _without_token(request.query),
            self.links.client(scope, request.fields),
            request.fields.lines(),
        )

    def address(self, request: Request, path: str, upload_id: str) -> str:
        """Where something of an upload is, for the client that sent this request and may come
        again.
        """
        where = self.links.to(path, request.scope, request.fields)
        make = None if request.identity is None else request.identity.query
        return where if make is None else f"{where}?{make(upload_id)}"


_NOBODY = Identity()
_TOKEN = re.compile(r"((?:^|&)token=)[^&]*")


def _without_token(query: str) -> str:
    """What hooks are told of a query: it is kept for days, and a signed address is a credential."""
    return "?" + _TOKEN.sub(r"\1-", query) if query else ""


class Reply:
    """The one answer to a request, on its way out."""

    def __init__(self, request: Request, send: Send, cors: Cors) -> None:
        self._request = request
        self._send = send
        self._cors = cors
        self.status: int | None = None
        """What was sent; None if nothing was."""

    async def deliver(self, answer: ResponseHead | Download | None, receive: Receive) -> None:
        scope = self._request.scope
        if answer is None and "app" in scope:
            # Starlette's middleware takes an app that answers nothing for a broken one. Nobody
            # will read this.
            answer = ResponseHead(logs.CLIENT_GONE)
        try:
            if isinstance(answer, Download):
                await answer(scope, receive, self)
            elif answer is not None:
                await self._head(answer)
        except ClientDisconnected:
            return
        except Exception:
            _log.exception("The answer to %s broke off.", logs.quoted(scope["path"]))

    async def _head(self, answer: ResponseHead) -> None:
        request = self._request
        # RFC 9110 8.6: in an answer to HEAD, a Content-Length is that of the answer to GET, which
        # we do not know here; and a 204 MUST NOT have any.
        is_head = request.scope["method"] == "HEAD"
        body = b"" if is_head else answer.body
        headers = [(n.lower().encode("latin-1"), v.encode("latin-1")) for n, v in answer.headers]
        if not is_head and answer.status not in _NO_CONTENT:
            headers.append((b"content-length", str(len(body)).encode("ascii")))
        is_http_1 = request.scope["http_version"].startswith("1")
        if is_http_1 and (answer.closes or self._awaits_continue()):
            headers.append((b"connection", b"close"))
        await self({"type": "http.response.start", "status": answer.status, "headers": headers})
        if self._leaves_a_body() and not answer.closes:
            begin, body = body[:-1], body[-1:]
            await self({"type": "http.response.body", "body": begin, "more_body": True})
            await request.body.discard()
        await self({"type": "http.response.body", "body": body})

    def _leaves_a_body(self) -> bool:
        """Whether a client may go on sending, to a server that does not know what to do then.

        hypercorn and granian close the connection as soon as the answer is whole, if we have not
        read everything: the client then finds a broken connection and not the answer. So its last
        byte waits. Our own server lingers by itself.
        """
        body = self._request.body
        return body.closing is None and not body.is_over and not self._awaits_continue()

    def _awaits_continue(self) -> bool:
        """Whether the client holds a body back that we do not want any more.

        Not every server copes: uvicorn takes the next request on the connection for that body.
        """
        return "expect" in self._request.fields and not self._request.body.asked

    async def __call__(self, message: Message) -> None:
        """Send, with the CORS fields that belong to every answer.

        :raises ClientDisconnected: nobody is there any more
        """
        if message["type"] == "http.response.start":
            self.status = message["status"]
            cors = self._cors.headers(self._request.scope["method"], self._request.fields)
            message["headers"] = [*message["headers"], *cors]
        try:
            await self._send(message)
        except OSError as error:  # ASGI: "the server should raise [...] a subclass of OSError"
            raise ClientDisconnected from error
