"""Who forgets when histories take too much memory."""

from __future__ import annotations

from random import Random

from twisted.trial.unittest import SynchronousTestCase

from cell0gw.channels.budget import Budget
from cell0gw.channels.history import EMPTY
from cell0gw.testing import MemoryGateway
from tests.channels.test_history import PLENTY, Case


class ShareTests(Case):
    """Who forgets: the entity that has published most."""

    def setUp(self) -> None:
        super().setUp()
        self.use(PLENTY, 100_000, channels=0)

    def test_a_flood(self) -> None:
        """One that publishes to a channel after another makes its own channels go, and nobody else's."""
        quiet = [self.make(f"quiet.{n}", owner=f"a{n}") for n in range(5)]
        for n, history in enumerate(quiet):
            self.add(history, 2000, sender=f"a{n}")
        for n in range(500):
            self.add(self.make(f"evil.{n}", owner="evil"), 500, sender="evil")
        self.assertEqual([self.held(history) for history in quiet], [[1]] * 5)
        self.assertTrue(self.emptied)
        self.assertEqual(self.emptied, [f"evil.{n}" for n in range(len(self.emptied))])

    def test_a_flood_of_long_ones(self) -> None:
        """So does one that publishes long messages to a single channel: it is that one which holds nothing then."""
        orders, evil = self.make("orders", owner="shop"), self.make("evil", owner="evil")
        for _ in range(50):
            self.add(orders, 500, sender="shop")
        for _ in range(10):
            self.add(evil, 40_000, sender="evil")
        self.assertEqual(len(orders), 50)
        self.assertEqual((set(self.emptied) - {"evil"}, evil.newest), (set(), 10))

    def test_half(self) -> None:
        """Nobody has more than they leave to others, even if nobody else wants any."""
        observers, self.budget = self.budget.observers, Budget(PLENTY, 100_000)
        self.budget.observers = observers
        for n in range(500):
            self.add(self.make(f"one.{n}", owner="one"), 500, sender="one")
            self.assertLessEqual(self.budget.used, 50_000)
        self.assertGreater(self.budget.used, 45_000)
        self.assertEqual(self.emptied, [f"one.{n}" for n in range(len(self.emptied))])

    def test_channels_of_others(self) -> None:
        """Whoever floods its own channels and publishes a little to others' loses its own ones first."""
        orders = self.make("orders", owner="shop")
        for _ in range(10):
            self.add(orders, 500, sender="shop")
        self.add(orders, 500, sender="evil")
        for n in range(500):
            self.add(self.make(f"evil.{n}", owner="evil"), 500, sender="evil")
        self.assertEqual(len(orders), 11)
        self.assertNotIn("orders", self.emptied)

    def test_only_channels_of_others(self) -> None:
        """One that has most, and nowhere for the most part, loses the channel where it has most."""
        self.use(PLENTY, 30_000, channels=0)
        histories = [self.make(name, owner=name) for name in "abc"]
        for length, history in zip((1000, 2000, 1500), histories, strict=True):
            for sender in ("b1", "b2", "b3", "evil"):
                self.add(history, length, sender=f"{history.name}.{sender}" if sender != "evil" else sender)
        self.add(histories[0], 6000, sender="evil")
        self.assertEqual(self.emptied, [])
        self.add(histories[2], 1, sender="new")
        self.assertEqual(self.emptied, ["a"])

    def test_subscribers(self) -> None:
        """Channels that are there for their subscribers alone don't make those of others go."""
        orders = self.make("orders", owner="shop")
        self.add(orders, 20_000, sender="shop")
        for n in range(200):
            self.make(f"evil.{n}", owner="evil")
        self.assertEqual(self.held(orders), [1])
        self.assertLessEqual(self.budget.used, 100_000)

    def test_evicted_and_back(self) -> None:
        """A channel that was evicted counts again with what is published next, for who publishes that."""
        a = self.make("a", owner="one")
        a.evict()
        self.assertEqual((self.budget.used, self.budget._shares), (0, {}))
        self.add(a, 500, sender="two")
        self.assertEqual(self.budget.used, 500 + EMPTY)
        a.clear()
        a.release()
        a.release()
        self.assertEqual((self.budget.used, self.budget._shares), (0, {}))

    def test_sums(self) -> None:
        """Whoever publishes whatever to which channel, what counts is what is there, and it is within the bound."""
        random = Random(1)
        histories = [self.make(f"c{n}", size=9, owner=f"s{n}") for n in range(40)]
        for n in range(4000):
            history = random.choice(histories)
            self.add(history, random.randrange(400, 9000), at=n / 10, sender=f"s{random.randrange(12)}")
            counted = sum(each.size for each in histories) + EMPTY * sum(each._owner is not None for each in histories)
            self.assertEqual(self.budget.used, counted)
            self.assertLessEqual(counted, 100_000)
        for history in histories:
            history.evict()
        self.assertEqual((self.budget.used, self.budget._shares), (0, {}))


class GatewayTests(SynchronousTestCase):
    """What clients see of it."""

    def test_a_flood(self) -> None:
        """A reader that was away for the time of a flood on other channels gets all that it missed."""
        gateway = MemoryGateway(total_history_bytes=1_000_000)
        self.addCleanup(gateway.close)
        shop = gateway.connect("shop")
        evil = gateway.connect(token=gateway.token("evil", permissions=["channel.publish:evil.>"]))
        since = shop.call("channel.publish", channel="orders", message=0)
        for n in range(1, 21):
            shop.call("channel.publish", channel="orders", message=n)
        for n in range(40):
            evil.call("channel.publish", channel=f"evil.{n}", message="x" * 50_000)
        back = gateway.connect("reader")
        position = {"offset": since["offset"], "epoch": since["epoch"]}
        self.assertTrue(back.call("channel.subscribe", channel="orders", since=position)["recovered"])
        gateway.advance(1)
        self.assertEqual([each["message"] for each in back.received("channel.message")], list(range(1, 21)))
