"""Clients that others wrote, as far as they are on this machine: the short form of tests/clients, whose long one, with
all ways to a gateway, is C{make clients}.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients.__main__ import matrix_row, offers
from tests.clients.catalogue import CLIENTS, Client
from tests.clients.transports import TRANSPORTS

pytestmark = pytest.mark.long


def installed() -> list[Client]:
    """The clients that are on this machine, or come from npm."""
    clients = [client for client in CLIENTS.values() if client.why_not() is None]
    for client in clients:
        client.prepare()
    return clients


def test_versions_of_tls(tmp_path: Path) -> None:
    """Who is told to speak one version of TLS offers no other, so that transports are what they are called."""
    spoken = {
        (client.name, tls): offers(client, tmp_path, tls).versions for client in installed() for tls in ("1.2", "1.3")
    }
    assert spoken == {(name, tls): (tls,) for name, tls in spoken}


@pytest.mark.parametrize("name", ["plain", "tls1.3", "haproxy-h2"])
def test_transport(name: str, tmp_path: Path) -> None:
    """Each client calls, gets long messages, and sees close codes; browsers over HTTP/2 where it is offered."""
    transport = TRANSPORTS[name]
    if reason := transport.why_not():
        pytest.skip(reason)
    clients = installed()
    assert {"websockets", "websocket-client"} <= {client.name for client in clients}
    row = matrix_row(transport, clients, tmp_path)
    assert {client: outcome.failed for client, (outcome, _) in row.items() if outcome.failed} == {}
    if name == "haproxy-h2" and "chromium" in row:
        assert row["chromium"][1] == "HTTP/2.0"
