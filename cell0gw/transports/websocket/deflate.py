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

from cell0gw.protocol.frames import LongFrame, header, payload_of

LEVEL: Final = 1
MEMORY: Final = 6
"""zlib's settings: a kilobyte of agents' JSON shrinks as far as with more of either, in 12 us instead of 30 to 100."""

_FINAL_COMPRESSED_TEXT: Final = 0xC1
_TAIL: Final = b"\x00\x00\xff\xff"


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


def deflating(write: Callable[[bytes], None], extension: Any) -> Callable[[bytes], None]:
    """The C{write} of a connection that negotiated compression.

    @param extension: what was negotiated, an L{autobahn.websocket.compress.PerMessageDeflate}.
    """
    return partial(_write_deflated, write, extension.server_max_window_bits)


def forget_context(extension: Any) -> None:
    """Let go of what Autobahn keeps after a message: 40 KiB that no later message needs."""
    extension._compressor = extension._decompressor = None


def deflated(frame: LongFrame, window_bits: int) -> bytes:
    """The frame with its payload compressed; the frame itself if that is no shorter.

    @param window_bits: 9 to 15, the window that was negotiated.
    """
    form = frame.forms.get(window_bits)
    if form is None:
        compressor = zlib.compressobj(LEVEL, zlib.DEFLATED, -window_bits, MEMORY)
        data = compressor.compress(payload_of(frame)) + compressor.flush(zlib.Z_SYNC_FLUSH)
        form = header(_FINAL_COMPRESSED_TEXT, len(data) - len(_TAIL)) + data.removesuffix(_TAIL)
        if len(form) >= len(frame):
            form = frame
        frame.forms[window_bits] = form
    return form


def _write_deflated(write: Callable[[bytes], None], window_bits: int, frame: bytes) -> None:
    write(deflated(frame, window_bits) if isinstance(frame, LongFrame) else frame)
