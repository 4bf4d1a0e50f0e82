"""Bodies with a digest, against dictionaries and scripts: all of it is kept, or nothing."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import anyio
import pytest
from anyio.lowlevel import current_token

from tests.engine.fakes import CUT, FOREVER, Script
from tests.engine.test_uploads import PACE, Bench, data
from tusjumbo.engine import checks, pump
from tusjumbo.errors import (
    AlgorithmUnsupported,
    BodyTimeout,
    ClientDisconnected,
    DigestMismatch,
    HandedOver,
    OffsetMismatch,
    ServerClosing,
    StorageFailed,
    TusJumboError,
)
from tusjumbo.lockers.loops import post
from tusjumbo.notice import Notice
from tusjumbo.sessions.commands import (
    Append,
    Content,
    Create,
    Digest,
    Inspect,
    Keep,
    Promised,
)
from tusjumbo.sessions.events import BytesReceived, Ending, UploadFinished
from tusjumbo.sessions.outcomes import Created, Inspected
from tusjumbo.sessions.session import Phase

CONTENT = data(60)
EAGER = replace(PACE, checkpoint_bytes=1)
WRONG = Digest("sha1", hashlib.sha1(b"else").digest())
AFTER = Content(announced=None, keep=Keep.ALL_OR_NOTHING, digest=Promised.AFTER_BODY)


def sha256(content: bytes) -> Digest:
    return Digest("sha256", hashlib.sha256(content).digest())


def checked(digest: Digest, announced: int | None = None) -> Content:
    return Content(announced=announced, keep=Keep.ALL_OR_NOTHING, digest=digest)


@pytest.fixture(params=["before", "after"])
def when(request: pytest.FixtureRequest) -> str:
    name = request.param
    assert isinstance(name, str)
    return name


async def send(
    bench: Bench,
    upload_id: str,
    at: int,
    digest: Digest,
    *steps: bytes | float | Exception,
    when: str,
) -> None:
    """Append with a digest that is told before the body, or after it."""
    source = Script(steps, told=digest)
    content = checked(digest) if when == "before" else AFTER
    await bench.append(upload_id, at, source=source, content=content)


async def test_each_body_has_its_own_digest(when: str) -> None:
    """CSUM-03, CSUM-08, TRAIL-02."""
    bench = Bench(pace=EAGER)
    upload_id = await bench.create(60)
    await send(bench, upload_id, 0, sha256(CONTENT[:17]), CONTENT[:17], when=when)
    assert bench.session(upload_id).offset == 17
    pieces = [CONTENT[17:18], CONTENT[18:50], CONTENT[50:]]
    await send(bench, upload_id, 17, sha256(CONTENT[17:]), *pieces, when=when)
    assert bench.stored(upload_id) == CONTENT
    assert bench.catalog.commits == [17, 60, 60]  # the last one is the receipt
    assert bench.store.durable[upload_id] == CONTENT


async def test_a_wrong_body_is_as_if_it_had_not_come(when: str) -> None:
    """CSUM-04, CSUM-09: it would have completed the upload."""
    bench = Bench(pace=EAGER)
    upload_id = await bench.create(60)
    await bench.append(upload_id, 0, CONTENT[:20])
    before, commits = bench.session(upload_id), list(bench.catalog.commits)
    with pytest.raises(DigestMismatch) as caught:
        await send(bench, upload_id, 20, WRONG, data(40, 1), when=when)
    assert (caught.value.upload_id, caught.value.algorithm) == (upload_id, "sha1")
    assert bench.session(upload_id) == before
    assert bench.catalog.commits == commits
    received = [e for e in bench.journal.events if isinstance(e, BytesReceived)][-1]
    assert (received.start, received.stop, received.ending) == (20, 20, Ending.FAILED)
    assert not any(isinstance(event, UploadFinished) for event in bench.journal.events)
    await send(bench, upload_id, 20, sha256(CONTENT[20:]), CONTENT[20:], when=when)
    assert bench.stored(upload_id) == CONTENT
    assert await bench.all_blocks_are_back()


@pytest.mark.parametrize(
    ("last", "error"),
    [(CUT, ClientDisconnected), (FOREVER, BodyTimeout), (StorageFailed(), StorageFailed)],
    ids=["cut", "idle", "fault"],
)
async def test_what_breaks_off_is_not_kept(when: str, last: object, error: type[Exception]) -> None:
    """CSUM-10, AMB-16: even if all that came is all there is."""
    bench = Bench(pace=replace(EAGER, idle=0.05))
    upload_id = await bench.create(60)
    assert isinstance(last, float | Exception)
    with pytest.raises(error):
        await send(bench, upload_id, 0, sha256(CONTENT), CONTENT, last, when=when)
    assert bench.session(upload_id).offset == 0
    assert bench.session(upload_id).phase is Phase.OPEN
    assert bench.catalog.commits == []


@pytest.mark.parametrize("announced", [0, None], ids=["announced", "chunked"])
@pytest.mark.parametrize(
    ("length", "at"), [(60, 0), (0, 0), (9, 9)], ids=["new", "0 B", "complete"]
)
async def test_an_empty_body_has_a_digest_too(announced: int | None, length: int, at: int) -> None:
    """CSUM-11."""
    bench = Bench()
    upload_id = await bench.create(length)
    if at:
        await bench.append(upload_id, 0, data(at))
    before = bench.session(upload_id)
    with pytest.raises(DigestMismatch):
        await bench.append(upload_id, at, content=checked(WRONG, announced))
    assert bench.session(upload_id) == before
    after = await bench.append(upload_id, at, content=checked(sha256(b""), announced))
    assert after.offset == at
    if announced is None:
        await send(bench, upload_id, at, sha256(b""), when="after")
        with pytest.raises(DigestMismatch):
            await send(bench, upload_id, at, WRONG, when="after")
    assert bench.store.reads == []


async def test_a_wrong_digest_declares_no_length() -> None:
    bench = Bench()
    upload_id = await bench.create(None)
    with pytest.raises(DigestMismatch):
        await bench.append(upload_id, 0, b"abc", content=checked(WRONG), declares=3)
    assert bench.session(upload_id).length is None
    await bench.append(upload_id, 0, b"abc", content=checked(sha256(b"abc")), declares=3)
    assert bench.stored(upload_id) == b"abc"


@pytest.mark.parametrize("steps", [[b"abc"], []], ids=["body", "empty"])
@pytest.mark.parametrize("when", ["before", "after", "no source"])
async def test_a_creation_with_a_wrong_body_leaves_nothing(steps: list[bytes], when: str) -> None:
    """CWU-10, AMB-18."""
    bench = Bench()
    content = AFTER if when == "after" else checked(WRONG, None if steps else 0)
    source = None if when == "no source" else Script(steps, told=WRONG)
    with pytest.raises(DigestMismatch):
        await bench.uploads.execute(Create(length=3, metadata={}, echo={}, content=content), source)
    assert bench.catalog.sessions == {}
    assert bench.store.files == {}


async def test_a_creation_with_the_right_body(when: str) -> None:
    bench = Bench()
    content = checked(sha256(b"abc")) if when == "before" else AFTER
    create = Create(length=3, metadata={}, echo={}, content=content)
    outcome = await bench.uploads.execute(create, Script([b"abc"], told=sha256(b"abc")))
    assert isinstance(outcome, Created)
    assert outcome.session.phase is Phase.DONE


async def test_a_long_body_is_made_durable_on_the_way(when: str) -> None:
    """The client would wait for all of it at the end."""
    bench = Bench(pace=replace(PACE, checkpoint_bytes=20))
    upload_id = await bench.create(60)
    durable = []

    def look() -> None:
        durable.append(len(bench.store.durable.get(upload_id, b"")))
        assert bench.session(upload_id).offset == 0

    bench.store.before_write = look
    pieces = [piece for n in range(0, 60, 10) for piece in (CONTENT[n : n + 10], 0.01)]
    with pytest.raises(DigestMismatch):
        await send(bench, upload_id, 0, WRONG, *pieces, when=when)
    assert durable == [0, 0, 20, 20, 40, 40]
    assert bench.catalog.commits == []
    await send(bench, upload_id, 0, sha256(CONTENT), *pieces, when=when)
    assert bench.stored(upload_id) == CONTENT


# --- told after the body -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error", [AlgorithmUnsupported("foo", ["sha1"]), StorageFailed()], ids=["refused", "unreadable"]
)
async def test_a_promise_that_is_not_kept(error: TusJumboError) -> None:
    """TRAIL-02, TRAIL-04: refused when all bytes are in, and none of them is committed."""
    bench = Bench(pace=EAGER)
    upload_id = await bench.create(60)
    if isinstance(error, StorageFailed):
        told: Digest | Exception = sha256(CONTENT)
        bench.store.faults = [None] * 4 + [error]  # blocks of 16 bytes
    else:
        told = error
    with pytest.raises(type(error)):
        await bench.append(upload_id, 0, source=Script([CONTENT], told=told), content=AFTER)
    assert bench.session(upload_id).offset == 0
    assert bench.catalog.commits == []


async def test_only_what_was_promised_is_asked_for() -> None:
    bench = Bench()
    upload_id = await bench.create(60)
    refusing = AssertionError("nobody promised anything")
    source = Script([CONTENT[:9]], told=refusing)
    await bench.append(upload_id, 0, source=source, content=checked(sha256(CONTENT[:9])))
    await bench.append(upload_id, 9, source=Script([CONTENT[9:]], told=refusing))
    assert bench.stored(upload_id) == CONTENT
    assert bench.store.reads == []


async def test_the_body_is_read_back_in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "STEP", 16)
    bench = Bench()
    upload_id = await bench.create(60)
    await bench.append(upload_id, 0, CONTENT[:7])
    await send(bench, upload_id, 7, sha256(CONTENT[7:55]), CONTENT[7:55], when="after")
    assert bench.store.reads == [(7, 23), (23, 39), (39, 55)]
    await send(bench, upload_id, 55, sha256(CONTENT[55:]), CONTENT[55:], when="after")
    assert bench.store.reads[3:] == [(55, 60)]


async def test_a_promise_needs_a_source() -> None:
    bench = Bench()
    upload_id = await bench.create(60)
    with pytest.raises(ValueError, match="source"):
        await bench.uploads.execute(Append(id=upload_id, at=0, content=AFTER))


# --- asked to leave ------------------------------------------------------------------------------


async def test_who_still_sends_is_not_interrupted(
    monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """Else a checked upload that somebody watches would begin anew with each look at it."""
    monkeypatch.setattr(pump, "QUIET", 0.2)
    bench = Bench()
    upload_id = await bench.create(60)
    offsets = []

    async def look() -> None:
        outcome = await bench.uploads.execute(Inspect(upload_id))
        assert isinstance(outcome, Inspected)
        offsets.append(outcome.session.offset)

    async with anyio.create_task_group() as tasks:
        # The one silence is longer than what is left to one that does not send any more, but
        # begins before anybody asks: the time is counted from the question.
        steps = [CONTENT[:10], *(x for n in range(10, 60, 10) for x in (0.05, CONTENT[n : n + 10]))]
        tasks.start_soon(lambda: send(bench, upload_id, 0, sha256(CONTENT), *steps, when=when))
        with anyio.fail_after(5):
            while not bench.store.writes:
                await anyio.sleep(0.001)
        tasks.start_soon(look)
    assert bench.stored(upload_id) == CONTENT
    assert offsets == [60]


async def test_who_does_not_send_leaves_when_asked(
    monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """CSUM-14: and what HEAD says next is not what had arrived."""
    monkeypatch.setattr(pump, "QUIET", 0.05)
    bench = Bench(pace=replace(PACE, idle=None))
    upload_id = await bench.create(60)

    steps = (CONTENT[:50], 0.02, CONTENT[50:], FOREVER)

    async def sending() -> None:
        with pytest.raises(HandedOver):
            await send(bench, upload_id, 0, sha256(CONTENT), *steps, when=when)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(sending)
        with anyio.fail_after(5):
            while not bench.store.writes:
                await anyio.sleep(0.001)
            outcome = await bench.uploads.execute(Inspect(upload_id))
    assert isinstance(outcome, Inspected)
    assert outcome.session.offset == 0
    ends = [e.ending for e in bench.journal.events if isinstance(e, BytesReceived)]
    assert ends == [Ending.ASKED]
    await bench.append(upload_id, 0, CONTENT)
    assert bench.stored(upload_id) == CONTENT


async def test_who_does_not_send_leaves_when_asked_by_another_process(
    monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """That is said in a call of the loop, which no task makes."""
    monkeypatch.setattr(pump, "QUIET", 0.05)
    bench = Bench(pace=replace(PACE, idle=None))
    upload_id = await bench.create(60)

    async def sending() -> None:
        with pytest.raises(HandedOver):
            await send(bench, upload_id, 0, sha256(CONTENT), CONTENT[:50], FOREVER, when=when)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(sending)
            while not bench.store.writes:
                await anyio.sleep(0.001)
            asked = bench.locker.held[upload_id, None].asked
            # From a thread, as the lockers do: its context is not that of a task.
            await anyio.to_thread.run_sync(post, current_token(), asked.give)
    assert asked.given
    assert bench.session(upload_id).offset == 0


@pytest.mark.parametrize("asked", [False, True], ids=["at once", "after somebody asked"])
async def test_a_closing_server_waits_for_nothing(asked: bool, when: str) -> None:
    bench = Bench(pace=replace(PACE, idle=None))
    upload_id = await bench.create(60)
    closing = Notice()
    source = Script([CONTENT[:50], FOREVER], closing=closing, told=sha256(CONTENT))
    content = checked(sha256(CONTENT)) if when == "before" else AFTER

    async def sending() -> None:
        with pytest.raises(ServerClosing):
            await bench.append(upload_id, 0, source=source, content=content)

    with anyio.fail_after(pump.QUIET / 2):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(sending)
            while not bench.store.writes:
                await anyio.sleep(0.001)
            if asked:
                bench.locker.held[upload_id, None].asked.give()
            closing.give()
    assert bench.session(upload_id).offset == 0


async def test_another_writer_does_not_see_what_is_not_committed(when: str) -> None:
    bench = Bench(patience=0.05)
    upload_id = await bench.create(60)
    with pytest.raises(DigestMismatch):
        await send(bench, upload_id, 0, WRONG, CONTENT[:30], when=when)
    with pytest.raises(OffsetMismatch):
        await bench.append(upload_id, 30, CONTENT[30:])
