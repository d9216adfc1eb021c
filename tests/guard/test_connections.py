"""The registry of open connections."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from cell0gw.guard.connections import Connections
from cell0gw.protocol.limits import Limits
from cell0gw.testing import RecordingConnection


class ConnectionsTests(SynchronousTestCase):
    """Who is connected."""

    def setUp(self) -> None:
        self.connections = Connections(Limits(), lambda: 0.0)
        self.a, self.b = RecordingConnection("a"), RecordingConnection("b")

    def test_open_and_closed(self) -> None:
        """Connections come and go; a second farewell changes nothing."""
        for connection in (self.a, self.b):
            self.connections.opened(connection)
        self.connections.closed(self.a)
        self.connections.closed(self.a)
        self.assertEqual(list(self.connections), [self.b])
        self.assertEqual((len(self.connections), self.connections.total), (1, 2))

    def test_arriving(self) -> None:
        """Who does the handshake still is not open yet, and no longer arriving once it is, or gone."""
        for connection in (self.a, self.b):
            self.connections.accepted(connection)
        self.assertEqual((self.connections.arriving(), len(self.connections)), ([self.a, self.b], 0))
        self.connections.opened(self.a)
        self.connections.closed(self.b)
        self.assertEqual((self.connections.arriving(), len(self.connections)), ([], 1))

    def test_closing_on_the_way(self) -> None:
        """Whoever walks through them may close them."""
        for connection in (self.a, self.b):
            self.connections.opened(connection)
        for connection in self.connections:
            self.connections.closed(connection)
        self.assertEqual(len(self.connections), 0)
