"""Invites over real sockets, and over the end of the process."""

from __future__ import annotations

import hashlib
import json
import signal
import ssl
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from bench.certificate import make_certificate
from tests.e2e.clients import Client, trusting
from tests.e2e.conftest import StartGateway
from tests.e2e.processes import ADMIN_TOKEN, Address

INVITES = 60
"""How many are being redeemed when the gateway is killed."""


class Place(NamedTuple):
    """Where clients connect."""

    url: str


def fragment_of(link: str) -> dict[str, str]:
    """What the fragment of a link says."""
    return {name: value for name, (value,) in parse_qs(urlsplit(link).fragment).items()}


def test_link_of_tls(start_gateway: StartGateway, tmp_path: Path) -> None:
    """A link leads to where its creator is, says that TLS is spoken, and pins the certificate that is shown there."""
    certificate = make_certificate(tmp_path)
    gateway = start_gateway("--tls-cert", str(certificate), "--path", "/gw")
    address = Address(gateway.port, "wss")
    with Client(place := Place(f"{address.url}/gw"), ADMIN_TOKEN, ssl=trusting(certificate)) as creator:
        link = creator.call("auth.createInvite", entity_id="agent_1")["link"]
    url, said = urlsplit(link), fragment_of(link)
    assert (url.scheme, url.hostname, url.port, url.path) == ("cell0", "127.0.0.1", gateway.port, "/gw")
    assert (set(said), said["tls"]) == ({"invite", "tls", "sha256"}, "1")
    unknown = ssl.create_default_context()
    unknown.check_hostname, unknown.verify_mode = False, ssl.CERT_NONE
    unknown.maximum_version = ssl.TLSVersion.TLSv1_2
    with Client(place, ssl=unknown) as stranger:
        shown = stranger.connection.socket.getpeercert(binary_form=True)  # type: ignore[attr-defined]
        assert hashlib.sha256(shown).hexdigest() == said["sha256"]
        token = stranger.call("auth.redeem", invite=said["invite"])["token"]
        assert stranger.call("auth.authenticate", token=token)["entity_id"] == "agent_1"


def test_killed(start_gateway: StartGateway) -> None:
    """However a gateway ends while invites are redeemed, each of them is still good, or there is its one token."""
    gateway = start_gateway()
    with Client(gateway, ADMIN_TOKEN) as creator:
        links = [creator.call("auth.createInvite", entity_id=f"agent.{n}")["link"] for n in range(INVITES)]
    invites = [fragment_of(link)["invite"] for link in links]
    with Client(gateway) as redeemer:
        for number, invite in enumerate(invites):
            call = {"jsonrpc": "2.0", "method": "auth.redeem", "params": {"invite": invite}, "id": number}
            redeemer.connection.send(json.dumps(call))
        tokens: dict[int, Any] = {}
        while not tokens:
            message = redeemer.receive()
            if "result" in message:
                tokens[message["id"]] = message["result"]
        gateway.signal(signal.SIGKILL)
        gateway.wait()
    gateway = start_gateway()
    with Client(gateway, ADMIN_TOKEN) as operator:
        left = {each["entity_id"] for each in operator.call("auth.listInvites")["invites"]}
        minted = [each["entity_id"] for each in operator.call("auth.listTokens", entity_id="agent.*")["tokens"]]
        assert len(minted) == len(set(minted)), "one token each"
        assert left.isdisjoint(minted)
        assert left | set(minted) == {f"agent.{n}" for n in range(INVITES)}
    for number, answer in tokens.items():
        assert f"agent.{number}" in minted, "what was answered is on disk"
        with Client(gateway, answer["token"]):
            pass
    for number, invite in enumerate(invites[-1:], INVITES - 1):
        with Client(gateway) as stranger:
            again = stranger.request("auth.redeem", invite=invite)
            assert ("result" in again) == (f"agent.{number}" in left)
