"""Connections that fell silent, and those that stay."""

from __future__ import annotations

import pytest

from tests.e2e.clients import Client, RawClient
from tests.e2e.conftest import StartGateway
from tests.e2e.processes import ADMIN_TOKEN

LIVELY = ("--heartbeat-interval", "0.3", "--heartbeat-timeout", "1")


def test_a_client_that_answers_pings_stays(start_gateway: StartGateway) -> None:
    """A client whose library answers pings stays far beyond the timeout without sending anything itself."""
    gateway = start_gateway(*LIVELY)
    with Client(gateway, ADMIN_TOKEN) as client:
        for _ in range(10):  # three times the timeout
            client.notification("heartbeat")
        assert client.call("rpc.ping") == "pong"


@pytest.mark.parametrize("authenticated", [False, True])
def test_a_client_that_says_nothing_is_closed(start_gateway: StartGateway, authenticated: bool) -> None:
    """A client that sends nothing any more, no pong either, is closed with 4002, however much is sent to it."""
    gateway = start_gateway(*LIVELY)
    with RawClient(gateway) as silent:
        if authenticated:
            silent.call("auth.authenticate", token=ADMIN_TOKEN)
        assert silent.close_code() == 4002


def test_a_client_that_does_not_authenticate_is_closed(start_gateway: StartGateway) -> None:
    """A client that answers every ping but does not authenticate in time is closed with 4502."""
    gateway = start_gateway(*LIVELY, "--auth-timeout", "0.5")
    with Client(gateway) as stranger:
        assert stranger.close_code() == 4502
    with Client(gateway, ADMIN_TOKEN) as client:
        for _ in range(4):  # twice the limit
            client.notification("heartbeat")
        assert client.call("rpc.ping") == "pong"


def test_a_silent_stranger_is_closed_by_what_comes_first(start_gateway: StartGateway) -> None:
    """Of two limits that a silent stranger runs into, the one that comes first names the close code."""
    gateway = start_gateway(*LIVELY, "--auth-timeout", "0.5")
    with RawClient(gateway) as silent:
        assert silent.close_code() == 4502


def test_authentication_may_take_for_ever(start_gateway: StartGateway) -> None:
    """With --auth-timeout 0 nobody is closed for not authenticating."""
    gateway = start_gateway(*LIVELY, "--auth-timeout", "0")
    with Client(gateway) as stranger:
        for _ in range(10):
            stranger.notification("heartbeat")
        assert stranger.call("rpc.ping") == "pong"


def test_a_closed_agent_is_gone(start_gateway: StartGateway) -> None:
    """An agent that fell silent is away, and leaves presence when it does not come back; others hear of both."""
    gateway = start_gateway(*LIVELY, "--resume-window", "1s")
    with Client(gateway, ADMIN_TOKEN) as admin:
        token = admin.call("auth.generateToken", entity_id="agent_001")["token"]
        admin.call("channel.subscribe", channel="$agents")
        with RawClient(gateway) as silent:
            silent.call("auth.authenticate", token=token)
            assert admin.notification("event")["type"] == "agent.online"
            assert silent.close_code() == 4002
        away = admin.notification("event")
        assert (away["type"], away["data"]["status"]) == ("agent.changed", "away")
        left = admin.notification("event")
        assert (left["type"], left["data"]["entity_id"]) == ("agent.offline", "agent_001")
        assert admin.call("agent.list") == []
