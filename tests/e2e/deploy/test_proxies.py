"""The samples for reverse proxies, in front of a gateway that is configured as the documentation says."""

from __future__ import annotations

import json
import re
import signal
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from cell0gw.config.options import Config
from tests.documents import blocks, document
from tests.e2e.conftest import StartGateway
from tests.e2e.deploy.proxies import DEPLOY, PLACES, SITE, SOCKET, SOFTWARE, Proxy, Software, free_port, why_not
from tests.e2e.processes import ADMIN_TOKEN, GatewayProcess, eventually

PAGE = document("docs/how-to/behind-a-proxy.md")
LARGE = "x" * 300_000
WANTED = "OCSP|redirects are disabled"
"""What Caddy warns of here: a certificate like that of L{certificate}, and what the sample says on purpose."""
CLIENT, OTHER = "127.0.0.5", "127.0.0.6"
"""Where clients connect from; the proxies connect from 127.0.0.1."""


@pytest.fixture
def options(tmp_path: Path) -> Path:
    """The page's configuration of the gateway."""
    path = tmp_path / "cell0gw.toml"
    path.write_text(blocks(PAGE, "toml")[0])
    return path


def behind(start_gateway: StartGateway, options: Path, port: int, *flags: str) -> GatewayProcess:
    """A gateway with the page's configuration, on another port, which does not wait for newcomers unless told to."""
    own = ("--port", str(port), "--log-format", "json", "--drain-accept", "0s")
    return start_gateway("--config", str(options), *own, *flags)


def opening(gateway: GatewayProcess, count: int) -> list[tuple[str, str]]:
    """Of each session in the gateway's log, which is JSON, the client's address and the proxy.

    @param count: how many sessions there are; the log is written a moment later.
    """

    def opened() -> list[tuple[str, str]]:
        lines = [json.loads(line) for line in gateway.lines if line.startswith("{")]
        return [(line["address"], line["proxy"]) for line in lines if line.get("event") == "session.opened"]

    gateway.wait_until(lambda: len(opened()) >= count, f"sessions: {count}")
    return opened()


@pytest.mark.parametrize("software", SOFTWARE, ids=str)
def test_what_is_replaced(software: Software) -> None:
    """The samples have what these tests replace, the name that the page has, and no other ports."""
    text = (DEPLOY / software.sample).read_text("utf-8")
    expected = PLACES.keys() - ({"timeout"} if software.program == "caddy" else set())
    assert {what for what, pattern in PLACES.items() if re.search(pattern, text)} == expected
    lines = "\n".join(line for line in text.splitlines() if not line.strip().startswith("#"))
    assert set(re.findall(r":(\d{2,5})\b", lines)) <= {"443", "8080", "18801"}
    assert SITE in text or software.program == "haproxy"


@pytest.mark.parametrize("software", SOFTWARE, ids=str)
def test_timeouts_are_longer_than_heartbeats(software: Software) -> None:
    """The timeouts for WebSockets are longer than the gateway's, whose number is in the comment."""
    text = (DEPLOY / software.sample).read_text("utf-8")
    said = re.findall(r"heartbeat_timeout \((\d+) s\)", text)
    assert set(said) <= {f"{Config().heartbeat_timeout:g}"}
    assert Config().heartbeat_timeout < 120
    patterns = {
        "nginx": ["proxy_read_timeout 120s;", "proxy_send_timeout 120s;"],
        "haproxy": ["timeout client 120s", "timeout server 120s", "timeout tunnel 120s"],
        "apache2": [" timeout=120 "],
        "caddy": [],
    }[software.program]
    assert [pattern for pattern in patterns if pattern not in text] == []
    assert bool(said) == bool(patterns)


def test_linted(software: Software, certificate: Path, tmp_path: Path) -> None:
    """The software finds nothing wrong with its sample."""
    outcome = Proxy(software, tmp_path / "proxy", certificate, free_port()).check()
    assert outcome.status == 0, outcome.output
    warnings = re.findall(r"^.*\b(?:warn|warning|alert|deprecated)\b.*$", outcome.output, re.IGNORECASE | re.MULTILINE)
    assert [line for line in warnings if not re.search(WANTED, line)] == []


def test_serves(
    software: Software, certificate: Path, tmp_path: Path, start_gateway: StartGateway, options: Path
) -> None:
    """With TLS and without, with the prefix and without: calls, long messages both ways, compressed or not, the page
    and the health check; the gateway's close code arrives; the client's address is the one that it connected from,
    whatever it says itself.
    """
    port = free_port()
    gateway = behind(start_gateway, options, port)
    proxy = Proxy(software, tmp_path / "proxy", certificate, port)
    with proxy.running():
        for scheme, path in (("wss", "/ws"), ("wss", "/gateway/ws"), ("ws", "/"), ("ws", "/gateway/")):
            for compression in ("deflate", None):
                forged = {"X-Forwarded-For": "203.0.113.9"}
                with proxy.connect(
                    ADMIN_TOKEN, scheme, path, CLIENT, compression=compression, additional_headers=forged
                ) as client:
                    negotiated = client.connection.protocol.extensions
                    assert [extension.name for extension in negotiated] == ["permessage-deflate"] * bool(compression)
                    assert client.call("rpc.echo", message=LARGE) == LARGE
                    client.connection.send(b"binary")
                    assert client.close_code() == 1003
        for scheme in ("https", "http"):
            for path in ("/health", "/gateway/health"):
                assert proxy.get(path, scheme) == "200 ok"
            assert proxy.get("/ws", scheme).startswith("426 ")
            assert proxy.get("/nowhere", scheme).startswith("404 ")
    opened = opening(gateway, 8)
    assert len(opened) == 8
    assert {address for address, _ in opened} == {CLIENT}
    assert {proxy.rpartition(":")[0] for _, proxy in opened} == {"127.0.0.1"}


def test_limits_by_address(
    software: Software, certificate: Path, tmp_path: Path, start_gateway: StartGateway, options: Path
) -> None:
    """Limits by address count the clients' addresses, and not the proxy's."""
    port = free_port()
    behind(start_gateway, options, port, "--max-connections-per-address", "1")
    with ExitStack() as stack:
        proxy = Proxy(software, tmp_path / "proxy", certificate, port)
        stack.enter_context(proxy.running())
        stack.enter_context(proxy.connect(ADMIN_TOKEN, source=CLIENT))
        stack.enter_context(proxy.connect(ADMIN_TOKEN, source=OTHER))
        assert stack.enter_context(proxy.connect(source=CLIENT)).close_code() == 4504


def test_unix_socket(software: Software, certificate: Path, tmp_path: Path, start_gateway: StartGateway) -> None:
    """The gateway on a Unix socket, as the page and the comments of the samples have it, knows the client's address."""
    if SOCKET not in (DEPLOY / software.sample).read_text("utf-8"):
        pytest.skip("the sample has no Unix socket")
    options, path = tmp_path / "cell0gw.toml", tmp_path / "gateway.sock"
    options.write_text(blocks(PAGE, "toml")[1].replace(SOCKET, str(path)))
    state = ("--state-dir", str(tmp_path / "state"))
    gateway = start_gateway("--config", str(options), "--log-format", "json", *state, place=False)
    proxy = Proxy(software, tmp_path / "proxy", certificate, path)
    with proxy.running(), proxy.connect(ADMIN_TOKEN, source=CLIENT) as client:
        assert client.call("rpc.ping") == "pong"
        ((address, peer),) = opening(gateway, 1)
    assert (address, peer.partition(":")[0]) == (CLIENT, "unix")


@pytest.mark.long
def test_start_and_stop(
    software: Software, certificate: Path, tmp_path: Path, start_gateway: StartGateway, options: Path
) -> None:
    """A proxy that is there before the gateway answers 502 or 503, and serves as soon as the gateway does. When that
    drains, its clients are told 4001; where the sample has a health check nobody new is sent there, though it still
    listens. After a restart it serves again.
    """
    port = free_port()
    proxy = Proxy(software, tmp_path / "proxy", certificate, port)
    with proxy.running():
        assert proxy.get("/health")[:3] in {"502", "503"}
        for _ in range(2):
            gateway = behind(start_gateway, options, port, "--drain-timeout", "99s", "--drain-accept", "90s")
            eventually(lambda: proxy.get("/health") == "200 ok", "the gateway behind the proxy")
            with proxy.connect(ADMIN_TOKEN) as client:
                gateway.signal()
                assert client.close_code() == 4001
            if software.program == "nginx":
                assert proxy.get("/health") == "503 draining"
            else:
                eventually(lambda: proxy.get("/health")[4:] not in {"ok", "draining"}, "the end of its rotation")
                assert proxy.get("/health").startswith("503 ")
            gateway.signal(signal.SIGKILL)
            gateway.wait()


@pytest.mark.long
def test_silence(certificate: Path, tmp_path: Path, start_gateway: StartGateway, options: Path) -> None:
    """A client that says nothing stays connected by the gateway's heartbeats alone, for longer than the timeouts."""
    installed = [software for software in SOFTWARE if why_not(software) is None]
    if not installed:
        pytest.skip("no proxy is installed")
    port, timeout = free_port(), 4
    behind(start_gateway, options, port, "--heartbeat-interval", "1s")
    with ExitStack() as stack:
        clients = {}
        for software in installed:
            proxy = Proxy(software, tmp_path / software.program, certificate, port, timeout)
            stack.enter_context(proxy.running())
            clients[software.program] = stack.enter_context(proxy.connect(ADMIN_TOKEN))
        time.sleep(2 * timeout)
        assert {name: client.call("rpc.ping") for name, client in clients.items()} == dict.fromkeys(clients, "pong")
