"""A task: what is asked for, where it stands, and the events that say so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

SUBMITTED: Final = "submitted"
WORKING: Final = "working"
INPUT_REQUIRED: Final = "input_required"
COMPLETED: Final = "completed"
FAILED: Final = "failed"
CANCELLED: Final = "cancelled"
REJECTED: Final = "rejected"

GRACE: Final = 60.0
"""Seconds in which an agent may come back to a task that it has begun, after its connection or the gateway is gone."""

ROW: Final = 512
"""Bytes that a task counts for beside its message and its events; C{EVENT_ROW}: an event beside its data."""

EVENT_ROW: Final = 64

MAX_EVENTS: Final = 1000
"""Maximum events of a task that are kept; the oldest go first."""

MAX_EVENTS_SIZE: Final = 1024 * 1024
"""Maximum bytes of the events of a task that are kept, beside those of the last change, as of L{MAX_EVENTS}."""


SLACK: Final = 10
"""The part of these, one in this many, by which they are exceeded before the oldest are dropped: that costs a look."""


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """All that is known of a task but its message. Dates are seconds since the epoch, times are seconds.

    @ivar epoch: names the numbering of its events.
    @ivar target: who is to do it, as permissions name it.
    @ivar root: its conversation, with C{hops} and C{in_reply_to}, see L{cell0gw.agents.message_ids.Lineage}.
    @ivar sticky: the key of the policy of that name.
    @ivar timeout: maximum time of an attempt; C{idle}: maximum time without a sign of life. None: unlimited.
    @ivar max_attempts: maximum attempts that begin.
    @ivar keep: how long it is kept when it is over.
    @ivar expires_at: until when it may wait for an agent, or for an answer.
    @ivar due: from when on it may be given to an agent.
    @ivar number: its number among all tasks that were ever kept; 0: it is not kept yet.
    @ivar code: why it failed.
    @ivar attempt: how often it was given to an agent; C{tries}: how many of these attempts have begun; C{losses}: how
        many did not, since one has.
    @ivar worker: who had the last attempt; None: there was none. C{held}: whether that one has it still; C{begun}: and
        has begun.
    @ivar connected: whether the attempt hangs on a connection, which is there.
    @ivar lease: for how long a sign of life holds; None: for as long as the connection does.
    @ivar until: when the lease is over; C{deadline}: when the attempt is. None: never.
    @ivar question: a digest of what the agent asks; C{asked}: whom, an entity or a pattern of them. C{asked_at}: the
        offset of the event.
    @ivar result: the offset of the event that has the result; 0: there is none. C{late}: it came when all was over.
    @ivar oldest: the offset of the oldest event that is kept; C{newest}: that of the newest.
    @ivar size: bytes that it takes; C{events_size}: those of its events.
    @ivar settled: when it was over; None: it is not.
    """

    task_id: str
    epoch: str
    creator: str
    creator_type: str
    target: str
    root: str
    hops: int
    in_reply_to: str | None
    policy: str
    sticky: str | None
    timeout: float | None
    idle: float | None
    max_attempts: int
    keep: float
    created: float
    expires_at: float
    due: float
    number: int = 0
    status: str = SUBMITTED
    code: str | None = None
    attempt: int = 0
    tries: int = 0
    losses: int = 0
    worker: str | None = None
    held: bool = False
    begun: bool = False
    connected: bool = False
    lease: float | None = None
    until: float | None = None
    deadline: float | None = None
    question: str | None = None
    asked: str | None = None
    asked_at: int = 0
    result: int = 0
    late: bool = False
    oldest: int = 1
    newest: int = 0
    size: int = ROW
    events_size: int = 0
    settled: float | None = None

    @property
    def waits(self) -> bool:
        """Whether it waits for an agent."""
        return self.settled is None and not self.held

    @property
    def wake(self) -> float | None:
        """When something becomes of it by itself; None: never."""
        if self.settled is not None:
            return None
        if not self.held:
            return self.expires_at
        moments = [self.expires_at if self.status == INPUT_REQUIRED else self.until, self.deadline]
        return min((moment for moment in moments if moment is not None), default=None)

    @property
    def forgotten_at(self) -> float | None:
        """When it is forgotten; None: it is not over yet."""
        return None if self.settled is None else self.settled + self.keep


class NewEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event that is to be numbered.

    @ivar type: C{status}, C{progress}, C{message} or C{result}.
    @ivar data: JSON.
    """

    type: str
    attempt: int
    data: bytes
    time: float

    @property
    def size(self) -> int:
        """Bytes that it counts for."""
        return len(self.data) + EVENT_ROW


class StoredEvent(NewEvent, frozen=True, kw_only=True):
    """An event of a task; C{offset} is its number, from 1 on."""

    offset: int


def numbered(task: Task, events: list[NewEvent]) -> tuple[Task, list[StoredEvent]]:
    """Give events their numbers.

    @return: the task with them, and they.
    """
    size = sum(event.size for event in events)
    given = [
        StoredEvent(
            type=event.type, attempt=event.attempt, data=event.data, time=event.time, offset=task.newest + number
        )
        for number, event in enumerate(events, 1)
    ]
    after = msgspec.structs.replace(
        task, newest=task.newest + len(events), size=task.size + size, events_size=task.events_size + size
    )
    return after, given


def trimmed(task: Task, latest: list[StoredEvent], oldest: Callable[[], list[int]]) -> Task:
    """A task without its oldest events, if there are too many of them, or too long ones.

    @param latest: the events of the last change, which stay.
    @param oldest: gives the sizes of all events but the newest, in order.
    """
    own = sum(event.size for event in latest)
    count, size = task.newest - task.oldest + 1, task.events_size - own
    if count <= MAX_EVENTS + MAX_EVENTS // SLACK and size <= MAX_EVENTS_SIZE + MAX_EVENTS_SIZE // SLACK:
        return task
    dropped = gone = 0
    for each in oldest()[: count - len(latest)]:
        if count - dropped <= MAX_EVENTS and size - gone <= MAX_EVENTS_SIZE:
            break
        dropped += 1
        gone += each
    return msgspec.structs.replace(
        task, oldest=task.oldest + dropped, size=task.size - gone, events_size=task.events_size - gone
    )
