"""The unit for systemd."""

from __future__ import annotations

import configparser
import subprocess
from pathlib import Path

from tests.e2e.processes import BIN, CHECKOUT, PATIENCE

UNIT = CHECKOUT / "deploy" / "cell0gw.service"
INSTALLED = "/opt/cell0gw/bin/twistd"


def settings() -> configparser.SectionProxy:
    """The [Service] section; of a key that is given twice the last."""
    unit = configparser.ConfigParser(strict=False, interpolation=None, delimiters="=", comment_prefixes="#")
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(UNIT.read_text("utf-8"))
    return unit["Service"]


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    """systemd-analyze verify has nothing to say about the unit."""
    text = UNIT.read_text("utf-8")
    assert f"ExecStart={INSTALLED} " in text
    copy = tmp_path / "cell0gw.service"
    copy.write_text(text.replace(INSTALLED, str(BIN / "twistd")))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(copy)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    about = [line for line in done.stdout.splitlines() if "cell0gw" in line]
    assert (done.returncode, about) == (0, []), done.stdout


def test_the_unit_runs_without_root() -> None:
    """The unit has a user and a state folder of its own and can gain no privileges."""
    service = settings()
    assert service["DynamicUser"] == service["NoNewPrivileges"] == "yes"
    assert service["StateDirectory"] == "cell0gw"
    assert service["CapabilityBoundingSet"] == ""
    assert "User" not in service
    assert "--state-dir" not in service["ExecStart"], "it is systemd's STATE_DIRECTORY"


def test_the_unit_lets_it_drain() -> None:
    """systemd waits longer than a drain lasts before it kills, and starts the gateway again only after failures."""
    service = settings()
    assert int(service["TimeoutStopSec"]) > 10
    assert service["KillSignal"] == "SIGTERM"
    assert service["Restart"] == "on-failure"
