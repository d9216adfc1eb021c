"""What the table shows, and what counts as a failure."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.clients.catalogue import CLIENTS
from tests.clients.conversation import Outcome, long_text
from tests.clients.hello import Hello
from tests.clients.table import Table
from tests.clients.transports import TRANSPORTS


class TableTests(SynchronousTestCase):
    """The table."""

    def test_cells(self) -> None:
        """Each cell says what came of a client over a transport; below stand the reasons of all that is not good."""
        clients = [CLIENTS[name] for name in ("ws", "java", "curl", "gorilla")]
        table = Table([TRANSPORTS["plain"], TRANSPORTS["nginx"]], clients)
        for name in ("ws", "java", "curl"):
            table.versions[name], table.hellos[name] = "1.2.3", Hello(("1.2",), ("h2", "http/1.1"))
        table.missing["gorilla"] = "there is no Go"
        table.enter("ws", "plain", Outcome(""))
        table.enter("ws", "nginx", Outcome(""), "HTTP/1.1")
        table.enter("java", "plain", Outcome("9 MB: closed 1006"))
        table.enter("curl", "plain", Outcome(""))
        lines = table.text().splitlines()
        self.assertEqual(
            [line.split("  ") for line in map(squeezed, lines[:5])],
            [
                ["client", "version", "ALPN", "plain", "nginx"],
                ["ws", "1.2.3", "h2,http/1.1", "ok, deflate", "ok, deflate, HTTP/1.1"],
                ["java", "1.2.3", "h2,http/1.1", "FAILED", "-"],
                ["curl", "1.2.3", "h2,http/1.1", "connects", "-"],
                ["gorilla", "-", "-", "-", "-"],
            ],
        )
        self.assertEqual(
            lines[5:],
            [
                f"curl: {CLIENTS['curl'].note}",
                "gorilla is not here: there is no Go",
                "FAILED java, plain: 9 MB: closed 1006",
            ],
        )
        self.assertEqual(table.failures(), [("java", "plain")])

    def test_long_text(self) -> None:
        """The long messages are as long as they are said to be, to the byte."""
        for size in (10, 19_999, 20_001, 300_000):
            self.assertEqual(len(long_text(size).encode()), size)


def squeezed(line: str) -> str:
    """A line with two blanks wherever it has more."""
    while "   " in line:
        line = line.replace("   ", "  ")
    return line
