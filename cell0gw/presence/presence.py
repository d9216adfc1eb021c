"""Presence, put together: who is here, who watches, and what is shown to those who are not authenticated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cell0gw.presence.directory import Directory
from cell0gw.presence.listings import Listings
from cell0gw.presence.watches import PresenceSnapshot, Watches
from cell0gw.process.runtime import Runtime
from cell0gw.sessions.session import Session


class Presence:
    """The parts, by name.

    @param emit: C{emit(channel, type, data)} sends an event to the subscribers of its channel.
    @ivar by_type: lists of entities, by their type; C{by_capability}: of agents, by what they can do.
    @ivar parts: what is notified of sessions, sweeps, drains and changed options, in this order.
    """

    def __init__(self, emit: Callable[[str, str, Any], Any], runtime: Runtime) -> None:
        self.directory = Directory(runtime.dates.of, emit)
        self.watches = Watches(self.directory, runtime.clock)
        self.by_type = Listings(self.directory)
        self.by_capability = Listings(self.directory)
        self.parts = (self.directory, self.watches)

    def resume(self, old: Session, new: Session) -> dict[str, PresenceSnapshot]:
        """Move to a session what another one has said of their entity, and whom it watched.

        @return: a snapshot for each pattern that it watched.
        """
        self.directory.resume(old, new)
        return self.watches.resume(old, new)
