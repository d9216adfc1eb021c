"""What C{agent} has of mail: letters are sent, acknowledged, and followed."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Annotated

import msgspec
from msgspec import Meta, Raw

from cell0gw.agents.agents import Agents
from cell0gw.agents.mail.archive import DeliveryReport, report_of
from cell0gw.agents.mail.pulls import Pull, Received
from cell0gw.agents.mail.returns import Recalled
from cell0gw.agents.mail.sending import Sent
from cell0gw.agents.mail.status import BEGUN, Acknowledged, Acknowledgement, Released
from cell0gw.protocol.errors import InvalidParams
from cell0gw.protocol.keys import IdempotencyKey, Key, digest_of
from cell0gw.protocol.limits import MAX_DETAIL, MAX_ID, MAX_LEASE_MS, MAX_TTL, MAX_WAIT_MS, Limits
from cell0gw.protocol.subjects import Name
from cell0gw.rpc.access import permission, session
from cell0gw.rpc.idempotency import Idempotency
from cell0gw.sessions.session import Caller
from cell0gw.sessions.terms import ACK_WAIT_MS, MAX_WINDOW, AckWait
from cell0gw.tasks.attempt import attempt_of
from cell0gw.tasks.tasks import Tasks

Seconds = Annotated[float, Meta(gt=0, le=MAX_TTL)]
Count = Annotated[int, Meta(ge=1, le=MAX_WINDOW)]
Wait = Annotated[int, Meta(ge=0, le=MAX_WAIT_MS)]
Delay = Annotated[int, Meta(ge=0, le=MAX_LEASE_MS)]
Id = Annotated[str, Meta(min_length=1, max_length=MAX_ID)]


class MailMethods:
    """Messages, one to one."""

    def __init__(self, agents: Agents, tasks: Tasks, idempotency: Idempotency, limits: Limits) -> None:
        self._limits = limits
        self._tasks = tasks
        self._mail = agents.mail
        self._mailboxes = agents.mailboxes
        self._archive = agents.archive
        self._calls = agents.calls
        self._idempotency = idempotency

    @permission(resource="agent_id")
    def rpc_send(
        self,
        caller: Caller,
        *,
        agent_id: Name,
        message: Raw,
        ttl_seconds: Seconds | None = None,
        receipts: bool = False,
        in_reply_to: Id | None = None,
        idempotency_key: IdempotencyKey | None = None,
    ) -> Sent | Awaitable[Sent]:
        """Send a message to an agent: to its newest session, or to its mailbox.

        The recipient is an entity of any type, and gets it as `agent.message`. docs/protocol.md#directed-messages says
        what is promised.

        - `agent_id`: the recipient
        - `message`: what to send
        - `ttl_seconds`: how long the message may wait, at most 30 days; null: as long as the operator says, 7 days by
          default
        - `receipts`: whether the sender gets an `agent.receipt` for each status that the message reaches
        - `in_reply_to`: what this replies to: the `message_id` of a message to the sender, or the `call_id` of a call
          it has
        - `idempotency_key`: names this message and its repetitions, as of `channel.publish`; it survives a restart. It
          stands for all params, `message` byte for byte
        - `not_found`: nobody holds the id, or the sender is not shown who does, see docs/protocol.md#sight; `data.near`
          has up to five similar ones that the sender may send to. Or `in_reply_to` names no message to the sender and
          no call that it has. Entities hold their id while they are online or have mail, for 30 days after a session,
          and while a valid token is for them, or for a pattern that covers them
        - `rate_limited`: too much mail waits, and `data.limit` names the limit; or there are too many keys
        - `loop`: the conversation goes in circles, see docs/protocol.md#conversations
        - `too_large`: the message is longer than anything that is relayed, or than the recipient takes, see
          docs/protocol.md#messages-that-a-client-does-not-take
        - `conflict`: the key stands for other params
        - `unavailable`: the message could not be stored, and is not sent
        """
        sender, body = caller.sender, bytes(message)
        if idempotency_key is None:
            return self._mail.send(sender, agent_id, body, in_reply_to, ttl_seconds, receipts)
        digest = digest_of(agent_id, body, ttl_seconds, receipts, in_reply_to)
        key = Key(sender.entity_id, "agent.send", idempotency_key, digest)
        return self._idempotency.once(
            key,
            lambda: self._mail.send(sender, agent_id, body, in_reply_to, ttl_seconds, receipts, key),
            lambda sent: msgspec.structs.replace(sent, replayed=True),
        )

    @session
    def rpc_ack(
        self,
        caller: Caller,
        *,
        message_id: Id,
        status: Acknowledgement,
        detail: Annotated[str, Meta(max_length=MAX_DETAIL)] | None = None,
    ) -> Acknowledged | Awaitable[Acknowledged]:
        """Acknowledge a message that this entity received, or say that a message or a call has been started.

        `received`, `done` and `failed` take the message out of the mailbox; `started` and `working` keep it there, for
        this session, see docs/protocol.md#who-acknowledges-and-who-doesnt. What is said is on disk when the answer
        comes. A status only advances: `received` after `done` changes nothing, so an acknowledgement can be repeated.
        Of a call, `started` or `working` says that the work has begun, see docs/protocol.md#started-or-not; `received`
        changes nothing.

        - `message_id`: of the `agent.message`, or the `call_id` of an `agent.invoke`, that of a task as well
        - `status`: what the recipient does with it; `working`: it is still at it; of a call `received`, `started` or
          `working`
        - `detail`: for the sender, in its `agent.receipt`
        - `not_found`: there is no such message to this entity: it went the fast way, see docs/protocol.md#two-ways, or
          has been over for 24 hours
        - `invalid_params`: `done` or `failed` of a call, which ends with its answer
        - `fenced`: of a task: a later attempt has taken the place of this one: stop
        - `unavailable`: the acknowledgement could not be stored: send it again
        """
        own = caller.session
        assert own is not None
        if attempt_of(message_id) is not None:
            return self._tasks.acknowledge(own.entity_id, message_id, status)
        if self._calls.holds(own, message_id):
            if status not in ("received", *BEGUN):
                raise InvalidParams("Invalid params: a call ends with its answer")
            if status in BEGUN:
                self._calls.begun(own, message_id)
            return Acknowledged(message_id=message_id, status=status)
        return self._mailboxes.acknowledge(own, message_id, status, detail)

    @session
    def rpc_receive(
        self, caller: Caller, *, max: Count = 1, wait_ms: Wait = 0, lease_ms: AckWait = ACK_WAIT_MS
    ) -> Awaitable[Received]:
        """Receive messages that wait, for a client that asks for them: one that is not connected all the time.

        Say `mail: {"pull": true}` in `auth.authenticate`, and no message is brought to the session by itself, see
        docs/protocol.md#mail-for-those-who-ask. What it receives is the entity's for the time of the lease, also when
        the connection ends: acknowledge it by `agent.ack`, from any session.

        - `max`: maximum messages
        - `wait_ms`: for how many milliseconds to wait for the first one, at most a minute
        - `lease_ms`: after how many milliseconds without a word a message is brought again, which is a failed attempt
        - `conflict`: the session waits for messages already
        - `unavailable`: the disk could not be read
        """
        own = caller.session
        assert own is not None
        pull = Pull(own, max, lease_ms / 1000, self._limits.max_content_size)
        return self._mailboxes.receive(pull, wait_ms / 1000)

    @session
    def rpc_release(self, caller: Caller, *, message_id: Id, delay_ms: Delay = 0) -> Released:
        """Give back a message that this entity has and has not acknowledged, or has `started`: it is not done now.

        After the delay it is brought again, within a second, to a session of the entity that acknowledges and has room,
        which may be this one. No attempt has failed by that. A restart of the gateway ends the delay.

        - `message_id`: the message
        - `delay_ms`: for how many milliseconds it is brought to nobody, at most a day; meanwhile others come
        - `not_found`: no session of the entity has it
        """
        assert caller.entity_id is not None
        self._mailboxes.release(caller.entity_id, message_id, delay_ms / 1000)
        return Released(message_id=message_id)

    @session
    def rpc_recall(self, caller: Caller, *, message_id: Id) -> Awaitable[Recalled]:
        """Take back a message of one's own that was not sent to its recipient yet.

        - `message_id`: the message
        - `not_found`: the caller has sent no such message: it went the fast way, see docs/protocol.md#two-ways, or is
          long over
        - `conflict`: it was sent already, or is over
        - `unavailable`: the disk could not be written: the message waits still, or is taken back
        """
        return self._mail.recall(caller.sender, message_id)

    @session
    def rpc_getDelivery(self, caller: Caller, *, message_id: Id) -> Awaitable[DeliveryReport]:
        """Get the delivery status of a message, as its sender or its recipient.

        - `message_id`: the message
        - `not_found`: the caller has no such message: it went the fast way, see docs/protocol.md#two-ways, or is long
          over
        - `unavailable`: the disk could not be read
        """
        return self._archive.delivery(message_id).addCallback(report_of, caller.sender)
