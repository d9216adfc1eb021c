"""The params of each notification of the gateway, as they stand on the wire."""

from __future__ import annotations

from typing import Any, Final

from msgspec import UNSET, Raw, Struct, UnsetType, field

from cell0gw.protocol.limits import Limits


class ConnectionWelcome(Struct, frozen=True, kw_only=True):
    """`connection.welcome`: the first message on every connection.

    - `connection_id`: names the connection in the gateway's log
    - `server_version`: name and version of the gateway, as in `cell0-1.0.0`
    - `capabilities`: what the gateway can do, see docs/protocol.md#capabilities-of-the-gateway
    - `timestamp`: the gateway's time
    - `protocol`: the version of the protocol, 1; it changes when clients must
    - `limits`: what clients may have and send
    - `heartbeat_interval`: seconds between two heartbeats
    - `heartbeat_timeout`: seconds without a message or a pong after which the gateway closes a connection
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
    """`heartbeat`: the gateway is alive. A WebSocket ping comes with it, which WebSocket libraries answer.

    - `timestamp`: the gateway's time
    """

    timestamp: str


class ChannelMessage(Struct, frozen=True, kw_only=True):
    """`channel.message`: a publication on a channel that the session subscribed to.

    Messages of a channel arrive in the order of their offsets, all that the subscription wants, or the connection is
    closed with a code. A numbering, with its `epoch`, lasts as long as the channel: while it has subscribers by its
    name or holds messages, and as long again as it would hold one. One in memory ends with the process, one on disk
    goes on. After that the channel begins again, in another epoch. docs/protocol.md#resuming says how to get what was
    published while a client was away.

    - `channel`: the channel
    - `message`: as it was published
    - `timestamp`: when the gateway accepted it
    - `offset`: its number; within an `epoch` a later message has a higher one, and nothing else follows from numbers
    - `epoch`: the numbering; another one means that it has begun again
    - `from`: the entity that published it
    - `omitted`: its bytes, if it is longer than the client takes, and `message` is null for that; else absent
    """

    channel: str
    message: Raw
    timestamp: str
    offset: int
    epoch: str
    sender: str = field(name="from")
    omitted: int | UnsetType = UNSET


class Departure(Struct, frozen=True, kw_only=True):
    """An entity that has left.

    - `entity_id`: the entity
    - `entity_type`: its type
    - `reason`: the close code of its connection, as text, or `lost`, see docs/protocol.md#events
    - `last_seen`: when anything last came from it
    """

    entity_id: str
    entity_type: str
    reason: str
    last_seen: str


class PresenceDiff(Struct, frozen=True, kw_only=True):
    """`presence.diff`: the changes of presence from version `from` to version `to` of the pattern.

    They are gathered over a quarter of a second; an entity that comes and goes within it is in none. One notification
    has at most 500 changes, and is no longer than any message; more come in several. If `from` is not the version that
    the client has, it subscribes again by `presence.subscribe`: the answer replaces everything.

    - `pattern`: as in `presence.subscribe`
    - `from`: the version that these changes go on from
    - `to`: the version that they lead to
    - `joins`: the entities that came, as in `presence.get`
    - `leaves`: the entities that left
    - `updates`: the entities that changed, as in `presence.get`, whole
    """

    pattern: str
    since: int = field(name="from")
    to: int
    joins: list[Any]
    leaves: list[Departure]
    updates: list[Any]


class AgentMessage(Struct, frozen=True, kw_only=True):
    """`agent.message`: a message for this entity.

    The gateway vouches for everything but `message`. A message that is no reply begins a conversation, with `hops` 0. A
    session that has said `ack` in `auth.authenticate` acknowledges each one by `agent.ack`; others need not.

    - `from`: the entity that sent it
    - `from_type`: its type
    - `message`: as it was sent
    - `timestamp`: when the gateway accepted it
    - `message_id`: as in the sender's answer; what `in_reply_to` of a reply names
    - `conversation_id`: the conversation that it belongs to, see docs/protocol.md#conversations
    - `in_reply_to`: what it replies to; null: it is no reply
    - `hops`: how many replies lie between it and the first message of the conversation, itself included
    - `attempt`: how often it has been brought, this time included; more than 1: you may have had it before
    """

    sender: str = field(name="from")
    sender_type: str = field(name="from_type")
    message: Raw
    timestamp: str
    message_id: str
    conversation_id: str
    in_reply_to: str | None
    hops: int
    attempt: int


class AgentReceipt(Struct, frozen=True, kw_only=True):
    """`agent.receipt`: a message that this entity sent has reached a delivery status.

    It comes for messages that were sent with `receipts`, see docs/protocol.md#receipts.

    - `message_id`: as in the answer of `agent.send`
    - `agent_id`: the recipient
    - `status`: `queued`, `sent`, `received`, `started`, `done`, `failed` or `expired`
    - `timestamp`: when it reached that status
    - `detail`: what the recipient or the gateway says of it; absent if nothing
    """

    message_id: str
    agent_id: str
    status: str
    timestamp: str
    detail: str | UnsetType = UNSET


class AgentInvoke(Struct, frozen=True, kw_only=True):
    """`agent.invoke`, a request: a call for this agent, or a task. Its response is relayed to the caller, or kept.

    The agent answers on the same connection as JSON-RPC says, with the same `id`, and with `result` or `error`;
    docs/protocol.md#being-called says more. The gateway vouches for everything but `message`.

    - `call_id`: names the call; the same text as the `id` of the request
    - `from`: the entity that calls
    - `from_type`: its type
    - `message`: as it was sent
    - `capability`: the capability that was called; null: the agent was called by its name
    - `timestamp`: when the gateway accepted the call
    - `deadline`: when the response must have arrived; null: a task without `timeout_ms`
    - `conversation_id`: the conversation that the call belongs to
    - `in_reply_to`: what the call replies to; null: it is no reply
    - `hops`: as of `agent.message`
    - `task_id`: the task, see docs/protocol.md#tasks; absent: it is no task
    - `attempt`: how often the task has been given to an agent, this time included; absent: it is no task
    """

    call_id: str
    sender: str = field(name="from")
    sender_type: str = field(name="from_type")
    message: Raw
    capability: str | None
    timestamp: str
    deadline: str | None
    conversation_id: str
    in_reply_to: str | None
    hops: int
    task_id: str | UnsetType = UNSET
    attempt: int | UnsetType = UNSET


class AgentProgress(Struct, frozen=True, kw_only=True):
    """`agent.progress`: intermediate data of a call of this session, before its response.

    - `request_id`: the `id` of the `agent.call`, as it was written
    - `call_id`: the name of the call within the gateway
    - `sequence`: its number among those of the call, the first is 1; none is left out
    - `data`: as the agent sent it
    """

    request_id: Raw
    call_id: str
    sequence: int
    data: Raw


class AgentCancelled(Struct, frozen=True, kw_only=True):
    """`agent.cancelled`: the response to an `agent.invoke` is no longer wanted.

    The agent stops if it can. Its response is dropped, but it is to come: until then the call counts among those that
    the agent takes at once.

    - `call_id`: the call
    - `reason`: `cancelled` by the caller; `caller_gone`; `timeout`; `idle`, the agent was silent for too long; `lost`,
      its connection showed no sign of life before it had begun, and another one has the call; `draining`, the gateway
      goes down; `not_kept`, the answer to a task found no room on its way to the disk: bring it by `task.complete`
    """

    call_id: str
    reason: str


class TaskEvent(Struct, frozen=True, kw_only=True):
    """`task.event`: something has become of a task that the session is subscribed to.

    Events of a task arrive in the order of their offsets, without a gap, or the connection is closed with a code.
    docs/protocol.md#events-of-a-task says what they hold.

    - `task_id`: the task
    - `offset`: its number; a later one has a higher offset. Absent: an `ephemeral` progress, which is not kept
    - `epoch`: the numbering
    - `attempt`: the attempt that it is of; 0: no agent had the task yet
    - `type`: `status`, `progress`, `message` or `result`
    - `data`: what it says
    - `timestamp`: when the gateway accepted it
    - `omitted`: as of `channel.message`, for `data`
    """

    task_id: str
    offset: int | UnsetType = UNSET
    epoch: str
    attempt: int
    type: str
    data: Raw
    timestamp: str
    omitted: int | UnsetType = UNSET


class TaskQuestion(Struct, frozen=True, kw_only=True):
    """`task.question`: an agent that has a task asks this entity something, or waits no longer for the answer.
    It comes to all sessions of those who are asked, and to each that opens while the question waits. `task.get` shows
    what is asked, and `task.answer` answers it, see docs/protocol.md#asking-back.

    - `task_id`: the task
    - `question`: names the question
    - `to`: whom it is put to: this entity, or a pattern that covers it
    - `from`: the agent that asks; absent: the reader does not see it
    - `waits`: whether it waits for an answer. False: somebody has answered, the agent is lost, or all is over
    """

    task_id: str
    question: str
    to: str
    sender: str | UnsetType = field(name="from", default=UNSET)
    waits: bool


class Event(Struct, frozen=True, kw_only=True):
    """`event`: an event of the gateway, on one of its own channels.

    docs/protocol.md#events has all types.

    - `type`: what happened
    - `data`: its particulars, by type
    - `source`: `gateway`, unless a program in the same process gave another
    - `timestamp`: when it happened
    - `channel`: the channel of the subscription by which it came
    """

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
    "task.event": TaskEvent,
    "task.question": TaskQuestion,
    "event": Event,
}
