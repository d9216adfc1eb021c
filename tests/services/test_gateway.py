"""``gateway``: how it is doing; and the door for programs in the same process."""

from __future__ import annotations

from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from cell0gw.app.drain import BATCH
from cell0gw.monitoring.statistics import Counts, IStatistics
from cell0gw.protocol.errors import CloseCode, NotFound
from cell0gw.rpc.access import anyone, permission
from cell0gw.sessions.client import ClientAddress
from cell0gw.sessions.ending import Ending
from cell0gw.sessions.observers import ISessionObserver
from cell0gw.sessions.session import Caller, Session
from cell0gw.testing import Client, MemoryGateway


@implementer(ISessionObserver, IStatistics)
class WeatherService(Service):
    """A namespace of one's own."""

    name = "weather"

    def __init__(self) -> None:
        self.seen: list[str] = []

    @permission(resource="place")
    def rpc_report(self, caller: Caller, *, place: str) -> dict[str, Any]:
        """Report the weather."""
        return {"place": place, "for": caller.entity_id}

    def session_opened(self, session: Session) -> None:
        self.seen.append(session.entity_id)

    def session_detached(self, session: Session, ending: Ending) -> None:
        """Its place is kept."""

    def session_closed(self, session: Session, ending: Ending) -> None:
        self.seen.remove(session.entity_id)

    def statistics(self) -> Counts:
        return Counts(current={"watchers": len(self.seen)}, total={})


class CarelessService(Service):
    """One whose method declares nothing."""

    name = "careless"

    def rpc_open(self, caller: Caller) -> None:
        """Anyone could call this."""


class HalfService(CarelessService):
    """One that is only half careless."""

    @anyone
    def rpc_good(self, caller: Caller) -> str:
        return "good"


class GatewayTestCase(SynchronousTestCase):
    """A gateway in memory."""

    def setUp(self) -> None:
        self.gateway = MemoryGateway()
        self.addCleanup(self.gateway.close)

    def operator(self) -> Client:
        return self.gateway.connect(token=self.gateway.token("ops", "system", ["*"]))


class StatisticsTests(GatewayTestCase):
    """C{gateway.getStats}"""

    def test_counts(self) -> None:
        """Statistics count connections, sessions, calls, errors, publications and deliveries."""
        operator, agent = self.operator(), self.gateway.connect("a")
        agent.call("channel.subscribe", channel="events")
        agent.call("channel.publish", channel="events", message=1)
        agent.refusal("auth.listTokens")
        stats = operator.call("gateway.getStats")
        services = stats["services"]
        self.assertGreater(services["channel"].pop("history_bytes"), 2000)
        self.assertEqual(
            services["channel"],
            {"channels": 1, "patterns": 0, "publications": 1, "publications_refused": 0, "deliveries": 1},
        )
        self.assertEqual(
            services["session"], {"sessions": 2, "sessions_detached": 0, "sessions_opened": 2, "sessions_resumed": 0}
        )
        self.assertEqual(services["presence"], {"entities": 2})
        self.assertEqual(
            services["gateway"],
            {
                "connections": 2,
                "unauthenticated": 0,
                "tokens": 2,
                "invites": 0,
                "connections_accepted": 2,
                "calls": 6,
                "errors": 1,
                "stalls": 0,
                "log_lines_dropped": 0,
                "audit_lines_dropped": 0,
            },
        )
        self.assertEqual(stats["version"], "cell0-1.0.0")
        self.assertEqual(stats["tls_failures"], {})

    def test_tls_failures(self) -> None:
        """Handshakes of TLS that failed are counted by cause."""
        report = self.gateway.tls_failures.handshake_failed
        for cause in ("certificate", "timeout", "certificate"):
            report(cause, ClientAddress("192.0.2.1", "192.0.2.1:1"), "")
        stats = self.operator().call("gateway.getStats")
        self.assertEqual(stats["tls_failures"], {"certificate": 2, "timeout": 1})

    def test_rates(self) -> None:
        """Rates are per second, over the last minute."""
        operator = self.operator()
        for _ in range(60):
            self.gateway.advance(5)
            for _ in range(10):
                self.gateway.publish("events", 1)
        stats = operator.call("gateway.getStats")
        self.assertEqual(stats["uptime"], 300)
        self.assertTrue(1.8 <= stats["rates"]["channel.publications"] <= 2.2, stats["rates"])


class DoorTests(GatewayTestCase):
    """Publish, send, emit, mint."""

    def test_publish(self) -> None:
        """A program publishes to subscribers, under a name of its choice."""
        agent = self.gateway.connect("a")
        agent.call("channel.subscribe", channel="events")
        self.assertEqual(self.gateway.publish("events", {"n": 1}, sender="bus").recipients, 1)
        (message,) = agent.received("channel.message")
        self.assertEqual((message["message"], message["from"]), ({"n": 1}, "bus"))
        self.assertRaises(ValueError, self.gateway.publish, "$system", 1)

    def test_send(self) -> None:
        """A program sends to an entity that is here."""
        agent = self.gateway.connect("a")
        message_id = self.gateway.send("a", {"n": 1})
        self.assertEqual(agent.received("agent.message")[0]["message_id"], message_id)
        self.assertRaises(NotFound, self.gateway.send, "nobody", 1)

    def test_emit(self) -> None:
        """A program's events reach those who listen, as events."""
        operator = self.operator()
        operator.call("channel.subscribe", channel="$system")
        self.assertEqual(self.gateway.emit("disk.full", {"free": 0}, source="disk"), 1)
        self.assertEqual(
            operator.received("event"),
            [
                {
                    "type": "disk.full",
                    "data": {"free": 0},
                    "source": "disk",
                    "timestamp": "2026-02-12T10:30:00.000Z",
                    "channel": "$system",
                }
            ],
        )
        self.assertRaises(ValueError, self.gateway.emit, "x", {}, channel="$other")

    def test_mint(self) -> None:
        """A program mints tokens for whom it likes."""
        token = self.successResultOf(self.gateway.mint("svc", "service", ["channel.*"], 1).deferred)
        self.assertEqual(self.gateway.connect(token=token).call("session.getInfo")["permissions"], ["channel.*"])
        self.assertRaises(ValueError, self.gateway.mint, "$agents")


class RegisterTests(GatewayTestCase):
    """A namespace of one's own."""

    def test_register(self) -> None:
        """A service's methods are served, judged, listed and described like the gateway's."""
        weather = WeatherService()
        self.gateway.register(weather)
        client = self.gateway.connect(token=self.gateway.token("a", permissions=["weather.report:oslo"]))
        self.assertEqual(client.call("weather.report", place="oslo"), {"place": "oslo", "for": "a"})
        self.assertEqual(client.refusal("weather.report", place="rome")["code"], -32002)
        self.assertIn("weather.report", client.call("rpc.listMethods"))
        self.assertIn("weather.report", {m["name"] for m in client.call("rpc.discover")["methods"]})
        self.assertEqual(weather.seen, ["a"])
        self.assertEqual(self.operator().call("gateway.getStats")["services"]["weather"], {"watchers": 2})
        self.assertIs(self.gateway.getServiceNamed("weather"), weather)

    def test_careless(self) -> None:
        """A service with a method that declares no permission is refused whole, and nothing of it stays."""
        for service in (CarelessService(), HalfService()):
            self.assertRaises(TypeError, self.gateway.register, service)
            self.assertEqual(self.gateway.connect().refusal("careless.good")["code"], -32601)
            self.assertIsNone(service.parent)
        self.assertEqual(self.gateway.connect().call("rpc.ping"), "pong")

    def test_taken(self) -> None:
        """A name that is taken stays with whom it belongs to."""
        weather = WeatherService()
        weather.name = "channel"
        self.assertRaises(RuntimeError, self.gateway.register, weather)


class DrainTests(GatewayTestCase):
    """Going down."""

    def test_everyone_is_sent_away(self) -> None:
        """Every client is closed with a code that says reconnect; the gateway waits until they are gone."""
        clients = [self.gateway.connect("a"), self.gateway.connect()]
        self.operator().call("channel.subscribe", channel="$system")
        drained = self.gateway.drain()
        self.assertNoResult(drained)
        self.gateway.advance(1)
        for client in clients:
            self.assertEqual(client.close_code, CloseCode.DRAINING)
        self.successResultOf(drained)

    def test_who_does_not_go(self) -> None:
        """Who does not go in time is gone without a word."""
        client = self.gateway.connect("a")
        client.protocol.onCloseFrame = lambda code, reason: None
        drained = self.gateway.drain()
        self.gateway.advance(10)
        self.successResultOf(drained)
        self.assertEqual(len(self.gateway.guard.connections), 0)

    def test_no_new_work(self) -> None:
        """While others are sent away new work is refused, in a way that says try again; pings and figures go on."""
        clients = [self.gateway.connect("a") for _ in range(BATCH + 1)]
        last = self.gateway.connect(token=self.gateway.token("ops", "system", ["*"]))
        self.gateway.drain()
        for method, params in (
            ("channel.publish", {"channel": "events", "message": 1}),
            ("agent.send", {"agent_id": "a", "message": 1}),
            ("channel.subscribe", {"channel": "events"}),
        ):
            error = last.refusal(method, **params)
            self.assertEqual((error["code"], error["data"]["retryable"]), (-32000, True), method)
        self.assertEqual(last.refusal("no.such")["code"], -32601)
        self.assertEqual(last.call("rpc.ping"), "pong")
        self.assertIn("channel.publish", last.call("rpc.listMethods"))
        self.assertIn("uptime", last.call("gateway.getStats"))
        self.gateway.advance(1)
        self.assertEqual({client.close_code for client in (*clients, last)}, {CloseCode.DRAINING})

    def test_starts_again(self) -> None:
        """After a stop and a start it works as before."""
        self.successResultOf(self.gateway.drain())
        self.gateway.stopService()
        self.gateway.startService()
        self.assertEqual(
            self.gateway.connect("a").call("channel.publish", channel="events", message=1)["success"], True
        )

    def test_what_is_written_first(self) -> None:
        """Nobody is sent away before all is written that was asked for; half of the time is waited for that."""
        for patience in (False, True):
            gateway, writing = MemoryGateway(), Deferred[None]()
            self.addCleanup(gateway.close)
            self.patch(gateway.engine, "written", lambda writing=writing: writing)
            client = gateway.connect("a")
            gateway.drain()
            gateway.advance(4.5)
            self.assertIsNone(client.close_code)
            if patience:
                gateway.advance(0.5)
            else:
                writing.callback(None)
            client.flush()
            self.assertEqual(client.close_code, CloseCode.DRAINING)
            gateway.stopService()

    def test_too_late_to_come(self) -> None:
        """Who connects while the gateway goes down is sent away."""
        self.gateway.drain()
        client = self.gateway.connect()
        self.assertEqual(client.close_code, CloseCode.DRAINING)

    def test_nothing_is_left_running(self) -> None:
        """A stopped gateway has no timer."""
        self.gateway.stopService()
        self.assertEqual([call for call in self.gateway.clock.getDelayedCalls() if call.active()], [])
