"""What somebody asks for who creates a task."""

from __future__ import annotations

import msgspec
from msgspec import Raw

from cell0gw.agents.calls.call import CallRequest
from cell0gw.agents.message_ids import Lineage
from cell0gw.protocol.subjects import CAPABILITY
from cell0gw.sessions.session import Sender
from cell0gw.tasks.task import Task


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


def is_capability(target: str) -> bool:
    """Whether a target is a capability, and no agent."""
    return target.startswith(CAPABILITY)


def as_call(target: str) -> CallRequest:
    """A call of the same target: what there is, and who may know of it, is for both the same."""
    served = target.removeprefix(CAPABILITY) if is_capability(target) else None
    agent_id = target if served is None else None
    return CallRequest(agent_id=agent_id, capability=served, message=Raw(b"null"), timeout=0.0)


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
