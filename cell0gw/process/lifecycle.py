"""The gateway as a whole process: its signals, its log, its memory, and who watches over it."""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import LoopingCall
from twisted.logger import ILogObserver, Logger
from twisted.python.components import Componentized
from twisted.python.failure import Failure

from cell0gw.process.allocator import tune_allocator
from cell0gw.process.systemd import Notifier
from cell0gw.process.tidying import TidyService

SWITCH: Final = 0.0001
"""Seconds after which the reactor's thread lets another one go on that has something to do. A commit of ten jobs takes
fifty such steps in the thread that writes to the disk: beside a busy reactor 250 ms with Python's own 5 ms.
"""


class ProcessService(MultiService):
    """The top of the tree under twistd.

    The first SIGTERM or SIGINT stops the reactor, and so drains the gateway: the process ends with status 0, where
    twistd's own handlers would end it by the signal. A second one ends it at once with status 1. SIGHUP has the options
    read again; but when the terminal that the process was started in is gone, it is as good as SIGTERM.

    @param observer: where the log goes; None leaves that to twistd.
    @param systemd: is notified of the state of the process.
    @param reload: reads the options again.
    @param status: gives how it is doing, for people.
    @param patience: gives the seconds that it may take to stop.
    @param hurry: called before it stops by SIGINT, which somebody has typed.
    @param forked: called when it starts: it forks no more.
    """

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        observer: ILogObserver | None,
        systemd: Notifier | None = None,
        reload: Callable[[], None] = lambda: None,
        status: Callable[[], str] = lambda: "",
        patience: Callable[[], float] = lambda: 0.0,
        hurry: Callable[[], None] = lambda: None,
        forked: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__()
        self._reactor = reactor
        self._observer = observer
        self._systemd = systemd or Notifier({})
        self._reload = reload
        self._status = status
        self._patience = patience
        self._hurry = hurry
        self._forked = forked
        self._ready = self._stopping = False
        self._has_terminal = False
        self._alive = LoopingCall(self._systemd.tell, "WATCHDOG=1")
        self._alive.clock = reactor
        TidyService(reactor).setServiceParent(self)

    def setServiceParent(self, parent: Any) -> None:
        """See L{IService}; twistd looks for the log observer on its application."""
        if self._observer is not None and isinstance(parent, Componentized):
            parent.setComponent(ILogObserver, self._observer)
        super().setServiceParent(parent)

    def startService(self) -> None:
        """See L{IService}."""
        self._forked()
        # Now, for signals that come early; and instead of those that the reactor installs when it begins to run.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._signalled)
        signal.signal(signal.SIGHUP, self._hung_up)
        self._has_terminal = os.isatty(0)
        self._reactor.sigTerm = self._reactor.sigInt = self._signalled
        super().startService()
        self._reactor.callWhenRunning(self._running)
        tune_collector()
        tune_allocator()
        sys.setswitchinterval(SWITCH)

    def stopService(self) -> Deferred[None]:
        """See L{IService}."""
        stopping: Deferred[Any] = maybeDeferred(super().stopService)
        return stopping.addErrback(self._stopped_badly).addCallback(lambda results: forget_collector())

    def _stopped_badly(self, failure: Failure) -> None:
        self.log.failure("something could not be stopped; the process ends", failure, event="stop.failed")

    def _running(self) -> None:
        if self._systemd.heartbeat is not None:
            self._alive.start(self._systemd.heartbeat)
        if not self._stopping:
            self._tell_ready()

    def tell_status(self) -> None:
        """Something has changed in how it is doing."""
        if self._ready and not self._stopping:
            self._systemd.tell(f"STATUS={self._status()}")

    def _tell_ready(self) -> None:
        self._ready = True
        self._systemd.tell("READY=1", f"STATUS={self._status()}")

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        if self._stopping:
            os._exit(1)
        self._stopping = True
        # From a thread, in effect: this wakes the reactor, which may be asleep.
        self._reactor.callFromThread(self._stop, signal.Signals(number).name)

    def _hung_up(self, number: int, frame: FrameType | None) -> None:
        if self._has_terminal and not os.isatty(0):
            self._signalled(number, frame)
        else:
            self._reactor.callFromThread(self._read_again)

    def _stop(self, name: str) -> None:
        self.log.info(
            "{signal}: draining; a second one ends the process at once", event="gateway.draining", signal=name
        )
        if name == "SIGINT":
            self._hurry()
        microseconds = int(self._patience() * 1_000_000)
        self._systemd.tell("STOPPING=1", "STATUS=draining", f"EXTEND_TIMEOUT_USEC={microseconds}")
        self._reactor.stop()

    def _read_again(self) -> None:
        if self._stopping:
            return
        self._systemd.tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            self._reload()
        except Exception:
            self.log.failure("the options could not be read again", event="options.failed")
        self._tell_ready()


def tune_collector() -> None:
    """Let Python's cyclic collector come less often, and leave alone what lives as long as the process.

    Sessions, histories and answers that are awaited live long and are seldom in cycles: with its own settings it walks
    all of them nine times a second under load, which takes a third of the time of a durable publication.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 10)


def forget_collector() -> None:
    """Freeze the heap, or the final collection takes two seconds with what ten thousand sessions have left behind."""
    gc.freeze()
