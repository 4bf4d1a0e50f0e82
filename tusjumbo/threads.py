"""Threads: the way there and back for an asyncio event loop, which wakes as few as it can.

A small upload crosses several times, and waking somebody costs more than most of what is done. So
of all the work of a turn of the loop one thread is told, which tells the next one if there is more
than it takes itself; whoever is done goes on with what waits; and of much that is done the loop is
told once. Threads are the process's; each `Desk` counts how many are at its work.

No lock is held by anybody, so none is waited for in a loop: to append to a deque or a list and to
pop from it is atomic. What must not be missed is said before it is looked whether anybody listens
(work is put down, then a thread looked for; a token given back, then work looked for; the inbox
said to be open, then opened): of two who meet, the later one sees the other.

What happens to callers who are cancelled is `tusjumbo.hop`'s business.
"""

from __future__ import annotations

import os
import threading
import weakref
from asyncio import AbstractEventLoop
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Generic, TypeVar, cast

T = TypeVar("T")

_PATIENCE = 5.0
"""Seconds after which an idle thread ends. The last one stays: at exit none can be started."""


class Desks:
    """Where work of one kind is put down, one desk for each event loop."""

    def __init__(self, tokens: int) -> None:
        """`tokens`: how many threads may be at each of them."""
        self._tokens = tokens
        self._desks: weakref.WeakKeyDictionary[AbstractEventLoop, Desk]
        self._desks = weakref.WeakKeyDictionary()

    def of(self, loop: AbstractEventLoop) -> Desk:
        """The desk of `loop`, which runs in this thread."""
        try:
            return self._desks[loop]
        except KeyError:
            inbox = _inboxes.setdefault(loop, _Inbox())
            return self._desks.setdefault(loop, Desk(self._tokens, inbox))


class Call(Generic[T]):
    """Work for a thread, and what it came to."""

    __slots__ = ("__weakref__", "_outcome", "_work", "future", "is_over", "loop")

    def __init__(self, loop: AbstractEventLoop, work: Callable[[], T]) -> None:
        self._work = [work]  # whoever pops it has it
        self._outcome: tuple[T | None, BaseException | None] = None, None
        self.loop = loop
        self.future = loop.create_future()
        """Done when the call is over; may be replaced, if it has been cancelled."""
        self.is_over = False

    def carry_out(self) -> None:
        """In a thread."""
        try:
            work = self._work.pop()
        except IndexError:
            return
        try:
            self._outcome = work(), None
        except BaseException as error:
            self._outcome = None, error
        del self, work  # an error's traceback has this frame

    def withdraw(self) -> bool:
        """See to it that the work never begins. False if it has."""
        try:
            self._work.pop()
        except IndexError:
            return False
        return True

    def fail(self, error: RuntimeError) -> None:
        """In the loop: it will not be carried out."""
        if self.withdraw():
            self._outcome = None, RuntimeError(*error.args)
            self.end()

    def end(self) -> None:
        """In the loop."""
        self.is_over = True
        if not self.future.done():
            self.future.set_result(None)

    def result(self) -> T:
        """What the work came to. Once: its thread may have this call for a while yet."""
        (value, error), self._outcome = self._outcome, (None, None)
        if error is None:
            return cast(T, value)
        try:
            raise error
        finally:
            del error  # whose traceback has this frame


class Desk:
    """Work of one kind for one loop. A thread that is at it has taken a token from here."""

    __slots__ = ("__weakref__", "_inbox", "_is_telling", "_is_told", "_tokens", "_waiting")

    def __init__(self, tokens: int, inbox: _Inbox) -> None:
        self._waiting: deque[weakref.ref[Call[Any]]] = deque()
        """Nobody is kept by it, neither callers nor the loop."""
        self._tokens = [None] * tokens
        self._is_told = False
        """Whether a thread is on its way, and will look at all that waits."""
        self._is_telling = False
        """Whether one will be told after this turn of the loop."""
        self._inbox = inbox

    def put(self, call: Call[Any]) -> None:
        """Have a thread carry it out. It fails with a `RuntimeError` if none can be started."""
        self._waiting.append(weakref.ref(call))
        if not self._is_told and not self._is_telling:
            self._is_telling = True
            call.loop.call_soon(self._tell_of_all)

    def _tell_of_all(self) -> None:
        self._is_telling = False
        try:
            if self._waiting:
                self._tell()
        except RuntimeError as error:
            with suppress(IndexError):
                while True:
                    call = self._waiting.popleft()()
                    if call is not None:
                        call.fail(error)

    def work_off(self, thread: _Thread) -> None:
        """In a thread that was told: do what waits, until nothing does."""
        self._is_told = False
        call = self._next(thread)
        while call is not None:
            call.carry_out()
            # First of all the thread is idle: whoever comes back with more finds it.
            following = self._next(thread)
            self._inbox.put(call)
            call = following

    def _next(self, thread: _Thread) -> Call[Any] | None:
        """What to do; None if nothing waits, and then the thread is idle."""
        while True:
            try:
                call = self._waiting.popleft()()
            except IndexError:
                self._tokens.append(None)
                if self._waiting and self._has_token():
                    continue
                _idle.append(thread)
                return None
            if self._waiting:
                with suppress(RuntimeError):  # then this thread does it all
                    self._tell()
            if call is not None:
                return call

    def _tell(self) -> None:
        """Send a thread, unless one is on its way or as many as may are here."""
        if self._is_told or not self._has_token():
            return
        self._is_told = True
        try:
            thread = _idle.pop()
        except IndexError:
            try:
                _Thread(self).start()
            except RuntimeError:
                self._is_told = False
                self._tokens.append(None)
                raise
        else:
            thread.send(self)

    def _has_token(self) -> bool:
        """Take a token, if there is one."""
        try:
            self._tokens.pop()
        except IndexError:
            return False
        return True


class _Inbox:
    """What is over in one loop, and it does not know. It keeps nobody: neither callers nor loop."""

    __slots__ = ("__weakref__", "_calls", "_is_rung")

    def __init__(self) -> None:
        self._calls: deque[weakref.ref[Call[Any]]] = deque()
        self._is_rung = False

    def put(self, call: Call[Any]) -> None:
        """In a thread: have the loop look, unless it is about to."""
        self._calls.append(weakref.ref(call))
        if not self._is_rung:
            self._is_rung = True
            with suppress(RuntimeError):  # it is closed, and nobody waits any more
                call.loop.call_soon_threadsafe(self._open)

    def _open(self) -> None:
        self._is_rung = False
        while self._calls:
            call = self._calls.popleft()()
            if call is not None:
                call.end()


class _Thread(threading.Thread):
    """It is sent to one desk after another. A daemon: no exit waits for it."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(name="tusjumbo hop", daemon=True)
        self._desk = desk
        self._bell = threading.Lock()

    def send(self, desk: Desk) -> None:
        """For whoever has found it idle."""
        self._desk = desk
        self._bell.release()

    def run(self) -> None:
        while self._is_sent():
            self._desk.work_off(self)

    def _is_sent(self) -> bool:
        """Wait for it. False after a while, if other threads are idle too."""
        while not self._bell.acquire(timeout=_PATIENCE):
            try:
                _idle.remove(self)
            except ValueError:
                continue  # somebody has it from there, and is about to send it
            if _idle:
                return False
            _idle.append(self)
        return True


_inboxes: weakref.WeakKeyDictionary[AbstractEventLoop, _Inbox] = weakref.WeakKeyDictionary()
_idle: list[_Thread] = []
"""The last one to become idle is the first one to be sent, so those that are not needed end."""

if hasattr(os, "register_at_fork"):
    # A child has none of them. What its parent has put down is for loops that do not run there.
    os.register_at_fork(after_in_child=_idle.clear)
