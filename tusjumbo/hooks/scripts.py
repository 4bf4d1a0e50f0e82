"""Receivers that are programs: tusd's directory of hooks, and single ones.

A program gets the document on its standard input and `TUS_ID`, `TUS_SIZE`, `TUS_OFFSET` in its
environment, runs in its own directory, and answers on its standard output; another exit status than
0 means that it failed, and what it said last on its standard error says why. It is in a process
group and session of its own, with no descriptors of ours but these three. Nobody leaves one behind:
when its time is up, it says too much or its caller is cancelled, the whole group is killed. Once it
has answered, what it has started stays, provided that it does not hold its output open.

Which programs are in the directory is looked up once, at the start; one that has gone since then is
passed over, as tusd does with one that is not there.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from subprocess import PIPE

import anyio
from anyio.abc import Process
from anyio.lowlevel import RunVar

from tusjumbo.application import Hook, HookAnswer, HookCall
from tusjumbo.errors import ConfigurationError, HookFailed
from tusjumbo.hooks import documents
from tusjumbo.hop import Hop

TIMEOUT = 15.0
AT_ONCE = 8

_TAIL = 4096
"""Bytes of standard error that are kept."""

_GRACE = 0.5
"""Seconds in which the end of standard error follows that of the program. It does at once, unless
somebody whom the program has started holds it open."""

_log = logging.getLogger("tusjumbo")
_hop = Hop(2)


class Script:
    """One program, for all that it wants."""

    def __init__(
        self,
        path: Path | str,
        timeout: float = TIMEOUT,
        *,
        name: str | None = None,
        hooks: Collection[Hook] | None = None,
        at_once: int = AT_ONCE,
    ) -> None:
        """`timeout`: seconds, waiting for its turn included; `at_once`: how many may run, for each
        event loop; `hooks`: None for everything.

        :raises ConfigurationError: it is not there, or cannot be run
        """
        # Not resolved: after a new release, the link that was given means another directory.
        self._path = Path(os.path.abspath(path))
        _check(self._path)
        self._name = name or str(self._path)
        self._hooks = frozenset(Hook if hooks is None else hooks)
        self._running = _Running(timeout, at_once)

    @property
    def name(self) -> str:
        return self._name

    @property
    def hooks(self) -> Collection[Hook]:
        return self._hooks

    async def __call__(self, call: HookCall) -> HookAnswer:
        """:raises HookFailed: it did not answer, or not as it should"""
        return await self.ask(call)

    async def ask(self, call: HookCall, type_: str | None = None) -> HookAnswer:
        """The same under another name than the hook's, such as `assemble`.

        :raises HookFailed:
        """
        try:
            return await self._running.run(self._path, call, type_, self._name)
        except FileNotFoundError:
            raise HookFailed(call.hook.value, f"{self._name} is not there") from None


class Scripts:
    """A directory of programs that are called like hooks."""

    def __init__(
        self,
        directory: Path | str,
        timeout: float = TIMEOUT,
        *,
        name: str | None = None,
        at_once: int = AT_ONCE,
    ) -> None:
        """As for `Script`; `at_once` is for all of them together.

        :raises ConfigurationError: there is no such directory, or a program in it cannot be run
        """
        self._directory = Path(os.path.abspath(directory))
        if not self._directory.is_dir():
            raise ConfigurationError(f"there is no directory {self._directory} with hooks")
        there = [hook for hook in Hook if os.path.lexists(self._directory / hook.value)]
        for hook in there:
            _check(self._directory / hook.value)
        self._name = name or str(self._directory)
        self._hooks = frozenset(there)
        self._running = _Running(timeout, at_once)

    @property
    def name(self) -> str:
        return self._name

    @property
    def hooks(self) -> Collection[Hook]:
        """Those that there was a program for at the start."""
        return self._hooks

    async def __call__(self, call: HookCall) -> HookAnswer:
        """:raises HookFailed: it did not answer, or not as it should"""
        path = self._directory / call.hook.value
        try:
            return await self._running.run(path, call, None, str(path))
        except FileNotFoundError:
            return HookAnswer()


def _check(path: Path) -> None:
    if not path.exists():
        raise ConfigurationError(f"there is no program {path}")
    if not path.is_file():
        raise ConfigurationError(f"{path} is no file that could be run")
    if not os.access(path, os.X_OK):
        raise ConfigurationError(f"{path} is not executable; try: chmod +x {path}")


class _Running:
    """How programs are run: so many at once, for so long."""

    def __init__(self, timeout: float, at_once: int) -> None:
        self._timeout = timeout
        self._at_once = at_once
        self._limiter: RunVar[anyio.CapacityLimiter] = RunVar(f"tusjumbo scripts {id(self):x}")

    def _slots(self) -> anyio.CapacityLimiter:
        try:
            return self._limiter.get()
        except LookupError:
            limiter = anyio.CapacityLimiter(self._at_once)
            self._limiter.set(limiter)
            return limiter

    async def run(self, path: Path, call: HookCall, type_: str | None, name: str) -> HookAnswer:
        """Run `path`, and read its answer.

        :raises FileNotFoundError: it is not there
        :raises HookFailed:
        """
        hook = call.hook.value
        try:
            with anyio.fail_after(self._timeout):
                async with self._slots():
                    output = await _output(path, call, type_, name)
        except TimeoutError:
            raise HookFailed(hook, f"{name} took longer than {self._timeout:g} s") from None
        except FileNotFoundError:
            if await _hop(path.exists):
                raise HookFailed(hook, f"{name} needs an interpreter that is not there") from None
            raise
        except OSError as error:
            raise HookFailed(hook, f"{name} cannot be run: {error.strerror}") from error
        return documents.read(output, call.hook, name)


async def _output(path: Path, call: HookCall, type_: str | None, name: str) -> bytes:
    with anyio.CancelScope(shield=True):  # else it may be started, and nobody knows it
        process = await anyio.open_process(
            [str(path)],
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            cwd=path.parent,
            env=os.environ | _environment(call),
            start_new_session=True,
        )
    has_ended = False
    errors = _Errors()
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(_write, process, documents.written(call, type_))
            group.start_soon(errors.listen, process)
            output = await _read(process)
            if len(output) <= documents.LIMIT:
                await process.wait()
                has_ended = True
                with anyio.move_on_after(_GRACE):
                    await errors.is_over.wait()
            group.cancel_scope.cancel()
    finally:
        if not has_ended:
            _kill(process)
        with anyio.CancelScope(shield=True):
            await process.aclose()
    lines = errors.lines()
    failed = bool(has_ended and process.returncode)
    for line in lines:
        _log.log(logging.WARNING if failed else logging.INFO, "%s: %s", name, line)
    if failed:
        problem = ": ".join([f"{name} {_ending(process)}", *lines[-1:]])
        raise HookFailed(call.hook.value, problem)
    return output


def _environment(call: HookCall) -> Mapping[str, str]:
    variables = {
        "TUS_ID": documents.upload_id(call),
        "TUS_SIZE": str(call.session.length or 0),
        "TUS_OFFSET": str(call.session.offset),
    }
    return variables | ({"TUSJUMBO_KEY": call.key} if call.key else {})


async def _write(process: Process, document: bytes) -> None:
    """It need not read it all, or anything."""
    if process.stdin is not None:
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
            await process.stdin.send(document)
        await process.stdin.aclose()


async def _read(process: Process) -> bytes:
    """What it says; a little more than may be said, if it says more."""
    output = b""
    if process.stdout is not None:
        async for piece in process.stdout:
            output += piece
            if len(output) > documents.LIMIT:
                break
    return output


class _Errors:
    """The end of what a program says on its standard error."""

    def __init__(self) -> None:
        self._tail = b""
        self.is_over = anyio.Event()

    async def listen(self, process: Process) -> None:
        if process.stderr is not None:
            async for piece in process.stderr:
                self._tail = (self._tail + piece)[-_TAIL:]
        self.is_over.set()

    def lines(self) -> list[str]:
        """Without what could pass for other lines of a log."""
        lines = self._tail.decode("utf-8", "replace").split("\n")
        shown = ("".join(c if c.isprintable() else " " for c in line).strip() for line in lines)
        return [line for line in shown if line]


def _ending(process: Process) -> str:
    status = process.returncode or 0
    if status < 0:
        return f"was ended by {signal.Signals(-status).name}"
    return f"ended with status {status}"


def _kill(process: Process) -> None:
    """And all that it has started. While one of them lives, its number is nobody else's."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
