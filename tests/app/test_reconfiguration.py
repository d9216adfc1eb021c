"""Options that change while a gateway runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from cell0gw.app.reconfiguration import LIVE, Reconfigured
from cell0gw.channels.rules import DURABLE, ChannelRule
from cell0gw.config.options import Config
from cell0gw.config.table import OPTIONS
from cell0gw.testing import MemoryGateway
from tests.documents import OPERATIONS, DocumentTestCase, code, missing, section

OTHER: dict[type, Any] = {str: "x", int: 12345, float: 45.0, bool: False}
"""A value that is no option's default, for options whose defaults are of these types."""


class ReconfigureTests(DocumentTestCase):
    """L{Gateway.reconfigure}."""

    def gateway(self, **options: Any) -> MemoryGateway:
        gateway = MemoryGateway(**options)
        self.addCleanup(gateway.close)
        return gateway

    def change(self, gateway: MemoryGateway, **options: Any) -> Reconfigured:
        return gateway.reconfigure(msgspec.structs.replace(gateway.config, **options))

    def test_table(self) -> None:
        """What can change are options, and the rules of channels."""
        self.assertEqual(LIVE - {option.name for option in OPTIONS}, {"channels"})

    def test_documented(self) -> None:
        """operations.md lists what can change, and nothing else."""
        where, text = section(OPERATIONS, "Reloading")
        self.assertNothing(
            missing(
                where,
                sorted(LIVE - {"channels"}),
                code(text[text.index("These options can change") : text.index("unless TLS")]),
                "`{}` can change while the gateway runs, but is not listed; list it",
                "`{}` is listed, but LIVE of cell0gw/app/reconfiguration.py lacks it; take it off the list",
            )
        )

    def test_nothing(self) -> None:
        """The same options change nothing."""
        self.assertEqual(self.change(self.gateway()), Reconfigured([], []))

    def test_what_waits(self) -> None:
        """What needs a restart is named, and stays as it is, in the gateway's options as well; the rest changes."""
        gateway = self.gateway()
        outcome = self.change(gateway, port=1, max_batch=3, heartbeat_interval=7.0, log_level="debug")
        self.assertEqual(outcome, Reconfigured(["max_batch", "log_level"], ["port", "heartbeat_interval"]))
        config = gateway.config
        self.assertEqual((config.port, config.max_batch, config.heartbeat_interval), (18801, 3, 30.0))
        self.assertEqual(self.change(gateway, port=1).waiting, ["port"], "told again the next time")

    def test_every_option(self) -> None:
        """An option that differs is changed or named, whichever it is."""
        for option in OPTIONS:
            other = OTHER.get(type(getattr(Config(), option.name)), ("192.0.2.1",))
            if option.name == "max_connections":
                other = 7
            if option.name in ("proxy_protocol", "check_inputs"):
                other = True
            outcome = self.change(self.gateway(), **{option.name: other})
            self.assertEqual(outcome.changed + outcome.waiting, [option.name])

    def test_certificates(self) -> None:
        """Another certificate is one for new handshakes; whether TLS is spoken at all can't change."""
        a, b = Path("a"), Path("b")
        for before, after, waiting in ((a, b, []), (None, b, ["tls_cert"]), (a, None, ["tls_cert"])):
            outcome = self.change(self.gateway(tls_cert=before), tls_cert=after)
            self.assertEqual(outcome, Reconfigured([] if waiting else ["tls_cert"], waiting))

    def test_limits(self) -> None:
        """Limits hold at once, for those who are connected as well; new ones are told so."""
        gateway = self.gateway()
        client = gateway.connect("a")
        self.change(gateway, max_subscriptions=1, auth_timeout=7.0)
        client.call("channel.subscribe", channel="one")
        self.assertEqual(client.refusal("channel.subscribe", channel="two")["code"], -32005)
        self.assertEqual(gateway.connect().received("connection.welcome")[0]["limits"]["auth_timeout"], 7.0)

    def test_anonymous_reads(self) -> None:
        """Strangers may see who is here, and then no more."""
        gateway = self.gateway()
        stranger = gateway.connect()
        stranger.call("agent.list")
        self.change(gateway, anonymous_reads=False)
        self.assertEqual(stranger.refusal("agent.list")["code"], -32001)

    def test_hosts(self) -> None:
        """Who may come changes for those who come."""
        gateway = self.gateway()
        self.change(gateway, allowed_hosts=("elsewhere.example",))
        self.assertEqual(gateway.connect().received("connection.welcome"), [])
        self.change(gateway, allowed_hosts=("gateway.example:18801",))
        self.assertEqual(len(gateway.connect().received("connection.welcome")), 1)

    def test_rules(self) -> None:
        """Rules hold for the channels that there are: what is too much by the new ones goes within a second."""
        gateway = self.gateway()
        client = gateway.connect("a")
        client.call("channel.subscribe", channel="news")
        for number in range(10):
            client.call("channel.publish", channel="news", message=number)
        self.change(gateway, channels=(ChannelRule(pattern="news", history_size=3),))
        gateway.advance(1.5)
        held = client.call("channel.history", channel="news")
        self.assertEqual([one["message"] for one in held["messages"]], [7, 8, 9])
        self.change(gateway, channels=(ChannelRule(pattern="news", history_size=3, history_ttl=5.0),))
        gateway.advance(7)
        self.assertEqual(client.call("channel.history", channel="news")["messages"], [])

    def test_durable_or_not(self) -> None:
        """A channel stays on disk, or off it, as it began; one that begins now follows the new rules."""
        gateway = self.gateway()
        client = gateway.connect("a")
        client.call("channel.publish", channel="old", message=1)
        self.change(gateway, channels=(msgspec.structs.replace(DURABLE, pattern=">"),))
        client.call("channel.publish", channel="new", message=1)
        stored = {channel.name: channel.stored_oldest for channel in gateway.channels.broker}
        self.assertEqual(stored, {"old": None, "new": 1})
        client.call("channel.publish", channel="old", message=2)
        self.assertEqual(len(client.call("channel.history", channel="old")["messages"]), 2)
