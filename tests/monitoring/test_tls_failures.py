"""What is told of handshakes of TLS that failed."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from zope.interface.verify import verifyObject

from cell0gw.monitoring.tls_failures import CAUSES, TLSFailures
from cell0gw.process.interfaces import ISweeper
from cell0gw.sessions.client import ClientAddress
from tests.documents import OPERATIONS, DocumentTestCase, code, missing, rows, section

CLIENT = ClientAddress("192.0.2.1", "192.0.2.1:50000")


class TLSFailuresTests(DocumentTestCase):
    """L{TLSFailures}."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.failures = TLSFailures(self.clock.seconds)

    def test_interface(self) -> None:
        """It is swept with the others."""
        self.assertTrue(verifyObject(ISweeper, self.failures))

    def test_counted(self) -> None:
        """Each is counted by its cause; what has not happened is not there."""
        for cause in ("certificate", "alert", "certificate"):
            self.failures.handshake_failed(cause, CLIENT, "")
        self.assertEqual(self.failures.counts, {"certificate": 2, "alert": 1})

    def test_told(self) -> None:
        """The first of a cause is a line with the address and what OpenSSL says; those that follow are a number."""
        with capturedLogs() as events:
            for _ in range(100):
                self.failures.handshake_failed("certificate", CLIENT, "tlsv1 alert unknown ca")
                self.failures.handshake_failed("timeout", CLIENT, "")
            for _ in range(3):
                self.clock.advance(1)
                self.failures.sweep()
        self.assertEqual(
            [formatEvent(event) for event in events],
            [
                f"the handshake of TLS with 192.0.2.1:50000 failed: {CAUSES['certificate']} (tlsv1 alert unknown ca)",
                f"the handshake of TLS with 192.0.2.1:50000 failed: {CAUSES['timeout']}",
                f"99 more handshakes of TLS failed: {CAUSES['certificate']}",
                f"99 more handshakes of TLS failed: {CAUSES['timeout']}",
            ],
        )
        self.assertEqual([event.get("address") for event in events], ["192.0.2.1", "192.0.2.1", None, None])
        self.assertEqual([event["reason"] for event in events], [CAUSES["certificate"], CAUSES["timeout"]] * 2)

    def test_documented(self) -> None:
        """operations.md says of each cause what happened, and what to do."""
        where, _ = part = section(OPERATIONS, "TLS handshakes that fail")
        said = [name for row in rows(part) for name in code(row[0])]
        lacking, there = "no row for the cause `{}`; add one", "there is no cause `{}`; remove its row"
        self.assertNothing(missing(where, sorted(CAUSES), said, lacking, there))
