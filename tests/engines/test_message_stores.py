"""Where the messages of durable channels are numbered and outlive the process: one suite for all engines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from cell0gw.channels.store import IMessageStore, NewMessage, Position, Stored, StoredChannel, StoredMessage
from cell0gw.engines.memory.messages import MemoryMessageStore
from cell0gw.engines.sqlite.database import Database
from cell0gw.engines.sqlite.messages import SLACK, SQLiteMessageStore
from cell0gw.engines.sqlite.room import Room
from cell0gw.protocol.errors import Conflict, Unavailable
from cell0gw.protocol.keys import Key
from tests.engines.test_token_stores import QueueReactor

FAR = 1_000_000
PLENTY = 1 << 40


def new_message(channel: str = "x", message: bytes = b"1", **facts: Any) -> NewMessage:
    known: dict[str, Any] = {"epoch": "e1", "sender": "a", "time": 0.0, "keep": FAR}
    return NewMessage(channel=channel, message=message, **(known | facts))


def key(name: str = "k", entity: str = "a", method: str = "m", digest: bytes = b"1") -> Key:
    return Key(entity, method, name, digest)


class StoreCase:
    """With a store, whichever it is."""

    store: Any

    def outcome(self, deferred: Deferred[Any]) -> Any:
        """What comes of it."""
        return self.successResultOf(self.settle(deferred))  # type: ignore[attr-defined]

    def settle(self, deferred: Deferred[Any]) -> Deferred[Any]:
        """Let what was asked for come to its end."""
        return deferred

    def reopen(self) -> None:
        """As the next process would."""

    def append(self, *messages: NewMessage) -> list[Stored]:
        """Append them in one go."""
        asked = [self.store.append(each) for each in messages]
        return [self.outcome(each) for each in asked]

    def fill(self, count: int, channel: str = "x", **facts: Any) -> None:
        self.append(*(new_message(channel, b"%d" % n, **facts) for n in range(1, count + 1)))

    def read(self, channel: str = "x", after: int = 0, limit: int = FAR) -> list[int]:
        return [message.offset for message in self.outcome(self.store.read(channel, after, limit))]

    def read_before(self, before: int, limit: int = FAR, channel: str = "x") -> list[int]:
        return [message.offset for message in self.outcome(self.store.read_before(channel, before, limit))]

    def loaded(self) -> dict[str, StoredChannel]:
        self.reopen()
        return {channel.name: channel for channel in self.store.load()}


class StoreTests(StoreCase):
    """What every engine keeps its word on."""

    def test_interface(self) -> None:
        """The engine provides what the rules ask for."""
        self.assertTrue(verifyObject(IMessageStore, self.store))

    def test_empty(self) -> None:
        """In the beginning there is nothing; to read of an unknown channel, to purge or drop it, changes nothing."""
        self.assertEqual((self.loaded(), self.read(), self.read_before(9)), ({}, [], []))
        self.assertEqual(self.outcome(self.store.purge({"x": 5.0}, 5.0)), {})
        self.assertIs(self.outcome(self.store.drop("x", 0)), True)
        self.assertEqual(self.append(new_message()), [Stored(position=Position(1, "e1"), oldest=1)])

    def test_numbering(self) -> None:
        """Each channel counts from 1, in the epoch of its first message, whatever later ones propose."""
        messages = [
            new_message("x"),
            new_message("y", epoch="e2"),
            new_message("x", epoch="e3"),
            new_message("y", epoch="e4"),
            new_message("x"),
        ]
        positions = [(1, "e1"), (1, "e2"), (2, "e1"), (2, "e2"), (3, "e1")]
        self.assertEqual([stored.position for stored in self.append(*messages)], positions)
        self.assertEqual([stored.position for stored in self.append(*messages[:2])], [(4, "e1"), (3, "e2")])

    def test_begin(self) -> None:
        """A channel that has begun is there for the next process, and its first message has its epoch and number 1."""
        self.assertIs(self.outcome(self.store.begin("x", "e1", "a")), True)
        expected = StoredChannel(name="x", epoch="e1", oldest=1, newest=0, time=None)
        self.assertEqual(self.loaded(), {"x": expected})
        self.assertEqual((self.read(), self.outcome(self.store.purge({"x": 9.0}, 9.0))), ([], {}))
        self.assertEqual(self.append(new_message(epoch="e2"))[0].position, (1, "e1"))

    def test_begin_again(self) -> None:
        """A channel begins once: a later epoch changes nothing, be there messages or none."""
        for _ in range(2):
            for number in range(2):
                self.assertIs(self.outcome(self.store.begin("x", f"e{number + 1}", "a")), True)
            self.append(new_message(epoch="e3"))
        self.assertEqual({name: (each.epoch, each.newest) for name, each in self.loaded().items()}, {"x": ("e1", 2)})

    def test_begin_and_drop(self) -> None:
        """One without messages is dropped as such, but not if it has one meanwhile; it begins anew then."""
        self.outcome(self.store.begin("x", "e1", "a"))
        self.assertIs(self.outcome(self.store.drop("x", 0)), True)
        self.assertEqual(self.loaded(), {})
        self.outcome(self.store.begin("x", "e2", "a"))
        self.append(new_message())
        self.assertIs(self.outcome(self.store.drop("x", 0)), False)
        self.assertEqual(self.loaded()["x"].epoch, "e2")

    def test_seen(self) -> None:
        """The date that was noted last is there for the next process."""
        self.assertIsNone(self.store.seen())
        for date in (5.0, 7.5, 6.0):
            self.outcome(self.store.note(date))
        self.reopen()
        self.assertEqual(self.store.seen(), 6.0)

    def test_redated(self) -> None:
        """Messages of a span of dates count as younger, for what is purged and for what is loaded; others don't."""
        self.append(*(new_message(time=float(n)) for n in range(1, 9)))
        self.append(new_message("y", time=3.0), new_message("z", time=8.0))
        self.outcome(self.store.redate(2.0, 4.0, 100.0))
        times = {name: channel.time for name, channel in self.loaded().items()}
        self.assertEqual(times, {"x": 8.0, "y": 103.0, "z": 8.0})
        self.assertEqual(self.outcome(self.store.purge({"x": 50.0}, 0.0)), {"x": 2})
        self.outcome(self.store.redate(2.0, 4.0, 0.0))
        self.assertEqual(self.loaded()["y"].time, 3.0)
        self.assertEqual(self.outcome(self.store.purge({"x": 50.0}, 0.0)), {"x": 8})

    def test_order(self) -> None:
        """What is asked for in one go is numbered and told of in that order, however much it is."""
        told: list[tuple[str, int]] = []
        asked = []
        for n in range(700):
            name = f"c{n % 3}"
            tell = lambda stored, name=name: told.append((name, stored.position.offset))  # noqa: E731
            asked.append(self.store.append(new_message(name, b"%d" % n)).addCallback(tell))
        self.settle(asked[-1])
        self.assertEqual(told, [(f"c{n % 3}", n // 3 + 1) for n in range(700)])
        for start in range(3):
            messages = self.outcome(self.store.read(f"c{start}", 0, FAR))
            self.assertEqual([int(m.message) for m in messages], list(range(start, 700, 3)))

    def test_round_trip(self) -> None:
        """A message comes back with its number, time, sender and bytes, whatever those are."""
        messages = (b"", b"null", b'"\xc3\xa9\\u0000"', bytes(range(256)))
        self.append(*(new_message(message=m, sender=f"s.{n}", time=n + 0.125) for n, m in enumerate(messages)))
        expected = [
            StoredMessage(offset=n + 1, time=n + 0.125, sender=f"s.{n}", message=m) for n, m in enumerate(messages)
        ]
        self.assertEqual(self.outcome(self.store.read("x", 0, FAR)), expected)
        self.assertEqual(self.outcome(self.store.read_before("x", 5, FAR)), expected[::-1])

    def test_read(self) -> None:
        """Those after an offset, oldest first, or before one, newest first, and no more than the limit of them."""
        self.fill(6)
        for after, limit, expected in (
            (0, FAR, [1, 2, 3, 4, 5, 6]), (2, 2, [3, 4]), (5, 2, [6]), (6, 2, []), (99, 2, []), (0, 0, []),
            (2**40, 2, []), (2**63, 2, []), (2**70, 2, []),
        ):  # fmt: skip
            self.assertEqual(self.read("x", after, limit), expected, (after, limit))
        for before, limit, expected in (
            (7, FAR, [6, 5, 4, 3, 2, 1]), (5, 2, [4, 3]), (2, 2, [1]), (1, 2, []), (0, 2, []), (99, 2, [6, 5]),
            (7, 0, []), (2**63, 2, [6, 5]), (2**70, 2, [6, 5]),
        ):  # fmt: skip
            self.assertEqual(self.read_before(before, limit), expected, (before, limit))

    def test_channels_apart(self) -> None:
        """Reading past either end of a channel shows nothing of those beside it."""
        for name in "wxyz":
            self.fill(3, name)
        for name in "wxyz":
            self.assertEqual((self.read(name), self.read(name, 3)), ([1, 2, 3], []))
            self.assertEqual((self.read_before(1, channel=name), self.read_before(9, 9, name)), ([], [3, 2, 1]))

    def test_keep(self) -> None:
        """The newest are kept, so many, and a few more at most; what is kept is told, and has no hole."""
        for count in (1, 10, 55):
            name = f"keep{count}"
            for n in range(1, 200):
                (stored,) = self.append(new_message(name, keep=count))
                kept = self.read(name)
                self.assertEqual(kept, list(range(stored.oldest, n + 1)))
                self.assertTrue(min(n, count) <= len(kept) <= count + count // SLACK, (count, kept))

    def test_keep_less(self) -> None:
        """A rule that keeps less holds from the next message on."""
        self.fill(50)
        (stored,) = self.append(new_message(keep=5))
        self.assertEqual((stored.oldest, self.read()), (47, [47, 48, 49, 50, 51]))

    def test_purge(self) -> None:
        """What is older than a moment goes; the newest stays, whatever its age; what changed is told."""
        for name in "xyz":
            self.append(*(new_message(name, time=float(n)) for n in range(1, 6)))
        self.assertEqual(self.outcome(self.store.purge({"x": 3.0, "y": 1.0, "unknown": 9.0}, 0.0)), {"x": 3})
        self.assertEqual([self.read(name) for name in "xyz"], [[3, 4, 5], [1, 2, 3, 4, 5], [1, 2, 3, 4, 5]])
        self.assertEqual(self.outcome(self.store.purge({"x": 3.0, "y": 99.0}, 0.0)), {"y": 5})
        self.assertEqual((self.read("x"), self.read("y")), ([3, 4, 5], [5]))
        self.assertEqual(self.append(new_message("y"))[0], Stored(position=Position(6, "e1"), oldest=5))

    def test_purge_after_the_clock_was_set_back(self) -> None:
        """What is kept never has a hole, in whatever order the times stand."""
        self.append(*(new_message(time=float(at)) for at in (10, 5, 20, 6)))
        self.outcome(self.store.purge({"x": 8.0}, 0.0))
        self.assertEqual(self.read(), [1, 2, 3, 4])
        self.outcome(self.store.purge({"x": 15.0}, 0.0))
        self.assertEqual(self.read(), [3, 4])

    def test_keys(self) -> None:
        """A message whose key is known is not stored again: its first place is told, in another process as well."""
        (first,) = self.append(new_message(key=key()))
        known = Stored(position=first.position, oldest=0, replayed=True)
        self.assertEqual(
            self.append(new_message(key=key()), new_message(), new_message(key=key(), epoch="e9"))[::2], [known, known]
        )
        self.reopen()
        self.assertEqual(self.append(new_message(key=key())), [known])
        self.assertEqual(self.read(), [1, 2])

    def test_keys_in_one_go(self) -> None:
        """Of several with one key that are asked for in one go the first one is stored."""
        stored = self.append(*(new_message(message=b"%d" % n, key=key()) for n in range(3)))
        self.assertEqual([(s.position.offset, s.replayed) for s in stored], [(1, False), (1, True), (1, True)])

    def test_whose_keys(self) -> None:
        """A key is one entity's, for one method."""
        keys = (key(), key("l"), key(entity="b"), key(method="n"))
        stored = self.append(*(new_message(key=each) for each in keys))
        self.assertEqual([s.position.offset for s in stored], [1, 2, 3, 4])

    def test_conflict(self) -> None:
        """A key that stands for something else is refused alone: nothing is stored, its neighbours are."""
        self.append(new_message(key=key()))
        asked = [
            self.store.append(each)
            for each in (new_message(), new_message(key=key(digest=b"2")), new_message("new", key=key("l")))
        ]
        self.settle(asked[-1])
        self.failureResultOf(asked[1], Conflict)  # type: ignore[attr-defined]
        self.assertEqual([self.outcome(asked[n]).position.offset for n in (0, 2)], [2, 1])
        self.assertEqual(self.read(), [1, 2])

    def test_keys_that_are_too_old(self) -> None:
        """A key is forgotten with its time, not with its message; the same one is a new message then."""
        self.append(new_message(key=key("old"), time=1.0), new_message(key=key("new"), time=2.0))
        self.outcome(self.store.purge({"x": 99.0}, 2.0))
        self.assertEqual(self.read(), [2])
        old, new = self.append(new_message(key=key("old")), new_message(key=key("new")))
        self.assertEqual((old.position.offset, old.replayed), (3, False))
        self.assertEqual((new.position.offset, new.replayed), (2, True))

    def test_drop(self) -> None:
        """A channel that is dropped is gone, its key stands for its place still; it begins anew in another epoch."""
        self.append(new_message(key=key()), new_message(), new_message("y"))
        self.assertIs(self.outcome(self.store.drop("x", 2)), True)
        self.assertEqual((self.read(), list(self.loaded())), ([], ["y"]))
        self.assertEqual(self.append(new_message(epoch="e2", key=key()))[0].position, (1, "e1"))
        self.assertEqual(self.append(new_message(epoch="e2"))[0], Stored(position=Position(1, "e2"), oldest=1))
        self.assertEqual(self.read(), [1])

    def test_drop_of_a_newer_one(self) -> None:
        """A channel that has a newer message than whoever drops it knows of stays, and goes on."""
        self.fill(2)
        asked = [self.store.append(new_message()), self.store.drop("x", 2), self.store.append(new_message(epoch="e2"))]
        self.assertIs(self.outcome(asked[1]), False)
        self.settle(asked[2])
        self.assertEqual([self.outcome(asked[n]).position for n in (0, 2)], [(3, "e1"), (4, "e1")])
        self.assertEqual(self.read(), [1, 2, 3, 4])

    def test_drop_and_begin_anew(self) -> None:
        """What is published right after a drop is the first message of the new epoch, or the next of the old one."""
        self.fill(2)
        dropping, appending = self.store.drop("x", 2), self.store.append(new_message(epoch="e2"))
        self.settle(appending)
        expected = Position(1, "e2") if self.outcome(dropping) else Position(3, "e1")
        self.assertEqual(self.outcome(appending).position, expected)

    def test_load(self) -> None:
        """The next process finds every channel with its numbering, what is kept and when the newest came."""
        self.append(
            *(new_message(time=float(n)) for n in range(5)), new_message("y", epoch="e2", time=9.5), new_message("z")
        )
        self.outcome(self.store.purge({"x": 2.0}, 0.0))
        self.outcome(self.store.drop("z", 1))
        self.assertEqual(
            self.loaded(),
            {
                "x": StoredChannel(name="x", epoch="e1", oldest=3, newest=5, time=4.0),
                "y": StoredChannel(name="y", epoch="e2", oldest=1, newest=1, time=9.5),
            },
        )
        self.assertEqual([s.position for s in self.append(new_message("y"), new_message())], [(2, "e2"), (6, "e1")])
        self.assertEqual((self.read(), self.read("y")), ([3, 4, 5, 6], [1, 2]))

    def test_long_messages(self) -> None:
        """Messages of megabytes are kept; fewer than asked for may be read at once, but never none, and no hole."""
        lengths = [2_000_000, 10, 2_000_001, 3_000_000, 5]
        self.append(*(new_message(message=bytes([n]) * length) for n, length in enumerate(lengths)))
        seen: list[StoredMessage] = []
        while len(seen) < len(lengths):
            found = self.outcome(self.store.read("x", len(seen), 2))
            self.assertTrue(0 < len(found) <= 2)
            seen += found
        self.assertEqual([m.offset for m in seen], [1, 2, 3, 4, 5])
        self.assertEqual([m.message for m in seen], [bytes([n]) * length for n, length in enumerate(lengths)])
        self.assertEqual(self.read_before(6, 2)[0], 5)


class MemoryMessageStoreTests(StoreTests, SynchronousTestCase):
    """L{MemoryMessageStore}."""

    def setUp(self) -> None:
        self.store = MemoryMessageStore()

    def test_held(self) -> None:
        """While it is held nothing is stored or told; then all is, in order."""
        self.store.held = True
        asked = [self.store.append(new_message()) for _ in range(3)]
        for each in asked:
            self.assertNoResult(each)
        self.assertEqual(self.read(), [])
        self.store.release()
        self.assertEqual([self.outcome(each).position.offset for each in asked], [1, 2, 3])

    def test_broken(self) -> None:
        """A broken store numbers nothing; once it is whole again the numbers go on."""
        self.append(new_message())
        self.store.broken = True
        self.failureResultOf(self.store.append(new_message()), Unavailable)
        self.failureResultOf(self.store.begin("y", "e1", "a"), Unavailable)
        self.store.broken = False
        self.assertEqual(self.append(new_message())[0].position.offset, 2)


class SQLiteCase(StoreCase, SynchronousTestCase):
    """With a store in a file of its own."""

    def setUp(self) -> None:
        self.path, self.reactor = Path(self.mktemp()), QueueReactor()
        self.open()

    def open(self, max_size: int = PLENTY) -> None:
        self.database = Database(self.path, self.reactor)
        self.database.open()
        self.addCleanup(self.database.close)
        self.room = Room(self.database, max_size, PLENTY)
        self.store = SQLiteMessageStore(self.database, self.room)

    def reopen(self) -> None:
        self.database.close()
        self.open()

    def settle(self, deferred: Deferred[Any]) -> Deferred[Any]:
        self.reactor.run_until_fired(deferred)
        return deferred


class SQLiteMessageStoreTests(StoreTests, SQLiteCase):
    """L{SQLiteMessageStore}."""
