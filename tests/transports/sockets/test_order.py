"""Every peer gets what was written to it, in that order, once: whatever happens to it and to others in between."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from cell0gw.auth.permissions import Permissions
from cell0gw.auth.principal import Principal
from cell0gw.channels.audience import Audience
from cell0gw.protocol.messages import LONG, Batch, shareable
from cell0gw.sessions.session import Session
from tests.transports.framing import text_frame
from tests.transports.sockets.pairs import PollerCase, Producer

PEERS = 3
PRINCIPAL = Principal(
    entity_id=">", entity_type="agent", permissions=Permissions([]), token_id="tok_1", expires_at=None
)

Operation = tuple[Any, ...]

peers = st.integers(0, PEERS - 1)
audiences = st.integers(0, 1)
sizes = st.integers(1, 200) | st.sampled_from([LONG - 9, LONG, 8_000, 60_000, 300_000])
operations = st.one_of(
    st.tuples(st.just("write"), peers, sizes),
    st.tuples(st.just("share"), st.sets(peers, min_size=1), st.lists(sizes, min_size=1, max_size=3)),
    *[st.tuples(st.just("publish"), audiences, sizes)] * 3,
    st.tuples(st.just("join"), audiences, peers),
    st.tuples(st.just("part"), audiences, peers),
    st.tuples(st.just("produce"), peers),
    st.tuples(st.just("cease"), peers),
    st.tuples(st.just("half_close"), peers),
    st.tuples(st.just("close"), peers),
    st.tuples(st.just("abort"), peers),
    st.tuples(st.just("read"), peers, st.integers(1, 100_000)),
    *[st.tuples(st.just("turn"), st.integers(1, 3))] * 2,
)


class Connection(NamedTuple):
    """What a connection is to an audience: its transport."""

    share: Callable[[Batch], bool]
    send: Callable[[bytes], None]


class Peer:
    """A transport, the socket at its other end, and what should arrive there.

    @ivar expected: what was written while it could be: until the end of our stream has left.
    @ivar arrived: what came.
    @ivar aborted: what waited may be lost then, but the rest is in order still.
    """

    def __init__(self, transport: Any, theirs: Any) -> None:
        self.transport = transport
        self._theirs = theirs
        self.expected = bytearray()
        self.arrived = bytearray()
        self.aborted = False
        connection: Any = Connection(transport.share, lambda message: transport.write(text_frame(message)))
        self.session = Session("s", "s", PRINCIPAL, connection, 0.0)

    def expect(self, data: bytes) -> None:
        """Something is about to be written."""
        if self.transport.connected and not self.transport._writeDisconnected and not self.aborted:
            self.expected += data

    def read(self, length: int) -> None:
        """Take in so many bytes, if there are."""
        with contextlib.suppress(BlockingIOError):
            self.arrived += self._theirs.recv(length)


class World:
    """Peers, and two audiences that they join and leave: then each is put together anew."""

    def __init__(self, ends: list[tuple[Any, Any]], turn: Callable[[], None]) -> None:
        self.peers = [Peer(*end) for end in ends]
        self.audiences = [Audience() for _ in range(2)]
        self.turn_once = turn
        self._messages = 0

    def message(self, size: int) -> bytes:
        """A message like no other."""
        self._messages += 1
        return (b"<%d>" % self._messages * size)[:size]

    def write(self, peer: int, size: int) -> None:
        frame = text_frame(self.message(size))
        self.peers[peer].expect(frame)
        self.peers[peer].transport.write(frame)

    def share(self, sharing: set[int], sizes: list[int]) -> None:
        """A batch that stays open."""
        batch = Batch()
        apart = [peer for peer in sorted(sharing) if not self.peers[peer].transport.share(batch)]
        for message in map(self.message, sizes):
            for peer in sharing:
                self.peers[peer].expect(text_frame(message))
            batch.append(message)
            for peer in apart:
                self.peers[peer].transport.write(text_frame(message))

    def publish(self, audience: int, size: int) -> None:
        message = self.message(size)
        for peer in self.peers:
            if peer.session in self.audiences[audience].connections:
                peer.expect(text_frame(message))
        self.audiences[audience].send(shareable(message), b"null")

    def join(self, audience: int, peer: int) -> None:
        if self.peers[peer].session not in self.audiences[audience].connections:
            self.audiences[audience].add(self.peers[peer].session)

    def part(self, audience: int, peer: int) -> None:
        if self.peers[peer].session in self.audiences[audience].connections:
            there = [
                session for session in self.audiences[audience].connections if session is not self.peers[peer].session
            ]
            self.audiences[audience] = Audience()
            for session in there:
                self.audiences[audience].add(session)

    def produce(self, peer: int) -> None:
        if self.peers[peer].transport.producer is None:
            self.peers[peer].transport.registerProducer(Producer(), True)

    def cease(self, peer: int) -> None:
        self.peers[peer].transport.unregisterProducer()

    def half_close(self, peer: int) -> None:
        if self.peers[peer].transport.connected:
            self.peers[peer].transport.loseWriteConnection()

    def close(self, peer: int) -> None:
        self.peers[peer].transport.loseConnection()

    def abort(self, peer: int) -> None:
        self.peers[peer].aborted = True
        self.peers[peer].transport.abortConnection()

    def read(self, peer: int, length: int) -> None:
        self.peers[peer].read(length)

    def turn(self, times: int) -> None:
        for _ in range(times):
            self.turn_once()

    def settle(self) -> None:
        """Let all that waits arrive."""
        for peer in range(PEERS):
            self.cease(peer)
        while True:
            before = [len(peer.arrived) for peer in self.peers]
            self.turn(2)
            for peer in self.peers:
                peer.read(1_000_000)
            if before == [len(peer.arrived) for peer in self.peers]:
                break


class OrderTests(PollerCase):
    """What arrives is what was written."""

    @settings(max_examples=300, deadline=None)
    @given(st.lists(operations, max_size=40), st.booleans())
    def test_any_operations(self, todo: list[Operation], together: bool) -> None:
        """Bytes and shared batches arrive whole, once and in the order in which they were written, at each peer."""
        ends = [self.connect() for _ in range(PEERS)]
        world = World([(transport, theirs) for transport, _, theirs in ends], self.reactor.turn)
        if together:
            for audience in range(2):
                for peer in range(PEERS):
                    world.join(audience, peer)
        for name, *arguments in todo:
            getattr(world, name)(*arguments)
        world.settle()
        for peer in world.peers:
            if peer.aborted:
                self.assertTrue(peer.expected.startswith(peer.arrived))
            else:
                self.assertEqual(peer.arrived, peer.expected)
        self.assertFalse(self.poller._writers or self.poller._blocked)
        for transport, _, theirs in ends:
            transport.abortConnection()
            theirs.close()
        self.reactor.turn()
        self.assertFalse(self.poller._transports or self.poller._masks)
