"""Engines: the stores of a gateway, and the life that they share."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from cell0gw.agents.mail.store import IMailStore
from cell0gw.auth.store import ITokenStore
from cell0gw.channels.store import IMessageStore
from cell0gw.engines.interfaces import EngineError, IEngine
from cell0gw.engines.memory.engine import MemoryEngine
from cell0gw.engines.memory.tokens import MemoryTokenStore
from cell0gw.engines.sqlite.engine import SQLiteEngine
from cell0gw.protocol.errors import Unavailable
from tests.engines.test_token_stores import QueueReactor, record


class EngineTests:
    """What every engine keeps its word on."""

    engine: Any

    def settle(self, deferred: Deferred[Any]) -> None:
        """Let what was asked for come to its end."""
        raise NotImplementedError

    def test_interfaces(self) -> None:
        """It provides what it is used as, and so do its stores."""
        verifyObject(IEngine, self.engine)
        verifyObject(ITokenStore, self.engine.tokens)
        verifyObject(IMessageStore, self.engine.messages)
        verifyObject(IMailStore, self.engine.mail)

    def test_written(self) -> None:
        """What was asked for is there when it says that all is written."""
        self.engine.open()
        self.addCleanup(self.engine.close)
        adding = self.engine.tokens.add(record("a"))
        self.settle(self.engine.written())
        self.assertTrue(adding.called)

    def test_opened_again(self) -> None:
        """What was kept is there when it is opened a second time."""
        self.engine.probe()
        self.engine.open()
        self.settle(self.engine.tokens.add(record("a")))
        self.engine.close()
        self.engine.open()
        self.assertEqual(self.engine.tokens.load(), [record("a")])
        self.engine.close()


class MemoryEngineTests(EngineTests, SynchronousTestCase):
    """L{MemoryEngine}."""

    def setUp(self) -> None:
        self.engine = MemoryEngine()

    def settle(self, deferred: Deferred[Any]) -> None:
        self.successResultOf(deferred)

    def test_stores_of_others(self) -> None:
        """A store that is handed in is used, an empty one as well."""
        store = MemoryTokenStore()
        self.assertIs(MemoryEngine(store).tokens, store)


class SQLiteEngineTests(EngineTests, SynchronousTestCase):
    """L{SQLiteEngine}."""

    def setUp(self) -> None:
        self.path, self.reactor = Path(self.mktemp()), QueueReactor()
        self.engine = SQLiteEngine(self.path, 1_000_000, 100_000, self.reactor)

    def settle(self, deferred: Deferred[Any]) -> None:
        self.reactor.run_until_fired(deferred)
        self.successResultOf(deferred)

    def test_probe(self) -> None:
        """After a probe it is closed, and no thread is left that a fork could lose."""
        self.engine.probe()
        self.assertNotIn("cell0gw-sqlite", [thread.name for thread in threading.enumerate()])
        self.failureResultOf(self.engine.tokens.add(record("a")), Unavailable)

    def test_refused(self) -> None:
        """A file that is none is an error of one line, whether it is probed or opened."""
        self.path.write_bytes(b"x" * 5000)
        for act in (self.engine.probe, self.engine.open):
            message = str(self.assertRaises(EngineError, act))
            self.assertIn(str(self.path), message)
            self.assertNotIn("\n", message)

    def test_changed(self) -> None:
        """Whoever wants to know hears when nothing can be written, and when it can again."""
        heard: list[str | None] = []
        self.engine.changed.append(heard.append)
        self.engine.open()
        self.addCleanup(self.engine.close)
        self.path.rename(self.path.with_suffix(".away"))
        refused = self.engine.tokens.add(record("a"))
        self.reactor.run_until_fired(refused)
        self.failureResultOf(refused, Unavailable)
        self.path.with_suffix(".away").rename(self.path)
        while heard != ["unreachable", None]:
            self.reactor.turn()
