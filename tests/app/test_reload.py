"""SIGHUP: what is read again, and what is said of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from twisted.logger import LogLevel, capturedLogs, formatEvent

from bench.certificate import make_certificate
from cell0gw.app.reload import Reload
from cell0gw.config.options import Config, load
from cell0gw.process.logs import Threshold
from tests.app.test_application import LifeCase


class ReloadTests(LifeCase):
    """L{Reload}, of a gateway that runs."""

    def setUp(self) -> None:
        super().setUp()
        self.threshold = Threshold("info")
        self.file = Path(self.mktemp())

    def reader(self, text: str) -> Callable[[], tuple[Config, list[str]]]:
        """Reads options from a file."""
        self.file.write_text(f'[gateway]\nhost = "192.0.2.1"\n{text}\n')
        return lambda: load({"state_dir": str(self.state)}, {"CELL0_GATEWAY_PROT": "1"}, self.file)

    def reload(self, text: str = "") -> list[tuple[str, str]]:
        """Read a file with these options.

        @return: the lines of the log, with their levels.
        """
        with capturedLogs() as events:
            Reload(self.running, self.reader(text), self.threshold)()
        return [(event["log_level"].name, str(formatEvent(event))) for event in events]

    def test_changes(self) -> None:
        """What has changed is in the log, warnings as well; what needs a restart is in one line."""
        self.running = self.started()
        lines = self.reload('max_batch = 7\nlog_level = "error"\nport = 1\nmail_ttl = "1h"')
        self.assertEqual(
            lines,
            [
                (
                    "warn",
                    "the environment variable CELL0_GATEWAY_PROT means nothing to this gateway; did you mean "
                    "CELL0_GATEWAY_PORT?",
                ),
                ("info", "the options were read again; changed: max_batch, log_level"),
                ("warn", "these options need a restart to change: port, mail_ttl"),
            ],
        )
        self.assertEqual(self.running.gateway.guard.limits.max_batch, 7)
        self.assertIs(self.threshold.logLevelForNamespace("any"), LogLevel.error)
        self.wait(self.running.stop())

    def test_no_changes(self) -> None:
        """The same options are read again, and that is all."""
        self.running = self.started()
        self.assertEqual(self.reload()[1:], [("info", "the options were read again; changed: none")])
        self.wait(self.running.stop())

    def test_bad_file(self) -> None:
        """A file that can't be used changes nothing, and is an error in the log that says why."""
        self.running = self.started()
        before = self.running.config
        for text, word in (("max_batch = 0", "max_batch"), ("max_batch = ", "Invalid"), ("prot = 1", "prot")):
            ((level, line),) = self.reload(f"max_subscriptions = 7\n{text}")
            self.assertEqual(level, "error")
            self.assertIn(word, line)
            self.assertIn("nothing has changed", line)
        self.assertIs(self.running.config, before)
        self.assertEqual(self.running.gateway.guard.limits.max_subscriptions, 1000)
        self.wait(self.running.stop())

    def test_bad_certificate(self) -> None:
        """A certificate that can't be used changes nothing either; when it is mended it all changes."""
        folder = Path(self.mktemp())
        folder.mkdir()
        certificate = make_certificate(folder)
        self.running = self.started(tls_cert=str(certificate))
        good = certificate.read_bytes()
        certificate.write_text("spoilt")
        options = f'max_batch = 7\ntls_cert = "{certificate}"'
        ((level, line),) = self.reload(options)
        self.assertEqual(level, "error")
        self.assertIn(str(certificate), line)
        self.assertEqual(self.running.gateway.guard.limits.max_batch, 50)
        certificate.write_bytes(good)
        self.assertEqual(self.reload(options)[1:], [("info", "the options were read again; changed: max_batch")])
        self.wait(self.running.stop())
