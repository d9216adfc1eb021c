"""Tasks, put together: who creates them, who does them, who watches."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec import UNSET
from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from cell0gw.agents.agents import Agents
from cell0gw.agents.calls.workers import SERVE
from cell0gw.agents.mail.status import BEGUN, Acknowledged, Acknowledgement
from cell0gw.agents.message_ids import MESSAGE
from cell0gw.auth.permissions import Permissions
from cell0gw.channels.replay import Replay
from cell0gw.channels.store import Position
from cell0gw.presence.directory import Directory
from cell0gw.process.runtime import Runtime
from cell0gw.protocol.errors import InvalidParams
from cell0gw.protocol.keys import Key
from cell0gw.protocol.limits import Limits
from cell0gw.protocol.subjects import CAPABILITY
from cell0gw.sessions.session import Sender, Session
from cell0gw.tasks.attempt import Candidates, as_call, attempt_of, error_of
from cell0gw.tasks.attempts import Attempts
from cell0gw.tasks.ledger import Ledger
from cell0gw.tasks.moves import Answer, Ask, Cancel, Finish, Move, Report
from cell0gw.tasks.pulls import Pulls
from cell0gw.tasks.questions import Questions, check_askable
from cell0gw.tasks.quotas import TaskQuotas
from cell0gw.tasks.requests import Prospects, TaskRequest, check_known, new_task
from cell0gw.tasks.sight import CREATE, MANAGE, READ, check_asked, check_creator, seen, sees
from cell0gw.tasks.steps import unknown_task
from cell0gw.tasks.store import FoundTask, ITaskStore, Moved, TaskFilter
from cell0gw.tasks.streams import Streams
from cell0gw.tasks.task import NewEvent
from cell0gw.tasks.views import (
    TaskChanged,
    TaskCreated,
    TaskPage,
    TaskShown,
    TasksReceived,
    changed,
    page_of,
    shown,
)


class Tasks:
    """The parts, by name.

    @param replay: see L{Streams}.
    @ivar parts: what is notified of sessions, sweeps and drains, in this order.
    @ivar permissions: those that are no method's, and whether each may be narrowed by a pattern.
    """

    def __init__(
        self,
        store: ITaskStore,
        agents: Agents,
        directory: Directory,
        replay: Callable[[Session], Replay],
        limits: Limits,
        runtime: Runtime,
    ) -> None:
        self._store = store
        self._limits = limits
        self._new_id = runtime.new_id
        self._targets = agents.targets
        self._mail = agents.mail
        self._conversations = agents.conversations
        self.quotas = TaskQuotas()
        self.ledger = Ledger(store, runtime.dates, self.quotas)
        self.streams = Streams(store, replay, limits)
        self.ledger.observers.append(self.streams)  # who watches hears of a step before what it leads to
        self._candidates = candidates = Candidates(agents.workers, agents.targets, self.ledger, limits)
        self.attempts = Attempts(self.ledger, store, agents.workers, candidates, limits)
        self.pulls = Pulls(self.ledger, store, candidates, runtime.clock, limits)
        questions = Questions(self.ledger, store, directory, runtime.clock)
        self.prospects = Prospects(
            agents.explain, candidates, agents.conversations, self.quotas, store, limits, runtime.dates
        )
        agents.lineages.append(self.attempts.lineage)
        self.parts = (self.streams, questions, self.pulls, self.attempts, self.ledger)
        self.permissions = {READ: True, MANAGE: True}

    def load(self) -> None:
        """Load what the store kept."""
        self.ledger.load()

    def create(self, sender: Sender, request: TaskRequest, key: Key | None) -> Deferred[TaskCreated]:
        """Keep a task.

        @return: fires once it is on disk.
        @raise TooLarge: the message is longer than anything that is relayed.
        @raise NotFound: it replies to nothing that the sender was sent; or it is for somebody whom the sender must not
            know, be there such an agent or not.
        @raise InvalidParams: nobody who serves this takes the message, as they say.
        @raise LoopDetected: the conversation goes in circles.
        @raise RateLimited: too many tasks are open, or too much is kept.
        @raise Conflict: by the Deferred: the key stands for something else.
        """
        self._limits.check_content(len(request.message))
        check_known(sender, request.target)
        try:
            self._candidates.check(sender, request.target, request.message)
        except InvalidParams:
            if key is None:
                raise
            refusal = Failure()
            # A task that was created before stays, be it what those take who serve it by now or not.
            found = self._store.known(sender.entity_id, key)
            return found.addCallback(lambda known: refusal if known is None else self._created(known, sender))
        target, nonce, now = request.target, self._new_id(MESSAGE), self.ledger.now()
        lineage = self._conversations.place(nonce, sender.entity_id, target, request.in_reply_to)
        ids = self._new_id("task"), self._new_id("epoch")
        task = new_task(ids, sender, request, lineage, now)
        return self.ledger.create(task, request.message, key).addCallback(self._created, sender)

    def get(self, entity_id: str, permissions: Permissions, task_id: str) -> Deferred[TaskShown]:
        """Show a task.

        @raise NotFound: by the Deferred: there is none, or it is not for this entity to see.
        """
        found = self._visible(entity_id, permissions, task_id, READ)
        return found.addCallback(shown, entity_id, permissions.sight.of(entity_id), self._limits.max_content_size)

    def found(self, sender: Sender, filter: TaskFilter, limit: int) -> Deferred[TaskPage]:
        """Show some tasks, newest first, those of them that are for the sender to see."""
        return self._store.find(filter, limit).addCallback(page_of, sender, self._limits.max_content_size)

    def subscribe(self, session: Session, task_id: str, since: Position | None) -> Deferred[TaskShown]:
        """Let a session have the events of a task.

        @return: fires with the task as it stands; after it come the events.
        @raise NotFound: by the Deferred: there is none, or it is not for this entity to see.
        """
        found = self._visible(session.entity_id, session.principal.permissions, task_id, READ)
        return found.addCallback(self._subscribe, session, since)

    def cancel(self, entity_id: str, permissions: Permissions, task_id: str) -> Deferred[TaskChanged]:
        """Cancel a task; one that is over stays as it is.

        @raise NotFound: by the Deferred: there is none, or it is not this entity's.
        """
        return (
            self._visible(entity_id, permissions, task_id, MANAGE)
            .addCallback(check_creator, entity_id, permissions)
            .addCallback(lambda found: self._move(task_id, Cancel(now=self.ledger.now())))
        )

    def answer(
        self, entity_id: str, permissions: Permissions, task_id: str, question: str, message: bytes
    ) -> Deferred[TaskChanged]:
        """Answer what the agent that has a task asks.

        @raise NotFound: by the Deferred: there is none, or this entity is not asked.
        @raise Conflict: by the Deferred: that is not what is asked now.
        """
        self._limits.check_content(len(message))
        return (
            self._visible(entity_id, permissions, task_id, MANAGE)
            .addCallback(check_asked, entity_id, permissions)
            .addCallback(lambda found: self._answer(task_id, entity_id, question, message))
        )

    def receive(
        self, session: Session, capabilities: list[str], most: int, wait: float, lease: float
    ) -> Deferred[TasksReceived]:
        """Give a session tasks, those for its entity and for capabilities that it may serve, see L{Pulls.receive}."""
        allowed = session.principal.permissions
        targets = [
            session.entity_id,
            *(f"{CAPABILITY}{each}" for each in capabilities if allowed.allow_on(SERVE, each)),
        ]
        given = self.pulls.receive(session, list(dict.fromkeys(targets)), most, wait, lease)
        return given.addCallback(lambda tasks: TasksReceived(tasks=tasks))

    def complete(
        self, entity_id: str, task_id: str, attempt: int, result: bytes | None, error: bytes | None
    ) -> Deferred[TaskChanged]:
        """End an attempt, on whatever connection it was given out.

        @raise NotFound: by the Deferred: this entity was not given that.
        @raise Fenced: by the Deferred: a later attempt has taken its place.
        """
        self._limits.check_content(len(result or error or b""))
        said = None if error is None else error_of(error, self._limits)
        finish = Finish(now=self.ledger.now(), worker=entity_id, attempt=attempt, result=result, error=said)
        return self._move(task_id, finish)

    def report(self, entity_id: str, call_id: str, data: bytes | None, ephemeral: bool = False) -> Deferred[Moved]:
        """Called when an agent says that it is at work, and shows what of.

        @param data: JSON; None: nothing.
        @param ephemeral: whether it is shown to those who are there now, and not kept.
        @raise NotFound: by the Deferred: this entity was not given that.
        @raise Conflict: by the Deferred: it has lost the task, or a later attempt has taken its place.
        """
        self._limits.check_content(len(data or b""))
        now, (task_id, attempt) = self.ledger.now(), _named(call_id)
        report = Report(now=now, worker=entity_id, attempt=attempt, data=None if ephemeral else data)
        self.attempts.began(call_id, entity_id)
        moved = self.ledger.move(task_id, report)
        if data is None or not ephemeral:
            return moved
        event = NewEvent(type="progress", attempt=attempt, data=data, time=now)
        return moved.addCallback(self._show, event)

    def acknowledge(self, entity_id: str, call_id: str, status: Acknowledgement) -> Deferred[Acknowledged]:
        """Called when an agent says that it has begun; C{received} changes nothing.

        @raise InvalidParams: it says something else.
        @raise NotFound: by the Deferred: this entity was not given that.
        @raise Conflict: by the Deferred: it has lost the task, or a later attempt has taken its place.
        """
        acknowledged = Acknowledged(message_id=call_id, status="started" if status in BEGUN else status)
        if status == "received":
            return succeed(acknowledged)
        if status not in BEGUN:
            raise InvalidParams("Invalid params: a task ends with its answer")
        return self.report(entity_id, call_id, None).addCallback(lambda moved: acknowledged)

    def ask(self, sender: Sender, call_id: str, message: bytes, to: str | None) -> Deferred[TaskChanged]:
        """Called when an agent asks something.

        @param to: whom, an entity or a pattern of them; None: who has created the task.
        @raise InvalidParams: nobody is asked like that.
        @raise PermissionDenied: they are not for this entity to write to.
        @raise NotFound: there is nobody like that; or, by the Deferred, this entity was not given the task.
        @raise Conflict: by the Deferred: it has lost the task, or asks something already.
        """
        self._limits.check_content(len(message))
        if to is not None:
            check_askable(sender, to, self._mail)
        task_id, attempt = _named(call_id)
        self.attempts.began(call_id, sender.entity_id)
        ask = Ask(now=self.ledger.now(), worker=sender.entity_id, attempt=attempt, message=message, to=to)
        return self._move(task_id, ask)

    def _created(self, moved: Moved, sender: Sender) -> TaskCreated:
        task = moved.task
        request, pool = as_call(task.target, b"null"), self._candidates.pool(task.target)
        shown = pool is not None and self._targets.open_to(sender, request, pool, method=CREATE)
        serving = 0 if pool is None or not shown else len(pool)
        return TaskCreated(
            task_id=task.task_id,
            status=task.status,
            offset=task.newest,
            epoch=task.epoch,
            serving=serving,
            near=UNSET if serving else self._targets.near(sender, request, CREATE),
            replayed=True if moved.replayed else UNSET,
        )

    def _visible(self, entity_id: str, permissions: Permissions, task_id: str, more: str) -> Deferred[FoundTask]:
        return self._store.get(task_id).addCallback(seen, entity_id, permissions, more)

    def _answer(self, task_id: str, entity_id: str, question: str, message: bytes) -> Deferred[TaskChanged]:
        return self._move(task_id, Answer(now=self.ledger.now(), by=entity_id, question=question, message=message))

    def _move(self, task_id: str, move: Move) -> Deferred[TaskChanged]:
        return self.ledger.move(task_id, move).addCallback(_changed)

    def _subscribe(self, found: FoundTask, session: Session, since: Position | None) -> TaskShown:
        task, entity_id, room = found.task, session.entity_id, self._limits.max_content_size
        if session.detached or session.connection.closing_since is not None:
            return shown(found, entity_id, session.sight, room)
        # It may have another token since it asked.
        seen(found, entity_id, session.principal.permissions, READ)
        whole = self.streams.subscribe(session, task, since, lambda held: sees(task, entity_id, held, READ))
        return shown(found, entity_id, session.sight, room, UNSET if since is None else whole)

    def _show(self, moved: Moved, event: NewEvent) -> Moved:
        self.streams.show(moved.task, event)
        return moved


def _named(call_id: str) -> tuple[str, int]:
    named = attempt_of(call_id)
    if named is None:
        raise unknown_task()
    return named


def _changed(moved: Moved) -> TaskChanged:
    after = changed(moved.task)
    if moved.task.question is None:
        return after
    return msgspec.structs.replace(after, question=moved.task.question)
