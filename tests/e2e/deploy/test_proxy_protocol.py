"""HAProxy in front of the gateway, speaking the PROXY protocol: with the sample of deploy/, and with what it says
changed.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.documents import blocks
from tests.e2e.clients import Client, RawClient
from tests.e2e.conftest import StartGateway
from tests.e2e.deploy.proxies import DEPLOY, PASSING, Proxy, free_port, why_not
from tests.e2e.deploy.test_proxies import CLIENT, LARGE, OTHER, PAGE, opening
from tests.e2e.processes import ADMIN_TOKEN, PATIENCE, Address, GatewayProcess, eventually

PLAIN = {" check-ssl verify none": ""}
"""What the sample is without, where the gateway has no TLS."""
VERSION_1 = {"send-proxy-v2": "send-proxy"}
SUMMED = {"send-proxy-v2": "send-proxy-v2 proxy-v2-options crc32c,authority,unique-id"}
LONG = 65_536
MANY = 1000
"""Messages of that length, more than all sockets between the gateway and a client take by far."""


class Way(NamedTuple):
    """How HAProxy speaks to the gateway. C{changes} are those of the sample."""

    scheme: str
    changes: Mapping[str, str]


WAYS = {
    "TLS, version 2": Way("wss", {}),
    "TLS, version 1": Way("wss", VERSION_1),
    "TLS, version 2 with a checksum": Way("wss", SUMMED),
    "plain, version 2": Way("ws", PLAIN),
    "plain, version 1": Way("ws", PLAIN | VERSION_1),
}


@pytest.fixture(autouse=True)
def installed() -> None:
    """Skip where there is no HAProxy."""
    if reason := why_not(PASSING):
        pytest.skip(reason)


def configured(tmp_path: Path, certificate: Path, scheme: str) -> Path:
    """The page's configuration of the gateway, with or without TLS."""
    text = re.sub(r"/etc/cell0gw/\w+\.pem", str(certificate), blocks(PAGE, "toml")[2])
    if scheme == "ws":
        text = re.sub(r"^tls_.*\n", "", text, flags=re.MULTILINE)
    path = tmp_path / "cell0gw.toml"
    path.write_text(text)
    return path


def behind(start_gateway: StartGateway, options: Path, port: int, *flags: str) -> GatewayProcess:
    """A gateway with that configuration, on another port."""
    own = ("--port", str(port), "--log-format", "json", "--drain-accept", "0s")
    return start_gateway("--config", str(options), *own, *flags)


def connect(proxy: Proxy, scheme: str, token: str | None = None, source: str = CLIENT) -> Client:
    """A client by way of the proxy, whose one port passes on whatever comes."""
    proxy.plain = proxy.tls
    return proxy.connect(token, scheme, "/ws", source)


def figures(client: Client) -> dict[str, int]:
    """The figures of refused handshakes that are not 0."""
    counted: dict[str, Any] = client.call("gateway.getStats")["services"]["handshake"]
    return {cause: count for cause, count in counted.items() if count}


def test_linted(certificate: Path, tmp_path: Path) -> None:
    """HAProxy finds nothing wrong with the sample, nor with what these tests make of it."""
    for number, changes in enumerate(({}, VERSION_1, PLAIN, SUMMED)):
        outcome = Proxy(PASSING, tmp_path / f"proxy-{number}", certificate, free_port(), changes=changes).check()
        assert outcome.status == 0, outcome.output
        assert not re.search("warn|alert|deprecated", outcome.output, re.IGNORECASE), outcome.output
    text = (DEPLOY / PASSING.sample).read_text("utf-8")
    assert all(f"timeout {name} 120s" in text for name in ("client", "server", "tunnel"))


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_serves(way: Way, certificate: Path, tmp_path: Path, start_gateway: StartGateway) -> None:
    """Its health check has the gateway in its rotation, by connections of its own, which are refused nothing; then a
    client is served, whose address is the one that it connected from, and limits go by that.
    """
    port = free_port()
    proxy = Proxy(PASSING, tmp_path / "proxy", certificate, port, changes=way.changes)
    with proxy.running() as process, ExitStack() as stack:
        process.wait_for("(?i)server cell0gw-tcp/gateway is down")
        options = configured(tmp_path, certificate, way.scheme)
        gateway = behind(start_gateway, options, port, "--max-connections-per-address", "1")
        process.wait_for("(?i)server cell0gw-tcp/gateway is up")
        client = stack.enter_context(connect(proxy, way.scheme, ADMIN_TOKEN))
        assert client.call("rpc.echo", message=LARGE) == LARGE
        assert figures(client) == {}
        stack.enter_context(connect(proxy, way.scheme, ADMIN_TOKEN, OTHER))
        assert stack.enter_context(connect(proxy, way.scheme, source=CLIENT)).close_code() == 4504
    assert [(address, peer.rpartition(":")[0]) for address, peer in opening(gateway, 2)] == [
        (CLIENT, "127.0.0.1"),
        (OTHER, "127.0.0.1"),
    ]


def test_unix_socket(certificate: Path, tmp_path: Path, start_gateway: StartGateway) -> None:
    """The gateway on a Unix socket, as the comment of the sample has it, knows the client's address."""
    path = tmp_path / "gateway.sock"
    flags = ("--listen", f"unix:{path}", "--trusted-proxies", "local", "--proxy-protocol", "--log-format", "json")
    gateway = start_gateway(*flags, "--state-dir", str(tmp_path / "state"), place=False)
    proxy = Proxy(PASSING, tmp_path / "proxy", certificate, path, changes=PLAIN)
    with proxy.running(), connect(proxy, "ws", ADMIN_TOKEN) as client:
        assert figures(client) == {}
    ((address, peer),) = opening(gateway, 1)
    assert (address, peer.partition(":")[0]) == (CLIENT, "unix")


def test_past_the_proxy(tmp_path: Path, start_gateway: StartGateway) -> None:
    """Who connects past the proxy is closed without a word, and a line in the log says why, whoever it is."""
    for number, (trusted, cause) in enumerate((("127.0.0.1", "proxy_missing"), ("192.0.2.1", "proxy_untrusted"))):
        flags = ("--trusted-proxies", trusted, "--proxy-protocol", "--log-format", "json")
        gateway = start_gateway(*flags, state_dir=tmp_path / str(number))
        with socket.create_connection(("127.0.0.1", gateway.port), PATIENCE) as client:
            client.sendall(b"GET / HTTP/1.1\r\n")
            with suppress(ConnectionResetError):
                assert client.recv(1) == b""
        gateway.wait_for(rf'"cause": ?"{cause}"')


def test_slow_reader(certificate: Path, tmp_path: Path, start_gateway: StartGateway) -> None:
    """A subscriber behind the proxy that reads nothing is closed, and costs neither the others a message nor the
    publisher an answer.
    """
    port = free_port()
    options = configured(tmp_path, certificate, "ws")
    gateway = behind(start_gateway, options, port, "--outbound-limit", "256KiB", "--calls-per-second", "0")
    proxy = Proxy(PASSING, tmp_path / "proxy", certificate, port, changes=PLAIN)
    with proxy.running(), ExitStack() as stack:
        readers = [stack.enter_context(connect(proxy, "ws", ADMIN_TOKEN)) for _ in range(3)]
        slow = stack.enter_context(RawClient(Address(proxy.tls), 4096))
        slow.call("auth.authenticate", token=ADMIN_TOKEN)
        for subscribe in (readers[0].call, slow.call, readers[1].call, readers[2].call):
            subscribe("channel.subscribe", channel="news")
        publisher = stack.enter_context(connect(proxy, "ws", ADMIN_TOKEN))
        sent = 0
        while not any('"limit.hit"' in line for line in gateway.lines) and sent < MANY:
            publisher.call("channel.publish", channel="news", message=[sent, "x" * LONG])
            sent += 1
            for reader in readers:
                assert reader.notification("channel.message")["message"][0] == sent - 1
        assert sent < MANY
        assert any('"limit.hit"' in line and "outbound_limit" in line for line in gateway.lines)
        for reader in [*readers, publisher]:
            assert reader.call("rpc.ping") == "pong"
        eventually(lambda: publisher.call("gateway.getStats")["services"]["gateway"]["connections"] == 4, "its end")
    assert not [line for line in gateway.lines if "Traceback" in line]
