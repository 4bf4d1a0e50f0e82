"""Commits: changes that wait for the writing connection share a transaction.

Whoever gets the connection carries out everything that waits for it and commits once; the others
then find their change settled. So one fsync serves all of them, and a slow disk limits how long a
commit takes, not how many there are.

A change either raises before it has written a row, or is part of the transaction: so what one
change raises is nothing to the others, and nothing ever needs a savepoint. A change may write with
several statements; if it raises between them, that fails the transaction, as an error of SQLite's
does, and with it all changes in it. Half a change is never committed.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

from tusjumbo.catalogs.database import Line, meaning
from tusjumbo.settings import Durability

T = TypeVar("T")


class Commits(Line):
    def __init__(self, path: Path, durability: Durability) -> None:
        super().__init__(path, durability)
        self._waiting: deque[Change[Any]] = deque()

    def carry_out(self, changes: Sequence[Change[Any]]) -> None:
        """Settle them: each is committed then, or has failed."""
        self._waiting.extend(changes)
        with self.lock:
            if not all(change.settled for change in changes):
                self._settle()

    def _settle(self) -> None:
        changes = [self._waiting.popleft() for _ in range(len(self._waiting))]
        try:
            with self.connection() as connection:
                connection.execute("BEGIN IMMEDIATE")
                for change in changes:
                    change.carry_out(connection)
                connection.execute("COMMIT")
        except BaseException as error:
            for change in changes:
                change.fail(error)
        for change in changes:
            change.settled = True

    def forget(self) -> None:
        self._waiting.clear()


class Change(Generic[T]):
    """What somebody wants recorded, and what came of it."""

    __slots__ = ("_error", "_failure", "_result", "_work", "settled")

    def __init__(self, work: Callable[[sqlite3.Connection], T]) -> None:
        self._work = work
        self._result: T
        self._error: BaseException | None = None
        self._failure: BaseException | None = None
        self.settled = False

    def carry_out(self, connection: sqlite3.Connection) -> None:
        """Do it. What it raises concerns this change alone, if it has written nothing so far.

        Otherwise, and if it is SQLite's, it concerns all, and is raised.
        """
        before = connection.total_changes
        try:
            self._result = self._work(connection)
        except sqlite3.Error:
            raise
        except BaseException as error:
            if connection.total_changes != before:
                raise
            self._error = error

    def fail(self, failure: BaseException) -> None:
        """The transaction came to nothing."""
        self._failure = failure

    def outcome(self) -> T:
        """What `work` returned, and is committed; or what it raised.

        :raises SystemFailure: nothing was committed
        """
        if self._failure is not None:
            raise meaning(self._failure) from self._failure
        if self._error is not None:
            raise self._error
        return self._result
