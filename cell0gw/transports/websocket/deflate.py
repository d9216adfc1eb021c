"""Compression: permessage-deflate without context, so that it is shared. RFC 7692

Without context each message is compressed by itself: a connection keeps no compressor while it is silent, and a
publication is compressed once for all who negotiated the same window.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from autobahn.websocket.compress import PerMessageDeflateOffer, PerMessageDeflateOfferAccept

from cell0gw.protocol.messages import Batch, LongMessage
from cell0gw.transports.frames import header

LEVEL: Final = 1
MEMORY: Final = 6
"""zlib's settings: a kilobyte of agents' JSON shrinks as far as with more of either, in 12 us instead of 30 to 100."""

_FINAL_COMPRESSED_TEXT: Final = 0xC1
_TAIL: Final = b"\x00\x00\xff\xff"
"""The end of each message's data, which is not sent (section 7.2.1)."""


class DeflateAccept(PerMessageDeflateOfferAccept):
    """Tells the client that neither side keeps a context, whether it asked or not (section 7.1.1)."""

    def get_extension_string(self) -> str:
        """The extension as in the response."""
        return "; ".join(
            [self.EXTENSION_NAME, "server_no_context_takeover", "client_no_context_takeover"]
            + ([f"server_max_window_bits={bits}"] if (bits := self.offer.request_max_window_bits) else [])
        )


def accept_deflate(offers: list[Any]) -> DeflateAccept | None:
    """Accept the first offer of permessage-deflate that zlib can fulfil: it has no windows of 256 bytes."""
    for offer in offers:
        if isinstance(offer, PerMessageDeflateOffer) and offer.request_max_window_bits != 8:
            return DeflateAccept(
                offer, request_no_context_takeover=True, request_max_window_bits=0, no_context_takeover=True
            )
    return None


def sharing_deflated(
    share: Callable[[Batch], bool], write: Callable[[bytes], None], extension: Any
) -> Callable[[Batch], bool]:
    """The C{share} of a connection that negotiated compression.

    @param share: that of its transport.
    @param write: that of its transport.
    @param extension: what was negotiated, an L{autobahn.websocket.compress.PerMessageDeflate}.
    """
    return partial(_share_deflated, share, write, extension.server_max_window_bits)


def forget_context(extension: Any) -> None:
    """Let go of what Autobahn keeps after a message: 40 KiB that no later message needs."""
    extension._compressor = extension._decompressor = None


def deflated(message: bytes, window_bits: int) -> bytes:
    """The frame of a message, compressed; empty if that is no shorter.

    @param window_bits: 9 to 15, the window that was negotiated.
    """
    forms = message.forms if isinstance(message, LongMessage) else {}
    form = forms.get(window_bits)
    if form is None:
        compressor = zlib.compressobj(LEVEL, zlib.DEFLATED, -window_bits, MEMORY)
        data = compressor.compress(message) + compressor.flush(zlib.Z_SYNC_FLUSH)
        data = data.removesuffix(_TAIL)
        form = b"" if len(data) >= len(message) else header(_FINAL_COMPRESSED_TEXT, len(data)) + data
        forms[window_bits] = form
    return form


def _share_deflated(
    share: Callable[[Batch], bool], write: Callable[[bytes], None], window_bits: int, batch: Batch
) -> bool:
    form = deflated(batch.long, window_bits) if batch.long is not None else b""
    if not form:
        return share(batch)
    write(form)
    return True
