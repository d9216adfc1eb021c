"""Turns: what one connection has sent does not keep others waiting."""

from __future__ import annotations

import itertools
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.testing import MemoryGateway
from cell0gw.transports.websocket.turns import AGAIN, LOOK, LOOKED_AT, SHORTEST_TURN, TURN, Turns
from tests.transports.memory import MemoryTransport
from tests.transports.test_deflate import OFFER, compressed
from tests.transports.websocket.test_chunking import frame
from tests.transports.websocket.test_lean import request

STEP = TURN / 3.5
"""Seconds that a message takes here: the fourth one ends a turn."""


def ping(number: int) -> bytes:
    return b'{"jsonrpc":"2.0","method":"rpc.ping","id":%d}' % number


def one_pass(clock: Clock) -> None:
    """Run what is due, and not what that puts off until the next pass."""
    for call in [call for call in clock.calls if call.getTime() <= clock.seconds()]:
        clock.calls.remove(call)
        call.called = 1
        call.func(*call.args, **call.kw)


class Peer:
    """A connection that nobody has authenticated, and what it was sent."""

    def __init__(self, gateway: MemoryGateway) -> None:
        self.server: Any = gateway.factory.buildProtocol(IPv4Address("TCP", "192.0.2.1", 1))
        self.transport = MemoryTransport(self.server)
        self.server.dataReceived(request(Sec_WebSocket_Extensions=OFFER))
        self.transport.clear()

    def send(self, *messages: bytes, squeezed: bool = False) -> None:
        """Let the gateway read some messages in one go."""
        framed = compressed if squeezed else frame
        self.server.dataReceived(b"".join(map(framed, messages)))

    @property
    def pongs(self) -> int:
        """How many answers it has got."""
        return self.transport.value().count(b'"pong"')

    @property
    def reads(self) -> bool:
        """Whether the gateway reads from it."""
        return self.transport.producerState == "producing"


class TurnTests(SynchronousTestCase):
    """Four messages are a turn."""

    def setUp(self) -> None:
        self.gateway = MemoryGateway()
        self.addCleanup(self.gateway.close)
        dispatch = self.gateway.factory.dispatch

        def slow(caller: Any, payload: bytes) -> Any:
            self.gateway.clock.rightNow += STEP
            return dispatch(caller, payload)

        self.gateway.factory.dispatch = slow

    def peer(self) -> Peer:
        peer = Peer(self.gateway)
        self.addCleanup(peer.server.abort)
        return peer

    def test_others_between(self) -> None:
        """Of a hundred messages four are handled; before the next ones others have their turn, and all is in order."""
        for squeezed in (False, True):
            much, little = self.peer(), self.peer()
            much.send(*map(ping, range(100)), squeezed=squeezed)
            self.assertEqual((much.pongs, much.reads), (4, False))
            little.send(ping(1))
            self.assertEqual(little.pongs, 1)
            one_pass(self.gateway.clock)
            self.assertEqual(much.pongs, 8)
            for _ in range(30):
                one_pass(self.gateway.clock)
            self.assertEqual((much.pongs, much.reads), (100, True))
            answers = much.transport.value()
            places = [answers.index(b'"id":%d}' % number) for number in range(100)]
            self.assertEqual(places, sorted(places))

    def test_in_turn(self) -> None:
        """Those who wait have one turn after another, whoever sent most."""
        peers = [self.peer() for _ in range(3)]
        for peer, count in zip(peers, (200, 50, 30), strict=True):
            peer.send(*map(ping, range(count)))
        before = [peer.pongs for peer in peers]
        for _ in range(6):
            one_pass(self.gateway.clock)
        self.assertEqual([peer.pongs - was for peer, was in zip(peers, before, strict=True)], [8, 8, 8])

    def test_much_waits(self) -> None:
        """While somebody waits, a long read waits as well, and a short one does not."""
        first, second, third = self.peer(), self.peer(), self.peer()
        first.send(*map(ping, range(10)))
        second.send(*map(ping, range(100)))
        third.send(ping(1), ping(2))
        self.assertEqual((first.pongs, second.pongs, third.pongs), (4, 0, 2))

    def test_long_message(self) -> None:
        """One message that takes longer than a turn is handled whole; nothing more is read before all had theirs."""
        self.gateway.factory.turns.length = STEP / 2
        peer = self.peer()
        peer.send(ping(1))
        self.assertEqual((peer.pongs, peer.reads), (1, False))
        one_pass(self.gateway.clock)
        self.assertTrue(peer.reads)

    def test_gone(self) -> None:
        """Who is gone before its turn has none; what waited of it is let go."""
        peer, other = self.peer(), self.peer()
        for each in (peer, other):
            each.send(*map(ping, range(10)))
        peer.transport.loseConnection()
        for _ in range(10):
            one_pass(self.gateway.clock)
        self.assertIsNone(peer.server._held)
        self.assertEqual(other.pongs, 10)


class CutTests(SynchronousTestCase):
    """Reads that end in the middle of a frame."""

    def setUp(self) -> None:
        self.gateway = MemoryGateway()
        self.addCleanup(self.gateway.close)
        self.peer = Peer(self.gateway)
        self.addCleanup(self.peer.server.abort)
        self.fed: list[bytes] = []
        feed = self.peer.server.feed

        def counted(data: bytes) -> None:
            self.fed.append(data)
            feed(data)

        self.peer.server.feed = counted

    def test_fast_again(self) -> None:
        """Autobahn, which is slow, gets the rest of the frame that was cut, and nothing of what follows it."""
        whole = b"".join(frame(ping(number)) for number in range(20))
        one = len(frame(ping(1)))
        for cut in range(1, one):
            self.fed.clear()
            self.peer.transport.clear()
            self.peer.server.dataReceived(whole[:cut])
            self.peer.server.dataReceived(whole[cut:])
            self.assertEqual(self.peer.pongs, 20)
            self.assertLessEqual(sum(map(len, self.fed)), one)

    def test_long_after_a_close(self) -> None:
        """Who goes on sending, twice as much as a message may have, is not waited for."""
        self.peer.server.close(4001, "over")
        much = frame(b"x" * 60_000)
        for _ in range(5):
            self.assertTrue(self.peer.transport.connected)
            self.peer.server.dataReceived(much)
        self.assertFalse(self.peer.transport.connected)

    def test_after_a_close(self) -> None:
        """Of what comes after a close Autobahn gets the client's own, and the frame that is cut."""
        self.peer.server.close(4001, "over")
        pings = b"".join(map(frame, map(ping, range(100))))
        self.peer.server.dataReceived(pings + frame(b"x" * 60_000, first=0xC1) + frame(ping(1))[:20])
        self.peer.server.dataReceived(frame(ping(1))[20:] + pings + frame((1000).to_bytes(2, "big"), first=0x88))
        self.assertEqual(self.peer.pongs, 0)
        self.assertTrue(self.peer.server.wasClean)
        self.assertLess(sum(map(len, self.fed)), 200)


class RefusedTests(SynchronousTestCase):
    """Clients without a name that send too much."""

    def test_nothing_more_is_read(self) -> None:
        """Beyond the budget of its address a connection is closed with 4013, in the middle of what it has sent; it is
        not inflated any more, and nothing fails, although it owes for what it has sent before.
        """
        gateway = MemoryGateway(calls_per_second=100, calls_burst=20)
        self.addCleanup(gateway.close)
        heartbeat = b'{"jsonrpc":"2.0","method":"heartbeat","x":"' + b"x" * 60_000 + b'"}'
        peer = Peer(gateway)
        self.addCleanup(peer.server.abort)
        gateway.guard.anonymous.spent(peer.server, 16 * 2**20 - 100_000, 0.0)
        handled: list[int] = []
        dispatch = gateway.factory.dispatch
        gateway.factory.dispatch = lambda caller, payload: handled.append(len(payload)) or dispatch(caller, payload)
        peer.send(*[heartbeat] * 50, squeezed=True)
        for _ in range(10):
            gateway.clock.advance(0.5)
        self.assertEqual((peer.server.localCloseCode, len(handled)), (4013, 2))
        self.assertEqual((peer.server.data, self.flushLoggedErrors()), (b"", []))

    def test_closed_in_the_middle(self) -> None:
        """What is left of a client that is closed while it owes is not read in the middle of itself."""
        gateway = MemoryGateway(calls_per_second=100, calls_burst=20)
        self.addCleanup(gateway.close)
        peer = Peer(gateway)
        self.addCleanup(peer.server.abort)

        def close(caller: Any, payload: bytes) -> None:
            peer.server.rest(1.0)
            peer.server.close(4001, "over")

        gateway.factory.dispatch = close
        peer.send(*[b"{}"] * 50, squeezed=True)
        gateway.clock.advance(0)
        self.assertEqual((peer.server.localCloseCode, self.flushLoggedErrors()), (4001, []))
        self.assertFalse(peer.server.inside_message)


class AnswerTests(SynchronousTestCase):
    """Answers that leave at the end of the pass."""

    def setUp(self) -> None:
        self.gateway = MemoryGateway(outbound_limit=100_000)
        self.addCleanup(self.gateway.close)
        self.peer = Peer(self.gateway)
        self.addCleanup(self.peer.server.abort)

    def test_bounded(self) -> None:
        """As many calls of one read are taken up as their answers may wait; the rest once those have been read."""
        transport: Any = self.peer.transport
        transport.backlog = 0
        call = b'{"jsonrpc":"2.0","method":"rpc.discover","id":1}'
        self.peer.send(*[call] * 500)
        first = len(transport.value())
        self.assertLess(first, 300_000)
        self.assertFalse(self.peer.reads)
        transport.backlog = 200_000
        for _ in range(5):
            self.gateway.clock.advance(LOOK)
        self.assertEqual(len(transport.value()), first)
        transport.backlog = 0
        self.gateway.clock.advance(LOOK)
        one_pass(self.gateway.clock)
        self.assertGreater(len(transport.value()), first)


NUMBERS = itertools.count()


class Waiting:
    """Somebody who waits."""

    has_room = True

    def __init__(self, holder: str | None = None) -> None:
        self.turn_holder = holder or f"holder {next(NUMBERS)}"
        self.turns = 0

    def take_turn(self) -> None:
        self.turns += 1


class TurnsTests(SynchronousTestCase):
    """L{Turns}."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.turns = Turns(self.clock)

    def test_one_a_pass(self) -> None:
        """Each pass of the reactor has one turn, and each who waits has one, in order."""
        many = [Waiting() for _ in range(3)]
        for each in many:
            self.turns.wait(each)
        for number in range(3):
            one_pass(self.clock)
            self.assertEqual([each.turns for each in many], [1] * (number + 1) + [0] * (2 - number))
        self.assertFalse(self.turns.busy)

    def test_holders(self) -> None:
        """Who has many connections has no more turns than who has one."""
        many, one = [Waiting("many") for _ in range(10)], Waiting("one")
        for each in (*many, one):
            self.turns.wait(each)
        had = []
        for _ in range(6):
            one_pass(self.clock)
            had.append((sum(each.turns for each in many), one.turns))
            if len(had) > 1 and had[-1][1] > had[-2][1]:  # it has more to say
                self.turns.wait(one)
        self.assertEqual(had, [(1, 0), (2, 0), (2, 1), (3, 1), (3, 2), (4, 2)])

    def test_who_had_none_for_a_while(self) -> None:
        """Who had no turn for a second waits for one of those who go on and on, at most, and they for one of these."""
        endless = [Waiting() for _ in range(20)]
        for each in endless:
            self.turns.wait(each)
        for _ in endless:
            one_pass(self.clock)
        fresh = [Waiting() for _ in range(3)]
        for each in (*endless, *fresh):
            self.turns.wait(each)
        had = []
        for _ in range(6):
            one_pass(self.clock)
            had.append((sum(each.turns for each in endless) - 20, sum(each.turns for each in fresh)))
        self.assertEqual(had, [(1, 0), (1, 1), (2, 1), (2, 2), (3, 2), (3, 3)])

    def test_forgotten(self) -> None:
        """Who had a turn is known for a second, and no longer."""
        for _ in range(50):
            self.turns.wait(Waiting())
            one_pass(self.clock)
        self.assertEqual(len(self.turns._served), 50)
        self.clock.advance(AGAIN)
        self.turns.wait(Waiting())
        self.assertEqual(len(self.turns._served), 0)

    def test_shorter_among_many(self) -> None:
        """The more wait, the shorter is a turn; it is as long as before when they have had theirs."""
        lengths = []
        for _ in range(100):
            self.turns.wait(Waiting())
            lengths.append(self.turns.length)
        self.assertEqual((lengths[0], lengths[-1]), (TURN, SHORTEST_TURN))
        for _ in range(100):
            one_pass(self.clock)
        self.assertEqual(self.turns.length, TURN)

    def test_failure(self) -> None:
        """A turn that fails is logged, and costs the next one nothing."""

        class Failing(Waiting):
            def take_turn(self) -> None:
                raise ZeroDivisionError

        other = Waiting()
        for each in (Failing(), other):
            self.turns.wait(each)
        for _ in range(2):
            one_pass(self.clock)
        self.assertEqual(other.turns, 1)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_those_who_do_not_read(self) -> None:
        """Thousands whose answers wait are looked at a few at a time, in turn."""
        many = [Waiting() for _ in range(3 * LOOKED_AT)]
        for each in many:
            each.has_room = False
            self.turns.wait(each)
        self.clock.advance(LOOK)
        for each in many:
            each.has_room = True
        for had in (64, 128, 192):
            self.clock.advance(LOOK)
            self.assertEqual(sum(each.turns for each in many), had)
        self.assertEqual((LOOKED_AT, self.turns._unread), (64, {}))
