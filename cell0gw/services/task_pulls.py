"""What C{task} has for agents that ask for work, and bring it back, on whatever connection they have then."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Raw

from cell0gw.presence.presence import Presence
from cell0gw.protocol.errors import InvalidParams
from cell0gw.protocol.limits import MAX_CAPABILITIES, MAX_LEASE_MS, MAX_WAIT_MS, MIN_LEASE_MS
from cell0gw.protocol.subjects import Name
from cell0gw.rpc.access import session
from cell0gw.sessions.session import Caller
from cell0gw.tasks.attempt import MAX_ATTEMPT
from cell0gw.tasks.requests import MAX_TASK_ID
from cell0gw.tasks.tasks import Tasks
from cell0gw.tasks.views import TaskChanged, TasksReceived

MAX_RECEIVED: Final = 100
"""Maximum tasks that one request asks for."""

LEASE_MS: Final = 60_000
"""Milliseconds for which an agent has a task without a sign of life, unless it says otherwise."""

Lease = Annotated[int, Meta(ge=MIN_LEASE_MS, le=MAX_LEASE_MS)]
Wait = Annotated[int, Meta(ge=0, le=MAX_WAIT_MS)]
TaskId = Annotated[str, Meta(min_length=1, max_length=MAX_TASK_ID)]
NULL: Final = Raw(b"null")


class PullMethods:
    """Tasks are received, and completed."""

    def __init__(self, tasks: Tasks, presence: Presence) -> None:
        self._tasks = tasks
        self._directory = presence.directory

    @session
    def rpc_receive(
        self,
        caller: Caller,
        request_id: bytes,
        *,
        capabilities: Annotated[list[Name], Meta(max_length=MAX_CAPABILITIES)] | None = None,
        max: Annotated[int, Meta(ge=1, le=MAX_RECEIVED)] = 1,
        wait_ms: Wait = 0,
        lease_ms: Lease = LEASE_MS,
    ) -> Awaitable[TasksReceived]:
        """Get tasks that wait, and have them: instead of `agent.invoke`, for agents that are not always connected.

        These are the tasks for the caller's own id, and those for capabilities. Each must be ended with
        `task.complete`, or renewed by `agent.progress`, before its lease is over, on this connection or another. A
        session waits for one `task.receive` at a time: the next one ends the former.

        - `capabilities`: for which; null: those that the session has declared. Those that the token does not let it
          serve are left out, see `agent.serve`
        - `max`: maximum tasks
        - `wait_ms`: maximum milliseconds to wait for the first one, at most a minute
        - `lease_ms`: milliseconds that each holds without a sign of life, from a second to a day
        - `unavailable`: the gateway has just started: try again after `data.retry_after_ms`; or the disk fails
        """
        own = caller.session
        assert own is not None
        served = list(self._directory.said(own).capabilities) if capabilities is None else capabilities
        return self._tasks.receive(own, served, max, wait_ms / 1000, lease_ms / 1000)

    @session
    def rpc_complete(
        self, caller: Caller, *, task_id: TaskId, attempt: Annotated[int, Meta(ge=1, le=MAX_ATTEMPT)],
        result: Raw = NULL, error: dict[str, Raw] | None = None,
    ) -> Awaitable[TaskChanged]:  # fmt: skip
        """End an attempt at a task that the caller was given, with a result or an error, on whatever connection.

        So ends what came by `task.receive`; and what came by `agent.invoke` on a connection that is gone. It may be
        repeated: what has ended stays as it is. A result that comes when all is over is kept beside that, as `late`.

        - `task_id`: the task
        - `attempt`: of the `agent.invoke`, or of what `task.receive` gave
        - `result`: any JSON; null is a result as well
        - `error`: instead of it: `code`, `message` (the first 500 characters) and `data`
        - `not_found`: the caller was not given that
        - `fenced`: a later attempt has taken the place of this one: nothing of it counts
        - `conflict`: the attempt is lost: its error changes nothing, a result still would
        - `rate_limited`: the tasks of who has created it take as much as they may, see docs/operations.md#shares
        - `too_large`: the result is longer than anything that is relayed
        - `invalid_params`: both `result` and `error`
        - `unavailable`: it could not be stored: send it again
        """
        if error is None:
            done, said = bytes(result), None
        elif result == NULL:
            done, said = None, msgspec.json.encode(error)
        else:
            raise InvalidParams("Invalid params: either result or error")
        assert caller.entity_id is not None
        return self._tasks.complete(caller.entity_id, task_id, attempt, done, said)
