"""OutboxContract: what every outbox promises, as tests.

Subclass it and give it the fixtures `catalog` (empty, and closed after the test) and `outbox`, the
one of that catalog. News come into it both ways: posted, and with what becomes of sessions.

Times are small numbers that the tests choose: an outbox has no clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import anyio
import pytest

from tusjumbo.application import Hook, HookCall, News, Origin, Outbox, Tell
from tusjumbo.errors import UploadNotFound
from tusjumbo.ports import Catalog
from tusjumbo.sessions.ranges import RangeSet
from tusjumbo.sessions.session import Answer, Phase, Receipt, UploadSession

_NEW = UploadSession(id="a", created_at=1.0, updated_at=1.0)
_EVERYBODY = ("r", "s")


def _news(
    key: str,
    upload_id: str = "a",
    *,
    receiver: str = "r",
    hook: Hook = Hook.POST_FINISH,
    due_at: float | None = 1.0,
) -> News:
    call = HookCall(hook, replace(_NEW, id=upload_id), key=key)
    return News(call=call, receiver=receiver, created_at=1.0, due_at=due_at)


def _keys(news: Sequence[News]) -> list[str]:
    return [each.call.key for each in news]


class _Refused(Exception):
    """What a rule raises, or a `tell`."""


class _Told:
    """A `tell`, and every change that it was told of."""

    def __init__(self) -> None:
        self.changes: list[tuple[UploadSession | None, UploadSession | None]] = []

    def __call__(self, before: UploadSession | None, after: UploadSession | None) -> Sequence[News]:
        self.changes.append((before, after))
        return [_news(f"k{len(self.changes)}")]


def _refuses(*_: object) -> UploadSession:
    raise _Refused


def _tell_nothing(*_: object) -> Sequence[News]:
    raise _Refused


def _longer(session: UploadSession) -> UploadSession:
    return replace(session, ranges=session.ranges.add(session.offset, session.offset + 1))


@pytest.mark.anyio
class OutboxContract:
    # --- with what they tell of ---

    async def test_every_change_is_told_with_what_was_and_what_is(
        self, catalog: Catalog, outbox: Outbox
    ) -> None:
        tell = _Told()
        await catalog.create(_NEW, tell=tell)
        after = await catalog.update("a", _longer, tell=tell)
        assert await catalog.delete("a", tell=tell) is True
        assert tell.changes == [(None, _NEW), (_NEW, after), (after, None)]
        assert _keys(await outbox.news()) == ["k1", "k2", "k3"]

    async def test_what_did_not_happen_is_not_told(self, catalog: Catalog, outbox: Outbox) -> None:
        tell = _Told()
        await catalog.create(_NEW)
        with pytest.raises(UploadNotFound):
            await catalog.update("b", _longer, tell=tell)
        with pytest.raises(_Refused):
            await catalog.update("a", _refuses, tell=tell)
        assert await catalog.delete("b", tell=tell) is False
        assert tell.changes == []
        with pytest.raises(ValueError, match="a"):
            await catalog.create(_NEW, tell=tell)
        assert await outbox.news() == []

    async def test_a_tell_that_raises_fails_its_own_change(
        self, catalog: Catalog, outbox: Outbox
    ) -> None:
        await catalog.create(_NEW)
        tell: Tell = _tell_nothing

        async def fail() -> None:
            with pytest.raises(_Refused):
                await catalog.update("a", _longer, tell=tell)

        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(fail)
                tasks.start_soon(catalog.update, "a", _longer)
        with pytest.raises(_Refused):
            await catalog.create(replace(_NEW, id="b"), tell=tell)
        with pytest.raises(_Refused):
            await catalog.delete("a", tell=tell)
        assert (await catalog.load("a")).offset == 5
        assert list(await catalog.gather(["a", "b"])) == ["a"]
        assert await outbox.news() == []

    async def test_entries_outlive_their_session(self, catalog: Catalog, outbox: Outbox) -> None:
        await catalog.create(_NEW, tell=_Told())
        await catalog.delete("a")
        assert _keys(await outbox.claim(["r"], 1.0, 2.0, 9)) == ["k1"]

    # --- in and out ---

    async def test_what_is_posted_comes_out_as_it_was(self, outbox: Outbox) -> None:
        session = replace(
            _NEW,
            length=9,
            ranges=RangeSet(((0, 9),)),
            phase=Phase.DONE,
            metadata={"filename": bytes(range(256))},
            echo={"upload-metadata": "filename AA=="},
            owner="\u8c61",
            destination="in/a",
            attempts=3,
            retry_at=4.5,
            receipt=Receipt("s3://b", Answer(201, {"ETag": "x"}, b"\xff\0"), is_here=False),
        )
        origin = Origin("PATCH", "/files/a?x=1", "::1", {"X-A": ("1", "2"), "X-\xe9": ("",)})
        call = HookCall(Hook.POST_FINISH, session, origin, key="k")
        posted = News(call=call, receiver="r", created_at=1.125, due_at=2.125)
        await outbox.post([posted])
        (found,) = await outbox.news()
        assert found == replace(posted, number=found.number)
        (claimed,) = await outbox.claim(["r"], 3.0, 9.5, 1)
        assert claimed == replace(found, due_at=9.5, attempts=1)
        await outbox.postpone(claimed, 5.0, "not now \U0001f418")
        (again,) = await outbox.claim(["r"], 5.0, 12.0, 1)
        assert again == replace(claimed, due_at=12.0, attempts=2, problem="not now \U0001f418")
        await outbox.settle(again, 6.0)
        assert await outbox.news() == [replace(again, due_at=None, told_at=6.0, problem="")]

    async def test_any_problem_is_recorded(self, outbox: Outbox) -> None:
        """Applications say what they like, and whoever tells them has to go on."""
        await outbox.post([replace(_news("k"), problem="\udcff then")])
        (news,) = await outbox.claim(["r"], 1.0, 2.0, 1)
        assert news.problem.endswith(" then")
        await outbox.postpone(news, 5.0, "unknown: \ud800 \0")
        (found,) = await outbox.news()
        assert found.due_at == 5.0
        assert found.problem.startswith("unknown: ")

    async def test_nothing_comes_to_nothing(self, outbox: Outbox) -> None:
        await outbox.post([])
        assert await outbox.news() == []
        assert await outbox.claim(_EVERYBODY, 9.0, 10.0, 9) == []
        assert await outbox.next_due(_EVERYBODY) is None
        assert await outbox.replay([1, 2], 1.0) == await outbox.replay([], 1.0) == 0
        assert await outbox.forget_told(9.0) == 0

    # --- claiming ---

    async def test_longest_due_are_first(self, outbox: Outbox) -> None:
        times = {"k1": 5.0, "k2": 3.0, "k3": 4.0, "k4": 3.0, "k5": 9.0}
        for (key, due_at), receiver in zip(times.items(), "rsrsr", strict=True):
            await outbox.post([_news(key, key, receiver=receiver, due_at=due_at)])
        assert await outbox.claim(_EVERYBODY, 2.9, 99.0, 9) == []
        assert await outbox.claim(_EVERYBODY, 8.0, 99.0, 0) == []
        assert _keys(await outbox.claim(_EVERYBODY, 8.0, 99.0, 3)) == ["k2", "k4", "k3"]
        assert _keys(await outbox.claim(_EVERYBODY, 8.0, 99.0, 3)) == ["k1"]
        assert _keys(await outbox.claim(_EVERYBODY, 9.0, 99.0, 3)) == ["k5"]

    async def test_of_an_upload_and_receiver_the_oldest_alone(self, outbox: Outbox) -> None:
        await outbox.post([_news("k1", due_at=5.0), _news("k2", due_at=1.0)])
        await outbox.post([_news("other", "b", due_at=2.0), _news("s", receiver="s", due_at=3.0)])
        assert _keys(await outbox.claim(_EVERYBODY, 4.0, 99.0, 9)) == ["other", "s"]
        (first,) = await outbox.claim(_EVERYBODY, 5.0, 99.0, 9)
        assert first.call.key == "k1"
        assert await outbox.claim(_EVERYBODY, 5.0, 99.0, 9) == []
        await outbox.postpone(first, 7.0, "no")
        assert await outbox.claim(_EVERYBODY, 6.0, 99.0, 9) == []
        (again,) = await outbox.claim(_EVERYBODY, 7.0, 99.0, 9)
        assert again.call.key == "k1"
        await outbox.settle(again, 7.0)
        assert _keys(await outbox.claim(_EVERYBODY, 7.0, 99.0, 9)) == ["k2"]

    async def test_what_is_given_up_is_in_nobodys_way(self, outbox: Outbox) -> None:
        await outbox.post([_news("k1"), _news("k2")])
        (first,) = await outbox.claim(["r"], 1.0, 9.0, 9)
        await outbox.postpone(first, None, "never")
        assert _keys(await outbox.claim(["r"], 1.0, 9.0, 9)) == ["k2"]
        (kept, _) = await outbox.news()
        assert (kept.due_at, kept.told_at, kept.problem) == (None, None, "never")

    async def test_what_is_claimed_comes_back_at_its_time(self, outbox: Outbox) -> None:
        await outbox.post([_news("k")])
        for attempt, now in enumerate((1.0, 11.0, 21.0), 1):
            assert await outbox.claim(["r"], now - 0.5, now, 9) == []
            (found,) = await outbox.claim(["r"], now, now + 10, 9)
            assert (found.call.key, found.attempts, found.due_at) == ("k", attempt, now + 10)

    async def test_only_ones_own_are_claimed(self, outbox: Outbox) -> None:
        await outbox.post([_news("k", receiver='"r"]'), _news("l", receiver="r")])
        assert await outbox.claim([], 9.0, 99.0, 9) == []
        assert await outbox.claim(["", "R", "s"], 9.0, 99.0, 9) == []
        assert _keys(await outbox.claim(['"r"]'], 9.0, 99.0, 9)) == ["k"]
        assert _keys(await outbox.claim(["r", "r"], 9.0, 99.0, 9)) == ["l"]

    async def test_nothing_is_claimed_twice_however_many_claim(self, outbox: Outbox) -> None:
        names = [f"k{number:02}" for number in range(30)]
        await outbox.post([_news(name, name) for name in names])
        found: list[str] = []

        async def claim() -> None:
            while news := await outbox.claim(["r"], 1.0, 99.0, 2):
                found.extend(_keys(news))

        async with anyio.create_task_group() as tasks:
            for _ in range(6):
                tasks.start_soon(claim)
        assert sorted(found) == names

    async def test_when_the_next_may_be_claimed(self, outbox: Outbox) -> None:
        await outbox.post([_news("k1", due_at=5.0), _news("k2", due_at=1.0)])
        assert await outbox.next_due(["r"]) == 5.0  # k2 waits behind k1
        await outbox.post([_news("s", receiver="s", due_at=0.0)])
        assert await outbox.next_due(["r"]) == 5.0
        assert await outbox.next_due(_EVERYBODY) == 0.0
        assert await outbox.next_due([]) is None
        (first,) = await outbox.claim(["r"], 5.0, 50.0, 9)
        assert await outbox.next_due(["r"]) == 50.0
        await outbox.postpone(first, None, "")
        assert await outbox.next_due(["r"]) == 1.0

    # --- what is over ---

    async def test_what_was_told_stays_told(self, outbox: Outbox) -> None:
        """Somebody who was thought dead comes too late."""
        await outbox.post([_news("k")])
        (first,) = await outbox.claim(["r"], 1.0, 2.0, 1)
        (second,) = await outbox.claim(["r"], 2.0, 9.0, 1)
        await outbox.settle(second, 3.0)
        await outbox.postpone(first, 4.0, "late")
        await outbox.postpone(first, None, "late")
        await outbox.settle(first, 5.0)
        (found,) = await outbox.news()
        assert (found.due_at, found.told_at, found.problem) == (None, 3.0, "")
        assert await outbox.claim(["r"], 99.0, 100.0, 1) == []

    async def test_what_was_given_up_is_not_taken_up(self, outbox: Outbox) -> None:
        await outbox.post([_news("k")])
        (news,) = await outbox.claim(["r"], 1.0, 2.0, 1)
        await outbox.postpone(news, None, "never")
        await outbox.postpone(news, 4.0, "late")
        assert await outbox.next_due(["r"]) is None
        await outbox.settle(news, 5.0)  # it was told after all
        (found,) = await outbox.news()
        assert (found.due_at, found.told_at, found.problem) == (None, 5.0, "")

    async def test_what_is_not_there_any_more(self, outbox: Outbox) -> None:
        await outbox.post([_news("k")])
        (news,) = await outbox.claim(["r"], 1.0, 2.0, 1)
        await outbox.settle(news, 1.0)
        assert await outbox.forget_told(2.0) == 1
        await outbox.settle(news, 3.0)
        await outbox.postpone(news, 3.0, "late")
        assert await outbox.news() == []
        await outbox.post([_news("l")])
        (other,) = await outbox.news()
        assert other.number > news.number  # or somebody late would mean this one

    async def test_replaying_what_is_over(self, outbox: Outbox) -> None:
        await outbox.post([_news("told"), _news("given up", "b"), _news("waits", "c", due_at=90.0)])
        told, given_up = await outbox.claim(["r"], 1.0, 9.0, 9)
        await outbox.settle(told, 1.0)
        await outbox.postpone(given_up, None, "never")
        numbers = [each.number for each in await outbox.news()]
        assert await outbox.replay([*numbers, 1 << 40], 20.0) == 3
        assert await outbox.next_due(["r"]) == 20.0
        again = await outbox.claim(["r"], 20.0, 99.0, 9)
        assert _keys(again) == ["told", "given up", "waits"]
        assert [(each.attempts, each.problem) for each in again] == [(1, "")] * 3
        assert [each.call for each in again[:2]] == [told.call, given_up.call]
        await outbox.settle(again[0], 21.0)
        assert (await outbox.news())[0].told_at == 21.0

    async def test_what_is_replayed_in_vain_was_given_up(self, outbox: Outbox) -> None:
        await outbox.post([_news("k")])
        (first,) = await outbox.claim(["r"], 1.0, 2.0, 1)
        await outbox.settle(first, 3.0)
        assert await outbox.replay([first.number], 1000.0) == 1
        (again,) = await outbox.claim(["r"], 1000.0, 1001.0, 1)
        assert again.told_at is None
        await outbox.postpone(again, None, "never")
        assert await outbox.forget_told(500.0) == 0
        (found,) = await outbox.news()
        assert (found.due_at, found.told_at, found.problem) == (None, None, "never")

    async def test_forgetting_what_is_over(self, outbox: Outbox) -> None:
        names = ("told early", "told late", "given up", "waits")
        await outbox.post([_news(name, name) for name in names])
        early, late, given_up, _ = await outbox.claim(["r"], 1.0, 1.5, 9)
        await outbox.settle(early, 5.0)
        await outbox.settle(late, 6.0)
        await outbox.postpone(given_up, None, "never")
        assert await outbox.forget_told(1.0) == 0
        assert await outbox.forget_told(6.0) == 2
        assert _keys(await outbox.news()) == ["told late", "waits"]
        assert await outbox.forget_told(1e12) == 1
        assert _keys(await outbox.news()) == ["waits"]

    # --- looking ---

    async def test_news_are_listed_in_pages(self, outbox: Outbox) -> None:
        await outbox.post([_news(f"k{number}", "ab"[number % 2]) for number in range(6)])
        (first, _) = await outbox.claim(["r"], 1.0, 9.0, 9)
        await outbox.settle(first, 1.0)
        found = await outbox.news()
        assert _keys(found) == [f"k{number}" for number in range(6)]
        assert await outbox.news(limit=2) == found[:2]
        assert await outbox.news(after=found[1].number, limit=3) == found[2:5]
        assert await outbox.news(after=found[5].number) == []
        assert await outbox.news(limit=0) == []
        assert _keys(await outbox.news(upload_id="a")) == ["k0", "k2", "k4"]
        assert _keys(await outbox.news(waiting=True)) == ["k1", "k2", "k3", "k4", "k5"]
        assert _keys(await outbox.news(upload_id="a", waiting=True, limit=1)) == ["k2"]
        assert await outbox.news(upload_id="A") == []

    # --- post-receive ---

    async def test_of_progress_the_latest_is_enough(self, outbox: Outbox) -> None:
        def progress(key: str, upload_id: str = "a", receiver: str = "r") -> News:
            return _news(key, upload_id, receiver=receiver, hook=Hook.POST_RECEIVE)

        await outbox.post([_news("made", hook=Hook.POST_CREATE), progress("p1")])
        await outbox.post([progress("p2"), progress("b", "b"), progress("s", receiver="s")])
        assert _keys(await outbox.news()) == ["made", "p2", "b", "s"]
        (made,) = await outbox.claim(["r"], 1.0, 9.0, 1)
        await outbox.settle(made, 1.0)
        (claimed,) = await outbox.claim(["r"], 1.0, 9.0, 1)
        assert claimed.call.key == "p2"
        await outbox.post([progress("p3")])  # somebody is telling p2
        await outbox.post([progress("p4")])
        assert _keys(await outbox.news(upload_id="a")) == ["made", "p2", "s", "p4"]
        await outbox.settle(claimed, 1.0)
        await outbox.post([_news("end"), progress("p5"), _news("end")])
        assert _keys(await outbox.news(upload_id="a")) == ["made", "p2", "s", "end", "p5", "end"]
