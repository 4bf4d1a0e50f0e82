"""The Jumbo API as its clients use it, over a `Browser`."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.web.browsing import Answer, Browser, Lines, pairs
from tests.web.forms import CONTENT_TYPE, form
from tusjumbo.web.bodies import Message

JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Said:
    """An answer in JSON."""

    answer: Answer
    told: dict[str, Any]

    @property
    def status(self) -> int:
        return self.answer.status

    @property
    def problem(self) -> str:
        """The last word of its type, where it is a problem."""
        assert self.answer.headers["content-type"] == "application/problem+json"
        assert self.told["status"] == self.status
        return str(self.told["type"]).rpartition(":")[2]


@dataclass
class Jumbo:
    browser: Browser
    at: str = ""
    """Where the API is."""

    async def ask(
        self,
        method: str,
        path: str,
        headers: Lines = (),
        body: bytes | Sequence[Message] | None = None,
        **more: Any,
    ) -> Said:
        answer = await self.browser.ask(method, self.at + path, headers, body, **more)
        assert answer.complete
        assert answer.headers["x-content-type-options"] == "nosniff"
        kinds = ("application/json", "application/problem+json")
        assert answer.headers["content-type"] in kinds, answer
        return Said(answer, json.loads(answer.body) if answer.body else {})

    async def begin(self, size: int, filename: str = "a.bin", **more: Any) -> str:
        """The id of a new upload."""
        said = await self.start({"filename": filename, "size": size, **more})
        assert said.status == 201, said
        return str(said.told["upload_id"])

    async def start(self, told: Any, headers: Lines = JSON, **more: Any) -> Said:
        body = told if isinstance(told, bytes) else json.dumps(told).encode()
        return await self.ask("POST", "/start", headers, body, **more)

    async def send(
        self, upload_id: str, number: int, content: bytes, headers: Lines = (), **fields: str
    ) -> Said:
        """By a form."""
        told = {"upload_id": upload_id, "chunk_number": str(number), **fields}
        lines = [("Content-Type", CONTENT_TYPE), *pairs(headers)]
        return await self.ask("POST", "/chunk", lines, form(content, **told))

    async def put(
        self,
        upload_id: str,
        number: int,
        content: bytes | Sequence[Message],
        headers: Lines = (),
        **more: Any,
    ) -> Said:
        return await self.ask("PUT", f"/{upload_id}/chunks/{number}", headers, content, **more)

    async def get(self, path: str, **more: Any) -> Said:
        return await self.ask("GET", path, **more)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def digest(content: bytes, algorithm: str = "sha-256") -> dict[str, str]:
    """The field that announces it."""
    value = hashlib.new(algorithm.replace("-", ""), content).digest()
    return {"Content-Digest": f"{algorithm}=:{base64.b64encode(value).decode()}:"}
