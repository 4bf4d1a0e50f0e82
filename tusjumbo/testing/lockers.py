"""LockerContract: what every locker promises, as tests.

Subclass it, and define a fixture `locker`: the locker under test, with nothing held. `rival` is a
second way to the same locks: for a locker of one process the locker itself, for one of many
processes another instance, as another process would have it. `neighbour` is one that has other
lanes at the same time: the rival, unless lanes are for one process. What the tests know of each
other's progress they learn from leases and notices, not from the clock.
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


async def is_lane_free(locker: Locker, upload_id: str, lane: int) -> bool:
    """Whether it can be had at once. Asks who is in the way."""
    try:
        async with locker.hold(upload_id, 0.0, lane=lane):
            return True
    except UploadLocked:
        return False


async def until_held(locker: Locker, upload_id: str) -> None:
    with anyio.fail_after(PATIENT):
        while await is_free(locker, upload_id):  # noqa: ASYNC110 - nobody tells
            await anyio.sleep(0.001)


async def until_kept_out(locker: Locker, upload_id: str, lane: int) -> None:
    """Return when newcomers of a lane have to wait."""
    with anyio.fail_after(PATIENT):
        while await is_lane_free(locker, upload_id, lane):  # noqa: ASYNC110 - nobody tells
            await anyio.sleep(0.001)


@pytest.mark.anyio
class LockerContract:
    @pytest.fixture
    def rival(self, locker: Locker) -> Locker:
        """Another way to the same locks."""
        return locker

    @pytest.fixture
    def neighbour(self, rival: Locker) -> Locker:
        """Another way to the same locks, with lanes beside each other."""
        return rival

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

    async def test_lanes_are_had_side_by_side(self, locker: Locker, neighbour: Locker) -> None:
        async with (
            locker.hold("a", PATIENT, lane=0) as first,
            neighbour.hold("a", PATIENT, lane=1) as second,
            locker.hold("a", PATIENT, lane=2**62) as third,
            neighbour.hold("a", 0.0, lane=2**62 - 1) as fourth,
            locker.hold("b", 0.0, lane=0) as fifth,
            neighbour.hold("c", PATIENT),
        ):
            leases = (first, second, third, fourth, fifth)
            assert [lease.upload_id for lease in leases] == ["a", "a", "a", "a", "b"]
            assert not await is_free(locker, "a")
            assert not await is_free(neighbour, "a")
            assert not any(lease.asked.given for lease in leases)
        assert await is_free(locker, "a")
        assert await is_free(neighbour, "a")

    async def test_lanes_are_had_in_many_event_loops(
        self, locker: Locker, neighbour: Locker, anyio_backend_name: str
    ) -> None:
        inside = threading.Barrier(4)

        async def visit(locker: Locker, lane: int) -> None:
            async with locker.hold("a", PATIENT, lane=lane) as lease:
                await to_thread.run_sync(partial(inside.wait, PATIENT))
                assert not lease.asked.given

        def elsewhere(locker: Locker, lane: int) -> None:
            anyio.run(visit, locker, lane, backend=anyio_backend_name)

        async with anyio.create_task_group() as tasks:
            for lane in range(4):
                way = (locker, neighbour)[lane // 2]
                tasks.start_soon(to_thread.run_sync, elsewhere, way, lane)
        assert await is_free(locker, "a")

    async def test_who_wants_a_lane_asks_its_holder_only(
        self, locker: Locker, neighbour: Locker
    ) -> None:
        async with locker.hold("a", PATIENT, lane=7) as other:
            async with anyio.create_task_group() as tasks:
                lease = await tasks.start(polite, locker, "a", 8)
                tasks.start_soon(wait_in_line, neighbour, "a", 8)
                await given(lease)
            await neighbour.aclose()
            assert not other.asked.given

    async def test_who_wants_the_whole_asks_all_and_waits_for_all(
        self, locker: Locker, neighbour: Locker, rival: Locker
    ) -> None:
        async with anyio.create_task_group() as tasks:
            leases = [
                await tasks.start(polite, (locker, neighbour)[lane % 2], "a", lane)
                for lane in range(6)
            ]
            async with rival.hold("a", PATIENT) as whole:
                assert all(lease.asked.given for lease in leases)
                assert not whole.asked.given
                assert not await is_lane_free(locker, "a", 3)
                await given(whole)

    async def test_lanes_ask_for_the_whole(self, locker: Locker, rival: Locker) -> None:
        for take in (partial(locker.hold, patience=PATIENT), locker.attempt):
            async with anyio.create_task_group() as tasks, take("a") as lease:
                for lane in range(4):
                    tasks.start_soon(wait_in_line, (locker, rival)[lane % 2], "a", lane)
                await given(lease)
                assert not await is_free(rival, "a")

    @pytest.mark.parametrize("patience", [0.0, IMPATIENT])
    async def test_patience_for_a_lane(
        self, locker: Locker, neighbour: Locker, patience: float
    ) -> None:
        async with locker.hold("a", PATIENT, lane=3) as lease:
            with pytest.raises(UploadLocked) as caught:
                async with neighbour.hold("a", patience, lane=3):
                    raise AssertionError("two holders")
            assert caught.value.upload_id == "a"
            assert caught.value.waited >= patience
            assert await is_lane_free(neighbour, "a", 4)
            await given(lease)
        assert await is_lane_free(neighbour, "a", 3)

    async def test_a_waiter_for_a_lane_keeps_out_no_others(
        self, locker: Locker, neighbour: Locker
    ) -> None:
        async with (
            anyio.create_task_group() as tasks,
            locker.hold("a", PATIENT, lane=3) as lease,
        ):
            tasks.start_soon(wait_in_line, neighbour, "a", 3)
            await given(lease)
            for lane in (2, 4, 0):
                for way in (locker, neighbour):
                    async with way.hold("a", PATIENT, lane=lane) as other:
                        assert not other.asked.given

    async def test_a_lane_waits_behind_a_waiter_for_the_whole(
        self, locker: Locker, neighbour: Locker, rival: Locker
    ) -> None:
        came: list[str] = []

        async def come(name: str, locker: Locker, lane: int | None) -> None:
            async with locker.hold("a", PATIENT, lane=lane):
                came.append(name)

        async with anyio.create_task_group() as tasks:
            async with locker.hold("a", PATIENT, lane=1):
                tasks.start_soon(come, "whole", rival, None)
                await until_kept_out(locker, "a", 2)
                await until_kept_out(neighbour, "a", 3)
                tasks.start_soon(come, "lane", locker, 2)
                tasks.start_soon(come, "lane", neighbour, 3)
            assert "lane" not in came
        assert sorted(came) == ["lane", "lane", "whole"]
        assert came[0] == "whole"

    async def test_a_cancelled_waiter_lets_the_others_go_on(
        self, locker: Locker, neighbour: Locker, rival: Locker
    ) -> None:
        async with locker.hold("a", PATIENT, lane=1):
            async with anyio.create_task_group() as tasks, anyio.create_task_group() as unlucky:
                unlucky.start_soon(wait_in_line, rival, "a")
                await until_kept_out(locker, "a", 2)
                tasks.start_soon(wait_in_line, neighbour, "a", 2)
                unlucky.cancel_scope.cancel()
            assert await is_lane_free(locker, "a", 3)
        assert await is_free(locker, "a")

    async def test_a_new_holder_is_asked_for_those_behind_it_that_it_keeps_out(
        self, locker: Locker, neighbour: Locker
    ) -> None:
        to_come: list[int | None] = [1, 2, 1, None, 2, 1, None, 3]

        async def visit(locker: Locker, lane: int | None) -> None:
            async with locker.hold("a", PATIENT, lane=lane) as lease:
                to_come.remove(lane)
                if to_come if lane is None else lane in to_come or None in to_come:
                    await given(lease)

        async with anyio.create_task_group() as tasks, locker.hold("a", PATIENT) as lease:
            for number, lane in enumerate(to_come):
                tasks.start_soon(visit, (locker, neighbour)[number % 2], lane)
            await given(lease)
        assert to_come == []

    async def test_a_thousand_lanes(self, locker: Locker, neighbour: Locker, rival: Locker) -> None:
        async with anyio.create_task_group() as tasks:
            leases = [
                await tasks.start(polite, (locker, neighbour)[lane % 2], "a", lane)
                for lane in range(1000)
            ]
            assert not any(lease.asked.given for lease in leases)
            async with rival.hold("a", PATIENT):
                assert all(lease.asked.given for lease in leases)

    async def test_holders_are_never_in_each_others_way(
        self, locker: Locker, rival: Locker
    ) -> None:
        inside: list[int | None] = []
        entered = 0
        dice = random.Random(3)  # noqa: S311

        async def visit(locker: Locker, lane: int | None, seconds: float) -> None:
            nonlocal entered
            with anyio.move_on_after(seconds):
                async with locker.hold("a", PATIENT, lane=lane):
                    assert None not in inside
                    assert lane not in inside
                    assert lane is not None or not inside
                    inside.append(lane)
                    try:
                        await anyio.sleep(dice.choice((0.0, 0.001)))
                    finally:
                        inside.remove(lane)
                    entered += 1

        async with anyio.create_task_group() as tasks:
            for number in range(100):
                lane = dice.choice((None, 0, 1, 2, 3))
                seconds = PATIENT if number % 5 == 0 else dice.uniform(0.0, 0.1)
                tasks.start_soon(visit, (locker, rival)[number % 2], lane, seconds)
        assert entered >= 20
        assert await is_free(locker, "a")
        assert await is_free(rival, "a")
