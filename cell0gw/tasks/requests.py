"""What somebody asks for who creates a task, and what would become of it."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec
from msgspec.structs import replace
from twisted.internet.defer import Deferred

from cell0gw.agents.calls.call import CallRequest
from cell0gw.agents.conversations import Conversations
from cell0gw.agents.explain import Explain, Explanation
from cell0gw.agents.message_ids import MESSAGE, Lineage
from cell0gw.process.clocks import Dates
from cell0gw.protocol.errors import InvalidParams, NotFound
from cell0gw.protocol.limits import MAX_TTL, Limits
from cell0gw.protocol.subjects import CAPABILITY
from cell0gw.protocol.timestamps import timestamp
from cell0gw.sessions.session import Sender
from cell0gw.tasks.attempt import Candidates, as_call, why_not
from cell0gw.tasks.quotas import TaskQuotas
from cell0gw.tasks.sight import CREATE, READ, seen
from cell0gw.tasks.store import FoundTask, ITaskStore
from cell0gw.tasks.task import INPUT_REQUIRED, ROW, Task

MAX_ATTEMPTS: Final = 100
"""Maximum attempts that may begin at a task."""

MAX_TASK_ID: Final = 100
"""Maximum characters of the id of a task in a request."""


class TaskRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for. Times are seconds.

    @ivar delay: for how long nobody gets it yet; the rest as of L{Task}.
    """

    target: str
    message: bytes
    ttl: float
    timeout: float | None
    idle: float | None
    max_attempts: int
    delay: float
    policy: str
    sticky: str | None
    in_reply_to: str | None
    keep: float


def delay_of(not_before: datetime | None, now: float) -> float:
    """Seconds until a date before which nobody gets a task.

    @raise InvalidParams: it is too far ahead.
    """
    delay = 0.0 if not_before is None else max(0.0, not_before.timestamp() - now)
    if delay > MAX_TTL:
        raise InvalidParams("Invalid params: not_before is more than 30 days ahead", path="params.not_before")
    return delay


def is_capability(target: str) -> bool:
    """Whether a target is a capability, and no agent."""
    return target.startswith(CAPABILITY)


def new_task(ids: tuple[str, str], sender: Sender, request: TaskRequest, lineage: Lineage, now: float) -> Task:
    """The task that is asked for.

    @param ids: of the task, and of the numbering of its events.
    """
    task_id, epoch = ids
    return Task(
        task_id=task_id,
        epoch=epoch,
        creator=sender.entity_id,
        creator_type=sender.entity_type,
        target=request.target,
        root=lineage.root,
        hops=lineage.hops,
        in_reply_to=lineage.in_reply_to,
        policy=request.policy,
        sticky=request.sticky,
        timeout=request.timeout,
        idle=request.idle,
        max_attempts=request.max_attempts,
        keep=request.keep,
        created=now,
        expires_at=now + request.delay + request.ttl,
        due=now + request.delay,
    )


def check_known(sender: Sender, target: str) -> None:
    """Whether somebody may know of the agent that a task is for.

    @raise NotFound: it may not, be there such an agent or not.
    """
    if not is_capability(target) and not sender.knows(CREATE, target):
        raise NotFound(f"Nobody is called {target}", near=[])


class Prospects:
    """Explains what would become of a task that is created, and why one that is there waits; nothing changes."""

    def __init__(
        self,
        explain: Explain,
        candidates: Candidates,
        conversations: Conversations,
        quotas: TaskQuotas,
        store: ITaskStore,
        limits: Limits,
        dates: Dates,
    ) -> None:
        self._explain = explain
        self._candidates = candidates
        self._conversations = conversations
        self._quotas = quotas
        self._store = store
        self._limits = limits
        self._dates = dates

    def creation(self, sender: Sender, request: CallRequest, delay: float) -> Explanation:
        """What would become of a task.

        @param request: a call of the same.
        @param delay: seconds in which nobody gets it.
        @raise RPCError: what its creator would get.
        """
        self._limits.check_content(len(request.message))
        check_known(sender, request.target)
        self._conversations.place(MESSAGE, sender.entity_id, request.target, request.in_reply_to, dry=True)
        self._quotas.check(sender.entity_id, ROW + len(request.message))
        self._candidates.check(sender, request.target, bytes(request.message))
        return self._of(sender, request, self._dates.lasting() + delay)

    def task(self, sender: Sender, task_id: str) -> Deferred[Explanation]:
        """Why a task waits, or that it does not.

        @raise NotFound: by the Deferred: there is none, or it is not for this entity to see.
        """
        found = self._store.get(task_id).addCallback(seen, sender.entity_id, sender.permissions, READ)
        return found.addCallback(self._of_task, sender)

    def _of_task(self, found: FoundTask, sender: Sender) -> Explanation:
        task = found.task
        if task.settled is not None:
            return Explanation(outcome="over", reason=f"it is {task.status}: {task.code}".removesuffix(": None"))
        if task.status == INPUT_REQUIRED:
            return Explanation(outcome="sent", reason="its agent waits for the answer to a question")
        if task.held:
            begun = "has begun" if task.begun else "has not begun yet"
            return Explanation(outcome="sent", reason=f"an agent has it, and {begun}")
        request = replace(as_call(task.target, found.message), policy=task.policy, key=task.sticky)
        return self._of(sender, request, task.due)

    def _of(self, sender: Sender, request: CallRequest, due: float) -> Explanation:
        size = len(request.message)
        told = self._explain.task(sender, request, lambda worker: why_not(worker, size, self._limits), CREATE)
        if due <= self._dates.lasting():
            return told
        considered = tuple(replace(each, chosen=False) for each in told.considered)
        reason = f"nobody gets it before {timestamp(due)}; then, if nothing changes: {told.reason}"
        return replace(told, outcome="waiting", reason=reason, considered=considered)
