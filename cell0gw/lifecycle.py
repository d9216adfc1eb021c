"""The gateway as a whole process: its signals, its log, its memory."""

from __future__ import annotations

import gc
import os
import signal
from types import FrameType
from typing import Any

from twisted.application.service import MultiService
from twisted.logger import ILogObserver, Logger
from twisted.python.components import Componentized


class ProcessService(MultiService):
    """The top of the tree under twistd.

    The first SIGTERM or SIGINT stops the reactor, and so drains the gateway: the process ends with status 0, where
    twistd's own handlers would end it by the signal. A second one ends it at once with status 1.

    @param observer: where the log goes; None leaves that to twistd.
    """

    log = Logger()

    def __init__(self, reactor: Any, observer: ILogObserver | None) -> None:
        super().__init__()
        self._reactor = reactor
        self._observer = observer
        self._stopping = False

    def setServiceParent(self, parent: Any) -> None:
        """See L{IService}; twistd looks for the log observer on its application."""
        if self._observer is not None and isinstance(parent, Componentized):
            parent.setComponent(ILogObserver, self._observer)
        super().setServiceParent(parent)

    def startService(self) -> None:
        """See L{IService}."""
        # Now, for signals that come early; and in the place of those that the reactor installs when it begins to run.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._signalled)
        self._reactor.sigTerm = self._reactor.sigInt = self._signalled
        super().startService()
        tune_collector()

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        if self._stopping:
            os._exit(1)
        self._stopping = True
        # From a thread, in effect: this wakes the reactor, which may be asleep.
        self._reactor.callFromThread(self._stop, signal.Signals(number).name)

    def _stop(self, name: str) -> None:
        self.log.info("{signal}: draining; a second one ends the process at once", signal=name)
        self._reactor.stop()


def tune_collector() -> None:
    """Let Python's cyclic collector come less often, and leave alone what lives as long as the process.

    Sessions, histories and answers that are awaited live long and are seldom in cycles: with its own settings it walks
    all of them nine times a second under load, which takes a third of the time of a durable publication.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 10)
