"""The opening handshake: which requests become connections."""

from __future__ import annotations

from typing import Any, Final

from autobahn.websocket.compress import PerMessageDeflateOffer, PerMessageDeflateOfferAccept
from autobahn.websocket.types import ConnectionDeny, ConnectionRequest

SUBPROTOCOL: Final = "cell0.v1"
PATHS: Final = ("/", "/ws")


def judge(request: ConnectionRequest) -> str | None:
    """Whether a request may become a connection.

    @return: the subprotocol to speak; None when the client asked for none that is known, which is fine.
    @raise ConnectionDeny: it may not; with the HTTP status.
    """
    if request.path not in PATHS:
        raise ConnectionDeny(404, "Not Found")
    return SUBPROTOCOL if SUBPROTOCOL in request.protocols else None


def accept_deflate(offers: list[Any]) -> PerMessageDeflateOfferAccept | None:
    """Accept the first offer of permessage-deflate that is to our terms. RFC 7692

    No context is kept between messages: a connection that compresses costs no memory while it is silent.
    """
    for offer in offers:
        if isinstance(offer, PerMessageDeflateOffer) and offer.request_max_window_bits != 8:
            return PerMessageDeflateOfferAccept(
                offer,
                request_no_context_takeover=offer.accept_no_context_takeover,
                request_max_window_bits=0,
                no_context_takeover=True,
            )
    return None
