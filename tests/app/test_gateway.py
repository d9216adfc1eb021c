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
            ["SessionLog", "Throttle", "Signs", "Directory", "Watches", "Recovery", "Broker", "Recipients", "Workers",
             "Dealer", "Receipts", "Mailboxes", "Streams", "Questions", "Pulls"],
        )  # fmt: skip

    def test_refreshes(self) -> None:
        """With another token watches go on with whom it shows, subscriptions end, and calls are served by what it
        allows.
        """
        observers = self.gateway.sessions.refresh_observers
        for observer in observers:
            verifyObject(IRefreshObserver, observer)
        self.assertEqual(names(observers), ["Watches", "ChannelService", "Workers", "Streams"])

    def test_sweepers(self) -> None:
        """Whether the wall clock was set is looked at before all that judges by dates."""
        sweepers = self.gateway.guard.heartbeats.sweepers
        for sweeper in sweepers:
            verifyObject(ISweeper, sweeper)
        self.assertEqual(names(sweepers[:1]), ["Dates"])
        self.assertEqual(
            set(names(sweepers[1:])),
            {"Alarms", "Refusals", "Throttle", "Renewals", "Sessions", "Retention", "DiskRetention", "Idempotency",
             "Dealer", "Receipts", "Mailboxes", "Archive", "Conversations", "Credentials", "Invites", "Writing",
             "TLSFailures", "AnonymousBudgets", "Questions", "Pulls", "Attempts", "Ledger"},
        )  # fmt: skip

    def test_a_step_of_a_drain_fails(self) -> None:
        """Whatever a part raises, the other ones drain, and everyone is told."""
        client = self.gateway.connect("a")

        def broken(*arguments: object) -> None:
            raise OSError("broken")

        for part in self.gateway._providing(IDraining)[:-1]:
            self.patch(part, "drain", broken)
        self.patch(self.gateway, "emit", broken)
        self.patch(self.gateway.engine, "written", broken)
        done = self.gateway.drain()
        client.flush()
        self.assertEqual(client.close_code, 4001)
        self.gateway.advance(1)
        self.successResultOf(done)
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 6)

    def test_drains(self) -> None:
        """No connection and no call is taken before the calls that run are ended."""
        draining = self.gateway._providing(IDraining)
        self.assertEqual(names(draining), ["GatewayFactory", "Dispatcher", "Health", "Dealer", "Pulls", "Attempts"])

    def test_other_options(self) -> None:
        """Who has options that can change is told of them."""
        reconfigurable = self.gateway._providing(IReconfigurable)
        self.assertEqual(set(names(reconfigurable)), {"Guard", "Channels", "GatewayFactory", "Dispatcher"})
