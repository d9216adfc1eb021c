"""What channels hold in memory: numbered, in order, and within their bounds."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from cell0gw.channels.budget import SLACK, Budget, IBudgetObserver
from cell0gw.channels.history import EMPTY, OVERHEAD, History
from cell0gw.channels.rules import ChannelRule

PLENTY = 1_000_000


def message(length: int) -> bytes:
    """A message that counts as so many bytes."""
    return b"x" * (length - OVERHEAD)


@implementer(IBudgetObserver)
class Witness:
    """Remembers which channels were made to forget."""

    def __init__(self) -> None:
        self.emptied: list[str] = []

    def history_emptied(self, name: str) -> None:
        self.emptied.append(name)


class Case(SynchronousTestCase):
    """With histories that share a budget, and a count of all publications."""

    def setUp(self) -> None:
        self.tick = 0
        self.use(PLENTY, PLENTY)

    def use(self, each: int, total: int, channels: int = 3) -> None:
        """Have a budget of so many bytes of messages; what so many channels take without any comes on top."""
        witness = Witness()
        self.emptied = witness.emptied
        self.made: list[History] = []
        total += channels * EMPTY
        self.budget = Budget(each, total, alone=total)
        self.budget.observers.append(witness)

    def make(
        self, name: str = "events", size: int = 100, ttl: float = 600.0, newest: int = 0, owner: str = "x"
    ) -> History:
        self.made.append(History(name, ChannelRule(history_size=size, history_ttl=ttl), self.budget, newest, owner))
        return self.made[-1]

    @property
    def used(self) -> int:
        """How many bytes the messages take."""
        return sum(history.size for history in self.made)

    def add(self, history: History, length: int = 500, at: float = 0.0, sender: str = "x") -> None:
        self.tick += 1
        history.add(message(length), at, self.tick, sender)

    def held(self, history: History) -> list[int]:
        """The offsets that are held, oldest first."""
        offsets = [offset for offset, _ in history.after(history.oldest - 1)]
        self.assertEqual(len(history), len(offsets))
        return offsets


class BoundTests(Case):
    """How much is held."""

    def test_number(self) -> None:
        """The newest are held, so many; numbers go on from one to the next."""
        history = self.make(size=3)
        self.assertEqual((history.newest, history.oldest, self.held(history)), (0, 1, []))
        for n in range(1, 6):
            self.add(history)
            self.assertEqual(self.held(history), list(range(max(1, n - 2), n + 1)))
        self.assertEqual((history.newest, history.oldest), (5, 3))

    def test_age(self) -> None:
        """What is as old as the bound is too old; what is a moment younger is not."""
        history = self.make(ttl=10.0)
        for at in (0.0, 5.0, 5.0, 9.0):
            self.add(history, at=at)
        history.trim(9.99)
        self.assertEqual(self.held(history), [1, 2, 3, 4])
        self.assertEqual(history.expires_at(), 10.0)
        history.trim(10.0)
        self.assertEqual(self.held(history), [2, 3, 4])
        self.assertEqual(history.expires_at(), 15.0)
        history.trim(15.0)
        self.assertEqual(self.held(history), [4])
        history.trim(1000.0)
        self.assertEqual((self.held(history), history.expires_at(), history.newest), ([], None, 4))

    def test_age_when_added_to(self) -> None:
        """A new publication makes those go that are too old by then."""
        history = self.make(ttl=10.0)
        self.add(history, at=0.0)
        self.add(history, at=11.0)
        self.assertEqual(self.held(history), [2])

    def test_size(self) -> None:
        """A channel holds no more bytes than one may, what is around each message counted."""
        self.use(1500, PLENTY)
        history = self.make()
        for _ in range(5):
            self.add(history, 500)
        self.assertEqual((self.held(history), self.used), ([3, 4, 5], 1500))
        self.add(history, 501)
        self.assertEqual((self.held(history), self.used), ([5, 6], 1001))

    def test_one_beyond_the_size(self) -> None:
        """One that is larger than all a channel may hold is numbered, and nothing is held, not what was before it."""
        self.use(1500, PLENTY)
        history = self.make()
        self.add(history)
        self.add(history, 1501)
        self.assertEqual((self.held(history), history.newest, history.oldest, self.used), ([], 2, 3, 0))
        self.add(history)
        self.assertEqual(self.held(history), [3])

    def test_none(self) -> None:
        """With a size of nothing messages are numbered and none is held; that they are gone is known."""
        history = self.make(size=0)
        for _ in range(3):
            self.add(history)
        self.assertEqual((self.held(history), history.newest, history.oldest, self.used), ([], 3, 4, 0))
        self.assertEqual((history.forgotten, history.expires_at()), (3, None))

    def test_clear(self) -> None:
        """What is cleared is forgotten but for the number."""
        history = self.make()
        for _ in range(3):
            self.add(history)
        history.clear()
        self.assertEqual((self.held(history), history.newest, history.oldest), ([], 3, 4))
        self.assertEqual((history.forgotten, self.used), (3, 0))
        self.add(history)
        self.assertEqual(self.held(history), [4])

    def test_going_on(self) -> None:
        """A channel that is taken up goes on after its newest."""
        history = self.make(newest=7)
        self.assertEqual((history.newest, history.oldest, len(history)), (7, 8, 0))
        self.add(history)
        self.assertEqual(self.held(history), [8])


class BudgetTests(Case):
    """All channels together."""

    def test_who_was_silent_forgets(self) -> None:
        """When all hold too much, those forget in which nothing was published for longest, one after the other."""
        self.use(PLENTY, 3000)
        a, b, c = (self.make(name) for name in "abc")
        for history in (a, b, c, a, b, c):
            self.add(history)
        self.assertEqual((self.emptied, self.used), ([], 3000))
        self.add(a)
        self.assertEqual((self.emptied, self.held(b), self.held(a)), (["b"], [], [1, 2, 3]))
        self.assertEqual(self.used, 2500)
        self.add(b, 2000)
        self.assertEqual(self.emptied, ["b", "c"])
        self.assertEqual((self.held(a), self.held(b), self.held(c), self.used), ([1, 2, 3], [3], [], 3500))

    def test_the_last_one(self) -> None:
        """One publication beyond the whole budget leaves nothing of anyone, and harms nobody."""
        self.use(PLENTY, 3000, channels=2)
        a, b = self.make("a"), self.make("b")
        self.add(a)
        self.add(b, 5001)
        self.assertEqual((self.emptied, self.used), (["a"], 0))
        self.assertEqual((self.held(b), b.newest, b.oldest), ([], 1, 2))
        self.add(b)
        self.assertEqual((self.held(b), self.used), ([2], 500))

    def test_turns(self) -> None:
        """A channel has its turn by when it last got something, be that all that it holds."""
        self.use(PLENTY, 1000, channels=2)
        a, b = self.make("a", ttl=10.0), self.make("b")
        self.add(a, at=0.0)
        self.add(b, at=0.0)
        a.trim(10.0)
        self.assertEqual(self.used, 500)
        self.add(a, at=10.0)
        self.add(a, at=10.0)
        self.assertEqual((self.emptied, self.held(a), self.held(b)), (["b"], [2, 3], []))

    def test_back_to_nothing(self) -> None:
        """When every channel has forgotten all, by whichever bound, no byte counts any more and none is remembered."""
        self.use(2000, 3000, channels=6)
        histories = [self.make(str(n), size=n, ttl=n + 1.0) for n in range(6)]
        for n in range(100):
            self.add(histories[n % 6], 450 + n, at=n / 10)
        self.assertGreater(self.used, 0)
        for history in histories:
            history.trim(100.0)
        self.assertEqual(self.used, 0)
        for history in histories:
            history.release()
        self.assertEqual((self.budget.used, self.budget._shares), (0, {}))

    def test_channels_that_hold_nothing(self) -> None:
        """A channel takes memory itself: one too many is a reason to ask who was silent for longest to go."""
        self.use(PLENTY, 0)
        a, _, _ = (self.make(name) for name in "abc")
        self.assertEqual(self.emptied, [])
        a.release()
        self.make("d")
        self.assertEqual(self.emptied, [])
        self.make("e")
        self.assertEqual(self.emptied, ["b", "c"])
        self.assertEqual(self.budget.used, 2 * EMPTY)


class LookTests(Case):
    """What is read of it."""

    def test_after(self) -> None:
        """Those after an offset, oldest first; none after the newest."""
        history = self.make(size=4)
        for _ in range(6):
            self.add(history)
        for offset, expected in ((2, [3, 4, 5, 6]), (4, [5, 6]), (6, []), (9, [])):
            self.assertEqual([n for n, _ in history.after(offset)], expected, offset)

    def test_before(self) -> None:
        """Those before an offset that are held, newest first."""
        history = self.make(size=4)
        for _ in range(6):
            self.add(history)
        for offset, expected in ((7, [6, 5, 4, 3]), (99, [6, 5, 4, 3]), (5, [4, 3]), (3, []), (1, []), (0, [])):
            self.assertEqual([n for n, _ in history.before(offset)], expected, offset)

    def test_what_is_held(self) -> None:
        """Each is held with its message, its time and its tick."""
        history = self.make()
        history.add(b"one", 5.0, 17, "x")
        ((offset, held),) = history.after(0)
        self.assertEqual((offset, held.message, held.time, held.tick), (1, b"one", 5.0, 17))

    def test_offset_at(self) -> None:
        """The offset that was the newest at a tick; not known any more once a later one was forgotten."""
        history = self.make(size=2)
        for tick in (10, 20, 30):
            history.add(b"x", 0.0, tick, "x")
        for tick, expected in ((5, None), (9, None), (10, 1), (19, 1), (20, 2), (29, 2), (30, 3), (99, 3)):
            self.assertEqual(history.offset_at(tick), expected, tick)

    def test_offset_at_without_any(self) -> None:
        """A channel without publications was where it is at any tick; so was one that goes on."""
        self.assertEqual([self.make().offset_at(tick) for tick in (0, 9)], [0, 0])
        self.assertEqual([self.make(newest=7).offset_at(tick) for tick in (0, 9)], [7, 7])


class HistoryMachine(RuleBasedStateMachine):
    """Three histories beside plain lists of all that was ever added to them."""

    EACH, TOTAL, TTL = 2600, 5000, 10.0
    SIZES = {"a": 0, "b": 3, "c": 50}

    def __init__(self) -> None:
        super().__init__()
        total = self.TOTAL + EMPTY * len(self.SIZES)
        self.budget = Budget(self.EACH, total, alone=total)
        witness = Witness()
        self.emptied = witness.emptied
        self.budget.observers.append(witness)
        self.histories = {
            name: History(name, ChannelRule(history_size=size, history_ttl=self.TTL), self.budget, 0, "x")
            for name, size in self.SIZES.items()
        }
        # (tick, time, length) of each publication, and how many of the first ones are gone.
        self.all: dict[str, list[tuple[int, float, int]]] = {name: [] for name in self.SIZES}
        self.gone = dict.fromkeys(self.SIZES, 0)
        # Those that count; an evicted one does not until there is something again.
        self.order = list(self.SIZES)
        self.tick, self.now, self.emptying = 0, 0.0, False

    def used(self) -> int:
        return sum(map(self.size, self.SIZES)) + EMPTY * len(self.order)

    def size(self, name: str) -> int:
        return sum(length for _, _, length in self.all[name][self.gone[name] :])

    def forget(self, name: str) -> None:
        """What goes for the channel's own sake."""
        held = self.all[name]
        while self.gone[name] < len(held) and (
            len(held) - self.gone[name] > self.SIZES[name]
            or self.size(name) > self.EACH
            or held[self.gone[name]][1] <= self.now - self.TTL
        ):
            self.gone[name] += 1

    @rule(name=st.sampled_from("abc"), length=st.integers(OVERHEAD, 3000))
    def add(self, name: str, length: int) -> None:
        self.tick += 1
        self.histories[name].add(message(length), self.now, self.tick, "x")
        self.all[name].append((self.tick, self.now, length))
        if self.SIZES[name] == 0:
            self.gone[name] += 1
            return
        self.order = [other for other in self.order if other != name] + [name]
        total = self.TOTAL + EMPTY * len(self.SIZES)
        while self.order and self.used() > (total if not self.emptying else total - total // SLACK):
            self.emptying = True
            silent = self.order.pop(0)
            self.gone[silent] = len(self.all[silent])
            assert silent == name or self.emptied.pop(0) == silent
        self.emptying = False
        assert not self.emptied
        self.forget(name)

    @rule(name=st.sampled_from("abc"))
    def trim(self, name: str) -> None:
        self.histories[name].trim(self.now)
        self.forget(name)

    @rule(seconds=st.sampled_from([0.5, 3.0, 9.5]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def holds_what_it_should(self) -> None:
        for name, history in self.histories.items():
            every, gone = self.all[name], self.gone[name]
            assert (history.newest, history.oldest) == (len(every), gone + 1)
            held = [(offset, each.tick, each.time, len(each.message)) for offset, each in history.after(gone)]
            assert held == [(n + 1, t, at, size - OVERHEAD) for n, (t, at, size) in enumerate(every) if n >= gone]
            for tick in range(self.tick + 1):
                offset = sum(each[0] <= tick for each in every)
                assert history.offset_at(tick) == (offset if offset >= gone else None)
        assert self.budget.used == self.used() <= self.TOTAL + EMPTY * len(self.SIZES)


class HistoryModelTests(SynchronousTestCase):
    """See L{HistoryMachine}."""

    def test_model(self) -> None:
        """Whatever is published and however time passes, what is held is what the bounds leave, and counts as such."""
        run_state_machine_as_test(HistoryMachine)
