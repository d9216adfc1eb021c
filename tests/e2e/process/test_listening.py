"""Where it listens: IPv4, IPv6, Unix sockets, several of them, sockets that were handed over."""

from __future__ import annotations

import json
import os
import re
import socket
import stat
import sys
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect, unix_connect

from bench.certificate import make_certificate
from tests.e2e.clients import Client, mint, trusting
from tests.e2e.conftest import StartGateway
from tests.e2e.processes import ADMIN_TOKEN, CHECKOUT, PATIENCE, TWISTD, environment, eventually, run_to_end

ACTIVATE = CHECKOUT / "tests" / "e2e" / "programs" / "activate.py"


def answers(connection: ClientConnection) -> bool:
    """Whether a gateway is at the other end."""
    with connection:
        assert json.loads(connection.recv(PATIENCE))["method"] == "connection.welcome"
        connection.send('{"jsonrpc": "2.0", "method": "rpc.ping", "id": 1}')
        return bool(json.loads(connection.recv(PATIENCE))["result"] == "pong")


def call(path: Path, *requests: tuple[str, dict[str, Any]]) -> list[Any]:
    """Make calls by a Unix socket, one after the other.

    @return: their results.
    """
    results = []
    with unix_connect(str(path), "ws://localhost/") as connection:
        for number, (method, params) in enumerate(requests):
            connection.send(json.dumps({"jsonrpc": "2.0", "method": method, "params": params, "id": number}))
            while (message := json.loads(connection.recv(PATIENCE))).get("id") != number:
                pass
            results.append(message["result"])
    return results


def has_ipv6() -> bool:
    """Whether this machine has the address ::1."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a short name: the path of a socket is at most 107 bytes."""
    return tmp_path_factory.mktemp("s")


def test_default_host_is_ipv4(start_gateway: StartGateway, tmp_path: Path) -> None:
    """The documented host, 0.0.0.0, is IPv4: a client at 127.0.0.1 is served, ::1 is refused."""
    place = ["--port", "0", "--state-dir", str(tmp_path / "state")]
    gateway = start_gateway("--host", "0.0.0.0", *place, place=False)
    assert answers(connect(f"ws://127.0.0.1:{gateway.port}", proxy=None))
    with pytest.raises(OSError):
        connect(f"ws://[::1]:{gateway.port}", proxy=None)


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 on this machine")
@pytest.mark.parametrize("listen", [("--host", "::"), ("--listen", r"tcp:0:interface=\:\:")])
def test_dual_stack(start_gateway: StartGateway, tmp_path: Path, listen: tuple[str, str]) -> None:
    """:: is IPv6 and IPv4."""
    place = ["--port", "0", "--state-dir", str(tmp_path / "state")]
    gateway = start_gateway(*listen, *place, place=False)
    for host in ("127.0.0.1", "[::1]"):
        assert answers(connect(f"ws://{host}:{gateway.port}", proxy=None)), host


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 on this machine")
@pytest.mark.parametrize("listen", [("--host", "gateway", "--port", "0"), ("--listen", "tcp:0:interface=gateway")])
def test_every_address_of_a_name(start_gateway: StartGateway, tmp_path: Path, listen: tuple[str, ...]) -> None:
    """A name is each address that it has, on the same port; one that this machine lacks is left out."""
    names = [
        sys.executable,
        CHECKOUT / "tests" / "e2e" / "programs" / "names.py",
        "gateway=::1,192.0.2.1,127.0.0.1",
        "--",
    ]
    place = ["--state-dir", str(tmp_path / "state")]
    gateway = start_gateway(*listen, *place, place=False, command=[*names, *TWISTD])
    gateway.wait_for(r"listening on 127\.0\.0\.1 port")
    ports = re.findall(r"listening on (\S+) port (\d+)$", gateway.output, re.MULTILINE)
    assert ports == [("::1", str(gateway.port)), ("127.0.0.1", str(gateway.port))]
    for host in ("127.0.0.1", "[::1]"):
        assert answers(connect(f"ws://{host}:{gateway.port}", proxy=None)), host


def test_several_places(start_gateway: StartGateway, folder: Path) -> None:
    """A port and two Unix sockets serve the same gateway; a publication from one place arrives at the others."""
    one, other = folder / "one.sock", folder / "with space.sock"
    config = folder / "gateway.toml"
    config.write_text(f'[gateway]\nlisten = ["tcp:0:interface=127.0.0.1", "unix:{one}", "unix:{other}:mode=600"]\n')
    gateway = start_gateway("--config", str(config))
    assert [stat.S_IMODE(path.stat().st_mode) for path in (one, other)] == [0o660, 0o600]
    token = mint(gateway, "agent_001")
    with Client(gateway, ADMIN_TOKEN) as client:
        client.call("channel.subscribe", channel="events")
        for path in (one, other):
            opened, published = call(
                path,
                ("auth.authenticate", {"token": token}),
                ("channel.publish", {"channel": "events", "message": "x" * 100_000}),
            )
            assert (opened["entity_id"], published["recipients"]) == ("agent_001", 1)
            assert len(client.notification("channel.message")["message"]) == 100_000
    gateway.wait_for(rf"agent_001 opened \S+ on \S+ from unix:{os.getpid()}$")
    gateway.stop()
    assert not one.exists() and not other.exists()


def test_stale_socket(start_gateway: StartGateway, folder: Path) -> None:
    """After kill -9 the next gateway replaces the socket that was left behind."""
    path = folder / "gateway.sock"
    first = start_gateway("--listen", f"unix:{path}")
    first.kill()
    assert path.exists()
    start_gateway("--listen", f"unix:{path}")
    assert answers(unix_connect(str(path), "ws://localhost/"))


def test_tls_beside_unix(start_gateway: StartGateway, tmp_path: Path, folder: Path) -> None:
    """With a certificate TCP speaks TLS and a Unix socket does not; an ssl: endpoint has a certificate of its own."""
    own = make_certificate(tmp_path, "own")
    certificate, path = make_certificate(tmp_path), folder / "gateway.sock"
    listen = f"tcp:0:interface=127.0.0.1 ssl:0:interface=127.0.0.1:privateKey={own} unix:{path}"
    gateway = start_gateway("--tls-cert", str(certificate), "--listen", listen)
    gateway.wait_for(f"listening on {path}$")
    first, second = re.findall(r"listening on 127\.0\.0\.1 port (\d+) with TLS", gateway.output)
    for port, trusted in ((first, certificate), (second, own)):
        context = trusting(trusted)
        assert answers(connect(f"wss://127.0.0.1:{port}", ssl=context, proxy=None))
    assert answers(unix_connect(str(path), "ws://localhost/"))


@pytest.mark.parametrize(
    ("listen", "words"),
    [
        ("unix:{taken}", "can't listen on unix:{taken} \\(Address already in use\\): .*--listen$"),
        ("tcp:{port}:interface=127.0.0.1", "can't listen on tcp:{port}.* \\(Address already in use\\): .*--listen$"),
        ("tcp:0 unix:/nowhere/x.sock", "can't listen on unix:/nowhere/x.sock \\(No such file or directory\\)"),
        ("systemd:name=cell0gw", "can't listen on systemd:name=cell0gw: no such socket was handed over"),
        ("18801", "can't listen on 18801: Unknown endpoint type"),
    ],
)
def test_refused(tmp_path: Path, folder: Path, listen: str, words: str) -> None:
    """A place that can't be had ends the start at once with 1 and one line."""
    with socket.socket(socket.AF_UNIX) as taken, socket.create_server(("127.0.0.1", 0)) as port:
        taken.bind(str(folder / "taken"))
        taken.listen()
        known = {"taken": str(folder / "taken"), "port": port.getsockname()[1]}
        command = [*TWISTD, "--state-dir", tmp_path / "state", "--listen", listen.format(**known)]
        done = run_to_end(command, environment(), tmp_path)
    assert done.status == 1
    assert re.fullmatch(f"cell0gw: {words.format(**known)}.*\n", done.output), done.output


def activated(*given: tuple[str, socket.socket]) -> dict[str, Any]:
    """How L{StartGateway} starts a gateway as systemd does, with sockets by these names."""
    sockets = [f"{name}={each.fileno()}" for name, each in given]
    return {
        "command": [sys.executable, ACTIVATE, *sockets, "--", *TWISTD],
        "pass_fds": [each.fileno() for _, each in given],
    }


def test_handed_over(start_gateway: StartGateway, folder: Path) -> None:
    """Sockets that were handed over are served by their name, two of one name as well, TCP and Unix; those stay."""
    path = folder / "gateway.sock"
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as two,
        socket.socket(socket.AF_UNIX) as local,
        socket.create_server(("127.0.0.1", 0)) as other,
    ):
        local.bind(str(path))
        local.listen()
        given = activated(("web", one), ("other", other), ("web", two), ("local", local))
        gateway = start_gateway("--listen", "systemd:name=web systemd:domain=UNIX:name=local", **given)
        gateway.wait_for(f"listening on {path}$")
        for each in (one, two):
            assert answers(connect(f"ws://127.0.0.1:{each.getsockname()[1]}", proxy=None))
        assert answers(unix_connect(str(path), "ws://localhost/"))
        gateway.stop()
        assert path.exists(), "it is not the gateway's to remove"
        with socket.create_connection(other.getsockname()):
            other.accept()[0].close()


class Visitor(Thread):
    """A client that connects, calls, and leaves, over and over.

    @ivar served: how often it was answered; C{sent_away}: how often closed with 4001 before that.
    @ivar failures: whatever else happened.
    """

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._url = f"ws://127.0.0.1:{port}"
        self.enough = Event()
        self.served = self.sent_away = 0
        self.failures: list[str] = []
        self.start()

    def run(self) -> None:
        """Until it is enough."""
        while not self.enough.is_set():
            try:
                self.served += answers(connect(self._url, proxy=None, open_timeout=PATIENCE))
            except ConnectionClosed as closed:
                if closed.rcvd is not None and closed.rcvd.code == 4001:
                    self.sent_away += 1
                else:
                    self.failures.append(repr(closed))
            except Exception as failure:
                self.failures.append(repr(failure))


def test_restart_under_load(start_gateway: StartGateway) -> None:
    """Over restarts on a socket that was handed over, every client that comes is served or told to come again:
    none is refused, none is cut off."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:
        given = activated(("cell0gw", listening))
        gateway = start_gateway("--listen", "systemd:name=cell0gw", **given)
        visitors = [Visitor(listening.getsockname()[1]) for _ in range(4)]
        for _ in range(3):
            before = [visitor.served for visitor in visitors]
            eventually(
                lambda before=before: all(v.served > b + 20 for v, b in zip(visitors, before, strict=True)), "calls"
            )
            gateway.signal()
            assert gateway.wait() == 0
            gateway = start_gateway("--listen", "systemd:name=cell0gw", **given)
        before = [visitor.served for visitor in visitors]
        eventually(lambda: all(v.served > b for v, b in zip(visitors, before, strict=True)), "calls")
        for visitor in visitors:
            visitor.enough.set()
        for visitor in visitors:
            visitor.join(PATIENCE)
        gateway.stop()
    assert [visitor.failures for visitor in visitors] == [[]] * 4
