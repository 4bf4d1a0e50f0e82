"""How the loop of a Jumbo ends: whoever drops it, and wherever."""

from __future__ import annotations

import subprocess
import sys
import threading

import anyio
import pytest

from tests.harness.wire import poll
from tusjumbo.jumbo.portals import Portal


class Owner:
    """Of the portal whose loop this is about; knows how often it was closed."""

    def __init__(self) -> None:
        self.closed = 0
        self.portal: Portal | None = Portal(anyio.sleep_forever, self._closing)
        self.thread = self.portal.call(_thread)

    async def _closing(self) -> None:
        self.closed += 1

    async def drop(self) -> None:
        self.portal = None

    def has_ended(self) -> bool:
        return self.closed == 1 and not self.thread.is_alive()


async def _thread() -> threading.Thread:
    return threading.current_thread()


def test_whoever_closes_it_waits() -> None:
    owner = Owner()
    assert owner.portal is not None
    owner.portal.close()
    assert owner.has_ended()
    assert owner.portal.call(_thread) is not owner.thread
    owner.portal.close()
    assert owner.closed == 2


def test_it_ends_with_the_object() -> None:
    owner = Owner()
    owner.portal = None
    assert owner.has_ended()


@pytest.mark.parametrize("is_own", [True, False], ids=["its own loop", "another loop"])
def test_it_may_be_dropped_in_a_loop(is_own: bool) -> None:
    """Where the garbage collector may come by: there it must not wait, least of all for itself."""
    owner, other = Owner(), Owner()
    assert owner.portal is not None
    assert other.portal is not None
    (owner if is_own else other).portal.start(owner.drop).result()  # type: ignore[union-attr]
    poll(owner.has_ended, 20, "its loop goes on")
    assert not other.closed
    other.portal.close()


FORKING = """
import gc, os, sys
import anyio
from tusjumbo.jumbo.portals import Portal

async def closing():
    print("closed in", "child" if os.getpid() != parent else "parent", flush=True)

async def work():
    return 3

parent = os.getpid()
portals = [Portal(anyio.sleep_forever, closing), Portal(anyio.sleep_forever, closing)]
print([portal.call(work) for portal in portals], flush=True)
child = os.fork()
if not child:
    portals.pop()
    gc.collect()
    print(portals[0].call(work), flush=True)
    sys.exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.mark.wire
def test_a_forked_child_has_a_loop_of_its_own_and_comes_to_an_end() -> None:
    """As a worker that a server has forked from a process in which there was a loop already."""
    done = subprocess.run(
        # Python 3.12 and later warn of forks beside threads, which is what this is about.
        [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", FORKING],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "[3, 3]",
        "3",
        "closed in child",
        "7",
        "closed in parent",
        "closed in parent",
    ]
