"""``agent``: directed messages, and which agents there are."""

from __future__ import annotations

from collections.abc import Awaitable

import msgspec
from msgspec import UNSET, Raw, UnsetType
from twisted.application.service import Service
from zope.interface import implementer

from cell0gw.directory import AnonymousEntry, Directory, PresenceEntry, anonymous
from cell0gw.engines import Key
from cell0gw.idempotency import Idempotency, IdempotencyKey, digest_of
from cell0gw.interfaces import IStatistics
from cell0gw.mail import Mail
from cell0gw.permissions import anonymous_read, permission
from cell0gw.sessions import Caller
from cell0gw.statistics import Counts
from cell0gw.subjects import Name


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """The message went to a live session of the agent. C{replayed}: it did so before, by the same idempotency key."""

    success: bool = True
    message_id: str
    status: str = "sent"
    replayed: bool | UnsetType = UNSET


@implementer(IStatistics)
class AgentService(Service):
    """Agents, one to one."""

    name = "agent"

    def __init__(self, directory: Directory, mail: Mail, idempotency: Idempotency) -> None:
        self._directory = directory
        self._mail = mail
        self._idempotency = idempotency

    @permission(resource="agent_id")
    def rpc_send(
        self, caller: Caller, *, agent_id: Name, message: Raw, idempotency_key: IdempotencyKey | None = None
    ) -> Sent | Awaitable[Sent]:
        """Send message to agent: to one live session of it, the newest."""
        sender = caller.entity_id
        assert sender is not None

        def send() -> Sent:
            return Sent(message_id=self._mail.send(agent_id, message, sender))

        if idempotency_key is None:
            return send()
        key = Key(sender, "agent.send", idempotency_key, digest_of(agent_id, bytes(message)))
        return self._idempotency.once(key, send, lambda sent: msgspec.structs.replace(sent, replayed=True))

    @anonymous_read
    def rpc_list(self, caller: Caller, *, capability: Name | None = None) -> list[PresenceEntry] | list[AnonymousEntry]:
        """List online agents, or those of them with a capability."""
        entries = [
            entry
            for entry in self._directory.entries("agent", connected=True)
            if entry.status != "offline" and (capability is None or capability in entry.capabilities)
        ]
        return entries if caller.principal else [anonymous(entry) for entry in entries]

    def statistics(self) -> Counts:
        """See L{IStatistics}."""
        return Counts(current={}, total={"messages_sent": self._mail.sent})
