"""examples/browser.html with examples/gateway.js, in a Node that has as much of a browser as they use."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.clients import Client, mint
from tests.e2e.conftest import StartGateway
from tests.e2e.documented.conftest import WEBSOCKET_FLAG
from tests.e2e.processes import ADMIN_TOKEN, CHECKOUT, GatewayProcess, Process, environment

EXAMPLES = CHECKOUT / "examples"
CHANNEL = "journal.page"


class Page(Process):
    """The page, opened."""

    def __init__(self, node: str, folder: Path) -> None:
        command = [node, WEBSOCKET_FLAG, CHECKOUT / "tests" / "e2e" / "browser.cjs", EXAMPLES / "browser.html"]
        super().__init__(command, environment(), folder)

    def submit(self, form: str, **fields: str) -> None:
        """Fill some fields, and submit a form."""
        for name, value in fields.items():
            self.type(json.dumps({"fill": name, "value": value}))
        self.type(json.dumps({"submit": form}))

    @property
    def messages(self) -> list[str]:
        """What it has in its list."""
        return [line.removeprefix("messages: ") for line in self.lines if line.startswith("messages: ")]


OpenPage = Callable[..., Page]


@pytest.fixture
def open_page(node: str, tmp_path: Path) -> Iterator[OpenPage]:
    """Opens the page, and connects it as C{page} to a gateway. C{times} are those of its token."""
    opened: list[Page] = []

    def start(gateway: GatewayProcess, **times: float) -> Page:
        opened.append(Page(node, tmp_path))
        opened[-1].submit("connect", url=gateway.url, token=mint(gateway, "page", **times), channel=CHANNEL)
        opened[-1].wait_for(f"^state: page is connected, and hears {CHANNEL}.$")
        return opened[-1]

    yield start
    for page in opened:
        page.kill()


def publish(gateway: GatewayProcess, message: object) -> None:
    """Publish to the page's channel, as C{admin}."""
    with Client(gateway, ADMIN_TOKEN) as client:
        client.call("channel.publish", channel=CHANNEL, message=message)


def test_publish_and_hear(gateway: GatewayProcess, open_page: OpenPage) -> None:
    """A page hears what it publishes and what others do; messages that are no text it shows as JSON."""
    page = open_page(gateway)
    page.submit("say", text="<b>hello</b>")
    page.wait_for("^messages: page: ")
    publish(gateway, {"n": 1})
    page.wait_for("^messages: admin: ")
    assert page.messages == ["page: <b>hello</b>", 'admin: {"n":1}']


def test_token_renewed(gateway: GatewayProcess, open_page: OpenPage) -> None:
    """A page whose first token has expired is connected still, and hears what is published."""
    page = open_page(gateway, expires_in_hours=6 / 3600, renewable_for_hours=1)
    with Client(gateway, mint(gateway, "witness", expires_in_hours=6 / 3600)) as witness:
        assert witness.close_code() == 4507, "whose token was minted later"
    publish(gateway, "after it")
    page.wait_for("^messages: admin: after it$")
    assert sum(line.startswith("state: ") for line in page.lines) == 1


def test_killed_gateway(start_gateway: StartGateway, open_page: OpenPage) -> None:
    """When the gateway is killed the page says so, comes back by itself, and has what was published meanwhile."""
    flags = ("--config", str(EXAMPLES / "journal.toml"))
    gateway = start_gateway(*flags)
    page = open_page(gateway)
    publish(gateway, "before")
    page.wait_for("before$")
    gateway.signal(signal.SIGKILL)
    gateway.wait()
    page.wait_for(r"^state: Not connected: nobody listens there, or the connection broke; trying again in \d+\.\d s\.$")
    gateway = start_gateway("--port", str(gateway.port), *flags)
    publish(gateway, "meanwhile")
    page.wait_for("meanwhile$")
    publish(gateway, "after")
    page.wait_for("after$")
    assert page.messages == ["admin: before", "admin: meanwhile", "admin: after"]


def test_what_is_lost_is_told(start_gateway: StartGateway, open_page: OpenPage) -> None:
    """When a channel in memory is gone with its gateway, the page says that something is missing."""
    gateway = start_gateway()
    page = open_page(gateway)
    publish(gateway, "before")
    page.wait_for("before$")
    gateway.signal(signal.SIGKILL)
    gateway.wait()
    start_gateway("--port", str(gateway.port))
    page.wait_for("^messages: … some messages are missing here …$")


def test_silent_gateway(start_gateway: StartGateway, open_page: OpenPage) -> None:
    """A gateway that is silent for longer than its heartbeat_timeout is taken for dead, and tried again."""
    gateway = start_gateway("--heartbeat-interval", "0.5", "--heartbeat-timeout", "1")
    page = open_page(gateway)
    gateway.signal(signal.SIGSTOP)
    try:
        page.wait_for("^state: Not connected: the gateway was silent; trying again")
    finally:
        gateway.signal(signal.SIGCONT)
    page.wait_until(lambda: sum("is connected" in line for line in page.lines) == 2, "the page")


def test_wrong_token(gateway: GatewayProcess, open_page: OpenPage) -> None:
    """A page with a wrong token says so, and does not try again; the next token is taken."""
    page = open_page(gateway)
    page.submit("connect", token="cell0_wrong")
    page.wait_for("^state: Not connected: Invalid token.$")
    page.submit("say", text="a")
    page.wait_for("^state: Not published: not connected.$")
    page.submit("connect", token=mint(gateway, "page.2"))
    page.wait_for("^state: page.2 is connected")


def test_revoked_token(gateway: GatewayProcess, open_page: OpenPage) -> None:
    """A page whose token is revoked says so, and does not try again."""
    page = open_page(gateway)
    with Client(gateway, ADMIN_TOKEN) as admin:
        admin.call("auth.revokeToken", entity_id="page")
    page.wait_for(r"^state: Not connected: .*revoked")
    assert not [line for line in page.lines if "trying again" in line]
