"""The links of invites: where they lead."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from cell0gw.app.links import invite_link
from cell0gw.config.options import Config
from cell0gw.config.parsers import public_url
from cell0gw.sessions.client import Reached
from cell0gw.testing import MemoryGateway


def link(reached: Reached | None, **options: Any) -> str:
    """What stands before the fragment of a link, and what follows the invite in it."""
    before, _, after = invite_link(Config(**options), reached, "invite_x").partition("#invite=invite_x&")
    return f"{before} {after}"


class LinkTests(SynchronousTestCase):
    """Links, by how the creator reached the gateway, and by the options."""

    def test_as_reached(self) -> None:
        """Others are sent where the creator is; the port is named, and so is the path that the operator has set."""
        for host, tls, wanted in (
            ("gateway.example:18801", False, "cell0://gateway.example:18801/ tls=0"),
            ("gateway.example", False, "cell0://gateway.example:80/ tls=0"),
            ("gateway.example", True, "cell0://gateway.example:443/ tls=1"),
            ("[::1]:18801", False, "cell0://[::1]:18801/ tls=0"),
            ("[::1]", True, "cell0://[::1]:443/ tls=1"),
        ):
            self.assertEqual(link(Reached(host, tls, None)), wanted)
        self.assertEqual(link(Reached("a:1", False, None), path="/gw"), "cell0://a:1/gw tls=0")

    def test_public_url(self) -> None:
        """What the operator says goes for all links: host, TLS and path."""
        reached = Reached("127.0.0.1:18801", False, None)
        for url, wanted in (
            ("wss://gateway.example", "cell0://gateway.example:443/ tls=1"),
            ("ws://10.0.0.5:18801/gw", "cell0://10.0.0.5:18801/gw tls=0"),
            ("wss://[::1]:8443/", "cell0://[::1]:8443/ tls=1"),
        ):
            self.assertEqual(link(reached, public_url=url, path="/other"), wanted)

    def test_pinned(self) -> None:
        """A certificate that is self-signed is named, if the link leads to TLS."""
        reached = Reached("a:1", True, "ab" * 32)
        self.assertEqual(link(reached), f"cell0://a:1/ tls=1&sha256={'ab' * 32}")
        self.assertEqual(link(reached, public_url="ws://a:1"), "cell0://a:1/ tls=0")

    def test_not_known(self) -> None:
        """If it is not known how the creator came, the address goes that is listened on."""
        self.assertEqual(link(None), "cell0://localhost:18801/ tls=0")
        self.assertEqual(link(None, host="::1", port=5), "cell0://[::1]:5/ tls=0")

    def test_on_the_gateway(self) -> None:
        """The gateway's links follow the option, also when it changes."""
        gateway = MemoryGateway(public_url="wss://one.example")
        self.addCleanup(gateway.close)
        operator = gateway.connect(token=gateway.token("ops", "system", ["*"]))
        for url in ("one", "two"):
            gateway.reconfigure(Config(public_url=f"wss://{url}.example"))
            created = operator.call("auth.createInvite", entity_id="a")
            self.assertTrue(created["link"].startswith(f"cell0://{url}.example:443/#invite="))

    def test_what_an_url_may_be(self) -> None:
        """URLs of other schemes, with a user, a query or a fragment are refused."""
        for text in (
            "https://a",
            "a.example",
            "wss://",
            "wss://u@a",
            "wss://a?b",
            "wss://a/#b",
            "wss://a/?b",
            "ws://a b",
            1,
        ):
            self.assertRaises(ValueError, public_url, text)
