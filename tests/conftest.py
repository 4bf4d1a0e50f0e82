"""What every test gets: both event loops, and an alarm for blocking calls on them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from blockbuster import BlockBuster, blockbuster_ctx
from hypothesis import HealthCheck, settings

# A machine that is busy with something else is not a fault of what is tested.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


@pytest.fixture(autouse=True)
def no_blocking_calls() -> Iterator[BlockBuster]:
    """A blocking call made by tusjumbo on the event loop fails the test."""
    with blockbuster_ctx("tusjumbo") as blockbuster:
        yield blockbuster
