"""The engine of the single process."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from zope.interface import implementer

from cell0gw.agents.mail.store import IMailStore
from cell0gw.auth.store import ITokenStore
from cell0gw.channels.store import IMessageStore
from cell0gw.engines.interfaces import EngineError, IEngine
from cell0gw.engines.sqlite.database import Database
from cell0gw.engines.sqlite.file import has_space
from cell0gw.engines.sqlite.mail import SQLiteMailStore
from cell0gw.engines.sqlite.messages import SQLiteMessageStore
from cell0gw.engines.sqlite.outage import Damaged, advice
from cell0gw.engines.sqlite.room import Room
from cell0gw.engines.sqlite.schema import SchemaTooNew
from cell0gw.engines.sqlite.tasks.store import SQLiteTaskStore
from cell0gw.engines.sqlite.tokens import SQLiteTokenStore
from cell0gw.tasks.store import ITaskStore

FIRST_CHECK: Final = 0.5
"""Maximum seconds that the file is checked for damage before the start."""


@implementer(IEngine)
class SQLiteEngine:
    """Stores in one SQLite file.

    @param path: the file; made when there is none.
    @param max_size: bytes to which durable messages may fill the file; beyond it they are refused.
    @param max_dead: maximum bytes of dead letters.
    @param reactor: results come back on its thread; L{probe} does without.
    """

    def __init__(self, path: Path, max_size: int, max_dead: int, reactor: IReactorFromThreads) -> None:
        self._path = path
        self._database = Database(path, reactor, tell=self._tell)
        self.tokens: ITokenStore = SQLiteTokenStore(self._database)
        room = Room(self._database, max_size, max_dead)
        self.messages: IMessageStore = SQLiteMessageStore(self._database, room)
        self.mail: IMailStore = SQLiteMailStore(self._database, room)
        self.tasks: ITaskStore = SQLiteTaskStore(self._database, room)
        self.changed: list[Callable[[str | None], object]] = []

    def probe(self) -> None:
        """See L{IEngine}."""
        with self._explained():
            try:
                self._database.open()
                self._database.check(FIRST_CHECK)
                self.tokens.load()
            finally:
                self._database.close()

    def open(self) -> None:
        """See L{IEngine}."""
        with self._explained():
            self._database.open()

    def written(self) -> Deferred[None]:
        """See L{IEngine}."""
        return self._database.write(lambda connection: None)

    def close(self) -> None:
        """See L{IEngine}."""
        self._database.close()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """What is wrong with the file as L{EngineError}."""
        try:
            yield
        except SchemaTooNew as problem:
            raise EngineError(f"{self._path} is of a later release, {problem}: run that one") from None
        except (sqlite3.Error, Damaged, msgspec.MsgspecError, OSError) as problem:
            raise EngineError(advice(self._path, problem, has_space(self._path))) from None

    def _tell(self, cause: str | None) -> None:
        for tell in self.changed:
            tell(cause)
