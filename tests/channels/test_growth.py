"""Twice as much is twice the work: nothing that channels do grows faster than what is asked of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec import Raw
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.auth.permissions import Permissions
from cell0gw.auth.principal import Principal
from cell0gw.channels import registry
from cell0gw.channels.answers import Recovered
from cell0gw.channels.broker import Broker
from cell0gw.channels.budget import Budget
from cell0gw.channels.channel import Channel, wanted
from cell0gw.channels.filters import MAX_JUDGED, Filter
from cell0gw.channels.history import History
from cell0gw.channels.recovery import Recovery
from cell0gw.channels.rules import ChannelRule, ChannelRules
from cell0gw.channels.store import Position
from cell0gw.engines.memory.messages import MemoryMessageStore
from cell0gw.protocol.errors import InvalidParams, TooLarge
from cell0gw.protocol.limits import Limits
from cell0gw.sessions.ending import Ending, EndingKind
from cell0gw.sessions.session import Session
from cell0gw.testing import RecordingConnection
from cell0gw.testing.stated import stated
from tests.steps import growth, steps

LOST = Ending(EndingKind.LOST)
PRINCIPAL = Principal(
    entity_id=">", entity_type="agent", permissions=Permissions([]), token_id="tok_1", expires_at=None
)


class Case(SynchronousTestCase):
    """With channels, and with sessions that come and go."""

    def setUp(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Begin anew."""
        self.clock, store = Clock(), MemoryMessageStore()
        self.channels = Broker(
            ChannelRules(()),
            store,
            stated(self.clock),
            Budget(100_000_000, 100_000_000),
            Limits(max_subscriptions=100_000),
        )
        self.recovery = Recovery(self.channels, store, self.clock, Limits(max_subscriptions=100_000))

    def session(self, name: str, subscriptions: Iterable[str] = ()) -> Session:
        session = Session(name, name, PRINCIPAL, RecordingConnection(name), 0.0)
        for subscription in subscriptions:
            self.channels.subscribe(session, subscription)
        return session

    def leave(self, session: Session) -> None:
        """Its connection breaks."""
        session.detached = True
        self.channels.session_detached(session, LOST)

    def publish(self, names: Iterable[str]) -> None:
        for name in names:
            self.channels.publish(name, 1, "x")


class FilterTests(Case):
    """Filters are held against publications."""

    def subscribe(self, session: Session, count: int) -> int:
        """Subscribe to a channel, and to many patterns that cover it, each with a filter of 5 kB of its own.

        @return: how often that was refused.
        """
        refused = 0
        for number in range(count):
            wanted = Filter({"field": f"f{number}", "op": "in", "value": [f"{value:049}" for value in range(100)]})
            pattern = ".".join("*" if number >> bit & 1 else "x" for bit in range(10)) if number else "x.>"
            try:
                self.channels.subscribe(session, pattern, wanted)
            except TooLarge:
                refused += 1
        return refused

    def test_total(self) -> None:
        """However many filters a session would have, a publication is held against no more than a certain size."""

        def published(size: int) -> Callable[[], object]:
            self.clear()
            self.subscribe(self.session("s"), size)
            name = ".".join(["x"] * 10)
            self.channels.publish(name, {}, "x")
            return lambda: self.channels.publish(name, {}, "x")

        self.assertLessEqual(growth(published, 50), 1.1)

    def test_refusals(self) -> None:
        """What is too much is refused, and changes nothing; another filter in place of one counts instead of it."""
        session = self.session("s")
        self.assertEqual(self.subscribe(session, 20), 8)
        self.assertEqual(len(session.subscriptions), 12)
        self.assertEqual(self.subscribe(session, 12), 0)

    def test_resuming(self) -> None:
        """Two sessions don't become one with more."""
        old, new = self.session("old"), self.session("new")
        self.assertEqual(self.subscribe(old, 12), 0)
        self.channels.subscribe(new, "y", Filter({"field": "y", "op": "eq", "value": "y" * 5000}))
        self.leave(old)
        self.assertRaises(TooLarge, self.recovery.plan, old, new, {}, lambda name: True)
        self.assertEqual((len(old.subscriptions), len(new.subscriptions)), (12, 1))

    def test_replayed(self) -> None:
        """What is replayed is judged as what is live is: long messages are delivered."""
        filters, rule = [Filter({"field": "a", "op": "exists"})], ChannelRule()
        channel = Channel("x" * 200, "epoch", rule, History("x", rule, self.channels.budget))
        for size, expected in ((MAX_JUDGED, False), (MAX_JUDGED + 1, True), (MAX_JUDGED + 10_000, True)):
            message = Raw(b"[" + b" " * (size - 2) + b"]")
            delivered = channel.message(1, message, "x" * 200, 0.0)
            self.assertIs(wanted(delivered, filters), expected)


class PatternTests(Case):
    """Sessions subscribe to patterns that a name almost fits."""

    def test_deep(self) -> None:
        """However many patterns of very many segments a session would have, a publication meets few."""

        def published(size: int) -> Callable[[], object]:
            self.clear()
            session = self.session("s")
            for number in range(size):
                stars = ("*" if number >> bit & 1 else "a" for bit in range(10))
                try:
                    self.recovery.subscribe(session, ".".join([*stars, *"a" * 88, "b"]))
                except InvalidParams:
                    continue
            name = ".".join("a" * 99)
            self.channels.publish(name, 1, "x")
            self.channels.patterns.touch()
            return lambda: self.channels.publish(name, 1, "x")

        self.assertLessEqual(growth(published, 100), 1.1)

    def test_unsubscribe(self) -> None:
        """Names of any depth may be subscribed to, and any pattern may be given up."""
        session = self.session("s")
        self.recovery.subscribe(session, ".".join("a" * 100))
        self.recovery.unsubscribe(session, ".".join("*" * 100))
        self.assertEqual(len(session.subscriptions), 1)


class ResumingTests(Case):
    """A session is resumed."""

    def resume(self, old: Session, positions: Iterable[str] = ()) -> dict[str, Recovered]:
        seen = dict.fromkeys(positions, Position(1, "epoch"))
        new = self.session("new")
        resumption = self.recovery.plan(old, new, seen, lambda name: True)
        self.recovery.carry_out(resumption, old, new)
        return resumption.outcomes

    def test_positions(self) -> None:
        """Positions are found under patterns without a look at each pattern."""

        def resumed(size: int) -> Callable[[], object]:
            self.clear()
            old = self.session("old", (f"p{number}.>" for number in range(size)))
            self.leave(old)
            return lambda: self.resume(old, [f"q{number}.x" for number in range(size)])

        self.assertLessEqual(growth(resumed, 50), 2.2)

    def test_channels(self) -> None:
        """So are the channels that there are."""

        def resumed(size: int) -> Callable[[], object]:
            self.clear()
            old = self.session("old", (f"p{number}.*" for number in range(size)))
            self.leave(old)
            self.publish(f"p{number}.x" for number in range(size))
            return lambda: self.resume(old)

        self.assertLessEqual(growth(resumed, 50), 2.2)

    def test_others(self) -> None:
        """Channels that no pattern covers, and those to which nothing was published meanwhile, cost next to nothing."""

        def resumed(size: int) -> Callable[[], object]:
            self.clear()
            self.publish(f"b.x{number}" for number in range(size))
            old = self.session("old", ["b.*", "b.>", "c.>"])
            self.leave(old)
            self.publish(f"a.x{number}" for number in range(size))
            self.publish(["c.x"])
            return lambda: self.resume(old)

        self.assertLessEqual(steps(resumed(100)) - steps(resumed(50)), 50 * 30)

    def test_too_many(self) -> None:
        """Where more has come under patterns than is looked at, they are not recovered; what names say is."""
        for name, most in (("MAX_RECOVERED", 3), ("MAX_VISITED", 8)):
            self.clear()
            self.patch(registry, name, most)
            old = self.session("old", ["n", "p.>", "q.*"])
            self.leave(old)
            self.publish(["n", *(f"p.x{number}" for number in range(3))])
            self.assertEqual(self.resume(old), {"n": Recovered(recovered=True, offset=1, epoch=self.epoch("n"))})
            self.clear()
            old = self.session("old", ["n", "p.>", "q.*"])
            self.leave(old)
            self.publish(["n", *(f"p.x{number}" for number in range(20))])
            outcomes = self.resume(old)
            self.assertEqual(outcomes.keys(), {"n", "p.>", "q.*"})
            self.assertEqual(outcomes["p.>"], Recovered(recovered=False, offset=0, epoch=""))

    def epoch(self, name: str) -> str:
        channel = self.channels.get(name)
        assert channel is not None
        return channel.epoch


class UnsubscribeTests(Case):
    """A session that has much to catch up on ends subscriptions."""

    def test_others(self) -> None:
        """Next to nothing is done about channels that the subscription was not about."""

        def ended(size: int) -> Callable[[], object]:
            self.clear()
            old, new = self.session("old", ["x.*"]), self.session("new", ["p.>"])
            self.publish(f"x.{number}" for number in range(size))
            self.leave(old)
            self.recovery.carry_out(self.recovery.plan(old, new, {}, lambda name: True), old, new)
            self.assertEqual(len(self.channels), size)
            return lambda: self.recovery.unsubscribe(new, "p.>")

        steps(ended(1))  # what is compiled once
        self.assertLessEqual(steps(ended(100)) - steps(ended(50)), 50 * 20)


class QuietTests(Case):
    """Nothing is published any more."""

    def test_sweeps(self) -> None:
        """Channels that retain nothing and have subscribers are not looked at again and again."""

        def swept(size: int) -> Callable[[], object]:
            self.clear()
            names = [f"c{number}" for number in range(size)]
            self.session("s", names)
            self.publish(names)
            for _ in range(3):
                self.clock.advance(700)
                self.channels.retention.sweep()
            self.clock.advance(1)
            return self.channels.retention.sweep

        self.assertLessEqual(growth(swept, 50), 1.1)

    def test_looked_at_again(self) -> None:
        """When something is published after all, it is forgotten in time; the channel goes after its subscribers."""
        session = self.session("s", ["c"])
        for _ in range(2):
            self.publish(["c"])
            for _ in range(3):
                self.clock.advance(700)
                self.channels.retention.sweep()
            channel = self.channels.get("c")
            assert channel is not None
            self.assertEqual((len(channel.history), channel.due), (0, 0.0))
        self.channels.unsubscribe(session, "c")
        self.assertEqual(len(self.channels), 1)
        self.clock.advance(601)
        self.channels.retention.sweep()
        self.assertEqual(len(self.channels), 0)


class EndTests(Case):
    """A channel ends."""

    def test_places(self) -> None:
        """Places that sessions have left, and their patterns, don't make it more work."""

        def ended(size: int) -> Callable[[], object]:
            self.clear()
            for place in range(size):
                self.leave(self.session(f"s{place}", ["x.*", *(f"p{number}.>" for number in range(20))]))
            other = self.session("other", ["x.y"])
            return lambda: self.channels.unsubscribe(other, "x.y")

        self.assertLessEqual(growth(ended, 20), 1.1)
