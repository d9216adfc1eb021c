"""What the process tells whoever watches it, by a socket as systemd's."""

from __future__ import annotations

import signal
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.clients import Client
from tests.e2e.conftest import StartGateway
from tests.e2e.processes import ADMIN_TOKEN, PATIENCE


@pytest.fixture
def watching() -> Iterator[socket.socket]:
    """A socket as systemd's."""
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as watcher:
        watcher.bind(str(Path(folder) / "notify"))
        watcher.settimeout(PATIENCE)
        yield watcher


def told(watching: socket.socket, but: str = "WATCHDOG=1") -> dict[str, str]:
    """The next that is told, other than a sign of life."""
    while (text := watching.recv(4096).decode()) == but:
        pass
    return dict(line.partition("=")[::2] for line in text.splitlines())


def test_life_of_a_process(start_gateway: StartGateway, watching: socket.socket) -> None:
    """It tells when it serves, that it lives, when it reads its options again and has done so, and when it stops."""
    gateway = start_gateway(NOTIFY_SOCKET=watching.getsockname(), WATCHDOG_USEC="400000")
    assert told(watching) == {"READY": "1", "STATUS": f"listening on 127.0.0.1 port {gateway.port}"}
    assert watching.recv(4096) == b"WATCHDOG=1"
    assert watching.recv(4096) == b"WATCHDOG=1"
    with Client(gateway, ADMIN_TOKEN) as client:
        gateway.signal(signal.SIGHUP)
        reloading = told(watching)
        assert (reloading["RELOADING"], reloading["MONOTONIC_USEC"].isdecimal()) == ("1", True)
        assert told(watching)["READY"] == "1"
        gateway.signal()
        stopping = told(watching)
        assert client.close_code() == 4001
    assert (stopping["STOPPING"], int(stopping["EXTEND_TIMEOUT_USEC"])) == ("1", 20_000_000)
    assert gateway.wait() == 0


def test_a_disk_that_fails(start_gateway: StartGateway, watching: socket.socket) -> None:
    """It tells that its database can't be written, and that it can again."""
    gateway = start_gateway(NOTIFY_SOCKET=watching.getsockname())
    assert told(watching)["READY"] == "1"
    listening = f"listening on 127.0.0.1 port {gateway.port}"
    database, aside = gateway.state_dir / "gateway.db", gateway.state_dir / "aside.db"
    with Client(gateway, ADMIN_TOKEN) as admin:
        database.rename(aside)
        assert admin.request("auth.generateToken", entity_id="a")["error"]["data"]["cause"] == "unreachable"
        assert told(watching) == {"STATUS": f"{listening}; storage: unreachable"}
        aside.rename(database)
        assert told(watching) == {"STATUS": listening}
        assert admin.call("gateway.getHealth")["status"] == "ok"


def test_a_stuck_process_is_noticed(start_gateway: StartGateway, watching: socket.socket) -> None:
    """A process that does nothing gives no sign of life."""
    gateway = start_gateway(NOTIFY_SOCKET=watching.getsockname(), WATCHDOG_USEC="200000")
    assert told(watching)["READY"] == "1"
    gateway.signal(signal.SIGSTOP)
    watching.settimeout(1)
    with pytest.raises(TimeoutError):
        while True:  # what was told before it stood still
            watching.recv(4096)
    gateway.signal(signal.SIGCONT)
    watching.settimeout(PATIENCE)
    assert watching.recv(4096) == b"WATCHDOG=1"
