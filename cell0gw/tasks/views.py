"""Tasks as clients are shown them."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, Raw, UnsetType

from cell0gw.auth.sight import Sight
from cell0gw.protocol.notifications import AgentInvoke
from cell0gw.protocol.subjects import CAPABILITY
from cell0gw.protocol.timestamps import timestamp
from cell0gw.sessions.session import Sender
from cell0gw.tasks.sight import READ, named, sees
from cell0gw.tasks.store import FoundTask, TaskList
from cell0gw.tasks.task import Task


class TaskCreated(msgspec.Struct, frozen=True, kw_only=True):
    """The task is on disk.

    - `task_id`: names it
    - `status`: where it stands
    - `offset`: number of its newest event
    - `epoch`: the numbering of its events
    - `serving`: sessions that could have it now, were they idle; 0 is no error: it waits
    - `near`: present if nobody could: names like the one that was given that somebody bears
    - `replayed`: true if an earlier request had the same idempotency key; else absent
    """

    task_id: str
    status: str
    offset: int
    epoch: str
    serving: int
    near: list[str] | UnsetType = UNSET
    replayed: bool | UnsetType = UNSET


class TaskEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A task.

    - `task_id`: names it
    - `status`: `submitted`, `working`, `input_required`, `completed`, `failed`, `cancelled` or `rejected`
    - `code`: present if it has failed: `expired`, `lost`, `timed_out` or `agent_failed`
    - `from`: who created it
    - `from_type`: the type of that entity
    - `agent_id`: the agent that is to do it; null: any that serves `capability`
    - `capability`: see `agent_id`
    - `created_at`: when it was
    - `expires_at`: until when it may wait for an agent
    - `attempt`: how often it was given to an agent
    - `worker`: who had it last; absent: nobody had it, or the reader does not see that entity
    - `ended_at`: when it was over; absent: it is not
    - `offset`: number of its newest event
    - `oldest`: number of the oldest event that is kept
    - `epoch`: the numbering of its events
    - `conversation_id`: the conversation that it belongs to
    """

    task_id: str
    status: str
    code: str | UnsetType = UNSET
    sender: str = msgspec.field(name="from")
    sender_type: str = msgspec.field(name="from_type")
    agent_id: str | None
    capability: str | None
    created_at: str
    expires_at: str
    attempt: int
    worker: str | UnsetType = UNSET
    ended_at: str | UnsetType = UNSET
    offset: int
    oldest: int
    epoch: str
    conversation_id: str


class TaskShown(TaskEntry, frozen=True, kw_only=True):
    """A task with what it says.

    - `message`: as it was created; absent if it has no room in an answer beside the result or the question
    - `result`: the data of the event of type `result`: `result`, and `late` if it came when all was over
    - `question`: the data of the event that waits for an answer: `question`, `message`, and `from` and `to` if the
      reader sees them
    - `recovered`: present if the request has `since`. True: all missed events follow. False: events may be missing, and
      nothing of the past follows
    """

    message: Raw | UnsetType = UNSET
    result: Raw | UnsetType = UNSET
    question: Raw | UnsetType = UNSET
    recovered: bool | UnsetType = UNSET


class TaskPage(msgspec.Struct, frozen=True, kw_only=True):
    """Tasks, newest first.

    - `tasks`: the tasks
    - `next`: where the next page begins, for `after`; absent if there is none
    """

    tasks: list[TaskEntry]
    next: str | UnsetType = UNSET


class TasksReceived(msgspec.Struct, frozen=True, kw_only=True):
    """Tasks that are the caller's now.

    - `tasks`: the tasks, as an `agent.invoke` has them; none if none came in time
    """

    tasks: list[AgentInvoke]


class TaskChanged(msgspec.Struct, frozen=True, kw_only=True):
    """Where a task stands after a step.

    - `task_id`: the task
    - `status`: its status
    - `offset`: number of its newest event
    - `epoch`: the numbering of its events
    - `late`: true if the result came when all was over: it is kept, and the status stays; else absent
    - `question`: of `agent.ask`: names the question, for `task.answer`; else absent
    """

    task_id: str
    status: str
    offset: int
    epoch: str
    late: bool | UnsetType = UNSET
    question: str | UnsetType = UNSET


class TaskUnsubscribed(msgspec.Struct, frozen=True, kw_only=True):
    """The subscription has ended.

    - `success`: true
    - `task_id`: the task
    """

    success: bool = True
    task_id: str


def changed(task: Task) -> TaskChanged:
    """Where a task stands."""
    return TaskChanged(
        task_id=task.task_id,
        status=task.status,
        offset=task.newest,
        epoch=task.epoch,
        late=True if task.late else UNSET,
    )


def entry(task: Task, sight: Sight) -> TaskEntry:
    """A task in a list.

    @param sight: that of the reader.
    """
    return TaskEntry(**_facts(task, sight))


def page_of(found: TaskList, sender: Sender, room: int) -> TaskPage:
    """Those of some tasks that are for somebody to see, as many as fit.

    @param room: maximum bytes of them all.
    """
    entity_id, permissions, sight = sender.entity_id, sender.permissions, sender.sight
    tasks: list[TaskEntry] = []
    last = ""
    for task in found.tasks:
        if sees(task, entity_id, permissions, READ):
            each = entry(task, sight)
            room -= len(msgspec.json.encode(each)) + 1
            if tasks and room < 0:
                return TaskPage(tasks=tasks, next=last)
            tasks.append(each)
        last = task.task_id
    return TaskPage(tasks=tasks, next=UNSET if found.following is None else found.following)


def shown(found: FoundTask, entity_id: str, sight: Sight, room: int, recovered: bool | UnsetType = UNSET) -> TaskShown:
    """A task with what it says.

    @param entity_id: the reader; C{sight}: its own.
    @param room: maximum bytes of all that it says.
    """
    asked = found.question
    for event in (found.result, asked):
        room -= 0 if event is None else len(event.data)
    return TaskShown(
        **_facts(found.task, sight),
        message=Raw(found.message) if len(found.message) <= room else UNSET,
        result=UNSET if found.result is None else Raw(found.result.data),
        question=UNSET if asked is None else Raw(named(asked, found.task.creator, entity_id, sight)),
        recovered=recovered,
    )


def _facts(task: Task, sight: Sight) -> dict[str, Any]:
    served = task.target.removeprefix(CAPABILITY) if task.target.startswith(CAPABILITY) else None
    return {
        "task_id": task.task_id,
        "status": task.status,
        "code": UNSET if task.code is None else task.code,
        "sender": task.creator,
        "sender_type": task.creator_type,
        "agent_id": task.target if served is None else None,
        "capability": served,
        "created_at": timestamp(task.created),
        "expires_at": timestamp(task.expires_at),
        "attempt": task.attempt,
        "worker": UNSET if task.worker is None or not sight.sees(task.worker) else task.worker,
        "ended_at": UNSET if task.settled is None else timestamp(task.settled),
        "offset": task.newest,
        "oldest": task.oldest,
        "epoch": task.epoch,
        "conversation_id": f"conv_{task.root}",
    }
