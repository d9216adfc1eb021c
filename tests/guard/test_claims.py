"""Whose connections there may be how many, and how who runs the gateway gets in when it is full."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from cell0gw.guard.connections import Connections
from cell0gw.protocol.errors import CloseCode
from cell0gw.protocol.limits import Limits
from cell0gw.testing import Client, MemoryGateway, RecordingConnection


class ClaimTests(SynchronousTestCase):
    """At authentication."""

    def make(self, **options: int) -> MemoryGateway:
        gateway = MemoryGateway(**options)
        self.addCleanup(gateway.close)
        return gateway

    def refused(self, gateway: MemoryGateway, token: str, limit: str, code: int) -> None:
        """One more connection with a token is told why it can't be, and closed."""
        client = gateway.connect()
        error = client.refusal("auth.authenticate", token=token)
        self.assertEqual((error["code"], error["data"]["limit"]), (-32003, limit))
        self.assertGreater(error["data"]["retry_after_ms"], 0)
        gateway.advance(1)
        self.assertEqual(client.close_code, code)

    def fill(self, gateway: MemoryGateway, count: int, name: str = "a") -> list[Client]:
        token = gateway.token(name)
        return [gateway.connect(token=token) for _ in range(count)]

    def test_of_an_entity(self) -> None:
        """An entity has a number of connections, by whichever tokens; others can come, and it can when one went."""
        gateway = self.make(max_connections_per_entity=2)
        first, _ = self.fill(gateway, 2)
        self.refused(gateway, gateway.token("a"), "max_connections_per_entity", 4504)
        self.fill(gateway, 2, "b")
        first.vanish()
        self.fill(gateway, 1)
        self.refused(gateway, gateway.token("a"), "max_connections_per_entity", 4504)

    def test_default(self) -> None:
        """An entity has half of all unless told otherwise; 0 is no limit."""
        gateway = self.make(max_connections=10)
        self.fill(gateway, 5)
        self.refused(gateway, gateway.token("a"), "max_connections_per_entity", 4504)
        self.fill(self.make(max_connections=10, max_connections_per_entity=0), 10)

    def test_again(self) -> None:
        """To authenticate again on the same connection counts for nothing."""
        gateway = self.make(max_connections_per_entity=1)
        token = gateway.token("a")
        client = gateway.connect(token=token)
        for _ in range(3):
            client.call("auth.authenticate", token=token)

    def test_after_a_refusal(self) -> None:
        """What is refused for another reason leaves nothing behind."""
        gateway = self.make(max_connections_per_entity=1)
        token, client = gateway.token("a"), gateway.connect()
        self.assertEqual(client.refusal("auth.authenticate", token=token, metadata={"x": "x" * 9000})["code"], -32005)
        client.call("auth.authenticate", token=token)
        client.disconnect()
        self.assertEqual(gateway.guard.connections._of_entity, {})

    def test_reserve(self) -> None:
        """The last connections are for tokens of the type system, however many others want them."""
        gateway = self.make(max_connections=48)
        self.fill(gateway, 24, "evil")
        self.fill(gateway, 21, "other")
        for name in ("other", "shop"):
            self.refused(gateway, gateway.token(name), "max_connections", 4014)
        operator = gateway.token("admin", "system", ["*"])
        admins = [gateway.connect(token=operator) for _ in range(3)]
        self.assertEqual([admin.call("rpc.ping") for admin in admins], ["pong"] * 3)
        admins[0].disconnect()
        self.refused(gateway, gateway.token("shop"), "max_connections", 4014)
        gateway.connect(token=operator)

    def test_system_does_not_count(self) -> None:
        """Connections by tokens of the type system leave others what is theirs."""
        gateway = self.make(max_connections=48)
        for _ in range(3):
            gateway.connect(token=gateway.token("admin", "system", ["*"]))
        self.fill(gateway, 24, "a")
        self.fill(gateway, 21, "b")

    def test_few(self) -> None:
        """A gateway for few connections keeps none."""
        self.fill(self.make(max_connections=15, max_connections_per_entity=0), 15)


class RoomTests(SynchronousTestCase):
    """For a handshake, when all is taken."""

    def setUp(self) -> None:
        self.now, self.count = 0.0, 0
        self.connections = Connections(Limits(max_connections=4), lambda: self.now)

    def come(self, address: str) -> tuple[bool, RecordingConnection]:
        """Whether one more is let in from an address."""
        self.count += 1
        connection = RecordingConnection(f"conn_{self.count}", self.now, address)
        if not self.connections.free_capacity(address):
            return False, connection
        self.connections.accepted(connection)
        if self.connections.is_full:
            self.connections.closed(connection)
            return False, connection
        self.connections.opened(connection)
        return True, connection

    def test_one_that_does_not_go(self) -> None:
        """A peer that was told to go and lingers keeps nobody out."""
        come = [self.come(f"10.0.0.{n}") for n in range(4)]
        self.assertEqual([let_in for let_in, _ in come], [True] * 4)
        self.now = 2.0
        self.assertTrue(self.come("192.0.2.1")[0])
        told = (CloseCode.AUTHENTICATION_TIMEOUT, "no authentication, and others wait")
        self.assertEqual(come[0][1].closed, told)

    def test_many_from_one_address(self) -> None:
        """Those that just came from one address make room for one from another, not for more of their own."""
        come = [self.come("evil") for _ in range(4)]
        self.assertFalse(self.come("evil")[0])
        self.assertTrue(self.come("192.0.2.1")[0])
        self.assertIsNotNone(come[0][1].closed)
        self.assertEqual([each.closed for _, each in come[1:]], [None] * 3)

    def test_one_of_many_sessions(self) -> None:
        """An address with many sessions makes room with what comes from it last, however new that is."""
        for _ in range(3):
            self.connections.forget_unauthenticated(self.come("evil")[1])
        _, newest = self.come("evil")
        self.assertFalse(self.come("evil")[0])
        self.assertTrue(self.come("192.0.2.1")[0])
        self.assertIsNotNone(newest.closed)

    def test_as_many_sockets(self) -> None:
        """However many linger, there are no more sockets than descriptors are kept for."""
        let_in = 0
        for n in range(200):
            self.now += 2.0
            let_in += self.come(f"10.0.0.{n}")[0]
        self.assertLessEqual(let_in, 4 + 64)
