"""A server process for tests: `python -m tests.server.runner '{"workers": 2}'`.

The settings are those of `ServerSettings`; the app does what the path says, and is also told in
`TOLD` (a file) what happens to it.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import anyio

from tests.server.apps import Obedient, respond
from tusjumbo.errors import ConfigurationError
from tusjumbo.server.run import serve
from tusjumbo.settings import ServerSettings, UploadSettings

LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "LINE %(levelname)s %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
}


class App:
    def __init__(self, told: Path) -> None:
        self._told = told

    def _tell(self, what: str) -> None:
        with self._told.open("a") as file:
            file.write(f"{what} {os.getpid()}\n")

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        match scope["path"]:
            case "/obey":
                await Obedient(lambda size: self._tell(f"has {size}"))(scope, receive, send)
            case "/ignore":
                await self._ignore()
            case "/scope":
                known = {"client": scope["client"], "scheme": scope["scheme"]}
                await respond(send, body=json.dumps(known).encode())
            case "/collector":
                known = {"frozen": gc.get_freeze_count(), "threshold": gc.get_threshold()[0]}
                await respond(send, body=json.dumps(known).encode())
            case "/hang":
                self._tell("hangs")
                time.sleep(1000)
            case _:
                await respond(send, body=str(os.getpid()).encode())

    async def _live(self, receive: Any, send: Any) -> None:
        await receive()
        if "FAIL" in os.environ:
            await send({"type": "lifespan.startup.failed", "message": "no disk"})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self._tell("ends")
        await send({"type": "lifespan.shutdown.complete"})

    async def _ignore(self) -> None:
        """Neither read nor answer; finish a commit when cancelled."""
        self._tell("begins")
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.1)
                self._tell("commits")


def make(told: Path) -> Any:
    if "BROKEN" in os.environ:
        raise ConfigurationError("nothing can be written there", setting="upload_dir")
    return App(told)


def announce(urls: Sequence[str]) -> None:
    for url in urls:
        print(f"Listening on {url}", flush=True)


if __name__ == "__main__":
    settings = json.loads(sys.argv[1])
    told = Path(settings.pop("told"))
    try:
        code = serve(
            partial(make, told),
            UploadSettings(),
            ServerSettings(**{"port": 0, **settings}),
            on_listening=announce,
            log_config=LOGGING,
        )
    except ConfigurationError as error:
        sys.exit(f"ConfigurationError: {error}")
    print("ended in good order", flush=True)
    sys.exit(code)
