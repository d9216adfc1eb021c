"""What sessions say of their entity, beside a model of it."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.presence.directory import Directory
from cell0gw.presence.entity import Statement
from cell0gw.sessions.ending import Ending, EndingKind
from cell0gw.sessions.session import Session
from tests.presence.test_directory import make_session

LOST = Ending(EndingKind.LOST)
places = st.integers(0, 20)
skills = st.sets(st.sampled_from("xyz"))
metadata = st.sampled_from([None, {"n": 1}, {"n": 2}])


class WordsMachine(RuleBasedStateMachine):
    """Sessions of one entity, and in which order they have said what."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Directory(float, lambda *event: None)
        self.connected: list[Session] = []
        self.detached: list[Session] = []
        self.can: dict[Session, set[str]] = {}
        self.statuses: list[tuple[Session, str]] = []
        self.shown: list[tuple[Session, Any]] = []
        self.count = 0

    @rule(skills=skills, metadata=metadata)
    def open(self, skills: set[str], metadata: Any) -> None:
        self.count += 1
        session = make_session(str(self.count), "a")
        said = {} if metadata is None else {"metadata": metadata}
        self.directory.introduce(session, Statement(capabilities=tuple(skills), **said))
        self.directory.session_opened(session)
        self.connected.append(session)
        self.can[session] = skills
        if metadata is not None:
            self.shown.append((session, metadata))

    @precondition(lambda self: self.connected)
    @rule(place=places, status=st.sampled_from(["busy", "online"]), metadata=metadata)
    def say(self, place: int, status: str, metadata: Any) -> None:
        session = self.connected[place % len(self.connected)]
        words = {"status": status}
        if metadata is not None:
            words["metadata"] = dict(metadata)
            self.shown.append((session, metadata))
        self.directory.update(session, **words)
        self.statuses.append((session, status))

    @precondition(lambda self: self.connected)
    @rule(place=places)
    def detach(self, place: int) -> None:
        session = self.connected.pop(place % len(self.connected))
        self.detached.append(session)
        session.detached = True
        self.directory.session_detached(session, LOST)
        for words in (self.statuses, self.shown):  # of those that are detached the last that broke counts
            last: list[Any] = [word for word in words if word[0] is session]
            words[:] = [word for word in words if word[0] is not session] + last

    @precondition(lambda self: self.connected or self.detached)
    @rule(place=places)
    def close(self, place: int) -> None:
        among = self.connected + self.detached
        session = among[place % len(among)]
        (self.connected if session in self.connected else self.detached).remove(session)
        self.statuses = [word for word in self.statuses if word[0] is not session]
        self.shown = [word for word in self.shown if word[0] is not session]
        self.directory.session_closed(session, LOST)

    @invariant()
    def agrees(self) -> None:
        entry = self.directory.get("a")
        among = self.connected or self.detached
        if not among:
            assert entry is None
            assert self.directory._able == {}
            return
        assert entry is not None
        statuses = [status for session, status in self.statuses if session in among]
        assert entry.status == ((statuses or ["online"])[-1] if self.connected else "away")
        shown = [metadata for session, metadata in self.shown if session in among]
        assert (entry.metadata if shown else None) == (shown[-1] if shown else None)
        can = set().union(*(self.can[session] for session in among))
        assert set(entry.capabilities) == can
        assert set(self.directory._able) == can


class WordsModelTests(SynchronousTestCase):
    """See L{WordsMachine}."""

    def test_model(self) -> None:
        """Whatever sessions say, and however they go, what counts is the latest word of those that are connected."""
        run_state_machine_as_test(WordsMachine)
