"""Lines that a thread writes: whatever it writes to stands still, whoever adds a line goes on."""

from __future__ import annotations

import os
from threading import Event
from unittest import TestCase

from cell0gw.process import lines as module
from cell0gw.process.lines import GRACE, Lines
from cell0gw.process.logs import write_all

PATIENCE = 30.0
SHORT = 0.01


class Sink:
    """Takes lines, as long as it is open; a closed one stands still, and a broken one fails."""

    def __init__(self) -> None:
        self.written = b""
        self.open, self.reached = Event(), Event()
        self.open.set()
        self.broken = False

    def write(self, data: bytes) -> None:
        self.reached.set()
        assert self.open.wait(PATIENCE)
        if self.broken:
            raise OSError("no space left")
        self.written += data


class LinesTests(TestCase):
    """L{Lines}."""

    def setUp(self) -> None:
        self.sink = Sink()
        self.failures = 0
        self.lines = Lines(self.sink.write, lambda count: b"(%d)\n" % count, self._failed)
        self.addCleanup(self.lines.stop, PATIENCE)
        self.addCleanup(self.sink.open.set)
        self.before = module.MAX_WAITING
        self.addCleanup(setattr, module, "MAX_WAITING", self.before)
        module.MAX_WAITING = 100  # type: ignore[misc]

    def _failed(self) -> None:
        self.failures += 1

    def fill(self) -> None:
        """Have the thread hang in a write, and more lines wait than may: 20 of 5 bytes are kept, and 30 dropped."""
        self.lines.start()
        self.sink.open.clear()
        self.lines.add(b"1000\n")
        self.assertTrue(self.sink.reached.wait(PATIENCE))
        for number in range(1001, 1050):
            self.lines.add(b"%d\n" % number)

    def test_before_the_start(self) -> None:
        """Before the start a line is written at once, and what goes wrong is raised."""
        self.lines.add(b"a\n")
        self.assertEqual(self.sink.written, b"a\n")
        self.sink.broken = True
        self.assertRaises(OSError, self.lines.add, b"b\n")
        self.assertEqual((self.lines.dropped, self.failures), (0, 0))

    def test_order(self) -> None:
        """All lines are written, in order."""
        module.MAX_WAITING = self.before  # type: ignore[misc]
        self.lines.start()
        for number in range(10_000):
            self.lines.add(b"%d\n" % number)
        self.assertTrue(self.lines.finish(PATIENCE))
        self.assertEqual(self.sink.written.split(), [b"%d" % number for number in range(10_000)])
        self.assertEqual(self.lines.dropped, 0)

    def test_stands_still(self) -> None:
        """Lines for which there is no room are dropped and counted; whoever adds them is not held up."""
        self.fill()
        self.assertEqual(self.lines.dropped, 30)
        self.assertTrue(self.lines.stands_still)

    def test_goes_on(self) -> None:
        """When it goes on a line says how many are missing, where they are missing, even if no other line follows."""
        self.fill()
        self.sink.open.set()
        self.assertTrue(self.lines.finish(PATIENCE))
        self.assertTrue(self.lines.stop(PATIENCE))
        self.assertEqual(self.sink.written.split(), [b"%d" % number for number in range(1000, 1020)] + [b"(30)"])
        self.assertFalse(self.lines.stands_still)
        self.assertEqual(self.lines.dropped, 30)

    def test_line_after_a_gap(self) -> None:
        """A line that comes after a gap stands behind the one that tells of it."""
        self.fill()
        self.sink.open.set()
        self.assertTrue(self.lines.finish(PATIENCE))
        self.lines.add(b"after\n")
        self.assertTrue(self.lines.stop(PATIENCE))
        self.assertEqual(self.sink.written.split()[-2:], [b"(30)", b"after"])

    def test_fails(self) -> None:
        """Lines that can't be written are dropped, reported, and told of once others can be."""
        self.lines.start()
        self.sink.broken = True
        self.lines.add(b"lost\n")
        self.assertTrue(self.lines.finish(PATIENCE))
        self.assertEqual((self.lines.dropped, self.failures, self.lines.stands_still), (1, 1, True))
        self.sink.broken = False
        self.lines.add(b"after\n")
        self.assertTrue(self.lines.finish(PATIENCE))
        self.assertEqual(self.sink.written, b"(1)\nafter\n")
        self.assertFalse(self.lines.stands_still)

    def test_fails_again(self) -> None:
        """The count of what is missing survives a line that tells of it and can't be written either."""
        self.lines.start()
        self.sink.broken = True
        for line in (b"a\n", b"b\n", b"c\n"):
            self.lines.add(line)
            self.assertTrue(self.lines.finish(PATIENCE))
        self.sink.broken = False
        self.lines.add(b"d\n")
        self.assertTrue(self.lines.finish(PATIENCE))
        self.assertEqual(self.sink.written, b"(3)\nd\n")
        self.assertEqual(self.lines.dropped, 3)

    def test_end_is_bounded(self) -> None:
        """At the end what waits is waited for, but not for long; what is left then counts as dropped."""
        self.assertLessEqual(GRACE, 1.0)
        self.fill()
        self.assertFalse(self.lines.finish(SHORT))
        self.assertFalse(self.lines.stop(SHORT))
        self.assertEqual(self.lines.dropped, 49)

    def test_again(self) -> None:
        """After its end lines are written at once, and it can be started again."""
        self.lines.start()
        self.lines.add(b"a\n")
        self.assertTrue(self.lines.stop(PATIENCE))
        self.lines.add(b"b\n")
        self.assertEqual(self.sink.written, b"a\nb\n")
        self.lines.start()
        self.lines.add(b"c\n")
        self.assertTrue(self.lines.stop(PATIENCE))
        self.assertEqual(self.sink.written, b"a\nb\nc\n")


class WriteAllTests(TestCase):
    """L{write_all}."""

    def test_descriptor_that_does_not_wait(self) -> None:
        """All is written, also to a pipe that somebody has made one that does not wait."""
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        lines = Lines(lambda data: write_all(writing, data), lambda count: b"")
        lines.start()
        data = bytes(range(256)) * 4096
        lines.add(data)
        read = b""
        while len(read) < len(data):
            read += os.read(reading, 65536)
        self.assertEqual(read, data)
        self.assertTrue(lines.stop(PATIENCE))
        os.close(reading)
        os.close(writing)
