"""``task``: work that is kept until it is done."""

from __future__ import annotations

from collections.abc import Awaitable
from datetime import datetime
from typing import Annotated, Final

from msgspec import Meta, Raw
from twisted.application.service import Service
from zope.interface import implementer

from cell0gw.agents.calls.call import check_policy
from cell0gw.agents.calls.pools import Policy
from cell0gw.monitoring.statistics import Counts, IStatistics
from cell0gw.presence.presence import Presence
from cell0gw.process.runtime import Wall
from cell0gw.protocol.errors import InvalidParams, PermissionDenied
from cell0gw.protocol.keys import IdempotencyKey, Key, digest_of
from cell0gw.protocol.limits import MAX_ID, MAX_TTL
from cell0gw.protocol.subjects import CAPABILITY, Name
from cell0gw.rpc.access import permission, session
from cell0gw.rpc.pages import PageLimit
from cell0gw.services.channel import Since
from cell0gw.services.task_pulls import PullMethods
from cell0gw.sessions.session import Caller
from cell0gw.tasks.requests import MAX_ATTEMPTS, MAX_TASK_ID, TaskRequest, delay_of
from cell0gw.tasks.sight import READ
from cell0gw.tasks.store import TaskFilter
from cell0gw.tasks.tasks import Tasks
from cell0gw.tasks.views import TaskChanged, TaskCreated, TaskPage, TaskShown, TaskUnsubscribed

DAY: Final = 86_400.0
MAX_LISTED: Final = 1000
"""Maximum tasks in an answer of C{task.list}."""

KEEP: Final = 7 * DAY
"""Seconds for which a task is kept that is over, unless its creator says otherwise."""

Seconds = Annotated[float, Meta(gt=0, le=MAX_TTL)]
Date = Annotated[datetime, Meta(tz=True)]
Milliseconds = Annotated[int, Meta(ge=1, le=1000 * MAX_TTL)]
Attempts = Annotated[int, Meta(ge=1, le=MAX_ATTEMPTS)]
TaskId = Annotated[str, Meta(min_length=1, max_length=MAX_TASK_ID)]
Id = Annotated[str, Meta(min_length=1, max_length=MAX_ID)]
Status = Annotated[str, Meta(pattern="^(submitted|working|input_required|completed|failed|cancelled|rejected)$(?!\\n)")]


@implementer(IStatistics)
class TaskService(PullMethods, Service):
    """Tasks.

    @param ttl: seconds for which a task waits whose creator does not say.
    @param wall: gives the date.
    """

    name = "task"

    def __init__(self, tasks: Tasks, presence: Presence, ttl: float, wall: Wall) -> None:
        PullMethods.__init__(self, tasks, presence)
        self._wall = wall
        self._ttl = ttl

    @permission(resource=("agent_id", "capability"))
    def rpc_create(
        self,
        caller: Caller,
        *,
        message: Raw,
        agent_id: Name | None = None,
        capability: Name | None = None,
        idempotency_key: IdempotencyKey | None = None,
        ttl_seconds: Seconds | None = None,
        timeout_ms: Milliseconds | None = None,
        idle_ms: Milliseconds | None = None,
        max_attempts: Attempts = 1,
        not_before: Date | None = None,
        policy: Policy = "least_busy",
        key: Id | None = None,
        in_reply_to: Id | None = None,
        result_ttl_seconds: Seconds = KEEP,
    ) -> Awaitable[TaskCreated]:
        """Create a task for an agent, or for any agent that serves a capability. It is kept until it is done.

        Exactly one of `agent_id` and `capability` is given. That nobody is there who could do it is no error: the task
        waits. docs/protocol.md#tasks says who gets it, what becomes of it, and how to follow it.

        - `message`: what to do
        - `agent_id`: the agent
        - `capability`: or any agent that serves this capability
        - `idempotency_key`: names this task: a second request with it is answered with the same task, as long as that
          is known. It stands for all params, `message` byte for byte
        - `ttl_seconds`: how long the task may wait for an agent, at most 30 days; null: as long as the operator says
          for mail, 7 days by default
        - `timeout_ms`: maximum milliseconds of an attempt; null: unlimited
        - `idle_ms`: maximum milliseconds that an agent may be silent; null: unlimited, as long as it is connected
        - `max_attempts`: how often it may be begun, if the agent is lost or takes too long
        - `not_before`: nobody gets it before, 30 days ahead at most; as in `2026-02-12T10:30:00Z`
        - `policy`: which of several agents gets it, see docs/protocol.md#who-is-asked
        - `key`: for `sticky` only: tasks with the same key go to the same session
        - `in_reply_to`: as of `agent.send`
        - `result_ttl_seconds`: how long it is kept when it is over
        - `conflict`: the idempotency key stands for other params
        - `rate_limited`: too many tasks are open, or too much is kept; `data.limit` is `tasks` or `task_bytes`, see
          docs/operations.md#shares
        - `too_large`: the message is longer than anything that is relayed
        - `not_found`: `in_reply_to` names nothing that was sent to the caller; or `agent_id` is not for it to see, see
          docs/protocol.md#sight
        - `loop`: the conversation goes in circles, see docs/protocol.md#conversations
        - `unavailable`: the task could not be stored
        - `invalid_params`: both or none of `agent_id` and `capability`; `sticky` without `key`, or `key` without
          `sticky`; `not_before` is too far ahead; or the message is no input of the capability, see
          docs/protocol.md#described-capabilities
        """
        delay = delay_of(not_before, self._wall())
        check_policy(policy, key)
        request = TaskRequest(
            target=agent_id if agent_id is not None else f"{CAPABILITY}{capability}",
            message=bytes(message),
            ttl=self._ttl if ttl_seconds is None else ttl_seconds,
            timeout=None if timeout_ms is None else timeout_ms / 1000,
            idle=None if idle_ms is None else idle_ms / 1000,
            max_attempts=max_attempts,
            delay=delay,
            policy=policy,
            sticky=key,
            in_reply_to=in_reply_to,
            keep=result_ttl_seconds,
        )
        known = None
        if idempotency_key is not None:
            facts = (getattr(request, name) for name in request.__struct_fields__ if name != "delay")
            digest = digest_of(not_before, *facts)
            known = Key(caller.sender.entity_id, "task.create", idempotency_key, digest)
        return self._tasks.create(caller.sender, request, known)

    @session
    def rpc_get(self, caller: Caller, *, task_id: TaskId) -> Awaitable[TaskShown]:
        """Get a task as it stands, with its result if there is one.

        Those see it who have created it, had it last, or are asked something by the agent that has it; others by the
        permission `task.read` on its creator.

        - `task_id`: the task
        - `not_found`: the caller has no such task; or it is long over
        - `unavailable`: the disk could not be read
        """
        sender = caller.sender
        return self._tasks.get(sender.entity_id, sender.permissions, task_id)

    @session
    def rpc_list(
        self,
        caller: Caller,
        *,
        entity_id: Name | None = None,
        status: Status | None = None,
        capability: Name | None = None,
        agent_id: Name | None = None,
        limit: PageLimit = 100,
        after: TaskId | None = None,
    ) -> Awaitable[TaskPage]:
        """List tasks, newest first, in pages, see docs/protocol.md#pages.

        A page may have few tasks, or none, and a `next` all the same: of those that don't match at most 2000 are looked
        at for one.

        - `entity_id`: whose: those that it created, had last, or is asked something about; null: the caller's own.
          Those of others need the permission `task.read` on it
        - `status`: only those with this status
        - `capability`: only those for this capability
        - `agent_id`: only those for this agent
        - `limit`: maximum tasks; more than 1000 are lowered to 1000, and to what fits the answer
        - `after`: `next` of the page before; null: the first page
        - `permission_denied`: `entity_id` is another entity, and the permission is missing
        - `not_found`: the task that `after` names is no longer known: begin anew
        - `invalid_params`: both `capability` and `agent_id`
        - `unavailable`: the disk could not be read
        """
        sender = caller.sender
        if entity_id not in (None, sender.entity_id) and not caller.reaches(READ, entity_id or ""):
            raise PermissionDenied(permission=f"{READ}:{entity_id}")
        if agent_id is not None and capability is not None:
            raise InvalidParams("Invalid params: either capability or agent_id")
        target = agent_id if capability is None else f"{CAPABILITY}{capability}"
        filter = TaskFilter(of=entity_id or sender.entity_id, status=status, target=target, before=after)
        return self._tasks.found(sender, filter, min(limit, MAX_LISTED))

    @session
    def rpc_cancel(self, caller: Caller, *, task_id: TaskId) -> Awaitable[TaskChanged]:
        """Cancel a task that the caller has created; others by the permission `task.manage` on its creator.

        The agent that has it hears of it by `agent.cancelled`. A task that is over stays as it is: see `status`.

        - `task_id`: the task
        - `not_found`: the caller has created no such task
        - `unavailable`: it could not be stored: the task goes on
        """
        sender = caller.sender
        return self._tasks.cancel(sender.entity_id, sender.permissions, task_id)

    @session
    def rpc_answer(self, caller: Caller, *, task_id: TaskId, question: Id, message: Raw) -> Awaitable[TaskChanged]:
        """Answer what the agent that has a task asks. The first answer counts.

        Those may who are asked, and who has created the task; others by the permission `task.manage` on its creator.

        - `task_id`: the task
        - `question`: which question, as the event of it says
        - `message`: the answer
        - `not_found`: the caller is not asked by any such task
        - `conflict`: that question does not wait for an answer: somebody has given one, or it is another one by now, or
          all is over; `data.status` says where the task stands
        - `too_large`: the message is longer than anything that is relayed
        - `unavailable`: the answer could not be stored
        """
        sender = caller.sender
        return self._tasks.answer(sender.entity_id, sender.permissions, task_id, question, bytes(message))

    @session
    def rpc_subscribe(self, caller: Caller, *, task_id: TaskId, since: Since | None = None) -> Awaitable[TaskShown]:
        """Subscribe to a task: the answer is the task as it stands, and what becomes of it comes as `task.event`.

        With `since` the missed events come first. The subscription lasts as long as the connection: after that,
        subscribe again with the position of the last event. More: docs/protocol.md#events-of-a-task.

        - `task_id`: the task
        - `since`: a position; what came after it is replayed
        - `not_found`: as of `task.get`
        - `too_large`: the session has too many subscriptions
        - `unavailable`: the disk could not be read
        """
        assert caller.session is not None
        return self._tasks.subscribe(caller.session, task_id, None if since is None else since.position)

    @session
    def rpc_unsubscribe(self, caller: Caller, *, task_id: TaskId) -> TaskUnsubscribed:
        """Unsubscribe from a task. Without a subscription nothing changes.

        - `task_id`: the task
        """
        assert caller.session is not None
        self._tasks.streams.unsubscribe(caller.session, task_id)
        return TaskUnsubscribed(task_id=task_id)

    def statistics(self) -> Counts:
        """See L{IStatistics}."""
        ledger, attempts = self._tasks.ledger, self._tasks.attempts
        return Counts(
            current={
                "tasks_open": self._tasks.quotas.tasks,
                "tasks_waiting": sum(ledger.waiting.values()),
                "tasks_bytes": self._tasks.quotas.size,
                "task_subscriptions": len(self._tasks.streams),
            },
            total={
                "tasks_created": ledger.created,
                "tasks_completed": ledger.ended["completed"],
                "tasks_failed": sum(ledger.ended[code] for code in ("expired", "lost", "timed_out", "agent_failed")),
                "tasks_cancelled": ledger.ended["cancelled"],
                "tasks_rejected": ledger.ended["rejected"],
                "tasks_refused": attempts.refused,
            },
        )
