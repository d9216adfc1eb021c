"""What is told of limits that are exceeded."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.monitoring.alarms import Alarms


class AlarmsTests(SynchronousTestCase):
    """A line and an event a cause and second."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.events: list[tuple[str, Any]] = []
        self.alarms = Alarms(self.clock.seconds, lambda type, data, about: self.events.append((type, data)))
        self.lines: list[str] = []
        globalLogPublisher.addObserver(self.note)
        self.addCleanup(globalLogPublisher.removeObserver, self.note)

    def note(self, event: LogEvent) -> None:
        if event.get("log_namespace") == "cell0gw.monitoring.alarms.Alarms":
            self.lines.append(formatEvent(event))

    def pass_seconds(self, seconds: int) -> None:
        for _ in range(seconds):
            self.clock.advance(1)
            self.alarms.sweep()

    def test_once_a_second(self) -> None:
        """The first is told with its name, all that follow in the second as a number, and a silence with nothing."""
        for _ in range(1000):
            self.alarms.limit_exceeded("calls_per_second", "agent_1")
        self.pass_seconds(5)
        self.assertEqual(
            self.events,
            [
                ("limit.hit", {"limit": "calls_per_second", "by": "agent_1", "times": 1}),
                ("limit.hit", {"limit": "calls_per_second", "times": 999}),
            ],
        )
        self.assertEqual(
            self.lines,
            ["calls_per_second was hit by agent_1", "calls_per_second was hit 999 more times"],
        )

    def test_on_and_on(self) -> None:
        """A limit that is exceeded all the time is a line a second, and every time is counted."""
        for _ in range(10):
            for _ in range(100):
                self.alarms.limit_exceeded("max_errors", "x")
            self.pass_seconds(1)
        self.pass_seconds(3)
        self.assertLessEqual(len(self.events), 11)
        self.assertEqual(sum(data["times"] for _, data in self.events), 1000)

    def test_causes_apart(self) -> None:
        """Each limit is told for itself; and again, with a name, once it was quiet."""
        for _ in range(2):
            self.alarms.limit_exceeded("a", "x")
            self.alarms.limit_exceeded("b", "y")
            self.pass_seconds(2)
        self.assertEqual([data["limit"] for _, data in self.events], ["a", "b", "a", "b"])

    def test_fit_for_a_log(self) -> None:
        """What a peer called itself begins no line."""
        self.alarms.limit_exceeded("a", "x\nERROR")
        self.assertEqual(self.lines, ["a was hit by x\\nERROR"])
