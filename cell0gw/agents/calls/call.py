"""One call from one entity to another: what is asked for, and where it stands."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Raw
from twisted.internet.defer import Deferred

from cell0gw.agents.calls.pools import Policy, Pool, Worker
from cell0gw.agents.message_ids import Lineage
from cell0gw.protocol.errors import Cancelled, InvalidParams, RPCError, TimedOut
from cell0gw.protocol.notifications import AgentInvoke
from cell0gw.protocol.timestamps import timestamp
from cell0gw.sessions.session import Session

REFUSALS: Final = frozenset({-32000, -32003, -32601})
"""An agent's errors that say it has not begun: unavailable, too much at once, no such thing."""

MAX_TOLD: Final = 500
"""How much of an agent's own words on its failure reaches the caller, in characters."""


class CallRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for.

    @ivar agent_id: who shall do it; or C{capability}: whoever can.
    @ivar timeout: how many seconds the whole may take; C{idle}: until there is progress, None: as long.
    @ivar key: of the policy C{sticky}.
    """

    agent_id: str | None
    capability: str | None
    message: Raw
    timeout: float
    idle: float | None = None
    policy: Policy = "least_busy"
    key: str | None = None
    in_reply_to: str | None = None

    @property
    def size(self) -> int:
        """How long the message is, in bytes."""
        return memoryview(self.message).nbytes

    @property
    def target(self) -> str:
        """What it goes to, as permissions name it."""
        return self.agent_id if self.agent_id is not None else f"capability:{self.capability}"


def call_request(
    agent_id: str | None,
    capability: str | None,
    message: Raw,
    timeout_ms: int,
    idle_ms: int | None,
    policy: Policy,
    key: str | None,
    in_reply_to: str | None,
) -> CallRequest:
    """The params of C{agent.call} as what is asked for.

    @raise InvalidParams: policy and key don't go together.
    """
    if (policy == "sticky") != (key is not None):
        raise InvalidParams("Invalid params: the policy sticky needs a key, and no other takes one")
    return CallRequest(
        agent_id=agent_id,
        capability=capability,
        message=message,
        timeout=timeout_ms / 1000,
        idle=None if idle_ms is None else idle_ms / 1000,
        policy=policy,
        key=key,
        in_reply_to=in_reply_to,
    )


class Call:
    """A call on its way.

    @param caller: whose it is; None: nobody's who could be told of progress.
    @param request_id: as the caller wrote it; empty: there is none.
    @param created: when it was made, by the monotonic clock; C{date}: by the wall clock.
    @ivar deadline: when it must be over; C{idle_until}: by when there must be progress.
    @ivar pool: where it waits, or whose worker has it.
    @ivar worker: who has it; None while it waits.
    @ivar begun: whether that one has said so.
    @ivar tried: who had it and refused it, or was lost before it had begun; C{losses}: how many of these were lost.
    @ivar refusal: what the last of them said.
    """

    __slots__ = (
        "answer", "begun", "call_id", "caller", "created", "date", "deadline", "idle_until", "lineage", "losses",
        "pool", "refusal", "request", "request_id", "sender", "sender_type", "timer", "tried", "worker",
    )  # fmt: skip

    def __init__(
        self,
        call_id: str,
        request: CallRequest,
        lineage: Lineage,
        caller: Session | None,
        sender: tuple[str, str],
        request_id: bytes,
        created: float,
        date: float,
        pool: Pool,
    ) -> None:
        self.call_id = call_id
        self.request = request
        self.lineage = lineage
        self.caller = caller
        self.sender, self.sender_type = sender
        self.request_id = request_id
        self.created = created
        self.date = date
        self.deadline = created + request.timeout
        self.idle_until: float | None = None
        self.pool = pool
        self.answer: Deferred[Raw] = Deferred()
        self.worker: Worker | None = None
        self.begun = False
        self.tried: list[Worker] = []
        self.losses = 0
        self.refusal = ""
        self.timer: Any = None

    @property
    def key(self) -> bytes:
        """What tells it from the caller's others: the id that it was given there, or here, which is no JSON."""
        return self.request_id or self.call_id.encode()

    @property
    def until(self) -> float:
        """When patience ends."""
        return self.deadline if self.idle_until is None else min(self.deadline, self.idle_until)

    def lateness(self) -> tuple[RPCError, str]:
        """What the caller gets when patience has ended, and what the agent is told."""
        if self.idle_until is not None and self.idle_until < self.deadline:
            return TimedOut("No progress in time", clock="idle"), "idle"
        return TimedOut("No answer in time", clock="timeout"), "timeout"

    def invocation(self) -> AgentInvoke:
        """The request that an agent gets."""
        return AgentInvoke(
            call_id=self.call_id,
            sender=self.sender,
            sender_type=self.sender_type,
            message=self.request.message,
            capability=self.request.capability,
            timestamp=timestamp(self.date),
            deadline=timestamp(self.date + self.request.timeout),
            conversation_id=self.lineage.conversation_id,
            in_reply_to=self.lineage.in_reply_to,
            hops=self.lineage.hops,
        )


CALLER_GONE: Final = (Cancelled("The caller has gone"), "caller_gone")


class AgentError(msgspec.Struct, frozen=True):
    """An agent's error object, as far as it is one."""

    code: int
    message: str = ""
    data: Raw = Raw(b"null")


def read_error(error: bytes) -> AgentError:
    """What an agent answered instead of a result.

    @param error: JSON of any kind.
    """
    try:
        read = msgspec.json.decode(error, type=AgentError)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return AgentError(-32603, "an error that is none of JSON-RPC's")
    return msgspec.structs.replace(read, message=read.message[:MAX_TOLD])
