"""What a program in the same process may do with the gateway, without a connection and without a token."""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.defer import Deferred

from cell0gw.agents.mail.sending import Mail
from cell0gw.app.awaitable import Awaitable
from cell0gw.auth.credentials import LIFETIME, Credentials
from cell0gw.auth.permissions import EVERYTHING, Permissions
from cell0gw.auth.principal import EntityType, Principal
from cell0gw.channels.broker import Broker
from cell0gw.channels.channel import Publication
from cell0gw.protocol import subjects
from cell0gw.protocol.messages import as_raw
from cell0gw.sessions.session import Sender

_PROCESS: Final = Principal(
    entity_id=">", entity_type="system", permissions=Permissions((EVERYTHING,)), token_id="process", expires_at=None
)


class Embedded:
    """What stands open to the gateway's own process."""

    def __init__(self, broker: Broker, mail: Mail, credentials: Credentials) -> None:
        self._broker = broker
        self._mail = mail
        self._credentials = credentials

    def publish(self, channel: str, message: Any, sender: str = "gateway") -> Publication | Awaitable[Publication]:
        """Publish to a channel.

        @param message: any value that is JSON, or L{msgspec.Raw}.
        @return: awaitable for a durable channel.
        @raise ValueError: not the name of a channel.
        """
        if not subjects.is_name(channel):
            raise ValueError(f"not the name of a channel: {channel}")
        publication = self._broker.publish(channel, message, sender)
        return Awaitable(publication) if isinstance(publication, Deferred) else publication

    def send(self, agent_id: str, message: Any, sender: str = "gateway") -> str | Awaitable[str]:
        """Send a message to an entity.

        @param message: any value that is JSON, or L{msgspec.Raw}.
        @return: the message's id; awaitable if it must be kept first.
        @raise NotFound: nobody holds that id.
        @raise RateLimited: too much mail waits.
        """
        sent = self._mail.send(Sender(sender, "system", _PROCESS.permissions), agent_id, bytes(as_raw(message)))
        if isinstance(sent, Deferred):
            return Awaitable(sent.addCallback(lambda done: done.message_id))
        return sent.message_id

    def emit(self, type: str, data: Any, channel: str = "$system", source: str = "gateway") -> int:
        """Send an event to the subscribers of a channel.

        @param data: any value that is JSON.
        @return: how many connections it went to.
        @raise ValueError: not the name of a channel.
        """
        if not (subjects.is_name(channel) or channel in subjects.OWN_CHANNELS):
            raise ValueError(f"not the name of a channel: {channel}")
        return self._broker.emit(channel, type, data, source=source)

    def mint(
        self,
        entity_id: str,
        entity_type: EntityType = "agent",
        permissions: list[str] | None = None,
        expires_in_hours: float = LIFETIME,
        renewable_for_hours: float | None = None,
    ) -> Awaitable[str]:
        """Mint a token.

        @param entity_id: whom it is for, or a pattern of those it is for.
        @param permissions: None means the agent set.
        @param renewable_for_hours: see L{Credentials.mint}.
        @return: the token, once it is stored.
        @raise ValueError: not the name of an entity, nor a pattern.
        @raise InvalidParams: by what is returned: there is no such permission.
        """
        if not subjects.is_pattern(entity_id):
            raise ValueError(f"not the name of an entity: {entity_id}")
        minting = self._credentials.mint(
            _PROCESS, entity_id, entity_type, permissions, expires_in_hours, renewable_for_hours
        )
        return Awaitable(Deferred.fromCoroutine(minting).addCallback(lambda minted: minted.token))
