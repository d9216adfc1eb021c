"""Sending everyone away: in batches, in time, whoever does not go as well."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.app.drain import ARRIVING, BATCH, PAUSE, Drain
from cell0gw.guard.connections import Connections
from cell0gw.process.runtime import Runtime
from cell0gw.protocol.errors import CloseCode
from cell0gw.protocol.limits import Limits
from cell0gw.testing import RecordingConnection

TIMEOUT = 10.0


class DrainTests(SynchronousTestCase):
    """L{Drain}."""

    def setUp(self) -> None:
        self.clock, self.connections = Clock(), Connections(Limits(), lambda: 0.0)
        self.everyone: list[RecordingConnection] = []

    def connect(self, count: int) -> None:
        for number in range(count):
            self.everyone.append(RecordingConnection(f"conn_{number}"))
            self.connections.opened(self.everyone[-1])

    def begin(self, timeout: float = TIMEOUT, random: int = 50, accept: float = 0.0) -> Deferred[None]:
        """Begin with pauses that are 0.5 to 1.5 times as long, by a number from 0 to 100."""
        runtime = Runtime(
            self.clock, self.clock.seconds, str, bytes, lambda bound: min(random, bound - 1), self.clock.seconds
        )
        return Drain(runtime, self.connections, timeout, accept).begin()

    def told(self) -> int:
        return sum(connection.closed is not None for connection in self.everyone)

    def go(self) -> None:
        """Whoever was told goes."""
        for connection in self.everyone:
            if connection.closed is not None:
                self.connections.closed(connection)

    def test_nobody(self) -> None:
        """Without connections it is done at once, and leaves no timer."""
        self.successResultOf(self.begin())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_newcomers(self) -> None:
        """As long as there may be new ones it is not done, though all have gone."""
        done = self.begin(accept=3.0)
        self.clock.pump([0.1] * 29)
        self.assertNoResult(done)
        self.clock.pump([0.1] * 2)
        self.successResultOf(done)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_newcomers_who_stay(self) -> None:
        """A new one that does not go is cut off when the time is up, as all others are."""
        done = self.begin(accept=3.0)
        self.clock.advance(2)
        self.connect(1)
        self.clock.pump([0.1] * 79)
        self.assertNoResult(done)
        self.clock.pump([0.1] * 2)
        self.successResultOf(done)
        self.assertTrue(self.everyone[0].aborted)

    def test_a_few(self) -> None:
        """A few are told at once, with the code that says reconnect; it is done when they are gone."""
        self.connect(BATCH)
        done = self.begin()
        self.assertEqual({connection.closed for connection in self.everyone},
                         {(CloseCode.DRAINING, "the gateway is going down")})  # fmt: skip
        self.assertNoResult(done)
        self.go()
        self.clock.advance(PAUSE)
        self.successResultOf(done)
        self.assertFalse(any(connection.aborted for connection in self.everyone))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_in_batches(self) -> None:
        """More are told in batches of two hundred, a pause between them."""
        self.connect(5 * BATCH)
        self.begin()
        told = [self.told()]
        for _ in range(4):
            self.clock.advance(PAUSE)
            told.append(self.told())
        self.assertEqual(told, [BATCH * number for number in (1, 2, 3, 4, 5)])

    def test_pauses_differ(self) -> None:
        """A pause is half as long to half as long again, by chance."""
        for random, pause in ((0, PAUSE / 2), (100, PAUSE * 1.5)):
            self.setUp()
            self.connect(2 * BATCH)
            self.begin(random=random)
            self.clock.advance(pause * 0.99)
            self.assertEqual(self.told(), BATCH)
            self.clock.advance(pause * 0.02)
            self.assertEqual(self.told(), 2 * BATCH)

    def test_in_time(self) -> None:
        """However many there are, all are told within half of the time, or half as much again if chance is bad."""
        for random, time in ((50, TIMEOUT / 2), (100, TIMEOUT * 3 / 4)):
            self.setUp()
            self.connect(100 * BATCH)
            self.begin(random=random)
            while self.told() < len(self.everyone):
                self.clock.advance(self.clock.getDelayedCalls()[0].getTime() - self.clock.seconds())
            self.assertLessEqual(self.clock.seconds(), time)

    def test_very_short(self) -> None:
        """With no time for pauses all are told at once, and cut off when it is over."""
        self.connect(3 * BATCH)
        done = self.begin(timeout=0.05)
        self.assertEqual(self.told(), len(self.everyone))
        self.clock.advance(PAUSE)
        self.successResultOf(done)
        self.assertTrue(all(connection.aborted for connection in self.everyone))

    def test_who_does_not_go(self) -> None:
        """Who is there still when the time is over is cut off; nobody is before."""
        self.connect(2)
        done = self.begin()
        self.connections.closed(self.everyone[0])
        self.clock.pump([PAUSE] * int(TIMEOUT / PAUSE - 1))
        self.assertNoResult(done)
        self.clock.pump([PAUSE] * 2)
        self.successResultOf(done)
        self.assertEqual([connection.aborted for connection in self.everyone], [False, True])

    def test_who_cannot_be_closed(self) -> None:
        """A connection that can't be closed, or aborted, keeps no other from it, and the drain ends."""

        def broken(*arguments: object) -> None:
            raise OSError("broken")

        self.connect(3)
        self.everyone[0].close = self.everyone[1].abort = broken  # type: ignore[method-assign]
        done = self.begin()
        self.assertEqual(self.told(), 2)
        self.clock.pump([PAUSE] * int(TIMEOUT / PAUSE + 1))
        self.successResultOf(done)
        self.assertEqual([connection.aborted for connection in self.everyone], [True, False, True])
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 2)

    def test_who_arrives(self) -> None:
        """Whoever does the handshake is waited for, since they are told then; but for a second only."""
        for comes in (True, False):
            self.setUp()
            arriving = RecordingConnection()
            self.connections.accepted(arriving)
            done = self.begin()
            self.clock.advance(PAUSE)
            self.assertNoResult(done)
            if comes:
                self.connections.closed(arriving)
            self.clock.pump([PAUSE] * (1 if comes else int(ARRIVING / PAUSE) + 1))
            self.successResultOf(done)
