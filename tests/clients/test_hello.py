"""What is read of a ClientHello."""

from __future__ import annotations

import contextlib
import ssl

from twisted.trial.unittest import SynchronousTestCase

from tests.clients.hello import Hello, read_hello

RECORD = 5
"""Bytes of the head of a record."""


def hello_of(context: ssl.SSLContext) -> bytes:
    """The ClientHello of a client."""
    sent = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), sent, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return sent.read()[RECORD:]


class ReadHelloTests(SynchronousTestCase):
    """OpenSSL's."""

    def context(self, *versions: ssl.TLSVersion) -> ssl.SSLContext:
        """A client's that speaks some versions."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version, context.maximum_version = versions
        return context

    def test_protocols(self) -> None:
        """What is offered by ALPN is read in its order, and TLS 1.2 and 1.3 as such."""
        context = self.context(ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
        context.set_alpn_protocols(["h2", "http/1.1"])
        self.assertEqual(read_hello(hello_of(context)), Hello(("1.2", "1.3"), ("h2", "http/1.1")))

    def test_no_protocols(self) -> None:
        """A client may have no ALPN, and an old version only, for which there is no extension."""
        context = self.context(ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2)
        self.assertEqual(read_hello(hello_of(context)), Hello(("1.2",), ()))

    def test_cut_short(self) -> None:
        """What is cut short anywhere, or is something else, is refused."""
        whole = hello_of(self.context(ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3))
        for end in range(1, len(whole)):
            self.assertRaises(ValueError, read_hello, whole[:end])
        self.assertRaises(ValueError, read_hello, b"\x02" + whole[1:])
