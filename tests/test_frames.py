"""Frames, as bytes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from cell0gw.frames import PING, text_frame


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
        for length in (0, 1, 125, 126, 127, 65_535, 65_536, 200_000):
            self.assertEqual(parsed(text_frame(b"x" * length)), Frame(Opcode.TEXT, b"x" * length), length)

    @given(st.text())
    def test_any_text(self, text: str) -> None:
        """Any text is one final, unmasked text frame."""
        self.assertEqual(parsed(text_frame(text.encode())), Frame(Opcode.TEXT, text.encode()))

    def test_ping(self) -> None:
        """The ping of the heartbeat is a ping."""
        self.assertEqual(parsed(PING), Frame(Opcode.PING, b""))
