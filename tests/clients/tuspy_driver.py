"""One upload with the real tuspy: a scenario comes in as JSON, events go out as JSON lines.

Scenario: {endpoint, file, options, urlStorage: path, at: {bytes, do: "die" | "halt"}}. `options` go
to `TusClient.uploader`. `at` acts when the client has read so many bytes of its file; as tuspy
reads a chunk before it sends it, that is between two requests. It ends like js/driver.mjs.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from io import FileIO
from typing import Any

import requests
from tusclient.client import TusClient
from tusclient.storage.filestorage import FileStorage
from tusclient.uploader import baseuploader

SCENARIO: dict[str, Any] = json.loads(sys.argv[1])
SEEN: list[dict[str, object]] = []


def say(event: str, **more: object) -> None:
    os.write(1, json.dumps({"event": event, **more}).encode() + b"\n")


class Watched(FileIO):
    """A file that acts when it has been read up to a point."""

    acted = False

    def read(self, size: int | None = -1, /) -> bytes:
        piece = super().read(size) or b""
        at = SCENARIO.get("at")
        if at and not Watched.acted and len(piece) > 65536 and self.tell() >= at["bytes"]:
            Watched.acted = True
            say(at["do"])
            if at["do"] == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            os.read(0, 1)
        return piece


def watch_requests() -> None:
    send = requests.Session.send

    def watched(self: Any, request: Any, **more: Any) -> Any:
        seen: dict[str, object] = {"method": request.method, "status": 0}
        SEEN.append(seen)
        response = send(self, request, **more)
        seen["status"] = response.status_code
        return response

    requests.Session.send = watched  # type: ignore[method-assign]


def main() -> None:
    watch_requests()
    vars(baseuploader)["open"] = Watched
    options = dict(SCENARIO.get("options", {}))
    if "urlStorage" in SCENARIO:
        storage = FileStorage(SCENARIO["urlStorage"])  # type: ignore[no-untyped-call]
        options |= {"store_url": True, "url_storage": storage}
    uploader = None
    errors = []
    try:
        uploader = TusClient(SCENARIO["endpoint"]).uploader(SCENARIO["file"], **options)
        uploader.upload()
    except Exception as error:
        errors.append(f"{type(error).__name__}: {error}")
    outcome = "error" if errors else "success"
    url = uploader.url if uploader is not None else None
    say("end", outcome=outcome, url=url, requests=SEEN, errors=errors, successes=1 - len(errors))


main()
