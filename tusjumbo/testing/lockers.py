"""LockerContract: what every locker promises of whole uploads, as tests.

Subclass `tusjumbo.testing.lanes.LaneContract`, which goes on from here, and define a fixture
`locker`: the locker under test, with nothing held. `rival` is a second way to the same locks: for a
locker of one process the locker itself, for one of many processes another instance, as another
process would have it. What the tests know of each other's progress they learn from leases and
notices, not from the clock.
"""

from __future__ import annotations

import math
import random
import threading
from collections.abc import Awaitable, Callable
from functools import partial

import anyio
import pytest
from anyio import to_thread
from anyio.abc import TaskStatus
from anyio.lowlevel import checkpoint

from tusjumbo.errors import UploadLocked
from tusjumbo.ports import Lease, Locker

PATIENT = 30.0
"""Seconds; only a broken locker makes a test wait for so long."""
IMPATIENT = 0.02


async def given(lease: Lease) -> None:
    """Return when somebody has asked for `lease`."""
    asked = anyio.Event()
    lease.asked.listen(asked.set)
    with anyio.fail_after(PATIENT):
        await asked.wait()


async def polite(
    locker: Locker,
    upload_id: str,
    lane: int | None = None,
    *,
    task_status: TaskStatus[Lease] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Hold the upload until somebody asks for it."""
    async with locker.hold(upload_id, PATIENT, lane=lane) as lease:
        task_status.started(lease)
        await given(lease)


async def wait_in_line(
    locker: Locker,
    upload_id: str,
    lane: int | None = None,
    *,
    task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    task_status.started()
    async with locker.hold(upload_id, PATIENT, lane=lane):
        pass


async def is_free(locker: Locker, upload_id: str) -> bool:
    try:
        async with locker.attempt(upload_id):
            return True
    except UploadLocked:
        return False


async def until_held(locker: Locker, upload_id: str) -> None:
    with anyio.fail_after(PATIENT):
        while await is_free(locker, upload_id):  # noqa: ASYNC110 - nobody tells
            await anyio.sleep(0.001)


@pytest.mark.anyio
class LockerContract:
    @pytest.fixture
    def rival(self, locker: Locker) -> Locker:
        """Another way to the same locks."""
        return locker

    async def test_a_free_upload_is_had_at_once(self, locker: Locker) -> None:
        async with locker.hold("a", PATIENT) as lease:
            assert lease.upload_id == "a"
            assert not lease.asked.given
        async with locker.attempt("a") as lease:
            assert lease.upload_id == "a"
            assert not lease.asked.given

    async def test_a_lock_ends_with_its_context(self, locker: Locker, rival: Locker) -> None:
        async with locker.hold("a", PATIENT):
            assert not await is_free(rival, "a")
        assert await is_free(rival, "a")
        async with locker.attempt("a"):
            assert not await is_free(rival, "a")
        assert await is_free(rival, "a")

    async def test_uploads_are_locked_one_by_one(self, locker: Locker, rival: Locker) -> None:
        async with locker.hold("a", PATIENT) as lease:
            async with rival.hold("A-b_c", PATIENT), locker.attempt("a" * 128):
                pass
            assert not lease.asked.given

    async def test_an_attempt_asks_nobody(self, locker: Locker, rival: Locker) -> None:
        async with locker.hold("a", PATIENT) as lease:
            with pytest.raises(UploadLocked) as caught:
                async with rival.attempt("a"):
                    raise AssertionError("two holders")
            assert (caught.value.upload_id, caught.value.waited) == ("a", 0.0)
            await rival.aclose()
            assert not lease.asked.given

    async def test_the_holder_is_asked_and_its_place_taken(
        self, locker: Locker, rival: Locker
    ) -> None:
        async with anyio.create_task_group() as tasks:
            first = await tasks.start(polite, locker, "a")
            async with rival.hold("a", PATIENT) as second:
                assert first.asked.given
                assert not second.asked.given

    async def test_an_attempt_can_be_asked_too(self, locker: Locker, rival: Locker) -> None:
        async with anyio.create_task_group() as tasks, locker.attempt("a") as lease:
            await tasks.start(wait_in_line, rival, "a")
            await given(lease)

    @pytest.mark.parametrize("patience", [0.0, IMPATIENT])
    async def test_a_holder_that_stays_is_asked_and_keeps_the_lock(
        self, locker: Locker, rival: Locker, patience: float
    ) -> None:
        async with locker.hold("a", PATIENT) as lease:
            with pytest.raises(UploadLocked) as caught:
                async with rival.hold("a", patience):
                    raise AssertionError("two holders")
            assert caught.value.upload_id == "a"
            assert caught.value.waited >= patience
            await given(lease)
            assert not await is_free(rival, "a")
        async with rival.hold("a", PATIENT) as lease:
            assert not lease.asked.given

    async def test_who_finds_looks_while_it_holds(self, locker: Locker, rival: Locker) -> None:
        story: list[str] = []

        async def look(lease: Lease) -> int:
            story.append(f"looks at {lease.upload_id}")
            return 7

        async def leave_when_asked(*, task_status: TaskStatus[None]) -> None:
            async with rival.hold("a", PATIENT) as lease:
                task_status.started()
                await given(lease)
                story.append("leaves")

        for before in ([], ["leaves"]):
            story.clear()
            async with anyio.create_task_group() as tasks:
                if before:
                    await tasks.start(leave_when_asked)
                async with locker.find("a", PATIENT, look) as (lease, found):
                    assert (lease.upload_id, lease.asked.given, found) == ("a", False, 7)
                    assert not await is_free(rival, "a")
                    tasks.start_soon(wait_in_line, rival, "a")
                    await given(lease)
            assert story == [*before, "looks at a"]
            assert await is_free(rival, "a")

    async def test_who_finds_something_wrong_leaves(self, locker: Locker, rival: Locker) -> None:
        async def look(_: Lease) -> None:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            async with locker.find("a", PATIENT, look):
                raise AssertionError("found")
        assert await is_free(rival, "a")

    async def test_who_cannot_have_it_does_not_look(self, locker: Locker, rival: Locker) -> None:
        async def look(_: Lease) -> None:
            raise AssertionError("two holders")

        async with rival.hold("a", PATIENT):
            with pytest.raises(UploadLocked):
                async with locker.find("a", IMPATIENT, look):
                    raise AssertionError("found")

    async def test_a_glance_is_for_what_nobody_has(self, locker: Locker, rival: Locker) -> None:
        looks: list[str] = []

        async def look() -> int:
            looks.append("a")
            return 7

        assert await locker.glance("a", look) == 7
        for way in (locker, rival):
            for lane in (None, 5):
                async with way.hold("a", PATIENT, lane=lane) as lease:
                    assert await locker.glance("a", look) is None
                    assert not lease.asked.given
            async with way.attempt("a"), way.hold("b", PATIENT):
                assert await locker.glance("a", look) is None
        assert looks == ["a"]
        async with rival.hold("b", PATIENT):
            assert await locker.glance("a", look) == 7
        assert await is_free(rival, "a")

    async def test_who_leaves_early_leaves_once(self, locker: Locker, rival: Locker) -> None:
        async with locker.hold("a", PATIENT) as lease:
            for _ in range(2):
                await lease.leave()
        async with rival.hold("a", PATIENT):
            assert not await is_free(locker, "a")
        assert await is_free(locker, "a")

    async def test_no_patience_is_enough_for_a_free_upload(self, locker: Locker) -> None:
        async with locker.hold("a", 0.0) as lease:
            assert not lease.asked.given
        async with locker.hold("a", math.inf) as lease:
            assert not lease.asked.given

    async def test_a_failing_holder_leaves(self, locker: Locker, rival: Locker) -> None:
        for take in (partial(locker.hold, patience=PATIENT), locker.attempt):
            with pytest.raises(ZeroDivisionError):
                async with take("a"):
                    raise ZeroDivisionError
            assert await is_free(rival, "a")

    async def test_a_cancelled_holder_leaves(self, locker: Locker, rival: Locker) -> None:
        for take in (partial(locker.hold, patience=PATIENT), locker.attempt):
            with anyio.CancelScope() as scope:
                async with take("a"):
                    scope.cancel()
                    await anyio.sleep_forever()
            assert scope.cancelled_caught
            assert await is_free(rival, "a")

    async def test_a_cancelled_waiter_is_forgotten(self, locker: Locker, rival: Locker) -> None:
        async with locker.hold("a", PATIENT) as lease, anyio.create_task_group() as tasks:
            await tasks.start(wait_in_line, rival, "a")
            await given(lease)
            tasks.cancel_scope.cancel()
        assert await is_free(locker, "a")
        assert await is_free(rival, "a")

    async def test_a_new_holder_is_asked_for_those_behind_it(
        self, locker: Locker, rival: Locker
    ) -> None:
        to_come = 4

        async def visit(locker: Locker) -> None:
            nonlocal to_come
            async with locker.hold("a", PATIENT) as lease:
                to_come -= 1
                if to_come:
                    await given(lease)

        async with anyio.create_task_group() as tasks, locker.hold("a", PATIENT) as lease:
            for number in range(to_come):
                tasks.start_soon(visit, (locker, rival)[number % 2])
            await given(lease)
        assert to_come == 0

    async def test_many_writers_are_never_two_at_once(self, locker: Locker, rival: Locker) -> None:
        count = 0

        async def add(locker: Locker) -> None:
            nonlocal count
            for _ in range(4):
                async with locker.hold("a", PATIENT):
                    before = count
                    await checkpoint()
                    count = before + 1

        async with anyio.create_task_group() as tasks:
            for number in range(16):
                tasks.start_soon(add, (locker, rival)[number % 2])
        assert count == 64

    async def test_cancelled_waiters_neither_keep_nor_lose_the_lock(
        self, locker: Locker, rival: Locker
    ) -> None:
        inside = 0
        entered = 0
        dice = random.Random(1)  # noqa: S311

        async def visit(locker: Locker, seconds: float) -> None:
            nonlocal inside, entered
            with anyio.move_on_after(seconds):
                async with locker.hold("a", PATIENT):
                    assert inside == 0
                    inside, entered = inside + 1, entered + 1
                    try:
                        await anyio.sleep(0.001)
                    finally:
                        inside -= 1

        async with anyio.create_task_group() as tasks:
            for number in range(60):
                seconds = PATIENT if number % 10 == 0 else dice.uniform(0.0, 0.05)
                tasks.start_soon(visit, (locker, rival)[number % 2], seconds)
        assert entered >= 6
        assert await is_free(locker, "a")
        assert await is_free(rival, "a")

    async def test_a_holder_is_asked_in_its_own_event_loop(
        self, locker: Locker, rival: Locker, anyio_backend_name: str
    ) -> None:
        def elsewhere(visit: Callable[[Locker, str], Awaitable[None]]) -> None:
            anyio.run(visit, rival, "a", backend=anyio_backend_name)

        asked_in: list[int] = []
        async with anyio.create_task_group() as tasks, locker.hold("a", PATIENT) as lease:
            lease.asked.listen(lambda: asked_in.append(threading.get_ident()))
            tasks.start_soon(to_thread.run_sync, elsewhere, wait_in_line)
            await given(lease)
        assert asked_in == [threading.get_ident()]

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(to_thread.run_sync, elsewhere, polite)
            await until_held(locker, "a")
            async with locker.hold("a", PATIENT):
                pass

    async def test_a_closed_locker_opens_again(self, locker: Locker, rival: Locker) -> None:
        await locker.aclose()
        await locker.aclose()
        await self.test_the_holder_is_asked_and_its_place_taken(locker, rival)
        await locker.aclose()
        await self.test_the_holder_is_asked_and_its_place_taken(rival, locker)
