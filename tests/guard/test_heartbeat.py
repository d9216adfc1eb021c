"""Heartbeats, and the end of the silent."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from cell0gw.guard.heartbeat import HANDSHAKE, LINGER, MAX_LINGER
from cell0gw.process.interfaces import ISweeper
from cell0gw.protocol.errors import CloseCode
from cell0gw.protocol.limits import Limits
from cell0gw.testing import MemoryGateway, RecordingConnection
from tests.guard.guards import quiet_guard
from tests.presence.test_directory import make_session


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
            connection.session = make_session(name, name)
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

    def test_data_on_its_way(self) -> None:
        """Who has data waiting gets no heartbeat, which would wait behind it; once that has left, as all others do."""
        busy, idle = self.connect("busy"), self.connect("idle")
        busy.backlog = 1
        self.advance(8, busy, idle)
        self.assertEqual((len(busy.messages), len(idle.messages)), (0, 2))
        busy.backlog = 0
        self.advance(4, busy, idle)
        self.assertEqual(len(busy.messages), 1)

    def test_taking_is_a_sign_of_life(self) -> None:
        """Who takes what waits for it stays, however long it says nothing; it has the whole timeout from then on."""
        reading = self.connect()
        for _ in range(30):
            reading.taken_at = self.clock.seconds()
            self.clock.advance(1)
        self.assertIsNone(reading.closed)
        self.advance(8)
        self.assertIsNone(reading.closed)
        self.advance(1)
        self.assertEqual(reading.closed, (CloseCode.HEARTBEAT_TIMEOUT, "heartbeat timeout"))

    def test_looked_at_when_silent(self) -> None:
        """Who talks is not looked at; who is silent is, for half of the timeout, and only what came since counts."""
        connection, asked = self.connect(), []
        connection.last_taken = lambda since=0.0: asked.append(since) or 0.0  # type: ignore[assignment, func-returns-value]
        self.advance(20, connection)
        self.assertEqual(asked, [])
        self.advance(8)
        self.assertEqual(set(asked), {connection.last_received})
        self.assertGreaterEqual(len(asked), 4)

    def test_stalled(self) -> None:
        """Who takes nothing of too much that waits is closed as one that has fallen behind, whatever it says."""
        stalled, slow = self.connect("a"), self.connect("b")
        stalled.stalled = slow.stalled = True
        stalled.backlog, slow.backlog = Limits().outbound_limit + 1, Limits().outbound_limit
        self.advance(1, stalled, slow)
        self.assertEqual((stalled.closed, slow.closed), ((4008, "too slow"), None))

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

    def test_who_goes_slowly(self) -> None:
        """A closing connection whose peer still takes what waits is not cut off, so that it sees the close; but not for
        ever."""
        slow, endless = self.connect("a"), self.connect("b")
        began = self.clock.seconds()
        for connection in (slow, endless):
            connection.close(CloseCode.SLOW_CONSUMER, "go")
            connection.closing_since = began
        for _ in range(20):
            slow.taken_at = endless.taken_at = self.clock.seconds()
            self.clock.advance(1)
        self.assertFalse(slow.aborted or endless.aborted)
        while not endless.aborted:
            endless.taken_at = self.clock.seconds()
            self.clock.advance(1)
            self.assertEqual(slow.aborted, self.clock.seconds() >= began + 19 + LINGER)
        self.assertEqual(self.clock.seconds(), began + MAX_LINGER)

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
        """A connection that fails stops neither the loop nor the beats of others, and is aborted."""
        bad = self.connect("bad", broken=True)
        good = [self.connect(str(n)) for n in range(7)]  # of two slots, two are in that of the bad one
        self.advance(4, *good)
        self.assertEqual([len(connection.messages) for connection in good], [1] * 7)
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        self.assertTrue(bad.aborted)

    def test_one_that_cannot_be_judged(self) -> None:
        """A connection whose close fails keeps no other silent one from being closed."""
        bad, *others = [self.connect(str(n)) for n in range(3)]

        def broken(code: int, reason: str) -> None:
            raise OSError("broken")

        bad.close = broken  # type: ignore[method-assign]
        self.advance(10)
        self.assertEqual([connection.closed is not None for connection in others], [True, True])
        self.assertTrue(bad.aborted)
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)

    def test_sweeps(self) -> None:
        """What else is to be done each tick is done, also when a part of it fails."""
        verifyObject(ISweeper, self.sweepers[0])
        self.sweepers[0].fails_on = 2
        self.advance(4)
        self.assertEqual([sweeper.sweeps for sweeper in self.sweepers], [4, 4])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_sweeps_of_a_busy_process(self) -> None:
        """A process that is blocked for seconds again and again sweeps as often as it gets to it."""
        for _ in range(3):
            self.clock.advance(5)
        self.assertEqual((self.heartbeats.stalls, [sweeper.sweeps for sweeper in self.sweepers]), (3, [3, 3]))

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
