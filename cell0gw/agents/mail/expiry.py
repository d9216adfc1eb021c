"""When letters have waited too long. On disk that is a date; when the wall clock is set, these dates move with it."""

from __future__ import annotations

from collections.abc import Callable

from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from cell0gw.agents.mail.store import IMailStore, Letter, Transition
from cell0gw.process.clocks import Dates
from cell0gw.process.interfaces import ISweeper
from cell0gw.protocol.errors import Unavailable


@implementer(ISweeper)
class Expiry:
    """Looks for what has expired when the first letter has, and not before.

    @param expired: called with those that did.
    @ivar count: how many did.
    """

    log = Logger()

    def __init__(self, store: IMailStore, dates: Dates, expired: Callable[[list[Transition]], object]) -> None:
        self._store = store
        self._dates = dates
        self._tell = expired
        self._next: float | None = None
        # By how much the dates on disk are still to be moved.
        self._owed = 0.0
        self.count = 0
        dates.stepped.append(self._stepped)

    def load(self, following: float | None) -> None:
        """Load the date when the first one expires."""
        self._next = following

    def now(self) -> float:
        """The date by which letters are judged: as long as those on disk have not moved, it has not either."""
        return self._dates.lasting() - self._owed

    def watch(self, letter: Letter) -> None:
        """Note that one more letter waits."""
        self._note(letter.expires_at)

    def late(self, letter: Letter) -> bool:
        """Whether a letter has waited too long."""
        return letter.expires_at <= self.now()

    def sweep(self) -> None:
        """See L{ISweeper}: take out of their mailboxes what has waited too long."""
        if self._owed:
            self._move(self._owed)
        now = self.now()
        if self._next is not None and self._next <= now:
            self._next = None
            self._store.expire(now).addCallbacks(self._expired, self._not_expired, errbackArgs=(now,))

    def _stepped(self, seconds: float) -> None:
        self._owed += seconds

    def _move(self, seconds: float) -> None:
        self._shift(seconds)
        self._store.shift(seconds).addErrback(self._not_moved, seconds)

    def _not_moved(self, failure: Failure, seconds: float) -> None:
        self._shift(-seconds)
        self._failed(failure)

    def _shift(self, seconds: float) -> None:
        self._owed -= seconds
        if self._next is not None:
            self._next += seconds

    def _expired(self, outcome: tuple[list[Transition], float | None]) -> None:
        transition, following = outcome
        self.count += len(transition)
        if following is not None:
            self._note(following)
        self._tell(transition)

    def _not_expired(self, failure: Failure, due: float) -> None:
        self._note(due)
        self._failed(failure)

    def _note(self, date: float) -> None:
        if self._next is None or date < self._next:
            self._next = date

    def _failed(self, failure: Failure) -> None:
        if not failure.check(Unavailable):  # the store has told of that
            self.log.failure("mail could not be expired", failure, event="mail.failed")
