"""How long the process has worked."""

from __future__ import annotations

import gc
import threading
import time

from twisted.trial.unittest import SynchronousTestCase

from cell0gw.process.working import Working, working


class WorkingTests(SynchronousTestCase):
    """L{Working}."""

    def setUp(self) -> None:
        self.now = 100.0
        self.patch(time, "thread_time", lambda: self.now)
        self.working = Working()

    def collect(self, seconds: float) -> None:
        self.working.collected("start", {})
        self.now += seconds
        self.working.collected("stop", {})

    def test_collections(self) -> None:
        """The time of the garbage collector is not counted, all else is."""
        self.now += 1.0
        self.collect(0.5)
        self.now += 2.0
        self.assertEqual(self.working.seconds(), 103.0)

    def test_of_others(self) -> None:
        """A collection in another thread takes nothing of this one's time."""
        other = threading.Thread(target=self.collect, args=(5.0,))
        other.start()
        other.join()
        self.assertEqual(self.working.seconds(), 105.0)

    def test_of_the_process(self) -> None:
        """That of the process is notified of collections, however often it is asked for."""
        self.assertIs(working(), working())
        self.assertEqual(gc.callbacks.count(working().collected), 1)
