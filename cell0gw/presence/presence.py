"""Presence, put together: who is here, who watches, and what is shown to those who are not authenticated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cell0gw.auth.sight import SEE
from cell0gw.presence.directory import Directory
from cell0gw.presence.listings import Listings
from cell0gw.presence.validators import Validators
from cell0gw.presence.watches import PresenceSnapshot, Watches
from cell0gw.process.runtime import Runtime
from cell0gw.protocol.limits import Limits
from cell0gw.sessions.session import Session


class Presence:
    """The parts, by name.

    @param emit: see L{Directory}.
    @param limits: maximum bytes of an answer.
    @param check_inputs: whether values are judged by the schemas that describe capabilities.
    @ivar validators: judge them.
    @ivar by_type: lists of entities, by their type; C{by_capability}: of agents, by what they can do.
    @ivar parts: what is notified of sessions, sweeps, drains and changed options, in this order.
    @ivar permissions: those that mean more than the call of a method, and whether each may be narrowed by a pattern.
    """

    def __init__(
        self,
        emit: Callable[[str, str, Any, tuple[str]], Any],
        limits: Limits,
        runtime: Runtime,
        check_inputs: bool = False,
    ) -> None:
        self.validators = Validators(check_inputs)
        self.directory = Directory(runtime.dates.of, emit)
        self.watches = Watches(self.directory, limits, runtime.clock)
        self.by_type = Listings(self.directory)
        self.by_capability = Listings(self.directory)
        self.parts = (self.directory, self.watches)
        self.permissions = {SEE: True}

    def resume(self, old: Session, new: Session, room: int) -> dict[str, PresenceSnapshot]:
        """Move to a session what another one has said of their entity, and whom it watched.

        @param room: maximum bytes of all snapshots, at least what L{Watches.check} says.
        @return: a snapshot for each pattern that it watched.
        """
        self.directory.resume(old, new)
        return self.watches.resume(old, new, room)
