"""One attempt at a task: what names it, what its agent is told, and what that says in the end."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Raw
from twisted.internet.defer import Deferred, succeed

from cell0gw.agents.calls.call import REFUSALS, CallRequest, read_error
from cell0gw.agents.calls.pools import Pool, Worker
from cell0gw.agents.calls.refusals import reads
from cell0gw.agents.calls.targets import Targets
from cell0gw.agents.calls.workers import Workers
from cell0gw.agents.message_ids import Lineage
from cell0gw.protocol.errors import InvalidParams, TooLarge
from cell0gw.protocol.jsonrpc import Response
from cell0gw.protocol.limits import Limits
from cell0gw.protocol.notifications import AgentInvoke
from cell0gw.protocol.subjects import CAPABILITY
from cell0gw.protocol.timestamps import timestamp
from cell0gw.sessions.session import Sender, Session
from cell0gw.tasks.ledger import Ledger
from cell0gw.tasks.moves import Assign, Finish, Move, Refuse, Release
from cell0gw.tasks.sight import CREATE
from cell0gw.tasks.steps import back_off
from cell0gw.tasks.task import CANCELLED, Task

MAX_HELD: Final = 1000
"""Maximum calls and tasks of a session beyond which it gets no more tasks, whatever it says that it takes."""

MAX_ATTEMPT: Final = 2**31
"""Maximum number of an attempt, and C{MAX_DIGITS}: of its digits where it names a call."""

MAX_DIGITS: Final = len(str(MAX_ATTEMPT))

NOT_I: Final = -32601
"""The code by which an agent says that it never does such a thing."""


class Attempt:
    """A task that an agent on a connection has.

    @ivar sent: whether the agent was told; C{begun}: whether it has said so, or need not.
    @ivar ending: the step by which it ends, until that is on disk; C{writing}: whether it is on its way there.
    @ivar owner: whose answer waits for that; C{size}: its bytes.
    """

    __slots__ = ("begun", "call_id", "ending", "owner", "sent", "size", "task", "worker", "writing")

    def __init__(self, task: Task, call_id: str, worker: Worker) -> None:
        self.task = task
        self.call_id = call_id
        self.worker: Worker | None = worker
        self.sent = self.writing = False
        self.begun = not worker.session.acknowledges
        self.ending: Move | None = None
        self.owner, self.size = "", 0

    def assign(self, worker: Worker, now: float) -> Assign:
        """The step by which the agent gets it."""
        return Assign(
            now=now,
            worker=worker.session.entity_id,
            attempt=self.task.attempt + 1,
            lease=self.task.idle,
            connected=True,
            begins=self.begun,
        )


def call_id_of(task_id: str, attempt: int) -> str:
    """What names an attempt where calls are named."""
    return f"{task_id}.{attempt}"


def attempt_of(call_id: str) -> tuple[str, int] | None:
    """The task and the number of an attempt that is named as a call; None: that is the name of a call."""
    task_id, dot, number = call_id.rpartition(".")
    if not (
        dot and task_id.startswith("task_") and number.isascii() and number.isdigit() and len(number) <= MAX_DIGITS
    ):
        return None
    return task_id, int(number)


def invocation(task: Task, message: bytes) -> AgentInvoke:
    """The request that an agent gets; or what it is told of a task that it has asked for."""
    capability = task.target.removeprefix(CAPABILITY)
    lineage = Lineage(task.root, task.hops, task.in_reply_to)
    return AgentInvoke(
        call_id=call_id_of(task.task_id, task.attempt),
        sender=task.creator,
        sender_type=task.creator_type,
        message=Raw(message),
        capability=capability if capability != task.target else None,
        timestamp=timestamp(task.created),
        deadline=None if task.deadline is None else timestamp(task.deadline),
        conversation_id=lineage.conversation_id,
        in_reply_to=lineage.in_reply_to,
        hops=lineage.hops,
        task_id=task.task_id,
        attempt=task.attempt,
    )


def ending_of(attempt: Attempt, worker: str, response: Response, now: float, limits: Limits) -> Move:
    """What an agent's response makes of its attempt.

    @param worker: the agent; C{limits}: maximum bytes of what is relayed.
    """
    task = attempt.task
    if len(response.result) > limits.max_content_size:
        most = limits.max_content_size
        said = {"code": TooLarge.number, "message": f"The result is longer than {most} bytes", "data": None}
        return Finish(now=now, worker=worker, attempt=task.attempt, error=msgspec.json.encode(said))
    if not response.error:
        return Finish(now=now, worker=worker, attempt=task.attempt, result=bytes(response.result))
    failure = read_error(response.error)
    if failure.code in REFUSALS and not attempt.begun:
        rejects = failure.code == NOT_I and not task.target.startswith(CAPABILITY)
        return Release(now=now, attempt=task.attempt, delay=back_off(task.losses + 1), rejects=rejects)
    return Finish(now=now, worker=worker, attempt=task.attempt, error=error_of(response.error, limits))


def error_of(error: bytes, limits: Limits) -> bytes:
    """An agent's error object, as far as it is one, as events have it.

    @param error: JSON of any kind.
    """
    failure = read_error(error)
    data = failure.data if len(failure.data) <= limits.max_content_size else None
    return msgspec.json.encode({"code": failure.code, "message": failure.message, "data": data})


def why_ended(before: Task, task: Task) -> str:
    """Why an attempt was ended that its agent would have gone on with, see L{AgentCancelled}."""
    if task.status == CANCELLED:
        return "cancelled"
    return "idle" if before.until is not None and before.until == before.wake else "timeout"


def why_not(worker: Worker, size: int, limits: Limits) -> str | None:
    """Why a worker that takes more gets no task with a message of a size, for people; None: it may."""
    size += limits.max_message_size - limits.max_content_size  # of the request, at most
    most = worker.session.max_message_size
    if worker.session.silent:
        return "it shows no sign of life: it gets no task until it does"
    if worker.load >= MAX_HELD:
        return f"it has {MAX_HELD} calls and tasks, and gets no more"
    if most is not None and size > most:
        return f"the task is longer than the {most} bytes that it takes"
    return None if reads(worker) else "slow to read"


class Candidates:
    """Who can do tasks, and whether they take what one says."""

    def __init__(self, workers: Workers, targets: Targets, ledger: Ledger, limits: Limits) -> None:
        self._workers = workers
        self._targets = targets
        self._ledger = ledger
        self._limits = limits

    def pool(self, target: str) -> Pool | None:
        """The sessions that can take tasks of somebody, now or when they come back."""
        if target.startswith(CAPABILITY):
            return self._workers.of_capability(target.removeprefix(CAPABILITY))
        return self._workers.of_agent(target)

    def check(self, sender: Sender, target: str, message: bytes) -> None:
        """See that one of them takes a message, as far as its sender may know of them, see L{Inputs.check
        <cell0gw.agents.calls.inputs.Inputs.check>}.

        @raise InvalidParams: none does.
        """
        pool, request = self.pool(target), as_call(target, message)
        if pool is not None and self._targets.open_to(sender, request, pool, method=CREATE):
            self._targets.check_input(request, pool)

    def pick(self, pool: Pool, task: Task, message: bytes) -> Worker | None:
        """The worker that gets a task; None: nobody has room for it."""

        def fits(worker: Worker) -> bool:
            return why_not(worker, len(message), self._limits) is None

        return pool.pick(task.policy, task.sticky, fits, task.creator, silent=False)  # type: ignore[arg-type]

    def refuse(self, task: Task, message: bytes, session: Session | None = None) -> Deferred[Any] | None:
        """End a task that none of them takes. For a while after a restart it only waits: others may come back.

        @param session: the session that asks for it; if it does not declare that it serves this, others don't matter.
        @return: fires when that is done, or can't be; None: one of them takes it.
        """
        pool = self.pool(task.target)
        if pool is None:
            return None
        worker = None if session is None else self._workers.of_session(session)
        if session is not None and (worker is None or pool not in worker.pools):
            return None
        try:
            self._targets.check_input(as_call(task.target, message), pool)
        except InvalidParams as refusal:
            if self._targets.returning:
                return succeed(None)
            refuse = Refuse(now=self._ledger.now(), error=msgspec.json.encode(refusal.as_json()))
            return self._ledger.move(task.task_id, refuse).addErrback(lambda failure: None)  # then it waits on
        return None


def as_call(target: str, message: bytes) -> CallRequest:
    """A call of the same: what there is, and who may know of it, is for both the same."""
    served = target.removeprefix(CAPABILITY) if target.startswith(CAPABILITY) else None
    agent_id = target if served is None else None
    return CallRequest(agent_id=agent_id, capability=served, message=Raw(message), timeout=0.0)


def has_room(worker: Worker) -> bool:
    """Whether a worker that takes more may get a task."""
    return reads(worker) and worker.load < MAX_HELD
