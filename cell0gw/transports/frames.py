"""WebSocket frames of the common kind, read from and written to bytes. RFC 6455, section 5.2

Common is: a whole text message in one frame, masked as clients do, uncompressed, shorter than 64 KiB. Whatever else
there is, right or wrong, is left to Autobahn.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from cell0gw.protocol.messages import LONG, Batch

PING: Final = b"\x89\x00"
"""An empty ping."""

FINAL_TEXT: Final = 0x81
MESSAGES: Final = b"\x81\x82"
"""How messages in one frame begin, of text and of bytes."""

COMPRESSED_MESSAGES: Final = MESSAGES + b"\xc1\xc2"
"""The same where compression was negotiated."""

MASKED: Final = 0x80

LONGEST_HEADER: Final = 14
"""Bytes of a header with a length of eight bytes and a mask."""

UNMASK_BELOW: Final = 1000
"""Length from which on a masker in C, slow to set up, beats one XOR of two large integers; in bytes."""


def join(parts: list[Any]) -> bytes:
    """Put bytes and batches together."""
    if len(parts) == 1:
        part = parts[0]
        return frames_of(part) if part.__class__ is Batch else part
    return b"".join([frames_of(part) if part.__class__ is Batch else part for part in parts])


def frames_of(batch: Batch) -> bytes:
    """The frames of a batch, made once; none will be added."""
    encoded = batch.encoded
    if encoded is None:
        batch.open = False
        parts: list[bytes] = []
        for message in batch.messages:
            length = len(message)
            parts += (SHORT_TEXT_HEADERS[length] if length < LONG else header(FINAL_TEXT, length), message)
        encoded = batch.encoded = b"".join(parts)
        batch.messages.clear()
    return encoded


def header(first: int, length: int) -> bytes:
    """The header of an unmasked frame.

    @param first: its first byte: final or not, compressed or not, and the opcode.
    @param length: that of the payload.
    """
    if length < 126:
        return bytes((first, length))
    if length < 65536:
        return bytes((first, 126)) + length.to_bytes(2, "big")
    return bytes((first, 127)) + length.to_bytes(8, "big")


SHORT_TEXT_HEADERS: Final = [header(FINAL_TEXT, length) for length in range(LONG)]
"""What the frames of messages that are not long begin with, by their length."""


def read_text_frames(
    data: bytes, max_length: int, unmask_long: Callable[[bytes, bytes], bytes]
) -> tuple[list[bytes], int]:
    """Read the frames of the common kind that some bytes begin with.

    @param data: bytes that begin with a frame.
    @param max_length: leave frames with a longer payload.
    @param unmask_long: undoes the masking of a long payload; takes it and the mask.
    @return: their payloads, which are UTF-8, and how many bytes they took.
    """
    payloads = []
    start, end = 0, len(data)
    while end - start >= 6 and data[start] == FINAL_TEXT:
        length = data[start + 1] - MASKED
        body = start + 6
        if length == 126:
            length = int.from_bytes(data[start + 2 : start + 4], "big")
            body = start + 8
            if length < 126:
                break  # not its shortest form
        elif not 0 <= length < 126:
            break  # unmasked, or 64 KiB and more
        stop = body + length
        if stop > end or length > max_length:
            break
        mask, masked = data[body - 4 : body], data[body:stop]
        payload = unmask(masked, mask) if length < UNMASK_BELOW else unmask_long(masked, mask)
        if not payload.isascii():
            try:
                payload.decode()
            except UnicodeDecodeError:
                break
        payloads.append(payload)
        start = stop
    return payloads, start


def end_of_messages(data: bytes, kinds: bytes, max_length: int) -> int:
    """How many bytes the messages take that some bytes begin with, each in one frame that is whole.

    @param data: bytes that begin with a frame.
    @param kinds: the first bytes of such frames.
    @param max_length: leave frames with a longer payload.
    """
    start, end = 0, len(data)
    while end - start >= LONGEST_HEADER and data[start] in kinds and data[start + 1] & MASKED:
        length, body = data[start + 1] - MASKED, start + 6
        if length == 126:
            length, body = int.from_bytes(data[start + 2 : start + 4], "big"), start + 8
            if length < 126:
                break  # not its shortest form
        elif length == 127:
            length, body = int.from_bytes(data[start + 2 : start + 10], "big"), start + 14
            if length < 65_536:
                break
        if body + length > end or length > max_length:
            break
        start = body + length
    return start


# The integers that repeat a mask, by the number of times, when it is multiplied by them.
_REPEAT: Final = [int.from_bytes(b"\1\0\0\0" * times, "little") for times in range(UNMASK_BELOW // 4 + 1)]


def unmask(
    masked: bytes, mask: bytes, number: Callable[[bytes, Any], int] = int.from_bytes, repeat: list[int] = _REPEAT
) -> bytes:
    """Undo a client's masking (section 5.3), at a cost that grows with the length.

    @param masked: at most L{UNMASK_BELOW} bytes.
    @param mask: four bytes.
    """
    length = len(masked)
    words = (length + 3) >> 2
    unmasked = number(masked, "little") ^ (number(mask, "little") * repeat[words])
    return unmasked.to_bytes(4 * words, "little")[:length]
