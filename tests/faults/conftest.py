"""A server for the faults that it is to survive, and content whose every byte is known."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from tests.faults.campaign import MIB
from tests.harness.process import Server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("server") / "data") as server:
        yield server


class Content(bytes):
    """A test that fails shows its arguments: not all of this one."""

    def __repr__(self) -> str:
        return f"<{len(self)} bytes>"


@pytest.fixture(scope="session")
def content() -> bytes:
    """8 MiB without a pattern: no byte range can be mistaken for another."""
    return Content(random.Random(8).randbytes(8 * MIB))
