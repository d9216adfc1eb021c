"""Heartbeats, and the end of the silent."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from cell0gw.guard.heartbeat import HANDSHAKE, LINGER
from cell0gw.process.interfaces import ISweeper
from cell0gw.protocol.errors import CloseCode
from cell0gw.protocol.limits import Limits
from cell0gw.testing import MemoryGateway, RecordingConnection
from tests.guard.guards import quiet_guard


class BrokenConnection(RecordingConnection):
    """One that can't be written to."""

    def beat(self, message: bytes) -> None:
        raise OSError("broken")


@implementer(ISweeper)
class Sweeper:
    """Counts its sweeps, of which one may fail."""

    def __init__(self) -> None:
        self.sweeps = self.fails_on = 0

    def sweep(self) -> None:
        self.sweeps += 1
        if self.sweeps == self.fails_on:
            raise ValueError("broken broom")


class HeartbeatTests(SynchronousTestCase):
    """Interval 4 s, timeout 10 s, 8 s to authenticate."""

    def setUp(self) -> None:
        self.clock = Clock()
        guard, self.sweepers = quiet_guard(Limits(auth_timeout=8.0), self.clock, 4.0, 10.0), [Sweeper(), Sweeper()]
        self.connections = guard.connections
        self.heartbeats = guard.heartbeats
        self.heartbeats.sweepers += self.sweepers
        self.heartbeats.startService()
        self.addCleanup(self.heartbeats.stopService)

    def connect(self, name: str = "c", authenticated: bool = True, broken: bool = False) -> RecordingConnection:
        connection = (BrokenConnection if broken else RecordingConnection)(name, self.clock.seconds())
        if authenticated:
            connection.session = object()  # type: ignore[assignment]
        self.connections.opened(connection)
        self.heartbeats.opened(connection)
        return connection

    def advance(self, seconds: int, *talking: RecordingConnection) -> None:
        """Time passes; those who talk are heard all along."""
        for _ in range(seconds):
            for connection in talking:
                connection.last_received = self.clock.seconds()
            self.clock.advance(1)

    def test_every_interval(self) -> None:
        """Each connection has one beat in each interval."""
        connection = self.connect()
        for beats in (1, 2, 3):
            self.advance(4, connection)
            self.assertEqual(len(connection.messages), beats)
        self.assertIn(b'"method":"heartbeat"', connection.messages[0])

    def test_spread_over_the_interval(self) -> None:
        """Connections of one moment don't beat in one moment, and those that do share one message."""
        connections = [self.connect(str(n)) for n in range(8)]
        self.advance(1)
        beating = [c for c in connections if c.messages]
        self.assertEqual(len(beating), 2)
        self.assertIs(beating[0].messages[0], beating[1].messages[0])
        self.advance(3)
        self.assertEqual([len(c.messages) for c in connections], [1] * 8)

    def test_silent(self) -> None:
        """Who is not heard for the timeout is closed; who is heard, by whatever, stays."""
        silent, talking = self.connect("a"), self.connect("b")
        self.advance(9, talking)
        self.assertIsNone(silent.closed)
        self.advance(1, talking)
        self.assertEqual(silent.closed, (CloseCode.HEARTBEAT_TIMEOUT, "heartbeat timeout"))
        self.assertIsNone(talking.closed)

    def test_sending_is_no_sign_of_life(self) -> None:
        """What the gateway sends does not keep a connection alive."""
        silent = self.connect()
        self.advance(10)
        self.assertGreater(len(silent.messages), 0)
        self.assertIsNotNone(silent.closed)

    def test_unauthenticated(self) -> None:
        """Who does not authenticate in time is closed, however much it talks."""
        stranger, known = self.connect("a", authenticated=False), self.connect("b")
        self.advance(8, stranger, known)
        self.assertEqual(stranger.closed, (CloseCode.AUTHENTICATION_TIMEOUT, "no authentication in time"))
        self.assertIsNone(known.closed)

    def test_who_does_not_arrive(self) -> None:
        """A socket that does not do its handshake in time is taken away, without a word."""
        connection = RecordingConnection("x", self.clock.seconds())
        self.connections.accepted(connection)
        self.advance(int(HANDSHAKE) - 1)
        self.assertFalse(connection.aborted)
        self.advance(1)
        self.assertTrue(connection.aborted)

    def test_who_does_not_go(self) -> None:
        """A closing that the peer does not finish is finished without it."""
        connection = self.connect()
        connection.close(CloseCode.DRAINING, "go")
        connection.closing_since = self.clock.seconds()
        self.advance(int(LINGER) - 1)
        self.assertFalse(connection.aborted)
        self.advance(1)
        self.assertTrue(connection.aborted)

    def test_our_own_stall(self) -> None:
        """After this process was blocked everyone has the whole timeout: they could neither be pinged nor be heard."""
        connection = self.connect()
        self.advance(9)
        self.clock.advance(30)
        self.advance(9)
        self.assertIsNone(connection.closed)
        self.advance(1)
        self.assertEqual(connection.closed, (4002, "heartbeat timeout"))
        self.assertEqual(self.heartbeats.stalls, 1)

    def test_one_bad_connection(self) -> None:
        """A connection that fails stops neither the loop nor, for ever, the beats of others."""
        self.connect("bad", broken=True)
        good = [self.connect(str(n)) for n in range(3)]
        self.advance(4, *good)
        self.assertEqual([len(connection.messages) for connection in good], [1, 1, 1])
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)

    def test_sweeps(self) -> None:
        """What else is to be done each tick is done, also when a part of it fails."""
        verifyObject(ISweeper, self.sweepers[0])
        self.sweepers[0].fails_on = 2
        self.advance(4)
        self.assertEqual([sweeper.sweeps for sweeper in self.sweepers], [4, 4])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_short_interval(self) -> None:
        """An interval below a second is kept, too."""
        clock = Clock()
        heartbeats = quiet_guard(Limits(auth_timeout=0), clock, 0.25, 10.0).heartbeats
        heartbeats.startService()
        connection = RecordingConnection()
        heartbeats.opened(connection)
        for _ in range(4):
            clock.advance(0.25)
        self.assertEqual(len(connection.messages), 4)
        heartbeats.stopService()

    def test_stopped(self) -> None:
        """A stopped service leaves no timer behind."""
        self.heartbeats.stopService()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.heartbeats.startService()


class OnTheWireTests(SynchronousTestCase):
    """Heartbeats between real protocols."""

    def test_pongs_keep_a_quiet_client(self) -> None:
        """A client that says nothing but answers pings, as browsers do, stays and hears the heartbeats."""
        gateway = MemoryGateway()
        self.addCleanup(gateway.close)
        client = gateway.connect("a")
        gateway.advance(300)
        self.assertIsNone(client.close_code)
        self.assertEqual(len(client.received("heartbeat")), 10)
        self.assertEqual(set(client.received("heartbeat")[0]), {"timestamp"})

    def test_a_mute_client_goes(self) -> None:
        """A client whose pongs don't come is closed with 4002, is away then, and gone when it does not come back."""
        gateway = MemoryGateway()
        self.addCleanup(gateway.close)
        client = gateway.connect("a")
        client.protocol.onPing = lambda payload: None
        gateway.advance(61)
        self.assertEqual(client.close_code, CloseCode.HEARTBEAT_TIMEOUT)
        self.assertEqual(gateway.presence.directory.get("a").status, "away")  # type: ignore[union-attr]
        gateway.advance(121)
        self.assertIsNone(gateway.presence.directory.get("a"))
