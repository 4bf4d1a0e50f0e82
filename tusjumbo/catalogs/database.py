"""Database: opens the SQLite file, brings it up to date, and says what its errors mean.

A `Line` is one connection with a lock: opened when first needed, dropped after any failure (which
ends whatever transaction it was in) and opened again by the next user. Lines know nothing of
sessions; the schema is a list of steps, and `PRAGMA user_version` says how many were taken.

A forked child must not use what its parent has open (sqlite.org/howtocorrupt.html, 2.6), not even
close it, and SQLite itself remembers in the child which locks the parent held. So nothing is open
while a process forks: each line is waited for and dropped, and opened again by whoever needs it.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tusjumbo import directories
from tusjumbo.errors import CatalogFailed, ConfigurationError, StorageFull, TusJumboError
from tusjumbo.settings import Durability

PATIENCE = 10.0
"""Seconds to wait for another connection's transaction. Ours take milliseconds."""

_LOG_LIMIT = "PRAGMA journal_size_limit = 16777216"
"""A log that has grown beyond 16 MiB gives the rest back when it begins anew."""

STEPS: Sequence[Sequence[str]] = (
    (
        """CREATE TABLE sessions (
            id TEXT NOT NULL PRIMARY KEY,
            created_at REAL NOT NULL,
            updated_at REAL NOT NULL,
            length INTEGER,
            ranges TEXT NOT NULL,
            phase TEXT NOT NULL,
            metadata TEXT NOT NULL,
            echo TEXT NOT NULL,
            chunk_size INTEGER NOT NULL,
            expires_at REAL,
            receipt_path TEXT,
            due_at REAL
        )""",
        "CREATE INDEX sessions_by_phase ON sessions (phase, id)",
        "CREATE INDEX sessions_due ON sessions (due_at, id) WHERE due_at IS NOT NULL",
    ),
    (
        "ALTER TABLE sessions ADD COLUMN kind TEXT NOT NULL DEFAULT 'whole'",
        "ALTER TABLE sessions ADD COLUMN parts TEXT NOT NULL DEFAULT '[]'",
        """CREATE TABLE awaited (
            part_id TEXT NOT NULL,
            upload_id TEXT NOT NULL,
            PRIMARY KEY (part_id, upload_id)
        ) WITHOUT ROWID""",
        "CREATE INDEX awaited_by ON awaited (upload_id)",
        # Which pending uploads have a part follows from their rows, whoever writes these.
        """CREATE TRIGGER awaits AFTER INSERT ON sessions
            WHEN NEW.kind = 'final' AND NEW.phase = 'open'
            BEGIN
                INSERT OR IGNORE INTO awaited SELECT value, NEW.id FROM json_each(NEW.parts);
            END""",
        """CREATE TRIGGER awaits_others AFTER UPDATE ON sessions
            WHEN (OLD.phase, OLD.kind, OLD.parts) IS NOT (NEW.phase, NEW.kind, NEW.parts)
            BEGIN
                DELETE FROM awaited WHERE upload_id = NEW.id;
                INSERT OR IGNORE INTO awaited SELECT value, NEW.id FROM json_each(NEW.parts)
                    WHERE NEW.kind = 'final' AND NEW.phase = 'open';
            END""",
        """CREATE TRIGGER awaits_no_more AFTER DELETE ON sessions WHEN OLD.kind = 'final'
            BEGIN
                DELETE FROM awaited WHERE upload_id = OLD.id;
            END""",
    ),
    (
        "ALTER TABLE sessions ADD COLUMN rate REAL",
        """CREATE TABLE chunks (
            upload_id TEXT NOT NULL,
            number INTEGER NOT NULL,
            sha256 BLOB NOT NULL,
            recorded_at REAL NOT NULL,
            PRIMARY KEY (upload_id, number)
        ) WITHOUT ROWID""",
        """CREATE TRIGGER forgets_chunks AFTER DELETE ON sessions
            BEGIN
                DELETE FROM chunks WHERE upload_id = OLD.id;
            END""",
        # How many are open, and how large these are, is read from this alone. It changes with the
        # phase and the length of an upload, but not with every commit.
        "CREATE INDEX sessions_sizes ON sessions (phase, length)",
        # What was begun and finished in each quarter of an hour. It stays when uploads go, and
        # what a day or a week comes to is read from some hundred rows. Parts are no files.
        """CREATE TABLE tallies (
            quarter INTEGER NOT NULL PRIMARY KEY,
            started INTEGER NOT NULL DEFAULT 0,
            finished INTEGER NOT NULL DEFAULT 0,
            bytes REAL NOT NULL DEFAULT 0,
            seconds REAL NOT NULL DEFAULT 0
        )""",
        """CREATE TRIGGER starts AFTER INSERT ON sessions WHEN NEW.kind <> 'partial'
            BEGIN
                INSERT INTO tallies (quarter, started) VALUES (CAST(NEW.created_at / 900 AS INT), 1)
                    ON CONFLICT (quarter) DO UPDATE SET started = started + 1;
            END""",
        """CREATE TRIGGER finishes AFTER UPDATE OF phase ON sessions
            WHEN NEW.phase = 'done' AND OLD.phase <> 'done'
            BEGIN
                INSERT INTO tallies (quarter, finished, bytes, seconds)
                    VALUES (CAST(NEW.updated_at / 900 AS INT), 1, COALESCE(NEW.length, 0),
                        NEW.updated_at - NEW.created_at)
                    ON CONFLICT (quarter) DO UPDATE SET finished = finished + 1,
                        bytes = bytes + excluded.bytes, seconds = seconds + excluded.seconds;
            END""",
        """INSERT INTO tallies (quarter, started)
            SELECT CAST(created_at / 900 AS INT), COUNT(*) FROM sessions
            WHERE kind <> 'partial' GROUP BY 1""",
        """INSERT INTO tallies (quarter, finished, bytes, seconds)
            SELECT CAST(updated_at / 900 AS INT), COUNT(*), TOTAL(length),
                TOTAL(updated_at - created_at)
            FROM sessions WHERE phase = 'done' GROUP BY 1
            ON CONFLICT (quarter) DO UPDATE SET finished = excluded.finished,
                bytes = excluded.bytes, seconds = excluded.seconds""",
    ),
    (
        "ALTER TABLE sessions ADD COLUMN owner TEXT",
        "ALTER TABLE sessions ADD COLUMN destination TEXT",
        "ALTER TABLE sessions ADD COLUMN attempts INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE sessions ADD COLUMN retry_at REAL",
        "ALTER TABLE sessions ADD COLUMN receipt_answer TEXT",
        "ALTER TABLE sessions ADD COLUMN receipt_is_here INTEGER NOT NULL DEFAULT 1",
        # What each owner holds, so that a quota is checked without counting. `held` is a session's
        # share in it, given with every change of the row (`tusjumbo.sessions.quotas`).
        "ALTER TABLE sessions ADD COLUMN held INTEGER NOT NULL DEFAULT 0",
        """CREATE TABLE owners (
            owner TEXT NOT NULL PRIMARY KEY,
            bytes INTEGER NOT NULL,
            uploads INTEGER NOT NULL
        ) WITHOUT ROWID""",
        """CREATE TRIGGER owns AFTER INSERT ON sessions WHEN NEW.owner IS NOT NULL
            BEGIN
                INSERT INTO owners VALUES (NEW.owner, NEW.held, NEW.phase = 'open')
                    ON CONFLICT (owner) DO UPDATE SET
                        bytes = bytes + excluded.bytes, uploads = uploads + excluded.uploads;
            END""",
        """CREATE TRIGGER owns_other AFTER UPDATE OF phase, held ON sessions
            WHEN NEW.owner IS NOT NULL
            BEGIN
                UPDATE owners SET bytes = bytes + NEW.held - OLD.held,
                    uploads = uploads + (NEW.phase = 'open') - (OLD.phase = 'open')
                    WHERE owner = NEW.owner;
            END""",
        """CREATE TRIGGER owns_no_more AFTER DELETE ON sessions WHEN OLD.owner IS NOT NULL
            BEGIN
                UPDATE owners SET bytes = bytes - OLD.held, uploads = uploads - (OLD.phase = 'open')
                    WHERE owner = OLD.owner;
                DELETE FROM owners WHERE owner = OLD.owner AND bytes = 0 AND uploads = 0
                    AND NOT EXISTS (SELECT 1 FROM sessions WHERE owner = OLD.owner);
            END""",
        "CREATE INDEX sessions_by_owner ON sessions (owner) WHERE owner IS NOT NULL",
        # `due_at` is NULL when it has been told, or will not be.
        """CREATE TABLE outbox (
            number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
            key TEXT NOT NULL,
            hook TEXT NOT NULL,
            upload_id TEXT NOT NULL,
            receiver TEXT NOT NULL,
            session TEXT NOT NULL,
            origin TEXT NOT NULL,
            created_at REAL NOT NULL,
            due_at REAL,
            attempts INTEGER NOT NULL,
            told_at REAL,
            problem TEXT NOT NULL
        )""",
        "CREATE INDEX outbox_due ON outbox (receiver, due_at) WHERE due_at IS NOT NULL",
        """CREATE INDEX outbox_waiting ON outbox (upload_id, receiver, number)
            WHERE due_at IS NOT NULL""",
        "CREATE INDEX outbox_in_order ON outbox (number) WHERE due_at IS NOT NULL",
        "CREATE INDEX outbox_by_upload ON outbox (upload_id, number)",
        """CREATE INDEX outbox_over ON outbox (COALESCE(told_at, created_at))
            WHERE due_at IS NULL""",
    ),
)
"""What makes a database of version n one of version n + 1. Steps are added, never changed."""

_FULL = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE}
"""SQLITE_IOERR_SHMSIZE: the index of the log could not be extended."""

_SYNCHRONOUS = {
    # WAL: "With synchronous=FULL an additional sync of the WAL file happens after each
    # transaction commit" (sqlite.org/pragma.html), which is what makes a commit durable.
    Durability.COMMIT: "PRAGMA synchronous = FULL",
    # NORMAL syncs only when the log is written back: recent commits may go with the machine, but
    # never the database. OFF would risk all of it for some microseconds per commit.
    Durability.OS: "PRAGMA synchronous = NORMAL",
}


def meaning(error: BaseException) -> TusJumboError:
    """What to raise from an error that working with the database met."""
    if isinstance(error, ConfigurationError):
        return ConfigurationError(*error.args)
    full = (
        error.errno in (errno.ENOSPC, errno.EDQUOT)
        if isinstance(error, OSError)
        else getattr(error, "sqlite_errorcode", None) in _FULL
    )
    return StorageFull() if full else CatalogFailed()


class Line:
    """One connection, for one user at a time."""

    def __init__(self, path: Path, durability: Durability) -> None:
        self._path = path
        self._durability = durability
        self._connection: sqlite3.Connection | None = None
        self.lock = threading.Lock()
        with _forking:
            _lines.add(self)

    @contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        """The connection, for a caller that holds `lock`. It is dropped if the block raises.

        :raises sqlite3.Error: :raises OSError: see `meaning`
        :raises ConfigurationError: the database is a newer program's, or cannot have a log
        """
        try:
            if self._connection is None:
                self._connection = self._open()
            yield self._connection
        except BaseException:
            self.drop()
            raise

    def drop(self) -> None:
        """Close the connection, if there is one; what it had not committed is gone."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    def forget(self) -> None:
        """In a forked child: forget what others of its parent's threads were about to do."""

    def _open(self) -> sqlite3.Connection:
        directories.make(self._path.parent, self._durability)
        connection = sqlite3.connect(
            self._path, timeout=PATIENCE, isolation_level=None, check_same_thread=False
        )
        try:
            _keep_log(connection)
            connection.execute(_SYNCHRONOUS[self._durability])
            connection.execute(_LOG_LIMIT)
            _migrate(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def __del__(self) -> None:
        self.drop()


def _keep_log(connection: sqlite3.Connection) -> None:
    """Put the database into WAL mode, where it stays for good.

    While another process does the same, SQLite may say "locked" without waiting.
    """
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            break
    if mode != "wal":
        raise ConfigurationError("upload_dir: SQLite cannot share a database on this file system")


def _migrate(connection: sqlite3.Connection) -> None:
    if _version(connection) == len(STEPS):
        return
    connection.execute("BEGIN IMMEDIATE")
    for step in STEPS[_version(connection) :]:
        for statement in step:
            connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {len(STEPS)}")
    connection.execute("COMMIT")


def _version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if not 0 <= version <= len(STEPS):
        raise ConfigurationError(
            f"upload_dir: its catalog has version {version}, this program knows {len(STEPS)}"
        )
    return int(version)


_lines: weakref.WeakSet[Line] = weakref.WeakSet()
_forking = threading.Lock()
_held: list[Line] = []


def _before_fork() -> None:
    _forking.acquire()
    _held.extend(_lines)
    for line in _held:
        line.lock.acquire()
        line.drop()


def _after_fork() -> None:
    for line in _held:
        line.lock.release()
    _held.clear()
    _forking.release()


def _after_fork_in_child() -> None:
    for line in _held:
        line.forget()
    _after_fork()


os.register_at_fork(
    before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork_in_child
)
