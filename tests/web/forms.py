"""Forms as bytes, right ones and others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

BOUNDARY = "----WebKitFormBoundary7MA4YWxkTrZu0gW"
CONTENT_TYPE = f"multipart/form-data; boundary={BOUNDARY}"


def part(name: str, content: bytes, *headers: str, filename: str | None = None) -> bytes:
    """One part as browsers write it, from its boundary on."""
    named = f'Content-Disposition: form-data; name="{name}"'
    lines = [named if filename is None else f'{named}; filename="{filename}"', *headers]
    head = "\r\n".join([f"--{BOUNDARY}", *lines, "", ""])
    return head.encode() + content + b"\r\n"


def blob(content: bytes, name: str = "chunk") -> bytes:
    return part(name, content, "Content-Type: application/octet-stream", filename="blob")


END = f"--{BOUNDARY}--\r\n".encode()


def form(content: bytes, **fields: str) -> bytes:
    """The fields and then the chunk, as the seed's client sends them."""
    return (
        b"".join(part(name, text.encode()) for name, text in fields.items()) + blob(content) + END
    )


def cut(data: bytes, sizes: Iterable[int]) -> Iterator[bytes]:
    """`data` in pieces of these sizes, and what is left."""
    at = 0
    for size in sizes:
        if at < len(data):
            yield data[at : at + size]
        at += size
    yield data[at:]
