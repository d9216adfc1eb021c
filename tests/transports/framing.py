"""Frames as the gateway sends them."""

from __future__ import annotations

from cell0gw.transports.frames import FINAL_TEXT, header


def text_frame(message: bytes) -> bytes:
    """One final, unmasked text frame.

    @param message: UTF-8.
    """
    return header(FINAL_TEXT, len(message)) + message
