"""tusjumbo in other ASGI servers, without anything of its own server.

`python -m tests.benchmarks.hosts HOST DURABILITY PORT DIRECTORY` serves at /files/ with request
logging off. The shortest program for each, as its documentation has it.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

_PLACE = "TUSJUMBO_BENCHMARK_PLACE"
"""Variable that tells granian's worker what to serve."""


def app(durability: str, directory: str) -> Any:
    from starlette.applications import Starlette
    from starlette.routing import Mount

    from tusjumbo import TusJumbo

    uploads = TusJumbo(upload_dir=directory, durability=durability)
    return Starlette(routes=[Mount("/files", uploads)], lifespan=uploads.lifespan)


def _uvicorn(durability: str, port: int, directory: str) -> None:
    import uvicorn

    uvicorn.run(app(durability, directory), port=port, log_level="error", access_log=False)


def _hypercorn(durability: str, port: int, directory: str) -> None:
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    config = Config()
    config.bind = [f"127.0.0.1:{port}"]
    asyncio.run(serve(app(durability, directory), config))


def _granian(durability: str, port: int, directory: str) -> None:
    from granian import Granian
    from granian.constants import Interfaces

    os.environ[_PLACE] = f"{durability} {directory}"
    target = "tests.benchmarks.hosts:placed"
    Granian(target, port=port, interface=Interfaces.ASGI, factory=True, log_enabled=False).serve()


def placed() -> Any:
    return app(*os.environ[_PLACE].split(" ", 1))


HOSTS: dict[str, Callable[[str, int, str], None]] = {
    "uvicorn": _uvicorn,
    "hypercorn": _hypercorn,
    "granian": _granian,
}


def main(words: Sequence[str]) -> None:
    host, durability, port, directory = words
    HOSTS[host](durability, int(port), directory)


if __name__ == "__main__":
    main(sys.argv[1:])
