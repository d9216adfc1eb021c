"""The params of each notification of the gateway, as they stand on the wire."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType, field

from cell0gw.protocol.limits import Limits


class ConnectionWelcome(Struct, frozen=True, kw_only=True):
    """`connection.welcome`: the first message on every connection.

    `heartbeat_interval` and `heartbeat_timeout` are seconds; `limits` are bytes and counts.
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
    """`heartbeat`: the gateway is alive. A WebSocket ping comes with it, which WebSocket libraries answer."""

    timestamp: str


class ChannelMessage(Struct, frozen=True, kw_only=True):
    """`channel.message`: a publication on a channel that the session subscribed to."""

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
    """An entity that has left: `last_seen` says when, `reason` why."""

    entity_id: str
    entity_type: str
    reason: str
    last_seen: str


class PresenceDiff(Struct, frozen=True, kw_only=True):
    """`presence.diff`: the changes of presence from version `from` to version `to` of the pattern."""

    pattern: str
    since: int = field(name="from")
    to: int
    joins: list[Any]
    leaves: list[Departure]
    updates: list[Any]


class AgentMessage(Struct, frozen=True, kw_only=True):
    """`agent.message`: a message for this entity.

    The gateway vouches for everything but `message`. A message that is no reply begins a conversation, with `hops` 0.
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
    """`agent.receipt`: a message that this entity sent has reached a delivery status."""

    message_id: str
    agent_id: str
    status: str
    timestamp: str
    detail: str | UnsetType = UNSET


class AgentInvoke(Struct, frozen=True, kw_only=True):
    """`agent.invoke`, a request: a call for this agent. Its response is relayed to the caller.

    The response must arrive by `deadline`. The gateway vouches for everything but `message`. `capability` is the
    capability that was called; null if the agent was called by its name.
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
    """`agent.progress`: intermediate data of the call with this `request_id`, before its response."""

    request_id: Raw
    call_id: str
    data: Raw


class AgentCancelled(Struct, frozen=True, kw_only=True):
    """`agent.cancelled`: the response to an `agent.invoke` is no longer wanted.

    `reason` is cancelled, caller_gone, timeout, idle or draining.
    """

    call_id: str
    reason: str


class Event(Struct, frozen=True, kw_only=True):
    """`event`: an event of the gateway. `channel` says through which subscription it came."""

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
