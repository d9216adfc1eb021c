"""The units for systemd."""

from __future__ import annotations

import configparser
import re
import subprocess
from pathlib import Path

import pytest

from cell0gw.config.options import Config
from tests.e2e.processes import BIN, CHECKOUT, PATIENCE

DEPLOY = CHECKOUT / "deploy"
UNITS = ("cell0gw.service", "cell0gw.socket")
INSTALLED = "/opt/cell0gw/bin/twistd"
EXPOSURE = 1.5
"""How exposed the service may be, on systemd's scale from 0 to 10."""


def settings(unit: str, section: str) -> configparser.SectionProxy:
    """A section of a unit; of a key that is given twice the last."""
    parser = configparser.ConfigParser(strict=False, interpolation=None, delimiters="=", comment_prefixes="#")
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string((DEPLOY / unit).read_text("utf-8"))
    return parser[section]


def analyze(*arguments: str | Path) -> str:
    """What systemd-analyze prints; it must be content."""
    done = subprocess.run(
        ["systemd-analyze", *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture
def units(tmp_path: Path) -> list[Path]:
    """Copies of the units that name a command which is there."""
    assert f"ExecStart={INSTALLED} " in (DEPLOY / "cell0gw.service").read_text("utf-8")
    for unit in UNITS:
        text = (DEPLOY / unit).read_text("utf-8")
        (tmp_path / unit).write_text(text.replace(INSTALLED, str(BIN / "twistd")))
    return [tmp_path / unit for unit in UNITS]


def test_systemd_accepts_the_units(units: list[Path]) -> None:
    """systemd-analyze verify has nothing to say about the units."""
    said = analyze("verify", "--man=no", *units)
    assert [line for line in said.splitlines() if "cell0gw" in line] == []


def test_exposure(units: list[Path]) -> None:
    """By the measure of systemd-analyze security the service is hardly exposed."""
    said = analyze("security", "--offline=true", "--no-pager", units[0])
    level = re.search(r"Overall exposure level for cell0gw.service: ([0-9.]+)", said)
    assert level is not None, said
    assert float(level[1]) <= EXPOSURE, said


def test_the_service_runs_without_root() -> None:
    """The service has a user and a state folder of its own and can gain no privileges."""
    service = settings("cell0gw.service", "Service")
    assert service["DynamicUser"] == service["NoNewPrivileges"] == "yes"
    assert service["StateDirectory"] == "cell0gw"
    assert service["CapabilityBoundingSet"] == ""
    assert "User" not in service
    assert "--state-dir" not in service["ExecStart"], "it is systemd's STATE_DIRECTORY"


def test_the_service_may_drain() -> None:
    """systemd waits longer than a drain lasts before it kills, and starts the gateway again only after failures."""
    service = settings("cell0gw.service", "Service")
    assert int(service["TimeoutStopSec"]) > Config().drain_timeout + 10
    assert service["KillSignal"] == "SIGTERM"
    assert service["Restart"] == "on-failure"


def test_the_service_listens_where_the_socket_says() -> None:
    """The service asks for the sockets by the name that the socket unit gives them, and needs that unit; the port is
    the documented one, of IPv6 and IPv4."""
    listening, unit = settings("cell0gw.socket", "Socket"), settings("cell0gw.service", "Unit")
    service = settings("cell0gw.service", "Service")
    assert service["ExecStart"].endswith(f"--listen systemd:name={listening['FileDescriptorName']}")
    assert unit["Requires"] == unit["After"] == "cell0gw.socket"
    assert (listening["ListenStream"], listening["BindIPv6Only"]) == (str(Config().port), "both")
    assert "Service" not in listening and "Accept" not in listening


def test_the_service_is_watched() -> None:
    """systemd waits until the gateway says that it serves, hears of reloads, and expects signs of life."""
    service = settings("cell0gw.service", "Service")
    assert service["Type"] == "notify"
    assert service["ExecReload"] == "/bin/kill -HUP $MAINPID"
    assert int(service["WatchdogSec"]) == 30
