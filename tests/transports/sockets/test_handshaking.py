"""Handshakes of TLS that fail, over pairs of sockets: what is reported, and what the other end is told."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from OpenSSL import SSL
from twisted.internet.protocol import Factory

from bench.certificate import make_certificate
from cell0gw.monitoring.tls_failures import CAUSES
from cell0gw.transports.sockets.certificates import Certificate, read_certificate
from cell0gw.transports.sockets.handshaking import NO_TLS, cause_of, reason_of
from cell0gw.transports.sockets.tcp import GatewayTransport
from cell0gw.transports.sockets.tls import over_tls
from tests.transports.sockets.pairs import PollerCase, Recorder

HELLO = bytes.fromhex("16030100c8010000c40303")


def client(change: Callable[[SSL.Context], Any] = lambda context: None) -> SSL.Connection:
    """A client's end of TLS.

    @param change: sets it up.
    """
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    change(context)
    connection = SSL.Connection(context)
    connection.set_connect_state()
    return connection


class HandshakingTests(PollerCase):
    """L{cell0gw.transports.sockets.handshaking.HandshakingTransport}."""

    def setUp(self) -> None:
        super().setUp()
        folder = Path(self.mktemp())
        folder.mkdir()
        path = make_certificate(folder)
        self.reported: list[tuple[str, str, str]] = []
        self.protocol = Recorder()
        factory = over_tls(
            Factory.forProtocol(lambda: self.protocol),  # type: ignore[arg-type]
            Certificate(read_certificate(path, path)),
            self.reactor,
            lambda cause, client, said: self.reported.append((cause, client.address, said)),
        )
        self.transport, self.theirs = self.accept(factory)

    def accept(self, factory: Any) -> tuple[GatewayTransport, socket.socket]:
        transport, _, theirs = self.connect()
        transport.client = ("192.0.2.1", 50_000)  # type: ignore[assignment]
        self.wrapped = transport.protocol = factory.buildProtocol(None)
        self.wrapped.makeConnection(transport)
        return transport, theirs

    def shake_hands(self, tls: SSL.Connection) -> None:
        """What a client does until its end of the handshake is done, or is not to be."""
        for _ in range(10):
            try:
                tls.do_handshake()
            except SSL.WantReadError:
                pass
            except SSL.Error:
                break
            finally:
                with contextlib.suppress(SSL.WantReadError):
                    self.theirs.sendall(tls.bio_read(65536))
            heard = self.read_all(self.theirs, 5)
            if heard:
                tls.bio_write(heard)
        self.read_all(self.theirs, 5)

    def causes(self) -> list[str]:
        return [cause for cause, _, _ in self.reported]

    def test_done(self) -> None:
        """A handshake that succeeds is not reported, however its connection ends."""
        self.shake_hands(client())
        self.theirs.close()
        self.reactor.turn()
        self.assertEqual(len(self.protocol.lost), 1)
        self.assertEqual(self.reported, [])

    def test_plain_http(self) -> None:
        """A request without TLS is answered in the clear, and then the end of the stream; what follows is ignored."""
        self.theirs.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertEqual(self.read_all(self.theirs), NO_TLS)
        self.assertIn(b"400 Bad Request", NO_TLS)
        self.assertIn(b"\r\n\r\nThis port speaks TLS: use wss://", NO_TLS)
        for _ in range(50):
            self.theirs.sendall(b"x" * 4000)
            self.reactor.turn()
        self.assertEqual(self.reported, [("plain_http", "192.0.2.1", "http request")])
        self.assertEqual((self.protocol.received, self.protocol.lost), (b"", []))
        self.theirs.close()
        self.reactor.turn()
        self.assertEqual((len(self.protocol.lost), self.causes()), (1, ["plain_http"]))

    def test_deadline_after_the_answer(self) -> None:
        """A peer that stays after it was answered is aborted when its time is over, and is reported once."""
        self.theirs.sendall(b"GET / HTTP/1.1\r\n\r\n")
        self.read_all(self.theirs)
        self.wrapped.abortConnection()
        self.reactor.turn()
        self.assertEqual((len(self.protocol.lost), self.causes()), (1, ["plain_http"]))

    def test_causes(self) -> None:
        """What else comes that is no handshake; it is never answered in the clear."""
        for sent, cause in (
            (b"SSH-2.0-OpenSSH_9.2\r\n", "not_tls"),
            (b"\x00" * 100, "not_tls"),
            (HELLO + b"\x00" * 200, "malformed"),
            (b"\x17\x03\x03\x00\x05hello", "malformed"),
        ):
            self.setUp()
            self.theirs.sendall(sent)
            self.assertNotIn(b"HTTP", self.read_all(self.theirs))
            self.assertEqual(self.causes(), [cause], sent)
            self.assertEqual(len(self.protocol.lost), 1)

    def test_nothing_in_common(self) -> None:
        """A client with another version, or with other ciphers."""

        def cipher(context: SSL.Context) -> None:
            context.set_max_proto_version(SSL.TLS1_2_VERSION)
            context.set_cipher_list(b"ECDHE-RSA-AES128-GCM-SHA256")

        def version(context: SSL.Context) -> None:
            context.set_cipher_list(b"ALL:@SECLEVEL=0")
            context.set_min_proto_version(SSL.TLS1_1_VERSION)
            context.set_max_proto_version(SSL.TLS1_1_VERSION)

        for change, cause in ((cipher, "cipher"), (version, "version")):
            self.setUp()
            self.shake_hands(client(change))
            self.assertEqual(self.causes(), [cause])

    def test_certificate(self) -> None:
        """A client that trusts another root says so, over TLS 1.2 and 1.3."""
        for version in (SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION):
            self.setUp()

            def distrust(context: SSL.Context, version: int = version) -> None:
                context.set_max_proto_version(version)
                context.set_verify(SSL.VERIFY_PEER)

            self.shake_hands(client(distrust))
            ((cause, address, said),) = self.reported
            self.assertEqual((cause, address), ("certificate", "192.0.2.1"))
            self.assertIn("unknown ca", said)

    def test_broken_off(self) -> None:
        """A client that goes in the middle of it is reported; one that has said nothing is not."""
        for sent, expected in ((HELLO, ["broken_off"]), (b"", [])):
            self.setUp()
            self.theirs.sendall(sent)
            self.reactor.turn()
            self.theirs.close()
            self.reactor.turn()
            self.assertEqual(len(self.protocol.lost), 1)
            self.assertEqual(self.causes(), expected)

    def test_timeout(self) -> None:
        """A connection that the gateway aborts before it is done was too slow, whether anything came or not."""
        for sent in (HELLO, b""):
            self.setUp()
            self.theirs.sendall(sent)
            self.reactor.turn()
            self.wrapped.abortConnection()
            self.reactor.turn()
            self.assertEqual(len(self.protocol.lost), 1)
            self.assertEqual(self.causes(), ["timeout"])

    def test_stop(self) -> None:
        """A gateway that stops in the middle of it reports nothing: it is not the client's doing."""
        self.theirs.sendall(HELLO)
        self.reactor.turn()
        self.close()
        self.assertEqual((len(self.protocol.lost), self.reported), (1, []))


class CauseTests(PollerCase):
    """L{cause_of} and L{reason_of}."""

    def test_words(self) -> None:
        """What releases of OpenSSL say leads to the same cause; what is unknown is malformed."""
        for said, cause in (
            ("http request", "plain_http"),
            ("https proxy request", "plain_http"),
            ("wrong version number", "not_tls"),
            ("unsupported protocol", "version"),
            ("tlsv1 alert protocol version", "version"),
            ("no shared cipher", "cipher"),
            ("no suitable signature algorithm", "cipher"),
            ("no suitable key share", "cipher"),
            ("no shared groups", "cipher"),
            ("sslv3 alert certificate expired", "certificate"),
            ("ssl/tls alert bad certificate", "certificate"),
            ("ssl/tls alert certificate unknown", "certificate"),
            ("tlsv1 alert unknown ca", "certificate"),
            ("sslv3 alert handshake failure", "alert"),
            ("unexpected eof while reading", "broken_off"),
            ("digest check failed", "malformed"),
        ):
            self.assertEqual(cause_of(said), cause, said)
            self.assertIn(cause, CAUSES)

    def test_errors(self) -> None:
        """It is in the last entry of OpenSSL's queue, or in what pyOpenSSL makes of an end; no entry is an end, too."""
        for problem, said in (
            (SSL.Error([("SSL routines", "", "other"), ("SSL routines", "", "No Shared Cipher")]), "no shared cipher"),
            (SSL.Error([]), "unexpected eof"),
            (SSL.Error(), "unexpected eof"),
            (SSL.SysCallError(-1, "Unexpected EOF"), "unexpected eof"),
        ):
            self.assertEqual(reason_of(problem), said)
