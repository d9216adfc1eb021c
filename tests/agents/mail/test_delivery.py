"""Mailboxes: what waits, in which order it comes, and what happens while the disk is slow or broken."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from cell0gw.agents.mail import delivery as mailboxes
from cell0gw.agents.mail import mailbox
from cell0gw.agents.mail.delivery import Mailboxes
from cell0gw.agents.mail.quotas import Quotas
from cell0gw.agents.mail.receipts import Receipts
from cell0gw.agents.mail.status import Acknowledgement
from cell0gw.agents.mail.store import LAST_REPORTS, Letter
from cell0gw.config.options import Config
from cell0gw.engines.memory.mail import MemoryMailStore
from cell0gw.presence.directory import Directory
from cell0gw.presence.entity import Statement
from cell0gw.protocol.errors import NotFound, RateLimited, Unavailable
from cell0gw.protocol.limits import Limits
from cell0gw.sessions.ending import Ending, EndingKind, closed
from cell0gw.sessions.observers import ISessionObserver
from cell0gw.sessions.session import Session
from cell0gw.sessions.terms import USUAL
from cell0gw.testing import EPOCH
from cell0gw.testing.stated import stated
from tests.presence.test_directory import make_session

PATIENCE = 1000.0

RESEND_AFTER = USUAL.ack_wait

LIMIT = Limits().outbound_limit


def content(message: bytes) -> dict[str, Any]:
    """The params of a notification."""
    return dict(json.loads(message)["params"])


class OfficeCase(SynchronousTestCase):
    """Mailboxes and receipts on a store that is as quick as the test says, and sessions as it opens them."""

    limits = Config().mail_limits

    def setUp(self) -> None:
        self.store = MemoryMailStore()
        self.numbers = itertools.count(1)
        self.clock = Clock()
        self.clock.rightNow = EPOCH
        self.ahead = 0.0
        self.start()

    def start(self) -> None:
        """A process that finds what the store has."""
        runtime = stated(self.clock, lambda: self.clock.seconds() + self.ahead)
        self.dates = runtime.dates
        self.directory = Directory(float, lambda *event: None)
        self.receipts = Receipts(self.store, self.directory, self.clock, LAST_REPORTS)
        self.quotas = Quotas(self.limits)
        most = self.limits.max_attempts
        self.boxes = Mailboxes(self.store, self.directory, self.receipts, self.quotas, runtime, most)
        stored = self.store.load()
        self.boxes.load(stored)
        self.receipts.load(stored.unreported, stored.newest_report)
        self.observers = (self.directory, self.receipts, self.boxes)

    def open(self, entity_id: str = "b", *capabilities: str) -> Session:
        session = make_session(f"sess_{next(self.numbers)}", entity_id, at=self.clock.seconds())
        self.directory.introduce(session, Statement(capabilities=capabilities))
        for observer in self.observers:
            observer.session_opened(session)
        self.clock.advance(0)
        return session

    def lose(self, session: Session) -> None:
        """Its connection breaks."""
        session.detached = True
        for observer in self.observers:
            observer.session_detached(session, Ending(EndingKind.LOST))

    def close(self, session: Session, code: int | None = 1000, by_gateway: bool = False) -> None:
        """Its connection is closed: it says goodbye."""
        for observer in self.observers:
            observer.session_closed(session, closed(code, by_gateway))

    def put(self, number: int = 1, to: str = "b", by: str = "a", ttl: float = PATIENCE, **facts: Any) -> Deferred[Any]:
        now = self.clock.seconds()
        letter = Letter(
            message_id=f"msg_{number}", recipient=to, sender=by, sender_type="agent", conversation_id="conv_1",
            in_reply_to=None, hops=0, message=b"%d" % number, time=now, expires_at=now + ttl,
        )  # fmt: skip
        return self.boxes.put(msgspec.structs.replace(letter, **facts), 0.0)

    def fill(self, numbers: Iterable[int], **facts: Any) -> None:
        for number in numbers:
            self.successResultOf(self.put(number, **facts))

    def ack(self, number: int, status: Acknowledgement = "received", by: str = "b") -> Deferred[Any]:
        session = self.directory.route(by) or make_session("sess_gone", by)
        return self.boxes.acknowledge(session, f"msg_{number}", status, None)

    def wait(self, seconds: float = 1.0) -> None:
        """Time passes, and someone looks once a second."""
        for _ in range(int(seconds)):
            self.clock.advance(1)
            self.dates.sweep()
            self.boxes.sweep()
            self.receipts.sweep()

    def got(self, session: Session) -> list[int]:
        connection: Any = session.connection
        return [content(message)["message"] for message in connection.messages]

    def told(self, session: Session) -> list[str]:
        self.clock.advance(0)
        connection: Any = session.connection
        return [params["status"] for method, params in connection.notifications if method == "agent.receipt"]

    def nothing_waits(self) -> None:
        """All that was counted is given back, and nobody has a mailbox."""
        self.assertEqual((self.boxes.waiting.messages, self.boxes.waiting.size, len(self.boxes)), (0, 0, 0))
        self.assertEqual((self.quotas._of_recipient, dict(self.quotas._of_sender)), ({}, {}))
        self.assertEqual((len(self.boxes._leases), self.boxes._recording.unrecorded), (0, []))


class OrderTests(OfficeCase):
    """In which order mail comes."""

    def test_interface(self) -> None:
        """Mailboxes hear of sessions."""
        verifyObject(ISessionObserver, self.boxes)

    def test_waiting_then_live(self) -> None:
        """What waited comes first, in the order of its keeping, whoever sent it; then what is sent meanwhile."""
        for number, sender in enumerate("acac", 1):
            self.fill([number], by=sender)
        session = self.open()
        self.fill([5], by="c")
        self.assertEqual(self.got(session), [1, 2, 3, 4, 5])
        self.nothing_waits()

    def test_slow_disk(self) -> None:
        """However slow the disk is, nothing overtakes: neither what waits, nor what is sent while that is read."""
        self.fill([1, 2])
        self.store.held = True
        asked = [self.put(3, by="c")]
        session = self.open()
        asked.append(self.put(4))
        self.store.release()
        asked.append(self.put(5, by="c"))
        for _ in range(9):
            self.store.release()
        self.assertEqual(self.got(session), [1, 2, 3, 4, 5])
        self.assertEqual({self.successResultOf(each).status for each in asked}, {"queued"})
        self.nothing_waits()

    def test_in_slices(self) -> None:
        """A long queue is read piece by piece, and what is sent meanwhile waits for its turn."""
        self.patch(mailboxes, "SLICE", 3)
        self.fill(range(1, 9))
        self.store.held = True
        session = self.open()
        self.store.release()
        self.assertEqual(self.got(session), [1, 2, 3])
        self.put(9)
        for _ in range(9):
            self.store.release()
        self.assertEqual(self.got(session), list(range(1, 10)))
        self.nothing_waits()

    def test_gone_while_it_was_read(self) -> None:
        """Mail that was read for one who has gone meanwhile waits still."""
        self.fill([1, 2])
        self.store.held = True
        self.close(self.open())
        self.store.release()
        self.store.held = False
        self.store.release()
        self.assertEqual(self.got(self.open()), [1, 2])

    def test_next_process(self) -> None:
        """What waited, or was not acknowledged, comes from the next process, and is counted by it."""
        session = self.open("b", "ack")
        self.fill([1, 2, 3])
        self.ack(2)
        self.start()
        self.assertEqual((self.boxes.waiting.messages, self.boxes.waiting.size), (2, 2))
        again = self.open("b", "ack")
        self.fill([4])
        self.assertEqual((self.got(session), self.got(again)), ([1, 2, 3], [1, 3, 4]))
        for number in (1, 3, 4):
            self.successResultOf(self.ack(number))
        self.nothing_waits()


class AcknowledgingTests(OfficeCase):
    """Who acknowledges what it gets."""

    def test_lost_while_the_disk_was_asked(self) -> None:
        """A connection that breaks while the disk is asked whether there is more has its mail brought to the next."""
        self.fill([1, 2])
        first = self.open("b", "ack")
        self.ack(1)
        self.store.held = True
        self.lose(first)  # asks for what it has not acknowledged
        second = self.open("b", "ack")
        self.store.release()  # 2 comes, and more is asked for
        self.store.release()
        self.assertEqual(self.got(second), [2])
        self.lose(second)
        for _ in range(9):
            self.store.release()
        self.assertEqual(self.got(self.open("b", "ack")), [])
        for _ in range(9):
            self.store.release()
        third = self.directory.route("b")
        assert third is not None
        self.assertEqual(self.got(third), [2])

    def test_lost_while_more_was_read(self) -> None:
        """What was read before a connection broke does not overtake what has to be brought again."""
        self.patch(mailboxes, "SLICE", 2)
        self.fill([1, 2, 3, 4])
        self.store.held = True
        first = self.open("b", "ack")
        self.store.release()
        self.store.release()
        self.assertEqual(self.got(first), [1, 2])
        second = self.open("b", "ack")
        self.lose(first)
        for _ in range(9):
            self.store.release()
        self.assertEqual(self.got(second), [1, 2, 3, 4])

    def test_two_sessions(self) -> None:
        """When one of two sessions breaks, only what was sent by that one comes again."""
        first = self.open("b", "ack")
        self.fill([1, 2])
        second = self.open("b", "ack")
        self.fill([3])
        self.lose(first)
        self.fill([4])
        self.assertEqual((self.got(first), self.got(second)), ([1, 2], [3, 1, 2, 4]))

    def test_sent_again_before_what_was_lost(self) -> None:
        """That one message is due again does not let another be forgotten that has to be brought again first."""
        first = self.open("b", "ack")
        self.fill([1])
        self.clock.advance(1)
        second = self.open("b", "ack")
        self.fill([2])
        self.store.broken = True
        self.lose(first)
        self.boxes._stalled.clear()  # the disk is tried after what is due, this once
        self.clock.advance(RESEND_AFTER)
        self.store.broken = False
        self.boxes.sweep()
        self.assertEqual(self.got(second), [2, 2])
        self.lose(second)
        self.assertEqual(self.got(self.open("b", "ack")), [1, 2])

    def test_sent_again_beside_one_who_does_not(self) -> None:
        """What is due again goes to those that acknowledge, and nothing else is forgotten for that."""
        first = self.open("b", "ack")
        self.fill([1])
        self.clock.advance(1)
        second = self.open("b", "ack")
        self.fill([2, 3])
        plain = self.open()
        self.store.broken = True
        self.lose(first)
        self.clock.advance(RESEND_AFTER)
        self.store.broken = False
        self.wait(2)
        self.assertEqual((sorted(self.got(second)), self.got(plain)), ([1, 2, 2, 3, 3], []))
        self.assertEqual(self.boxes.waiting.messages, 3)

    def test_full_window_and_one_who_does_not(self) -> None:
        """Mail waits for acknowledgements although one is here who doesn't acknowledge."""
        self.patch(mailbox, "WINDOW", 2)
        worker = self.open("b", "ack")
        self.fill([1, 2, 3])
        plain = self.open()
        self.fill([4])
        self.wait()
        self.assertEqual((self.got(worker), self.got(plain)), ([1, 2], []))
        self.ack(1)
        self.assertEqual((self.got(worker), self.got(plain)), ([1, 2, 3], []))

    def test_at_most_so_many(self) -> None:
        """As many as are acknowledged come anew, those that are brought again counted."""
        self.patch(mailbox, "WINDOW", 3)
        self.fill(range(1, 8))
        first = self.open("b", "ack")
        self.assertEqual(self.got(first), [1, 2, 3])
        self.ack(2)
        self.assertEqual(self.got(first), [1, 2, 3, 4])
        self.lose(first)
        second = self.open("b", "ack")
        self.assertEqual(self.got(second), [1, 3, 4])
        self.wait(RESEND_AFTER)
        self.assertEqual(self.got(second), [1, 3, 4] * 2)
        for number in range(1, 8):
            self.ack(number)
        self.assertEqual(self.got(second)[6:], [5, 6, 7])
        self.nothing_waits()

    def test_acknowledged_by_whom(self) -> None:
        """Only the recipient acknowledges; a message that is over stays where it is."""
        self.open("b", "ack")
        self.fill([1])
        self.failureResultOf(self.ack(1, by="c"), NotFound)
        self.failureResultOf(self.ack(2), NotFound)
        for status, stands in (("started", "started"), ("received", "started"), ("done", "done"), ("failed", "done")):
            self.assertEqual(self.successResultOf(self.ack(1, status)).status, stands)
        self.nothing_waits()

    def test_acknowledged_while_it_is_read_again(self) -> None:
        """What is acknowledged before its next time is not sent again, however slow the disk is."""
        session = self.open("b", "ack")
        self.fill([1])
        self.store.held = True
        acknowledging = self.ack(1)
        self.wait(RESEND_AFTER + 1)
        for _ in range(9):
            self.store.release()
        self.successResultOf(acknowledging)
        self.assertEqual(self.got(session), [1])
        self.nothing_waits()


class PatienceTests(OfficeCase):
    """What waits too long."""

    def test_expired_on_the_way_to_the_disk(self) -> None:
        """What was too old when the disk was done is not brought any more."""
        session = self.open()
        self.store.held = True
        self.put(1, ttl=3)
        self.wait(5)
        self.store.held = False
        self.store.release()
        self.wait()
        self.assertEqual((self.got(session), self.boxes.expired), ([], 1))
        self.nothing_waits()

    def test_expired_on_the_way_from_the_disk(self) -> None:
        """What became too old while it was read is not brought; what follows it is."""
        self.fill([1], ttl=3)
        self.fill([2])
        self.store.held = True
        session = self.open()
        self.clock.advance(3)
        for _ in range(9):
            self.store.release()
        self.assertEqual(self.got(session), [2])

    def test_expired_when_due_again(self) -> None:
        """What was not acknowledged in time is not sent again, and nobody acknowledges it later."""
        session = self.open("b", "ack")
        self.fill([1], ttl=RESEND_AFTER)
        self.wait(2 * RESEND_AFTER)
        self.assertEqual(self.got(session), [1])
        self.assertEqual(self.successResultOf(self.ack(1)).status, "expired")
        self.nothing_waits()

    def test_one_after_the_other(self) -> None:
        """Each expires in its own time, whatever the order they came in; who has it keeps it."""
        self.fill([1], ttl=30)
        self.fill([2], ttl=10)
        self.fill([3], ttl=20, to="c")
        for seconds, expired in ((9, 0), (1, 1), (9, 1), (1, 2), (9, 2), (1, 3)):
            self.wait(seconds)
            self.assertEqual(self.boxes.expired, expired)
        self.nothing_waits()


class BrokenDiskTests(OfficeCase):
    """A disk that fails."""

    def test_put(self) -> None:
        """What could not be kept is refused, gives back its room, and is never brought."""
        self.store.held = True
        asked = self.put(1)
        self.assertEqual(self.boxes.waiting.messages, 1)
        self.store.broken = True
        self.store.release()
        self.failureResultOf(asked, Unavailable)
        self.nothing_waits()
        self.store.broken = self.store.held = False
        self.assertEqual(self.got(self.open()), [])

    def test_sent_and_not_taken_down(self) -> None:
        """What was sent to one who doesn't acknowledge is not sent again only because the disk did not hear of it."""
        self.fill([1])
        self.store.held = True
        session = self.open()
        self.store.release()
        self.store.broken = True
        self.store.release()
        self.assertEqual(self.got(session), [1])
        self.lose(session)
        other = self.open()
        self.store.broken = self.store.held = False
        self.store.release()
        self.wait(2)
        self.assertEqual(self.got(other), [])
        self.nothing_waits()

    def test_a_mailbox_of_the_past(self) -> None:
        """A mailbox that could not be read, and was emptied, brings nothing of the one that has taken its place."""
        first = self.open("b", "ack")
        self.fill([1])
        self.store.held = True
        self.lose(first)
        second = self.open("b", "ack")
        self.ack(1)
        self.store.release()
        self.assertEqual(self.got(second), [1])
        self.store.broken = True
        self.store.release()
        self.store.broken = self.store.held = False
        self.store.release()
        self.fill([2])
        self.wait(RESEND_AFTER - 1)
        self.assertEqual(self.got(second), [1, 2])

    def test_works_again(self) -> None:
        """Once it works again everything comes that was kept, and all room is given back."""
        self.fill([1], ttl=5)
        self.fill([2, 3])
        self.store.broken = True
        session = self.open("b", "ack")
        self.wait(10)
        self.failureResultOf(self.ack(2), Unavailable)
        self.failureResultOf(self.put(4), Unavailable)
        self.store.broken = False
        self.wait(2)
        self.assertEqual((self.got(session), self.boxes.expired), ([2, 3], 1))
        for number in (2, 3):
            self.successResultOf(self.ack(number))
        self.nothing_waits()


class BoundsTests(OfficeCase):
    """How much may wait."""

    limits = Config(mailbox_messages=4).mail_limits

    def test_slow_reader(self) -> None:
        """Whoever does not read has its mail wait; an older session of theirs that does gets it."""
        slow: Any = self.open()
        slow.connection.backlog = LIMIT + 1
        self.fill([1])
        self.wait(3)
        self.assertEqual(self.got(slow), [])
        slow.connection.backlog = LIMIT
        self.wait()
        self.assertEqual(self.got(slow), [1])
        newer: Any = self.open()
        newer.connection.backlog = LIMIT + 1
        self.fill([2])
        self.assertEqual((self.got(slow), self.got(newer)), ([1, 2], []))

    def test_while_it_is_being_kept(self) -> None:
        """What the disk has not got yet counts, and what is sent counts until the disk knows of it."""
        self.store.held = True
        self.put(1)
        self.put(2)
        self.assertRaises(RateLimited, self.put, 3)
        self.open()
        self.store.release()
        self.assertRaises(RateLimited, self.put, 3)
        self.store.release()
        self.put(3)
        self.store.held = False
        self.store.release()
        self.nothing_waits()
