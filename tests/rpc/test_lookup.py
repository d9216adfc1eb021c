"""Which methods there are, and which one may have been meant."""

from __future__ import annotations

import time
from typing import Any

from twisted.application.service import MultiService, Service
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.protocol.errors import MethodNotFound
from cell0gw.rpc.access import anyone
from cell0gw.rpc.lookup import Lookup
from cell0gw.testing import MemoryGateway


class Weather(Service):
    """A namespace of a program's own."""

    name = "weather"

    @anyone
    def rpc_report(self, caller: Any) -> str:
        """Say how it is."""
        return "sunny"


class NotFoundTests(SynchronousTestCase):
    """Methods that there are none of."""

    def setUp(self) -> None:
        self.gateway = MemoryGateway()
        self.addCleanup(self.gateway.close)
        self.client = self.gateway.connect()

    def near(self, method: str) -> list[str]:
        return list(self.client.refusal(method)["data"]["near"])

    def test_named(self) -> None:
        """The refusal names the method, and those with names like it."""
        self.assertEqual(
            self.client.refusal("channel.subcribe"),
            {
                "code": -32601,
                "message": "Method not found: channel.subcribe",
                "data": {
                    "code": "method_not_found",
                    "retryable": False,
                    "near": ["channel.subscribe", "channel.unsubscribe"],
                },
            },
        )

    def test_near(self) -> None:
        """A typo, a namespace that was left out, another case: the method that was meant is first."""
        for method, meant in (
            ("authenticate", "auth.authenticate"), ("ping", "rpc.ping"), ("send", "agent.send"), ("call", "agent.call"),
            ("Channel.Publish", "channel.publish"), ("chanel.publish", "channel.publish"),
            ("channels.publish", "channel.publish"), ("agent_send", "agent.send"),
            ("rpc.listMethod", "rpc.listMethods"),
        ):  # fmt: skip
            self.assertEqual(self.near(method)[0], meant, method)
        self.assertEqual(set(self.near("list")), {"agent.list", "channel.list", "task.list"})
        self.assertEqual(self.near("foobar"), [])

    def test_of_programs(self) -> None:
        """Methods of a program count from when they are registered."""
        self.assertEqual(self.near("weather.rport"), [])
        self.gateway.register(Weather())
        self.assertEqual(self.near("weather.rport"), ["weather.report"])
        self.assertEqual(self.near("report"), ["weather.report"])

    def test_short_and_quick(self) -> None:
        """However long a name is, little of it comes back, and it is soon known that nothing is like it."""
        services = MultiService()
        Weather().setServiceParent(services)
        lookup = Lookup(services)
        for name in ("x" * 5_000_000, "weather." + "report" * 1_000_000, "weather.\n\x00" + "y" * 300):
            began = time.process_time()
            refusal = self.assertRaises(MethodNotFound, lookup.locate, name)
            self.assertLess(time.process_time() - began, 0.1)
            self.assertLess(len(refusal.message), 200)
            self.assertTrue(refusal.message.isprintable())
            self.assertEqual(refusal.data["near"], [])
        self.assertEqual(lookup.located, {})
