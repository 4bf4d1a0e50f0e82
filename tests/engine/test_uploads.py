"""Commands carried out against dictionaries and scripted bodies: what is kept, and what is said."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.fakes import (
    CUT,
    FOREVER,
    BytesStore,
    DictCatalog,
    Journal,
    OneHolder,
    Script,
    ScriptedHooks,
)
from tusjumbo.application import Assembler, Outbox, Tell
from tusjumbo.engine.blocks import Blocks
from tusjumbo.engine.observers import Observers
from tusjumbo.engine.pump import Pace
from tusjumbo.engine.uploads import Leaves, Uploads
from tusjumbo.errors import (
    BodyTimeout,
    BodyTooLong,
    CatalogFailed,
    ClientDisconnected,
    DigestMismatch,
    HandedOver,
    OffsetMismatch,
    ServerClosing,
    StaleCommit,
    StorageFailed,
    StorageFull,
    StorageLost,
    SystemFailure,
    TusJumboError,
    UploadLocked,
    UploadNotFound,
    UploadTooLarge,
    UploadUnfinished,
)
from tusjumbo.notice import Notice
from tusjumbo.ports import Inspection, Reading
from tusjumbo.sessions.commands import (
    Append,
    Content,
    Create,
    Digest,
    Fetch,
    Finish,
    Inspect,
    Keep,
    Terminate,
)
from tusjumbo.sessions.events import (
    BytesReceived,
    Ending,
    UploadCreated,
    UploadFinished,
    UploadTerminated,
)
from tusjumbo.sessions.outcomes import Appended, Created, Fetched, Inspected
from tusjumbo.sessions.rules import Limits
from tusjumbo.sessions.session import ChunkDigest, Phase, UploadSession

PACE = Pace(idle=5.0, checkpoint_bytes=1 << 30, checkpoint_seconds=1e9)
BLOCK, BLOCKS = 16, 4
UNKNOWN = Content(announced=None)
EMPTY = Content(announced=0)


@dataclass
class Bench:
    """An engine on stand-ins, with what a test wants to do to it."""

    pace: Pace = PACE
    limits: Limits = field(default_factory=lambda: Limits(max_size=1000))
    patience: float = 5.0
    now: float = 0.0
    inspection: Inspection | None = None
    hooks: ScriptedHooks | None = None
    assembler: Assembler | None = None
    leaves: Leaves = Leaves.NOTHING

    def __post_init__(self) -> None:
        self.catalog = DictCatalog()
        self.store = BytesStore()
        self.locker = OneHolder()
        self.journal = Journal()
        self.uploads = Uploads(
            self.catalog,
            self.store,
            self.locker,
            limits=self.limits,
            pace=self.pace,
            patience=self.patience,
            inspection=self.inspection,
            clock=lambda: self.now,
            observers=Observers([self.journal]),
            blocks=Blocks(BLOCK, BLOCKS),
            hooks=self.hooks,
            outbox=cast("Outbox", self.catalog),
            assembler=self.assembler,
            leaves=self.leaves,
        )

    async def create(self, length: int | None = 100) -> str:
        outcome = await self.uploads.execute(Create(length=length, metadata={}, echo={}))
        assert isinstance(outcome, Created)
        return outcome.session.id

    async def append(
        self,
        upload_id: str,
        at: int,
        *steps: bytes | float | Exception,
        source: Script | None = None,
        declares: int | None = None,
        content: Content = UNKNOWN,
    ) -> UploadSession:
        script = source or Script(steps)
        command = Append(id=upload_id, at=at, content=content, declares=declares)
        outcome = await self.uploads.execute(command, script)
        assert isinstance(outcome, Appended)
        return outcome.session

    def session(self, upload_id: str) -> UploadSession:
        return self.catalog.sessions[upload_id]

    def stored(self, upload_id: str) -> bytes:
        """The committed bytes, wherever they are."""
        session = self.session(upload_id)
        if session.phase is Phase.DONE:
            return self.store.completed[upload_id]
        return bytes(self.store.files.get(upload_id, b"")[: session.offset])

    async def all_blocks_are_back(self) -> bool:
        with anyio.fail_after(1):
            taken = [await self.uploads.blocks.take() for _ in range(BLOCKS)]
        for block in taken:
            self.uploads.blocks.give(block)
        return True


def data(n: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(n)


async def test_an_upload_in_pieces_arrives_whole() -> None:
    bench = Bench()
    content = data(100)
    upload_id = await bench.create()
    assert (await bench.append(upload_id, 0, content[:30], content[30:61])).offset == 61
    after = await bench.append(upload_id, 61, *[bytes([b]) for b in content[61:]])
    assert after.phase is Phase.DONE
    assert after.receipt is not None
    assert bench.store.completed[upload_id] == content
    assert bench.store.files == {}
    kinds = [type(event) for event in bench.journal.events]
    assert kinds == [UploadCreated, BytesReceived, BytesReceived, UploadFinished]
    assert await bench.all_blocks_are_back()


async def test_creation_with_upload_and_of_nothing() -> None:
    bench = Bench()
    content = data(40)
    command = Create(length=40, metadata={}, echo={}, content=Content(announced=40))
    outcome = await bench.uploads.execute(command, Script([content]))
    assert isinstance(outcome, Created)
    assert outcome.session.phase is Phase.DONE
    assert bench.store.completed[outcome.session.id] == content

    empty = await bench.create(0)
    assert bench.session(empty).phase is Phase.DONE
    assert bench.store.completed[empty] == b""


@pytest.mark.parametrize("k", [0, 1, 15, 16, 17, 33, 99])
@pytest.mark.parametrize("piece", [1, 7, 16, 50])
async def test_a_cut_body_leaves_exactly_what_arrived(k: int, piece: int) -> None:
    bench = Bench()
    content = data(100)
    upload_id = await bench.create()
    pieces = [content[at : min(at + piece, k)] for at in range(0, k, piece)]
    with pytest.raises(ClientDisconnected):
        await bench.append(upload_id, 0, *pieces, CUT, content=Content(announced=100))
    assert bench.session(upload_id).offset == k
    assert bench.stored(upload_id) == content[:k]
    await bench.append(upload_id, k, content[k:], content=Content(announced=100 - k))
    assert bench.stored(upload_id) == content
    assert await bench.all_blocks_are_back()


async def test_a_cut_after_the_last_byte_is_a_finished_upload() -> None:
    bench = Bench()
    upload_id = await bench.create(5)
    with pytest.raises(ClientDisconnected):
        await bench.append(upload_id, 0, b"hello", CUT)
    assert bench.session(upload_id).phase is Phase.DONE


async def test_the_holder_is_asked_to_leave_and_commits_its_prefix() -> None:
    bench = Bench()
    upload_id = await bench.create()
    found: list[int] = []
    async with anyio.create_task_group() as tasks:

        async def resume() -> None:
            outcome = await bench.uploads.execute(Inspect(upload_id))
            assert isinstance(outcome, Inspected)
            found.append(outcome.session.offset)

        async def writer() -> None:
            with pytest.raises(HandedOver):
                await bench.append(upload_id, 0, b"abc", 0.01, b"defgh", FOREVER)

        tasks.start_soon(writer)
        with anyio.fail_after(5):
            while len(bench.store.files.get(upload_id, b"")) < 8:
                await anyio.sleep(0.001)
        tasks.start_soon(resume)
    assert found == [8]
    assert bench.stored(upload_id) == b"abcdefgh"
    ends = [e.ending for e in bench.journal.events if isinstance(e, BytesReceived)]
    assert ends == [Ending.ASKED]
    assert await bench.all_blocks_are_back()


@dataclass
class Arrived:
    """A body of which all `pieces` have arrived when somebody asks the reader to leave."""

    pieces: list[bytes]
    asks: Callable[[], object]
    is_whole: bool = False
    closing: Notice | None = None
    direct: Reading | None = None
    is_here: bool = False

    async def wait(self) -> bool:
        self.asks()
        if not self.pieces and not self.is_whole:
            await anyio.sleep_forever()
        return bool(self.pieces)

    def readinto(self, buffer: memoryview) -> int:
        piece = self.pieces.pop(0)
        buffer[: len(piece)] = piece
        return len(piece)

    def promised(self) -> Digest:
        raise AssertionError("nobody promised anything")


async def test_who_is_asked_to_leave_takes_along_what_has_arrived() -> None:
    bench = Bench()
    upload_id = await bench.create()

    def ask() -> None:
        bench.locker.held[upload_id, None].asked.give()

    source = Arrived([b"abc", b"defgh", b"i"], ask)
    append = Append(id=upload_id, at=0, content=UNKNOWN)
    with pytest.raises(HandedOver):
        await bench.uploads.execute(append, source)
    assert bench.stored(upload_id) == b"abcdefghi"
    assert await bench.all_blocks_are_back()


async def test_who_is_asked_to_leave_when_all_has_arrived_is_done() -> None:
    bench = Bench()
    upload_id = await bench.create(8)

    def ask() -> None:
        bench.locker.held[upload_id, None].asked.give()

    append = Append(id=upload_id, at=0, content=UNKNOWN)
    await bench.uploads.execute(append, Arrived([b"abc", b"defgh"], ask, is_whole=True))
    assert bench.session(upload_id).phase is Phase.DONE


async def test_who_asks_does_not_overtake_the_bytes_before_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However long it takes the older request to find its upload (LOCK-03)."""
    bench = Bench()
    upload_id = await bench.create()
    load, told, loads = bench.catalog.load, anyio.Event(), [0]

    async def load_slowly_once(upload_id: str) -> UploadSession:
        loads[0] += 1
        if loads[0] == 1:
            await told.wait()
        return await load(upload_id)

    async def send() -> None:
        append = Append(id=upload_id, at=0, content=UNKNOWN)
        with pytest.raises(HandedOver):
            await bench.uploads.execute(append, Arrived([b"bytes"], asks=lambda: None))

    async def ask() -> None:
        outcome = await bench.uploads.execute(Inspect(upload_id))
        assert isinstance(outcome, Inspected)
        assert outcome.session.offset == 5

    monkeypatch.setattr(bench.catalog, "load", load_slowly_once)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(send)
        while not loads[0]:
            await anyio.lowlevel.checkpoint()
        tasks.start_soon(ask)
        for _ in range(50):  # time enough for an answer
            await anyio.lowlevel.checkpoint()
        told.set()


async def test_a_closing_server_keeps_what_arrived() -> None:
    bench = Bench()
    upload_id = await bench.create()
    closing = Notice()
    async with anyio.create_task_group() as tasks:

        async def writer() -> None:
            script = Script([b"abcde", FOREVER], closing)
            with pytest.raises(ServerClosing):
                await bench.append(upload_id, 0, source=script)

        tasks.start_soon(writer)
        with anyio.fail_after(5):
            while not bench.store.files.get(upload_id):
                await anyio.sleep(0.001)
        closing.give()
    assert bench.stored(upload_id) == b"abcde"

    late = Script([b"fgh"], closing)
    with pytest.raises(ServerClosing):
        await bench.append(upload_id, 5, source=late)
    create = Create(length=3, metadata={}, echo={}, content=Content(announced=3))
    with pytest.raises(ServerClosing):
        await bench.uploads.execute(create, late)
    assert late.reads == 0
    assert set(bench.catalog.sessions) == {upload_id}


async def test_a_silent_client_is_given_up_and_its_bytes_are_kept() -> None:
    bench = Bench(pace=replace(PACE, idle=0.02))
    upload_id = await bench.create()
    with pytest.raises(BodyTimeout):
        await bench.append(upload_id, 0, b"abc", FOREVER)
    assert bench.stored(upload_id) == b"abc"


async def test_a_client_below_the_minimum_rate_is_given_up() -> None:
    bench = Bench(pace=replace(PACE, idle=0.05, min_rate=10_000))
    upload_id = await bench.create()
    drip = [step for _ in range(100) for step in (b"x", 0.01)]
    with pytest.raises(BodyTimeout):
        await bench.append(upload_id, 0, *drip)
    assert 0 < bench.session(upload_id).offset < 100
    # One second without a byte is far more than a busy machine needs for its next turn.
    patient = Bench(pace=replace(PACE, idle=1.0, min_rate=1))
    upload_id = await patient.create(24)
    await patient.append(upload_id, 0, *[step for _ in range(24) for step in (b"x", 0.05)])
    assert patient.session(upload_id).phase is Phase.DONE


@pytest.mark.parametrize("checkpoint", [1, 1 << 30], ids=["checkpoints", "none"])
async def test_too_long_a_body_never_completes_the_upload(checkpoint: int) -> None:
    bench = Bench(pace=replace(PACE, checkpoint_bytes=checkpoint))
    upload_id = await bench.create(20)
    await bench.append(upload_id, 0, b"0123")
    with pytest.raises(BodyTooLong):
        await bench.append(upload_id, 4, data(8), data(8), b"!")
    session = bench.session(upload_id)
    assert session.phase is Phase.OPEN
    assert session.offset < 20
    assert session.offset == 4 or checkpoint == 1
    await bench.append(upload_id, session.offset, data(20 - session.offset))
    assert bench.session(upload_id).phase is Phase.DONE


async def test_a_deferred_upload_stops_at_the_limit() -> None:
    bench = Bench(limits=Limits(max_size=50))
    upload_id = await bench.create(None)
    with pytest.raises(UploadTooLarge):
        await bench.append(upload_id, 0, data(51))
    await bench.append(upload_id, 0, data(50), declares=None)
    after = await bench.append(upload_id, 50, content=EMPTY, declares=50)
    assert after.phase is Phase.DONE


async def test_the_end_of_the_body_may_be_the_length() -> None:
    bench = Bench()
    upload_id = await bench.create(None)
    with pytest.raises(ClientDisconnected):
        await bench.append(
            upload_id, 0, b"abc", CUT, content=Content(announced=None, finish=Finish.WITH_THIS)
        )
    assert bench.session(upload_id).length is None
    await bench.append(upload_id, 3, b"de", content=Content(announced=None, finish=Finish.NEVER))
    after = await bench.append(
        upload_id, 5, b"fg", content=Content(announced=None, finish=Finish.WITH_THIS)
    )
    assert (after.length, after.phase) == (7, Phase.DONE)
    assert bench.stored(upload_id) == b"abcdefg"


def checked(digest: Digest) -> Content:
    return Content(announced=None, keep=Keep.ALL_OR_NOTHING, digest=digest)


async def test_a_digest_makes_the_body_all_or_nothing() -> None:
    bench = Bench(pace=replace(PACE, checkpoint_bytes=1))
    upload_id = await bench.create(60)
    content = data(60)
    right = checked(Digest("sha256", hashlib.sha256(content[:40]).digest()))
    wrong = checked(Digest("sha1", hashlib.sha1(b"else").digest()))
    with pytest.raises(DigestMismatch):
        await bench.append(upload_id, 0, content, content=wrong)
    assert bench.session(upload_id).offset == 0
    with pytest.raises(ClientDisconnected):
        await bench.append(upload_id, 0, content[:30], CUT, content=right)
    assert bench.session(upload_id).offset == 0
    assert bench.catalog.commits == []
    await bench.append(upload_id, 0, content[:7], content[7:40], content=right)
    assert bench.session(upload_id).offset == 40
    await bench.append(upload_id, 40, content[40:])
    assert bench.stored(upload_id) == content


async def test_long_bodies_are_committed_on_the_way_and_never_ahead_of_the_data() -> None:
    bench = Bench(pace=replace(PACE, checkpoint_bytes=20))
    content = data(400)
    upload_id = await bench.create(400)
    honest = bench.catalog.update

    async def update(
        upload_id: str,
        change: Callable[[UploadSession], UploadSession],
        *,
        digests: Sequence[ChunkDigest] = (),
        tell: Tell | None = None,
    ) -> UploadSession:
        after = await honest(upload_id, change, digests=digests, tell=tell)
        durable = bench.store.durable.get(upload_id, b"")
        assert durable[: after.offset] == content[: after.offset]
        return after

    bench.catalog.update = update  # type: ignore[method-assign]
    await bench.append(upload_id, 0, *[content[at : at + 10] for at in range(0, 400, 10)])
    assert len(bench.catalog.commits) > 5
    assert bench.catalog.commits == sorted(bench.catalog.commits)


async def test_a_slow_body_is_committed_by_the_clock() -> None:
    bench = Bench(pace=replace(PACE, checkpoint_seconds=0.01))
    upload_id = await bench.create()
    async with anyio.create_task_group() as tasks:

        async def writer() -> None:
            with pytest.raises(HandedOver):
                await bench.append(upload_id, 0, b"abc", FOREVER)

        tasks.start_soon(writer)
        with anyio.fail_after(5):
            while bench.session(upload_id).offset < 3:
                await anyio.sleep(0.001)
        await bench.uploads.execute(Inspect(upload_id))


@pytest.mark.parametrize(
    "fault", [StorageFull, StorageFailed, CatalogFailed], ids=lambda fault: fault.__name__
)
@pytest.mark.parametrize("nth", range(8))
async def test_a_fault_anywhere_leaves_an_exact_offset(
    fault: type[SystemFailure], nth: int
) -> None:
    bench = Bench(pace=replace(PACE, checkpoint_bytes=16))
    content = data(100)
    upload_id = await bench.create()
    failing = bench.catalog if fault is CatalogFailed else bench.store
    failing.faults = [None] * nth + [fault()]
    steps = [step for at in range(0, 100, 10) for step in (content[at : at + 10], 0.0)]
    try:
        await bench.append(upload_id, 0, *steps, content=Content(announced=100))
    except fault:
        failing.faults = []
        offset = bench.session(upload_id).offset
        assert bench.stored(upload_id) == content[:offset]
        if bench.session(upload_id).phase is Phase.OPEN:
            await bench.append(upload_id, offset, content[offset:])
        else:
            await bench.uploads.execute(Inspect(upload_id))
    assert bench.session(upload_id).phase is Phase.DONE
    assert bench.stored(upload_id) == content
    assert await bench.all_blocks_are_back()


async def test_bytes_written_before_the_disk_was_full_are_kept() -> None:
    bench = Bench()
    content = data(100)
    upload_id = await bench.create()
    bench.store.faults = [None, StorageFull()]
    with pytest.raises(StorageFull):
        await bench.append(upload_id, 0, content[:10], 0.01, content[10:20], 0.01, content[20:])
    assert bench.session(upload_id).offset == 10


@pytest.mark.parametrize("moment", range(0, 60, 3))
async def test_cancelled_at_any_moment_the_prefix_is_committed(moment: int) -> None:
    bench = Bench(pace=replace(PACE, checkpoint_bytes=30))
    content = data(100)
    upload_id = await bench.create()
    script = Script([step for at in range(0, 100, 5) for step in (content[at : at + 5], 0.0)])
    ticks = 0
    async with anyio.create_task_group() as tasks:
        scope = anyio.CancelScope()

        async def writer() -> None:
            with scope:
                await bench.append(upload_id, 0, source=script)

        tasks.start_soon(writer)
        while ticks < moment:
            ticks += 1
            await anyio.lowlevel.checkpoint()
        scope.cancel()
    session = bench.session(upload_id)
    assert bench.stored(upload_id) == content[: session.offset]
    # At most the piece that was announced and not yet taken is missing.
    assert session.offset >= len(script.sent) - 5
    assert bench.locker.held == {}
    assert await bench.all_blocks_are_back()


async def test_a_writer_that_lost_its_session_changes_nothing() -> None:
    bench = Bench()
    upload_id = await bench.create()
    other = bench.session(upload_id)

    def steal() -> None:
        bench.catalog.sessions[upload_id] = replace(other, ranges=other.ranges.add(0, 4))

    bench.store.before_write = steal
    with pytest.raises(StaleCommit):
        await bench.append(upload_id, 0, b"abcdefgh")
    assert bench.session(upload_id).offset == 4


@pytest.mark.parametrize(
    ("at", "content", "refusal"),
    [
        pytest.param(5, UNKNOWN, OffsetMismatch, id="offset"),
        pytest.param(0, Content(announced=101), BodyTooLong, id="too long"),
    ],
)
async def test_a_refusal_does_not_touch_the_body(
    at: int, content: Content, refusal: type[TusJumboError]
) -> None:
    bench = Bench()
    upload_id = await bench.create()
    script = Script([b"x" * 101])
    with pytest.raises(refusal):
        await bench.append(upload_id, at, source=script, content=content)
    assert script.reads == 0
    assert bench.store.files == {}
    with pytest.raises(UploadNotFound):
        await bench.append("nobody", 0, source=script)
    assert script.reads == 0


async def test_a_locked_upload_is_refused_after_the_patience() -> None:
    bench = Bench(patience=0.01)
    upload_id = await bench.create()
    script = Script([b"abc"])
    async with bench.locker.attempt(upload_id):
        with pytest.raises(UploadLocked):
            await bench.append(upload_id, 0, source=script)
    assert script.reads == 0


@pytest.mark.parametrize(
    ("steps", "faults"),
    [
        pytest.param([data(11)], [], id="too long"),
        pytest.param([data(10)], [StorageFull()], id="disk full"),
    ],
)
async def test_a_refused_creation_leaves_nothing(
    steps: list[bytes], faults: list[Exception | None]
) -> None:
    bench = Bench()
    bench.store.faults = list(faults)
    command = Create(length=10, metadata={}, echo={}, content=Content(announced=None))
    with pytest.raises(TusJumboError):
        await bench.uploads.execute(command, Script(steps))
    assert bench.catalog.sessions == {}
    assert bench.store.files == {}


async def test_an_empty_body_on_a_finished_upload_is_welcome_and_finishes_nothing_twice() -> None:
    bench = Bench()
    upload_id = await bench.create(3)
    await bench.append(upload_id, 0, b"abc")
    for content in (EMPTY, UNKNOWN):
        after = await bench.append(upload_id, 3, content=content)
        assert after.phase is Phase.DONE
    with pytest.raises(BodyTooLong):
        await bench.append(upload_id, 3, b"d")
    finished = [e for e in bench.journal.events if isinstance(e, UploadFinished)]
    assert len(finished) == 1
    assert bench.store.files == {}


async def test_a_sealed_upload_is_finished_by_whoever_comes_next() -> None:
    bench = Bench()
    upload_id = await bench.create(3)
    bench.store.faults = [None, StorageFailed(), StorageFailed()]
    with pytest.raises(StorageFailed):
        await bench.append(upload_id, 0, b"abc")
    assert bench.session(upload_id).phase is Phase.SEALED
    bench.store.faults = [StorageFailed()]
    outcome = await bench.uploads.execute(Inspect(upload_id))
    assert isinstance(outcome, Inspected)
    assert outcome.session.offset == 3
    assert bench.session(upload_id).phase is Phase.SEALED
    fetched = await bench.uploads.execute(Fetch(upload_id))
    assert isinstance(fetched, Fetched)
    assert bench.session(upload_id).phase is Phase.DONE


async def test_what_cannot_be_tidied_is_no_failure_of_the_upload() -> None:
    bench = Bench()
    upload_id = await bench.create(3)

    async def settle(session: UploadSession) -> None:
        raise StorageFailed

    bench.store.settle = settle  # type: ignore[method-assign]
    assert (await bench.append(upload_id, 0, b"abc")).phase is Phase.DONE
    assert isinstance(bench.journal.events[-1], UploadFinished)


async def test_fetching_needs_a_finished_upload() -> None:
    bench = Bench()
    upload_id = await bench.create(3)
    with pytest.raises(UploadUnfinished):
        await bench.uploads.execute(Fetch(upload_id))


async def test_termination_stops_a_running_request_and_frees_everything() -> None:
    bench = Bench()
    upload_id = await bench.create()
    async with anyio.create_task_group() as tasks:

        async def writer() -> None:
            with pytest.raises(HandedOver):
                await bench.append(upload_id, 0, b"abc", FOREVER)

        tasks.start_soon(writer)
        with anyio.fail_after(5):
            while not bench.store.files.get(upload_id):
                await anyio.sleep(0.001)
        await bench.uploads.execute(Terminate(upload_id))
    assert bench.catalog.sessions == {}
    assert bench.store.files == {}
    assert isinstance(bench.journal.events[-1], UploadTerminated)
    for command in (Inspect(upload_id), Terminate(upload_id), Fetch(upload_id)):
        with pytest.raises(UploadNotFound):
            await bench.uploads.execute(command)


async def test_an_expired_upload_is_gone_even_before_the_sweep() -> None:
    bench = Bench(limits=Limits(expire_after=10))
    upload_id = await bench.create()
    bench.now = 9.0
    await bench.append(upload_id, 0, b"abc")
    bench.now = 18.0
    await bench.uploads.execute(Inspect(upload_id))
    bench.now = 19.0
    with pytest.raises(UploadNotFound):
        await bench.uploads.execute(Inspect(upload_id))


@pytest.mark.parametrize(
    ("length", "expire_after", "expires_at"),
    [
        pytest.param(100, 10, 15.0, id="unfinished"),
        pytest.param(3, 10, None, id="finished"),
        pytest.param(100, None, None, id="nothing expires"),
    ],
)
async def test_a_refusal_knows_when_the_upload_expires(
    length: int, expire_after: float | None, expires_at: float | None
) -> None:
    bench = Bench(limits=Limits(expire_after=expire_after))
    upload_id = await bench.create(length)
    bench.now = 5.0
    await bench.append(upload_id, 0, b"abc")
    with pytest.raises(OffsetMismatch) as caught:
        await bench.append(upload_id, 1, b"abc")
    assert caught.value.expires_at == expires_at


async def test_an_upload_whose_bytes_are_lost_is_gone() -> None:
    bench = Bench()
    upload_id = await bench.create()
    await bench.append(upload_id, 0, b"abc")
    del bench.store.files[upload_id]
    script = Script([b"def"])
    with pytest.raises(StorageLost):
        await bench.append(upload_id, 3, source=script)
    assert script.reads == 0
    with pytest.raises(UploadNotFound):
        await bench.uploads.execute(Inspect(upload_id))


STEP = st.one_of(st.binary(min_size=1, max_size=40), st.just(0.0), st.just(CUT))


@settings(max_examples=60, deadline=None)
@given(
    length=st.integers(0, 120) | st.none(),
    requests=st.lists(
        st.tuples(st.lists(STEP, max_size=6), st.none() | st.integers(0, 6)), max_size=6
    ),
)
async def test_whole_histories_keep_every_byte_that_was_sent(
    length: int | None, requests: list[tuple[list[bytes | float | Exception], int | None]]
) -> None:
    """Bodies of any shape, cut and failing anywhere: the content is always what was sent first."""
    bench = Bench(pace=replace(PACE, checkpoint_bytes=25), limits=Limits(max_size=150))
    upload_id = await bench.create(length)
    expected = bytearray()
    for steps, fault in requests:
        bench.store.faults = [] if fault is None else [None] * fault + [StorageFull()]
        script = Script(steps)
        before = bench.session(upload_id).offset
        try:
            await bench.append(upload_id, before, source=script)
        except (ClientDisconnected, StorageFull, BodyTooLong, UploadTooLarge) as error:
            whole = isinstance(error, ClientDisconnected)
        else:
            whole = True
        bench.store.faults = []
        after = bench.session(upload_id).offset
        assert before <= after <= before + len(script.sent)
        if whole and bench.session(upload_id).phase is Phase.OPEN:
            assert after == before + len(script.sent)
        expected += script.sent[: after - before]
        assert bench.stored(upload_id) == bytes(expected)
        if bench.session(upload_id).phase is Phase.SEALED:
            await bench.uploads.execute(Inspect(upload_id))
