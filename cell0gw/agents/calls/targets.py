"""Targets: what can be called, and what a caller gets when no session can take its call.

An agent that is known may come back, so a call to it is refused as unavailable, which may be tried again. What nobody
knows is not found, and has suggestions; nor does a caller find what it does not see.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Final

import msgspec
from twisted.internet.interfaces import IReactorTime

from cell0gw.agents.calls.call import CallRequest
from cell0gw.agents.calls.inputs import Inputs
from cell0gw.agents.calls.pools import Pool
from cell0gw.agents.calls.refusals import no_worker
from cell0gw.agents.calls.workers import Workers
from cell0gw.protocol.errors import NotFound, RPCError
from cell0gw.sessions.session import Sender

CALL: Final = "agent.call"

MAX_SUGGESTED: Final = 100
"""Maximum workers that are looked at to see whether a capability is suggested: many may have names like it."""

RETURN_WINDOW: Final = 60.0
"""Seconds after a restart in which agents may not have come back yet: until then every capability counts as known."""


class Targets:
    """The agents and capabilities that are known, be there a worker for them or not.

    @param is_agent: whether an id is in use, or was.
    @ivar check_input: see L{Inputs.check}.
    """

    def __init__(self, workers: Workers, is_agent: Callable[[str], bool], clock: IReactorTime, inputs: Inputs) -> None:
        self._workers = workers
        self._is_agent = is_agent
        self._clock = clock
        self.check_input = inputs.check
        self._returning_until = -math.inf

    def await_return(self) -> None:
        """Called at a start that is not the first: agents may be on their way, and what they serve is not known."""
        self._returning_until = self._clock.seconds() + RETURN_WINDOW

    @property
    def returning(self) -> bool:
        """Whether agents may not have come back yet."""
        return self._clock.seconds() < self._returning_until

    def open_to(
        self, sender: Sender, request: CallRequest, pool: Pool | None, most: int | None = None, method: str = CALL
    ) -> bool:
        """Whether a caller may learn that there is what it calls. A capability is for those who see one that serves
        it, and for those with a permission that names it by a pattern.

        @param pool: the workers; None: there are none.
        @param most: maximum workers that are looked at; None: all.
        @param method: by which it is called.
        """
        if sender.permissions.sight.everyone:
            return True
        if request.agent_id is not None:
            return sender.knows(method, request.agent_id)
        sees = sender.sight.sees
        if sender.permissions.grants_by_pattern(method, request.target):
            return True
        workers = () if pool is None else itertools.chain(pool.workers, pool.absent)
        return any(sees(worker.session.entity_id) for worker in itertools.islice(workers, most))

    def knows(self, sender: Sender, request: CallRequest) -> bool:
        """Whether the agent that is called exists, or the capability is or was served, as far as one may know."""
        if request.agent_id is not None:
            return self._is_agent(request.agent_id) and self.open_to(sender, request, None)
        if self.returning:
            return True
        return self._workers.was_served(request.capability or "") and self.open_to(sender, request, None)

    def near(self, sender: Sender, request: CallRequest, method: str = CALL) -> list[str]:
        """Names of workers that look like a target that is not known: those that the caller may call and know of.

        @param method: by which they are called.
        """
        permissions = sender.permissions
        if request.agent_id is not None:
            return self._workers.agents.near(
                request.agent_id, lambda name: permissions.allow_on(method, name) and sender.knows(method, name)
            )

        def shown(name: str) -> bool:
            other = msgspec.structs.replace(request, capability=name)
            pool = self._workers.of_capability(name)
            return permissions.allow_on(method, other.target) and self.open_to(
                sender, other, pool, MAX_SUGGESTED, method
            )

        return self._workers.capabilities.near(request.capability or "", shown)

    def refusal(self, sender: Sender, request: CallRequest) -> RPCError:
        """The error of a call for which there is no worker, and none that may come back, as far as one may know."""
        if self.knows(sender, request):
            return no_worker(request)
        what = "Nobody serves" if request.agent_id is None else "Nobody is called"
        return NotFound(f"{what} {request.target}", near=self.near(sender, request))
