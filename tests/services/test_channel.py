"""``channel``: publish to many."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from cell0gw.testing import MemoryGateway


class ChannelServiceTests(SynchronousTestCase):
    """C{channel.subscribe}, C{unsubscribe}, C{publish}"""

    def setUp(self) -> None:
        self.gateway = MemoryGateway()
        self.addCleanup(self.gateway.close)
        self.a, self.b = self.gateway.connect("a"), self.gateway.connect("b")

    def test_publish(self) -> None:
        """A publication reaches the subscribers as it was written, and says from whom."""
        subscribed = self.b.call("channel.subscribe", channel="events")
        self.assertEqual((subscribed["success"], subscribed["channel"], subscribed["offset"]), (True, "events", 0))
        sent = self.a.send(
            '{"jsonrpc":"2.0","method":"channel.publish","id":1,'
            '"params":{"channel":"events","message":{"type":"task_completed","n":2.50}}}'
        )
        self.assertEqual(
            sent[0]["result"], {"success": True, "recipients": 1, "offset": 1, "epoch": subscribed["epoch"]}
        )
        (message,) = self.b.received("channel.message")
        self.assertEqual(
            message,
            {
                "channel": "events",
                "message": {"type": "task_completed", "n": 2.5},
                "timestamp": "2026-02-12T10:30:00.000Z",
                "offset": 1,
                "epoch": subscribed["epoch"],
                "from": "a",
            },
        )

    def test_publisher_too(self) -> None:
        """A publisher that is subscribed gets its own, unless it would rather not."""
        self.a.call("channel.subscribe", channel="events")
        self.assertEqual(self.a.call("channel.publish", channel="events", message=1)["recipients"], 1)
        published = self.a.call("channel.publish", channel="events", message=2, exclude_self=True)
        self.assertEqual(published["recipients"], 0)
        self.assertEqual([m["message"] for m in self.a.received("channel.message")], [1])

    def test_twice(self) -> None:
        """Subscribing twice is one subscription; unsubscribing twice, or without one, is fine."""
        for _ in range(2):
            self.a.call("channel.subscribe", channel="events")
        self.assertEqual(self.b.call("channel.publish", channel="events", message=1)["recipients"], 1)
        for _ in range(2):
            self.assertEqual(
                self.a.call("channel.unsubscribe", channel="events"), {"success": True, "channel": "events"}
            )
        self.assertEqual(self.b.call("channel.publish", channel="events", message=1)["recipients"], 0)

    def test_names(self) -> None:
        """What is no name of a channel is refused, everywhere alike."""
        for channel in ("", "x" * 201, "a b", "a..b", "../x", "a.>.b", "a*", "$SYS.>", "\u00e9", "a\n"):
            for method, more in (("subscribe", {}), ("unsubscribe", {}), ("publish", {"message": 1}), ("history", {})):
                refusal = self.a.refusal(f"channel.{method}", channel=channel, **more)
                self.assertEqual(refusal["code"], -32602, (method, channel))
        for channel in ("a.*", ">"):
            self.assertEqual(self.a.refusal("channel.publish", channel=channel, message=1)["code"], -32602)

    def test_own_channels(self) -> None:
        """The gateway's own channels are read by whom they are open to, and written by nobody."""
        operator = self.gateway.connect(token=self.gateway.token("ops", "system", ["*"]))
        bare = self.gateway.connect(token=self.gateway.token("bare", permissions=[]))
        for channel in ("$agents", "$presence"):
            self.assertTrue(bare.call("channel.subscribe", channel=channel)["success"])
        for channel in ("$system", "$channels"):
            self.assertEqual(self.a.refusal("channel.subscribe", channel=channel)["code"], -32002)
            self.assertTrue(operator.call("channel.subscribe", channel=channel)["success"])
        for client in (self.a, operator):
            self.assertEqual(client.refusal("channel.publish", channel="$system", message=1)["code"], -32602)
        self.assertEqual(bare.refusal("channel.subscribe", channel="events")["code"], -32002)

    def test_patterns_of_permissions(self) -> None:
        """A permission with a pattern opens those channels and no others."""
        client = self.gateway.connect(token=self.gateway.token("c", permissions=["channel.subscribe:tasks.>"]))
        self.assertTrue(client.call("channel.subscribe", channel="tasks.a.b")["success"])
        for channel in ("tasks", "other", "$system"):
            self.assertEqual(client.refusal("channel.subscribe", channel=channel)["code"], -32002, channel)

    def test_limit(self) -> None:
        """A session has so many subscriptions."""
        gateway = MemoryGateway(max_subscriptions=2)
        self.addCleanup(gateway.close)
        client = gateway.connect("a")
        for n in range(2):
            client.call("channel.subscribe", channel=f"c{n}")
        self.assertEqual(client.refusal("channel.subscribe", channel="c2")["code"], -32005)
