"""Mail for those who ask for it: what they wait for, and get."""

from __future__ import annotations

import msgspec
from msgspec import Raw
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from cell0gw.agents.mail.mailbox import content_of
from cell0gw.agents.mail.store import Letter
from cell0gw.protocol.errors import Conflict
from cell0gw.sessions.session import Session


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """Messages for this entity.

    - `messages`: each as in `agent.message`, in order; none: nothing came in that time
    """

    messages: list[Raw]


class Pull:
    """A session that asks for letters.

    @ivar seconds: for how long it has them, each time that it says that it is at one.
    """

    __slots__ = ("_most", "_room", "_texts", "answer", "seconds", "session", "timer")

    def __init__(self, session: Session, most: int, seconds: float, room: int) -> None:
        self.session = session
        self.seconds = seconds
        self._most = most
        self._room = room
        self._texts: list[Raw] = []
        self.answer: Deferred[Received] = Deferred()
        self.timer: IDelayedCall | None = None

    @property
    def full(self) -> bool:
        """Whether it takes no more."""
        return len(self._texts) >= self._most

    @property
    def empty(self) -> bool:
        """Whether it has got nothing yet."""
        return not self._texts

    def take(self, letter: Letter) -> bool:
        """Take one more letter, if there is room for it; the first one fits.

        @return: whether it has.
        """
        text = Raw(msgspec.json.encode(content_of(letter)))
        size = len(bytes(text))
        if self._texts and size > self._room:
            return False
        self._room -= size + len(",")
        self._texts.append(text)
        return True

    def finish(self) -> None:
        """Answer with what there is."""
        if self.timer is not None and self.timer.active():
            self.timer.cancel()
        self.answer.callback(Received(messages=self._texts))


class Pulls:
    """Those who ask for letters and have not been answered, by recipient, in order. A session asks once at a time."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._pulls: dict[str, dict[Session, Pull]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._pulls.values()))

    def add(self, pull: Pull, wait: float) -> None:
        """Somebody asks.

        @param wait: for how many seconds it waits for a letter; 0: not at all.
        @raise Conflict: it does already.
        """
        session = pull.session
        of_entity = self._pulls.setdefault(session.entity_id, {})
        if session in of_entity:
            raise Conflict("This session waits for messages already")
        of_entity[session] = pull
        if wait:
            pull.timer = self._clock.callLater(wait, self._end, pull)

    def first(self, recipient: str) -> Pull | None:
        """The first who takes one more letter to a recipient; None: nobody does."""
        return next((pull for pull in self._pulls.get(recipient, {}).values() if not pull.full), None)

    def settle(self, recipient: str, over: bool) -> None:
        """Answer those who have got something; and if there is nothing more for now, those who don't wait."""
        for pull in list(self._pulls.get(recipient, {}).values()):
            if not pull.empty or (over and pull.timer is None):
                self._end(pull)

    def fail(self, recipient: str, failure: Failure) -> None:
        """Tell those who don't wait that nothing could be read."""
        for pull in list(self._pulls.get(recipient, {}).values()):
            if pull.timer is None and pull.empty:
                self._forget(pull)
                pull.answer.errback(failure)

    def gone(self, session: Session) -> None:
        """Called when a session is gone: it gets nothing more."""
        pull = self._pulls.get(session.entity_id, {}).get(session)
        if pull is not None:
            self._end(pull)

    def _end(self, pull: Pull) -> None:
        self._forget(pull)
        pull.finish()

    def _forget(self, pull: Pull) -> None:
        of_entity = self._pulls[pull.session.entity_id]
        del of_entity[pull.session]
        if not of_entity:
            del self._pulls[pull.session.entity_id]
