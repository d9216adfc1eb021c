"""Directed messages: to one entity, by one of its sessions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IReactorTime

from cell0gw.directory import Directory
from cell0gw.errors import NotFound
from cell0gw.notifications import AgentMessage, as_raw
from cell0gw.timestamps import timestamp


class Mail:
    """Brings messages to entities that are here.

    @param new_id: makes an id from a prefix.
    """

    def __init__(self, directory: Directory, clock: IReactorTime, new_id: Callable[[str], str]) -> None:
        self._directory = directory
        self._clock = clock
        self._new_id = new_id
        self.sent = 0

    def send(self, entity_id: str, message: Any, sender: str) -> str:
        """Send a message to an entity's newest live session.

        @param message: L{msgspec.Raw}, relayed as it is, or any value that is JSON.
        @return: the id of the message.
        @raise NotFound: the entity is not here.
        """
        session = self._directory.route(entity_id)
        if session is None:
            raise NotFound(f"{entity_id} is not here")
        message_id = self._new_id("msg")
        content = AgentMessage(
            sender=sender,
            message=as_raw(message),
            timestamp=timestamp(self._clock.seconds()),
            message_id=message_id,
            conversation_id=message_id,
            hops=0,
        )
        session.connection.notify("agent.message", content)
        self.sent += 1
        return message_id
