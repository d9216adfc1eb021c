"""Where directed messages wait, with what became of them: one suite for all engines."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from cell0gw.agents.mail.store import IMailStore, KeptLetter, Letter, Outcome, Receipt, StoredMailbox, Transition
from cell0gw.engines.interfaces import EngineError
from cell0gw.engines.memory.mail import MemoryMailStore
from cell0gw.engines.sqlite.database import Database
from cell0gw.engines.sqlite.letters import READ_BYTES
from cell0gw.engines.sqlite.mail import SQLiteMailStore
from cell0gw.engines.sqlite.room import Room
from cell0gw.protocol.errors import Conflict, Unavailable
from cell0gw.protocol.keys import Key
from tests.engines.test_token_stores import QueueReactor

FAR = 1_000_000


def letter(number: int = 1, to: str = "b", by: str = "a", **facts: Any) -> Letter:
    known: dict[str, Any] = {
        "message_id": f"m{number}", "recipient": to, "sender": by, "sender_type": "agent", "conversation_id": "c",
        "in_reply_to": None, "hops": 0, "message": b"%d" % number, "time": float(number), "expires_at": 100.0,
    }  # fmt: skip
    return Letter(**(known | facts))


def key(name: str = "k", entity: str = "a", method: str = "m", digest: bytes = b"1") -> Key:
    return Key(entity, method, name, digest)


def outcome(number: int, status: str, time: float = 50.0, to: str = "b", **facts: Any) -> Outcome:
    return Outcome(message_id=f"m{number}", recipient=to, status=status, time=time, **facts)


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

    def put(self, *letters: Letter, since: float = 0.0) -> list[KeptLetter]:
        """Keep them, asked for in one go."""
        asked = [self.store.put(each, since) for each in letters]
        return [self.outcome(each) for each in asked]

    def record(self, *outcomes: Outcome) -> list[Transition]:
        transition: list[Transition] = self.outcome(self.store.record(list(outcomes)))
        return transition

    def waiting(self, to: str = "b", after: int = 0, limit: int = FAR, now: float = 0.0) -> list[str]:
        return [each.message_id for each in self.outcome(self.store.waiting(to, after, limit, now))]

    def unreported(self, sender: str = "a", limit: int = FAR, now: float = 50.0) -> list[tuple[str, str]]:
        return [(one.message_id, one.status) for one in self.outcome(self.store.take_unreported(sender, limit, now))]

    def ladder(self, number: int = 1) -> list[str] | None:
        delivery = self.outcome(self.store.delivery(f"m{number}"))
        return None if delivery is None else [receipt.status for receipt in delivery.receipts]

    def dead(
        self, to: str | None = None, limit: int = FAR, shown: Callable[[str], bool] | None = None
    ) -> tuple[list[str], int]:
        found, total = self.outcome(self.store.dead(to, limit, shown))
        return [each.letter.message_id for each in found], total


class LetterTests(StoreCase):
    """Letters that wait."""

    def test_interface(self) -> None:
        """The engine provides what the rules ask for."""
        self.assertTrue(verifyObject(IMailStore, self.store))

    def test_empty(self) -> None:
        """In the beginning there is nothing, and nothing of it can be changed."""
        self.reopen()
        stored = self.store.load()
        self.assertEqual((stored.mailboxes, stored.holders, stored.next_expiry), ([], {}, None))
        self.assertTrue(16 <= len(stored.key) <= 32)
        self.assertEqual((self.waiting(), self.outcome(self.store.letters(["m1"])), self.ladder()), ([], [], None))
        self.assertEqual((self.unreported(), self.dead(), self.record()), ([], ([], 0), []))
        self.assertEqual(self.outcome(self.store.expire(9.0)), ([], None))
        for nothing in (
            self.store.mark_reported([7], 1.0),
            self.store.mark_unreported("a", 0.0),
            self.store.purge(9.0, 9.0, 0, 9.0, 0),
        ):
            self.assertIsNone(self.outcome(nothing))

    def test_round_trip(self) -> None:
        """Every fact of a letter comes back as it was, in its type; but for its key, and with its number."""
        facts = {"sender_type": "user", "conversation_id": "conv_9", "in_reply_to": "m0", "hops": 7, "receipts": True}
        full = letter(1, message='"\u00e9\\u0000"'.encode(), time=1.125, expires_at=2e9 + 0.5, key=key(), **facts)
        kept = self.put(full, letter(2, to="c", message=bytes(range(256))))
        self.assertEqual([(each.message_id, each.status, each.replayed) for each in kept],
                         [("m1", "queued", False), ("m2", "queued", False)])  # fmt: skip
        self.reopen()
        (found,) = self.outcome(self.store.waiting("b", 0, FAR, 0.0))
        read = msgspec.structs.replace(found, key=None)
        self.assertEqual(read, msgspec.structs.replace(full, key=None, sequence=kept[0].sequence))
        self.assertIs(type(found.receipts), bool)
        (found,) = self.outcome(self.store.letters(["m2"]))
        self.assertEqual((found.message, found.sequence), (bytes(range(256)), kept[1].sequence))

    def test_order(self) -> None:
        """Numbers only grow, over all recipients, in the order of the calls, and are told in it."""
        told: list[str] = []
        asked = [
            self.store.put(letter(n, to="bcd"[n % 3]), 0.0).addCallback(lambda kept: told.append(kept.message_id))
            for n in range(300)
        ]
        self.settle(asked[-1])
        self.assertEqual(told, [f"m{n}" for n in range(300)])
        self.assertEqual(self.waiting("c"), [f"m{n}" for n in range(1, 300, 3)])
        sequences = [each.sequence for to in "bcd" for each in self.outcome(self.store.waiting(to, 0, FAR, 0.0))]
        self.assertEqual(len(set(sequences)), 300)
        self.assertEqual(sequences[:100], sorted(sequences[:100]))

    def test_numbers_are_not_used_again(self) -> None:
        """A number is given once, whatever becomes of the letter that had it, and by the next process, too."""
        (first,) = self.put(letter(1))
        self.record(outcome(1, "received", settles=True))
        self.outcome(self.store.purge(FAR, FAR, 0, 0.0, FAR))
        self.reopen()
        (second,) = self.put(letter(2))
        self.assertGreater(second.sequence, first.sequence)
        self.assertGreater(second.receipt, first.receipt)

    def test_slices(self) -> None:
        """What follows a number, no more than the limit of it, and only what has not expired."""
        kept = self.put(*(letter(n, expires_at=100.0 - 10 * (n == 3)) for n in range(1, 6)), letter(6, to="c"))
        numbers = [0, *(each.sequence for each in kept)]
        for after, limit, now, expected in (
            (0, FAR, 0.0, [1, 2, 3, 4, 5]), (2, 2, 0.0, [3, 4]), (0, 3, 90.0, [1, 2, 4]), (0, 9, 89.9, [1, 2, 3, 4, 5]),
            (5, 9, 0.0, []), (0, 9, 100.0, []),
        ):  # fmt: skip
            self.assertEqual(self.waiting("b", numbers[after], limit, now), [f"m{n}" for n in expected])

    def test_long_ones(self) -> None:
        """Long letters may come fewer at once, but never none, and none is left out."""
        self.put(*(letter(n, message=b"x" * (READ_BYTES // 2 + 1)) for n in range(1, 6)))
        seen: list[Letter] = []
        while len(seen) < 5:
            found = self.outcome(self.store.waiting("b", seen[-1].sequence if seen else 0, 4, 0.0))
            self.assertTrue(0 < len(found) <= 4)
            seen += found
        self.assertEqual([each.message_id for each in seen], [f"m{n}" for n in range(1, 6)])

    def test_settled(self) -> None:
        """What is settled waits no more; what was only sent does."""
        self.put(*(letter(n) for n in range(1, 5)))
        self.record(outcome(1, "sent"), outcome(2, "sent", settles=True), outcome(3, "received", settles=True))
        self.assertEqual(self.waiting(), ["m1", "m4"])
        found = self.outcome(self.store.letters(["m4", "m3", "m2", "m1", "m9"]))
        self.assertEqual([each.message_id for each in found], ["m1", "m4"])

    def test_load(self) -> None:
        """The next process finds whose mail waits, how much, of whom, and when the first of it expires."""
        self.put(letter(1), letter(2, message=b"12345"), letter(3, to="c", by="x", expires_at=20.0), letter(4, to="d"))
        self.put(letter(5, by="x", message=b"123"))
        self.record(outcome(4, "sent", to="d", settles=True), outcome(1, "sent"))
        before = self.store.load().key if isinstance(self.store, MemoryMailStore) else None
        self.reopen()
        stored = self.store.load()
        boxes = {(box.recipient, box.sender): box for box in stored.mailboxes}
        self.assertEqual(boxes, {("b", "a"): StoredMailbox(recipient="b", sender="a", messages=2, size=6),
                                 ("b", "x"): StoredMailbox(recipient="b", sender="x", messages=1, size=3),
                                 ("c", "x"): StoredMailbox(recipient="c", sender="x", messages=1, size=1)})  # fmt: skip
        self.assertEqual(stored.next_expiry, 20.0)
        self.reopen()
        self.assertEqual(self.store.load().key, stored.key if before is None else before)


class KeyTests(StoreCase):
    """Idempotency keys."""

    def test_again(self) -> None:
        """What has a known key is not kept: the first one is told, and where it stands, by the next process as well."""
        (first,) = self.put(letter(1, key=key()))
        known = KeptLetter(sequence=first.sequence, message_id="m1", status="queued", replayed=True)
        self.assertEqual(self.put(letter(2, key=key()), letter(3, key=key())), [known, known])
        self.record(outcome(1, "done", settles=True))
        self.reopen()
        again = self.put(letter(4, key=key()))
        self.assertEqual(again, [msgspec.structs.replace(known, status="done")])
        self.assertEqual((self.waiting(), self.ladder(2)), ([], None))

    def test_conflict(self) -> None:
        """A key that stands for something else is refused alone, and its neighbours are kept."""
        self.put(letter(1, key=key()))
        asked = [self.store.put(each, 0.0) for each in (letter(2), letter(3, key=key(digest=b"2")), letter(4))]
        self.settle(asked[-1])
        self.failureResultOf(asked[1], Conflict)  # type: ignore[attr-defined]
        self.assertEqual(self.waiting(), ["m1", "m2", "m4"])

    def test_whose(self) -> None:
        """A key is one entity's, for one method."""
        keys = (key(), key("l"), key(entity="x"), key(method="n"))
        kept = self.put(*(letter(n, by=each.entity_id, key=each) for n, each in enumerate(keys)))
        self.assertEqual([each.replayed for each in kept], [False] * 4)

    def test_too_old(self) -> None:
        """A key from before the moment stands for nothing any more, one from that moment does; the letter waits on."""
        self.put(letter(1, time=5.0, key=key()))
        self.assertTrue(self.put(letter(2, time=9.0, key=key()), since=5.0)[0].replayed)
        self.assertFalse(self.put(letter(3, time=9.0, key=key(digest=b"2")), since=5.1)[0].replayed)
        self.assertEqual(self.put(letter(4, key=key(digest=b"2")), since=5.1)[0].message_id, "m3")
        self.assertEqual(self.waiting(), ["m1", "m3"])

    def test_find(self) -> None:
        """Looking for a key keeps nothing, and finds what putting would."""
        self.assertIsNone(self.outcome(self.store.find(letter(1, key=key()), 0.0)))
        (first,) = self.put(letter(1, time=5.0, key=key()))
        found = self.outcome(self.store.find(letter(2, key=key()), 0.0))
        self.assertEqual(found, msgspec.structs.replace(first, replayed=True, receipt=0))
        refused = self.settle(self.store.find(letter(2, key=key(digest=b"2")), 0.0))
        self.failureResultOf(refused, Conflict)  # type: ignore[attr-defined]
        for other in (letter(2), letter(2, key=key("l"))):
            self.assertIsNone(self.outcome(self.store.find(other, 0.0)))
        self.assertIsNone(self.outcome(self.store.find(letter(2, key=key()), 5.1)))
        self.assertEqual(self.waiting(), ["m1"])


class ClimbingTests(StoreCase):
    """What becomes of letters."""

    def test_up_only(self) -> None:
        """A step that leads up is taken down, with time and detail; any other changes nothing."""
        self.put(letter(1, receipts=True))
        for number, (status, taken, stands) in enumerate((
            ("sent", True, "sent"), ("sent", False, "sent"), ("started", True, "started"),
            ("received", False, "started"), ("done", True, "done"), ("expired", False, "done"),
            ("failed", False, "done"), ("received", False, "done"),
        )):  # fmt: skip
            (transition,) = self.record(outcome(1, status, time=10.0 + number, detail=f"d{number}"))
            self.assertEqual((transition.taken, transition.status, transition.sender), (taken, stands, "a"), status)
            self.assertEqual(bool(transition.receipt), taken)
        self.reopen()
        delivery = self.outcome(self.store.delivery("m1"))
        self.assertEqual((delivery.recipient, delivery.sender, delivery.status, delivery.expires_at),
                         ("b", "a", "done", 100.0))  # fmt: skip
        expected = [("queued", 1.0, None), ("sent", 10.0, "d0"), ("started", 12.0, "d2"), ("done", 14.0, "d4")]
        self.assertEqual(delivery.receipts, [
            Receipt(message_id="m1", recipient="b", status=status, time=time, detail=detail)
            for status, time, detail in expected
        ])  # fmt: skip

    def test_whose(self) -> None:
        """Nobody takes down anything for another's letter, or for one that is not there."""
        self.put(letter(1))
        outcomes = self.record(outcome(1, "done", to="c", settles=True), outcome(2, "done", settles=True))
        self.assertEqual([(each.status, each.taken, each.settled) for each in outcomes], [(None, False, False)] * 2)
        self.assertEqual((self.waiting(), self.ladder()), (["m1"], ["queued"]))

    def test_settles_once(self) -> None:
        """A letter is taken out of its mailbox once, with its size, even by a step that leads nowhere."""
        self.put(letter(1, message=b"12345"))
        self.record(outcome(1, "received"))
        outcomes = self.record(outcome(1, "sent", settles=True), outcome(1, "done", settles=True))
        self.assertEqual([(each.taken, each.settled) for each in outcomes], [(False, True), (True, False)])
        self.assertEqual(outcomes[0].size, 5)

    def test_dead_letters(self) -> None:
        """What came to nothing keeps its text, newest first, with why and when; what came to something does not."""
        self.put(*(letter(n, to="bc"[n % 2], expires_at=10.0 * n) for n in range(1, 7)))
        self.record(outcome(2, "failed", 51.0, detail="no", settles=True), outcome(4, "done", settles=True))
        self.record(outcome(6, "received", settles=True))
        self.record(outcome(6, "failed", settles=True))
        transition, following = self.outcome(self.store.expire(30.0))
        self.assertEqual([(each.outcome.message_id, each.status, each.settled, each.size) for each in transition],
                         [("m1", "expired", True, 1), ("m3", "expired", True, 1)])  # fmt: skip
        self.assertEqual(following, 50.0)
        self.reopen()
        self.assertEqual((self.dead(), self.dead(limit=1)), ((["m3", "m2", "m1"], 3), (["m3"], 3)))
        self.assertEqual((self.dead("b"), self.dead("x")), ((["m2"], 1), ([], 0)))
        self.assertEqual(self.dead(limit=1, shown="c".__eq__), (["m3"], 2))
        self.assertEqual((self.dead("b", shown="c".__eq__), self.dead(shown="b".__eq__)), (([], 0), (["m2"], 1)))
        (found,), _ = self.outcome(self.store.dead("b", 9))
        self.assertEqual((found.letter.message, found.status, found.time, found.detail), (b"2", "failed", 51.0, "no"))

    def test_expire(self) -> None:
        """What has waited until its time is over, also when it was sent; what was received is not."""
        self.put(letter(1, expires_at=10.0), letter(2, expires_at=10.0), letter(3, expires_at=10.5))
        self.record(outcome(1, "sent"), outcome(2, "received", settles=True))
        self.assertEqual(self.outcome(self.store.expire(9.9)), ([], 10.0))
        transition, following = self.outcome(self.store.expire(10.0))
        self.assertEqual(([each.outcome.message_id for each in transition], following), (["m1"], 10.5))
        self.assertEqual((self.waiting(), self.ladder()), (["m3"], ["queued", "sent", "expired"]))

    def test_attempts(self) -> None:
        """How often a letter was brought is counted on disk, and so are attempts that failed: so many of these and what
        was to follow does, as a whole; of what is over, or another's, nothing is counted.
        """
        self.put(letter(1, receipts=True), letter(2))
        for _ in range(2):
            self.record(outcome(1, "sent", brought=True))
        self.reopen()
        self.assertEqual([each.attempts for each in self.outcome(self.store.waiting("b", 0, 9, 0.0))], [2, 0])
        self.assertEqual([each.attempts for each in self.outcome(self.store.letters(["m1"]))], [2])
        dead = outcome(1, "failed", detail="3 times", settles=True, after=3)
        self.record(dead, msgspec.structs.replace(dead, recipient="c"))
        self.reopen()
        transitions = self.record(dead, dead, dead)
        self.assertEqual([(one.taken, one.settled, one.waits, one.status) for one in transitions],
                         [(False, False, True, "sent"), (True, True, False, "failed"),
                          (False, False, False, "failed")])  # fmt: skip
        self.assertEqual(
            (self.ladder(), self.waiting(), self.dead()), (["queued", "sent", "failed"], ["m2"], (["m1"], 1))
        )
        (found,), _ = self.outcome(self.store.dead("b", 9))
        self.assertEqual((found.letter.attempts, found.detail), (2, "3 times"))

    def test_at_it(self) -> None:
        """A letter whose work has begun waits still, until a date at least; then it expires as others do."""
        self.put(letter(1, expires_at=10.0), letter(2, expires_at=90.0))
        (one, two) = self.record(outcome(1, "started", until=50.0), outcome(2, "started", until=50.0))
        self.assertEqual([(each.taken, each.settled, each.waits) for each in (one, two)], [(True, False, True)] * 2)
        self.assertEqual((self.outcome(self.store.expire(49.0)), self.waiting(now=49.0)), (([], 50.0), ["m1", "m2"]))
        (over,), following = self.outcome(self.store.expire(50.0))
        self.assertEqual((over.outcome.message_id, over.status, over.settled, following), ("m1", "expired", True, 90.0))
        (done,) = self.record(outcome(2, "done", until=99.0, settles=True))
        self.assertEqual((done.settled, done.waits, self.dead()), (True, False, (["m1"], 1)))

    def test_dead_letters_before(self) -> None:
        """Those before a letter, dead or not, are older than it; of one that nobody knows there is no before."""
        self.put(*(letter(n) for n in range(1, 6)))
        self.record(*(outcome(n, "failed", settles=True) for n in (1, 2, 4, 5)))
        for number, older in ((5, ["m4", "m2", "m1"]), (3, ["m2", "m1"]), (1, [])):
            found, total = self.outcome(self.store.dead(None, 9, None, f"m{number}"))
            self.assertEqual(([each.letter.message_id for each in found], total), (older, 4))
        self.assertIsNone(self.outcome(self.store.dead(None, 9, None, "m9")))

    def test_revive(self) -> None:
        """A dead letter waits again, as long and as often as a new one, in its old place; nothing else does."""
        self.put(letter(1, receipts=True), letter(2), letter(3))
        self.unreported()
        dead = outcome(1, "failed", settles=True, after=2)
        self.record(outcome(1, "sent", brought=True), dead, dead, outcome(3, "done", settles=True))
        self.assertEqual(self.unreported(), [("m1", "sent"), ("m1", "failed")])
        for name in ("m2", "m3", "m9"):
            self.assertIsNone(self.outcome(self.store.revive(name, 60.0, 200.0)))
        found, changed = self.outcome(self.store.revive("m1", 60.0, 200.0))
        self.assertEqual((found.message, found.attempts, found.expires_at, found.sequence), (b"1", 1, 200.0, 1))
        self.assertEqual((changed.status, changed.sender, changed.taken, changed.settled), ("queued", "a", True, False))
        self.assertTrue(changed.receipt)
        self.assertIsNone(self.outcome(self.store.revive("m1", 60.0, 200.0)))
        self.reopen()
        self.assertEqual(
            (self.waiting(now=150.0), self.dead(), self.unreported()), (["m1"], ([], 0), [("m1", "queued")])
        )
        self.assertEqual([each.taken for each in self.record(dead, dead)], [False, True])
        self.assertEqual(self.ladder(), ["queued", "sent", "failed", "queued", "failed"])

    def test_discard(self) -> None:
        """A dead letter, or a number of those to one, lose their text; what became of them is known still."""
        self.put(*(letter(n, to="bc"[n == 5]) for n in range(1, 7)))
        self.record(*(outcome(n, "failed", to="bc"[n == 5], settles=True) for n in range(1, 6)))
        discarded = [("m2", None, 9, 1), ("m2", None, 9, 0), ("m6", None, 9, 0), ("x", None, 9, 0),
                     (None, "b", 2, 2), (None, "b", 2, 1), (None, "b", 2, 0)]  # fmt: skip
        for name, recipient, limit, count in discarded:
            self.assertEqual(self.outcome(self.store.discard(name, recipient, limit)), count, (name, recipient))
        self.reopen()
        self.assertEqual((self.dead(), self.waiting(), self.ladder(2)), ((["m5"], 1), ["m6"], ["queued", "failed"]))

    def test_recalled(self) -> None:
        """What is queued is taken out of its mailbox, without its text; what was sent stays."""
        self.put(letter(1), letter(2))
        self.record(outcome(2, "sent"))
        one, two = self.record(outcome(1, "recalled", settles=True), outcome(2, "recalled", settles=True))
        self.assertEqual((one.taken, one.settled, one.status), (True, True, "recalled"))
        self.assertEqual((two.taken, two.settled, two.waits, two.status), (False, False, True, "sent"))
        self.assertEqual((self.waiting(), self.dead()), (["m2"], ([], 0)))

    def test_shift(self) -> None:
        """What waits expires so much later, or sooner; what is over does not wait again."""
        self.put(letter(1, expires_at=10.0), letter(2, expires_at=12.0), letter(3, expires_at=10.0))
        self.record(outcome(3, "done", settles=True))
        for seconds, first in ((100.0, 110.0), (-105.0, 5.0)):
            self.outcome(self.store.shift(seconds))
            self.assertEqual(self.outcome(self.store.expire(first - 0.1)), ([], first))
        transition, following = self.outcome(self.store.expire(5.0))
        self.assertEqual(([each.outcome.message_id for each in transition], following), (["m1"], 7.0))

    def test_purge(self) -> None:
        """What is over long enough is forgotten, what came to nothing later, what waits never."""
        self.put(*(letter(n, receipts=True) for n in range(1, 6)))
        self.record(outcome(1, "done", 10.0, settles=True), outcome(2, "failed", 10.0, settles=True))
        self.record(outcome(3, "done", 30.0, settles=True), outcome(4, "failed", 5.0, settles=True))
        self.outcome(self.store.purge(20.0, 8.0, FAR, 0.0, FAR))
        self.assertEqual([n for n in range(1, 6) if self.ladder(n)], [2, 3, 5])
        self.assertEqual((self.dead(), self.waiting()), ((["m2"], 1), ["m5"]))
        self.assertEqual({name for name, _ in self.unreported()}, {"m2", "m3", "m5"})

    def test_purge_what_is_too_much(self) -> None:
        """Of what is over the newest are kept, so many, also of those that were settled in one moment."""
        self.put(*(letter(n) for n in range(1, 8)))
        for number in range(1, 7):
            self.record(outcome(number, "done", 10.0 if number < 5 else 11.0, settles=True))
        for keep, left in ((9, 6), (4, 4), (3, 3), (1, 1), (0, 0)):
            self.outcome(self.store.purge(0.0, 0.0, keep, 0.0, FAR))
            known = [n for n in range(1, 7) if self.ladder(n)]
            self.assertEqual(known, [1, 2, 3, 4, 5, 6][6 - left :], keep)
        self.assertEqual(self.waiting(), ["m7"])

    def test_holders(self) -> None:
        """Who was here is kept with when that was noted last, the longest ago first; the latest so many of them."""
        for name, time in (("b", 1.0), ("a", 2.0), ("c", 3.0), ("b", 4.0)):
            self.outcome(self.store.saw(name, time))
        self.reopen()
        self.assertEqual(list(self.store.load().holders.items()), [("a", 2.0), ("c", 3.0), ("b", 4.0)])
        self.outcome(self.store.purge(0.0, 0.0, FAR, 3.0, FAR))
        self.reopen()
        self.assertEqual(list(self.store.load().holders), ["c", "b"])
        self.outcome(self.store.purge(0.0, 0.0, FAR, 0.0, 1))
        self.reopen()
        self.assertEqual(list(self.store.load().holders), ["b"])


class ReceiptTests(StoreCase):
    """Receipts that senders are to be told of."""

    def fill(self) -> list[int]:
        """Two letters whose sender asked for receipts, and others.

        @return: the numbers of the four receipts.
        """
        kept = self.put(letter(1, receipts=True), letter(2), letter(3, by="x", receipts=True), letter(4, receipts=True))
        transition = self.record(outcome(1, "sent"), outcome(2, "sent"), outcome(4, "done", settles=True))
        self.assertEqual(transition[1].receipt, 0)
        return [kept[0].receipt, kept[3].receipt, transition[0].receipt, transition[2].receipt]

    ALL = (("m1", "queued"), ("m4", "queued"), ("m1", "sent"), ("m4", "done"))

    def test_unreported(self) -> None:
        """They are taken in order, so many at once, each once; only those that were asked for, by their sender."""
        self.fill()
        self.assertEqual(
            [self.unreported(limit=3), self.unreported(), self.unreported()], [list(self.ALL[:3]), [self.ALL[3]], []]
        )
        self.assertEqual(self.unreported("x"), [("m3", "queued")])

    def test_mark_reported(self) -> None:
        """What was reported is not taken."""
        numbers = self.fill()
        self.outcome(self.store.mark_reported([numbers[0], numbers[3]], 50.0))
        self.reopen()
        self.assertEqual(self.unreported(), [self.ALL[1], self.ALL[2]])

    def test_mark_unreported(self) -> None:
        """What was reported since a moment is taken again; what was before is not, nor what nobody asked for."""
        numbers = self.fill()
        self.outcome(self.store.mark_reported([numbers[0]], 49.9))
        self.outcome(self.store.mark_reported(numbers[1:3], 50.0))
        self.unreported(now=51.0)
        self.unreported("x")
        for since, again in ((51.1, []), (50.0, list(self.ALL[1:])), (51.0, [])):
            self.outcome(self.store.mark_unreported("a", since))
            self.assertEqual(self.unreported(now=50.5), again, since)
        self.assertEqual(self.unreported("x"), [])

    def test_last_reports(self) -> None:
        """What was reported in the minute before the last report is reported again by the next process."""
        numbers = self.fill()
        for number, time in zip(numbers, (10.0, 39.9, 40.0, 100.0), strict=True):
            self.outcome(self.store.mark_reported([number], time))
        self.reopen()
        self.assertGreaterEqual(self.store.load().newest_report, 39.9)
        self.assertEqual((self.unreported(), self.unreported("x")), ([self.ALL[2], self.ALL[3]], [("m3", "queued")]))


class AllTests(LetterTests, KeyTests, ClimbingTests, ReceiptTests):
    """What every engine keeps its word on."""


class MemoryMailStoreTests(AllTests, SynchronousTestCase):
    """L{MemoryMailStore}."""

    def setUp(self) -> None:
        self.store = MemoryMailStore()

    def test_held(self) -> None:
        """While it is held nothing is kept or told; then all is, in order, and what is asked for by that comes last."""
        self.store.held = True
        seen: list[Any] = []
        for number in (1, 2):
            asked = self.store.put(letter(number), 0.0)
            asked.addCallback(lambda kept: self.store.waiting("b", kept.sequence, 9, 0.0).addCallback(seen.append))
            asked.addCallback(lambda kept: seen.append("kept"))
        self.store.held = False
        self.assertEqual(seen, [])
        self.store.release()
        self.assertEqual([each if each == "kept" else len(each) for each in seen], [1, "kept", 0, "kept"])

    def test_broken(self) -> None:
        """A broken store does nothing; once it is whole again it goes on."""
        self.store.broken = True
        self.failureResultOf(self.store.put(letter(1), 0.0), Unavailable)
        self.store.broken = False
        self.put(letter(2))
        self.assertEqual(self.waiting(), ["m2"])


class SQLiteMailStoreTests(AllTests, SynchronousTestCase):
    """L{SQLiteMailStore}."""

    def setUp(self) -> None:
        self.path, self.reactor = Path(self.mktemp()), QueueReactor()
        self.open()

    def open(self) -> None:
        self.database = Database(self.path, self.reactor)
        self.database.open()
        self.addCleanup(self.database.close)
        self.store = SQLiteMailStore(self.database, Room(self.database, 1 << 40, 1 << 40))

    def reopen(self) -> None:
        self.database.close()
        self.open()

    def settle(self, deferred: Deferred[Any]) -> Deferred[Any]:
        self.reactor.run_until_fired(deferred)
        return deferred

    def execute(self, statement: str) -> Any:
        return self.outcome(self.database.write(lambda connection: connection.execute(statement).fetchall()))

    def breaks(self, on: str) -> None:
        """From now on the disk has no room."""
        self.execute(f"CREATE TRIGGER full BEFORE {on} BEGIN SELECT RAISE(ROLLBACK, 'full'); END")

    def test_slices_are_bounded(self) -> None:
        """So many bytes are read at once, and one letter at least."""
        self.put(*(letter(n, message=b"x" * (READ_BYTES // 2)) for n in range(1, 6)))
        self.assertEqual(len(self.waiting()), 3)
        self.assertEqual(len(self.outcome(self.store.letters([f"m{n}" for n in range(1, 6)]))), 3)

    def test_text_is_dropped(self) -> None:
        """Of what is over only the facts stay on disk, unless it came to nothing."""
        self.put(letter(1), letter(2), letter(3, expires_at=5.0))
        self.record(outcome(1, "sent", settles=True), outcome(2, "failed", settles=True))
        self.outcome(self.store.expire(5.0))
        self.assertEqual(self.execute("SELECT message FROM letters"), [(b"",), (b"2",), (b"3",)])

    def test_failures(self) -> None:
        """A write that fails says so and leaves nothing half done; what was there is there still."""
        self.put(letter(1, receipts=True, expires_at=5.0), letter(2, receipts=True))
        for on, ask in (
            ("INSERT ON receipts", lambda: self.store.put(letter(3), 0.0)),
            ("UPDATE ON letters", lambda: self.store.record([outcome(1, "sent", settles=True)])),
            ("UPDATE ON letters", lambda: self.store.expire(9.0)),
            ("UPDATE ON receipts", lambda: self.store.take_unreported("a", 9, 9.0)),
            ("DELETE ON holders", lambda: self.store.purge(FAR, FAR, 0, FAR, 0)),
        ):  # fmt: skip
            self.outcome(self.store.saw("a", 1.0))
            self.breaks(on)
            asked = ask()
            self.failureResultOf(self.settle(asked), Unavailable)
            self.flushLoggedErrors(sqlite3.Error)
            self.execute("DROP TRIGGER full")
            self.assertEqual((self.waiting(), self.ladder(1), self.ladder(3)), (["m1", "m2"], ["queued"], None), on)
        self.assertEqual(self.unreported(), [("m1", "queued"), ("m2", "queued")])

    def test_load_without_room(self) -> None:
        """When the disk takes nothing at the start that is one line: which file it is, and what is wrong."""
        self.put(letter(1, receipts=True))
        self.unreported()
        self.breaks("UPDATE ON receipts")
        self.reopen()
        said = str(self.assertRaises(EngineError, self.store.load))
        self.assertIn(f"{self.path} can't be used", said)
        self.assertNotIn("\n", said)

    def test_closed(self) -> None:
        """Once the file is closed everything is refused."""
        self.database.close()
        for asked in (self.store.put(letter(), 0.0), self.store.record([]), self.store.waiting("b", 0, 1, 0.0)):
            self.failureResultOf(asked, Unavailable)
