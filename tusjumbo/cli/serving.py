"""`serve`: one installation with its endpoint, a greeting at `/`, and a server around both.

The application is made by a function of the settings, because every worker process makes its own.
What a person reads at the start and the end goes to standard output, flushed, and its first line is
for programs too: `Listening on URL`. Everything else is a log line on standard error.
"""

from __future__ import annotations

import logging.config
import shlex
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from typing import cast

import anyio
from starlette.responses import PlainTextResponse

from tusjumbo import directories, wiring
from tusjumbo.cli import logs
from tusjumbo.cli.text import printable
from tusjumbo.composition import compose
from tusjumbo.errors import ConfigurationError
from tusjumbo.protocols.messages import Fields
from tusjumbo.server.run import Factory, serve
from tusjumbo.settings import LocationForm, ServerSettings, UploadSettings
from tusjumbo.web.asgi import ASGIApp, TusJumbo
from tusjumbo.web.bodies import Receive, Scope, Send
from tusjumbo.web.links import Links, elsewhere

_HELLO = """\
-H 'Tus-Resumable: 1.0.0' -H 'Upload-Length: 6' \
-H 'Content-Type: application/offset+octet-stream' --data-binary 'Hello!'"""


def run(upload: UploadSettings, server: ServerSettings) -> int:
    """Serve until somebody stops it, and return the exit code.

    :raises ConfigurationError: it cannot write there, listen there, or use the certificate
    """
    log_config = logs.configuration(server.log_format, server.log_level)
    logging.config.dictConfig(log_config)
    _furnish(upload)
    anyio.run(_look, upload)
    code = serve(
        cast("Factory", partial(site, upload, server)),  # uvicorn has its own types for ASGI
        upload,
        server,
        on_listening=partial(_announce, upload, server),
        log_config=log_config,
    )
    if code == 0:
        print("Stopped; what had arrived is kept.", flush=True)
    return code


def _furnish(upload: UploadSettings) -> None:
    """Make the upload directory, and find out now whether files can be made in it."""
    path = upload.upload_dir
    try:
        directories.make(path, upload.durability)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        problem = f"cannot write to {str(path)!r}: {error.strerror}"
        raise ConfigurationError(problem, setting="upload_dir") from error


async def _look(upload: UploadSettings) -> None:
    """Make every part and open the catalog, so that what cannot work is known before anybody
    uploads.
    """
    wiring.gate(upload, None, time.time)
    house = compose(upload)
    try:
        await house.catalog.listing(limit=1)
    finally:
        await house.aclose()


def _announce(upload: UploadSettings, server: ServerSettings, urls: Sequence[str]) -> None:
    where = printable(str(upload.upload_dir / "completed"))
    if server.unix_socket is None:
        target = urls[0]
    else:
        socket = printable(shlex.quote(str(server.unix_socket)))
        target = f"--unix-socket {socket} http://localhost{server.base_path}"
    # In one piece: who has read the first line will find the others.
    lines = [
        *(f"Listening on {url}" for url in urls),
        f"Finished uploads go to {where}. To try it:",
        f"  curl -i {target} {_HELLO}",
    ]
    print("\n".join(lines) + "\n", end="", flush=True)


def site(upload: UploadSettings, server: ServerSettings) -> ASGIApp:
    """The application that is served: both endpoints, and a greeting at `/`."""
    uploads = TusJumbo(settings=upload)
    base = server.base_path.rstrip("/")
    endpoint = uploads.at(base, server.jumbo_path)
    absolute = replace(upload, location=LocationForm.URL)
    links, jumbo = Links(absolute), Links(elsewhere(absolute))
    title = f"tusjumbo {version('tusjumbo')} takes resumable uploads (tus 1.0.0)."

    async def greet(scope: Scope, receive: Receive, send: Send) -> None:
        fields = Fields(scope["headers"])
        address = links.to("", {**scope, "root_path": base}, fields)
        text = f"{title}\n\nThe endpoint for your tus client is\n  {address}\n"
        if server.jumbo_path:
            address = jumbo.to("", {**scope, "root_path": server.jumbo_path}, fields)
            text += f"and of the Jumbo API (see openapi.json there)\n  {address}\n"
        status = 200 if scope["method"] in ("GET", "HEAD") else 405
        headers = {"X-Content-Type-Options": "nosniff"} | (
            {} if status == 200 else {"Allow": "GET, HEAD"}
        )
        await PlainTextResponse(text, status, headers)(scope, receive, send)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if base and scope["type"] == "http" and scope["path"] == "/":
            await greet(scope, receive, send)
        else:
            await endpoint(scope, receive, send)

    return app
