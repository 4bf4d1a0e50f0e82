"""Endpoint: one way in, as an ASGI application that lives alone or inside another one.

Callable by any ASGI 3 server; which framework is around us shows only in `route` and `mount`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from starlette.middleware.body_limit import MAX_BODY_SIZE_SCOPE_KEY, RequestBodyLimitMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Match, Mount, Router

from tusjumbo.sessions.rules import MAX_LENGTH
from tusjumbo.web.bodies import Receive, Scope, Send
from tusjumbo.web.housekeeping import Housekeeping
from tusjumbo.web.links import place

if TYPE_CHECKING:
    from starlette.applications import Starlette

ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]


class Endpoint:
    def __init__(
        self, exchange: ASGIApp, housekeeping: Housekeeping, hosts: WeakSet[Starlette]
    ) -> None:
        """`hosts` are the applications whose lifespan is ours already."""
        self._exchange = exchange
        # A limit that the application around us has for its own bodies is not one for uploads.
        self._unlimited = RequestBodyLimitMiddleware(exchange, MAX_LENGTH)
        self._housekeeping = housekeeping
        self._hosts = hosts
        self._alone = Router(lifespan=self.lifespan)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            limited = MAX_BODY_SIZE_SCOPE_KEY in scope
            exchange: ASGIApp = self._unlimited if limited else self._exchange
            await exchange(scope, receive, send)
            await self._housekeeping.follow(scope)
        elif scope["type"] == "lifespan":
            await self._alone(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close"})
        else:
            raise ValueError(f"unknown kind of ASGI connection: {scope['type']!r}")

    def mount(self, app: Starlette, path: str) -> None:
        """Answer `path` and everything below it in a Starlette or FastAPI application, and let its
        lifespan be ours.

        The plain `app.mount(path, …)` works too, but sends a client that leaves out the last slash
        away with a redirect, which most of them do not follow.
        """
        app.router.routes.append(self.route(path))
        if app in self._hosts:
            return
        self._hosts.add(app)
        theirs = app.router.lifespan_context

        @asynccontextmanager
        async def both(host: Any) -> AsyncIterator[Any]:
            async with self.lifespan(host), theirs(host) as state:
                yield state

        app.router.lifespan_context = both

    def route(self, path: str) -> BaseRoute:
        """For `Starlette(routes=[tusjumbo.route("/files"), …], lifespan=tusjumbo.lifespan)`."""
        return _Mounted(path, app=self)

    @asynccontextmanager
    async def lifespan(self, app: object = None) -> AsyncIterator[None]:
        """Sweep at the start and every `sweep_every`; give everything back at the end.

        For `Starlette(lifespan=tusjumbo.lifespan)`, or inside a lifespan of your own:
        `async with tusjumbo.lifespan(): …`.
        """
        del app
        async with self._housekeeping.lifespan():
            yield


def together(places: Mapping[str, ASGIApp], otherwise: ASGIApp) -> ASGIApp:
    """An application that has each of `places` at its path (`""` or `/a/b`), and nothing else.

    The longest path that fits counts. `otherwise` has what is no request, and is one of them.
    """
    longest = [(path, path + "/", places[path]) for path in sorted(places, key=len, reverse=True)]
    there_are = " and ".join(f"{path}/" for path in places)

    async def site(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await otherwise(scope, receive, send)
            return
        here = place(scope)
        for path, above, app in longest:
            if not path:
                await app(scope, receive, send)
                return
            if here.below == path or here.below.startswith(above):
                whole = here.mount + here.below
                inside = {**scope, "root_path": here.mount + path, "path": whole}
                await app(inside, receive, send)
                return
        await PlainTextResponse(f"Uploads are at {there_are}\n", 404)(scope, receive, send)

    return site


class _Mounted(Mount):
    """A mount that also answers its own path without the last slash."""

    def matches(self, scope: MutableMapping[str, Any]) -> tuple[Match, Scope]:
        match, child = super().matches(scope)
        if match is Match.NONE and "path" in scope:
            match, child = super().matches({**scope, "path": scope["path"] + "/"})
        return match, child
