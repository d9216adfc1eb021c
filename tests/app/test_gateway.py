"""What the parts of a gateway are told, and in which order."""

from __future__ import annotations

from collections.abc import Iterable

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from cell0gw.process.interfaces import IDraining, IReconfigurable, ISweeper
from cell0gw.sessions.observers import IRefreshObserver, ISessionObserver
from cell0gw.testing import MemoryGateway


def names(parts: Iterable[object]) -> list[str]:
    return [type(part).__name__ for part in parts]


class PartsTests(SynchronousTestCase):
    """L{Gateway}."""

    def setUp(self) -> None:
        self.gateway = MemoryGateway()
        self.addCleanup(self.gateway.close)

    def test_sessions(self) -> None:
        """Of a session the log and the throttle hear first, then presence, then channels, then what agents need."""
        observers = self.gateway.sessions.observers
        for observer in observers:
            verifyObject(ISessionObserver, observer)
        self.assertEqual(
            names(observers),
            ["SessionLog", "Throttle", "Directory", "Watches", "Recovery", "Broker", "Recipients", "Workers", "Dealer",
             "Receipts", "Mailboxes"],
        )  # fmt: skip

    def test_refreshes(self) -> None:
        """With another token subscriptions end first, then calls are served by what it allows."""
        observers = self.gateway.sessions.refresh_observers
        for observer in observers:
            verifyObject(IRefreshObserver, observer)
        self.assertEqual(names(observers), ["ChannelService", "Workers"])

    def test_sweepers(self) -> None:
        """Whether the wall clock was set is looked at before all that judges by dates."""
        sweepers = self.gateway.guard.heartbeats.sweepers
        for sweeper in sweepers:
            verifyObject(ISweeper, sweeper)
        self.assertEqual(names(sweepers[:1]), ["Dates"])
        self.assertEqual(
            set(names(sweepers[1:])),
            {"Alarms", "Throttle", "Renewals", "Sessions", "Retention", "DiskRetention", "Idempotency", "Dealer",
             "Receipts", "Mailboxes", "Archive", "Conversations", "Credentials"},
        )  # fmt: skip

    def test_drains(self) -> None:
        """No connection and no call is taken before the calls that run are ended."""
        draining = self.gateway._providing(IDraining)
        self.assertEqual(names(draining), ["GatewayFactory", "Dispatcher", "Health", "Dealer"])

    def test_other_options(self) -> None:
        """Who has options that can change is told of them."""
        reconfigurable = self.gateway._providing(IReconfigurable)
        self.assertEqual(set(names(reconfigurable)), {"Guard", "Channels", "GatewayFactory", "Dispatcher"})
