"""What becomes of letters is written down, in order, and again where the disk has failed."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from cell0gw.agents.mail.receipts import Receipts
from cell0gw.agents.mail.store import IMailStore, Outcome, Transition
from cell0gw.protocol.errors import Unavailable


class Recording:
    """Has a store record outcomes, and tells of what they have changed.

    @param settled: called with each change that took a letter out of its mailbox.
    """

    log = Logger()

    def __init__(self, store: IMailStore, receipts: Receipts, settled: Callable[[Transition], object]) -> None:
        self._store = store
        self._receipts = receipts
        self._settled = settled
        # What the disk did not take down; tried again.
        self.unrecorded: list[Outcome] = []

    def record(self, outcomes: list[Outcome]) -> Deferred[list[Transition] | None]:
        """Record outcomes, at some time.

        @return: fires once the store has tried to, with what they have changed if it did.
        """
        return self._store.record(outcomes).addCallbacks(self.recorded, self._not_recorded, errbackArgs=(outcomes,))

    def recorded(self, transitions: list[Transition]) -> list[Transition]:
        """Called when the store has recorded something."""
        for transition in transitions:
            if transition.settled:
                self._settled(transition)
        self._receipts.report(transitions)
        return transitions

    def sweep(self) -> None:
        """Try again what was not recorded."""
        if self.unrecorded:
            outcomes, self.unrecorded = self.unrecorded, []
            self.record(outcomes)

    def failed(self, failure: Failure) -> None:
        """Called when the store could not do something."""
        if not failure.check(Unavailable):  # the store has told of that
            self.log.failure("mail could not be brought", failure, event="mail.failed")

    def _not_recorded(self, failure: Failure, outcomes: list[Outcome]) -> None:
        self.unrecorded += outcomes
        self.failed(failure)
