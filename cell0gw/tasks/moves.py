"""What may become of a task: every step is a value that a store applies to the task as it finds it.

A step gives the task as it is then, and the events that say so; or it raises what its asker is told. It reads no clock.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from cell0gw.protocol.errors import Conflict
from cell0gw.tasks.steps import (
    Step,
    back_off,
    begin,
    check_attempt,
    end,
    json,
    lost_before,
    question_id,
    renewed,
    status_event,
    waiting_again,
)
from cell0gw.tasks.task import (
    CANCELLED,
    COMPLETED,
    FAILED,
    GRACE,
    INPUT_REQUIRED,
    REJECTED,
    WORKING,
    NewEvent,
    Task,
)


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """A step; C{now} is its date, in seconds since the epoch."""

    now: float

    def step(self, task: Task) -> Step:
        """Take it.

        @raise RPCError: it can't be taken: the task stays as it is.
        """
        raise NotImplementedError


class Assign(Move, frozen=True, kw_only=True):
    """Give a task to an agent.

    @ivar attempt: the number that this attempt is to have.
    @ivar lease: see L{Task}; C{connected}: whether the attempt hangs on a connection.
    @ivar begins: whether the agent has begun with getting it: it does not say when it does.
    @raise Conflict: it does not wait any more, or not yet.
    """

    worker: str
    attempt: int
    lease: float | None
    connected: bool
    begins: bool

    def step(self, task: Task) -> Step:
        """See L{Move}."""
        if not task.waits or self.attempt != task.attempt + 1 or task.due > self.now or task.expires_at <= self.now:
            raise Conflict("The task does not wait for an agent")
        given = replace(
            task,
            attempt=self.attempt,
            worker=self.worker,
            held=True,
            begun=False,
            connected=self.connected,
            lease=self.lease,
            until=renewed(self.lease, self.connected, self.now),
            deadline=None if task.timeout is None else self.now + task.timeout,
        )
        return begin(given, self.now) if self.begins else (given, [])


class Held(Move, frozen=True, kw_only=True):
    """A step of the agent that has a task.

    @ivar worker: who says so, and of which C{attempt}.
    @raise NotFound: this one was never given that.
    @raise Fenced: a later attempt has taken its place.
    @raise Conflict: it has lost the task, or all is over.
    """

    worker: str
    attempt: int

    def step(self, task: Task) -> Step:
        """See L{Move}."""
        check_attempt(task, self.worker, self.attempt)
        if not task.held:
            raise Conflict("The task is no longer yours", status=task.status)
        begun, events = begin(task, self.now)
        if task.status != INPUT_REQUIRED:
            begun = replace(begun, until=renewed(task.lease, task.connected, self.now))
        return begun, events


class Report(Held, frozen=True, kw_only=True):
    """The agent shows what it has done so far; C{data}: JSON, None: it is not kept.

    @raise Conflict: a question of its waits for an answer.
    """

    data: bytes | None

    def step(self, task: Task) -> Step:
        """See L{Move}."""
        after, events = super().step(task)
        if task.status == INPUT_REQUIRED:
            raise Conflict("Your question waits for its answer", question=task.question)
        if self.data is not None:
            events.append(NewEvent(type="progress", attempt=self.attempt, data=self.data, time=self.now))
        return after, events


class Ask(Held, frozen=True, kw_only=True):
    """The agent asks something; C{message}: JSON; C{to}: whom, None: who created it. It is silent until it has
    the answer.
    """

    message: bytes
    to: str | None

    def step(self, task: Task) -> Step:
        """See L{Move}."""
        after, events = super().step(task)
        if task.status == INPUT_REQUIRED:
            raise Conflict("A question waits for its answer already", question=task.question)
        question, to = question_id(task, self.message), self.to or task.creator
        said = {"question": question, "to": to, "from": self.worker, "message": msgspec.Raw(self.message)}
        events.append(NewEvent(type="message", attempt=self.attempt, data=json(said), time=self.now))
        asked_at = after.newest + len(events)
        after = replace(after, status=INPUT_REQUIRED, question=question, asked=to, asked_at=asked_at, until=None)
        return after, [*events, status_event(after, self.now)]


class Finish(Move, frozen=True, kw_only=True):
    """The agent ends its attempt.

    What comes when all is over is a second event beside the one that said so; what comes twice changes nothing.

    @ivar result: JSON; None: it has failed, as C{error} says, JSON as well.
    @raise NotFound: this one was never given that.
    @raise Fenced: a later attempt has taken its place.
    @raise Conflict: it has lost the task: its error ends nothing, but a result would.
    """

    worker: str
    attempt: int
    result: bytes | None = None
    error: bytes | None = None

    def step(self, task: Task) -> Step:
        """See L{Move}."""
        check_attempt(task, self.worker, self.attempt)
        over = task.settled is not None
        if over and (self.result is None or task.result):
            return task, []
        if self.result is None:
            if not task.held:
                raise Conflict("The task is no longer yours", status=task.status)
            begun, events = begin(task, self.now)
            ended, more = end(begun, FAILED, self.now, "agent_failed", self.error)
            return ended, [*events, *more]
        begun, events = (task, []) if over else begin(task, self.now)
        said = {"late": True, "result": msgspec.Raw(self.result)} if over else {"result": msgspec.Raw(self.result)}
        events.append(NewEvent(type="result", attempt=self.attempt, data=json(said), time=self.now))
        after = replace(begun, result=begun.newest + len(events), late=over)
        if over:
            return after, events
        ended, more = end(after, COMPLETED, self.now)
        return ended, [*events, *more]


class Release(Move, frozen=True, kw_only=True):
    """An attempt has not begun, and won't: the task waits again, and the attempt does not count.

    @ivar delay: seconds until it may be given to the next.
    @ivar rejects: whether the agent will never do it: then nobody else is asked.
    @ivar unsent: whether the agent never got it, whatever was thought of when it begins.
    """

    attempt: int
    delay: float = 0.0
    rejects: bool = False
    unsent: bool = False

    def step(self, task: Task) -> Step:
        """See L{Move}."""
        if not task.held or task.attempt != self.attempt or (task.begun and not self.unsent):
            return task, []
        if task.begun:
            again = waiting_again(replace(task, tries=task.tries - 1), self.now, self.delay, task.losses + 1)
            return again, [status_event(again, self.now)]
        if self.rejects:
            return end(task, REJECTED, self.now)
        return waiting_again(task, self.now, self.delay, task.losses + 1), []


class Refuse(Move, frozen=True, kw_only=True):
    """A task that waits is given to nobody: none of those who could do it takes what it says. C{error}: why, JSON."""

    error: bytes

    def step(self, task: Task) -> Step:
        """See L{Move}."""
        return end(task, REJECTED, self.now, error=self.error) if task.waits else (task, [])


class Disconnect(Move, frozen=True, kw_only=True):
    """The connection that an attempt hangs on is gone. Who had begun has L{GRACE} seconds to come back.

    @ivar begun: whether that is known to be so, whatever was said.
    """

    attempt: int
    begun: bool = False

    def step(self, task: Task) -> Step:
        """See L{Move}."""
        if not task.held or task.attempt != self.attempt:
            return task, []
        task, events = begin(task, self.now) if self.begun else (task, [])
        if not task.begun:
            return lost_before(task, self.now), []
        until = None if task.status == INPUT_REQUIRED else self.now + GRACE
        return replace(task, connected=False, until=until), events


class Lapse(Move, frozen=True, kw_only=True):
    """Time has passed: do what is due by now."""

    def step(self, task: Task) -> Step:
        """See L{Move}."""
        wake, now = task.wake, self.now
        if wake is None or wake > now:
            return task, []
        if not task.held:
            return end(task, FAILED, now, "expired")
        if not task.begun:
            return lost_before(task, now), []
        if task.status == INPUT_REQUIRED and task.expires_at <= now:
            return end(task, FAILED, now, "expired")
        late = task.deadline is not None and task.deadline <= now
        code = "timed_out" if late or task.connected else "lost"
        if task.tries >= task.max_attempts or task.expires_at <= now:
            return end(task, FAILED, now, code)
        again = waiting_again(task, now, back_off(task.tries), 0)
        return again, [status_event(again, now, code=code)]


class Cancel(Move, frozen=True, kw_only=True):
    """Give the task up for its creator; when all is over nothing changes."""

    def step(self, task: Task) -> Step:
        """See L{Move}."""
        return (task, []) if task.settled is not None else end(task, CANCELLED, self.now)


class Answer(Move, frozen=True, kw_only=True):
    """Answer what an agent asks.

    @ivar by: who does; C{question}: what is answered; C{message}: JSON.
    @raise Conflict: that is not what is asked now: somebody has answered it, or all is over.
    """

    by: str
    question: str
    message: bytes

    def step(self, task: Task) -> Step:
        """See L{Move}."""
        if task.status != INPUT_REQUIRED or task.question != self.question:
            raise Conflict("That question does not wait for an answer", status=task.status)
        said = {"answers": self.question, "from": self.by, "message": msgspec.Raw(self.message)}
        event = NewEvent(type="message", attempt=task.attempt, data=json(said), time=self.now)
        until = renewed(task.lease, task.connected, self.now)
        after = replace(task, status=WORKING, question=None, asked=None, asked_at=0, until=until)
        return after, [event, status_event(after, self.now)]
