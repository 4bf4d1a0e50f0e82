"""Order and form of answers: who is asked when, and what is said when something goes wrong."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from pathlib import Path

import anyio
import pytest

from tests.web.browsing import GONE, OFFSET_STREAM, Browser, T, files_below, piece
from tests.web.conftest import Serve
from tusjumbo.application import Admission
from tusjumbo.errors import Forbidden, StorageFailed, TusJumboError, Unauthorized
from tusjumbo.notice import Notice
from tusjumbo.protocols.extensions import Offer
from tusjumbo.protocols.messages import Intent, RequestHead, ResponseHead
from tusjumbo.sessions.commands import Action
from tusjumbo.sessions.events import Event, UploadFinished
from tusjumbo.web import bodies
from tusjumbo.web.bodies import Message, Receive, Scope, Send
from tusjumbo.web.tus import PROTOCOLS, TUS, TusExchange

PAGE = {"Origin": "https://page.example"}


def is_readable_by_a_page(headers: dict[str, str]) -> bool:
    exposed = headers.get("access-control-expose-headers", "")
    return headers.get("access-control-allow-origin") == "*" and "Upload-Offset" in exposed


# --- the gate ------------------------------------------------------------------------------------


@dataclass
class Door:
    """A gate that says what it was built with, and remembers who came."""

    says: Exception | None = None
    came: list[Admission] = field(default_factory=list)

    async def admit(self, admission: Admission) -> None:
        self.came.append(admission)
        await anyio.lowlevel.checkpoint()
        if self.says is not None:
            raise self.says


@pytest.mark.parametrize(
    ("error", "status"),
    [
        pytest.param(Unauthorized('Basic realm="x"'), 401, id="401"),
        pytest.param(Forbidden(), 403, id="403"),
    ],
)
@pytest.mark.parametrize(
    ("method", "action", "extra"),
    [
        pytest.param("POST", Action.CREATE, {"Upload-Length": "5"}, id="create"),
        pytest.param("PATCH", Action.APPEND, {"Upload-Offset": "2"}, id="append"),
        pytest.param("HEAD", Action.INSPECT, {}, id="inspect"),
        pytest.param("DELETE", Action.TERMINATE, {}, id="terminate"),
        pytest.param("GET", Action.FETCH, {}, id="fetch"),
    ],
)
async def test_a_closed_gate(
    serve: Serve,
    upload_dir: Path,
    method: str,
    action: Action,
    extra: dict[str, str],
    error: TusJumboError,
    status: int,
) -> None:
    inside = Browser(serve())
    path = (await inside.create(5, body=b"he")).location
    before = files_below(upload_dir)
    door = Door(error)
    at = "/" if action is Action.CREATE else path
    headers = {**T, **PAGE, **extra, "Content-Type": OFFSET_STREAM, "X-Token": "a"}
    answer = await Browser(serve(gate=door)).ask(method, at, headers, b"llo")
    assert answer.status == status
    assert not answer.asked_first
    assert is_readable_by_a_page(answer.headers)
    assert answer.headers["tus-resumable"] == "1.0.0"
    assert ("www-authenticate" in answer.headers) == (status == 401)
    (came,) = door.came
    assert came.action is action
    assert came.upload_id == (None if action is Action.CREATE else path.removeprefix("/"))
    assert came.client == "192.0.2.7"
    assert came.headers["x-token"] == "a"
    assert files_below(upload_dir) == before
    assert (await inside.head(path)).offset == 2


async def test_an_open_gate(serve: Serve) -> None:
    door = Door()
    browser = Browser(serve(gate=door))
    path = await browser.upload(b"hello")
    assert (await browser.get(path)).body == b"hello"
    assert [came.action for came in door.came] == [Action.CREATE, Action.FETCH]


async def test_the_gate_is_asked_for_each_part(serve: Serve) -> None:
    """Somebody else's bytes must not be had by joining them."""
    inside = Browser(serve())
    paths = [(await inside.create(1, {"Upload-Concat": "partial"}, b"a")).location for _ in "ab"]
    names = [path.removeprefix("/") for path in paths]

    class Guard(Door):
        async def admit(self, admission: Admission) -> None:
            await super().admit(admission)
            if admission.action is Action.JOIN and admission.upload_id != names[0]:
                raise Forbidden

    door = Guard()
    browser = Browser(serve(gate=door), headers=T)
    answer = await browser.ask("POST", "/", {"Upload-Concat": f"final;{paths[0]} {paths[0]}"})
    assert answer.status == 201
    assert [(came.action, came.upload_id) for came in door.came] == [
        (Action.CREATE, None),
        (Action.JOIN, names[0]),
    ]
    answer = await browser.ask("POST", "/", {"Upload-Concat": f"final;{paths[0]} {paths[1]}"})
    assert answer.status == 403
    assert "location" not in answer.headers


async def test_options_needs_no_gate(serve: Serve) -> None:
    door = Door(Unauthorized())
    browser = Browser(serve(gate=door))
    for path in ("/", "/gone", "/../etc", "/a/b"):
        answer = await browser.ask(
            "OPTIONS", path, {**PAGE, "Access-Control-Request-Method": "PATCH"}
        )
        assert answer.status == 204
        assert answer.headers["tus-version"] == "1.0.0"
        assert "creation" in answer.headers["tus-extension"]
        assert "PATCH" in answer.headers["access-control-allow-methods"]
    assert door.came == []


async def test_the_gate_sees_the_method_that_counts(serve: Serve) -> None:
    door = Door(Forbidden())
    browser = Browser(serve(gate=door))
    await browser.ask("POST", "/abc", {**T, "X-HTTP-Method-Override": "DELETE"})
    assert [came.action for came in door.came] == [Action.TERMINATE]


async def test_the_gate_comes_before_the_details(serve: Serve) -> None:
    """AMB-34: 412, 404, 405, then the gate, then the syntax of headers."""
    browser = Browser(serve(gate=Door(Unauthorized())))
    statuses = [
        (await browser.ask("POST", "/", {"Tus-Resumable": "2"})).status,
        (await browser.ask("HEAD", "/a/b", T)).status,
        (await browser.ask("PUT", "/a", T)).status,
        (await browser.ask("POST", "/", {**T, "Upload-Length": "x"})).status,
    ]
    assert statuses == [412, 404, 405, 401]


# --- the body ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "at", "body", "status"),
    [
        pytest.param({}, "0", b"llo", 409, id="offset"),
        pytest.param({}, "2", b"too much", 413, id="too long"),
        pytest.param({"Content-Type": "text/plain"}, "2", b"llo", 415, id="type"),
        pytest.param({"Tus-Resumable": "0"}, "2", b"llo", 412, id="version"),
        pytest.param({"Upload-Length": "9"}, "2", b"llo", 400, id="length"),
        pytest.param({}, "x", b"llo", 400, id="syntax"),
    ],
)
async def test_refused_before_the_first_byte(
    browser: Browser, headers: dict[str, str], at: str, body: bytes, status: int
) -> None:
    path = (await browser.create(5, body=b"he")).location
    own = {**T, **PAGE, "Content-Type": OFFSET_STREAM, "Upload-Offset": at, **headers}
    answer = await browser.ask("PATCH", path, own, body)
    assert answer.status == status
    assert not answer.asked_first
    assert "connection" not in answer.headers
    assert is_readable_by_a_page(answer.headers)
    assert answer.headers["content-length"] == str(len(answer.body))
    assert (await browser.head(path)).offset == 2


@pytest.mark.parametrize(
    ("version", "expected"),
    [pytest.param("1.1", "close", id="HTTP/1.1"), pytest.param("2", None, id="HTTP/2")],
)
async def test_a_body_that_is_held_back_ends_the_connection(
    browser: Browser, version: str, expected: str | None
) -> None:
    expect = {"Expect": "100-continue"}
    path = (await browser.create(5)).location
    refused = await browser.patch(path, 3, b"lo", expect, http_version=version)
    assert (refused.status, refused.headers.get("connection")) == (409, expected)
    assert not refused.asked_first
    taken = await browser.patch(path, 0, b"hello", expect, http_version=version)
    assert (taken.status, taken.headers.get("connection")) == (204, None)
    assert taken.asked_first


@pytest.mark.parametrize("is_ours", [False, True], ids=["another server", "our server"])
async def test_an_early_answer_is_whole_when_the_body_is_over(
    browser: Browser, is_ours: bool
) -> None:
    path = (await browser.create(9)).location
    pieces = [piece(b"abc"), piece(b"def"), piece(b"ghi", more=False)]
    order: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def noted() -> Message:
            order.append("read")
            return await receive()

        await browser.app(scope, noted, send)

    async def note(message: Message) -> None:
        order.append("head" if "status" in message else "body")

    extensions = {"tusjumbo": {"closing": Notice()}} if is_ours else {}
    answer = await replace(browser, app=app).patch(
        path, 3, pieces, {"Content-Length": "9"}, on_send=note, extensions=extensions
    )
    assert (answer.status, answer.complete) == (409, True)
    assert answer.headers["content-length"] == str(len(answer.body))
    between = [] if is_ours else ["body", "read", "read", "read"]
    assert order == ["head", *between, "body"]
    assert (await browser.head(path)).offset == 0


async def test_nobody_waits_long_for_a_body_that_is_not_wanted(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "_UNWANTED_FOR", 0.05)
    path = (await browser.create(9)).location
    for messages in ([piece(b"abc")], [piece(b"abc"), GONE]):
        answer = await browser.patch(path, 3, messages, {"Content-Length": "9"})
        assert (answer.status, answer.complete) == (409, GONE not in messages)


async def test_cut(browser: Browser, caplog: pytest.LogCaptureFixture) -> None:
    path = (await browser.create(9)).location
    for start, messages in ((0, [piece(b"hel"), GONE]), (3, [piece(b"lo", more=False)])):
        length = {"Content-Length": "6"} if start else {}
        answer = await browser.patch(path, start, messages, length)
        assert answer.status == 0
    assert (await browser.head(path)).offset == 5
    assert caplog.records == []


async def test_gone_while_we_answer(browser: Browser, caplog: pytest.LogCaptureFixture) -> None:
    async def hang_up(message: Message) -> None:
        raise OSError("gone")

    assert (await browser.ask("OPTIONS", "/", on_send=hang_up)).status == 0
    assert caplog.records == []


async def test_the_server_is_stopping(browser: Browser) -> None:
    closing = Notice()
    path = (await browser.create(9)).location
    extensions = {"tusjumbo": {"closing": closing}}
    # After its piece this client says nothing more, and stays.
    answer = await browser.patch(
        path, 0, [piece(b"hel")], PAGE, on_silence=closing.give, extensions=extensions
    )
    assert answer.status == 503
    assert answer.headers["connection"] == "close"
    assert is_readable_by_a_page(answer.headers)
    assert (await browser.head(path)).offset == 3
    assert (await browser.patch(path, 3, b"lo", extensions=extensions)).status == 503
    assert (await browser.head(path)).offset == 3


# --- what goes wrong with us ---------------------------------------------------------------------


class Mistake(Exception):
    pass


@pytest.mark.parametrize(("method", "status"), [("DELETE", 500), ("HEAD", 423), ("POST", 500)])
async def test_a_mistake_of_ours(
    serve: Serve, method: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    browser = Browser(serve(gate=Door(Mistake("secret"))))
    at = "/" if method == "POST" else "/abc"
    answer = await browser.ask(method, at, {**T, **PAGE})
    assert answer.status == status
    assert answer.headers["tus-resumable"] == "1.0.0"
    assert is_readable_by_a_page(answer.headers)
    assert b"secret" not in answer.body
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], Mistake)


async def test_a_failure_of_the_system(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    failure = StorageFailed()
    failure.__cause__ = OSError(5, "Input/output error", "/secret")
    browser = Browser(serve(gate=Door(failure)))
    answer = await browser.ask("DELETE", "/abc", {**T, **PAGE})
    assert answer.status == 500
    assert b"secret" not in answer.body
    assert is_readable_by_a_page(answer.headers)
    (record,) = caplog.records
    assert record.exc_info is None
    assert "Input/output error" in record.getMessage()


async def test_cancelled(browser: Browser) -> None:
    path = (await browser.create(9)).location
    with anyio.CancelScope() as scope:
        await browser.patch(path, 0, [piece(b"hel")], on_silence=scope.cancel)
    assert scope.cancelled_caught
    assert (await browser.head(path)).offset == 3


# --- form ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        pytest.param("/gone", T, 404, id="unknown"),
        pytest.param("/a/b", T, 404, id="no id"),
        pytest.param("/gone", {}, 412, id="version"),
        pytest.param("/", T, 405, id="endpoint"),
    ],
)
async def test_head_has_no_body(
    browser: Browser, path: str, headers: dict[str, str], status: int
) -> None:
    answer = await browser.ask("HEAD", path, headers)
    assert (answer.status, answer.body) == (status, b"")
    assert "content-length" not in answer.headers
    assert "upload-offset" not in answer.headers
    assert answer.headers["cache-control"] == "no-store"


async def test_no_content_has_no_length(browser: Browser) -> None:
    path = (await browser.create(5)).location
    assert "content-length" not in (await browser.patch(path, 0, b"hello")).headers
    assert (await browser.create(5)).headers["content-length"] == "0"


# --- more than one protocol ----------------------------------------------------------------------


async def test_the_first_protocol_that_claims_a_request_answers_it(serve: Serve) -> None:
    def recognise(head: RequestHead, offer: Offer) -> Intent:
        if head.path == "/no":
            raise Forbidden
        return Intent(Action.DESCRIBE, None, head.method)

    other = replace(
        TUS,
        claims=lambda head: "x-other" in head.fields,
        recognise=recognise,
        describe=lambda offer: ResponseHead(299),
        refuse=lambda error, intent: ResponseHead(499),
    )
    tus = serve()
    exchange = tus._exchange
    assert isinstance(exchange, TusExchange)
    tus._exchange = replace(exchange, protocols=(other, *PROTOCOLS))
    browser = Browser(tus)
    assert (await browser.get("/", {"X-Other": "1"})).status == 299
    assert (await browser.get("/no", {"X-Other": "1"})).status == 499
    assert (await browser.ask("OPTIONS", "/")).status == 204


async def test_observers_are_told(serve: Serve) -> None:
    told: list[Event] = []
    browser = Browser(serve(observers=[told.append]))
    await browser.upload(b"hello")
    assert isinstance(told[-1], UploadFinished)
