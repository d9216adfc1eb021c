"""The room in the file: who has most of it is refused more, dead letters go first, and nobody's messages are lost."""

from __future__ import annotations

import sqlite3
from typing import Any, Final

from cell0gw.channels.store import NewMessage
from cell0gw.engines.sqlite import schema
from cell0gw.engines.sqlite.database import Database
from cell0gw.engines.sqlite.mail import SQLiteMailStore
from cell0gw.engines.sqlite.messages import SQLiteMessageStore
from cell0gw.engines.sqlite.room import Room, used
from cell0gw.engines.sqlite.shares import ROW
from cell0gw.protocol.errors import RateLimited
from tests.engines.sqlite.test_messages import Case as MessagesCase
from tests.engines.test_mail_stores import letter, outcome
from tests.engines.test_message_stores import PLENTY, key, new_message

SIZE: Final = 4_000_000
LONG: Final = bytes(100_000)


class Case(MessagesCase):
    """With a file that has room for so much."""

    def setUp(self) -> None:
        super().setUp()
        self.limit()

    def limit(self, max_size: int = SIZE, max_dead: int = PLENTY) -> None:
        """The next process has other bounds."""
        self.database.close()
        self.database = Database(self.path, self.reactor)
        self.database.open()
        self.addCleanup(self.database.close)
        room = Room(self.database, max_size, max_dead)
        self.store, self.mail = SQLiteMessageStore(self.database, room), SQLiteMailStore(self.database, room)

    def publish(self, *messages: NewMessage) -> int:
        """How many of these are stored, one after the other; the others are refused for want of room."""
        asked = [self.settle(self.store.append(each)) for each in messages]
        outcomes: list[Any] = []
        for each in asked:
            each.addBoth(outcomes.append)
        refused = [each for each in outcomes if not hasattr(each, "position")]
        for each in refused:
            each.trap(RateLimited)
        return len(outcomes) - len(refused)

    def shares(self) -> dict[tuple[str, str], int]:
        """What the file says of the bytes of each channel and sender."""
        rows = self.execute("SELECT name, sender, bytes FROM shares JOIN channels USING (channel_id)")
        return {(name, sender): size for name, sender, size in rows}

    def counted(self) -> dict[tuple[str, str], int]:
        """What is there of each."""
        rows = self.execute(
            f"SELECT name, sender, SUM(LENGTH(message) + {ROW}) FROM messages "
            "JOIN channels ON channel_id = position / 1099511627776 GROUP BY 1, 2"
        )
        return {(name, sender): size for name, sender, size in rows}

    def used(self) -> int:
        """The bytes of the file that are in use."""
        return int(self.outcome(self.database.write(used)))


class DurableTests(Case):
    """Messages on durable channels."""

    def test_a_flood(self) -> None:
        """Long messages of one publisher take half of the file; not one message of another one goes for them."""
        self.append(*(new_message("orders", bytes(100), sender="shop") for _ in range(2000)))
        stored = self.publish(*(new_message(f"evil.{n % 7}", LONG, sender="evil") for n in range(60)))
        self.assertLessEqual(stored * len(LONG), SIZE // 2)
        self.assertGreater(stored * len(LONG), SIZE // 3)
        self.assertEqual(self.outcome(self.store.purge({}, 0.0)), {})
        self.assertEqual(len(self.read("orders")), 2000)
        self.assertEqual(self.publish(*(new_message("orders", bytes(100), sender="shop") for _ in range(500))), 500)
        self.assertLess(self.used(), SIZE)

    def test_many_publishers_on_one_channel(self) -> None:
        """A channel has a share, too, whoever publishes on it."""
        stored = self.publish(*(new_message("evil", LONG, sender=f"evil.{n}") for n in range(60)))
        self.assertLessEqual(stored * len(LONG), SIZE // 2)
        self.assertEqual(self.publish(new_message("orders", LONG, sender="shop")), 1)

    def test_channels_without_messages(self) -> None:
        """A channel that has begun takes less than a kilobyte; where there is no room it does not begin, and that is no
        failure of the disk. With its first message it is one like any other.
        """
        before = self.used()
        names = [f"d.{number}".ljust(200, "x") for number in range(500)]
        for name in names:
            self.assertIs(self.outcome(self.store.begin(name, "epoch_5d1c0c5a6d8e3f27", "evil")), True)
        self.assertLess(self.used() - before, 500 * 1000)
        self.limit(self.used())
        self.assertIs(self.outcome(self.store.begin("new", "e1", "shop")), False)
        self.assertIs(self.outcome(self.store.begin(names[0], "e1", "shop")), True)
        self.limit()
        self.assertEqual(self.append(new_message("new", epoch="e2"))[0].position, (1, "e2"))
        for name in names:
            self.outcome(self.store.drop(name, 0))
        self.assertLess(self.used() - before, 20_000)

    def test_what_is_said(self) -> None:
        """The refusal says whose messages take how much, which option it is, and when to try again."""
        for channel, sender, whose in (("x", "a", "yours take 4000064"), ("y", "b", "yours take 0")):
            self.limit(PLENTY)
            if sender == "a":
                self.append(new_message("x", bytes(SIZE), sender="a"))
            self.limit()
            refusal = self.failureResultOf(self.settle(self.store.append(new_message(channel, sender=sender)))).value
            self.assertEqual(
                refusal.as_json(),
                {
                    "code": -32003,
                    "message": f"Durable messages have 0 bytes left, and {whose} already",
                    "data": {
                        "code": "rate_limited",
                        "retryable": True,
                        "limit": "max_database_size",
                        "retry_after_ms": 60000,
                    },
                },
            )

    def test_whose_channel(self) -> None:
        """The refusal names the channel where that has more than the publisher."""
        self.publish(*(new_message("evil", LONG, sender=f"evil.{n}") for n in range(60)))
        asked = self.settle(self.store.append(new_message("evil", LONG, sender="other")))
        self.assertIn("those on this channel take 1", self.failureResultOf(asked).value.message)

    def test_a_key(self) -> None:
        """What is stored is answered again by its key, however full it is."""
        self.append(new_message("x", LONG, key=key()))
        self.limit(1000)
        self.assertTrue(self.append(new_message("x", LONG, key=key()))[0].replayed)
        self.assertEqual(self.publish(new_message("x", LONG)), 0)

    def test_no_channel_is_left(self) -> None:
        """A channel whose first message is refused is not there."""
        self.limit(1000)
        self.assertEqual(self.publish(new_message("new")), 0)
        self.assertEqual(self.loaded(), {})

    def test_its_own_rule(self) -> None:
        """A channel at its number goes on: what it has beyond its rule makes room for what comes."""
        for _ in range(50):
            self.assertEqual(self.publish(new_message("x", LONG, keep=15)), 1)
        self.assertEqual(self.read_before(100, limit=1), [50])
        self.assertEqual(self.read(limit=1), [35])
        self.assertEqual(self.shares(), self.counted())
        self.assertEqual((self.loaded()["x"].oldest, self.loaded()["x"].newest), (35, 50))

    def test_old_ones_make_room(self) -> None:
        """What goes by age makes room."""
        self.publish(*(new_message("x", LONG, time=float(n)) for n in range(60)))
        self.assertEqual(self.publish(new_message("x", LONG)), 0)
        self.outcome(self.store.purge({"x": 10.0}, 0.0))
        self.assertEqual(self.publish(new_message("x", LONG)), 1)
        self.outcome(self.store.drop("x", max(self.read())))
        self.assertEqual((self.shares(), self.counted()), ({}, {}))

    def test_what_is_counted(self) -> None:
        """What each channel and publisher has is in the file, by bytes, and the next process knows it."""
        self.append(*(new_message(f"c{n % 3}", bytes(n), sender=f"s{n % 5}", keep=20) for n in range(400)))
        self.assertEqual(self.shares(), self.counted())
        self.assertEqual(len(self.shares()), 15)
        self.limit()
        self.append(new_message("c0", bytes(9), sender="s0", keep=20))
        self.assertEqual(self.shares(), self.counted())

    def test_a_transaction_that_fails(self) -> None:
        """What was rolled back is not counted."""
        self.append(new_message("x", bytes(9)))
        self.execute(
            "CREATE TRIGGER full BEFORE INSERT ON messages WHEN NEW.sender = 'bad' "
            "BEGIN SELECT RAISE(ROLLBACK, 'full'); END"
        )
        self.failureResultOf(self.settle(self.store.append(new_message("x", LONG, sender="bad"))))
        self.flushLoggedErrors(sqlite3.Error)
        self.append(new_message("x", bytes(9)))
        self.assertEqual(self.shares(), {("x", "a"): 2 * (9 + ROW)})

    def test_files_of_earlier_releases(self) -> None:
        """What is in a file of an earlier release is counted when that is opened."""
        self.database.close()
        self.path = self.path.with_suffix(".earlier")
        done = next(n for n, script in enumerate(schema.MIGRATIONS) if "CREATE TABLE shares" in script)
        earlier = sqlite3.connect(self.path)
        earlier.executescript(f"{''.join(schema.MIGRATIONS[:done])} PRAGMA user_version={done};")
        earlier.executemany("INSERT INTO channels VALUES (?, ?, 'e')", [(n, f"c{n}") for n in range(1, 4)])
        rows = [((n % 3 + 1 << 40) + n, f"s{n % 5}", bytes(n)) for n in range(60)]
        earlier.executemany("INSERT INTO messages VALUES (?, 0, ?, ?)", rows)
        earlier.commit()
        earlier.close()
        self.limit()
        self.assertEqual((len(self.shares()), self.shares()), (15, self.counted()))


class DeadLetterTests(Case):
    """Dead letters."""

    def die(self, *numbers: int, by: str = "evil", size: int = len(LONG)) -> None:
        """Have letters be sent and refused."""
        for number in numbers:
            self.outcome(self.mail.put(letter(number, by=by, message=bytes(size - 1) + b"1"), 0.0))
            self.outcome(self.mail.record([outcome(number, "failed", settles=True)]))

    def dead(self) -> list[str]:
        found, total = self.outcome(self.mail.dead(None, 1000))
        self.assertEqual(len(found), total)
        return [each.letter.message_id for each in found]

    def test_bounded(self) -> None:
        """Beyond their bytes the oldest go, those of the sender with most; what became of them is known."""
        self.limit(PLENTY, 350_000)
        self.die(1, by="shop")
        self.die(2, 3, 4, 5)
        self.assertEqual(self.dead(), ["m5", "m4", "m1"])
        delivery = self.outcome(self.mail.delivery("m2"))
        self.assertEqual((delivery.status, len(delivery.receipts)), ("failed", 2))
        self.limit(PLENTY, 250_000)
        self.die(6)
        self.assertEqual(self.dead(), ["m6", "m1"])

    def test_expired(self) -> None:
        """Those that have waited too long are counted as those that were refused."""
        self.limit(PLENTY, 250_000)
        for number in range(1, 6):
            self.outcome(self.mail.put(letter(number, by="evil", message=LONG[1:] + b"1", expires_at=5.0), 0.0))
        self.outcome(self.mail.expire(5.0))
        self.assertEqual(self.dead(), ["m5", "m4"])

    def test_forgotten_ones(self) -> None:
        """What is purged for its age is not counted any more."""
        self.limit(PLENTY, 350_000)
        self.die(1, 2, 3)
        self.outcome(self.mail.purge(100.0, 100.0, 1000, 0.0, 1000))
        self.assertEqual(self.dead(), [])
        self.die(4, 5, 6)
        self.assertEqual(self.dead(), ["m6", "m5", "m4"])

    def test_what_receipts_say(self) -> None:
        """What acknowledgements say counts as dead letters do: beyond the bound the oldest of that is forgotten."""
        self.limit(PLENTY, 3500)
        for number in range(1, 9):
            self.outcome(self.mail.put(letter(number, by="evil", message=b"1"), 0.0))
            self.outcome(self.mail.record([outcome(number, "done", settles=True, detail="\u00e9" * 500)]))
        self.die(9, by="shop", size=100)
        self.die(10, by="evil", size=100)
        deliveries = [self.outcome(self.mail.delivery(f"m{number}")) for number in range(1, 9)]
        said = [each.receipts[-1].detail is not None for each in deliveries]
        self.assertEqual((said, self.dead()), ([False] * 5 + [True] * 3, ["m10", "m9"]))
        self.outcome(self.mail.purge(100.0, 100.0, 1000, 0.0, 1000))
        self.limit(PLENTY, 3500)
        self.die(11, size=3500)
        self.assertEqual(self.dead(), ["m11"])

    def test_a_transaction_that_fails(self) -> None:
        """A letter that did not die, since its transaction failed, is not counted."""
        self.limit(PLENTY, 250_000)
        self.die(1)
        self.execute("CREATE TRIGGER full BEFORE UPDATE ON letters BEGIN SELECT RAISE(ROLLBACK, 'full'); END")
        self.outcome(self.mail.put(letter(2, by="evil", message=LONG), 0.0))
        self.failureResultOf(self.settle(self.mail.record([outcome(2, "failed", settles=True)])))
        self.flushLoggedErrors(sqlite3.Error)
        self.execute("DROP TRIGGER full")
        self.die(3)
        self.assertEqual(self.dead(), ["m3", "m1"])

    def test_durable_messages_come_first(self) -> None:
        """Dead letters take no room from durable messages: they go when that is needed."""
        self.append(*(new_message("orders", bytes(100), sender="shop") for _ in range(2000)))
        self.die(*range(1, 61))
        self.assertEqual(self.outcome(self.store.purge({}, 0.0)), {})
        self.assertEqual(len(self.read("orders")), 2000)
        self.assertLess(self.used(), SIZE)
        _, dead = self.outcome(self.mail.dead(None, 1))
        self.assertGreater(dead, 20)
        stored = self.publish(*(new_message("orders", LONG, sender="other") for _ in range(15)))
        self.assertEqual(stored, 15)
        self.assertLess(self.used(), SIZE)
        _, left = self.outcome(self.mail.dead(None, 1))
        self.assertLess(left, dead)
