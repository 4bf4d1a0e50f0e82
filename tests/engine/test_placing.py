"""Chunks in any order, side by side, twice and beside tus, against dictionaries and scripts."""

from __future__ import annotations

import hashlib
import logging
import random
from dataclasses import replace

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.fakes import CUT, FOREVER, Script
from tests.engine.test_uploads import Bench, data
from tusjumbo.engine import placing, pump
from tusjumbo.errors import (
    CatalogFailed,
    ChunkConflict,
    ChunkSizeWrong,
    ClientDisconnected,
    DigestMismatch,
    HandedOver,
    NoSuchChunk,
    OffsetMismatch,
    StorageFailed,
    StorageLost,
    TusJumboError,
    UploadIsFinal,
    UploadNotFound,
    UploadTooLarge,
)
from tusjumbo.sessions.commands import (
    Content,
    Create,
    Digest,
    Keep,
    Put,
    Status,
    Terminate,
    Verify,
)
from tusjumbo.sessions.events import UploadFinished
from tusjumbo.sessions.outcomes import Created, Inspected, Stored, Verified
from tusjumbo.sessions.ranges import RangeSet
from tusjumbo.sessions.rules import Limits
from tusjumbo.sessions.session import Kind, Phase, UploadSession

SIZE = 10
CONTENT = data(95)
COUNT = 10


def chunk(number: int, content: bytes = CONTENT) -> bytes:
    return content[number * SIZE : (number + 1) * SIZE]


def sha256(content: bytes) -> Digest:
    return Digest("sha256", hashlib.sha256(content).digest())


class Chunks(Bench):
    async def start(self, length: int | None = len(CONTENT)) -> str:
        create = Create(length=length, metadata={}, echo={}, chunk_size=SIZE)
        outcome = await self.uploads.execute(create)
        assert isinstance(outcome, Created)
        return outcome.session.id

    async def put(
        self,
        upload_id: str,
        number: int,
        *steps: bytes | float | Exception,
        announced: int | None = None,
        digest: Digest | None = None,
        source: Script | None = None,
    ) -> Stored:
        content = Content(announced=announced, keep=Keep.ALL_OR_NOTHING, digest=digest)
        command = Put(id=upload_id, number=number, content=content)
        body = source or Script(steps or [chunk(number)])
        outcome = await self.uploads.execute(command, body)
        assert isinstance(outcome, Stored)
        return outcome

    async def verify(self, upload_id: str, number: int) -> Verified:
        outcome = await self.uploads.execute(Verify(upload_id, number))
        assert isinstance(outcome, Verified)
        return outcome


async def test_chunks_in_any_order_make_the_file_and_are_recorded() -> None:
    bench = Chunks()
    upload_id = await bench.start()
    numbers = list(range(COUNT))
    random.Random(1).shuffle(numbers)
    for put, number in enumerate(numbers, 1):
        stored = await bench.put(upload_id, number)
        assert stored.chunk.hash == hashlib.sha256(chunk(number)).hexdigest()
        assert stored.chunk.is_complete
        assert stored.session.chunks_received == put
    assert bench.store.completed[upload_id] == CONTENT
    assert bench.session(upload_id).phase is Phase.DONE
    assert sum(isinstance(event, UploadFinished) for event in bench.journal.events) == 1
    assert sorted(bench.catalog.recorded[upload_id]) == list(range(COUNT))
    assert await bench.all_blocks_are_back()


async def test_chunks_are_taken_side_by_side_and_finish_the_upload_once() -> None:
    bench = Chunks()
    upload_id = await bench.start()
    arrived = 0
    together = anyio.Event()

    class Meeting(Script):
        async def wait(self) -> bool:
            nonlocal arrived
            if not self.reads:
                arrived += 1
                if arrived == 3:
                    together.set()
                await together.wait()
            return await super().wait()

    async with anyio.create_task_group() as tasks:
        for number in (4, 7, 9):

            async def put(number: int = number) -> None:
                await bench.put(upload_id, number, source=Meeting([chunk(number)]))

            tasks.start_soon(put)
    assert str(bench.session(upload_id).ranges) == "40-50,70-80,90-95"

    async with anyio.create_task_group() as tasks:
        for number in set(range(COUNT)) - {4, 7, 9}:
            tasks.start_soon(bench.put, upload_id, number)
    assert bench.store.completed[upload_id] == CONTENT
    assert sum(isinstance(event, UploadFinished) for event in bench.journal.events) == 1


@pytest.mark.parametrize("digest", [None, sha256(chunk(3)), Digest("sha1", b"")])
async def test_a_chunk_may_come_twice(digest: Digest | None) -> None:
    bench = Chunks()
    upload_id = await bench.start()
    if digest is not None and digest.algorithm == "sha1":
        digest = Digest("sha1", hashlib.sha1(chunk(3)).digest())
    await bench.put(upload_id, 3, digest=digest)
    writes = len(bench.store.writes)
    again = Script([chunk(3)[:4], chunk(3)[4:]])
    stored = await bench.put(upload_id, 3, source=again, digest=digest)
    assert stored.chunk.is_complete
    assert stored.session.chunks_received == 1
    assert len(bench.store.writes) == writes
    # What tells of the same bytes spares the reading of them.
    assert (again.reads == 0) is (digest is not None and digest.algorithm == "sha256")


@pytest.mark.parametrize("with_digest", [False, True])
async def test_a_chunk_of_other_bytes_is_refused(with_digest: bool) -> None:
    bench = Chunks()
    upload_id = await bench.start()
    await bench.put(upload_id, 3)
    before = bench.session(upload_id)
    other = chunk(3)[:-1] + bytes([chunk(3)[-1] ^ 1])
    digest = sha256(other) if with_digest else None
    with pytest.raises(ChunkConflict) as caught:
        await bench.put(upload_id, 3, other, digest=digest)
    assert (caught.value.start, caught.value.stop) == (30, 40)
    assert bench.session(upload_id) == before
    assert bench.store.files[upload_id][30:40] == chunk(3)
    assert await bench.all_blocks_are_back()


async def test_the_last_chunk_may_come_again_when_all_is_done() -> None:
    bench = Chunks()
    upload_id = await bench.start()
    for number in range(COUNT):
        await bench.put(upload_id, number)
    for digest in (None, sha256(chunk(9))):
        stored = await bench.put(upload_id, 9, digest=digest)
        assert stored.session.phase is Phase.DONE
        assert stored.session.receipt is not None
    with pytest.raises(ChunkConflict):
        await bench.put(upload_id, 9, b"other")
    with pytest.raises(ChunkConflict):
        await bench.put(upload_id, 9, b"other", digest=sha256(b"other"))
    assert bench.store.completed[upload_id] == CONTENT


async def test_a_wrong_digest_keeps_nothing() -> None:
    bench = Chunks()
    upload_id = await bench.start()
    with pytest.raises(DigestMismatch):
        await bench.put(upload_id, 0, digest=sha256(b"else"))
    assert bench.session(upload_id).ranges == RangeSet()
    assert upload_id not in bench.catalog.recorded or not bench.catalog.recorded[upload_id]
    assert (await bench.put(upload_id, 0, digest=sha256(chunk(0)))).session.chunks_received == 1


@pytest.mark.parametrize(
    ("body", "announced", "found"),
    [
        (b"123456789", 9, 9),
        (b"123456789", None, "fewer"),
        (b"12345678901", 11, 11),
        (b"12345678901", None, "more"),
        (b"", None, "fewer"),
        (b"", 0, 0),
    ],
)
async def test_a_chunk_has_its_size(body: bytes, announced: int | None, found: int | str) -> None:
    bench = Chunks()
    upload_id = await bench.start()
    script = Script([body] if body else [])
    with pytest.raises(ChunkSizeWrong) as caught:
        await bench.put(upload_id, 2, announced=announced, source=script)
    assert (caught.value.expected, caught.value.found) == (10, found)
    assert (script.reads == 0) is (announced is not None)
    assert bench.session(upload_id).ranges == RangeSet()


async def test_the_last_chunk_is_shorter() -> None:
    bench = Chunks()
    upload_id = await bench.start()
    with pytest.raises(ChunkSizeWrong) as caught:
        await bench.put(upload_id, 9, b"0123456789")
    assert caught.value.expected == 5
    assert (await bench.put(upload_id, 9, announced=5)).chunk.is_complete


@pytest.mark.parametrize("number", [10, 2**61, 2**62, 2**80, -1])
async def test_there_are_no_chunks_beyond_the_end(number: int) -> None:
    bench = Chunks()
    upload_id = await bench.start()
    with pytest.raises(NoSuchChunk):
        await bench.put(upload_id, number, b"0123456789")
    if 0 <= number < 2**62:
        with pytest.raises(NoSuchChunk):
            await bench.verify(upload_id, number)


async def test_while_the_length_is_deferred_whole_chunks_are_taken() -> None:
    bench = Chunks()
    upload_id = await bench.start(length=None)
    await bench.put(upload_id, 1)
    with pytest.raises(ChunkSizeWrong):
        await bench.put(upload_id, 9)
    await bench.put(upload_id, 0)
    # Both are in, so tus goes on behind them, and says how long it is.
    session = await bench.append(upload_id, 20, CONTENT[20:], declares=len(CONTENT))
    assert session.phase is Phase.DONE
    assert bench.store.completed[upload_id] == CONTENT


async def test_a_chunk_is_held_to_the_limit_of_the_server() -> None:
    bench = Chunks(limits=Limits(max_size=25))
    upload_id = await bench.start(length=None)
    await bench.put(upload_id, 1)
    with pytest.raises(UploadTooLarge):
        await bench.put(upload_id, 2)


async def test_chunks_are_for_uploads_that_take_bytes() -> None:
    bench = Chunks()
    with pytest.raises(UploadNotFound):
        await bench.put("jumbo_" + "0" * 32, 0)
    upload_id = await bench.start()
    bench.catalog.sessions[upload_id] = replace(bench.session(upload_id), kind=Kind.FINAL)
    with pytest.raises(UploadIsFinal):
        await bench.put(upload_id, 0)
    bench.catalog.sessions[upload_id] = replace(
        bench.session(upload_id), kind=Kind.WHOLE, phase=Phase.ABANDONED
    )
    for refused in (bench.put(upload_id, 0), bench.verify(upload_id, 0)):
        with pytest.raises(UploadNotFound):
            await refused


# --- beside tus ----------------------------------------------------------------------------------


async def test_tus_goes_over_chunks_without_writing_them_again() -> None:
    bench = Chunks()
    upload_id = await bench.start()
    for number in (2, 3, 7):
        await bench.put(upload_id, number)
    bench.store.writes.clear()
    session = await bench.append(upload_id, 0, *[bytes([byte]) for byte in CONTENT])
    assert session.phase is Phase.DONE
    assert bench.store.completed[upload_id] == CONTENT
    assert sum(bench.store.writes) == len(CONTENT) - 30


async def test_the_offset_jumps_over_chunks() -> None:
    bench = Chunks()
    upload_id = await bench.start()
    await bench.put(upload_id, 1)
    assert bench.session(upload_id).offset == 0
    assert (await bench.append(upload_id, 0, CONTENT[:10])).offset == 20
    with pytest.raises(OffsetMismatch):
        await bench.append(upload_id, 10, CONTENT[10:])


async def test_tus_with_other_bytes_than_a_chunk_is_refused() -> None:
    bench = Chunks()
    upload_id = await bench.start()
    await bench.put(upload_id, 2)
    with pytest.raises(ChunkConflict):
        await bench.append(upload_id, 0, CONTENT[:20] + bytes(20))
    assert bench.store.files[upload_id][20:30] == chunk(2)
    assert (await bench.append(upload_id, bench.session(upload_id).offset, CONTENT[:20])).offset


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_checksum_of_tus_holds_over_chunks(when: str) -> None:
    bench = Chunks()
    upload_id = await bench.start()
    await bench.put(upload_id, 4)
    content = Content(
        announced=None,
        keep=Keep.ALL_OR_NOTHING,
        digest=Digest("sha1", hashlib.sha1(CONTENT).digest()),
    )
    assert (await bench.append(upload_id, 0, CONTENT, content=content)).phase is Phase.DONE


async def test_a_chunk_that_tus_began_is_completed() -> None:
    bench = Chunks()
    upload_id = await bench.start()
    await bench.append(upload_id, 0, CONTENT[:13])
    with pytest.raises(ChunkConflict):
        await bench.put(upload_id, 1, bytes(10))
    bench.store.writes.clear()
    stored = await bench.put(upload_id, 1, chunk(1)[:2], chunk(1)[2:])
    assert stored.session.offset == 20
    assert sum(bench.store.writes) == 7
    assert stored.chunk.hash == hashlib.sha256(chunk(1)).hexdigest()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, COUNT - 1), st.integers(1, 40))))
async def test_any_mixture_comes_to_the_same(steps: list[tuple[bool, int, int]]) -> None:
    bench = Chunks()
    upload_id = await bench.start()
    for is_chunk, number, size in [*steps, *((True, number, 0) for number in range(COUNT))]:
        offset = bench.session(upload_id).offset
        if is_chunk:
            await bench.put(upload_id, number)
        elif offset < len(CONTENT):
            await bench.append(upload_id, offset, CONTENT[offset : offset + size])
    assert bench.store.completed[upload_id] == CONTENT
    for number, digest in bench.catalog.recorded[upload_id].items():
        assert digest.sha256 == hashlib.sha256(chunk(number)).digest()


# --- what goes wrong -----------------------------------------------------------------------------


async def test_a_cut_chunk_leaves_nothing() -> None:
    bench = Chunks()
    upload_id = await bench.start()
    with pytest.raises(ClientDisconnected):
        await bench.put(upload_id, 0, chunk(0), CUT)
    assert bench.session(upload_id).ranges == RangeSet()
    assert bench.locker.held == {}


async def test_the_same_chunk_waits_for_the_first_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pump, "QUIET", 0.01)
    bench = Chunks()
    upload_id = await bench.start()
    first = Script([chunk(5)[:5], FOREVER])
    async with anyio.create_task_group() as tasks:

        async def stuck() -> None:
            with pytest.raises(HandedOver):
                await bench.put(upload_id, 5, source=first)

        tasks.start_soon(stuck)
        while not first.reads > 1:
            await anyio.sleep(0)
        await bench.put(upload_id, 6)
        assert (upload_id, 5) in bench.locker.held  # another chunk is not in the way
        assert (await bench.put(upload_id, 5)).chunk.is_complete


async def test_a_cancelled_upload_takes_its_chunks_along(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pump, "QUIET", 0.01)
    bench = Chunks()
    upload_id = await bench.start()
    slow = Script([chunk(5)[:5], FOREVER])
    async with anyio.create_task_group() as tasks:

        async def stuck() -> None:
            with pytest.raises(HandedOver):
                await bench.put(upload_id, 5, source=slow)

        tasks.start_soon(stuck)
        while not slow.reads > 1:
            await anyio.sleep(0)
        await bench.uploads.execute(Terminate(upload_id))
    with pytest.raises(UploadNotFound):
        await bench.put(upload_id, 5)
    assert upload_id not in bench.store.files


@pytest.mark.parametrize("fault", [CatalogFailed(), StorageFailed()])
async def test_what_fails_commits_nothing(fault: TusJumboError) -> None:
    bench = Chunks()
    upload_id = await bench.start()
    await bench.put(upload_id, 1)
    faults = bench.catalog.faults if isinstance(fault, CatalogFailed) else bench.store.faults
    faults.append(fault)
    with pytest.raises(type(fault)):
        await bench.put(upload_id, 0)
    assert str(bench.session(upload_id).ranges) == "10-20"
    assert (await bench.put(upload_id, 0)).session.offset == 20


async def test_an_upload_that_lost_bytes_is_given_up() -> None:
    bench = Chunks()
    upload_id = await bench.start()
    await bench.put(upload_id, 1)
    bench.store.files[upload_id].clear()
    with pytest.raises(StorageLost):
        await bench.put(upload_id, 0)
    assert bench.session(upload_id).phase is Phase.ABANDONED


async def test_what_could_not_be_finished_is_finished_by_a_repetition() -> None:
    bench = Chunks()
    upload_id = await bench.start(10)
    bench.catalog.faults += [None, CatalogFailed()]
    with pytest.raises(CatalogFailed):
        await bench.put(upload_id, 0)
    assert bench.session(upload_id).phase is Phase.SEALED
    assert (await bench.put(upload_id, 0)).session.phase is Phase.DONE


# --- looking -------------------------------------------------------------------------------------


async def test_status_disturbs_nobody() -> None:
    bench = Chunks()
    upload_id = await bench.start()
    async with bench.locker.hold(upload_id, 0) as lease:
        outcome = await bench.uploads.execute(Status(upload_id))
        assert not lease.asked.given
    assert isinstance(outcome, Inspected)
    assert outcome.session.id == upload_id
    bench.catalog.sessions[upload_id] = replace(bench.session(upload_id), phase=Phase.ABANDONED)
    outcome = await bench.uploads.execute(Status(upload_id))
    assert isinstance(outcome, Inspected)
    assert outcome.session.status == "abandoned"


async def test_verifying_reads_what_is_there_now() -> None:
    bench = Chunks()
    upload_id = await bench.start()
    await bench.put(upload_id, 0)
    await bench.append(upload_id, 10, CONTENT[10:25])
    good = hashlib.sha256(chunk(0))
    verified = await bench.verify(upload_id, 0)
    assert (verified.chunk.hash, verified.sha256) == (good.hexdigest(), good.digest())
    verified = await bench.verify(upload_id, 1)  # it did not come as a chunk
    assert (verified.chunk.hash, verified.sha256) == (None, hashlib.sha256(chunk(1)).digest())
    assert (await bench.verify(upload_id, 2)).sha256 is None
    bench.store.files[upload_id][3] ^= 1
    assert (await bench.verify(upload_id, 0)).sha256 != good.digest()


async def test_a_large_chunk_is_read_in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placing, "STEP", 4)
    bench = Chunks()
    upload_id = await bench.start()
    await bench.put(upload_id, 1)
    bench.store.reads.clear()
    assert (await bench.verify(upload_id, 1)).sha256 == hashlib.sha256(chunk(1)).digest()
    assert bench.store.reads == [(10, 14), (14, 18), (18, 20)]


async def test_verifying_finds_bytes_that_were_moved_meanwhile() -> None:
    bench = Chunks()
    upload_id = await bench.start(10)
    bench.catalog.faults += [None, CatalogFailed()]
    with pytest.raises(CatalogFailed):
        await bench.put(upload_id, 0)
    honest = bench.store.examine

    async def late(*args: object) -> None:
        bench.store.examine = honest  # type: ignore[method-assign]
        await bench.put(upload_id, 0)
        raise StorageLost(upload_id)

    bench.store.examine = late  # type: ignore[method-assign, assignment]
    assert (await bench.verify(upload_id, 0)).sha256 == hashlib.sha256(chunk(0)).digest()
    bench.store.completed.clear()
    with pytest.raises(StorageLost):
        await bench.verify(upload_id, 0)


async def test_the_logger_jumbo_tells_the_story(caplog: pytest.LogCaptureFixture) -> None:
    bench = Chunks()
    with caplog.at_level(logging.DEBUG, "jumbo"):
        upload_id = await bench.start(10)
        with pytest.raises(DigestMismatch):
            await bench.put(upload_id, 0, digest=sha256(b"else"))
        await bench.put(upload_id, 0)
        await bench.put(upload_id, 0, digest=sha256(chunk(0)))
    story = [record.getMessage().removeprefix(f"{upload_id}: ") for record in caplog.records]
    assert [line for line in story if "sha256" in line]
    assert story[-5:] == [
        "every byte is in",
        "chunk 0 is in: 1 of 1 chunks; the upload is completed",
        "chunk 0: bytes 0 to 10",
        "chunk 0 is here already, and the same",
        "chunk 0 is in: 1 of 1 chunks; the upload is completed",
    ]


async def test_a_repetition_while_another_chunk_completes_the_upload() -> None:
    bench = Chunks()
    upload_id = await bench.start(20)
    await bench.put(upload_id, 0)

    class Late(Script):
        async def wait(self) -> bool:
            if not self.reads:
                await bench.uploads.catalog.update(upload_id, _as_if_full)
            return await super().wait()

    def _as_if_full(session: UploadSession) -> UploadSession:
        bench.store.files[upload_id][10:] = chunk(1)
        return replace(session, ranges=RangeSet(((0, 20),)), phase=Phase.SEALED)

    stored = await bench.put(upload_id, 0, source=Late([chunk(0)]))
    assert stored.session.phase is Phase.DONE
    assert bench.store.completed[upload_id] == CONTENT[:20]
