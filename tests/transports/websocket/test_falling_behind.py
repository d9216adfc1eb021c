"""A connection that falls behind, or can't be written to, in the middle of what others do: it ends, and they go on."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from cell0gw.protocol.messages import Batch
from cell0gw.sessions.observers import ISessionObserver
from cell0gw.testing import Client, MemoryGateway
from tests.agents.calls.calling import CallCase
from tests.failing_writes import breaks, falls_behind
from tests.presence.test_watches import View, catch_up


@implementer(ISessionObserver)
class Observer:
    """Notes whose session is gone."""

    def __init__(self) -> None:
        self.gone: list[str] = []

    def session_opened(self, session: Any) -> None:
        pass

    def session_detached(self, session: Any, ending: Any) -> None:
        self.gone.append(session.entity_id)

    def session_closed(self, session: Any, ending: Any) -> None:
        self.gone.append(session.entity_id)


class Case(SynchronousTestCase):
    """With a few who are subscribed to one channel."""

    options: dict[str, Any] = {}

    def setUp(self) -> None:
        self.gateway = MemoryGateway(**self.options)
        self.addCleanup(self.gateway.close)
        self.everyone = [self.gateway.connect(name) for name in "abcd"]
        for client in self.everyone:
            client.call("channel.subscribe", channel="x")

    def got(self, client: Client) -> list[Any]:
        return [params["message"] for params in client.received("channel.message")]


class FallingBehindTests(Case):
    """Nobody hears of it before the writer is done."""

    def test_observers(self) -> None:
        """No observer of sessions runs within a write; it does as soon as that is over, and nothing is sent between."""
        observer, (a, b, c, d) = Observer(), self.everyone
        self.gateway.sessions.observers.append(observer)
        falls_behind(b)
        for number in range(3):
            publication: Any = self.gateway.publish("x", number)
            self.assertEqual(publication.recipients, 4)
        self.assertEqual(observer.gone, [])
        self.assertTrue(b.server.behind)
        self.gateway.clock.advance(0)
        self.assertEqual(observer.gone, ["b"])
        self.assertEqual([self.got(client) for client in (a, b, c, d)], [[0, 1, 2], [], [0, 1, 2], [0, 1, 2]])
        self.assertEqual(b.close_code, 4008)

    def test_what_it_still_says(self) -> None:
        """What it has sent meanwhile is not done: it would get no answer."""
        a, b, *_ = self.everyone
        falls_behind(b)
        self.gateway.publish("x", "now")
        b.send('{"jsonrpc": "2.0", "method": "channel.publish", "params": {"channel": "x", "message": "late"}}')
        self.assertEqual(self.got(a), ["now"])

    def test_gone_first(self) -> None:
        """If its socket goes before it can be closed, that is its end, and the limit is not reported."""
        b = self.everyone[1]
        admin = self.gateway.connect(token=self.gateway.token("admin", "system", ["*"]))
        admin.call("channel.subscribe", channel="$system")
        falls_behind(b)
        self.gateway.publish("x", 1)
        b.server.connectionLost()
        b.flush()
        told = [event["type"] for event in admin.received("event")]
        self.assertNotIn("limit.hit", told)

    def test_mail(self) -> None:
        """Letters that were on their way when it fell behind come again to who comes back, all of them and in order."""
        a = self.everyone[0]
        numbers = list(range(20))
        token = self.gateway.token("away")
        self.gateway.connect(token=token, capabilities=["ack"]).disconnect()
        for number in numbers:
            a.call("agent.send", agent_id="away", message=number)
        for at in (1, 4, 9):
            reader = self.gateway.connect()
            falls_behind(reader, at + 1)  # the answer is the first
            reader.call("auth.authenticate", token=token, capabilities=["ack"])
            self.gateway.advance(1)
            self.assertEqual([m["message"] for m in reader.received("agent.message")], numbers[: at - 1])
            self.assertEqual(reader.close_code, 4008)
        back = self.gateway.connect(token=token, capabilities=["ack"])
        self.gateway.advance(1)
        letters = back.received("agent.message")
        self.assertEqual([letter["message"] for letter in letters], numbers)
        for letter in letters:
            back.call("agent.ack", message_id=letter["message_id"], status="done")
        self.gateway.advance(31)
        self.assertEqual(self.gateway.agents.mailboxes.waiting.messages, 0)

    def test_receipt(self) -> None:
        """A receipt that its sender did not get, since it fell behind, comes to the next session."""
        token = self.gateway.token("sender")
        sender = self.gateway.connect(token=token)
        taker = self.gateway.connect("taker", capabilities=["ack"])
        sent = sender.call("agent.send", agent_id="taker", message=1, receipts=True)["message_id"]
        self.gateway.advance(1)
        falls_behind(sender)
        for status in ("received", "started", "done"):
            taker.call("agent.ack", message_id=sent, status=status)
        self.gateway.advance(1)
        self.assertEqual(sender.close_code, 4008)
        back = self.gateway.connect(token=token)
        self.gateway.advance(1)
        self.assertEqual(
            [receipt["status"] for receipt in back.received("agent.receipt")][-3:], ["received", "started", "done"]
        )


class PresenceTests(SynchronousTestCase):
    """Those who watch presence, where places are not kept."""

    def setUp(self) -> None:
        self.gateway = MemoryGateway(resume_window=0.0)
        self.addCleanup(self.gateway.close)
        self.watchers = [self.gateway.connect(f"w{number}") for number in range(3)]

    def test_watcher(self) -> None:
        """The other watchers see each change, and that the one has left who fell behind, or can't be written to."""
        for fails in (falls_behind, breaks):
            self.setUp()
            first, slow, last = self.watchers
            views = {client: View(client, ">") for client in (first, last)}
            slow.call("presence.subscribe", pattern=">")
            fails(slow)
            self.gateway.connect("new")
            self.gateway.advance(2)
            for client, view in views.items():
                catch_up(client, [view])
                self.assertEqual(set(view.entries), {"w0", "w2", "new"})
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)


class CallTests(CallCase):
    """Agents and callers."""

    def test_cancel(self) -> None:
        """A call is cancelled though its agent falls behind when it is told."""
        worker = self.worker("w")
        request = self.call(agent_id="w")
        falls_behind(worker)
        self.assertEqual(self.caller.call("agent.cancel", request_id=request), {"success": True})
        self.assertEqual(self.outcome(request), -32009)
        self.assertNothingLeft()

    def test_time(self) -> None:
        """A call is over in time though its agent falls behind when it is told."""
        worker = self.worker("w")
        request = self.call(agent_id="w", timeout_ms=500)
        falls_behind(worker)
        self.gateway.advance(0.6, step=0.1)
        self.assertEqual((self.outcome(request), self.error(request)["data"]["clock"]), (-32004, "timeout"))
        self.assertNothingLeft()

    def test_caller_gone(self) -> None:
        """All calls of a caller that is gone are cancelled, those at other agents than the slow one as well."""
        slow, other = self.worker("slow", max_inflight=5), self.worker("other", max_inflight=5)
        for name in ("slow", "other") * 5:
            self.call(agent_id=name)
        falls_behind(slow)
        self.caller.vanish()
        self.gateway.advance(1)
        self.assertEqual(len(other.received("agent.cancelled")), 5)
        self.assertNothingLeft()

    def test_drain(self) -> None:
        """Everyone is told that the gateway goes down, though an agent falls behind when its call is cancelled."""
        worker = self.worker("w")
        request = self.call(agent_id="w")
        falls_behind(worker)
        done = self.gateway.drain()
        self.assertEqual((self.outcome(request), self.caller.close_code), (-32008, 4001))
        self.gateway.advance(10)
        self.successResultOf(done)

    def test_progress(self) -> None:
        """A caller that does not read the progress of its calls is closed, and they end."""
        worker = self.worker("w")
        self.call(agent_id="w")
        call_id = self.asked(worker)[0]["call_id"]
        falls_behind(self.caller)
        worker.call("agent.progress", call_id=call_id, data=1)
        self.caller.flush()
        self.assertEqual(self.caller.close_code, 4008)
        self.assertEqual(worker.received("agent.cancelled")[0]["reason"], "caller_gone")
        self.assertNothingLeft()

    def test_progress_behind_an_answer(self) -> None:
        """A caller that is still reading something long may get the progress of its calls."""
        worker = self.worker("w")
        self.call(agent_id="w")
        call_id = self.asked(worker)[0]["call_id"]
        self.caller.server.__class__ = type("Reading", (type(self.caller.server),), {"backlog": 2**21})
        worker.call("agent.progress", call_id=call_id, data=1)
        self.assertEqual([each["data"] for each in self.caller.received("agent.progress")], [1])


class BrokenWritesTests(Case):
    """What one connection raises is logged, costs that connection, and nobody else."""

    def assertOnlyOneEnds(self, broken: Client) -> None:
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        broken.flush()
        self.assertNotIn(broken.server, list(self.gateway.guard.connections))
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_publication(self) -> None:
        """All others get a publication, short or long, by filter or not, also if its publisher is left out."""
        for length in (1, 5000):
            for way in ("all", "filter", "exclude"):
                self.setUp()
                a, b, *others = self.everyone
                message = {"n": "x" * length}
                if way == "filter":
                    for client in self.everyone:
                        client.call("channel.unsubscribe", channel="x")
                        client.call("channel.subscribe", channel="x", filter={"field": "n", "op": "exists"})
                breaks(b)
                by = self.gateway.connect("publisher") if way != "exclude" else a
                published = by.call("channel.publish", channel="x", message=message, exclude_self=way == "exclude")
                self.assertEqual(published["offset"], 1)
                readers = others if way == "exclude" else [a, *others]
                self.assertEqual([self.got(client) for client in readers], [[message]] * len(readers), (length, way))
                self.assertOnlyOneEnds(b)

    def test_batch(self) -> None:
        """All others share a batch, short messages or a long one, if one can't."""
        for length in (1, 5000):
            self.setUp()
            shared: list[Batch] = []

            def share(batch: Batch, shared: list[Batch] = shared) -> bool:
                shared.append(batch)
                return True

            def broken(batch: Batch) -> bool:
                raise OSError("broken")

            a, b, *others = self.everyone
            for client in (a, *others):
                client.server.share = share
            b.server.share = broken
            self.gateway.publish("x", "x" * length)
            self.assertEqual(len(shared), 3)
            self.assertOnlyOneEnds(b)

    def test_one_reader(self) -> None:
        """A publisher hears nothing of it if its only reader can't be written to."""
        for client in self.everyone[1:]:
            client.call("channel.unsubscribe", channel="x")
        breaks(self.everyone[0])
        published = self.everyone[1].call("channel.publish", channel="x", message=1)
        self.assertEqual((published["recipients"], published["offset"]), (1, 1))
        self.assertOnlyOneEnds(self.everyone[0])

    def test_heartbeat(self) -> None:
        """All others get their heartbeats, be it the message or its ping that can't be written."""
        for at in (1, 2):
            self.setUp()
            a, b, *others = self.everyone
            breaks(b, at)
            self.gateway.advance(31)
            self.assertEqual([len(client.received("heartbeat")) for client in (a, *others)], [1, 1, 1])
            self.assertOnlyOneEnds(b)

    def test_close(self) -> None:
        """A connection whose close frame can't be written is aborted, and a drain tells all others."""
        a, b, *others = self.everyone

        def broken(*arguments: Any, **options: Any) -> None:
            raise OSError("broken")

        b.server.sendFrame = broken
        done = self.gateway.drain()
        for client in (a, *others):
            client.flush()
        self.assertEqual([client.close_code for client in (a, *others)], [4001] * 3)
        self.gateway.advance(1)
        self.successResultOf(done)
        self.assertOnlyOneEnds(b)

    def test_wrapped(self) -> None:
        """A transport that finds a peer behind and whose protocol is wrapped by another one ends that connection."""
        a, b, *others = self.everyone

        def judged(data: bytes) -> None:
            raise AttributeError("fall_behind")

        b.server._write = judged
        self.gateway.publish("x", 1)
        self.assertEqual([self.got(client) for client in (a, *others)], [[1]] * 3)
        self.assertEqual(len(self.flushLoggedErrors(AttributeError)), 1)
