"""Joining against dictionaries: what is copied when, what is recorded, and who waits for whom."""

from __future__ import annotations

from dataclasses import replace

import anyio
import pytest

from tests.engine.fakes import CUT, Script
from tests.engine.test_sweep import sweeping
from tests.engine.test_uploads import Bench
from tusjumbo.engine import concatenation
from tusjumbo.engine.sweep import Swept
from tusjumbo.errors import (
    CatalogFailed,
    PartUnusable,
    ServerClosing,
    StorageFull,
    StorageLost,
    TusJumboError,
    UploadIsFinal,
    UploadIsPartial,
    UploadLocked,
    UploadNotFound,
    UploadTooLarge,
    UploadUnfinished,
)
from tusjumbo.notice import Notice
from tusjumbo.sessions.commands import Content, Create, Fetch, Inspect, Join, Terminate
from tusjumbo.sessions.events import PartRemoved, UploadAbandoned, UploadFinished
from tusjumbo.sessions.outcomes import Created, Inspected
from tusjumbo.sessions.rules import Limits
from tusjumbo.sessions.session import Kind, Phase, UploadSession

EXPIRING = Limits(max_size=1000, expire_after=10.0, keep_abandoned=5.0)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(concatenation, "PIECE", 4)
    monkeypatch.setattr(concatenation, "CHECKPOINT", 8)


class Joinery(Bench):
    """A bench with what a test wants to do to parts."""

    async def part(self, data: bytes = b"", length: int | None = -1) -> str:
        """A partial upload with `data` in; of as many bytes unless told otherwise."""
        source = Script([data]) if data else None
        command = Create(
            length=len(data) if length == -1 else length,
            metadata={},
            echo={},
            content=Content(announced=len(data)) if data else None,
            kind=Kind.PARTIAL,
        )
        outcome = await self.uploads.execute(command, source)
        assert isinstance(outcome, Created)
        return outcome.session.id

    async def join(self, *parts: str, source: Script | None = None) -> UploadSession:
        outcome = await self.uploads.execute(Join(parts=parts, metadata={}, echo={}), source)
        assert isinstance(outcome, Created)
        return outcome.session

    async def head(self, upload_id: str) -> UploadSession:
        outcome = await self.uploads.execute(Inspect(upload_id))
        assert isinstance(outcome, Inspected)
        return outcome.session

    async def go_on(self, closing: Notice | None = None) -> None:
        """What follows every answer."""
        await self.uploads.concatenation.go_on(closing)

    def finals(self) -> list[UploadSession]:
        return [s for s in self.catalog.sessions.values() if s.kind is Kind.FINAL]


async def test_what_is_there_is_joined_at_once() -> None:
    bench = Joinery()
    a, b = await bench.part(b"hello, "), await bench.part(b"world")
    await bench.go_on()
    session = await bench.join(a, b, a)
    assert session.phase is Phase.DONE
    assert session.length == session.offset == 19
    assert bench.stored(session.id) == b"hello, worldhello, "
    assert bench.store.copies == [
        (a, 0, 4),
        (a, 4, 7),
        (b, 0, 4),
        (b, 4, 5),
        (a, 0, 4),
        (a, 4, 7),
    ]
    # Progress is recorded at checkpoints, and what is recorded was durable before.
    assert bench.catalog.commits[-3:] == [11, 19, 19]
    assert bench.store.durable[session.id] == b"hello, worldhello, "
    assert isinstance(bench.journal.events[-1], UploadFinished)
    assert not bench.uploads.concatenation.has_work


async def test_a_part_is_never_finished() -> None:
    bench = Joinery()
    for part_id in (await bench.part(b"abc"), await bench.part()):
        assert bench.session(part_id).phase is Phase.OPEN
        before = bench.session(part_id)
        bench.now += 1
        assert (await bench.append(part_id, before.offset, content=Content(announced=0))) == before
        with pytest.raises(UploadIsPartial):
            await bench.uploads.execute(Fetch(part_id))
    assert not any(isinstance(event, UploadFinished) for event in bench.journal.events)
    assert bench.store.completed == {}


async def test_the_last_byte_of_the_last_part_completes_it() -> None:
    bench = Joinery()
    a, b, c = await bench.part(b"abc"), await bench.part(b"d", 3), await bench.part(b"", None)
    session = await bench.join(a, b, c)
    assert session.is_pending
    assert (await bench.head(session.id)).length is None
    await bench.append(c, 0, b"gh", declares=2)
    await bench.go_on()
    assert (await bench.head(session.id)).length == 8
    assert (await bench.head(session.id)).is_pending
    with pytest.raises(UploadUnfinished):
        await bench.uploads.execute(Fetch(session.id))
    await bench.append(b, 1, b"ef")
    assert bench.session(session.id).is_pending, "the answer to the part does not wait for it"
    await bench.go_on()
    assert bench.stored(session.id) == b"abcdefgh"


async def test_a_part_that_is_full_though_its_request_was_cut_completes_it() -> None:
    bench = Joinery()
    a = await bench.part(b"", 3)
    session = await bench.join(a)
    with pytest.raises(TusJumboError):
        await bench.append(a, 0, b"abc", CUT)
    await bench.go_on()
    assert bench.stored(session.id) == b"abc"


async def test_a_part_that_comes_in_while_it_is_being_recorded() -> None:
    """Recorded first and looked at then: whoever is later sees the other."""
    for patience in range(30):
        bench = Joinery()
        a = await bench.part(b"", 3)
        made: list[UploadSession] = []

        async def join(bench: Joinery = bench, a: str = a) -> None:
            made.append(await bench.join(a))  # noqa: B023 - of this round
            await bench.go_on()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(join)
            for _ in range(patience):
                await anyio.lowlevel.checkpoint()
            await bench.append(a, 0, b"abc")
            await bench.go_on()
        assert bench.stored(made[0].id) == b"abc"


async def test_who_finds_it_busy_leaves_and_the_other_looks_again() -> None:
    bench = Joinery()
    a = await bench.part(b"ab", 3)
    session = await bench.join(a)
    gathered = anyio.Event()
    go = anyio.Event()
    original = bench.catalog.gather

    async def slow(ids: list[str]) -> object:
        found = await original(ids)
        gathered.set()
        await go.wait()
        return found

    advance = bench.uploads.concatenation.advance
    async with anyio.create_task_group() as tasks:
        bench.catalog.gather = slow  # type: ignore[method-assign, assignment]
        tasks.start_soon(advance, session.id)
        await gathered.wait()
        bench.catalog.gather = original  # type: ignore[method-assign]
        await bench.append(a, 2, b"c")
        await bench.go_on()
        assert bench.session(session.id).is_pending
        go.set()
    assert bench.stored(session.id) == b"abc"


# --- refusals ------------------------------------------------------------------------------------


async def test_a_refused_join_leaves_nothing() -> None:
    bench = Joinery(limits=EXPIRING)
    a, whole = await bench.part(b"abc"), await bench.create(3)
    await bench.append(whole, 0, b"abc")
    final = (await bench.join(a)).id
    before = dict(bench.catalog.sessions)
    for bad in (whole, final, "unknown"):
        with pytest.raises(PartUnusable) as caught:
            await bench.join(a, bad)
        assert caught.value.part == bad
    with pytest.raises(UploadTooLarge):
        await bench.join(*[a] * 334)
    closing = Notice()
    closing.give()
    with pytest.raises(ServerClosing):
        await bench.join(a, source=Script([], closing=closing))
    bench.now = 10.0
    with pytest.raises(PartUnusable):
        await bench.join(a)
    assert bench.catalog.sessions == before


async def test_a_final_upload_takes_no_bytes_and_is_not_disturbed() -> None:
    bench = Joinery()
    a, b = await bench.part(b"abc"), await bench.part(b"", 3)
    done, pending = await bench.join(a), await bench.join(a, b)
    for session in (done, pending):
        source = Script([b"x"])
        async with bench.locker.hold(session.id, 0.0) as lease:
            for at in (0, 3):
                with pytest.raises(UploadIsFinal):
                    await bench.append(session.id, at, source=source)
            await bench.head(session.id)
            assert not lease.asked.given
        assert source.reads == 0
    async with bench.locker.hold(a, 0.0) as lease:
        assert (await bench.head(a)).offset == 3
        assert not lease.asked.given


@pytest.mark.parametrize(
    "fault", [StorageFull(), CatalogFailed()], ids=lambda error: type(error).__name__
)
async def test_what_the_system_cannot_do_is_not_left_pending(fault: TusJumboError) -> None:
    """The client does not learn the address, so nobody would ever want it."""
    bench = Joinery()
    a = await bench.part(b"abcdef")
    if isinstance(fault, CatalogFailed):
        bench.catalog.faults = [None, fault]
    else:
        bench.store.faults = [None, fault]
    with pytest.raises(type(fault)):
        await bench.join(a)
    assert bench.finals() == []
    assert list(bench.store.files) == [a]
    assert bench.stored((await bench.join(a)).id) == b"abcdef"


# --- parts that go away --------------------------------------------------------------------------


async def test_a_part_that_is_terminated_ends_what_waits_for_it() -> None:
    bench = Joinery(limits=EXPIRING)
    a, b = await bench.part(b"abc"), await bench.part(b"", 3)
    done, first, second = await bench.join(a), await bench.join(a, b), await bench.join(b, b)
    await bench.uploads.execute(Terminate(b))
    for session in (first, second):
        with pytest.raises(UploadNotFound):  # before anybody had time to note it
            await bench.head(session.id)
    await bench.go_on()
    for session in (first, second):
        after = bench.session(session.id)
        assert (after.phase, after.expires_at) == (Phase.ABANDONED, 5.0)
        with pytest.raises(UploadNotFound):
            await bench.head(session.id)
    gone = [e.session.id for e in bench.journal.events if isinstance(e, UploadAbandoned)]
    assert sorted(gone) == sorted([first.id, second.id])
    assert bench.stored(done.id) == b"abc"
    assert bench.session(a).phase is Phase.OPEN
    bench.now = 5.0
    assert (await sweeping(bench).due()).purged == 2


@pytest.mark.parametrize("copied", [1, 3, 5])
async def test_a_part_that_is_terminated_when_it_is_copied_already(copied: int) -> None:
    """HEAD has said 404 since, and does not take it back."""
    bench = Joinery()
    a, b = await bench.part(b"abc"), await bench.part(b"d" * 19)
    session_ids: list[str] = []

    def lose_it() -> None:
        if len(bench.store.copies) == copied:
            session_ids.extend(final.id for final in bench.finals())
            bench.catalog.sessions.pop(a)

    bench.store.before_write = lose_it
    with pytest.raises(PartUnusable) as caught:
        await bench.join(a, b)
    assert caught.value.part == a
    assert len(session_ids) == 1
    assert bench.finals() == []
    assert bench.store.completed == {}


async def test_bytes_of_a_part_that_somebody_took() -> None:
    bench = Joinery()
    a, b = await bench.part(b"abcdef"), await bench.part(b"ghi")
    del bench.store.files[b]
    with pytest.raises(PartUnusable) as caught:
        await bench.join(a, b)
    assert caught.value.part == b
    assert bench.session(b).phase is Phase.ABANDONED, "or clients would try it for ever"
    assert bench.finals() == []
    assert list(bench.store.files) == [a]


async def test_bytes_of_the_final_upload_that_somebody_took() -> None:
    bench = Joinery()
    a = await bench.part(b"abcdefghijkl")
    session = await stopped_at_a_checkpoint(bench, a)
    bench.store.files.clear()
    with pytest.raises(StorageLost):
        await bench.uploads.concatenation.advance(session.id)
    assert bench.session(session.id).phase is Phase.ABANDONED


async def test_a_part_that_turns_out_too_long() -> None:
    bench = Joinery()
    a, b = await bench.part(b"a" * 600), await bench.part(b"", None)
    session = await bench.join(a, b)
    await bench.append(b, 0, b"b" * 500, declares=500)
    with pytest.raises(UploadNotFound):
        await bench.head(session.id)
    await bench.go_on()
    assert bench.session(session.id).phase is Phase.ABANDONED


# --- stopping and going on -----------------------------------------------------------------------


async def stopped_at_a_checkpoint(bench: Joinery, *parts: str) -> UploadSession:
    """A final upload whose process died after its first checkpoint."""
    bench.store.faults = [None, None, KeyboardInterrupt()]  # type: ignore[list-item]
    with pytest.raises(KeyboardInterrupt):
        await bench.join(*parts)
    bench.store.faults = []
    (session,) = bench.finals()
    assert session.is_pending
    assert session.offset > 0
    return session


async def test_it_goes_on_where_a_crash_left_it() -> None:
    bench = Joinery()
    a, b = await bench.part(b"abcdefghi"), await bench.part(b"jklmnopqr")
    session = await stopped_at_a_checkpoint(bench, a, b)
    bench.store.copies.clear()
    sweep = sweeping(bench)
    assert await sweep.due() == Swept(finished=1)
    assert bench.stored(session.id) == b"abcdefghijklmnopqr"
    assert bench.store.copies[0] == (a, 8, 9), "what was committed is not copied again"
    assert await sweep.due() == Swept()


async def test_the_answer_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Joinery()
    a = await bench.part(b"abcdefghijkl")
    monkeypatch.setattr("tusjumbo.engine.uploads.PATIENCE", 0.0)
    session = await bench.join(a)
    assert session.is_pending
    assert bench.uploads.concatenation.has_work
    await bench.go_on()
    assert bench.stored(session.id) == b"abcdefghijkl"
    assert not bench.uploads.concatenation.has_work


async def test_a_closing_server_stops_between_pieces_and_keeps_them() -> None:
    bench = Joinery()
    a = await bench.part(b"abcdefghijkl")
    closing = Notice()

    def close() -> None:
        if len(bench.store.copies) == 1:
            closing.give()

    bench.store.before_write = close
    session = await bench.join(a, source=Script([], closing=closing))
    assert (session.is_pending, session.offset) == (True, 8)
    await bench.go_on(closing)
    assert bench.session(session.id) == session
    assert bench.uploads.concatenation.has_work
    await bench.go_on()
    assert bench.stored(session.id) == b"abcdefghijkl"


async def test_whoever_wants_it_terminated_does_not_wait() -> None:
    bench = Joinery()
    a = await bench.part(b"x" * 400)
    ended: list[str] = []

    async def terminate() -> None:
        (session,) = bench.finals()
        await bench.uploads.execute(Terminate(session.id))
        ended.append(session.id)

    async with anyio.create_task_group() as tasks:
        bench.store.before_write = lambda: (
            len(bench.store.copies) == 2 and tasks.start_soon(terminate)
        )
        session = await bench.join(a)
    assert ended == [session.id]
    assert session.is_pending
    assert len(bench.store.copies) < 100
    await bench.go_on()
    assert bench.finals() == []
    assert list(bench.store.files) == [a]


async def test_a_cancelled_request_leaves_the_rest_to_the_next() -> None:
    bench = Joinery()
    a = await bench.part(b"", 12)
    session = await bench.join(a)
    await bench.append(a, 0, b"abcdefghijkl")
    with anyio.CancelScope() as scope:
        bench.store.before_write = scope.cancel
        await bench.go_on()
    assert scope.cancelled_caught
    bench.store.before_write = lambda: None
    assert bench.uploads.concatenation.has_work
    await bench.go_on()
    assert bench.stored(session.id) == b"abcdefghijkl"


async def test_a_failure_after_the_answer_is_left_to_the_sweep(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench = Joinery()
    a = await bench.part(b"", 3)
    session = await bench.join(a)
    await bench.append(a, 0, b"abc")
    bench.store.faults = [StorageFull()]
    await bench.go_on()
    assert bench.session(session.id).is_pending
    assert session.id in caplog.text
    assert not bench.uploads.concatenation.has_work
    assert await sweeping(bench).due() == Swept(finished=1)
    assert bench.stored(session.id) == b"abc"


# --- locks ---------------------------------------------------------------------------------------


async def test_a_part_is_locked_while_it_is_copied() -> None:
    bench = Joinery()
    a, b = await bench.part(b"abcd"), await bench.part(b"efgh")
    held: list[set[str]] = []
    bench.store.before_write = lambda: held.append({held for held, _ in bench.locker.held})
    session = await bench.join(a, b)
    assert held == [{session.id, a}, {session.id, b}]


async def test_a_part_that_nobody_lets_go_of() -> None:
    bench = Joinery(patience=0.05)
    a = await bench.part(b"abcd")
    async with bench.locker.hold(a, 0.0):
        session = await bench.join(a)
    assert session.is_pending
    assert await sweeping(bench).due() == Swept(finished=1)


async def test_two_uploads_of_the_same_parts_at_once() -> None:
    bench = Joinery()
    a, b = await bench.part(b"abcdefgh"), await bench.part(b"ijklmnop")
    made: dict[str, UploadSession] = {}

    async def join(name: str, *parts: str) -> None:
        made[name] = await bench.join(*parts)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(join, "ab", a, b)
        tasks.start_soon(join, "ba", b, a)
        tasks.start_soon(join, "aa", a, a)
    assert bench.stored(made["ab"].id) == b"abcdefghijklmnop"
    assert bench.stored(made["ba"].id) == b"ijklmnopabcdefgh"
    assert bench.stored(made["aa"].id) == b"abcdefghabcdefgh"


async def test_a_part_that_is_terminated_between_its_pieces() -> None:
    bench = Joinery()
    a, b = await bench.part(b"a" * 40), await bench.part(b"b" * 40)
    failed: list[str] = []

    async def terminate() -> None:
        await bench.uploads.execute(Terminate(b))

    async with anyio.create_task_group() as tasks:
        bench.store.before_write = lambda: (
            len(bench.store.copies) == 2 and tasks.start_soon(terminate)
        )
        with pytest.raises(PartUnusable) as caught:
            await bench.join(a, b)
        failed.append(caught.value.part)
    assert failed == [b]
    assert bench.finals() == []
    assert bench.store.completed == {}


# --- removing parts ------------------------------------------------------------------------------


async def test_joined_parts_go_unless_another_upload_waits_for_them() -> None:
    bench = Joinery()
    bench.uploads.concatenation.removes_parts = True
    a, b, c = await bench.part(b"a"), await bench.part(b"b"), await bench.part(b"", 1)
    pending, done = await bench.join(a, c), await bench.join(a, b, b)
    assert set(bench.store.files) >= {a, b}, "after the answer"
    await bench.go_on()
    assert set(bench.catalog.sessions) == {a, c, pending.id, done.id}
    assert [e.session.id for e in bench.journal.events if isinstance(e, PartRemoved)] == [b]
    await bench.append(c, 0, b"c")
    await bench.go_on()
    assert set(bench.catalog.sessions) == {pending.id, done.id}
    assert bench.store.files == {}
    assert bench.stored(pending.id) == b"ac"
    assert (await bench.head(pending.id)).offset == 2


async def test_a_part_in_use_stays() -> None:
    bench = Joinery()
    bench.uploads.concatenation.removes_parts = True
    a = await bench.part(b"a")
    await bench.join(a)
    async with bench.locker.hold(a, 0.0) as lease:
        await bench.go_on()
        assert not lease.asked.given
    assert a in bench.catalog.sessions


async def test_head_while_parts_are_removed() -> None:
    """It was pending when it was loaded, and is finished when its parts are looked for."""
    bench = Joinery()
    a = await bench.part(b"a")
    session = await bench.join(a)
    await bench.uploads.execute(Terminate(a))
    before = replace(session, phase=Phase.OPEN, receipt=None)
    assert await bench.uploads.concatenation.measured(before) == session


# --- time ----------------------------------------------------------------------------------------


async def test_a_full_part_outlives_its_time_while_others_are_awaited() -> None:
    bench = Joinery(limits=EXPIRING)
    a = await bench.part(b"abc")
    bench.now = 5.0
    b = await bench.part(b"d", 2)
    session = await bench.join(a, b)
    bench.now = 12.0
    sweep = sweeping(bench)
    assert await sweep.due() == Swept()
    assert bench.session(a).expires_at == 22.0
    await bench.append(b, 1, b"e")
    await bench.go_on()
    assert bench.stored(session.id) == b"abcde"
    bench.now = 22.0
    assert (await sweep.due()).abandoned == 2, "nobody waits any more"


async def test_an_unfinished_part_expires_and_ends_what_waits_for_it() -> None:
    bench = Joinery(limits=EXPIRING)
    a = await bench.part(b"a", 2)
    bench.now = 5.0
    session = await bench.join(a)
    bench.now = 10.0
    with pytest.raises(UploadNotFound):
        await bench.head(session.id)
    await sweeping(bench).due()
    await sweeping(bench).due()
    assert {s.phase for s in bench.catalog.sessions.values()} == {Phase.ABANDONED}


async def test_a_pending_upload_expires_itself() -> None:
    bench = Joinery(limits=EXPIRING)
    a = await bench.part(b"a", 3)
    session = await bench.join(a)
    bench.now = 9.0
    await bench.append(a, 1, b"b")
    await bench.go_on()
    bench.now = 10.0
    with pytest.raises(UploadNotFound):
        await bench.head(session.id)
    assert await sweeping(bench).due() == Swept(abandoned=1)
    await bench.append(a, 2, b"c")
    await bench.go_on()
    assert bench.session(session.id).phase is Phase.ABANDONED


async def test_those_that_wait_are_looked_at_and_put_back() -> None:
    """Or a thousand of them would keep the sweep from everything that is due after them."""
    bench = Joinery(limits=EXPIRING)
    a = await bench.part(b"a", 2)
    for _ in range(3):
        await bench.join(a)
    bench.now = 1.0
    whole = await bench.create(5)
    bench.now = 12.0
    bench.catalog.sessions[a] = replace(bench.session(a), expires_at=99.0)
    for final in bench.finals():
        bench.catalog.sessions[final.id] = replace(final, expires_at=99.0)
    sweep = sweeping(bench)
    assert await sweep.due(3) == Swept()
    assert {final.updated_at for final in bench.finals()} == {12.0}
    assert await sweep.due(3) == Swept(abandoned=1)
    assert bench.session(whole).phase is Phase.ABANDONED


async def test_a_locked_one_does_not_hold_the_sweep_up() -> None:
    bench = Joinery()
    a = await bench.part(b"", 1)
    session = await bench.join(a)
    async with bench.locker.hold(session.id, 0.0) as lease:
        assert await sweeping(bench).due() == Swept()
        assert not lease.asked.given
    with pytest.raises(UploadLocked):
        async with bench.locker.hold(a, 0.0), bench.locker.attempt(a):
            raise AssertionError
