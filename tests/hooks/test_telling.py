from __future__ import annotations

from dataclasses import replace
from itertools import count, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.hooks.fakes import Listener, Time
from tests.hooks.receivers import ORIGIN, session
from tusjumbo.application import NOBODY, Hook
from tusjumbo.hooks.telling import Telling, happened
from tusjumbo.sessions.ranges import RangeSet
from tusjumbo.sessions.session import Kind, Phase, Receipt, UploadSession

NEW = session(ranges=RangeSet())
SOME = session()
FULL = session(ranges=RangeSet().add(0, 10))
SEALED = replace(FULL, phase=Phase.SEALED)
DONE = replace(FULL, phase=Phase.DONE, receipt=Receipt("a.txt"))
GONE = replace(SOME, phase=Phase.ABANDONED)
EMPTY = session(length=0, ranges=RangeSet(), phase=Phase.DONE)
PART = session(kind=Kind.PARTIAL, ranges=RangeSet())
FULL_PART = replace(FULL, kind=Kind.PARTIAL)


def keyed(*receivers: Listener, keep: tuple[str, ...] = ()) -> Telling:
    numbers = count(1)
    return Telling(receivers, Time(7.0), keep, lambda: f"key-{next(numbers)}")


@pytest.mark.parametrize(
    ("before", "after", "hooks"),
    [
        pytest.param(None, NEW, "post-create", id="created"),
        pytest.param(None, SOME, "post-create post-receive", id="created with bytes"),
        pytest.param(None, DONE, "post-create post-receive post-finish", id="all at once"),
        pytest.param(None, EMPTY, "post-create post-finish", id="empty file at once"),
        pytest.param(None, SEALED, "post-create post-receive", id="created full"),
        pytest.param(None, None, "", id="nothing"),
        pytest.param(NEW, SOME, "post-receive", id="bytes"),
        pytest.param(SOME, replace(SOME, updated_at=9.0), "", id="no bytes"),
        pytest.param(SOME, replace(SOME, length=11), "", id="length declared"),
        pytest.param(SOME, SEALED, "post-receive", id="last bytes"),
        pytest.param(SOME, DONE, "post-receive post-finish", id="last bytes and done"),
        pytest.param(SEALED, replace(SEALED, phase=Phase.ASSEMBLING), "", id="assembled"),
        pytest.param(SEALED, DONE, "post-finish", id="done"),
        pytest.param(replace(SEALED, phase=Phase.ASSEMBLING), DONE, "post-finish", id="published"),
        pytest.param(DONE, replace(DONE, updated_at=9.0), "", id="done again"),
        pytest.param(DONE, None, "post-terminate", id="finished one removed"),
        pytest.param(SOME, None, "post-terminate", id="removed"),
        pytest.param(SOME, replace(SOME, phase=Phase.STOPPED), "", id="stopped"),
        pytest.param(SOME, GONE, "expired", id="expired"),
        pytest.param(GONE, replace(GONE, expires_at=9.0), "", id="expired for longer"),
        pytest.param(GONE, SOME, "", id="recovered"),
        pytest.param(None, PART, "post-create", id="part created"),
        pytest.param(PART, FULL_PART, "post-receive", id="part full"),
        pytest.param(FULL_PART, replace(FULL_PART, phase=Phase.DONE), "", id="part never done"),
        pytest.param(FULL_PART, None, "post-terminate", id="part removed"),
    ],
)
def test_what_a_change_is(
    before: UploadSession | None, after: UploadSession | None, hooks: str
) -> None:
    found = list(happened(before, after))
    assert [hook.value for hook, _ in found] == hooks.split()
    assert all(about is (after or before) for _, about in found)


@given(st.lists(st.integers(0, 9), max_size=6))
def test_bytes_are_told_of_when_there_are_more(offsets: list[int]) -> None:
    ranges = [RangeSet()]
    for at in offsets:
        ranges.append(ranges[-1].add(at, at + 2))
    for one, other in pairwise(session(ranges=r, length=20) for r in ranges):
        is_told = [hook for hook, _ in happened(one, other)] == [Hook.POST_RECEIVE]
        assert is_told is (one.ranges.total < other.ranges.total)


def test_each_receiver_has_entries_of_its_own() -> None:
    both = Listener("both", {Hook.POST_CREATE, Hook.POST_FINISH})
    one = Listener("one", {Hook.POST_FINISH})
    tell = keyed(both, one, Listener("asks", {Hook.PRE_CREATE})).of_changes(NOBODY)
    assert tell is not None
    news = tell(None, DONE)
    assert [(each.call.hook.value, each.receiver, each.call.key) for each in news] == [
        ("post-create", "both", "key-1"),
        ("post-finish", "both", "key-2"),
        ("post-finish", "one", "key-3"),
    ]
    for each in news:
        assert each.created_at == each.due_at == 7.0
        assert (each.attempts, each.told_at, each.problem, each.number) == (0, None, "", 0)
        assert each.call.session is DONE
        assert each.call.path is None


def test_keys_are_not_made_twice() -> None:
    tell = Telling([Listener()], Time()).of_changes(NOBODY)
    assert tell is not None
    keys = {news.call.key for _ in range(100) for news in tell(None, DONE)}
    assert len(keys) == 300
    assert all(len(key) == 32 for key in keys)


@pytest.mark.parametrize("receivers", [[], [Listener(hooks={Hook.PRE_CREATE, Hook.PRE_FINISH})]])
def test_who_wants_no_news_costs_nothing(receivers: list[Listener]) -> None:
    telling = keyed(*receivers)
    assert telling.of_changes(ORIGIN) is None
    assert telling.interrupted(SOME, ORIGIN) == ()


def test_what_nobody_wants_is_not_told() -> None:
    telling = keyed(Listener(hooks={Hook.POST_FINISH}))
    tell = telling.of_changes(ORIGIN)
    assert tell is not None
    assert tell(None, SOME) == []
    assert telling.interrupted(SOME, ORIGIN) == ()


def test_interruptions_are_news() -> None:
    [news] = keyed(Listener("app", {Hook.INTERRUPTED})).interrupted(SOME, ORIGIN)
    assert (news.call.hook, news.receiver, news.call.key) == (Hook.INTERRUPTED, "app", "key-1")
    assert news.call.session is SOME
    assert set(news.call.origin.headers) == {"Host"}


@pytest.mark.parametrize(
    ("keep", "left"),
    [
        ((), {"Host"}),
        (("COOKIE",), {"Host", "Cookie"}),
        (("authorization", "cookie"), {"Host", "Cookie", "Authorization"}),
    ],
)
def test_credentials_are_stored_if_named(keep: tuple[str, ...], left: set[str]) -> None:
    tell = keyed(Listener(), keep=keep).of_changes(ORIGIN)
    assert tell is not None
    for news in tell(None, DONE):
        assert set(news.call.origin.headers) == left
        assert news.call.origin.uri == ORIGIN.uri
