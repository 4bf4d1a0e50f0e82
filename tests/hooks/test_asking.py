from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.hooks.fakes import Listener, Time
from tests.hooks.receivers import ORIGIN, session
from tusjumbo.application import Arrival, Hook, HookAnswer, HookCall
from tusjumbo.errors import HookFailed, Rejected, TerminationRejected, UploadRejected
from tusjumbo.hooks.asking import Asking
from tusjumbo.sessions import ids
from tusjumbo.sessions.session import Answer, Kind, UploadSession

FRESH = session(echo={"upload-metadata": "filename YS50eHQ="})
ARRIVAL = Arrival(session(), ORIGIN, Path("/bytes/a"), "a.txt", Path("/work/a"))
FINAL_ID = ids.of_final(ids.from_entropy(bytes(ids.ENTROPY)))


def saying(answer: HookAnswer, name: str = "app", *hooks: Hook) -> Listener:
    return Listener(name, hooks or frozenset(Hook), lambda _: answer)


def raising(error: Exception) -> Listener:
    def answer(call: HookCall) -> HookAnswer:
        raise error

    return Listener(answer=answer)


def asking(*receivers: Listener) -> Asking:
    return Asking(receivers, clock=Time())


async def create(*receivers: Listener, of: UploadSession = FRESH) -> HookAnswer:
    return await asking(*receivers).creating(of, ORIGIN)


async def terminate(*receivers: Listener) -> HookAnswer:
    return await asking(*receivers).terminating(session(), ORIGIN)


async def finish(*receivers: Listener) -> HookAnswer:
    return await asking(*receivers).finishing(ARRIVAL)


QUESTIONS: list[Any] = [
    pytest.param(create, Hook.PRE_CREATE, UploadRejected, id="creating"),
    pytest.param(terminate, Hook.PRE_TERMINATE, TerminationRejected, id="terminating"),
    pytest.param(finish, Hook.PRE_FINISH, UploadRejected, id="finishing"),
]


@pytest.mark.parametrize(("ask", "hook", "rejection"), QUESTIONS)
class TestEveryQuestion:
    async def test_goes_to_those_who_want_it_in_order(
        self, ask: Callable[..., Any], hook: Hook, rejection: type[Rejected]
    ) -> None:
        order: list[str] = []

        def listener(name: str, *hooks: Hook) -> Listener:
            def answer(call: HookCall) -> HookAnswer:
                order.append(name)
                return HookAnswer()

            return Listener(name, hooks, answer)

        others = [each for each in Hook if each is not hook]
        one, two, none = (
            listener("one", hook),
            listener("two", *Hook),
            listener("none", *others),
        )
        assert await ask(two, none, one) == HookAnswer()
        assert order == ["two", "one"]
        [call] = one.calls
        assert (call.hook, call.origin, call.key) == (hook, ORIGIN, "")
        assert call.path == (ARRIVAL.path if hook is Hook.PRE_FINISH else None)

    async def test_ends_at_the_first_rejection(
        self, ask: Callable[..., Any], hook: Hook, rejection: type[Rejected]
    ) -> None:
        answer = Answer(418, {"X-Why": "tea"}, b"no")
        after = Listener("after")
        with pytest.raises(rejection) as caught:
            await ask(saying(HookAnswer(answer, reject=True)), after)
        assert type(caught.value) is rejection
        assert (caught.value.status, caught.value.body) == (418, b"no")
        assert caught.value.headers == {"X-Why": "tea"}
        assert after.calls == []

    async def test_a_rejection_without_words_leaves_them_to_us(
        self, ask: Callable[..., Any], hook: Hook, rejection: type[Rejected]
    ) -> None:
        with pytest.raises(rejection) as caught:
            await ask(saying(HookAnswer(reject=True)))
        assert (caught.value.status, caught.value.headers, caught.value.body) == (None, {}, None)

    @pytest.mark.parametrize("raised", [UploadRejected, TerminationRejected])
    async def test_a_no_is_a_no_however_it_is_raised(
        self,
        ask: Callable[..., Any],
        hook: Hook,
        rejection: type[Rejected],
        raised: type[Rejected],
    ) -> None:
        error = raised("Not you.", status=403, headers={"X-A": "b"}, body=b"go")
        with pytest.raises(rejection, match="Not you") as caught:
            await ask(raising(error))
        assert (caught.value.status, caught.value.headers) == (403, {"X-A": "b"})
        assert caught.value.body == b"go"

    @pytest.mark.parametrize(
        ("receiver", "problem"),
        [
            pytest.param(raising(HookFailed("x", "down")), "down", id="failed"),
            pytest.param(raising(RuntimeError("?")), "app raised RuntimeError", id="raised"),
            pytest.param(saying(None), "app answered with NoneType", id="None"),  # type: ignore[arg-type]
            pytest.param(
                saying(HookAnswer(path=Path("a"))),  # type: ignore[arg-type]
                "app answered with a path that is",
                id="path",
            ),
            pytest.param(
                saying(HookAnswer(Answer(headers={"A": "b\r\nC: d"}))), "header A", id="header"
            ),
            pytest.param(saying(HookAnswer(Answer(99))), "the status 99", id="status"),
        ],
    )
    async def test_what_cannot_be_used_is_a_failure(
        self,
        ask: Callable[..., Any],
        hook: Hook,
        rejection: type[Rejected],
        receiver: Listener,
        problem: str,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        caplog.set_level(logging.ERROR, "tusjumbo")
        with pytest.raises(HookFailed) as caught:
            await ask(receiver)
        assert problem in caught.value.problem
        assert hook.value in caplog.text

    async def test_later_words_count(
        self, ask: Callable[..., Any], hook: Hook, rejection: type[Rejected]
    ) -> None:
        one = Answer(201, {"X-A": "1", "x-B": "1"}, b"one")
        two = Answer(None, {"X-b": "2"}, b"two")
        three = Answer(202, {"X-C": "3"})
        said = await ask(*(saying(HookAnswer(answer)) for answer in (one, two, three)))
        assert said.answer == Answer(202, {"X-A": "1", "X-b": "2", "X-C": "3"}, b"two")
        said = await ask(saying(HookAnswer(one)), saying(HookAnswer(two)))
        assert said.answer == Answer(201, {"X-A": "1", "X-b": "2"}, b"two")
        assert (await ask(saying(HookAnswer(one)), Listener())).answer == one
        assert (await ask(Listener(), saying(HookAnswer(one)))).answer == one


async def test_each_sees_what_the_ones_before_want() -> None:
    metadata = {"filename": b"b.txt", "by": b"one"}
    one = saying(HookAnswer(upload_id="mine", metadata=metadata, path="x/y"))
    two, three = Listener(), saying(HookAnswer(metadata={}, path="z"))
    four = Listener()
    said = await create(one, two, three, four)
    assert said == HookAnswer(upload_id="mine", metadata={}, path="z")
    changed = replace(FRESH, id="mine", metadata=metadata, echo={}, destination="x/y")
    assert [call.session for call in one.calls] == [FRESH]
    assert [call.session for call in two.calls + three.calls] == [changed, changed]
    [call] = four.calls
    assert call.session == replace(changed, metadata={}, destination="z")


async def test_each_sees_where_the_file_goes() -> None:
    two = Listener()
    said = await finish(saying(HookAnswer(path="x", upload_id="y", metadata={})), two)
    assert said.path == "x"
    assert [call.session for call in two.calls] == [replace(ARRIVAL.session, destination="x")]


@pytest.mark.parametrize(
    ("of", "upload_id"),
    [
        (FRESH, "a"),
        (FRESH, "A-b_9"),
        (FRESH, "x" * 128),
        (FRESH, FRESH.id),
        (replace(FRESH, kind=Kind.PARTIAL), "part"),
        (replace(FRESH, id=FINAL_ID, kind=Kind.FINAL), "jumbo_final_mine"),
    ],
)
async def test_ids_that_are_fit(of: UploadSession, upload_id: str) -> None:
    assert (await create(saying(HookAnswer(upload_id=upload_id)), of=of)).upload_id == upload_id


@pytest.mark.parametrize(
    ("of", "upload_id"),
    [
        (FRESH, "../etc"),
        (FRESH, "a/b"),
        (FRESH, "a.b"),
        (FRESH, ""),
        (FRESH, "_a"),
        (FRESH, "a\n"),
        (FRESH, "ä"),
        (FRESH, "x" * 129),
        (FRESH, "finishing-a"),
        (FRESH, 7),
        (FRESH, "jumbo_final_a"),
        (replace(FRESH, kind=Kind.PARTIAL), "jumbo_final_a"),
        (replace(FRESH, id=FINAL_ID, kind=Kind.FINAL), "mine"),
    ],
)
async def test_ids_that_are_not(of: UploadSession, upload_id: Any) -> None:
    with pytest.raises(HookFailed) as caught:
        await create(saying(HookAnswer(upload_id=upload_id)), of=of)
    assert caught.value.hook == "pre-create"
    assert caught.value.problem.startswith(f"app answered with the id {upload_id!a}"[:60])


@pytest.mark.parametrize(
    "metadata",
    [{"": b""}, {"a b": b""}, {"a,b": b""}, {"ä": b""}, {"a\n": b""}, {"a": "text"}, {"a": None}],
)
async def test_metadata_that_no_protocol_can_carry(metadata: Any) -> None:
    with pytest.raises(HookFailed, match="does not answer") as caught:
        await create(saying(HookAnswer(metadata=metadata)))
    assert "metadata" in caught.value.problem
    assert caught.value.problem.startswith("app answered with ")


async def test_a_rejection_need_not_make_sense_besides() -> None:
    with pytest.raises(UploadRejected):
        await create(saying(HookAnswer(reject=True, upload_id="../a")))


@pytest.mark.parametrize("hook", Hook)
def test_finishing_is_wanted_by_those_who_are_asked(hook: Hook) -> None:
    assert asking(Listener(hooks={hook})).wants_finishing is (hook is Hook.PRE_FINISH)


def test_news_come_from_the_rules() -> None:
    receivers = [Listener("app", {Hook.POST_CREATE, Hook.INTERRUPTED})]
    keep = Asking(receivers, clock=Time(5.0), keep_headers=["cookie"], make_key=lambda: "k")
    tell = keep.telling(ORIGIN)
    assert tell is not None
    for [news] in (tell(None, FRESH), keep.interrupted(FRESH, ORIGIN)):
        assert (news.receiver, news.created_at, news.call.key) == ("app", 5.0, "k")
        assert set(news.call.origin.headers) == {"Host", "Cookie"}
    assert asking().telling(ORIGIN) is None


def test_ringing_reaches_everybody() -> None:
    keep, heard = asking(), list[int]()
    keep.rang()
    keep.listen(lambda: heard.append(1))
    keep.listen(lambda: heard.append(2))
    keep.rang()
    assert heard == [1, 2]
