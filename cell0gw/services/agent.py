"""``agent``: messages and calls from one to another, and which agents there are."""

from __future__ import annotations

from collections.abc import Awaitable, Iterator
from functools import partial
from typing import Annotated, Any, cast

import msgspec
from msgspec import Meta, Raw
from twisted.application.service import Service
from zope.interface import implementer

from cell0gw.agents.agents import Agents
from cell0gw.agents.calls.call import call_request
from cell0gw.agents.calls.pools import Policy
from cell0gw.agents.mail.receipts import receipt_of
from cell0gw.agents.mail.sending import Sent
from cell0gw.agents.mail.status import Acknowledged, Acknowledgement, DeliveryStatus
from cell0gw.agents.mail.store import Delivery
from cell0gw.monitoring.statistics import Counts, IStatistics
from cell0gw.presence.directory import AnonymousEntry, PresenceEntry
from cell0gw.presence.presence import Presence
from cell0gw.protocol.errors import InvalidParams, NotFound
from cell0gw.protocol.keys import IdempotencyKey, Key, digest_of
from cell0gw.protocol.limits import MAX_DETAIL, MAX_TTL
from cell0gw.protocol.notifications import AgentReceipt
from cell0gw.protocol.subjects import Name
from cell0gw.protocol.timestamps import timestamp
from cell0gw.rpc.access import anonymous_read, permission, session
from cell0gw.rpc.idempotency import Idempotency
from cell0gw.sessions.session import Caller

Seconds = Annotated[float, Meta(gt=0, le=MAX_TTL)]
Milliseconds = Annotated[int, Meta(ge=1, le=86_400_000)]
Id = Annotated[str, Meta(min_length=1, max_length=200)]


# Beside Delivery, since dates are text on the wire.
class DeliveryReport(msgspec.Struct, frozen=True, kw_only=True):
    """The delivery status of a message. `receipts` lists every status that it has reached, in order."""

    message_id: str
    agent_id: str
    sender: str = msgspec.field(name="from")
    status: DeliveryStatus
    expires_at: str
    receipts: list[AgentReceipt]


class CallCancelled(msgspec.Struct, frozen=True):
    """The call was cancelled. The call itself fails with the error -32009."""

    success: bool = True


class Progressed(msgspec.Struct, frozen=True):
    """`success` says whether the call is still open."""

    success: bool


class AgentEntry(PresenceEntry, frozen=True, kw_only=True):
    """An agent that is online. `inflight` are the calls it has, `max_inflight` is their maximum; null: unlimited."""

    inflight: int
    max_inflight: int | None


@implementer(IStatistics)
class AgentService(Service):
    """Agents, one to one."""

    name = "agent"

    def __init__(
        self,
        presence: Presence,
        agents: Agents,
        idempotency: Idempotency,
    ) -> None:
        self._directory = presence.directory
        self._listings = presence.by_capability
        self._mail = agents.mail
        self._mailboxes = agents.mailboxes
        self._archive = agents.archive
        self._conversations = agents.conversations
        self._calls = agents.calls
        self._workers = agents.workers
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
        """Send a message to an agent: to its newest session, or to its mailbox."""
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
        """Acknowledge a message that this entity received, or say that a call has been started."""
        own = caller.session
        assert own is not None
        if self._calls.holds(own, message_id):
            if status not in ("received", "started"):
                raise InvalidParams("Invalid params: a call ends with its answer")
            if status == "started":
                self._calls.begun(own, message_id)
            return Acknowledged(message_id=message_id, status=status)
        return self._mailboxes.acknowledge(own.entity_id, message_id, status, detail)

    @session
    def rpc_getDelivery(self, caller: Caller, *, message_id: Id) -> Awaitable[DeliveryReport]:
        """Get the delivery status of a message, as its sender or its recipient."""
        return self._archive.delivery(message_id).addCallback(_report, caller.entity_id)

    @permission(resource=("agent_id", "capability"))
    def rpc_call(
        self,
        caller: Caller,
        request_id: bytes,
        *,
        message: Raw,
        agent_id: Name | None = None,
        capability: Name | None = None,
        timeout_ms: Milliseconds = 60_000,
        idle_ms: Milliseconds | None = None,
        policy: Policy = "least_busy",
        key: Id | None = None,
        in_reply_to: Id | None = None,
    ) -> Awaitable[Raw]:
        """Call an agent, or an agent that serves a capability. The result is the agent's."""
        request = call_request(agent_id, capability, message, timeout_ms, idle_ms, policy, key, in_reply_to)
        return self._calls.call(caller, request_id, request)

    @session
    def rpc_cancel(self, caller: Caller, *, request_id: Raw) -> CallCancelled:
        """Cancel a call of this session, by the id of its request."""
        assert caller.session is not None
        self._calls.cancel(caller.session, bytes(request_id))
        return CallCancelled()

    @session
    def rpc_progress(self, caller: Caller, *, call_id: Id, data: Raw) -> Progressed:
        """Send intermediate data to the caller of a call, before the response."""
        assert caller.session is not None
        return Progressed(self._calls.progress(caller.session, call_id, data))

    @anonymous_read
    def rpc_list(self, caller: Caller, *, capability: Name | None = None) -> list[AgentEntry] | list[AnonymousEntry]:
        """List the agents that are online, or those of them that have a capability."""
        if caller.principal is None:
            return cast(Any, self._listings.of(capability, partial(self._online, capability)))
        return [self._with_load(entry) for entry in self._online(capability)]

    def statistics(self) -> Counts:
        """See L{IStatistics}."""
        mail, calls, waiting = self._mail, self._calls, self._mailboxes.waiting
        return Counts(
            current={
                "mailboxes": len(self._mailboxes),
                "messages_waiting": waiting.messages,
                "bytes_waiting": waiting.size,
                "calls_inflight": len(calls),
                "calls_waiting": calls.waiting,
            },
            total={
                "messages_sent": mail.sent,
                "messages_queued": mail.queued,
                "messages_expired": self._mailboxes.expired,
                "mail_delivered": self._mailboxes.delivered,
                "loops_refused": self._conversations.refused,
                "calls": calls.made,
                "calls_answered": calls.answered,
                "calls_failed": calls.failed,
                "answers_late": calls.late,
            },
        )

    def _online(self, capability: str | None) -> Iterator[PresenceEntry]:
        entries = self._directory.entries("agent", connected=True, capability=capability)
        return (entry for entry in entries if entry.status != "offline")

    def _with_load(self, entry: PresenceEntry) -> AgentEntry:
        load = self._workers.load(entry.entity_id)
        return AgentEntry(**msgspec.structs.asdict(entry), inflight=load.inflight, max_inflight=load.max_inflight)


def _report(delivery: Delivery | None, reader: str | None) -> DeliveryReport:
    if delivery is None or reader not in (delivery.sender, delivery.recipient):
        raise NotFound("No message of yours with this id was kept, or it is long over")
    return DeliveryReport(
        message_id=delivery.message_id,
        agent_id=delivery.recipient,
        sender=delivery.sender,
        status=delivery.status,  # type: ignore[arg-type]
        expires_at=timestamp(delivery.expires_at),
        receipts=[receipt_of(receipt) for receipt in delivery.receipts],
    )
