"""Kill -9 with a thousand messages in the mailboxes and calls in flight: see C{tests.crash.agents}, of which
this is the short form; C{make crash} is the long one.
"""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from tests.e2e.clients import Client, mint
from tests.e2e.conftest import StartGateway
from tests.e2e.processes import CHECKOUT, environment

pytestmark = pytest.mark.long


def test_six_kills() -> None:
    """Killed while it takes a thousand letters, brings them and hears them acknowledged, and three times more, on one
    state folder: all arrive, once and in order; who repeats a letter is heard once; receipts tell all; nothing is left.
    """
    command = [sys.executable, "-m", "tests.crash.agents", "--cycles", "6"]
    run = subprocess.run(
        command, env=environment(), cwd=CHECKOUT, capture_output=True, text=True, timeout=300, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "6 cycles" in run.stdout


def test_receipts_that_did_not_arrive(start_gateway: StartGateway) -> None:
    """What a connection was told and did not read before the gateway was killed is told again by the next process."""
    gateway = start_gateway()
    tokens = {name: mint(gateway, name) for name in ("sender", "recipient")}
    with Client(gateway, tokens["sender"]) as silent, Client(gateway) as recipient:
        sent = [silent.call("agent.send", agent_id="recipient", message=n, receipts=True) for n in range(3)]
        recipient.call("auth.authenticate", token=tokens["recipient"], capabilities=["ack"])
        for _ in sent:
            message_id = recipient.notification("agent.message")["message_id"]
            recipient.call("agent.ack", message_id=message_id, status="done")
        mint(gateway, "other")  # a session begins: who was told is written down; and a token, which is on disk after it
        gateway.signal(signal.SIGKILL)
        assert gateway.wait() == -signal.SIGKILL
    with Client(start_gateway(), tokens["sender"]) as sender:
        told: dict[str, list[str]] = {one["message_id"]: [] for one in sent}
        while not all("done" in steps for steps in told.values()):
            receipt = sender.notification("agent.receipt")
            told[receipt["message_id"]].append(receipt["status"])
        assert list(told.values()) == [["queued", "sent", "done"]] * 3
