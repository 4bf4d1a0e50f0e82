"""LaneContract: what every locker promises, of whole uploads and of their lanes, as tests.

Subclass it as `tusjumbo.testing.lockers` says. `neighbour` is a way to the same locks that has
other lanes at the same time: the rival, unless the locker's lanes are for one process.
"""

from __future__ import annotations

import random
import threading
from functools import partial

import anyio
import pytest
from anyio import to_thread

from tusjumbo.errors import UploadLocked
from tusjumbo.ports import Locker
from tusjumbo.testing.lockers import (
    IMPATIENT,
    PATIENT,
    LockerContract,
    given,
    is_free,
    polite,
    wait_in_line,
)


async def is_lane_free(locker: Locker, upload_id: str, lane: int) -> bool:
    """Whether it can be had at once. Asks who is in the way."""
    try:
        async with locker.hold(upload_id, 0.0, lane=lane):
            return True
    except UploadLocked:
        return False


async def until_kept_out(locker: Locker, upload_id: str, lane: int) -> None:
    """Return when newcomers of a lane have to wait."""
    with anyio.fail_after(PATIENT):
        while await is_lane_free(locker, upload_id, lane):  # noqa: ASYNC110 - nobody tells
            await anyio.sleep(0.001)


class LaneContract(LockerContract):
    @pytest.fixture
    def neighbour(self, rival: Locker) -> Locker:
        """Another way to the same locks, with lanes beside each other."""
        return rival

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
