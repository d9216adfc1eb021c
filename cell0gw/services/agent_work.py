"""What C{agent} has of work that was given to an agent, be it a call or a task: it shows progress, and asks."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Annotated

from msgspec import Meta, Raw
from twisted.python.failure import Failure

from cell0gw.agents.agents import Agents
from cell0gw.agents.calls.answers import Progressed
from cell0gw.protocol.errors import Conflict, Fenced, NotFound
from cell0gw.protocol.limits import MAX_ID
from cell0gw.protocol.subjects import Pattern
from cell0gw.rpc.access import session
from cell0gw.sessions.session import Caller
from cell0gw.tasks.attempt import attempt_of
from cell0gw.tasks.tasks import Tasks
from cell0gw.tasks.views import TaskChanged

Id = Annotated[str, Meta(min_length=1, max_length=MAX_ID)]


class WorkMethods:
    """The methods of agents at work."""

    def __init__(self, agents: Agents, tasks: Tasks) -> None:
        self._calls = agents.calls
        self._tasks = tasks

    @session
    def rpc_progress(
        self, caller: Caller, *, call_id: Id, data: Raw, ephemeral: bool = False
    ) -> Progressed | Awaitable[Progressed]:
        """Send intermediate data to the caller of a call, or to those who follow a task, before the response.

        The first one says that the work has begun, see docs/protocol.md#started-or-not; each one restarts the `idle_ms`
        of the call. Send it as a notification, unless it matters whether the call is still open. Of a task it renews
        the lease, and may come on another connection of the same agent; it is on disk when the answer comes.

        - `call_id`: of the `agent.invoke`, or of what `task.receive` gave
        - `data`: what to show to the caller
        - `ephemeral`: of a task: show it to those who are subscribed now, and don't keep it
        - `too_large`: the data is longer than anything that is relayed; nothing was sent
        - `fenced`: a later attempt at the task has taken the place of this one: stop
        - `conflict`: a question of this attempt waits for its answer
        - `unavailable`: what is to be kept could not be stored
        """
        assert caller.session is not None
        if attempt_of(call_id) is None:
            return Progressed(self._calls.progress(caller.session, call_id, data))
        reported = self._tasks.report(caller.session.entity_id, call_id, bytes(data), ephemeral)
        return reported.addCallbacks(lambda moved: Progressed(True), _is_over)

    @session
    def rpc_ask(
        self, caller: Caller, *, call_id: Id, message: Raw, to: Pattern | None = None
    ) -> Awaitable[TaskChanged]:
        """Ask the one who has created a task, or somebody else, before going on with it.

        The task is `input_required` until somebody has answered by `task.answer`; no clock of silence runs until then.
        The answer is an event of the task: subscribe to it, with the position that this answer has as `since`. One
        question waits at a time.

        - `call_id`: of the `agent.invoke`, or of what `task.receive` gave
        - `message`: what to ask
        - `to`: whom: an entity; or a role, as a pattern of entities whose last segment is `*` or `>`; null: who has
          created the task, who may answer in any case
        - `not_found`: the caller has no such task; calls can't ask. Or there is nobody like `to`, or none that the
          caller may know of, see docs/protocol.md#sight; `data.near` has similar names
        - `permission_denied`: the caller may not write to all of `to` by `agent.send`
        - `invalid_params`: `to` is the caller itself, or a pattern with a wildcard before its last segment
        - `fenced`: a later attempt has taken the place of this one: stop
        - `conflict`: a question waits already, or the attempt is lost, or over
        - `too_large`: the message is longer than anything that is relayed
        - `unavailable`: the question could not be stored
        """
        assert caller.session is not None
        return self._tasks.ask(caller.sender, call_id, bytes(message), to)


def _is_over(failure: Failure) -> Progressed:
    """An attempt that is over is as a call that is."""
    failure.trap(NotFound, Conflict)
    if failure.check(Fenced) or "question" in failure.value.data:  # type: ignore[union-attr]
        failure.raiseException()
    return Progressed(False)
