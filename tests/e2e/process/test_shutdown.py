"""The end of the process: signals, goodbyes, and life as a daemon."""

from __future__ import annotations

import itertools
import os
import re
import select
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from tests.e2e.clients import Client, RawClient, mint
from tests.e2e.conftest import StartGateway
from tests.e2e.processes import ADMIN_TOKEN, BIN, PATIENCE, Address, GatewayProcess, environment, eventually

DRAINED = 10.0
"""Within how many seconds a gateway has ended after SIGTERM."""


def test_sigterm_says_goodbye(start_gateway: StartGateway) -> None:
    """On SIGTERM every client, authenticated or not, is closed with 4001, and the process ends with 0 within 10 s."""
    gateway = start_gateway()
    clients = [Client(gateway, token) for token in (None, ADMIN_TOKEN, mint(gateway, "agent_001"))]
    began = time.monotonic()
    gateway.signal(signal.SIGTERM)
    codes = [client.close_code() for client in clients]
    assert gateway.wait() == 0
    assert time.monotonic() - began < DRAINED
    assert codes == [4001, 4001, 4001]


def test_sigint_is_the_same(start_gateway: StartGateway) -> None:
    """SIGINT drains as SIGTERM does."""
    gateway = start_gateway()
    with Client(gateway, ADMIN_TOKEN) as client:
        gateway.signal(signal.SIGINT)
        assert client.close_code() == 4001
    assert gateway.wait() == 0


def test_sigterm_at_once(tmp_path: Path) -> None:
    """SIGTERM in the moment in which the log says that it listens drains, too."""
    for attempt in range(5):
        gateway = GatewayProcess(state_dir=tmp_path / f"state{attempt}", env=environment())
        try:
            gateway.signal(signal.SIGTERM)
            assert gateway.wait() == 0
            gateway.wait_for("stopped")
        finally:
            gateway.kill()


def test_a_client_that_never_reads(start_gateway: StartGateway) -> None:
    """A client that reads nothing, with megabytes waiting for it, delays the end of the process by seconds only."""
    gateway = start_gateway("--no-compression", "--outbound-limit", "64MiB")
    with RawClient(gateway, receive_buffer=4096) as stalled, Client(gateway, ADMIN_TOKEN) as admin:
        stalled.call("auth.authenticate", token=ADMIN_TOKEN)
        stalled.call("channel.subscribe", channel="noise")
        for _ in range(8):
            published = admin.call("channel.publish", channel="noise", message="x" * 1024 * 1024)
            assert published["recipients"] == 1
        began = time.monotonic()
        gateway.signal()
        assert admin.close_code() == 4001
        assert gateway.wait() == 0
        assert time.monotonic() - began < DRAINED


def test_second_signal(start_gateway: StartGateway) -> None:
    """While the first drain waits for a client that does not answer, a second signal ends the process at once, by 1."""
    gateway = start_gateway()
    with RawClient(gateway):
        gateway.signal()
        gateway.wait_for("SIGTERM: draining")
        assert gateway.running
        gateway.signal()
        assert gateway.wait() == 1


def test_new_clients_while_draining(start_gateway: StartGateway) -> None:
    """Once it drains, the port accepts nobody."""
    gateway = start_gateway()
    with RawClient(gateway) as stalled:
        gateway.signal()
        gateway.wait_for("SIGTERM: draining")
        assert stalled.close_code() == 4001
        with pytest.raises(ConnectionRefusedError):
            Client(gateway)
    assert gateway.wait() == 0


def test_newcomers_for_a_while(start_gateway: StartGateway) -> None:
    """With drain_accept newcomers are accepted after SIGTERM, though all others have gone, and told 4001; then the port
    accepts nobody, and the process ends with 0.
    """
    gateway = start_gateway("--drain-accept", "3s")
    with Client(gateway, ADMIN_TOKEN) as client:
        gateway.signal()
        assert client.close_code() == 4001
    came = 0
    while gateway.running:
        try:
            with Client(gateway) as late:
                assert late.close_code() == 4001
            came += 1
        except ConnectionRefusedError:
            break
        except (ConnectionClosed, OSError):
            # The port was closed before this one's handshake was read: it is refused the next time.
            with pytest.raises(ConnectionRefusedError):
                Client(gateway)
            break
    assert came > 1
    assert gateway.wait() == 0


def test_sigint_accepts_nobody(start_gateway: StartGateway) -> None:
    """After SIGINT, which somebody types, nobody is waited for, whatever drain_accept says."""
    gateway = start_gateway("--drain-accept", "60s", "--drain-timeout", "61s")
    gateway.signal(signal.SIGINT)
    assert gateway.wait() == 0


def test_batches(start_gateway: StartGateway) -> None:
    """Many clients are sent away one batch after the other, so that they don't all come back in the same instant."""
    gateway = start_gateway()
    with ExitStack() as stack:
        waiting = {(client := stack.enter_context(RawClient(gateway))).socket: client for _ in range(600)}
        gateway.signal()
        told: list[float] = []
        while waiting:
            for ready in select.select(list(waiting), [], [], PATIENCE)[0]:
                assert waiting[ready].close_code() == 4001
                del waiting[ready]
                told.append(time.monotonic())
                ready.close()
    assert gateway.wait() == 0
    assert told[-1] - told[0] > 0.1, "two pauses of 0.05 s at least"


def test_acknowledged_is_kept(start_gateway: StartGateway, tmp_path: Path) -> None:
    """SIGTERM under load: what was acknowledged is there after the restart, once; what was not was refused with
    -32000, or went without an answer; and everyone was told to come back."""
    config = tmp_path / "gateway.toml"
    config.write_text('[[channels]]\npattern = "kept.>"\ndurable = true\n')
    gateway = start_gateway("--config", str(config))
    acknowledged: list[str] = []

    def publish(client: Client, name: str) -> int | None:
        for number in itertools.count():
            message = f"{name} {number}"
            try:
                answer = client.request("channel.publish", channel="kept.events", message=message)
            except ConnectionClosed as closed:
                return None if closed.rcvd is None else closed.rcvd.code
            if "result" in answer:
                acknowledged.append(message)
            else:
                assert answer["error"]["code"] == -32000
        raise AssertionError

    with ThreadPoolExecutor(8) as pool:
        ends = [pool.submit(publish, Client(gateway, ADMIN_TOKEN), f"client {number}") for number in range(8)]
        eventually(lambda: len(acknowledged) > 200, "publications")
        gateway.signal()
        assert [end.result(PATIENCE) for end in ends] == [4001] * 8
    assert gateway.wait() == 0
    again = start_gateway("--config", str(config))
    kept: list[str] = []
    with Client(again, ADMIN_TOKEN) as client:
        position = None
        while page := client.call("channel.history", channel="kept.events", since=position, limit=1000):
            if not page["messages"]:
                break
            kept += [each["message"] for each in page["messages"]]
            position = {"offset": page["messages"][-1]["offset"], "epoch": page["epoch"]}
    assert len(kept) == len(set(kept))
    assert set(acknowledged) <= set(kept)


def test_daemon(tmp_path: Path) -> None:
    """Without -n it goes to the background, serves, logs to the file, and ends with its pidfile removed."""
    log, pidfile = tmp_path / "gateway.log", tmp_path / "gateway.pid"
    command = [BIN / "twistd", f"--pidfile={pidfile}", f"--logfile={log}", f"--rundir={tmp_path}", "cell0gw"]
    place = ["--host", "127.0.0.1", "--port", "0", "--state-dir", tmp_path / "state"]
    environ = environment(CELL0_GATEWAY_ADMIN_TOKEN=ADMIN_TOKEN)
    done = subprocess.run(
        [*command, *place], env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    pid = int(eventually(lambda: pidfile.exists() and pidfile.read_text(), "the pidfile"))
    try:
        eventually(lambda: log.exists() and "listening on" in log.read_text(), "the line in the log")
        daemon = Address(int(re.findall(r"listening on 127\.0\.0\.1 port (\d+)", log.read_text())[0]))
        with Client(daemon, mint(daemon, "agent_001")) as client:
            assert client.call("session.getInfo")["entity_id"] == "agent_001"
            os.kill(pid, signal.SIGTERM)
            assert client.close_code() == 4001
        eventually(lambda: not alive(pid), "the end of the daemon")
        assert not pidfile.exists()
        assert "stopped" in log.read_text()
    finally:
        if alive(pid):
            os.kill(pid, signal.SIGKILL)


def alive(pid: int) -> bool:
    """Whether there is such a process, one whose parent has not yet asked how it ended apart."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
