"""What the shortcuts take for granted of Autobahn and Twisted: a release that breaks one breaks a test here."""

from __future__ import annotations

import inspect
import sys
from typing import Any

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from autobahn.websocket.protocol import WebSocketProtocol
from twisted.internet import tcp
from twisted.internet.abstract import FileDescriptor
from twisted.internet.address import IPv4Address
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.testing import MemoryGateway
from cell0gw.transports.websocket.lean import LeanProtocol
from tests.transports.memory import MemoryTransport
from tests.transports.websocket.test_chunking import frame
from tests.transports.websocket.test_handshake import request


class StateTests(SynchronousTestCase):
    """The first state of a connection."""

    def setUp(self) -> None:
        self.gateway = MemoryGateway()
        self.addCleanup(self.gateway.close)

    def test_as_autobahn_makes_it(self) -> None:
        """Every attribute that Autobahn gives a new connection is there, with the same value."""
        factory = WebSocketServerFactory(reactor=self.gateway.clock)
        factory.setProtocolOptions(openHandshakeTimeout=0)
        theirs: Any = WebSocketServerProtocol()
        theirs.factory = factory
        theirs._connectionMade()
        ours = self.gateway.factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 1))
        options = set(WebSocketServerProtocol.CONFIG_ATTRS)
        made_differently = {"factory", "is_open", "is_closed", "_transport_details", "trafficStats", "send_queue",
                            "utf8validator", "_valid_events", "_parent", "_listeners", "_results"}  # fmt: skip
        for name in set(vars(theirs)) - options - made_differently:
            self.assertEqual(getattr(ours, name), getattr(theirs, name), name)

    def test_options(self) -> None:
        """Every option has the factory's value, functions stay functions, and nothing is copied to a connection."""
        server: Any = self.gateway.factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 1))
        MemoryTransport(server)
        for name in WebSocketServerProtocol.CONFIG_ATTRS:
            self.assertEqual(getattr(server, name), getattr(self.gateway.factory, name), name)
            self.assertNotIn(name, vars(server))

    def test_a_connection_has_little_of_its_own(self) -> None:
        """An open connection keeps a dozen attributes, not a hundred."""
        client = self.gateway.connect()
        self.assertLess(len(vars(client.server)), 30)

    def test_nothing_is_left_of_messages(self) -> None:
        """A connection that has sent what Autobahn reads is as small afterwards as it was before."""
        client = self.gateway.connect("a")
        attributes = vars(client.server)
        before = sys.getsizeof(attributes)
        for payload in (b"{}", b"x" * 100_000):
            client.server.dataReceived(frame(payload[:1], 0x01) + frame(payload[1:], 0x80))
        # More than thirty names, and a connection's could not be in the table that all connections share.
        self.assertEqual(sys.getsizeof(attributes), before)
        self.assertNotIn("utf8validator", attributes)
        self.assertIsNone(attributes["current_frame_masker"])

    def test_no_timer(self) -> None:
        """A connection has no timer of its own, neither while it comes, nor is open, nor closes."""
        before = len(self.gateway.clock.getDelayedCalls())
        server: Any = self.gateway.factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 1))
        MemoryTransport(server)
        server.dataReceived(request())
        server.close(4001, "go")
        self.assertEqual(len(self.gateway.clock.getDelayedCalls()), before)

    def test_queue_stays_empty(self) -> None:
        """The queue that all share is Autobahn's for chopped writes, which are never asked for."""
        client = self.gateway.connect("a")
        client.call("rpc.echo", message="x" * 100_000)
        self.assertEqual(len(LeanProtocol.send_queue), 0)


class OverriddenTests(SynchronousTestCase):
    """Methods that are replaced have the shape that was replaced."""

    def test_signatures(self) -> None:
        """What Autobahn and Twisted call here is still called that way."""
        for theirs, parameters in (
            (WebSocketProtocol._connectionLost, ["self", "reason"]),
            (WebSocketProtocol._dataReceived, ["self", "data"]),
            (WebSocketProtocol.processData, ["self"]),
            (WebSocketProtocol._fail_connection, ["self", "code", "reason"]),
            (WebSocketProtocol.sendCloseFrame, ["self", "code", "reasonUtf8", "isReply"]),
            (WebSocketServerProtocol.processHandshake, ["self"]),
            (WebSocketServerProtocol.failHandshake, ["self", "reason", "code", "responseHeaders"]),
            (WebSocketProtocol.onMessageBegin, ["self", "isBinary"]),
            (WebSocketProtocol.onMessageFrameBegin, ["self", "length"]),
            (WebSocketProtocol.processControlFrame, ["self"]),
            (WebSocketProtocol.onPing, ["self", "payload"]),
            (WebSocketServerProtocol.succeedHandshake, ["self", "res"]),
            (WebSocketServerProtocol._parseExtensionsHeader, ["self", "header", "removeQuotes"]),
            (tcp.Port._fromListeningDescriptor, ["reactor", "fd", "addressFamily", "factory"]),
            (tcp.Server.__init__, ["self", "sock", "protocol", "client", "server", "sessionno", "reactor"]),
        ):
            self.assertEqual(list(inspect.signature(theirs).parameters), parameters, theirs)

    def test_transports_buffers(self) -> None:
        """The attributes in which Twisted's transports keep what is to be written are those that are used here."""
        descriptor = FileDescriptor(object())  # type: ignore[arg-type]
        self.assertEqual((descriptor._tempDataBuffer, descriptor._tempDataLen, descriptor.dataBuffer), ([], 0, b""))
        self.assertEqual((descriptor.offset, descriptor._writeDisconnected, descriptor._writeDisconnecting), (0, 0, 0))
        self.assertTrue(inspect.isclass(tcp.Port.transport))
