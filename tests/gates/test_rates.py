from __future__ import annotations

import contextlib
import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.gates.admissions import asking
from tusjumbo.application import Admission, Identity
from tusjumbo.errors import ConfigurationError, TooManyRequests
from tusjumbo.gates import rates
from tusjumbo.gates.functions import Asked
from tusjumbo.gates.rates import Rates
from tusjumbo.sessions.commands import Action


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_a_burst_and_then_so_many_a_second() -> None:
    clock = Clock()
    gate = Rates(None, per_second=2, burst=3, clock=clock)
    for _ in range(3):
        assert await gate.admit(asking()) is None
    with pytest.raises(TooManyRequests) as refused:
        await gate.admit(asking())
    assert refused.value.retry_after == 0.5
    await gate.admit(asking(client="192.0.2.2"))
    clock.now = 0.5
    await gate.admit(asking())
    with pytest.raises(TooManyRequests):
        await gate.admit(asking())
    clock.now = 100
    for _ in range(3):
        await gate.admit(asking())
    with pytest.raises(TooManyRequests):
        await gate.admit(asking())


@given(st.lists(st.floats(0, 2), max_size=50))
async def test_never_more_than_the_burst_and_what_is_gained(pauses: list[float]) -> None:
    clock, taken = Clock(), 0
    waits: list[float] = []
    gate = Rates(None, per_second=2, burst=3, clock=clock)
    for pause in pauses:
        clock.now += pause
        try:
            await gate.admit(asking())
        except TooManyRequests as error:
            waits.append(error.retry_after)
        else:
            taken += 1
        assert taken <= 3 + 2 * clock.now + 1e-6
    assert all(0 < wait <= 0.5 for wait in waits)


async def test_who_is_refused_is_not_asked_who_it_is() -> None:
    asked: list[Admission] = []

    async def who(admission: Admission) -> str:
        asked.append(admission)
        return "alice"

    gate = Rates(Asked(who), per_second=1, burst=1, clock=Clock())
    assert await gate.admit(asking()) == Identity("alice")
    with pytest.raises(TooManyRequests):
        await gate.admit(asking())
    assert len(asked) == 1


async def test_there_are_never_too_many_buckets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "_MOST", 10)
    clock = Clock()
    gate = Rates(None, per_second=1, burst=1, clock=clock)
    for number in range(100):
        clock.now += 0.01
        await gate.admit(asking(client=str(number)))
        assert len(gate._buckets) <= 10
    with pytest.raises(TooManyRequests):
        await gate.admit(asking(client="99"))


@pytest.mark.parametrize(("per_second", "burst"), [(0, 1), (1, 0), (math.nan, 1), (1, math.nan)])
def test_nobody_could_send_anything(per_second: float, burst: float) -> None:
    with pytest.raises(ConfigurationError, match="rate_burst"):
        Rates(None, per_second=per_second, burst=burst)


async def test_a_request_that_joins_is_one_however_many_parts() -> None:
    gate = Rates(None, per_second=1, burst=1, clock=Clock())
    await gate.admit(asking())
    for part in range(10):
        await gate.admit(asking(action=Action.JOIN, upload_id=str(part)))
    with pytest.raises(TooManyRequests):
        await gate.admit(asking())


@pytest.mark.parametrize(
    ("first", "second", "is_one"),
    [
        ("2001:db8::1", "2001:db8::ffff:0:0:2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("192.0.2.1", "192.0.2.2", False),
        ("", "", True),
        ("a:socket", "a:nother", False),
    ],
)
async def test_whose_bucket_it_is(first: str, second: str, is_one: bool) -> None:
    gate = Rates(None, per_second=1, burst=1, clock=Clock())
    await gate.admit(asking(client=first))
    if is_one:
        with pytest.raises(TooManyRequests):
            await gate.admit(asking(client=second))
    else:
        await gate.admit(asking(client=second))


async def test_who_asks_all_the_time_is_not_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "_MOST", 10)
    gate = Rates(None, per_second=1, burst=2, clock=Clock())
    taken = 0
    for number in range(100):
        await gate.admit(asking(client=f"192.0.2.{number}"))
        with contextlib.suppress(TooManyRequests):
            await gate.admit(asking(client="203.0.113.1"))
            taken += 1
    assert taken == 2


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 2)), max_size=60),
    st.sampled_from([0.5, 1.0, 4.0]),
    st.integers(1, 5),
)
async def test_as_a_simple_model(
    requests: list[tuple[str, float]], per_second: float, burst: int
) -> None:
    """Each client alone: what it has left is what it had, and what it gained since, up to burst."""
    clock = Clock()
    gate = Rates(None, per_second=per_second, burst=burst, clock=clock)
    left = dict.fromkeys("abc", float(burst))
    for client, pause in requests:
        clock.now += pause
        left = {name: min(burst, has + pause * per_second) for name, has in left.items()}
        assume(abs(left[client] - 1) > 1e-6)  # here sums in another order may differ
        if left[client] < 1:
            with pytest.raises(TooManyRequests) as refused:
                await gate.admit(asking(client=client))
            missing = (1 - left[client]) / per_second
            assert refused.value.retry_after == pytest.approx(missing, abs=1e-6)
        else:
            await gate.admit(asking(client=client))
            left[client] -= 1
