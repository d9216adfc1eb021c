"""Kill -9 with tasks in hand: what was acknowledged is there afterwards, and nothing counts twice."""

from __future__ import annotations

import signal

import pytest

from tests.e2e.clients import Client, mint
from tests.e2e.conftest import StartGateway

pytestmark = pytest.mark.long


def test_killed_in_mid_work(start_gateway: StartGateway) -> None:
    """Killed while one task waits, one is given out and one is begun, the next process has all three: two are given
    out, the third is brought by the agent that had begun, and the creator reads each event of it, once and in order.
    """
    gateway = start_gateway()
    tokens = {name: mint(gateway, name) for name in ("creator", "w")}
    with Client(gateway, tokens["creator"]) as creator, Client(gateway) as worker:
        tasks = [creator.call("task.create", capability="t", message=n) for n in range(3)]
        worker.call("auth.authenticate", token=tokens["w"], capabilities=["t", "ack"], max_inflight=2)
        given = [worker.notification("agent.invoke") for _ in range(2)]
        worker.call("agent.progress", call_id=given[0]["call_id"], data="half")
        gateway.signal(signal.SIGKILL)
        assert gateway.wait() == -signal.SIGKILL
    gateway = start_gateway()
    with Client(gateway, tokens["creator"]) as creator, Client(gateway) as worker:
        worker.call("auth.authenticate", token=tokens["w"], capabilities=["t", "ack"])
        again = [worker.notification("agent.invoke") for _ in range(2)]
        assert [(each["task_id"], each["attempt"]) for each in again] == [
            (tasks[1]["task_id"], 2),
            (tasks[2]["task_id"], 1),
        ]
        done = worker.call("task.complete", task_id=tasks[0]["task_id"], attempt=1, result="whole")
        assert done["status"] == "completed"
        since = {"offset": tasks[0]["offset"], "epoch": tasks[0]["epoch"]}
        assert creator.call("task.subscribe", task_id=tasks[0]["task_id"], since=since)["recovered"]
        events = [creator.notification("task.event") for _ in range(4)]
        assert [(event["offset"], event["type"]) for event in events] == [
            (2, "status"),
            (3, "progress"),
            (4, "result"),
            (5, "status"),
        ]
