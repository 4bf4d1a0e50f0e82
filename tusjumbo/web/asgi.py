"""TusJumbo: the upload server as an ASGI application, alone or inside another one.

    app = FastAPI()
    TusJumbo(upload_dir="./data", max_size="5GiB").mount(app, "/files")

Nothing is opened when it is made, and nothing has to be started: every part opens what it needs in
the process and event loop that uses it. So it works where nobody runs a lifespan (a mounted app, a
test client, a serverless adapter). What a lifespan adds is housekeeping: recovery at the start, a
sweep every now and then, and an orderly end. Where there is none, a small part of the sweep
follows a request now and then, after its answer has left.

Callable by any ASGI 3 server; which framework is around us shows only in `route` and `mount`.
"""

from __future__ import annotations

import difflib
import logging
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import anyio
from starlette.middleware.body_limit import MAX_BODY_SIZE_SCOPE_KEY, RequestBodyLimitMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Match, Mount, Router

from tusjumbo import digests
from tusjumbo.composition import compose
from tusjumbo.engine.sweep import Swept
from tusjumbo.errors import ConfigurationError
from tusjumbo.ports import Clock, Gate, Observer
from tusjumbo.protocols.extensions import Offer
from tusjumbo.sessions.rules import MAX_LENGTH
from tusjumbo.settings import UploadSettings
from tusjumbo.web.bodies import Receive, Scope, Send, closing_of
from tusjumbo.web.cors import Cors
from tusjumbo.web.exchange import Exchange
from tusjumbo.web.links import Links, place
from tusjumbo.web.logs import log_upload

if TYPE_CHECKING:
    from starlette.applications import Starlette

_log = logging.getLogger("tusjumbo")

ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

_BATCH = 20
"""How many uploads are swept after a request, where there is no lifespan."""


class TusJumbo:
    def __init__(
        self,
        *,
        settings: UploadSettings | None = None,
        gate: Gate | None = None,
        observers: Iterable[Observer] = (),
        clock: Clock = time.time,
        **options: Any,
    ) -> None:
        """Give `settings`, or any of their fields as arguments: `upload_dir="./data"`.

        `gate` decides who may do what, `observers` are told what happened.

        :raises ConfigurationError: an option that does not exist, or cannot work
        """
        self.settings = _settings(settings, options)
        self.house = compose(self.settings, observers=(log_upload, *observers), clock=clock)
        self._clock = clock
        self._exchange = Exchange(
            self.house.uploads,
            Offer(
                max_size=self.settings.max_size or None,
                downloads=self.settings.downloads,
                termination=self.settings.termination,
                expiration=bool(self.settings.expire_after),
                algorithms=digests.SIZES,
                checksum_trailer=True,
            ),
            Links(self.settings),
            Cors(self.settings),
            gate,
        )
        # A limit that the application around us has for its own bodies is not one for uploads.
        self._unlimited = RequestBodyLimitMiddleware(self._exchange, MAX_LENGTH)
        self._alone = Router(lifespan=self.lifespan)
        self._lifespans = 0
        self._swept_at = -math.inf

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            limited = MAX_BODY_SIZE_SCOPE_KEY in scope
            exchange: ASGIApp = self._unlimited if limited else self._exchange
            await exchange(scope, receive, send)
            await self._follow(scope)
        elif scope["type"] == "lifespan":
            await self._alone(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close"})
        else:
            raise ValueError(f"unknown kind of ASGI connection: {scope['type']!r}")

    # --- living in another application ---

    def mount(self, app: Starlette, path: str) -> None:
        """Answer `path` and everything below it in a Starlette or FastAPI application, and let its
        lifespan be ours.

        The plain `app.mount(path, tusjumbo)` works too, but sends a client that leaves out the
        last slash away with a redirect, which most of them do not follow.
        """
        app.router.routes.append(self.route(path))
        theirs = app.router.lifespan_context

        @asynccontextmanager
        async def both(host: Any) -> AsyncIterator[Any]:
            async with self.lifespan(host), theirs(host) as state:
                yield state

        app.router.lifespan_context = both

    def route(self, path: str) -> BaseRoute:
        """For `Starlette(routes=[tusjumbo.route("/files"), …], lifespan=tusjumbo.lifespan)`."""
        return _Endpoint(path, app=self)

    def at(self, base_path: str) -> ASGIApp:
        """An application that has the endpoint at `base_path`, and nothing else."""
        base = base_path.rstrip("/")

        async def site(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http":
                here = place(scope)
                if here.below != base and not here.below.startswith(base + "/"):
                    answer = PlainTextResponse(f"Uploads are at {base}/\n", 404)
                    await answer(scope, receive, send)
                    return
                mount = here.mount + base
                scope = {**scope, "root_path": mount, "path": here.mount + here.below}
            await self(scope, receive, send)

        return site if base else self

    # --- housekeeping ---

    @asynccontextmanager
    async def lifespan(self, app: object = None) -> AsyncIterator[None]:
        """Sweep at the start and every `sweep_every`; give everything back at the end.

        For `Starlette(lifespan=tusjumbo.lifespan)`, or inside a lifespan of your own:
        `async with tusjumbo.lifespan(): …`.
        """
        del app
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._keep_sweeping)
            self._lifespans += 1
            try:
                yield
            finally:
                self._lifespans -= 1
                tasks.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            await self.house.aclose()

    async def _follow(self, scope: Scope) -> None:
        """What a request leaves to be done after its answer."""
        concatenation = self.house.uploads.concatenation
        if concatenation.has_work:
            closing = closing_of(scope)
            await _quietly(lambda: concatenation.go_on(closing))
        if not self._lifespans:
            await self._sweep_in_passing()

    async def _keep_sweeping(self) -> None:
        if not self.settings.sweep_every:
            return
        await _quietly(self.house.sweep.strays)
        while True:
            await _quietly(self._sweep_all)
            await anyio.sleep(self.settings.sweep_every)

    async def _sweep_all(self) -> None:
        while _moved(await self.house.sweep.due()):
            pass

    async def _sweep_in_passing(self) -> None:
        """A little of what `lifespan` would do, when it is time."""
        now = self._clock()
        if not self.settings.sweep_every or now - self._swept_at < self.settings.sweep_every:
            return
        if self._swept_at == -math.inf:
            _log.warning(
                "Nobody runs TusJumbo's lifespan: expired uploads are only looked for after"
                " requests. Use tusjumbo.mount(app, path), or pass lifespan=tusjumbo.lifespan."
            )
        self._swept_at = now
        await _quietly(lambda: self.house.sweep.due(_BATCH))


class _Endpoint(Mount):
    """A mount that also answers its own path without the last slash."""

    def matches(self, scope: MutableMapping[str, Any]) -> tuple[Match, Scope]:
        match, child = super().matches(scope)
        if match is Match.NONE and "path" in scope:
            match, child = super().matches({**scope, "path": scope["path"] + "/"})
        return match, child


async def _quietly(work: Callable[[], Awaitable[object]]) -> None:
    """Do what nobody waits for. It is tried again later, so a failure only needs to be known."""
    try:
        await work()
    except Exception:
        _log.exception("Sweeping failed; it will be tried again.")


def _moved(swept: Swept) -> int:
    return swept.finished + swept.abandoned + swept.purged


def _settings(settings: UploadSettings | None, options: Mapping[str, Any]) -> UploadSettings:
    known = [field.name for field in fields(UploadSettings)]
    for name in options:
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {close[0]}?" if close else f"; there are {', '.join(known)}"
            raise ConfigurationError(f"there is no such option{hint}", setting=name)
    if settings is None:
        return UploadSettings(**options)
    if options:
        raise ConfigurationError("give settings, or options, but not both", setting="settings")
    return settings
