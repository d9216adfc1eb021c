"""Sessions in the log: when they open, break, are resumed and end."""

from __future__ import annotations

from twisted.logger import Logger
from zope.interface import implementer

from cell0gw.sessions.ending import Ending, EndingKind
from cell0gw.sessions.observers import ISessionObserver
from cell0gw.sessions.session import Session


@implementer(ISessionObserver)
class SessionLog:
    """Writes a line for each. A session whose connection broke has not ended as long as it is kept."""

    def __init__(self) -> None:
        self._log = Logger("cell0gw.sessions")

    def session_opened(self, session: Session) -> None:
        """See L{ISessionObserver}."""
        client = session.connection.client
        self._log.info(
            "{entity_id} opened {session_id} on {connection_id} from {peer}{way}",
            event="session.opened",
            address=client.address,
            peer=client.peer,
            proxy=client.proxy,
            way="" if client.proxy is None else f" by way of {client.proxy}",
            **_names(session),
        )

    def session_detached(self, session: Session, ending: Ending) -> None:
        """See L{ISessionObserver}."""
        if ending.kind is not EndingKind.RESUMED:
            self._log.info(
                "{entity_id} lost {connection_id}, {session_id} is kept: {why}",
                event="session.kept",
                code=ending.code,
                reason=ending.reason,
                why=_why(ending),
                **_names(session),
            )

    def session_closed(self, session: Session, ending: Ending) -> None:
        """See L{ISessionObserver}."""
        if ending.kind is EndingKind.RESUMED:
            self._log.info("{entity_id} resumed {session_id}", event="session.resumed", **_names(session))
            return
        self._log.info(
            "{entity_id} closed {session_id} on {connection_id}: {why}",
            event="session.closed",
            code=ending.code,
            reason=ending.reason,
            why=_why(ending),
            **_names(session),
        )


def _names(session: Session) -> dict[str, str]:
    return {
        "entity_id": session.entity_id,
        "session_id": session.session_id,
        "connection_id": session.connection.connection_id,
        "token_id": session.principal.token_id,
    }


def _why(ending: Ending) -> str:
    return ending.reason if ending.code is None else f"{ending.code} {ending.reason}"
