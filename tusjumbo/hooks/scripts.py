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

import errno
import logging
import os
import selectors
import signal
import threading
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from subprocess import PIPE, Popen
from typing import IO

import anyio

from tusjumbo.application import Hook, HookAnswer, HookCall
from tusjumbo.errors import ConfigurationError, HookFailed
from tusjumbo.hooks import documents
from tusjumbo.hop import Hop

TIMEOUT = 15.0
AT_ONCE = 8

_TAIL = 4096
"""Bytes of standard error that are kept."""

_PIECE = 65536
"""Bytes that are read at once: as many as a pipe holds."""

_PATIENCE = 0.2
"""Seconds after which it is looked whether a program has ended whose pipes others hold open."""

_log = logging.getLogger("tusjumbo")


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
        hooks: Collection[Hook] | None = None,
        at_once: int = AT_ONCE,
    ) -> None:
        """As for `Script`; `at_once` is for all of them together.

        :raises ConfigurationError: there is no such directory, or a program in it cannot be run
        """
        self._directory = Path(os.path.abspath(directory))
        if not self._directory.is_dir():
            raise ConfigurationError(f"there is no directory {self._directory} with hooks")
        wanted = Hook if hooks is None else hooks
        there = [hook for hook in wanted if os.path.lexists(self._directory / hook.value)]
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
        self._hop = Hop(at_once)

    async def run(self, path: Path, call: HookCall, type_: str | None, name: str) -> HookAnswer:
        """Run `path`, and read its answer.

        :raises FileNotFoundError: it is not there
        :raises HookFailed:
        """
        hook = call.hook.value
        run = _Run(path, call, documents.written(call, type_))
        try:
            with anyio.fail_after(self._timeout):
                await self._carry_out(run)
        except TimeoutError:
            raise HookFailed(hook, f"{name} took longer than {self._timeout:g} s") from None
        if isinstance(run.error, FileNotFoundError):
            if await self._hop(path.exists):
                raise HookFailed(hook, f"{name} needs an interpreter that is not there")
            raise run.error
        if run.error is not None:
            problem = f"{name} cannot be run: {run.error.strerror}"
            raise HookFailed(hook, problem) from run.error
        return _understood(run, call.hook, name)

    async def _carry_out(self, run: _Run) -> None:
        """In a thread, and not only because a fork takes its time: with uvloop, programs would
        have descriptors of ours.
        """
        over = anyio.Event()

        async def there() -> None:
            try:
                await self._hop(run.carry_out)
            except RuntimeError as error:  # no thread
                run.error = OSError(errno.EAGAIN, str(error))
            over.set()

        async with anyio.create_task_group() as group:
            group.start_soon(there)
            try:
                await over.wait()
            finally:  # whoever is cancelled waits for the thread, so that has to know
                run.stop()


def _understood(run: _Run, hook: Hook, name: str) -> HookAnswer:
    lines = run.errors()
    level = logging.WARNING if run.status else logging.INFO
    for line in lines:
        _log.log(level, "%s: %s", name, line)
    if run.status and len(run.output) <= documents.LIMIT:
        raise HookFailed(hook.value, ": ".join([f"{name} {_ending(run.status)}", *lines[-1:]]))
    return documents.read(run.output, hook, name)


def _ending(status: int) -> str:
    if status < 0:
        return f"was ended by {signal.Signals(-status).name}"
    return f"ended with status {status}"


class _Run:
    """One program, from its start to its end."""

    def __init__(self, path: Path, call: HookCall, document: bytes) -> None:
        self._path = path
        self._environment = {
            "TUS_ID": documents.upload_id(call),
            "TUS_SIZE": str(call.session.length or 0),
            "TUS_OFFSET": str(call.session.offset),
        } | ({"TUSJUMBO_KEY": call.key} if call.key else {})
        self._rest = memoryview(document)
        self._tail = b""
        self._turn = threading.Lock()
        self._process: Popen[bytes] | None = None
        self._is_over = self._is_stopped = False
        self.output = b""
        """What it says; a little more than may be said, if it says more."""
        self.status = 0
        self.error: OSError | None = None
        """Why it could not be started."""

    def stop(self) -> None:
        """Kill it and all that it has started, unless it is over."""
        with self._turn:
            self._is_stopped = True
            if self._process is not None and not self._is_over:
                # While one of them lives, their number is nobody else's.
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._process.pid, signal.SIGKILL)

    def carry_out(self) -> None:
        """In a thread, until it has ended or is stopped."""
        try:
            process = Popen(  # noqa: S603 - it is the operator's
                [str(self._path)],
                bufsize=0,
                stdin=PIPE,
                stdout=PIPE,
                stderr=PIPE,
                cwd=self._path.parent,
                env=_inherited() | self._environment,
                start_new_session=True,
            )
        except OSError as error:
            self.error = error
            return
        with process:
            with self._turn:
                self._process = process
            if self._is_stopped:
                self.stop()
            self._talk(process)
            if len(self.output) > documents.LIMIT:
                self.stop()
            self.status = process.wait()
            with self._turn:
                self._is_over = True
            if process.stderr is not None:
                self._hear_errors(process.stderr.fileno())

    def _talk(self, process: Popen[bytes]) -> None:
        """Until its pipes are closed. If others hold them when it has ended, its output counts."""
        assert process.stdin and process.stdout and process.stderr  # noqa: S101, PT018
        stdin, stdout, stderr = process.stdin, process.stdout, process.stderr
        ways: dict[IO[bytes], Callable[[int], bool]] = {
            stdin: self._tell,
            stdout: self._hear,
            stderr: self._hear_errors,
        }
        with selectors.DefaultSelector() as selector:
            for pipe in ways:
                os.set_blocking(pipe.fileno(), False)
                event = selectors.EVENT_WRITE if pipe is stdin else selectors.EVENT_READ
                selector.register(pipe, event, ways[pipe])
            while (there := selector.get_map()) and not self._is_stopped:
                for key, _ in selector.select(_PATIENCE):
                    if not key.data(key.fd):
                        selector.unregister(key.fileobj)
                        if key.fileobj is stdin:
                            stdin.close()
                if len(self.output) > documents.LIMIT:
                    return
                if stdout not in there and process.poll() is not None:
                    return

    def _tell(self, fd: int) -> bool:
        """It need not read it all, or anything. False: that was it."""
        try:
            self._rest = self._rest[os.write(fd, self._rest) :]
        except BlockingIOError:
            return True
        except OSError:
            return False
        return bool(self._rest)

    def _hear(self, fd: int) -> bool:
        piece = os.read(fd, _PIECE)
        self.output += piece
        return bool(piece)

    def _hear_errors(self, fd: int) -> bool:
        try:
            piece = os.read(fd, _PIECE)
        except BlockingIOError:
            return True
        self._tail = (self._tail + piece)[-_TAIL:]
        return bool(piece)

    def errors(self) -> list[str]:
        """The last lines of its standard error, without what could pass for others in a log."""
        lines = self._tail.decode("utf-8", "replace").split("\n")
        shown = ("".join(c if c.isprintable() else " " for c in line).strip() for line in lines)
        return [line for line in shown if line]


def _inherited() -> dict[str, str]:
    """Our environment without our settings: there may be secrets among them."""
    return {name: text for name, text in os.environ.items() if not name.startswith("TUSJUMBO_")}
