"""SIGHUP: certificates and options change, and no connection notices."""

from __future__ import annotations

import os
import pty
import signal
import socket
import ssl
from pathlib import Path

import pytest

from bench.certificate import make_certificate
from tests.e2e.clients import Client, trusting
from tests.e2e.conftest import StartGateway
from tests.e2e.processes import ADMIN_TOKEN, TWISTD, Address, GatewayProcess, environment


def certificate_of(port: int) -> bytes:
    """The certificate that a new handshake is made with."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", port), 30) as plain,
        context.wrap_socket(plain) as secured,
    ):
        certificate = secured.getpeercert(binary_form=True)
        assert certificate is not None
        return certificate


def reload(gateway: GatewayProcess, line: str = "the options were read again") -> None:
    """Send SIGHUP, and wait for one more of these lines in the log."""
    before = gateway.output.count(line)
    gateway.signal(signal.SIGHUP)
    gateway.wait_until(lambda: gateway.output.count(line) > before, line)


@pytest.mark.parametrize("listen", ["tcp:0:interface=127.0.0.1", "ssl:0:interface=127.0.0.1:privateKey={path}"])
def test_new_certificate(start_gateway: StartGateway, tmp_path: Path, listen: str) -> None:
    """After SIGHUP new handshakes are made with the certificate that is in the file by then; who is connected stays. A
    file that can't be used changes nothing."""
    certificate = make_certificate(tmp_path)
    tls = [] if listen.startswith("ssl:") else ["--tls-cert", str(certificate)]
    gateway = start_gateway("--listen", listen.format(path=certificate), *tls)
    context = trusting(certificate)
    first = certificate_of(gateway.port)
    with Client(Address(gateway.port, "wss"), ADMIN_TOKEN, ssl=context) as connected:
        certificate.write_text("spoilt")
        reload(gateway, "nothing has changed")
        assert certificate_of(gateway.port) == first
        make_certificate(tmp_path)
        assert certificate_of(gateway.port) == first, "not before it is told to"
        reload(gateway)
        second = certificate_of(gateway.port)
        assert second != first
        assert connected.call("rpc.echo", message="x" * 100_000) == "x" * 100_000
        with Client(Address(gateway.port, "wss"), ADMIN_TOKEN, ssl=trusting(certificate)) as newcomer:
            assert newcomer.call("rpc.ping") == "pong"


def test_options(start_gateway: StartGateway, tmp_path: Path) -> None:
    """The file is read again: what can change holds for those who are connected, the rest is named in one line; flags
    win as before; a file that can't be used changes nothing."""
    config = tmp_path / "gateway.toml"
    config.write_text("[gateway]\nmax_batch = 2\n")
    gateway = start_gateway("--config", str(config), "--max-errors", "40")
    with Client(gateway, ADMIN_TOKEN) as client:
        config.write_text("[gateway]\nmax_batch = \n")
        reload(gateway, "nothing has changed")
        config.write_text(
            '[gateway]\nmax_subscriptions = 1\nmax_errors = 1\nlog_level = "debug"\nmax_hops = 3\nport = 7\n'
            '[[channels]]\npattern = "news"\nhistory_size = 1\n'
        )
        reload(gateway)
        gateway.wait_for("changed: max_batch, max_subscriptions, channels, log_level$")
        gateway.wait_for(r"\[warn\] these options need a restart to change: max_hops$")
        client.call("channel.subscribe", channel="news")
        assert client.request("channel.subscribe", channel="more")["error"]["code"] == -32005
        for number in range(3):
            client.call("channel.publish", channel="news", message=number)
        (held,) = client.call("channel.history", channel="news")["messages"]
        assert held["message"] == 2
        with Client(gateway) as newcomer:
            limits = newcomer.notification("connection.welcome")["limits"]
    assert (limits["max_batch"], limits["max_subscriptions"]) == (50, 1)


def test_before_and_after(start_gateway: StartGateway) -> None:
    """SIGHUP over and over, and while it drains, does no harm: the process serves, and ends with 0."""
    gateway = start_gateway()
    with Client(gateway, ADMIN_TOKEN) as client:
        for _ in range(20):
            gateway.signal(signal.SIGHUP)
        reload(gateway)
        assert client.call("rpc.ping") == "pong"
        gateway.signal()
        gateway.signal(signal.SIGHUP)
        assert client.close_code() == 4001
    assert gateway.wait() == 0


def test_terminal_that_is_closed(tmp_path: Path) -> None:
    """When the terminal is closed in which it runs, it drains and ends rather than live on unseen."""
    child, terminal = pty.fork()
    if child == 0:
        signal.alarm(60)
        os.chdir(tmp_path)
        os.execve(
            TWISTD[0],
            [str(word) for word in (*TWISTD, "--host", "127.0.0.1", "--port", "0", "--state-dir", tmp_path / "state")],
            environment(CELL0_GATEWAY_ADMIN_TOKEN=ADMIN_TOKEN),
        )
    seen = b""
    while b"listening on" not in seen:
        seen += os.read(terminal, 65536)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
