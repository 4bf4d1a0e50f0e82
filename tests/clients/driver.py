"""Runs a real client in a process of its own: a scenario goes in as JSON, events come out as lines.

What the drivers (`js/driver.mjs`, `tuspy_driver.py`) understand is written at their top. A client
can be told to kill or to halt itself after so many bytes, so that "in the middle" is the same place
on a fast machine and on a slow one.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TypeAlias

from tests.harness.wire import poll

HERE = Path(__file__).parent
JS = HERE / "js"
DEADLINE = 120.0

# What a driver says and is told is JSON, whose shape its own file describes.
Json: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Result:
    """How an upload went, as the client saw it."""

    outcome: str
    url: str | None
    requests: tuple[tuple[str, int], ...]
    """Method and status of every request, in order; status 0: no answer."""
    errors: tuple[str, ...]
    successes: int

    @property
    def path(self) -> str:
        assert self.url is not None
        return "/" + self.url.split("/", 3)[3]

    def succeeded(self) -> Result:
        assert self.outcome == "success", self
        return self


class Client:
    """One run of a driver."""

    def __init__(self, command: Sequence[str], scenario: Json, scratch: Path) -> None:
        self._said = scratch / f"client{sum(1 for _ in scratch.glob('client*.out'))}.out"
        self._log = self._said.with_suffix(".err")
        with self._said.open("wb") as said, self._log.open("wb") as log:
            self._process = subprocess.Popen(
                (*command, json.dumps(scenario)), stdin=subprocess.PIPE, stdout=said, stderr=log
            )

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait(10)
        assert self._process.stdin is not None
        self._process.stdin.close()
        if error is not None:
            error.add_note(f"the client said:\n{self._said.read_text()}{self._log.read_text()}")

    def events(self, name: str) -> list[Json]:
        lines = self._said.read_text().splitlines(keepends=True)
        events: list[Json] = [json.loads(line) for line in lines if line.endswith("\n")]
        return [event for event in events if event["event"] == name]

    def wait_for(self, name: str) -> Json:
        """The first event of this name."""

        def look() -> bool:
            ended = self._process.poll() is not None
            return bool(self.events(name)) or ended

        poll(look, DEADLINE, f"the client does not come to {name!r}")
        found = self.events(name)
        assert found, f"the client ended without {name!r}"
        return found[0]

    def go_on(self) -> None:
        """End a halt."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()

    def result(self) -> Result:
        end = self.wait_for("end")
        self._process.wait(10)
        return Result(
            end["outcome"],
            end["url"],
            tuple((request["method"], request["status"]) for request in end["requests"]),
            tuple(end["errors"]),
            end["successes"],
        )

    def died(self) -> None:
        """Return once the client has killed itself."""
        self._process.wait(DEADLINE)
        assert self._process.returncode == -signal.SIGKILL


def tusjs(scenario: Json, scratch: Path) -> Client:
    return Client(("node", str(JS / "driver.mjs")), scenario, scratch)


def tuspy(scenario: Json, scratch: Path) -> Client:
    return Client((sys.executable, str(HERE / "tuspy_driver.py")), scenario, scratch)
