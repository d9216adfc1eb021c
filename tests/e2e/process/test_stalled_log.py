"""A log that can't be written: whoever reads it stands still, or its disk is full."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.clients import Client
from tests.e2e.conftest import StartGateway
from tests.e2e.processes import ADMIN_TOKEN, PATIENCE, TWISTD, Address, environment, eventually

PIPE = 4096
"""Bytes that the pipe of the log holds."""


class Unread:
    """A gateway whose log goes to a pipe, which is read up to the line that says where it listens, and no further."""

    def __init__(self, folder: Path) -> None:
        self.reading, writing = os.pipe()
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, PIPE)
        command = [*TWISTD, "--host", "127.0.0.1", "--port", "0", "--state-dir", folder / "state"]
        self.process = subprocess.Popen(
            [str(word) for word in command],
            env=environment(CELL0_GATEWAY_ADMIN_TOKEN=ADMIN_TOKEN),
            cwd=folder,
            stdout=writing,
            stderr=writing,
        )
        os.close(writing)
        self.output = b""
        while not (found := re.search(rb"listening on \S+ port (\d+)", self.output)):
            self.output += os.read(self.reading, 100)
        self.address = Address(int(found[1]))

    def read_on(self) -> bytes:
        """All that it has written, once it has ended."""
        while more := os.read(self.reading, 65536):
            self.output += more
        return self.output


@pytest.fixture
def unread(tmp_path: Path) -> Iterator[Unread]:
    gateway = Unread(tmp_path)
    try:
        yield gateway
    finally:
        gateway.process.kill()
        gateway.process.wait()
        os.close(gateway.reading)


def make_lines(gateway: Unread) -> int:
    """Have it write far more than the pipe holds: two lines of 80 bytes at least for each session.

    @return: how many sessions there were.
    """
    count = 4 * PIPE // 160
    for _ in range(count):
        with Client(gateway.address, ADMIN_TOKEN) as client:
            assert client.call("rpc.ping") == "pong"
    return count


def test_goes_on(unread: Unread) -> None:
    """While nobody reads the log the gateway serves, and when somebody does, every line is there."""
    count = make_lines(unread)
    unread.process.send_signal(signal.SIGTERM)
    output = unread.read_on()
    assert unread.process.wait(PATIENCE) == 0
    assert output.count(b" opened sess_") == output.count(b" closed sess_") == count
    assert b"lines are missing" not in output
    assert b"Server Shut Down" in output.splitlines()[-1]


def test_ends(unread: Unread) -> None:
    """A gateway whose log nobody reads ends with 0 all the same, a second later at most."""
    make_lines(unread)
    began = time.monotonic()
    unread.process.send_signal(signal.SIGTERM)
    assert unread.process.wait(PATIENCE) == 0
    assert time.monotonic() - began < PATIENCE / 2


def test_full_audit_log(start_gateway: StartGateway, tmp_path: Path) -> None:
    """An audit log that can't be written is told of in the log, in the health and in the figures, and stops nothing."""
    (tmp_path / "state").mkdir(mode=0o700)
    (tmp_path / "state" / "audit.log").symlink_to("/dev/full")
    gateway = start_gateway()
    with Client(gateway, ADMIN_TOKEN) as admin:
        admin.call("auth.generateToken", entity_id="a")
        gateway.wait_for(r"\[critical\] lines could not be written to the audit log")
        eventually(lambda: admin.call("gateway.getHealth")["problems"], "the problem")
        (problem,) = admin.call("gateway.getHealth")["problems"]
        assert (problem["name"], problem["cause"]) == ("audit", "dropped")
        assert admin.call("gateway.getStats")["services"]["gateway"]["audit_lines_dropped"] == 1
