"""``rpc``: the gateway about itself."""

from __future__ import annotations

from typing import Any

from twisted.application.service import Service
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.rpc.access import anyone
from cell0gw.testing import MemoryGateway

DOCUMENTED = {
    "rpc.ping", "rpc.echo", "rpc.listMethods", "rpc.getServerInfo", "auth.authenticate", "auth.generateToken",
    "session.getInfo", "presence.update", "presence.get", "channel.subscribe", "channel.unsubscribe", "channel.publish",
    "agent.send", "agent.list", "gateway.getStats",
}  # fmt: skip


class RPCServiceTests(SynchronousTestCase):
    """The built-in methods, for strangers."""

    def setUp(self) -> None:
        gateway = MemoryGateway()
        self.addCleanup(gateway.close)
        self.stranger = gateway.connect()

    def test_ping(self) -> None:
        """A ping is answered."""
        self.assertEqual(self.stranger.call("rpc.ping"), "pong")

    def test_echo(self) -> None:
        """An echo is what was sent, byte for byte, whatever JSON it is."""
        for message in ('{"a": [1.50, null, "\\u00e9"]}', '"x"', "null", "12345678901234567890123", "1e400", "[]"):
            sent = f'{{"jsonrpc":"2.0","method":"rpc.echo","params":{{"message":{message}}},"id":1}}'
            server = self.stranger.server
            answer = server.factory.dispatch(server.caller, sent.encode())
            self.assertEqual(answer, f'{{"jsonrpc":"2.0","result":{message},"id":1}}'.encode())

    def test_list_methods(self) -> None:
        """Every documented method is listed, in alphabetical order."""
        methods = self.stranger.call("rpc.listMethods")
        self.assertEqual(DOCUMENTED - set(methods), set())
        self.assertEqual(methods, sorted(methods))

    def test_server_info(self) -> None:
        """The gateway says what it is."""
        self.assertEqual(
            self.stranger.call("rpc.getServerInfo"),
            {
                "name": "Cell 0 OS Gateway",
                "version": "cell0-1.0.0",
                "jsonrpc_version": "2.0",
                "capabilities": [
                    "jsonrpc_2.0", "event_streaming", "presence", "channels", "filters", "history", "recovery", "mail",
                    "agent_calls", "idempotency", "token_renewal", "positions", "tasks", "invites",
                ],
                "timestamp": "2026-02-12T10:30:00.000Z",
            },
        )  # fmt: skip

    def test_discover_is_written_once(self) -> None:
        """The document is written once, until a namespace comes: a stranger could keep the gateway busy with it."""
        gateway = MemoryGateway()
        self.addCleanup(gateway.close)
        service: Any = gateway.getServiceNamed("rpc")
        first = service.rpc_discover(None)
        self.assertIs(service.rpc_discover(None), first)

        class Weather(Service):
            name = "weather"

            @anyone
            def rpc_report(self, caller: Any) -> str:
                """Say how it is."""
                return "sunny"

        gateway.register(Weather())
        second = service.rpc_discover(None)
        self.assertIn(b"weather.report", bytes(second))
        self.assertIs(service.rpc_discover(None), second)
