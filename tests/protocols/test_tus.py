from __future__ import annotations

from dataclasses import replace

import pytest

from tests.protocols.scenes import ID, OFFER, OOS, Chunked, command_of, head, upload
from tusjumbo.protocols import tus
from tusjumbo.protocols.messages import Intent, RequestHead
from tusjumbo.sessions.commands import (
    Action,
    Append,
    Command,
    Content,
    Create,
    Digest,
    Fetch,
    Finish,
    Inspect,
    Keep,
    Terminate,
)
from tusjumbo.sessions.outcomes import Created

DESCRIBE = Intent(Action.DESCRIBE, None, "OPTIONS")


@pytest.mark.parametrize(
    ("request_head", "intent"),
    [
        (head("POST /"), Intent(Action.CREATE, None, "POST")),
        (head("POST "), Intent(Action.CREATE, None, "POST")),
        (head("HEAD /a"), Intent(Action.INSPECT, "a", "HEAD")),
        (head("PATCH /a/"), Intent(Action.APPEND, "a", "PATCH")),
        (head("DELETE /a"), Intent(Action.TERMINATE, "a", "DELETE")),
        (head("GET /a", version=None), Intent(Action.FETCH, "a", "GET")),
        (head("GET /a", version="9"), Intent(Action.FETCH, "a", "GET")),
        (head("OPTIONS /", version=None), DESCRIBE),
        (head("OPTIONS /a"), DESCRIBE),
        (head("OPTIONS *"), DESCRIBE),
        (head("POST /a", "x-http-method-override: pAtCh"), Intent(Action.APPEND, "a", "PATCH")),
        (head("PUT /", "X-HTTP-Method-Override: POST"), Intent(Action.CREATE, None, "POST")),
        (head("POST /a", "X-HTTP-Method-Override: GET"), Intent(Action.FETCH, "a", "GET")),
        (head("GET /a", "X-HTTP-Method-Override: DELETE"), Intent(Action.FETCH, "a", "GET")),
        (head("GET /a", "X-HTTP-Method-Override: not one"), Intent(Action.FETCH, "a", "GET")),
        (head("POST /a", "X-HTTP-Method-Override: OPTIONS"), DESCRIBE),
    ],
)
def test_what_a_request_is_about(request_head: RequestHead, intent: Intent) -> None:
    assert tus.recognise(request_head, OFFER) == intent


TUS = Content(announced=5, keep=Keep.PREFIX, finish=Finish.WHEN_FULL, digest=None)
UNKNOWN = Content(announced=None, keep=Keep.PREFIX, finish=Finish.WHEN_FULL, digest=None)
NOTHING = Content(announced=0, keep=Keep.PREFIX, finish=Finish.WHEN_FULL, digest=None)
SHA1 = "Upload-Checksum: sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0="
CHECKED = Content(
    announced=5,
    keep=Keep.ALL_OR_NOTHING,
    digest=Digest("sha1", bytes.fromhex("2aae6c35c94fcfb415dbe95f408b9ce91ee846ed")),
)
TEN = Create(length=10, metadata={}, echo={})


@pytest.mark.parametrize(
    ("request_head", "command"),
    [
        (head("POST /", "Upload-Length: 10"), TEN),
        (head("POST /", "Upload-Length: 10", OOS), TEN),
        (head("POST /", "Upload-Length: 10", "Upload-Metadata:"), TEN),
        (
            head("POST /", "Upload-Defer-Length: 1", OOS, body=5),
            Create(length=None, metadata={}, echo={}, content=TUS),
        ),
        (
            head("POST /", "Upload-Length: 10", OOS, body=Chunked(5)),
            Create(length=10, metadata={}, echo={}, content=UNKNOWN),
        ),
        (head("POST /", "Upload-Length: 10", "Content-Type: a/b", body=Chunked(5)), TEN),
        (
            head("POST /", "Upload-Length: 10", "Upload-Metadata: a Zg==,  b "),
            Create(
                length=10,
                metadata={"a": b"f", "b": b""},
                echo={"upload-metadata": "a Zg==,  b"},
            ),
        ),
        (head("HEAD /a"), Inspect("a")),
        (head("DELETE /a"), Terminate("a")),
        (head("GET /a"), Fetch("a")),
        (
            head("PATCH /a", OOS, "Upload-Offset: 007", body=5),
            Append(id="a", at=7, content=TUS, declares=None),
        ),
        (
            head("PATCH /a", OOS, "Upload-Offset: 7", "Upload-Length: 12", body=Chunked(5)),
            Append(id="a", at=7, content=UNKNOWN, declares=12),
        ),
        (
            head("PATCH /a", OOS, "Upload-Offset: 7"),
            Append(id="a", at=7, content=NOTHING, declares=None),
        ),
        (
            head("PATCH /a", OOS, "Upload-Offset: 7", SHA1, body=5),
            Append(id="a", at=7, content=CHECKED, declares=None),
        ),
        (
            head("POST /", "Upload-Length: 10", OOS, SHA1, body=5),
            Create(length=10, metadata={}, echo={}, content=CHECKED),
        ),
        (
            head("POST /", "Upload-Length: 10", SHA1),
            Create(length=10, metadata={}, echo={}, content=replace(CHECKED, announced=0)),
        ),
        (head("POST /", "Upload-Length: 10", "Content-Type: a/b", SHA1, body=Chunked(5)), TEN),
    ],
)
def test_what_a_request_commands(request_head: RequestHead, command: Command) -> None:
    assert command_of(request_head) == command


def test_a_description_is_no_command() -> None:
    with pytest.raises(ValueError, match="DESCRIBE"):
        tus.decode(head("OPTIONS /"), DESCRIBE, OFFER)


def test_the_address_is_what_the_caller_makes_of_the_id() -> None:
    response = tus.encode(Created(upload(10)), OFFER, "https://example.org/x/{}".format)
    assert ("Location", f"https://example.org/x/{ID}") in response.headers
