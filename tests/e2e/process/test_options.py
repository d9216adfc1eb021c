"""Where options come from, and by which commands the gateway is started."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.e2e.clients import Client
from tests.e2e.conftest import StartGateway
from tests.e2e.processes import BIN, GatewayProcess, environment, run_to_end


def welcome(gateway: GatewayProcess) -> tuple[float, float]:
    """The heartbeat interval and timeout that a gateway announces, in seconds."""
    with Client(gateway) as client:
        params = client.notification("connection.welcome")
    return params["heartbeat_interval"], params["heartbeat_timeout"]


@pytest.mark.parametrize(
    ("flag", "variable", "file", "interval"),
    [
        ("13", "12s", "11s", 13),
        ("13", None, "11s", 13),
        ("13", "12s", None, 13),
        (None, "12s", "11s", 12),
        (None, None, "11s", 11),
        (None, None, None, 30),
    ],
)
def test_precedence(
    start_gateway: StartGateway,
    tmp_path: Path,
    flag: str | None,
    variable: str | None,
    file: str | None,
    interval: float,
) -> None:
    """A flag wins over its environment variable, that over the file, that over the default."""
    flags = []
    if file is not None:
        path = tmp_path / "gateway.toml"
        path.write_text(f'[gateway]\nheartbeat_interval = "{file}"\n')
        flags += ["--config", str(path)]
    if flag is not None:
        flags += ["--heartbeat-interval", flag]
    assert welcome(start_gateway(*flags, CELL0_HEARTBEAT_INTERVAL=variable)) == (interval, 60)


def test_documented_variables(start_gateway: StartGateway, tmp_path: Path) -> None:
    """The documented environment variables set host, port and both heartbeat times."""
    gateway = start_gateway(
        place=False,
        XDG_STATE_HOME=str(tmp_path),
        CELL0_GATEWAY_HOST="127.0.0.1",
        CELL0_GATEWAY_PORT="0",
        CELL0_HEARTBEAT_INTERVAL="5",
        CELL0_HEARTBEAT_TIMEOUT="7.5",
    )
    assert welcome(gateway) == (5, 7.5)


def test_config_file_by_variable(start_gateway: StartGateway, tmp_path: Path) -> None:
    """CELL0_GATEWAY_CONFIG names the config file as --config does; durations and sizes have units."""
    path = tmp_path / "gateway.toml"
    path.write_text('[gateway]\nheartbeat_interval = "1500ms"\nheartbeat_timeout = "1m"\nmax_message_size = "64KiB"\n')
    gateway = start_gateway(CELL0_GATEWAY_CONFIG=str(path))
    assert welcome(gateway) == (1.5, 60)
    with Client(gateway) as client:
        assert client.notification("connection.welcome")["limits"]["max_message_size"] == 65536


@pytest.mark.parametrize(
    ("variable", "value", "folder"),
    [
        ("STATE_DIRECTORY", "systemd:another", "systemd"),
        ("XDG_STATE_HOME", "home", "home/cell0gw"),
        ("HOME", "home", "home/.local/state/cell0gw"),
    ],
)
def test_default_state_folder(
    start_gateway: StartGateway, tmp_path: Path, variable: str, value: str, folder: str
) -> None:
    """Without --state-dir the folder is systemd's, else one below XDG_STATE_HOME, else one below the home."""
    where = {variable: ":".join(str(tmp_path / part) for part in value.split(":"))}
    place = {"CELL0_GATEWAY_HOST": "127.0.0.1", "CELL0_GATEWAY_PORT": "0"}
    gateway = start_gateway(place=False, CELL0_GATEWAY_ADMIN_TOKEN=None, **place, **where)
    gateway.wait_for(f"the admin token is in {re.escape(str(tmp_path / folder))}/admin.token")


def test_unknown_variable(start_gateway: StartGateway) -> None:
    """A CELL0_GATEWAY_ variable that means nothing, a misspelt one perhaps, is warned of by name."""
    gateway = start_gateway(CELL0_GATEWAY_PROT="1")
    gateway.wait_for(r"\[warn\] .*CELL0_GATEWAY_PROT")


@pytest.mark.parametrize("module", ["cell0gw", "cell0.service.gateway_ws"])
def test_python_m(start_gateway: StartGateway, module: str) -> None:
    """Python's -m starts it under both names, with the flags of twistd's command, and SIGTERM ends it with 0."""
    gateway = start_gateway("--heartbeat-interval", "7", command=[sys.executable, "-m", module])
    assert welcome(gateway) == (7, 60)


@pytest.mark.parametrize(
    "command", [["twistd", "cell0gw"], ["python", "-m", "cell0gw"], ["python", "-m", "cell0.service.gateway_ws"]]
)
def test_help(tmp_path: Path, command: list[str]) -> None:
    """--help shows the flags of the gateway, and ends with 0."""
    done = run_to_end([BIN / command[0], *command[1:], "--help"], environment(), tmp_path)
    assert done.status == 0
    for flag in ("--host=", "--port=", "--state-dir=", "--heartbeat-interval=", "--max-message-size=", "--config="):
        assert flag in done.output
