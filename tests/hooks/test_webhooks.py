from __future__ import annotations

import functools
import gc
import gzip
import json
import logging
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.hooks.receivers import Asked, Said, call, receiver, saying, session
from tusjumbo.application import Hook, HookAnswer, HookCall, Origin, Receiver
from tusjumbo.errors import ConfigurationError, HookFailed
from tusjumbo.hooks import documents
from tusjumbo.hooks.signatures import verify
from tusjumbo.hooks.webhooks import Webhook
from tusjumbo.sessions.session import Answer

LONG = 60.0
"""Seconds that nobody waits."""

JSON = {"Content-Type": "application/json"}
NEWS = Hook.POST_FINISH


async def webhook(url: str, timeout: float = LONG, **options: Any) -> Webhook:
    """It reads certificates, which is no matter for an event loop."""
    options = {"backoff": 0.0} | options
    return await anyio.to_thread.run_sync(functools.partial(Webhook, url, timeout, **options))


async def problem_of(hook: Webhook, asked: HookCall | None = None) -> str:
    with pytest.raises(HookFailed) as failure:
        await hook(call() if asked is None else asked)
    name, _, problem = failure.value.problem.partition(" ")
    assert name == hook.name
    return problem


@contextmanager
def nobody() -> Iterator[str]:
    """An address where nobody listens, and nobody else will."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/hook"


# --- what is sent --------------------------------------------------------------------------------


async def test_the_document_is_posted() -> None:
    with receiver(Said()) as place:
        asked = call(NEWS, key="key-1")
        assert await (await webhook(place.url))(asked) == HookAnswer()
    [got] = place.asked
    assert got.body == documents.written(asked)
    wanted = {
        "content-type": "application/json",
        "hook-name": "post-finish",
        "idempotency-key": "key-1",
        "user-agent": "tusjumbo",
        "accept-encoding": "identity",
    }
    assert {name: got.headers.get(name) for name in wanted} == wanted
    assert not {"cookie", "authorization", "webhook-id"} & set(got.headers)


async def test_a_type_of_its_own() -> None:
    with receiver(Said()) as place:
        await (await webhook(place.url)).ask(call(Hook.PRE_FINISH), "assemble")
    assert place.asked[0].document["Type"] == "assemble"
    assert place.asked[0].headers["hook-name"] == "assemble"


async def test_headers_are_forwarded_by_name() -> None:
    origin = Origin(headers={"Cookie": ["a=1", "b=2"], "X-Odd": ["\xe9"], "Authorization": ["no"]})
    with receiver(Said()) as place:
        hook = await webhook(place.url, forward_headers=["cookie", "X-Odd", "X-Missing"])
        await hook(call(origin=origin))
    lines = place.asked[0].lines
    assert [value for name, value in lines if name.lower() == "cookie"] == ["a=1", "b=2"]
    assert place.asked[0].headers["x-odd"] == "\xe9"
    assert not {"authorization", "x-missing"} & set(place.asked[0].headers)
    assert set(hook.forward_headers) == {"cookie", "X-Odd", "X-Missing"}


async def test_it_is_signed_with_a_secret() -> None:
    with receiver(Said()) as place:
        hook = await webhook(place.url, secret="whsec_c2VjcmV0")
        await hook(call(NEWS, key="key-1"))
        await hook(call(NEWS, key="key-1"))
    for got in place.asked:
        assert got.headers["webhook-id"] == "key-1"
        assert verify(got.body, got.headers, b"secret")
        assert not verify(got.body + b" ", got.headers, b"secret")


async def test_a_question_has_the_same_key_when_it_is_repeated_and_only_then() -> None:
    with receiver(Said(503), Said()) as place:
        hook = await webhook(place.url, secret=b"x")
        await hook(call())
        await hook(call())
    keys = [got.headers["idempotency-key"] for got in place.asked]
    assert keys == [got.headers["webhook-id"] for got in place.asked]
    assert keys[0] == keys[1] != keys[2]
    assert min(map(len, keys)) >= 32


async def test_a_user_in_the_address_is_sent_and_never_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    with receiver(Said(503)) as place:
        secret = place.url.replace("http://", "http://us%40er:pa%3Ass@") + "?token=tok"
        hook = await webhook(secret)
        problem = await problem_of(hook)
    assert place.asked[0].headers["authorization"] == "Basic dXNAZXI6cGE6c3M="
    for told in (hook.name, problem, *(r.getMessage() for r in caplog.records)):
        assert "pa%3Ass" not in told
        assert "pa:ss" not in told
    ours = [r.getMessage() for r in caplog.records if r.name == "tusjumbo"]
    assert ours
    assert not [told for told in (hook.name, problem, *ours) if "tok" in told]


# --- what is answered ----------------------------------------------------------------------------


@pytest.mark.parametrize("hook", [Hook.PRE_CREATE, Hook.POST_RECEIVE])
@pytest.mark.parametrize(
    "media_type", ["application/json", "Application/JSON ; charset=utf-8", "application/json;"]
)
async def test_its_answer_counts(hook: Hook, media_type: str) -> None:
    said = saying(HTTPResponse={"StatusCode": 402, "Body": "pay"}, StopUpload=True)
    with receiver(Said(201, said.body, {"Content-Type": media_type})) as place:
        answer = await (await webhook(place.url))(call(hook))
    assert answer == HookAnswer(answer=Answer(402, body=b"pay"), stop=True)


@pytest.mark.parametrize("hook", [Hook.PRE_CREATE, NEWS])
@pytest.mark.parametrize(
    "said", [Said(204, b"", {}), Said(200, b"", {}), Said(200, b"\n", {}), Said(200, b"", JSON)]
)
async def test_nothing_said_is_an_answer(hook: Hook, said: Said) -> None:
    with receiver(said) as place:
        assert await (await webhook(place.url))(call(hook)) == HookAnswer()


@pytest.mark.parametrize("media_type", ["text/plain", "", "application/jsonp", "text/json"])
async def test_news_may_be_answered_anyhow_and_questions_not(media_type: str) -> None:
    said = Said(200, b'{"RejectUpload": true, "StopUpload": true}', {"Content-Type": media_type})
    with receiver(said) as place:
        hook = await webhook(place.url)
        assert await hook(call(Hook.POST_RECEIVE)) == HookAnswer()
        expected = f"answered with {media_type or 'no type'}, not application/json"
        assert await problem_of(hook) == expected


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        (Said(400, b"no \x1b[1m\r\nlog"), "answered with the status 400: no  [1m  log"),
        (Said(404, b""), "answered with the status 404"),
        (Said(429, b"x" * 300), "answered with the status 429: " + "x" * 200),
        (Said(302, b"", {"Location": "/hook"}), "answered with the status 302"),
        (Said(307, b"", {"Location": "/other"}), "answered with the status 307"),
        (Said(304, b""), "answered with the status 304"),
        (Said(200, b"nonsense"), "answered with something that is not JSON"),
        (Said(200, b"[]"), "answered with JSON that is not an object"),
        (saying(HTTPResponse={"Header": {"X": "a\r\nb"}}), "answered with 'a\\r\\nb' as the head"),
        (Said(200, b" " * 65537), "answered with more than 65536 bytes"),
        (Said(200, b"{" * (1 << 20), length=1 << 40), "answered with more than 65536 bytes"),
        (
            Said(
                200,
                gzip.compress(b"{}"),
                JSON | {"Content-Encoding": "gzip"},
            ),
            "answered compressed",
        ),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
async def test_what_is_a_failure_at_once(said: Said, problem: str) -> None:
    with receiver(said) as place:
        found = await problem_of(await webhook(place.url))
    assert found.startswith(problem)
    assert found.isprintable()
    assert len(place.asked) == 1


# --- what is tried again -------------------------------------------------------------------------

PASSING = [
    (Said(500, b"oops"), "answered with the status 500: oops"),
    (Said(503, b""), "answered with the status 503"),
    (Said(drop=True), "cannot be reached: "),
    (Said(200, b"{}", JSON, length=10), "cannot be reached: "),
]


@pytest.mark.parametrize("said", [said for said, _ in PASSING])
async def test_a_question_is_repeated(said: Said) -> None:
    with receiver(said, said, saying(RejectUpload=True)) as place:
        answer = await (await webhook(place.url))(call())
    assert answer == HookAnswer(reject=True)
    assert len(place.asked) == 3
    assert len({got.body for got in place.asked}) == 1


@pytest.mark.parametrize(("said", "problem"), PASSING)
async def test_three_times_and_no_more(said: Said, problem: str) -> None:
    with receiver(said) as place:
        assert (await problem_of(await webhook(place.url))).startswith(problem)
    assert len(place.asked) == 3


@pytest.mark.parametrize(("said", "problem"), PASSING)
async def test_news_are_told_once(said: Said, problem: str) -> None:
    with receiver(said) as place, pytest.raises(HookFailed) as failure:
        await (await webhook(place.url))(call(NEWS))
    assert problem in failure.value.problem
    assert failure.value.hook == "post-finish"
    assert len(place.asked) == 1


@pytest.mark.parametrize(("attempts", "asked"), [(0, 1), (1, 1), (5, 5)])
async def test_how_often_may_be_said(attempts: int, asked: int) -> None:
    with receiver(Said(500)) as place:
        await problem_of(await webhook(place.url, attempts=attempts))
    assert len(place.asked) == asked


async def test_nobody_is_there() -> None:
    with nobody() as url:
        assert (await problem_of(await webhook(url))).startswith("cannot be reached: ")


async def test_all_attempts_have_one_time_out() -> None:
    with receiver(Said(500, b"oops")) as place:
        found = await problem_of(await webhook(place.url, 0.5, backoff=LONG))
    expected = "did not answer within 0.5 s (answered with the status 500: oops)"
    assert found == expected
    assert len(place.asked) == 1


@pytest.mark.parametrize("hook", [Hook.PRE_CREATE, NEWS])
async def test_it_is_too_slow(hook: Hook) -> None:
    over = threading.Event()

    def slowly(asked: Asked) -> Said:
        over.wait(30)
        return Said()

    with receiver(slowly) as place:
        try:
            with pytest.raises(HookFailed) as failure:
                await (await webhook(place.url, 0.3))(call(hook))
        finally:
            over.set()
    assert failure.value.problem == f"{place.url} did not answer within 0.3 s"
    assert len(place.asked) == 1


async def test_it_says_nothing_to_the_end() -> None:
    """A head and then drops for ever."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def drip() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
                while not over.wait(0.02):
                    try:
                        connection.sendall(b" ")
                    except OSError:
                        return

        over = threading.Event()
        thread = threading.Thread(target=drip)
        thread.start()
        try:
            hook = await webhook(f"http://127.0.0.1:{listening.getsockname()[1]}/", 0.3)
            assert await problem_of(hook) == "did not answer within 0.3 s"
        finally:
            over.set()
            thread.join()


@pytest.mark.parametrize(
    "said",
    [b"nonsense\r\n\r\n", b"HTTP/1.1 999999 X\r\n\r\n", b"HTTP/1.1 200 OK\r\nA" + b"b" * 200_000],
)
async def test_it_does_not_speak_http(said: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def speak() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(said)

        thread = threading.Thread(target=speak)
        thread.start()
        hook = await webhook(f"http://127.0.0.1:{listening.getsockname()[1]}/", attempts=1)
        assert (await problem_of(hook)).startswith("cannot be reached: ")
        thread.join()


async def test_an_https_address_is_never_spoken_to_without_tls() -> None:
    with receiver(Said()) as place:
        hook = await webhook(place.url.replace("http:", "https:"), attempts=1)
        assert (await problem_of(hook)).startswith("cannot be reached: ")
    assert place.asked == []


async def test_a_certificate_that_nobody_vouches_for(tmp_path: Path) -> None:
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", tmp_path / "key", "-out", tmp_path / "certificate"),
        ],
        check=True,
        capture_output=True,
    )
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours.load_cert_chain(tmp_path / "certificate", tmp_path / "key")
    with receiver(Said(), tls=ours) as place:
        assert "certificate" in (await problem_of(await webhook(place.url))).lower()
    assert place.asked == []


async def test_who_is_cancelled_is_not_a_failure() -> None:
    begun, over = threading.Event(), threading.Event()

    def slowly(asked: Asked) -> Said:
        begun.set()
        over.wait(30)
        return Said()

    with receiver(slowly) as place:
        hook = await webhook(place.url)
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(hook, call())
                await anyio.to_thread.run_sync(begun.wait, 30)
                group.cancel_scope.cancel()
        finally:
            over.set()
    assert group.cancel_scope.cancelled_caught


# --- connections ---------------------------------------------------------------------------------


async def test_connections_are_kept_while_somebody_wants_that() -> None:
    with receiver(Said()) as place:
        hook = await webhook(place.url)
        async with hook.connected(), hook.connected():
            for _ in range(3):
                await hook(call())
        kept = {got.connection for got in place.asked}
        place.asked.clear()
        for _ in range(3):
            await hook(call())
        single = {got.connection for got in place.asked}
    assert (len(kept), len(single)) == (1, 3)


async def test_after_the_block_they_are_kept_again_in_another() -> None:
    with receiver(Said()) as place:
        hook = await webhook(place.url)
        for _ in range(2):
            async with hook.connected():
                await hook(call())
                await hook(call())
    assert len({got.connection for got in place.asked}) == 2


async def test_a_connection_that_has_gone_is_made_again() -> None:
    """News are told once, and an idle connection that was closed is no reason to fail."""
    with receiver(
        Said(headers={"Content-Type": "application/json", "Connection": "close"})
    ) as place:
        hook = await webhook(place.url)
        async with hook.connected():
            for _ in range(3):
                assert await hook(call(NEWS)) == HookAnswer()


async def test_many_at_once() -> None:
    barrier = threading.Barrier(8)

    def meeting(asked: Asked) -> Said:
        barrier.wait(30)
        return Said()

    with receiver(meeting) as place:
        hook = await webhook(place.url)
        async with anyio.create_task_group() as group:
            for _ in range(8):
                group.start_soon(hook, call())


def test_one_object_is_used_by_many_loops() -> None:
    with receiver(Said()) as place:
        hook = Webhook(place.url)

        async def twice() -> None:
            async with hook.connected():
                await hook(call())
                await hook(call())

        for backend in ("asyncio", "trio", "asyncio"):
            anyio.run(twice, backend=backend)
            gc.collect()  # what was not closed says so
    assert len({got.connection for got in place.asked}) == 3


async def test_the_cookies_of_one_call_are_no_other_ones() -> None:
    setting = Said(headers=JSON | {"Set-Cookie": "session=anna; Path=/"})
    with receiver(setting) as place:
        hook = await webhook(place.url)
        async with hook.connected():
            await hook(call())
            await hook(call())
    assert "cookie" not in place.asked[1].headers


# --- how it is made ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://example.com/hook", "https://example.com/hook"),
        ("http://u:p@example.com:8080/hook#part", "http://example.com:8080/hook"),
        ("http://[::1]:80/", "http://[::1]:80/"),
    ],
)
def test_the_name_is_the_address(url: str, name: str) -> None:
    hook: Receiver = Webhook(url)
    assert hook.name == name
    assert Webhook(url, name="mine").name == "mine"


def test_the_name_tells_of_a_query_only_that_it_is_the_same() -> None:
    a, again, b = (Webhook(f"https://example.com/hook?token={t}").name for t in "aab")
    assert a == again != b
    assert a.startswith("https://example.com/hook?")
    assert "token" not in a


def test_it_wants_everything_unless_it_says() -> None:
    assert set(Webhook("http://h/").hooks) == set(Hook)
    assert set(Webhook("http://h/", hooks=[Hook.EXPIRED]).hooks) == {Hook.EXPIRED}


@pytest.mark.parametrize(
    "url",
    [
        "",
        "h",
        "ftp://h/",
        "file:///etc/passwd",
        "http://",
        "http:///p",
        "http://u:secret@h:x/",
        "http://u:secret@h:0/",
        "http://u:secret@h:99999/",
        "http://u:secret@[::1/",
        "http://u:secret@\x00/",
    ],
)
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(ConfigurationError, match="the address of a webhook") as error:
        Webhook(url)
    assert "secret" not in str(error.value)
    assert error.value.__cause__ is None


@pytest.mark.parametrize(
    "header", ["Host", "content-length", "Content-Type", "Webhook-Signature", "a b", "", "a\r\nb"]
)
def test_a_header_that_cannot_be_forwarded(header: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be forwarded"):
        Webhook("http://h/", forward_headers=[header])


def test_a_secret_that_cannot_be() -> None:
    with pytest.raises(ConfigurationError, match="secret"):
        Webhook("http://h/", secret=b"")


def test_the_extra_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx2", None)
    with pytest.raises(ConfigurationError) as error:
        Webhook("http://h/")
    assert "pip install 'tusjumbo[hooks]'" in str(error.value)


# --- receivers that were written for tusd --------------------------------------------------------


def written_for_tusd(asked: Asked) -> Said:
    """What tusd's documentation shows: it knows every member that there is, and nothing of us."""
    document = asked.document
    upload, request = document["Event"]["Upload"], document["Event"]["HTTPRequest"]
    said: dict[str, Any] = {"HTTPResponse": {"Headers": {}}}
    if document["Type"] == "pre-create":
        assert upload["ID"] == ""
        assert upload["Storage"] is None
        if request["Header"].get("Authorization", [""])[0] != "Bearer t":
            said |= {"RejectUpload": True, "HTTPResponse": {"StatusCode": 401, "Body": "who?"}}
        elif "filename" not in upload["MetaData"]:
            said["RejectUpload"] = True
            said["HTTPResponse"] = {"StatusCode": 400, "Body": "no filename provided"}
        else:
            name = upload["MetaData"]["filename"]
            changes = {"filename": name, "size": str(upload["Size"])}
            said["ChangeFileInfo"] = {"ID": f"prefix-{upload['Size']}", "MetaData": changes}
    elif document["Type"] == "pre-finish":
        host, port = request["RemoteAddr"].rsplit(":", 1)
        said["HTTPResponse"] = {"Header": {"X-From": f"{host}/{int(port)}"}}
    elif document["Type"] == "post-receive":
        said["StopUpload"] = 100 * upload["Offset"] // upload["Size"] >= 40
    return Said(200, json.dumps(said).encode(), JSON)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (
            call(),
            HookAnswer(upload_id="prefix-10", metadata={"filename": b"a.txt", "size": b"10"}),
        ),
        (
            call(session=session(metadata={})),
            HookAnswer(reject=True, answer=Answer(400, body=b"no filename provided")),
        ),
        (
            call(origin=Origin("POST", "/files")),
            HookAnswer(reject=True, answer=Answer(401, body=b"who?")),
        ),
        (
            call(Hook.PRE_FINISH),
            HookAnswer(answer=Answer(headers={"X-From": "192.0.2.7/0"})),
        ),
        (call(Hook.POST_RECEIVE), HookAnswer(stop=True)),
        (call(Hook.POST_TERMINATE), HookAnswer()),
    ],
)
async def test_a_receiver_written_for_tusd(asked: HookCall, said: HookAnswer) -> None:
    with receiver(written_for_tusd) as place:
        assert await (await webhook(place.url, attempts=1))(asked) == said
