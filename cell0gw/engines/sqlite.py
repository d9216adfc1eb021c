"""The disk of the single process: one SQLite file, written by one thread.

Every write waits for its transaction to be on disk (WAL, ``synchronous=FULL``). The writes that gather while the
thread is busy share the next transaction.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any, Final

import msgspec
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorFromThreads
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from cell0gw.errors import Unavailable
from cell0gw.interfaces import ITokenStore
from cell0gw.tokens import TokenRecord

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
)
"""What brings the schema of each version to the next; C{PRAGMA user_version} counts those done. Only ever add one."""

_MAX_GROUP: Final = 1000

Job = Callable[[sqlite3.Connection], Any]


class SchemaTooNew(Exception):
    """A later release has written this file."""


class Database:
    """One SQLite file and the thread that writes it.

    @param path: the file; made, with mode 0600, when there is none.
    @param reactor: the results come back on its thread.
    @ivar rollbacks: how many transactions, or parts of them, came to nothing; changed by the writer's thread alone.
    """

    log = Logger()

    def __init__(self, path: Path, reactor: IReactorFromThreads) -> None:
        self._path = path
        self._reactor = reactor
        self._jobs: SimpleQueue[tuple[Job, Deferred[Any]] | None] = SimpleQueue()
        self._thread: Thread | None = None
        self._connection: sqlite3.Connection | None = None
        self.rollbacks = 0

    def open(self) -> None:
        """Open the file and bring its schema up to date. No process may fork before it is closed again.

        @raise SchemaTooNew: the file is of a later release.
        @raise sqlite3.Error: the file can't be opened, read or written.
        @raise OSError: the file can't be made, or not be written.
        """
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
        self._connection = self._connect()

    def read(self, query: str) -> list[Any]:
        """The rows of a query, at once: for the time before the first write."""
        assert self._connection is not None
        return self._connection.execute(query).fetchall()

    def write(self, job: Job) -> Deferred[Any]:
        """Run a job in a transaction.

        @param job: called with the connection, on the writer's thread.
        @return: fires with what the job returned once that is on disk; fails with L{Unavailable} when it could not be
            written.
        """
        if self._connection is None:
            return fail(Unavailable("Storage is closed"))
        if self._thread is None:
            self._thread = Thread(target=self._work, name="cell0gw-sqlite", daemon=True)
            self._thread.start()
        deferred: Deferred[Any] = Deferred()
        self._jobs.put((job, deferred))
        return deferred

    def close(self) -> None:
        """Finish what was asked for, then close the file. Its last results are delivered in a later reactor turn."""
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join()
            self._thread = None
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=5)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            _migrate(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _work(self) -> None:
        """The thread: take all that waits, write it in one transaction, tell."""
        while True:
            group = [self._jobs.get()]
            while not self._jobs.empty() and len(group) < _MAX_GROUP and group[-1] is not None:
                group.append(self._jobs.get())
            jobs = [entry for entry in group if entry is not None]
            if jobs:
                self._reactor.callFromThread(_deliver, self._commit(jobs))
            if len(jobs) < len(group):
                return

    def _commit(self, jobs: list[tuple[Job, Deferred[Any]]]) -> list[tuple[Deferred[Any], Any]]:
        """One transaction for all; a job that fails takes back only its own part."""
        connection = self._connection
        assert connection is not None
        try:
            connection.execute("BEGIN IMMEDIATE")
            outcomes = [(deferred, self._attempt(connection, job)) for job, deferred in jobs]
            connection.execute("COMMIT")
            return outcomes
        except Exception:
            self.rollbacks += 1
            self.log.failure("could not write to {path}", path=str(self._path))
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            return [(deferred, Failure(Unavailable("Storage is out of order"))) for _, deferred in jobs]

    def _attempt(self, connection: sqlite3.Connection, job: Job) -> Any:
        connection.execute("SAVEPOINT job")
        try:
            outcome = job(connection)
        except sqlite3.IntegrityError:
            outcome = Failure()
            self.rollbacks += 1
            connection.execute("ROLLBACK TO job")
        connection.execute("RELEASE job")
        return outcome


def _deliver(outcomes: list[tuple[Deferred[Any], Any]]) -> None:
    for deferred, outcome in outcomes:
        deferred.callback(outcome)  # a Failure takes the errback path


def _migrate(connection: sqlite3.Connection) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > len(MIGRATIONS):
        raise SchemaTooNew(f"its schema has version {version}, this release knows {len(MIGRATIONS)}")
    for done, script in enumerate(MIGRATIONS[version:], version + 1):
        connection.executescript(f"BEGIN IMMEDIATE; {script}; PRAGMA user_version={done}; COMMIT")


@implementer(ITokenStore)
class SQLiteTokenStore:
    """Token records in a L{Database}."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def load(self) -> list[TokenRecord]:
        """See L{ITokenStore}."""
        columns = ", ".join(TokenRecord.__struct_fields__)
        rows = self._database.read(f"SELECT {columns} FROM tokens")
        return [_record(dict(zip(TokenRecord.__struct_fields__, row, strict=True))) for row in rows]

    def add(self, record: TokenRecord) -> Deferred[Any]:
        """See L{ITokenStore}."""
        row = msgspec.structs.asdict(record)
        row["permissions"] = msgspec.json.encode(record.permissions).decode()
        names, places = ", ".join(row), ", ".join(f":{name}" for name in row)
        return self._database.write(
            lambda c: c.execute(f"INSERT INTO tokens ({names}) VALUES ({places})", row) and None
        )

    def revoke(self, token_ids: list[str]) -> Deferred[Any]:
        """See L{ITokenStore}."""
        rows = [(token_id,) for token_id in token_ids]
        return self._database.write(
            lambda c: c.executemany("UPDATE tokens SET revoked = 1 WHERE token_id = ?", rows) and None
        )

    def remove(self, token_ids: list[str]) -> Deferred[Any]:
        """See L{ITokenStore}."""
        rows = [(token_id,) for token_id in token_ids]
        return self._database.write(lambda c: c.executemany("DELETE FROM tokens WHERE token_id = ?", rows) and None)


def _record(row: dict[str, Any]) -> TokenRecord:
    row["permissions"] = tuple(msgspec.json.decode(row["permissions"]))
    row["revoked"] = bool(row["revoked"])
    return TokenRecord(**row)
