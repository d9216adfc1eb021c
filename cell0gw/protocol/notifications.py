"""What the gateway sends unasked: the params of each notification, as they stand on the wire."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType, field

from cell0gw.protocol.limits import Limits


class ConnectionWelcome(Struct, frozen=True, kw_only=True):
    """``connection.welcome``: the first message on every connection.

    C{heartbeat_interval} and C{heartbeat_timeout} are seconds; C{limits} are bytes and counts.
    """

    connection_id: str
    server_version: str
    capabilities: tuple[str, ...]
    timestamp: str
    protocol: int
    limits: Limits
    heartbeat_interval: float
    heartbeat_timeout: float


class Heartbeat(Struct, frozen=True, kw_only=True):
    """``heartbeat``: the gateway lives; a WebSocket ping comes with it, which clients answer by themselves."""

    timestamp: str


class ChannelMessage(Struct, frozen=True, kw_only=True):
    """``channel.message``: a publication on a channel that the session subscribed to."""

    channel: str
    message: Raw
    timestamp: str
    offset: int
    epoch: str
    sender: str = field(name="from")


class HistoryMessage(Struct, frozen=True, kw_only=True):
    """A publication as `channel.history` shows it."""

    offset: int
    message: Raw
    timestamp: str
    sender: str = field(name="from")


class Departure(Struct, frozen=True, kw_only=True):
    """An entity that is no longer here, since when, and why."""

    entity_id: str
    entity_type: str
    reason: str
    last_seen: str


class PresenceDiff(Struct, frozen=True, kw_only=True):
    """``presence.diff``: who came, went, or changed since version C{from}; what you hold is version C{to} by this."""

    pattern: str
    since: int = field(name="from")
    to: int
    joins: list[Any]
    leaves: list[Departure]
    updates: list[Any]


class AgentMessage(Struct, frozen=True, kw_only=True):
    """``agent.message``: a message for this entity. A message that replies to none begins a conversation at hop 0.

    Everything but C{message} is the gateway's word.
    """

    sender: str = field(name="from")
    sender_type: str = field(name="from_type")
    message: Raw
    timestamp: str
    message_id: str
    conversation_id: str
    in_reply_to: str | None
    hops: int


class AgentReceipt(Struct, frozen=True, kw_only=True):
    """``agent.receipt``: what became of a message that this entity sent, and when."""

    message_id: str
    agent_id: str
    status: str
    timestamp: str
    detail: str | UnsetType = UNSET


class AgentInvoke(Struct, frozen=True, kw_only=True):
    """``agent.invoke``, a request: someone wants something done, by C{deadline}. The answer to it is theirs.

    Everything but C{message} is the gateway's word. C{capability}: by which the call came here, null if by name.
    """

    call_id: str
    sender: str = field(name="from")
    sender_type: str = field(name="from_type")
    message: Raw
    capability: str | None
    timestamp: str
    deadline: str
    conversation_id: str
    in_reply_to: str | None
    hops: int


class AgentProgress(Struct, frozen=True, kw_only=True):
    """``agent.progress``: something to show before the answer to the call with this C{request_id}."""

    request_id: Raw
    call_id: str
    data: Raw


class AgentCancelled(Struct, frozen=True, kw_only=True):
    """``agent.cancelled``: nobody wants the answer to an C{agent.invoke} any more; C{reason}: cancelled, caller_gone,
    timeout, idle, draining.
    """

    call_id: str
    reason: str


class Event(Struct, frozen=True, kw_only=True):
    """``event``: something happened; C{channel} says by which subscription it came."""

    type: str
    data: Any
    source: str
    timestamp: str
    channel: str


NOTIFICATIONS: Final[dict[str, type[Struct]]] = {
    "connection.welcome": ConnectionWelcome,
    "heartbeat": Heartbeat,
    "channel.message": ChannelMessage,
    "presence.diff": PresenceDiff,
    "agent.message": AgentMessage,
    "agent.receipt": AgentReceipt,
    "agent.invoke": AgentInvoke,
    "agent.progress": AgentProgress,
    "agent.cancelled": AgentCancelled,
    "event": Event,
}


def as_raw(message: Any) -> Raw:
    """A message of a program in this process, as JSON; one that is JSON already stays as it is."""
    return message if isinstance(message, Raw) else Raw(msgspec.json.encode(message))
