"""docs/resuming_client.py, run as it stands there, while its gateway is killed and its connection is cut."""

from __future__ import annotations

import re
import select
import signal
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread
from types import TracebackType
from typing import Self

import pytest
from websockets.exceptions import WebSocketException

from tests.e2e.clients import Client, mint
from tests.e2e.conftest import StartGateway
from tests.e2e.processes import (
    ADMIN_TOKEN,
    CHECKOUT,
    PATIENCE,
    Address,
    GatewayProcess,
    Process,
    environment,
    eventually,
)

CHANNEL = "durable.orders"
RULES = '[[channels]]\npattern = "durable.>"\ndurable = true\n'
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing the socket sends a reset


class Cable:
    """Passes on what comes to a port of its own, until it is cut."""

    def __init__(self, port: int) -> None:
        self._to = ("127.0.0.1", port)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._wake, self._woken = socket.socketpair()
        self._ends: dict[socket.socket, socket.socket] = {}
        self._thread = Thread(target=self._pass_on)
        self.port: int = self._listening.getsockname()[1]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._wake.send(b"end")
        self._thread.join(PATIENCE)
        for each in (self._listening, self._wake, self._woken):
            each.close()

    def cut(self) -> None:
        """Reset all connections, at both ends; what is on its way is gone. New ones are welcome."""
        self._wake.send(b"cut")

    def _pass_on(self) -> None:
        while True:
            ready, _, _ = select.select([self._listening, self._woken, *self._ends], [], [])
            for each in ready:
                if each is self._listening:
                    self._accept()
                elif each is self._woken:
                    order = each.recv(3)
                    for end in list(self._ends):
                        self._cut(end)
                    if order == b"end":
                        return
                elif each in self._ends:
                    try:
                        data = each.recv(65536)
                        self._ends[each].sendall(data)
                    except OSError:
                        data = b""
                    if not data:
                        self._cut(each)

    def _accept(self) -> None:
        near, _ = self._listening.accept()
        try:
            far = socket.create_connection(self._to)
        except OSError:
            near.close()
            return
        self._ends |= {near: far, far: near}

    def _cut(self, end: socket.socket) -> None:
        other = self._ends.pop(end, None)
        if other is not None:
            del self._ends[other]
            for each in (end, other):
                each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                each.close()


class Publishing(Thread):
    """Publishes numbers, each with its key, until it is told to stop; where the gateway is gone it tries again.

    @ivar published: how many are acknowledged.
    """

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._gateway = Address(port)
        self._over = Event()
        self.published = 0

    def stop(self) -> int:
        """Finish the number that is being published.

        @return: how many there are.
        """
        self._over.set()
        self.join(PATIENCE)
        assert not self.is_alive()
        return self.published

    def run(self) -> None:
        """See L{Thread}."""
        while not self._over.is_set():
            try:
                with Client(self._gateway, ADMIN_TOKEN) as client:
                    while not self._over.is_set():
                        key = f"order-{self.published}"
                        client.call("channel.publish", channel=CHANNEL, message=self.published, idempotency_key=key)
                        self.published += 1
            except (OSError, WebSocketException):
                self._over.wait(0.05)


StartClient = Callable[..., Process]
Again = Callable[..., GatewayProcess]


@pytest.fixture
def start_client(tmp_path: Path) -> Iterator[StartClient]:
    """Starts the program of the documentation, on a port and with a token."""
    started: list[Process] = []

    def start(port: int, token: str, channel: str = CHANNEL) -> Process:
        command: list[str | Path] = [
            sys.executable,
            CHECKOUT / "docs" / "resuming_client.py",
            Address(port).url,
            channel,
        ]
        started.append(Process(command, environment(CELL0_TOKEN=token, no_proxy="127.0.0.1"), tmp_path))
        started[-1].wait_for(f"# {channel} begins after 0")
        return started[-1]

    yield start
    for client in started:
        client.kill()


def numbers(client: Process) -> list[int]:
    """The messages it has printed; the offsets must be theirs."""
    printed = [line.split() for line in list(client.lines) if not line.startswith("#")]
    assert all(int(offset) == int(number) + 1 for offset, number in printed), client.output
    return [int(number) for _, number in printed]


def wait_for_more(client: Process, count: int = 50) -> None:
    """Wait until it has printed some more messages."""
    before = len(numbers(client))
    client.wait_until(lambda: len(numbers(client)) >= before + count, f"{count} more messages")


def times(client: Process, pattern: str) -> int:
    """How many lines match."""
    return sum(re.search(pattern, line) is not None for line in list(client.lines))


@pytest.fixture
def again(start_gateway: StartGateway, tmp_path: Path) -> Again:
    """Starts a gateway, on the port and the state folder of one before, which is killed for it."""
    config = tmp_path / "gateway.toml"

    def again(gateway: GatewayProcess | None = None) -> GatewayProcess:
        config.write_text(RULES)
        port = "0"
        if gateway is not None:
            port = str(gateway.port)
            gateway.signal(signal.SIGKILL)
            assert gateway.wait() == -signal.SIGKILL
        return start_gateway("--config", str(config), "--port", port)

    return again


def test_gateway_killed(again: Again, start_client: StartClient) -> None:
    """The gateway is killed twice while it is being published to: the client has every message, once, in order."""
    gateway = again()
    client = start_client(gateway.port, mint(gateway, "reader"))
    publishing = Publishing(gateway.port)
    publishing.start()
    for _ in range(2):
        wait_for_more(client)
        gateway = again(gateway)
    wait_for_more(client)
    count = publishing.stop()
    client.wait_until(lambda: len(numbers(client)) >= count, "the last message")
    assert numbers(client) == list(range(count))
    assert times(client, "goes on after") == 2
    assert times(client, "LOST") == 0


def test_connection_cut(again: Again, start_client: StartClient) -> None:
    """Its connection is cut five times, with messages on their way: it resumes, and has every message, once."""
    gateway = again()
    with Cable(gateway.port) as cable:
        client = start_client(cable.port, mint(gateway, "reader"))
        publishing = Publishing(gateway.port)
        publishing.start()
        for number in range(1, 6):
            wait_for_more(client)
            cable.cut()
            client.wait_until(lambda number=number: times(client, "goes on after") >= number, "the connection")
        count = publishing.stop()
        client.wait_until(lambda: len(numbers(client)) >= count, "the last message")
        assert numbers(client) == list(range(count))
        assert times(client, "LOST") == 0
        with Client(gateway, ADMIN_TOKEN) as admin:
            assert admin.call("gateway.getStats")["services"]["session"]["sessions_resumed"] >= 1


def test_what_is_lost_is_told(again: Again, start_client: StartClient) -> None:
    """Where messages do not survive the gateway, the client says so, and goes on with the next one."""
    gateway = again()
    client = start_client(gateway.port, mint(gateway, "reader"), "passing.news")
    with Client(gateway, ADMIN_TOKEN) as admin:
        admin.call("channel.publish", channel="passing.news", message=0)
    client.wait_for("^1 0$")
    gateway = again(gateway)
    client.wait_for("# LOST passing.news: its numbering began anew")
    with Client(gateway, ADMIN_TOKEN) as admin:
        admin.call("channel.publish", channel="passing.news", message=0)
    client.wait_until(lambda: numbers(client) == [0, 0], "the next message")


def test_token_renewed(again: Again, start_client: StartClient) -> None:
    """It renews its token when that is about to expire, and outlives the first one on the same connection."""
    gateway = again()
    token = mint(gateway, "reader", expires_in_hours=6 / 3600, renewable_for_hours=1)
    client = start_client(gateway.port, token)
    with Client(gateway, ADMIN_TOKEN) as admin:
        listed = admin.call("auth.listTokens")["tokens"]
        first = next(entry["expires_at"] for entry in listed if entry["entity_id"] == "reader")
        eventually(lambda: admin.call("rpc.getServerInfo")["timestamp"] > first, "the end of the first token")
        admin.call("channel.publish", channel=CHANNEL, message=0)
        client.wait_for("^1 0$")
    assert times(client, "the token is renewed") >= 1
    assert times(client, "the connection is gone") == 0


def test_last_token(again: Again, start_client: StartClient) -> None:
    """Where its token can't be renewed it says so, and ends with it."""
    gateway = again()
    client = start_client(gateway.port, mint(gateway, "reader", expires_in_hours=6 / 3600))
    client.wait_for("# this token is the last one: auth.renew: Your token is not renewable")
    assert client.wait() == 1
    client.wait_for("# the gateway sent us away: 4507")


def test_not_again(again: Again, start_client: StartClient) -> None:
    """When its token is revoked it ends, and does not try again."""
    gateway = again()
    client = start_client(gateway.port, mint(gateway, "reader"))
    with Client(gateway, ADMIN_TOKEN) as admin:
        admin.call("auth.revokeToken", entity_id="reader")
    assert client.wait() == 1
    client.wait_for("# the gateway sent us away: 4507")
