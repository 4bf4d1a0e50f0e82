"""Sequences that clients send only when things go wrong, so spoken by hand (specs/clients.md 7).

tus-js-client 4.3.1 and 5.0.0-pre2 on Node never come to the empty last PATCH: their stream source
waits for ever when a stream ends exactly on a chunk. Browsers and tuspy's main branch send it.
"""

from __future__ import annotations

import pytest

from tests.harness.process import Server

pytestmark = pytest.mark.wire


def test_deferred_length_that_ends_on_a_chunk(server: Server) -> None:
    """The length comes with an empty PATCH, equal to its offset, and finishes the upload."""
    path = server.tus.create(None)
    server.tus.patch(path, 0, b"hello").expect(204)
    server.tus.patch(path, 5, b"world").expect(204)
    assert server.tus.head(path)["Upload-Defer-Length"] == "1"
    assert server.tus.patch(path, 10, b"", {"Upload-Length": "10"}).status == 204
    assert server.tus.head(path)["Upload-Length"] == "10"
    assert server.tus.get(path) == b"helloworld"


def test_a_length_that_is_known_is_sent_again(server: Server) -> None:
    """The last PATCH carried the length and was cut: v4 repeats both. Others answer 400."""
    path = server.tus.create(None)
    server.tus.patch(path, 0, b"hello").expect(204)
    with server.tus.begin_patch(path, 5, 6, {"Upload-Length": "11"}) as wire:
        wire.send(b" wo")
        wire.close()
        wire.until_dropped()
    head = server.tus.head(path).expect(200)
    assert (head["Upload-Offset"], head["Upload-Length"]) == ("8", "11")
    server.tus.patch(path, 8, b"rld", {"Upload-Length": "11"}).expect(204)
    assert server.tus.get(path) == b"hello world"


def test_a_deferred_creation_tells_the_offset(server: Server) -> None:
    """Without it, tus-js-client with uploadDataDuringCreation gives up or loses a round (1.3)."""
    created = server.tus.request("POST", server.endpoint.path, {"Upload-Defer-Length": "1"})
    assert created.expect(201)["Upload-Offset"] == "0"


def test_a_locked_upload_is_423_and_works_on_the_next_try(server: Server) -> None:
    """Whoever is asked to leave has to hear something that every client retries."""
    path = server.tus.create(10)
    with server.tus.begin_patch(path, 0, 10, {"Expect": "100-continue"}) as wire:
        assert wire.read_next().status == 100
        wire.send(b"hello")
        wire.until_read()
        assert server.tus.offset(path) == 5
        assert wire.read().status == 423
    server.tus.patch(path, 5, b"world").expect(204)
    assert server.tus.get(path) == b"helloworld"
