"""Recovery: what comes back, what does not, and what a crash on the way leaves."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.engine.fakes import CUT
from tests.engine.test_concatenation import Joinery
from tests.engine.test_sweep import LIMITS, sweeping
from tests.engine.test_uploads import Bench
from tusjumbo.engine.sweep import Swept
from tusjumbo.errors import (
    CatalogFailed,
    ClientDisconnected,
    NotAbandoned,
    PartUnusable,
    StorageFailed,
    StorageLost,
    UploadLocked,
    UploadNotFound,
)
from tusjumbo.sessions.commands import Recover
from tusjumbo.sessions.events import UploadAbandoned, UploadRecovered
from tusjumbo.sessions.outcomes import Inspected
from tusjumbo.sessions.ranges import RangeSet
from tusjumbo.sessions.session import Phase, UploadSession


async def recover(bench: Bench, upload_id: str) -> UploadSession:
    outcome = await bench.uploads.execute(Recover(upload_id))
    assert isinstance(outcome, Inspected)
    assert outcome.session == bench.session(upload_id)
    return outcome.session


async def expired(bench: Bench) -> str:
    """An upload of 10 bytes with 3 of them, whose time ended at 10.0."""
    upload_id = await bench.create(10)
    with pytest.raises(ClientDisconnected):
        await bench.append(upload_id, 0, b"abc", CUT)
    bench.now = 10.0
    return upload_id


async def set_aside(bench: Bench) -> str:
    upload_id = await expired(bench)
    assert await sweeping(bench).due() == Swept(abandoned=1)
    assert bench.store.abandoned == {upload_id: b"abc"}
    return upload_id


async def test_an_upload_that_was_set_aside_is_continued() -> None:
    bench = Bench(limits=LIMITS)
    upload_id = await set_aside(bench)
    bench.now = 12.0
    session = await recover(bench, upload_id)
    assert (session.phase, session.offset, session.expires_at) == (Phase.OPEN, 3, 22.0)
    assert bench.journal.events[-1] == UploadRecovered(session)
    assert bench.store.abandoned == {}
    assert bench.store.files == {upload_id: b"abc"}
    bench.now = 21.9
    assert await sweeping(bench).due() == Swept()
    await bench.append(upload_id, 3, b"defghij")
    assert bench.store.completed == {upload_id: b"abcdefghij"}


async def test_what_nobody_goes_on_with_expires_again() -> None:
    bench = Bench(limits=LIMITS)
    upload_id = await set_aside(bench)
    await recover(bench, upload_id)
    bench.now = 20.0
    assert await sweeping(bench).due() == Swept(abandoned=1)
    assert bench.store.abandoned == {upload_id: b"abc"}
    bench.now = 25.0
    assert await sweeping(bench).due() == Swept(purged=1)
    with pytest.raises(UploadNotFound):
        await recover(bench, upload_id)


async def test_it_is_not_too_late_before_the_bytes_are_removed() -> None:
    bench = Bench(limits=LIMITS)
    upload_id = await set_aside(bench)
    bench.now = 99.0
    assert (await recover(bench, upload_id)).expires_at == 109.0
    assert await sweeping(bench).due() == Swept()


async def test_one_that_the_sweep_has_not_met_is_prolonged() -> None:
    bench = Bench(limits=LIMITS)
    upload_id = await expired(bench)
    session = await recover(bench, upload_id)
    assert (session.phase, session.offset, session.expires_at) == (Phase.OPEN, 3, 20.0)
    assert bench.journal.events[-1] == UploadRecovered(session)
    await bench.append(upload_id, 3, b"defghij")
    assert bench.store.completed == {upload_id: b"abcdefghij"}


@pytest.mark.parametrize(
    ("phase", "status"),
    [(Phase.OPEN, "uploading"), (Phase.SEALED, "assembling"), (Phase.DONE, "completed")],
)
async def test_there_is_nothing_to_recover(phase: Phase, status: str) -> None:
    bench = Bench(limits=LIMITS)
    upload_id = await expired(bench)
    expires_at = 10.1 if phase is Phase.OPEN else None
    before = replace(bench.session(upload_id), phase=phase, expires_at=expires_at)
    bench.catalog.sessions[upload_id] = before
    bench.store.abandoned[upload_id] = b"not to be touched"
    told = list(bench.journal.events)
    with pytest.raises(NotAbandoned) as caught:
        await recover(bench, upload_id)
    assert (caught.value.upload_id, caught.value.status) == (upload_id, status)
    assert bench.session(upload_id) == before
    assert bench.store.files == {upload_id: b"abc"}
    assert bench.journal.events == told


async def test_nobody_is_recovered() -> None:
    with pytest.raises(UploadNotFound):
        await Bench().uploads.execute(Recover("nobody"))


async def test_what_is_lost_stays_abandoned() -> None:
    bench = Bench(limits=LIMITS)
    upload_id = await set_aside(bench)
    before = bench.session(upload_id)
    bench.store.abandoned[upload_id] = b"ab"
    for _ in range(2):
        with pytest.raises(StorageLost):
            await recover(bench, upload_id)
    assert bench.session(upload_id) == before
    assert isinstance(bench.journal.events[-1], UploadAbandoned)


async def test_whoever_has_it_is_waited_for() -> None:
    bench = Bench(limits=LIMITS, patience=0.01)
    upload_id = await set_aside(bench)
    async with bench.locker.hold(upload_id, 0.0, lane=3) as lease:
        with pytest.raises(UploadLocked):
            await recover(bench, upload_id)
        assert lease.asked.given
    assert bench.store.abandoned == {upload_id: b"abc"}


# --- crashes -------------------------------------------------------------------------------------


async def cut_short(bench: Bench) -> str:
    """An upload whose bytes are back, and nobody has recorded it."""
    upload_id = await set_aside(bench)
    bench.catalog.faults = [CatalogFailed()]
    with pytest.raises(CatalogFailed):
        await recover(bench, upload_id)
    assert bench.session(upload_id).phase is Phase.ABANDONED
    assert bench.store.abandoned == {}
    assert bench.store.files == {upload_id: b"abc"}
    assert not [it for it in bench.journal.events if isinstance(it, UploadRecovered)]
    return upload_id


async def test_a_crash_before_the_bytes_are_back() -> None:
    bench = Bench(limits=LIMITS)
    upload_id = await set_aside(bench)
    bench.store.faults = [StorageFailed()]
    with pytest.raises(StorageFailed):
        await recover(bench, upload_id)
    assert bench.session(upload_id).phase is Phase.ABANDONED
    assert bench.store.abandoned == {upload_id: b"abc"}


async def test_a_crash_between_the_bytes_and_the_catalog_and_a_second_try() -> None:
    bench = Bench(limits=LIMITS)
    upload_id = await cut_short(bench)
    assert (await recover(bench, upload_id)).phase is Phase.OPEN
    await bench.append(upload_id, 3, b"defghij")
    assert bench.store.completed == {upload_id: b"abcdefghij"}


async def test_a_crash_between_the_bytes_and_the_catalog_and_nobody_comes_back() -> None:
    bench = Bench(limits=LIMITS)
    upload_id = await cut_short(bench)
    with pytest.raises(UploadNotFound):
        await bench.append(upload_id, 3, b"def")
    bench.store.old = [upload_id]
    assert await sweeping(bench).strays() == Swept(tidied=1)
    assert bench.store.abandoned == {upload_id: b"abc"}


async def test_a_crash_between_the_bytes_and_the_catalog_and_the_end() -> None:
    bench = Bench(limits=LIMITS)
    await cut_short(bench)
    bench.now = 15.0
    assert await sweeping(bench).due() == Swept(purged=1)
    assert (bench.store.files, bench.store.abandoned, bench.catalog.sessions) == ({}, {}, {})


async def test_a_sweep_that_was_cut_short_is_taken_back() -> None:
    """The bytes are aside already, and the session is open still."""
    bench = Bench(limits=LIMITS)
    upload_id = await expired(bench)
    await bench.store.abandon(bench.session(upload_id))
    await recover(bench, upload_id)
    assert bench.store.abandoned == {}
    assert bench.store.files == {upload_id: b"abc"}


# --- parts and what is made of them --------------------------------------------------------------


async def test_a_part_comes_back_like_any_other() -> None:
    bench = Joinery(limits=LIMITS)
    part = await bench.part(b"ab", 3)
    bench.now = 10.0
    await sweeping(bench).due()
    assert (await recover(bench, part)).offset == 2
    await bench.append(part, 2, b"c")
    assert bench.stored((await bench.join(part)).id) == b"abc"


async def test_a_final_upload_comes_back_after_its_parts() -> None:
    bench = Joinery(limits=LIMITS)
    part = await bench.part(b"ab", 3)
    session = await bench.join(part)
    bench.now = 10.0
    for _ in range(2):
        await sweeping(bench).due()
    assert {it.phase for it in bench.catalog.sessions.values()} == {Phase.ABANDONED}
    with pytest.raises(PartUnusable):
        await recover(bench, session.id)
    assert bench.session(session.id).phase is Phase.ABANDONED
    await recover(bench, part)
    assert (await recover(bench, session.id)).is_pending
    await bench.append(part, 2, b"c")
    await bench.go_on()
    assert bench.stored(session.id) == b"abc"


@pytest.mark.parametrize("left", [None, b"abc", b"????????"], ids=["nothing", "less", "more"])
async def test_a_final_upload_is_begun_anew(left: bytes | None) -> None:
    """What it had been given by its parts may have gone when it was given up."""
    bench = Joinery(limits=LIMITS)
    first, second = await bench.part(b"abcd"), await bench.part(b"e", 2)
    session = await bench.join(first, second)
    await bench.append(second, 1, b"f")
    bench.catalog.sessions[session.id] = replace(
        session, phase=Phase.ABANDONED, ranges=RangeSet(((0, 4),)), length=6
    )
    if left is not None:
        bench.store.abandoned[session.id] = left
    await bench.go_on()  # with nothing: nobody is waiting now
    session = await recover(bench, session.id)
    assert session.is_pending
    assert session.offset == 0
    await bench.go_on()
    assert bench.stored(session.id) == b"abcdef"
    assert bench.store.abandoned == {}


async def test_a_final_upload_whose_part_was_terminated_does_not_come_back() -> None:
    bench = Joinery(limits=LIMITS)
    part = await bench.part(b"ab", 3)
    session = await bench.join(part)
    bench.catalog.sessions.pop(part)
    await sweeping(bench).due()
    before = bench.session(session.id)
    assert before.phase is Phase.ABANDONED
    with pytest.raises(PartUnusable) as caught:
        await recover(bench, session.id)
    assert caught.value.part == part
    assert bench.session(session.id) == before
