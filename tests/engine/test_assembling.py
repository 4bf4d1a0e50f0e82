"""Hooks that are asked, assemblers, and what a request leaves to be done: on stand-ins."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

import anyio
import pytest

from tests.engine.fakes import CUT, Script, ScriptedHooks
from tests.engine.test_uploads import EMPTY, Bench, data
from tusjumbo.application import Arrival, Assembled, Assembler, Hook, HookAnswer, Origin
from tusjumbo.engine.sweep import Sweep
from tusjumbo.engine.uploads import Leaves
from tusjumbo.errors import (
    AssemblyFailed,
    CatalogFailed,
    ClientDisconnected,
    HandedOver,
    HookFailed,
    StorageFull,
    TerminationRejected,
    TusJumboError,
    UploadNotFound,
    UploadRejected,
    UploadStopped,
    UploadUnfinished,
)
from tusjumbo.sessions.commands import Append, Content, Create, Fetch, Inspect, Status, Terminate
from tusjumbo.sessions.events import UploadFinished, UploadRefused, UploadTerminated
from tusjumbo.sessions.outcomes import Created, Inspected, Terminated
from tusjumbo.sessions.rules import Limits
from tusjumbo.sessions.session import Answer, Phase, UploadSession

CONTENT = data(100)
HERE = Origin("PATCH", "/files/x", "192.0.2.1", {"Host": ("a",)})
SAID = Answer(200, {"X-Of": "assembler"}, b"body")


class Recorder:
    """An assembler that says what it was told to say, one thing after the other."""

    def __init__(self, *said: Assembled | Exception | None) -> None:
        self.said = list(said)
        self.arrivals: list[Arrival] = []
        self.before: Callable[[Arrival], Awaitable[object]] | None = None

    async def __call__(self, arrival: Arrival) -> Assembled | None:
        self.arrivals.append(arrival)
        if self.before is not None:
            await self.before(arrival)
        said = self.said.pop(0) if self.said else None
        if isinstance(said, Exception):
            raise said
        return said


async def sent(bench: Bench) -> str:
    upload_id = await bench.create()
    await bench.append(upload_id, 0, CONTENT)
    return upload_id


def news(bench: Bench) -> list[Hook]:
    return [it.call.hook for it in bench.catalog.news]


# --- assemblers ----------------------------------------------------------------------------------


async def test_what_an_assembler_says_is_the_receipt_and_answers_every_repeat() -> None:
    assembler = Recorder(Assembled(path="a/b.bin", answer=SAID))
    bench = Bench(assembler=assembler)
    upload_id = await bench.create()
    source = Script([CONTENT])
    command = Append(id=upload_id, at=0, content=Content(announced=100))
    outcome = await bench.uploads.execute(command, source, HERE)
    session = bench.session(upload_id)
    assert outcome.session == session  # type: ignore[union-attr]
    assert session.phase is Phase.DONE
    assert session.receipt is not None
    assert session.receipt.path == "completed/a/b.bin"
    assert session.final_answer == SAID
    again = await bench.append(upload_id, 100, content=EMPTY)
    assert again.final_answer == SAID
    (arrival,) = assembler.arrivals
    assert arrival.origin == HERE
    assert arrival.session.phase is Phase.SEALED
    assert arrival.session.offset == 100


async def test_what_was_put_elsewhere_is_not_published() -> None:
    bench = Bench(assembler=Recorder(Assembled(elsewhere="s3://b/k")))
    upload_id = await sent(bench)
    receipt = bench.session(upload_id).receipt
    assert receipt is not None
    assert (receipt.path, receipt.is_here) == ("s3://b/k", False)
    assert bench.store.completed == {}


@pytest.mark.parametrize("error", [RuntimeError("no"), StorageFull(), HookFailed("x", "y")])
async def test_one_that_fails_is_tried_again_by_the_next_last_request(error: Exception) -> None:
    assembler = Recorder(error, Assembled(answer=SAID))
    bench = Bench(assembler=assembler)
    upload_id = await bench.create()
    with pytest.raises(AssemblyFailed) as failed:
        await bench.append(upload_id, 0, CONTENT)
    assert failed.value.__cause__ is error
    session = bench.session(upload_id)
    assert session.phase is Phase.SEALED
    assert (session.attempts, session.retry_at) == (1, 1.0)
    assert bench.store.completed == {}
    # Who only looks does not hurry it on before its time.
    outcome = await bench.uploads.execute(Inspect(upload_id))
    assert isinstance(outcome, Inspected)
    assert outcome.session.offset == 100
    assert len(assembler.arrivals) == 1
    assert (await bench.append(upload_id, 100, content=EMPTY)).final_answer == SAID
    assert bench.session(upload_id).retry_at is None


async def test_the_time_until_the_next_attempt_doubles_and_the_chores_keep_it() -> None:
    assembler = Recorder(*[RuntimeError("no")] * 4)
    bench = Bench(assembler=assembler)
    upload_id = await bench.create()
    with pytest.raises(AssemblyFailed):
        await bench.append(upload_id, 0, CONTENT)
    waits = []
    for _ in range(3):
        retry_at = bench.session(upload_id).retry_at
        assert retry_at is not None
        waits.append(retry_at - bench.now)
        bench.now = retry_at - 0.5
        await bench.uploads.chores.look()
        assert len(assembler.arrivals) == len(waits)
        bench.now = retry_at
        await bench.uploads.chores.look()
    assert waits == [1.0, 2.0, 4.0]
    bench.now += 100
    await bench.uploads.chores.look()
    assert bench.session(upload_id).phase is Phase.DONE


@pytest.mark.parametrize("whole", [True, False], ids=["with the creation", "after it"])
async def test_one_that_rejects_ends_the_upload(whole: bool) -> None:
    refusal = UploadRejected("a virus", status=422)
    bench = Bench(assembler=Recorder(refusal), hooks=ScriptedHooks())
    if whole:
        command = Create(length=100, metadata={}, echo={}, content=Content(announced=100))
        with pytest.raises(UploadRejected) as caught:
            await bench.uploads.execute(command, Script([CONTENT]))
    else:
        upload_id = await bench.create()
        with pytest.raises(UploadRejected) as caught:
            await bench.append(upload_id, 0, CONTENT)
    assert caught.value is refusal
    assert bench.catalog.sessions == {}
    assert bench.store.files == bench.store.completed == {}
    (event,) = [it for it in bench.journal.events if isinstance(it, UploadRefused)]
    assert event.reason == "a virus"
    assert news(bench) == [Hook.POST_CREATE, Hook.POST_TERMINATE]


async def test_a_creation_whose_assembler_fails_is_kept_and_tried_again() -> None:
    bench = Bench(assembler=Recorder(RuntimeError("no")))
    command = Create(length=100, metadata={}, echo={}, content=Content(announced=100))
    outcome = await bench.uploads.execute(command, Script([CONTENT]))
    assert isinstance(outcome, Created)  # or the client would send all of it once more
    (session,) = bench.catalog.sessions.values()
    assert outcome.session == session
    assert (session.phase, session.attempts) == (Phase.SEALED, 1)
    bench.now = 10.0
    await bench.uploads.chores.look()
    assert bench.session(session.id).phase is Phase.DONE


async def test_what_is_recorded_is_not_assembled_again() -> None:
    """A crash, or a full disk, between the assembler and the name."""
    assembler = Recorder(Assembled(path="p", answer=SAID))
    bench = Bench(assembler=assembler)
    upload_id = await bench.create()
    publish = bench.store.publish

    async def full(session: UploadSession) -> object:
        raise StorageFull

    bench.store.publish = full  # type: ignore[assignment]
    with pytest.raises(StorageFull):
        await bench.append(upload_id, 0, CONTENT)
    assert bench.session(upload_id).phase is Phase.ASSEMBLING
    bench.store.publish = publish  # type: ignore[method-assign]
    sweep = Sweep(bench.uploads.means, bench.uploads.finish_now, bench.uploads.concatenation)
    assert (await sweep.due()).finished == 1
    session = bench.session(upload_id)
    assert session.receipt is not None
    assert session.receipt.path == "completed/p"
    assert session.final_answer == SAID
    assert len(assembler.arrivals) == 1


async def test_two_last_requests_assemble_once() -> None:
    gate = anyio.Event()
    assembler = Recorder(Assembled(answer=SAID))
    bench = Bench(assembler=assembler)

    async def wait(arrival: Arrival) -> None:
        await gate.wait()

    assembler.before = wait
    upload_id = await bench.create()
    answers: list[Answer | None] = []

    async def last(at: int, *steps: bytes) -> None:
        session = await bench.append(upload_id, at, *steps, content=Content(announced=100 - at))
        answers.append(session.final_answer)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(last, 0, CONTENT)
        with anyio.fail_after(5):
            while not assembler.arrivals:
                await anyio.sleep(0.001)
        tasks.start_soon(last, 100)
        # The chores do not interfere either, and nobody waits for anybody there.
        bench.now = 1e6
        await bench.uploads.chores.look()
        gate.set()
    assert answers == [SAID, SAID]
    assert len(assembler.arrivals) == 1


async def test_one_that_is_cancelled_leaves_the_upload_to_others() -> None:
    assembler = Recorder()
    bench = Bench(assembler=assembler)
    upload_id = await bench.create()
    with anyio.CancelScope() as scope:

        async def cancel(arrival: Arrival) -> None:
            scope.cancel()
            await anyio.sleep_forever()

        assembler.before = cancel
        await bench.append(upload_id, 0, CONTENT)
    assert bench.session(upload_id).phase is Phase.SEALED
    assembler.before = None
    bench.now = 10.0
    await bench.uploads.chores.look()
    assert bench.session(upload_id).phase is Phase.DONE


# --- in the background ---------------------------------------------------------------------------


async def test_in_the_background_nobody_waits_for_the_assembler() -> None:
    assembler = Recorder(Assembled(answer=SAID))
    bench = Bench(assembler=assembler, leaves=Leaves.WHAT_ASKS, hooks=ScriptedHooks())
    upload_id = await bench.create()
    outcome = await bench.uploads.execute(
        Append(id=upload_id, at=0, content=Content(announced=100)), Script([CONTENT]), HERE
    )
    assert outcome.session.offset == 100  # type: ignore[union-attr]
    assert assembler.arrivals == []
    inspected = await bench.uploads.execute(Inspect(upload_id))
    assert isinstance(inspected, Inspected)
    assert inspected.session.offset == 100
    with pytest.raises(UploadUnfinished, match="is being processed"):
        await bench.uploads.execute(Fetch(upload_id))
    assert (await bench.append(upload_id, 100, content=EMPTY)).offset == 100
    assert assembler.arrivals == []

    assert bench.uploads.chores.has_work
    await bench.uploads.chores.go_on()
    (arrival,) = assembler.arrivals
    assert arrival.origin == HERE  # the request with the last bytes
    assert bench.session(upload_id).phase is Phase.DONE
    assert (await bench.append(upload_id, 100, content=EMPTY)).final_answer == SAID
    assert news(bench) == [Hook.POST_CREATE, Hook.POST_FINISH]
    assert [type(it) for it in bench.journal.events].count(UploadFinished) == 1


async def test_in_the_background_requests_go_on_while_it_works_and_delete_ends_it() -> None:
    assembler = Recorder()
    bench = Bench(assembler=assembler, leaves=Leaves.WHAT_ASKS, patience=0.05)
    upload_id = await sent(bench)

    async def meanwhile(arrival: Arrival) -> None:
        for command in (Inspect(upload_id), Status(upload_id)):
            assert isinstance(await bench.uploads.execute(command), Inspected)
        assert (await bench.append(upload_id, 100, content=EMPTY)).offset == 100
        assert isinstance(await bench.uploads.execute(Terminate(upload_id)), Terminated)

    assembler.before = meanwhile
    await bench.uploads.chores.go_on()
    assert len(assembler.arrivals) == 1
    assert bench.catalog.sessions == {}
    assert bench.store.completed == {}


async def test_the_chores_run_by_themselves() -> None:
    bench = Bench(assembler=Recorder(), leaves=Leaves.WHAT_ASKS)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bench.uploads.chores.run)
        upload_id = await sent(bench)
        with anyio.fail_after(5):
            while bench.session(upload_id).phase is not Phase.DONE:
                await anyio.sleep(0.001)
        tasks.cancel_scope.cancel()


async def test_without_assemblers_there_is_no_background() -> None:
    bench = Bench(leaves=Leaves.WHAT_ASKS)
    assert bench.session(await sent(bench)).phase is Phase.DONE


# --- hooks ---------------------------------------------------------------------------------------


async def test_pre_create_changes_what_is_created() -> None:
    said = HookAnswer(
        answer=Answer(202, {"X-A": "b"}, b"welcome"),
        upload_id="theirs",
        metadata={"filename": b"n.txt"},
        path="x/y",
    )
    hooks = ScriptedHooks(on_create=said)
    bench = Bench(hooks=hooks)
    echo = {"upload-metadata": "filename YQ==", "upload-concat": "partial"}
    command = Create(length=100, metadata={"filename": b"a"}, echo=echo)
    outcome = await bench.uploads.execute(command, None, HERE)
    assert isinstance(outcome, Created)
    assert outcome.answer == said.answer
    session = bench.session("theirs")
    assert session.metadata == {"filename": b"n.txt"}
    assert session.echo == {"upload-concat": "partial"}
    assert session.destination == "x/y"
    ((hook, asked, origin),) = hooks.asked
    assert (hook, asked.metadata, origin) == (Hook.PRE_CREATE, {"filename": b"a"}, HERE)
    await bench.append("theirs", 0, CONTENT)
    receipt = bench.session("theirs").receipt
    assert receipt is not None
    assert receipt.path == "completed/x/y"


@pytest.mark.parametrize("size", [0, 100])
async def test_an_id_that_is_taken_harms_nobody(size: int) -> None:
    bench = Bench(hooks=ScriptedHooks(on_create=HookAnswer(upload_id="theirs")))
    assert await bench.create(200) == "theirs"
    await bench.append("theirs", 0, CONTENT)
    content = Content(announced=size) if size else None
    command = Create(length=100, metadata={}, echo={}, content=content)
    with pytest.raises(HookFailed) as failed:
        await bench.uploads.execute(command, Script([data(100, seed=1)]))
    assert "taken" in failed.value.problem
    assert bench.session("theirs").offset == 100
    assert bench.stored("theirs") == CONTENT


@pytest.mark.parametrize("error", [UploadRejected("no", status=403), HookFailed("h", "p")])
async def test_pre_create_may_refuse_and_then_nothing_has_happened(error: TusJumboError) -> None:
    bench = Bench(hooks=ScriptedHooks(on_create=error))
    command = Create(length=100, metadata={}, echo={}, content=Content(announced=100))
    source = Script([CONTENT])
    with pytest.raises(type(error)):
        await bench.uploads.execute(command, source)
    assert bench.catalog.sessions == {}
    assert bench.store.files == {}
    assert source.reads == 0
    assert news(bench) == []


async def test_pre_finish_says_where_and_what_and_the_assembler_has_the_last_word() -> None:
    asked = HookAnswer(answer=Answer(201, {"X-A": "hook", "X-B": "hook"}, b"hook"), path="hook/x")
    assembler = Recorder(Assembled(answer=Answer(None, {"X-B": "assembler"})))
    bench = Bench(hooks=ScriptedHooks(on_finish=asked), assembler=assembler)
    upload_id = await sent(bench)
    session = bench.session(upload_id)
    assert session.receipt is not None
    assert session.receipt.path == "completed/hook/x"
    assert session.final_answer == Answer(201, {"X-A": "hook", "X-B": "assembler"}, b"hook")
    assert assembler.arrivals[0].name == "hook/x"


async def test_pre_finish_that_fails_is_asked_again_by_the_next_last_request() -> None:
    """tusd#1299."""
    hooks = ScriptedHooks(on_finish=HookFailed("pre-finish", "down"))
    bench = Bench(hooks=hooks)
    upload_id = await bench.create()
    with pytest.raises(AssemblyFailed):
        await bench.append(upload_id, 0, CONTENT)
    hooks.on_finish = HookAnswer(answer=SAID)
    assert (await bench.append(upload_id, 100, content=EMPTY)).final_answer == SAID


async def test_pre_terminate_may_refuse_and_disturbs_nobody() -> None:
    hooks = ScriptedHooks(on_terminate=TerminationRejected("mine", status=409))
    bench = Bench(hooks=hooks)
    upload_id = await bench.create()
    with pytest.raises(TerminationRejected):
        await bench.uploads.execute(Terminate(upload_id), None, HERE)
    assert upload_id in bench.catalog.sessions
    hooks.on_terminate = HookAnswer(answer=SAID)
    outcome = await bench.uploads.execute(Terminate(upload_id), None, HERE)
    assert isinstance(outcome, Terminated)
    assert outcome.answer == SAID
    assert news(bench) == [Hook.POST_CREATE, Hook.POST_TERMINATE]
    with pytest.raises(UploadNotFound):
        await bench.uploads.execute(Terminate(upload_id), None, HERE)


async def test_each_piece_of_news_has_its_request_and_rings() -> None:
    hooks = ScriptedHooks()
    bench = Bench(hooks=hooks)
    upload_id = await bench.create()
    command = Append(id=upload_id, at=0, content=Content(announced=100))
    with pytest.raises(ClientDisconnected):
        await bench.uploads.execute(command, Script([CONTENT[:60], CUT]), HERE)
    rest = Append(id=upload_id, at=60, content=Content(announced=40))
    await bench.uploads.execute(rest, Script([CONTENT[60:]]), HERE)
    assert news(bench) == [Hook.POST_CREATE, Hook.INTERRUPTED, Hook.POST_FINISH]
    # One that breaks off when everything is in is not interrupted.
    other = await bench.create()
    whole = Append(id=other, at=0, content=Content(announced=None))
    with pytest.raises(ClientDisconnected):
        await bench.uploads.execute(whole, Script([CONTENT, CUT]), HERE)
    assert news(bench)[3:] == [Hook.POST_CREATE, Hook.POST_FINISH]
    assert [it.call.origin for it in bench.catalog.news[1:3]] == [HERE, HERE]
    assert bench.catalog.news[1].call.session.offset == 60
    assert hooks.rung >= 3


async def test_what_was_recorded_is_told_even_if_the_rest_of_the_request_fails() -> None:
    bench = Bench(hooks=ScriptedHooks())
    command = Create(length=100, metadata={}, echo={}, content=Content(announced=None))
    bench.catalog.faults = [None, CatalogFailed()]
    with pytest.raises(CatalogFailed):
        await bench.uploads.execute(command, Script([CONTENT]))
    assert news(bench) == [Hook.POST_CREATE, Hook.POST_TERMINATE]


async def test_what_expires_is_told() -> None:
    limits = Limits(expire_after=10.0, keep_abandoned=10.0)
    bench = Bench(hooks=ScriptedHooks(), limits=limits)
    await bench.create()
    bench.now = 10.0
    sweep = Sweep(bench.uploads.means, bench.uploads.finish_now, bench.uploads.concatenation)
    assert (await sweep.due()).abandoned == 1
    bench.now = 20.0
    assert (await sweep.due()).purged == 1
    assert news(bench) == [Hook.POST_CREATE, Hook.EXPIRED]


# --- stopping ------------------------------------------------------------------------------------


async def test_an_upload_can_be_stopped_while_it_comes_in() -> None:
    bench = Bench(hooks=ScriptedHooks())
    upload_id = await bench.create()
    caught: list[BaseException] = []

    async def send() -> None:
        try:
            await bench.append(upload_id, 0, CONTENT[:50], float("inf"))
        except (UploadStopped, HandedOver) as error:
            caught.append(error)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(send)
        with anyio.fail_after(5):
            while not bench.locker.held:
                await anyio.sleep(0.001)
        await bench.uploads.stop(upload_id)
    assert [type(error) for error in caught] == [UploadStopped]
    assert bench.catalog.sessions == {}
    assert bench.store.files == {}
    assert news(bench) == [Hook.POST_CREATE, Hook.POST_TERMINATE]
    await bench.uploads.stop(upload_id)  # it comes to the same


async def test_what_a_crash_left_stopped_is_removed_by_the_sweep_and_not_found() -> None:
    bench = Bench(hooks=ScriptedHooks())
    upload_id = await bench.create()
    session = bench.session(upload_id)
    bench.catalog.sessions[upload_id] = replace(session, phase=Phase.STOPPED)
    with pytest.raises(UploadNotFound):
        await bench.uploads.execute(Inspect(upload_id))
    with pytest.raises(UploadNotFound):
        await bench.append(upload_id, 0, CONTENT)
    sweep = Sweep(bench.uploads.means, bench.uploads.finish_now, bench.uploads.concatenation)
    await sweep.due()
    assert bench.catalog.sessions == {}
    assert [type(it) for it in bench.journal.events].count(UploadTerminated) == 1
    assert news(bench) == [Hook.POST_CREATE, Hook.POST_TERMINATE]


async def test_what_is_finished_is_not_stopped() -> None:
    bench = Bench()
    upload_id = await sent(bench)
    await bench.uploads.stop(upload_id)
    assert bench.session(upload_id).phase is Phase.DONE


def test_assemblers_are_what_the_port_says() -> None:
    assembler: Assembler = Recorder()
    assert assembler is not None
