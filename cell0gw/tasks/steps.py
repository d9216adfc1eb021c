"""What the steps of a task have in common: how an attempt begins, how a task ends, and how it waits again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from cell0gw.protocol.errors import Fenced, NotFound, RateLimited
from cell0gw.tasks.task import GRACE, SUBMITTED, WORKING, NewEvent, Task

Step = tuple[Task, list[NewEvent]]
"""A task as it is after a step, and the events of it, which are not numbered yet."""

MAX_BACK_OFF: Final = 60.0
"""Maximum seconds between two attempts."""

MAX_DOUBLINGS: Final = 10
"""How often the time between two attempts doubles, at most."""

AT_ONCE: Final = 2
"""How many attempts may be lost before they begin until the next one has to wait."""

QUESTION_ID: Final = 32
"""Characters of what names a question."""

FULL_RETRY_MS: Final = 60_000
"""Milliseconds after which there may be room for what an agent says of a task."""

MAX_STATUS: Final = 1024
"""Maximum bytes of an event that says where a task stands, when there is no room for anything else."""

json: Final[Callable[[Any], bytes]] = msgspec.json.encode
"""JSON of the data of an event."""


def unknown_task() -> NotFound:
    """What is said of a task that there is not, and of one that is not for the caller to know."""
    return NotFound("You have no such task")


def check_attempt(task: Task, worker: str, attempt: int) -> None:
    """Whether an agent may still say something of an attempt.

    @raise NotFound: it was never given that.
    @raise Fenced: a later one has taken its place.
    """
    if attempt > task.attempt or attempt < 1 or (attempt == task.attempt and task.worker != worker):
        raise unknown_task()
    if attempt < task.attempt:
        raise Fenced(attempt=task.attempt)


def question_id(task: Task, message: bytes) -> str:
    """What an answer is bound to: the task, the attempt, where the question stands in it, and what it says."""
    text = f"{task.task_id} {task.attempt} {task.newest} ".encode() + message
    return hashlib.sha256(text).hexdigest()[:QUESTION_ID]


def check_room(task: Task, events: list[NewEvent], full: frozenset[str]) -> None:
    """Whether there is room for what somebody has to say of a task. For where it stands there always is.

    @param full: the creators whose tasks take all that they may.
    @raise RateLimited: there is not.
    """
    if task.creator in full and any(event.type != "status" or event.size > MAX_STATUS for event in events):
        held = f"The tasks of {task.creator} take as much as they may"
        raise RateLimited(held, limit="task_bytes", retry_after_ms=FULL_RETRY_MS)


def created(task: Task) -> list[NewEvent]:
    """The events of a task that is new."""
    return [status_event(task, task.created)]


def begin(task: Task, now: float) -> Step:
    """An agent has begun, if it had not."""
    if task.begun:
        return task, []
    begun = replace(task, begun=True, tries=task.tries + 1, losses=0, status=WORKING)
    return begun, [status_event(begun, now)]


def end(task: Task, status: str, now: float, code: str | None = None, error: bytes | None = None) -> Step:
    """A task that has come to an end, for a reason."""
    ended = replace(
        task,
        status=status,
        code=code,
        settled=now,
        held=False,
        connected=False,
        until=None,
        deadline=None,
        question=None,
        asked=None,
        asked_at=0,
    )
    return ended, [status_event(ended, now, code, error)]


def waiting_again(task: Task, now: float, delay: float, losses: int) -> Task:
    """A task that waits for an agent again.

    @param delay: seconds from now on in which nobody gets it; 0: it has the place again that it had.
    """
    return replace(
        task,
        status=SUBMITTED,
        due=now + delay if delay else task.due,
        losses=losses,
        held=False,
        begun=False,
        connected=False,
        lease=None,
        until=None,
        deadline=None,
        question=None,
        asked=None,
        asked_at=0,
    )


def lost_before(task: Task, now: float) -> Task:
    """A task whose attempt was lost before it began: it waits again, and after several such losses for a while."""
    return waiting_again(task, now, back_off(task.losses - AT_ONCE), task.losses + 1)


def renewed(lease: float | None, connected: bool, now: float) -> float | None:
    """Until when a sign of life holds."""
    if lease is not None:
        return now + lease
    return None if connected else now + GRACE


def back_off(times: int) -> float:
    """Seconds until the next attempt, after a number of them."""
    return 0.0 if times < 1 else min(MAX_BACK_OFF, 2.0 ** min(times - 1, MAX_DOUBLINGS))


def status_event(task: Task, now: float, code: str | None = None, error: bytes | None = None) -> NewEvent:
    """The event that says where a task stands."""
    said: dict[str, Any] = {"status": task.status}
    if code is not None:
        said["code"] = code
    if error is not None:
        said["error"] = msgspec.Raw(error)
    return NewEvent(type="status", attempt=task.attempt, data=json(said), time=now)
