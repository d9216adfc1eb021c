"""Observers of presence."""

from __future__ import annotations

from zope.interface import Interface

from cell0gw.protocol.notifications import Departure
from cell0gw.sessions.session import Session


class IPresenceObserver(Interface):
    """Is notified of entities that join, leave or change."""

    def presence_changed(entity_id: str, was_here: bool, departure: Departure | None) -> None:
        """Called when the entry of an entity has changed, before the events of it are emitted.

        @param was_here: whether it was here before.
        @param departure: what is sent of it if it has left; else None.
        """


class IStatementObserver(Interface):
    """Is notified of what sessions say of their entities."""

    def statement_changed(session: Session) -> None:
        """Called when an open session has said something new, or has resumed what another one had said; not for what a
        session says as it opens.
        """
