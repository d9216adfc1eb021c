"""A transport of tests."""

from __future__ import annotations

from twisted.internet.protocol import Protocol
from twisted.internet.testing import StringTransportWithDisconnection


class MemoryTransport(StringTransportWithDisconnection):
    """Keeps what is written; like a socket's and unlike its base, it lets go of a producer it has not got.

    @param protocol: the one it is connected to, from now on.
    @ivar ended: whether it was said that nothing more will be written; C{aborted}: whether it was aborted.
    """

    def __init__(self, protocol: Protocol) -> None:
        super().__init__()
        self.protocol = protocol
        protocol.makeConnection(self)

    TLS = False
    ended = aborted = False

    def loseWriteConnection(self) -> None:
        """See L{IHalfCloseableDescriptor}."""
        self.ended = True

    def abortConnection(self) -> None:
        """See L{ITCPTransport}."""
        self.aborted = True
        super().abortConnection()

    def unregisterProducer(self) -> None:
        self.producer = None
