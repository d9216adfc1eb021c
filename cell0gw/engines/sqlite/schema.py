"""The tables of the gateway's SQLite file, and how those of earlier releases become them."""

from __future__ import annotations

import sqlite3
from typing import Final

MIGRATIONS: Final[tuple[str, ...]] = (
    """
    CREATE TABLE tokens (
        token_id TEXT PRIMARY KEY,
        digest TEXT NOT NULL UNIQUE,
        entity_id TEXT NOT NULL,
        entity_type TEXT NOT NULL,
        permissions TEXT NOT NULL,
        issued_at REAL NOT NULL,
        expires_at REAL,
        issued_by TEXT,
        revoked INTEGER NOT NULL DEFAULT 0
    ) STRICT, WITHOUT ROWID;
    """,
    """
    CREATE TABLE channels (
        channel_id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        epoch TEXT NOT NULL
    ) STRICT;
    CREATE TABLE messages (
        position INTEGER PRIMARY KEY,
        time REAL NOT NULL,
        sender TEXT NOT NULL,
        message BLOB NOT NULL
    ) STRICT;
    CREATE TABLE keys (
        entity_id TEXT NOT NULL,
        method TEXT NOT NULL,
        key TEXT NOT NULL,
        digest BLOB NOT NULL,
        offset INTEGER NOT NULL,
        epoch TEXT NOT NULL,
        time REAL NOT NULL,
        PRIMARY KEY (entity_id, method, key)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX keys_by_time ON keys (time);
    """,
    """
    CREATE TABLE secrets (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
    INSERT INTO secrets VALUES ('provenance', randomblob(32));
    CREATE TABLE holders (entity_id TEXT PRIMARY KEY, time REAL NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE letters (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT,
        message_id TEXT NOT NULL UNIQUE,
        recipient TEXT NOT NULL,
        sender TEXT NOT NULL,
        sender_type TEXT NOT NULL,
        conversation_id TEXT NOT NULL,
        in_reply_to TEXT,
        hops INTEGER NOT NULL,
        message BLOB NOT NULL,
        time REAL NOT NULL,
        expires_at REAL NOT NULL,
        receipts INTEGER NOT NULL,
        method TEXT,
        key TEXT,
        digest BLOB,
        status TEXT NOT NULL,
        settled REAL
    ) STRICT;
    CREATE INDEX letters_waiting ON letters (recipient, sequence) WHERE settled IS NULL;
    CREATE INDEX letters_by_expiry ON letters (expires_at) WHERE settled IS NULL;
    CREATE INDEX letters_by_settlement ON letters (settled) WHERE settled IS NOT NULL;
    CREATE UNIQUE INDEX letters_by_key ON letters (sender, method, key) WHERE key IS NOT NULL;
    CREATE INDEX letters_dead ON letters (sequence) WHERE settled IS NOT NULL AND message <> x'';
    CREATE TABLE receipts (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        message_id TEXT NOT NULL,
        sender TEXT NOT NULL,
        status TEXT NOT NULL,
        time REAL NOT NULL,
        detail TEXT,
        told REAL
    ) STRICT;
    CREATE INDEX receipts_of_letter ON receipts (message_id);
    CREATE INDEX receipts_untold ON receipts (sender, number) WHERE told IS NULL;
    CREATE INDEX receipts_told ON receipts (sender, told);
    """,
    """
    ALTER TABLE tokens ADD COLUMN renew_until REAL;
    ALTER TABLE tokens ADD COLUMN renewed_from TEXT;
    CREATE INDEX tokens_by_renewal ON tokens (renewed_from) WHERE renewed_from IS NOT NULL;
    """,
    """
    CREATE TABLE shares (
        channel_id INTEGER NOT NULL,
        sender TEXT NOT NULL,
        bytes INTEGER NOT NULL,
        PRIMARY KEY (channel_id, sender)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO shares
        SELECT position / 1099511627776, sender, SUM(LENGTH(message) + 64) FROM messages GROUP BY 1, 2;
    CREATE INDEX letters_dead_of_sender ON letters (sender, sequence) WHERE settled IS NOT NULL AND message <> x'';
    """,
    """
    CREATE TABLE dates (name TEXT PRIMARY KEY, date REAL NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE redated (first REAL NOT NULL, last REAL NOT NULL, seconds REAL NOT NULL) STRICT;
    """,
    """
    CREATE INDEX receipts_with_detail ON receipts (sender, number) WHERE detail IS NOT NULL;
    """,
    """
    ALTER TABLE letters ADD COLUMN attempts INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE letters ADD COLUMN failures INTEGER NOT NULL DEFAULT 0;
    """,
    """
    CREATE TABLE tasks (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        task_id TEXT NOT NULL UNIQUE,
        epoch TEXT NOT NULL,
        creator TEXT NOT NULL,
        creator_type TEXT NOT NULL,
        target TEXT NOT NULL,
        root TEXT NOT NULL,
        hops INTEGER NOT NULL,
        in_reply_to TEXT,
        policy TEXT NOT NULL,
        sticky TEXT,
        timeout REAL,
        idle REAL,
        max_attempts INTEGER NOT NULL,
        keep REAL NOT NULL,
        created REAL NOT NULL,
        expires_at REAL NOT NULL,
        due REAL NOT NULL,
        status TEXT NOT NULL,
        code TEXT,
        attempt INTEGER NOT NULL,
        tries INTEGER NOT NULL,
        losses INTEGER NOT NULL,
        worker TEXT,
        held INTEGER NOT NULL,
        begun INTEGER NOT NULL,
        connected INTEGER NOT NULL,
        lease REAL,
        until REAL,
        deadline REAL,
        question TEXT,
        asked TEXT,
        asked_at INTEGER NOT NULL,
        result INTEGER NOT NULL,
        late INTEGER NOT NULL,
        oldest INTEGER NOT NULL,
        newest INTEGER NOT NULL,
        size INTEGER NOT NULL,
        events_size INTEGER NOT NULL,
        settled REAL,
        wake REAL,
        forgotten_at REAL,
        method TEXT,
        key TEXT,
        digest BLOB,
        message BLOB NOT NULL
    ) STRICT;
    CREATE INDEX tasks_waiting ON tasks (target, due, number) WHERE settled IS NULL AND held = 0;
    CREATE INDEX tasks_held ON tasks (number) WHERE held = 1;
    CREATE INDEX tasks_by_wake ON tasks (wake) WHERE wake IS NOT NULL;
    CREATE INDEX tasks_by_end ON tasks (forgotten_at) WHERE forgotten_at IS NOT NULL;
    CREATE INDEX tasks_of_creator ON tasks (creator, number);
    CREATE INDEX tasks_of_worker ON tasks (worker, number) WHERE worker IS NOT NULL;
    CREATE INDEX tasks_of_asked ON tasks (asked, number) WHERE asked IS NOT NULL;
    CREATE UNIQUE INDEX tasks_by_key ON tasks (creator, method, key) WHERE key IS NOT NULL;
    CREATE TABLE task_events (
        position INTEGER PRIMARY KEY,
        type TEXT NOT NULL,
        attempt INTEGER NOT NULL,
        data BLOB NOT NULL,
        time REAL NOT NULL
    ) STRICT;
    """,
    """
    CREATE TABLE invites (
        invite_id TEXT PRIMARY KEY,
        digest TEXT NOT NULL UNIQUE,
        entity_id TEXT NOT NULL,
        entity_type TEXT NOT NULL,
        permissions TEXT NOT NULL,
        created_at REAL NOT NULL,
        expires_at REAL NOT NULL,
        created_by TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    """,
)
"""What brings the schema of each version to the next; C{PRAGMA user_version} counts those done. Only ever add one."""


class SchemaTooNew(Exception):
    """A later release has written this file."""


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the schema up to date, each step as a whole or not at all.

    @raise SchemaTooNew: it is of a later release.
    """
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > len(MIGRATIONS):
        raise SchemaTooNew(f"its schema has version {version}, this release knows {len(MIGRATIONS)}")
    for done, script in enumerate(MIGRATIONS[version:], version + 1):
        connection.executescript(f"BEGIN IMMEDIATE; {script}; PRAGMA user_version={done}; COMMIT")
