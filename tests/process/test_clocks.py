"""The two clocks: the wall clock may be set at any moment, by an hour, and nothing is late, early or lost by it."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

from twisted.internet.base import DelayedCall
from twisted.internet.task import Clock
from twisted.python import runtime
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.agents.mail.recipients import Recipients
from cell0gw.agents.mail.store import LAST_REPORTS
from cell0gw.channels.rules import ChannelRule
from cell0gw.engines.memory.mail import MemoryMailStore
from cell0gw.process.clocks import Dates, make_monotonic
from cell0gw.protocol.timestamps import timestamp
from cell0gw.testing import EPOCH, Client, MemoryGateway, RecordingConnection
from tests.agents.mail.test_delivery import OfficeCase

HOUR = 3600.0


class DatesTests(SynchronousTestCase):
    """Where the clocks meet."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.ahead = 1000.0
        self.dates = Dates(self.clock, lambda: self.clock.seconds() + self.ahead)
        self.steps: list[float] = []
        self.dates.stepped.append(self.steps.append)

    def pass_by(self, seconds: int) -> None:
        for _ in range(seconds):
            self.clock.advance(1)
            self.dates.sweep()

    def test_of(self) -> None:
        """The date of a moment that has passed is what the wall clock of now says of it."""
        self.clock.advance(10)
        self.assertEqual(self.dates.of(4.0), 1004.0)
        self.ahead = 2000.0
        self.assertEqual(self.dates.of(4.0), 2004.0)

    def test_told(self) -> None:
        """When the wall clock is set that is told once, with by how much; lasting dates follow from then on."""
        self.pass_by(5)
        self.ahead += HOUR
        self.assertEqual((self.dates.lasting(), self.steps), (1005.0, []))
        self.pass_by(2)
        self.assertEqual((self.dates.lasting(), self.steps), (1007.0 + HOUR, [HOUR]))
        self.ahead -= 2 * HOUR
        self.pass_by(2)
        self.assertEqual((self.dates.lasting(), self.steps), (1009.0 - HOUR, [HOUR, -2 * HOUR]))

    def test_drift(self) -> None:
        """Clocks that drift apart slowly are told of by the second."""
        for _ in range(10):
            self.ahead += 0.3
            self.pass_by(1)
        self.assertEqual([round(step, 1) for step in self.steps], [1.2, 1.2])

    def test_before(self) -> None:
        """Whatever was dated within the last so many seconds is not before, whichever way the clock was set."""
        for step in (HOUR, -HOUR, -HOUR, HOUR, 5.0, -5.0):
            dated = []
            for second in range(100):
                if second == 50:
                    self.ahead += step
                dated.append(self.dates.wall())
                self.pass_by(1)
            for age in (10, 40, 60, 99):
                before = self.dates.before(float(age))
                self.assertEqual([date for date in dated[-age:] if date < before], [], (step, age))

    def test_before_in_the_end(self) -> None:
        """Once the clock was set long ago, the date before which everything is too old is that of now again."""
        for step in (HOUR, -HOUR):
            self.ahead += step
            self.pass_by(30)
            self.assertEqual(self.dates.before(20.0), self.dates.wall() - 20.0)


class FakeReactor:
    """Keeps time as Twisted's own reactors do."""

    def __init__(self) -> None:
        self.seconds = runtime.seconds
        nothing = lambda *ignored: None  # noqa: E731
        self.call = DelayedCall(self.seconds() + 60.0, nothing, (), {}, nothing, nothing, seconds=self.seconds)
        self.calls = [self.call]

    def getDelayedCalls(self) -> list[DelayedCall]:
        """See L{twisted.internet.interfaces.IReactorTime}."""
        return self.calls


class SteadyTests(SynchronousTestCase):
    """Reactors that kept time by the wall clock."""

    def test_goes_on(self) -> None:
        """Its time goes on from where it was, and follows the wall clock no more; nor do timers that are set."""
        reactor = FakeReactor()
        make_monotonic(reactor)
        before = reactor.seconds()
        self.assertLess(abs(before - time.time()), 60.0)
        self.patch(time, "time", lambda: 0.0)
        self.assertGreaterEqual(reactor.seconds(), before)
        reactor.call.reset(30.0)
        self.assertGreater(reactor.call.getTime(), before)

    def test_no_timers(self) -> None:
        """One that has no timers yet keeps time by the monotonic clock itself."""
        reactor = FakeReactor()
        reactor.calls = []
        make_monotonic(reactor)
        self.assertIs(reactor.seconds, time.monotonic)

    def test_left_alone(self) -> None:
        """A clock that is no wall clock's stays as it is; a second time changes nothing."""
        reactor, clock = FakeReactor(), Clock()
        make_monotonic(reactor)
        before = reactor.seconds
        make_monotonic(reactor)
        make_monotonic(clock)
        self.assertEqual((reactor.seconds, clock.seconds()), (before, 0.0))


class SteppedCase(SynchronousTestCase):
    """With a gateway whose wall clock is set in the middle of things."""

    options: dict[str, Any] = {
        "conversation_rate": 3,
        "channels": (
            ChannelRule(pattern="minute.>", history_ttl=60.0),
            ChannelRule(pattern="durable.>", durable=True, history_ttl=600.0),
        ),
    }

    def setUp(self) -> None:
        self.mail = MemoryMailStore()
        self.gateway = MemoryGateway(mail_store=self.mail, **self.options)
        self.addCleanup(self.gateway.close)
        self.admin = self.gateway.connect(token=self.gateway.token("admin", "system", ["*"], expires_in_hours=10_000.0))

    def step(self, seconds: float) -> None:
        """Set the wall clock."""
        self.gateway.ahead += seconds
        self.gateway.advance(2)

    def dead(self) -> list[Any]:
        return [each["message"] for each in self.admin.call("gateway.getDeadLetters")["messages"]]

    def history(self, channel: str) -> list[Any]:
        if self.gateway.channels.broker.get(channel) is None:
            return []
        return [each["message"] for each in self.admin.call("channel.history", channel=channel)["messages"]]


class Stepped:
    """What must be so however the clock was set: C{by} is by how much."""

    by: float

    def test_nobody_is_disconnected(self: Any) -> None:
        """Who is there stays; who is silent is closed when it was silent for long enough, and not before."""
        silent = self.gateway.connect("silent")
        others = [self.gateway.connect(), self.gateway.connect("agent")]
        self.gateway.advance(20)
        self.gateway._clients.remove(silent)
        self.step(self.by)
        self.gateway.advance(30)
        self.assertIsNone(silent.server.closing_since)
        self.gateway.advance(10)
        self.assertIsNotNone(silent.server.closing_since)
        self.assertEqual(others[0].close_code, 4502)  # after its 30 seconds, as ever
        self.assertEqual((others[1].close_code, self.admin.close_code), (None, None))

    def test_heartbeats(self: Any) -> None:
        """Heartbeats go on, and say what the wall clock says."""
        self.gateway.advance(100)
        before = len(self.admin.received("heartbeat"))
        self.step(self.by)
        self.gateway.advance(300)
        beats = self.admin.received("heartbeat")[before:]
        self.assertEqual(len(beats), 10)
        self.assertLess(abs(self.gateway.clock.seconds() + self.by - _date(beats[-1]["timestamp"])), 31.0)

    def test_strangers(self: Any) -> None:
        """Who does not authenticate has the time it always has."""
        stranger = self.gateway.connect()
        self.step(self.by)
        self.gateway.advance(26)
        self.assertIsNone(stranger.close_code)
        self.gateway.advance(4)
        self.assertEqual(stranger.close_code, 4502)

    def test_resume_window(self: Any) -> None:
        """The place of who is gone is kept as long as it always is."""
        token = self.gateway.token("agent")
        for wait, resumed in ((110.0, True), (130.0, False)):
            client = self.gateway.connect()
            secret = client.call("auth.authenticate", token=token)["resume_token"]
            client.vanish()
            self.step(self.by)
            self.gateway.advance(wait)
            again = self.gateway.connect(token=token)
            self.assertEqual(again.call("session.resume", resume_token=secret)["resumed"], resumed)

    def test_history(self: Any) -> None:
        """What channels hold in memory is held for as long as it always is."""
        for number in (1, 2):
            self.gateway.publish("minute.x", number)
        self.step(self.by)
        self.gateway.advance(55)
        self.assertEqual(self.history("minute.x"), [1, 2])
        self.gateway.advance(5)
        self.assertEqual(self.history("minute.x"), [])

    def test_durable_history(self: Any) -> None:
        """What durable channels hold is never dropped early; and in the end it is."""
        for number in (1, 2):
            self.gateway.publish("durable.x", number)
        self.step(self.by)
        self.gateway.advance(590, 1.0)
        self.assertEqual(self.history("durable.x"), [1, 2])
        self.gateway.advance(2 * abs(self.by) + 700, 1.0)
        self.assertNotIn(1, self.history("durable.x"))

    def test_mail(self: Any) -> None:
        """Mail waits for as long as its sender said, whether that was before or after."""
        self.gateway.token("away")
        waiting = [("before", 60)]
        self.admin.call("agent.send", agent_id="away", message="before", ttl_seconds=60)
        self.step(self.by)
        waiting += [("after", 60), ("later", 62)]
        for message, ttl in waiting[1:]:
            self.admin.call("agent.send", agent_id="away", message=message, ttl_seconds=ttl)
        self.gateway.advance(56)
        self.assertEqual(self.dead(), [])
        self.gateway.advance(5)
        self.assertEqual(self.dead(), ["after", "before"])
        away = self.gateway.connect("away")
        self.assertEqual([each["message"] for each in away.received("agent.message")], ["later"])

    def test_mail_while_the_disk_fails(self: Any) -> None:
        """A disk that could not take down that the clock was set takes it down later: nothing expires early."""
        self.gateway.token("away")
        self.admin.call("agent.send", agent_id="away", message="before", ttl_seconds=60)
        self.mail.broken = True
        self.step(self.by)
        self.gateway.advance(20)
        self.mail.broken = False
        self.gateway.advance(30)
        self.assertEqual(self.dead(), [])
        self.gateway.advance(10)
        self.assertEqual(self.dead(), ["before"])

    def test_calls(self: Any) -> None:
        """A call has the time that its caller gave it; what the agent is told is a date."""
        worker = self.gateway.connect("worker")
        self.step(self.by)
        self.admin.protocol.sendMessage(
            b'{"jsonrpc":"2.0","id":77,"method":"agent.call","params":{"agent_id":"worker","message":1,"timeout_ms":9000}}'
        )
        self.admin.flush()
        (asked,) = worker.received("agent.invoke")
        self.assertEqual(_date(asked["deadline"]), self.gateway.clock.seconds() + self.gateway.ahead + 9.0)
        self.step(-self.by)
        self.gateway.advance(6)
        answers = lambda: [m["error"]["code"] for m in self.admin.messages if m.get("id") == 77]  # noqa: E731
        self.assertEqual(answers(), [])
        self.gateway.advance(1)
        self.assertEqual(answers(), [-32004])

    def test_conversations(self: Any) -> None:
        """So many replies a minute are as many as before, and a minute is as long."""
        a, b = self.gateway.connect("a"), self.gateway.connect("b")
        last = a.call("agent.send", agent_id="b", message=0)["message_id"]
        talkers: list[tuple[Client, str]] = [(b, "a"), (a, "b"), (b, "a"), (a, "b")]
        for talker, other in talkers[:3]:
            last = talker.call("agent.send", agent_id=other, message=1, in_reply_to=last)["message_id"]
        self.step(self.by)
        self.assertEqual(a.refusal("agent.send", agent_id="b", message=1, in_reply_to=last)["code"], -32010)
        self.gateway.advance(59)
        a.call("agent.send", agent_id="b", message=1, in_reply_to=last)

    def test_keys(self: Any) -> None:
        """A call that is made again is done once."""
        self.gateway.token("away")
        params = {"agent_id": "away", "message": 1, "idempotency_key": "k"}
        first = self.admin.call("agent.send", **params)["message_id"]
        published = self.admin.call("channel.publish", channel="durable.x", message=1, idempotency_key="k")["offset"]
        self.step(self.by)
        self.gateway.advance(200, 1.0)
        self.gateway.rpc.idempotency._of_entity.clear()  # what is on disk must do
        self.assertEqual(self.admin.call("agent.send", **params)["message_id"], first)
        again = self.admin.call("channel.publish", channel="durable.x", message=1, idempotency_key="k")
        self.assertEqual(again["offset"], published)

    def test_what_is_shown(self: Any) -> None:
        """Dates are the wall clock's; the uptime and what was last seen is not moved by it."""
        agent = self.gateway.connect("agent")
        self.gateway.advance(100)
        self.step(self.by)
        agent.call("rpc.ping")
        now = timestamp(self.gateway.clock.seconds() + self.gateway.ahead)
        self.assertEqual(agent.call("rpc.getServerInfo")["timestamp"], now)
        self.assertEqual(self.admin.call("presence.get", entity_id="agent")["last_seen"], now)
        self.assertEqual(agent.call("session.getInfo")["last_activity"], now)
        self.admin.call("channel.subscribe", channel="minute.x")
        self.gateway.publish("minute.x", 1)
        self.assertEqual(self.admin.received("channel.message")[-1]["timestamp"], now)
        stats = self.admin.call("gateway.getStats")
        self.assertEqual((stats["uptime"], stats["started_at"]), (102.0, timestamp(EPOCH)))


class ForwardTests(SteppedCase, Stepped):
    """An hour forward."""

    by = HOUR

    def test_tokens(self) -> None:
        """A token expires when the wall clock says that it has; who has one that is longer stays."""
        short = self.gateway.connect(token=self.gateway.token("short", expires_in_hours=0.5))
        long = self.gateway.connect("long")
        self.step(self.by)
        self.assertEqual((short.close_code, long.close_code), (4507, None))


class BackTests(SteppedCase, Stepped):
    """An hour back."""

    by = -HOUR

    def test_tokens(self) -> None:
        """A token expires when the wall clock says that it has."""
        token = self.gateway.token("short", expires_in_hours=0.5)
        short = self.gateway.connect(token=token)
        self.step(self.by)
        self.gateway.advance(1.4 * HOUR, 1.0)
        self.assertIsNone(short.close_code)
        self.gateway.advance(0.2 * HOUR, 1.0)
        self.assertEqual(short.close_code, 4507)
        self.assertEqual(self.gateway.connect().refusal("auth.authenticate", token=token)["code"], -32001)


class SteppedOfficeTests(OfficeCase):
    """Receipts that a connection may have lost, and mail, over the end of the process."""

    def test_told_again(self) -> None:
        """What was told just before a connection broke is told again, though the clock was set in between."""
        for step in (HOUR, -HOUR):
            sender = self.open("a")
            self.fill([1], receipts=True)
            self.assertEqual(self.told(sender), ["queued"])
            self.wait(5)
            self.ahead += step
            self.wait(5)
            self.lose(sender)
            self.assertEqual(self.told(self.open("a")), ["queued"])
            self.setUp()

    def test_told_again_by_the_next_process(self) -> None:
        """So is what the process before told last, though its clock, or that of this boot, is another one."""
        sender = self.open("a")
        self.fill([1], receipts=True)
        self.told(sender)
        self.wait(LAST_REPORTS + 2)
        for number in (2, 3):
            self.fill([number], receipts=True)
            self.told(sender)
            self.wait(2)
            self.clock.rightNow = 10.0 * number  # the machine was started anew
            self.start()
            sender = self.open("a")
            self.assertEqual(self.told(sender), ["queued"] * (number - 1))

    def test_mail_of_the_process_before(self) -> None:
        """Mail that waits when the process ends has, in the next one, what it had left."""
        for step in (HOUR, -HOUR):
            self.fill([1], ttl=60.0)
            self.ahead += step
            self.wait(2)
            self.start()
            self.wait(57)
            self.assertEqual(self.boxes.expired, 0)
            self.wait(1)
            self.assertEqual(self.boxes.expired, 1)
            self.setUp()


class KnownTests(SynchronousTestCase):
    """Who had a session is noted on disk once a day."""

    def test_a_clock_that_was_wrong(self) -> None:
        """What was noted by a clock that was years ahead is noted anew."""
        gateway = MemoryGateway()
        self.addCleanup(gateway.close)
        store = MemoryMailStore()
        known = Recipients(store, gateway.credentials, gateway.clock.seconds)
        known.load({"a": EPOCH + 1e8})
        connection = RecordingConnection()
        session: Any = type("", (), {"entity_id": "a", "connection": connection})()
        known.session_opened(session)
        self.assertEqual(store.load().holders, {"a": EPOCH})


def _date(shown: str) -> float:
    return datetime.fromisoformat(shown).timestamp()
