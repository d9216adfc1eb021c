"""One call from one entity to another: what is asked for, and where it stands."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Raw
from twisted.internet.defer import Deferred

from cell0gw.agents.calls.pools import Policy, Pool, Worker
from cell0gw.agents.message_ids import Lineage
from cell0gw.protocol.errors import Cancelled, InvalidParams, RPCError, TimedOut
from cell0gw.protocol.notifications import AgentInvoke
from cell0gw.protocol.timestamps import timestamp
from cell0gw.sessions.session import Sender, Session

REFUSALS: Final = frozenset({-32000, -32003, -32601})
"""Codes of an agent's errors that say it has not begun: unavailable, rate limited, method not found."""

MAX_TOLD: Final = 500
"""Maximum characters of an agent's error message that reach the caller."""


class CallRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for.

    @ivar agent_id: the agent that is called; or C{capability}: the capability that is.
    @ivar timeout: maximum seconds of the whole call; C{idle}: maximum seconds without progress, None: C{timeout}.
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
        """Bytes of the message."""
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


class Withdrawal(NamedTuple):
    """A call is given up: its answer is no longer wanted.

    @ivar error: what the caller gets.
    @ivar reason: the reason that the agent is given, see L{AgentCancelled}.
    """

    error: RPCError
    reason: str


CALLER_GONE: Final = Withdrawal(Cancelled("The caller has gone"), "caller_gone")


class Call:
    """A call on its way.

    @param invocation: the request that an agent gets.
    @param session: the caller's; None: nobody is notified of progress.
    @param request_id: as the caller wrote it; empty: there is none.
    @param created: when it was made, in seconds of the monotonic clock.
    @ivar deadline: when it must be over; C{idle_until}: by when there must be progress.
    @ivar pool: where it waits, or whose worker has it.
    @ivar worker: who has it; None while it waits.
    @ivar begun: whether that one has said so.
    @ivar tried: who had it and refused it, or was lost before it had begun.
    @ivar refusal: what the last of them said.
    """

    __slots__ = (
        "answer", "begun", "call_id", "created", "deadline", "idle_until", "invocation", "lineage", "pool", "refusal",
        "request", "request_id", "session", "timer", "tried", "worker",
    )  # fmt: skip

    def __init__(
        self,
        invocation: AgentInvoke,
        request: CallRequest,
        lineage: Lineage,
        session: Session | None,
        request_id: bytes,
        created: float,
        pool: Pool,
    ) -> None:
        self.call_id = invocation.call_id
        self.invocation = invocation
        self.request = request
        self.lineage = lineage
        self.session = session
        self.request_id = request_id
        self.created = created
        self.deadline = created + request.timeout
        self.idle_until: float | None = None
        self.pool = pool
        self.answer: Deferred[Raw] = Deferred()
        self.worker: Worker | None = None
        self.begun = False
        self.tried: list[Worker] = []
        self.refusal = ""
        self.timer: Any = None

    @property
    def key(self) -> bytes:
        """What tells it from the caller's others: the id that it was given there, or here, which is no JSON."""
        return self.request_id or self.call_id.encode()

    @property
    def until(self) -> float:
        """When the call times out, unless there is progress: seconds of the monotonic clock."""
        return self.deadline if self.idle_until is None else min(self.deadline, self.idle_until)

    def lateness(self) -> Withdrawal:
        """The error of a call that has timed out."""
        if self.idle_until is not None and self.idle_until < self.deadline:
            return Withdrawal(TimedOut("No progress in time", clock="idle"), "idle")
        return Withdrawal(TimedOut("No answer in time", clock="timeout"), "timeout")


def invocation(call_id: str, sender: Sender, request: CallRequest, lineage: Lineage, date: float) -> AgentInvoke:
    """The request that an agent gets.

    @param date: when the call was made, in seconds since the epoch.
    """
    return AgentInvoke(
        call_id=call_id,
        sender=sender.entity_id,
        sender_type=sender.entity_type,
        message=request.message,
        capability=request.capability,
        timestamp=timestamp(date),
        deadline=timestamp(date + request.timeout),
        conversation_id=lineage.conversation_id,
        in_reply_to=lineage.in_reply_to,
        hops=lineage.hops,
    )


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
