"""The pages of docs/how-to: their configuration files are ones, and their commands and programs run."""

from __future__ import annotations

import configparser
import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bench.certificate import make_certificate
from cell0gw.config.options import load
from tests.documents import Part, blocks, document
from tests.e2e.clients import Client, mint, trusting
from tests.e2e.conftest import StartGateway
from tests.e2e.processes import (
    ADMIN_TOKEN,
    BIN,
    CHECKOUT,
    Address,
    GatewayProcess,
    Outcome,
    Process,
    environment,
    run_to_end,
)

NAMES = (
    "durable-channel", "behind-a-proxy", "systemd", "browsers", "backup", "writing-a-client", "long-lists", "inviting",
)  # fmt: skip
PAGES = {name: document(f"docs/how-to/{name}.md") for name in NAMES}
FILES = [(name, text) for name, page in PAGES.items() for text in blocks(page, "toml")]
WEBSOCKET_FLAG = "--experimental-websocket"  # a browser's WebSocket, which Node has from version 22 without it


def shell(page: Part) -> list[str]:
    """The commands of a page; those of a list are indented."""
    text = re.sub(r"^ {3}", "", page.text, flags=re.MULTILINE)
    return blocks(Part(page.where, text), "sh")


@pytest.mark.parametrize(("name", "text"), FILES)
def test_configuration_files(name: str, text: str, tmp_path: Path) -> None:
    """Every configuration file is one, without a warning."""
    path = tmp_path / "cell0gw.toml"
    path.write_text(text)
    _, warnings = load({}, {}, path)
    assert warnings == [], name


def test_there_are_configuration_files() -> None:
    """The files are found in the pages at all."""
    assert [name for name, _ in FILES] == ["durable-channel", *["behind-a-proxy"] * 3, "systemd", "browsers"]


@pytest.mark.parametrize("tls", [False, True])
def test_inviting(start_gateway: StartGateway, tmp_path: Path, tls: bool) -> None:
    """The page's program redeems a link once, over TLS as well, and keeps the token for its owner alone; it sees that a
    certificate is another one."""
    certificate = make_certificate(tmp_path)
    gateway = start_gateway(*(["--tls-cert", str(certificate)] if tls else []))
    (program,), (request,) = blocks(PAGES["inviting"], "python"), blocks(PAGES["inviting"], "json")
    (tmp_path / "redeem.py").write_text(program)
    address = Address(gateway.port, "wss" if tls else "ws")
    options = {"ssl": trusting(certificate)} if tls else {}
    with Client(address, ADMIN_TOKEN, **options) as creator:
        link = creator.call("auth.createInvite", **json.loads(request)["params"])["link"]

    def redeem(link: str) -> Outcome:
        return run_to_end([sys.executable, "redeem.py", link, "token.txt"], environment(), tmp_path)

    token = tmp_path / "token.txt"
    if tls:
        other = redeem(re.sub("sha256=.", lambda found: found[0][:-1] + ("0" if found[0][-1] != "0" else "1"), link))
        assert "another certificate" in other.output
        assert not token.exists()
    done = redeem(link)
    assert (done.status, "token.txt has a token for agent_002" in done.output) == (0, True), done.output
    assert token.stat().st_mode & 0o777 == 0o600
    with Client(address, token.read_text(), **options):
        token.unlink()
    assert redeem(link).output.strip() == "Invalid invite"
    assert not token.exists()


def test_durable_channel(start_gateway: StartGateway, tmp_path: Path) -> None:
    """With the page's rule and command its publication survives kill -9, and the epoch is the one from before."""
    page = PAGES["durable-channel"]
    (rules,), ((command,),) = blocks(page, "toml"), [block.splitlines() for block in shell(page)]
    (tmp_path / "cell0gw.toml").write_text(rules)
    publish, history = blocks(page, "json")
    program, *arguments = command.split()
    pages = []
    for _ in range(2):
        gateway = start_gateway(command=[BIN / program, *arguments])
        with Client(gateway, ADMIN_TOKEN) as client:
            for _ in range(2):
                client.call(**called(publish))
            pages.append(client.call(**called(history)))
        gateway.signal(signal.SIGKILL)
        assert gateway.wait() == -signal.SIGKILL
    assert [message["message"] for message in pages[0]["messages"]] == [{"order": 17}]
    assert pages[0] == pages[1]


def called(block: str) -> dict[str, object]:
    """What C{Client.call} takes for a request in a page."""
    request = json.loads(block)
    return {"method": request["method"], **request["params"]}


def test_systemd() -> None:
    """The commands are those of the unit's own head, and each drop-in has one section with settings that units have."""
    page = PAGES["systemd"]
    unit = (CHECKOUT / "deploy" / "cell0gw.service").read_text()
    (installing,) = blocks(page, "text")
    head = re.sub(r" +# .*| && |\n# +", "\n", unit.partition("[Unit]")[0])
    assert [line for line in installing.splitlines() if line not in head.splitlines()] == []
    sections = []
    for text in blocks(page, "ini"):
        parser = configparser.ConfigParser(strict=False, interpolation=None, delimiters="=")
        parser.read_string(text)
        sections += parser.sections()
    assert sections == ["Service", "Socket"]
    (service, _) = blocks(page, "ini")
    assert f"{'#   '}{service.splitlines()[1]}" in unit


def test_browsers(gateway: GatewayProcess, tmp_path: Path) -> None:
    """The page's script authenticates, on a WebSocket like a browser's."""
    probe = ["node", WEBSOCKET_FLAG, "-e", "process.exit(typeof WebSocket === 'function' ? 0 : 1)"]
    if shutil.which("node") is None or subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("no Node with a WebSocket is installed")
    (script,) = blocks(PAGES["browsers"], "js")
    script = script.replace("ws://localhost:18801", gateway.url).replace("your_token_here", mint(gateway, "visitor"))
    process = Process(["node", WEBSOCKET_FLAG, "-e", script], environment(), tmp_path)
    try:
        process.wait_for("^authenticated as visitor$")
    finally:
        process.kill()


def test_writing_a_client(gateway: GatewayProcess, tmp_path: Path) -> None:
    """The least client prints the greeting and who it is."""
    (program,) = blocks(PAGES["writing-a-client"], "python")
    env = environment(CELL0_URL=gateway.url, CELL0_TOKEN=mint(gateway, "agent_001"), no_proxy="127.0.0.1")
    outcome = run_to_end([sys.executable, "-c", program], env, tmp_path)
    assert (outcome.status, outcome.output.splitlines()) == (0, ["connection.welcome", "agent_001"])


def test_long_lists(gateway: GatewayProcess, tmp_path: Path) -> None:
    """The program lists everybody, over more pages than one."""
    (program,) = blocks(PAGES["long-lists"], "python")
    assert program.count("limit=100") == 2
    program = program.replace("limit=100", "limit=2")
    env = environment(CELL0_URL=gateway.url, CELL0_TOKEN=mint(gateway, "reader"), no_proxy="127.0.0.1")
    with Client(gateway, mint(gateway, "b")), Client(gateway, mint(gateway, "a")):
        outcome = run_to_end([sys.executable, "-c", program], env, tmp_path)
    assert (outcome.status, outcome.output.splitlines()[:3]) == (0, ["a online", "b online", "reader online"])


def test_backup(start_gateway: StartGateway, tmp_path: Path) -> None:
    """A backup while the gateway runs, a restore, and new epochs: what was published is there, in another epoch."""
    if shutil.which("sqlite3") is None:
        pytest.skip("sqlite3 is not installed")
    back_up, *restore = shell(PAGES["backup"])
    state = tmp_path / ".local" / "state" / "cell0gw"
    state.parent.mkdir(parents=True)
    rules = tmp_path / "cell0gw.toml"
    rules.write_text('[[channels]]\npattern = "orders.>"\ndurable = true\n')
    env = environment(HOME=str(tmp_path))

    def run(script: str) -> str:
        outcome = run_to_end(["sh", "-ec", script], env, tmp_path)
        assert outcome.status == 0, outcome.output
        return outcome.output

    gateway = start_gateway("--config", str(rules), state_dir=state)
    with Client(gateway, ADMIN_TOKEN) as client:
        before = client.call("channel.publish", channel="orders.new", message=1)
        assert run(back_up).splitlines() == ["ok"]
        assert (tmp_path / "gateway-backup.db").stat().st_mode & 0o077 == 0
        client.call("channel.publish", channel="orders.new", message=2)
    gateway.stop()
    for script in restore:
        run(script)
    gateway = start_gateway("--config", str(rules), state_dir=state)
    with Client(gateway, ADMIN_TOKEN) as client:
        after = client.call("channel.history", channel="orders.new")
    assert [message["message"] for message in after["messages"]] == [1]
    assert after["epoch"] != before["epoch"]
