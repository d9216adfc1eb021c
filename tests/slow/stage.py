"""A gateway with slow lines to it, and those who read there."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from threading import Event
from typing import Any, Final, Protocol

from tests.e2e.clients import Client, trusting
from tests.e2e.process.test_listening import activated
from tests.e2e.processes import ADMIN_TOKEN, Address, GatewayProcess
from tests.slow.line import BUFFER, SlowLine

PATIENCE: Final = 600.0
"""Seconds that anything may take to arrive on a slow line."""

TICKS: Final = "ticks"
"""The channel of the small messages."""


class Start(Protocol):
    """Starts a gateway, as C{start_gateway} of the tests by pytest does."""

    def __call__(self, *flags: str, command: Sequence[str | Path], pass_fds: Sequence[int]) -> GatewayProcess:
        """Start one with these flags."""


class Reader(Client):
    """A client on a slow line, which gets the small messages beside what it is there for.

    @ivar ticks: the numbers of the small messages that came.
    @ivar heartbeats: how many came.
    """

    ticks: list[int]
    heartbeats = 0

    def step(self) -> Any:
        """Read one message.

        @return: it; None: it was a small one, or a heartbeat.
        """
        message = json.loads(self.connection.recv(PATIENCE))
        method, params = message.get("method"), message.get("params", {})
        if method == "heartbeat":
            self.heartbeats += 1
        elif method == "channel.message" and params["channel"] == TICKS:
            self.ticks.append(params["message"])
        else:
            return message
        return None

    def receive(self) -> Any:
        """The next message, small ones apart."""
        while (message := self.step()) is None:
            pass
        return message

    def answer(self, request_id: str) -> Any:
        """The result of a request that was sent with this id."""
        while (message := self.receive()).get("id") != request_id:
            self.messages.append(message)
        return message["result"]

    def post(self, method: str, params: Any, request_id: str) -> None:
        """Make a call, and wait for nothing."""
        self.connection.send(json.dumps({"jsonrpc": "2.0", "method": method, "params": params, "id": request_id}))

    def settle(self) -> None:
        """Heartbeats and small messages come again, and of the small ones none was left out."""
        before = len(self.ticks)
        while not self.heartbeats or len(self.ticks) < before + 2:
            self.step()
        assert self.ticks == list(range(self.ticks[0], self.ticks[0] + len(self.ticks))), self.ticks


class Stage:
    """A gateway, the ways to it, and small messages that everyone gets all the time.

    @param gateway: the process, or whatever tells of one.
    @param certificate: its certificate; None: it has no TLS.
    @param pause: seconds between two small messages.
    """

    def __init__(self, gateway: GatewayProcess, certificate: Path | None, pause: float) -> None:
        self.gateway = gateway
        self._scheme = "ws" if certificate is None else "wss"
        self._pause = pause
        # Compressed, all would be short; and what its library does not read, the client would not either.
        self._options: dict[str, Any] = {"compression": None, "max_queue": None}
        if certificate is not None:
            self._options["ssl"] = trusting(certificate)
        self._numbers = count()
        self.enough = Event()

    def quick(self, token: str = ADMIN_TOKEN) -> Client:
        """A client on a quick line."""
        return Client(Address(self.gateway.port, self._scheme), token, **self._options)

    def name(self, kind: str) -> str:
        """A name that nobody has."""
        return f"{kind}_{next(self._numbers)}"

    def token(self, name: str) -> str:
        """A token for whatever that does."""
        with self.quick() as admin:
            token: str = admin.call("auth.generateToken", entity_id=name, permissions=["*"])["token"]
            return token

    @contextmanager
    def slow(self, line: SlowLine, token: str, **declared: Any) -> Iterator[Reader]:
        """A client on a slow line; when all is done, heartbeats and small messages must come as before."""
        with self.reading(line, token, **declared) as reader:
            yield reader
            reader.settle()

    @contextmanager
    def reading(self, line: SlowLine, token: str, **declared: Any) -> Iterator[Reader]:
        """A client on a slow line, whatever becomes of it."""
        address = Address(line.port, self._scheme)
        with Reader(address, open_timeout=60, close_timeout=60, **self._options) as reader:
            reader.ticks = []
            reader.call("auth.authenticate", token=token, **declared)
            reader.call("channel.subscribe", channel=TICKS)
            yield reader

    def tick(self) -> None:
        """Publish small messages until it is enough."""
        with self.quick() as admin:
            number = 0
            while not self.enough.wait(self._pause):
                admin.call("channel.publish", channel=TICKS, message=number)
                number += 1


@contextmanager
def staged(start: Start, certificate: Path | None, *flags: str, pause: float = 0.1) -> Iterator[Stage]:
    """A gateway whose connections have little memory of the kernel's, so that what is on its way is the gateway's.

    @param certificate: what it speaks TLS with.
    @param pause: seconds between two small messages.
    """
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
        secure = () if certificate is None else ("--tls-cert", str(certificate))
        gateway = start("--listen", "systemd:name=cell0gw", *secure, *flags, **activated(("cell0gw", listening)))
        yield Stage(gateway, certificate, pause)
        gateway.stop()
