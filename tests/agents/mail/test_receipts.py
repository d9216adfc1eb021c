"""Receipts: every sender is told what became of its messages, in order, once; or again where a connection broke."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from zope.interface.verify import verifyObject

from cell0gw.agents.mail import receipts
from cell0gw.agents.mail.store import LAST_REPORTS
from cell0gw.protocol.errors import Unavailable
from cell0gw.sessions.observers import ISessionObserver
from cell0gw.sessions.session import Session
from tests.agents.mail.test_delivery import OfficeCase
from tests.presence.test_directory import make_session

WHOLE = ["queued", "sent", "received", "started", "done"]


class ReceiptCase(OfficeCase):
    """With a recipient that acknowledges, and a sender that wants receipts."""

    def setUp(self) -> None:
        super().setUp()
        self.open("b", "ack")

    def send(self, number: int = 1, by: str = "a") -> None:
        self.successResultOf(self.put(number, by=by, receipts=True))

    def advance(self, number: int = 1, *statuses: str) -> None:
        for status in statuses or ("received", "started", "done"):
            self.successResultOf(self.ack(number, status))

    def heard(self, session: Session) -> list[tuple[str, str]]:
        """Messages and statuses, in order."""
        self.clock.advance(0)
        connection: Any = session.connection
        return [(p["message_id"], p["status"]) for method, p in connection.notifications if method == "agent.receipt"]

    def let_go(self) -> None:
        """The disk is as quick as ever."""
        self.store.held = self.store.broken = False
        self.store.release()
        self.clock.advance(0)


class TellingTests(ReceiptCase):
    """Who is told."""

    def test_interface(self) -> None:
        """Receipts hear of sessions."""
        verifyObject(ISessionObserver, self.receipts)

    def test_ladder(self) -> None:
        """Every session of the sender that is here is told all, in order; sessions of others nothing."""
        sessions = [self.open("a"), self.open("a")]
        other = self.open("c")
        self.send()
        self.advance()
        self.assertEqual([self.told(each) for each in sessions], [WHOLE, WHOLE])
        self.assertEqual(self.told(other), [])
        self.wait(2 * LAST_REPORTS)
        self.assertEqual(self.told(sessions[0]), WHOLE)

    def test_after_the_answer(self) -> None:
        """A receipt comes in a later turn than the answer that it belongs to."""
        sender: Any = self.open("a")
        self.send()
        self.assertEqual(sender.connection.notifications, [])
        self.assertEqual(self.told(sender), ["queued", "sent"])

    def test_what(self) -> None:
        """A receipt says of what, by whom, when and why; without a why it says none."""
        sender: Any = self.open("a")
        self.send()
        self.clock.advance(2)
        self.boxes.acknowledge(make_session("sess_b", "b"), "msg_1", "failed", "no")
        self.clock.advance(0)
        said = [params for _, params in sender.connection.notifications]
        self.assertEqual(said[0], {"message_id": "msg_1", "agent_id": "b", "status": "queued",
                                   "timestamp": "2026-02-12T10:30:00.000Z"})  # fmt: skip
        self.assertEqual(said[2], {"message_id": "msg_1", "agent_id": "b", "status": "failed", "detail": "no",
                                   "timestamp": "2026-02-12T10:30:02.000Z"})  # fmt: skip

    def test_unasked(self) -> None:
        """Who asked for none is told nothing, now or later."""
        sender = self.open("a")
        self.fill([1])
        self.advance()
        self.lose(sender)
        self.assertEqual((self.told(sender), self.told(self.open("a"))), ([], []))

    def test_while_away(self) -> None:
        """Who was away is told all when it is back, once, however much it is."""
        self.patch(receipts, "SLICE", 3)
        for number in (1, 2):
            self.send(number)
            self.advance(number)
        first = self.open("a")
        second = self.open("a")
        expected = [(f"msg_{number}", status) for number in (1, 2) for status in WHOLE]
        self.assertEqual((self.heard(first), self.heard(second)), (expected, []))

    def test_next_process(self) -> None:
        """The next process tells what a sender was not told, or in the last minute, and nothing else again."""
        sender = self.open("a")
        self.send(1)
        self.told(sender)
        self.wait(LAST_REPORTS + 2)
        self.send(2)
        self.told(sender)
        self.wait()
        self.close(sender)
        self.advance(2)
        self.start()
        self.assertEqual(self.heard(self.open("a")), [("msg_2", status) for status in WHOLE])


class BreakingTests(ReceiptCase):
    """Connections that break."""

    def test_lost_while_the_rest_was_looked_for(self) -> None:
        """What a connection lost while the disk was asked for more is told the next one, though there was no more."""
        self.send()
        self.advance()
        self.wait()
        self.store.held = True
        first = self.open("a")
        self.store.release()  # all of it, and whether there is more is asked
        self.assertEqual(self.told(first), WHOLE)
        self.lose(first)
        for _ in range(9):
            self.store.release()
        self.store.held = False
        self.assertEqual(self.told(self.open("a")), WHOLE)

    def test_told_again(self) -> None:
        """What a connection was told within a minute before it broke is told again; what was told earlier is not."""
        sender = self.open("a")
        self.send()
        self.told(sender)
        self.wait(LAST_REPORTS + 1)
        self.advance(1, "received")
        self.told(sender)
        self.wait(LAST_REPORTS - 2)
        self.lose(sender)
        back = self.open("a")
        self.assertEqual(self.told(back), ["received"])
        self.lose(back)
        self.assertEqual(self.told(self.open("a")), ["received"])

    def test_not_after_a_goodbye(self) -> None:
        """Who says goodbye has read all."""
        for number, code in enumerate((1000, None)):
            sender = self.open("a")
            self.send(number)
            self.told(sender)
            self.close(sender, code)
            self.assertEqual(self.told(self.open("a")), [])

    def test_no_goodbye(self) -> None:
        """A session that ends otherwise, without being waited for, may have missed something."""
        sender = self.open("a")
        self.send()
        self.told(sender)
        self.close(sender, 4002, by_gateway=True)
        self.assertEqual(self.told(self.open("a")), ["queued", "sent"])

    def test_a_goodbye_and_then_a_break(self) -> None:
        """What was read before a goodbye is not told again because a later connection broke."""
        first = self.open("a")
        self.send(1)
        self.told(first)
        self.wait()
        self.close(first)
        self.clock.advance(1)
        second = self.open("a")
        self.send(2)
        self.told(second)
        self.lose(second)
        self.assertEqual(self.heard(self.open("a")), [("msg_2", "queued"), ("msg_2", "sent")])

    def test_one_of_two(self) -> None:
        """When one of two sessions breaks nothing is left out for the other, and all is in order."""
        first, second = self.open("a"), self.open("a")
        self.send()
        self.told(first)
        self.lose(first)
        self.advance()
        self.assertEqual(self.told(second)[-5:], WHOLE)

    def test_gone_before_the_turn(self) -> None:
        """What was about to be told when the last session went is told to the next."""
        sender = self.open("a")
        self.send()
        self.close(sender)
        self.assertEqual(self.told(sender), [])
        self.assertEqual(self.told(self.open("a")), ["queued", "sent"])


class SlowDiskTests(ReceiptCase):
    """While the disk takes its time."""

    def test_back_in_the_same_moment(self) -> None:
        """Who comes back in the moment in which something happens is told of it once."""
        self.store.held = True
        self.put(1, receipts=True)
        sender = self.open("a")  # what is on disk is asked for after the letter is kept
        self.let_go()
        self.assertEqual(self.told(sender), ["queued", "sent"])

    def test_between_its_coming_and_its_turn(self) -> None:
        """What happens just before a sender that is back is told of the past is told by that, and not once more."""
        session = make_session("sess_a", "a", at=self.clock.seconds())
        for observer in self.observers:
            observer.session_opened(session)
        self.send()
        self.assertEqual(self.told(session), ["queued", "sent"])
        self.advance()
        self.assertEqual(self.told(session), WHOLE)

    def test_come_back_before_it_was_told(self) -> None:
        """What is told by reading it from the disk is not told once more because it has just happened."""
        self.send()
        sender = self.open("a")  # in the turn in which it would have been told
        self.assertEqual(self.told(sender), ["queued", "sent"])
        self.store.held = True
        self.ack(1)
        self.lose(sender)
        again = self.open("a")
        self.let_go()
        self.assertEqual(self.told(again).count("received"), 1)

    def test_while_it_catches_up(self) -> None:
        """What happens while a sender is told of the past comes after it, once."""
        self.patch(receipts, "SLICE", 2)
        self.send(1)
        self.advance(1)
        self.send(2)
        self.wait()
        self.store.held = True
        sender = self.open("a")
        for status in ("received", "started", "done"):
            self.ack(2, status)
            self.store.release()
            self.clock.advance(0)
        for _ in range(9):
            self.store.release()
            self.clock.advance(0)
        expected = [(f"msg_{number}", status) for number in (1, 2) for status in WHOLE]
        self.assertEqual(self.heard(sender), expected)

    def test_gone_while_it_catches_up(self) -> None:
        """What was read from the disk for one who has gone meanwhile is told to the next session."""
        self.send()
        self.wait()
        self.store.held = True
        self.lose(self.open("a"))
        self.let_go()
        self.assertEqual(self.told(self.open("a")), ["queued", "sent"])


class BrokenDiskTests(ReceiptCase):
    """While the disk is out of order."""

    def test_to_take_down_who_was_told(self) -> None:
        """That somebody was told is written down when the disk works again."""
        sender = self.open("a")
        self.send()
        self.told(sender)
        self.store.broken = True
        self.wait(2)
        self.store.broken = False
        self.wait(2)
        self.close(sender)
        self.assertEqual(self.told(self.open("a")), [])

    def test_to_take_back_that_it_was_told(self) -> None:
        """What a broken connection may have missed is told again, even if the disk can only be told of that later."""
        sender = self.open("a")
        self.send()
        self.told(sender)
        self.wait()
        self.store.broken = True
        self.lose(sender)
        self.wait(2)
        self.store.broken = False
        self.wait(2)
        self.assertEqual(self.told(self.open("a")), ["queued", "sent"])

    def test_back_before_it_was_taken_back(self) -> None:
        """Who is back before the disk could be told of what it may have missed is told of that in order, and once."""
        sender = self.open("a")
        self.send()
        self.told(sender)
        self.wait()
        self.store.broken = True
        self.lose(sender)
        self.wait(2)
        self.store.broken = False
        back = self.open("a")
        self.advance()
        self.assertEqual(self.told(back), WHOLE)
        self.wait(2)
        self.assertEqual(self.told(back), WHOLE)

    def test_what_happens_before_it_can_be_read(self) -> None:
        """What happens while the past can't be read is told after it."""
        self.send()
        self.wait()
        self.store.broken = True
        back = self.open("a")
        self.store.broken = False
        self.advance()
        self.assertEqual(self.told(back), [])
        self.wait(2)
        self.assertEqual(self.told(back), WHOLE)

    def test_to_take_down_and_to_take_back(self) -> None:
        """What was lost is told again, though the disk did not even know that it had been told."""
        sender = self.open("a")
        self.send()
        self.told(sender)
        self.store.held = True
        self.wait()
        self.lose(sender)
        self.store.broken = True
        self.store.release()
        self.let_go()
        self.wait(2)
        self.assertEqual(self.told(self.open("a")), ["queued", "sent"])

    def test_to_take_down_too_late(self) -> None:
        """That it was told is not written down once it is known that it may not have arrived."""
        sender = self.open("a")
        self.send()
        self.told(sender)
        works, failing = self.store.mark_reported, Deferred[None]()
        self.patch(self.store, "mark_reported", lambda receipts, now: failing)
        self.wait()
        self.patch(self.store, "mark_reported", works)
        self.lose(sender)
        failing.errback(Unavailable())
        self.wait(2)
        self.assertEqual(self.told(self.open("a")), ["queued", "sent"])

    def test_to_take_back_what_was_for_one_who_has_gone(self) -> None:
        """What was read for one who has gone is told to the next, even if the disk failed in that moment."""
        self.send()
        self.wait()
        self.store.held = True
        self.lose(self.open("a"))
        self.store.release()
        self.store.broken = True
        self.store.release()
        self.let_go()
        self.wait(2)
        self.assertEqual(self.told(self.open("a")), ["queued", "sent"])

    def test_to_read(self) -> None:
        """What could not be read is told when it can be."""
        self.send()
        self.wait()
        self.store.broken = True
        sender = self.open("a")
        self.assertEqual(self.told(sender), [])
        self.store.broken = False
        self.wait(2)
        self.assertEqual(self.told(sender), ["queued", "sent"])
