"""Messages that are still coming."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from cell0gw.guard.arrivals import NOTED, Arrivals
from cell0gw.protocol.limits import Limits
from tests.transports.websocket.test_chunking import frame
from tests.transports.websocket.test_hardened import BEGIN, END, GO_ON, Case


class Receiver:
    """A connection that lets go of what it keeps."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.refused = 0

    def refuse(self, reason: str) -> None:
        self.refused += 1


class ArrivalsTests(SynchronousTestCase):
    """The books."""

    def setUp(self) -> None:
        self.hits: list[tuple[str, str]] = []
        self.limits = Limits(total_inbound_limit=10 * NOTED)
        self.arrivals = Arrivals(self.limits, lambda limit, by: self.hits.append((limit, by)))
        self.receivers = [Receiver(name) for name in "abc"]

    def test_most_first(self) -> None:
        """Beyond the limit those go of which most is kept, as many as it takes, and the operator hears of each."""
        a, b, c = self.receivers
        self.arrivals.keeps(a, 5 * NOTED)
        self.arrivals.keeps(b, 3 * NOTED)
        self.arrivals.keeps(c, 2 * NOTED)
        self.assertEqual([each.refused for each in self.receivers], [0, 0, 0])
        self.arrivals.keeps(c, 2 * NOTED + 1)
        self.assertEqual([each.refused for each in self.receivers], [1, 0, 0])
        self.assertEqual(self.hits, [("total_inbound_limit", "a")])
        self.assertEqual(self.arrivals.total, 5 * NOTED + 1)

    def test_what_is_whole(self) -> None:
        """What has come to its end counts no more, and nothing is kept of who kept it."""
        for receiver in self.receivers:
            for size in (NOTED, 3 * NOTED, 0):
                self.arrivals.keeps(receiver, size)
        self.assertEqual((self.arrivals.total, self.arrivals._kept), (0, {}))

    def test_unlimited(self) -> None:
        """0 is no limit."""
        self.limits.total_inbound_limit = 0
        self.arrivals.keeps(self.receivers[0], 100 * NOTED)
        self.assertEqual(self.receivers[0].refused, 0)


class ConnectionTests(Case):
    """Connections with half a message."""

    def setUp(self) -> None:
        super().setUp()
        self.server.maxMessagePayloadSize = self.server.maxFramePayloadSize = 1_000_000
        self.arrivals = self.gateway.guard.arrivals

    def test_counted(self) -> None:
        """What was read counts, and not what was announced; nothing does after the end."""
        message = b'{"jsonrpc":"2.0","method":"rpc.ping","id":1,"x":"' + b"x" * 90_000 + b'"}'
        framed = frame(message)
        self.receive(framed[:50_000])
        self.assertIn(self.arrivals.total, range(50_000, 50_200))
        self.receive(framed[50_000:80_000])
        self.assertIn(self.arrivals.total, range(80_000, 80_300))
        self.assertIn(b"pong", self.receive(framed[80_000:]))
        self.assertEqual(self.arrivals.total, 0)

    def test_small_pieces(self) -> None:
        """A piece counts for what it takes to keep it, however short it is."""
        self.receive(frame(b"x", BEGIN))
        for _ in range(200):
            self.receive(frame(b"x", GO_ON))
        self.assertGreater(self.arrivals.total, 200 * 60)
        self.receive(frame(b"", END))
        self.assertEqual(self.arrivals.total, 0)

    def test_too_much(self) -> None:
        """Beyond the limit the connection is closed with a code, and lets go of all it has; the next one has room."""
        self.gateway.guard.limits.total_inbound_limit = 100_000
        self.receive(frame(b"x" * 60_000, BEGIN))
        self.assertIsNone(self.code)
        self.receive(frame(b"x" * 60_000, GO_ON))
        self.assertEqual(self.code, 4013)
        self.assertEqual((self.arrivals.total, self.server.data), (0, b""))
        self.assertNotIn("message_data", vars(self.server))

    def test_gone(self) -> None:
        """A connection that is gone keeps nothing."""
        self.receive(frame(b"x" * 60_000, BEGIN))
        self.assertGreater(self.arrivals.total, 60_000)
        self.transport.loseConnection()
        self.assertEqual(self.arrivals.total, 0)
