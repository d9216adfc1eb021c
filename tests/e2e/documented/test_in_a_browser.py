"""What the documents say of browsers, in Chromium: JavaScript in its console, and in pages."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.documents import README, blocks, document
from tests.e2e.chromium import Tab
from tests.e2e.clients import Client, mint
from tests.e2e.conftest import OpenTab
from tests.e2e.documented.test_tutorial import FILES
from tests.e2e.processes import ADMIN_TOKEN, BIN, CHECKOUT, GatewayProcess, Process, environment

(CONNECTING,) = blocks(document("docs/how-to/browsers.md"), "js")
SERVE_EXAMPLES = "python -m http.server 8000 --bind 127.0.0.1 --directory examples"

Serve = Callable[[Path], str]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Serves a folder on a free port, by the command of examples/README.md.

    @return: its URL, that of a page on this machine.
    """
    started: list[Process] = []
    assert SERVE_EXAMPLES in document("examples/README.md").text

    def start(folder: Path) -> str:
        words = SERVE_EXAMPLES.replace("8000", "0").replace("examples", str(folder)).split()
        started.append(Process([BIN / words[0], *words[1:]], environment(), tmp_path))
        return f"http://localhost:{started[-1].wait_for(r' port ([0-9]+)')[1]}"

    yield start
    for process in started:
        process.kill()


def read_here(script: str, gateway: GatewayProcess, **replaced: str) -> str:
    """JavaScript of a document as somebody pastes it whose gateway has another port.

    @param replaced: what the reader puts in, for each placeholder.
    """
    for placeholder, value in {"localhost:18801": f"localhost:{gateway.port}", **replaced}.items():
        assert placeholder in script, placeholder
        script = script.replace(placeholder, value)
    return script


def test_readme(gateway: GatewayProcess, chromium: OpenTab) -> None:
    """The README's JavaScript, pasted into the console of the gateway's own page: the first piece prints a token, the
    second one opens a session with it, and each prints what comes.
    """
    tab = chromium(f"http://localhost:{gateway.port}")
    (minting,), (connecting,) = blocks(README, "js"), blocks(README, "javascript")
    tab.console(read_here(minting, gateway, the_admin_token=ADMIN_TOKEN))
    token = tab.wait_for(r'"token":"(cell0_\w+)"')[1]
    tab.console(read_here(connecting, gateway, your_token_here=token))
    answer = tab.wait_for(r'^Received: (\{.*"id":"1".*\})$')[1]
    assert json.loads(answer)["result"]["entity_id"] == "agent_001"
    tab.wait_for(r'^Received: \{.*"method":"heartbeat"')
    assert tab.complaints == []


def test_empty_tab(gateway: GatewayProcess, chromium: OpenTab) -> None:
    """As browsers.md has it, Chromium lets an empty tab connect to no gateway on this machine."""
    assert "on empty tabs" in " ".join(document("docs/how-to/browsers.md").text.split())
    script = read_here(CONNECTING, gateway, your_token_here="cell0_a")
    outcome = "await new Promise((done) => { ws.onerror = ws.onopen = (event) => done(event.type); })"
    tab = chromium("about:blank")
    assert tab.console(f"{script}\n{outcome}") == "error"
    assert "ERR_BLOCKED_BY_LOCAL_NETWORK_ACCESS_CHECKS" in tab.complaints[-1]


@pytest.mark.parametrize("where", ["a page of this machine", "the gateway's page"])
def test_browsers(gateway: GatewayProcess, chromium: OpenTab, serve: Serve, tmp_path: Path, where: str) -> None:
    """The script of browsers.md authenticates in a page of localhost, and in the console of the gateway's own page."""
    script = read_here(CONNECTING, gateway, your_token_here=mint(gateway, "visitor"))
    if where == "the gateway's page":
        tab = chromium(f"http://localhost:{gateway.port}")
        tab.console(script)
    else:
        (tmp_path / "site").mkdir()
        (tmp_path / "site" / "index.html").write_text(f"<!DOCTYPE html><script>{script}</script>")
        tab = chromium(serve(tmp_path / "site"))
    tab.wait_for("^authenticated as visitor$")


def test_room(gateway: GatewayProcess, chromium: OpenTab, serve: Serve, tmp_path: Path) -> None:
    """The tutorial's room.mjs works in a page as it is: what is said in one page is shown in another, and in order."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "room.mjs").write_text(FILES["room.mjs"])
    (tmp_path / "site" / "index.html").write_text("<!DOCTYPE html><title>Chat</title>")
    url = serve(tmp_path / "site")
    tabs = {name: chromium(url) for name in ("alice", "bob")}
    for name, tab in tabs.items():
        token = mint(gateway, name, permissions=["channel.subscribe:chat.>", "channel.publish:chat.>"])
        tab.console("const {join} = await import('/room.mjs');")
        tab.console(f"const say = join('{gateway.url}', '{token}', 'chat.lobby', (line) => console.log(line));")
        tab.wait_for(r"^\* connected to chat\.lobby$")
    for name, tab in tabs.items():
        tab.console(f"say('hello from {name}')")
        for each in tabs.values():
            each.wait_for(f"^{name}: hello from {name}$")
    assert [tab.printed()[1:] for tab in tabs.values()] == [["alice: hello from alice", "bob: hello from bob"]] * 2


def fill(tab: Tab, form: str, **fields: str) -> None:
    """Fill some fields of examples/browser.html, and submit a form."""
    for name, value in fields.items():
        tab.console(f"document.getElementById({name!r}).value = {json.dumps(value)}")
    tab.console(f"document.getElementById({form!r}).requestSubmit()")


@pytest.mark.parametrize("way", ["file", "server"])
def test_example_page(gateway: GatewayProcess, chromium: OpenTab, serve: Serve, way: str) -> None:
    """examples/browser.html connects, publishes and shows what comes, opened as a file and from a server."""
    examples = CHECKOUT / "examples"
    tab = chromium(f"{examples.as_uri() if way == 'file' else serve(examples)}/browser.html")
    url = tab.console("document.getElementById('url').value")
    fill(tab, "connect", url=read_here(url, gateway), token=mint(gateway, f"page.{way}"), channel=f"page.{way}")
    shown = "document.getElementById('{}').innerText"
    eventually_shows(tab, shown.format("state"), f"page.{way} is connected, and hears page.{way}.")
    fill(tab, "say", text="<b>hello</b>")
    eventually_shows(tab, shown.format("messages"), f"page.{way}: <b>hello</b>")
    with Client(gateway, ADMIN_TOKEN) as admin:
        admin.call("channel.publish", channel=f"page.{way}", message={"n": 1})
    eventually_shows(tab, shown.format("messages"), f'page.{way}: <b>hello</b>\nadmin: {{"n":1}}')


def eventually_shows(tab: Tab, expression: str, text: str) -> None:
    """Wait until a page shows a text."""
    wait = f"await new Promise((done) => {{ const look = () => {expression} === {json.dumps(text)} ? done() : "
    tab.console(wait + "setTimeout(look, 20); look(); })")
