"""The catalog's file, read and written by hand: what the catalog's own code is compared with."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from sqlite3 import Connection, Row, connect

from tusjumbo.sessions.quotas import held
from tusjumbo.sessions.ranges import RangeSet
from tusjumbo.sessions.session import Answer, Kind, Phase, Receipt, UploadSession

VERSION_1 = """
    CREATE TABLE sessions (
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
    );
    CREATE INDEX sessions_by_phase ON sessions (phase, id);
    CREATE INDEX sessions_due ON sessions (due_at, id) WHERE due_at IS NOT NULL;
    PRAGMA user_version = 1;
"""
VERSION_2 = """
    ALTER TABLE sessions ADD COLUMN kind TEXT NOT NULL DEFAULT 'whole';
    ALTER TABLE sessions ADD COLUMN parts TEXT NOT NULL DEFAULT '[]';
    CREATE TABLE awaited (
        part_id TEXT NOT NULL,
        upload_id TEXT NOT NULL,
        PRIMARY KEY (part_id, upload_id)
    ) WITHOUT ROWID;
    CREATE INDEX awaited_by ON awaited (upload_id);
    CREATE TRIGGER awaits AFTER INSERT ON sessions
        WHEN NEW.kind = 'final' AND NEW.phase = 'open'
        BEGIN
            INSERT OR IGNORE INTO awaited SELECT value, NEW.id FROM json_each(NEW.parts);
        END;
    CREATE TRIGGER awaits_others AFTER UPDATE ON sessions
        WHEN (OLD.phase, OLD.kind, OLD.parts) IS NOT (NEW.phase, NEW.kind, NEW.parts)
        BEGIN
            DELETE FROM awaited WHERE upload_id = NEW.id;
            INSERT OR IGNORE INTO awaited SELECT value, NEW.id FROM json_each(NEW.parts)
                WHERE NEW.kind = 'final' AND NEW.phase = 'open';
        END;
    CREATE TRIGGER awaits_no_more AFTER DELETE ON sessions WHEN OLD.kind = 'final'
        BEGIN
            DELETE FROM awaited WHERE upload_id = OLD.id;
        END;
    PRAGMA user_version = 2;
"""
VERSION_3 = """
    ALTER TABLE sessions ADD COLUMN rate REAL;
    CREATE TABLE chunks (
            upload_id TEXT NOT NULL,
            number INTEGER NOT NULL,
            sha256 BLOB NOT NULL,
            recorded_at REAL NOT NULL,
            PRIMARY KEY (upload_id, number)
        ) WITHOUT ROWID;
    CREATE TRIGGER forgets_chunks AFTER DELETE ON sessions
            BEGIN
                DELETE FROM chunks WHERE upload_id = OLD.id;
            END;
    CREATE INDEX sessions_sizes ON sessions (phase, length);
    CREATE TABLE tallies (
            quarter INTEGER NOT NULL PRIMARY KEY,
            started INTEGER NOT NULL DEFAULT 0,
            finished INTEGER NOT NULL DEFAULT 0,
            bytes REAL NOT NULL DEFAULT 0,
            seconds REAL NOT NULL DEFAULT 0
        );
    CREATE TRIGGER starts AFTER INSERT ON sessions WHEN NEW.kind <> 'partial'
            BEGIN
                INSERT INTO tallies (quarter, started) VALUES (CAST(NEW.created_at / 900 AS INT), 1)
                    ON CONFLICT (quarter) DO UPDATE SET started = started + 1;
            END;
    CREATE TRIGGER finishes AFTER UPDATE OF phase ON sessions
            WHEN NEW.phase = 'done' AND OLD.phase <> 'done'
            BEGIN
                INSERT INTO tallies (quarter, finished, bytes, seconds)
                    VALUES (CAST(NEW.updated_at / 900 AS INT), 1, COALESCE(NEW.length, 0),
                        NEW.updated_at - NEW.created_at)
                    ON CONFLICT (quarter) DO UPDATE SET finished = finished + 1,
                        bytes = bytes + excluded.bytes, seconds = seconds + excluded.seconds;
            END;
    INSERT INTO tallies (quarter, started)
            SELECT CAST(created_at / 900 AS INT), COUNT(*) FROM sessions
            WHERE kind <> 'partial' GROUP BY 1;
    INSERT INTO tallies (quarter, finished, bytes, seconds)
            SELECT CAST(updated_at / 900 AS INT), COUNT(*), TOTAL(length),
                TOTAL(updated_at - created_at)
            FROM sessions WHERE phase = 'done' GROUP BY 1
            ON CONFLICT (quarter) DO UPDATE SET finished = excluded.finished,
                bytes = excluded.bytes, seconds = excluded.seconds;
    PRAGMA user_version = 3;
"""
VERSION_4 = """
    ALTER TABLE sessions ADD COLUMN owner TEXT;
    ALTER TABLE sessions ADD COLUMN destination TEXT;
    ALTER TABLE sessions ADD COLUMN attempts INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE sessions ADD COLUMN retry_at REAL;
    ALTER TABLE sessions ADD COLUMN receipt_answer TEXT;
    ALTER TABLE sessions ADD COLUMN receipt_is_here INTEGER NOT NULL DEFAULT 1;
    ALTER TABLE sessions ADD COLUMN held INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE owners (
            owner TEXT NOT NULL PRIMARY KEY,
            bytes INTEGER NOT NULL,
            uploads INTEGER NOT NULL
        ) WITHOUT ROWID;
    CREATE TRIGGER owns AFTER INSERT ON sessions WHEN NEW.owner IS NOT NULL
            BEGIN
                INSERT INTO owners VALUES (NEW.owner, NEW.held, NEW.phase = 'open')
                    ON CONFLICT (owner) DO UPDATE SET
                        bytes = bytes + excluded.bytes, uploads = uploads + excluded.uploads;
            END;
    CREATE TRIGGER owns_other AFTER UPDATE OF phase, held ON sessions
            WHEN NEW.owner IS NOT NULL
            BEGIN
                UPDATE owners SET bytes = bytes + NEW.held - OLD.held,
                    uploads = uploads + (NEW.phase = 'open') - (OLD.phase = 'open')
                    WHERE owner = NEW.owner;
            END;
    CREATE TRIGGER owns_no_more AFTER DELETE ON sessions WHEN OLD.owner IS NOT NULL
            BEGIN
                UPDATE owners SET bytes = bytes - OLD.held, uploads = uploads - (OLD.phase = 'open')
                    WHERE owner = OLD.owner;
                DELETE FROM owners WHERE owner = OLD.owner AND bytes = 0 AND uploads = 0
                    AND NOT EXISTS (SELECT 1 FROM sessions WHERE owner = OLD.owner);
            END;
    CREATE INDEX sessions_by_owner ON sessions (owner) WHERE owner IS NOT NULL;
    CREATE TABLE outbox (
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
        );
    CREATE INDEX outbox_due ON outbox (receiver, due_at) WHERE due_at IS NOT NULL;
    CREATE INDEX outbox_waiting ON outbox (upload_id, receiver, number)
            WHERE due_at IS NOT NULL;
    CREATE INDEX outbox_in_order ON outbox (number) WHERE due_at IS NOT NULL;
    CREATE INDEX outbox_by_upload ON outbox (upload_id, number);
    CREATE INDEX outbox_over ON outbox (COALESCE(told_at, created_at))
            WHERE due_at IS NULL;
    PRAGMA user_version = 4;
"""


@contextmanager
def connected(path: Path) -> Iterator[Connection]:
    """A connection of our own to the database, which is made if need be."""
    with closing(connect(path, isolation_level=None, timeout=30.0)) as connection:
        connection.execute("PRAGMA journal_mode = WAL").fetchall()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if not version:
            connection.executescript(VERSION_1 + VERSION_2 + VERSION_3 + VERSION_4)
        yield connection


def plant(path: Path, sessions: Iterable[UploadSession]) -> None:
    with connected(path) as connection:
        connection.execute("BEGIN")
        connection.executemany(
            f"INSERT INTO sessions VALUES ({','.join('?' * 22)})",
            (
                (
                    session.id,
                    session.created_at,
                    session.updated_at,
                    session.length,
                    ",".join(f"{start}-{stop}" for start, stop in session.ranges.runs),
                    session.phase.name.lower(),
                    json.dumps(
                        {
                            key: base64.b64encode(value).decode()
                            for key, value in session.metadata.items()
                        }
                    ),
                    json.dumps(dict(session.echo)),
                    session.chunk_size,
                    session.expires_at,
                    session.receipt.path if session.receipt else None,
                    session.due_at,
                    session.kind.name.lower(),
                    json.dumps(list(session.parts)),
                    session.rate,
                    session.owner,
                    session.destination,
                    session.attempts,
                    session.retry_at,
                    written_answer(session.receipt),
                    int(session.receipt is None or session.receipt.is_here),
                    held(session) if session.owner is not None else 0,
                )
                for session in sessions
            ),
        )
        connection.execute("COMMIT")


def recorded(path: Path, upload_id: str) -> UploadSession | None:
    with connected(path) as connection:
        connection.row_factory = Row
        row = connection.execute("SELECT * FROM sessions WHERE id = ?", (upload_id,)).fetchone()
    if row is None:
        return None
    runs = [run.split("-") for run in row["ranges"].split(",") if run]
    session = UploadSession(
        id=row["id"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        length=row["length"],
        ranges=RangeSet(tuple((int(start), int(stop)) for start, stop in runs)),
        phase=Phase[row["phase"].upper()],
        metadata={
            key: base64.b64decode(value) for key, value in json.loads(row["metadata"]).items()
        },
        echo=json.loads(row["echo"]),
        chunk_size=row["chunk_size"],
        expires_at=row["expires_at"],
        receipt=receipt_in(row),
        kind=Kind[row["kind"].upper()],
        parts=tuple(json.loads(row["parts"])),
        rate=row["rate"],
        owner=row["owner"],
        destination=row["destination"],
        attempts=row["attempts"],
        retry_at=row["retry_at"],
    )
    assert row["due_at"] == session.due_at
    assert row["held"] == (held(session) if session.owner is not None else 0)
    return session


def written_answer(receipt: Receipt | None) -> str | None:
    if receipt is None or receipt.answer is None:
        return None
    answer = receipt.answer
    body = base64.b64encode(answer.body).decode()
    return json.dumps([answer.status, dict(answer.headers), body])


def receipt_in(row: Row) -> Receipt | None:
    if row["receipt_path"] is None:
        return None
    answer = None
    if row["receipt_answer"] is not None:
        status, headers, body = json.loads(row["receipt_answer"])
        answer = Answer(status, headers, base64.b64decode(body))
    return Receipt(row["receipt_path"], answer, {0: False, 1: True}[row["receipt_is_here"]])
