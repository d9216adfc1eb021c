"""Where to listen: on every address that a name has, as far as the machine has them."""

from __future__ import annotations

import errno
import os
import socket
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from cell0gw.transports.sockets import binding
from cell0gw.transports.sockets.binding import BACKLOG, CHOICES, TCPBinding


class Machine:
    """What the system knows of names, addresses and ports.

    @ivar names: the addresses of each; C{lacking}: addresses that it does not have; C{taken}: ports in use.
    @ivar families: those that it speaks.
    """

    def __init__(self) -> None:
        self.names: dict[str, list[str]] = {}
        self.lacking: set[str] = set()
        self.taken: set[tuple[str, int]] = set()
        self.families = {socket.AF_INET, socket.AF_INET6}
        self.next_port = 40_000
        self.open: list[Socket] = []

    def getaddrinfo(self, host: str, port: int, **options: Any) -> list[Any]:
        found = []
        for address in self.names.get(host, [host]):
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            where = (address, port, 0, 0) if ":" in address else (address, port)
            found.append((family, socket.SOCK_STREAM, 6, "", where))
        return found

    def socket(self, family: int, kind: int) -> Socket:
        if family not in self.families:
            raise fault(errno.EAFNOSUPPORT)
        return Socket(self, family)


class Socket:
    """A socket of a machine.

    @ivar both: whether one of IPv6 takes connections of IPv4, too.
    """

    def __init__(self, machine: Machine, family: int) -> None:
        self._machine = machine
        self.family = family
        self.both = True
        self.backlog = 0
        self.blocking = True
        self.name: Any = None
        machine.open.append(self)

    def setsockopt(self, level: int, option: int, value: int) -> None:
        if option == socket.IPV6_V6ONLY and level == socket.IPPROTO_IPV6:
            self.both = not value

    def bind(self, name: Any) -> None:
        host, port, *rest = name
        machine = self._machine
        if host in machine.lacking:
            raise fault(errno.EADDRNOTAVAIL)
        if not port:
            port = machine.next_port
            machine.next_port += 1
        if (host, port) in machine.taken:
            raise fault(errno.EADDRINUSE)
        self.name = (host, port, *rest)

    def listen(self, backlog: int) -> None:
        self.backlog = backlog

    def setblocking(self, blocking: bool) -> None:
        self.blocking = blocking

    def getsockname(self) -> Any:
        return self.name

    def close(self) -> None:
        self._machine.open.remove(self)


def fault(number: int) -> OSError:
    return OSError(number, os.strerror(number))


class TCPBindingTests(SynchronousTestCase):
    """L{TCPBinding}."""

    def setUp(self) -> None:
        self.machine = Machine()
        self.machine.names["gateway"] = ["::1", "127.0.0.1"]
        self.patch(binding.socket, "getaddrinfo", self.machine.getaddrinfo)
        self.patch(binding.socket, "socket", self.machine.socket)

    def places(self, host: str = "gateway", port: int = 18801) -> list[tuple[str, int]]:
        opened: list[Any] = TCPBinding(host, port).open()
        self.assertEqual(opened, self.machine.open)
        self.assertEqual({(each.backlog, each.blocking) for each in opened}, {(BACKLOG, False)})
        return [each.getsockname()[:2] for each in opened]

    def refusal(self, host: str = "gateway", port: int = 18801) -> OSError:
        problem: OSError = self.assertRaises(OSError, TCPBinding(host, port).open)
        self.assertEqual(self.machine.open, [])
        return problem

    def test_every_address(self) -> None:
        """A name's addresses are all listened on, each once, and each for itself: IPv6 is not IPv4 as well."""
        self.machine.names["gateway"] *= 2
        self.assertEqual(self.places(), [("::1", 18801), ("127.0.0.1", 18801)])
        self.assertFalse(self.machine.open[0].both)

    def test_one_address(self) -> None:
        """:: alone is IPv6 and IPv4."""
        self.assertEqual(self.places("::", 0), [("::", 40_000)])
        self.assertTrue(self.machine.open[0].both)

    def test_same_port(self) -> None:
        """A port that the system chooses is the same on all addresses, also if the first choice is taken on one."""
        self.machine.taken = {("127.0.0.1", 40_000), ("127.0.0.1", 40_001)}
        self.assertEqual(self.places(port=0), [("::1", 40_002), ("127.0.0.1", 40_002)])

    def test_no_port_is_free_on_all(self) -> None:
        """After some tries each address has a port of its own."""
        self.machine.taken = {("127.0.0.1", 40_000 + number) for number in range(CHOICES)}
        first, last = 40_000 + CHOICES, 40_001 + CHOICES
        self.assertEqual(self.places(port=0), [("::1", first), ("127.0.0.1", last)])

    def test_without_ipv6(self) -> None:
        """Addresses that the machine lacks are left out, whether it lacks them or their whole family."""
        self.machine.lacking = {"::1"}
        self.assertEqual(self.places(), [("127.0.0.1", 18801)])
        self.setUp()
        self.machine.families.discard(socket.AF_INET6)
        self.assertEqual(self.places(), [("127.0.0.1", 18801)])

    def test_none_is_left(self) -> None:
        """When the machine has none of them the error names the first; of a single address it need not."""
        self.machine.lacking = {"::1", "127.0.0.1"}
        problem = self.refusal()
        self.assertEqual(problem.errno, errno.EADDRNOTAVAIL)
        self.assertEqual(problem.strerror, f"::1: {os.strerror(errno.EADDRNOTAVAIL)}")
        self.assertEqual(self.refusal("127.0.0.1").strerror, os.strerror(errno.EADDRNOTAVAIL))

    def test_all_or_none(self) -> None:
        """When the port is taken on one of them none is listened on, and the error names the address."""
        self.machine.taken = {("127.0.0.1", 18801)}
        self.assertEqual(self.refusal().strerror, f"127.0.0.1: {os.strerror(errno.EADDRINUSE)}")
