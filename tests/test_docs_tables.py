"""The tables of docs/protocol.md beside those of methods: events, limits, figures, errors and close codes."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import cell0gw
from cell0gw.presence.directory import PresenceEntry
from cell0gw.protocol.errors import ERRORS, CloseCode
from cell0gw.protocol.subjects import OWN_CHANNELS
from tests.documents import PROTOCOL, DocumentTestCase, Part, code, differing, missing, rows, section
from tests.test_docs import METHODS, DocsTestCase, members

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
        limits["max_connections"] = None  # depends on the machine
        part = section(PROTOCOL, "Connection")
        listed = [row for row in rows(part) if row[0].startswith("`")]
        table = {code(row[0])[0]: int(row[1]) if row[1].isdigit() else None for row in listed}
        self.assertNothing(
            missing(
                part.where,
                limits,
                table,
                "no row for `{}`, which the welcome announces; add one: the limit, its default, its meaning",
                "the row of `{}`: the welcome announces no such limit; remove the row",
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
        part = section(METHODS, "gateway.getStats")
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


class ErrorDocsTests(DocumentTestCase):
    """What the documents say of errors and close codes."""

    def test_errors(self) -> None:
        """The tables of errors have every one; the first those that this release gives."""
        part = section(PROTOCOL, "Errors")
        given = rows(Part(part.where, part.text.partition("The gateway's table has more")[0]))
        used = [error.code for error in ERRORS if error.__name__ in mentioned()]
        self.assertNothing(
            missing(
                part.where,
                [f"| {error.number} | `{error.code}` | {YES[error.retryable]} |" for error in ERRORS],
                [f"| {row[0]} | `{code(row[1])[0]}` | {row[2]} |" for row in rows(part)],
                "no row that begins with {}, as cell0gw/protocol/errors.py has it; add one, with its meaning",
                "the row that begins with {}: cell0gw/protocol/errors.py has no such error; correct or remove the row",
            )
            + missing(
                f"{part.where}, first table",
                used,
                [code(row[1])[0] for row in given],
                "no row for `{}`, which the package raises; move the row there",
                'the row of `{}`: nothing in the package raises it; move the row below "The gateway\'s table has more"',
            )
        )

    def test_close_codes(self) -> None:
        """The table of close codes has those that this release sends; the others are named as such."""
        part = section(PROTOCOL, "Close codes")
        codes = [CloseCode[name] for name in mentioned("CloseCode")]
        sent = {str(known.value): YES[known == CloseCode.INTERNAL_ERROR or 4000 <= known < 4500] for known in codes}
        table = {row[0]: row[1] for row in rows(part)}
        self.assertNothing(
            missing(
                part.where,
                sent,
                table,
                "no row for {}, which the package sends; add one: the code, whether to connect again, its meaning",
                "the row of {}: nothing in the package sends it; remove the row",
            )
            + differing(part.where, sent, table, "whether to connect again after {}")
            + missing(
                f"{part.where}, after the table",
                {str(known.value) for known in CloseCode} - set(sent),
                set(re.findall(r"\d{4}", part.text.partition("The gateway's table has more")[2])),
                "{} is not named, a CloseCode that nothing in the package sends; name it",
                "{} is named, but the package sends it, or CloseCode lacks it; remove it",
            )
        )
