"""TLS with clients that offer protocols by ALPN, that resume sessions, and that are none of ours."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
from pathlib import Path

import pytest

from bench.certificate import make_certificate
from tests.e2e.conftest import StartGateway
from tests.e2e.node import node_modules
from tests.e2e.process.test_reload import reload
from tests.e2e.processes import PATIENCE, GatewayProcess, Process, environment

WAYS = ("--tls-cert {path}", "--listen ssl:0:interface=127.0.0.1:privateKey={path}")
UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
OFFERS = {(): None, ("http/1.1",): "http/1.1", ("h2", "http/1.1"): "http/1.1", ("h2",): None}
"""What clients offer by ALPN, and what is chosen."""


def context_for(certificate: Path, version: ssl.TLSVersion, offered: tuple[str, ...] = ()) -> ssl.SSLContext:
    """What a client needs that trusts a certificate, speaks one version of TLS, and offers these protocols."""
    context = ssl.create_default_context(cafile=certificate)
    context.minimum_version = context.maximum_version = version
    if offered:
        context.set_alpn_protocols(list(offered))
    return context


def upgrade(gateway: GatewayProcess, context: ssl.SSLContext, session: ssl.SSLSession | None = None) -> ssl.SSLSocket:
    """Connect, and become a WebSocket; the caller closes it."""
    plain = socket.create_connection(("127.0.0.1", gateway.port), PATIENCE)
    secured = context.wrap_socket(plain, server_hostname="localhost", session=session)
    secured.sendall(UPGRADE)
    heard = b""
    while b"connection.welcome" not in heard:
        data = secured.recv(65536)
        assert data, heard
        heard += data
    assert heard.startswith(b"HTTP/1.1 101 ")
    return secured


@pytest.mark.parametrize("way", WAYS)
def test_protocols(start_gateway: StartGateway, tmp_path: Path, way: str) -> None:
    """HTTP/1.1 is chosen if it is offered; else the connection is made without a choice. So after SIGHUP."""
    certificate = make_certificate(tmp_path)
    gateway = start_gateway(*way.format(path=certificate).split(" "))
    for _ in range(2):
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            for offered, chosen in OFFERS.items():
                with upgrade(gateway, context_for(certificate, version, offered)) as connected:
                    assert connected.selected_alpn_protocol() == chosen
                    assert connected.version() == version.name.replace("_", ".")
        make_certificate(tmp_path)
        reload(gateway)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_sessions(start_gateway: StartGateway, tmp_path: Path, way: str, version: ssl.TLSVersion) -> None:
    """A client that comes back resumes its session, after a SIGHUP that changes the certificate as well."""
    certificate = make_certificate(tmp_path)
    gateway = start_gateway(*way.format(path=certificate).split(" "))
    context = context_for(certificate, version)
    with upgrade(gateway, context) as connected:
        assert not connected.session_reused
        session = connected.session
    with upgrade(gateway, context, session) as connected:
        assert connected.session_reused
        session = connected.session
    make_certificate(tmp_path)
    reload(gateway)
    with upgrade(gateway, context, session) as connected:
        assert connected.session_reused


def run(command: list[str], folder: Path, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run something that ends by itself.

    @param given: its standard input.
    """
    return subprocess.run(command, cwd=folder, input=given, capture_output=True, timeout=PATIENCE, check=False)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not on this machine")
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssl(start_gateway: StartGateway, tmp_path: Path, version: str) -> None:
    """OpenSSL's own client resumes a session that another process of it has written down."""
    certificate = make_certificate(tmp_path)
    gateway = start_gateway("--tls-cert", str(certificate))
    said = []
    for session in (["-sess_out", "session"], ["-sess_in", "session"]):
        command = ["openssl", "s_client", version, "-connect", f"127.0.0.1:{gateway.port}", "-ign_eof", *session]
        done = run(command, tmp_path, UPGRADE.replace(b"/ HTTP", b"/none HTTP"))
        assert b"HTTP/1.1 404" in done.stdout
        said.append(done.stdout.decode(errors="replace"))
    assert "\nNew, " in said[0] and "\nReused, " in said[1], said


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not on this machine")
def test_curl(start_gateway: StartGateway, tmp_path: Path) -> None:
    """curl, which offers h2 and http/1.1, is answered by HTTP/1.1."""
    certificate = make_certificate(tmp_path)
    gateway = start_gateway("--tls-cert", str(certificate))
    command = ["curl", "-sS", "-i", "--cacert", str(certificate), f"https://127.0.0.1:{gateway.port}/none"]
    done = run(command, tmp_path)
    assert (done.stdout[:13], done.stderr) == (b"HTTP/1.1 404 ", b"")


NODE = {
    "ws": "const {WebSocket} = require('ws'); "
    "const options = {ALPNProtocols: ['h2', 'http/1.1'], rejectUnauthorized: false};",
    "undici": "const {WebSocket, Agent} = require('undici'); "
    "const options = {dispatcher: new Agent({connect: {rejectUnauthorized: false}})};",
}
"""How Node's two libraries are made to offer protocols by ALPN, and to trust the certificate."""

SPEAK = """
socket.onopen = () => socket.send('{"jsonrpc": "2.0", "method": "rpc.ping", "id": "pinged"}');
socket.onmessage = (event) => {
  if (event.data.includes('"pinged"')) {
    console.log('answer ' + event.data);
    socket.close(1000);
  }
};
socket.onerror = (event) => console.log('error ' + event.message);
socket.onclose = (event) => console.log('closed with ' + event.code);
"""


@pytest.mark.skipif(shutil.which("npm") is None, reason="node is not on this machine")
@pytest.mark.parametrize("library", NODE)
def test_node(start_gateway: StartGateway, tmp_path: Path, library: str) -> None:
    """Node's libraries connect, call and close. undici is what Node's own WebSocket is, from version 22 on."""
    certificate = make_certificate(tmp_path)
    gateway = start_gateway("--tls-cert", str(certificate))
    code = f"{NODE[library]} const socket = new WebSocket('wss://127.0.0.1:{gateway.port}', options);{SPEAK}"
    client = Process(["node", "-e", code], environment(NODE_PATH=str(node_modules(library))), tmp_path)
    try:
        client.wait_for("^answer .*pong")
        client.wait_for("^closed with 1000$")
        assert client.wait() == 0
    finally:
        client.kill()


CHROMIUM = [
    "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--ignore-certificate-errors",
    "--enable-logging=stderr",
]  # fmt: skip


@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not on this machine")
def test_chromium(start_gateway: StartGateway, tmp_path: Path) -> None:
    """A page in a real browser connects, calls and closes."""
    certificate = make_certificate(tmp_path)
    gateway = start_gateway("--tls-cert", str(certificate))
    page = tmp_path / "page.html"
    page.write_text(f"<script>const socket = new WebSocket('wss://127.0.0.1:{gateway.port}');{SPEAK}</script>")
    command = [*CHROMIUM, f"--user-data-dir={tmp_path / 'profile'}", page.as_uri()]
    browser = Process(command, environment(), tmp_path)
    try:
        browser.wait_for("CONSOLE.*answer .*pong")
        browser.wait_for("CONSOLE.*closed with 1000")
    finally:
        browser.signal()
        browser.wait()
        browser.kill()
