"""The handshake of a connection: its request is read, judged, and answered.

Autobahn waits for the end of a head however long it gets. No option changes that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from autobahn.websocket.compress import PerMessageDeflateOffer

from cell0gw.transports.deflate import Deflate
from cell0gw.transports.websocket.factory import GatewayFactory
from cell0gw.transports.websocket.handshake import PageRequest, UpgradeRequest
from cell0gw.transports.websocket.lean import LeanProtocol
from cell0gw.transports.websocket.refusals import Refused


class UpgradingProtocol(LeanProtocol):
    """A socket that becomes a connection, or is told why not."""

    factory: GatewayFactory
    address: str
    perMessageCompressionAccept: Callable[[list[Any]], Any]
    # Not in the table of names that a class's instances share, which holds at most thirty.
    __slots__ = ("_seen",)

    def __init__(self) -> None:
        super().__init__()
        self._seen = 0

    def admit(self, request: UpgradeRequest) -> None:
        """Judge a request that is well-formed.

        @raise Refused: it can't become a connection.
        """

    def processHandshake(self) -> None:
        """See L{WebSocketServerProtocol}, whose own reads on without end."""
        try:
            request = self.factory.reader.read(self.data, self._seen)
            if request is None:
                self._seen = len(self.data)
                return
            if isinstance(request, PageRequest):
                self._answer_and_end(self.factory.serve(self, request))
                return
            self.admit(request)
        except Refused as refusal:
            self._refuse(refusal)
            return
        self.data = self.data[request.length :]
        self._accept(request)

    def _accept(self, request: UpgradeRequest) -> None:
        """See L{WebSocketServerProtocol.succeedHandshake}, whose own keeps all that was said."""
        extension = ""
        if request.extensions:
            try:
                extension = self._negotiate(request.extensions)
            except Exception:  # Autobahn's parsers of parameters raise many
                self._refuse(Refused("extensions"))
                return
        self.transport.write(request.response(extension))
        self.state = self.STATE_OPEN
        self.onOpen()
        if self.data:
            self.consumeData()

    def _negotiate(self, extensions: str) -> str:
        """
        @param extensions: what the client offers.
        @return: what is accepted of it, as it stands in the response; empty: nothing.
        """
        offers = [
            PerMessageDeflateOffer.parse(parameters)
            for name, parameters in self._parseExtensionsHeader(extensions)
            if name == PerMessageDeflateOffer.EXTENSION_NAME
        ]
        accepted = self.perMessageCompressionAccept(offers)
        if accepted is None:
            return ""
        self._perMessageCompress = Deflate.create_from_offer_accept(True, accepted)
        return str(accepted.get_extension_string())

    def _refuse(self, refusal: Refused) -> None:
        self.factory.refused(self, refusal)
        self._answer_and_end(refusal.response.to(self.data.startswith(b"HEAD ")))

    def _answer_and_end(self, response: bytes) -> None:
        """Answer a request by HTTP. Nothing more is read: what becomes no connection has no second request."""
        self.data = b""
        self.state = self.STATE_CLOSED
        self.transport.write(response)
        self.end_stream()

    def end_stream(self) -> None:
        """Say by the end of the stream that nothing more will come.

        Closing a socket with something unread in it makes Linux reset the connection, and the peer may never see what
        was written last. Over TLS nothing can be half-closed.
        """
        if getattr(self.transport, "TLS", True):
            self.transport.loseConnection()
        else:
            self.transport.loseWriteConnection()
