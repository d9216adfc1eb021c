"""A gateway as containers run it: as process 1 that is killed, without home, name or a folder to write to, with few
descriptors.
"""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.e2e.clients import Client
from tests.e2e.conftest import StartGateway
from tests.e2e.processes import ADMIN_TOKEN, BIN, GatewayProcess, Outcome, environment, eventually, run_to_end

FOREGROUND = (BIN / "twistd", "-n", "cell0gw")
"""As the README has it: nothing is said of a pid file."""
PROCESS_ONE = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
READ_ONLY = (
    "unshare", "--mount", "sh", "-ec",
    'mount --bind "$PWD" "$PWD"; cd "$PWD"; mount --bind "$0" "$0"; mount -o remount,bind,ro "$PWD"\n'
    'mount -o remount,bind,ro /; exec "$@"',
)  # fmt: skip
"""What follows, with all but one folder read-only; where it starts is so, too."""
NOBODY = ("setpriv", "--reuid", "1000660000", "--regid", "0", "--clear-groups")
"""What follows, as a user whom no file knows: so OpenShift does it."""


def possible(*command: str | Path) -> bool:
    """Whether this machine lets us run something like that."""
    try:
        return subprocess.run([*command, "true"], capture_output=True, check=False, timeout=30).returncode == 0
    except OSError:
        return False


namespaces = pytest.mark.skipif(
    not possible(*PROCESS_ONE), reason="no pid namespace can be made here: that takes root, and util-linux"
)
mounts = pytest.mark.skipif(
    not possible("unshare", "--mount", "sh", "-c", "mount -o remount,bind,ro /"),
    reason="nothing can be mounted here: that takes root, and util-linux",
)
users = pytest.mark.skipif(
    not possible(*NOBODY, sys.executable, "-c", "import cell0gw"),
    reason="nobody else can run this gateway here: that takes root, util-linux, and folders that anybody may enter",
)


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """A folder that anybody may enter, which those of pytest are not."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        yield folder


def serves(gateway: GatewayProcess) -> None:
    """It takes a token and answers."""
    with Client(gateway, ADMIN_TOKEN) as client:
        assert client.call("rpc.ping") == "pong"


@namespaces
def test_killed_as_process_one(start_gateway: StartGateway, tmp_path: Path) -> None:
    """A gateway that is process 1, is killed and started again on the same files starts each time."""
    for _ in range(10):
        gateway = start_gateway(command=(*PROCESS_ONE, *FOREGROUND))
        serves(gateway)
        (inner,) = Path(f"/proc/{gateway.pid}/task/{gateway.pid}/children").read_text().split()
        assert "NSpid:" in (status := Path(f"/proc/{inner}/status").read_text())
        assert next(line for line in status.splitlines() if line.startswith("NSpid:")).split()[-1] == "1"
        os.kill(int(inner), signal.SIGKILL)
        gateway.wait()
    assert not list(tmp_path.glob("*.pid"))


def test_foreign_pid_file(start_gateway: StartGateway, tmp_path: Path) -> None:
    """A pid file of somebody who runs, in the folder where it is started, is neither obeyed nor touched."""
    (tmp_path / "twistd.pid").write_text(str(os.getpid()))
    serves(start_gateway(command=FOREGROUND))
    assert (tmp_path / "twistd.pid").read_text() == str(os.getpid())


def test_pid_file_asked_for(start_gateway: StartGateway, tmp_path: Path) -> None:
    """A pid file that is asked for is written, and obeyed, even by the name that is the default."""
    for name in ("gateway.pid", "twistd.pid"):
        command = (BIN / "twistd", "-n", f"--pidfile={name}", "cell0gw")
        gateway = start_gateway(command=command)
        assert (tmp_path / name).read_text() == str(gateway.pid)
        refused = run_to_end([*command, "--port", "0"], environment(), tmp_path)
        assert refused.status == 1
        assert "Another twistd server is running" in refused.output
        gateway.stop()
        assert not (tmp_path / name).exists()


def test_daemon(tmp_path: Path) -> None:
    """A daemon writes its pid file, as ever."""
    state = tmp_path / "state"
    command = [BIN / "twistd", "cell0gw", "--port", "0", "--host", "127.0.0.1", "--state-dir", state]
    assert run_to_end(command, environment(CELL0_GATEWAY_ADMIN_TOKEN=ADMIN_TOKEN), tmp_path).status == 0
    pid = int((tmp_path / "twistd.pid").read_text())
    try:
        eventually(lambda: "listening on" in (tmp_path / "twistd.log").read_text(), "the daemon")
    finally:
        os.kill(pid, signal.SIGTERM)
    eventually(lambda: not (tmp_path / "twistd.pid").exists(), "the end of the daemon")


@mounts
def test_read_only_root(start_gateway: StartGateway, elsewhere: Path) -> None:
    """With nothing but the state folder to write to it serves, and its log has no complaint."""
    state = elsewhere / "state"
    state.mkdir()
    gateway = start_gateway(state_dir=state, command=(*READ_ONLY, state, *FOREGROUND))
    serves(gateway)
    gateway.stop()
    assert not [line for line in gateway.lines if "[info]" not in line and "unencrypted" not in line]


@users
def test_nobody_without_home(start_gateway: StartGateway, elsewhere: Path) -> None:
    """A user without a name and without a home serves from a state folder that it may write."""
    gateway = start_gateway(state_dir=elsewhere / "state", command=(*NOBODY, *FOREGROUND), HOME=None)
    serves(gateway)
    assert (elsewhere / "state").stat().st_uid == 1000660000
    gateway.stop()
    assert not [line for line in gateway.lines if "[info]" not in line]


def refusal(command: list[str | Path], cwd: Path) -> str:
    """The one line with which it does not start."""
    outcome: Outcome = run_to_end(
        [*command, "--host", "127.0.0.1", "--port", "0"], environment(HOME=None, CELL0_GATEWAY_ADMIN_TOKEN=None), cwd
    )
    assert outcome.status == 1
    (line,) = outcome.output.splitlines()
    assert line.startswith("cell0gw: ")
    return line


@users
def test_nowhere_to_keep_state(elsewhere: Path) -> None:
    """A user without a home who names no state folder is told so in one line, and so is one who may not write there."""
    assert refusal([*NOBODY, *FOREGROUND], elsewhere) == (
        "cell0gw: state_dir: there is no home to keep it in; choose a folder with --state-dir"
    )
    state = elsewhere / "state"
    state.mkdir(mode=0o700)
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert refusal([*NOBODY, *FOREGROUND, "--state-dir", state], elsewhere) == (
        f"cell0gw: the state folder {state} can't be used (Permission denied): choose one with --state-dir"
    )


def limited(files: int, *command: str | Path) -> list[str | Path]:
    """A command that may open so many files, and no more."""
    return ["sh", "-c", f'ulimit -n {files}; exec "$@"', "limited", *command]


def test_too_few_files(elsewhere: Path) -> None:
    """Where so few files may be open that it would serve nobody it does not start, and says what to do."""
    for files in (20, 64, 128, 140):
        line = refusal(limited(files, *FOREGROUND, "--state-dir", elsewhere / "state"), elsewhere)
        assert line.startswith(f"cell0gw: {files} open files are too few for 32 connections: raise the limit"), line


def test_few_files(start_gateway: StartGateway) -> None:
    """With fewer files than connections were asked for it serves, and warns."""
    gateway = start_gateway("--max-connections", "1000", command=limited(200, *FOREGROUND))
    serves(gateway)
    gateway.wait_for(r"\[warn\] max_connections is 72 instead of 1000, since 200 files may be open")


@mounts
def test_read_only_state(elsewhere: Path) -> None:
    """A state folder on a read-only file system is one line, whether the gateway has used it before or not."""
    state, other = elsewhere / "state", elsewhere / "other"
    other.mkdir()
    command: list[str | Path] = [*READ_ONLY, other, *FOREGROUND, "--state-dir", state]
    assert "Read-only file system" in refusal(command, elsewhere)
    state.mkdir()
    assert "Read-only file system" in refusal(command, elsewhere)
