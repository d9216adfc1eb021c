"""WebSocket frames of the common kind, as bytes. RFC 6455, section 5.2."""

from __future__ import annotations

from typing import Final

PING: Final = b"\x89\x00"
"""An empty ping."""


def text_frame(payload: bytes) -> bytes:
    """One final, unmasked text frame, as servers send them.

    @param payload: UTF-8.
    """
    length = len(payload)
    if length < 126:
        return bytes((0x81, length)) + payload
    if length < 65536:
        return b"\x81\x7e" + length.to_bytes(2, "big") + payload
    return b"\x81\x7f" + length.to_bytes(8, "big") + payload
