"""Types against dictionaries: when they are looked at, and that refused uploads leave nothing."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, field, replace
from itertools import pairwise

import anyio
import pytest

from tests.engine.fakes import FOREVER, BytesStore, Script
from tests.engine.test_concatenation import Joinery
from tests.engine.test_placing import Chunks
from tests.engine.test_sweep import sweeping
from tests.engine.test_uploads import Bench
from tusjumbo.application import Tell
from tusjumbo.engine import pump
from tusjumbo.engine.inspection import Head, HeadWriter
from tusjumbo.engine.sweep import Swept
from tusjumbo.errors import (
    CatalogFailed,
    DigestMismatch,
    MediaTypeRefused,
    StorageFailed,
    UploadNotFound,
)
from tusjumbo.ports import Verdict
from tusjumbo.sessions.commands import (
    Append,
    Content,
    Create,
    Digest,
    Fetch,
    Inspect,
    Join,
    Keep,
    Promised,
)
from tusjumbo.sessions.events import BytesReceived, Ending, UploadCreated, UploadRefused
from tusjumbo.sessions.outcomes import Created
from tusjumbo.sessions.rules import Limits
from tusjumbo.sessions.session import Kind, Phase, UploadSession

BAD = b"MZ--" + b"." * 12
GOOD = b"PNG-" + b"." * 12


@dataclass
class NoPrograms:
    """Takes nothing that begins or is called `MZ`."""

    head: int = 8
    knows_by: int = 4
    seen: list[tuple[bytes, bool]] = field(default_factory=list)

    def claim(self, session: UploadSession) -> None:
        if session.media_type == "MZ":
            raise MediaTypeRefused("MZ", None, ())

    async def judge(self, session: UploadSession, head: bytes, *, is_whole: bool) -> Verdict:
        await anyio.lowlevel.checkpoint()
        assert len(head) <= self.head
        self.seen.append((head, is_whole))
        if len(head) < self.knows_by and not is_whole:
            return Verdict.NEEDS_MORE
        if head.startswith(b"MZ"):
            raise MediaTypeRefused("", "program", ())
        return Verdict.ACCEPTED


def guarded() -> tuple[Bench, NoPrograms]:
    inspection = NoPrograms()
    return Bench(inspection=inspection, limits=Limits(max_size=1000, expire_after=60)), inspection


def refusals(bench: Bench) -> list[str]:
    return [it.session.id for it in bench.journal.events if isinstance(it, UploadRefused)]


async def is_gone(bench: Bench, upload_id: str) -> bool:
    """Nothing is left of it, and everybody has been told."""
    for command in (
        Inspect(upload_id),
        Fetch(upload_id),
        Append(id=upload_id, at=0, content=Content(announced=None)),
    ):
        with pytest.raises(UploadNotFound):
            await bench.uploads.execute(command, Script([b"x"]))
    store = bench.store
    places = (bench.catalog.sessions, store.files, store.completed, store.abandoned)
    assert refusals(bench) == [upload_id]
    return not any(upload_id in place for place in places) and await bench.all_blocks_are_back()


def sha1(content: bytes) -> Digest:
    return Digest("sha1", hashlib.sha1(content).digest())


# --- what the client says ------------------------------------------------------------------------


async def test_a_claim_is_refused_before_anything_is_stored_or_read() -> None:
    bench, _ = guarded()
    source = Script([GOOD])
    command = Create(
        length=16, metadata={"filetype": b"MZ"}, echo={}, content=Content(announced=16)
    )
    with pytest.raises(MediaTypeRefused):
        await bench.uploads.execute(command, source)
    assert (source.reads, bench.catalog.sessions, bench.journal.events) == (0, {}, [])


async def test_what_parts_say_is_not_asked_but_what_they_make_is() -> None:
    bench = Joinery(inspection=NoPrograms())
    command = Create(length=0, metadata={"type": b"MZ"}, echo={}, kind=Kind.PARTIAL)
    outcome = await bench.uploads.execute(command)
    assert isinstance(outcome, Created)
    for metadata in ({"filetype": b"MZ"}, {"type": b"MZ"}):
        join = Join(parts=(outcome.session.id,), metadata=metadata, echo={})
        with pytest.raises(MediaTypeRefused):
            await bench.uploads.execute(join)
    assert bench.finals() == []


# --- as soon as the first bytes are there --------------------------------------------------------


async def test_a_refused_upload_is_over_and_nothing_of_it_was_written() -> None:
    bench, _ = guarded()
    upload_id = await bench.create(100)
    with pytest.raises(MediaTypeRefused) as caught:
        await bench.append(upload_id, 0, BAD, FOREVER)
    # Not "until then": it is over now.
    assert caught.value.expires_at is None
    assert bench.store.writes == []
    created, received, refused = bench.journal.events
    assert isinstance(created, UploadCreated)
    assert isinstance(received, BytesReceived)
    assert (received.start, received.stop, received.ending) == (0, 0, Ending.REFUSED)
    assert isinstance(refused, UploadRefused)
    assert refused.reason == str(caught.value)
    assert await is_gone(bench, upload_id)


async def test_a_body_of_the_creating_request() -> None:
    bench, _ = guarded()
    command = Create(length=16, metadata={}, echo={}, content=Content(announced=16))
    with pytest.raises(MediaTypeRefused):
        await bench.uploads.execute(command, Script([BAD]))
    assert (bench.catalog.sessions, bench.store.files) == ({}, {})
    assert len(refusals(bench)) == 1


async def test_byte_by_byte_in_requests_of_their_own() -> None:
    bench, inspection = guarded()
    upload_id = await bench.create(100)
    for at in range(3):
        await bench.append(upload_id, at, BAD[at : at + 1])
    assert (bench.session(upload_id).offset, bench.store.reads) == (3, [(0, 1), (0, 2)])
    with pytest.raises(MediaTypeRefused):
        await bench.append(upload_id, 3, BAD[3:4])
    assert inspection.seen == [(BAD[:count], False) for count in (1, 2, 3, 4)]
    assert len(bench.store.writes) == 3
    assert await is_gone(bench, upload_id)


async def test_byte_by_byte_in_one_request_it_is_looked_at_when_there_is_twice_as_much() -> None:
    bench, inspection = guarded()
    inspection.head = inspection.knows_by = 1000
    upload_id = await bench.create(100)
    steps = [step for _ in range(3) for step in (b"P", 0.01)]
    await bench.append(upload_id, 0, *steps)
    # The last one at the commit: nothing is committed that was not looked at.
    assert inspection.seen == [(b"P" * count, False) for count in (1, 2, 3)]
    inspection.seen.clear()
    steps = [step for _ in range(60) for step in (b"P", 0.01)]
    await bench.append(upload_id, 3, *steps)
    lengths = [len(head) for head, _ in inspection.seen]
    assert lengths[0] == 4
    assert lengths[-1] == 63
    assert all(b >= 2 * a for a, b in pairwise(lengths[:-1]))
    assert bench.store.reads == [(0, 3)]


async def test_nothing_is_committed_that_was_not_looked_at() -> None:
    bench, inspection = guarded()
    upload_id = await bench.create(100)
    # The third byte comes too soon after the second to be worth a look, the fourth not at all.
    await bench.append(upload_id, 0, b"M", 0.01, b"Z", 0.01, b"-")
    assert inspection.seen[-1] == (b"MZ-", False)
    assert bench.catalog.commits == [3]


async def test_all_that_can_be_looked_at_need_not_be_twice_as_much() -> None:
    bench, inspection = guarded()
    inspection.knows_by = 8
    upload_id = await bench.create(100)
    with pytest.raises(MediaTypeRefused):
        await bench.append(upload_id, 0, BAD[:5], 0.01, BAD[5:8], FOREVER)
    assert inspection.seen == [(BAD[:5], False), (BAD[:8], False)]
    assert bench.store.writes == [5]
    assert await is_gone(bench, upload_id)


async def test_what_is_accepted_is_looked_at_no_more_until_the_end() -> None:
    bench, inspection = guarded()
    upload_id = await bench.create(32)
    await bench.append(upload_id, 0, GOOD[:5], 0.01, GOOD[5:], 0.01)
    assert inspection.seen == [(GOOD[:5], False)]
    await bench.append(upload_id, 16, GOOD)
    assert inspection.seen[1:] == [(GOOD[:8], False)]
    assert bench.store.reads == [(0, 8)]
    assert bench.stored(upload_id) == GOOD + GOOD


async def test_a_file_that_is_shorter_than_what_is_looked_at() -> None:
    bench, inspection = guarded()
    upload_id = await bench.create(3)
    with pytest.raises(MediaTypeRefused):
        await bench.append(upload_id, 0, b"MZ!")
    assert inspection.seen == [(b"MZ!", True)]
    assert bench.store.writes == []
    assert await is_gone(bench, upload_id)


async def test_a_length_that_comes_with_the_body() -> None:
    bench, inspection = guarded()
    upload_id = await bench.create(None)
    with pytest.raises(MediaTypeRefused):
        await bench.append(upload_id, 0, b"MZ!", declares=3)
    assert inspection.seen == [(b"MZ!", True)]
    assert await is_gone(bench, upload_id)


@pytest.mark.parametrize("length", [0, 3, 16])
async def test_what_is_taken_is_finished(length: int) -> None:
    bench, inspection = guarded()
    upload_id = await bench.create(length)
    if length:
        await bench.append(upload_id, 0, GOOD[:length])
    assert bench.stored(upload_id) == GOOD[:length]
    assert bench.session(upload_id).phase is Phase.DONE
    assert inspection.seen[-1] == (GOOD[: min(length, 8)], length <= 8)
    assert bench.store.reads == ([(0, min(length, 8))] if length else [])
    assert refusals(bench) == []


# --- bodies that count as a whole or not at all --------------------------------------------------


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_wrong_body_says_nothing_of_the_file(when: str) -> None:
    bench, inspection = guarded()
    upload_id = await bench.create(16)
    wrong, right = sha1(GOOD), sha1(BAD)

    async def send(digest: Digest) -> None:
        source = Script([BAD], told=digest)
        promise = digest if when == "before" else Promised.AFTER_BODY
        content = Content(announced=None, keep=Keep.ALL_OR_NOTHING, digest=promise)
        await bench.append(upload_id, 0, source=source, content=content)

    with pytest.raises(DigestMismatch):
        await send(wrong)
    assert (inspection.seen, bench.session(upload_id).offset) == ([], 0)
    with pytest.raises(MediaTypeRefused):
        await send(right)
    assert bench.catalog.commits == []
    assert await is_gone(bench, upload_id)


# --- chunks --------------------------------------------------------------------------------------


def chunks() -> tuple[Chunks, NoPrograms]:
    inspection = NoPrograms()
    return Chunks(inspection=inspection), inspection


async def start(bench: Chunks, length: int, chunk_size: int) -> str:
    command = Create(length=length, metadata={}, echo={}, chunk_size=chunk_size)
    outcome = await bench.uploads.execute(command)
    assert isinstance(outcome, Created)
    return outcome.session.id


async def test_the_first_chunk_comes_last() -> None:
    bench, inspection = chunks()
    upload_id = await start(bench, 16, 8)
    await bench.put(upload_id, 1, BAD[8:])
    assert inspection.seen == []
    with pytest.raises(MediaTypeRefused):
        await bench.put(upload_id, 0, BAD[:8])
    assert inspection.seen == [(BAD[:8], False)]
    assert bench.catalog.commits == [0]
    assert await is_gone(bench, upload_id)


async def test_chunks_that_are_smaller_than_what_is_looked_at() -> None:
    bench, inspection = chunks()
    upload_id = await start(bench, 16, 2)
    await bench.put(upload_id, 0, b"MZ")
    with pytest.raises(MediaTypeRefused):
        await bench.put(upload_id, 1, b"--")
    assert inspection.seen == [(b"MZ", False), (b"MZ--", False)]
    assert await is_gone(bench, upload_id)


async def test_what_no_single_chunk_showed_is_seen_at_the_end() -> None:
    bench, inspection = chunks()
    upload_id = await start(bench, 6, 2)
    for number in (2, 1):
        await bench.put(upload_id, number, b"--")
    with pytest.raises(MediaTypeRefused):
        await bench.put(upload_id, 0, b"MZ")
    assert inspection.seen == [(b"MZ", False), (b"MZ----", True)]
    assert await is_gone(bench, upload_id)


async def test_a_chunk_of_which_the_beginning_is_in() -> None:
    bench, inspection = chunks()
    upload_id = await start(bench, 16, 8)
    await bench.append(upload_id, 0, b"MZ")
    with pytest.raises(MediaTypeRefused):
        await bench.put(upload_id, 0, BAD[:8])
    assert inspection.seen == [(b"MZ", False), (BAD[:8], False)]
    assert await is_gone(bench, upload_id)


async def test_a_chunk_that_comes_again_adds_nothing() -> None:
    bench, inspection = chunks()
    upload_id = await start(bench, 16, 2)
    for _ in range(2):
        await bench.put(upload_id, 0, b"MZ")
    assert inspection.seen == [(b"MZ", False)]


async def test_other_chunks_leave_before_the_upload_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pump, "QUIET", 0.05)
    bench, _ = chunks()
    upload_id = await start(bench, 16, 8)
    other = Script([BAD[8:12], FOREVER])
    failures: list[Exception] = []

    async def send_other() -> None:
        try:
            await bench.put(upload_id, 1, source=other)
        except Exception as failure:
            failures.append(failure)

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send_other)
            while not other.sent:
                await anyio.sleep(0.001)
            with pytest.raises(MediaTypeRefused):
                await bench.put(upload_id, 0, BAD[:8])
            assert upload_id not in bench.catalog.sessions
    assert len(failures) == 1
    assert await is_gone(bench, upload_id)


async def test_who_does_not_leave_cannot_finish_it_either() -> None:
    bench, _ = chunks()
    bench.uploads._placing.means = replace(bench.uploads.means, patience=0.02)
    upload_id = await start(bench, 16, 8)
    async with bench.locker.hold(upload_id, 1.0, lane=1):
        with pytest.raises(MediaTypeRefused):
            await bench.put(upload_id, 0, BAD[:8])
    assert bench.session(upload_id).ranges.total == 0
    with pytest.raises(MediaTypeRefused):
        await bench.put(upload_id, 0, BAD[:8])
    assert await is_gone(bench, upload_id)


async def test_an_upload_that_became_whole_meanwhile_is_not_touched() -> None:
    """Somebody else has sent the same chunk, with other bytes, between the lane and the lock."""
    bench, _ = chunks()
    upload_id = await start(bench, 8, 8)
    hold = bench.locker.hold

    def overtaken(upload_id: str, patience: float, *, lane: int | None = None) -> object:
        if lane is None:
            session = bench.session(upload_id)
            bench.catalog.sessions[upload_id] = replace(session, phase=Phase.DONE)
        return hold(upload_id, patience, lane=lane)

    bench.locker.hold = overtaken  # type: ignore[method-assign, assignment]
    with pytest.raises(MediaTypeRefused):
        await bench.put(upload_id, 0, BAD[:8])
    assert bench.session(upload_id).phase is Phase.DONE
    assert refusals(bench) == []


# --- at the end ----------------------------------------------------------------------------------


async def sealed(bench: Bench, content: bytes = BAD) -> str:
    """A full upload that nobody has looked at yet: the settings were others then."""
    before = Bench()
    upload_id = await before.create(len(content))
    before.store.faults = [None, StorageFailed(), StorageFailed()]
    with pytest.raises(StorageFailed):
        await before.append(upload_id, 0, content)
    bench.catalog.sessions[upload_id] = before.session(upload_id)
    bench.store.files[upload_id] = before.store.files[upload_id]
    assert bench.session(upload_id).phase is Phase.SEALED
    return upload_id


@pytest.mark.parametrize("command", [Inspect, Fetch], ids=["inspect", "fetch"])
async def test_who_only_looks_finds_nothing(command: type[Inspect] | type[Fetch]) -> None:
    bench, inspection = guarded()
    upload_id = await sealed(bench)
    with pytest.raises(UploadNotFound):
        await bench.uploads.execute(command(upload_id))
    assert inspection.seen == [(BAD[:8], False)]
    assert await is_gone(bench, upload_id)


async def test_who_repeats_the_last_request_is_told() -> None:
    bench, _ = guarded()
    upload_id = await sealed(bench)
    with pytest.raises(MediaTypeRefused):
        await bench.append(upload_id, 16, content=Content(announced=0))
    assert await is_gone(bench, upload_id)


async def test_the_sweep_counts_it() -> None:
    bench, _ = guarded()
    upload_id, other = await sealed(bench), await sealed(bench, GOOD)
    assert await sweeping(bench).due() == Swept(finished=1, refused=1)
    assert bench.stored(other) == GOOD
    assert await is_gone(bench, upload_id)


async def test_parts_are_not_looked_at_but_what_they_make_is() -> None:
    inspection = NoPrograms()
    bench = Joinery(inspection=inspection)
    parts = [await bench.part(BAD[:3]), await bench.part(BAD[3:])]
    assert inspection.seen == []
    with pytest.raises(MediaTypeRefused):
        await bench.join(*parts)
    assert inspection.seen == [(BAD[:8], False)]
    assert set(bench.catalog.sessions) == set(bench.store.files) == set(parts)
    (final,) = refusals(bench)
    assert await is_gone(bench, final)
    assert (await bench.join(parts[1])).phase is Phase.DONE


@pytest.mark.parametrize("by", ["go on", "sweep"])
async def test_what_is_joined_later(by: str) -> None:
    bench = Joinery(inspection=NoPrograms())
    part = await bench.part(length=16)
    final = (await bench.join(part)).id
    await bench.append(part, 0, BAD)
    if by == "go on":
        await bench.go_on()
    else:
        bench.uploads.concatenation._changed.clear()
        assert await sweeping(bench).due() == Swept(refused=1)
    assert await is_gone(bench, final)


async def test_what_cannot_be_forgotten_is_refused_again(caplog: pytest.LogCaptureFixture) -> None:
    bench, _ = guarded()
    upload_id = await sealed(bench)
    for _ in range(2):
        bench.catalog.faults = [CatalogFailed()]
        with pytest.raises(UploadNotFound):
            await bench.uploads.execute(Inspect(upload_id))
        assert bench.session(upload_id).phase is Phase.SEALED
        assert bench.store.completed == {}
    said = f"Upload {upload_id} was refused and could not be removed."
    assert [record.message for record in caplog.records] == [said, said]
    bench.journal.events.clear()
    with pytest.raises(UploadNotFound):
        await bench.uploads.execute(Inspect(upload_id))
    assert await is_gone(bench, upload_id)


async def test_bytes_that_cannot_be_removed_become_strays(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, _ = guarded()
    upload_id = await sealed(bench)

    async def fails(session: UploadSession) -> None:
        raise StorageFailed

    with monkeypatch.context() as patch:
        patch.setattr(bench.store, "remove", fails)
        with pytest.raises(UploadNotFound):
            await bench.uploads.execute(Inspect(upload_id))
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert (bench.catalog.sessions, set(bench.store.files)) == ({}, {upload_id})
    bench.store.old = [upload_id]
    assert await sweeping(bench).strays() == Swept(tidied=1)
    assert await is_gone(bench, upload_id)


async def test_a_cancelled_request_still_removes_it() -> None:
    bench, _ = guarded()
    upload_id = await sealed(bench)
    session = bench.session(upload_id)
    with anyio.CancelScope() as scope:
        scope.cancel()
        with pytest.raises(MediaTypeRefused):
            await bench.uploads.finish(session)
    assert await is_gone(bench, upload_id)


async def test_a_request_that_is_cancelled_while_it_removes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench, _ = guarded()
    upload_id = await bench.create(100)
    delete = bench.catalog.delete
    with anyio.CancelScope() as scope:

        async def cancelling(upload_id: str, *, tell: Tell | None = None) -> bool:
            scope.cancel()
            return await delete(upload_id, tell=tell)

        monkeypatch.setattr(bench.catalog, "delete", cancelling)
        with pytest.raises(MediaTypeRefused):
            await bench.append(upload_id, 0, BAD)
    assert scope.cancel_called
    assert await is_gone(bench, upload_id)


async def test_a_body_that_is_cancelled_before_anybody_knows() -> None:
    """Nothing of it is committed, and who continues it is told."""
    bench, _ = guarded()
    upload_id = await bench.create(100)
    with anyio.CancelScope() as scope:

        class Cancelling(Script):
            def readinto(self, buffer: memoryview) -> int:
                scope.cancel()
                return super().readinto(buffer)

        await bench.append(upload_id, 0, source=Cancelling([BAD, FOREVER]))
    assert bench.session(upload_id).offset == 0
    assert bench.store.writes == []
    with pytest.raises(MediaTypeRefused):
        await bench.append(upload_id, 0, BAD)
    assert await is_gone(bench, upload_id)


# --- nobody looks --------------------------------------------------------------------------------


async def test_without_an_inspection_nothing_is_read() -> None:
    bench = Joinery()
    upload_id = await bench.create(16)
    await bench.append(upload_id, 0, BAD[:2])
    await bench.append(upload_id, 2, BAD[2:])
    assert (await bench.join(await bench.part(BAD))).phase is Phase.DONE
    assert bench.stored(upload_id) == BAD
    assert bench.store.reads == []


async def test_whoever_has_sent_the_head_is_not_read_again() -> None:
    bench, inspection = guarded()
    upload_id = await bench.create(100)
    for at in (0, 16, 32):
        await bench.append(upload_id, at, GOOD)
    assert (len(inspection.seen), bench.store.reads) == (1, [])


async def test_the_writer_is_the_one_below() -> None:
    store, written = BytesStore(), UploadSession(id="a", created_at=0.0, updated_at=0.0)
    store.files["part"] = bytearray(GOOD)
    part = UploadSession(id="part", created_at=0.0, updated_at=0.0)
    async with store.writing(written) as below:
        head = Head(NoPrograms(), store, written, None)
        writer = HeadWriter(below, head, Keep.PREFIX)
        hasher = hashlib.sha1()
        await writer.write(0, memoryview(GOOD), hasher)
        await writer.copy(part, 0, 4, 16)
        await writer.sync()
        again = hashlib.sha1()
        await writer.read_back(0, 16, again)
    assert store.durable == {"a": GOOD + GOOD[:4]}
    assert hasher.digest() == again.digest() == hashlib.sha1(GOOD).digest()
