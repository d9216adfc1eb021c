"""The other tables of documents: events, limits, figures, errors and close codes."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import cell0gw
from cell0gw.monitoring.refusals import PROXY_CAUSES
from cell0gw.presence.entries import PresenceEntry
from cell0gw.protocol.errors import ERRORS, CloseCode
from cell0gw.protocol.subjects import OWN_CHANNELS
from cell0gw.transports.websocket.refusals import REFUSALS
from tests.documents import OPERATIONS, PROTOCOL, DocumentTestCase, code, differing, document, missing, rows, section
from tests.test_docs import OBJECTS, DocsTestCase, members

YES = {True: "yes", False: "no"}


def mentioned(attribute_of: str | None = None) -> set[str]:
    """The names that the package uses, C{errors.py} apart, or those of the attributes of one of its names."""
    found = set()
    for path in Path(cell0gw.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())) if path.name != "errors.py" else ():
            if attribute_of is None and isinstance(node, ast.Name):
                found.add(node.id)
            elif isinstance(node, ast.Attribute) and getattr(node.value, "id", None) == attribute_of:
                found.add(node.attr)
    return found


class TableDocsTests(DocsTestCase):
    """What the documents say of events, limits and figures."""

    def test_events(self) -> None:
        """The table of events has what agents that come and go and a full disk bring about, with what data holds."""
        for channel in OWN_CHANNELS:
            self.client.call("channel.subscribe", channel=channel)
        agent = self.gateway.connect("agent_003")
        agent.call("channel.subscribe", channel="news")
        agent.call("presence.update", status="busy")
        agent.disconnect()
        self.gateway.advance(601, step=5.0)  # for as long a channel is there still
        for cause in ("full", None):
            self.gateway.health.storage(cause)
        self.gateway.drain()
        happened = {
            f"`{event['type']}` on `{event['channel']}`": sorted(event["data"])
            for event in self.client.received("event")
        }
        part = section(PROTOCOL, "Events")
        table = {
            f"`{code(row[1])[0]}` on `{code(row[0])[0]}`": sorted(
                members(PresenceEntry) if row[3].startswith("Its entry") else set(code(row[3])) - {"{}"}
            )
            for row in rows(part)
            if len(row) == 4
        }
        self.assertNothing(
            missing(
                part.where,
                happened,
                table,
                "no row for {}, which the gateway tells; add one: channel, type, when, data",
                "the row of {}: nothing that this test does brings it about; remove the row, or let the test do it",
            )
            + differing(part.where, happened, table, "the data of {}")
        )

    def test_limits(self) -> None:
        """The limits that the welcome announces are in the table, with their defaults."""
        limits = self.gateway.connect().received("connection.welcome")[0]["limits"]
        limits["max_connections"] = limits["max_connections_per_entity"] = None  # depend on the machine
        part = section(OBJECTS, "Limits")
        table = {code(row[0])[0]: json.loads(code(row[2])[0]) if code(row[2]) else None for row in rows(part)}
        self.assertNothing(
            missing(
                part.where,
                limits,
                table,
                "no row for `{}`, which the welcome announces; run make reference",
                "the row of `{}`: the welcome announces no such limit; run make reference",
                ordered=True,
            )
            + differing(part.where, limits, table, "the default of `{}`")
        )

    def test_capabilities(self) -> None:
        """The table of the gateway's capabilities has those of the welcome, in order; the methods it names exist."""
        part = section(PROTOCOL, "Capabilities of the gateway")
        table = {code(row[0])[0]: row[1] for row in rows(part)}
        named = {name for cell in table.values() for name in code(cell) if re.fullmatch(r"[a-z]+\.[a-zA-Z]+", name)}
        self.assertNothing(
            missing(
                part.where,
                self.gateway.connect().received("connection.welcome")[0]["capabilities"],
                table,
                "no row for `{}`, which the welcome names; add one: the capability, what is there",
                "the row of `{}`: the welcome does not name it; remove the row",
                ordered=True,
            )
            + [f"{part.where}: `{name}` is no method; correct it" for name in sorted(named - set(self.methods()))]
        )

    def test_figures(self) -> None:
        """The table of figures has those of gateway.getStats; the italic ones have rates."""
        statistics = self.client.call("gateway.getStats")
        part = section(OPERATIONS, "By service")
        table = {code(row[0])[0]: row[1] for row in rows(part)}
        findings = missing(
            part.where,
            statistics["services"],
            table,
            "no row for the service `{}`; add one: the service, its figures",
            "the row of the service `{}`: it has no statistics(); remove the row",
        )
        for service in table.keys() & statistics["services"].keys():
            findings += missing(
                f"{part.where}, row {service}",
                statistics["services"][service],
                code(table[service]),
                "the figure `{}` is missing; add it",
                "the figure `{}`: statistics() has no such figure; remove it",
                ordered=True,
            )
        findings += missing(
            part.where,
            statistics["rates"],
            [f"{name}.{figure}" for name, cell in table.items() for figure in re.findall(r"\*`(\w+)`\*", cell)],
            "{} is a total, so it has a rate: set the figure in italics",
            "{} is no total, so it has no rate: set the figure without italics",
        )
        self.assertNothing(findings)

    def test_refused_handshakes(self) -> None:
        """The table of causes for which a handshake is refused has all, in order, with their statuses."""
        part = section(OPERATIONS, "Of refused handshakes")
        table = {code(row[0])[0]: row[1] for row in rows(part)}
        statuses = {cause: str(refusal.status) for cause, refusal in REFUSALS.items()}
        told = set(statuses.values())
        statuses |= dict.fromkeys(PROXY_CAUSES, "none")
        self.assertNothing(
            missing(
                part.where,
                statuses,
                table,
                "no row for the cause `{}`; add one: cause, status, what it is",
                "the row of the cause `{}`: neither REFUSALS nor PROXY_CAUSES has such a cause; remove the row",
                ordered=True,
            )
            + differing(part.where, statuses, table, "the status of `{}`")
        )
        explained = {status for row in rows(section(PROTOCOL, "Connection")) for status in row[0].split(", ")}
        self.assertEqual(told - explained, set())


class ErrorDocsTests(DocumentTestCase):
    """What the documents say of errors and close codes."""

    def test_errors(self) -> None:
        """The table of errors has every one, and the package raises each."""
        part = document("docs/reference/errors.md")
        self.assertNothing(
            missing(
                part.where,
                [f"| {error.number} | `{error.code}` | {YES[error.retryable]} |" for error in ERRORS],
                [f"| {bare(row[0])} | `{code(row[1])[0]}` | {row[2]} |" for row in rows(part)],
                "no row that begins with {}, as cell0gw/protocol/errors.py has it; run make reference",
                "the row that begins with {}: cell0gw/protocol/errors.py has no such error; run make reference",
                ordered=True,
            )
            + [
                f"cell0gw/protocol/errors.py: nothing in the package raises {error.__name__}; remove it"
                for error in ERRORS
                if error.__name__ not in mentioned()
            ]
        )

    def test_close_codes(self) -> None:
        """The table of close codes has every one, and the package sends each but that of a clean close."""
        part = document("docs/reference/close-codes.md")
        table = {bare(row[0]): row[1] for row in rows(part)}
        again = {
            str(known.value): YES[known == CloseCode.INTERNAL_ERROR or 4000 <= known < 4500] for known in CloseCode
        }
        self.assertNothing(
            missing(
                part.where,
                again,
                table,
                "no row for {}, as cell0gw/protocol/errors.py has it; run make reference",
                "the row of {}: CloseCode has no such member; run make reference",
                ordered=True,
            )
            + differing(part.where, again, table, "whether to connect again after {}")
            + [
                f"cell0gw/protocol/errors.py: nothing in the package sends CloseCode.{known.name}; remove it"
                for known in CloseCode
                if known.name not in mentioned("CloseCode") and known != CloseCode.NORMAL
            ]
        )


def bare(cell: str) -> str:
    """A cell without the place that it marks."""
    return re.sub(r"<[^>]*>", "", cell)
