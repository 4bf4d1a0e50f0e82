"""Where tusjumbo can live: servers and frameworks, each a row that can be started as a process.

`python -m tests.conformance.hosts HOST PORT DIRECTORY` is such a process. The table pairs every
server with some framework and every framework with some server; what differs between the ways to
mount is there in both ways. The tus endpoint is always /files/, and the Jumbo API /upload/.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tusjumbo import TusJumbo

OPTIONS: dict[str, Any] = {
    "body_timeout": "2s",  # what PATCH-20 waits for
    "lock_timeout": "5s",
    "max_size": "1GiB",
    "durability": "os",
}

_PLACE = "TUSJUMBO_TEST_PLACE"
"""Variable that tells granian's worker what to serve: host and directory."""

# --- frameworks -----------------------------------------------------------------------------------


def _fastapi(tus: TusJumbo) -> Any:
    from fastapi import FastAPI

    app = FastAPI()
    tus.mount(app, "/files")
    tus.jumbo.mount(app, "/upload")
    return app


def _fastapi_plain(tus: TusJumbo) -> Any:
    """As its own documentation mounts an app: without the path that lacks the last slash."""
    from fastapi import FastAPI

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with tus.lifespan():
            yield

    app = FastAPI(lifespan=lifespan)
    app.mount("/files", tus)
    app.mount("/upload", tus.jumbo)
    return app


def _starlette(tus: TusJumbo) -> Any:
    from starlette.applications import Starlette

    routes = [tus.route("/files"), tus.jumbo.route("/upload")]
    return Starlette(routes=routes, lifespan=tus.lifespan)


def _starlette_plain(tus: TusJumbo) -> Any:
    from starlette.applications import Starlette
    from starlette.routing import Mount

    routes = [Mount("/files", tus), Mount("/upload", tus.jumbo)]
    return Starlette(routes=routes, lifespan=tus.lifespan)


def _litestar(tus: TusJumbo) -> Any:
    from litestar import Litestar, asgi

    @asgi("/files", is_mount=True, copy_scope=True)
    async def uploads(scope: Any, receive: Any, send: Any) -> None:
        await tus({**scope}, receive, send)

    @asgi("/upload", is_mount=True, copy_scope=True)
    async def chunks(scope: Any, receive: Any, send: Any) -> None:
        await tus.jumbo({**scope}, receive, send)

    return Litestar(route_handlers=[uploads, chunks], lifespan=[tus.lifespan], openapi_config=None)


# --- servers --------------------------------------------------------------------------------------


def _uvicorn(http: Any, host: Host, port: int, directory: Path) -> None:
    import uvicorn

    uvicorn.run(host.app(directory), port=port, http=http, access_log=False, log_level="warning")


def _ours(host: Host, port: int, directory: Path) -> None:
    from tusjumbo.server.run import serve
    from tusjumbo.settings import ServerSettings, UploadSettings

    upload = UploadSettings(upload_dir=directory, **OPTIONS)
    serve(partial(host.app, directory), upload, ServerSettings(port=port))


def _hypercorn(host: Host, port: int, directory: Path) -> None:
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    config = Config()
    config.bind = [f"127.0.0.1:{port}"]
    asyncio.run(serve(host.app(directory), config))


def _granian(host: Host, port: int, directory: Path) -> None:
    from granian import Granian
    from granian.constants import Interfaces

    os.environ[_PLACE] = f"{host.name}\n{directory}"
    target = f"{__name__ if __name__ != '__main__' else 'tests.conformance.hosts'}:placed"
    Granian(target, port=port, interface=Interfaces.ASGI, factory=True).serve()


def placed() -> Any:
    """The app that granian's worker serves."""
    name, _, directory = os.environ[_PLACE].partition("\n")
    return named(name).app(Path(directory))


# --- the table ------------------------------------------------------------------------------------

WITH_EVERYTHING = frozenset(
    # What servers are asked that lack an extension, and what takes as long as an upload lives.
    ("CWU-08", "CSUM-12", "TRAIL-07", "TERM-06", "UNFIN-07", "EXP-07", "EXP-08", "EXP-09", "EXP-10")
)
"""The rows that do not apply to a tusjumbo that offers every extension."""

_WITHOUT_TRAILERS = WITH_EVERYTHING - {"TRAIL-07"} | {f"TRAIL-0{n}" for n in range(2, 6)}


@dataclass(frozen=True)
class Host:
    name: str
    serve: Callable[[Host, int, Path], None]
    wrap: Callable[[TusJumbo], Any]
    skipped: frozenset[str] = _WITHOUT_TRAILERS
    """Rows that do not apply there."""
    excused: dict[str, str] = field(default_factory=dict)
    """Rows that it cannot keep, and why that is not in tusjumbo's hands."""
    asks: tuple[str, ...] = ()
    """Further options of the suite."""

    def app(self, directory: Path) -> Any:
        return self.wrap(TusJumbo(upload_dir=directory, **OPTIONS))

    def command(self, port: int, directory: Path) -> list[str]:
        """The command line of the process."""
        module = "tests.conformance.hosts"
        return [sys.executable, "-m", module, self.name, str(port), str(directory)]


_REDIRECTS = {"CREATE-13": "Starlette redirects what lacks the last slash of a plain mount"}
_MIXES = {
    "TRAIL-06": "httptools' trailers are headers to uvicorn's own class, if they come in one piece"
}
_CONTINUES = dict.fromkeys(
    ("PATCH-22", "CWU-09"), "hypercorn says 100 to every Expect before it asks an app"
)

HOSTS = (
    Host("ours-fastapi", _ours, _fastapi, skipped=WITH_EVERYTHING),
    Host("ours-starlette", _ours, _starlette, skipped=WITH_EVERYTHING),
    Host("uvicorn-httptools-fastapi", partial(_uvicorn, "httptools"), _fastapi, excused=_MIXES),
    Host("uvicorn-h11-fastapi-plain", partial(_uvicorn, "h11"), _fastapi_plain, excused=_REDIRECTS),
    Host("uvicorn-h11-litestar", partial(_uvicorn, "h11"), _litestar),
    Host("hypercorn-starlette", _hypercorn, _starlette, excused=_CONTINUES),
    Host("granian-starlette-plain", _granian, _starlette_plain, excused=_REDIRECTS),
)


def named(name: str) -> Host:
    """The row of the table."""
    return next(host for host in HOSTS if host.name == name)


if __name__ == "__main__":
    _, name, port, directory = sys.argv
    # Not the one of this module, which is `__main__` here: what is pickled must be importable.
    from tests.conformance import hosts

    host = hosts.named(name)
    host.serve(host, int(port), Path(directory))
