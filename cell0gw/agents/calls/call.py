"""One call from one entity to another: what is asked for, and where it stands."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Raw
from twisted.internet.defer import Deferred

from cell0gw.agents.calls.pools import Policy, Pool, Worker
from cell0gw.agents.message_ids import Lineage
from cell0gw.auth.sight import Sight
from cell0gw.protocol.errors import AgentFailed, Cancelled, InvalidParams, RPCError, TimedOut
from cell0gw.protocol.limits import KIB
from cell0gw.protocol.notifications import AgentInvoke
from cell0gw.protocol.timestamps import timestamp
from cell0gw.sessions.session import Sender, Session

REFUSALS: Final = frozenset({-32000, -32003, -32601})
"""Codes of an agent's errors that say it has not begun: unavailable, rate limited, method not found."""

MAX_TOLD: Final = 500
"""Maximum characters of an agent's error message that reach the caller."""

OVERHEAD: Final = 2 * KIB
"""Approximate bytes that the objects around a call take."""


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
        """Approximate bytes that the call keeps."""
        return memoryview(self.message).nbytes + OVERHEAD

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
    check_policy(policy, key)
    return CallRequest(
        agent_id=agent_id,
        capability=capability,
        message=message.copy(),  # as it came it is a view, by which all of the params would be kept
        timeout=timeout_ms / 1000,
        idle=None if idle_ms is None else idle_ms / 1000,
        policy=policy,
        key=key,
        in_reply_to=in_reply_to,
    )


def check_policy(policy: str, key: str | None) -> None:
    """Whether a policy and a key go together.

    @raise InvalidParams: they don't.
    """
    if (policy == "sticky") != (key is not None):
        raise InvalidParams("Invalid params: the policy sticky needs a key, and no other takes one")


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
    @param sight: whom the caller sees.
    @param parent: the running call for whose sake it is made; None: there is none, or it is over.
    @ivar deadline: when it must be over; C{idle_until}: by when there must be progress.
    @ivar children: the running calls that are made for its sake.
    @ivar pool: where it waits, or whose worker has it.
    @ivar worker: who has it; None while it waits.
    @ivar begun: whether that one has said so; C{parts}: how often the caller was told of progress.
    @ivar tried: who had it and refused it; None for each that was lost before it had begun.
    @ivar refusal: what the last of them said.
    """

    __slots__ = (
        "answer", "begun", "call_id", "children", "created", "deadline", "idle_until", "invocation", "lineage",
        "parent", "parts", "pool", "refusal", "request", "request_id", "session", "sight",
        "timer", "tried", "worker",
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
        sight: Sight,
        parent: Call | None = None,
    ) -> None:
        self.call_id = invocation.call_id
        self.invocation = invocation
        self.request = request
        self.lineage = lineage
        self.session = session
        self.sight = sight
        self.request_id = request_id
        self.created = created
        self.deadline = created + request.timeout
        self.idle_until: float | None = None
        self.pool = pool
        self.parent = parent
        self.children: dict[Call, None] | None = None
        self.answer: Deferred[Raw] = Deferred()
        self.worker: Worker | None = None
        self.begun = False
        self.parts = 0
        self.tried: list[Worker | None] = []
        self.refusal = ""
        self.timer: Any = None

    def join(self) -> None:
        """Called when it begins, for its parent's sake."""
        if self.parent is not None:
            if self.parent.children is None:
                self.parent.children = {}
            self.parent.children[self] = None

    def leave(self) -> None:
        """Called when it is over: it is nobody's child any more, and nobody's parent."""
        if self.parent is not None and self.parent.children is not None:
            self.parent.children.pop(self, None)
        for child in self.children or ():
            child.parent = None
        self.parent = self.children = None

    @property
    def key(self) -> bytes:
        """What tells it from the caller's others: the id that it was given there, or here, which is no JSON."""
        return self.request_id or self.call_id.encode()

    @property
    def until(self) -> float:
        """When the call times out, unless there is progress: seconds of the monotonic clock."""
        return self.deadline if self.idle_until is None else min(self.deadline, self.idle_until)

    @property
    def losses(self) -> int:
        """How many workers were lost with it."""
        return self.tried.count(None)

    def failed(self, agent_id: str, how: str, **data: Any) -> AgentFailed:
        """The error of a call whose agent has failed. Who serves a capability is named to those who see it.

        @param how: what has become of the agent, for people; C{data}: further members of the error's C{data}.
        """
        if self.request.agent_id is None and not self.sight.sees(agent_id):
            return AgentFailed(f"The agent {how}", begun=True, **data)
        return AgentFailed(f"{agent_id} {how}", agent_id=agent_id, begun=True, **data)

    @property
    def may_have_begun(self) -> bool:
        """Whether its worker has begun with it, or can't say that it has not."""
        return self.begun or (self.worker is not None and not self.worker.session.acknowledges)

    def lateness(self) -> Withdrawal:
        """The error of a call that has timed out."""
        idle = self.idle_until is not None and self.idle_until < self.deadline
        clock, said, begun = "idle" if idle else "timeout", "progress" if idle else "answer", self.may_have_begun
        return Withdrawal(TimedOut(f"No {said} in time", clock=clock, begun=begun, retryable=not begun), clock)


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

    @param error: JSON of any kind; empty: it has answered with neither a result nor an error.
    """
    if not error:
        return AgentError(-32603, "an answer that is none of JSON-RPC's")
    try:
        read = msgspec.json.decode(error, type=AgentError)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return AgentError(-32603, "an error that is none of JSON-RPC's")
    return msgspec.structs.replace(read, message=read.message[:MAX_TOLD])
