"""TLS between the socket and the protocol, over pairs of sockets."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from OpenSSL import SSL
from twisted.internet.protocol import Factory

from bench.certificate import make_certificate
from cell0gw.protocol.messages import Batch
from cell0gw.transports.sockets.certificates import Certificate, read_certificate
from cell0gw.transports.sockets.tls import over_tls
from tests.transports.sockets.pairs import PollerCase, Recorder, unexpected


class Peer:
    """A client's end: what it has to say goes to the socket, what comes from there it decrypts.

    @param turn: lets the gateway's end act.
    """

    def __init__(self, socket: Any, turn: Any) -> None:
        self._tls = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD))
        self._tls.set_connect_state()
        self._socket = socket
        self._turn = turn
        self.ended = False

    def shake_hands(self) -> None:
        while True:
            try:
                self._tls.do_handshake()
                break
            except SSL.WantReadError:
                self._exchange()
        self._exchange()

    def say(self, data: bytes) -> bytes:
        """Send data, and read what has come by then."""
        if data:
            self._tls.send(data)
        self._exchange()
        heard = b""
        try:
            while True:
                heard += self._tls.recv(65536)
        except SSL.WantReadError:
            pass
        except SSL.ZeroReturnError:
            self.ended = True
        return heard

    def _exchange(self) -> None:
        with contextlib.suppress(SSL.WantReadError):
            self._socket.sendall(self._tls.bio_read(65536))
        for _ in range(50):
            self._turn()
            try:
                data = self._socket.recv(65536)
            except BlockingIOError:
                continue
            if not data:
                break
            self._tls.bio_write(data)


class TransportTests(PollerCase):
    """A protocol over TLS on a transport with the fast path."""

    def secured(self) -> tuple[Recorder, Peer]:
        """A protocol over TLS, and the client that it speaks to."""
        folder = Path(self.mktemp())
        folder.mkdir()
        path = make_certificate(folder)
        transport, _, theirs = self.connect()
        protocol = Recorder()
        factory = Factory.forProtocol(lambda: protocol)
        wrapped: Any = over_tls(
            factory, Certificate(read_certificate(path, path)), self.reactor, unexpected
        ).buildProtocol(None)  # type: ignore[arg-type]
        transport.protocol = wrapped
        wrapped.makeConnection(transport)
        peer = Peer(theirs, self.reactor.turn)
        peer.shake_hands()
        return protocol, peer

    def test_both_ways(self) -> None:
        """What either end writes arrives at the other, whole and in order, much of it too."""
        protocol, peer = self.secured()
        self.assertEqual(peer.say(b"ping"), b"")
        self.assertEqual(protocol.received, b"ping")
        transport: Any = protocol.transport
        for number in range(100):
            transport.write(b"%03d" % number * 1000)
        heard = b"".join(peer.say(b"") for _ in range(20))
        self.assertEqual(heard, b"".join(b"%03d" % number * 1000 for number in range(100)))

    def test_nothing_is_shared(self) -> None:
        """A batch is refused: its bytes would go out in the clear."""
        protocol, peer = self.secured()
        transport: Any = protocol.transport
        self.assertFalse(transport.share(Batch()))
        self.assertTrue(transport.TLS)
        self.assertEqual(peer.say(b""), b"")

    def test_closing(self) -> None:
        """What waits when the connection is closed arrives before the end, which is told as TLS tells it."""
        protocol, peer = self.secured()
        transport: Any = protocol.transport
        transport.write(b"last words")
        transport.loseConnection()
        self.assertEqual(peer.say(b""), b"last words")
        self.assertTrue(peer.ended)
