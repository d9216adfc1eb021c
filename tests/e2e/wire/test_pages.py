"""What the port answers by HTTP, with curl and Chromium; both are not this project's."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.documents import README, blocks, section
from tests.e2e.chromium import Tab
from tests.e2e.clients import Client
from tests.e2e.conftest import OpenTab, StartGateway
from tests.e2e.processes import ADMIN_TOKEN, PATIENCE, GatewayProcess, eventually

PHONE = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}


def curl(*arguments: str) -> tuple[int, str]:
    """What curl gets.

    @return: the status, and the body.
    """
    command = shutil.which("curl")
    if command is None:
        pytest.skip("no curl is installed")
    words = [command, "--silent", "--show-error", "--noproxy", "*", "--write-out", "\n%{http_code}", *arguments]
    done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, check=True)
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body


def health(gateway: GatewayProcess) -> tuple[int, str]:
    """What a probe is told."""
    return curl(f"http://127.0.0.1:{gateway.port}/health")


def test_probes(gateway: GatewayProcess) -> None:
    """A probe is told that the gateway is well, by either method and in either version of HTTP."""
    url = f"http://127.0.0.1:{gateway.port}/health"
    assert health(gateway) == curl("--http1.0", url) == curl("--http2", url) == (200, "ok\n")
    status, head = curl("--head", url)
    assert status == 200
    assert "Content-Length: 3" in head
    assert curl("--request", "POST", url) == (405, "The method must be GET.\n")


def test_degraded(start_gateway: StartGateway) -> None:
    """As long as the database is locked the gateway is not well; afterwards it is again, by itself."""
    gateway = start_gateway()
    other = sqlite3.connect(gateway.state_dir / "gateway.db")
    other.execute("BEGIN IMMEDIATE")
    with Client(gateway, ADMIN_TOKEN) as admin:
        assert admin.request("auth.generateToken", entity_id="agent")["error"]["data"]["cause"] == "locked"
    assert health(gateway) == (503, "degraded\n")
    other.rollback()
    other.close()
    eventually(lambda: health(gateway) == (200, "ok\n"), "the end of the trouble")


def test_draining(start_gateway: StartGateway) -> None:
    """A gateway that was told to stop says so to probes, for as long as it takes newcomers."""
    gateway = start_gateway("--drain-accept", "2s")
    gateway.signal()
    gateway.wait_for("SIGTERM: draining")
    assert health(gateway) == (503, "draining\n")
    assert gateway.wait() == 0


def test_no_browser(gateway: GatewayProcess) -> None:
    """Who asks for the address without a WebSocket is told in a line what is there."""
    status, body = curl(f"http://127.0.0.1:{gateway.port}/")
    assert (status, body.count("\n")) == (426, 1)
    assert "Use a WebSocket client" in body


def test_refused(gateway: GatewayProcess) -> None:
    """A library shows its user why it was refused; the log says so with the address, and the figures count it."""
    with pytest.raises(InvalidStatus) as caught, connect(f"{gateway.url}/?token=secret", proxy=None):
        pass
    assert caught.value.response.status_code == 400
    assert b"send auth.authenticate" in caught.value.response.body
    line = gateway.wait_for(r"a handshake from 127\.0\.0\.1:\d+ was refused, query: A token doesn't belong in the URL")
    assert "secret" not in line.string
    with Client(gateway, ADMIN_TOKEN) as admin:
        assert admin.call("gateway.getStats")["services"]["handshake"]["query"] == 1


def test_in_a_browser(gateway: GatewayProcess, chromium: OpenTab) -> None:
    """The page shows as it is meant to: its style is taken, nothing is missing or refused, a phone needs no scrolling
    to the side, and where it is dark the page is as well.
    """
    tab = chromium(f"http://localhost:{gateway.port}/")
    assert tab.console("document.title") == "Cell 0 OS Gateway"
    assert tab.console("getComputedStyle(document.querySelector('main')).borderTopLeftRadius") == "16px"
    tab.command("Emulation.setDeviceMetricsOverride", **PHONE)
    assert tab.console("[innerWidth, document.documentElement.scrollWidth]") == [360, 360]
    backs = []
    for scheme in ("light", "dark"):
        tab.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        backs.append(tab.console("getComputedStyle(document.body).backgroundColor"))
    assert backs == ["rgb(246, 247, 246)", "rgb(14, 20, 19)"]
    assert tab.complaints == []


def paste(tab: Tab, lines: str, name: str) -> None:
    """Paste lines that make a WebSocket of that name into the console; what it receives is kept."""
    keep = f"{name}.addEventListener('message', ({{data}}) => {name}.kept.push(...[JSON.parse(data)].flat()))"
    tab.console(f"{lines}\n{name}.kept = [];\n{keep};")


def result(tab: Tab, name: str, request_id: object) -> Any:
    """The result that a request got on such a WebSocket."""
    return eventually(
        lambda: [each["result"] for each in tab.console(f"{name}.kept") if each.get("id") == request_id],
        f"the answer to {request_id!r}",
    )[0]


def test_console(gateway: GatewayProcess, chromium: OpenTab) -> None:
    """The lines that the page shows, pasted into its own console, authenticate."""
    tab = chromium(f"http://localhost:{gateway.port}/")
    lines: str = tab.console("document.querySelector('pre').textContent")
    assert "your_token_here" in lines
    paste(tab, lines.replace("your_token_here", ADMIN_TOKEN), "ws")
    assert result(tab, "ws", 1)["entity_id"] == "admin"
    assert tab.complaints == []


def test_console_of_the_readme(gateway: GatewayProcess, chromium: OpenTab) -> None:
    """Both pieces of the README's JavaScript work in the page's console: the second one with the first one's token."""
    tab = chromium(f"http://localhost:{gateway.port}/")
    (admin,), (agent,) = blocks(section(README, "Connect"), "js"), blocks(section(README, "Connect"), "javascript")
    paste(tab, admin.replace(":18801", f":{gateway.port}").replace("the_admin_token", ADMIN_TOKEN), "admin")
    token = result(tab, "admin", 2)["token"]
    paste(tab, agent.replace(":18801", f":{gateway.port}").replace("your_token_here", token), "ws")
    assert result(tab, "ws", "1")["entity_id"] == "agent_001"
    assert tab.complaints == []


def test_console_reaches_nothing_else(start_gateway: StartGateway, chromium: OpenTab) -> None:
    """The page's policy lets its console connect to the gateway that it is from, and to no other."""
    here = start_gateway()
    elsewhere = start_gateway(state_dir=here.state_dir.with_name("other"))
    tab = chromium(f"http://localhost:{here.port}/")
    tab.console(
        "const outcome = (url) => new Promise((done) => {"
        "  const ws = new WebSocket(url); ws.onopen = ws.onerror = (event) => done(event.type); })"
    )
    assert tab.console(f"await outcome('ws://localhost:{here.port}/ws')") == "open"
    assert tab.console(f"await outcome('ws://localhost:{elsewhere.port}/')") == "error"
    assert any("Content Security Policy" in complaint for complaint in tab.complaints)
