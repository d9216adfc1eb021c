"""Twice as many sessions are twice the work, also when all are one entity's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from cell0gw.presence.directory import Directory
from cell0gw.presence.entity import Statement
from cell0gw.sessions.session import Session
from tests.presence.test_directory import LOST, make_session
from tests.steps import growth

Order = Callable[[list[Session]], list[Session]]


class EndTests(SynchronousTestCase):
    """All sessions of an entity come, lose their connections, and end."""

    def setUp(self) -> None:
        self.events: list[Any] = []

    def open(self, count: int) -> tuple[Directory, list[Session]]:
        directory = Directory(float, lambda channel, type, data, about: self.events.append(type))
        sessions = [make_session(f"s{number}", "a") for number in range(count)]
        for number, session in enumerate(sessions):
            directory.introduce(session, Statement(capabilities=(f"c{number}",)))
            directory.session_opened(session)
        return directory, sessions

    def detach(self, directory: Directory, sessions: list[Session]) -> None:
        for session in sessions:
            session.detached = True
            directory.session_detached(session, LOST)

    def close(self, directory: Directory, sessions: list[Session]) -> None:
        for session in sessions:
            directory.session_closed(session, LOST)

    def test_growth(self) -> None:
        """Whichever goes first, each is as much work as every other."""

        def detached(order: Order, size: int) -> Callable[[], object]:
            directory, sessions = self.open(size)
            return lambda: self.detach(directory, order(sessions))

        def closed(order: Order, size: int) -> Callable[[], object]:
            directory, sessions = self.open(size)
            return lambda: self.close(directory, order(sessions))

        def given_up(order: Order, size: int) -> Callable[[], object]:
            directory, sessions = self.open(size)
            self.detach(directory, sessions)
            return lambda: self.close(directory, order(sessions))

        for order in (lambda sessions: sessions, lambda sessions: sessions[::-1]):
            for end in (detached, closed, given_up):
                grown = growth(lambda size, end=end, order=order: end(order, size), 100)  # type: ignore[misc]
                self.assertLessEqual(grown, 2.2, end.__name__)
        self.assertIn("presence.left", self.events)
