"""The protocol on the wire, in memory."""

from __future__ import annotations

import json
from typing import Any

from autobahn.websocket.protocol import WebSocketProtocol
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import asdict
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from cell0gw.protocol.errors import CloseCode
from cell0gw.protocol.limits import KIB, UNAUTHENTICATED_MESSAGE_SIZE
from cell0gw.protocol.version import CAPABILITIES
from cell0gw.sessions.session import IConnection
from cell0gw.testing import MemoryGateway
from cell0gw.transports.frames import PING as PING_FRAME
from tests.transports.framing import text_frame
from tests.transports.memory import MemoryTransport

PING = '{"jsonrpc":"2.0","method":"rpc.ping","id":1}'
PONG = {"jsonrpc": "2.0", "result": "pong", "id": 1}


class WireTestCase(SynchronousTestCase):
    """A gateway and its clients."""

    def setUp(self) -> None:
        self.gateway = self.make()

    def make(self, **options: Any) -> MemoryGateway:
        gateway = MemoryGateway(**options)
        self.addCleanup(gateway.close)
        return gateway


class ConnectionTests(WireTestCase):
    """The life of a connection."""

    def test_interface(self) -> None:
        """The protocol is what the rules take it for."""
        verifyObject(IConnection, self.gateway.connect().server)

    def test_welcome(self) -> None:
        """The first message is the welcome, with all that a client needs to know."""
        welcome = self.gateway.connect().messages[0]
        self.assertEqual((welcome["jsonrpc"], welcome["method"]), ("2.0", "connection.welcome"))
        self.assertEqual(
            welcome["params"],
            {
                "connection_id": "conn_1",
                "server_version": "cell0-1.0.0",
                "capabilities": list(CAPABILITIES),
                "timestamp": "2026-02-12T10:30:00.000Z",
                "protocol": 1,
                "limits": asdict(self.gateway.guard.limits),
                "heartbeat_interval": 30.0,
                "heartbeat_timeout": 60.0,
            },
        )

    def test_leaves_nothing_behind(self) -> None:
        """However a client goes, its session, presence and subscriptions go with it, at once or after a while."""
        for way in ("disconnect", "vanish"):
            client = self.gateway.connect("a")
            client.call("channel.subscribe", channel="events")
            getattr(client, way)()
            self.assertEqual(len(self.gateway.guard.connections), 0, way)
            self.assertEqual(len(self.gateway.sessions), 0, way)
            if way == "vanish":
                self.assertEqual(self.gateway.presence.directory.get("a").status, "away")  # type: ignore[union-attr]
                self.gateway.advance(121, step=10)
            self.assertIsNone(self.gateway.presence.directory.get("a"), way)
            self.assertEqual(self.gateway.publish("events", 1).recipients, 0, way)

    def test_presence_ends_when_the_closing_begins(self) -> None:
        """Who is being closed is away from then on, though its socket may take its time."""
        client = self.gateway.connect("a")
        client.server.close(CloseCode.DRAINING, "go")
        self.assertEqual(self.gateway.presence.directory.get("a").status, "away")  # type: ignore[union-attr]
        self.assertEqual(len(self.gateway.guard.connections), 1)
        client.flush()
        self.assertEqual((client.close_code, len(self.gateway.guard.connections)), (4001, 0))

    def test_peer_that_does_not_answer_a_close(self) -> None:
        """A socket whose peer does not finish the closing is taken away."""
        client = self.gateway.connect("a")
        client.protocol.onCloseFrame = lambda code, reason: None
        client.server.close(CloseCode.DRAINING, "go")
        self.gateway.advance(10)
        self.assertEqual(len(self.gateway.guard.connections), 0)

    def test_beat(self) -> None:
        """A ping follows the message of a heartbeat."""
        client = self.gateway.connect("a")
        stream = client.server.transport.stream
        before = len(stream)
        client.server.beat(b"{}")
        self.assertEqual(b"".join(stream[before:]), text_frame(b"{}") + PING_FRAME)

    def test_silence_after_close(self) -> None:
        """Once closed by the gateway, a connection is neither heard nor written to."""
        client = self.gateway.connect("a")
        client.server.close(CloseCode.DRAINING, "go")
        written = len(client.server.transport.stream)
        client.server.onMessage(PING.encode(), False)
        client.server.notify("heartbeat", {})
        client.server.send(b"x")
        client.server.beat(b"x")
        self.assertEqual(len(client.server.transport.stream), written)

    def test_late_answer_to_the_departed(self) -> None:
        """An answer that comes when its caller has gone is dropped."""
        client = self.gateway.connect(token=self.gateway.token("ops", "system", ["*"]))
        self.gateway.credentials._store = held = HeldStore()
        client.send('{"jsonrpc":"2.0","method":"auth.generateToken","params":{"entity_id":"x"},"id":1}')
        client.vanish()
        held.release()
        self.assertEqual(self.flushLoggedErrors(), [])


class HeldStore:
    """A store whose writes wait to be released."""

    def __init__(self) -> None:
        self.waiting: Deferred[None] = Deferred()

    def add(self, record: Any) -> Any:
        return self.waiting

    def release(self) -> None:
        self.waiting.callback(None)


class MessageTests(WireTestCase):
    """Messages, good and bad."""

    def test_binary(self) -> None:
        """Binary frames are refused with 1003."""
        client = self.gateway.connect()
        client.protocol.sendMessage(b"{}", isBinary=True)
        client.flush()
        self.assertEqual(client.close_code, CloseCode.UNSUPPORTED_DATA)

    def test_size_before_authentication(self) -> None:
        """A stranger's message is at most 64 KiB, that of a session as large as the option says."""
        message = PING.ljust(UNAUTHENTICATED_MESSAGE_SIZE + 1)
        self.assertEqual(self.gateway.connect().send(message[:-1]), [PONG])
        stranger = self.gateway.connect()
        stranger.send(message)
        self.gateway.advance(5)
        self.assertEqual(stranger.close_code, 1009)
        gateway = self.make(max_message_size=128 * KIB)
        known = gateway.connect("a")
        self.assertEqual(known.send(PING.ljust(128 * KIB)), [PONG])
        known.send(PING.ljust(128 * KIB + 1))
        gateway.advance(5)
        self.assertEqual(known.close_code, 1009)

    def test_not_utf8(self) -> None:
        """Text that is none is refused with 1007."""
        client = self.gateway.connect()
        client.protocol.sendMessage(b'{"\xff', isBinary=False)
        self.gateway.advance(6)
        self.assertEqual(client.close_code, 1007)

    def test_large_answer(self) -> None:
        """Messages of every length field arrive whole, both ways, compressed or not."""
        for compression in (True, False):
            client = self.make(enable_compression=compression).connect("a")
            for length in (10, 130, 2000, 70_000):
                self.assertEqual(client.call("rpc.echo", message="x" * length), "x" * length)

    def test_failure_in_the_dispatcher_itself(self) -> None:
        """Should dispatch fail, the connection is closed with 1011, the failure logged, and others live."""
        client, other = self.gateway.connect(), self.gateway.connect()
        self.gateway.factory.dispatch = None  # type: ignore[assignment]
        client.send(PING)
        self.assertEqual(client.close_code, CloseCode.INTERNAL_ERROR)
        self.assertIsNone(other.close_code)
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)

    @settings(max_examples=150, deadline=None)
    @given(st.lists(st.binary(max_size=60) | st.text(max_size=60).map(str.encode), min_size=1, max_size=5))
    def test_any_text(self, payloads: list[bytes]) -> None:
        """Whatever a text frame says, nothing is raised and a connection whose text is text stays healthy."""
        client = self.gateway.connect("a")
        for payload in payloads:
            client.send(payload.decode("utf-8", "replace"))
        self.assertEqual(client.send(PING), [PONG])
        client.disconnect()
        self.assertEqual(self.flushLoggedErrors(), [])

    @settings(max_examples=150, deadline=None)
    @given(
        st.recursive(
            st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers() | st.text(max_size=5),
            lambda inner: st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(["jsonrpc", "method", "params", "id", "token", "channel", "message"]), inner
            ),
            max_leaves=15,
        ),
        st.sampled_from(["auth.authenticate", "channel.subscribe", "channel.publish", "presence.get", "presence.update",
                         "agent.send", "agent.list", "rpc.echo", "auth.generateToken", "auth.revokeToken", "nosuch"]),
    )  # fmt: skip
    def test_any_json(self, value: Any, method: str) -> None:
        """Whatever JSON comes, as a message or as params, the connection stays healthy."""
        client = self.gateway.connect(token=self.gateway.token("ops", "system", ["*"]))
        client.send(json.dumps(value))
        for params in (value, [value], {"channel": value, "entity_id": value, "token": value, "message": value}):
            client.send(json.dumps({"jsonrpc": "2.0", "method": method, "params": params, "id": 1}))
        if client.close_code is None:  # the caller may have revoked itself, or guessed five tokens
            self.assertEqual(client.send(PING)[-1:], [PONG])
        client.disconnect()
        self.assertEqual(self.flushLoggedErrors(), [])


class BytesTests(WireTestCase):
    """Bytes that are no WebSocket."""

    @settings(max_examples=100, deadline=None)
    @given(st.lists(st.binary(max_size=100), max_size=5), st.booleans())
    def test_any_bytes(self, chunks: list[bytes], handshake: bool) -> None:
        """Any bytes, before or after the handshake, are taken without an exception."""
        server: Any = self.gateway.connect().server if handshake else self.gateway.factory.buildProtocol(None)
        if not handshake:
            MemoryTransport(server)
        for chunk in chunks:
            if server.state != WebSocketProtocol.STATE_CLOSED:
                server.dataReceived(chunk)
        self.assertEqual(self.flushLoggedErrors(), [])
        server.connectionLost(Failure(ConnectionDone()))
