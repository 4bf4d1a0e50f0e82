"""Hooks and assemblers all the way: what a client sees of them, and what they are told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import to_thread

from tests.web.browsing import Browser, Clock, T, files_below
from tests.web.chunks import Jumbo
from tests.web.conftest import Serve
from tusjumbo.application import Arrival, Assembled, Hook, HookAnswer, HookCall
from tusjumbo.errors import ConfigurationError, TerminationRejected, UploadRejected
from tusjumbo.sessions.session import Answer, Phase
from tusjumbo.web.asgi import TusJumbo


class Diary:
    """Remembers what it was asked and told, and answers from a list."""

    def __init__(self, **says: HookAnswer | Exception) -> None:
        self.calls: list[HookCall] = []
        self._says = says

    async def __call__(self, call: HookCall) -> HookAnswer | None:
        await anyio.lowlevel.checkpoint()
        self.calls.append(call)
        said = self._says.get(call.hook.name.lower())
        if isinstance(said, Exception):
            raise said
        return said

    @property
    def hooks(self) -> list[Hook]:
        return [call.hook for call in self.calls]


def noting(diary: Diary) -> object:
    from tusjumbo.hooks.functions import Function

    return Function(diary, name="diary")


async def test_everything_that_happens_is_told_in_order(serve: Serve) -> None:
    diary = Diary()
    browser = Browser(serve(hooks=[noting(diary)]), headers={"X-Trace": "7"})
    address = (await browser.create(10, {"Upload-Metadata": "filename YS50eHQ="})).location
    await browser.patch(address, 0, b"hello")
    await browser.patch(address, 5, b"world")
    await browser.delete(address)
    news = [call.hook for call in diary.calls if not call.hook.asks]
    assert news == [
        Hook.POST_CREATE,
        Hook.POST_RECEIVE,
        Hook.POST_RECEIVE,
        Hook.POST_FINISH,
        Hook.POST_TERMINATE,
    ]
    asked = [call.hook for call in diary.calls if call.hook.asks]
    assert asked == [Hook.PRE_CREATE, Hook.PRE_FINISH, Hook.PRE_TERMINATE]
    finished = next(call for call in diary.calls if call.hook is Hook.POST_FINISH)
    assert finished.session.filename == "a.txt"
    assert finished.origin.method == "PATCH"
    assert finished.origin.client == "192.0.2.7"
    assert finished.origin.headers["X-Trace"] == ("7",)
    assert finished.path is not None
    assert len({call.key for call in diary.calls if not call.hook.asks}) == 5


async def test_pre_create_shapes_upload_and_answer(serve: Serve, upload_dir: Path) -> None:
    diary = Diary(
        pre_create=HookAnswer(
            answer=Answer(202, {"X-Said": "yes"}, b"welcome"),
            upload_id="theirs",
            metadata={"filename": b"b.txt"},
            path="alice/2026/c.txt",
        )
    )
    browser = Browser(serve(hooks=[noting(diary)]))
    made = await browser.create(5, {"Upload-Metadata": "filename YS50eHQ="}, b"hello")
    assert (made.status, made.body, made.headers["x-said"]) == (202, b"welcome", "yes")
    assert made.location == "/theirs"
    head = await browser.head("/theirs")
    assert head.headers["upload-metadata"] == "filename Yi50eHQ="
    assert files_below(upload_dir) == {"completed/alice/2026/c.txt"}
    again = await browser.create(5, (), b"other")
    assert again.status == 500
    assert (await browser.get("/theirs")).body == b"hello"


@pytest.mark.parametrize("is_raised", [True, False])
async def test_pre_create_refuses(serve: Serve, upload_dir: Path, is_raised: bool) -> None:
    body = b'{"why": "no"}'
    headers = {"Content-Type": "application/json"}
    refusal = UploadRejected("no", status=422, headers=headers, body=body)
    said = refusal if is_raised else HookAnswer(Answer(422, headers, body), reject=True)
    browser = Browser(serve(hooks=[noting(Diary(pre_create=said))]))
    answer = await browser.create(5, (), b"hello")
    assert (answer.status, answer.body) == (422, body)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["tus-resumable"] == "1.0.0"
    assert files_below(upload_dir) == set()


async def test_what_fails_to_answer_lets_nothing_in(serve: Serve, upload_dir: Path) -> None:
    browser = Browser(serve(hooks=[noting(Diary(pre_create=KeyError("x")))]))
    answer = await browser.create(5, (), b"hello")
    assert answer.status == 500
    assert b"application behind this server" in answer.body
    assert files_below(upload_dir) == set()


async def test_pre_terminate_refuses(serve: Serve) -> None:
    diary = Diary(pre_terminate=TerminationRejected("mine", status=409))
    browser = Browser(serve(hooks=[noting(diary)]))
    address = await browser.upload(b"hello")
    assert (await browser.delete(address)).status == 409
    assert (await browser.get(address)).body == b"hello"


async def test_the_receipt_answers_every_repeat_of_the_last_request(serve: Serve) -> None:
    def assemble(arrival: Arrival) -> Assembled:
        made = arrival.path.read_bytes().upper()
        content = arrival.workspace / "made"
        content.write_bytes(made)
        answer = Answer(None, {"X-Made": "1"}, json.dumps({"size": len(made)}).encode())
        return Assembled(path="made/of.txt", content=content, answer=answer)

    browser = Browser(serve(assemble=[assemble]))
    address = (await browser.create(5)).location
    await browser.patch(address, 0, b"he")
    for at, body in ((2, b"llo"), (5, b""), (5, b"")):
        last = await browser.patch(address, at, body)
        assert (last.status, last.body, last.offset) == (200, b'{"size": 5}', 5)
        assert last.headers["x-made"] == "1"
    assert (await browser.get(address)).body == b"HELLO"


async def test_an_assembler_that_fails_is_called_again_by_the_next_last_request(
    serve: Serve, upload_dir: Path
) -> None:
    calls: list[Arrival] = []

    async def assemble(arrival: Arrival) -> Assembled:
        calls.append(arrival)
        await anyio.lowlevel.checkpoint()
        if len(calls) < 2:
            raise KeyError("x")
        return Assembled(answer=Answer(200, {}, b"made"))

    browser = Browser(serve(assemble=[assemble]))
    address = (await browser.create(5)).location
    first = await browser.patch(address, 0, b"hello")
    assert first.status == 500
    assert b"could not be processed yet" in first.body
    assert not any(path.startswith("completed/") for path in files_below(upload_dir))
    assert (await browser.head(address)).offset == 5
    assert (await browser.patch(address, 5, b"")).body == b"made"
    assert files_below(upload_dir) == {f"completed/{address[1:]}"}


async def test_what_an_assembler_rejects_is_gone(serve: Serve, upload_dir: Path) -> None:
    async def scan(arrival: Arrival) -> None:
        await anyio.lowlevel.checkpoint()
        raise UploadRejected("a virus", status=422)

    tus = serve(assemble=[scan])
    browser = Browser(tus)
    address = (await browser.create(5)).location
    answer = await browser.patch(address, 0, b"hello")
    assert (answer.status, answer.body) == (422, b"a virus\n")
    assert (await browser.head(address)).status == 404
    assert files_below(upload_dir) == set()
    api = Jumbo(Browser(tus.jumbo))
    upload_id = await api.begin(5)
    said = await api.ask("PUT", f"/{upload_id}/chunks/0", body=b"hello")
    assert (said.status, said.problem) == (422, "upload-rejected")


async def test_in_the_background_the_client_does_not_wait(serve: Serve, upload_dir: Path) -> None:
    go = anyio.Event()

    async def assemble(arrival: Arrival) -> Assembled:
        await go.wait()
        return Assembled(path="x")

    tus = serve(assemble=[assemble], finish="background")
    browser = Browser(tus)
    async with tus.lifespan():
        address = await browser.upload(b"hello")
        assert (await browser.head(address)).offset == 5
        assert (await browser.get(address)).status == 409
        status = await Jumbo(Browser(tus.jumbo)).ask("GET", f"/status{address}")
        assert status.told["status"] == "assembling"
        go.set()
        with anyio.fail_after(10):
            while (await browser.get(address)).status != 200:
                await anyio.sleep(0.01)
    assert files_below(upload_dir) == {"completed/x"}


async def test_post_receive_may_stop_an_upload(serve: Serve, upload_dir: Path) -> None:
    diary = Diary(post_receive=HookAnswer(stop=True))
    tus = serve(hooks=[noting(diary)])
    browser = Browser(tus)
    address = (await browser.create(10)).location
    await browser.patch(address, 0, b"hello")
    assert (await browser.head(address)).status == 404
    assert diary.hooks[-1] is Hook.POST_TERMINATE
    assert files_below(upload_dir) == set()


async def test_what_could_not_be_told_is_told_later(serve: Serve, clock: Clock) -> None:
    diary = Diary(post_create=KeyError("x"))
    tus = serve(hooks=[noting(diary)])
    browser = Browser(tus)
    address = (await browser.create(5)).location
    await browser.patch(address, 0, b"hello")
    assert Hook.POST_FINISH not in diary.hooks  # not before what came before it
    diary._says.clear()
    clock.now += 10
    await browser.ask("OPTIONS", "/", T)
    news = [hook for hook in diary.hooks if not hook.asks and hook is not Hook.POST_RECEIVE]
    assert list(dict.fromkeys(news)) == [Hook.POST_CREATE, Hook.POST_FINISH]


async def test_words_are_assemblers_as_well(serve: Serve, upload_dir: Path) -> None:
    tus = serve(assemble=["move:{owner}/{filename}", "sha256"])
    await Browser(tus).upload(b"hello", "filename YS50eHQ=")
    digest = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    assert files_below(upload_dir) == {
        "completed/nobody/a.txt",
        "completed/nobody/a.txt.sha256",
    }
    path = upload_dir / "completed/nobody/a.txt.sha256"
    assert await to_thread.run_sync(path.read_text) == f"{digest}  a.txt\n"


async def test_a_file_that_was_handed_on_is_not_here(serve: Serve, upload_dir: Path) -> None:
    async def hand_on(arrival: Arrival) -> Assembled:
        await anyio.lowlevel.checkpoint()
        return Assembled(elsewhere="s3://bucket/key")

    tus = serve(assemble=[hand_on])
    browser = Browser(tus)
    address = await browser.upload(b"hello")
    answer = await browser.get(address)
    assert answer.status == 404
    assert b"s3://" not in answer.body
    assert (await browser.head(address)).offset == 5
    assert files_below(upload_dir) == set()
    (session,) = await tus.house.catalog.listing()
    assert session.phase is Phase.DONE
    assert (await browser.delete(address)).status == 204


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"hooks_dir": "none"}, "there is no directory"),
        ({"hooks_events": "post-everything"}, "hooks_events: there is no hook"),
        ({"hooks": ["nothing"]}, "'nothing' has to be like"),
        ({"assemble": ["nothing"]}, "nothing"),
        ({"assemble": ["script:none"]}, "there is no program"),
        ({"assemble": ["move:{nothing}"]}, "there is no {nothing}"),
        ({"hooks_http": ["ftp://x"]}, "address of a webhook"),
    ],
)
def test_what_cannot_work_is_said_at_the_start(
    upload_dir: Path, options: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        TusJumbo(upload_dir=upload_dir, **options)
