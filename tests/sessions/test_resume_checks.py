"""C{session.resume}: what is checked before anything moves."""

from __future__ import annotations

from typing import Any

from cell0gw.channels.rules import ChannelRule
from cell0gw.testing import Client, MemoryGateway
from tests.channels.test_recovery import offsets
from tests.sessions.test_resume import ResumeCase


class PositionTests(ResumeCase):
    """C{positions}: every channel has one that the client was told one of."""

    def test_of_no_name(self) -> None:
        """Positions of the gateway's own channels, and of what is no name, mean nothing and do no harm."""
        answer = self.b.call("channel.subscribe", channel="$agents")
        own = {"offset": answer["offset"], "epoch": answer["epoch"]}
        self.subscribe("x", ">")
        position = self.position("x", 0)
        self.b.vanish()
        self.publish("x", 1)
        others = {"$agents": own, "$nothing": own, "a b": own, "x.*": own, ">": own, "": own, "y" * 300: own}
        client, answer = self.back(positions={**others, "x": position})
        self.assertEqual((answer["resumed"], set(answer["channels"])), (True, {"$agents", "x"}))
        self.assertEqual(offsets(client), [1])

    def test_too_many(self) -> None:
        """There are ten thousand positions at most. With more nothing changes, and the secret is good still."""
        self.subscribe("x")
        position = self.position("x", 0)
        self.b.vanish()
        client, _ = self.join()
        many = {f"y{number}": position for number in range(10_001)}
        answer = client.refusal("session.resume", resume_token=self.secret, positions=many)
        self.assertEqual(answer["code"], -32005)
        del many["y0"]
        self.assertIs(self.resume(client, positions=many)["resumed"], True)


class RefusalTests(ResumeCase):
    """A resumption that is refused changes nothing, and can be had once what stood in its way is gone."""

    OPTIONS: dict[str, Any] = {"max_message_size": 64 * 1024, "max_subscriptions": 500}

    def setUp(self) -> None:
        self.gateway = MemoryGateway(channels=(ChannelRule(pattern="none.>", history_size=0),), **self.OPTIONS)
        self.addCleanup(self.gateway.close)
        self.a = self.gateway.connect("a")
        self.token = self.gateway.token("b")
        self.b, self.secret = self.join()

    def refused(self, client: Client) -> None:
        """Nothing of either session changes by a refusal, and the secret is good still."""
        subscriptions, watches = self.info(client)["subscriptions"], self.watched()
        for _ in range(2):
            refusal = client.refusal("session.resume", resume_token=self.secret)
            self.assertEqual((refusal["code"], refusal["data"]["code"]), (-32005, "too_large"))
        self.assertEqual((self.info(client)["subscriptions"], self.watched()), (subscriptions, watches))
        self.assertEqual((self.gateway.sessions.detached, self.gateway.sessions.resumed), (1, 0))

    def watched(self) -> list[int]:
        watches = self.gateway.presence.watches
        return sorted(len(own) for own in watches._of_session.values())

    def test_subscriptions(self) -> None:
        """Two sessions have no more subscriptions together than one may have."""
        self.gateway.guard.limits.max_subscriptions = 20
        self.subscribe(*(f"old.{n}" for n in range(12)))
        self.b.vanish()
        client, _ = self.join()
        for n in range(9):
            client.call("channel.subscribe", channel=f"new.{n}")
        self.refused(client)
        client.call("channel.unsubscribe", channel="new.0")
        self.assertTrue(self.resume(client)["resumed"])
        self.assertEqual(len(self.info(client)["subscriptions"]), 20)
        self.assertEqual(client.refusal("channel.subscribe", channel="one.more")["code"], -32005)

    def test_lower_limit(self) -> None:
        """A session that has as many as was allowed once can be resumed with as many."""
        self.subscribe(*(f"old.{n}" for n in range(20)))
        self.b.vanish()
        self.gateway.guard.limits.max_subscriptions = 10
        client, answer = self.back()
        self.assertTrue(answer["resumed"])
        self.assertEqual(len(self.info(client)["subscriptions"]), 20)

    def test_watches(self) -> None:
        """Two sessions watch no more patterns together than one may."""
        for n in range(60):
            self.b.call("presence.subscribe", pattern=f"old.{n}")
        self.b.vanish()
        client, _ = self.join()
        for n in range(41):
            client.call("presence.subscribe", pattern=f"new.{n}")
        self.refused(client)
        client.call("presence.unsubscribe", pattern="new.0")
        self.assertEqual(len(self.resume(client)["presence"]), 60)

    def test_long_answer(self) -> None:
        """An answer that would be longer than any message may be is refused before anything moves."""
        self.subscribe("x", *(f"none.{'n' * 150}.{n}" for n in range(400)))
        self.b.vanish()
        for n in range(400):
            self.publish(f"none.{'n' * 150}.{n}", n)
        client, _ = self.join()
        self.refused(client)
        self.assertEqual(self.gateway.publish("x", 1).recipients, 0)  # type: ignore[union-attr]

    def test_long_presence(self) -> None:
        """Snapshots that don't fit are left to presence.subscribe, and those that do are there."""
        for n in range(20):
            self.gateway.connect(f"w.{n}", metadata={"text": "m" * 4000})
        for size, pattern in ((64, "a"), (1024, "w.*"), (64, "b")):
            self.gateway.guard.limits.max_message_size = size * 1024
            self.b.call("presence.subscribe", pattern=pattern)
        client, answer = self.back()
        presence = answer["presence"]
        self.assertEqual(presence["w.*"], {"version": 0, "entries": []})
        self.assertEqual([presence[pattern]["entries"][0]["entity_id"] for pattern in ("a", "b")], ["a", "b"])
        self.gateway.advance(1)
        del client.messages[:]
        self.gateway.connect("w.new")
        self.gateway.advance(1)
        self.assertEqual([diff["pattern"] for diff in client.received("presence.diff")], ["w.*"])

    def test_refused_watch(self) -> None:
        """A pattern beyond those that a session may watch is not watched."""
        for n in range(100):
            self.b.call("presence.subscribe", pattern=f"x.{n}")
        self.assertEqual(self.b.refusal("presence.subscribe", pattern="w.*")["code"], -32005)
        self.gateway.connect("w.new")
        self.gateway.advance(1)
        self.assertEqual(self.b.received("presence.diff"), [])
        self.assertEqual(self.watched(), [100])
