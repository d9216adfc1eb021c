"""The gateway as a part of a process: what it refuses, and its awaitables in both worlds."""

import asyncio
import os
import sqlite3
from collections.abc import Generator
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.logger import LogEvent, Logger, LogLevel, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.application import Awaitable, StartError, WebSocketGateway
from cell0gw.config import Config, ConfigError
from cell0gw.state import StateFolder
from tests.test_stores import QueueReactor

ELSEWHERE = "192.0.2.1"
"""An address that is no machine's: RFC 5737."""


class AwaitableTests(SynchronousTestCase):
    """L{Awaitable}."""

    def in_asyncio(self, deferred: Deferred[Any], later: Any = None) -> Any:
        async def task() -> Any:
            if later is not None:
                asyncio.get_running_loop().call_soon(deferred.callback, later)
            return await Awaitable(deferred)

        return asyncio.run(task())

    def in_twisted(self, deferred: Deferred[Any]) -> Deferred[Any]:
        async def coroutine() -> Any:
            return await Awaitable(deferred)

        return Deferred.fromCoroutine(coroutine())

    def test_asyncio_fired(self) -> None:
        """An asyncio task gets the result of a Deferred that has fired, whatever the result."""
        for result in (7, None, [1]):
            self.assertEqual(self.in_asyncio(succeed(result)), result)

    def test_asyncio_later(self) -> None:
        """An asyncio task waits for one that fires later."""
        self.assertEqual(self.in_asyncio(Deferred(), later="result"), "result")

    def test_asyncio_fails(self) -> None:
        """An asyncio task gets the exception itself."""
        error = self.assertRaises(StartError, self.in_asyncio, fail(StartError("the port is taken")))
        self.assertEqual(str(error), "the port is taken")

    def test_asyncio_wait_for(self) -> None:
        """asyncio's own functions take it, such as the one that waits no longer than a limit."""

        async def task() -> str:
            waiting: Deferred[str] = Deferred()
            asyncio.get_running_loop().call_soon(waiting.callback, "result")
            return await asyncio.wait_for(asyncio.ensure_future(Awaitable(waiting)), 30)

        self.assertEqual(asyncio.run(task()), "result")

    def test_twisted_fired(self) -> None:
        """A coroutine of Twisted gets the result of a Deferred that has fired."""
        self.assertEqual(self.successResultOf(self.in_twisted(succeed(7))), 7)

    def test_twisted_later(self) -> None:
        """A coroutine of Twisted waits for one that fires later."""
        waiting: Deferred[int] = Deferred()
        result = self.in_twisted(waiting)
        self.assertNoResult(result)
        waiting.callback(7)
        self.assertEqual(self.successResultOf(result), 7)

    def test_twisted_fails(self) -> None:
        """A coroutine of Twisted gets the exception itself."""
        self.failureResultOf(self.in_twisted(fail(StartError())), StartError)

    def test_deferred(self) -> None:
        """Who prefers callbacks finds the Deferred."""
        deferred = succeed(7)
        self.assertIs(Awaitable(deferred).deferred, deferred)


class Case(SynchronousTestCase):
    """With a state folder of its own."""

    def setUp(self) -> None:
        self.state = Path(self.mktemp())

    def gateway(self, **options: Any) -> WebSocketGateway:
        """A gateway that could never open its port."""
        return WebSocketGateway(**({"host": ELSEWHERE, "state_dir": str(self.state)} | options))

    def refusal(self, gateway: WebSocketGateway) -> str:
        message = str(self.assertRaises(StartError, gateway.prepare))
        self.assertNotIn("\n", message)
        return message

    def assertUnlocked(self) -> None:
        folder = StateFolder(self.state)
        folder.lock()
        folder.unlock()


class OptionsTests(Case):
    """Its options as keywords."""

    def test_documented(self) -> None:
        """The keywords of the documentation are taken as they are."""
        gateway = WebSocketGateway(host="0.0.0.0", port=18801, heartbeat_interval=30.0, state_dir=self.state)
        config = gateway.config
        self.assertEqual((config.host, config.port, config.heartbeat_interval), ("0.0.0.0", 18801, 30.0))
        self.assertEqual(gateway.port, 18801)

    def test_environment(self) -> None:
        """What no keyword says the environment does."""
        os.environ["CELL0_GATEWAY_MAX_BATCH"] = "7"
        self.addCleanup(os.environ.pop, "CELL0_GATEWAY_MAX_BATCH")
        self.assertEqual(self.gateway().config.max_batch, 7)
        self.assertEqual(self.gateway(max_batch=8).config.max_batch, 8)

    def test_refused(self) -> None:
        """A keyword that can't be is told as what it is, at once."""
        self.assertIn("the keyword port: ", str(self.assertRaises(ConfigError, WebSocketGateway, port="http")))
        self.assertIn("prot", str(self.assertRaises(ConfigError, WebSocketGateway, prot=1)))

    def test_either_config_or_options(self) -> None:
        """Options beside a whole config would leave open which counts."""
        config = Config(state_dir=self.state)
        self.assertIs(WebSocketGateway(config).config, config)
        self.assertRaises(TypeError, WebSocketGateway, config, port=1)

    def test_warnings(self) -> None:
        """A variable that means nothing is a warning in the log."""
        os.environ["CELL0_GATEWAY_PROT"] = "7"
        self.addCleanup(os.environ.pop, "CELL0_GATEWAY_PROT")
        events: list[LogEvent] = []
        self.patch(WebSocketGateway, "log", Logger(observer=events.append))
        self.gateway()
        (event,) = events
        self.assertIs(event["log_level"], LogLevel.warn)
        self.assertIn("CELL0_GATEWAY_PROT", formatEvent(event))

    def test_making_one_takes_nothing(self) -> None:
        """Before it is prepared or started a gateway leaves the disk alone."""
        self.gateway()
        self.assertFalse(self.state.exists())


class PrepareTests(Case):
    """L{WebSocketGateway.prepare}, where it fails; the end-to-end tests succeed."""

    def test_port(self) -> None:
        """A port that can't be had is named, with the options that choose another; nothing stays locked."""
        message = self.refusal(self.gateway(port=18801))
        self.assertIn(f"can't listen on {ELSEWHERE} port 18801", message)
        self.assertIn("--port", message)
        self.assertNotIn("None", message)
        self.assertUnlocked()

    def test_state_folder(self) -> None:
        """A state folder that can't be made is named, with the option that chooses another."""
        self.state.write_text("a file")
        message = self.refusal(self.gateway())
        self.assertIn(str(self.state), message)
        self.assertIn("--state-dir", message)

    def test_second_process(self) -> None:
        """A folder that another gateway has is left to it."""
        other = StateFolder(self.state)
        other.lock()
        self.addCleanup(other.unlock)
        self.assertIn("another gateway", self.refusal(self.gateway()))
        self.assertEqual([path.name for path in self.state.iterdir()], ["lock"])

    def test_database_of_a_later_release(self) -> None:
        """A database of a later release is refused before the port is taken; nothing stays locked."""
        self.state.mkdir()
        connection = sqlite3.connect(self.state / "gateway.db")
        connection.execute("PRAGMA user_version = 99")
        connection.close()
        message = self.refusal(self.gateway())
        self.assertIn(str(self.state / "gateway.db"), message)
        self.assertIn("99", message)
        self.assertUnlocked()

    def test_no_database(self) -> None:
        """A database file that is none is named, and left as it is; nothing stays locked."""
        self.state.mkdir()
        (self.state / "gateway.db").write_bytes(b"x" * 5000)
        self.assertIn(str(self.state / "gateway.db"), self.refusal(self.gateway()))
        self.assertEqual((self.state / "gateway.db").read_bytes(), b"x" * 5000)
        self.assertUnlocked()

    def test_database_in_the_way(self) -> None:
        """A folder where the database should be is no traceback either."""
        (self.state / "gateway.db").mkdir(parents=True)
        self.assertIn("gateway.db", self.refusal(self.gateway()))
        self.assertUnlocked()


class StartTests(Case):
    """L{WebSocketGateway.start} and C{stop}, where no port is opened."""

    def test_fails_when_awaited(self) -> None:
        """What keeps it from starting is raised where it is awaited, not where it is called."""
        starting = self.gateway(reactor=Clock()).start()
        self.failureResultOf(starting.deferred, StartError)

    def test_can_be_tried_again(self) -> None:
        """After a start that failed nothing is held: the next try fails of the same, not of the first."""
        gateway = self.gateway(reactor=QueueReactor())
        for _ in range(2):
            failure = self.failureResultOf(gateway.start().deferred, StartError)
            self.assertIn("can't listen", str(failure.value))
        self.assertUnlocked()

    def test_foreign_reactor(self) -> None:
        """In an asyncio program with another reactor it says what to do, and takes nothing."""
        from twisted.internet import reactor

        self.assertIsNot(reactor, None)  # it is imported now, if nothing else has done so

        async def program() -> None:
            await self.gateway().start()

        error = self.assertRaises(RuntimeError, asyncio.run, program())
        self.assertIn(type(reactor).__name__, str(error))
        self.assertIn("asyncioreactor", str(error))
        self.assertFalse(self.state.exists())

    def test_stop_before_start(self) -> None:
        """Stopping what never started is done at once, in both worlds."""
        self.assertIsNone(self.successResultOf(self.gateway().stop().deferred))

        async def program() -> None:
            await self.gateway().stop()

        self.assertIsNone(asyncio.run(program()))

    def test_is_a_generator_to_nobody(self) -> None:
        """What start gives is awaited, not iterated: a forgotten await doesn't pass in silence."""
        starting = self.gateway(reactor=Clock()).start()
        self.failureResultOf(starting.deferred, StartError)
        self.assertNotIsInstance(starting, Generator)
        self.assertRaises(TypeError, list, starting)
