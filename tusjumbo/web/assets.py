"""Assets: the files in `pages/`, which everybody may fetch and nobody can change.

Each has a tag of what is in it, so that a browser asks again and is told that it knows it already.
They are read when they are first asked for, in a thread, and kept.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from tusjumbo.hop import Hop
from tusjumbo.protocols.messages import Fields, Headers, ResponseHead
from tusjumbo.web.downloads import names_tag

PAGES = Path(__file__).with_name("pages")

_hop = Hop(1)


async def client(fields: Fields) -> ResponseHead:
    """`jumbo.js`, the client for browsers, as an ES module."""
    return _answer(await _hop(_read, "jumbo.js"), "text/javascript; charset=utf-8", fields)


async def document(
    fields: Fields,
    server: str,
    exists: Callable[[str, str], bool],
    limits: Mapping[str, tuple[int, int]],
) -> ResponseHead:
    """The OpenAPI document of what is at `server`, with those operations that there are.

    `exists` tells of a method and a path template whether it is one; `limits` are the smallest and
    the largest value of each number with which an upload is begun.
    """
    whole: Mapping[str, Any] = json.loads(await _hop(_read, "openapi.json"))
    start = whole["components"]["schemas"]["Start"]["properties"]
    for name, (smallest, largest) in limits.items():
        start[name].update(minimum=smallest, maximum=largest)
    paths = {
        path: {method: told for method, told in methods.items() if exists(method.upper(), path)}
        for path, methods in whole["paths"].items()
    }
    offered = {path: methods for path, methods in paths.items() if methods}
    told = {**whole, "servers": [{"url": server}], "paths": offered}
    body = json.dumps(told, ensure_ascii=False, indent=1).encode() + b"\n"
    return _answer(body, "application/json", fields)


@cache
def _read(name: str) -> bytes:
    return (PAGES / name).read_bytes()


def _answer(body: bytes, media_type: str, fields: Fields) -> ResponseHead:
    tag = hashlib.sha256(body).hexdigest()[:32]
    facts: Headers = (("ETag", f'"{tag}"'), ("Cache-Control", "no-cache"))
    known = fields.joined("if-none-match")
    if known is not None and names_tag(known, tag):
        return ResponseHead(304, facts)
    described = (("Content-Type", media_type), ("X-Content-Type-Options", "nosniff"))
    return ResponseHead(200, (*facts, *described), body)
