"""Starts that can't work: they end at once, and one line says why and what to do."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.e2e.conftest import StartGateway
from tests.e2e.processes import ADMIN_TOKEN, BIN, Outcome, environment, run_to_end

AT_ONCE = 2.0
"""Within how many seconds such a start ends."""

COMMANDS = {
    "twistd": [str(BIN / "twistd"), "-n", "--pidfile=", "cell0gw"],
    "daemon": [str(BIN / "twistd"), "--pidfile=cell0gw.pid", "--logfile=cell0gw.log", "cell0gw"],
    "module": [str(BIN / "python"), "-m", "cell0gw"],
    "documented module": [str(BIN / "python"), "-m", "cell0.service.gateway_ws"],
}


def refused(folder: Path, *flags: str, command: str = "twistd", **variables: str) -> str:
    """Start a gateway that can't start.

    @return: the one line that it printed.
    """
    words = [*COMMANDS[command], "--state-dir", str(folder / "state"), *flags]

    def attempt() -> Outcome:
        return run_to_end(words, environment(**variables), folder)

    outcome = attempt()
    for _ in range(2):  # what was slow on a busy machine may be fast another time
        if outcome.seconds > AT_ONCE:
            outcome = attempt()
    assert outcome.status != 0, outcome
    in_time = outcome.seconds <= AT_ONCE or outcome.seconds <= 3 * pace(folder)
    assert in_time, f"it took {outcome.seconds:.2f} s: {outcome}"
    assert outcome.output.count("\n") == 1, f"more or less than one line: {outcome}"
    assert outcome.output.startswith("cell0gw: "), outcome
    return outcome.output


def pace(folder: Path) -> float:
    """How many seconds this machine needs now for the libraries alone; half a second when it is idle."""
    imports = "import autobahn.twisted.websocket, twisted.internet.reactor, twisted.scripts.twistd"
    return run_to_end([BIN / "python", "-c", imports], environment(), folder).seconds


@pytest.mark.parametrize("command", COMMANDS)
def test_taken_port(tmp_path: Path, command: str) -> None:
    """A taken port is named with its host, and the flags that choose another, however the gateway is started."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = refused(tmp_path, "--host", "127.0.0.1", "--port", str(port), command=command)
    assert f"127.0.0.1 port {port}" in line
    assert "--port" in line


@pytest.mark.parametrize("command", COMMANDS)
def test_second_process_on_a_state_folder(tmp_path: Path, start_gateway: StartGateway, command: str) -> None:
    """A state folder that another gateway uses is named, and the flag that chooses another."""
    start_gateway(state_dir=tmp_path / "state")
    line = refused(tmp_path, "--host", "127.0.0.1", "--port", "0", command=command)
    assert f"another gateway runs on the state folder {tmp_path / 'state'}" in line
    assert "--state-dir" in line


def test_a_refused_start_frees_what_it_took(tmp_path: Path, start_gateway: StartGateway) -> None:
    """After a start that failed for its port the same state folder can be used."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        refused(tmp_path, "--host", "127.0.0.1", "--port", str(taken.getsockname()[1]))
    start_gateway(state_dir=tmp_path / "state")


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--port", "x"], "port from --port: expected a whole number from 0 to 65535, got 'x'"),
        (["--port", "65536"], "port from --port: expected a whole number from 0 to 65535"),
        (["--heartbeat-interval", "soon"], "heartbeat_interval from --heartbeat-interval: expected seconds"),
        (["--heartbeat-interval", "60"], "heartbeat_timeout (60 s) must be longer than heartbeat_interval (60 s)"),
        (["--max-message-size", "10MB"], "max_message_size from --max-message-size: expected bytes"),
        (["--log-format", "xml"], "log_format from --log-format: expected one of: text, json"),
        (["--host", "a.host.that.is.not.invalid"], "a.host.that.is.not.invalid"),
        (["--proxy-protocol"], "proxy_protocol needs to know whose headers are believed: set trusted_proxies, too"),
        (["--listen", "haproxy:tcp:18801"], "haproxy:tcp:18801: set the option proxy_protocol, and leave haproxy: out"),
        (["--bogus"], "--bogus not recognized; --help lists the options"),
        (["--state-dir", "/proc/cell0gw"], "the state folder /proc/cell0gw can't be used"),
    ],
)
def test_bad_flag(tmp_path: Path, flags: list[str], named: str) -> None:
    """A flag that can't be is named with what would do."""
    assert named in refused(tmp_path, *flags)


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        ("CELL0_GATEWAY_PORT", "http", "port from CELL0_GATEWAY_PORT: expected a whole number"),
        ("CELL0_HEARTBEAT_TIMEOUT", "-1", "heartbeat_timeout from CELL0_HEARTBEAT_TIMEOUT: expected seconds"),
        ("CELL0_GATEWAY_ENABLE_COMPRESSION", "maybe", "from CELL0_GATEWAY_ENABLE_COMPRESSION: expected true or false"),
    ],
)
def test_bad_variable(tmp_path: Path, name: str, value: str, named: str) -> None:
    """An environment variable whose value can't be is named with what would do."""
    assert named in refused(tmp_path, **{name: value})


def test_bad_admin_token_is_not_shown(tmp_path: Path) -> None:
    """An admin token of the wrong shape is named by its variable, and no part of it is printed."""
    line = refused(tmp_path, CELL0_GATEWAY_ADMIN_TOKEN=ADMIN_TOKEN + "!")
    assert "CELL0_GATEWAY_ADMIN_TOKEN" in line
    assert ADMIN_TOKEN[6:20] not in line


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("[gateway\nport = 1", "line 1"),
        ("[gateway]\nprot = 1", "prot"),
        ("[gateway]\nport = 'web'", "port"),
        ("[gateway]\nport = true", "port"),
        ("[gateway]\nhost = 1", "host"),
        ("[gatway]\nport = 1", "gatway"),
        ("gateway = 1", "gateway"),
        ("port = 1", "port"),
        ("[gateway]\nhost = '\u00fc\udcff'", "utf-8"),
    ],
)
def test_bad_config_file(tmp_path: Path, content: str, named: str) -> None:
    """A config file that is not TOML, or has an unknown key or a wrong type, is named with the place in it."""
    path = tmp_path / "gateway.toml"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    line = refused(tmp_path, "--config", str(path))
    assert str(path) in line
    assert named in line


def test_missing_config_file(tmp_path: Path) -> None:
    """A config file that is not there is named."""
    assert f"{tmp_path}/none.toml" in refused(tmp_path, "--config", f"{tmp_path}/none.toml")


def test_newer_state(tmp_path: Path) -> None:
    """A state folder that holds no database, but something else by its name, is refused with its path."""
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "gateway.db").write_bytes(b"not a database" * 100)
    assert f"{tmp_path}/state/gateway.db can't be used" in refused(tmp_path, "--port", "0")
