"""What was missed is brought in slices, whatever happens in between."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cell0gw.channels.channel import Channel
from cell0gw.channels.replay import SLICE, SLICE_BYTES
from cell0gw.channels.rules import ChannelRule
from cell0gw.testing import Client
from tests.channels.test_recovery import RecoveryCase, offsets

MANY = 3 * SLICE + 50


class ReplayCase(RecoveryCase):
    """With a channel that holds more than a few slices, and turns of the clock one by one."""

    RULES = (
        *RecoveryCase.RULES,
        ChannelRule(pattern="x", history_size=10 * MANY),
        ChannelRule(pattern="y", history_size=10 * MANY),
        ChannelRule(pattern="tight", history_size=MANY),
    )

    def arrived(self, client: Client | None = None) -> list[int]:
        """The offsets that have come by now, no time passing."""
        client = client or self.b
        while client._pump.pump():
            pass
        return [m["params"]["offset"] for m in client.messages if m.get("method") == "channel.message"]

    def in_between(self, times: int, do: Callable[[], Any]) -> None:
        """Do something between every two of the next turns, so many times, and let all turns pass."""

        def turn(left: int) -> None:
            do()
            if left > 1:
                self.gateway.clock.callLater(0, turn, left - 1)

        self.gateway.clock.callLater(0, turn, times)
        self.b.flush()

    @property
    def producer(self) -> Any:
        """What has more to write to the reader."""
        return self.b.server.transport.producer

    def channel(self, name: str = "x") -> Channel:
        channel = self.gateway.channels.broker.get(name)
        assert channel is not None
        return channel

    def begin(self, **params: Any) -> Any:
        """Fill the channel and subscribe from its beginning; then the reader has no room, after one slice."""
        self.fill(MANY)
        self.b.flush()
        del self.b.messages[:]
        answer = self.subscribe(since=self.since(0), **params)
        self.producer.pauseProducing()
        self.b.flush()
        self.assertEqual(len(self.arrived()), SLICE)
        return answer


class SliceTests(ReplayCase):
    """Others have their turn in between."""

    def test_slices(self) -> None:
        """A large gap comes in slices."""
        self.fill(MANY)
        self.subscribe(since=self.since(0))
        seen: list[int] = []
        self.in_between(6, lambda: seen.append(len(self.arrived())))
        self.assertEqual(seen, [SLICE, 2 * SLICE, 3 * SLICE, MANY, MANY, MANY])
        self.assertEqual(self.arrived(), list(range(1, MANY + 1)))
        self.assertIsNone(self.producer)

    def test_long_messages(self) -> None:
        """Slices of long messages have fewer of them, one at least."""
        self.publish(*["x" * (SLICE_BYTES // 3)] * 6, *["x" * (2 * SLICE_BYTES)] * 2, 9)
        self.subscribe(since=self.since(0))
        seen: list[int] = []
        self.in_between(6, lambda: seen.append(len(self.arrived())))
        self.assertEqual(seen, [3, 6, 7, 8, 9, 9])

    def test_published_meanwhile(self) -> None:
        """What is published while the rest is brought comes after it, in order and once; then it is live."""
        self.fill(MANY)
        self.subscribe(client=self.a)
        self.subscribe(since=self.since(0))
        counts: list[int] = []

        def publish() -> None:
            published: Any = self.gateway.publish("x", "meanwhile")
            counts.append(published.recipients)

        self.in_between(8, publish)
        self.assertEqual(self.arrived(), list(range(1, MANY + 9)))
        self.assertEqual((counts[0], counts[-1]), (1, 2))
        self.assertEqual(offsets(self.a), list(range(MANY + 1, MANY + 9)))

    def test_filter(self) -> None:
        """Slices are of what is held: of those that few pass the filter nothing is lost, at their ends neither."""
        self.publish(*({"n": n % SLICE} for n in range(1, MANY + 1)))
        self.subscribe(since=self.since(0), filter={"field": "n", "op": "in", "value": [0, 1]})
        self.in_between(8, lambda: self.publish({"n": 1}, {"n": 2}))
        live = list(range(MANY + 1, MANY + 17, 2))
        expected = [n for n in range(1, MANY + 1) if n % SLICE in (0, 1)] + live
        self.assertEqual(self.arrived(), expected)

    def test_durable(self) -> None:
        """What is only on disk is brought from there, then what is in memory, as one."""
        self.fill(MANY, "durable.x")
        self.channel("durable.x").history.clear()
        self.fill(50, "durable.x")
        self.subscribe("durable.x", since=self.since(20, "durable.x"))
        self.in_between(6, lambda: self.publish("more", channel="durable.x"))
        self.assertEqual(self.arrived(), list(range(21, MANY + 57)))


class GapTests(ReplayCase):
    """What comes next is gone."""

    def test_forgotten_meanwhile(self) -> None:
        """When what comes next is forgotten while the rest is brought the connection is closed: no silent gap."""
        self.fill(MANY, "tight")
        position = self.since(0, "tight")
        self.subscribe("tight", since=position)
        self.in_between(2, lambda: self.fill(MANY, "tight"))
        self.assertEqual(self.arrived(), list(range(1, SLICE + 1)))
        self.assertEqual(self.b.close_code, 4010)
        self.assertEqual(self.channel("tight").catching_up, set())
        again = self.gateway.connect("b")
        answer = self.subscribe("tight", again, since=position | {"offset": SLICE})
        self.assertEqual((answer["recovered"], answer["oldest"]), (False, 2 * MANY + 1))

    def test_those_behind(self) -> None:
        """What others need that is forgotten does not matter to those who are past it."""
        self.fill(MANY, "tight")
        self.subscribe("tight", since=self.since(MANY - 10, "tight"))
        self.in_between(2, lambda: self.fill(MANY - 1, "tight"))
        self.assertEqual(self.arrived(), list(range(MANY - 9, 3 * MANY - 1)))
        self.assertIsNone(self.b.close_code)

    def test_gone_from_the_disk(self) -> None:
        """What the disk no longer has closes the connection as well."""
        self.fill(MANY, "durable.x")
        self.channel("durable.x").history.clear()
        self.subscribe("durable.x", since=self.since(0, "durable.x"))
        self.in_between(1, lambda: self.store.purge({"durable.x": 1e12}, 0.0))
        self.assertEqual((len(self.arrived()), self.b.close_code), (SLICE, 4010))

    def test_another_numbering(self) -> None:
        """When the store numbers the channel anew, nothing of that reaches one who catches up on the numbering before:
        the connection is closed.
        """
        self.fill(MANY, "durable.x")
        self.subscribe("durable.x", since=self.since(0, "durable.x"))
        self.producer.pauseProducing()
        self.b.flush()
        before = len(self.arrived())
        self.store.drop("durable.x", MANY)
        self.publish("anew", channel="durable.x")
        self.assertEqual((len(self.arrived()), self.channel("durable.x").position.offset), (before, 1))
        self.producer.resumeProducing()
        self.b.flush()
        came = [m["params"]["message"] for m in self.b.messages if m.get("method") == "channel.message"]
        self.assertNotIn("anew", came)
        self.assertEqual(self.b.close_code, 4010)
        again = self.gateway.connect("b")
        self.subscribe("durable.x", again, history=1)
        self.publish("more", channel="durable.x")
        again.flush()
        self.assertEqual(self.arrived(again), [1, 2])


class InBetweenTests(ReplayCase):
    """What a client does while it waits."""

    def test_no_room(self) -> None:
        """A reader that has no room is not written to; it gets the rest, and what was published since, once it has."""
        self.begin()
        self.publish("meanwhile")
        self.assertEqual(len(offsets(self.b)), SLICE)
        self.producer.resumeProducing()
        self.assertEqual(offsets(self.b), list(range(1, MANY + 2)))

    def test_unsubscribe(self) -> None:
        """Who unsubscribes gets nothing more."""
        self.begin()
        self.b.call("channel.unsubscribe", channel="x")
        self.publish("live")
        self.assertEqual((len(offsets(self.b)), self.producer), (SLICE, None))
        self.assertEqual(self.channel().catching_up, set())

    def test_begin_anew(self) -> None:
        """Who has unsubscribed without room for more may subscribe from the past again, and gets it."""
        self.begin()
        self.b.call("channel.unsubscribe", channel="x")
        self.subscribe(since=self.since(MANY - 5))
        self.assertEqual(offsets(self.b)[SLICE:], list(range(MANY - 4, MANY + 1)))

    def test_unsubscribe_from_one_of_two(self) -> None:
        """Who stays subscribed by a pattern gets the rest in order, each once."""
        self.begin()
        self.subscribe(">")
        self.b.call("channel.unsubscribe", channel="x")
        self.publish("live")
        self.producer.resumeProducing()
        self.publish("live")
        self.assertEqual(offsets(self.b), list(range(1, MANY + 3)))

    def test_unsubscribe_from_the_pattern(self) -> None:
        """What is brought for a channel's own sake goes on without the pattern."""
        self.subscribe(">")
        self.begin()
        self.b.call("channel.unsubscribe", channel=">")
        self.producer.resumeProducing()
        self.publish("live")
        self.assertEqual(offsets(self.b), list(range(1, MANY + 2)))

    def test_subscribe_again(self) -> None:
        """Subscribing again changes nothing: the rest is brought, each once."""
        self.begin()
        answer = self.subscribe()
        self.assertNotIn("recovered", answer)
        self.publish("live")
        self.producer.resumeProducing()
        self.assertEqual(offsets(self.b), list(range(1, MANY + 2)))

    def test_another_filter(self) -> None:
        """Subscribing again with a filter has the rest pass through that one."""
        self.begin()
        self.subscribe(filter={"field": "n", "op": "exists"})
        self.publish({"n": 1})
        self.producer.resumeProducing()
        self.assertEqual(offsets(self.b), [*range(1, SLICE + 1), MANY + 1])

    def test_another_position(self) -> None:
        """Subscribing again with a position goes on from there, be it before or behind."""
        for offset in (MANY - 10, SLICE - 10):
            self.start()
            self.begin()
            self.assertIs(self.subscribe(since=self.since(offset))["recovered"], True)
            self.publish("live")
            if self.producer is not None:
                self.producer.resumeProducing()
            self.assertEqual(offsets(self.b), [*range(1, SLICE + 1), *range(offset + 1, MANY + 2)])

    def test_up_to_date(self) -> None:
        """Who says in between that it has seen the newest is live from there."""
        self.begin()
        self.subscribe(since=self.since(MANY))
        self.publish("live")
        self.assertEqual(offsets(self.b), [*range(1, SLICE + 1), MANY + 1])
        self.assertIsNone(self.producer)

    def test_another_channel(self) -> None:
        """Another channel waits for its turn, and is complete, too."""
        self.begin()
        self.fill(MANY, "y")
        self.subscribe("y", since=self.since(0, "y"))
        self.publish("live", channel="y")
        self.producer.resumeProducing()
        self.assertEqual((offsets(self.b), offsets(self.b, "y")), (list(range(1, MANY + 1)), list(range(1, MANY + 2))))


class EndTests(ReplayCase):
    """The connection ends in between."""

    def left(self) -> None:
        """Nobody is remembered as one who waits, and nothing more is tried."""
        self.assertEqual(self.channel().catching_up, set())
        self.gateway.advance(1)
        self.publish("later")
        self.assertEqual(len(self.arrived()), SLICE)

    def test_goodbye(self) -> None:
        """Who says goodbye leaves nothing behind, not on the connection either: TLS would wait for it to end."""
        self.begin()
        self.b.protocol.sendClose(1000)
        self.b._pump.pump()
        self.assertIsNone(self.producer)
        self.left()
        self.assertEqual(self.channel().subscribers, {})

    def test_goodbye_to_a_pattern(self) -> None:
        """Nor does who is subscribed by a pattern only."""
        self.begin()
        self.subscribe(">")
        self.b.call("channel.unsubscribe", channel="x")
        self.b.disconnect()
        self.left()

    def test_lost(self) -> None:
        """Whose connection breaks gets the rest when it resumes, from where it says it was."""
        token = self.gateway.token("b")
        secret = self.b.call("auth.authenticate", token=token)["resume_token"]
        self.begin()
        self.b.vanish()
        self.assertEqual(self.channel().catching_up, set())
        self.publish("meanwhile")
        again = self.gateway.connect(token=token)
        answer = again.call("session.resume", resume_token=secret, positions={"x": self.since(SLICE)})
        self.assertIs(answer["channels"]["x"]["recovered"], True)
        self.publish("live")
        self.assertEqual(offsets(again), list(range(SLICE + 1, MANY + 3)))
