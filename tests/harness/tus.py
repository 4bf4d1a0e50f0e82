"""The thin layer that tests speak tus 1.0 with, on top of `wire`.

One connection for each call. Statuses that the caller did not ask about are checked here, so that a
test which only prepares something fails where it went wrong.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping
from urllib.parse import urljoin, urlsplit

from tests.harness.wire import DEADLINE, Endpoint, Response, Wire

OFFSET_STREAM = "application/offset+octet-stream"


class Tus:
    """An upload is named by the path of its address."""

    def __init__(self, endpoint: Endpoint, deadline: float = DEADLINE) -> None:
        self.endpoint = endpoint
        self.deadline = deadline

    def request(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Response:
        """A whole exchange on a connection of its own, with Tus-Resumable."""
        with self.endpoint.connect(self.deadline) as wire:
            return wire.request(method, path, {"Tus-Resumable": "1.0.0", **(headers or {})}, body)

    def create(
        self,
        length: int | None,
        metadata: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> str:
        """Create an upload of `length` bytes (None: deferred) and return the path of its address.

        A `body` makes it a creation-with-upload.
        """
        sent = dict(headers or {})
        sent |= {"Upload-Defer-Length": "1"} if length is None else {"Upload-Length": str(length)}
        if metadata:
            sent["Upload-Metadata"] = encode_metadata(metadata)
        if body is not None:
            sent["Content-Type"] = OFFSET_STREAM
        response = self.request("POST", self.endpoint.path, sent, body).expect(201)
        return urlsplit(urljoin(self.endpoint.url, response["Location"])).path

    def patch(
        self, path: str, at: int, body: bytes, headers: Mapping[str, str] | None = None
    ) -> Response:
        return self.request("PATCH", path, patch_headers(at) | dict(headers or {}), body)

    def begin_patch(
        self,
        path: str,
        at: int,
        announced: int | None,
        headers: Mapping[str, str] | None = None,
        *,
        send_buffer: int | None = None,
    ) -> Wire:
        """A connection with the head of a PATCH sent; the body (None: chunked) is the caller's."""
        sent = {"Tus-Resumable": "1.0.0"} | patch_headers(at)
        if announced is None:
            sent["Transfer-Encoding"] = "chunked"
        else:
            sent["Content-Length"] = str(announced)
        wire = self.endpoint.connect(self.deadline, send_buffer=send_buffer)
        wire.head("PATCH", path, sent | dict(headers or {}))
        return wire

    def head(self, path: str) -> Response:
        return self.request("HEAD", path)

    def offset(self, path: str) -> int:
        """The offset that HEAD reports; a lock held by somebody else (423) is asked again."""
        end = time.monotonic() + self.deadline
        while True:
            response = self.head(path)
            if response.status != 423 or time.monotonic() > end:
                return int(response.expect(200, 204)["Upload-Offset"])

    def delete(self, path: str) -> Response:
        return self.request("DELETE", path)

    def get(self, path: str) -> bytes:
        return self.request("GET", path).expect(200).body

    def finish(self, path: str, content: bytes) -> None:
        """Send whatever of `content` is still missing."""
        at = self.offset(path)
        if at < len(content):
            response = self.patch(path, at, content[at:]).expect(204)
            assert int(response["Upload-Offset"]) == len(content)


def patch_headers(at: int) -> dict[str, str]:
    return {"Upload-Offset": str(at), "Content-Type": OFFSET_STREAM}


def encode_metadata(metadata: Mapping[str, str]) -> str:
    """As tus-js-client spells it: an empty value leaves `key ` with its space."""
    return ",".join(
        f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in metadata.items()
    )
