"""Who hears of presence."""

from __future__ import annotations

from zope.interface import Interface

from cell0gw.protocol.notifications import Departure
from cell0gw.sessions.session import Session


class IPresenceObserver(Interface):
    """Hears of entities that come, go or show otherwise."""

    def presence_changed(entity_id: str, was_here: bool, departure: Departure | None) -> None:
        """An entity's entry is another one now; the events of it are emitted after this.

        @param was_here: whether it was here before.
        @param departure: what is told of it if it is gone; else None.
        """


class IStatementObserver(Interface):
    """Hears of what sessions say of their entities."""

    def statement_changed(session: Session) -> None:
        """A session that is open has said something new, or has taken up what another one had said. It is not called
        for what a session says as it opens.
        """
