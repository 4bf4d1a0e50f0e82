"""The sweep: what expires, what is finished late, what is tidied, and what it must never touch."""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine, Mapping
from dataclasses import replace
from typing import Any, TypeVar

import pytest

from tests.engine.fakes import CUT
from tests.engine.test_uploads import Bench
from tusjumbo.engine.sweep import FEW, Sweep, Swept
from tusjumbo.errands import Errands
from tusjumbo.errors import ClientDisconnected, StorageFailed
from tusjumbo.sessions.events import UploadAbandoned, UploadPurged
from tusjumbo.sessions.rules import Limits
from tusjumbo.sessions.session import Phase, UploadSession

T = TypeVar("T")

LIMITS = Limits(expire_after=10.0, keep_abandoned=5.0)


def sweeping(bench: Bench) -> Sweep:
    uploads = bench.uploads
    return Sweep(uploads.means, uploads.finish_now, uploads.concatenation)


async def partial_upload(bench: Bench) -> str:
    upload_id = await bench.create(10)
    with pytest.raises(ClientDisconnected):
        await bench.append(upload_id, 0, b"abc", CUT)
    return upload_id


async def test_an_expired_upload_is_set_aside_and_later_removed() -> None:
    bench = Bench(limits=LIMITS)
    sweep = sweeping(bench)
    upload_id = await partial_upload(bench)
    bench.now = 9.9
    assert await sweep.due() == Swept()
    bench.now = 10.0
    assert await sweep.due() == Swept(abandoned=1)
    assert bench.store.abandoned == {upload_id: b"abc"}
    assert bench.session(upload_id).phase is Phase.ABANDONED
    assert isinstance(bench.journal.events[-1], UploadAbandoned)
    bench.now = 14.9
    assert await sweep.due() == Swept()
    bench.now = 15.0
    assert await sweep.due() == Swept(purged=1)
    assert bench.store.abandoned == {}
    assert bench.catalog.sessions == {}
    assert isinstance(bench.journal.events[-1], UploadPurged)


class CountedErrands(Errands):
    def __init__(self) -> None:
        super().__init__(1)
        self.count = 0
        self.is_away = False

    async def __call__(self, steps: Callable[[], Coroutine[object, Any, T]]) -> T:
        self.count += 1
        self.is_away = True
        try:
            return await steps()
        finally:
            self.is_away = False


async def test_one_way_to_a_thread_for_each_that_expires_and_none_to_free_its_bytes() -> None:
    bench = Bench(limits=LIMITS)
    errands = CountedErrands()
    uploads = bench.uploads
    means = replace(uploads.means, errands=errands)
    sweep = Sweep(means, uploads.finish_now, uploads.concatenation)
    away: list[bool] = []
    remove = bench.store.remove

    async def removed(session: UploadSession) -> None:
        away.append(errands.is_away)
        await remove(session)

    for _ in range(3):
        await partial_upload(bench)
    bench.now = 10.0
    assert await sweep.due() == Swept(abandoned=3)
    assert errands.count == 3
    bench.store.remove = removed  # type: ignore[method-assign]
    bench.now = 15.0
    assert await sweep.due() == Swept(purged=3)
    assert away == [False] * 3


async def test_a_finished_upload_is_never_touched() -> None:
    bench = Bench(limits=LIMITS)
    upload_id = await bench.create(3)
    await bench.append(upload_id, 0, b"abc")
    bench.now = 1e9
    assert await sweeping(bench).due() == Swept()
    assert bench.store.completed == {upload_id: b"abc"}


async def test_nobody_is_disturbed() -> None:
    bench = Bench(limits=LIMITS)
    upload_id = await partial_upload(bench)
    bench.now = 10.0
    async with bench.locker.attempt(upload_id) as lease:
        assert await sweeping(bench).due() == Swept()
        assert not lease.asked.given
    assert bench.session(upload_id).phase is Phase.OPEN


async def test_an_upload_that_was_continued_meanwhile_stays() -> None:
    bench = Bench(limits=LIMITS)
    upload_id = await partial_upload(bench)
    bench.now = 10.0
    stale = await bench.catalog.due(bench.now, 10)
    fresh = replace(bench.session(upload_id), expires_at=20.0)
    bench.catalog.sessions[upload_id] = fresh

    async def due(now: float, limit: int) -> object:
        return stale

    bench.catalog.due = due  # type: ignore[method-assign, assignment]
    assert await sweeping(bench).due() == Swept()
    assert bench.session(upload_id) == fresh
    assert bench.store.files == {upload_id: b"abc"}


async def test_a_session_that_changes_under_the_sweep_is_left_to_the_next_one() -> None:
    bench = Bench(limits=LIMITS)
    upload_id = await partial_upload(bench)
    bench.now = 10.0
    fresh = replace(bench.session(upload_id), expires_at=20.0)
    honest = bench.store.abandon

    async def abandon(session: UploadSession) -> None:
        await honest(session)
        bench.catalog.sessions[upload_id] = fresh

    bench.store.abandon = abandon  # type: ignore[method-assign]
    assert await sweeping(bench).due() == Swept()
    assert bench.session(upload_id) == fresh


async def test_a_crash_before_the_receipt_is_made_up_for() -> None:
    bench = Bench(limits=LIMITS)
    upload_id = await bench.create(3)
    bench.store.faults = [None, StorageFailed(), StorageFailed()]
    with pytest.raises(StorageFailed):
        await bench.append(upload_id, 0, b"abc")
    assert bench.session(upload_id).phase is Phase.SEALED
    assert await sweeping(bench).due() == Swept(finished=1)
    assert bench.store.completed == {upload_id: b"abc"}


async def test_one_that_fails_does_not_keep_the_others() -> None:
    bench = Bench(limits=LIMITS)
    for _ in range(3):
        await partial_upload(bench)
    bench.now = 10.0
    bench.store.faults = [None, StorageFailed()]
    assert await sweeping(bench).due() == Swept(abandoned=2, failed=1)
    assert await sweeping(bench).due() == Swept(abandoned=1)


async def test_strays_are_tidied_and_nothing_else() -> None:
    bench = Bench(limits=LIMITS)
    open_id = await partial_upload(bench)
    done_id = await bench.create(3)
    await bench.append(done_id, 0, b"abc")
    bench.store.files[done_id] = bytearray(b"abc")
    bench.store.files["nobody"] = bytearray(b"xyz")
    busy = "busy"
    bench.store.files[busy] = bytearray(b"xyz")
    bench.store.old = [open_id, done_id, "nobody", busy]
    async with bench.locker.attempt(busy):
        assert await sweeping(bench).strays() == Swept(tidied=2)
    assert set(bench.store.files) == {open_id, busy}
    assert bench.store.completed == {done_id: b"abc"}


async def test_strays_cost_what_files_there_are_and_not_what_is_recorded() -> None:
    bench = Bench(limits=LIMITS)
    done = await bench.create(0)
    for number in range(5000):
        bench.catalog.sessions[f"x{number}"] = replace(bench.session(done), id=f"x{number}")
    bench.store.old = [await partial_upload(bench), *(f"nobody{number}" for number in range(700))]
    asked: list[int] = []
    gather = bench.catalog.gather

    async def gathered(upload_ids: Collection[str]) -> Mapping[str, UploadSession]:
        asked.append(len(upload_ids))
        return await gather(upload_ids)

    async def listing(**_: object) -> list[UploadSession]:
        raise AssertionError("nobody needs all sessions")

    bench.catalog.gather = gathered  # type: ignore[method-assign]
    bench.catalog.listing = listing  # type: ignore[method-assign]
    assert await sweeping(bench).strays() == Swept(tidied=700)
    assert asked == [500, 201]


async def test_a_little_in_passing_when_it_is_time(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(limits=LIMITS)
    sweep = sweeping(bench)
    for _ in range(FEW + 1):
        await partial_upload(bench)
    bench.now = 10.0
    await sweep.in_passing(0)
    assert len(bench.store.abandoned) == 0
    await sweep.in_passing(60.0)
    assert len(bench.store.abandoned) == FEW
    bench.now = 14.0
    await sweep.in_passing(60.0)
    assert len(bench.store.abandoned) == FEW
    bench.now = 70.0
    bench.catalog.faults.append(StorageFailed())
    bench.store.faults.append(RuntimeError("a mistake"))
    await sweep.in_passing(60.0)
    assert "it will be tried again" in caplog.text
