"""The gateway as a whole process: its signals, its log, its collector, its limits."""

import gc
import os
import re
import resource
import signal
import time
from collections.abc import Callable
from typing import Any

from twisted.application.service import Application, MultiService, Service
from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import ILogObserver, LogEvent, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from cell0gw.process.descriptors import raise_file_limit
from cell0gw.process.lifecycle import ProcessService
from cell0gw.process.systemd import Notifier

NOT_ENDED = 77
"""The status of a child that was not ended by the code under test."""


class Reactor(MemoryReactorClock):
    """A reactor in memory that can be called from threads and signal handlers, and stopped.

    @ivar from_threads: calls that wait for the next turn.
    @ivar stopped: how often it was asked to stop.
    """

    def __init__(self) -> None:
        super().__init__()
        self.from_threads: list[Callable[[], Any]] = []
        self.stopped = 0

    def callFromThread(self, callable: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """See L{IReactorFromThreads}."""
        self.from_threads.append(lambda: callable(*args, **kwargs))

    def stop(self) -> None:
        """See L{IReactorCore}."""
        self.stopped += 1

    def turn(self) -> None:
        waiting, self.from_threads = self.from_threads, []
        for call in waiting:
            call()


@implementer(ILogObserver)
class Observer:
    """A log observer that looks away."""

    def __call__(self, event: LogEvent) -> None:
        """See L{ILogObserver}."""


class Watcher(Notifier):
    """Takes down what it is told.

    @ivar told: each time what, as one text.
    """

    def __init__(self, **variables: str) -> None:
        super().__init__({"NOTIFY_SOCKET": "@nobody"} | variables)
        self.told: list[str] = []

    def tell(self, *lines: str) -> None:
        """See L{Notifier}."""
        self.told.append(" ".join(lines))


class Case(SynchronousTestCase):
    """With a reactor, and the signal handlers and the collector as they were afterwards."""

    def setUp(self) -> None:
        self.addCleanup(gc.set_threshold, *gc.get_threshold())
        self.addCleanup(gc.unfreeze)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            self.addCleanup(signal.signal, number, signal.getsignal(number))
        self.reactor = Reactor()
        self.process = ProcessService(self.reactor, None)


class SignalTests(Case):
    """SIGTERM and SIGINT."""

    def status_of_child(self, behaviour: Callable[[], object]) -> int:
        """Do something in a process of its own.

        @return: the status it ended with; L{NOT_ENDED} when nothing ended it.
        """
        child = os.fork()
        if child == 0:
            try:
                behaviour()
            finally:
                os._exit(NOT_ENDED)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    def test_taken_early_and_for_good(self) -> None:
        """They are taken when the service starts, and are what the reactor installs when it begins to run."""
        self.process.startService()
        early = signal.getsignal(signal.SIGTERM)
        self.assertEqual(signal.getsignal(signal.SIGINT), early)
        self.assertEqual((self.reactor.sigTerm, self.reactor.sigInt), (early, early))

    def test_the_first_stops_the_reactor(self) -> None:
        """The first of either signal stops the reactor, which drains the gateway and ends with status 0."""
        for number in (signal.SIGTERM, signal.SIGINT):
            reactor = Reactor()
            process = ProcessService(reactor, None)
            process.startService()
            for hook, args, kwargs in reactor.whenRunningHooks:
                hook(*args, **kwargs)
            signal.raise_signal(number)
            # A handler runs anywhere in the reactor's code: it only leaves word, in a way that wakes a sleeping one.
            self.assertEqual((reactor.stopped, len(reactor.from_threads)), (0, 1))
            reactor.turn()
            self.assertEqual(reactor.stopped, 1)

    def test_says_which(self) -> None:
        """The log names the signal, and says what a second one does."""
        self.process.startService()
        signal.raise_signal(signal.SIGTERM)
        with capturedLogs() as events:
            self.reactor.turn()
        self.assertEqual(
            [formatEvent(event) for event in events], ["SIGTERM: draining; a second one ends the process at once"]
        )

    def test_a_second_ends_the_process(self) -> None:
        """A second signal, the same or the other, ends the process at once with status 1, whatever it was doing."""
        self.process.startService()
        for first, second in ((signal.SIGTERM, signal.SIGTERM), (signal.SIGINT, signal.SIGTERM)):
            status = self.status_of_child(
                lambda first=first, second=second: [signal.raise_signal(first), signal.raise_signal(second)]
            )
            self.assertEqual(status, 1)

    def test_one_does_not_end_the_process(self) -> None:
        """A single signal leaves the process alive, to drain."""
        self.process.startService()
        self.assertEqual(self.status_of_child(lambda: signal.raise_signal(signal.SIGTERM)), NOT_ENDED)


class HangUpTests(Case):
    """SIGHUP."""

    def started(self, **variables: str) -> Watcher:
        self.reloads: list[str] = []
        watcher = Watcher(**variables)
        self.process = ProcessService(self.reactor, None, watcher, lambda: self.reloads.append("again"))
        self.process.startService()
        return watcher

    def test_reads_again(self) -> None:
        """It has the options read again, from the reactor; whoever watches is told when that begins and ends."""
        watcher = self.started()
        signal.raise_signal(signal.SIGHUP)
        self.assertEqual(self.reloads, [])
        before = time.monotonic_ns() // 1000
        self.reactor.turn()
        self.assertEqual((self.reloads, self.reactor.stopped), (["again"], 0))
        first, second = watcher.told
        told = re.fullmatch(r"RELOADING=1 MONOTONIC_USEC=(\d+)", first)
        assert told is not None
        self.assertTrue(before <= int(told[1]) <= time.monotonic_ns() // 1000)
        self.assertTrue(second.startswith("READY=1 "), second)

    def test_failure(self) -> None:
        """When reading them fails in a way that nobody thought of, the process goes on."""

        def fail() -> None:
            raise ZeroDivisionError

        watcher = Watcher()
        self.process = ProcessService(self.reactor, None, watcher, fail)
        self.process.startService()
        signal.raise_signal(signal.SIGHUP)
        self.reactor.turn()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertTrue(watcher.told[-1].startswith("READY=1"))

    def test_while_stopping(self) -> None:
        """A process that stops reads nothing more, and does not say that it is ready."""
        watcher = self.started()
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGHUP)
        self.reactor.turn()
        self.assertEqual((self.reloads, self.reactor.stopped, len(watcher.told)), ([], 1, 1))


class WatcherTests(Case):
    """What systemd is told."""

    def start(self, **variables: str) -> Watcher:
        watcher = Watcher(**variables)
        self.process = ProcessService(
            self.reactor, None, watcher, status=lambda: "listening on a", patience=lambda: 12.5
        )
        self.process.startService()
        return watcher

    def run_reactor(self) -> None:
        for hook, args, kwargs in self.reactor.whenRunningHooks:
            hook(*args, **kwargs)

    def test_ready(self) -> None:
        """That it is ready when the reactor runs, not before, and how it is doing."""
        watcher = self.start()
        self.assertEqual(watcher.told, [])
        self.run_reactor()
        self.assertEqual(watcher.told, ["READY=1 STATUS=listening on a"])

    def test_status(self) -> None:
        """That it is doing otherwise than before; not before it is ready, nor when it stops."""
        watcher = self.start()
        self.process.tell_status()
        self.run_reactor()
        self.process.tell_status()
        self.assertEqual(watcher.told, ["READY=1 STATUS=listening on a", "STATUS=listening on a"])
        signal.raise_signal(signal.SIGTERM)
        self.reactor.turn()
        del watcher.told[:]
        self.process.tell_status()
        self.assertEqual(watcher.told, [])

    def test_stopping(self) -> None:
        """That it stops, and how long that may take; not that it is ready when it was stopped before that."""
        watcher = self.start()
        signal.raise_signal(signal.SIGTERM)
        self.reactor.turn()
        self.run_reactor()
        self.assertEqual(watcher.told, ["STOPPING=1 STATUS=draining EXTEND_TIMEOUT_USEC=12500000"])

    def test_sign_of_life(self) -> None:
        """That it lives, by the reactor: twice in the time that is waited for it. While it drains, too."""
        watcher = self.start(WATCHDOG_USEC="10000000")
        self.run_reactor()
        signal.raise_signal(signal.SIGTERM)
        self.reactor.turn()
        del watcher.told[:]
        for _ in range(4):
            self.reactor.advance(5)
        self.assertEqual(watcher.told, ["WATCHDOG=1"] * 4)

    def test_no_sign_of_life(self) -> None:
        """Nothing is told over and over to who did not ask for it."""
        self.start()
        self.run_reactor()
        self.reactor.advance(60)
        self.assertFalse(self.process._alive.running)


class ProcessServiceTests(Case):
    """L{ProcessService} in its application."""

    def test_log_observer(self) -> None:
        """twistd finds the log observer on its application."""
        observer, application = Observer(), Application("cell0gw")
        ProcessService(self.reactor, observer).setServiceParent(application)
        self.assertIs(application.getComponent(ILogObserver), observer)

    def test_no_log_observer(self) -> None:
        """Without one the log is left to twistd."""
        application = Application("cell0gw")
        self.process.setServiceParent(application)
        self.assertIsNone(application.getComponent(ILogObserver))

    def test_below_a_plain_service(self) -> None:
        """Below a service that is no application it is a service like any other."""
        parent = MultiService()
        process = ProcessService(self.reactor, Observer())
        process.setServiceParent(parent)
        self.assertEqual(list(parent), [process])

    def test_starts_and_stops_its_children(self) -> None:
        """What stands below it starts and stops with it."""
        child = Service()
        child.setServiceParent(self.process)
        self.process.startService()
        self.assertTrue(child.running)
        self.successResultOf(self.process.stopService())
        self.assertFalse(child.running)


class CollectorTests(Case):
    """Python's cyclic collector."""

    def test_tuned(self) -> None:
        """What is there when the gateway has started is not walked again, and the rest not for every 700 objects."""
        ProcessService(self.reactor, None).startService()
        self.assertGreater(gc.get_freeze_count(), 10_000)
        self.assertGreater(gc.get_threshold()[0], 10_000)

    def test_at_the_end(self) -> None:
        """When all is stopped, what is left is not walked once more before the process is gone."""
        child = Service()
        child.setServiceParent(self.process)
        self.process.startService()
        gc.unfreeze()
        stopping: Deferred[None] = Deferred()
        self.patch(child, "stopService", lambda: stopping)
        stopped = self.process.stopService()
        self.assertEqual(gc.get_freeze_count(), 0)
        stopping.callback(None)
        self.successResultOf(stopped)
        self.assertGreater(gc.get_freeze_count(), 10_000)

    def test_stop_fails(self) -> None:
        """If something can't be stopped the process ends all the same, and the log has why."""

        class Stubborn(ProcessService):
            """Whose list of services can't be walked."""

            def __iter__(self) -> Any:
                raise OSError("broken")

        process = Stubborn(self.reactor, None)
        self.successResultOf(process.stopService())
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)

    def test_cycles_go(self) -> None:
        """Cycles are found all the same."""
        ProcessService(self.reactor, None).startService()
        gone: list[int] = []
        for number in range(60_000):
            cycle: list[Any] = []
            cycle.append(cycle)
            if number == 0:
                kept = Cycle(gone)
                kept.itself = kept
                del kept
        self.assertEqual(gone, [1])


class Cycle:
    """Refers to itself, and tells when it goes."""

    def __init__(self, gone: list[int]) -> None:
        self.itself: Any = None
        self._gone = gone

    def __del__(self) -> None:
        self._gone.append(1)


class FileLimitTests(SynchronousTestCase):
    """L{raise_file_limit}."""

    def test_raised(self) -> None:
        """Afterwards the process may open as many files as the system lets it; the hard limit stays."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), hard))
        for _ in range(2):
            raise_file_limit()
            self.assertEqual(resource.getrlimit(resource.RLIMIT_NOFILE), (hard, hard))
