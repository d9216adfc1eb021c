"""What durable channels hold through starts with a clock that is wrong, and one that is set right."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import fail
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.channels.channels import Channels
from cell0gw.channels.rules import ChannelRule
from cell0gw.config.options import Config
from cell0gw.engines.memory.messages import MemoryMessageStore
from cell0gw.process.interfaces import ISweeper
from cell0gw.protocol.errors import Unavailable
from cell0gw.protocol.limits import Limits
from cell0gw.testing import EPOCH
from cell0gw.testing.stated import stated

HOUR = 3600.0
DAY = 24 * HOUR


class DatesCase(SynchronousTestCase):
    """With a disk, and processes one after the other; the time that really passes is that of one clock."""

    def setUp(self) -> None:
        self.real, self.store = Clock(), MemoryMessageStore()
        self.real.rightNow = EPOCH
        self.error = 0.0
        self.start()

    def start(self, error: float = 0.0) -> None:
        """A process begins, whose wall clock is wrong by so much."""
        self.error = error
        # A monotonic clock begins anywhere.
        self.runtime = stated(self.real, lambda: self.real.seconds() + self.error)
        rules = (ChannelRule(pattern="d", durable=True, history_ttl=DAY),)
        self.channels = Channels(self.store, Config(channels=rules).channel_options, Limits(), self.runtime)
        self.channels.load()

    def pass_by(self, seconds: float, step: float = 10.0) -> None:
        for _ in range(int(seconds / step)):
            self.real.advance(step)
            for part in (self.runtime.dates, *self.channels.parts):
                if ISweeper.providedBy(part):
                    part.sweep()

    def publish(self, count: int) -> None:
        for number in range(count):
            self.channels.broker.publish("d", number, "a")

    def held(self) -> int:
        """How many messages the disk has."""
        stored = {channel.name: channel for channel in self.store.load()}
        return stored["d"].newest - stored["d"].oldest + 1 if "d" in stored else 0

    def set_clock(self) -> None:
        """The wall clock is set right."""
        self.error = 0.0
        self.pass_by(20)


class BehindTests(DatesCase):
    """A clock that is behind."""

    def test_set_right(self) -> None:
        """What was published before the clock was set counts from when it was published, in the next process too."""
        self.start(-2 * DAY)
        self.publish(20)
        self.set_clock()
        self.assertEqual(self.held(), 20)
        self.start()
        self.pass_by(HOUR)
        self.assertEqual(self.held(), 20)
        self.start()
        self.pass_by(DAY, step=60.0)
        self.assertEqual(self.held(), 0)

    def test_set_twice(self) -> None:
        """So does what was published before it was set twice."""
        self.start(-3 * DAY)
        self.publish(5)
        self.pass_by(30)
        self.error = -2 * DAY
        self.pass_by(30)
        self.publish(5)
        self.set_clock()
        self.start()
        self.pass_by(HOUR)
        self.assertEqual(self.held(), 10)

    def test_a_disk_that_fails(self) -> None:
        """What the disk does not take down of that it is asked for again."""
        self.start(-2 * DAY)
        self.publish(5)
        redate: Any = self.store.redate
        self.store.redate = lambda *span: fail(Unavailable())  # type: ignore[method-assign]
        self.set_clock()
        self.store.redate = redate  # type: ignore[method-assign]
        self.pass_by(120)
        self.start()
        self.pass_by(HOUR)
        self.assertEqual(self.held(), 5)


class AheadTests(DatesCase):
    """A clock that is ahead at the start."""

    def test_set_right(self) -> None:
        """A start with a clock that is days ahead deletes nothing, however often; set right, all goes on."""
        self.publish(20)
        self.pass_by(HOUR)
        for _ in range(3):
            self.start(3 * DAY)
            self.pass_by(2 * HOUR)
            self.assertEqual(self.held(), 20)
        self.set_clock()
        self.pass_by(2 * HOUR)
        self.assertEqual(self.held(), 20)
        self.start()
        self.pass_by(2 * HOUR)
        self.assertEqual(self.held(), 20)
        self.pass_by(2 * DAY, step=60.0)
        self.assertEqual(self.held(), 0)

    def test_days_without_a_run(self) -> None:
        """When nothing ran for days what is too old goes a day later, and what comes meanwhile by its own age."""
        self.publish(20)
        self.pass_by(HOUR)
        self.real.advance(10 * DAY)
        self.start()
        self.pass_by(2 * HOUR)
        self.publish(1)
        self.assertEqual(self.held(), 21)
        self.pass_by(23 * HOUR, step=60.0)
        self.assertEqual(self.held(), 1)

    def test_an_hour_without_a_run(self) -> None:
        """After a short while the clock is trusted at once; the newest stays for an hour, for those who come back."""
        self.publish(20)
        self.pass_by(23.5 * HOUR, step=60.0)
        self.assertEqual(self.held(), 20)
        self.real.advance(0.9 * HOUR)
        self.start()
        self.pass_by(120)
        self.assertEqual(self.held(), 1)
        self.pass_by(HOUR)
        self.assertEqual(self.held(), 0)
