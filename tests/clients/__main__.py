"""Try clients that others wrote over every way to a gateway.

Each connects, authenticates, calls, sends a message of 1.5 MB, gets one of 300 KB and one of 9 MB, compressed if it
can, and sees the close codes of a revoked token (4507) and of a gateway that goes down (4001). What is not on this
machine is left out, and named.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from bench.certificate import make_certificate
from tests.clients.catalogue import CLIENTS, Client
from tests.clients.conversation import Conversation, Outcome
from tests.clients.hello import Hello, Probe
from tests.clients.place import Place
from tests.clients.table import Table
from tests.clients.transports import TRANSPORTS, Stage, Transport
from tests.e2e.processes import eventually

AT_ONCE: Final = 2
"""Clients that talk at the same time, but behind a proxy, whose log tells them apart by their order."""


def offers(client: Client, folder: Path, tls: str | None = None) -> Hello:
    """What a client offers by TLS.

    @param tls: the one version that it is to speak; None: nobody tells it what to.
    @raise OSError: it does not come.
    """
    certificate = make_certificate(folder)
    with Probe() as probe:
        peer = client.connect(Place(probe.port, certificate, tls, folder), False)
        try:
            return probe.hear()
        finally:
            peer.kill()


class Held(NamedTuple):
    """A client that has done all that can be done while the gateway runs.

    @ivar seen: with which HTTP the proxy says that it came; empty: there is no proxy, or it could not say.
    """

    conversation: Conversation
    outcome: Outcome
    seen: str


def converse(client: Client, stage: Stage) -> Held:
    """Have one client do all that can be done while the gateway runs."""
    conversation = Conversation(client, stage.place, stage.witness)
    if stage.seen is None:
        return Held(conversation, conversation.hold(), "")
    before = len(stage.seen())
    outcome = conversation.hold()
    if outcome.failed or client.silent:
        return Held(conversation, outcome, "")
    seen = stage.seen
    return Held(conversation, outcome, eventually(lambda: seen()[before:], "what the proxy has seen")[0])


def matrix_row(transport: Transport, clients: Iterable[Client], folder: Path) -> dict[str, tuple[Outcome, str]]:
    """Try clients over one transport.

    @return: what came of each, and with which HTTP the proxy says that it came, if there is one.
    """
    with transport.open(folder) as stage, ThreadPoolExecutor(1 if stage.seen else AT_ONCE) as pool:
        held = dict(zip([c.name for c in clients], pool.map(lambda c: converse(c, stage), clients), strict=True))
        try:
            stage.gateway.signal(signal.SIGTERM)
            outcomes = {
                name: (one.outcome if one.outcome.failed else one.conversation.see_drain(), one.seen)
                for name, one in held.items()
            }
            status = stage.gateway.wait()
            assert status == 0, stage.gateway.output
        finally:
            for one in held.values():
                one.conversation.end()
            with suppress(Exception):
                stage.witness.close()
        return outcomes


def main() -> int:
    """The command.

    @return: its exit status: 1 when something failed.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.clients", description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="CLIENT", choices=CLIENTS, default=list(CLIENTS))
    parser.add_argument("--transport", nargs="+", metavar="TRANSPORT", choices=TRANSPORTS, default=list(TRANSPORTS))
    parser.add_argument("--list", action="store_true", help="which there are")
    options = parser.parse_args()
    if options.list:
        print("\n".join([*CLIENTS, "", *(f"{one.name:12}{one.about}" for one in TRANSPORTS.values())]))
        return 0
    began = time.monotonic()
    table = Table([TRANSPORTS[name] for name in options.transport], [CLIENTS[name] for name in options.only])
    with tempfile.TemporaryDirectory(prefix="clients-") as folder:
        for client in table.clients:
            if reason := client.why_not():
                table.missing[client.name] = reason
                continue
            table.versions[client.name] = client.prepare()
            place = Path(tempfile.mkdtemp(dir=folder))
            table.hellos[client.name] = offers(client, place)
        ready = [client for client in table.clients if client.name in table.versions]
        for transport in table.transports:
            if reason := transport.why_not():
                table.missing[transport.name] = reason
                continue
            row = matrix_row(transport, ready, Path(tempfile.mkdtemp(dir=folder)))
            for name, (outcome, seen) in row.items():
                table.enter(name, transport.name, outcome, seen)
            failed = [name for name, (outcome, _) in row.items() if outcome.failed]
            print(f"{transport.name}: {len(row) - len(failed)} of {len(row)} clients {' '.join(failed)}", flush=True)
    print(table.text())
    print(f"{len(table.outcomes)} cells in {time.monotonic() - began:.0f} s, {len(table.failures())} failed")
    return 1 if table.failures() or not table.outcomes else 0


if __name__ == "__main__":
    sys.exit(main())
