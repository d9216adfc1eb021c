"""The table of what came of all clients over all transports."""

from __future__ import annotations

from collections.abc import Sequence

from tests.clients.catalogue import Client
from tests.clients.conversation import Outcome
from tests.clients.hello import Hello
from tests.clients.transports import Transport


class Table:
    """What is known so far.

    @ivar missing: why clients and transports are not on this machine, by their names.
    @ivar versions: those of clients.
    @ivar hellos: what clients offer by TLS.
    @ivar outcomes: what came of a client over a transport, and the HTTP with which a proxy says that it came.
    """

    def __init__(self, transports: Sequence[Transport], clients: Sequence[Client]) -> None:
        self.transports, self.clients = transports, clients
        self.missing: dict[str, str] = {}
        self.versions: dict[str, str] = {}
        self.hellos: dict[str, Hello] = {}
        self.outcomes: dict[tuple[str, str], tuple[Outcome, str]] = {}

    def enter(self, client: str, transport: str, outcome: Outcome, seen: str = "") -> None:
        """One cell."""
        self.outcomes[client, transport] = (outcome, seen)

    def failures(self) -> list[tuple[str, str]]:
        """The cells that are not as they must be."""
        return [cell for cell, (outcome, _) in self.outcomes.items() if outcome.failed]

    def text(self) -> str:
        """All of it: the table, and below it why cells are not C{ok}."""
        head = ["client", "version", "ALPN", *(transport.name for transport in self.transports)]
        rows = [head, *(self._row(client) for client in self.clients)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        notes = [f"{client.name}: {client.note}" for client in self._tried() if client.note]
        notes += [f"{name} is not here: {reason}" for name, reason in self.missing.items()]
        notes += [f"FAILED {c}, {t}: {self.outcomes[c, t][0].failed}" for c, t in self.failures()]
        return "\n".join([*lines, *notes])

    def _tried(self) -> list[Client]:
        """Those that are on this machine."""
        return [client for client in self.clients if client.name in self.versions]

    def _row(self, client: Client) -> list[str]:
        if client.name not in self.versions:
            return [client.name, "-", "-", *("-" for _ in self.transports)]
        protocols = self.hellos[client.name].protocols
        cells = [self._cell(client, transport) for transport in self.transports]
        return [client.name, self.versions[client.name], ",".join(protocols) or "none", *cells]

    def _cell(self, client: Client, transport: Transport) -> str:
        outcome, seen = self.outcomes.get((client.name, transport.name), (None, ""))
        if outcome is None:
            return "-"
        if outcome.failed:
            return "FAILED"
        good = "connects" if client.silent else "ok, deflate" if client.compresses else "ok"
        return f"{good}, {seen}" if seen else good
