"""Frames, as bytes."""

from __future__ import annotations

import itertools

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from cell0gw.protocol.messages import LONG, Batch, LongMessage
from cell0gw.transports.frames import (
    COMPRESSED_MESSAGES,
    LONGEST_HEADER,
    MESSAGES,
    PING,
    UNMASK_BELOW,
    end_of_messages,
    frames_of,
    join,
    read_text_frames,
    unmask,
)
from cell0gw.transports.websocket.lean import unmask_long
from tests.transports.framing import text_frame

masks = st.binary(min_size=4, max_size=4)


def xored(payload: bytes, mask: bytes) -> bytes:
    """Masking, or its undoing, by the letter of RFC 6455, section 5.3: byte by byte."""
    return bytes(byte ^ key for byte, key in zip(payload, itertools.cycle(mask), strict=False))


def parsed(data: bytes) -> Frame:
    """What another implementation reads from bytes that it takes for a server's."""
    reader = StreamReader()
    reader.feed_data(data)
    parsing = Frame.parse(reader.read_exact, mask=False)
    try:
        while True:
            next(parsing)
    except StopIteration as stop:
        assert not reader.buffer, "more than one frame"
        frame: Frame = stop.value
        return frame


class FrameTests(SynchronousTestCase):
    """What goes out."""

    def test_lengths(self) -> None:
        """At each border of the three length fields the frame says its length as RFC 6455 asks."""
        for length in (0, 1, 125, 126, 127, LONG - 1, LONG, 65_535, 65_536, 200_000):
            self.assertEqual(parsed(text_frame(b"x" * length)), Frame(Opcode.TEXT, b"x" * length), length)

    @given(st.text())
    def test_any_text(self, text: str) -> None:
        """Any text is one final, unmasked text frame."""
        self.assertEqual(parsed(text_frame(text.encode())), Frame(Opcode.TEXT, text.encode()))

    def test_ping(self) -> None:
        """The ping of the heartbeat is a ping."""
        self.assertEqual(parsed(PING), Frame(Opcode.PING, b""))


class MessagesTests(SynchronousTestCase):
    """Where the messages end that bytes begin with."""

    @given(st.lists(st.tuples(st.sampled_from([0, 1, 2, 8, 9]), st.booleans(), st.integers(0, 300)), max_size=8))
    def test_any(self, frames: list[tuple[int, bool, int]]) -> None:
        """It is before the first frame that is no message, or is too long, or may be cut within its header."""
        data, ends, other = b"", 0, False
        for opcode, fin, length in frames:
            control = opcode >= 8
            payload = b"x" * (min(length, 125) if control else length)
            data += Frame(Opcode(opcode), payload, fin=fin or control).serialize(mask=True)
            other = other or opcode not in (1, 2) or not fin or length > 200
            ends = ends if other else len(data)
        found = end_of_messages(data, MESSAGES, 200)
        self.assertLessEqual(found, ends)
        self.assertLess(len(data[found:ends]), LONGEST_HEADER)

    def test_lengths(self) -> None:
        """Lengths of one, two and eight bytes are read; what is cut, unmasked, or not in its shortest form is left."""
        for length in (9, 125, 126, 65_535, 65_536):
            whole = Frame(Opcode.TEXT, b"x" * length).serialize(mask=True)
            self.assertEqual(end_of_messages(whole + whole[:-1], MESSAGES, length), len(whole), length)
            unmasked = Frame(Opcode.TEXT, b"x" * length).serialize(mask=False)
            self.assertEqual(end_of_messages(unmasked, MESSAGES, length), 0)
        for header in (b"\x81\xfe\x00\x05", b"\x81\xff" + bytes(6) + b"\xff\xff"):
            self.assertEqual(end_of_messages(header + bytes(70_000), MESSAGES, 70_000), 0)

    def test_compressed(self) -> None:
        """Compressed messages are among them where that was negotiated."""
        whole = b"\xc1" + Frame(Opcode.TEXT, b"x" * 20).serialize(mask=True)[1:]
        self.assertEqual(end_of_messages(whole, MESSAGES, 20), 0)
        self.assertEqual(end_of_messages(whole, COMPRESSED_MESSAGES, 20), len(whole))


class MaskingTests(SynchronousTestCase):
    """What comes in is masked."""

    def test_every_length(self) -> None:
        """A payload of any length up to the limit, the limit too, is what it was before it was masked."""
        mask = b"\x00\x7f\x80\xff"
        for length in range(UNMASK_BELOW + 1):
            payload = bytes(range(256)) * 4
            self.assertEqual(unmask(xored(payload[:length], mask), mask), payload[:length], length)

    @given(st.binary(max_size=UNMASK_BELOW), masks)
    @example(b"\0" * 9, b"\0\0\0\0")
    @example(b"\xff" * 9, b"\xff\xff\xff\xff")
    def test_any_mask(self, masked: bytes, mask: bytes) -> None:
        """Whatever the bytes and the mask, undoing is an exclusive or, byte by byte."""
        self.assertEqual(unmask(masked, mask), xored(masked, mask))

    @settings(max_examples=30, deadline=None)
    @given(st.binary(min_size=1, max_size=50), st.integers(UNMASK_BELOW - 50, 70_000), masks)
    def test_long(self, part: bytes, length: int, mask: bytes) -> None:
        """So it is for long payloads."""
        masked = (part * length)[:length]
        self.assertEqual(unmask_long(masked, mask), xored(masked, mask))

    def test_both_ways(self) -> None:
        """At the border between short and long payloads each is undone in its way, and both are read."""
        lengths = [UNMASK_BELOW - 1, UNMASK_BELOW, 3, UNMASK_BELOW + 1]
        mask, long = b"\x01\x02\x03\xf4", []

        def undo(masked: bytes, key: bytes) -> bytes:
            long.append(len(masked))
            return xored(masked, key)

        data = b""
        for length in lengths:
            head = bytes((length | 0x80,)) if length < 126 else b"\xfe" + length.to_bytes(2, "big")
            data += b"\x81" + head + mask + xored(b"x" * length, mask)
        payloads, end = read_text_frames(data, 10_000, undo)
        self.assertEqual(payloads, [b"x" * length for length in lengths])
        self.assertEqual((end, long), (len(data), [UNMASK_BELOW, UNMASK_BELOW + 1]))


class BatchTests(SynchronousTestCase):
    """Batches that are put together once."""

    def test_frames(self) -> None:
        """A batch is a frame for each of its messages, in their order; it is made once, and then closed."""
        batch = Batch()
        for message in (b"a", b"", b"b" * 200):
            self.assertTrue(batch.open)
            batch.append(message)
        first = frames_of(batch)
        self.assertEqual(first, text_frame(b"a") + text_frame(b"") + text_frame(b"b" * 200))
        self.assertFalse(batch.open)
        self.assertIs(frames_of(batch), first)

    def test_long(self) -> None:
        """A batch of one long message is its frame."""
        for length in (LONG, 65_535, 65_536):
            message = b"x" * length
            self.assertEqual(frames_of(Batch(LongMessage(message))), text_frame(message), length)

    def test_empty(self) -> None:
        """A batch into which nothing was put is nothing."""
        self.assertEqual(frames_of(Batch()), b"")

    @given(st.lists(st.binary(max_size=3) | st.lists(st.binary(max_size=3), max_size=3), max_size=6))
    def test_join(self, parts: list[bytes | list[bytes]]) -> None:
        """Bytes and batches are put together in their order, and the batches are closed by it."""
        mixed: list[bytes | Batch] = []
        for part in parts:
            if isinstance(part, list):
                batch = Batch()
                for message in part:
                    batch.append(message)
                mixed.append(batch)
            else:
                mixed.append(part)
        expected = b"".join(part if isinstance(part, bytes) else b"".join(map(text_frame, part)) for part in parts)
        self.assertEqual((join(mixed), join(mixed)), (expected, expected))
        self.assertFalse(any(part.open for part in mixed if isinstance(part, Batch)))
