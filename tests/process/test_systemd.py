"""What systemd is told, at the other end of its socket."""

from __future__ import annotations

import os
import socket
from tempfile import TemporaryDirectory

from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.process.systemd import Notifier


class NotifierTests(SynchronousTestCase):
    """L{Notifier}."""

    def watcher(self, address: str) -> socket.socket:
        watching = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(watching.close)
        watching.bind(address)
        watching.settimeout(5)
        return watching

    def path(self) -> str:
        folder = TemporaryDirectory()  # trial's own may be deeper than the address of a socket can be long
        self.addCleanup(folder.cleanup)
        return os.path.join(folder.name, "notify")

    def test_told(self) -> None:
        """What it is told arrives as one datagram, a line each, at a path and at an abstract name."""
        path, name = self.path(), f"cell0gw-test-{os.getpid()}"
        for bound, address in ((path, path), ("\0" + name, "@" + name)):
            watching = self.watcher(bound)
            notifier = Notifier({"NOTIFY_SOCKET": address})
            self.assertTrue(notifier)
            notifier.tell("READY=1", "STATUS=well, \u00e4")
            notifier.tell("WATCHDOG=1")
            self.assertEqual(watching.recv(1000).decode(), "READY=1\nSTATUS=well, \u00e4")
            self.assertEqual(watching.recv(1000), b"WATCHDOG=1")

    def test_nobody_watches(self) -> None:
        """Without an address, or with one that can't be, nothing is told and nothing fails."""
        for environment in (
            {},
            {"NOTIFY_SOCKET": ""},
            {"NOTIFY_SOCKET": "vsock:2:1234"},
            {"NOTIFY_SOCKET": "relative"},
        ):
            notifier = Notifier({"WATCHDOG_USEC": "1000000"} | environment)
            self.assertFalse(notifier)
            self.assertIsNone(notifier.heartbeat)
            with capturedLogs() as events:
                notifier.tell("READY=1")
            self.assertEqual(events, [])

    def test_watcher_is_gone(self) -> None:
        """A watcher that is gone is a warning in the log, and no more."""
        with capturedLogs() as events:
            Notifier({"NOTIFY_SOCKET": "/nowhere/notify"}).tell("STOPPING=1", "STATUS=x")
        (event,) = events
        self.assertIn("STOPPING=1", str(formatEvent(event)))

    def test_heartbeat(self) -> None:
        """A sign of life is due twice in the time that the watcher waits, if it is this process that it waits for."""
        for variables, seconds in (
            ({}, None),
            ({"WATCHDOG_USEC": "30000000"}, 15.0),
            ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": str(os.getpid())}, 0.25),
            ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": "1"}, None),
            ({"WATCHDOG_USEC": "0"}, None),
            ({"WATCHDOG_USEC": "soon"}, None),
            ({"WATCHDOG_USEC": "-5"}, None),
        ):
            self.assertEqual(Notifier({"NOTIFY_SOCKET": "@x"} | variables).heartbeat, seconds, variables)
