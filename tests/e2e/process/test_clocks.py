"""A gateway whose machine has its clock set, under each reactor."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.clients import Client, RawClient
from tests.e2e.conftest import StartGateway
from tests.e2e.processes import ADMIN_TOKEN, GatewayProcess

STEPPED = Path(__file__).parents[1] / "programs" / "stepped.py"
HOUR = 3600.0


def set_clock(gateway: GatewayProcess, client: Client, ahead: float) -> None:
    """Set the gateway's wall clock, and wait until heartbeats say so."""
    gateway.type(str(ahead))
    gateway.wait_for(f"ahead by {ahead:.0f}")
    true = datetime.now(UTC).timestamp()
    while abs(datetime.fromisoformat(client.notification("heartbeat")["timestamp"]).timestamp() - true - ahead) > 60:
        pass


@pytest.mark.parametrize("reactor", [None, "epoll", "asyncio"])
def test_the_clock_is_set(start_gateway: StartGateway, reactor: Any) -> None:
    """An hour forward and two back: heartbeats go on, who lives stays, who is silent goes, mail and calls keep time."""
    chosen = [] if reactor is None else ["--reactor", reactor]
    gateway = start_gateway(
        "--heartbeat-interval", "0.3", "--heartbeat-timeout", "3", "--auth-timeout", "600",
        command=(sys.executable, STEPPED, "-n", "--pidfile=", *chosen, "cell0gw"),
    )  # fmt: skip
    with Client(gateway, ADMIN_TOKEN) as admin, Client(gateway) as stranger:
        tokens = [admin.call("auth.generateToken", entity_id=name)["token"] for name in ("away", "busy")]
        with Client(gateway, tokens[1]) as busy:
            for ahead in (HOUR, -HOUR, 0.0):
                admin.call("agent.send", agent_id="away", message=ahead, ttl_seconds=60)
                with RawClient(gateway) as silent:
                    set_clock(gateway, admin, ahead)
                    assert silent.close_code() == 4002
                assert busy.call("rpc.ping") == stranger.call("rpc.ping") == "pong"
                late = admin.request("agent.call", agent_id="busy", message=1, timeout_ms=500)
                assert late["error"]["code"] == -32004
        with Client(gateway, tokens[0]) as away:
            assert [away.notification("agent.message")["message"] for _ in range(3)] == [HOUR, -HOUR, 0.0]
        uptime = admin.call("gateway.getStats")["uptime"]
        assert 0 < uptime < 600
