"""The gateway as a part of a process: what it refuses, how it starts and how it stops."""

import asyncio
import os
import socket
import sqlite3
import threading
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import LogEvent, Logger, LogLevel, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.app.application import WebSocketGateway
from cell0gw.app.awaitable import Awaitable
from cell0gw.app.entrance import Entrance, StartError
from cell0gw.auth.permissions import EVERYTHING
from cell0gw.config.file import ConfigError
from cell0gw.config.options import Config
from cell0gw.engines.sqlite.database import Database
from cell0gw.process.state import StateError, StateFolder
from cell0gw.transports.sockets.endpoints import Endpoint
from cell0gw.transports.sockets.listening import Listening
from tests.engines.test_token_stores import QueueReactor
from tests.services.test_gateway import CarelessService, WeatherService
from tests.transports.sockets.test_listening import Nowhere, Port

ELSEWHERE = "192.0.2.1"
"""An address that is no machine's: RFC 5737."""


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

    def test_what_to_do(self) -> None:
        """What to do about a place that can't be had depends on why it can't."""
        folder = Path(self.mktemp())
        folder.mkdir()
        (folder / "file").write_text("no socket")
        with socket.socket(socket.AF_UNIX) as taken:
            taken.bind(str(folder / "taken"))
            taken.listen()
            for listen, why in (
                (f"unix:{folder}/none/x", "(No such file or directory): make the folder, or choose another with"),
                (f"unix:{folder}/file", "(there is a file that is no socket): move it away, or choose another with"),
                (f"unix:{folder}/taken", "(Address already in use): stop what listens there, or choose another with"),
                (f"tcp:0:interface={ELSEWHERE}", "): this machine has no such address; choose another with --listen"),
            ):
                self.assertIn(why, self.refusal(self.gateway(listen=(listen,))))
        self.assertIn("--host and --port", self.refusal(self.gateway()))

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

    def test_records_that_cannot_be_read(self) -> None:
        """A database whose records are spoilt is named, too; nothing stays locked."""
        self.state.mkdir()
        database = Database(self.state / "gateway.db", Clock())
        database.open()
        database.read("INSERT INTO tokens VALUES ('t', 'd', 'a', 'agent', 'spoilt', 1, 2, NULL, 0, NULL, NULL)")
        database.close()
        self.assertIn("gateway.db", self.refusal(self.gateway()))
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


class Threaded(QueueReactor, MemoryReactorClock):
    """A reactor in memory that hears from threads.

    @ivar ports: the ports it adopted.
    """

    def __init__(self) -> None:
        MemoryReactorClock.__init__(self)
        QueueReactor.__init__(self)
        self.ports: list[Port] = []

    def listen(self, listening: Any, factory: Any, reactor: Any, connections: Any) -> Any:
        """See L{cell0gw.transports.sockets.listening.listen_on}."""
        self.ports.append(port := Port())
        port.gone.callback(None)
        return port


class Portless(WebSocketGateway):
    """A gateway whose port is none."""

    address = "::"

    def _make_entrance(self) -> Entrance:
        place = Nowhere()
        place.names = [self.address]
        listening = Listening([Endpoint("nowhere", place)], self._reactor.listen)

        class Nothing(Entrance):
            """No door."""

            def read_endpoints(self, config: Config) -> Listening:
                """See L{Entrance}."""
                return listening

        return Nothing(self.config, Path.cwd())


class LifeCase(Case):
    """A gateway that starts and stops, but for its port."""

    def setUp(self) -> None:
        super().setUp()
        self.reactor = Threaded()
        self.addCleanup(os.environ.pop, "CELL0_GATEWAY_ADMIN_TOKEN", None)

    def wait(self, awaitable: Awaitable[None]) -> None:
        self.reactor.run_until_fired(awaitable.deferred)
        self.assertIsNone(self.successResultOf(awaitable.deferred))

    def started(self, **options: Any) -> WebSocketGateway:
        gateway = Portless(host=ELSEWHERE, state_dir=self.state, reactor=self.reactor, **options)
        self.wait(gateway.start())
        return gateway


class LifeTests(LifeCase):
    """A gateway that starts and stops, but for its port."""

    def admin_token(self) -> str:
        return (self.state / "admin.token").read_text().strip()

    def test_first_start(self) -> None:
        """The first start keeps an admin token for the owner alone, which may do everything; the log names the file."""
        with capturedLogs() as events:
            gateway = self.started()
        principal = gateway.gateway.credentials.verify(self.admin_token())
        self.assertEqual((principal.entity_id, principal.entity_type, principal.expires_at), ("admin", "system", None))
        self.assertTrue(principal.permissions.covers(EVERYTHING))
        self.assertEqual((self.state / "admin.token").stat().st_mode & 0o777, 0o600)
        log = "\n".join(str(formatEvent(event)) for event in events)
        self.assertIn(str(self.state / "admin.token"), log)
        self.assertNotIn(self.admin_token(), log)
        self.wait(gateway.stop())

    def test_reached_without_tls(self) -> None:
        """A gateway that other machines reach without TLS says so in one line, with what to do; others don't."""
        for name, exposed in (("::", True), ("127.0.0.1", False)):
            self.patch(Portless, "address", name)
            with capturedLogs() as events:
                gateway = self.started()
            self.wait(gateway.stop())
            warnings = [event for event in events if event.get("event") == "network.unencrypted"]
            self.assertEqual([event["log_level"] for event in warnings], [LogLevel.warn] if exposed else [])
            for event in warnings:
                text = str(formatEvent(event))
                self.assertIn(":: port 40123 without TLS; set tls_cert", text)
                self.assertNotIn("\n", text)

    def test_later_starts(self) -> None:
        """A later start mints none, and takes up the tokens of before; so does another process."""
        gateway = self.started()
        token = self.admin_token()
        for again in (gateway, None):
            self.wait(gateway.stop())
            if again is None:
                gateway = self.started()
            else:
                self.wait(gateway.start())
            self.assertRaises(StateError, StateFolder(self.state).lock)
            self.assertEqual(self.admin_token(), token)
            self.assertEqual(gateway.gateway.credentials.verify(token).entity_id, "admin")
            self.assertEqual(len(gateway.gateway.credentials), 1)
        self.wait(gateway.stop())

    def test_registered_before(self) -> None:
        """A service that is registered before the start is served after it, and has the program's own face by then."""
        gateway = Portless(host=ELSEWHERE, state_dir=self.state, reactor=self.reactor)
        self.assertRaises(RuntimeError, gateway.publish, "events", 1)
        weather = WeatherService()
        gateway.register(weather)
        self.assertRaises(RuntimeError, gateway.register, WeatherService())  # the name is taken
        self.wait(gateway.start())
        self.assertIn("weather.report", [method.name for method in gateway.gateway.rpc.dispatcher.methods()])
        self.assertTrue(weather.running)
        self.assertEqual(gateway.publish("events", 1).recipients, 0)
        self.wait(gateway.stop())
        self.assertFalse(weather.running)

    def test_privileged_before(self) -> None:
        """What twistd lets services do before it gives up its privileges is open to those that were registered, too."""
        gateway, asked = self.gateway(), []
        weather = WeatherService()
        weather.privilegedStartService = lambda: asked.append(weather)  # type: ignore[method-assign]
        gateway.register(weather)
        gateway.privilegedStartService()
        self.assertEqual(asked, [weather])

    def test_careless_before(self) -> None:
        """One whose methods declare no permission is refused at the start, and nothing stays taken; the next start goes
        on without it.
        """
        gateway = Portless(host=ELSEWHERE, state_dir=self.state, reactor=self.reactor)
        for service in (CarelessService(), WeatherService()):
            gateway.register(service)
        self.failureResultOf(gateway.start().deferred, TypeError)
        self.assertUnlocked()
        self.wait(gateway.start())
        self.assertIn("weather", gateway.gateway.namedServices)
        self.wait(gateway.stop())

    def test_what_is_wrong(self) -> None:
        """Whoever wants to know hears when something is wrong with it, and when it goes down."""
        gateway = Portless(host=ELSEWHERE, state_dir=self.state, reactor=self.reactor)
        heard: list[list[str]] = []
        gateway.changed.append(lambda: heard.append(gateway.summary))
        self.wait(gateway.start())
        gateway.gateway.health.storage("full")
        self.assertEqual(heard[-1], ["listening on :: port 40123", "storage: full"])
        heard.clear()
        self.wait(gateway.stop())
        self.assertEqual(len(heard), 1)

    def test_operators_own_token(self) -> None:
        """A token that the operator handed in is good, and is nowhere on the disk."""
        token = f"cell0_{'Sesame' * 6}_1"
        gateway = self.started(admin_token=token)
        self.assertTrue(gateway.gateway.credentials.verify(token).permissions.covers(EVERYTHING))
        self.wait(gateway.stop())
        for path in self.state.iterdir():
            self.assertNotIn(b"Sesame", path.read_bytes(), str(path))
        self.assertFalse((self.state / "admin.token").exists())

    def test_stop_gives_all_back(self) -> None:
        """After the stop the port and the folder are free, no thread is left, and no timer either."""
        gateway = self.started()
        self.assertEqual(gateway.port, 40_123)  # of the socket
        self.assertRaises(StateError, StateFolder(self.state).lock)
        self.wait(gateway.stop())
        self.assertEqual([port.asked for port in self.reactor.ports], [1])
        self.assertUnlocked()
        self.assertNotIn("cell0gw-sqlite", [thread.name for thread in threading.enumerate()])
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.wait(gateway.stop())

    def test_a_step_of_the_stop_fails(self) -> None:
        """Whatever a step of the stop raises, the port and the folder are free after it."""

        def broken(*arguments: object) -> None:
            raise OSError("broken")

        gateway = self.started()
        self.patch(gateway.gateway, "drain", broken)
        self.patch(gateway.gateway, "stopService", broken)
        self.wait(gateway.stop())
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 2)
        self.assertUnlocked()
        self.assertNotIn("cell0gw-sqlite", [thread.name for thread in threading.enumerate()])
        gateway.gateway.guard.heartbeats.stopService()

    def test_stop_writes_first(self) -> None:
        """What was asked for before the stop is answered before it is done, and is there for the next process."""
        gateway = self.started()
        minting = gateway.mint("agent_001").deferred
        self.wait(gateway.stop())
        token = self.successResultOf(minting)
        again = self.started()
        self.assertEqual(again.gateway.credentials.verify(token).entity_id, "agent_001")
        self.wait(again.stop())
