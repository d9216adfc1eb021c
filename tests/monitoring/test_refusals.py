"""What an operator hears of handshakes that are refused."""

from __future__ import annotations

from twisted.logger import LogEvent, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.monitoring.refusals import PROXY_CAUSES
from cell0gw.testing import MemoryGateway
from cell0gw.transports.websocket.refusals import REFUSALS
from tests.transports.websocket.test_admission import Case
from tests.transports.websocket.test_handshake import request
from tests.transports.websocket.test_pages import PROBES

QUERY, PATH = request("GET /?token=cell0_secret HTTP/1.1"), request("GET /other HTTP/1.1")


class RefusalsTests(Case, SynchronousTestCase):
    """Lines and figures."""

    def refuse(self, gateway: MemoryGateway, *requests: bytes, peer: str = "192.0.2.1") -> list[LogEvent]:
        """The events in the log that some requests bring about, one after another."""
        with capturedLogs() as events:
            for data in requests:
                self.come(gateway, data, peer)[0].abort()
        return [event for event in events if event["log_namespace"].startswith("cell0gw.monitoring")]

    def figures(self, gateway: MemoryGateway) -> dict[str, int]:
        """The figures that are not 0."""
        client = gateway.connect(token=gateway.token("admin", "system", ["*"]))
        statistics = client.call("gateway.getStats")
        self.assertEqual(list(statistics["services"]["handshake"]), [*REFUSALS, *PROXY_CAUSES])
        self.assertIn("handshake.query", statistics["rates"])
        return {cause: count for cause, count in statistics["services"]["handshake"].items() if count}

    def test_line(self) -> None:
        """A line names the address, the cause and what the client was told, and nothing that the client sent."""
        (event,) = self.refuse(self.make(), QUERY)
        self.assertEqual(
            formatEvent(event), f"a handshake from 192.0.2.1:1 was refused, query: {REFUSALS['query'].reason}"
        )
        named = {name: event[name] for name in ("event", "cause", "reason", "address", "peer", "proxy")}
        self.assertEqual(
            named,
            {
                "event": "handshake.refused",
                "cause": "query",
                "reason": REFUSALS["query"].reason,
                "address": "192.0.2.1",
                "peer": "192.0.2.1:1",
                "proxy": None,
            },
        )

    def test_line_a_cause_and_second(self) -> None:
        """Of thousands that are refused each cause is a line, and one with their number a second later."""
        gateway = self.make()
        events = self.refuse(gateway, *([QUERY, PATH] * 100))
        self.assertEqual([event["cause"] for event in events], ["query", "path"])
        with capturedLogs() as events:
            gateway.advance(3)
        self.assertEqual(
            [formatEvent(event) for event in events],
            ["99 more handshakes were refused, query", "99 more handshakes were refused, path"],
        )

    def test_behind_a_proxy(self) -> None:
        """Behind a trusted proxy the line names the client and the proxy, whatever is wrong with the request."""
        forwarded = request("GET /other HTTP/1.1", X_Forwarded_For="203.0.113.9", Host="a b")
        (event,) = self.refuse(self.make(trusted_proxies=("192.0.2.0/24",)), forwarded)
        self.assertEqual((event["address"], event["proxy"]), ("203.0.113.9", "192.0.2.1:1"))
        self.assertIn("from 203.0.113.9 by way of 192.0.2.1:1 was refused", formatEvent(event))
        (event,) = self.refuse(self.make(), forwarded)
        self.assertEqual((event["address"], event["proxy"]), ("192.0.2.1", None))

    def test_limits_have_their_line(self) -> None:
        """Who is refused by a limit of the operator's is told of as of a limit that was hit, once."""
        gateway = self.make(allowed_origins=("https://a.example",))
        events = self.refuse(gateway, request(Origin="https://b.example"))
        self.assertEqual([event["event"] for event in events], ["limit.hit"])
        self.assertEqual(self.figures(gateway), {"allowed_origins": 1})

    def test_figures(self) -> None:
        """Each is counted by its cause; probes, pages and sockets that say nothing are none."""
        gateway = self.make()
        self.refuse(gateway, QUERY, PATH, QUERY, b"\x16\x03\x01", b"", request(), *PROBES.values())
        self.assertEqual(self.figures(gateway), {"tls": 1, "query": 2, "path": 1})
