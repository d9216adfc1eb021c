"""SIGHUP: certificates and options change, and no connection notices."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import socket
import ssl
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from bench.certificate import make_certificate
from tests.e2e.clients import Client, trusting
from tests.e2e.conftest import StartGateway
from tests.e2e.processes import ADMIN_TOKEN, PATIENCE, TWISTD, Address, GatewayProcess, environment


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


def start_in_terminal(folder: Path, *flags: str) -> tuple[int, int]:
    """Start a gateway whose terminal this is.

    @return: its process id, and the other end of the terminal.
    """
    child, terminal = pty.fork()
    if child == 0:
        signal.alarm(60)
        os.chdir(folder)
        place = ("--host", "127.0.0.1", "--port", "0", "--state-dir", folder / "state")
        os.execve(
            TWISTD[0],
            [str(word) for word in (*TWISTD, *place, *flags)],
            environment(CELL0_GATEWAY_ADMIN_TOKEN=ADMIN_TOKEN),
        )
    return child, terminal


def shown(terminal: int, until: bytes) -> bytes:
    """What a terminal shows until a text is in it, or until it is closed."""
    seen = b""
    with suppress(OSError):  # how Linux tells of the end
        while until not in seen:
            assert select.select([terminal], [], [], PATIENCE)[0], seen
            seen += os.read(terminal, 65536)
    return seen


def test_terminal_that_is_closed(tmp_path: Path) -> None:
    """When the terminal is closed in which it runs, it drains and ends rather than live on unseen."""
    child, terminal = start_in_terminal(tmp_path)
    assert b"listening on" in shown(terminal, b"listening on")
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def lock(path: Path) -> None:
    """Give the key in a file, which also has its certificate, a pass phrase."""
    data = path.read_bytes()
    certificate, begin, _ = data.partition(b"-----BEGIN PRIVATE KEY")
    assert begin
    locked = load_pem_private_key(data, None).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"open sesame")
    )
    path.write_bytes(certificate + locked)


@pytest.mark.parametrize(
    ("way", "option"),
    [
        ("--tls-cert {path}", "tls_key_passphrase_file"),
        ("--listen ssl:0:interface=127.0.0.1:privateKey={path}", "passphraseFile="),
    ],
)
def test_passphrase(tmp_path: Path, way: str, option: str) -> None:
    """A key with a pass phrase is never asked for on the terminal, neither at a start nor on SIGHUP: a line names the
    option that it needs."""
    path = make_certificate(tmp_path)
    flags = way.format(path=path).split()
    said = f"{path}: the key has a pass phrase; {option} names a file with it".encode()
    child, terminal = start_in_terminal(tmp_path, *flags)
    assert b"listening on" in shown(terminal, b"listening on")
    lock(path)
    os.kill(child, signal.SIGHUP)
    seen = shown(terminal, b"nothing has changed")
    assert said in seen and b"Enter" not in seen, seen
    os.kill(child, signal.SIGTERM)
    shown(terminal, b"Server Shut Down")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    os.close(terminal)
    child, terminal = start_in_terminal(tmp_path, *flags)
    seen = shown(terminal, b"Enter")
    assert said in seen and b"Enter" not in seen, seen
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    os.close(terminal)


def test_passphrase_file(start_gateway: StartGateway, tmp_path: Path) -> None:
    """With a file that has the pass phrase the key is used, and so after SIGHUP."""
    path = make_certificate(tmp_path)
    lock(path)
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("open sesame\n")
    passphrase.chmod(0o600)
    listen = f"tcp:0:interface=127.0.0.1 ssl:0:interface=127.0.0.1:privateKey={path}:passphraseFile={passphrase}"
    tls = ("--tls-cert", str(path), "--tls-key-passphrase-file", str(passphrase))
    gateway = start_gateway(*tls, "--listen", listen)
    ports = [int(port) for port in re.findall(r"listening on \S+ port (\d+) with TLS", gateway.output)]
    before = {certificate_of(port) for port in ports}
    make_certificate(tmp_path)
    lock(path)
    reload(gateway)
    after = {certificate_of(port) for port in ports}
    assert (len(ports), len(before), len(after)) == (2, 1, 1)
    assert before != after
